//! The connections to one database.
//!
//! A caller waits for a connection for a short while. Making one may take longer than that: on a busy machine, or while the database comes
//! back and everybody wants in. If making it ended with the patience of whoever wanted it, each would begin anew what the last had to
//! break off, the database would be busy with sign-ins that nobody waits for, and none would ever be there. So connections are made by
//! tasks of their own, to the end and a few at a time, and are there for whoever comes.
//!
//! A database whose machine is gone says nothing: a connection to it looks open for a quarter of an hour or for ever, whoever uses it waits
//! for as long, and its place is taken. So where one falls silent, or nobody has got one for longer than any statement may take, and
//! a new one can be made all the same, all are made anew: those that are at work go on to their end outside of the pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use metrics::{Counter, Gauge, Histogram};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool, Postgres, SqlSafeStr as _};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout};

use crate::reach::Reach;
use crate::transaction::Transaction;
use crate::{Moment, StoreError};

/// At once. A database that is slow to let somebody in is not made quicker by more who knock.
const OPENERS: usize = 4;
/// For making one. What takes longer is given up, and begun anew by whoever comes then.
const OPENED_WITHIN: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// Of the first words of a transaction, which read nothing and wait for nobody. No call waits for longer either.
const SILENT_AFTER: Duration = Duration::from_secs(5);
/// So long nobody gets a connection only where none comes back: the server ends every statement after ten seconds.
const STUCK_AFTER: Duration = Duration::from_secs(15);
/// At most as often all connections are made anew.
const RENEWED_EVERY: Duration = Duration::from_secs(5);
/// Those that come back meanwhile say goodbye.
const LEFT_WITHIN: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub(crate) struct Pool {
    inner: Arc<ArcSwap<PgPool>>,
    connect: PgConnectOptions,
    most: u32,
    patience: Duration,
    openers: Arc<Semaphore>,
    renewing: Arc<Semaphore>,
    /// When somebody last got a connection.
    got: Arc<AtomicU64>,
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
    fn of(pool: &Arc<ArcSwap<PgPool>>, most: u32) -> Self {
        let state = |state| meters::CONNECTIONS.gauge(&[NAME, ("db.client.connection.state", state)]);
        let (idle, used, max) = (state("idle"), state("used"), meters::CONNECTIONS_MAX.gauge(&[NAME]));
        let pool = Arc::clone(pool);
        meters::observe(move || {
            let pool = pool.load();
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
        let inner = Arc::new(ArcSwap::from_pointee(open(connect.clone(), most, patience)));
        let gauges = Arc::new(Gauges::of(&inner, most));
        let (openers, renewing) = (Arc::new(Semaphore::new(OPENERS)), Arc::new(Semaphore::new(1)));
        let got = Arc::new(AtomicU64::new(Moment::now().nanoseconds()));
        Self { inner, connect, most, patience, openers, renewing, got, reach, gauges }
    }

    /// For what waits as long as it takes: migrations, and the listener for hints.
    pub fn patient(&self) -> PgPool {
        PgPool::clone(&self.inner.load())
    }

    /// A connection, in time or not at all.
    pub async fn acquire(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        if let Some(idle) = self.inner.load().try_acquire() {
            self.note();
            return Ok(idle);
        }
        let waiting = Waiting::begin(&self.gauges);
        // Rarely needed and large, for it may open a connection: what is on the way of every call stays small without it.
        let acquired = timeout(self.patience, Box::pin(self.wait())).await;
        drop(waiting);
        match acquired {
            Ok(acquired) => {
                if acquired.is_ok() {
                    self.note();
                }
                acquired
            }
            Err(_) => {
                self.gauges.timeouts.increment(1);
                let got = Moment::from_nanoseconds(self.got.load(Ordering::Relaxed));
                let full = self.inner.load().size() >= self.most;
                if full && got.age() > STUCK_AFTER.max(2 * self.patience) {
                    Box::pin(self.suspect()).await;
                }
                Err(self.reach.judge(StoreError::Busy).await)
            }
        }
    }

    fn note(&self) {
        self.got.store(Moment::now().nanoseconds(), Ordering::Relaxed);
    }

    async fn wait(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        loop {
            let inner = self.patient();
            // As many as there may be, or on their way: in the order of those who wait.
            if inner.size() >= self.most {
                return Ok(inner.acquire().await?);
            }
            if let Ok(opener) = Arc::clone(&self.openers).try_acquire_owned() {
                let (inner, (answer, answered)) = (inner.clone(), oneshot::channel());
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
                if let Some(idle) = inner.try_acquire() {
                    return Ok(idle);
                }
                sleep(LOOK_AGAIN).await;
            }
        }
    }

    /// A transaction that begins with this text.
    pub async fn begin(&self, opening: String) -> Result<Transaction, StoreError> {
        let connection = self.acquire().await?;
        let opening = AssertSqlSafe(opening).into_sql_str();
        match timeout(SILENT_AFTER, Transaction::begin(connection, opening)).await {
            Ok(begun) => Ok(begun?),
            Err(_) => {
                Box::pin(self.suspect()).await;
                Err(StoreError::silent())
            }
        }
    }

    /// A connection is silent, and others may be. Where the database lets a new one in, all are made anew; where it does not, or is slow to, it is
    /// the database that is silent, and new ones would be no better.
    pub async fn suspect(&self) {
        // Who comes meanwhile finds it done, or soon.
        let Ok(permit) = Arc::clone(&self.renewing).try_acquire_owned() else { return };
        if self.reach.is_there().await {
            tracing::warn!("connections to the database have fallen silent, and all are made anew");
            self.note();
            let left = self.inner.swap(Arc::new(open(self.connect.clone(), self.most, self.patience)));
            // Whoever is at work there goes on; what comes back is closed.
            tokio::spawn(async move {
                let _ = timeout(LEFT_WITHIN, left.close()).await;
            });
        }
        tokio::spawn(async move {
            sleep(RENEWED_EVERY).await;
            drop(permit);
        });
    }

    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    pub async fn close(&self) {
        self.patient().close().await;
    }
}

fn open(connect: PgConnectOptions, most: u32, patience: Duration) -> PgPool {
    PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(OPENED_WITHIN.max(patience))
        .test_before_acquire(false)
        .connect_lazy_with(connect)
}
