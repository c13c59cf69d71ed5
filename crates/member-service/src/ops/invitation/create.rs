//! Inviting people: one, or many at once.
//!
//! A PERSONAL organization becomes a TEAM before the invitation is written. A crash in between leaves a TEAM that nobody was invited to,
//! which is in order, and the call can be made again; the other way round an organization would stay PERSONAL with people invited.

use std::collections::HashSet;

use access::{Caller, Granted, Tenant};
use runtime::kill_point;
use secrecy::ExposeSecret;
use tenancy::{
    Actor, Change, Head, InvitationId, NewEvent, Once, OrganizationId, OrganizationScope, RoleId, StoreError, Write,
    event::now,
    secret::{self, Issued, SecretKind},
};
use time::Duration;

use crate::{
    mail::{self, Mail},
    model::{
        Brand, EmailAddress, Invitation, InvitationDraft, InvitationState, IssuedInvitation, LimitReached,
        NotInvitable, Room,
    },
    ops::{Context, Errand, NotActive, active},
    remote::{Grantor, OrganizationEntry, RemoteError},
    store::{
        invitation,
        member::{self, Key},
        usage::room_for_invitations,
    },
};

/// A mail that could not be delivered for so long is given up; the invitation stays.
const DELIVERY: Duration = Duration::hours(24);
/// As many roles as authz-service is asked about at once.
const ROLES_AT_ONCE: usize = 50;

/// Of a batch, `at` says which entry.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    #[error("a pending invitation for this address exists")]
    Pending { at: usize },
    #[error("a member of the organization has this email address")]
    EmailTaken { at: usize },
    #[error("{why}")]
    NotInvitable { at: usize, why: NotInvitable },
    #[error("max_pending_invitations is reached")]
    LimitReached(#[from] LimitReached),
    #[error(transparent)]
    NotActive(#[from] NotActive),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Invites all of them, in one write, or nobody.
pub async fn create(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    once: Option<&Once>,
    drafts: Vec<InvitationDraft>,
) -> Result<Vec<IssuedInvitation>, InviteError> {
    let (scope, organization) = (granted.scope, granted.scope.organization_id());
    let _turn = Errand::of_request(context, organization, once).await?;
    let entry = context.remote.organization(granted.into(), organization).await?.ok_or(StoreError::TenantUnknown)?;
    // Looked at before the kept answer: of two equal calls at once, the one that finds the address invited finds the answer too.
    let looked = look(context, scope, &entry, &drafts).await;
    if let Some(once) = once
        && let Some(first) = context.database.kept_answer(scope, once).await?
    {
        return Ok(first);
    }
    for (at, draft) in drafts.iter().enumerate() {
        entry.policy.allows_invitation(&draft.email_address).map_err(|why| InviteError::NotInvitable { at, why })?;
    }
    let grantor = Grantor::of(&granted.caller);
    let roles = granted_roles(context, granted, &grantor, &drafts).await?;
    looked?;
    if entry.is_personal {
        context.remote.promote(granted.into(), scope).await?;
        kill_point("invite/promoted");
    }
    let secrets: Vec<(InvitationId, Issued)> = drafts
        .iter()
        .map(|_| InvitationId::new())
        .map(|id| (id, secret::issue(SecretKind::Invitation, organization.uuid(), id.uuid())))
        .collect();

    let mut tx = context.database.write(scope, &granted.origin(), once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    active(tx.head().state)?;
    let limit = entry.limits.max_pending_invitations;
    let mut room = room_for_invitations(tx.connection(), organization, limit).await?;
    let sender = Sender::of(&mut tx, granted, &entry).await?;
    let mut issued = Vec::with_capacity(drafts.len());
    for (at, ((draft, role_ids), (id, secret))) in drafts.into_iter().zip(roles).zip(secrets).enumerate() {
        check_free(&mut tx, organization, at, &draft, &mut room).await?;
        let (return_token, invitation) = (draft.return_token, invitation_of(&tx, id, draft, role_ids, &grantor));
        if !invitation::insert(tx.connection(), scope, &invitation, &secret.hash).await? {
            return Err(InviteError::Pending { at });
        }
        let token = secret.text.expose_secret();
        if !return_token {
            sender.put(context, &mut tx, scope, &invitation, token).await?;
        }
        tx.append(NewEvent::new("invitation.created", vec![id.to_string()], &Change::created(invitation.clone())));
        issued.push(IssuedInvitation { invitation, token: return_token.then(|| token.to_owned()) });
    }
    let issued = tx.commit(issued).await?;
    kill_point("invite/committed");
    context.mail_waiting.notify_one();
    Ok(issued)
}

/// The roles of each draft, if the grantor may grant them all.
async fn granted_roles(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    grantor: &Grantor,
    drafts: &[InvitationDraft],
) -> Result<Vec<Vec<RoleId>>, RemoteError> {
    let mut named: Vec<&String> = drafts.iter().flat_map(|draft| &draft.roles).collect();
    named.sort_unstable();
    named.dedup();
    let mut ids = std::collections::HashMap::new();
    for some in named.chunks(ROLES_AT_ONCE) {
        let asked = some.iter().map(|role| (*role).clone()).collect();
        let found = context.remote.check_grant(granted.into(), granted.scope, grantor, asked).await?;
        ids.extend(some.iter().copied().zip(found));
    }
    let of = |draft: &InvitationDraft| draft.roles.iter().filter_map(|role| ids.get(role).copied()).collect();
    Ok(drafts.iter().map(of).collect())
}

/// Refuses before the organization is changed what would be refused after.
async fn look(
    context: &Context,
    scope: OrganizationScope,
    entry: &OrganizationEntry,
    drafts: &[InvitationDraft],
) -> Result<(), InviteError> {
    let organization = scope.organization_id();
    let addresses: Vec<&EmailAddress> = drafts.iter().map(|draft| &draft.email_address).collect();
    let email_addresses = addresses.iter().map(|address| address.as_str().to_owned()).collect();
    let keys = member::Keys { email_addresses, ..member::Keys::default() };
    let mut read = context.database.read(scope).await?;
    let head = Head::find(read.connection(), organization).await?.ok_or(StoreError::TenantUnknown)?;
    let taken = member::taken(read.connection(), organization, &keys).await?;
    let pending = invitation::pending_of(read.connection(), organization, &addresses).await?;
    let mut room = room_for_invitations(read.connection(), organization, entry.limits.max_pending_invitations).await?;
    read.finish();
    active(head.state)?;
    let pending: HashSet<&str> = pending.iter().map(|waiting| waiting.email_address.as_str()).collect();
    for (at, draft) in drafts.iter().enumerate() {
        let address = draft.email_address.as_str();
        if taken.email_addresses.contains(address) {
            return Err(InviteError::EmailTaken { at });
        }
        if pending.contains(address) {
            return Err(InviteError::Pending { at });
        }
        room.take()?;
    }
    Ok(())
}

async fn check_free(
    tx: &mut Write,
    organization: OrganizationId,
    at: usize,
    draft: &InvitationDraft,
    room: &mut Room,
) -> Result<(), InviteError> {
    if member::find(tx.connection(), organization, &Key::Email(draft.email_address.clone())).await?.is_some() {
        return Err(InviteError::EmailTaken { at });
    }
    Ok(room.take()?)
}

fn invitation_of(
    tx: &Write,
    invitation_id: InvitationId,
    draft: InvitationDraft,
    role_ids: Vec<RoleId>,
    grantor: &Grantor,
) -> Invitation {
    let now = now();
    Invitation {
        invitation_id,
        organization_id: tx.organization_id(),
        email_address: draft.email_address,
        role_ids,
        inviter: grantor.actor.to_string(),
        inviter_is_project: grantor.is_project,
        state: InvitationState::Pending,
        expire_time: draft.expire_time,
        message: draft.message,
        member_id: None,
        sends: 1,
        send_time: now,
        revision: tx.revision(),
        create_time: now,
        update_time: now,
    }
}

/// Who is said to invite, and to what.
pub(super) struct Sender {
    brand: Brand,
    inviter: String,
}

impl Sender {
    pub(super) async fn of(
        tx: &mut Write,
        granted: &Granted<OrganizationScope>,
        entry: &OrganizationEntry,
    ) -> Result<Self, StoreError> {
        let organization = granted.scope.organization_id();
        let inviter = match granted.caller {
            Caller::Member { member, .. } => member::find(tx.connection(), organization, &Key::Id(member)).await?,
            _ => None,
        };
        let inviter = inviter.map(|member| String::from(member.display_name)).unwrap_or_default();
        Ok(Self { brand: entry.brand.clone(), inviter })
    }

    /// Puts the mail into the outbox.
    pub(super) async fn put(
        &self,
        context: &Context,
        tx: &mut Write,
        scope: OrganizationScope,
        invitation: &Invitation,
        token: &str,
    ) -> Result<(), StoreError> {
        let give_up = (invitation.send_time + DELIVERY).min(invitation.expire_time);
        let mail = self.mail(context, invitation, token);
        mail.put(tx.connection(), context.database.sealer(), Tenant::Organization(scope), give_up).await
    }

    fn mail(&self, context: &Context, invitation: &Invitation, token: &str) -> Mail {
        let mut link = context.invitation_url.clone();
        link.query_pairs_mut().append_pair("token", token);
        mail::invitation(&mail::InvitationMail {
            to: &invitation.email_address,
            brand: &self.brand,
            inviter: &self.inviter,
            message: &invitation.message,
            link: &link,
            // Half a day more or less is no matter, a day too few is a surprise.
            days: (invitation.lifetime() + Duration::hours(12)).whole_days(),
        })
    }
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
