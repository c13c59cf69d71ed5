//! Health and reflection beside the guarded services.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures::future::Either;
use http::{Request, Response};
use tonic::body::Body;
use tonic::service::{Routes, RoutesFuture};
use tower::Service;

/// Sends `/grpc.health.` and `/grpc.reflection.` to `open` and all else to `guarded`. A prefix is compared, no second
/// router: it is on the way of every call.
#[derive(Clone)]
pub(crate) struct Mount<G> {
    open: Routes,
    guarded: G,
}

impl<G> Mount<G> {
    pub(crate) fn new(open: Routes, guarded: G) -> Self {
        Self { open: open.prepare(), guarded }
    }
}

impl<G> Service<Request<Body>> for Mount<G>
where
    G: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<RoutesFuture, G::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Routes are always ready.
        self.guarded.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if path.starts_with("/grpc.health.") || path.starts_with("/grpc.reflection.") {
            Either::Left(self.open.call(request))
        } else {
            Either::Right(self.guarded.call(request))
        }
    }
}
