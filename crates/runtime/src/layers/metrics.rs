//! `rpc.server.call.duration` by method and status code, and how many calls are in flight.
//!
//! The labels are bounded: methods come from the contract and any other path counts as `unknown`. Handles are made at the
//! first call of each kind and kept, so that recording is a few atomic operations.

use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use http::{Request, Response};
use metrics::{Gauge, Histogram};
use tonic::Code;
use tower::{Layer, Service};

use super::outcome::{Outcome, OutcomeBody, OutcomeFuture, code_name};
use crate::call::CallContext;
use crate::contract::{Contract, Method};

const CODES: usize = 17;

#[derive(Clone)]
pub struct MetricsLayer {
    recorder: Arc<Recorder>,
}

pub fn metrics(contract: &Contract) -> MetricsLayer {
    let series = (0..contract.len() * CODES).map(|_| OnceLock::new()).collect();
    MetricsLayer { recorder: Arc::new(Recorder { in_flight: meters::IN_FLIGHT.gauge(meters::NO_LABELS), series }) }
}

struct Recorder {
    in_flight: Gauge,
    series: Box<[OnceLock<Histogram>]>,
}

impl Recorder {
    fn series(&self, method: Option<&Method>, code: Code) -> Option<&Histogram> {
        let index = method.map_or(0, Method::index) * CODES + code as usize;
        let slot = self.series.get(index)?;
        Some(slot.get_or_init(|| {
            meters::CALLS.histogram(&[
                ("rpc.system.name", "grpc".to_owned()),
                ("rpc.method", method.map_or("unknown", Method::name).to_owned()),
                ("rpc.response.status_code", code_name(code).to_owned()),
            ])
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
        if let Some(series) = self.recorder.series(self.method.as_deref(), code) {
            series.record(seconds);
        }
    }
}
