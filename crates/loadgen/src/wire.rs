//! HTTP/2 as the load client speaks it: frames and flow control, no middleware, requests made beforehand. It has to cost less
//! than the servers that it measures, or it measures itself.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use prost::Message;
use tokio::net::TcpStream;

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
        Failure::Refused { path: self.path().to_owned(), why }
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
        let stream =
            TcpStream::connect(address).await.map_err(Failure::system(format!("cannot connect to {address}")))?;
        stream.set_nodelay(true).map_err(Failure::system("cannot send without delay"))?;
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
        match trailers.get("grpc-status").map(HeaderValue::as_bytes) {
            Some(b"0") if answer.len() >= PREFIX => Ok(answer.slice(PREFIX..)),
            Some(code) => {
                let message = trailers.get("grpc-message").map(|message| String::from_utf8_lossy(message.as_bytes()));
                Err(call.refused(format!(
                    "status {}: {}",
                    String::from_utf8_lossy(code),
                    message.as_deref().unwrap_or_default()
                )))
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
