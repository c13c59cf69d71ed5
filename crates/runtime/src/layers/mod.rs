//! What every call goes through, in one place and in a stated order.

mod arrive;
mod deadline;
mod detach;
mod guarded_body;
mod metrics;
mod mount;
mod onward;
mod outcome;
mod panic;
mod pause;
mod queue;
mod refuse;
mod request_id;
mod shed;
mod trace;
mod unreadable;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::Routes;
use tower::util::MapResponse;
use tower::{Layer, Service, ServiceBuilder};

use crate::contract::Contract;
use crate::services::Services;

pub(crate) use onward::Onward;
pub(crate) use outcome::code_in;
pub(crate) use queue::{Queue, TooMany, Waiting};
pub(crate) use refuse::PROMPT;
pub(crate) use trace::TARGET as CALL_TARGET;

/// What the layers need to know.
#[derive(Clone, Debug)]
pub struct Layers {
    pub contract: Contract,
    /// The longest a unary call may take, whatever its caller allows.
    pub max_deadline: Duration,
    pub max_in_flight: usize,
    /// What the listener reads calls into.
    pub queue: Arc<Queue>,
    /// Cancelled when the server drains: response streams then end.
    pub draining: CancellationToken,
    /// Whether a call runs on when its caller goes away.
    pub detach: bool,
    /// How long the request of a unary call is waited for before the call begins; none: it is not.
    pub body_timeout: Option<Duration>,
    /// Whether spans and metrics go to an OpenTelemetry collector.
    pub exporting: bool,
    /// The share of new traces that are recorded then.
    pub trace_ratio: f64,
}

/// All of them around a guarded service.
pub type Layered<G> = request_id::RequestIdService<
    trace::TraceService<
        metrics::MetricsService<
            panic::PanicService<
                deadline::DeadlineService<
                    queue::QueueService<
                        detach::DetachService<
                            arrive::ArriveService<
                                shed::ShedService<MapResponse<mount::Mount<G>, fn(Response<Body>) -> Response<Body>>>,
                            >,
                        >,
                    >,
                >,
            >,
        >,
    >,
>;

/// Puts the layers around `services`. `authentication` is innermost and covers `services` only; `open` (health, reflection) is
/// reached without it.
pub fn assemble<A>(layers: &Layers, authentication: A, open: Routes, services: Services) -> Layered<A::Service>
where
    A: Layer<Services>,
    A::Service: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    <A::Service as Service<Request<Body>>>::Future: Send + 'static,
{
    ServiceBuilder::new()
        .layer(request_id::request_id(layers.contract.clone())) // first: every span, log line and answer carries it
        .layer(trace::trace(layers.exporting.then_some(layers.trace_ratio))) // outside metrics: what they record falls inside the span
        .layer(metrics::metrics(&layers.contract)) // outside all that refuses: refusals are counted
        .layer(panic::panic(layers.draining.clone())) // outside the rest: no fault of theirs ends a connection
        .layer(deadline::deadline(layers.max_deadline)) // outside shed: whatever happens within, the call ends in time
        .layer(queue::queue(Arc::clone(&layers.queue))) // outside detach: what is refused there goes with its caller
        .layer(detach::detach(layers.detach)) // inside deadline: the wait ends in time, the work when it is done
        .layer(arrive::arrive(layers.body_timeout)) // outside shed: what has not come holds no place
        .layer(shed::shed(layers.max_in_flight, Arc::clone(&layers.queue))) // inside detach: a place is held for as long as the work; before authentication:
        // under overload no signature is verified
        .layer(unreadable::unreadable()) // innermost: what the transport refuses by itself gets a reason
        .service(mount::Mount::new(open, authentication.layer(services)))
}
