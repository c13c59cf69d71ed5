//! What this service does while nobody calls.

use std::time::Duration;

use runtime::Condition;
use tenancy::{Database, StoreError};
use tokio::time::sleep;

use crate::store;

/// How often the schema is looked for until it is there, and how often the database is looked after from then on.
const EAGER: Duration = Duration::from_millis(500);
const CALM: Duration = Duration::from_secs(5);
/// One miss is no outage: under load a call may fail to get a connection in time.
const MISSES: u32 = 3;

const FORGET_EVERY: Duration = Duration::from_secs(60);
const FORGET_AT_ONCE: i64 = 1000;

/// Keeps the two conditions of readiness true to the facts: that the database answers, and that its schema is the one that this
/// binary was built for. Never migrates.
pub async fn watch_database(database: Database, reachable: Condition, schema: Condition) {
    let migrations = store::migrations();
    let (mut misses, mut current) = (0, false);
    loop {
        match migrations.behind(&database).await {
            Ok(behind) => {
                misses = 0;
                current = behind.is_none();
                reachable.met();
                match behind {
                    None => schema.met(),
                    Some(why) => schema.unmet(why),
                }
            }
            Err(error) => {
                misses += 1;
                if misses == MISSES || !current {
                    tracing::warn!(error = %runtime::Chain(&error), "the database does not answer");
                    reachable.unmet(told(&error));
                }
            }
        }
        sleep(if current && misses == 0 { CALM } else { EAGER }).await;
    }
}

/// In words of ours: the readiness page is public to the cluster, and a driver's message may hold the address.
fn told(error: &StoreError) -> &'static str {
    match error {
        StoreError::Busy | StoreError::Unreachable(_) => "the database cannot be reached",
        StoreError::Database(_) => "the database refuses this service; the log says why",
        StoreError::RequestIdReused | StoreError::TenantUnknown | StoreError::Corrupt(_) => {
            "the database answers nonsense"
        }
    }
}

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
