//! A call once begun runs to its end, whether or not its caller still waits.
//!
//! A client that disconnects drops its call's future at whatever await it stands. In the middle of a transaction that leaves a
//! connection nobody answers for, and between the steps of a write that spans services it leaves half of it. So what is dropped before
//! its end goes on from where it stands, in a task of its own. Most calls are not dropped and need none.
//!
//! One that stands still, because whom it waits for is gone without a word, does not do so for ever, and with it what it holds, such as its
//! tenant's turn to write: after a time that no call needs it is let go where it stands. Where that may be, this process may also die.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

use crate::current::spawn_in_call;

/// From the moment that its caller has gone. Each of its statements is ended by the database within ten seconds, each onward call by its own
/// deadline.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
pub struct DetachLayer {
    detach: bool,
}

/// Off for a proxy: there a caller that goes away should take its call along.
pub fn detach(detach: bool) -> DetachLayer {
    DetachLayer { detach }
}

impl<S> Layer<S> for DetachLayer {
    type Service = DetachService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DetachService { inner, detach: self.detach }
    }
}

#[derive(Clone)]
pub struct DetachService<S> {
    inner: S,
    detach: bool,
}

impl<S, A> Service<Request<A>> for DetachService<S>
where
    S: Service<Request<A>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = DetachFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        DetachFuture { call: Some(Box::pin(self.inner.call(request))), detach: self.detach }
    }
}

pub struct DetachFuture<F: Future + Send + 'static> {
    /// None once it has ended. Boxed, so that it can go on elsewhere.
    call: Option<Pin<Box<F>>>,
    detach: bool,
}

impl<F: Future + Send + 'static> Future for DetachFuture<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Taken out while it is polled: what panics has ended, and the panic goes on to the layer that answers it.
        let Some(mut call) = self.call.take() else { return Poll::Pending };
        let polled = call.as_mut().poll(cx);
        if polled.is_pending() {
            self.call = Some(call);
        }
        polled
    }
}

impl<F: Future + Send + 'static> Drop for DetachFuture<F> {
    fn drop(&mut self) {
        if let Some(call) = self.call.take().filter(|_| self.detach) {
            spawn_in_call(async move {
                if tokio::time::timeout(ENDS_WITHIN, call).await.is_err() {
                    tracing::error!("a call that nobody waits for stands still, and is let go");
                }
            });
        }
    }
}
