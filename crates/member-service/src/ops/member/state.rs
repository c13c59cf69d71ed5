//! Suspending members and letting them back in.
//!
//! Rights go first and come back last: a suspension is told to authz-service before the row is written, a reactivation after. A
//! suspension that stops half-way denies everything already, and is finished when this service reads of it in authz-service's feed;
//! a reactivation that stops half-way is repaired by asking again, or by authz-service reading of it here. Until a suspension is
//! finished nobody is told that the member is active again: what is acknowledged would be undone.

use access::Granted;
use runtime::kill_point;
use tenancy::{
    Change, Head, MemberId, NewEvent, Once, OrganizationId, OrganizationScope, Origin, StoreError, Write, event::now,
    mask::etag_matches,
};

use super::read::{ReadError, get};
use crate::{
    model::{EndReason, Member, MemberState, MemberWithRoles},
    ops::{Context, NotActive, active, append_session_end},
    remote::RemoteError,
    store::{
        member::{self, Key, WriteError},
        session,
    },
};

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("no such member")]
    Unknown,
    #[error("the member changed since the etag was read")]
    EtagMismatch,
    #[error("a suspension that has begun is not finished yet")]
    Suspending,
    #[error(transparent)]
    NotActive(#[from] NotActive),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ReadError> for StateError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unknown => Self::Unknown,
            ReadError::Remote(error) => Self::Remote(error),
            ReadError::Store(error) => Self::Store(error),
        }
    }
}

pub async fn suspend(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    once: Option<&Once>,
    id: MemberId,
    etag: &str,
) -> Result<MemberWithRoles, StateError> {
    let (scope, organization) = (granted.scope, granted.scope.organization_id());
    if let Some(once) = once
        && let Some(first) = context.database.kept_answer(scope, once).await?
    {
        return Ok(first);
    }
    let head = active_head(context, scope).await?;
    let found = get(context, granted, &Key::Id(id)).await?;
    if !etag_matches(etag, found.member.revision) {
        return Err(StateError::EtagMismatch);
    }
    if found.member.state == MemberState::Suspended {
        return Ok(found);
    }
    // The write to come takes this revision or a later one; a reactivation that is still on its way had an earlier one.
    let told = head.revision + 1;
    context.remote.set_state(granted.into(), scope, id, MemberState::Suspended, told, true).await?;
    kill_point("suspend-member/told");

    let mut tx = context.database.write(scope, &granted.origin(), once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    let before = member::find(tx.connection(), organization, &Key::Id(id)).await?.ok_or(StateError::Unknown)?;
    let member = write_suspension(&mut tx, before).await?;
    let suspended = tx.commit(MemberWithRoles { member, ..found }).await?;
    kill_point("suspend-member/committed");
    let revision = suspended.member.state_revision;
    if revision > told {
        // Somebody else wrote in between: what they told may be newer than what was told above.
        context.remote.set_state(granted.into(), scope, id, MemberState::Suspended, revision, false).await?;
    }
    Ok(suspended)
}

async fn active_head(context: &Context, scope: OrganizationScope) -> Result<Head, StateError> {
    let mut read = context.database.read(scope).await?;
    let head = Head::find(read.connection(), scope.organization_id()).await?.ok_or(StoreError::TenantUnknown)?;
    read.finish();
    active(head.state)?;
    Ok(head)
}

/// The row, the sessions and the events. A member who is suspended already stays as they are.
async fn write_suspension(tx: &mut Write, before: Member) -> Result<Member, StoreError> {
    if before.state == MemberState::Suspended {
        return Ok(before);
    }
    let member = in_state(tx, &before, MemberState::Suspended);
    update(tx, &member).await?;
    append(tx, "member.suspended", before, member.clone());
    let ended = session::delete_of_member(tx.connection(), member.organization_id, member.member_id).await?;
    for session in ended {
        append_session_end(tx, session, EndReason::MemberSuspended);
    }
    Ok(member)
}

/// Writes a suspension that authz-service was told of, as of `told`, and that never got further.
pub async fn finish_suspension(
    context: &Context,
    scope: OrganizationScope,
    origin: &Origin,
    id: MemberId,
    told: i64,
) -> Result<(), StoreError> {
    let overdue = |member: &Member| member.state == MemberState::Active && member.state_revision < told;
    let organization: OrganizationId = scope.organization_id();
    let mut read = context.database.read(scope).await?;
    let found = member::find(read.connection(), organization, &Key::Id(id)).await?;
    read.finish();
    if !found.as_ref().is_some_and(overdue) {
        return Ok(());
    }
    let mut tx = context.database.write(scope, origin, None).await?;
    match member::find(tx.connection(), organization, &Key::Id(id)).await? {
        Some(before) if overdue(&before) => {
            write_suspension(&mut tx, before).await?;
            tx.commit(()).await
        }
        _ => Ok(()),
    }
}

pub async fn reactivate(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    once: Option<&Once>,
    id: MemberId,
    etag: &str,
) -> Result<MemberWithRoles, StateError> {
    active_head(context, granted.scope).await?;
    let mut found = get(context, granted, &Key::Id(id)).await?;
    if found.member.state == MemberState::Suspended {
        if let Some(active_again) = write_reactivation(context, granted, once, id, etag, found).await? {
            kill_point("reactivate-member/committed");
            tell_active(context, granted, &active_again.member).await?;
            return Ok(active_again);
        }
        found = get(context, granted, &Key::Id(id)).await?;
    }
    if !etag_matches(etag, found.member.revision) {
        return Err(StateError::EtagMismatch);
    }
    // The call after an earlier reactivation may have been lost.
    if tell_active(context, granted, &found.member).await? { Ok(found) } else { Err(StateError::Suspending) }
}

/// Whether that is what authz-service goes by.
async fn tell_active(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    member: &Member,
) -> Result<bool, RemoteError> {
    // Of a member who was never suspended nothing was written: whatever authz-service was told is newer.
    let (id, revision) = (member.member_id, member.state_revision.max(1));
    context.remote.set_state(granted.into(), granted.scope, id, MemberState::Active, revision, false).await
}

/// None when somebody else was quicker.
async fn write_reactivation(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    once: Option<&Once>,
    id: MemberId,
    etag: &str,
    found: MemberWithRoles,
) -> Result<Option<MemberWithRoles>, StateError> {
    let mut tx = context.database.write(granted.scope, &granted.origin(), once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(Some(first));
    }
    active(tx.head().state)?;
    let organization = granted.scope.organization_id();
    let before = member::find(tx.connection(), organization, &Key::Id(id)).await?.ok_or(StateError::Unknown)?;
    if !etag_matches(etag, before.revision) {
        return Err(StateError::EtagMismatch);
    }
    if before.state == MemberState::Active {
        return Ok(None);
    }
    let member = in_state(&tx, &before, MemberState::Active);
    update(&mut tx, &member).await?;
    append(&mut tx, "member.reactivated", before, member.clone());
    Ok(Some(tx.commit(MemberWithRoles { member, ..found }).await?))
}

async fn update(tx: &mut Write, member: &Member) -> Result<(), StoreError> {
    member::update(tx.connection(), member).await.map_err(|error| match error {
        // Neither is written by a change of state.
        WriteError::EmailTaken | WriteError::ExternalIdTaken | WriteError::AddressMoved => {
            StoreError::Corrupt("member key")
        }
        WriteError::Store(error) => error,
    })
}

fn in_state(tx: &Write, before: &Member, state: MemberState) -> Member {
    let revision = tx.revision();
    Member { state, state_revision: revision, revision, update_time: now(), ..before.clone() }
}

fn append(tx: &mut Write, kind: &'static str, before: Member, after: Member) {
    let ids = vec![after.member_id.to_string(), after.identity_id.to_string()];
    tx.append(NewEvent::new(kind, ids, &Change::updated(before, after)));
}
