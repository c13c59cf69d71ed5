//! `rpc_server_call_duration_seconds` by method and status code, and how many calls are in flight.
//!
//! The labels are bounded: methods come from the contract and any other path counts as `unknown`. Handles are made at the
//! first call of each kind and kept, so that recording is a few atomic operations.

use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use http::{Request, Response};
use metrics::{Gauge, Histogram, Unit};
use opentelemetry::KeyValue;
use tonic::Code;
use tower::{Layer, Service};

use super::outcome::{Outcome, OutcomeBody, OutcomeFuture, code_name};
use crate::call::CallContext;
use crate::contract::{Contract, Method};

const DURATION: &str = "rpc_server_call_duration_seconds";
const IN_FLIGHT: &str = "rpc_server_calls_in_flight";
const CODES: usize = 17;

#[derive(Clone)]
pub struct MetricsLayer {
    recorder: Arc<Recorder>,
}

/// `exporting`: whether the duration is also recorded for the OpenTelemetry collector, as `rpc.server.call.duration`.
pub fn metrics(contract: &Contract, exporting: bool) -> MetricsLayer {
    metrics::describe_histogram!(DURATION, Unit::Seconds, "Time from a call's headers to the end of its response");
    metrics::describe_gauge!(IN_FLIGHT, "Calls that have begun and not ended, streams included");
    let otel = exporting.then(|| {
        let meter = opentelemetry::global::meter("runtime");
        meter.f64_histogram("rpc.server.call.duration").with_unit("s").build()
    });
    let series = (0..contract.len() * CODES).map(|_| OnceLock::new()).collect();
    MetricsLayer { recorder: Arc::new(Recorder { in_flight: metrics::gauge!(IN_FLIGHT), series, otel }) }
}

struct Recorder {
    in_flight: Gauge,
    series: Box<[OnceLock<Series>]>,
    otel: Option<opentelemetry::metrics::Histogram<f64>>,
}

struct Series {
    histogram: Histogram,
    attributes: [KeyValue; 3],
}

impl Recorder {
    fn series(&self, method: Option<&Method>, code: Code) -> Option<&Series> {
        let index = method.map_or(0, Method::index) * CODES + code as usize;
        let slot = self.series.get(index)?;
        Some(slot.get_or_init(|| {
            let (name, code) = (method.map_or("unknown", Method::name).to_owned(), code_name(code));
            Series {
                attributes: [
                    KeyValue::new("rpc.system.name", "grpc"),
                    KeyValue::new("rpc.method", name.clone()),
                    KeyValue::new("rpc.response.status_code", code),
                ],
                histogram: metrics::histogram!(DURATION, "rpc_method" => name, "rpc_response_status_code" => code),
            }
        }))
    }
}

impl<S> Layer<S> for MetricsLayer {
    type Service = MetricsService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        MetricsService { inner, recorder: Arc::clone(&self.recorder) }
    }
}

#[derive(Clone)]
pub struct MetricsService<S> {
    inner: S,
    recorder: Arc<Recorder>,
}

impl<S, A, B> Service<Request<A>> for MetricsService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = Response<OutcomeBody<B, Measured>>;
    type Error = S::Error;
    type Future = OutcomeFuture<S::Future, Measured>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let method = request.extensions().get::<CallContext>().and_then(|call| call.call.method.clone());
        self.recorder.in_flight.increment(1.0);
        let measured = Measured { begun: Instant::now(), method, recorder: Arc::clone(&self.recorder) };
        OutcomeFuture::new(self.inner.call(request), measured)
    }
}

pub struct Measured {
    begun: Instant,
    method: Option<Arc<Method>>,
    recorder: Arc<Recorder>,
}

impl Outcome for Measured {
    fn ended(&self, code: Code) {
        let seconds = self.begun.elapsed().as_secs_f64();
        self.recorder.in_flight.decrement(1.0);
        let Some(series) = self.recorder.series(self.method.as_deref(), code) else { return };
        series.histogram.record(seconds);
        if let Some(otel) = &self.recorder.otel {
            otel.record(seconds, &series.attributes);
        }
    }
}
