//! The two plain HTTP requests that dev makes: is a process ready, and a token for the operator.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);
const MAX_ANSWER_BYTES: usize = 64 * 1024;

pub async fn get(address: SocketAddr, path: &str) -> io::Result<(StatusCode, String)> {
    let request = Request::get(path).header(HOST, address.to_string()).body(Full::default());
    send(address, request.map_err(io::Error::other)?).await
}

/// A form, as somebody who proves themselves by HTTP Basic.
pub async fn post_form(
    address: SocketAddr,
    path: &str,
    basic: &str,
    form: &'static str,
) -> io::Result<(StatusCode, String)> {
    let request = Request::post(path)
        .header(HOST, address.to_string())
        .header(AUTHORIZATION, format!("Basic {basic}"))
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::from(form));
    send(address, request.map_err(io::Error::other)?).await
}

async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> io::Result<(StatusCode, String)> {
    let exchange = async {
        let stream = TcpStream::connect(address).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let connection = tokio::spawn(connection);
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await.map_err(io::Error::other)?;
        connection.abort();
        Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
    };
    timeout(PATIENCE, exchange).await?
}
