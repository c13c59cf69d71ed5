//! Sending an invitation again, with a new secret.

use access::Granted;
use secrecy::ExposeSecret;
use tenancy::{
    Change, InvitationId, NewEvent, Once, OrganizationScope, StoreError,
    event::now,
    secret::{self, SecretKind},
};
use time::OffsetDateTime;

use super::create::Sender;
use crate::{
    model::{Invitation, InvitationState, IssuedInvitation, LimitReached, NotInvitable},
    ops::{Context, NotActive, active},
    remote::RemoteError,
    store::{
        invitation,
        member::{self, Key},
        usage::room_for_invitations,
    },
};

#[derive(Debug, thiserror::Error)]
pub enum ResendError {
    #[error("no such invitation")]
    Unknown,
    #[error("the invitation was accepted or revoked")]
    NotPending,
    #[error("the invitation was mailed a short while ago")]
    TooSoon { until: OffsetDateTime },
    #[error("a newer invitation for this address is pending")]
    Pending,
    #[error("a member of the organization has this email address")]
    EmailTaken,
    #[error(transparent)]
    NotInvitable(#[from] NotInvitable),
    #[error("max_pending_invitations is reached")]
    LimitReached(#[from] LimitReached),
    #[error(transparent)]
    NotActive(#[from] NotActive),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub async fn resend(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    once: Option<&Once>,
    id: InvitationId,
    return_token: bool,
) -> Result<IssuedInvitation, ResendError> {
    let (scope, organization) = (granted.scope, granted.scope.organization_id());
    let entry = context.remote.organization(granted.into(), organization).await?.ok_or(StoreError::TenantUnknown)?;
    let issued = secret::issue(SecretKind::Invitation, organization.uuid(), id.uuid());

    let mut tx = context.database.write(scope, &granted.origin(), once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    active(tx.head().state)?;
    let before = invitation::find(tx.connection(), organization, id).await?.ok_or(ResendError::Unknown)?;
    let now = now();
    let was = before.state_at(now);
    match was {
        InvitationState::Pending | InvitationState::Expired => {}
        InvitationState::Accepted | InvitationState::Revoked => return Err(ResendError::NotPending),
    }
    if before.may_send_again() > now {
        return Err(ResendError::TooSoon { until: before.may_send_again() });
    }
    entry.policy.allows_invitation(&before.email_address)?;
    if member::find(tx.connection(), organization, &Key::Email(before.email_address.clone())).await?.is_some() {
        return Err(ResendError::EmailTaken);
    }
    if was == InvitationState::Expired {
        let limit = entry.limits.max_pending_invitations;
        room_for_invitations(tx.connection(), organization, limit).await?.take()?;
    }
    let invitation = Invitation {
        state: InvitationState::Pending,
        expire_time: now + before.lifetime(),
        sends: before.sends.saturating_add(1),
        send_time: now,
        revision: tx.revision(),
        update_time: now,
        ..before.clone()
    };
    if !invitation::renew(tx.connection(), &invitation, &issued.hash).await? {
        return Err(ResendError::Pending);
    }
    let token = issued.text.expose_secret();
    if !return_token {
        let sender = Sender::of(&mut tx, granted, &entry).await?;
        sender.put(context, &mut tx, scope, &invitation, token).await?;
    }
    let change = Change::updated(before, invitation.clone());
    tx.append(NewEvent::new("invitation.resent", vec![id.to_string()], &change));
    let token = return_token.then(|| token.to_owned());
    let made = tx.commit(IssuedInvitation { invitation, token }).await?;
    context.mail_waiting.notify_one();
    Ok(made)
}
