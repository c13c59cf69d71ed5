//! Intermediate sessions: made by a proof, tried a few times, used up once.

use access::{Granted, Tenant};
use tenancy::{
    ClusterScope, IdentityId, IntermediateSessionId, OrganizationState, ProjectId, StoreError,
    secret::{self, Presented, SecretKind},
};
use time::Duration;

use super::{Candidate, LookError};
use crate::{
    model::{AuthFactor, EmailAddress, IdentityState, Intermediate, IssuedIntermediate},
    ops::Context,
    store::{identity, intermediate},
};

pub const LIFETIME: Duration = Duration::minutes(10);
/// So often it may be used to enter or to found: the secret cannot be guessed, but what it opens could be probed with it.
const TRIES: i32 = 20;

/// What was proven, and by what.
#[derive(Debug)]
pub struct Proof<'a> {
    pub identity: Option<IdentityId>,
    pub address: &'a EmailAddress,
    /// By the factor itself.
    pub verified: bool,
    pub factor: AuthFactor,
}

/// Makes one under the organization that it shall be bound to, or the project.
pub async fn issue(context: &Context, tenant: Tenant, proof: Proof<'_>) -> Result<IssuedIntermediate, StoreError> {
    let new = Intermediate {
        id: IntermediateSessionId::new(),
        identity_id: proof.identity,
        email_address: proof.address.clone(),
        email_verified: proof.verified,
        auth_factors: vec![proof.factor],
        no_later_than: None,
        expire_time: proof.factor.time + LIFETIME,
    };
    keep(context, tenant, new, None).await
}

/// Makes it good, with the authenticator app, sealed, that is being enrolled with it.
pub(super) async fn keep(
    context: &Context,
    tenant: Tenant,
    new: Intermediate,
    enrollment: Option<&[u8]>,
) -> Result<IssuedIntermediate, StoreError> {
    let issued = secret::issue(SecretKind::IntermediateSession, tenant.key().uuid(), new.id.uuid());
    let mut tx = context.database.upkeep(tenant).await?;
    intermediate::insert(tx.connection(), tenant, &new, &issued.hash, enrollment).await?;
    tx.commit().await?;
    Ok(IssuedIntermediate { token: issued.text, expire_time: new.expire_time, email_address: new.email_address })
}

/// One that is good, with whose it is.
#[derive(Debug)]
pub struct Opened {
    pub project: ProjectId,
    pub tenant: Tenant,
    /// Where the person's identity stands. None: of a project whose pools are its organizations', to sign up with.
    pub pool: Option<Tenant>,
    pub session: Intermediate,
    pub candidate: Candidate,
}

impl Opened {
    pub fn is_bound(&self) -> bool {
        matches!(self.tenant, Tenant::Organization(_))
    }
}

/// Opens one in the project that is named. None where it is not good any more, is another project's, or the person may not sign in.
pub async fn open(
    context: &Context,
    granted: &Granted<ClusterScope>,
    project: ProjectId,
    presented: &Presented,
) -> Result<Option<Opened>, LookError> {
    let Some(shared) = context.remote.shares_pool(granted.into(), project).await? else { return Ok(None) };
    let own = Tenant::Project(granted.in_project(project).scope);
    let tenant = if presented.tenant == project.uuid() {
        own
    } else {
        let head = context.database.head(tenancy::OrganizationId::from_uuid(presented.tenant)).await?;
        let open = |head: &tenancy::Head| head.project_id == project && head.state == OrganizationState::Active;
        let Some(head) = head.filter(open) else { return Ok(None) };
        Tenant::Organization(granted.in_organization(project, head.organization_id).scope)
    };
    let mut read = context.database.read(tenant).await?;
    let session = intermediate::open(read.connection(), tenant, presented, TRIES).await?;
    read.finish();
    let Some(session) = session else { return Ok(None) };
    let pool = match (shared, tenant) {
        (true, _) => Some(own),
        (false, Tenant::Organization(_)) => Some(tenant),
        (false, Tenant::Project(_)) => None,
    };
    let identity = match pool {
        None => None,
        Some(pool) => {
            let mut read = context.database.read(pool).await?;
            let identity = match session.identity_id {
                Some(id) => identity::get(read.connection(), pool, id).await?,
                None => {
                    identity::by_address(read.connection(), pool, &session.email_address).await?.map(|k| k.identity)
                }
            };
            read.finish();
            let gone = session.identity_id.is_some() && identity.is_none();
            // Suspended, somebody with another address by now, or with another password: what was proven is theirs no more.
            let able = identity.as_ref().is_none_or(|i| {
                i.state == IdentityState::Active
                    && i.email_address == session.email_address
                    && !i.outdates(&session.auth_factors)
            });
            if gone || !able {
                return Ok(None);
            }
            identity
        }
    };
    let proven = session.email_verified || identity.as_ref().is_some_and(|identity| identity.email_verified);
    let candidate = Candidate { identity, address: session.email_address.clone(), proven };
    Ok(Some(Opened { project, tenant, pool, session, candidate }))
}

/// Takes one of the tries. False where none is left.
pub async fn try_once(context: &Context, opened: &Opened) -> Result<bool, StoreError> {
    let mut tx = context.database.upkeep(opened.tenant).await?;
    let taken = intermediate::take_try(tx.connection(), opened.tenant, opened.session.id, TRIES).await?;
    tx.commit().await?;
    Ok(taken)
}

/// Uses it up. False where somebody was quicker.
pub async fn spend(context: &Context, tenant: Tenant, id: IntermediateSessionId) -> Result<bool, StoreError> {
    let mut tx = context.database.upkeep(tenant).await?;
    let first = intermediate::end(tx.connection(), tenant, id).await?;
    tx.commit().await?;
    Ok(first)
}
