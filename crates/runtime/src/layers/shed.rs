//! At the limit of calls in flight the next one is refused at once, with the time to come again. A queue would only make
//! every caller late.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;
use tower::{Layer, Service};

use crate::answer::{Wire, answer};
use crate::refusal::Refusal;

/// Told to a shed caller. It is spread between one and two of these, or all would return at the same moment.
const COME_AGAIN: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub struct ShedLayer {
    places: Arc<Semaphore>,
}

/// A call holds its place until its response begins: streams that wait for news hold none.
pub fn shed(max_in_flight: usize) -> ShedLayer {
    ShedLayer { places: Arc::new(Semaphore::new(max_in_flight.min(Semaphore::MAX_PERMITS))) }
}

impl<S> Layer<S> for ShedLayer {
    type Service = ShedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ShedService { inner, places: Arc::clone(&self.places) }
    }
}

#[derive(Clone)]
pub struct ShedService<S> {
    inner: S,
    places: Arc<Semaphore>,
}

impl<S, A> Service<Request<A>> for ShedService<S>
where
    S: Service<Request<A>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ShedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => ShedFuture { inner: Some(self.inner.call(request)), place: Some(place), wire: Wire::Grpc },
            Err(_) => ShedFuture { inner: None, place: None, wire: Wire::of(request.headers()) },
        }
    }
}

pin_project! {
    pub struct ShedFuture<F> {
        #[pin]
        inner: Option<F>,
        place: Option<OwnedSemaphorePermit>,
        wire: Wire,
    }
}

impl<F, E> Future for ShedFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else {
            meters::SHED.count();
            let retry_after = COME_AGAIN.mul_f64(1.0 + rand::random::<f64>());
            return Poll::Ready(Ok(answer(Refusal::overloaded(retry_after).into(), *this.wire)));
        };
        let result = ready!(inner.poll(cx));
        this.place.take();
        Poll::Ready(result)
    }
}
