//! The addresses behind a name.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::DnsError;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::ResponseCode;
use tokio::time::timeout;

/// For one name, whatever happens.
const LIMIT: Duration = Duration::from_secs(5);
/// For one try of ours; there are two.
const TRY: Duration = Duration::from_secs(2);
/// What an answer holds beyond is not connected to.
const MOST: usize = 256;

/// Who is asked.
#[derive(Clone, Debug)]
pub(crate) enum Names {
    /// The machine, with its hosts file, search list and whatever else it is set up to ask.
    Machine,
    Server(Box<TokioResolver>),
}

impl Names {
    pub fn new(server: Option<SocketAddr>) -> Result<Self, NetError> {
        let Some(server) = server else { return Ok(Self::Machine) };
        let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
        for connection in &mut connections {
            connection.port = server.port();
        }
        let servers = vec![NameServerConfig::new(server.ip(), true, connections)];
        let config = ResolverConfig::from_name_servers(servers);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        (options.timeout, options.attempts, options.cache_size) = (TRY, 2, 0);
        // Every address is a replica, of whichever family.
        options.ip_strategy = hickory_resolver::config::LookupIpStrategy::Ipv4AndIpv6;
        Ok(Self::Server(Box::new(builder.build()?)))
    }

    /// `None` when there was no answer, which says nothing about the addresses.
    pub async fn look_up(&self, name: &str, port: u16) -> Option<HashSet<SocketAddr>> {
        match self {
            Self::Machine => match timeout(LIMIT, tokio::net::lookup_host((name, port))).await.ok()? {
                Ok(addresses) => Some(addresses.take(MOST).collect()),
                Err(error) => {
                    tracing::debug!(name, %error, "a look-up failed");
                    None
                }
            },
            Self::Server(resolver) => {
                // With the dot at its end the name is whole, and no search list is tried.
                let whole = format!("{}.", name.trim_end_matches('.'));
                match timeout(LIMIT, resolver.lookup_ip(whole)).await.ok()? {
                    Ok(found) => Some(found.iter().take(MOST).map(|ip| SocketAddr::new(ip, port)).collect()),
                    Err(error) if is_denied(&error) => Some(HashSet::new()),
                    Err(error) => {
                        tracing::debug!(name, %error, "a look-up failed");
                        None
                    }
                }
            }
        }
    }
}

/// Whether the name server says that there is nothing, rather than nothing.
fn is_denied(error: &NetError) -> bool {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain)
        }
        _ => false,
    }
}
