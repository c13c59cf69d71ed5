//! Asking for what a stranger named.
//!
//! The host is resolved here and every one of its addresses looked at; then just those are connected to, so that a name cannot lead
//! elsewhere the second time. Redirects are answers like any other: not 200. No proxy, no cookie, and no credential but what the
//! request itself holds.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{Request, Response, StatusCode, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::{Names, address::is_public};

const ALTOGETHER: Duration = Duration::from_secs(5);
const CONNECTING: Duration = Duration::from_secs(2);
const LARGEST: usize = 64 * 1024;
/// Addresses of one host that are tried.
const TRIED: usize = 4;

/// Why there is no document. Shows nothing of what was answered but its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error("is no https address")]
    NotHttps,
    #[error("has no address in DNS")]
    NoAddress,
    #[error("leads to an address that is not public")]
    Inside,
    #[error("cannot be reached")]
    Unreachable,
    #[error("shows no certificate that holds for it")]
    Tls,
    #[error("does not answer within 5 seconds")]
    Slow,
    #[error("does not speak HTTP")]
    NotHttp,
    #[error("answers with status {0}")]
    Status(u16),
    #[error("answers with more than 64 KiB")]
    TooLarge,
    #[error("answers with something else than a JSON object")]
    NotJson,
}

#[derive(Clone)]
pub struct Fetcher {
    names: Names,
    tls: TlsConnector,
    allow_private: bool,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").field("allow_private", &self.allow_private).finish_non_exhaustive()
    }
}

impl Fetcher {
    pub fn new(names: Names, allow_private: bool) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (_, unread) = roots.add_parsable_certificates(found.certs);
        if roots.is_empty() || unread > 0 || !found.errors.is_empty() {
            let errors = found.errors.len();
            tracing::warn!(roots = roots.len(), unread, errors, "not every root certificate of the system can be read");
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { names, tls: TlsConnector::from(Arc::new(tls)), allow_private })
    }

    /// Whether providers may be at plain http and at private addresses.
    pub fn allows_private(&self) -> bool {
        self.allow_private
    }

    /// A JSON object by GET.
    pub async fn json(&self, url: &Url) -> Result<Value, FetchError> {
        let request = Request::get(url.as_str()).header(header::ACCEPT, "application/json");
        let answer = self.send(request.body(Vec::new()).map_err(|_| FetchError::NotHttp)?).await?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        let json = serde_json::from_slice::<Value>(answer.body()).ok();
        json.filter(Value::is_object).ok_or(FetchError::NotJson)
    }

    /// One request and its answer, whatever its status.
    pub async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, FetchError> {
        timeout(ALTOGETHER, Box::pin(self.call(request))).await.map_err(|_| FetchError::Slow)?
    }

    /// Whether a browser's or our own call to a URL would be let through: its scheme, and where its host leads.
    pub async fn may_call(&self, url: &Url) -> Result<(), FetchError> {
        timeout(ALTOGETHER, self.addresses(url)).await.map_err(|_| FetchError::Slow)?.map(drop)
    }

    async fn addresses(&self, url: &Url) -> Result<Vec<SocketAddr>, FetchError> {
        if !(url.scheme() == "https" || (self.allow_private && url.scheme() == "http")) {
            return Err(FetchError::NotHttps);
        }
        let port = url.port_or_known_default().ok_or(FetchError::NotHttps)?;
        let addresses = match url.host().ok_or(FetchError::NoAddress)? {
            Host::Domain(name) => self.names.addresses(name).await,
            Host::Ipv4(address) => vec![IpAddr::V4(address)],
            Host::Ipv6(address) => vec![IpAddr::V6(address)],
        };
        if addresses.is_empty() {
            return Err(FetchError::NoAddress);
        }
        if !self.allow_private && !addresses.iter().copied().all(is_public) {
            return Err(FetchError::Inside);
        }
        Ok(addresses.into_iter().take(TRIED).map(|address| SocketAddr::new(address, port)).collect())
    }

    async fn call(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, FetchError> {
        let url = Url::parse(&request.uri().to_string()).map_err(|_| FetchError::NotHttps)?;
        let stream = connect(&self.addresses(&url).await?).await?;
        if url.scheme() == "http" {
            return exchange(stream, &url, request).await;
        }
        let name = match url.host().ok_or(FetchError::NoAddress)? {
            Host::Domain(name) => ServerName::try_from(name.to_owned()).map_err(|_| FetchError::Tls)?,
            Host::Ipv4(address) => IpAddr::V4(address).into(),
            Host::Ipv6(address) => IpAddr::V6(address).into(),
        };
        let stream = self.tls.connect(name, stream).await.map_err(|_| FetchError::Tls)?;
        exchange(stream, &url, request).await
    }
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, FetchError> {
    for address in addresses {
        if let Ok(Ok(stream)) = timeout(CONNECTING, TcpStream::connect(address)).await {
            return Ok(stream);
        }
    }
    Err(FetchError::Unreachable)
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    url: &Url,
    request: Request<Vec<u8>>,
) -> Result<Response<Vec<u8>>, FetchError> {
    let opened = http1::Builder::new().max_buf_size(LARGEST).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = opened.map_err(|_| FetchError::NotHttp)?;
    let asking = async move {
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let (parts, body) = request.into_parts();
        let mut request = Request::builder()
            .method(parts.method)
            .uri(format!("{}{query}", url.path()))
            .header(header::HOST, format!("{}{port}", url.host_str().unwrap_or_default()))
            .header(header::USER_AGENT, concat!("guildhall/", env!("CARGO_PKG_VERSION")))
            .header(header::CONNECTION, "close")
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| FetchError::NotHttp)?;
        request.headers_mut().extend(parts.headers);
        let (parts, body) = sender.send_request(request).await.map_err(|_| FetchError::NotHttp)?.into_parts();
        let body = Limited::new(body, LARGEST)
            .collect()
            .await
            .map_err(|error| if error.is::<LengthLimitError>() { FetchError::TooLarge } else { FetchError::NotHttp })?;
        Ok(Response::from_parts(parts, body.to_bytes().to_vec()))
    };
    // The connection ends with the exchange: nothing of it stays behind.
    tokio::pin!(asking);
    tokio::select! {
        answer = &mut asking => answer,
        _ = connection => asking.await,
    }
}
