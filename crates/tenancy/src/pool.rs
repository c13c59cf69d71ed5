//! The connections to one database.
//!
//! A caller waits for a connection for a short while. Making one may take longer than that: on a busy machine, or while the database comes
//! back and everybody wants in. If making it ended with the patience of whoever wanted it, each would begin anew what the last had to
//! break off, the database would be busy with sign-ins that nobody waits for, and none would ever be there. So connections are made by
//! tasks of their own, to the end and a few at a time, and are there for whoever comes.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool, Postgres, SqlSafeStr as _, Transaction};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout};

use crate::StoreError;
use crate::reach::Reach;

/// At once. A database that is slow to let somebody in is not made quicker by more who knock.
const OPENERS: usize = 4;
/// For making one. What takes longer is given up, and begun anew by whoever comes then.
const OPENED_WITHIN: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(2);

#[derive(Debug, Clone)]
pub(crate) struct Pool {
    inner: PgPool,
    most: u32,
    patience: Duration,
    openers: Arc<Semaphore>,
    reach: Arc<Reach>,
    gauges: Arc<Gauges>,
}

/// A process has one pool, so its name says nothing but is asked for by the conventions.
const NAME: (&str, &str) = ("db.client.connection.pool.name", "main");

#[derive(Debug)]
struct Gauges {
    pending: Gauge,
    wait: Histogram,
    timeouts: Counter,
}

impl Gauges {
    fn of(pool: &PgPool, most: u32) -> Self {
        let state = |state| meters::CONNECTIONS.gauge(&[NAME, ("db.client.connection.state", state)]);
        let (idle, used, max) = (state("idle"), state("used"), meters::CONNECTIONS_MAX.gauge(&[NAME]));
        let pool = pool.clone();
        meters::observe(move || {
            let free = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX).min(pool.size());
            idle.set(f64::from(free));
            used.set(f64::from(pool.size() - free));
            max.set(f64::from(most));
        });
        Self {
            pending: meters::CONNECTIONS_PENDING.gauge(&[NAME]),
            wait: meters::CONNECTION_WAIT.histogram(&[NAME]),
            timeouts: meters::CONNECTION_TIMEOUTS.counter(&[NAME]),
        }
    }
}

/// Somebody waits, until it is dropped.
struct Waiting<'a>(&'a Gauges, Instant);

impl<'a> Waiting<'a> {
    fn begin(gauges: &'a Gauges) -> Self {
        gauges.pending.increment(1.0);
        Self(gauges, Instant::now())
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.pending.decrement(1.0);
        self.0.wait.record(self.1.elapsed().as_secs_f64());
    }
}

impl Pool {
    /// Opens no connection yet. `patience` is a caller's.
    pub fn new(connect: PgConnectOptions, most: u32, patience: Duration) -> Self {
        let reach = Arc::new(Reach::new(connect.clone()));
        let inner = PgPoolOptions::new()
            .max_connections(most)
            .acquire_timeout(OPENED_WITHIN.max(patience))
            .test_before_acquire(false)
            .connect_lazy_with(connect);
        let gauges = Arc::new(Gauges::of(&inner, most));
        Self { inner, most, patience, openers: Arc::new(Semaphore::new(OPENERS)), reach, gauges }
    }

    /// For what waits as long as it takes: migrations, and the listener for hints.
    pub fn patient(&self) -> &PgPool {
        &self.inner
    }

    /// A connection, in time or not at all.
    pub async fn acquire(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        if let Some(idle) = self.inner.try_acquire() {
            return Ok(idle);
        }
        let waiting = Waiting::begin(&self.gauges);
        let acquired = timeout(self.patience, self.wait()).await;
        drop(waiting);
        match acquired {
            Ok(acquired) => acquired,
            Err(_) => {
                self.gauges.timeouts.increment(1);
                Err(self.reach.judge(StoreError::Busy).await)
            }
        }
    }

    async fn wait(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        loop {
            // As many as there may be, or on their way: in the order of those who wait.
            if self.inner.size() >= self.most {
                return Ok(self.inner.acquire().await?);
            }
            if let Ok(opener) = Arc::clone(&self.openers).try_acquire_owned() {
                let (inner, (answer, answered)) = (self.inner.clone(), oneshot::channel());
                tokio::spawn(async move {
                    let made = inner.acquire().await;
                    drop(opener);
                    // Whoever asked may be gone; then it goes back and is there for the next.
                    let _ = answer.send(made);
                });
                return Ok(answered.await.unwrap_or(Err(sqlx::Error::PoolTimedOut))?);
            }
            let asked = Instant::now();
            while asked.elapsed() < 10 * LOOK_AGAIN {
                if let Some(idle) = self.inner.try_acquire() {
                    return Ok(idle);
                }
                sleep(LOOK_AGAIN).await;
            }
        }
    }

    /// A transaction that begins with this text.
    pub async fn begin(&self, opening: String) -> Result<Transaction<'static, Postgres>, StoreError> {
        let connection = self.acquire().await?;
        Ok(Transaction::begin(connection, Some(AssertSqlSafe(opening).into_sql_str())).await?)
    }

    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    pub async fn close(&self) {
        self.inner.close().await;
    }
}
