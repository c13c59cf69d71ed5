//! Plain HTTP/1.1 for the gateway's other face. Small bodies, one request a connection.

use std::{fmt::Display, net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

const DEADLINE: Duration = Duration::from_secs(20);

/// Sends one request and returns status, head and body as they came.
pub async fn send(address: SocketAddr, request: &str) -> (u16, String, String) {
    try_send(address, request).await.unwrap_or_else(|error| panic!("{address}: {error}"))
}

/// The same of a server that may be away.
pub async fn try_send(address: SocketAddr, request: &str) -> std::io::Result<(u16, String, String)> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = timeout(DEADLINE, exchange).await??;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other(format!("no status in {head:?}")))?;
    let body =
        if head.to_ascii_lowercase().contains("transfer-encoding: chunked") { unchunk(body) } else { body.to_owned() };
    Ok((status, head.to_owned(), body))
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || size > rest.len() {
            break;
        }
        whole.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    whole
}

/// Null where the body is no JSON.
fn json(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or(Value::Null)
}

pub async fn get(address: SocketAddr, path: impl Display) -> (u16, Value) {
    let (status, _, body) =
        send(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")).await;
    (status, json(&body))
}

pub async fn post_form(address: SocketAddr, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
    try_post_form(address, path, form).await.unwrap_or_else(|error| panic!("{address}: {error}"))
}

/// The same at a server that may be away.
pub async fn try_post_form(address: SocketAddr, path: &str, form: &[(&str, &str)]) -> std::io::Result<(u16, Value)> {
    let encoded: Vec<String> = form.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    let body = encoded.join("&");
    let (status, _, body) = try_send(
        address,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    )
    .await?;
    Ok((status, json(&body)))
}

fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
