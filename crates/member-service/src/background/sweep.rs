//! Deleting what has lapsed: challenges, counts of tries, sessions, mails that nobody took.

use std::time::Duration;

use tenancy::{ClusterScope, Database, StoreError};
use tokio::time::sleep;

use crate::store::{assertion, sso, sweep};

const EVERY: Duration = Duration::from_secs(60);
/// Small enough that no sweep holds rows for long.
const AT_ONCE: i64 = 1000;

pub async fn sweep_for_ever(database: Database) {
    loop {
        sleep(EVERY).await;
        if let Err(error) = sweep_all(&database).await {
            tracing::warn!(error = %runtime::Chain(&error), "what has lapsed stays for another minute");
        }
    }
}

async fn sweep_all(database: &Database) -> Result<(), StoreError> {
    loop {
        let mut tx = database.upkeep(ClusterScope::granted()).await?;
        let most = sweep::lapsed(tx.connection(), AT_ONCE).await?;
        let most = most.max(assertion::lapsed(tx.connection(), AT_ONCE).await?);
        let most = most.max(sso::forget_lapsed(tx.connection(), AT_ONCE).await?);
        tx.commit().await?;
        if most < AT_ONCE.unsigned_abs() {
            return Ok(());
        }
    }
}
