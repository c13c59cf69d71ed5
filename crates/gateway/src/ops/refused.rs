//! Why a token endpoint refuses: what gRPC callers are told, and the word that OAuth has for it. One decision, two ways to say it.

use api::access::v1::ErrorReason;
use tonic::{Code, Status};

use crate::refusal;

/// The error codes of RFC 6749 section 5.2 and RFC 8693 section 2.2.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OauthCode {
    InvalidRequest,
    InvalidClient,
    InvalidGrant,
    InvalidScope,
    InvalidTarget,
    TemporarilyUnavailable,
    ServerError,
}

impl OauthCode {
    pub fn word(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }
}

#[derive(Debug)]
pub struct Refused {
    pub code: OauthCode,
    pub status: Status,
}

impl Refused {
    pub fn new(code: OauthCode, status: Status) -> Self {
        Self { code, status }
    }

    /// `code` for what is the caller's fault. That something of ours is down is said as it is.
    pub fn of(code: OauthCode) -> impl Fn(Status) -> Self {
        move |status| match Self::from(status) {
            refused @ Self { code: OauthCode::TemporarilyUnavailable | OauthCode::ServerError, .. } => refused,
            Self { status, .. } => Self { code, status },
        }
    }
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        let code = match (refusal::reason(&status), status.code()) {
            (Some(ErrorReason::SignInFailed), _) => OauthCode::InvalidClient,
            (Some(ErrorReason::RefreshTokenRefused), _) => OauthCode::InvalidGrant,
            (Some(ErrorReason::AudienceNotAllowed), _) => OauthCode::InvalidTarget,
            (Some(ErrorReason::TokenTooLarge), _) => OauthCode::InvalidScope,
            (_, Code::ResourceExhausted | Code::Unavailable | Code::DeadlineExceeded) => {
                OauthCode::TemporarilyUnavailable
            }
            (_, Code::InvalidArgument) => OauthCode::InvalidRequest,
            (_, Code::Unauthenticated | Code::PermissionDenied | Code::FailedPrecondition | Code::NotFound) => {
                OauthCode::InvalidGrant
            }
            _ => OauthCode::ServerError,
        };
        Self { code, status }
    }
}
