//! The connections to one database.
//!
//! A caller waits for a connection for a short while. Making one may take longer than that: on a busy machine, or while the database comes
//! back and everybody wants in. If making it ended with the patience of whoever wanted it, each would begin anew what the last had to
//! break off, the database would be busy with sign-ins that nobody waits for, and none would ever be there. So connections are made by
//! tasks of their own, to the end and a few at a time, and are there for whoever comes.

use std::sync::Arc;
use std::time::Duration;

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
        Self { inner, most, patience, openers: Arc::new(Semaphore::new(OPENERS)), reach }
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
        match timeout(self.patience, self.wait()).await {
            Ok(acquired) => acquired,
            Err(_) => Err(self.reach.judge(StoreError::Busy).await),
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
