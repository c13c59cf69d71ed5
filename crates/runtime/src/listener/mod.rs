//! Accepts connections and serves HTTP on them until told to drain.
//!
//! What one connection may do is bounded (`options`): `guard` and `frames` look at its bytes before HTTP does, `crowd` at what becomes of it
//! beside the others.
//!
//! Not `tonic::transport::Server`: that answers an expired `grpc-timeout` itself with CANCELLED, has one connection age for
//! all connections, and clones a boxed service for each call.

mod crowd;
mod frames;
mod guard;
mod handshake;
mod options;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use channel::Corked;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use pin_project_lite::pin_project;
use tls::{Acceptor, Peer as Certified};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::transport::server::TcpConnectInfo;
use tower::Service;
use tower::util::{Oneshot, ServiceExt};

use crowd::{Call, Crowd, Peer, Watched};
use frames::Rates;
use guard::Guard;

use crate::layers::{Queue, TooMany, Waiting};

pub use options::ListenerOptions;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Against rapid reset: streams that we had to reset ourselves, on one connection.
const MAX_LOCAL_RESETS: usize = 1024;
/// What a request may be ahead of whoever reads it. As many as may come on one connection fill its window only all together: a handler that
/// does not read holds up nobody else's requests.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// What an answer may be ahead of its reader.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Files that are open beside connections from outside: to other services, the database, and our own.
const OTHER_FILES: usize = 256;
/// How often connections are looked over.
const SWEEP: Duration = Duration::from_secs(1);
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
    pub(crate) connection: ListenerOptions,
    /// Accept HTTP/1.1 as well.
    pub(crate) http1: bool,
    /// How long calls in flight may go on once the drain has begun.
    pub(crate) drain: Duration,
}

/// Serves until `draining` is cancelled; then stops listening, sends GOAWAY, and waits for the calls in flight as long as
/// the limits say. Returns whether all of them ended by themselves. With an acceptor, connections are by TLS and by nothing else.
pub(crate) async fn serve<S, B>(
    listener: TcpListener,
    acceptor: Option<Acceptor>,
    service: S,
    queue: Option<Arc<Queue>>,
    limits: Limits,
    draining: CancellationToken,
) -> bool
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    let options = limits.connection;
    let crowd = Crowd::new(options.max_connections.min(open_files().saturating_sub(OTHER_FILES).max(1)));
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            () = draining.cancelled() => break,
            _ = sweep.tick() => {
                crowd.sweep(options.idle_timeout, options.read_timeout);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, remote)) => {
                let Some(present) = crowd.enter(cut.child_token()) else {
                    meters::CONNECTIONS_REFUSED.count();
                    continue;
                };
                let peer = Arc::clone(&present.peer);
                let acceptor = acceptor.clone();
                let calls = Calls {
                    service: service.clone(),
                    from: from(&stream, remote),
                    certified: None,
                    peer,
                    queue: queue.clone(),
                };
                let connection = connection(stream, acceptor, calls, limits, draining.clone());
                connections.spawn(async move {
                    present.peer.cut.run_until_cancelled(connection).await;
                });
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
    acceptor: Option<Acceptor>,
    calls: Calls<S>,
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
    let Some(acceptor) = acceptor else { return speak(stream, calls, limits, &draining).await };
    // Here and not where connections are accepted: one peer's pace is not the others'. Nothing was said yet, so a drain ends it at once.
    let limit = limits.connection.header_timeout;
    let Some(Some(accepted)) = draining.run_until_cancelled(handshake::make(&acceptor, stream, limit)).await else {
        return;
    };
    speak(accepted.stream, Calls { certified: accepted.peer, ..calls }, limits, &draining).await;
}

async fn speak<T, S, B>(io: T, calls: Calls<S>, limits: Limits, draining: &CancellationToken)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let builder = builder(limits);
    let guard = Guard::new(io, limits.rates(), limits.connection.header_timeout);
    let peer = Arc::clone(&calls.peer);
    let connection = builder.serve_connection(TokioIo::new(Corked::new(guard)), calls);
    let mut connection = std::pin::pin!(connection);
    // Each connection has an age of its own within a tenth of the mean, or all that began together would end together.
    let age = limits.connection.connection_age.mul_f64(0.9 + 0.2 * rand::random::<f64>());
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = sleep_until(Instant::now() + age) => None,
        () = peer.leave.cancelled() => None,
        () = draining.cancelled() => None,
    };
    let ended = match ended {
        Some(ended) => Ok(ended),
        None => {
            connection.as_mut().graceful_shutdown();
            timeout(limits.connection.connection_grace, connection).await
        }
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection ended early"),
        Err(_) => tracing::debug!("a connection whose calls did not end was cut"),
    }
}

fn from(stream: &TcpStream, remote: SocketAddr) -> TcpConnectInfo {
    TcpConnectInfo { local_addr: stream.local_addr().ok(), remote_addr: Some(remote) }
}

/// The service as one connection sees it.
struct Calls<S> {
    service: S,
    from: TcpConnectInfo,
    certified: Option<Certified>,
    peer: Arc<Peer>,
    queue: Option<Arc<Queue>>,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Calls<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
{
    type Response = Response<Watched<B>>;
    type Error = Infallible;
    type Future = Counted<Oneshot<S, Request<Body>>>;

    /// As it is read off the connection. It begins when what comes of this is polled, in a task of its own.
    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.from.clone());
        if let Some(certified) = self.certified {
            request.extensions_mut().insert(certified);
        }
        let credential = request.headers().contains_key(http::header::AUTHORIZATION);
        let waiting = self.queue.as_ref().and_then(|queue| queue.comes(credential));
        if waiting.is_none() && self.queue.is_some() {
            request.extensions_mut().insert(TooMany);
        }
        // Anybody may watch the health for as long as they like: that makes no connection one that must stay.
        let call = match request.uri().path().starts_with("/grpc.") {
            false => Some(self.peer.call()),
            true => {
                self.peer.stirs();
                None
            }
        };
        let inner = self.service.clone().oneshot(request.map(Body::new));
        Counted { inner, waiting, call }
    }
}

pin_project! {
    struct Counted<F> {
        #[pin]
        inner: F,
        waiting: Option<Waiting>,
        call: Option<Call>,
    }
}

impl<F, B> Future for Counted<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = Result<Response<Watched<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(waiting) = this.waiting.take() {
            waiting.begins();
        }
        let response = ready!(this.inner.poll(cx))?;
        let call = this.call.take();
        Poll::Ready(Ok(response.map(|inner| Watched::new(inner, call))))
    }
}

/// How many files the process may have open: as many as it is let, for the usual limit of 1024 is for programs that use `select`.
fn open_files() -> usize {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    let raised = soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    usize::try_from(if raised { hard } else { soft }).unwrap_or(usize::MAX)
}

impl Limits {
    fn rates(&self) -> Rates {
        let ListenerOptions { max_control_frames, max_resets, max_streams, .. } = self.connection;
        Rates { control: max_control_frames, resets: max_resets, max_streams }
    }
}

fn builder(limits: Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    if !limits.http1 {
        builder = builder.http2_only();
    }
    let options = limits.connection;
    let connection_window = options.max_streams.saturating_mul(STREAM_WINDOW_BYTES).min(i32::MAX as u32);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(options.header_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.max_streams)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(connection_window)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_header_list_size(options.max_header_bytes)
        // As many as may be open: the gateway's connection to a service carries the calls of many callers, and one of them who gives
        // up many calls at once must not cost the others theirs.
        .max_pending_accept_reset_streams(Some(options.max_streams as usize))
        .max_local_error_reset_streams(MAX_LOCAL_RESETS)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    builder
}
