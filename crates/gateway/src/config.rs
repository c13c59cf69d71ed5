//! The gateway's settings.

use std::{net::IpAddr, path::PathBuf, str::FromStr};

use access::{AccessOptions, RevocationOptions, Service};
use ipnet::IpNet;
use runtime::ProcessOptions;
use tenancy::ProjectId;

use crate::{face::Origin, ops::clients::Operator};

#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    #[command(flatten)]
    pub process: ProcessOptions,
    /// TLS at the public door: a directory of `tls.crt` and `tls.key`, read again every 2 seconds. Without it the door speaks plaintext, for
    /// a proxy that ends TLS in front of it.
    #[arg(long, env = "GUILDHALL_TLS", value_name = "DIRECTORY")]
    pub tls: Option<PathBuf>,
    #[command(flatten)]
    pub access: AccessOptions,
    /// The private keys of access tokens: a PEM file as `guildhall key` makes it, or a folder of them. Read again every 30 seconds.
    #[arg(long, env = "GUILDHALL_ACCESS_KEYS", value_name = "FILE")]
    pub access_keys: PathBuf,
    /// Where org-service is: `http://host:port`, or several with commas in between, each a replica or a name with the addresses of several.
    #[arg(long, env = "GUILDHALL_ORG_URL", value_name = "URL")]
    pub org_url: String,
    /// Where member-service is, in the same form.
    #[arg(long, env = "GUILDHALL_MEMBER_URL", value_name = "URL")]
    pub member_url: String,
    /// Where authz-service is, in the same form.
    #[arg(long, env = "GUILDHALL_AUTHZ_URL", value_name = "URL")]
    pub authz_url: String,
    /// The OAuth 2 client id of the operator, who manages projects. Without it nobody is the operator.
    #[arg(long, env = "GUILDHALL_OPERATOR_CLIENT_ID", value_name = "ID")]
    pub operator_client_id: Option<String>,
    /// SHA-256 of the operator's client secret, in hexadecimal. The secret itself should hold 128 random bits or more.
    #[arg(long, env = "GUILDHALL_OPERATOR_SECRET_SHA256", value_name = "HEX")]
    pub operator_secret_sha256: Option<SecretDigest>,
    /// The project of a sign-in that names none.
    #[arg(long, env = "GUILDHALL_DEFAULT_PROJECT", value_name = "PROJECT_ID")]
    pub default_project: Option<ProjectId>,
    /// For development: a directory of delivered mail, served at `GET /dev/mailbox` on the admin port to whoever asks.
    #[arg(long, env = "GUILDHALL_DEV_MAILBOX", value_name = "DIRECTORY")]
    pub dev_mailbox: Option<PathBuf>,
    /// The networks of the reverse proxies in front of the gateway, such as `10.0.0.0/8`. What they say of a caller's address in
    /// `x-forwarded-for` is believed, and nobody else. None: the caller's address is the connection's.
    #[arg(long, env = "GUILDHALL_TRUSTED_PROXIES", value_name = "NETWORKS", value_delimiter = ',', value_parser = network)]
    pub trusted_proxies: Vec<IpNet>,
    /// The origins whose pages may call the gateway from a browser (CORS), such as `https://app.example.com`. None by default; there is
    /// no wildcard.
    #[arg(long, env = "GUILDHALL_ALLOWED_ORIGINS", value_name = "ORIGINS", value_delimiter = ',')]
    pub allowed_origins: Vec<Origin>,
    #[command(flatten)]
    pub revocation: RevocationOptions,
    #[command(flatten)]
    pub limits: LimitOptions,
}

/// How often one may come, in calls a minute; as many may come at once. 0: as often as they like. Each replica counts for itself.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct LimitOptions {
    /// Sign-ins a minute for one email address of a project.
    #[arg(long, env = "GUILDHALL_SIGN_IN_RATE_PER_IDENTITY", value_name = "CALLS", default_value_t = 10)]
    pub sign_in_rate_per_identity: u32,
    /// Sign-ins a minute from one network address (of IPv6, from one /64), together with all else that needs no credential, such as
    /// accepting an invitation.
    #[arg(long, env = "GUILDHALL_SIGN_IN_RATE_PER_ADDRESS", value_name = "CALLS", default_value_t = 300)]
    pub sign_in_rate_per_address: u32,
    /// Sign-ins a minute in one project, whosever and wherever from.
    #[arg(long, env = "GUILDHALL_SIGN_IN_RATE_PER_PROJECT", value_name = "CALLS", default_value_t = 12_000)]
    pub sign_in_rate_per_project: u32,
    /// Calls of the token endpoint a minute for one client id.
    #[arg(long, env = "GUILDHALL_TOKEN_RATE_PER_CLIENT", value_name = "CALLS", default_value_t = 600)]
    pub token_rate_per_client: u32,
    /// Calls of the token endpoint, and refreshes, a minute from one network address.
    #[arg(long, env = "GUILDHALL_TOKEN_RATE_PER_ADDRESS", value_name = "CALLS", default_value_t = 3000)]
    pub token_rate_per_address: u32,
}

/// A network, or one address.
fn network(text: &str) -> Result<IpNet, &'static str> {
    let one = || text.parse().ok().map(|address: IpAddr| IpNet::from(address));
    text.parse().ok().or_else(one).ok_or("must be a network such as 10.0.0.0/8, or an address")
}

/// SHA-256 of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretDigest(pub [u8; 32]);

impl FromStr for SecretDigest {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let byte = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
        let bytes: Option<Vec<u8>> =
            text.len().is_multiple_of(2).then(|| text.as_bytes().chunks(2).map(byte).collect()).flatten();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or("must be 64 hexadecimal digits")
    }
}

impl Config {
    pub(crate) fn operator(&self) -> Option<Operator> {
        Some(Operator { client_id: self.operator_client_id.clone()?, secret: self.operator_secret_sha256? })
    }
}

impl runtime::Config for Config {
    fn process(&self) -> &ProcessOptions {
        &self.process
    }

    fn validate(&self) -> Result<(), Vec<String>> {
        let http = |text: &str| {
            url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        };
        let mut faults = self.access.faults(Service::Gateway);
        faults.extend(self.revocation.faults());
        for (option, url) in [
            ("--org-url (GUILDHALL_ORG_URL)", &self.org_url),
            ("--member-url (GUILDHALL_MEMBER_URL)", &self.member_url),
            ("--authz-url (GUILDHALL_AUTHZ_URL)", &self.authz_url),
        ] {
            faults.extend(self.process.service_url_fault(option, url));
        }
        let mut require = |holds: bool, fault: &str| {
            if !holds {
                faults.push(fault.to_owned());
            }
        };
        let issuer = http(&self.access.issuer) && !self.access.issuer.contains(['?', '#']);
        require(issuer, "--issuer (GUILDHALL_ISSUER): must be an http or https URL without query and fragment");
        require(
            self.operator_client_id.is_some() == self.operator_secret_sha256.is_some(),
            "--operator-client-id and --operator-secret-sha256: must be given together",
        );
        require(
            self.operator_client_id
                .as_deref()
                .is_none_or(|id| !id.is_empty() && id.parse::<tenancy::ServiceAccountId>().is_err()),
            "--operator-client-id (GUILDHALL_OPERATOR_CLIENT_ID): must not be empty or look like a service account's id",
        );
        require(
            self.dev_mailbox.as_deref().is_none_or(|directory| !directory.as_os_str().is_empty()),
            "--dev-mailbox (GUILDHALL_DEV_MAILBOX): must name a directory",
        );
        if let Some(Err(error)) = self.tls.as_deref().map(tls::Public::open) {
            faults.push(format!("--tls (GUILDHALL_TLS): {}", runtime::Chain(&error)));
        }
        if let Err(error) = self.access.access_keys(&self.access_keys) {
            faults.push(format!("--access-keys (GUILDHALL_ACCESS_KEYS): {}", runtime::Chain(&error)));
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_64_hexadecimal_digits() {
        assert_eq!("00".repeat(32).parse(), Ok(SecretDigest([0; 32])));
        assert_eq!("fF".repeat(32).parse(), Ok(SecretDigest([255; 32])));
        for text in ["", "00", &"0".repeat(63), &"0g".repeat(32), &"00".repeat(33), &"é".repeat(32)] {
            assert!(text.parse::<SecretDigest>().is_err(), "{text}");
        }
    }
}
