//! Withdrawing an invitation.

use access::Granted;
use tenancy::{Change, InvitationId, NewEvent, Once, OrganizationScope, StoreError, event::now, mask::etag_matches};

use crate::{
    model::{Invitation, InvitationState},
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
    let revision = tx.revision();
    let after = invitation::settle(tx.connection(), &before, InvitationState::Revoked, None, revision, now()).await?;
    let after = after.ok_or(RevokeError::NotPending)?;
    tx.append(NewEvent::new("invitation.revoked", vec![id.to_string()], &Change::updated(before, after.clone())));
    Ok(tx.commit(after).await?)
}
