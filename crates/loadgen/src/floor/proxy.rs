//! A forwarding proxy with nothing in it: hyper on both sides, bodies and trailers streamed through.

use std::net::SocketAddr;

use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::listen;
use crate::Failure;

type Onward = Client<HttpConnector, Incoming>;

pub async fn serve(to: SocketAddr) -> Result<(), Failure> {
    let listener = listen().await?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let onward: Onward = Client::builder(TokioExecutor::new()).http2_only(true).build(connector);
    let authority = Authority::try_from(to.to_string())
        .map_err(|error| Failure::Unmeasurable(format!("{to} is no authority: {error}")))?;
    loop {
        let (stream, _) = listener.accept().await.map_err(Failure::system("cannot accept"))?;
        stream.set_nodelay(true).map_err(Failure::system("cannot send without delay"))?;
        let (onward, authority) = (onward.clone(), authority.clone());
        let service = service_fn(move |request| forward(onward.clone(), authority.clone(), request));
        tokio::spawn(
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

async fn forward(
    onward: Onward,
    authority: Authority,
    mut request: Request<Incoming>,
) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
    let mut to = std::mem::take(request.uri_mut()).into_parts();
    to.scheme = Some(Scheme::HTTP);
    to.authority = Some(authority);
    // A path came in, so these parts make a whole.
    *request.uri_mut() = Uri::from_parts(to).unwrap_or_default();
    onward.request(request).await
}
