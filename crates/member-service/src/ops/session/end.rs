//! Listing sessions and ending them.

use access::Granted;
use tenancy::{
    ClusterScope, Head, MemberId, Once, OrganizationScope, SessionId, StoreError,
    page::{Listed, Page},
    secret::Presented,
};
use time::Duration;

use crate::{
    model::{EndReason, Session},
    ops::{Context, session::append_end},
    store::{
        member::{self, Key},
        session::{self, Standing},
    },
};

#[derive(Debug, thiserror::Error)]
pub enum EndError {
    #[error("no such member")]
    MemberUnknown,
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub async fn list(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    member: Option<MemberId>,
    page: &Page<SessionId>,
) -> Result<Listed<Session, SessionId>, EndError> {
    let organization = granted.scope.organization_id();
    let mut read = context.database.read(granted.scope).await?;
    if let Some(member) = member
        && member::find(read.connection(), organization, &Key::Id(member)).await?.is_none()
    {
        return Err(EndError::MemberUnknown);
    }
    let listed = session::list(read.connection(), organization, member, page).await?;
    read.finish();
    Ok(listed)
}

/// Ends one session. An ended one leaves no row, so it is told from one that never was by nothing: both succeed.
pub async fn revoke(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    once: Option<&Once>,
    id: SessionId,
) -> Result<(), StoreError> {
    end(context, granted, once, id, EndReason::Revoked).await
}

/// Ends every session of a member; how many they were.
pub async fn revoke_of_member(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    once: Option<&Once>,
    member: MemberId,
) -> Result<usize, EndError> {
    let organization = granted.scope.organization_id();
    let mut tx = context.database.write(granted.scope, &granted.origin(), once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    if member::find(tx.connection(), organization, &Key::Id(member)).await?.is_none() {
        return Err(EndError::MemberUnknown);
    }
    let ended = session::delete_of_member(tx.connection(), organization, member).await?;
    let count = ended.len();
    for session in ended {
        append_end(&mut tx, granted.scope, session, EndReason::Revoked).await?;
    }
    Ok(tx.commit(count).await?)
}

/// Signs out of a session that the gateway names.
pub async fn end_own(context: &Context, granted: &Granted<OrganizationScope>, id: SessionId) -> Result<(), StoreError> {
    end(context, granted, None, id, EndReason::SignedOut).await
}

/// Signs out by a refresh token, the current one or an earlier one. A made-up one ends nothing.
pub async fn end_by_token(
    context: &Context,
    granted: &Granted<ClusterScope>,
    head: Head,
    presented: &Presented,
) -> Result<(), StoreError> {
    let granted = granted.in_organization(head.project_id, head.organization_id);
    let id = SessionId::from_uuid(presented.id);
    let mut read = context.database.read(granted.scope).await?;
    let organization = head.organization_id;
    let seen = session::look(read.connection(), organization, id, &presented.hash, Duration::ZERO).await?;
    read.finish();
    if seen.standing == Standing::Foreign {
        Ok(())
    } else {
        end(context, &granted, None, id, EndReason::SignedOut).await
    }
}

async fn end(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    once: Option<&Once>,
    id: SessionId,
    reason: EndReason,
) -> Result<(), StoreError> {
    let mut tx = context.database.write(granted.scope, &granted.origin(), once).await?;
    if let Some(()) = tx.first_answer()? {
        return Ok(());
    }
    if let Some(ended) = session::delete(tx.connection(), granted.scope.organization_id(), id).await? {
        append_end(&mut tx, granted.scope, ended, reason).await?;
    }
    tx.commit(()).await
}
