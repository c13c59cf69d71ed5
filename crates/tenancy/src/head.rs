//! Heads: what one service holds of a tenant as a whole, and the row whose lock orders the tenant's writes.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{OrganizationId, ProjectId, StoreError};

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OrganizationState {
    Active,
    Suspended,
    Deleted,
}

impl OrganizationState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Suspended => "SUSPENDED",
            Self::Deleted => "DELETED",
        }
    }

    pub fn parse(text: &str) -> Result<Self, StoreError> {
        match text {
            "ACTIVE" => Ok(Self::Active),
            "SUSPENDED" => Ok(Self::Suspended),
            "DELETED" => Ok(Self::Deleted),
            _ => Err(StoreError::Corrupt("organization state")),
        }
    }
}

/// What one service holds of a tenant as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub organization_id: OrganizationId,
    pub project_id: ProjectId,
    pub state: OrganizationState,
    /// The revision in org-service that set `state`: an older word never undoes a newer one.
    pub state_revision: i64,
    pub revision: i64,
    pub incarnation: Uuid,
    pub(crate) event_hash: Vec<u8>,
}

pub(crate) struct HeadRow {
    pub(crate) organization_id: Uuid,
    pub(crate) project_id: Uuid,
    pub(crate) state: String,
    pub(crate) state_revision: i64,
    pub(crate) revision: i64,
    pub(crate) incarnation: Uuid,
    pub(crate) event_hash: Vec<u8>,
}

impl TryFrom<HeadRow> for Head {
    type Error = StoreError;

    fn try_from(row: HeadRow) -> Result<Self, StoreError> {
        Ok(Self {
            organization_id: OrganizationId::from_uuid(row.organization_id),
            project_id: ProjectId::from_uuid(row.project_id),
            state: OrganizationState::parse(&row.state)?,
            state_revision: row.state_revision,
            revision: row.revision,
            incarnation: row.incarnation,
            event_hash: row.event_hash,
        })
    }
}

impl Head {
    pub async fn find(connection: &mut PgConnection, organization: OrganizationId) -> Result<Option<Self>, StoreError> {
        sqlx::query_as!(
            HeadRow,
            "select organization_id, project_id, state, state_revision, revision, incarnation, event_hash
             from head where organization_id = $1",
            organization.uuid()
        )
        .fetch_optional(connection)
        .await?
        .map(Self::try_from)
        .transpose()
    }

    /// The revision and hash that the tenant's event chain ends with.
    pub(crate) fn chain_end(self) -> (i64, Vec<u8>) {
        (self.revision, self.event_hash)
    }

    pub(crate) async fn lock(
        connection: &mut PgConnection,
        organization: OrganizationId,
    ) -> Result<Option<Self>, StoreError> {
        sqlx::query_as!(
            HeadRow,
            "select organization_id, project_id, state, state_revision, revision, incarnation, event_hash
             from head where organization_id = $1 for update",
            organization.uuid()
        )
        .fetch_optional(connection)
        .await?
        .map(Self::try_from)
        .transpose()
    }

    /// Makes the head of a new tenant, or leaves the one that is there.
    pub(crate) async fn found(
        connection: &mut PgConnection,
        project: ProjectId,
        organization: OrganizationId,
        state: OrganizationState,
        state_revision: i64,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into head (organization_id, project_id, state, state_revision) values ($1, $2, $3, $4)
             on conflict (organization_id) do nothing",
            organization.uuid(),
            project.uuid(),
            state.as_str(),
            state_revision
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}
