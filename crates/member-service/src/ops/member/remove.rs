//! Removing a member for good.
//!
//! Rights go first: authz-service drops the bindings, refusing where no owner would be left, and decides so for two owners who leave
//! at once. Then one write deletes the member, their sessions and what is under way, and revokes a pending invitation of their address.
//! A removal that stops in between is finished when this service reads of it in authz-service's feed. Nothing is kept by which the
//! member could come back.

use access::Granted;
use runtime::kill_point;
use tenancy::{
    Change, Head, MemberId, NewEvent, Once, OrganizationScope, Origin, StoreError, Write, mask::etag_matches,
};

use crate::{
    model::{EndReason, Member},
    ops::{Context, NotActive, active, append_session_end, invitation::revoke_pending},
    remote::RemoteError,
    store::{
        challenge,
        member::{self, Key},
        session,
    },
};

#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    #[error("the member changed since the etag was read")]
    EtagMismatch,
    #[error(transparent)]
    NotActive(#[from] NotActive),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub async fn remove(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    once: Option<&Once>,
    id: MemberId,
    etag: &str,
) -> Result<(), RemoveError> {
    let (scope, organization) = (granted.scope, granted.scope.organization_id());
    if let Some(once) = once
        && let Some(()) = context.database.kept_answer(scope, once).await?
    {
        return Ok(());
    }
    let mut read = context.database.read(scope).await?;
    let head = Head::find(read.connection(), organization).await?.ok_or(StoreError::TenantUnknown)?;
    let found = member::find(read.connection(), organization, &Key::Id(id)).await?;
    read.finish();
    active(head.state)?;
    // The row goes last: where there is none, authz-service knows already.
    let Some(found) = found else { return Ok(()) };
    if !etag_matches(etag, found.revision) {
        return Err(RemoveError::EtagMismatch);
    }
    let told = head.revision + 1;
    context.remote.remove(granted.into(), organization, scope.project_id(), id, told, true).await?;
    kill_point("remove-member/rights-taken");
    write(context, scope, &granted.origin(), once, id).await?;
    kill_point("remove-member/committed");
    Ok(())
}

/// Deletes a member whom authz-service has dropped, if they are still here.
pub async fn finish_removal(
    context: &Context,
    scope: OrganizationScope,
    origin: &Origin,
    id: MemberId,
) -> Result<(), StoreError> {
    let mut read = context.database.read(scope).await?;
    let found = member::find(read.connection(), scope.organization_id(), &Key::Id(id)).await?;
    read.finish();
    if found.is_none() { Ok(()) } else { write(context, scope, origin, None, id).await }
}

async fn write(
    context: &Context,
    scope: OrganizationScope,
    origin: &Origin,
    once: Option<&Once>,
    id: MemberId,
) -> Result<(), StoreError> {
    let mut tx = context.database.write(scope, origin, once).await?;
    if let Some(()) = tx.first_answer()? {
        return Ok(());
    }
    if let Some(member) = member::find(tx.connection(), scope.organization_id(), &Key::Id(id)).await? {
        delete(&mut tx, member).await?;
    }
    tx.commit(()).await
}

async fn delete(tx: &mut Write, member: Member) -> Result<(), StoreError> {
    let organization = member.organization_id;
    let ended = session::delete_of_member(tx.connection(), organization, member.member_id).await?;
    challenge::end_of_identity(tx.connection(), organization, member.identity_id).await?;
    member::delete(tx.connection(), organization, member.member_id).await?;
    let ids = vec![member.member_id.to_string(), member.identity_id.to_string()];
    revoke_pending(tx, &[&member.email_address]).await?;
    tx.append(NewEvent::new("member.removed", ids, &Change::removed(member)));
    for session in ended {
        append_session_end(tx, session, EndReason::MemberRemoved);
    }
    Ok(())
}
