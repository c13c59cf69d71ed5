//! Whether a call is traced and, if it is, one span for it, named and labelled by the semantic conventions for RPC.
//!
//! The decision comes first: of a hundred calls ninety-nine have no span, and cost nothing of one. Their ids are made and passed on all
//! the same, and stand in their log lines.
//!
//! The span holds the method and the status code, the ids of the call, and nothing a caller sent besides: no address, no
//! metadata, no message.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceFlags, TraceState};
use tonic::Code;
use tower::{Layer, Service};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::outcome::{Outcome, OutcomeBody, OutcomeFuture, code_name, is_server_fault};
use crate::call::{Call, CallContext, TraceContext};
use crate::current;

/// `tracing` target of the call's span; `telemetry` keeps it enabled whatever the log level is.
pub(crate) const TARGET: &str = "runtime::call";

#[derive(Clone, Copy)]
pub struct TraceLayer {
    ratio: Option<f64>,
}

/// `ratio`: the share of new traces that are recorded, where spans go to a collector at all. Of others' traces their caller has
/// decided.
pub fn trace(ratio: Option<f64>) -> TraceLayer {
    TraceLayer { ratio }
}

impl<S> Layer<S> for TraceLayer {
    type Service = TraceService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TraceService { inner, ratio: self.ratio }
    }
}

#[derive(Clone)]
pub struct TraceService<S> {
    inner: S,
    ratio: Option<f64>,
}

impl<S, A, B> Service<Request<A>> for TraceService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = Response<OutcomeBody<B, Traced>>;
    type Error = S::Error;
    type Future = OutcomeFuture<S::Future, Traced>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let parent = self.ratio.and_then(|_| TraceContext::from_headers(request.headers()));
        let traced = match request.extensions_mut().get_mut::<CallContext>() {
            Some(context) => {
                let span = self.ratio.map_or_else(Span::none, |ratio| decide(context, parent, ratio));
                Traced { call: Some(Arc::clone(&context.call)), span }
            }
            None => Traced { call: None, span: Span::none() },
        };
        let response = traced.scope(|| self.inner.call(request));
        OutcomeFuture::new(response, traced)
    }
}

/// The call's span, or none where it is not recorded. `ratio` counts for calls that begin a trace.
fn decide(context: &mut CallContext, parent: Option<TraceContext>, ratio: f64) -> Span {
    let sampled = parent.as_ref().map_or_else(|| rand::random::<f64>() < ratio, |parent| parent.sampled);
    context.sample(sampled);
    if !sampled {
        return Span::none();
    }
    let method = context.method().map_or("unknown", |method| method.name());
    let span = tracing::info_span!(
        target: TARGET,
        "rpc",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = Empty,
        error.type = Empty,
        request_id = context.request_id().as_str(),
    );
    // Hung below the caller's span; then the ids are those that the tracer gave it.
    if let Some(parent) = parent {
        let state = parent.state.as_ref().and_then(|state| state.to_str().ok()?.parse::<TraceState>().ok());
        let (trace_id, span_id) = (parent.trace_id.into(), parent.span_id.into());
        let remote = SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, true, state.unwrap_or_default());
        // It fails only where no tracer listens to this span: then the ids stay the ones we made.
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(remote));
    }
    let own = span.context().span().span_context().clone();
    if own.is_valid() {
        context.adopt(u128::from_be_bytes(own.trace_id().to_bytes()), u64::from_be_bytes(own.span_id().to_bytes()));
    }
    span
}

/// Lasts until the end of the response body, so that a stream's span is as long as the stream.
pub struct Traced {
    call: Option<Arc<Call>>,
    span: Span,
}

impl Outcome for Traced {
    fn ended(&self, code: Code) {
        if !self.span.is_disabled() {
            self.span.record("rpc.response.status_code", code_name(code));
            if is_server_fault(code) {
                self.span.record("error.type", code_name(code));
                self.span.record("otel.status_code", "ERROR");
            }
        }
        self.scope(|| tracing::debug!(code = code_name(code), "answered"));
    }

    fn scope<R>(&self, poll: impl FnOnce() -> R) -> R {
        let in_span = || if self.span.is_disabled() { poll() } else { self.span.in_scope(poll) };
        match &self.call {
            Some(call) => current::within(Arc::clone(call), in_span),
            None => in_span(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{Future as _, pending};
    use std::sync::Mutex;

    use tonic::body::Body;
    use tower::service_fn;

    use super::*;

    /// Notes, when it is dropped, whose call that happened in.
    struct Dropped(Arc<Mutex<Option<String>>>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            *self.0.lock().expect("no panic") = current::current(|call| call.request_id.as_str().to_owned());
        }
    }

    #[test]
    fn what_its_caller_gave_up_is_dropped_as_the_call_that_it_is() {
        let noted = Arc::new(Mutex::new(None));
        let held = Dropped(Arc::clone(&noted));
        let mut held = Some(held);
        let mut service = trace(None).layer(service_fn(move |_: Request<()>| {
            let held = held.take();
            async move {
                let _held = held;
                pending::<Result<Response<Body>, Infallible>>().await
            }
        }));
        let context = CallContext::background();
        let id = context.request_id().to_string();
        let mut request = Request::new(());
        request.extensions_mut().insert(context);
        let mut call = Box::pin(service.call(request));
        let waker = futures::task::noop_waker();
        assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(call);
        assert_eq!(*noted.lock().expect("no panic"), Some(id));
    }
}
