//! A response body that always ends with a status.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tonic::body::Body;

use crate::refusal::Refusal;

/// Ends in INTERNAL when the handler's stream panics. A stream, which may go on for days, ends in UNAVAILABLE when the
/// server drains, so that its caller opens it anew at another replica and the shutdown need not wait for it.
pub struct GuardedBody {
    inner: Option<Body>,
    draining: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl GuardedBody {
    pub(crate) fn new(inner: Body, draining: Option<CancellationToken>) -> Self {
        let draining = draining.map(|token| Box::pin(token.cancelled_owned()));
        Self { inner: Some(inner), draining }
    }

    fn end_with(&mut self, refusal: Refusal) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.inner = None;
        let mut trailers = HeaderMap::new();
        let written = Status::from(refusal).add_header(&mut trailers);
        Poll::Ready(Some(written.map(|()| Frame::trailers(trailers))))
    }
}

impl http_body::Body for GuardedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        match catch_unwind(AssertUnwindSafe(|| Pin::new(inner).poll_frame(cx))) {
            Err(_) => {
                meters::PANICS.count();
                this.end_with(Refusal::fault())
            }
            // What is ready is sent first: draining cuts only a stream that waits.
            Ok(Poll::Pending) => {
                let Some(draining) = &mut this.draining else { return Poll::Pending };
                ready!(draining.as_mut().poll(cx));
                this.end_with(Refusal::unavailable("this replica, which is shutting down,"))
            }
            Ok(ready) => ready,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(|inner| inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), |inner| inner.size_hint())
    }
}
