//! Every call ends in time: the smaller of the caller's `grpc-timeout` and our own maximum, answered DEADLINE_EXCEEDED.
//!
//! The time covers the handler until its response begins, which for a unary call is all of its work. A streaming method
//! has no maximum of ours, only the caller's.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::body::Body;
use tower::{Layer, Service};

use crate::answer::{Wire, answer};
use crate::call::CallContext;
use crate::refusal::Refusal;

#[derive(Clone, Copy)]
pub struct DeadlineLayer {
    max: Duration,
}

/// Sets `CallContext::deadline` and enforces it.
pub fn deadline(max: Duration) -> DeadlineLayer {
    DeadlineLayer { max }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService { inner, max: self.max }
    }
}

#[derive(Clone)]
pub struct DeadlineService<S> {
    inner: S,
    max: Duration,
}

impl<S, A> Service<Request<A>> for DeadlineService<S>
where
    S: Service<Request<A>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let wire = Wire::of(request.headers());
        let asked = ::channel::timeout::read(request.headers());
        let call = request.extensions_mut().get_mut::<CallContext>();
        let streaming = call.as_ref().and_then(|call| call.method()).is_some_and(|method| method.is_streaming());
        let limit = match asked {
            Some(asked) if streaming => Some(asked),
            None if streaming => None,
            asked => Some(asked.map_or(self.max, |asked| asked.min(self.max))),
        };
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        if let Some(call) = call {
            call.deadline = deadline;
        }
        DeadlineFuture { inner: self.inner.call(request), sleep: deadline.map(sleep_until), wire }
    }
}

pin_project! {
    pub struct DeadlineFuture<F> {
        #[pin]
        inner: F,
        #[pin]
        sleep: Option<Sleep>,
        wire: Wire,
    }
}

impl<F, E> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(result) = this.inner.poll(cx) {
            return Poll::Ready(result);
        }
        let Some(sleep) = this.sleep.as_pin_mut() else { return Poll::Pending };
        ready!(sleep.poll(cx));
        Poll::Ready(Ok(answer(Refusal::deadline_exceeded().into(), *this.wire)))
    }
}
