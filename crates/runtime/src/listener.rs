//! Accepts connections and serves HTTP on them until told to drain.
//!
//! Not `tonic::transport::Server`: that answers an expired `grpc-timeout` itself with CANCELLED, has one connection age for
//! all connections, and clones a boxed service for each call.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::transport::server::TcpConnectInfo;
use tower::{Service, ServiceExt};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections are asked to end after this long, so that new replicas get their share of old callers.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);
const MAX_HEADER_LIST_BYTES: u32 = 32 * 1024;
/// Against rapid reset: streams that we had to reset ourselves, on one connection.
const MAX_LOCAL_RESETS: usize = 1024;
/// After an accept that failed for want of file descriptors or memory: time for some to be freed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({option}): {}", explain(.cause))]
pub struct BindError {
    address: SocketAddr,
    option: &'static str,
    cause: io::Error,
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is in use by another process".to_owned(),
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege".to_owned(),
        _ => error.to_string(),
    }
}

/// A bound socket, not yet accepting. `option` names the setting in the error.
pub(crate) async fn bind(address: SocketAddr, option: &'static str) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|cause| BindError { address, option, cause })
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_streams: u32,
    /// Accept HTTP/1.1 as well.
    pub(crate) http1: bool,
    /// How long calls in flight may go on once the drain has begun.
    pub(crate) drain: Duration,
}

/// Serves until `draining` is cancelled; then stops listening, sends GOAWAY, and waits for the calls in flight as long as
/// the limits say. Returns whether all of them ended by themselves.
pub(crate) async fn serve<S, B>(listener: TcpListener, service: S, limits: Limits, draining: CancellationToken) -> bool
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            () = draining.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, remote)) => {
                let connection = connection(stream, remote, service.clone(), limits, draining.clone());
                let cut = cut.clone();
                connections.spawn(async move { cut.run_until_cancelled_owned(connection).await });
            }
            // The peer gave up between the handshake and us.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Closed before the drain: a client that comes now is refused at once and tries the next replica.
    drop(listener);
    connections.close();
    let ended = timeout(limits.drain, connections.wait()).await.is_ok();
    cut.cancel();
    connections.wait().await;
    ended
}

async fn connection<S, B>(
    stream: TcpStream,
    remote: SocketAddr,
    service: S,
    limits: Limits,
    draining: CancellationToken,
) where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    // Without it small answers wait for the peer's acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY cannot be set");
    }
    let peer = TcpConnectInfo { local_addr: stream.local_addr().ok(), remote_addr: Some(remote) };
    let service = service.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        request.map(Body::new)
    });
    let builder = builder(limits);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    // Each connection has an age of its own within a tenth of the mean, or all that began together would end together.
    let end_of_age = sleep_until(Instant::now() + MAX_AGE.mul_f64(0.9 + 0.2 * rand::random::<f64>()));
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = end_of_age => None,
        () = draining.cancelled() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

fn builder(limits: Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    if !limits.http1 {
        builder = builder.http2_only();
    }
    // With a timer HTTP/1 connections that never finish their headers are ended.
    builder.http1().timer(TokioTimer::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        // As many as may be open: the gateway's connection to a service carries the calls of many callers, and one of them who gives
        // up many calls at once must not cost the others theirs.
        .max_pending_accept_reset_streams(Some(limits.max_streams as usize))
        .max_local_error_reset_streams(MAX_LOCAL_RESETS)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    builder
}
