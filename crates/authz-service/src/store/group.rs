use sqlx::PgConnection;
use tenancy::{GroupId, OrganizationId, ProjectId, StoreError, page::Page};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::Group;

struct Row {
    organization_id: Uuid,
    group_id: Uuid,
    display_name: String,
    external_id: String,
    create_time: OffsetDateTime,
    update_time: OffsetDateTime,
    revision: i64,
    members_revision: i64,
}

impl From<Row> for Group {
    fn from(row: Row) -> Self {
        Self {
            group_id: GroupId::from_uuid(row.group_id),
            organization_id: OrganizationId::from_uuid(row.organization_id),
            display_name: row.display_name,
            external_id: row.external_id,
            create_time: row.create_time,
            update_time: row.update_time,
            revision: row.revision,
            members_revision: row.members_revision,
        }
    }
}

pub async fn find(
    connection: &mut PgConnection,
    organization: OrganizationId,
    group: GroupId,
) -> Result<Option<Group>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "select organization_id, group_id, display_name, external_id, create_time, update_time, revision, members_revision
         from user_group where organization_id = $1 and group_id = $2",
        organization.uuid(),
        group.uuid()
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Group::from))
}

/// The groups that have one of the ids or external ids.
pub async fn named(
    connection: &mut PgConnection,
    organization: OrganizationId,
    groups: &[GroupId],
    external_ids: &[String],
) -> Result<Vec<Group>, StoreError> {
    let ids: Vec<Uuid> = groups.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_as!(
        Row,
        "select organization_id, group_id, display_name, external_id, create_time, update_time, revision, members_revision
         from user_group
         where organization_id = $1 and (group_id = any ($2) or (external_id <> '' and external_id = any ($3)))",
        organization.uuid(),
        &ids,
        external_ids
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Group::from).collect())
}

/// One page, oldest first: up to one group more than asked for. An empty `external_id` asks for all.
pub async fn list(
    connection: &mut PgConnection,
    organization: OrganizationId,
    external_id: &str,
    page: &Page<GroupId>,
) -> Result<Vec<Group>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "select organization_id, group_id, display_name, external_id, create_time, update_time, revision, members_revision
         from user_group
         where organization_id = $1 and ($2::uuid is null or group_id > $2) and ($3 = '' or external_id = $3)
         order by group_id limit $4",
        organization.uuid(),
        page.after.map(GroupId::uuid),
        external_id,
        page.size + 1
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Group::from).collect())
}

pub async fn insert(connection: &mut PgConnection, project: ProjectId, group: &Group) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into user_group (organization_id, project_id, group_id, display_name, external_id, create_time, update_time,
             revision, members_revision)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        group.organization_id.uuid(),
        project.uuid(),
        group.group_id.uuid(),
        group.display_name,
        group.external_id,
        group.create_time,
        group.update_time,
        group.revision,
        group.members_revision
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub async fn update(connection: &mut PgConnection, group: &Group) -> Result<(), StoreError> {
    sqlx::query!(
        "update user_group set display_name = $3, external_id = $4, update_time = $5, revision = $6, members_revision = $7
         where organization_id = $1 and group_id = $2",
        group.organization_id.uuid(),
        group.group_id.uuid(),
        group.display_name,
        group.external_id,
        group.update_time,
        group.revision,
        group.members_revision
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that somebody came or went.
pub async fn members_changed(
    connection: &mut PgConnection,
    organization: OrganizationId,
    groups: &[GroupId],
    revision: i64,
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = groups.iter().map(|id| id.uuid()).collect();
    sqlx::query!(
        "update user_group set members_revision = $3 where organization_id = $1 and group_id = any ($2)",
        organization.uuid(),
        &ids,
        revision
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// With its memberships, by cascade. Its own places in other groups and its bindings are the caller's to delete.
pub async fn delete(
    connection: &mut PgConnection,
    organization: OrganizationId,
    group: GroupId,
) -> Result<(), StoreError> {
    sqlx::query!(
        "delete from user_group where organization_id = $1 and group_id = $2",
        organization.uuid(),
        group.uuid()
    )
    .execute(connection)
    .await?;
    Ok(())
}
