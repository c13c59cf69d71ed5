//! What this service asks of the world outside the installation, because an organization told it to: names of DNS, and the
//! documents of identity providers. Whatever is asked is chosen by a stranger, so it is bounded in time and size, and never an
//! address that only we can reach.

mod address;
mod fetch;
mod names;
mod oidc;

pub use fetch::{FetchError, Fetcher};
pub use names::Names;
pub use oidc::{Claims, Oidc, OidcError, Party, Redemption};

use std::{net::SocketAddr, time::Duration};

use tenancy::{Places, Turns};

use crate::model::{HostBase, Schedule};

/// For calls that wait for an answer from outside, of one kind: somebody whose servers never answer keeps others neither from theirs
/// nor, with all the places that this process has for calls, from anything else.
pub fn places() -> Places {
    Places::new(32, Turns::new(4, Duration::from_millis(500)))
}

/// What is asked outside, and how.
#[derive(Debug, Clone, clap::Args)]
pub struct OutsideOptions {
    /// The name servers that are asked for the names that organizations give: addresses with ports, separated by commas. By default
    /// the system's.
    #[arg(long, env = "GUILDHALL_DNS_SERVERS", value_name = "ADDRESS:PORT", value_delimiter = ',')]
    pub dns_servers: Vec<SocketAddr>,
    /// The name whose subdomains are the organizations' own hosts, `{slug}.<base>`. By default there are none.
    #[arg(long, env = "GUILDHALL_VANITY_BASE", value_name = "NAME")]
    pub vanity_base: Option<String>,
    /// How soon after a domain is claimed its record is looked for; each further look takes twice as long to come.
    #[arg(long, env = "GUILDHALL_DOMAIN_FIRST_LOOK", value_name = "SECONDS", default_value_t = 60,
        value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub domain_first_look: u32,
    /// How often the record of a verified domain is looked for again.
    #[arg(long, env = "GUILDHALL_DOMAIN_RECHECK", value_name = "SECONDS", default_value_t = 86_400,
        value_parser = clap::value_parser!(u32).range(1..=2_592_000))]
    pub domain_recheck: u32,
    /// For development: lets identity providers be at private addresses, and at plain http.
    #[arg(long, env = "GUILDHALL_ALLOW_PRIVATE_ISSUERS", value_name = "BOOL", default_value = "false",
        num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set,
        value_parser = clap::builder::BoolishValueParser::new())]
    pub allow_private_issuers: bool,
}

impl OutsideOptions {
    pub fn faults(&self) -> Vec<String> {
        let base = self.vanity_base().err();
        base.into_iter().map(|fault| format!("--vanity-base (GUILDHALL_VANITY_BASE): {fault}")).collect()
    }

    pub fn vanity_base(&self) -> Result<Option<HostBase>, crate::model::Fault> {
        self.vanity_base.as_deref().filter(|base| !base.is_empty()).map(HostBase::parse).transpose()
    }

    pub fn schedule(&self) -> Schedule {
        let seconds = |count: u32| time::Duration::seconds(count.into());
        Schedule { first: seconds(self.domain_first_look), recheck: seconds(self.domain_recheck) }
    }
}
