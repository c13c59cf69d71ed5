//! One span for each call, named and labelled by the semantic conventions for RPC.
//!
//! The span holds the method and the status code, the ids of the call, and nothing a caller sent besides: no address, no
//! metadata, no message.

use std::task::{Context, Poll};

use http::{Request, Response};
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceFlags, TraceState};
use tonic::Code;
use tower::{Layer, Service};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::outcome::{Outcome, OutcomeBody, OutcomeFuture, code_name, is_server_fault};
use crate::call::{CallContext, TraceContext};

/// `tracing` target of the call's span; `telemetry` keeps it enabled whatever the log level is.
pub(crate) const TARGET: &str = "runtime::call";

#[derive(Clone, Copy)]
pub struct TraceLayer {
    exporting: bool,
}

/// `exporting`: whether spans go to a collector. When they do not, the ids are still made and passed on, at less cost.
pub fn trace(exporting: bool) -> TraceLayer {
    TraceLayer { exporting }
}

impl<S> Layer<S> for TraceLayer {
    type Service = TraceService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TraceService { inner, exporting: self.exporting }
    }
}

#[derive(Clone)]
pub struct TraceService<S> {
    inner: S,
    exporting: bool,
}

impl<S, A, B> Service<Request<A>> for TraceService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = Response<OutcomeBody<B, Spanned>>;
    type Error = S::Error;
    type Future = OutcomeFuture<S::Future, Spanned>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let parent = if self.exporting { TraceContext::from_headers(request.headers()) } else { None };
        let span = match request.extensions_mut().get_mut::<CallContext>() {
            Some(call) => {
                let span = open_span(call, self.exporting);
                if self.exporting {
                    adopt(&span, parent, &mut call.trace);
                }
                span
            }
            None => Span::none(),
        };
        let spanned = Spanned { span, exporting: self.exporting };
        let response = spanned.scope(|| self.inner.call(request));
        OutcomeFuture::new(response, spanned)
    }
}

fn open_span(call: &CallContext, exporting: bool) -> Span {
    let method = call.method().map_or("unknown", |method| method.name());
    let trace_id = (!exporting).then_some(call.trace.trace_id);
    tracing::info_span!(
        target: TARGET,
        "rpc",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = Empty,
        request_id = call.request_id.as_str(),
        trace_id = trace_id,
    )
}

/// Hangs the span below the caller's, then takes over the ids that the tracer gave it.
fn adopt(span: &Span, parent: Option<TraceContext>, trace: &mut TraceContext) {
    if let Some(parent) = parent {
        let state = parent.state.as_ref().and_then(|state| state.to_str().ok()?.parse::<TraceState>().ok());
        let flags = if parent.sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
        let (trace_id, span_id) = (parent.trace_id.into(), parent.span_id.into());
        let remote = SpanContext::new(trace_id, span_id, flags, true, state.unwrap_or_default());
        // It fails only where no tracer listens to this span: then the ids stay the ones we made.
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(remote));
    }
    let context = span.context();
    let own = context.span().span_context().clone();
    if own.is_valid() {
        trace.trace_id = u128::from_be_bytes(own.trace_id().to_bytes());
        trace.span_id = u64::from_be_bytes(own.span_id().to_bytes());
        trace.sampled = own.is_sampled();
    }
    span.record("trace_id", trace.trace_id);
}

/// Lasts until the end of the response body, so that a stream's span is as long as the stream.
pub struct Spanned {
    span: Span,
    exporting: bool,
}

impl Outcome for Spanned {
    fn ended(&self, code: Code) {
        if self.exporting {
            self.span.record("rpc.response.status_code", code_name(code));
            if is_server_fault(code) {
                self.span.record("otel.status_code", "ERROR");
            }
        }
        tracing::debug!(parent: &self.span, code = code_name(code), "answered");
    }

    fn scope<R>(&self, poll: impl FnOnce() -> R) -> R {
        self.span.in_scope(poll)
    }
}
