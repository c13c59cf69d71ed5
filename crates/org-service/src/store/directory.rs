//! What the other services ask of organizations and projects.

use sqlx::PgConnection;
use tenancy::{OrganizationId, OrganizationState, ProjectId, StoreError};
use uuid::Uuid;

use super::word;
use crate::model::{Kind, UserPool};

/// An organization as the other services see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub organization_id: OrganizationId,
    pub project_id: ProjectId,
    pub slug: String,
    pub state: OrganizationState,
    pub kind: Kind,
    pub user_pool: UserPool,
    pub display_name: String,
    /// At which `state` last changed.
    pub state_revision: i64,
}

struct Row {
    organization_id: Uuid,
    project_id: Uuid,
    slug: String,
    state: String,
    kind: String,
    user_pool: String,
    display_name: String,
    state_revision: i64,
}

impl TryFrom<Row> for Entry {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            organization_id: OrganizationId::from_uuid(row.organization_id),
            project_id: ProjectId::from_uuid(row.project_id),
            slug: row.slug,
            state: OrganizationState::parse(&row.state)?,
            kind: word(row.kind, "organization.kind")?,
            user_pool: word(row.user_pool, "project.user_pool")?,
            display_name: row.display_name,
            state_revision: row.state_revision,
        })
    }
}

pub async fn organization(connection: &mut PgConnection, id: OrganizationId) -> Result<Option<Entry>, StoreError> {
    sqlx::query_as!(
        Row,
        "select o.organization_id, o.project_id, o.slug, o.state, o.kind, p.user_pool, o.display_name, h.state_revision
         from organization o join project p on p.organization_id = o.project_id join head h on h.organization_id = o.organization_id
         where o.organization_id = $1",
        id.uuid()
    )
    .fetch_optional(connection)
    .await?
    .map(Entry::try_from)
    .transpose()
}

/// By the slug of now: a former one finds nothing.
pub async fn organization_by_slug(
    connection: &mut PgConnection,
    project: ProjectId,
    slug: &str,
) -> Result<Option<Entry>, StoreError> {
    sqlx::query_as!(
        Row,
        "select o.organization_id, o.project_id, o.slug, o.state, o.kind, p.user_pool, o.display_name, h.state_revision
         from used_slug u join organization o on o.organization_id = u.organization_id and o.slug = u.slug
             join project p on p.organization_id = o.project_id join head h on h.organization_id = o.organization_id
         where u.project_id = $1 and u.slug = $2",
        project.uuid(),
        slug
    )
    .fetch_optional(connection)
    .await?
    .map(Entry::try_from)
    .transpose()
}
