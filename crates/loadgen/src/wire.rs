//! HTTP/2 as the load client speaks it: frames and flow control, no middleware, requests made beforehand. It has to cost less
//! than the servers that it measures, or it measures itself.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::Failure;

/// A message's prefix in gRPC: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// Answers of many kilobytes must not wait for window updates.
const WINDOW: u32 = 4 << 20;

/// A request as it will be sent, any number of times.
#[derive(Debug, Clone)]
pub struct Call {
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
    grpc: bool,
}

impl Call {
    /// `path` is `package.Service/Method`.
    pub fn grpc(address: SocketAddr, path: &str, token: Option<&str>, message: &impl Message) -> Result<Self, Failure> {
        let mut body = BytesMut::with_capacity(PREFIX + message.encoded_len());
        body.extend_from_slice(&[0]);
        body.extend_from_slice(&u32::try_from(message.encoded_len()).unwrap_or(u32::MAX).to_be_bytes());
        body.extend_from_slice(&message.encode_to_vec());
        let mut call = Self::new(address, path, "application/grpc", body.freeze())?;
        call.grpc = true;
        call.headers.insert(header::TE, HeaderValue::from_static("trailers"));
        if let Some(token) = token {
            let value = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|error| Failure::Unmeasurable(format!("a token is no header: {error}")))?;
            call.headers.insert(header::AUTHORIZATION, value);
        }
        Ok(call)
    }

    /// With one more header.
    pub fn with(mut self, name: &'static str, value: &str) -> Result<Self, Failure> {
        let value = HeaderValue::try_from(value)
            .map_err(|error| Failure::Unmeasurable(format!("{name}: not a header's value: {error}")))?;
        self.headers.insert(name, value);
        Ok(self)
    }

    /// A form, as OAuth 2 takes it. The values are ours and need no escaping.
    pub fn form(address: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Result<Self, Failure> {
        let body = fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        Self::new(address, path, "application/x-www-form-urlencoded", body.into())
    }

    fn new(address: SocketAddr, path: &str, content_type: &'static str, body: Bytes) -> Result<Self, Failure> {
        let uri = format!("http://{address}/{}", path.trim_start_matches('/'));
        let uri = Uri::try_from(uri).map_err(|error| Failure::Unmeasurable(format!("{path} is no path: {error}")))?;
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::USER_AGENT, HeaderValue::from_static("guildhall-loadgen"));
        Ok(Self { uri, headers, body, grpc: false })
    }

    pub fn path(&self) -> &str {
        self.uri.path()
    }

    fn request(&self) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    fn refused(&self, why: String) -> Failure {
        Failure::refused(self.path(), why)
    }
}

async fn connected(address: SocketAddr) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(address).await.map_err(Failure::system(format!("cannot connect to {address}")))?;
    stream.set_nodelay(true).map_err(Failure::system("cannot send without delay"))?;
    Ok(stream)
}

/// What went over a connection, in bytes.
#[derive(Debug, Default)]
pub struct Counts {
    pub sent: AtomicU64,
    pub received: AtomicU64,
}

struct Counted {
    stream: TcpStream,
    counts: Arc<Counts>,
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.counts.received.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(bytes)) = written {
            self.counts.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// One connection; clones share it.
#[derive(Debug, Clone)]
pub struct Connection {
    address: SocketAddr,
    send: SendRequest<Bytes>,
}

impl Connection {
    /// Its driver runs as a task of the calling runtime.
    pub async fn open(address: SocketAddr) -> Result<Self, Failure> {
        Self::over(address, connected(address).await?).await
    }

    /// One whose bytes are counted.
    pub async fn open_counted(address: SocketAddr) -> Result<(Self, Arc<Counts>), Failure> {
        let counts = Arc::<Counts>::default();
        let stream = Counted { stream: connected(address).await?, counts: Arc::clone(&counts) };
        Ok((Self::over(address, stream).await?, counts))
    }

    async fn over<S>(address: SocketAddr, stream: S) -> Result<Self, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (send, driver) = h2::client::Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .enable_push(false)
            .handshake(stream)
            .await
            .map_err(|source| Failure::Connection { address, source })?;
        tokio::spawn(driver);
        Ok(Self { address, send })
    }

    /// The answer's message, or body. Whatever is no success is a failure.
    pub async fn call(&self, call: &Call) -> Result<Bytes, Failure> {
        let broken = |source| Failure::Connection { address: self.address, source };
        let mut send = self.send.clone().ready().await.map_err(broken)?;
        let (response, mut stream) = send.send_request(call.request(), false).map_err(broken)?;
        stream.send_data(call.body.clone(), true).map_err(broken)?;
        let (parts, mut body) = response.await.map_err(broken)?.into_parts();
        let mut first = Bytes::new();
        let mut whole: Option<BytesMut> = None;
        while let Some(chunk) = body.data().await {
            let chunk = chunk.map_err(broken)?;
            let _ = body.flow_control().release_capacity(chunk.len());
            if first.is_empty() {
                first = chunk;
            } else {
                whole.get_or_insert_with(|| BytesMut::from(first.as_ref())).extend_from_slice(&chunk);
            }
        }
        let answer = whole.map_or(first, BytesMut::freeze);
        if !call.grpc {
            return if parts.status.is_success() {
                Ok(answer)
            } else {
                Err(call.refused(format!("{} {}", parts.status, String::from_utf8_lossy(&answer))))
            };
        }
        // An answer of headers alone has its status there.
        let trailers = body.trailers().await.map_err(broken)?.unwrap_or(parts.headers);
        if trailers.get("grpc-status").is_some_and(|code| code == "0") && answer.len() >= PREFIX {
            return Ok(answer.slice(PREFIX..));
        }
        match Status::from_header_map(&trailers) {
            Some(status) => {
                let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
                let why = format!("{:?}: {}", status.code(), status.message());
                Err(Failure::Refused { path: call.path().to_owned(), why, retry_after })
            }
            None => Err(call.refused(format!("HTTP {} without a status", parts.status))),
        }
    }

    /// The answer, read.
    pub async fn ask<M: Message + Default>(&self, call: &Call) -> Result<M, Failure> {
        let answer = self.call(call).await?;
        M::decode(answer).map_err(|error| Failure::Answer { path: call.path().to_owned(), why: error.to_string() })
    }
}
