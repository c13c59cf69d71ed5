//! Dropping what is kept for a time only.

use std::time::Duration;

use tenancy::Database;
use tokio::time::sleep;

const FORGET_EVERY: Duration = Duration::from_secs(60);
const FORGET_AT_ONCE: i64 = 1000;

/// Drops the kept answers whose 24 hours have passed.
pub async fn forget_answers(database: Database) {
    loop {
        sleep(FORGET_EVERY).await;
        loop {
            match database.forget_answers(FORGET_AT_ONCE).await {
                Ok(forgotten) if forgotten >= FORGET_AT_ONCE.unsigned_abs() => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(error = %runtime::Chain(&error), "old answers stay for another minute");
                    break;
                }
            }
        }
    }
}
