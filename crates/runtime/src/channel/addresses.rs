//! Follows the addresses behind a host name and tells the balancer of each that comes or goes.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::Uri;
use tokio::sync::{mpsc, watch};
use tonic::transport::channel::Change;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use url::{Host, Url};

const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// While nothing is known every caller is refused: look more often.
const LOOK_AGAIN_SOON: Duration = Duration::from_millis(500);
const LOOK_UP_LIMIT: Duration = Duration::from_secs(5);
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The URL of a service cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    #[error("must be http://host:port or https://host:port")]
    Url,
    #[error("the TLS settings cannot be used")]
    Tls(#[source] tonic::transport::Error),
}

type Changes = mpsc::Sender<Change<SocketAddr, Endpoint>>;

pub(super) fn balance(url: &str) -> Result<(Channel, watch::Receiver<Option<usize>>), ChannelError> {
    let target = Target::parse(url)?;
    let (channel, changes) = Channel::balance_channel(256);
    let (known, receiver) = watch::channel(None);
    let resolver = Resolver { target, changes, known, current: HashSet::new() };
    tokio::spawn(resolver.follow());
    Ok((channel, receiver))
}

struct Target {
    host: String,
    /// The host when it is an address and needs no look-up.
    address: Option<IpAddr>,
    port: u16,
    /// The URL without its path: `:authority` at whichever address.
    origin: Uri,
    tls: Option<ClientTlsConfig>,
}

impl Target {
    fn parse(text: &str) -> Result<Self, ChannelError> {
        let url = Url::parse(text).map_err(|_| ChannelError::Url)?;
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(ChannelError::Url),
        };
        let port = url.port_or_known_default().ok_or(ChannelError::Url)?;
        let (host, address) = match url.host().ok_or(ChannelError::Url)? {
            Host::Domain(name) => (name.to_owned(), None),
            Host::Ipv4(address) => (address.to_string(), Some(IpAddr::V4(address))),
            Host::Ipv6(address) => (address.to_string(), Some(IpAddr::V6(address))),
        };
        let origin = Uri::try_from(url.origin().ascii_serialization()).map_err(|_| ChannelError::Url)?;
        // At any address the certificate must name the host of the URL.
        let tls = tls.then(|| ClientTlsConfig::new().with_native_roots().domain_name(&host));
        let target = Self { host, address, port, origin, tls };
        target.endpoint(target.origin.clone()).map_err(ChannelError::Tls)?;
        Ok(target)
    }

    /// `None` when the look-up failed, which says nothing about the addresses.
    async fn look_up(&self) -> Option<HashSet<SocketAddr>> {
        if let Some(address) = self.address {
            return Some(HashSet::from([SocketAddr::new(address, self.port)]));
        }
        let look_up = tokio::net::lookup_host((self.host.as_str(), self.port));
        match tokio::time::timeout(LOOK_UP_LIMIT, look_up).await {
            Ok(Ok(addresses)) => Some(addresses.collect()),
            Ok(Err(error)) => {
                tracing::debug!(host = self.host, %error, "a look-up failed");
                None
            }
            Err(_) => None,
        }
    }

    fn endpoint_at(&self, address: SocketAddr) -> Option<Endpoint> {
        let scheme = self.origin.scheme_str()?;
        let uri = Uri::try_from(format!("{scheme}://{address}")).ok()?;
        self.endpoint(uri).ok()
    }

    fn endpoint(&self, uri: Uri) -> Result<Endpoint, tonic::transport::Error> {
        let endpoint = Endpoint::from(uri)
            .origin(self.origin.clone())
            .connect_timeout(CONNECT_LIMIT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        match &self.tls {
            Some(tls) => endpoint.tls_config(tls.clone()),
            None => Ok(endpoint),
        }
    }
}

struct Resolver {
    target: Target,
    changes: Changes,
    known: watch::Sender<Option<usize>>,
    current: HashSet<SocketAddr>,
}

impl Resolver {
    /// Ends when the last clone of the channel is dropped.
    async fn follow(mut self) {
        loop {
            let found = tokio::select! {
                () = self.changes.closed() => return,
                found = self.target.look_up() => found,
            };
            // A resolver that fails is no reason to forget servers that answer.
            if let Some(found) = found
                && self.tell(found).await.is_none()
            {
                return;
            }
            self.note();
            let pause = match (self.target.address, self.current.is_empty()) {
                (Some(_), _) => return self.changes.closed().await,
                (None, true) => LOOK_AGAIN_SOON,
                (None, false) => LOOK_AGAIN,
            };
            tokio::select! {
                () = self.changes.closed() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn tell(&mut self, found: HashSet<SocketAddr>) -> Option<()> {
        for &gone in self.current.difference(&found) {
            self.changes.send(Change::Remove(gone)).await.ok()?;
        }
        for &new in found.difference(&self.current) {
            if let Some(endpoint) = self.target.endpoint_at(new) {
                self.changes.send(Change::Insert(new, endpoint)).await.ok()?;
            }
        }
        self.current = found;
        Some(())
    }

    fn note(&self) {
        let count = self.current.len();
        let before = self.known.send_replace(Some(count));
        if before != Some(count) {
            let (host, addresses) = (&self.target.host, count);
            match count {
                0 => tracing::warn!(host, "no address is known: calls will be refused"),
                _ => tracing::info!(host, addresses, "addresses known"),
            }
        }
    }
}
