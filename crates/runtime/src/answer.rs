//! A status as an HTTP response, for callers that speak gRPC and for those that speak JSON.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// What the caller speaks, judged by its content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// gRPC or gRPC-Web.
    Grpc,
    /// Plain HTTP, as the gateway offers it.
    Http,
}

impl Wire {
    pub fn of(headers: &HeaderMap) -> Self {
        let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        if content_type.starts_with(b"application/grpc") { Self::Grpc } else { Self::Http }
    }
}

/// The response that refuses a call: a trailers-only gRPC response, or an HTTP error with the status as JSON.
pub fn answer(status: Status, wire: Wire) -> Response<Body> {
    match wire {
        Wire::Grpc => status.into_http(),
        Wire::Http => {
            let mut response = Response::new(Body::new(axum::body::Body::from(status_json(&status).to_string())));
            *response.status_mut() = http_status(status.code());
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
    }
}

/// The HTTP status of a code, by the table of `google/rpc/code.proto`.
pub fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A status as the JSON form of `google.rpc.Status`, with the details that `Refusal` can put in it.
pub fn status_json(status: &Status) -> Value {
    let details = status.get_error_details();
    let mut list = Vec::new();
    let mut push = |name: &str, mut fields: Value| {
        fields["@type"] = format!("type.googleapis.com/google.rpc.{name}").into();
        list.push(fields);
    };
    if let Some(info) = details.error_info() {
        push("ErrorInfo", json!({"reason": info.reason, "domain": info.domain, "metadata": info.metadata}));
    }
    if let Some(bad) = details.bad_request() {
        let violations = bad.field_violations.iter();
        let violations = violations.map(|v| json!({"field": v.field, "description": v.description}));
        push("BadRequest", json!({"fieldViolations": violations.collect::<Vec<_>>()}));
    }
    if let Some(quota) = details.quota_failure() {
        let violations = quota.violations.iter();
        let violations = violations.map(|v| json!({"subject": v.subject, "description": v.description}));
        push("QuotaFailure", json!({"violations": violations.collect::<Vec<_>>()}));
    }
    if let Some(failure) = details.precondition_failure() {
        let violations = failure.violations.iter();
        let violations =
            violations.map(|v| json!({"type": v.r#type, "subject": v.subject, "description": v.description}));
        push("PreconditionFailure", json!({"violations": violations.collect::<Vec<_>>()}));
    }
    if let Some(delay) = details.retry_info().and_then(|retry| retry.retry_delay) {
        push("RetryInfo", json!({"retryDelay": format!("{:.3}s", delay.as_secs_f64())}));
    }
    json!({"code": status.code() as i32, "message": status.message(), "details": list})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Refusal;

    #[test]
    fn a_json_caller_gets_a_json_refusal() {
        let response = answer(Refusal::not_found("organization").into(), Wire::of(&HeaderMap::new()));
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        let json = status_json(&Refusal::not_found("organization").violation("slug", "too short").into());
        assert_eq!(json["details"][0]["reason"], "NOT_FOUND");
        assert_eq!(json["details"][0]["metadata"]["resource"], "organization");
        assert_eq!(json["details"][1]["fieldViolations"][0]["field"], "slug");
    }
}
