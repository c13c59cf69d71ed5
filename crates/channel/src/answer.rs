//! The body of an answer, with the place that its call holds until it has ended.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tonic::Status;

use crate::call::Place;
use crate::fleet::{Endpoint, Fleet};
use crate::health::now;

/// Who gives up sooner says nothing about the replica.
const SILENCE: Duration = Duration::from_millis(500);

/// One attempt at one replica.
pub(crate) struct Ticket {
    endpoint: Arc<Endpoint>,
    fleet: Arc<Fleet>,
    began: u64,
    settled: bool,
}

impl Ticket {
    pub fn new(endpoint: Arc<Endpoint>, fleet: Arc<Fleet>) -> Self {
        endpoint.open.fetch_add(1, Relaxed);
        Self { endpoint, fleet, began: now(), settled: false }
    }

    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    pub fn answered(&mut self) {
        self.settled = true;
        self.endpoint.answered.store(now(), Relaxed);
        self.endpoint.health.answered();
    }

    pub fn failed(&mut self) {
        self.settled = true;
        if self.endpoint.health.failed() {
            self.fleet.eject(&self.endpoint);
        }
    }

    /// It came to nothing that says anything about the replica.
    pub fn void(mut self) {
        self.settled = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.endpoint.open.fetch_sub(1, Relaxed);
        // Given up. A method may be slow; a replica that has answered nobody since is more than that.
        let waited = now().saturating_sub(self.began);
        if !self.settled
            && u128::from(waited) >= SILENCE.as_micros()
            && self.endpoint.answered.load(Relaxed) < self.began
        {
            self.failed();
        }
    }
}

/// A stream that breaks off ends with a status, as every gRPC answer must.
pub(crate) struct Answer {
    inner: Option<Incoming>,
    /// What the reader is told then; none where it speaks no gRPC.
    lost: Option<fn() -> Status>,
    _ticket: Ticket,
    _place: Place,
}

impl Answer {
    pub fn new(inner: Incoming, lost: Option<fn() -> Status>, ticket: Ticket, place: Place) -> Self {
        Self { inner: Some(inner), lost, _ticket: ticket, _place: place }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let error = match ready!(Pin::new(inner).poll_frame(cx)) {
            Some(Err(error)) => error,
            frame => return Poll::Ready(frame),
        };
        tracing::debug!(error = %crate::connect::chain(&error), "an answer broke off");
        self.inner = None;
        let Some(lost) = self.lost else { return Poll::Ready(Some(Err(error))) };
        let mut trailers = HeaderMap::new();
        Poll::Ready(match lost().add_header(&mut trailers) {
            Ok(()) => Some(Ok(Frame::trailers(trailers))),
            Err(_) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}
