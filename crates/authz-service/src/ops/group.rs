use tenancy::{
    Database, GroupId, OrganizationScope, StoreError,
    page::{Listed, Page},
};
use uuid::Uuid;

use super::{
    Call, Refused, apply,
    edit::{Edit, GroupPatch, NewGroup},
};
use crate::{
    model::{At, Group, GroupMembership, Subject},
    snapshots::Snapshots,
    store,
};

pub async fn get(database: &Database, scope: OrganizationScope, id: GroupId) -> Result<Group, Refused> {
    let mut read = database.read(scope).await?;
    let group = store::group::find(read.connection(), scope.organization_id(), id).await?;
    read.finish();
    group.ok_or(Refused::NotFound("group"))
}

pub async fn list(
    database: &Database,
    scope: OrganizationScope,
    external_id: &str,
    page: &Page<GroupId>,
) -> Result<Listed<Group, GroupId>, StoreError> {
    let mut read = database.read(scope).await?;
    let rows = store::group::list(read.connection(), scope.organization_id(), external_id, page).await?;
    read.finish();
    Ok(Listed::from_rows(rows, page.size, |group| group.group_id))
}

pub async fn create(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    call: &Call,
    new: NewGroup,
) -> Result<At<Group>, Refused> {
    Ok(apply::one(snapshots, scope, call, Edit::CreateGroup(new)).await?.group()?)
}

pub async fn update(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    call: &Call,
    patch: GroupPatch,
) -> Result<At<Group>, Refused> {
    Ok(apply::one(snapshots, scope, call, Edit::UpdateGroup(patch)).await?.group()?)
}

/// With its memberships, its places in other groups, and its bindings.
pub async fn delete(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    call: &Call,
    id: GroupId,
    etag: String,
) -> Result<At<Group>, Refused> {
    Ok(apply::one(snapshots, scope, call, Edit::DeleteGroup { id, etag }).await?.group()?)
}

/// Who is directly in it.
pub async fn members(
    database: &Database,
    scope: OrganizationScope,
    group: GroupId,
    page: &Page<Uuid>,
) -> Result<Listed<GroupMembership, Uuid>, Refused> {
    let mut read = database.read(scope).await?;
    let organization = scope.organization_id();
    if store::group::find(read.connection(), organization, group).await?.is_none() {
        return Err(Refused::NotFound("group"));
    }
    let rows = store::membership::list(read.connection(), organization, group, page).await?;
    read.finish();
    Ok(Listed::from_rows(rows, page.size, |membership| membership.membership_id))
}

/// Puts subjects in; answers how many were not in before.
pub async fn add(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    call: &Call,
    group: GroupId,
    subjects: Vec<Subject>,
) -> Result<At<i32>, Refused> {
    Ok(apply::one(snapshots, scope, call, Edit::AddMembers { group, subjects }).await?.count()?)
}

/// Takes subjects out; answers how many were in before.
pub async fn remove(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    call: &Call,
    group: GroupId,
    subjects: Vec<Subject>,
) -> Result<At<i32>, Refused> {
    Ok(apply::one(snapshots, scope, call, Edit::RemoveMembers { group, subjects }).await?.count()?)
}
