//! Secrets that rest in a table for good: sealed anew after a sealing key was put in front of the others, so that those can be dropped.

use std::{future::Future, time::Duration};

/// Of the transaction, for the service's own statements.
pub use sqlx::PgConnection as Transaction;
use tokio::time::sleep;
use uuid::Uuid;

use crate::{ClusterScope, Database, StoreError};

/// From the start of the process: keys are read when it starts.
const BEGIN: Duration = Duration::from_secs(5);
/// Another replica may run with the former keys for a while.
const EVERY: Duration = Duration::from_secs(3600);
const AFTER_AN_ERROR: Duration = Duration::from_secs(60);
const AT_ONCE: i64 = 100;

/// A sealed secret in its row.
#[derive(Debug)]
pub struct Resting {
    pub organization: Uuid,
    pub id: Uuid,
    /// What it was sealed for.
    pub context: Vec<u8>,
    pub sealed: Vec<u8>,
}

/// Where secrets of one kind rest.
pub trait Rests: Send + Sync + 'static {
    /// For the log.
    const WHAT: &'static str;
    const PURPOSE: &'static str;

    /// The first of those behind a row, in the order of the keys, whose seal does not begin as those under the current key do.
    fn others(
        connection: &mut Transaction,
        after: (Uuid, Uuid),
        current: &[u8],
        limit: i64,
    ) -> impl Future<Output = Result<Vec<Resting>, StoreError>> + Send;

    /// Puts the same secret in its new seal, unless somebody has set another one meanwhile.
    fn replace(
        connection: &mut Transaction,
        old: &Resting,
        new: &[u8],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Sets about it soon, and again every hour.
pub async fn reseal_for_ever<R: Rests>(database: Database) {
    let mut pause = BEGIN;
    loop {
        sleep(pause).await;
        pause = EVERY;
        match reseal::<R>(&database, ClusterScope::granted()).await {
            Ok(0) => {}
            Ok(secrets) => tracing::info!(secrets, "{} are sealed under the current key", R::WHAT),
            Err(error) => {
                pause = AFTER_AN_ERROR;
                tracing::warn!(%error, "{} keep their former seals for now", R::WHAT);
            }
        }
    }
}

/// How many secrets had another seal.
async fn reseal<R: Rests>(database: &Database, scope: ClusterScope) -> Result<usize, StoreError> {
    let sealer = database.sealer();
    let (mut after, mut resealed) = ((Uuid::nil(), Uuid::nil()), 0);
    loop {
        let mut tx = database.upkeep(scope).await?;
        let some = R::others(tx.connection(), after, &sealer.beginning(), AT_ONCE).await?;
        let Some(last) = some.last() else { return Ok(resealed) };
        after = (last.organization, last.id);
        for old in &some {
            let Ok(secret) = sealer.open(R::PURPOSE, &old.context, &old.sealed) else {
                tracing::error!(id = %old.id, "one of the {} opens with no sealing key that is left", R::WHAT);
                continue;
            };
            R::replace(tx.connection(), old, &sealer.seal(R::PURPOSE, &old.context, &secret)).await?;
            resealed += 1;
        }
        tx.commit().await?;
    }
}
