//! Tenants that are no more: what a service keeps of one after its purge is the head and the chain of events without their payloads,
//! closed by an event of its own.

use sqlx::PgConnection;

use crate::{ClusterScope, Database, Head, OrganizationState, StoreError};

/// The kind of the event that closes a chain. Nothing comes after it.
pub const PURGED: &str = "organization.purged";

impl Head {
    /// Whether this service has erased the tenant. Costs a look at the chain's last events for a deleted tenant, and nothing for
    /// any other.
    pub async fn is_purged(&self, connection: &mut PgConnection) -> Result<bool, StoreError> {
        if self.state != OrganizationState::Deleted {
            return Ok(false);
        }
        let purged = sqlx::query_scalar!(
            r#"select exists (
                   select from event where organization_id = $1 and revision = $2 and kind = $3
               ) as "purged!""#,
            self.organization_id.uuid(),
            self.revision,
            PURGED
        )
        .fetch_one(connection)
        .await?;
        Ok(purged)
    }
}

impl Database {
    /// See [`Head::is_purged`].
    pub async fn is_purged(&self, head: &Head) -> Result<bool, StoreError> {
        if head.state != OrganizationState::Deleted {
            return Ok(false);
        }
        Box::pin(async {
            let mut read = self.read(ClusterScope::granted()).await?;
            let purged = head.is_purged(read.connection()).await?;
            read.finish();
            Ok(purged)
        })
        .await
    }
}
