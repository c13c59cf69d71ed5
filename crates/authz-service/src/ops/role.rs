use tenancy::{
    Database, OrganizationScope, RoleId, Scope, StoreError,
    page::{Listed, Page},
};

use super::{
    Call, Refused, apply,
    edit::{Edit, NewRole, RolePatch},
};
use crate::{
    model::{At, Role, RoleName},
    snapshots::Snapshots,
    store::{
        self, Connection,
        role::{Owners, RoleCursor},
    },
};

/// How many roles of its own an organization has.
pub async fn count(database: &Database, scope: OrganizationScope) -> Result<i64, StoreError> {
    let mut read = database.read(scope).await?;
    let count = store::role::count(read.connection(), scope.organization_id()).await?;
    read.finish();
    Ok(count)
}

pub async fn get(database: &Database, scope: Scope, owners: Owners, id: RoleId) -> Result<Role, Refused> {
    if let Some(role) = Role::builtin(id) {
        return Ok(role);
    }
    let mut read = database.read(scope).await?;
    let role = store::role::find(read.connection(), owners, id).await?;
    read.finish();
    role.ok_or(Refused::NotFound("role"))
}

/// The builtin roles, then the project's, then the organization's own, each oldest first.
pub async fn list(
    database: &Database,
    scope: Scope,
    owners: Owners,
    page: &Page<RoleCursor>,
) -> Result<Listed<Role, RoleCursor>, StoreError> {
    let after = page.after.unwrap_or(RoleCursor { rank: 0, role_id: RoleId::from_uuid(uuid::Uuid::nil()) });
    let mut roles: Vec<Role> =
        Role::builtins().filter(|role| after.rank == 0 && role.role_id > after.role_id).collect();
    let mut read = database.read(scope).await?;
    roles.extend(store::role::list(read.connection(), owners, after, page).await?);
    read.finish();
    Ok(Listed::from_rows(roles, page.size, cursor))
}

fn cursor(role: &Role) -> RoleCursor {
    let rank = match (role.builtin, role.organization_id) {
        (true, _) => 0,
        (false, None) => 1,
        (false, Some(_)) => 2,
    };
    RoleCursor { rank, role_id: role.role_id }
}

/// Those of the roles that are there.
pub(super) async fn known(
    connection: &mut Connection,
    owners: Owners,
    names: &[RoleName],
) -> Result<Vec<Role>, StoreError> {
    let mut known: Vec<Role> = Role::builtins().filter(|role| names.iter().any(|name| name.is_of(role))).collect();
    let (mut ids, mut keys) = (Vec::new(), Vec::new());
    for name in names.iter().filter(|name| !known.iter().any(|role| name.is_of(role))) {
        match name {
            RoleName::Id(id) => ids.push(*id),
            RoleName::Key(key) => keys.push(key.to_string()),
        }
    }
    if !ids.is_empty() || !keys.is_empty() {
        known.extend(store::role::named(connection, owners, &ids, &keys).await?);
    }
    Ok(known)
}

/// The roles of these names, in their order.
pub(super) async fn named(
    connection: &mut Connection,
    owners: Owners,
    names: &[RoleName],
) -> Result<Vec<RoleId>, Refused> {
    let known = known(connection, owners, names).await?;
    let find = |name: &RoleName| known.iter().find(|role| name.is_of(role)).map(|role| role.role_id);
    names.iter().map(|name| find(name).ok_or(Refused::NotFound("role"))).collect()
}

/// `most` is how many roles of its own the tenant may have. They are counted under the lock of its head.
pub async fn create(
    snapshots: &Snapshots,
    scope: Scope,
    call: &Call,
    new: NewRole,
    most: i64,
) -> Result<At<Role>, Refused> {
    let batch = apply::Batch { most_roles: most, ..apply::Batch::of(vec![Edit::CreateRole(new)]) };
    Ok(apply::one_of(snapshots, scope, call, batch).await?.role()?)
}

pub async fn update(snapshots: &Snapshots, scope: Scope, call: &Call, patch: RolePatch) -> Result<At<Role>, Refused> {
    Ok(apply::one(snapshots, scope, call, Edit::UpdateRole(patch)).await?.role()?)
}

pub async fn delete(
    snapshots: &Snapshots,
    scope: Scope,
    call: &Call,
    id: RoleId,
    etag: String,
) -> Result<At<Role>, Refused> {
    Ok(apply::one(snapshots, scope, call, Edit::DeleteRole { id, etag }).await?.role()?)
}
