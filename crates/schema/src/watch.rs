//! Readiness by the facts: whether the database answers, and whether its schema is the one that this binary was built for.

use std::time::Duration;

use runtime::Condition;
use tenancy::{Database, StoreError, migration::Migrations};
use tokio::time::sleep;

/// How often the schema is looked for until it is there, and how often the database is looked after from then on.
const EAGER: Duration = Duration::from_millis(500);
const CALM: Duration = Duration::from_secs(5);
/// One miss is no outage: under load a call may fail to get a connection in time.
const MISSES: u32 = 3;

/// Keeps the two conditions of readiness true to the facts: that the database answers, and that its schema is the one that this
/// binary was built for. Never migrates. Nothing is written from now on until the schema is known to be, by background tasks neither: in a
/// database that was restored and not said to be, what is written now stands where no reader of the feed looks any more.
pub fn watch(
    database: Database,
    migrations: Migrations,
    reachable: Condition,
    schema: Condition,
) -> impl Future<Output = ()> {
    database.hold_writes(true);
    look_after(database, migrations, reachable, schema)
}

async fn look_after(database: Database, migrations: Migrations, reachable: Condition, schema: Condition) {
    let (mut misses, mut current) = (0, false);
    loop {
        match migrations.behind(&database).await {
            Ok(behind) => {
                misses = 0;
                current = behind.is_none();
                database.hold_writes(!current);
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
        StoreError::Busy | StoreError::TimedOut | StoreError::Unreachable(_) => "the database cannot be reached",
        StoreError::Full(_) => "the database has no room left",
        StoreError::Database(_) => "the database refuses this service; the log says why",
        StoreError::RequestIdReused | StoreError::TenantUnknown | StoreError::NotText | StoreError::Corrupt(_) => {
            "the database answers nonsense"
        }
    }
}
