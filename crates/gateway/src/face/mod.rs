//! The forms in which a call may come besides gRPC: JSON over HTTP, and gRPC-Web. Both become gRPC here, outside of every layer, and their
//! answers are turned back here: what lies between is one way for all.

mod cors;

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version, header};
use http_body_util::Either;
use runtime::Wire;
use tonic::{Status, body::Body};
use tower::{Layer, Service, ServiceExt as _};
use tower_http::cors::CorsLayer;

use crate::json;

pub use cors::Origin;

/// Put around all other layers.
#[derive(Debug, Clone)]
pub struct FaceLayer {
    routes: Arc<json::Routes>,
    /// None: no page of another origin may read our answers.
    cors: Option<CorsLayer>,
}

impl FaceLayer {
    pub fn new(routes: Arc<json::Routes>, origins: &[Origin]) -> Self {
        Self { routes, cors: cors::layer(origins) }
    }
}

impl<S> Layer<S> for FaceLayer {
    type Service = Faces<S>;

    fn layer(&self, inner: S) -> Faces<S> {
        Faces { inner, face: self.clone() }
    }
}

#[derive(Debug, Clone)]
pub struct Faces<S> {
    inner: S,
    face: FaceLayer,
}

type Answer<B> = Response<Either<B, Body>>;

impl<S, B> Service<Request<Body>> for Faces<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes, Error = Status> + Send + Unpin + 'static,
{
    type Response = Answer<B>;
    type Error = Infallible;
    type Future = futures::future::Either<
        futures::future::MapOk<S::Future, fn(Response<B>) -> Answer<B>>,
        BoxFuture<'static, Result<Answer<B>, Infallible>>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        use futures::{FutureExt as _, TryFutureExt as _};
        let headers = request.headers();
        let cors = self.face.cors.as_ref().filter(|_| headers.contains_key(header::ORIGIN));
        let kind = Kind::of(&request);
        if kind == Kind::AsItIs && cors.is_none() {
            let left: fn(Response<B>) -> Answer<B> = |response| response.map(Either::Left);
            return self.inner.call(request).map_ok(left).left_future();
        }
        let inner = Behind { inner: self.inner.clone(), routes: self.face.routes.clone() };
        let answer = match cors {
            Some(cors) => cors::layered(cors, inner).oneshot(request).boxed(),
            None => inner.oneshot(request).boxed(),
        };
        answer.map_ok(|response| response.map(Either::Right)).boxed().right_future()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    GrpcWeb,
    /// gRPC, and plain HTTP that is no call.
    AsItIs,
}

impl Kind {
    fn of(request: &Request<Body>) -> Self {
        match Wire::of(request.headers()) {
            Wire::Grpc if is_grpc_web(request.headers()) => Self::GrpcWeb,
            Wire::Http if request.uri().path().starts_with("/v1/") => Self::Json,
            _ => Self::AsItIs,
        }
    }
}

fn is_grpc_web(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    value.starts_with(b"application/grpc-web")
}

/// What lies behind CORS.
#[derive(Clone)]
struct Behind<S> {
    inner: S,
    routes: Arc<json::Routes>,
}

impl<S, B> Service<Request<Body>> for Behind<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes, Error = Status> + Send + Unpin + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match Kind::of(&request) {
            Kind::AsItIs => {
                let answer = self.inner.call(request);
                Box::pin(async move { Ok(answer.await?.map(Body::new)) })
            }
            Kind::Json => {
                let form = json::route(&self.routes, &mut request);
                let answer = self.inner.call(request);
                Box::pin(async move {
                    match (answer.await?, form) {
                        (answer, Some(form)) => Ok(form.of(answer).await),
                        (answer, None) => Ok(answer.map(Body::new)),
                    }
                })
            }
            Kind::GrpcWeb => {
                // It may come by HTTP/1.1; what becomes of it is gRPC, which does not.
                if request.method() == Method::POST {
                    *request.version_mut() = Version::HTTP_2;
                }
                Box::pin(tonic_web::GrpcWebLayer::new().layer(self.inner.clone()).call(request))
            }
        }
    }
}
