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

    /// The state that is in force in a project.
    fn within(self, archived: bool) -> Self {
        match self {
            Self::Active if archived => Self::Suspended,
            state => state,
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
    /// The state in force: nothing of an archived project is ACTIVE, whatever was said of it. What looks at the state of an
    /// organization need not think of its project.
    pub state: OrganizationState,
    /// What org-service last said of the tenant itself. Of a project's own head: SUSPENDED once the project is archived.
    pub own_state: OrganizationState,
    /// Whether the project is archived.
    pub archived: bool,
    /// The revision in org-service that set `own_state`: an older word never undoes a newer one.
    pub state_revision: i64,
    pub revision: i64,
    pub incarnation: Uuid,
    pub(crate) event_hash: Vec<u8>,
}

pub(crate) struct HeadRow {
    pub(crate) organization_id: Uuid,
    pub(crate) project_id: Uuid,
    pub(crate) state: String,
    /// That of the project's own head; None where there is none, and so nothing was ever said of the project.
    pub(crate) project_state: Option<String>,
    pub(crate) state_revision: i64,
    pub(crate) revision: i64,
    pub(crate) incarnation: Uuid,
    pub(crate) event_hash: Vec<u8>,
}

impl TryFrom<HeadRow> for Head {
    type Error = StoreError;

    fn try_from(row: HeadRow) -> Result<Self, StoreError> {
        let own_state = OrganizationState::parse(&row.state)?;
        let of_project = row.project_state.as_deref().map(OrganizationState::parse).transpose()?;
        let shut = |state: OrganizationState| state != OrganizationState::Active;
        let archived = of_project.is_some_and(shut) || (row.organization_id == row.project_id && shut(own_state));
        Ok(Self {
            organization_id: OrganizationId::from_uuid(row.organization_id),
            project_id: ProjectId::from_uuid(row.project_id),
            state: own_state.within(archived),
            own_state,
            archived,
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
            "select h.organization_id, h.project_id, h.state,
                 (select p.state from head p where p.organization_id = h.project_id) as project_state,
                 h.state_revision, h.revision, h.incarnation, h.event_hash
             from head h where h.organization_id = $1",
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

    /// The project's state is that of the moment at which the lock was asked for.
    pub(crate) async fn lock(
        connection: &mut PgConnection,
        organization: OrganizationId,
    ) -> Result<Option<Self>, StoreError> {
        sqlx::query_as!(
            HeadRow,
            "select h.organization_id, h.project_id, h.state,
                 (select p.state from head p where p.organization_id = h.project_id) as project_state,
                 h.state_revision, h.revision, h.incarnation, h.event_hash
             from head h where h.organization_id = $1 for update",
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

#[cfg(test)]
mod tests {
    use super::*;

    fn head(state: &str, project_state: Option<&str>) -> Head {
        let row = HeadRow {
            organization_id: Uuid::from_u128(1),
            project_id: Uuid::from_u128(2),
            state: state.to_owned(),
            project_state: project_state.map(str::to_owned),
            state_revision: 1,
            revision: 1,
            incarnation: Uuid::from_u128(3),
            event_hash: Vec::new(),
        };
        Head::try_from(row).unwrap()
    }

    #[test]
    fn nothing_of_an_archived_project_is_active() {
        for (own, in_force) in [("ACTIVE", "SUSPENDED"), ("SUSPENDED", "SUSPENDED"), ("DELETED", "DELETED")] {
            for open in [None, Some("ACTIVE")] {
                let head = head(own, open);
                assert_eq!((head.state.as_str(), head.own_state.as_str(), head.archived), (own, own, false));
            }
            let head = head(own, Some("SUSPENDED"));
            assert_eq!((head.state.as_str(), head.own_state.as_str(), head.archived), (in_force, own, true));
        }
    }
}
