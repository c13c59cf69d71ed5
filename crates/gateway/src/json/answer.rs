//! From the gRPC answer to JSON: a message, a stream of lines, or a refusal.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use api::access::v1::ErrorReason;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt as _, Full};
use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
use runtime::Wire;
use serde_json::json;
use tonic::{Code, Status, body::Body};
use tonic_types::StatusExt as _;

use super::{call::Unroutable, frames::Frames, lines::Fault};
use crate::refusal;

/// Fields that are always there stand there also when they are empty: a list that is none is `[]`, which programs go through without
/// asking whether it is there.
const JSON: SerializeOptions = SerializeOptions::new().skip_default_fields(false);

/// How the answer to a call is to look.
#[derive(Debug)]
pub struct Form {
    pub stream: bool,
    /// The verb was HEAD: as for GET, without the body.
    pub head: bool,
    pub output: MessageDescriptor,
    pub fault: Fault,
}

impl Form {
    pub async fn of<B>(self, answer: Response<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::error::Error + 'static,
    {
        let (parts, body) = answer.into_parts();
        let mut response = self.response(&parts.headers, body).await;
        let headers = response.headers_mut();
        // Answers hold tokens and what one caller alone may see.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(id) = parts.headers.get(runtime::RequestId::HEADER) {
            headers.insert(runtime::RequestId::HEADER, id.clone());
        }
        response
    }

    async fn response<B>(self, head: &HeaderMap, mut body: B) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::error::Error + 'static,
    {
        if let Some(status) = refusal_in(head, &self.fault) {
            return refused(&status);
        }
        if self.stream {
            let lines = if self.head { Body::empty() } else { Body::new(self.lines(body)) };
            return with_type(lines, "application/x-ndjson");
        }
        let mut frames = Frames::default();
        let mut status = None;
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => match frame.into_data() {
                    Ok(data) => frames.add(data),
                    Err(frame) => status = frame.trailers_ref().map(|trailers| refusal_in(trailers, &self.fault)),
                },
                Err(error) => {
                    status = Some(Some(runtime::internal(&error)));
                    break;
                }
            }
        }
        let text = match (status, frames.next()) {
            (Some(None), Ok(Some(message))) if frames.is_empty() => text(&self.output, message),
            (Some(Some(status)), _) => Err(status),
            _ => Err(refusal::incomplete("the answer of a service")),
        };
        match text {
            Ok(_) if self.head => with_type(Body::empty(), "application/json"),
            Ok(text) => with_type(Body::new(Full::<Bytes>::from(text)), "application/json"),
            Err(status) => refused(&status),
        }
    }

    fn lines<B>(self, inner: B) -> Lines<B> {
        Lines { inner: Some(inner), frames: Frames::default(), output: self.output, fault: self.fault }
    }
}

/// The refusal that headers or trailers tell of. None: OK, or no status in them. What was wrong with the caller's own request goes before
/// what became of the rest of it.
fn refusal_in(headers: &HeaderMap, fault: &Fault) -> Option<Status> {
    let status = Status::from_header_map(headers).filter(|status| status.code() != Code::Ok)?;
    Some(fault.get().cloned().unwrap_or(status))
}

fn text(output: &MessageDescriptor, message: Bytes) -> Result<Vec<u8>, Status> {
    let message = DynamicMessage::decode(output.clone(), message).map_err(|error| runtime::internal(&error))?;
    let mut text = Vec::with_capacity(256);
    let mut serializer = serde_json::Serializer::new(&mut text);
    message.serialize_with_options(&mut serializer, &JSON).map_err(|error| runtime::internal(&error))?;
    Ok(text)
}

fn with_type(body: Body, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A refusal as `google.rpc.Status`, with the HTTP status that fits.
pub fn refused(status: &Status) -> Response<Body> {
    let mut response = runtime::answer(status.clone(), Wire::Http);
    if refusal::reason(status) == Some(ErrorReason::MessageTooLarge) {
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    }
    let headers = response.headers_mut();
    if status.code() == Code::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(delay) = status.get_details_retry_info().and_then(|info| info.retry_delay) {
        // Whole seconds, rounded up: who comes a moment early is refused again.
        headers.insert(header::RETRY_AFTER, HeaderValue::from(delay.as_secs() + u64::from(delay.subsec_nanos() > 0)));
    }
    response
}

impl Unroutable {
    pub fn answer(&self) -> Response<Body> {
        let mut response = match self.refusal {
            Some((code, reason, message)) => refused(&runtime::Refusal::new(code, reason, message).into()),
            None => Response::new(Body::empty()),
        };
        *response.status_mut() = self.status;
        if let Some(allow) = &self.allow {
            response.headers_mut().insert(header::ALLOW, allow.clone());
        }
        response
    }
}

/// A stream of answers as JSON objects, one on a line: `{"result": ..}`, and where the stream fails a last `{"error": ..}`. A stream that
/// ends without one ended as it should.
struct Lines<B> {
    /// None: it has ended.
    inner: Option<B>,
    frames: Frames,
    output: MessageDescriptor,
    fault: Fault,
}

impl<B> Lines<B> {
    fn end_with(&mut self, status: &Status) -> Bytes {
        self.inner = None;
        let mut line = json!({"error": runtime::status_json(status)}).to_string().into_bytes();
        line.push(b'\n');
        line.into()
    }

    fn next(&mut self) -> Option<Bytes> {
        let line = match self.frames.next() {
            Ok(None) => return None,
            Ok(Some(message)) => text(&self.output, message),
            Err(error) => Err(runtime::internal(&error)),
        };
        match line {
            Ok(message) => Some([b"{\"result\":", message.as_slice(), b"}\n"].concat().into()),
            Err(status) => Some(self.end_with(&status)),
        }
    }
}

impl<B> HttpBody for Lines<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
            let frame = ready!(Pin::new(inner).poll_frame(context));
            let line = match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        this.frames.add(data);
                        let mut lines = Vec::new();
                        while let Some(line) = this.next() {
                            lines.extend_from_slice(&line);
                            if this.inner.is_none() {
                                break;
                            }
                        }
                        (!lines.is_empty()).then(|| lines.into())
                    }
                    Err(frame) => {
                        let refusal = frame.trailers_ref().and_then(|trailers| refusal_in(trailers, &this.fault));
                        this.inner = None;
                        refusal.map(|status| this.end_with(&status))
                    }
                },
                Some(Err(error)) => Some(this.end_with(&runtime::internal(&error))),
                // A gRPC answer ends in trailers.
                None => Some(this.end_with(&refusal::incomplete("the stream of a service"))),
            };
            if let Some(line) = line {
                return Poll::Ready(Some(Ok(Frame::data(line))));
            }
        }
    }
}
