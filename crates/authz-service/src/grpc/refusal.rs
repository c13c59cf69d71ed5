//! The one place where a refusal becomes a status.

use access::store;
use api::access::v1::ErrorReason;
use runtime::Refusal;
use tenancy::page::PageError;
use tonic::{Code, Status};

use super::convert::change;
use crate::{
    model::NotARevision,
    ops::{Refused, Rejected, Unmet, edit::Edit},
    snapshots::SnapshotError,
};

/// How many names a refusal lists.
const NAMED: usize = 100;

pub fn refused(error: Refused) -> Status {
    refusal(error).map_or_else(|status| status, Status::from)
}

/// The refusal, for more to be said of it; or the status where there is nothing more to say.
fn refusal(error: Refused) -> Result<Refusal, Status> {
    use Code::{Aborted, AlreadyExists, FailedPrecondition, PermissionDenied};
    let message = error.to_string();
    let refusal = |code, reason| Refusal::new(code, reason, short(message));
    Ok(match error {
        Refused::NotActive(state) => {
            refusal(FailedPrecondition, ErrorReason::OrganizationNotActive).metadata("state", state.as_str())
        }
        Refused::NotFound(resource) => Refusal::not_found(resource),
        Refused::EtagMismatch => refusal(Aborted, ErrorReason::EtagMismatch),
        Refused::RoleKeyTaken(key) => refusal(AlreadyExists, ErrorReason::RoleKeyTaken).metadata("key", key),
        Refused::RoleInUse => refusal(FailedPrecondition, ErrorReason::RoleInUse),
        Refused::Cycle(_) => refusal(FailedPrecondition, ErrorReason::Cycle),
        Refused::UnknownPermission(names) => named(
            refusal(FailedPrecondition, ErrorReason::UnknownPermission),
            "UNKNOWN_PERMISSION",
            &names,
            "the catalogue does not declare it",
        ),
        Refused::ExceedsGrantor(names) => {
            let first = names.first().cloned().unwrap_or_default();
            refusal(PermissionDenied, ErrorReason::GrantExceedsGrantor).metadata("permission", first)
        }
        Refused::WindowReversed => {
            let refusal = refusal(Code::InvalidArgument, ErrorReason::InvalidFields);
            refusal.violation("binding.expire_time", "must be later than not_before")
        }
        Refused::LastOwner => refusal(FailedPrecondition, ErrorReason::LastOwner),
        Refused::ExternalIdTaken => refusal(AlreadyExists, ErrorReason::ExternalIdTaken),
        Refused::CatalogInUse(names) => named(
            refusal(FailedPrecondition, ErrorReason::CatalogInUse),
            "CATALOG_IN_USE",
            &names,
            "a role, a binding or a registered resource still uses it",
        ),
        Refused::TooManyRoles { limit, used } => Refusal::limit_reached("max_custom_roles", limit, used),
        Refused::ResourceElsewhere(resource) => {
            refusal(AlreadyExists, ErrorReason::ResourceExists).metadata("resource", resource)
        }
        Refused::ResourceNotEmpty(resource) => {
            refusal(FailedPrecondition, ErrorReason::ResourceExists).metadata("resource", resource)
        }
        Refused::IdTaken => refusal(AlreadyExists, ErrorReason::IdTaken),
        Refused::ForeignRevision => return Err(invalid_revision("expected_revision")),
        Refused::RevisionOfAnotherHistory => refusal(FailedPrecondition, ErrorReason::RevisionOfAnotherHistory),
        Refused::Store(error) => return Err(store(error)),
    })
}

fn named(refusal: Refusal, kind: &str, names: &[String], description: &str) -> Refusal {
    names.iter().take(NAMED).fold(refusal, |refusal, name| refusal.precondition(kind, name, description))
}

/// How long the list of what is wrong with a batch may be: an answer's trailers have to fit into 16 KiB.
const LISTED_BYTES: usize = 6 * 1024;

/// Code and reason are those of the first fault; every fault is named, by its path in the request.
pub fn rejected(rejected: Rejected, edits: &[Edit]) -> Status {
    rejected_at(rejected, |at, field| change::path(edits, at, field))
}

/// The same where the edits stand elsewhere in the request.
pub fn rejected_at(rejected: Rejected, path: impl Fn(usize, &str) -> String) -> Status {
    match rejected {
        Rejected::Whole(error) => refused(error),
        Rejected::Unmet(unmet) => {
            let (code, reason) = (Code::Aborted, ErrorReason::PreconditionNotMet);
            let refusal = Refusal::new(code, reason, "what the batch was to find is not so: nothing was changed");
            let field = |unmet: Unmet| match unmet {
                Unmet::Revision => "expected_revision".to_owned(),
                Unmet::Precondition(at) => format!("preconditions[{at}]"),
            };
            listed(refusal, unmet.into_iter().map(|unmet| (field(unmet), "does not hold".to_owned()))).into()
        }
        Rejected::Edits(faults) => {
            let named: Vec<(String, String)> =
                faults.iter().map(|fault| (path(fault.at, fault.field), short(fault.refused.to_string()))).collect();
            match faults.into_iter().next().map(|first| refusal(first.refused)) {
                Some(Ok(refusal)) => listed(refusal, named.into_iter()).into(),
                Some(Err(status)) => status,
                None => store(tenancy::StoreError::Corrupt("refusal")),
            }
        }
    }
}

fn listed(refusal: Refusal, faults: impl Iterator<Item = (String, String)>) -> Refusal {
    let mut left = LISTED_BYTES;
    let mut unlisted = 0;
    let mut refusal = refusal;
    for (field, description) in faults {
        match left.checked_sub(field.len() + description.len()) {
            Some(rest) if unlisted == 0 => {
                left = rest;
                refusal = refusal.violation(field, description);
            }
            _ => unlisted += 1,
        }
    }
    if unlisted > 0 { refusal.violation("changes", format!("and {unlisted} more")) } else { refusal }
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
        SnapshotError::AnotherHistory => {
            let reason = ErrorReason::RevisionOfAnotherHistory;
            Refusal::new(Code::FailedPrecondition, reason, error.to_string()).into()
        }
        SnapshotError::FromFuture => {
            let reason = ErrorReason::RevisionFromFuture;
            Refusal::new(Code::FailedPrecondition, reason, error.to_string()).into()
        }
        SnapshotError::Unproven => Refusal::new(Code::Unavailable, ErrorReason::Unavailable, error.to_string()).into(),
        SnapshotError::Store(error) => store(error),
    }
}

pub fn invalid_revision(field: &str) -> Status {
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

/// A list cannot be taken up again: the cursor is another's, or the revision that it is of is not held any more.
pub fn cursor() -> Status {
    Refusal::new(Code::InvalidArgument, ErrorReason::InvalidPageToken, "the list cannot be taken up again here")
        .violation("cursor", "is not a cursor of this very request, or what it goes on in is not held any more")
        .into()
}
