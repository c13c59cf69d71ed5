//! With a tracer listening, the ids that travel are the tracer's.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use runtime::{ProcessOptions, TraceContext};
use support::*;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

async fn span_of_a_call(server: &Server, traceparent: Option<&str>) -> TraceContext {
    let mut request = tonic::Request::new(());
    if let Some(traceparent) = traceparent {
        request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
    }
    let response = unary(server.bare(), "/test.v1.Thing/Echo", request).await.expect("it answers");
    let own = response.metadata().get("own-traceparent").expect("a span").to_str().unwrap();
    let headers = http::HeaderMap::from_iter([(TraceContext::HEADER, own.parse().unwrap())]);
    TraceContext::from_headers(&headers).expect("well formed")
}

#[tokio::test]
async fn a_callers_sampling_decision_and_trace_are_kept() {
    let tracers = SdkTracerProvider::builder().with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn))).build();
    tracing_subscriber::registry().with(tracing_opentelemetry::layer().with_tracer(tracers.tracer("test"))).init();
    let mut options = ProcessOptions::ephemeral();
    options.telemetry.trace_ratio = 0.5;
    let server = serve_with(Thing::default(), options, true).await;

    let mut sampled = 0;
    for _ in 0..200 {
        sampled += u32::from(span_of_a_call(&server, None).await.sampled);
    }
    assert!((60..140).contains(&sampled), "of 200 calls that begin a trace {sampled} are recorded");
    for sampled in [true, false] {
        let flags = u8::from(sampled);
        let parent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags:02x}");
        let own = span_of_a_call(&server, Some(&parent)).await;
        assert_eq!((own.trace_id, own.sampled), (0x4bf92f3577b34da6a3ce929d0e0e4736, sampled));
        assert_ne!(own.span_id, 0x00f067aa0ba902b7);
    }
}
