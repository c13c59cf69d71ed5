use sqlx::PgConnection;
use tenancy::{OrganizationId, ProjectId, RoleId, StoreError, page::Page};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::Role;

struct Row {
    organization_id: Uuid,
    project_id: Uuid,
    role_id: Uuid,
    key: String,
    display_name: String,
    description: String,
    permissions: Vec<String>,
    included_role_ids: Vec<Uuid>,
    create_time: OffsetDateTime,
    update_time: OffsetDateTime,
    revision: i64,
}

impl From<Row> for Role {
    fn from(row: Row) -> Self {
        let of_the_project = row.organization_id == row.project_id;
        Self {
            role_id: RoleId::from_uuid(row.role_id),
            organization_id: (!of_the_project).then(|| OrganizationId::from_uuid(row.organization_id)),
            key: row.key,
            display_name: row.display_name,
            description: row.description,
            permissions: row.permissions,
            included_role_ids: row.included_role_ids.into_iter().map(RoleId::from_uuid).collect(),
            builtin: false,
            create_time: Some(row.create_time),
            update_time: Some(row.update_time),
            revision: row.revision,
        }
    }
}

/// Whose roles can be named in a tenant: its own, and the project's. For the project itself both are the same.
#[derive(Debug, Clone, Copy)]
pub struct Owners {
    pub tenant: OrganizationId,
    pub project: ProjectId,
}

impl Owners {
    fn uuids(self) -> [Uuid; 2] {
        [self.tenant.uuid(), self.project.uuid()]
    }
}

/// A role of the tenant or of its project.
pub async fn find(connection: &mut PgConnection, owners: Owners, role: RoleId) -> Result<Option<Role>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "select organization_id, project_id, role_id, key, display_name, description, permissions, included_role_ids,
             create_time, update_time, revision
         from role where organization_id = any ($1) and role_id = $2",
        &owners.uuids(),
        role.uuid()
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Role::from))
}

/// A tenant's own roles and its project's.
pub async fn all(connection: &mut PgConnection, owners: Owners) -> Result<Vec<Role>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "select organization_id, project_id, role_id, key, display_name, description, permissions, included_role_ids,
             create_time, update_time, revision
         from role where organization_id = any ($1)",
        &owners.uuids()
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Role::from).collect())
}

/// A place in the list of roles: the builtin ones come first, then the project's, then the organization's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct RoleCursor {
    pub rank: i32,
    pub role_id: RoleId,
}

/// One page, up to one role more than asked for. The builtin ones are the caller's to put in front.
pub async fn list(
    connection: &mut PgConnection,
    owners: Owners,
    after: RoleCursor,
    page: &Page<RoleCursor>,
) -> Result<Vec<Role>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "select organization_id, project_id, role_id, key, display_name, description, permissions, included_role_ids,
             create_time, update_time, revision
         from role
         where organization_id = any ($1)
             and ((case when organization_id = project_id then 1 else 2 end), role_id) > ($2::int, $3::uuid)
         order by (case when organization_id = project_id then 1 else 2 end), role_id
         limit $4",
        &owners.uuids(),
        after.rank,
        after.role_id.uuid(),
        page.size + 1
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Role::from).collect())
}

pub async fn count(connection: &mut PgConnection, tenant: OrganizationId) -> Result<i64, StoreError> {
    let count =
        sqlx::query_scalar!(r#"select count(*) as "count!" from role where organization_id = $1"#, tenant.uuid())
            .fetch_one(connection)
            .await?;
    Ok(count)
}

/// Which of the keys are used anywhere in the project.
pub async fn keys_used(
    connection: &mut PgConnection,
    project: ProjectId,
    keys: &[String],
) -> Result<Vec<String>, StoreError> {
    let used = sqlx::query_scalar!(
        "select distinct key from role where project_id = $1 and key = any ($2)",
        project.uuid(),
        keys
    )
    .fetch_all(connection)
    .await?;
    Ok(used)
}

/// How many bindings name each of the roles: in the organization or, for roles of the project, anywhere in the project.
pub async fn uses(
    connection: &mut PgConnection,
    owners: Owners,
    roles: &[RoleId],
) -> Result<Vec<(RoleId, i64)>, StoreError> {
    let ids: Vec<Uuid> = roles.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"select role_id, count(*) as "uses!" from binding
           where project_id = $2 and role_id = any ($3) and (organization_id = $1 or $1 = $2)
           group by role_id"#,
        owners.tenant.uuid(),
        owners.project.uuid(),
        &ids
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (RoleId::from_uuid(row.role_id), row.uses)).collect())
}

/// Each of the roles with each role that includes it: in the organization or, for roles of the project, anywhere in the project.
pub async fn includers(
    connection: &mut PgConnection,
    owners: Owners,
    roles: &[RoleId],
) -> Result<Vec<(RoleId, RoleId)>, StoreError> {
    let ids: Vec<Uuid> = roles.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"select included.id as "included!", role.role_id as "role_id!"
           from role join unnest($3::uuid[]) as included (id) on included.id = any (role.included_role_ids)
           where role.project_id = $2 and (role.organization_id = $1 or $1 = $2)"#,
        owners.tenant.uuid(),
        owners.project.uuid(),
        &ids
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (RoleId::from_uuid(row.included), RoleId::from_uuid(row.role_id))).collect())
}

pub async fn insert(connection: &mut PgConnection, owners: Owners, role: &Role) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into role (organization_id, project_id, role_id, key, display_name, description, permissions,
             included_role_ids, create_time, update_time, revision)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        owners.tenant.uuid(),
        owners.project.uuid(),
        role.role_id.uuid(),
        role.key,
        role.display_name,
        role.description,
        &role.permissions,
        &role.included_role_ids.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
        role.create_time,
        role.update_time,
        role.revision
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub async fn update(connection: &mut PgConnection, tenant: OrganizationId, role: &Role) -> Result<(), StoreError> {
    sqlx::query!(
        "update role set display_name = $3, description = $4, permissions = $5, included_role_ids = $6, update_time = $7,
             revision = $8
         where organization_id = $1 and role_id = $2",
        tenant.uuid(),
        role.role_id.uuid(),
        role.display_name,
        role.description,
        &role.permissions,
        &role.included_role_ids.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
        role.update_time,
        role.revision
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub async fn delete(connection: &mut PgConnection, tenant: OrganizationId, role: RoleId) -> Result<(), StoreError> {
    sqlx::query!("delete from role where organization_id = $1 and role_id = $2", tenant.uuid(), role.uuid())
        .execute(connection)
        .await?;
    Ok(())
}

/// Those of the tenant's and the project's roles that have one of the ids or keys.
pub async fn named(
    connection: &mut PgConnection,
    owners: Owners,
    ids: &[RoleId],
    keys: &[String],
) -> Result<Vec<Role>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_as!(
        Row,
        "select organization_id, project_id, role_id, key, display_name, description, permissions, included_role_ids,
             create_time, update_time, revision
         from role where organization_id = any ($1) and (role_id = any ($2) or key = any ($3))",
        &owners.uuids(),
        &ids,
        keys
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Role::from).collect())
}
