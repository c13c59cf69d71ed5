//! A tonic server with one unary method and nothing around it: no TLS, no layers, no credential, empty messages.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic_prost::ProstCodec;
use tower::Service;

use super::listen;
use crate::Failure;

pub const METHOD: &str = "floor.Empty/Call";

#[derive(Debug, Clone)]
struct Empty;

impl NamedService for Empty {
    const NAME: &'static str = "floor.Empty";
}

impl UnaryService<()> for Empty {
    type Response = ();
    type Future = Ready<Result<tonic::Response<()>, tonic::Status>>;

    fn call(&mut self, _: tonic::Request<()>) -> Self::Future {
        ready(Ok(tonic::Response::new(())))
    }
}

/// What tonic's generated code is for a service.
impl Service<Request<Body>> for Empty {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<(), ()>::default());
            Ok(grpc.unary(Self, request).await)
        })
    }
}

pub async fn serve() -> Result<(), Failure> {
    let listener = listen().await?;
    Server::builder()
        .add_service(Empty)
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await
        .map_err(|error| Failure::Unmeasurable(format!("the floor server ended: {error}")))
}
