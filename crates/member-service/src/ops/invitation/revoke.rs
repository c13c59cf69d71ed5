//! Withdrawing an invitation.

use access::Granted;
use tenancy::{
    Change, InvitationId, NewEvent, Once, OrganizationScope, StoreError, Write, event::now, mask::etag_matches,
};

use crate::{
    model::{EmailAddress, Invitation, InvitationState},
    ops::{Context, NotActive, active},
    store::invitation,
};

#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    #[error("no such invitation")]
    Unknown,
    #[error("the invitation changed since the etag was read")]
    EtagMismatch,
    #[error("the invitation was accepted or has expired")]
    NotPending,
    #[error(transparent)]
    NotActive(#[from] NotActive),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub async fn revoke(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    once: Option<&Once>,
    id: InvitationId,
    etag: &str,
) -> Result<Invitation, RevokeError> {
    let mut tx = context.database.write(granted.scope, &granted.origin(), once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    active(tx.head().state)?;
    let organization = granted.scope.organization_id();
    let before = invitation::find(tx.connection(), organization, id).await?.ok_or(RevokeError::Unknown)?;
    if !etag_matches(etag, before.revision) {
        return Err(RevokeError::EtagMismatch);
    }
    if before.state == InvitationState::Revoked {
        return Ok(tx.commit(before).await?);
    }
    let after = withdraw(&mut tx, before).await?.ok_or(RevokeError::NotPending)?;
    Ok(tx.commit(after).await?)
}

/// Withdraws what is pending for the addresses of people who come in by another way, or go: it would let them in again once they are
/// removed.
pub async fn revoke_pending(tx: &mut Write, addresses: &[&EmailAddress]) -> Result<(), StoreError> {
    let organization = tx.organization_id();
    for pending in invitation::pending_of(tx.connection(), organization, addresses).await? {
        withdraw(tx, pending).await?;
    }
    Ok(())
}

/// None where it is pending no more.
async fn withdraw(tx: &mut Write, before: Invitation) -> Result<Option<Invitation>, StoreError> {
    let (revision, revoked) = (tx.revision(), InvitationState::Revoked);
    let after = invitation::settle(tx.connection(), &before, None, revoked, None, revision, now()).await?;
    if let Some(after) = &after {
        let ids = vec![after.invitation_id.to_string()];
        tx.append(NewEvent::new("invitation.revoked", ids, &Change::updated(before, after.clone())));
    }
    Ok(after)
}
