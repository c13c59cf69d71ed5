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

use super::{AskedHost, ClientAddress, Edge, Route, address::client_address, headers};
use crate::json;

/// A path and query longer than this are refused.
const MAX_PATH_BYTES: usize = 8 * 1024;
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
        let address = client_address(request.headers(), request.extensions(), &self.edge.trusted_proxies);
        request.extensions_mut().insert(address);
        if request.uri().path_and_query().is_some_and(|path| path.as_str().len() > MAX_PATH_BYTES) {
            return Box::pin(ready(Ok(refused(StatusCode::URI_TOO_LONG, "the path and query are too long"))));
        }
        if Wire::of(request.headers()) == Wire::Http {
            return self.plain(request);
        }
        if let Some(refused) = not_grpc(&request) {
            return Box::pin(ready(Ok(refused)));
        }
        let (method, route, presented) = match self.edge.admit(&request, address) {
            Ok(admitted) => admitted,
            Err(status) => return Box::pin(ready(Ok(status.into_http()))),
        };
        let mut onward = Onward { service: self.clone(), method, route, address };
        request.extensions_mut().insert(presented);
        match request.extensions_mut().remove::<json::Call>() {
            None => onward.call(request),
            Some(call) => Box::pin(async move {
                match call.read(request).await {
                    Ok(request) => onward.call(request).await,
                    Err(status) => Ok(status.into_http()),
                }
            }),
        }
    }
}

/// Where an admitted call goes.
struct Onward {
    service: EdgeService,
    method: &'static api::Method,
    route: Route,
    address: ClientAddress,
}

impl Onward {
    fn call(&mut self, mut request: Request<Body>) -> BoxFuture<'static, Result<Response<Body>, Infallible>> {
        match self.route {
            Route::Backend(backend) => {
                Box::pin(self.service.edge.forward.call(backend, self.method, request, self.address))
            }
            Route::Own | Route::Nobody => {
                if let Some(host) = host(&request) {
                    request.extensions_mut().insert(AskedHost(host));
                }
                *request.headers_mut() = headers::for_ourselves(std::mem::take(request.headers_mut()));
                Box::pin(self.service.own.call(request))
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
        // It has the path of a method and is no call of it.
        if let Some(unroutable) = request.extensions().get::<json::Unroutable>() {
            return Box::pin(ready(Ok(unroutable.answer())));
        }
        let mut http = self.edge.http.clone();
        Box::pin(async move { http.call(request).await.map(|response| response.map(Body::new)) })
    }
}

/// Without its port.
fn host(request: &Request<Body>) -> Option<String> {
    let header = || request.headers().get(header::HOST)?.to_str().ok()?.parse().ok();
    let authority: http::uri::Authority = request.uri().authority().cloned().or_else(header)?;
    Some(authority.host().to_owned())
}

fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// What calls itself gRPC must be it: a POST over HTTP/2. gRPC-Web, which begins with the same letters, has become gRPC before it comes here.
fn not_grpc(request: &Request<Body>) -> Option<Response<Body>> {
    let content_type = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let subtype = content_type.strip_prefix(b"application/grpc").unwrap_or_default();
    if !matches!(subtype.first(), None | Some(b'+' | b';' | b' ')) {
        return Some(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the content type is none of gRPC or gRPC-Web"));
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
