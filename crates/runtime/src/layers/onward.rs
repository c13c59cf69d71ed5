//! The span of an onward call, beside that of the call which it is made for, by the semantic conventions for RPC: what it adds to the other end's
//! span is the way between, the wait for a connection and what was repeated.

use http::Response;
use opentelemetry::trace::TraceContextExt;
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::outcome::{self, Outcome, code_name};
use super::trace::TARGET;
use crate::call::{CallContext, TraceContext};

/// None where the call that it is made for is not recorded: then nothing is made.
pub(crate) struct Onward(Span);

impl Onward {
    /// With what travels on: the place in the trace that the other end's span hangs below.
    pub(crate) fn begin(call: &CallContext, method: &str) -> (Self, TraceContext) {
        let trace = call.trace().clone();
        if !trace.sampled || Span::current().is_disabled() {
            return (Self(Span::none()), trace);
        }
        let span = tracing::info_span!(
            target: TARGET,
            "rpc",
            otel.name = method,
            otel.kind = "client",
            otel.status_code = Empty,
            rpc.system.name = "grpc",
            rpc.method = method,
            rpc.response.status_code = Empty,
            error.type = Empty,
        );
        let own = span.context().span().span_context().clone();
        // It is a part of this trace, or of none.
        if own.is_valid() && own.trace_id() == trace.trace_id.into() {
            let span_id = u64::from_be_bytes(own.span_id().to_bytes());
            return (Self(span), TraceContext { span_id, ..trace });
        }
        (Self(Span::none()), trace)
    }

    /// The span lasts until the answer's last word.
    pub(crate) fn answered(self, answer: Result<Response<Body>, Status>) -> Result<Response<Body>, Status> {
        if self.0.is_disabled() {
            return answer;
        }
        match answer {
            Ok(response) => Ok(outcome::watch(response, self)),
            Err(status) => {
                self.ended(status.code());
                Err(status)
            }
        }
    }
}

impl Outcome for Onward {
    fn ended(&self, code: Code) {
        self.0.record("rpc.response.status_code", code_name(code));
        // For whoever calls, every code but OK is an error: so say the conventions of clients' spans.
        if code != Code::Ok {
            self.0.record("error.type", code_name(code));
            self.0.record("otel.status_code", "ERROR");
        }
    }
}
