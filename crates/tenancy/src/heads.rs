//! Reading heads at the rate of calls: one round trip, shared by all who wait for it.
//!
//! Every call begins with what this service holds of its tenant. Callers who come while a read is under way wait for the next
//! one, which then asks for all of them at once. So no caller gets an answer from a read that began before they came: what a
//! head says is never older than the call that asked.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use sqlx::{PgConnection, PgPool, Postgres, pool::PoolConnection};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::{Head, OrganizationId, StoreError, head::HeadRow};

/// A read asks for at most this many callers; the rest are in the next.
const MAX_CALLERS: usize = 512;

type Found = [Option<Head>; 2];

#[derive(Debug)]
struct Asked {
    /// The nil uuid, which no tenant has, where one is asked for.
    ids: [Uuid; 2],
    answer: oneshot::Sender<Result<Found, StoreError>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Asked>,
    /// Whether a task is at it.
    reading: bool,
}

/// All waiting readers of heads.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeadReader(Arc<Mutex<Queue>>);

impl HeadReader {
    pub(crate) async fn one(&self, pool: &PgPool, id: OrganizationId) -> Result<Option<Head>, StoreError> {
        let [head, _] = self.ask(pool, [id.uuid(), Uuid::nil()]).await?;
        Ok(head)
    }

    /// Both as of one moment.
    pub(crate) async fn two(&self, pool: &PgPool, ids: [OrganizationId; 2]) -> Result<Found, StoreError> {
        self.ask(pool, ids.map(OrganizationId::uuid)).await
    }

    async fn ask(&self, pool: &PgPool, ids: [Uuid; 2]) -> Result<Found, StoreError> {
        let (answer, answered) = oneshot::channel();
        let idle = {
            let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            queue.waiting.push(Asked { ids, answer });
            !mem::replace(&mut queue.reading, true)
        };
        if idle {
            // In a task of its own: a caller who goes away must not take the others' read along.
            tokio::spawn(self.clone().run(pool.clone()));
        }
        answered.await.unwrap_or(Err(StoreError::Busy))
    }

    fn next(&self) -> Option<Vec<Asked>> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = queue.waiting.len().min(MAX_CALLERS);
        queue.reading = count > 0;
        (count > 0).then(|| queue.waiting.drain(..count).collect())
    }

    /// Whatever ends the reading task, the next caller starts another, and who still waited is told.
    fn ended(&self) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if mem::take(&mut queue.reading) {
            queue.waiting.clear();
        }
    }

    /// Reads until nobody waits. The connection is held from one read to the next: taking and giving it back costs more than
    /// the read.
    async fn run(self, pool: PgPool) {
        let turn = Turn(self);
        let mut connection = None;
        while let Some(asked) = turn.0.next() {
            let mut ids: Vec<Uuid> = asked.iter().flat_map(|asked| asked.ids).filter(|id| !id.is_nil()).collect();
            ids.sort_unstable();
            ids.dedup();
            match read(&pool, &mut connection, &ids).await {
                Ok(heads) => {
                    for Asked { ids, answer } in asked {
                        // Who does not wait any more has no use for it.
                        let _ = answer.send(Ok(ids.map(|id| heads.get(&id).cloned())));
                    }
                }
                Err(error) => {
                    connection = None;
                    for Asked { answer, .. } in asked {
                        let _ = answer.send(Err(same(&error)));
                    }
                }
            }
        }
    }
}

/// The reading task's turn: ends when nobody waits, and also when the task dies.
struct Turn(HeadReader);

impl Drop for Turn {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.ended();
        }
    }
}

/// A pooled connection that died while idle (the server restarted) is found out by its first use: another is tried, once.
async fn read(
    pool: &PgPool,
    held: &mut Option<PoolConnection<Postgres>>,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Head>, StoreError> {
    let mut connection = match held.take() {
        Some(connection) => connection,
        None => pool.acquire().await?,
    };
    let heads = match select(&mut connection, ids).await {
        Err(StoreError::Unreachable(sqlx::Error::Io(_))) => {
            connection = pool.acquire().await?;
            select(&mut connection, ids).await?
        }
        heads => heads?,
    };
    *held = Some(connection);
    Ok(heads)
}

/// One statement, and so one round trip and one moment. It opens the wall for itself: the setting ends with the statement's own
/// transaction. The heads are read after it is set, because they are looked up by it (`lateral`), which no plan can turn around.
async fn select(connection: &mut PgConnection, ids: &[Uuid]) -> Result<HashMap<Uuid, Head>, StoreError> {
    let rows = sqlx::query_as!(
        HeadRow,
        r#"select found.organization_id as "organization_id!", found.project_id as "project_id!", found.state as "state!",
               found.project_state,
               found.state_revision as "state_revision!", found.revision as "revision!",
               found.incarnation as "incarnation!", found.event_hash as "event_hash!"
           from (select set_config('guildhall.scope', 'cluster', true) as scope offset 0) as opened
           cross join lateral (
               select h.organization_id, h.project_id, h.state,
                   (select p.state from head p where p.organization_id = h.project_id) as project_state,
                   h.state_revision, h.revision, h.incarnation, h.event_hash
               from head h where h.organization_id = any ($1) and opened.scope = 'cluster' offset 0
           ) as found"#,
        ids
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| Head::try_from(row).map(|head| (head.organization_id.uuid(), head))).collect()
}

/// The error once more, for another who waited for the same read.
fn same(error: &StoreError) -> StoreError {
    let told = |source: &sqlx::Error| sqlx::Error::Protocol(source.to_string());
    match error {
        StoreError::Database(source) => StoreError::Database(told(source)),
        StoreError::Unreachable(source) => StoreError::Unreachable(told(source)),
        StoreError::Corrupt(what) => StoreError::Corrupt(what),
        StoreError::Busy => StoreError::Busy,
        StoreError::TimedOut => StoreError::TimedOut,
        StoreError::NotText => StoreError::NotText,
        StoreError::RequestIdReused => StoreError::RequestIdReused,
        StoreError::TenantUnknown => StoreError::TenantUnknown,
    }
}
