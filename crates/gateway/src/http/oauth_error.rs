//! Errors of the token endpoint, as RFC 6749 section 5.2 words them.

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::token::NO_STORE;
use crate::ops::refused::{OauthCode, Refused};

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
            "the grant types are client_credentials, refresh_token and token-exchange",
        )
    }

    pub fn unauthorized_client() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "unauthorized_client", "the client may not ask for this")
    }

    /// Which of id and secret was wrong is not said.
    pub fn invalid_client() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_client", "the client could not be authenticated")
    }

    /// The error code.
    pub fn word(&self) -> &'static str {
        self.error
    }
}

impl From<Refused> for OauthError {
    fn from(Refused { code, status }: Refused) -> Self {
        let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
        let refused = |http| Self::new(http, code.word(), speakable(status.message()));
        let mut error = match code {
            OauthCode::InvalidClient => Self::invalid_client(),
            OauthCode::InvalidRequest
            | OauthCode::InvalidGrant
            | OauthCode::InvalidScope
            | OauthCode::InvalidTarget => refused(StatusCode::BAD_REQUEST),
            OauthCode::TemporarilyUnavailable if status.code() == Code::ResourceExhausted => {
                refused(StatusCode::TOO_MANY_REQUESTS)
            }
            OauthCode::TemporarilyUnavailable => refused(StatusCode::SERVICE_UNAVAILABLE),
            OauthCode::ServerError => Self::new(StatusCode::INTERNAL_SERVER_ERROR, code.word(), "internal error"),
        };
        error.retry_after = retry_after;
        error
    }
}

impl From<Status> for OauthError {
    fn from(status: Status) -> Self {
        Refused::from(status).into()
    }
}

/// The characters that section 5.2 allows in a description.
fn speakable(text: &str) -> String {
    text.chars().map(|c| if matches!(c, ' '..='~') && c != '"' && c != '\\' { c } else { '\'' }).collect()
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
