//! Reading events: a tenant's log in pages, its chain from end to end (`log`), and the feed of the whole schema for other services.
//!
//! The feed is given in the order (`feed_transaction`, `position`), up to the first transaction that may still add to it. Numbers below
//! that bound are settled: an event's `feed_transaction` is never lower than the number of the transaction that wrote it. The bound is
//! found in two steps, of which the order is all: first the numbers of the transactions that run in this database, then, by a later
//! snapshot, the events. A writer that the first step does not see has either ended, and the snapshot shows what it wrote; or it has no
//! number yet, and then its number is not below the one that was the next at the first step. Transactions in other databases of the
//! server write no events here, nor do those of roles that may not, such as the other services' in a database that they share. So these
//! hold nothing back, which a snapshot's own xmin would have them do.
//!
//! What is held back is said. Each reading of the feed also tells the time up to which it is complete, by the database's clock: the
//! moment of the first step or, where events stood behind the bound already, when the oldest of them was appended. An event is appended
//! before its transaction commits, so a transaction that committed before that time has none among them.
//!
//! Transactions are counted by the database's server, and one that a dump was restored into counts anew. So what is called an event's
//! number here is the transaction's and the count at which the history of this database began (`history`).

mod history;
mod log;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{ClusterScope, Database, Event, EventId, OrganizationId, ProjectId, Scope, StoreError, page};

pub(crate) use history::{begin, unfinished};
pub use log::{LogCursor, LogFilter, list, verify_chain};

struct EventRow {
    organization_id: Uuid,
    project_id: Uuid,
    revision: i64,
    ordinal: i32,
    event_id: Uuid,
    kind: String,
    actor: String,
    on_behalf_of: Option<String>,
    subject_ids: Vec<String>,
    payload: Option<String>,
    payload_hash: Vec<u8>,
    request_id: String,
    trace_id: String,
    time: OffsetDateTime,
    previous_hash: Vec<u8>,
    hash: Vec<u8>,
    feed_transaction: i64,
    position: i64,
}

impl From<EventRow> for Event {
    fn from(row: EventRow) -> Self {
        Self {
            event_id: EventId::from_uuid(row.event_id),
            organization_id: OrganizationId::from_uuid(row.organization_id),
            project_id: ProjectId::from_uuid(row.project_id),
            revision: row.revision,
            ordinal: row.ordinal,
            kind: row.kind,
            actor: row.actor,
            on_behalf_of: row.on_behalf_of,
            subject_ids: row.subject_ids,
            payload: row.payload,
            payload_hash: row.payload_hash,
            request_id: row.request_id,
            trace_id: row.trace_id,
            time: row.time,
            previous_hash: row.previous_hash,
            hash: row.hash,
        }
    }
}

/// A place in the feed. Everything up to it was seen, nothing after it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize)]
pub struct FeedCursor {
    transaction: i64,
    position: i64,
}

/// A part of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPart {
    /// Oldest first, each with the cursor behind it.
    pub events: Vec<(Event, FeedCursor)>,
    /// Every event of a transaction that committed before this time, by the database's clock, is among those events or before them.
    /// None where more can be had at once.
    pub complete_until: Option<OffsetDateTime>,
}

/// Where the feed ends for now.
struct Bound {
    /// Of events whose number is lower, none can come any more.
    transaction: i64,
    /// The database's clock before that was found out.
    time: OffsetDateTime,
}

/// Must be asked before the snapshot is taken that the events are read by: see the head of this module. The numbers of running
/// transactions are the lower halves of theirs, so they are counted back from the next one.
async fn bound(connection: &mut PgConnection) -> Result<Bound, StoreError> {
    let row = sqlx::query_as!(
        Bound,
        r#"with opened as (
               select clock_timestamp() as time, pg_snapshot_xmax(pg_current_snapshot())::text::bigint as next,
                   (select transactions_before from history) as before offset 0
           ), running as (
               select a.backend_xid from pg_stat_get_activity(null) as a, pg_database as d
               where d.datname = current_database() and a.datid = d.oid and a.backend_xid is not null
                   and (has_table_privilege(a.usesysid, 'event'::regclass, 'insert') is distinct from false
                       or pg_has_role(a.usesysid, (select relowner from pg_class where oid = 'event'::regclass), 'member'))
               union all
               select p.transaction from pg_prepared_xacts as p where p.database = current_database()
           ), behind as (
               select ((next & 4294967295) - backend_xid::text::bigint) & 4294967295 as distance from opened, running
           )
           select before + next - coalesce((select max(distance) from behind where distance < 2147483648), 0) as "transaction!",
               time as "time!"
           from opened"#
    )
    .fetch_one(connection)
    .await?;
    Ok(row)
}

/// Bounds only grow, and whatever was read lies below one. So the cursor is of a time that this database has lost: it was restored to an
/// earlier moment, or another server took over without its last writes. Nothing would be found behind it until the numbers come there again.
const AHEAD: &str = "a cursor of the feed that lies ahead of it: the database was set back to an earlier moment";

/// The next events of the feed, and up to when it is complete. With an organization's scope, that organization's only. Ends early
/// when its events grow large.
///
/// No event is ever skipped; a write that runs for long in this database holds back what was written after it began, for as long as it
/// runs (servers end idle ones after ten seconds).
pub async fn after(database: &Database, scope: Scope, cursor: FeedCursor, limit: i64) -> Result<FeedPart, StoreError> {
    let organization = match scope {
        Scope::Organization(scope) => Some(scope.organization_id().uuid()),
        Scope::Project(_) | Scope::Cluster(_) => None,
    };
    let mut read = database.read_each(scope).await?;
    let bound = bound(read.connection()).await?;
    if cursor.transaction >= bound.transaction {
        return Err(StoreError::Corrupt(AHEAD));
    }
    let rows = sqlx::query_as!(
        EventRow,
        r#"select organization_id, project_id, revision, ordinal, event_id, kind, actor, on_behalf_of, subject_ids, payload,
               payload_hash, request_id, trace_id, time, previous_hash, hash, feed_transaction, position
           from (
               select *, sum(octet_length(coalesce(payload, ''))) over (order by feed_transaction, position)
                   - octet_length(coalesce(payload, '')) as bytes_before
               from (
                   select * from event
                   where (feed_transaction, position) > ($1, $2)
                       and feed_transaction < $3
                       and ($4::uuid is null or organization_id = $4)
                   order by feed_transaction, position
                   limit $5
               ) as next
           ) as weighed
           where bytes_before < $6
           order by feed_transaction, position"#,
        cursor.transaction,
        cursor.position,
        bound.transaction,
        organization,
        limit,
        page::MAX_BYTES as i64
    )
    .fetch_all(read.connection())
    .await?;
    let all = rows.len() < usize::try_from(limit).unwrap_or(0) && weight(&rows) < page::MAX_BYTES;
    let complete_until = match all {
        true => Some(complete_until(read.connection(), &bound, organization).await?),
        false => None,
    };
    read.finish();
    let events = rows.into_iter().map(|row| {
        let cursor = FeedCursor { transaction: row.feed_transaction, position: row.position };
        (Event::from(row), cursor)
    });
    Ok(FeedPart { events: events.collect(), complete_until })
}

/// The bound's own time, or an earlier one where events that are there already are held back.
async fn complete_until(
    connection: &mut PgConnection,
    bound: &Bound,
    organization: Option<Uuid>,
) -> Result<OffsetDateTime, StoreError> {
    let held_back = sqlx::query_scalar!(
        "select min(append_time) from event where feed_transaction >= $1 and ($2::uuid is null or organization_id = $2)",
        bound.transaction,
        organization
    )
    .fetch_one(connection)
    .await?;
    Ok(held_back.map_or(bound.time, |time| time.min(bound.time)))
}

fn weight(rows: &[EventRow]) -> usize {
    rows.iter().map(|row| row.payload.as_ref().map_or(0, String::len)).sum()
}

/// A cursor behind what is older than `time`: where a reader starts that needs the recent past only. Never behind what the feed still
/// holds back.
pub async fn since(database: &Database, scope: Scope, time: OffsetDateTime) -> Result<FeedCursor, StoreError> {
    let mut read = database.read_each(scope).await?;
    let bound = bound(read.connection()).await?;
    let row = sqlx::query!(
        "select feed_transaction, position from event where append_time < $1 and feed_transaction < $2
         order by feed_transaction desc, position desc limit 1",
        time,
        bound.transaction
    )
    .fetch_optional(read.connection())
    .await?;
    read.finish();
    Ok(row.map_or_else(FeedCursor::default, |r| FeedCursor { transaction: r.feed_transaction, position: r.position }))
}

/// How far this service has read another's feed.
pub async fn cursor_of(database: &Database, source: &str) -> Result<Option<String>, StoreError> {
    let mut read = database.read(ClusterScope::granted()).await?;
    let row = sqlx::query_scalar!("select cursor from feed_cursor where source = $1", source)
        .fetch_optional(read.connection())
        .await?;
    read.finish();
    Ok(row)
}

/// Keeps how far this service has read another's feed.
pub async fn keep_cursor(database: &Database, source: &str, cursor: &str) -> Result<(), StoreError> {
    let mut tx = database.upkeep(ClusterScope::granted()).await?;
    sqlx::query!(
        "insert into feed_cursor (source, cursor) values ($1, $2) on conflict (source) do update set cursor = $2",
        source,
        cursor
    )
    .execute(tx.connection())
    .await?;
    tx.commit().await
}
