//! Reading heads at the rate of calls: one round trip, shared by all who wait for it (see `gather`).
//!
//! Every call begins with what this service holds of its tenant, and what a head says is never older than the call that asked.

use std::{collections::HashMap, io, time::Duration};

use sqlx::{Postgres, pool::PoolConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{AsOf, Head, Moment, OrganizationId, StoreError, gather::Gather, head::HeadRow, pool::Pool};

/// A read asks for at most this many callers; the rest are in the next.
const MAX_CALLERS: usize = 512;

/// Two tenants' heads, and the database's time when they were read; no time where neither is there.
type Found = ([Option<Head>; 2], Option<OffsetDateTime>);

/// All waiting readers of heads.
#[derive(Debug, Clone)]
pub(crate) struct HeadReader {
    /// The nil uuid, which no tenant has, where one is asked for.
    gather: Gather<[Uuid; 2], Found>,
    patience: Duration,
}

impl HeadReader {
    /// A head that does not come within `patience` cannot be read: the database is away, though its connections may not tell.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { gather: Gather::new(MAX_CALLERS), patience }
    }

    pub(crate) async fn one(&self, pool: &Pool, id: OrganizationId) -> Result<Option<Head>, StoreError> {
        let ([head, _], _) = self.ask(pool, [id.uuid(), Uuid::nil()]).await?;
        Ok(head)
    }

    /// Both as of one moment, which is said unless there is neither.
    pub(crate) async fn two(
        &self,
        pool: &Pool,
        ids: [OrganizationId; 2],
    ) -> Result<([Option<Head>; 2], Option<AsOf>), StoreError> {
        self.ask(pool, ids.map(OrganizationId::uuid)).await
    }

    pub(crate) async fn many(
        &self,
        pool: &Pool,
        tenants: &[OrganizationId],
    ) -> Result<(HashMap<OrganizationId, Head>, Option<AsOf>), StoreError> {
        let moment = Moment::now();
        let ids: Vec<Uuid> = tenants.iter().copied().map(OrganizationId::uuid).collect();
        let mut held = None;
        match tokio::time::timeout(self.patience, read(pool, &mut held, &ids)).await {
            Ok(found) => {
                let (heads, time) = found?;
                let heads = heads.into_values().map(|head| (head.organization_id, head)).collect();
                Ok((heads, time.map(|time| AsOf { moment, time })))
            }
            Err(_) => {
                drop(held.map(PoolConnection::detach));
                Box::pin(pool.suspect()).await;
                Err(StoreError::silent())
            }
        }
    }

    async fn ask(&self, pool: &Pool, ids: [Uuid; 2]) -> Result<([Option<Head>; 2], Option<AsOf>), StoreError> {
        let (pool, patience) = (pool.clone(), self.patience);
        let read = move |held, asked| within(patience, pool.clone(), held, asked);
        let (moment, (heads, time)) = self.gather.ask(ids, read).await?;
        Ok((heads, time.map(|time| AsOf { moment, time })))
    }
}

/// A connection is kept from one read to the next: taking and giving it back costs more than the read.
type Held = Option<PoolConnection<Postgres>>;

async fn within(
    patience: Duration,
    pool: Pool,
    mut held: Held,
    asked: Vec<[Uuid; 2]>,
) -> (Held, Result<Vec<Found>, StoreError>) {
    let mut ids: Vec<Uuid> = asked.iter().flatten().copied().filter(|id| !id.is_nil()).collect();
    ids.sort_unstable();
    ids.dedup();
    match tokio::time::timeout(patience, read(&pool, &mut held, &ids)).await {
        Ok(Ok((heads, time))) => {
            let found = |ids: [Uuid; 2]| (ids.map(|id| heads.get(&id).cloned()), time);
            (held, Ok(asked.into_iter().map(found).collect()))
        }
        Ok(Err(error)) => (None, Err(error)),
        Err(_) => {
            // Somebody's answer may still be on its way there: nobody else may use it.
            drop(held.map(PoolConnection::detach));
            Box::pin(pool.suspect()).await;
            (None, Err(StoreError::silent()))
        }
    }
}

impl StoreError {
    /// Nothing was heard in time.
    pub(crate) fn silent() -> Self {
        Self::Unreachable(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")))
    }
}

/// A pooled connection that died while idle (the server restarted) is found out by its first use: another is tried, once.
async fn read(
    pool: &Pool,
    held: &mut Held,
    ids: &[Uuid],
) -> Result<(HashMap<Uuid, Head>, Option<OffsetDateTime>), StoreError> {
    if held.is_none() {
        *held = Some(pool.acquire().await?);
    }
    match select(held, ids).await {
        // By a broken socket, or by the server's parting word.
        Err(StoreError::Unreachable(_)) => {
            *held = None;
            *held = Some(pool.acquire().await?);
            select(held, ids).await
        }
        heads => heads,
    }
}

/// One statement, and so one round trip and one moment. It opens the wall for itself: the setting ends with the statement's own
/// transaction. The heads are read after it is set, because they are looked up by it (`lateral`), which no plan can turn around. The
/// time is that of its transaction's beginning, which is before the moment that it sees (the statement's own is set anew after that).
async fn select(held: &mut Held, ids: &[Uuid]) -> Result<(HashMap<Uuid, Head>, Option<OffsetDateTime>), StoreError> {
    let connection = held.as_mut().ok_or(StoreError::Busy)?;
    let rows = sqlx::query!(
        r#"select found.organization_id as "organization_id!", found.project_id as "project_id!", found.state as "state!",
               found.project_state,
               found.state_revision as "state_revision!", found.revision as "revision!",
               found.incarnation as "incarnation!", found.event_hash as "event_hash!", transaction_timestamp() as "time!"
           from (select set_config('guildhall.scope', 'cluster', true) as scope offset 0) as opened
           cross join lateral (
               select h.organization_id, h.project_id, h.state,
                   (select p.state from head p where p.organization_id = h.project_id) as project_state,
                   h.state_revision, h.revision, h.incarnation, h.event_hash
               from head h where h.organization_id = any ($1) and opened.scope = 'cluster' offset 0
           ) as found"#,
        ids
    )
    .fetch_all(&mut **connection)
    .await?;
    let time = rows.first().map(|row| row.time);
    let mut heads = HashMap::with_capacity(rows.len());
    for row in rows {
        let head = Head::try_from(HeadRow {
            organization_id: row.organization_id,
            project_id: row.project_id,
            state: row.state,
            project_state: row.project_state,
            state_revision: row.state_revision,
            revision: row.revision,
            incarnation: row.incarnation,
            event_hash: row.event_hash,
        })?;
        heads.insert(head.organization_id.uuid(), head);
    }
    Ok((heads, time))
}
