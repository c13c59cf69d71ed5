//! What each failure of an operation is to its caller.

use std::time::Duration;

use access::store;
use api::access::v1::ErrorReason;
use runtime::{Refusal, Violations};
use serde::de::DeserializeOwned;
use tenancy::{
    ConnectionId, Sealer,
    page::{Page, PageError, Query},
};
use tonic::{Code, Status};

use super::convert::{DEFAULT_IDLE_TIMEOUT, IDLE_TIMEOUT};
use crate::{
    ops::{
        connection::ConnectionError,
        domain::DomainError,
        organization::{CreateError, PromoteError, SeveralError, StateError, UpdateError},
        project,
        provider::ProviderError,
    },
    outside::OidcError,
};

pub fn missing() -> Status {
    Refusal::not_found("organization").into()
}

pub fn several(error: SeveralError) -> Status {
    match error {
        SeveralError::Missing(index) => Refusal::not_found("organization").metadata("index", index.to_string()).into(),
        SeveralError::TooLarge => {
            access::invalid_field("organization_ids", "these hold more than 2 MiB together: ask for fewer at once")
        }
        SeveralError::Store(error) => store(error),
    }
}

pub fn create(error: CreateError) -> Status {
    match error {
        CreateError::ProjectUnknown => Refusal::not_found("project").into(),
        CreateError::ProjectArchived => archived(&error),
        CreateError::LimitReached { limit, used } => {
            Refusal::limit_reached("max_organizations", limit.into(), used).into()
        }
        CreateError::NameMissing => access::invalid_field("display_name", &error),
        CreateError::SlugTaken => taken(ErrorReason::SlugTaken, &error),
        CreateError::ExternalIdTaken => taken(ErrorReason::ExternalIdTaken, &error),
        CreateError::Store(error) => store(error),
    }
}

pub fn promote(error: PromoteError) -> Status {
    match error {
        PromoteError::Unknown => missing(),
        PromoteError::NotActive(state) => {
            Refusal::new(Code::FailedPrecondition, ErrorReason::OrganizationNotActive, "the organization is not active")
                .metadata("state", state.as_str())
                .into()
        }
        PromoteError::Store(error) => store(error),
    }
}

pub fn update(error: UpdateError) -> Status {
    match error {
        UpdateError::Unknown => missing(),
        UpdateError::ProjectArchived => archived(&error),
        UpdateError::EtagMismatch => etag_mismatch(&error),
        UpdateError::KindIsFinal => {
            Refusal::new(Code::FailedPrecondition, ErrorReason::OrganizationState, error.to_string())
                .precondition("KIND", "organization", "is TEAM")
                .into()
        }
        UpdateError::IdleTimeoutTooLong => access::invalid_field(IDLE_TIMEOUT, &error),
        UpdateError::SlugTaken => taken(ErrorReason::SlugTaken, &error),
        UpdateError::TooManySlugs { most } => Refusal::limit_reached("max_slugs", most, most).into(),
        UpdateError::ExternalIdTaken => taken(ErrorReason::ExternalIdTaken, &error),
        UpdateError::Store(error) => store(error),
    }
}

pub fn change_state(error: StateError) -> Status {
    match error {
        StateError::Unknown => missing(),
        StateError::ProjectArchived => archived(&error),
        StateError::EtagMismatch => etag_mismatch(&error),
        StateError::Deleted => {
            Refusal::new(Code::FailedPrecondition, ErrorReason::OrganizationState, error.to_string())
                .precondition("STATE", "organization", "is DELETED")
                .into()
        }
        StateError::GraceOver => {
            Refusal::new(Code::FailedPrecondition, ErrorReason::OrganizationState, error.to_string())
                .precondition("STATE", "organization", "is past its purge_time")
                .into()
        }
        StateError::NotKnownYet => not_known_yet(),
        StateError::Store(error) => store(error),
    }
}

/// Whoever asks again makes them told again.
fn not_known_yet() -> Status {
    Refusal::unavailable("the change is made, but a service that it must be known to").into()
}

pub fn update_project(error: project::UpdateError) -> Status {
    use project::UpdateError::*;
    match error {
        Unknown => Refusal::not_found("project").into(),
        Archived => archived(&error),
        EtagMismatch => etag_mismatch(&error),
        IdleTimeoutTooLong => access::invalid_field(DEFAULT_IDLE_TIMEOUT, &error),
        Store(error) => store(error),
    }
}

pub fn archive_project(error: project::ArchiveError) -> Status {
    use project::ArchiveError::*;
    match error {
        Unknown => Refusal::not_found("project").into(),
        EtagMismatch => etag_mismatch(&error),
        NotKnownYet => not_known_yet(),
        Store(error) => store(error),
    }
}

pub fn domain(error: DomainError) -> Status {
    match error {
        DomainError::Unknown => Refusal::not_found("domain").into(),
        DomainError::OrganizationUnknown => missing(),
        DomainError::ProjectArchived => archived(&error),
        DomainError::EtagMismatch => etag_mismatch(&error),
        DomainError::Claimed | DomainError::Taken => taken(ErrorReason::DomainTaken, &error),
        DomainError::LimitReached { limit } => {
            Refusal::new(Code::ResourceExhausted, ErrorReason::LimitReached, error.to_string())
                .quota("organization", format!("{limit} of {limit} domains"))
                .into()
        }
        DomainError::TooSoon => too_soon(&error),
        DomainError::NoAnswer => Refusal::unavailable("the domain's name servers").into(),
        DomainError::Store(error) => store(error),
    }
}

pub fn connection(error: ConnectionError) -> Status {
    match error {
        ConnectionError::Unknown => Refusal::not_found("connection").into(),
        ConnectionError::OrganizationUnknown => missing(),
        ConnectionError::ProjectArchived => archived(&error),
        ConnectionError::EtagMismatch => etag_mismatch(&error),
        ConnectionError::LimitReached { limit } => {
            Refusal::new(Code::ResourceExhausted, ErrorReason::LimitReached, error.to_string())
                .quota("organization", format!("{limit} of {limit} connections"))
                .into()
        }
        ConnectionError::SecretElsewhere => access::invalid_field("connection.client_secret", &error),
        ConnectionError::ProjectsAreOidc => access::invalid_field("connection.kind", &error),
        ConnectionError::ProjectGivesNoRoles => access::invalid_field("connection.group_role_ids", &error),
        ConnectionError::TooSoon => too_soon(&error),
        ConnectionError::Grant(error) => error.into_status(),
        ConnectionError::Store(error) => store(error),
    }
}

pub fn authorize_sign_in(error: ProviderError) -> Status {
    match error {
        ProviderError::OrganizationUnknown => missing(),
        ProviderError::ConnectionUnknown => Refusal::not_found("connection").into(),
        ProviderError::RedirectNotAllowed => access::invalid_field("redirect_uri", &error),
        ProviderError::Several | ProviderError::PoolIsIsolated => access::invalid_field("connection_id", &error),
        ProviderError::ProtocolNotServed => {
            Refusal::new(Code::FailedPrecondition, ErrorReason::ProtocolNotServed, error.to_string()).into()
        }
        ProviderError::Oidc(error) => provider(&error),
        ProviderError::Store(error) => store(error),
    }
}

/// The person is told that it failed; why is for the log.
pub fn redeem_code(error: ProviderError, connection: ConnectionId) -> Status {
    match error {
        ProviderError::OrganizationUnknown
        | ProviderError::ConnectionUnknown
        | ProviderError::RedirectNotAllowed
        | ProviderError::Several
        | ProviderError::PoolIsIsolated
        | ProviderError::ProtocolNotServed
        | ProviderError::Oidc(OidcError::Refused(_)) => {
            tracing::info!(%error, connection_id = %connection, "a sign-in at an identity provider failed");
            Refusal::new(Code::Unauthenticated, ErrorReason::SignInFailed, "the sign-in failed").into()
        }
        ProviderError::Oidc(error) => provider(&error),
        ProviderError::Store(error) => store(error),
    }
}

/// What a provider says is not repeated to whoever comes; where it fails is.
fn provider(error: &OidcError) -> Status {
    tracing::info!(%error, "an identity provider cannot be used now");
    Refusal::new(Code::Unavailable, ErrorReason::Unavailable, error.to_string()).into()
}

/// What may be asked for every ten seconds.
fn too_soon(error: &dyn std::error::Error) -> Status {
    Refusal::new(Code::ResourceExhausted, ErrorReason::RateLimited, error.to_string())
        .retry_after(Duration::from_secs(10))
        .into()
}

fn archived(error: &dyn std::error::Error) -> Status {
    Refusal::new(Code::FailedPrecondition, ErrorReason::ProjectArchived, error.to_string()).into()
}

fn etag_mismatch(error: &dyn std::error::Error) -> Status {
    Refusal::new(Code::Aborted, ErrorReason::EtagMismatch, error.to_string()).into()
}

fn taken(reason: ErrorReason, error: &dyn std::error::Error) -> Status {
    Refusal::new(Code::AlreadyExists, reason, error.to_string()).into()
}

/// The page that a list asks for. A bad size is one violation among the others; a bad token has a reason of its own.
pub fn page<C: DeserializeOwned>(
    query: &Query<'_>,
    sealer: &Sealer,
    size: i32,
    token: &str,
    violations: &mut Violations,
) -> Result<Option<Page<C>>, Status> {
    match query.page(sealer, size, token) {
        Ok(page) => Ok(Some(page)),
        Err(error @ PageError::Size) => Ok(violations.check("page_size", Err(error))),
        // With another field wrong the token cannot fit either.
        Err(PageError::Token) if !violations.is_empty() => Ok(None),
        Err(error @ PageError::Token) => {
            let refusal =
                Refusal::new(Code::InvalidArgument, ErrorReason::InvalidPageToken, format!("page_token {error}"));
            Err(refusal.violation("page_token", error.to_string()).into())
        }
    }
}
