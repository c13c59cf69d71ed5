use sqlx::PgConnection;
use tenancy::{OrganizationId, ProjectId, StoreError, page::Page};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::{Registration, Resource};

struct Row {
    organization_id: Uuid,
    r#type: String,
    id: String,
    parent_type: Option<String>,
    parent_id: Option<String>,
    create_time: OffsetDateTime,
    update_time: OffsetDateTime,
    revision: i64,
}

impl From<Row> for Registration {
    fn from(row: Row) -> Self {
        Self {
            organization_id: OrganizationId::from_uuid(row.organization_id),
            resource: Resource { type_name: row.r#type, id: row.id },
            parent: Resource::from_columns(row.parent_type, row.parent_id),
            create_time: row.create_time,
            update_time: row.update_time,
            revision: row.revision,
        }
    }
}

/// Types and ids, for `unnest`.
pub(super) fn columns(resources: &[Resource]) -> (Vec<String>, Vec<String>) {
    resources.iter().map(|r| (r.type_name.clone(), r.id.clone())).unzip()
}

pub async fn find(
    connection: &mut PgConnection,
    organization: OrganizationId,
    resources: &[Resource],
) -> Result<Vec<Registration>, StoreError> {
    let (types, ids) = columns(resources);
    let rows = sqlx::query_as!(
        Row,
        "select organization_id, type, id, parent_type, parent_id, create_time, update_time, revision
         from resource
         where organization_id = $1 and (type, id) in (select * from unnest($2::text[], $3::text[]))",
        organization.uuid(),
        &types,
        &ids
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Registration::from).collect())
}

/// One page of what lies directly in `parent` (None: in the organization), by type and id. An empty `type_name` asks for all.
pub async fn children(
    connection: &mut PgConnection,
    organization: OrganizationId,
    parent: Option<&Resource>,
    type_name: &str,
    page: &Page<Resource>,
) -> Result<Vec<Registration>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "select organization_id, type, id, parent_type, parent_id, create_time, update_time, revision
         from resource
         where organization_id = $1
             and (($2::text is null and parent_type is null) or (parent_type = $2 and parent_id = $3))
             and ($4 = '' or type = $4)
             and ($5::text is null or (type, id) > ($5, $6))
         order by type, id limit $7",
        organization.uuid(),
        parent.map(|r| r.type_name.as_str()),
        parent.map(|r| r.id.as_str()),
        type_name,
        page.after.as_ref().map(|r| r.type_name.as_str()),
        page.after.as_ref().map(|r| r.id.as_str()),
        page.size + 1
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Registration::from).collect())
}

/// All of them, by type and id: up to one more than asked for.
pub async fn list_all(
    connection: &mut PgConnection,
    organization: OrganizationId,
    page: &Page<Resource>,
) -> Result<Vec<Registration>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "select organization_id, type, id, parent_type, parent_id, create_time, update_time, revision
         from resource
         where organization_id = $1 and ($2::text is null or (type, id) > ($2, $3))
         order by type, id limit $4",
        organization.uuid(),
        page.after.as_ref().map(|r| r.type_name.as_str()),
        page.after.as_ref().map(|r| r.id.as_str()),
        page.size + 1
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Registration::from).collect())
}

pub async fn insert(
    connection: &mut PgConnection,
    project: ProjectId,
    organization: OrganizationId,
    registrations: &[Registration],
) -> Result<(), StoreError> {
    let Some(first) = registrations.first() else { return Ok(()) };
    let (types, ids): (Vec<String>, Vec<String>) =
        registrations.iter().map(|r| (r.resource.type_name.clone(), r.resource.id.clone())).unzip();
    let (parent_types, parent_ids): (Vec<Option<String>>, Vec<Option<String>>) =
        registrations.iter().map(|r| r.parent.clone().map(|p| (p.type_name, p.id)).unzip()).unzip();
    sqlx::query!(
        "insert into resource (organization_id, project_id, type, id, parent_type, parent_id, create_time, update_time, revision)
         select $1, $2, new.type, new.id, new.parent_type, new.parent_id, $7, $7, $8
         from unnest($3::text[], $4::text[], $5::text[], $6::text[]) as new (type, id, parent_type, parent_id)",
        organization.uuid(),
        project.uuid(),
        &types,
        &ids,
        &parent_types as &[Option<String>],
        &parent_ids as &[Option<String>],
        first.create_time,
        first.revision
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Puts it where it now stands.
pub async fn relocate(connection: &mut PgConnection, registration: &Registration) -> Result<(), StoreError> {
    sqlx::query!(
        "update resource set parent_type = $4, parent_id = $5, update_time = $6, revision = $7
         where organization_id = $1 and type = $2 and id = $3",
        registration.organization_id.uuid(),
        registration.resource.type_name,
        registration.resource.id,
        registration.parent.as_ref().map(|parent| parent.type_name.as_str()),
        registration.parent.as_ref().map(|parent| parent.id.as_str()),
        registration.update_time,
        registration.revision
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub async fn delete(
    connection: &mut PgConnection,
    organization: OrganizationId,
    resources: &[Resource],
) -> Result<(), StoreError> {
    let (types, ids) = columns(resources);
    sqlx::query!(
        "delete from resource
         where organization_id = $1 and (type, id) in (select * from unnest($2::text[], $3::text[]))",
        organization.uuid(),
        &types,
        &ids
    )
    .execute(connection)
    .await?;
    Ok(())
}
