//! The plaintext admin port: for probes, scrapers and operators, never for callers.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tonic::service::Routes;

use crate::readiness::{HealthService, Readiness};
use crate::telemetry::prometheus;

/// - `GET /livez`: 200 while the process runs. It looks at nothing else: a restart mends no database.
/// - `GET /readyz`: 200, or 503 with a line for each reason.
/// - `GET /metrics`: Prometheus text.
/// - `grpc.health.v1`, since a kubelet's gRPC probe speaks no TLS.
pub(crate) fn routes(
    readiness: Readiness,
    health: tonic_health::pb::health_server::HealthServer<HealthService>,
    extra: Router,
) -> Router {
    Routes::new(health)
        .into_axum_router()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(move || async move { readyz(&readiness) }))
        .route("/metrics", get(|| async { metrics() }))
        .merge(extra)
}

fn metrics() -> String {
    meters::refresh();
    prometheus().render()
}

fn readyz(readiness: &Readiness) -> (StatusCode, String) {
    match readiness.obstacles() {
        obstacles if obstacles.is_empty() => (StatusCode::OK, "ok\n".to_owned()),
        obstacles => (StatusCode::SERVICE_UNAVAILABLE, obstacles.join("\n") + "\n"),
    }
}
