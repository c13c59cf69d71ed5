//! Gives every call its id and its `CallContext`, and tells the caller the id; and whether asking again is of use.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use ::channel::PUSHBACK;
use http::{HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use tonic::Code;
use tower::{Layer, Service};

use crate::call::{CallContext, RequestId, TraceContext};
use crate::contract::Contract;
use crate::layers::code_in;

#[derive(Clone)]
pub struct RequestIdLayer {
    contract: Contract,
}

/// Answers carry `x-request-id`: the caller's own when it was well formed, else a new one.
pub fn request_id(contract: Contract) -> RequestIdLayer {
    RequestIdLayer { contract }
}

impl<S> Layer<S> for RequestIdLayer {
    type Service = RequestIdService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestIdService { inner, contract: self.contract.clone() }
    }
}

#[derive(Clone)]
pub struct RequestIdService<S> {
    inner: S,
    contract: Contract,
}

impl<S, A, B> Service<Request<A>> for RequestIdService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = RequestIdFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let request_id = RequestId::from_headers(request.headers()).unwrap_or_else(RequestId::generate);
        let header = request_id.header_value();
        let trace = TraceContext::from_headers(request.headers()).map_or_else(TraceContext::root, TraceContext::child);
        let method = Arc::clone(self.contract.method(request.uri().path()));
        let call = CallContext::new(request_id, trace, Some(method));
        let in_vain = Arc::clone(&call.call.in_vain);
        request.extensions_mut().insert(call);
        RequestIdFuture { inner: self.inner.call(request), header: Some(header), in_vain }
    }
}

pin_project! {
    pub struct RequestIdFuture<F> {
        #[pin]
        inner: F,
        header: Option<HeaderValue>,
        in_vain: Arc<AtomicBool>,
    }
}

impl<F, B, E> Future for RequestIdFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        if let Some(header) = this.header.take() {
            response.headers_mut().insert(RequestId::HEADER, header);
        }
        if this.in_vain.load(Ordering::Relaxed) && code_in(response.headers()) == Some(Code::Unavailable) {
            response.headers_mut().insert(PUSHBACK, HeaderValue::from_static("-1"));
        }
        Poll::Ready(Ok(response))
    }
}
