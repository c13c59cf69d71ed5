//! Readiness, as far as it hangs on the database.

use std::time::Duration;

use runtime::Condition;
use tenancy::{Database, StoreError};
use tokio::time::sleep;

use crate::store;

/// How often the schema is looked for until it is there, and how often the database is looked after from then on.
const EAGER: Duration = Duration::from_millis(500);
const CALM: Duration = Duration::from_secs(5);
/// One miss is no outage: under load a look may fail to get a connection in time.
const MISSES: u32 = 3;

/// Keeps two conditions true to the facts: that the database answers, and that its schema is the one that this binary was built
/// for. Never migrates.
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

/// In words of ours: a driver's message may hold the address, and the readiness page is open to the cluster.
fn told(error: &StoreError) -> &'static str {
    match error {
        StoreError::Busy | StoreError::Unreachable(_) => "the database cannot be reached",
        StoreError::Database(_) => "the database refuses this service; the log says why",
        StoreError::RequestIdReused | StoreError::TenantUnknown | StoreError::Corrupt(_) => {
            "the database does not hold what it should"
        }
    }
}
