//! What the layers promise every caller, on a real server.

mod support;

use std::time::Duration;

use runtime::ProcessOptions;
use support::*;
use tonic::{Code, Status};
use tonic_types::StatusExt;

const GRPC: (&str, &str) = ("content-type", "application/grpc");

#[tokio::test]
async fn the_servers_own_deadline_answers_deadline_exceeded() {
    let options = ProcessOptions { max_deadline: Duration::from_millis(50), ..ProcessOptions::ephemeral() };
    let server = serve_with(Thing::default(), options, false).await;
    let status =
        unary(server.bare(), "/test.v1.Thing/Never", tonic::Request::new(())).await.expect_err("it never ends");
    assert_refused(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn the_callers_deadline_answers_deadline_exceeded_and_not_cancelled() {
    let server = serve(Thing::default()).await;
    for timeout in ["1m", "20m", "20000u", "0n"] {
        let head = raw(server.api, "/test.v1.Thing/Never", &[GRPC, ("grpc-timeout", timeout)]).await;
        let status = Status::from_header_map(&head).expect("a status");
        assert_refused(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    }
}

#[tokio::test]
async fn a_stream_outlives_the_servers_own_deadline() {
    let options = ProcessOptions { max_deadline: Duration::from_nanos(1), ..ProcessOptions::ephemeral() };
    let server = serve_with(Thing::default(), options, false).await;
    let mut stream = stream(server.bare(), "/test.v1.Thing/Watch").await;
    assert_eq!(stream.message().await.expect("no error"), Some(()));
}

#[tokio::test]
async fn a_panic_is_one_callers_internal_error() {
    let server = serve(Thing::default()).await;
    let channel = server.bare();
    let status = unary(channel.clone(), "/test.v1.Thing/Panic", tonic::Request::new(())).await.expect_err("it panics");
    assert_refused(&status, Code::Internal, "INTERNAL");
    assert!(!status.message().contains("the test asked"), "{status:?}");
    unary(channel, "/test.v1.Thing/Echo", tonic::Request::new(())).await.expect("the connection lives on");
}

#[tokio::test]
async fn a_panic_in_a_stream_ends_it_with_a_status() {
    let server = serve(Thing::default()).await;
    let channel = server.bare();
    let mut stream = stream(channel.clone(), "/test.v1.Thing/PanicLate").await;
    assert_refused(&stream.message().await.expect_err("it panics"), Code::Internal, "INTERNAL");
    unary(channel, "/test.v1.Thing/Echo", tonic::Request::new(())).await.expect("the connection lives on");
}

#[tokio::test]
async fn a_call_beyond_the_limit_is_refused_at_once_and_told_when_to_come_again() {
    let thing = Thing::default();
    let options = ProcessOptions { max_in_flight: 1, ..ProcessOptions::ephemeral() };
    let server = serve_with(thing.clone(), options, false).await;
    let held = tokio::spawn(unary(server.bare(), "/test.v1.Thing/Hold", tonic::Request::new(())));
    thing.entered.notified().await;

    let status = unary(server.bare(), "/test.v1.Thing/Echo", tonic::Request::new(())).await.expect_err("it is full");
    assert_refused(&status, Code::ResourceExhausted, "OVERLOADED");
    assert!(status.get_error_details().retry_info().and_then(|retry| retry.retry_delay).is_some());

    thing.release.notify_one();
    held.await.expect("no panic").expect("the first one is served");
    unary(server.bare(), "/test.v1.Thing/Echo", tonic::Request::new(())).await.expect("there is room again");
}

#[tokio::test]
async fn a_call_once_begun_runs_to_its_end_when_its_caller_goes_away() {
    let thing = Thing::default();
    let server = serve(thing.clone()).await;
    abandon_a_call(&server, &thing).await;

    thing.release.notify_one();
    tokio::time::timeout(PATIENCE, thing.finished.notified()).await.expect("the work went on to its end");
}

#[tokio::test]
async fn the_callers_request_id_comes_back_and_a_bad_one_is_replaced() {
    let server = serve(Thing::default()).await;
    let head = raw(server.api, "/test.v1.Thing/Echo", &[GRPC, ("x-request-id", "order-17")]).await;
    assert_eq!(head["x-request-id"], "order-17");
    for bad in ["", "two words", &"x".repeat(65)] {
        let head = raw(server.api, "/test.v1.Thing/Echo", &[GRPC, ("x-request-id", bad)]).await;
        let made = uuid::Uuid::parse_str(head["x-request-id"].to_str().expect("ascii")).expect("a uuid");
        assert_eq!(made.get_version_num(), 7);
    }
}

#[tokio::test]
async fn a_refused_call_has_its_request_id_too() {
    let server = serve(Thing::default()).await;
    let head = raw(server.api, "/test.v1.Thing/Panic", &[GRPC, ("x-request-id", "order-18")]).await;
    assert_eq!(head["x-request-id"], "order-18");
}

#[tokio::test]
async fn an_unknown_method_is_refused_with_a_reason_and_adds_no_label() {
    let server = serve(Thing::default()).await;
    for path in ["/test.v1.Thing/Nothing-8f31", "/nobody-8f31.v1.Nobody/Do"] {
        let status = Status::from_header_map(&raw(server.api, path, &[GRPC]).await).expect("a status");
        assert_refused(&status, Code::Unimplemented, "UNKNOWN_METHOD");
    }
    unary(server.bare(), "/test.v1.Thing/Echo", tonic::Request::new(())).await.expect("it answers");
    let (status, text) = server.admin_get("/metrics").await;
    assert_eq!(status, 200);
    let series = |method: &str, code: &str| {
        let labels = format!("rpc_system_name=\"grpc\",rpc_method=\"{method}\",rpc_response_status_code=\"{code}\"");
        text.contains(&format!("rpc_server_call_duration_seconds_count{{{labels}}}"))
    };
    assert!(series("unknown", "UNIMPLEMENTED") && series("test.v1.Thing/Echo", "OK"), "{text}");
    assert!(text.contains("rpc_server_calls_in_flight") && !text.contains("8f31"), "{text}");
}

#[tokio::test]
async fn what_is_no_message_is_the_callers_fault() {
    let server = serve(Thing::default()).await;
    let head = raw_of(server.api, "/test.v1.Thing/Echo", &[GRPC], &[0, 0, 0, 0, 1, 0xff]).await;
    assert_refused(&Status::from_header_map(&head).expect("a status"), Code::InvalidArgument, "MALFORMED_MESSAGE");
    let head = raw_of(server.api, "/test.v1.Thing/Echo", &[GRPC], &[0, 0x7f, 0, 0, 0]).await;
    assert_refused(&Status::from_header_map(&head).expect("a status"), Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
}

#[tokio::test]
async fn a_caller_that_does_not_speak_grpc_gets_json_errors() {
    let options = ProcessOptions { max_deadline: Duration::from_millis(20), ..ProcessOptions::ephemeral() };
    let server = serve_with(Thing::default(), options, false).await;
    let head = raw(server.api, "/test.v1.Thing/Panic", &[("content-type", "application/json")]).await;
    assert_eq!(head["content-type"], "application/json");
    assert!(!head.contains_key("grpc-status"));
}
