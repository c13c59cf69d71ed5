//! Accepting an invitation by its secret.
//!
//! The roles are bound to a member who is not there yet, with the inviter as grantor, so that authz-service checks them again; then
//! one write takes the invitation from PENDING to ACCEPTED and inserts the member. That one statement decides who was first. Whoever
//! was not takes their bindings back, and a sweep takes back those of a process that died (see `prospect`).

use access::{Caller, Granted};
use runtime::kill_point;
use tenancy::{
    Change, ClusterScope, Head, InvitationId, NewEvent, Once, OrganizationId, OrganizationScope, OrganizationState,
    StoreError,
    event::now,
    secret::{Presented, SecretHash},
};

use super::create::may_still_invite;
use crate::{
    model::{EmailAddress, Invitation, InvitationState, LimitReached, MemberWithRoles, Metadata, Name, RoleSource},
    ops::{
        Context, Errand, NotActive, active, identity,
        member::{MemberParts, insert},
        prospect::{BindError, Prospect},
    },
    remote::{Grantor, OrganizationEntry, RemoteError},
    store::{
        invitation,
        member::{self, Key, WriteError},
        usage::room_for_members,
    },
};

#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    #[error("the secret opens no invitation")]
    Unknown,
    #[error("the invitation was accepted, revoked, or has expired")]
    NotPending,
    #[error("the inviter may no longer grant what the invitation promises")]
    InviterLostRights,
    #[error("a member of the organization has this email address")]
    EmailTaken,
    #[error("the invitation is for another address than the caller's")]
    ForAnother,
    #[error("max_members is reached")]
    LimitReached(#[from] LimitReached),
    #[error("the call took too long to be completed")]
    TooLate,
    #[error(transparent)]
    NotActive(#[from] NotActive),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<BindError> for AcceptError {
    fn from(error: BindError) -> Self {
        match error {
            BindError::Remote(error) if error.refuses_grant() => Self::InviterLostRights,
            BindError::Remote(error) => Self::Remote(error),
            BindError::Store(error) => Self::Store(error),
        }
    }
}

impl From<WriteError> for AcceptError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::EmailTaken => Self::EmailTaken,
            // A new member by invitation has none.
            WriteError::ExternalIdTaken => Self::Store(StoreError::Corrupt("member_external_id_key")),
            WriteError::AddressMoved => Self::TooLate,
            WriteError::Store(error) => Self::Store(error),
        }
    }
}

/// What is presented, and how the person wants to be called.
#[derive(Debug)]
pub struct Acceptance {
    pub secret: Presented,
    pub display_name: Name,
}

pub async fn accept(
    context: &Context,
    anyone: &Granted<ClusterScope>,
    head: &Head,
    once: Option<&Once>,
    acceptance: Acceptance,
) -> Result<MemberWithRoles, AcceptError> {
    let organization: OrganizationId = head.organization_id;
    let granted = anyone.in_organization(head.project_id, organization);
    let id = InvitationId::from_uuid(acceptance.secret.id);
    let _turn = context.errands.take(Errand::Acceptance(id)).await?;

    let entry = context.remote.organization((&granted).into(), organization).await?;
    let limit = entry.ok_or(AcceptError::Unknown)?.limits.max_members;
    let invitation = look(context, &granted, &acceptance.secret, once, limit).await?;
    let invitation = match invitation {
        Looked::Answered(first) => return Ok(*first),
        Looked::Pending(invitation) => invitation,
    };
    is_theirs(context, anyone, &invitation).await?;
    let offer = Offer { invitation: &invitation, secret: Some(&acceptance.secret.hash) };
    join(context, &granted, once, offer, acceptance.display_name, limit).await
}

/// Accepts an invitation without its secret, for somebody who has proven in another way that the address it went to is theirs.
pub async fn accept_proven(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    invitation: Invitation,
    entry: &OrganizationEntry,
) -> Result<MemberWithRoles, AcceptError> {
    let _turn = context.errands.take(Errand::Acceptance(invitation.invitation_id)).await?;
    let limit = entry.limits.max_members;
    look_at_room(context, granted, &invitation.email_address, limit).await?;
    let offer = Offer { invitation: &invitation, secret: None };
    join(context, granted, None, offer, Name::default(), limit).await
}

/// What is accepted, as it was when it was looked at.
#[derive(Clone, Copy)]
struct Offer<'a> {
    invitation: &'a Invitation,
    /// The one that was presented, which the invitation must still have in the end: it may be sent again meanwhile. None: the address
    /// was proven in another way.
    secret: Option<&'a SecretHash>,
}

/// Makes a member of whoever an invitation was sent to.
async fn join(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    once: Option<&Once>,
    offer: Offer<'_>,
    display_name: Name,
    limit: Option<i64>,
) -> Result<MemberWithRoles, AcceptError> {
    let invitation = offer.invitation;
    let inviter = invitation.inviter.parse().map_err(|_| StoreError::Corrupt("invitation.inviter"))?;
    let grantor = Grantor { actor: inviter, is_project: invitation.inviter_is_project };
    if !may_still_invite(context, granted, &grantor).await? {
        return Err(AcceptError::InviterLostRights);
    }
    let pool = context.pool(granted).await?;
    // Whoever accepts has read the mail that went to the address, or has proven it otherwise, whoever turns out to have been first.
    let address = &invitation.email_address;
    let person = identity::find_or_create(context, pool, &granted.origin(), address, &display_name, true).await?;
    kill_point("accept-invitation/identity-made");
    let roles = invitation.role_ids.iter().map(ToString::to_string).collect();
    let prospect = Prospect::bind(context, granted, &grantor, vec![(RoleSource::Invitation, roles)]).await?;
    let parts = MemberParts {
        member_id: prospect.member,
        identity_id: person.identity_id,
        email_address: person.email_address,
        display_name: if display_name.is_empty() { person.display_name } else { display_name },
        external_id: None,
        is_breakglass: false,
        trusted_metadata: Metadata::default(),
        untrusted_metadata: Metadata::default(),
    };
    match write(context, granted, once, offer, parts, limit, &prospect).await {
        Ok(made) if made.member.member_id == prospect.member => {
            kill_point("accept-invitation/committed");
            context.remote.confirm(granted.into(), granted.scope, &made.member).await;
            Ok(made)
        }
        outcome => {
            prospect.withdraw(context, granted).await;
            outcome
        }
    }
}

/// Refuses at once what would be refused after steps in other services.
async fn look_at_room(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    address: &EmailAddress,
    limit: Option<i64>,
) -> Result<(), AcceptError> {
    let organization = granted.scope.organization_id();
    let mut read = context.database.read(granted.scope).await?;
    let taken = member::find(read.connection(), organization, &Key::Email(address.clone())).await?.is_some();
    let mut room = room_for_members(read.connection(), organization, limit).await?;
    read.finish();
    if taken { Err(AcceptError::EmailTaken) } else { Ok(room.take()?) }
}

/// Whoever is signed in as a member joins by invitations for their own address alone: a link that somebody else was sent must not turn
/// their account into a second member, nor be used up by them.
async fn is_theirs(
    context: &Context,
    anyone: &Granted<ClusterScope>,
    invitation: &Invitation,
) -> Result<(), AcceptError> {
    let Caller::Member { project, organization, member, .. } = anyone.caller else { return Ok(()) };
    let scope = anyone.in_organization(project, organization).scope;
    let mut read = context.database.read(scope).await?;
    let member = member::find(read.connection(), organization, &Key::Id(member)).await?;
    read.finish();
    let theirs = member.is_some_and(|member| member.email_address == invitation.email_address);
    if theirs { Ok(()) } else { Err(AcceptError::ForAnother) }
}

enum Looked {
    Answered(Box<MemberWithRoles>),
    Pending(Box<Invitation>),
}

/// Refuses at once what would be refused after steps in other services. Nothing is told to who has no secret.
async fn look(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    secret: &Presented,
    once: Option<&Once>,
    limit: Option<i64>,
) -> Result<Looked, AcceptError> {
    let organization = granted.scope.organization_id();
    let mut read = context.database.read(granted.scope).await?;
    let id = InvitationId::from_uuid(secret.id);
    let found = invitation::open(read.connection(), organization, id, &secret.hash).await?;
    let head = Head::find(read.connection(), organization).await?;
    let taken = match &found {
        Some(found) => {
            member::find(read.connection(), organization, &Key::Email(found.email_address.clone())).await?.is_some()
        }
        None => false,
    };
    let mut room = room_for_members(read.connection(), organization, limit).await?;
    read.finish();
    let found = found.ok_or(AcceptError::Unknown)?;
    if let Some(once) = once
        && let Some(first) = context.database.kept_answer(granted.scope, once).await?
    {
        return Ok(Looked::Answered(Box::new(first)));
    }
    active(head.map_or(OrganizationState::Deleted, |head| head.state))?;
    match found.state_at(now()) {
        // Withdrawn when they came in by another way.
        InvitationState::Pending | InvitationState::Revoked if taken => Err(AcceptError::EmailTaken),
        InvitationState::Pending => {
            room.take()?;
            Ok(Looked::Pending(Box::new(found)))
        }
        InvitationState::Accepted | InvitationState::Revoked | InvitationState::Expired => Err(AcceptError::NotPending),
    }
}

async fn write(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    once: Option<&Once>,
    offer: Offer<'_>,
    parts: MemberParts,
    limit: Option<i64>,
    prospect: &Prospect,
) -> Result<MemberWithRoles, AcceptError> {
    let mut tx = context.database.write(granted.scope, &granted.origin(), once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    active(tx.head().state)?;
    let Offer { invitation: before, secret } = offer;
    let (state, revision, member_id) = (InvitationState::Accepted, tx.revision(), Some(prospect.member));
    let accepted = invitation::settle(tx.connection(), before, secret, state, member_id, revision, now()).await?;
    let accepted = accepted.ok_or(AcceptError::NotPending)?;
    if !prospect.arrive(&mut tx).await? {
        return Err(AcceptError::TooLate);
    }
    let ids = vec![before.invitation_id.to_string(), prospect.member.to_string()];
    tx.append(NewEvent::new("invitation.accepted", ids, &Change::updated(before.clone(), accepted)));
    room_for_members(tx.connection(), granted.scope.organization_id(), limit).await?.take()?;
    let member = insert(&mut tx, granted.scope, parts).await?;
    Ok(tx.commit(MemberWithRoles { member, email_verified: true, roles: prospect.roles.clone() }).await?)
}
