//! What the gateway refuses itself, and what it passes on of others' refusals.

use std::time::Duration;

use api::access::v1::ErrorReason;
use runtime::Refusal;
use tonic::{Code, Status};
use tonic_types::{FieldViolation, StatusExt};

/// The same answer as the runtime's for a path that is in no contract: who asks for a workload's method learns nothing.
pub fn unknown_method() -> Status {
    Refusal::new(Code::Unimplemented, ErrorReason::UnknownMethod, "no such method is served here").into()
}

pub fn not_yet_served(what: &str) -> Status {
    Refusal::new(Code::Unimplemented, ErrorReason::NotYetServed, format!("{what} is not served by this version")).into()
}

/// Only a member has a session to go on from.
pub fn for_members() -> Status {
    Refusal::new(Code::PermissionDenied, ErrorReason::WrongAudience, "for members only")
        .metadata("audience", "SELF")
        .into()
}

/// A refusal of a sign-up, its fields named as the caller named them.
pub fn of_sign_up(status: Status) -> Status {
    let mut details = status.get_error_details();
    let Some(bad) = details.bad_request().cloned() else { return status };
    let renamed = bad.field_violations.into_iter().map(|violation| {
        let field = match violation.field.strip_prefix("organization_") {
            Some(field) => format!("organization.{field}"),
            None => violation.field,
        };
        FieldViolation { field, ..violation }
    });
    details.set_bad_request(renamed.collect::<Vec<_>>());
    Status::with_error_details(status.code(), status.message(), details)
}

/// As org-service says it of one that is not there.
pub fn no_such_organization() -> Status {
    Refusal::not_found("organization").into()
}

pub fn saml_not_served() -> Status {
    let text = "signing in by SAML is not served by this version";
    Refusal::new(Code::FailedPrecondition, ErrorReason::ProtocolNotServed, text).into()
}

/// One answer for a wrong address, organization or secret.
pub fn sign_in_failed() -> Status {
    Refusal::new(Code::Unauthenticated, ErrorReason::SignInFailed, "the sign-in failed").into()
}

pub fn audience_not_allowed() -> Status {
    Refusal::new(Code::InvalidArgument, ErrorReason::AudienceNotAllowed, "the project declares no such audience")
        .violation("audience", "must be one that the project declares")
        .into()
}

pub fn second_factor_missing() -> Status {
    Refusal::new(Code::FailedPrecondition, ErrorReason::MfaRequired, "the organization asks for a second factor").into()
}

pub fn token_too_large() -> Status {
    Refusal::new(
        Code::ResourceExhausted,
        ErrorReason::TokenTooLarge,
        "what was asked for makes the token larger than 4 KiB",
    )
    .into()
}

pub fn rate_limited(retry_after: Duration) -> Status {
    Refusal::new(Code::ResourceExhausted, ErrorReason::RateLimited, "too many attempts").retry_after(retry_after).into()
}

/// INTERNAL: a service's answer lacks what its contract promises.
#[track_caller]
pub fn incomplete(what: &'static str) -> Status {
    runtime::internal(&Incomplete { what })
}

#[derive(Debug, thiserror::Error)]
#[error("{what} lacks what its contract promises")]
struct Incomplete {
    what: &'static str,
}

/// The reason that a status carries, if it is one of ours.
pub fn reason(status: &Status) -> Option<ErrorReason> {
    let info = status.get_details_error_info().filter(|info| info.domain == runtime::ERROR_DOMAIN)?;
    ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason))
}

/// Another service's answer as our own: its code, message and details, and not the headers it came with.
pub fn passed_on(status: &Status) -> Status {
    Status::with_details(status.code(), status.message(), status.details().to_vec().into())
}

/// The answer to a call that the gateway made on its own account. Only what concerns the person who signs in goes on to them: that
/// our own workload token was refused is a fault of ours and none of theirs.
pub fn of_our_call(status: Status) -> Status {
    match reason(&status) {
        Some(ErrorReason::SignInFailed) => sign_in_failed(),
        Some(
            ErrorReason::InvalidFields
            | ErrorReason::MethodNotAllowed
            | ErrorReason::MfaRequired
            | ErrorReason::ProviderAccountRefused
            | ErrorReason::ProtocolNotServed
            | ErrorReason::InvitationNotPending
            | ErrorReason::InviterLostRights
            | ErrorReason::LimitReached
            | ErrorReason::InvalidPageToken
            | ErrorReason::RequestIdReused
            | ErrorReason::PasswordTooWeak
            | ErrorReason::SlugTaken
            | ErrorReason::ProjectArchived
            | ErrorReason::CredentialRevoked
            | ErrorReason::RefreshTokenRefused
            | ErrorReason::RateLimited
            | ErrorReason::Overloaded
            | ErrorReason::Unavailable
            | ErrorReason::DeadlineExceeded,
        ) => passed_on(&status),
        _ => runtime::internal(&status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_workload_token_is_a_fault_of_ours() {
        let refused = access::unauthenticated();
        assert_eq!(of_our_call(refused).code(), Code::Internal);
        assert_eq!(of_our_call(Status::unauthenticated("no details")).code(), Code::Internal);
    }

    #[test]
    fn a_failed_sign_in_reads_the_same_whoever_says_it() {
        let theirs = Refusal::new(Code::Unauthenticated, ErrorReason::SignInFailed, "wrong password").into();
        let passed = of_our_call(theirs);
        assert_eq!((passed.message(), passed.details()), (sign_in_failed().message(), sign_in_failed().details()));
    }

    #[test]
    fn another_domain_s_reason_is_none_of_ours() {
        let mut details = tonic_types::ErrorDetails::new();
        details.set_error_info("SIGN_IN_FAILED", "example.com", std::collections::HashMap::new());
        assert_eq!(reason(&Status::with_error_details(Code::Unauthenticated, "", details)), None);
    }
}
