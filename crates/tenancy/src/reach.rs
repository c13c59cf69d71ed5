//! Whether the database is there, when no connection to it was free in time.
//!
//! A pool says the same of both: all connections are at work, or none answers and no new one comes about. The first passes by itself and the
//! caller is told to come again; with the second, another replica or another minute is what helps. What tells them apart is a connection
//! made for the question.

use std::time::{Duration, Instant};

use sqlx::{ConnectOptions as _, Connection as _, postgres::PgConnectOptions};
use tokio::sync::Mutex;

use crate::StoreError;

/// A database that takes longer to let somebody in is of no use to a caller either.
const PATIENCE: Duration = Duration::from_secs(1);
/// For as long an answer serves all who ask: under overload there is one such connection at a time, and few of them.
const VALID: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Reach {
    connect: PgConnectOptions,
    /// When it was last tried, and what came of it.
    last: Mutex<Option<(Instant, bool)>>,
}

impl Reach {
    pub fn new(connect: PgConnectOptions) -> Self {
        Self { connect, last: Mutex::default() }
    }

    /// What `Busy` is at second sight.
    pub async fn judge(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Busy if !Box::pin(self.is_there()).await => StoreError::Unreachable(sqlx::Error::PoolTimedOut),
            other => other,
        }
    }

    pub async fn is_there(&self) -> bool {
        // Who comes meanwhile waits for the one that tries.
        let mut last = self.last.lock().await;
        if let Some((when, there)) = *last
            && when.elapsed() < VALID
        {
            return there;
        }
        let tried = tokio::time::timeout(PATIENCE, self.connect.connect()).await;
        let there = match tried {
            Ok(Ok(connection)) => {
                // It says goodbye, or the server would log a lost connection.
                let _ = tokio::time::timeout(PATIENCE, connection.close()).await;
                true
            }
            // It has no place left for another, and says so: it is there. Starting up or shutting down it is not.
            Ok(Err(sqlx::Error::Database(refused))) => refused.code().is_none_or(|code| !code.starts_with("57P")),
            Ok(Err(_)) | Err(_) => false,
        };
        *last = Some((Instant::now(), there));
        there
    }
}
