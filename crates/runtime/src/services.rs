//! What a process serves, by method.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

use crate::answer::{Wire, answer};
use crate::call::CallContext;
use crate::contract::{Contract, Method};
use crate::refusal::Refusal;

type Answer = BoxFuture<'static, Result<Response<Body>, Infallible>>;
type Handler = Arc<dyn Fn(Request<Body>) -> Answer + Send + Sync>;

/// gRPC services by the place of each of their methods in the contract, which the layers have looked up already: no second router is
/// on the way of a call. Whatever none of them serves is no method here. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    handlers: Arc<[Option<Handler>]>,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

impl Services {
    pub(crate) fn new(contract: &Contract) -> Self {
        Self { handlers: vec![None; contract.len()].into() }
    }

    /// Serves the methods that the contract has of this service.
    pub(crate) fn add<S>(&mut self, contract: &Contract, service: S)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answer>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
    {
        // Generated services are always ready.
        let handler: Handler = Arc::new(move |request| service.clone().call(request));
        let handlers = self.handlers.iter().cloned().enumerate().map(|(index, already)| {
            let of_service = contract.methods_of(S::NAME).any(|method| method.index() == index);
            if of_service { Some(Arc::clone(&handler)) } else { already }
        });
        self.handlers = handlers.collect();
    }
}

impl Service<Request<Body>> for Services {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let index = request.extensions().get::<CallContext>().and_then(CallContext::method).map_or(0, Method::index);
        match self.handlers.get(index) {
            Some(Some(handler)) => handler(request),
            // Of the contract, but another process's; or of no contract at all.
            _ => Box::pin(ready(Ok(answer(Refusal::unknown_method().into(), Wire::of(request.headers()))))),
        }
    }
}
