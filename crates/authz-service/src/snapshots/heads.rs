use tenancy::{AsOf, Database, Head, OrganizationScope, StoreError};

use super::SnapshotError;
use crate::model::Revision;

/// Where an organization and its project stand, and as of when.
#[derive(Debug, Clone)]
pub struct Heads {
    pub organization: Head,
    pub project: Option<Head>,
    pub as_of: AsOf,
}

impl Heads {
    /// By a read that begins after this call.
    pub async fn read(database: &Database, scope: OrganizationScope) -> Result<Self, StoreError> {
        let ([organization, project], as_of) = database.heads_as_of(scope).await?;
        let organization = organization.filter(|head| head.project_id == scope.project_id());
        match (organization, as_of) {
            (Some(organization), Some(as_of)) => Ok(Self { organization, project, as_of }),
            _ => Err(StoreError::TenantUnknown),
        }
    }

    pub fn revision(&self) -> Revision {
        Revision::of_heads(&self.organization, self.project.as_ref())
    }

    /// Whether a token's revision was reached.
    pub fn reached(&self, asked: Revision) -> Result<(), SnapshotError> {
        let heads = [Some(&self.organization), self.project.as_ref()].into_iter().flatten();
        let now = self.revision();
        match heads.filter_map(|head| asked.is_of_the_history_of(head)).next() {
            None => Err(SnapshotError::Foreign),
            Some(false) => Err(SnapshotError::AnotherHistory),
            Some(true) if asked.own > now.own || asked.template > now.template => Err(SnapshotError::FromFuture),
            Some(true) => Ok(()),
        }
    }
}
