//! What callers see of a service with two replicas, one of which does not do well.
#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::{
    convert::Infallible,
    future::ready,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use channel::{Asked, Channel, Failure, NOT_BEGUN, Options, PUSHBACK};
use futures::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpListener, time::Instant};
use tonic::body::Body;

const WELL: (&str, &str) = ("grpc-status", "0");
const UNAVAILABLE: (&str, &str) = ("grpc-status", "14");

/// A server of any method, with the same answer to all.
struct Replica {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
}

impl Replica {
    async fn answering(headers: &[(&'static str, &'static str)]) -> Self {
        Self::with(headers, Body::empty).await
    }

    async fn with(headers: &[(&'static str, &'static str)], body: fn() -> Body) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let replica = Self { address: listener.local_addr().unwrap(), calls: Arc::default() };
        let headers = [("content-type", "application/grpc")].iter().chain(headers);
        let headers = headers.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let (calls, headers) = (Arc::clone(&replica.calls), headers.collect::<HeaderMap>());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (calls, headers) = (Arc::clone(&calls), headers.clone());
                let answer = service_fn(move |_| {
                    calls.fetch_add(1, Relaxed);
                    let mut response = Response::new(body());
                    *response.headers_mut() = headers.clone();
                    ready(Ok::<_, Infallible>(response))
                });
                let connection = http2::Builder::new(TokioExecutor::new());
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), answer));
            }
        });
        replica
    }

    fn calls(&self) -> usize {
        self.calls.load(Relaxed)
    }
}

fn channel(replicas: &[&Replica]) -> Channel {
    let list: Vec<_> = replicas.iter().map(|replica| format!("http://{}", replica.address)).collect();
    Channel::open(&list.join(","), Options::default()).unwrap()
}

async fn call(channel: &Channel, repeatable: bool) -> HeaderMap {
    let asked = Asked { deadline: Instant::now() + Duration::from_secs(20), told: None, unary: true, repeatable };
    let request = Request::post("/test.Service/Method").body(Body::empty()).unwrap();
    channel.call(request, asked).await.unwrap().headers().clone()
}

fn is_well(headers: &HeaderMap) -> bool {
    headers["grpc-status"] == "0"
}

#[tokio::test]
async fn whoever_has_not_begun_is_passed_over_whatever_the_call_does() {
    let (new, well) = (Replica::answering(&[UNAVAILABLE, (NOT_BEGUN, "1")]).await, Replica::answering(&[WELL]).await);
    let channel = channel(&[&new, &well]);
    for n in 0..40 {
        assert!(is_well(&call(&channel, n % 2 == 0).await), "call {n}");
    }
    assert!(new.calls() > 0 && well.calls() == 40, "{} were asked of the new one", new.calls());
}

#[tokio::test]
async fn where_nobody_has_begun_that_is_not_told_further() {
    let new = Replica::answering(&[UNAVAILABLE, (NOT_BEGUN, "1")]).await;
    let told = call(&channel(&[&new]), false).await;
    assert!(!is_well(&told) && !told.contains_key(NOT_BEGUN), "{told:?}");
    assert!(new.calls() > 1);
}

#[tokio::test]
async fn what_may_not_be_repeated_is_sent_once() {
    let (ill, well) = (Replica::answering(&[UNAVAILABLE]).await, Replica::answering(&[WELL]).await);
    let channel = channel(&[&ill, &well]);
    let (mut refused, mut sent) = (0, 0);
    while refused == 0 && sent < 200 {
        refused += usize::from(!is_well(&call(&channel, false).await));
        sent += 1;
    }
    assert_eq!((refused, ill.calls() + well.calls()), (1, sent));
}

#[tokio::test]
async fn a_replica_that_fails_gets_hardly_a_call_and_its_callers_no_failure() {
    let (ill, well) = (Replica::answering(&[UNAVAILABLE]).await, Replica::answering(&[WELL]).await);
    let channel = channel(&[&ill, &well]);
    let (begun, mut sent) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_millis(700) {
        assert!(is_well(&call(&channel, true).await), "call {sent}");
        sent += 1;
    }
    assert!(sent > 50, "{sent}");
    assert_eq!(ill.calls(), 3, "three in a row are enough to know");
}

#[tokio::test]
async fn half_of_the_replicas_keep_their_calls_however_they_fail() {
    let (one, other) = (Replica::answering(&[UNAVAILABLE]).await, Replica::answering(&[UNAVAILABLE]).await);
    let channel = channel(&[&one, &other]);
    for _ in 0..100 {
        assert!(!is_well(&call(&channel, false).await));
    }
    let (fewer, more) = (one.calls().min(other.calls()), one.calls().max(other.calls()));
    assert!((3..=10).contains(&fewer) && more >= 90, "{fewer} and {more}: one is out, and the other is asked");
}

#[tokio::test]
async fn repeating_adds_a_fifth_to_the_load_of_a_service_that_is_down() {
    const SENT: usize = 500;
    let down = Replica::answering(&[UNAVAILABLE]).await;
    let channel = channel(&[&down]);
    let mut forbidden = 0;
    for _ in 0..SENT {
        let told = call(&channel, true).await;
        forbidden += usize::from(told.get(PUSHBACK).is_some_and(|value| value == "-1"));
    }
    // Of those that were sent, and ten a second for the ten seconds that are looked back on.
    let repeated = down.calls() - SENT;
    assert!((SENT / 5..=SENT / 5 + 100).contains(&repeated), "{repeated} were repeated");
    assert_eq!(forbidden, SENT, "nobody above repeats it once more");
}

#[tokio::test]
async fn streams_leave_room_for_calls_that_end() {
    let endless = || Body::new(StreamBody::new(stream::pending::<Result<Frame<Bytes>, tonic::Status>>()));
    let well = Replica::with(&[], endless).await;
    let options = Options { max_calls: 4, ..Options::default() };
    let channel = Channel::open(&format!("http://{}", well.address), options).unwrap();
    let begin = |unary: bool| {
        let asked = Asked { deadline: Instant::now() + Duration::from_secs(20), told: None, unary, repeatable: false };
        channel.call(Request::post("/test.Service/Method").body(Body::empty()).unwrap(), asked)
    };
    let streams = (begin(false).await.unwrap(), begin(false).await.unwrap());
    assert!(matches!(begin(false).await, Err(Failure::Crowded)), "half of the places are theirs");
    let calls = (begin(true).await.unwrap(), begin(true).await.unwrap());
    assert!(matches!(begin(true).await, Err(Failure::Crowded)));
    drop(streams);
    begin(false).await.unwrap();
    drop(calls);
}
