//! At a public door, a call begins when its request has come.
//!
//! Whoever sends a request byte by byte, or only its beginning, would otherwise hold one of the places of the calls in flight, and a few
//! connections could hold them all. So a request that is one message is waited for outside, for a while, whether its answer streams or not; a
//! large one until its first 64 KiB have come, and it is passed on from there as it comes. Requests that stream have no end to wait for.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::answer::{Wire, answer};
use crate::call::CallContext;
use crate::refusal::Refusal;

/// A request on its way is here by then.
const SOON: Duration = Duration::from_millis(200);
/// How many later ones are waited for at once, with up to 64 KiB each.
const LATE: usize = 1024;
const COME_AGAIN: Duration = Duration::from_millis(500);

#[derive(Clone)]
pub struct ArriveLayer {
    limit: Option<Duration>,
    late: Arc<Semaphore>,
}

/// With no limit, requests are not waited for.
pub fn arrive(limit: Option<Duration>) -> ArriveLayer {
    ArriveLayer { limit, late: Arc::new(Semaphore::new(LATE)) }
}

impl<S> Layer<S> for ArriveLayer {
    type Service = ArriveService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ArriveService { inner, waiting: self.clone() }
    }
}

#[derive(Clone)]
pub struct ArriveService<S> {
    inner: S,
    waiting: ArriveLayer,
}

impl<S> Service<Request<Body>> for ArriveService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ArriveFuture<S::Future, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = request.extensions().get::<CallContext>().and_then(CallContext::method);
        let Some(limit) = self.waiting.limit.filter(|_| !method.is_some_and(|method| method.takes_stream())) else {
            return ArriveFuture::Through { call: self.inner.call(request) };
        };
        // The service that was asked whether it is ready takes the call.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let late = Arc::clone(&self.waiting.late);
        ArriveFuture::Arriving {
            call: Box::pin(async move {
                let wire = Wire::of(request.headers());
                let (parts, body) = request.into_parts();
                match come(body, limit, &late).await {
                    Ok(body) => inner.call(Request::from_parts(parts, body)).await,
                    Err(refusal) => Ok(answer(refusal, wire)),
                }
            }),
        }
    }
}

async fn come(body: Body, limit: Duration, late: &Semaphore) -> Result<Body, tonic::Status> {
    let mut whole = pin!(channel::gathered(body));
    if let Ok(came) = timeout(SOON, whole.as_mut()).await {
        return came;
    }
    let retry_after = COME_AGAIN.mul_f64(1.0 + rand::random::<f64>());
    let _place = late.try_acquire().map_err(|_| Refusal::overloaded(retry_after))?;
    timeout(limit.saturating_sub(SOON), whole).await.unwrap_or_else(|_| {
        meters::LATE_REQUESTS.count();
        Err(Refusal::deadline_exceeded().into())
    })
}

pin_project! {
    #[project = ArriveProjection]
    pub enum ArriveFuture<F, E> {
        Through { #[pin] call: F },
        Arriving { call: BoxFuture<'static, Result<Response<Body>, E>> },
    }
}

impl<F, E> Future for ArriveFuture<F, E>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            ArriveProjection::Through { call } => call.poll(cx),
            ArriveProjection::Arriving { call } => call.as_mut().poll(cx),
        }
    }
}
