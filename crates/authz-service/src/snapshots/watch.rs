//! What each revision changed, told to somebody who keeps what decides in an organization.

use engine::Change;
use tenancy::{OrganizationScope, StoreError, since};
use time::OffsetDateTime;

use super::{MAX_FACTS, SnapshotError, Snapshots};
use crate::model::Revision;

/// What was told, and the revision that it makes up.
#[derive(Debug)]
pub struct Told {
    pub changes: Vec<Change>,
    pub revision: Revision,
    /// Everything that was committed before, by the database's clock, is in it.
    pub proven_time: OffsetDateTime,
}

/// What comes after a revision.
#[derive(Debug)]
pub enum News {
    Changes(Told),
    /// It cannot be told: all of it has to be told anew.
    Unknown,
}

impl Snapshots {
    /// What has happened since a revision that was told.
    pub async fn news(&self, scope: OrganizationScope, after: Revision) -> Result<News, SnapshotError> {
        let since = since::since(self.database(), scope, after.own, after.template, MAX_FACTS).await?;
        let since = since.ok_or(StoreError::TenantUnknown)?;
        let project = since.project.as_ref().map(|news| &news.head);
        let revision = Revision::of_heads(&since.organization.head, project);
        Ok(match self.told(&since, after) {
            Ok(delta) if revision.incarnation == after.incarnation => {
                News::Changes(Told { changes: delta.changes, revision, proven_time: since.as_of.time })
            }
            _ => News::Unknown,
        })
    }
}
