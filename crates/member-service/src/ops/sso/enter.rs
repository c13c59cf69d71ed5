//! Who somebody is in the organization whose provider vouches for them, and how they become a member.

use access::{Granted, Tenant};
use runtime::kill_point;
use tenancy::{IdentityId, MemberId, OrganizationScope};

use super::link;
use crate::{
    model::{
        AccountRefused, AuthFactor, EmailAddress, ExternalId, Identity, IdentityState, MemberDraft, MemberState,
        MemberWithRoles, Metadata, RoleSource, SsoJitProvisioning, Vouching,
    },
    ops::{
        Context,
        entry::{EntryError, Right, known_roles},
        identity as identities,
        member::{Newcomer, add, look, settle_group_roles},
    },
    remote::{Grantor, OrganizationEntry},
    store::{
        identity, invitation,
        member::{self, Key},
        provider_account,
    },
};

/// Somebody whom the organization's provider vouches for, as far as they are known.
struct Known {
    /// Of the account. The person may be not made yet.
    linked: Option<IdentityId>,
    /// Whom the provider may stand for: of the account, or by an address that the organization vouches for itself.
    person: Option<Identity>,
    address: EmailAddress,
    /// The provider says that the address is theirs, and the organization has verified that its domain is its own.
    trusted: Result<(), AccountRefused>,
    /// Somebody whom the provider may not stand for has the address.
    taken: bool,
}

async fn known(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    vouching: &Vouching,
) -> Result<Known, EntryError> {
    let (tenant, pool) = (Tenant::Organization(granted.scope), context.pool(granted).await?);
    let mut read = context.database.read(tenant).await?;
    let linked = provider_account::find(read.connection(), tenant, vouching).await?;
    read.finish();
    let mut read = context.database.read(pool).await?;
    let person = match linked {
        Some(linked) => identity::get(read.connection(), pool, linked).await?,
        None => None,
    };
    let by_address = match (&person, &vouching.email_address) {
        (None, Some(address)) => identity::by_address(read.connection(), pool, address).await?,
        _ => None,
    };
    read.finish();
    let address = person.as_ref().map(|person| &person.email_address).or(vouching.email_address.as_ref());
    let address = address.ok_or(AccountRefused::EmailMissing)?.clone();
    let trusted = trusted(context, granted, vouching, &address).await?;
    let taken = by_address.is_some() && trusted.is_err();
    let person = person.or(by_address.filter(|_| trusted.is_ok()).map(|known| known.identity));
    if person.as_ref().is_some_and(|person| person.state != IdentityState::Active) {
        return Err(EntryError::Refused);
    }
    Ok(Known { linked, person, address, trusted, taken })
}

async fn trusted(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    vouching: &Vouching,
    address: &EmailAddress,
) -> Result<Result<(), AccountRefused>, EntryError> {
    if !(vouching.email_verified && vouching.email_address.as_ref() == Some(address)) {
        return Ok(Err(AccountRefused::EmailNotVerified));
    }
    let owner = context.remote.owner_of_domain(granted.into(), granted.scope.project_id(), address).await?;
    let own = owner.is_some_and(|(owner, _)| owner == granted.scope.organization_id());
    Ok(if own { Ok(()) } else { Err(AccountRefused::DomainNotVerified) })
}

/// By what right they may enter.
pub async fn right(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    entry: &OrganizationEntry,
    vouching: &Vouching,
) -> Result<Right, EntryError> {
    let organization = granted.scope.organization_id();
    let Known { person, address, trusted, taken, .. } = known(context, granted, vouching).await?;
    let mut read = context.database.read(granted.scope).await?;
    let key = match &person {
        Some(person) => Key::Identity(person.identity_id),
        None => Key::Email(address.clone()),
    };
    let member = member::find(read.connection(), organization, &key).await?;
    let invitation = invitation::pending_for(read.connection(), organization, &address).await?;
    read.finish();
    match member {
        Some(member) if person.is_some() && member.state == MemberState::Active => {
            return Ok(Right::Member(Box::new(member)));
        }
        Some(_) if person.is_some() => return Err(EntryError::Refused),
        // A member has the address, and the provider may not stand for it.
        Some(_) => return Err(trusted.err().unwrap_or(AccountRefused::AddressInUse).into()),
        None => {}
    }
    if let (Some(invitation), Ok(())) = (invitation, trusted) {
        return Ok(Right::Invited(Box::new(invitation)));
    }
    match entry.policy.sso_jit_provisioning {
        SsoJitProvisioning::NotAllowed => return Err(AccountRefused::ProvisioningNotAllowed.into()),
        SsoJitProvisioning::Restricted if !vouching.email_verified => {
            return Err(AccountRefused::EmailNotVerified.into());
        }
        SsoJitProvisioning::Restricted if !entry.policy.allows_domain(&address) => {
            return Err(AccountRefused::DomainNotAllowed.into());
        }
        SsoJitProvisioning::Restricted | SsoJitProvisioning::AllAllowed => {}
    }
    if taken {
        return Err(AccountRefused::AddressInUse.into());
    }
    Ok(Right::Vouched)
}

/// The person whom the provider vouches for, made if they are not there yet. Alone they are harmless: a member they become by entering.
pub async fn person(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    vouching: &Vouching,
) -> Result<IdentityId, EntryError> {
    let known = known(context, granted, vouching).await?;
    Ok(settle(context, granted, vouching, known).await?.identity_id)
}

/// Links the account, then makes the person under it. Where the same account comes twice at once, both go on with who was first.
async fn settle(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    vouching: &Vouching,
    known: Known,
) -> Result<Identity, EntryError> {
    let Known { linked, person, address, trusted, .. } = known;
    let (origin, tenant, pool) = (granted.origin(), Tenant::Organization(granted.scope), context.pool(granted).await?);
    let id = person.as_ref().map(|person| person.identity_id).or(linked).unwrap_or_else(IdentityId::new);
    let id = link(context, tenant, &origin, vouching, id).await?;
    if person.as_ref().is_some_and(|person| person.identity_id != id) {
        return Err(EntryError::Refused);
    }
    kill_point("sso-join/linked");
    let name = &vouching.display_name;
    let person = match person {
        Some(person) => {
            let verified = identities::verify(context, pool, &origin, person, trusted.is_ok()).await?;
            verified.ok_or(EntryError::Refused)?
        }
        None => {
            let made = identities::create(context, pool, &origin, id, &address, name, trusted.is_ok()).await?;
            made.ok_or(AccountRefused::AddressInUse)?
        }
    };
    kill_point("sso-join/identity-made");
    Ok(person)
}

/// Makes a member of them, by the steps of any other. The account is linked before the person is made: whatever is cut short is found by
/// it when they come again.
pub async fn join(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    entry: &OrganizationEntry,
    vouching: &Vouching,
) -> Result<MemberWithRoles, EntryError> {
    let limit = entry.limits.max_members;
    let known = known(context, granted, vouching).await?;
    let address = known.address.clone();
    look(context, granted.scope, &address, limit).await?;
    let person = settle(context, granted, vouching, known).await?;
    let name = &vouching.display_name;
    let grantor = Grantor::of(&granted.caller);
    let mut grants = Vec::new();
    for (source, roles) in
        [(RoleSource::Jit, entry.policy.jit_roles.clone()), (RoleSource::ConnectionGroup, vouching.role_ids.clone())]
    {
        grants.push((source, known_roles(context, granted, &grantor, roles).await?));
    }
    let draft = MemberDraft {
        email_address: address,
        display_name: if name.is_empty() { person.display_name.clone() } else { name.clone() },
        external_id: unused(context, granted, vouching.external_id.clone()).await?,
        is_breakglass: false,
        trusted_metadata: Metadata::default(),
        untrusted_metadata: Metadata::default(),
    };
    let newcomer = Newcomer { person, draft, grants, limit };
    Ok(add(context, granted, None, &grantor, newcomer).await?)
}

/// An external id that another member has is not the new one's.
async fn unused(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    external_id: Option<ExternalId>,
) -> Result<Option<ExternalId>, EntryError> {
    let Some(external_id) = external_id else { return Ok(None) };
    let mut read = context.database.read(granted.scope).await?;
    let key = Key::ExternalId(external_id.clone());
    let found = member::find(read.connection(), granted.scope.organization_id(), &key).await?;
    read.finish();
    Ok(found.is_none().then_some(external_id))
}

/// Before a member's session begins: the account is theirs from now on, and they hold the roles that their groups give now.
pub async fn remember(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    member: MemberId,
    factor: &AuthFactor,
    vouching: &Vouching,
) -> Result<(), EntryError> {
    let organization = granted.scope.organization_id();
    let mut read = context.database.read(granted.scope).await?;
    let found = member::find(read.connection(), organization, &Key::Id(member)).await?;
    let tenant = Tenant::Organization(granted.scope);
    let linked = provider_account::find(read.connection(), tenant, vouching).await?;
    read.finish();
    let member = found.ok_or(EntryError::Refused)?;
    let linked = match linked {
        Some(linked) => linked,
        None => link(context, tenant, &granted.origin(), vouching, member.identity_id).await?,
    };
    if linked != member.identity_id {
        return Err(EntryError::Refused);
    }
    kill_point("sso/account-linked");
    // Noted first: roles that nobody knows the connection of would stay for ever.
    let mut tx = context.database.upkeep(granted.scope).await?;
    let (id, time) = (vouching.connection, factor.time);
    provider_account::note_roles(tx.connection(), granted.scope, member.member_id, id, time).await?;
    tx.commit().await?;
    settle_group_roles(context, granted, &member, vouching.role_ids.clone()).await?;
    Ok(())
}
