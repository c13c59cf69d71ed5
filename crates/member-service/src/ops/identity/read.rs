//! Finding identities, and where they are members.

use access::{Granted, Tenant};
use tenancy::{
    ClusterScope, IdentityId, MemberId, ProjectId, ProjectScope, StoreError,
    page::{Listed, Page},
};

use crate::{
    model::{EmailAddress, Identity, Member},
    ops::Context,
    store::{identity, member},
};

pub async fn get(
    context: &Context,
    granted: &Granted<ProjectScope>,
    id: IdentityId,
) -> Result<Option<Identity>, StoreError> {
    let mut read = context.database.read(granted.scope).await?;
    let found = identity::of_project(read.connection(), granted.scope.project_id(), id).await?;
    read.finish();
    Ok(found)
}

pub async fn lookup(context: &Context, pool: Tenant, address: &EmailAddress) -> Result<Option<Identity>, StoreError> {
    let mut read = context.database.read(pool).await?;
    let found = identity::by_address(read.connection(), pool, address).await?;
    read.finish();
    Ok(found.map(|found| found.identity))
}

/// The person, with a page of their members, without roles. None where there is no such person.
pub async fn memberships(
    context: &Context,
    granted: &Granted<ProjectScope>,
    id: IdentityId,
    page: &Page<MemberId>,
) -> Result<Option<(Identity, Listed<Member, MemberId>)>, StoreError> {
    let project = granted.scope.project_id();
    let mut read = context.database.read(granted.scope).await?;
    let person = identity::of_project(read.connection(), project, id).await?;
    let listed = match person {
        Some(person) => Some((person, member::memberships(read.connection(), project, id, page).await?)),
        None => None,
    };
    read.finish();
    Ok(listed)
}

/// The project of an identity that a service names.
pub async fn project_of(
    context: &Context,
    granted: &Granted<ClusterScope>,
    id: IdentityId,
) -> Result<Option<ProjectId>, StoreError> {
    let mut read = context.database.read(granted.scope).await?;
    let project = identity::project_of(read.connection(), id).await?;
    read.finish();
    Ok(project)
}
