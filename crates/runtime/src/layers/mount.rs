//! Health and reflection beside the guarded services.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures::future::{Either, Ready, ready};
use http::{Request, Response};
use tonic::body::Body;
use tonic::service::Routes;
use tower::Service;

use crate::answer::{Wire, answer};
use crate::call::CallContext;
use crate::refusal::Refusal;

/// Sends `/grpc.health.` and `/grpc.reflection.` to `open` and all else to `guarded`. A prefix is compared, no second
/// router: it is on the way of every call. A gRPC call of a method that the contract does not have ends here, since the
/// generated code would refuse it without a reason.
#[derive(Clone)]
pub struct Mount<G> {
    open: Routes,
    guarded: G,
}

type OpenFuture = <Routes as Service<Request<Body>>>::Future;

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
    type Future = Either<G::Future, Either<OpenFuture, Ready<Result<Self::Response, Infallible>>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Routes are always ready.
        self.guarded.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if path.starts_with("/grpc.health.") || path.starts_with("/grpc.reflection.") {
            return Either::Right(Either::Left(self.open.call(request)));
        }
        let method = request.extensions().get::<CallContext>().and_then(CallContext::method);
        if method.is_some_and(|method| method.index() == 0) && Wire::of(request.headers()) == Wire::Grpc {
            return Either::Right(Either::Right(ready(Ok(answer(Refusal::unknown_method().into(), Wire::Grpc)))));
        }
        Either::Left(self.guarded.call(request))
    }
}
