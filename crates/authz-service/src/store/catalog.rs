use serde_json::Value;
use sqlx::PgConnection;
use tenancy::{OrganizationId, ProjectId, StoreError};
use time::OffsetDateTime;

use crate::model::PermissionCatalog;

struct Row {
    resource_types: Value,
    version: i64,
    create_time: OffsetDateTime,
    update_time: OffsetDateTime,
    revision: i64,
}

/// The project's catalogue; the empty one where it wrote none.
pub async fn find(connection: &mut PgConnection, project: ProjectId) -> Result<PermissionCatalog, StoreError> {
    let key = OrganizationId::from(project);
    let row = sqlx::query_as!(
        Row,
        "select resource_types, version, create_time, update_time, revision from catalog where organization_id = $1",
        key.uuid()
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(PermissionCatalog::default()) };
    Ok(PermissionCatalog {
        resource_types: serde_json::from_value(row.resource_types).map_err(|_| StoreError::Corrupt("catalogue"))?,
        version: row.version,
        create_time: Some(row.create_time),
        update_time: Some(row.update_time),
        revision: row.revision,
    })
}

pub async fn put(
    connection: &mut PgConnection,
    project: ProjectId,
    catalog: &PermissionCatalog,
) -> Result<(), StoreError> {
    let key = OrganizationId::from(project);
    sqlx::query!(
        "insert into catalog (organization_id, project_id, resource_types, version, create_time, update_time, revision)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (organization_id) do update
         set resource_types = excluded.resource_types, version = excluded.version, update_time = excluded.update_time,
             revision = excluded.revision",
        key.uuid(),
        project.uuid(),
        serde_json::to_value(&catalog.resource_types).map_err(|_| StoreError::Corrupt("catalogue"))?,
        catalog.version,
        catalog.create_time,
        catalog.update_time,
        catalog.revision
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What a smaller catalogue would leave without a meaning.
#[derive(Debug, Default)]
pub struct Dropped {
    /// `type:verb`, and `type:*` for each type that goes.
    pub permissions: Vec<String>,
    pub types: Vec<String>,
    /// (child, parent) pairs that would not be allowed any more.
    pub placements: Vec<(String, String)>,
}

/// Which of it is still used, in any organization of the project: permissions by roles, types by bindings and registered
/// resources, placements by registered resources. At most `limit` names.
pub async fn in_use(
    connection: &mut PgConnection,
    project: ProjectId,
    dropped: &Dropped,
    limit: i64,
) -> Result<Vec<String>, StoreError> {
    let (children, parents): (Vec<String>, Vec<String>) = dropped.placements.iter().cloned().unzip();
    let used = sqlx::query_scalar!(
        r#"select used.name as "name!" from (
               select distinct named.permission as name
               from role cross join lateral unnest(role.permissions) as named (permission)
               where role.project_id = $1 and named.permission = any ($2)
               union
               select type from unnest($3::text[]) as gone (type)
               where exists (select from binding where project_id = $1 and resource_type = gone.type)
                  or exists (select from resource where project_id = $1 and resource.type = gone.type)
               union
               select child || ' in ' || parent from unnest($4::text[], $5::text[]) as placed (child, parent)
               where exists (select from resource
                   where project_id = $1 and resource.type = placed.child and parent_type = placed.parent)
           ) as used
           order by 1 limit $6"#,
        project.uuid(),
        &dropped.permissions,
        &dropped.types,
        &children,
        &parents,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(used)
}
