//! The roles that an organization gives by email domain.
//!
//! A member holds them while three things hold: the organization's policy names the domain, the organization has verified it, and the
//! member's address under it is proven. That is looked at whenever they begin a session or refresh one, and for all members under a
//! domain when what is known of the domain or the policy changes. They are bindings of the source EMAIL_DOMAIN: what a member holds otherwise stays.

use access::Granted;
use tenancy::{Actor, MemberId, OrganizationScope, StoreError};

use crate::{
    model::{Member, Policy, RoleHeld, RoleSource, RolesRead},
    ops::{Context, entry::known_roles, verified},
    remote::{Grantor, RemoteError},
    store::member::{self, Key},
};

/// As many as fit into the while that a review is taken for.
const AT_ONCE: i64 = 100;

#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The roles that a member holds, once those by domain are as they should be.
pub async fn with_those_of_domain(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    policy: &Policy,
    member: MemberId,
    held: RolesRead,
) -> Result<RolesRead, ReviewError> {
    if policy.domain_roles.is_empty() && !held.roles.iter().any(by_domain) {
        return Ok(held);
    }
    let organization = granted.scope.organization_id();
    let mut read = context.database.read(granted.scope).await?;
    let member = member::find(read.connection(), organization, &Key::Id(member)).await?;
    read.finish();
    match member {
        Some(member) => settle(context, granted, policy, &member, held).await,
        None => Ok(held),
    }
}

/// The same of a session that goes on: what is not theirs any more is taken, and costs nothing where there is nothing of the kind.
pub async fn still_those_of_domain(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    member: MemberId,
    held: RolesRead,
) -> Result<RolesRead, ReviewError> {
    if !held.roles.iter().any(by_domain) {
        return Ok(held);
    }
    let entry = context.remote.organization(granted.into(), granted.scope.organization_id()).await?;
    match entry {
        Some(entry) => with_those_of_domain(context, granted, &entry.policy, member, held).await,
        None => Ok(held),
    }
}

/// Puts the roles of some members under a domain right. The last of them; None where there are no more.
pub async fn review_some(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    domain: &str,
    after: Option<MemberId>,
) -> Result<Option<MemberId>, ReviewError> {
    let organization = granted.scope.organization_id();
    let Some(entry) = context.remote.organization(granted.into(), organization).await? else { return Ok(None) };
    let mut read = context.database.read(granted.scope).await?;
    let members = member::of_domain(read.connection(), organization, domain, after, AT_ONCE).await?;
    read.finish();
    let subjects: Vec<Actor> = members.iter().map(|member| Actor::Member(member.member_id)).collect();
    let held = context.remote.roles(granted.into(), organization, &subjects).await?;
    for (member, held) in members.iter().zip(held) {
        settle(context, granted, &entry.policy, member, held).await?;
    }
    let full = i64::try_from(members.len()).is_ok_and(|count| count == AT_ONCE);
    Ok(members.last().filter(|_| full).map(|member| member.member_id))
}

async fn settle(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    policy: &Policy,
    member: &Member,
    held: RolesRead,
) -> Result<RolesRead, ReviewError> {
    let wanted = wanted(context, granted, policy, member).await?;
    put_right(context, granted, member, RoleSource::EmailDomain, wanted, held).await
}

/// Has a member hold the roles that their groups at the organization's provider give, and no others of the kind.
pub async fn settle_group_roles(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    member: &Member,
    wanted: Vec<String>,
) -> Result<(), ReviewError> {
    let subjects = [Actor::Member(member.member_id)];
    let held = context.remote.roles(granted.into(), granted.scope.organization_id(), &subjects).await?;
    let held = held.into_iter().next().unwrap_or_default();
    put_right(context, granted, member, RoleSource::ConnectionGroup, wanted, held).await.map(drop)
}

/// Has a member hold these roles of a source and no others of it, as far as they are there.
async fn put_right(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    member: &Member,
    source: RoleSource,
    wanted: Vec<String>,
    held: RolesRead,
) -> Result<RolesRead, ReviewError> {
    let grantor = Grantor::of(&granted.caller);
    let have: Vec<&RoleHeld> = held.roles.iter().filter(|role| role.sources.contains(&source)).collect();
    let is = |role: &RoleHeld, name: &String| role.role_id == *name || role.key == *name;
    let settled = |wanted: &[String]| {
        wanted.iter().all(|name| have.iter().any(|role| is(role, name)))
            && have.iter().all(|role| wanted.iter().any(|name| is(role, name)))
    };
    if settled(&wanted) {
        return Ok(held);
    }
    let known = known_roles(context, granted, &grantor, wanted).await?;
    if settled(&known) {
        return Ok(held);
    }
    let scope = granted.scope;
    let replaced = context.remote.replace_roles(granted.into(), scope, member.member_id, &grantor, known, source).await;
    match replaced {
        Ok(roles) => Ok(roles),
        // An organization without an owner is worse than an owner who came by what is no longer so.
        Err(error) if error.keeps_last_owner() => {
            tracing::warn!(member = %member.member_id, source = source.as_str(), "the last owner is one by what no longer holds, and stays it");
            Ok(held)
        }
        Err(error) => Err(error.into()),
    }
}

/// As ids or keys.
async fn wanted(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    policy: &Policy,
    member: &Member,
) -> Result<Vec<String>, ReviewError> {
    let address = &member.email_address;
    let Some(roles) = policy.domain_roles.get(address.domain()).filter(|roles| !roles.is_empty()) else {
        return Ok(Vec::new());
    };
    let pool = context.pool(granted).await?;
    if verified(context, pool, &[member.identity_id]).await?.is_empty() {
        return Ok(Vec::new());
    }
    let owner = context.remote.owner_of_domain(granted.into(), granted.scope.project_id(), address).await?;
    let own = owner.is_some_and(|(owner, _)| owner == granted.scope.organization_id());
    Ok(if own { roles.clone() } else { Vec::new() })
}

fn by_domain(role: &RoleHeld) -> bool {
    role.sources.contains(&RoleSource::EmailDomain)
}
