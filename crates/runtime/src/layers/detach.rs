//! A call once begun runs to its end, whether or not its caller still waits.
//!
//! A client that disconnects drops its call's future at whatever await it stands. In the middle of a transaction that leaves a
//! connection nobody answers for, and between the steps of a write that spans services it leaves half of it. So the call runs in a
//! task of its own; what is dropped is only the waiting for it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::task::JoinHandle;
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::Instrument as _;

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
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = DetachFuture<S::Future, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let call = self.inner.call(request);
        if self.detach {
            DetachFuture::Task { task: tokio::spawn(call.in_current_span()) }
        } else {
            DetachFuture::Here { call }
        }
    }
}

pin_project! {
    #[project = DetachProjection]
    pub enum DetachFuture<F, E> {
        Here { #[pin] call: F },
        Task { #[pin] task: JoinHandle<Result<Response<Body>, E>> },
    }
}

impl<F, E> Future for DetachFuture<F, E>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            DetachProjection::Here { call } => call.poll(cx),
            DetachProjection::Task { task } => match ready!(task.poll(cx)) {
                Ok(result) => Poll::Ready(result),
                // The panic goes on here, to the layer that answers it.
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // Only a runtime that is shutting down cancels the task, and then nobody is served any more.
                    Err(_) => Poll::Pending,
                },
            },
        }
    }
}
