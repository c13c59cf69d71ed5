//! The refusals that every service gives alike.

use api::access::v1::ErrorReason;
use runtime::{Refusal, Violations, internal};
use std::time::Duration;
use tenancy::StoreError;
use tonic::{Code, Status, metadata::MetadataValue};

/// One bad field.
pub fn invalid_field(field: &'static str, description: impl std::fmt::Display) -> Status {
    let mut violations = Violations::default();
    violations.add(field, description.to_string());
    match violations.finish() {
        Err(status) => status,
        Ok(()) => Refusal::new(Code::InvalidArgument, ErrorReason::InvalidFields, "invalid").into(),
    }
}

/// The store's faults, as every service answers them.
pub fn store(error: StoreError) -> Status {
    match error {
        StoreError::Busy => {
            Refusal::new(Code::ResourceExhausted, ErrorReason::Overloaded, "the database is at its limit")
                .retry_after(Duration::from_millis(200))
                .into()
        }
        StoreError::TimedOut => Refusal::new(
            Code::DeadlineExceeded,
            ErrorReason::DeadlineExceeded,
            "the time allowed ran out before an answer was ready",
        )
        .into(),
        StoreError::Unreachable(_) => {
            tracing::warn!(error = %runtime::Chain(&error), "the database cannot be reached");
            Refusal::unavailable("the database").into()
        }
        StoreError::Full(_) => {
            tracing::error!(error = %runtime::Chain(&error), "the database has no room left");
            Refusal::new(Code::Unavailable, ErrorReason::Unavailable, "the database has no room left")
                .retry_after(Duration::from_secs(5))
                .into()
        }
        StoreError::RequestIdReused => Refusal::new(
            Code::InvalidArgument,
            ErrorReason::RequestIdReused,
            "this request_id was used for another request; a new request takes a new one",
        )
        .violation("request_id", "was used with another body")
        .into(),
        StoreError::NotText => {
            Refusal::new(Code::InvalidArgument, ErrorReason::MalformedMessage, "a text holds the character U+0000")
                .into()
        }
        StoreError::TenantUnknown => Refusal::not_found("organization").into(),
        StoreError::Database(_) | StoreError::Corrupt(_) => internal(&error),
    }
}

pub fn unauthenticated() -> Status {
    Refusal::new(Code::Unauthenticated, ErrorReason::Unauthenticated, "a valid credential is needed").into()
}

pub fn credential_revoked() -> Status {
    Refusal::new(Code::Unauthenticated, ErrorReason::CredentialRevoked, "the credential was revoked").into()
}

/// There is no news of revocations: a token might be revoked without our knowing. Said before anything is done.
pub fn revocations_unknown() -> Status {
    let refusal = Refusal::unavailable("the list of revoked credentials").retry_after(Duration::from_secs(1));
    let mut status = Status::from(refusal);
    status.metadata_mut().insert(runtime::NOT_BEGUN, MetadataValue::from_static("1"));
    status
}

pub(crate) fn wrong_audience(method: &api::Method) -> Status {
    let audience = match method.audience {
        api::Audience::Anyone => "ANYONE",
        api::Audience::Self_ => "SELF",
        api::Audience::Organization => "ORGANIZATION",
        api::Audience::Project => "PROJECT",
        api::Audience::Operator => "OPERATOR",
        api::Audience::Workload => "WORKLOAD",
    };
    Refusal::new(Code::PermissionDenied, ErrorReason::WrongAudience, format!("{} is for another audience", method.name))
        .metadata("audience", audience)
        .into()
}

/// PERMISSION_DENIED: the caller lacks it.
pub fn permission_missing(permission: &'static str) -> Status {
    Refusal::new(Code::PermissionDenied, ErrorReason::PermissionMissing, format!("{permission} is needed"))
        .metadata("permission", permission)
        .into()
}

pub(crate) fn not_active(state: tenancy::OrganizationState) -> Status {
    Refusal::new(Code::FailedPrecondition, ErrorReason::OrganizationNotActive, "the organization is not active")
        .metadata("state", state.as_str())
        .into()
}

/// Whatever the project's credentials ask for.
pub fn project_archived() -> Status {
    Refusal::new(Code::FailedPrecondition, ErrorReason::ProjectArchived, "the project is archived").into()
}

pub(crate) fn not_yet_served(method: &api::Method) -> Status {
    Refusal::new(
        Code::Unimplemented,
        ErrorReason::NotYetServed,
        format!("{}/{} is not served by this version", method.service, method.name),
    )
    .into()
}

pub(crate) fn unknown_method() -> Status {
    Refusal::new(Code::Unimplemented, ErrorReason::UnknownMethod, "no such method").into()
}
