//! The way up and the way down in the tree of resources. Both end after more levels than a place may have, so that a stored circle
//! holds nobody up.

use std::collections::HashMap;

use sqlx::PgConnection;
use tenancy::{OrganizationId, StoreError};

use super::resource::columns;
use crate::model::Resource;

/// One more than a place may have.
const LEVELS: i32 = engine::MAX_RESOURCE_DEPTH as i32 + 1;

/// The stored parents of the resources, of their parents, and so on: child to parent.
pub async fn parents(
    connection: &mut PgConnection,
    organization: OrganizationId,
    resources: &[Resource],
) -> Result<HashMap<Resource, Resource>, StoreError> {
    let (types, ids) = columns(resources);
    let rows = sqlx::query!(
        r#"with recursive above (type, id, parent_type, parent_id, level) as (
               select r.type, r.id, r.parent_type, r.parent_id, 1
               from resource as r
               where r.organization_id = $1 and (r.type, r.id) in (select * from unnest($2::text[], $3::text[]))
               union
               select r.type, r.id, r.parent_type, r.parent_id, above.level + 1
               from above join resource as r
                   on r.organization_id = $1 and r.type = above.parent_type and r.id = above.parent_id
               where above.level < $4
           )
           select distinct type as "child_type!", id as "child_id!", parent_type as "parent_type!", parent_id as "parent_id!"
           from above where parent_type is not null"#,
        organization.uuid(),
        &types,
        &ids,
        LEVELS
    )
    .fetch_all(connection)
    .await?;
    let resource = |type_name, id| Resource { type_name, id };
    Ok(rows
        .into_iter()
        .map(|row| (resource(row.child_type, row.child_id), resource(row.parent_type, row.parent_id)))
        .collect())
}

/// Everything that lies in the resources at any depth, without the resources themselves.
pub async fn descendants(
    connection: &mut PgConnection,
    organization: OrganizationId,
    resources: &[Resource],
) -> Result<Vec<Resource>, StoreError> {
    let (types, ids) = columns(resources);
    let rows = sqlx::query!(
        r#"with recursive below (type, id, level) as (
               select type, id, 0 from unnest($2::text[], $3::text[]) as asked (type, id)
               union
               select r.type, r.id, below.level + 1
               from below join resource as r
                   on r.organization_id = $1 and r.parent_type = below.type and r.parent_id = below.id
               where below.level < $4
           )
           select distinct type as "type!", id as "id!" from below
           where (type, id) not in (select * from unnest($2::text[], $3::text[]))"#,
        organization.uuid(),
        &types,
        &ids,
        LEVELS
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| Resource { type_name: row.r#type, id: row.id }).collect())
}

/// How many levels lie below each of the resources; those with none are left out.
pub async fn heights(
    connection: &mut PgConnection,
    organization: OrganizationId,
    resources: &[Resource],
) -> Result<HashMap<Resource, usize>, StoreError> {
    let (types, ids) = columns(resources);
    let rows = sqlx::query!(
        r#"with recursive below (root_type, root_id, type, id, level) as (
               select type, id, type, id, 0 from unnest($2::text[], $3::text[]) as asked (type, id)
               union
               select below.root_type, below.root_id, r.type, r.id, below.level + 1
               from below join resource as r
                   on r.organization_id = $1 and r.parent_type = below.type and r.parent_id = below.id
               where below.level < $4
           )
           select root_type as "type!", root_id as "id!", max(level) as "levels!"
           from below where level > 0 group by root_type, root_id"#,
        organization.uuid(),
        &types,
        &ids,
        LEVELS
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (Resource { type_name: row.r#type, id: row.id }, usize::try_from(row.levels).unwrap_or_default()))
        .collect())
}
