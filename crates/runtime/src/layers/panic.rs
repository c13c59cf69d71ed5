//! A panic in a handler is an INTERNAL answer to its caller and nothing to anyone else: the connection and its other calls
//! live on. The panic hook writes the log line.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::{Layer, Service};

use super::guarded_body::GuardedBody;
use crate::answer::{Wire, answer};
use crate::call::CallContext;
use crate::refusal::Refusal;

#[derive(Clone)]
pub struct PanicLayer {
    draining: CancellationToken,
}

/// `draining`: once cancelled, response streams end (see `GuardedBody`).
pub fn panic(draining: CancellationToken) -> PanicLayer {
    PanicLayer { draining }
}

impl<S> Layer<S> for PanicLayer {
    type Service = PanicService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        PanicService { inner, draining: self.draining.clone() }
    }
}

#[derive(Clone)]
pub struct PanicService<S> {
    inner: S,
    draining: CancellationToken,
}

impl<S, A> Service<Request<A>> for PanicService<S>
where
    S: Service<Request<A>, Response = Response<Body>>,
{
    type Response = Response<GuardedBody>;
    type Error = S::Error;
    type Future = PanicFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let wire = Wire::of(request.headers());
        let call = request.extensions().get::<CallContext>();
        let streaming = call.and_then(CallContext::method).is_some_and(|method| method.is_streaming());
        let draining = streaming.then(|| self.draining.clone());
        // The state left behind by a panic is the one call's own: what is shared sits behind locks and atomics.
        let inner = catch_unwind(AssertUnwindSafe(|| self.inner.call(request))).ok();
        PanicFuture { inner, wire, draining }
    }
}

pin_project! {
    pub struct PanicFuture<F> {
        #[pin]
        inner: Option<F>,
        wire: Wire,
        draining: Option<CancellationToken>,
    }
}

impl<F, E> Future for PanicFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<GuardedBody>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let polled = match this.inner.as_mut().as_pin_mut() {
            Some(inner) => catch_unwind(AssertUnwindSafe(|| inner.poll(cx))).ok(),
            None => None,
        };
        let response = match polled {
            Some(poll) => ready!(poll)?,
            None => {
                meters::PANICS.count();
                answer(Refusal::fault().into(), *this.wire)
            }
        };
        let draining = this.draining.take();
        Poll::Ready(Ok(response.map(|body| GuardedBody::new(body, draining))))
    }
}
