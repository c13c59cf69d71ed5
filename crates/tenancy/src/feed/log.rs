//! One tenant's events: its log in pages, and its chain.
//!
//! Both may have long ways to go, at a caller's word. So few go at once, of one tenant and of all; they go in steps, hold a connection for
//! one step only, and stop when nobody waits for them any more. Events are only ever added, so steps at different moments see one log.

use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::{EventRow, weight};
use crate::{
    Database, Event, Head, OrganizationId, Scope, StoreError,
    event::ChainCheck,
    page::{self, Listed, Page},
};

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

/// How many events are looked at in one step, and in how many steps for one page. A page that a filter leaves nearly empty ends there:
/// the next one goes on.
const STEP: i64 = 1000;
const STEPS: usize = 10;

/// Whoever does not wait any more needs no further step.
fn still_awaited(deadline: Option<Instant>) -> Result<(), StoreError> {
    if deadline.is_some_and(|deadline| deadline <= Instant::now()) { Err(StoreError::TimedOut) } else { Ok(()) }
}

/// One page of a tenant's log, newest first. It may be short, or even empty, and say all the same where the next one begins.
pub async fn list(
    database: &Database,
    scope: Scope,
    organization: OrganizationId,
    filter: &LogFilter,
    page: &Page<LogCursor>,
    deadline: Option<Instant>,
) -> Result<Listed<Event, LogCursor>, StoreError> {
    let _turn = database.log_pages().enter(organization).await?;
    let mut before = page.after.unwrap_or(LogCursor { revision: i64::MAX, ordinal: i32::MAX });
    let wanted = page.size + 1;
    let (mut rows, mut bytes) = (Vec::new(), 0);
    for _ in 0..STEPS {
        still_awaited(deadline)?;
        let missing = wanted - i64::try_from(rows.len()).unwrap_or(wanted);
        let mut read = database.read(scope).await?;
        let last = last_of_step(read.connection(), organization, before).await?;
        let first_left = last.unwrap_or(LogCursor { revision: 0, ordinal: 0 });
        let found = descending(read.connection(), organization, filter, before, first_left, missing).await?;
        read.finish();
        bytes += weight(&found);
        let full = i64::try_from(found.len()).is_ok_and(|found| found >= missing) || bytes >= page::MAX_BYTES;
        rows.extend(found.into_iter().map(Event::from));
        if full {
            let more = bytes >= page::MAX_BYTES;
            return Ok(Listed::cut(rows, page.size, more, event_weight, |event| LogCursor::from(event)));
        }
        match last {
            Some(last) => before = last,
            None => return Ok(Listed { rows, next: None }),
        }
    }
    Ok(Listed { rows, next: Some(before) })
}

fn event_weight(event: &Event) -> usize {
    event.payload.as_ref().map_or(0, String::len)
}

/// The place that a step ends with. None: the log ends within it.
async fn last_of_step(
    connection: &mut PgConnection,
    organization: OrganizationId,
    before: LogCursor,
) -> Result<Option<LogCursor>, StoreError> {
    Ok(sqlx::query_as!(
        LogCursor,
        "select revision, ordinal from event
         where organization_id = $1 and (revision, ordinal) < ($2, $3)
         order by revision desc, ordinal desc
         offset $4 limit 1",
        organization.uuid(),
        before.revision,
        before.ordinal,
        STEP - 1
    )
    .fetch_optional(connection)
    .await?)
}

/// What the filter leaves of the events before one place and from another on, newest first, until they grow large.
async fn descending(
    connection: &mut PgConnection,
    organization: OrganizationId,
    filter: &LogFilter,
    before: LogCursor,
    from: LogCursor,
    limit: i64,
) -> Result<Vec<EventRow>, StoreError> {
    Ok(sqlx::query_as!(
        EventRow,
        r#"select organization_id, project_id, revision, ordinal, event_id, kind, actor, on_behalf_of, subject_ids, payload,
               payload_hash, request_id, trace_id, time, previous_hash, hash, feed_transaction, position
           from (
               select *, sum(octet_length(coalesce(payload, ''))) over (order by revision desc, ordinal desc)
                   - octet_length(coalesce(payload, '')) as bytes_before
               from (
                   select * from event
                   where organization_id = $1 and (revision, ordinal) < ($2, $3) and (revision, ordinal) >= ($4, $5)
                       and (cardinality($6::text[]) = 0 or kind = any ($6))
                       and ($7::text is null or actor = $7 or on_behalf_of = $7)
                       and ($8::text is null or $8 = any (subject_ids))
                       and ($9::timestamptz is null or time >= $9)
                       and ($10::timestamptz is null or time < $10)
                   order by revision desc, ordinal desc
                   limit $11
               ) as found
           ) as weighed
           where bytes_before < $12
           order by revision desc, ordinal desc"#,
        organization.uuid(),
        before.revision,
        before.ordinal,
        from.revision,
        from.ordinal,
        &filter.kinds,
        filter.actor,
        filter.subject_id,
        filter.from,
        filter.until,
        limit,
        page::MAX_BYTES as i64
    )
    .fetch_all(connection)
    .await?)
}

const BATCH: i64 = 500;

async fn ascending(
    connection: &mut PgConnection,
    organization: OrganizationId,
    after: LogCursor,
) -> Result<Vec<Event>, StoreError> {
    let rows = sqlx::query_as!(
        EventRow,
        r#"select organization_id, project_id, revision, ordinal, event_id, kind, actor, on_behalf_of, subject_ids, payload,
               payload_hash, request_id, trace_id, time, previous_hash, hash, feed_transaction, position
           from (
               select *, sum(octet_length(coalesce(payload, ''))) over (order by revision, ordinal)
                   - octet_length(coalesce(payload, '')) as bytes_before
               from (
                   select * from event
                   where organization_id = $1 and (revision, ordinal) > ($2, $3)
                   order by revision, ordinal
                   limit $4
               ) as next
           ) as weighed
           where bytes_before < $5
           order by revision, ordinal"#,
        organization.uuid(),
        after.revision,
        after.ordinal,
        BATCH,
        page::MAX_BYTES as i64
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Event::from).collect())
}

/// Walks the whole chain of an organization, or of a project itself, up to where its head stands when the end is reached.
pub async fn verify_chain(
    database: &Database,
    scope: Scope,
    organization: OrganizationId,
    deadline: Option<Instant>,
) -> Result<ChainCheck, StoreError> {
    let _turn = database.chain_walks().enter(organization).await?;
    let mut check = ChainCheck::default();
    let mut after = LogCursor { revision: 0, ordinal: i32::MAX };
    while check.broken.is_none() {
        still_awaited(deadline)?;
        let mut read = database.read(scope).await?;
        let events = ascending(read.connection(), organization, after).await?;
        let Some(last) = events.last() else {
            // Of the same moment as the end of the events: what is added meanwhile breaks no chain, and what was added behind the
            // head's back does.
            let head = Head::find(read.connection(), organization).await?;
            read.finish();
            if let Some((revision, hash)) = head.map(Head::chain_end) {
                check.end(revision, &hash);
            }
            break;
        };
        read.finish();
        after = LogCursor::from(last);
        events.iter().for_each(|event| check.feed(event));
    }
    Ok(check)
}
