//! Adding a member: the identity, the roles, then the member.

use access::Granted;
use runtime::kill_point;
use tenancy::{Change, Head, IdentityId, MemberId, NewEvent, Once, OrganizationScope, StoreError, Write, event::now};

use crate::{
    model::{
        EmailAddress, ExternalId, Identity, LimitReached, Member, MemberDraft, MemberState, MemberWithRoles, Metadata,
        Name, Person, RoleSource,
    },
    ops::{
        Context, Errand, NotActive, active, identity,
        invitation::revoke_pending,
        prospect::{BindError, Prospect},
    },
    remote::{Grantor, RemoteError},
    store::{
        member::{self, Key, WriteError},
        usage::room_for_members,
    },
};

#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error("a member of the organization has this email address")]
    EmailTaken,
    #[error("a member of the organization has this external_id")]
    ExternalIdTaken,
    #[error("max_members is reached")]
    LimitReached(#[from] LimitReached),
    #[error(transparent)]
    NotActive(#[from] NotActive),
    /// The call took so long that its roles were taken back.
    #[error("the call took too long to be completed")]
    TooLate,
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<WriteError> for CreateError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::EmailTaken => Self::EmailTaken,
            WriteError::ExternalIdTaken => Self::ExternalIdTaken,
            WriteError::AddressMoved => Self::TooLate,
            WriteError::Store(error) => Self::Store(error),
        }
    }
}

impl From<BindError> for CreateError {
    fn from(error: BindError) -> Self {
        match error {
            BindError::Remote(error) => Self::Remote(error),
            BindError::Store(error) => Self::Store(error),
        }
    }
}

pub async fn create(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    once: Option<&Once>,
    draft: MemberDraft,
    roles: Vec<String>,
) -> Result<MemberWithRoles, CreateError> {
    let _turn = Errand::of_request(context, granted.scope.organization_id(), once).await?;
    // Looked at before the kept answer: of two equal calls at once, the one that finds the address taken finds the answer too.
    let organization = context.remote.organization(granted.into(), granted.scope.organization_id()).await?;
    let limit = organization.ok_or(StoreError::TenantUnknown)?.limits.max_members;
    let looked = look(context, granted.scope, &draft.email_address, limit).await;
    if let Some(once) = once
        && let Some(first) = context.database.kept_answer(granted.scope, once).await?
    {
        return Ok(first);
    }
    looked?;
    let pool = context.pool(granted).await?;
    let origin = granted.origin();
    let identity =
        identity::find_or_create(context, pool, &origin, &draft.email_address, &draft.display_name, false).await?;
    kill_point("add-member/identity-made");
    let newcomer = Newcomer { person: identity, draft, grants: vec![(RoleSource::Direct, roles)], limit };
    add(context, granted, once, &Grantor::of(&granted.caller), newcomer).await
}

/// A person who is to be a member, by whatever way they come.
#[derive(Debug)]
pub struct Newcomer {
    pub person: Identity,
    pub draft: MemberDraft,
    /// Their roles, and what for.
    pub grants: Vec<(RoleSource, Vec<String>)>,
    /// Of `max_members`.
    pub limit: Option<i64>,
}

/// Binds the roles, then inserts the member, then tells authz-service that they are there.
pub async fn add(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    once: Option<&Once>,
    grantor: &Grantor,
    newcomer: Newcomer,
) -> Result<MemberWithRoles, CreateError> {
    let Newcomer { person, draft, grants, limit } = newcomer;
    let prospect = Prospect::bind(context, granted, grantor, grants).await?;
    let parts = MemberParts::of(prospect.member, &Person::from(&person), draft);
    match write(context, granted, once, parts, person.email_verified, limit, &prospect).await {
        Ok(made) if made.member.member_id == prospect.member => {
            kill_point("add-member/committed");
            context.remote.confirm(granted.into(), granted.scope, &made.member).await;
            Ok(made)
        }
        // The first answer to the same request, or a refusal: the roles were bound for nobody.
        outcome => {
            prospect.withdraw(context, granted).await;
            outcome
        }
    }
}

/// Refuses at once what would be refused after steps in other services.
pub(in crate::ops) async fn look(
    context: &Context,
    scope: OrganizationScope,
    address: &EmailAddress,
    limit: Option<i64>,
) -> Result<(), CreateError> {
    let organization = scope.organization_id();
    let mut read = context.database.read(scope).await?;
    let head = Head::find(read.connection(), organization).await?.ok_or(StoreError::TenantUnknown)?;
    let found = member::find(read.connection(), organization, &Key::Email(address.clone())).await?;
    let mut room = room_for_members(read.connection(), organization, limit).await?;
    read.finish();
    active(head.state)?;
    if found.is_some() { Err(CreateError::EmailTaken) } else { Ok(room.take()?) }
}

async fn write(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    once: Option<&Once>,
    parts: MemberParts,
    email_verified: bool,
    limit: Option<i64>,
    prospect: &Prospect,
) -> Result<MemberWithRoles, CreateError> {
    let mut tx = context.database.write(granted.scope, &granted.origin(), once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    active(tx.head().state)?;
    if !prospect.arrive(&mut tx).await? {
        return Err(CreateError::TooLate);
    }
    let organization = granted.scope.organization_id();
    room_for_members(tx.connection(), organization, limit).await?.take()?;
    let member = insert(&mut tx, granted.scope, parts).await?;
    revoke_pending(&mut tx, &[&member.email_address]).await?;
    Ok(tx.commit(MemberWithRoles { member, email_verified, roles: prospect.roles.clone() }).await?)
}

/// What a member is made of.
#[derive(Debug)]
pub struct MemberParts {
    pub member_id: MemberId,
    pub identity_id: IdentityId,
    pub email_address: EmailAddress,
    pub display_name: Name,
    pub external_id: Option<ExternalId>,
    pub is_breakglass: bool,
    pub trusted_metadata: Metadata,
    pub untrusted_metadata: Metadata,
}

/// The member's row and event.
pub async fn insert(tx: &mut Write, scope: OrganizationScope, parts: MemberParts) -> Result<Member, WriteError> {
    let member = parts.member(scope, tx.revision());
    member::insert(tx.connection(), scope, &member).await?;
    append_created(tx, &member);
    Ok(member)
}

pub(super) fn append_created(tx: &mut Write, member: &Member) {
    let ids = vec![member.member_id.to_string(), member.identity_id.to_string()];
    tx.append(NewEvent::new("member.created", ids, &Change::created(member.clone())));
}

impl MemberParts {
    pub(super) fn of(member_id: MemberId, person: &Person, draft: MemberDraft) -> Self {
        Self {
            member_id,
            identity_id: person.identity_id,
            email_address: person.email_address.clone(),
            display_name: draft.display_name,
            external_id: draft.external_id,
            is_breakglass: draft.is_breakglass,
            trusted_metadata: draft.trusted_metadata,
            untrusted_metadata: draft.untrusted_metadata,
        }
    }

    /// The member who is made of them at a revision.
    pub(super) fn member(self, scope: OrganizationScope, revision: i64) -> Member {
        let (parts, now) = (self, now());
        Member {
            member_id: parts.member_id,
            organization_id: scope.organization_id(),
            identity_id: parts.identity_id,
            email_address: parts.email_address,
            display_name: parts.display_name,
            external_id: parts.external_id,
            state: MemberState::Active,
            state_revision: 0,
            is_breakglass: parts.is_breakglass,
            trusted_metadata: parts.trusted_metadata,
            untrusted_metadata: parts.untrusted_metadata,
            last_sign_in_time: None,
            revision,
            create_time: now,
            update_time: now,
        }
    }
}
