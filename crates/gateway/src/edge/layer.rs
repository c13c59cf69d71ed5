//! The edge as the layer around the gateway's own services.

use std::{
    convert::Infallible,
    future::ready,
    sync::Arc,
    task::{Context, Poll},
};

use api::access::v1::ErrorReason;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use runtime::{Refusal, Services, Wire, answer};
use tonic::{Code, body::Body};
use tower::{Layer, Service};

use super::{Edge, Route, address::client_address};

/// HTTP/1 requests with more than this in their headers are refused; HTTP/2 has its own limit at the listener.
const MAX_HEADER_BYTES: usize = 32 * 1024;

#[derive(Debug, Clone)]
pub struct EdgeLayer(Arc<Edge>);

impl EdgeLayer {
    pub fn new(mut edge: Edge) -> Self {
        // Prepared once, or each request would pay for it.
        edge.http = edge.http.with_state(());
        Self(Arc::new(edge))
    }
}

impl Layer<Services> for EdgeLayer {
    type Service = EdgeService;

    fn layer(&self, own: Services) -> EdgeService {
        EdgeService { edge: self.0.clone(), own }
    }
}

#[derive(Debug, Clone)]
pub struct EdgeService {
    edge: Arc<Edge>,
    own: Services,
}

impl Service<Request<Body>> for EdgeService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    /// Services are always ready, and so are channels.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let address = client_address(request.headers(), request.extensions(), self.edge.trusted_hops);
        request.extensions_mut().insert(address);
        if Wire::of(request.headers()) == Wire::Http {
            return self.plain(request);
        }
        if let Some(refused) = not_grpc(&request) {
            return Box::pin(ready(Ok(refused)));
        }
        match self.edge.admit(&request, address) {
            Err(status) => Box::pin(ready(Ok(status.into_http()))),
            Ok((_, Route::Own | Route::Nobody, presented)) => {
                request.extensions_mut().insert(presented);
                self.own.call(request)
            }
            Ok((method, Route::Backend(backend), _)) => {
                Box::pin(self.edge.forward.call(backend, method, request, address))
            }
        }
    }
}

impl EdgeService {
    /// It never comes as far as the gRPC services, whatever its path.
    fn plain(&self, request: Request<Body>) -> BoxFuture<'static, Result<Response<Body>, Infallible>> {
        if header_bytes(request.headers()) > MAX_HEADER_BYTES {
            return Box::pin(ready(Ok(refused(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "the headers are too large",
            ))));
        }
        let mut http = self.edge.http.clone();
        Box::pin(async move { http.call(request).await.map(|response| response.map(Body::new)) })
    }
}

fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// What calls itself gRPC must be it: a POST over HTTP/2. gRPC-Web begins with the same letters and is not spoken here yet.
fn not_grpc(request: &Request<Body>) -> Option<Response<Body>> {
    let content_type = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let subtype = content_type.strip_prefix(b"application/grpc").unwrap_or_default();
    if !matches!(subtype.first(), None | Some(b'+' | b';' | b' ')) {
        return Some(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "gRPC-Web is not served by this version"));
    }
    if request.version() != Version::HTTP_2 {
        return Some(refused(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "gRPC needs HTTP/2"));
    }
    (request.method() != Method::POST).then(|| refused(StatusCode::METHOD_NOT_ALLOWED, "gRPC needs POST"))
}

fn refused(http_status: StatusCode, message: &str) -> Response<Body> {
    let refusal = Refusal::new(Code::InvalidArgument, ErrorReason::InvalidFields, message);
    let mut response = answer(refusal.into(), Wire::Http);
    *response.status_mut() = http_status;
    response
}
