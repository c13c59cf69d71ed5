use engine::{Catalog, OrganizationData, PermissionPattern, RoleId as EngineRoleId, Snapshot};
use tenancy::{
    Change as Changed, Database, NewEvent, OrganizationScope, RoleId, Scope, StoreError, mask,
    page::{Listed, Page},
};

use super::{
    Call, Refused,
    change::{Change, Opened},
    owners::keeps_an_owner,
    rules,
};
use crate::{
    model::{At, Grantor, Role, RoleKey, RoleName},
    snapshots::Snapshots,
    store::{
        self, Connection,
        role::{Owners, RoleCursor},
    },
};

/// A role to be made.
#[derive(Debug, Clone)]
pub struct NewRole {
    pub key: RoleKey,
    pub display_name: String,
    pub description: String,
    pub permissions: Vec<PermissionPattern>,
    pub included_role_ids: Vec<RoleId>,
}

/// What an update sets; None stays.
#[derive(Debug, Clone)]
pub struct RolePatch {
    pub role_id: RoleId,
    pub etag: String,
    pub display_name: Option<String>,
    pub description: Option<String>,
    pub permissions: Option<Vec<PermissionPattern>>,
    pub included_role_ids: Option<Vec<RoleId>>,
}

/// How many roles of its own an organization has.
pub async fn count(database: &Database, scope: OrganizationScope) -> Result<i64, StoreError> {
    let mut read = database.read(scope).await?;
    let count = store::role::count(read.connection(), scope.organization_id()).await?;
    read.finish().await?;
    Ok(count)
}

pub async fn get(database: &Database, scope: Scope, owners: Owners, id: RoleId) -> Result<Role, Refused> {
    if let Some(role) = Role::builtin(id) {
        return Ok(role);
    }
    let mut read = database.read(scope).await?;
    let role = store::role::find(read.connection(), owners, id).await?;
    read.finish().await?;
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
    read.finish().await?;
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

/// The roles of these names, in their order.
pub(super) async fn named(
    connection: &mut Connection,
    owners: Owners,
    names: &[RoleName],
) -> Result<Vec<RoleId>, Refused> {
    let builtin = |name: &RoleName| {
        Role::builtins().find(|role| match name {
            RoleName::Id(id) => role.role_id == *id,
            RoleName::Key(key) => role.key == key.as_str(),
        })
    };
    let (mut ids, mut keys) = (Vec::new(), Vec::new());
    for name in names.iter().filter(|name| builtin(name).is_none()) {
        match name {
            RoleName::Id(id) => ids.push(*id),
            RoleName::Key(key) => keys.push(key.to_string()),
        }
    }
    let stored = match ids.is_empty() && keys.is_empty() {
        true => Vec::new(),
        false => store::role::named(connection, owners, &ids, &keys).await?,
    };
    let find = |name: &RoleName| match name {
        RoleName::Id(id) => stored.iter().find(|role| role.role_id == *id).map(|role| role.role_id),
        RoleName::Key(key) => stored.iter().find(|role| role.key == key.as_str()).map(|role| role.role_id),
    };
    names
        .iter()
        .map(|name| builtin(name).map(|role| role.role_id).or_else(|| find(name)).ok_or(Refused::NotFound("role")))
        .collect()
}

async fn catalog(change: &mut Change) -> Result<Catalog, Refused> {
    let project = change.project();
    let stored = store::catalog::find(change.connection(), project).await?;
    Ok(Catalog::new(stored.resource_types).map_err(|_| StoreError::Corrupt("catalogue"))?)
}

fn known(catalog: &Catalog, patterns: &[PermissionPattern]) -> Result<(), Refused> {
    let unknown: Vec<String> =
        patterns.iter().filter(|pattern| !catalog.knows_pattern(pattern)).map(ToString::to_string).collect();
    if unknown.is_empty() { Ok(()) } else { Err(Refused::UnknownPermission(unknown)) }
}

/// `most` is how many roles of its own the tenant may have. They are counted under the lock of its head.
pub async fn create(
    snapshots: &Snapshots,
    scope: Scope,
    call: &Call,
    new: NewRole,
    most: i64,
) -> Result<At<Role>, Refused> {
    let mut change = match Change::open(snapshots.database(), scope, call).await? {
        Opened::Change(change) => change,
        Opened::Answered(first) => return Ok(first),
    };
    let owners = change.owners();
    let key_is_builtin = Role::builtins().any(|role| role.key == new.key.as_str());
    if key_is_builtin || store::role::key_is_used(change.connection(), owners, new.key.as_str()).await? {
        return Err(Refused::RoleKeyTaken(new.key.to_string()));
    }
    let used = store::role::count(change.connection(), owners.tenant).await?;
    if used >= most {
        return Err(Refused::TooManyRoles { limit: most, used });
    }
    known(&catalog(&mut change).await?, &new.permissions)?;
    let included: Vec<RoleName> = new.included_role_ids.iter().copied().map(RoleName::Id).collect();
    named(change.connection(), owners, &included).await?;
    if call.grantor != Grantor::Free {
        let template = change.template();
        let before = snapshots.of_write(change.write(), template).await?;
        let inherited = new.included_role_ids.iter().filter_map(|id| before.engine.patterns_of(id.uuid().into()));
        let patterns = inherited.flatten().chain(new.permissions.iter().cloned()).collect();
        rules::may_give(call.grantor, &[rules::Given::everywhere(patterns)], &before.engine, change.now())?;
    }
    let role = Role {
        role_id: RoleId::new(),
        organization_id: (owners.tenant != owners.project.into()).then_some(owners.tenant),
        key: new.key.to_string(),
        display_name: new.display_name,
        description: new.description,
        permissions: new.permissions.iter().map(ToString::to_string).collect(),
        included_role_ids: new.included_role_ids,
        builtin: false,
        create_time: Some(change.now()),
        update_time: Some(change.now()),
        revision: change.revision(),
    };
    store::role::insert(change.connection(), owners, &role).await?;
    change.append(NewEvent::new("role.created", subject_ids(&role), &Changed::created(role.clone())));
    Ok(change.commit(role).await?)
}

/// The tenant's own role, with a current etag. The project's roles are not the organization's to change, and builtin ones nobody's.
async fn own(change: &mut Change, id: RoleId, etag: &str) -> Result<Role, Refused> {
    if Role::builtin(id).is_some() {
        return Err(Refused::RoleInUse);
    }
    let owners = Owners { project: change.project(), tenant: change.organization() };
    let found = store::role::find(change.connection(), owners, id).await?;
    let own = if owners.tenant == owners.project.into() { None } else { Some(owners.tenant) };
    let role = found.filter(|role| role.organization_id == own).ok_or(Refused::NotFound("role"))?;
    if mask::etag_matches(etag, role.revision) { Ok(role) } else { Err(Refused::EtagMismatch) }
}

pub async fn update(snapshots: &Snapshots, scope: Scope, call: &Call, patch: RolePatch) -> Result<At<Role>, Refused> {
    let mut change = match Change::open(snapshots.database(), scope, call).await? {
        Opened::Change(change) => change,
        Opened::Answered(first) => return Ok(first),
    };
    let before = own(&mut change, patch.role_id, &patch.etag).await?;
    if let Some(permissions) = &patch.permissions {
        known(&catalog(&mut change).await?, permissions)?;
    }
    if let Some(included) = &patch.included_role_ids {
        let owners = change.owners();
        let names: Vec<RoleName> = included.iter().copied().map(RoleName::Id).collect();
        named(change.connection(), owners, &names).await?;
    }
    let after = Role {
        display_name: patch.display_name.unwrap_or_else(|| before.display_name.clone()),
        description: patch.description.unwrap_or_else(|| before.description.clone()),
        permissions: match patch.permissions {
            Some(patterns) => patterns.iter().map(ToString::to_string).collect(),
            None => before.permissions.clone(),
        },
        included_role_ids: patch.included_role_ids.unwrap_or_else(|| before.included_role_ids.clone()),
        update_time: Some(change.now()),
        revision: change.revision(),
        ..before.clone()
    };
    if after.permissions != before.permissions || after.included_role_ids != before.included_role_ids {
        may_become(&mut change, call.grantor, &after).await?;
    }
    let tenant = change.organization();
    store::role::update(change.connection(), tenant, &after).await?;
    change.append(NewEvent::new("role.updated", subject_ids(&after), &Changed::updated(before, after.clone())));
    Ok(change.commit(after).await?)
}

/// Cycles; what the role would newly give, or by shrinking in a deny give back; and the last owner, whom a wider deny may reach.
///
/// For a role of the project, the organizations that bind it are not read: what a project forbids its organizations is its own
/// to answer for.
async fn may_become(change: &mut Change, grantor: Grantor, after: &Role) -> Result<(), Refused> {
    let id = EngineRoleId(after.role_id.uuid());
    let head = change.head().clone();
    let data = store::organization::load(change.connection(), &head).await?.data;
    if engine::role_cycle(&data.roles, id, &after.included()).is_some() {
        return Err(Refused::Cycle("the role would include itself".to_owned()));
    }
    let mut changed = data.clone();
    for role in changed.roles.iter_mut().filter(|role| role.id == id) {
        role.permissions = after.patterns();
        role.included_role_ids = after.included();
    }
    let now = change.now();
    let (old, new) = (Snapshot::build(&data), Snapshot::build(&changed));
    let (had, has) = (old.patterns_of(id).unwrap_or_default(), new.patterns_of(id).unwrap_or_default());
    let mut given = uncovered(&has, &had);
    if denied_roles(&data).any(|role| includes(&data, role, id)) {
        given.extend(uncovered(&had, &has));
        keeps_an_owner(change, &data, &changed).await?;
    }
    rules::may_give(grantor, &[rules::Given::everywhere(given)], &old, now)
}

/// Those of `patterns` that none of `others` covers.
fn uncovered(patterns: &[PermissionPattern], others: &[PermissionPattern]) -> Vec<PermissionPattern> {
    patterns.iter().filter(|pattern| !others.iter().any(|other| other.covers(pattern))).cloned().collect()
}

fn denied_roles(data: &OrganizationData) -> impl Iterator<Item = EngineRoleId> {
    data.bindings.iter().filter(|binding| binding.effect == engine::Effect::Deny).map(|binding| binding.role)
}

fn includes(data: &OrganizationData, role: EngineRoleId, wanted: EngineRoleId) -> bool {
    // "Would it be a circle if the wanted one included the role": just when the role reaches the wanted one.
    role == wanted || engine::role_cycle(&data.roles, wanted, &[role]).is_some()
}

pub async fn delete(
    database: &Database,
    scope: Scope,
    call: &Call,
    id: RoleId,
    etag: &str,
) -> Result<At<Role>, Refused> {
    let mut change = match Change::open(database, scope, call).await? {
        Opened::Change(change) => change,
        Opened::Answered(first) => return Ok(first),
    };
    let before = own(&mut change, id, etag).await?;
    let owners = change.owners();
    if store::role::is_used(change.connection(), owners, id).await? {
        return Err(Refused::RoleInUse);
    }
    store::role::delete(change.connection(), owners.tenant, id).await?;
    change.append(NewEvent::new("role.deleted", subject_ids(&before), &Changed::removed(before.clone())));
    let gone = Role { revision: change.revision(), ..before };
    Ok(change.commit(gone).await?)
}

fn subject_ids(role: &Role) -> Vec<String> {
    vec![role.role_id.to_string()]
}
