//! Calls as bytes: every header is the attack's own, and everything that comes back is kept.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use tonic::{
    Code, Status,
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::{Service as _, ServiceExt as _};

/// A busy machine makes a call wait for long.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a stream that was let in says in this time is answer enough.
const LISTENED: Duration = Duration::from_millis(300);
/// Of what every answer has in it and no two share.
const OF_THE_MOMENT: [&str; 4] = ["date", "x-request-id", "traceparent", "tracestate"];

/// Headers by name, in the order in which they are sent.
pub type Headers = Vec<(&'static str, String)>;

/// Where a call is made.
#[derive(Clone, Debug)]
pub struct Door {
    pub name: &'static str,
    address: SocketAddr,
    channel: Channel,
}

/// All that came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub code: Code,
    pub message: String,
    pub details: Vec<u8>,
    /// Names and values of headers and trailers, but for the status and what is of the moment.
    pub headers: Vec<(String, Vec<u8>)>,
    pub messages: Vec<Bytes>,
    /// False of a stream that was let in and goes on.
    pub ended: bool,
}

impl Door {
    pub fn new(name: &'static str, address: SocketAddr) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        Self { name, address, channel: endpoint.connect_lazy() }
    }

    /// One message to the method at `path`.
    pub async fn call(&self, path: &str, headers: &[(&'static str, String)], message: &[u8]) -> Answer {
        self.timed(path, headers, message, false).await.0
    }

    /// The same of a method that may answer for ever.
    pub async fn listen(&self, path: &str, headers: &[(&'static str, String)], message: &[u8]) -> Answer {
        self.timed(path, headers, message, true).await.0
    }

    /// One message that says of itself that it is compressed.
    pub async fn packed(&self, path: &str, headers: &[(&'static str, String)], message: &[u8]) -> Answer {
        self.send(path, headers, frame(1, message), false).await.0
    }

    /// The answer, and how long it took to its last byte.
    pub async fn timed(
        &self,
        path: &str,
        headers: &[(&'static str, String)],
        message: &[u8],
        endless: bool,
    ) -> (Answer, Duration) {
        self.send(path, headers, frame(0, message), endless).await
    }

    async fn send(
        &self,
        path: &str,
        headers: &[(&'static str, String)],
        frame: Bytes,
        endless: bool,
    ) -> (Answer, Duration) {
        let mut request = Request::post(format!("http://{}{path}", self.address));
        let given = |name: &str| headers.iter().any(|(given, _)| *given == name);
        for (name, value) in
            [("content-type", "application/grpc"), ("te", "trailers")].into_iter().filter(|(name, _)| !given(name))
        {
            request = request.header(name, value);
        }
        for (name, value) in headers {
            request = request.header(*name, value.as_bytes());
        }
        let request = request.body(Body::new(http_body_util::Full::new(frame))).unwrap();
        let begun = Instant::now();
        let exchange = async {
            let mut channel = self.channel.clone();
            let answer = channel.ready().await?.call(request).await?;
            let (head, mut body) = answer.into_parts();
            let (mut bytes, mut trailers, mut ended) = (BytesMut::new(), HeaderMap::new(), true);
            loop {
                let patience = if endless { LISTENED } else { PATIENCE };
                match tokio::time::timeout(patience, body.frame()).await {
                    Ok(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) => bytes.put(data),
                        Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
                    },
                    Ok(Some(Err(_)) | None) => break,
                    Err(_) => {
                        ended = false;
                        break;
                    }
                }
            }
            Ok::<_, tonic::transport::Error>(Answer::new(head.status, &head.headers, &trailers, bytes.freeze(), ended))
        };
        match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(Ok(answer)) => (answer, begun.elapsed()),
            // What HTTP/2 itself does not let pass.
            Ok(Err(error)) if format!("{error:?}").contains("Reset(") => (Answer::reset(), begun.elapsed()),
            Ok(Err(error)) => panic!("{path} at {}: {error:?}", self.name),
            Err(_) => panic!("{path} at {} was not answered within {} s", self.name, PATIENCE.as_secs()),
        }
    }
}

impl Answer {
    fn reset() -> Self {
        let message = "the stream was reset".to_owned();
        let (details, headers, messages) = (Vec::new(), Vec::new(), Vec::new());
        Self { code: Code::Unknown, message, details, headers, messages, ended: true }
    }

    fn new(http: http::StatusCode, head: &HeaderMap, trailers: &HeaderMap, mut body: Bytes, ended: bool) -> Self {
        let status = Status::from_header_map(trailers).or_else(|| Status::from_header_map(head));
        let status = status.unwrap_or_else(|| match ended {
            false => Status::ok(""),
            true => Status::unknown(format!("HTTP {http} and no status")),
        });
        let mut messages = Vec::new();
        while body.len() >= 5 {
            body.advance(1);
            let length = body.get_u32() as usize;
            messages.push(body.split_to(length.min(body.len())));
        }
        let told = |name: &str| !OF_THE_MOMENT.contains(&name) && !name.starts_with("grpc-");
        let headers =
            head.iter().chain(trailers).map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
        Self {
            code: status.code(),
            message: status.message().to_owned(),
            details: status.details().to_vec(),
            headers: headers.filter(|(name, _)| told(name)).collect(),
            messages,
            ended,
        }
    }

    /// Whether any of it holds this text, plainly or as base64 spells it.
    pub fn holds(&self, text: &str) -> bool {
        let packed =
            |value: &[u8]| [STANDARD.decode(value), STANDARD_NO_PAD.decode(value)].into_iter().flatten().next();
        find(self.message.as_bytes(), text)
            || find(&self.details, text)
            || self.messages.iter().any(|message| find(message, text))
            || self.headers.iter().any(|(name, value)| {
                name.contains(text) || find(value, text) || packed(value).is_some_and(|plain| find(&plain, text))
            })
    }
}

/// A message as it travels. The flag says whether it is compressed.
fn frame(flag: u8, message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(flag);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(message);
    frame.freeze()
}

/// By what the standard library has compiled with all its wits: this is most of what a test does.
fn find(bytes: &[u8], sought: &str) -> bool {
    String::from_utf8_lossy(bytes).contains(sought)
}

/// The one header that says who calls.
pub fn bearer(token: &str) -> Headers {
    vec![("authorization", format!("Bearer {token}"))]
}
