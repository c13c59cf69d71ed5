//! The one place where a refusal becomes a status.

use access::store;
use api::access::v1::ErrorReason;
use runtime::Refusal;
use tenancy::page::PageError;
use tonic::{Code, Status};

use crate::{model::NotARevision, ops::Refused, snapshots::SnapshotError};

/// How many names a refusal lists.
const NAMED: usize = 100;

pub fn refused(error: Refused) -> Status {
    use Code::{Aborted, AlreadyExists, FailedPrecondition, PermissionDenied};
    let message = error.to_string();
    let refusal = |code, reason| Refusal::new(code, reason, short(message));
    match error {
        Refused::NotActive(state) => {
            refusal(FailedPrecondition, ErrorReason::OrganizationNotActive).metadata("state", state.as_str()).into()
        }
        Refused::NotFound(resource) => Refusal::not_found(resource).into(),
        Refused::EtagMismatch => refusal(Aborted, ErrorReason::EtagMismatch).into(),
        Refused::RoleKeyTaken(key) => refusal(AlreadyExists, ErrorReason::RoleKeyTaken).metadata("key", key).into(),
        Refused::RoleInUse => refusal(FailedPrecondition, ErrorReason::RoleInUse).into(),
        Refused::Cycle(_) => refusal(FailedPrecondition, ErrorReason::Cycle).into(),
        Refused::UnknownPermission(names) => named(
            refusal(FailedPrecondition, ErrorReason::UnknownPermission),
            "UNKNOWN_PERMISSION",
            &names,
            "the catalogue does not declare it",
        ),
        Refused::ExceedsGrantor(names) => {
            let first = names.first().cloned().unwrap_or_default();
            refusal(PermissionDenied, ErrorReason::GrantExceedsGrantor).metadata("permission", first).into()
        }
        Refused::LastOwner => refusal(FailedPrecondition, ErrorReason::LastOwner).into(),
        Refused::ExternalIdTaken => refusal(AlreadyExists, ErrorReason::ExternalIdTaken).into(),
        Refused::CatalogInUse(names) => named(
            refusal(FailedPrecondition, ErrorReason::CatalogInUse),
            "CATALOG_IN_USE",
            &names,
            "a role, a binding or a registered resource still uses it",
        ),
        Refused::TooManyRoles { limit, used } => Refusal::limit_reached("max_custom_roles", limit, used).into(),
        Refused::ResourceElsewhere(resource) => {
            refusal(AlreadyExists, ErrorReason::ResourceExists).metadata("resource", resource).into()
        }
        Refused::ResourceNotEmpty(resource) => {
            refusal(FailedPrecondition, ErrorReason::ResourceExists).metadata("resource", resource).into()
        }
        Refused::Store(error) => store(error),
    }
}

fn named(refusal: Refusal, kind: &str, names: &[String], description: &str) -> Status {
    names.iter().take(NAMED).fold(refusal, |refusal, name| refusal.precondition(kind, name, description)).into()
}

/// A message that names a thousand permissions is of no use.
fn short(mut message: String) -> String {
    const MOST: usize = 500;
    if message.len() > MOST {
        let cut = (0..=MOST).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
        message.truncate(cut);
        message.push_str(", ..");
    }
    message
}

pub fn snapshot(error: SnapshotError) -> Status {
    match error {
        SnapshotError::Foreign => invalid_revision("consistency.at_least_as_fresh"),
        SnapshotError::FromFuture => {
            let reason = ErrorReason::RevisionFromFuture;
            Refusal::new(Code::FailedPrecondition, reason, error.to_string()).into()
        }
        SnapshotError::Unproven => Refusal::new(Code::Unavailable, ErrorReason::Unavailable, error.to_string()).into(),
        SnapshotError::Store(error) => store(error),
    }
}

pub fn invalid_revision(field: &'static str) -> Status {
    Refusal::new(Code::InvalidArgument, ErrorReason::InvalidRevisionToken, NotARevision.to_string())
        .violation(field, NotARevision.to_string())
        .into()
}

pub fn page(error: PageError) -> Status {
    match error {
        PageError::Size => access::invalid_field("page_size", error),
        PageError::Token => {
            Refusal::new(Code::InvalidArgument, ErrorReason::InvalidPageToken, "not a token of this query")
                .violation("page_token", error.to_string())
                .into()
        }
    }
}
