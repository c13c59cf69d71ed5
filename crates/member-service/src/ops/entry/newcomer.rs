//! By what right somebody may enter, and how a proven address becomes a member without an invitation (just in time).

use access::Granted;
use tenancy::{OrganizationId, OrganizationScope, ProjectId};

use super::LookError;
use crate::{
    model::{
        EmailAddress, Identity, Invitation, Member, MemberDraft, MemberState, MemberWithRoles, Metadata, Name, Policy,
        RoleSource,
    },
    ops::{
        Context, identity,
        member::{CreateError, Newcomer, add, look},
    },
    remote::{Asker, Grantor, OrganizationEntry, RemoteError},
    store::{
        invitation,
        member::{self, Key},
    },
};

/// Somebody who wants in.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Active. None: nobody has the address yet.
    pub identity: Option<Identity>,
    pub address: EmailAddress,
    /// Somebody has proven that the address is theirs, in this sign-in or before.
    pub proven: bool,
}

#[derive(Debug)]
pub enum Right {
    Member(Box<Member>),
    Invited(Box<Invitation>),
    Joinable,
    /// The organization's own provider vouches for them: see `ops::sso`.
    Vouched,
}

/// By what right the candidate may enter an organization. A suspended member has none, whatever waits for their address.
pub async fn right(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    policy: &Policy,
    candidate: &Candidate,
) -> Result<Option<Right>, LookError> {
    let organization = granted.scope.organization_id();
    // Asked for of members too: whether somebody is one must not show in the time that it takes.
    let project = granted.scope.project_id();
    let joinable = joinable(context, granted.into(), project, organization, policy, &candidate.address).await?;
    let mut read = context.database.read(granted.scope).await?;
    let member = match &candidate.identity {
        Some(identity) => member::find(read.connection(), organization, &Key::Identity(identity.identity_id)).await?,
        None => member::find(read.connection(), organization, &Key::Email(candidate.address.clone())).await?,
    };
    let invitation = invitation::pending_for(read.connection(), organization, &candidate.address).await?;
    read.finish();
    Ok(match (member, invitation) {
        (Some(member), _) => (member.state == MemberState::Active).then(|| Right::Member(Box::new(member))),
        (None, _) if !candidate.proven => None,
        (None, Some(invitation)) => Some(Right::Invited(Box::new(invitation))),
        (None, None) => joinable.then_some(Right::Joinable),
    })
}

/// Whether an organization lets in whoever proves this address: its policy says so, names the domain, and has verified it.
async fn joinable(
    context: &Context,
    asker: Asker<'_>,
    project: ProjectId,
    organization: OrganizationId,
    policy: &Policy,
    address: &EmailAddress,
) -> Result<bool, RemoteError> {
    if !policy.lets_in(address) {
        return Ok(false);
    }
    let owner = context.remote.owner_of_domain(asker, project, address).await?;
    Ok(owner.is_some_and(|(owner, _)| owner == organization))
}

/// Makes a member of somebody whose address is proven and under a verified domain, by the steps of any other member.
pub async fn join(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    entry: &OrganizationEntry,
    candidate: &Candidate,
) -> Result<MemberWithRoles, CreateError> {
    let limit = entry.limits.max_members;
    look(context, granted.scope, &candidate.address, limit).await?;
    let pool = context.pool(granted).await?;
    let name = candidate.identity.as_ref().map_or_else(Name::default, |identity| identity.display_name.clone());
    let person = identity::find_or_create(context, pool, &granted.origin(), &candidate.address, &name, true).await?;
    runtime::kill_point("join/identity-made");
    let policy = &entry.policy;
    let of_domain = policy.domain_roles.get(candidate.address.domain()).cloned().unwrap_or_default();
    let grantor = Grantor::of(&granted.caller);
    let mut grants = Vec::new();
    for (source, roles) in [(RoleSource::Jit, policy.jit_roles.clone()), (RoleSource::EmailDomain, of_domain)] {
        grants.push((source, known_roles(context, granted, &grantor, roles).await?));
    }
    let draft = MemberDraft {
        email_address: candidate.address.clone(),
        display_name: name,
        external_id: None,
        is_breakglass: false,
        trusted_metadata: Metadata::default(),
        untrusted_metadata: Metadata::default(),
    };
    let newcomer = Newcomer { person, draft, grants, limit };
    add(context, granted, None, &grantor, newcomer).await
}

/// Those of the roles that are there. A policy may name one that is gone, or is not there yet: it gives nothing, and nobody is kept
/// out by it.
pub async fn known_roles(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    grantor: &Grantor,
    roles: Vec<String>,
) -> Result<Vec<String>, RemoteError> {
    let check = |roles| context.remote.check_grant(granted.into(), granted.scope, grantor, roles);
    match check(roles.clone()).await {
        Ok(_) => return Ok(roles),
        Err(error) => drop(error.grant_refused()?),
    }
    let mut known = Vec::with_capacity(roles.len());
    for role in roles {
        match check(vec![role.clone()]).await {
            Ok(_) => known.push(role),
            Err(error) => {
                drop(error.grant_refused()?);
                tracing::warn!(organization = %granted.scope.organization_id(), %role, "a policy gives a role that is not there; it is left out");
            }
        }
    }
    Ok(known)
}
