//! Ending what an archived project still has under way.
//!
//! None of it opens anything from the moment that the project's head says so. It goes by a sweep and not with that word: there may be a
//! million sessions, and one that began at the same moment goes too. org-service's event is the record.

use std::time::Duration;

use tenancy::{ClusterScope, Database, StoreError};
use tokio::time::sleep;

use crate::store::sweep;

const EVERY: Duration = Duration::from_secs(2);
const AT_ONCE: i64 = 1000;

pub async fn end_archived_for_ever(database: Database) {
    loop {
        sleep(EVERY).await;
        if let Err(error) = end_archived(&database).await {
            tracing::warn!(error = %runtime::Chain(&error), "what archived projects have under way stays for now");
        }
    }
}

async fn end_archived(database: &Database) -> Result<(), StoreError> {
    loop {
        let mut tx = database.upkeep(ClusterScope::granted()).await?;
        let most = sweep::archived(tx.connection(), AT_ONCE).await?;
        tx.commit().await?;
        if most < AT_ONCE.unsigned_abs() {
            return Ok(());
        }
    }
}
