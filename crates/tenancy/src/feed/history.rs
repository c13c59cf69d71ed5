//! Where the count of transactions begins, in a database that may have been restored from a dump.

use sqlx::{Connection, PgConnection};

use crate::{ClusterScope, Database, StoreError};

/// Between two histories, so many numbers are left out that no event of the old one can have had a number of the new one: not even one that
/// was committed after the backup, was read by others, and is lost. At 10,000 writes a second they would last for 55 years.
const APART: i64 = 1 << 44;

/// Begins a new history: every tenant's incarnation changes, and with it what revision tokens are good for; and the feed goes on behind
/// all that was in it.
pub async fn begin(owner: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut tx = owner.begin().await?;
    sqlx::query!("select set_config('guildhall.scope', 'cluster', true)").fetch_one(&mut *tx).await?;
    sqlx::query!("lock table head, history in exclusive mode").execute(&mut *tx).await?;
    sqlx::query!("update head set incarnation = gen_random_uuid()").execute(&mut *tx).await?;
    sqlx::query!(
        "update history set transactions_before = (greatest(transactions_before, (select max(feed_transaction) from event)) / $1 + 1) * $1",
        APART
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// Whether events bear numbers that this database has not come to: it was restored, and nobody said so. Whatever is written would stand in
/// the middle of the feed, where nobody looks any more.
pub async fn unfinished(database: &Database) -> Result<bool, StoreError> {
    let mut read = database.read(ClusterScope::granted()).await?;
    let ahead = sqlx::query_scalar!(
        r#"select coalesce((select max(feed_transaction) from event)
               >= (select transactions_before from history) + pg_snapshot_xmax(pg_current_snapshot())::text::bigint, false) as "ahead!""#
    )
    .fetch_one(read.connection())
    .await?;
    read.finish();
    Ok(ahead)
}
