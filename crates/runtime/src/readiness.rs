//! Whether this process should get calls, and if not, why. One state drives the admin port's `/readyz` and
//! `grpc.health.v1` on both ports.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::refusal::Refusal;

/// The conditions under which the process is ready. It is ready while every one of them holds and it is not draining.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<watch::Sender<State>>);

#[derive(Clone, Debug, Default)]
struct State {
    /// Condition -> why it does not hold; `None` when it holds.
    conditions: BTreeMap<&'static str, Option<String>>,
    draining: bool,
}

impl State {
    fn obstacles(&self) -> Vec<String> {
        let draining = self.draining.then(|| "draining: the process is shutting down".to_owned());
        let unmet = self.conditions.iter().filter_map(|(name, why)| Some(format!("{name}: {}", why.as_ref()?)));
        draining.into_iter().chain(unmet).collect()
    }

    fn is_ready(&self) -> bool {
        !self.draining && self.conditions.values().all(Option::is_none)
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(State::default())))
    }
}

impl Readiness {
    /// Adds a condition, such as "schema". It does not hold until it is `met`.
    pub fn condition(&self, name: &'static str) -> Condition {
        let condition = Condition { readiness: self.clone(), name };
        condition.unmet("not yet checked");
        condition
    }

    pub fn is_ready(&self) -> bool {
        self.0.borrow().is_ready()
    }

    /// Why the process is not ready, a line for each reason; empty when it is.
    pub fn obstacles(&self) -> Vec<String> {
        self.0.borrow().obstacles()
    }

    /// Waits until the process is ready.
    pub async fn ready(&self) {
        // The sender lives in self, so the wait cannot fail.
        let _ = self.0.subscribe().wait_for(State::is_ready).await;
    }

    /// From here on the process is not ready, whatever its conditions.
    pub(crate) fn drain(&self) {
        self.0.send_modify(|state| state.draining = true);
    }

    /// `grpc.health.v1` for the whole process ("") and each of `services`, all of which are ready together.
    pub(crate) fn health_service(&self, services: impl IntoIterator<Item = String>) -> HealthServer<HealthService> {
        HealthServer::new(HealthService { readiness: self.clone(), services: services.into_iter().collect() })
    }
}

/// One condition of readiness.
#[derive(Clone, Debug)]
pub struct Condition {
    readiness: Readiness,
    name: &'static str,
}

impl Condition {
    pub fn met(&self) {
        self.set(None);
    }

    /// `why` is shown to operators on `/readyz`: no secret belongs in it.
    pub fn unmet(&self, why: impl Into<String>) {
        self.set(Some(why.into()));
    }

    fn set(&self, why: Option<String>) {
        self.readiness.0.send_if_modified(|state| {
            if state.conditions.get(self.name) == Some(&why) {
                return false;
            }
            match &why {
                None => tracing::info!(condition = self.name, "met"),
                Some(why) => tracing::info!(condition = self.name, %why, "not met"),
            }
            state.conditions.insert(self.name, why);
            true
        });
    }
}

/// Answers from `Readiness`; there is no second state to fall out of step with it.
#[derive(Debug)]
pub(crate) struct HealthService {
    readiness: Readiness,
    services: Vec<String>,
}

impl HealthService {
    fn knows(&self, service: &str) -> bool {
        service.is_empty() || self.services.iter().any(|known| known == service)
    }
}

fn response(state: &State) -> HealthCheckResponse {
    let status = if state.is_ready() { ServingStatus::Serving } else { ServingStatus::NotServing };
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        if !self.knows(&request.get_ref().service) {
            return Err(Refusal::not_found("service").into());
        }
        Ok(Response::new(response(&self.readiness.0.borrow())))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        // An unknown service is no error for a watch: the protocol wants the stream to say so and stay open.
        if !self.knows(&request.get_ref().service) {
            let unknown = HealthCheckResponse { status: ServingStatus::ServiceUnknown.into() };
            let stream = futures::stream::once(std::future::ready(Ok(unknown))).chain(futures::stream::pending());
            return Ok(Response::new(Box::pin(stream)));
        }
        let mut last = None;
        let changes = WatchStream::new(self.readiness.0.subscribe()).filter_map(move |state| {
            let next = response(&state);
            let changed = last.replace(next) != Some(next);
            futures::future::ready(changed.then_some(Ok(next)))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}
