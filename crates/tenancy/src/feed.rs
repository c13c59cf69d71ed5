//! Reading events: a tenant's log in pages, its chain from end to end, and the feed of the whole schema for other services.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    ClusterScope, Database, Event, EventId, OrganizationId, ProjectId, Scope, StoreError, event::ChainCheck, page::Page,
};

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

/// A place in one tenant's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct LogCursor {
    pub revision: i64,
    pub ordinal: i32,
}

impl From<&Event> for LogCursor {
    fn from(event: &Event) -> Self {
        Self { revision: event.revision, ordinal: event.ordinal }
    }
}

/// Which events of a tenant's log are asked for. Empty fields ask for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    pub kinds: Vec<String>,
    pub actor: Option<String>,
    pub subject_id: Option<String>,
    pub from: Option<OffsetDateTime>,
    pub until: Option<OffsetDateTime>,
}

/// One page of a tenant's log, newest first: up to one event more than asked for.
pub async fn list(
    connection: &mut PgConnection,
    organization: OrganizationId,
    filter: &LogFilter,
    page: &Page<LogCursor>,
) -> Result<Vec<Event>, StoreError> {
    let after = page.after.unwrap_or(LogCursor { revision: i64::MAX, ordinal: i32::MAX });
    let rows = sqlx::query_as!(
        EventRow,
        "select organization_id, project_id, revision, ordinal, event_id, kind, actor, on_behalf_of, subject_ids, payload,
             payload_hash, request_id, trace_id, time, previous_hash, hash, feed_transaction, position
         from event
         where organization_id = $1 and (revision, ordinal) < ($2, $3)
             and (cardinality($4::text[]) = 0 or kind = any ($4))
             and ($5::text is null or actor = $5 or on_behalf_of = $5)
             and ($6::text is null or $6 = any (subject_ids))
             and ($7::timestamptz is null or time >= $7)
             and ($8::timestamptz is null or time < $8)
         order by revision desc, ordinal desc
         limit $9",
        organization.uuid(),
        after.revision,
        after.ordinal,
        &filter.kinds,
        filter.actor,
        filter.subject_id,
        filter.from,
        filter.until,
        page.size + 1
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Event::from).collect())
}

const BATCH: i64 = 500;

async fn ascending(
    connection: &mut PgConnection,
    organization: OrganizationId,
    after: LogCursor,
) -> Result<Vec<Event>, StoreError> {
    let rows = sqlx::query_as!(
        EventRow,
        "select organization_id, project_id, revision, ordinal, event_id, kind, actor, on_behalf_of, subject_ids, payload,
             payload_hash, request_id, trace_id, time, previous_hash, hash, feed_transaction, position
         from event
         where organization_id = $1 and (revision, ordinal) > ($2, $3)
         order by revision, ordinal
         limit $4",
        organization.uuid(),
        after.revision,
        after.ordinal,
        BATCH
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Event::from).collect())
}

/// Walks the whole chain of an organization, or of a project itself, at one moment.
pub async fn verify_chain(
    database: &Database,
    scope: Scope,
    organization: OrganizationId,
) -> Result<ChainCheck, StoreError> {
    let mut read = database.read(scope).await?;
    let head = crate::Head::find(read.connection(), organization).await?;
    let mut check = ChainCheck::default();
    let mut after = LogCursor { revision: 0, ordinal: i32::MAX };
    loop {
        let events = ascending(read.connection(), organization, after).await?;
        let Some(last) = events.last() else { break };
        after = LogCursor::from(last);
        events.iter().for_each(|event| check.feed(event));
        if check.broken.is_some() {
            break;
        }
    }
    if let Some((revision, hash)) = head.map(crate::Head::chain_end) {
        check.end(revision, &hash);
    }
    read.finish().await?;
    Ok(check)
}

/// The next events of the feed, oldest first, and the cursor behind each. With an organization's scope, that organization's only.
///
/// Only events of transactions older than every running one are given, so that no event is ever skipped; a long-running write
/// holds the feed back for as long as it runs (servers end idle ones after ten seconds).
pub async fn after(
    database: &Database,
    scope: Scope,
    cursor: FeedCursor,
    limit: i64,
) -> Result<Vec<(Event, FeedCursor)>, StoreError> {
    let organization = match scope {
        Scope::Organization(scope) => Some(scope.organization_id().uuid()),
        Scope::Project(_) | Scope::Cluster(_) => None,
    };
    let mut read = database.read(scope).await?;
    let rows = sqlx::query_as!(
        EventRow,
        "select organization_id, project_id, revision, ordinal, event_id, kind, actor, on_behalf_of, subject_ids, payload,
             payload_hash, request_id, trace_id, time, previous_hash, hash, feed_transaction, position
         from event
         where (feed_transaction, position) > ($1, $2)
             and feed_transaction < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
             and ($3::uuid is null or organization_id = $3)
         order by feed_transaction, position
         limit $4",
        cursor.transaction,
        cursor.position,
        organization,
        limit
    )
    .fetch_all(read.connection())
    .await?;
    read.finish().await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let cursor = FeedCursor { transaction: row.feed_transaction, position: row.position };
            (Event::from(row), cursor)
        })
        .collect())
}

/// A cursor behind everything older than `time`: where a reader starts that needs the recent past only.
pub async fn since(database: &Database, scope: Scope, time: OffsetDateTime) -> Result<FeedCursor, StoreError> {
    let mut read = database.read(scope).await?;
    let row = sqlx::query!(
        "select feed_transaction, position from event where time < $1 order by feed_transaction desc, position desc limit 1",
        time
    )
    .fetch_optional(read.connection())
    .await?;
    read.finish().await?;
    Ok(row.map_or_else(FeedCursor::default, |r| FeedCursor { transaction: r.feed_transaction, position: r.position }))
}

/// How far this service has read another's feed.
pub async fn cursor_of(database: &Database, source: &str) -> Result<Option<String>, StoreError> {
    let mut read = database.read(ClusterScope::granted()).await?;
    let row = sqlx::query_scalar!("select cursor from feed_cursor where source = $1", source)
        .fetch_optional(read.connection())
        .await?;
    read.finish().await?;
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
