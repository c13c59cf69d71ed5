//! A server that never answers costs a caller its deadline and no more.

use std::time::{Duration, Instant};

use client::{Client, ClientOptions};
use tokio::net::TcpListener;
use tonic::Code;

#[tokio::test]
async fn a_call_to_a_silent_server_ends_at_its_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Takes connections and says nothing.
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let options = ClientOptions { deadline: Duration::from_millis(200), ..ClientOptions::default() };
    let guildhall = Client::new(&format!("http://{address}"), options).unwrap();
    // Again and again: two clocks keep one deadline, and either may end first.
    for _ in 0..10 {
        let status = guildhall.authorization().check(api::authz::v1::CheckRequest::default()).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    }
    let begun = Instant::now();
    let status = guildhall.authorization().check(api::authz::v1::CheckRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_at_once() {
    assert!(Client::new("not an address", ClientOptions::default()).is_err());
}
