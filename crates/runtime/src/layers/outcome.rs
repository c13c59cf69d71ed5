//! How a call ended, for the layers that record it: the gRPC status may stand in the response head, in the trailers, or
//! nowhere at all when the caller goes away. One future and one body watch for all three.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::{Code, Status};

/// Told once, when the call is over.
pub trait Outcome: Send + Unpin + 'static {
    fn ended(&self, code: Code);

    /// Runs a poll of the call; a tracing layer enters its span around it.
    fn scope<R>(&self, poll: impl FnOnce() -> R) -> R {
        poll()
    }
}

/// Tells the outcome CANCELLED when it is dropped before it was told anything else.
pub(crate) struct Pending<O: Outcome>(Option<O>);

impl<O: Outcome> Pending<O> {
    pub(crate) fn new(outcome: O) -> Self {
        Self(Some(outcome))
    }

    fn end(&mut self, code: Code) {
        if let Some(outcome) = self.0.take() {
            outcome.ended(code);
        }
    }

    fn scope<R>(&self, poll: impl FnOnce() -> R) -> R {
        match &self.0 {
            Some(outcome) => outcome.scope(poll),
            None => poll(),
        }
    }
}

impl<O: Outcome> Drop for Pending<O> {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

pin_project! {
    pub struct OutcomeFuture<F, O: Outcome> {
        #[pin]
        inner: Option<F>,
        pending: Option<Pending<O>>,
    }

    impl<F, O: Outcome> PinnedDrop for OutcomeFuture<F, O> {
        /// What its caller gave up goes on elsewhere, or is dropped, as the call that it is.
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Some(pending) = this.pending.as_ref() {
                pending.scope(|| this.inner.set(None));
            }
        }
    }
}

impl<F, O: Outcome> OutcomeFuture<F, O> {
    pub(crate) fn new(inner: F, outcome: O) -> Self {
        Self { inner: Some(inner), pending: Some(Pending::new(outcome)) }
    }
}

impl<F, B, E, O> Future for OutcomeFuture<F, O>
where
    F: Future<Output = Result<Response<B>, E>>,
    O: Outcome,
{
    type Output = Result<Response<OutcomeBody<B, O>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // Both are there until it has answered.
        let (Some(inner), Some(pending)) = (this.inner.as_pin_mut(), this.pending.as_ref()) else {
            return Poll::Pending;
        };
        let result = ready!(pending.scope(|| inner.poll(cx)));
        let mut pending = this.pending.take().unwrap_or(Pending(None));
        match result {
            Ok(response) => Poll::Ready(Ok(watched(response, pending))),
            Err(error) => {
                pending.end(Code::Unknown);
                Poll::Ready(Err(error))
            }
        }
    }
}

fn watched<B, O: Outcome>(response: Response<B>, mut pending: Pending<O>) -> Response<OutcomeBody<B, O>> {
    let head = code_in_head(&response);
    // A status in the head of a gRPC response means that no trailers follow.
    let at_end = match head {
        Head::Status(code) => {
            pending.end(code);
            code
        }
        Head::Http(code) => code,
        Head::TrailersFollow => Code::Unknown,
    };
    response.map(|inner| OutcomeBody { inner, pending, at_end })
}

/// Has the outcome told of what becomes of an answer whose head is there.
pub(crate) fn watch<O: Outcome>(response: Response<tonic::body::Body>, outcome: O) -> Response<tonic::body::Body> {
    watched(response, Pending::new(outcome)).map(tonic::body::Body::new)
}

enum Head {
    Status(Code),
    TrailersFollow,
    /// Not a gRPC response: the gateway's JSON. The HTTP status is all there is.
    Http(Code),
}

fn code_in_head<B>(response: &Response<B>) -> Head {
    if let Some(code) = code_in(response.headers()) {
        return Head::Status(code);
    }
    let content_type = response.headers().get(http::header::CONTENT_TYPE);
    if content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
        return Head::TrailersFollow;
    }
    Head::Http(match response.status().as_u16() {
        200..=399 => Code::Ok,
        400 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        409 => Code::Aborted,
        429 => Code::ResourceExhausted,
        499 => Code::Cancelled,
        500 => Code::Internal,
        501 => Code::Unimplemented,
        503 => Code::Unavailable,
        504 => Code::DeadlineExceeded,
        _ => Code::Unknown,
    })
}

pub(crate) fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes()))
}

pub struct OutcomeBody<B, O: Outcome> {
    inner: B,
    pending: Pending<O>,
    /// The code if the body ends without trailers.
    at_end: Code,
}

impl<B, O> Body for OutcomeBody<B, O>
where
    B: Body + Unpin,
    O: Outcome,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        let frame = ready!(this.pending.scope(|| Pin::new(&mut this.inner).poll_frame(cx)));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.pending.end(code_in(trailers).unwrap_or(this.at_end));
                } else if this.inner.is_end_stream() {
                    // The server does not ask again after the last frame.
                    this.pending.end(this.at_end);
                }
            }
            Some(Err(_)) => this.pending.end(Code::Unknown),
            None => this.pending.end(this.at_end),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The names that semantic conventions give to status codes.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Whether semantic conventions count the code as the server's error, not the caller's.
pub(crate) fn is_server_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}
