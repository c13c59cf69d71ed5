//! At the limit of calls in flight the next one is refused, with the time to come again. A queue would only make every caller late.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;
use tower::{Layer, Service};

use super::queue::Queue;
use super::refuse::Refusing;

#[derive(Clone)]
pub struct ShedLayer {
    places: Arc<Semaphore>,
    queue: Arc<Queue>,
}

/// A call holds its place until its response begins: streams that wait for news hold none.
pub fn shed(max_in_flight: usize, queue: Arc<Queue>) -> ShedLayer {
    ShedLayer { places: Arc::new(Semaphore::new(max_in_flight.min(Semaphore::MAX_PERMITS))), queue }
}

impl<S> Layer<S> for ShedLayer {
    type Service = ShedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ShedService { inner, places: Arc::clone(&self.places), queue: Arc::clone(&self.queue) }
    }
}

#[derive(Clone)]
pub struct ShedService<S> {
    inner: S,
    places: Arc<Semaphore>,
    queue: Arc<Queue>,
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
            Ok(place) => {
                let place = Some((place, Arc::clone(&self.queue)));
                ShedFuture::In { call: self.inner.call(request), place }
            }
            Err(_) => ShedFuture::Out { refusing: self.queue.refusals().refuse(&request) },
        }
    }
}

pin_project! {
    #[project = ShedProjection]
    pub enum ShedFuture<F> {
        In {
            #[pin]
            call: F,
            place: Option<(OwnedSemaphorePermit, Arc<Queue>)>,
        },
        Out {
            #[pin]
            refusing: Refusing,
        },
    }
}

impl<F, E> Future for ShedFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            ShedProjection::In { call, place } => {
                let result = ready!(call.poll(cx));
                if let Some((_, queue)) = place.take() {
                    queue.refusals().served();
                }
                Poll::Ready(result)
            }
            ShedProjection::Out { refusing } => refusing.poll(cx).map(Ok),
        }
    }
}
