//! One HTTP/2 connection to one address, made anew whenever it is lost.

use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use tonic::body::Body;

use crate::Options;
use crate::address::{AddressError, Target};
use crate::cork::Corked;
use crate::fleet::{Endpoint, Fleet};
use crate::health::now;
use crate::wire::Wire;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// While a call waits for it, a connection is tried again this soon.
const SOON: Duration = Duration::from_millis(20);
/// What ends sooner was none: the next is not tried at once.
const SETTLED: Duration = Duration::from_secs(1);
/// What an answer may be ahead of its reader. As many streams as a server allows by default fill the connection's window only all
/// together: a reader who stops holds up nobody else's answers.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 4096 * STREAM_WINDOW_BYTES;
const SEND_BUFFER_BYTES: usize = 64 * 1024;

#[derive(Clone)]
pub(crate) struct Dial {
    connect_timeout: Duration,
    http2: Builder<TokioExecutor>,
    tls: Option<tls::Client>,
}

/// The connection, and the word that it takes no more calls.
type Connected = (SendRequest<Body>, oneshot::Receiver<()>);

#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("it took too long")]
    TimedOut,
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error("it was closed before the server said a word")]
    Closed,
}

impl Dial {
    pub fn new(targets: &[Target], options: &Options) -> Result<Self, AddressError> {
        let secure = targets.iter().any(|target| target.origin.scheme == http::uri::Scheme::HTTPS);
        let tls = match (&options.mutual_tls, secure) {
            (Some(mutual), true) => Some(mutual.client()),
            (Some(_), false) => return Err(AddressError::Plaintext),
            (None, true) => Some(tls::Client::of_machine().map_err(AddressError::Tls)?),
            (None, false) => None,
        };
        let mut http2 = Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .keep_alive_interval(options.keepalive_interval)
            .keep_alive_timeout(options.keepalive_timeout)
            .keep_alive_while_idle(true);
        Ok(Self { connect_timeout: options.connect_timeout, http2, tls })
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Connected, ConnectError> {
        let connected = async {
            let stream = TcpStream::connect(endpoint.address).await?;
            // Without it small requests wait for the peer's acknowledgement.
            stream.set_nodelay(true)?;
            match &self.tls {
                None => self.handshake(stream).await,
                Some(tls) => {
                    let host = endpoint.origin.host.trim_matches(['[', ']']);
                    self.handshake(tls.connect(host, stream).await?).await
                }
            }
        };
        timeout(self.connect_timeout, connected).await.map_err(|_| ConnectError::TimedOut)?
    }

    async fn handshake<T>(&self, io: T) -> Result<Connected, ConnectError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (wire, heard) = Wire::new(io);
        let (sender, connection) = self.http2.handshake(TokioIo::new(Corked::new(wire))).await?;
        let (open, mut ended) = oneshot::channel::<()>();
        let connection = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %chain(&error), "a connection to a service ended early");
            }
            drop(open);
        });
        let connection = AbortOnDrop(Some(connection));
        // An accepted connection proves nothing: the kernel accepts for a process that stands still, or ends. Its first word does.
        tokio::select! {
            first = heard => first.map_err(|_| ConnectError::Closed)?,
            _ = &mut ended => return Err(ConnectError::Closed),
        }
        connection.keep();
        Ok((sender, ended))
    }
}

struct AbortOnDrop(Option<tokio::task::JoinHandle<()>>);

impl AbortOnDrop {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Keeps the endpoint connected, from the first call on, until it is dropped.
pub(crate) async fn keep(endpoint: Arc<Endpoint>, fleet: Arc<Fleet>, dial: Dial) {
    fleet.wanted().await;
    let mut failures = 0;
    loop {
        let (began, clock) = (now(), Instant::now());
        let connected = dial.connect(&endpoint).await;
        let answered = connected.is_ok();
        match connected {
            Ok((sender, ended)) => {
                fleet.connected(&endpoint, sender);
                let _ = ended.await;
                fleet.disconnected(&endpoint);
            }
            Err(error) => {
                let (address, error) = (endpoint.address, chain(&error));
                match failures {
                    0 => tracing::info!(%address, error, "a service cannot be reached at an address"),
                    _ => tracing::debug!(%address, error, "a service cannot be reached at an address"),
                }
                fleet.failed(&endpoint, began);
            }
        }
        // What names the replicas may say more by now.
        fleet.look_again();
        if answered && clock.elapsed() > SETTLED {
            failures = 0;
            continue;
        }
        let pause = (FIRST_PAUSE * 2u32.pow(failures)).min(LONGEST_PAUSE).mul_f64(0.75 + 0.5 * rand::random::<f64>());
        failures = (failures + 1).min(10);
        tokio::select! {
            () = sleep(pause) => {}
            () = async { endpoint.wake.notified().await; sleep(SOON).await } => {}
        }
    }
}

/// An error with its sources.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
