//! Erasing the organizations whose grace is over.

use std::time::Duration;

use tenancy::{ClusterScope, Database, OrganizationScope, StoreError};
use tokio::time::sleep;

use super::origin;
use crate::ops::organization;

/// One look at a small index.
const EVERY: Duration = Duration::from_secs(1);
const AT_ONCE: i64 = 100;

/// Any number of processes may do this at once, and any may die at it: each organization is purged in one write that looks again.
pub async fn purge_for_ever(database: Database) {
    loop {
        sleep(EVERY).await;
        if let Err(error) = purge_due(&database).await {
            tracing::warn!(error = %runtime::Chain(&error), "organizations whose grace is over could not be looked for");
        }
    }
}

async fn purge_due(database: &Database) -> Result<(), StoreError> {
    for (project, organization) in organization::due(database, ClusterScope::granted(), AT_ONCE).await? {
        let scope = OrganizationScope::granted(project, organization);
        // One that fails does not keep the others waiting.
        match organization::purge(database, scope, &origin()).await {
            Ok(true) => tracing::info!(organization_id = %organization, "purged"),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(error = %runtime::Chain(&error), organization_id = %organization, "not purged yet");
            }
        }
    }
    Ok(())
}
