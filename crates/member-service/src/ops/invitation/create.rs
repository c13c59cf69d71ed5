//! Inviting somebody.

use access::{Caller, Granted, Tenant};
use secrecy::ExposeSecret;
use tenancy::{
    Actor, Change, InvitationId, NewEvent, Once, OrganizationScope, StoreError,
    event::now,
    secret::{self, SecretKind},
};
use time::Duration;

use crate::{
    mail::{self, Mail},
    model::{Brand, Invitation, InvitationDraft, InvitationState, IssuedInvitation},
    ops::{Context, NotActive, active},
    remote::{Grantor, RemoteError},
    store::{
        invitation,
        member::{self, Key},
    },
};

/// A mail that could not be delivered for so long is given up; the invitation stays.
const DELIVERY: Duration = Duration::hours(24);

#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    #[error("a pending invitation for this address exists")]
    Pending,
    #[error("a member of the organization has this email address")]
    EmailTaken,
    #[error(transparent)]
    NotActive(#[from] NotActive),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub async fn create(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    once: Option<&Once>,
    draft: InvitationDraft,
) -> Result<IssuedInvitation, InviteError> {
    let (scope, organization) = (granted.scope, granted.scope.organization_id());
    if let Some(once) = once
        && let Some(first) = context.database.kept_answer(scope, once).await?
    {
        return Ok(first);
    }
    let grantor = Grantor::of(&granted.caller);
    let role_ids = context.remote.check_grant(granted.into(), scope, &grantor, draft.roles).await?;
    let named = context.remote.organization(granted.into(), organization).await?;
    let brand = named.ok_or(StoreError::TenantUnknown)?.brand;
    let invitation_id = InvitationId::new();
    let issued = secret::issue(SecretKind::Invitation, organization.uuid(), invitation_id.uuid());

    let mut tx = context.database.write(scope, &granted.origin(), once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    active(tx.head().state)?;
    if member::find(tx.connection(), organization, &Key::Email(draft.email_address.clone())).await?.is_some() {
        return Err(InviteError::EmailTaken);
    }
    let now = now();
    let invitation = Invitation {
        invitation_id,
        organization_id: organization,
        email_address: draft.email_address,
        role_ids,
        inviter: grantor.actor.to_string(),
        inviter_is_project: grantor.is_project,
        state: InvitationState::Pending,
        expire_time: draft.expire_time,
        message: draft.message,
        member_id: None,
        revision: tx.revision(),
        create_time: now,
        update_time: now,
    };
    if !invitation::insert(tx.connection(), scope, &invitation, &issued.hash).await? {
        return Err(InviteError::Pending);
    }
    let token = issued.text.expose_secret();
    if !draft.return_token {
        let inviter = match granted.caller {
            Caller::Member { member, .. } => member::find(tx.connection(), organization, &Key::Id(member)).await?,
            _ => None,
        };
        let inviter = inviter.map(|member| String::from(member.display_name)).unwrap_or_default();
        let mail = mail_of(context, &invitation, &brand, &inviter, token);
        let give_up = (now + DELIVERY).min(invitation.expire_time);
        mail.put(tx.connection(), context.database.sealer(), Tenant::Organization(scope), give_up).await?;
    }
    let ids = vec![invitation_id.to_string()];
    tx.append(NewEvent::new("invitation.created", ids, &Change::created(invitation.clone())));
    let token = draft.return_token.then(|| token.to_owned());
    let made = tx.commit(IssuedInvitation { invitation, token }).await?;
    context.mail_waiting.notify_one();
    Ok(made)
}

fn mail_of(context: &Context, invitation: &Invitation, brand: &Brand, inviter: &str, token: &str) -> Mail {
    let mut link = context.invitation_url.clone();
    link.query_pairs_mut().append_pair("token", token);
    mail::invitation(&mail::InvitationMail {
        to: &invitation.email_address,
        brand,
        inviter,
        message: &invitation.message,
        link: &link,
        // Half a day more or less is no matter, a day too few is a surprise.
        days: (invitation.expire_time - invitation.create_time + Duration::hours(12)).whole_days(),
    })
}

/// Whether whoever invited may still invite at all; of the roles authz-service speaks when they are bound.
pub(super) async fn may_still_invite(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    grantor: &Grantor,
) -> Result<bool, RemoteError> {
    match &grantor.actor {
        Actor::Member(_) => {}
        Actor::ServiceAccount(_) if !grantor.is_project => {}
        _ => return Ok(true),
    }
    Ok(context.access.holds(&granted.call, granted.scope, &grantor.actor, "guildhall.invitation:create").await?)
}
