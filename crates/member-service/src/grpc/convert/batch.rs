//! Batches of new members: what each entry says, and what became of it.

use std::collections::HashSet;

use api::{
    access::v1::ErrorReason,
    member::v1::{
        self as proto, BatchCreateMembersRequest, EntryViolation, NewMemberOutcome,
        new_member_outcome::Outcome as Spoken,
    },
};
use runtime::Violations;
use tonic::Status;
use tonic_types::StatusExt;

use super::{
    MAX_ROLES,
    member::{check_new, member, read_new},
};
use crate::model::{EntryRefusal, LimitReached, NewMember, Outcome};

const MAX_MEMBERS: usize = 1000;

/// Entry by entry: what it says, or what is wrong with it.
pub fn read_batch(
    request: BatchCreateMembersRequest,
    by_project: bool,
) -> Result<Vec<Result<NewMember, EntryRefusal>>, Status> {
    let mut violations = Violations::default();
    let count = request.members.len();
    violations.require((1..=MAX_MEMBERS).contains(&count), "members", "must be 1 to 1000");
    let roles: HashSet<&String> = request.members.iter().flat_map(|entry| &entry.roles).collect();
    violations.require(roles.len() <= MAX_ROLES, "members", "must name at most 50 different roles");
    violations.finish()?;
    check_new(request.members.iter().filter_map(|entry| entry.member.as_ref()), by_project)?;
    Ok(request.members.into_iter().enumerate().map(|(at, entry)| read_entry(at, entry)).collect())
}

fn read_entry(at: usize, entry: proto::NewMember) -> Result<NewMember, EntryRefusal> {
    let mut violations = Violations::default();
    let new = read_new(&format!("members[{at}]."), entry.member, entry.roles, &mut violations);
    match violations.all((new,)) {
        Ok(((draft, roles),)) => Ok(NewMember { draft, roles }),
        Err(status) => {
            let violation = |v: tonic_types::FieldViolation| (v.field, v.description);
            let violations = status.get_details_bad_request().map(|details| details.field_violations);
            Err(EntryRefusal::Invalid(violations.unwrap_or_default().into_iter().map(violation).collect()))
        }
    }
}

pub fn outcome(outcome: Outcome) -> NewMemberOutcome {
    let outcome = match outcome {
        Ok(made) => Spoken::Member(member(&made)),
        Err(why) => Spoken::Refusal(refusal(why)),
    };
    NewMemberOutcome { outcome: Some(outcome) }
}

fn refusal(why: EntryRefusal) -> proto::EntryRefusal {
    let plain = |reason: ErrorReason, message: &str| proto::EntryRefusal {
        reason: reason.into(),
        message: message.to_owned(),
        ..proto::EntryRefusal::default()
    };
    match why {
        EntryRefusal::Invalid(violations) => proto::EntryRefusal {
            violations: violations
                .into_iter()
                .map(|(field, description)| EntryViolation { field, description })
                .collect(),
            ..plain(ErrorReason::InvalidFields, "the entry has invalid fields")
        },
        EntryRefusal::EmailTaken => {
            plain(ErrorReason::MemberEmailTaken, "a member of the organization has this email address")
        }
        EntryRefusal::ExternalIdTaken => {
            plain(ErrorReason::MemberExternalIdTaken, "a member of the organization has this external_id")
        }
        EntryRefusal::Grant(refused) => {
            let reason = if refused.exceeds_grantor { ErrorReason::GrantExceedsGrantor } else { ErrorReason::NotFound };
            let metadata = refused.metadata.into_iter().collect();
            proto::EntryRefusal { metadata, ..plain(reason, &refused.message) }
        }
        EntryRefusal::MaxMembers(LimitReached { allowed, used }) => {
            let metadata =
                [("limit", "max_members".to_owned()), ("allowed", allowed.to_string()), ("used", used.to_string())];
            proto::EntryRefusal {
                metadata: metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
                ..plain(ErrorReason::LimitReached, "max_members is reached")
            }
        }
    }
}
