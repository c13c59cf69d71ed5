//! Calls from one server to the next.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use runtime::{CallContext, ChannelOptions, TraceContext};
use support::*;
use tonic::Code;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn parsed(value: &tonic::metadata::MetadataValue<tonic::metadata::Ascii>) -> TraceContext {
    let mut headers = http::HeaderMap::new();
    headers.insert("traceparent", value.to_str().unwrap().parse().unwrap());
    TraceContext::from_headers(&headers).expect("well formed")
}

#[tokio::test]
async fn trace_request_id_and_remaining_deadline_travel_onward() {
    let callee = serve(Thing::default()).await;
    let caller = serve(Thing { onward: Some(callee.channel()), ..Thing::default() }).await;
    let mut request = tonic::Request::new(());
    request.metadata_mut().insert("traceparent", PARENT.parse().unwrap());
    request.metadata_mut().insert("x-request-id", "order-19".parse().unwrap());
    request.metadata_mut().insert("grpc-timeout", "9S".parse().unwrap());
    let response = unary(caller.bare(), "/test.v1.Thing/Onward", request).await.expect("both answer");

    let seen = parsed(response.metadata().get("seen-traceparent").expect("it was sent"));
    let parent = parsed(&PARENT.parse().unwrap());
    assert_eq!((seen.trace_id, seen.sampled), (parent.trace_id, true));
    assert_ne!(seen.span_id, parent.span_id, "the caller's own span is the parent");
    let own = parsed(response.metadata().get("own-traceparent").expect("the callee has a span"));
    assert_eq!(own.trace_id, parent.trace_id);
    assert_ne!(own.span_id, seen.span_id);
    assert_eq!(response.metadata().get("seen-x-request-id").expect("it was sent"), "order-19");
    let timeout = response.metadata().get("seen-grpc-timeout").expect("it was sent").to_str().unwrap();
    let micros: u64 = timeout.strip_suffix('u').expect("microseconds").parse().expect("a number");
    assert!(micros < 9_000_000, "{timeout}");
}

#[tokio::test]
async fn an_onward_call_ends_with_its_deadline() {
    let server = serve(Thing::default()).await;
    let call = CallContext::background().within(Duration::from_millis(30));
    let status = unary(server.channel(), "/test.v1.Thing/Never", call.request(())).await.expect_err("it never ends");
    assert_refused(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn only_a_repeatable_call_is_tried_again() {
    let thing = Thing::default();
    let server = serve(thing.clone()).await;
    let call = CallContext::background();
    let attempts = |failures: usize| {
        thing.failures.store(failures, Ordering::SeqCst);
        thing.attempts.store(0, Ordering::SeqCst);
    };

    attempts(2);
    unary(server.channel(), "/test.v1.Thing/Read", call.request(())).await.expect("the third attempt succeeds");
    assert_eq!(thing.attempts.load(Ordering::SeqCst), 3);

    attempts(3);
    let status = unary(server.channel(), "/test.v1.Thing/Read", call.request(())).await.expect_err("three are enough");
    assert_refused(&status, Code::Unavailable, "UNAVAILABLE");

    attempts(1);
    unary(server.channel(), "/test.v1.Thing/Write", call.request(())).await.expect_err("it may have happened");
    assert_eq!(thing.attempts.load(Ordering::SeqCst), 1);

    attempts(1);
    unary(server.channel(), "/test.v1.Thing/Write", call.keyed_request(())).await.expect("it carries a key");
    assert_eq!(thing.attempts.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn retries_stop_when_the_budget_is_spent() {
    let thing = Thing::default();
    thing.failures.store(usize::MAX, Ordering::SeqCst);
    let server = serve(thing.clone()).await;
    let (channel, call) = (server.channel(), CallContext::background());
    const CALLS: usize = 400;
    let calls = (0..CALLS).map(|_| unary(channel.clone(), "/test.v1.Thing/Read", call.request(())));
    assert!(futures::future::join_all(calls).await.iter().all(Result::is_err));
    // Without a budget there would be two retries for each call; with it a fifth, and the floor of ten a second for ten.
    let retries = thing.attempts.load(Ordering::SeqCst) - CALLS;
    assert!(retries < CALLS * 3 / 4, "{retries} retries");
}

#[tokio::test]
async fn a_service_that_is_not_there_is_unavailable() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for url in [format!("http://{closed}"), "http://nowhere.invalid:1".to_owned()] {
        let channel = runtime::connect(&url, contract(), &ChannelOptions::default(), None).expect("a good URL");
        let status = unary(channel, "/test.v1.Thing/Write", CallContext::background().request(())).await;
        assert_refused(&status.expect_err("nobody answers"), Code::Unavailable, "UNAVAILABLE");
    }
}

#[tokio::test]
async fn a_name_is_looked_up() {
    let server = serve(Thing::default()).await;
    let url = format!("http://localhost:{}", server.api.port());
    let channel = runtime::connect(&url, contract(), &ChannelOptions::default(), None).expect("a good URL");
    // Where the name has an IPv6 address too, nobody answers there, and the call goes on to the other.
    unary(channel, "/test.v1.Thing/Echo", CallContext::background().request(())).await.expect("it is found");
}

#[tokio::test]
async fn only_http_urls_are_taken() {
    for url in ["", "org:7101", "ftp://org:7101", "http://"] {
        assert!(runtime::connect(url, contract(), &ChannelOptions::default(), None).is_err(), "{url}");
    }
}
