//! Hints that a tenant has moved: to this process as soon as its own write has committed, and to others by NOTIFY. Nothing may rest on
//! one: a process that ends, a connection that breaks and a restart of the database lose them.
//!
//! A hint is sent after the commit and not within the transaction, whose commit it would put in one line with that of every other
//! transaction that notifies.

use std::{fmt, sync::OnceLock, time::Duration};

use sqlx::postgres::PgListener;
use tokio::time::{sleep, timeout};

use crate::{Database, Head, Moment, NewEvent, StoreError};

/// What a write of this process has just committed to one tenant.
#[derive(Debug)]
pub struct Committed {
    /// As it was before.
    pub head: Head,
    /// The revision that it has now.
    pub revision: i64,
    pub events: Vec<NewEvent>,
    /// While the write still held the tenant's head: nobody else wrote it up to then.
    pub moment: Moment,
    /// See [`crate::Write::beside`].
    pub beside: Option<i64>,
}

/// Who is told of this process's own writes.
#[derive(Default)]
pub(crate) struct Listener(OnceLock<Box<dyn Fn(Committed) + Send + Sync>>);

impl Listener {
    pub(crate) fn tell(&self, committed: Committed) {
        if let Some(listener) = self.0.get() {
            listener(committed);
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listener").field(&self.0.get().is_some()).finish()
    }
}

/// What comes in by a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard<'a> {
    /// What was sent before may have been missed.
    Connected,
    Hint(&'a str),
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A connection that was silent for so long is asked whether it is still there.
const SILENCE: Duration = Duration::from_secs(30);

impl Database {
    /// Has `listener` called with every write of this process that moved a tenant: after its commit, before its caller hears of it. Once
    /// in the life of a process; it must not wait for anything.
    pub fn on_commit(&self, listener: impl Fn(Committed) + Send + Sync + 'static) {
        let _ = self.listener().0.set(Box::new(listener));
    }

    /// Tells everybody who listens on the channel.
    pub async fn hint(&self, channel: &str, hints: &[String]) -> Result<(), StoreError> {
        let sent = async {
            let mut connection = self.pool().acquire().await?;
            sqlx::query!("select pg_notify($1, hint) from unnest($2::text[]) as sent (hint)", channel, hints)
                .execute(&mut *connection)
                .await?;
            Ok::<_, StoreError>(())
        };
        match timeout(self.patience(), sent).await {
            Ok(sent) => sent,
            Err(_) => Err(StoreError::silent()),
        }
    }

    /// Calls `heard` with what is sent on the channel, from a connection of its own that is opened again whenever it breaks. Ends only
    /// with the task; a connection that cannot be had is told of once each time it is lost.
    pub async fn listen(
        &self,
        channel: &str,
        mut heard: impl FnMut(Heard<'_>) + Send,
        lost: impl Fn(&StoreError) + Send,
    ) {
        let mut pause = FIRST_PAUSE;
        loop {
            let ended = self.listen_once(channel, &mut heard, &mut pause).await;
            if pause == FIRST_PAUSE {
                lost(&ended);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn listen_once(
        &self,
        channel: &str,
        heard: &mut (impl FnMut(Heard<'_>) + Send),
        pause: &mut Duration,
    ) -> StoreError {
        let mut listener = match timeout(self.patience(), self.listener_of(channel)).await {
            Ok(Ok(listener)) => listener,
            Ok(Err(error)) => return error.into(),
            Err(_) => return StoreError::silent(),
        };
        *pause = FIRST_PAUSE;
        heard(Heard::Connected);
        loop {
            match timeout(SILENCE, listener.try_recv()).await {
                Ok(Ok(Some(hint))) => heard(Heard::Hint(hint.payload())),
                Ok(Ok(None)) => return StoreError::silent(),
                Ok(Err(error)) => return error.into(),
                Err(_) => {
                    match timeout(self.patience(), sqlx::query!("select 1 as there").fetch_one(&mut listener)).await {
                        Ok(Ok(_)) => {}
                        Ok(Err(error)) => return error.into(),
                        Err(_) => return StoreError::silent(),
                    }
                }
            }
        }
    }

    async fn listener_of(&self, channel: &str) -> Result<PgListener, sqlx::Error> {
        let mut listener = PgListener::connect_with(&self.pool().patient()).await?;
        // It is opened anew by the loop above, which says so.
        listener.eager_reconnect(false);
        listener.listen(channel).await?;
        Ok(listener)
    }
}
