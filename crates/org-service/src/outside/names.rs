//! Names of DNS.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{op::ResponseCode, rr::RData},
};
use tokio::time::timeout;

use crate::model::{Domain, Look};

/// For one try; there are two.
const TRY: Duration = Duration::from_secs(2);
/// For one name, whatever happens.
const ALTOGETHER: Duration = Duration::from_secs(6);
/// What is beyond in an answer is not read.
const RECORDS: usize = 100;

/// A resolver that remembers nothing: a record that was made a moment ago is seen.
#[derive(Debug, Clone)]
pub struct Names(TokioResolver);

impl Names {
    /// With no servers given, the system's are asked.
    pub fn new(servers: &[SocketAddr]) -> Result<Self, NetError> {
        let mut builder = if servers.is_empty() {
            TokioResolver::builder_tokio()?
        } else {
            let config = ResolverConfig::from_name_servers(servers.iter().copied().map(name_server).collect());
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.timeout = TRY;
        options.attempts = 2;
        options.cache_size = 0;
        Ok(Self(builder.build()?))
    }

    /// Looks for a domain's record.
    pub async fn look(&self, domain: &Domain) -> Look {
        let wanted = domain.record_value.as_str().as_bytes();
        // With the dot at its end the name is whole, and no search list of the machine's is tried.
        let name = format!("{}.", domain.record_name());
        let answer = match timeout(ALTOGETHER, self.0.txt_lookup(name)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) if denies(&error) => return Look::Missing,
            Ok(Err(error)) => {
                tracing::debug!(error = %runtime::Chain(&error), domain_id = %domain.domain_id, "no answer about a domain's record");
                return Look::NoAnswer;
            }
            Err(_) => return Look::NoAnswer,
        };
        let says = |data: &RData| match data {
            // A long text comes in pieces.
            RData::TXT(text) => text.txt_data.concat().trim_ascii() == wanted,
            _ => false,
        };
        if answer.answers().iter().take(RECORDS).any(|record| says(&record.data)) { Look::Seen } else { Look::Missing }
    }

    /// The addresses of a host.
    pub async fn addresses(&self, host: &str) -> Vec<IpAddr> {
        match timeout(ALTOGETHER, self.0.lookup_ip(format!("{}.", host.trim_end_matches('.')))).await {
            Ok(Ok(found)) => found.iter().take(RECORDS).collect(),
            Ok(Err(_)) | Err(_) => Vec::new(),
        }
    }
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = address.port();
    }
    NameServerConfig::new(address.ip(), true, connections)
}

/// Whether the name servers say that there is nothing, rather than nothing.
fn denies(error: &NetError) -> bool {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain)
        }
        _ => false,
    }
}
