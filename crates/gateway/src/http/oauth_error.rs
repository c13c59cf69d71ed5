//! Errors of the token endpoint, as RFC 6749 section 5.2 words them.

use std::time::Duration;

use api::access::v1::ErrorReason;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::token::NO_STORE;
use crate::refusal;

#[derive(Debug)]
pub struct OauthError {
    status: StatusCode,
    error: &'static str,
    description: String,
    retry_after: Option<Duration>,
}

impl OauthError {
    fn new(status: StatusCode, error: &'static str, description: impl Into<String>) -> Self {
        Self { status, error, description: description.into(), retry_after: None }
    }

    pub fn invalid_request(description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", description)
    }

    pub fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", "the request is larger than 64 KiB")
    }

    pub fn wrong_verb() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", "the token endpoint takes POST")
    }

    pub fn unsupported_grant_type() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
            "the grant types are client_credentials and refresh_token",
        )
    }

    pub fn invalid_scope() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_scope",
            "tokens have no scopes: what a caller may do is decided by roles",
        )
    }

    /// Which of id and secret was wrong is not said.
    pub fn invalid_client() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_client", "the client could not be authenticated")
    }
}

impl From<Status> for OauthError {
    fn from(status: Status) -> Self {
        let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
        let mut error = match (refusal::reason(&status), status.code()) {
            (Some(ErrorReason::SignInFailed), _) => Self::invalid_client(),
            (Some(ErrorReason::RefreshTokenRefused), _) => {
                Self::new(StatusCode::BAD_REQUEST, "invalid_grant", "the refresh token is not good, or no longer")
            }
            (Some(ErrorReason::InvalidFields), _) => Self::invalid_request(status.message()),
            (_, Code::ResourceExhausted) => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", status.message())
            }
            (_, Code::Unavailable | Code::DeadlineExceeded) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", status.message())
            }
            _ => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "internal error"),
        };
        error.retry_after = retry_after;
        error
    }
}

impl IntoResponse for OauthError {
    fn into_response(self) -> Response {
        let body = json!({"error": self.error, "error_description": self.description}).to_string();
        let mut response = (self.status, super::JSON, NO_STORE, body).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"guildhall\""));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        if let Some(delay) = self.retry_after {
            // Whole seconds, rounded up: who comes a moment early is refused again.
            let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}
