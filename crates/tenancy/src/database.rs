//! The connection pool, and transactions that open with a scope.
//!
//! A handler's database work runs in a task that the caller's disconnecting cannot cancel (crate `runtime` sees to it); should a
//! transaction be dropped unfinished all the same, it is rolled back before its connection is used again, and the scope's settings
//! end with it, for they are local to the transaction.

use std::{collections::HashMap, sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use sqlx::{PgConnection, postgres::PgConnectOptions};
use tokio::{sync::watch, time::timeout};

use crate::{
    AsOf, Head, OrganizationId, OrganizationScope, Scope, Sealer,
    heads::HeadReader,
    hints::Listener,
    pool::Pool,
    transaction::Transaction,
    turns::{Places, Turns},
    write::{self, Once, Write},
};

/// One writes a tenant while the next has already begun its transaction, so that the head's lock goes from hand to hand without a
/// pause.
const WRITES_AT_ONCE: usize = 2;
/// A write that waited for longer is refused: its caller may try again.
const WRITE_PATIENCE: Duration = Duration::from_secs(2);
/// One statement over a few rows by their keys takes no longer, once it has a connection: a database that does not answer by then is
/// away, and whoever must know refuses rather than guess.
const READ_PATIENCE: Duration = Duration::from_secs(2);

/// How a service reaches its schema.
#[derive(Debug, Clone)]
pub struct DatabaseOptions {
    pub url: SecretString,
    pub max_connections: u32,
    /// How long a call may wait for a connection before it is shed.
    pub acquire_timeout: Duration,
    /// The server ends a statement that takes longer.
    pub statement_timeout: Duration,
}

impl DatabaseOptions {
    pub fn new(url: SecretString) -> Self {
        Self {
            url,
            max_connections: 16,
            acquire_timeout: Duration::from_millis(250),
            statement_timeout: Duration::from_secs(10),
        }
    }
}

/// A fault of the store, or of the way that it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
    /// No connection was free in time, of a database that is there: the call is shed.
    #[error("no database connection was free in time")]
    Busy,
    /// The database cannot be reached.
    #[error("the database cannot be reached")]
    Unreachable(#[source] sqlx::Error),
    /// The database is there and has no room for what was to be written. What is there can be read.
    #[error("the database has no room left")]
    Full(#[source] sqlx::Error),
    #[error("the request_id was used with another body")]
    RequestIdReused,
    #[error("no such organization")]
    TenantUnknown,
    /// The time allowed for it ran out: the statement's, or the caller's.
    #[error("the time allowed ran out")]
    TimedOut,
    /// A text holds U+0000, which PostgreSQL stores nowhere.
    #[error("a text holds U+0000")]
    NotText,
    /// A stored value that we could not have written.
    #[error("the store holds a value that it should not: {0}")]
    Corrupt(&'static str),
}

impl StoreError {
    /// The error once more, for another who waited for the same read.
    pub(crate) fn again(&self) -> Self {
        let told = |source: &sqlx::Error| sqlx::Error::Protocol(source.to_string());
        match self {
            Self::Database(source) => Self::Database(told(source)),
            Self::Unreachable(source) => Self::Unreachable(told(source)),
            Self::Full(source) => Self::Full(told(source)),
            Self::Corrupt(what) => Self::Corrupt(what),
            Self::Busy => Self::Busy,
            Self::TimedOut => Self::TimedOut,
            Self::NotText => Self::NotText,
            Self::RequestIdReused => Self::RequestIdReused,
            Self::TenantUnknown => Self::TenantUnknown,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut => Self::Busy,
            // Protocol: what answers does not speak as PostgreSQL does, or no longer. A server that ends between a connection's first two
            // messages is such a one.
            sqlx::Error::Io(_) | sqlx::Error::PoolClosed | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => {
                Self::Unreachable(error)
            }
            sqlx::Error::Database(ref e) if e.code().is_some_and(|c| c.starts_with("57P") || c.starts_with("08")) => {
                Self::Unreachable(error)
            }
            // disk_full.
            sqlx::Error::Database(ref e) if e.code().is_some_and(|c| c == "53100") => Self::Full(error),
            // Out of memory, or of connections: it is there and lets nobody in.
            sqlx::Error::Database(ref e) if e.code().is_some_and(|c| c.starts_with("53")) => Self::Unreachable(error),
            // query_canceled: nobody cancels our statements but the server, by their timeout.
            // idle_in_transaction_session_timeout: nor does anybody else end a transaction that stood still.
            sqlx::Error::Database(ref e) if e.code().is_some_and(|c| c == "57014" || c == "25P03") => Self::TimedOut,
            sqlx::Error::Database(ref e) if e.code().is_some_and(|c| c == "22021") => Self::NotText,
            other => Self::Database(other),
        }
    }
}

/// The constraint that a statement ran into, by its name.
pub fn constraint(error: &sqlx::Error) -> Option<&str> {
    error.as_database_error().and_then(|e| e.constraint())
}

/// One service's schema.
#[derive(Debug, Clone)]
pub struct Database {
    pool: Pool,
    pub(crate) sealer: Arc<Sealer>,
    heads: HeadReader,
    patience: Duration,
    listener: Arc<Listener>,
    held: Arc<watch::Sender<bool>>,
    turns: Turns<OrganizationId>,
    log_pages: Places,
    chain_walks: Places,
}

impl Database {
    /// Opens no connection yet: a server starts and says NOT_SERVING while its database is away.
    pub fn new(options: &DatabaseOptions, sealer: Arc<Sealer>) -> Result<Self, StoreError> {
        let statement_timeout = options.statement_timeout.as_millis().to_string();
        let connect: PgConnectOptions = options.url.expose_secret().parse()?;
        let connect = connect.options([
            ("statement_timeout", statement_timeout.as_str()),
            ("idle_in_transaction_session_timeout", statement_timeout.as_str()),
        ]);
        let pool = Pool::new(connect, options.max_connections, options.acquire_timeout);
        let patience = options.acquire_timeout + READ_PATIENCE;
        Ok(Self {
            pool,
            sealer,
            heads: HeadReader::new(patience),
            patience,
            listener: Arc::default(),
            held: Arc::default(),
            turns: Turns::new(WRITES_AT_ONCE, WRITE_PATIENCE),
            log_pages: Places::of_log_pages(),
            chain_walks: Places::of_chain_walks(),
        })
    }

    pub fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// How long a small read is waited for, its connection included.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    pub(crate) fn listener(&self) -> &Arc<Listener> {
        &self.listener
    }

    pub(crate) fn log_pages(&self) -> &Places {
        &self.log_pages
    }

    pub(crate) fn chain_walks(&self) -> &Places {
        &self.chain_walks
    }

    /// Lets no write begin until it is let again: nobody knows yet whether the schema and its history are what this binary goes on from. A
    /// write waits for that a little, which a start takes, and is then refused as if the database could not be reached.
    pub fn hold_writes(&self, held: bool) {
        self.held.send_replace(held);
    }

    async fn may_write(&self) -> Result<(), StoreError> {
        if !*self.held.borrow() {
            return Ok(());
        }
        let mut held = self.held.subscribe();
        match timeout(self.patience, held.wait_for(|held| !held)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(StoreError::Unreachable(sqlx::Error::Protocol("what is in it is not known".to_owned()))),
        }
    }

    async fn begin(&self, mode: &str, scope: Scope) -> Result<Transaction, StoreError> {
        let opening = format!("begin {mode}; {}", scope.settings());
        match self.pool.begin(opening.clone()).await {
            // A pooled connection that died while idle (the server restarted): its first use tells, by a broken socket or by the
            // server's parting word. Nothing was written, so another connection may be tried, once.
            Err(StoreError::Unreachable(_)) => self.pool.begin(opening).await,
            begun => begun,
        }
    }

    /// A transaction that reads. All its statements see the same moment.
    pub async fn read(&self, scope: impl Into<Scope>) -> Result<Read, StoreError> {
        let transaction = self.begin("isolation level repeatable read read only", scope.into()).await?;
        Ok(Read { transaction })
    }

    /// A transaction that reads, each statement as of its own moment.
    pub(crate) async fn read_each(&self, scope: impl Into<Scope>) -> Result<Read, StoreError> {
        let transaction = self.begin("isolation level read committed read only", scope.into()).await?;
        Ok(Read { transaction })
    }

    /// A transaction that writes what is no event: last-used marks, session refreshes, one-time codes. Takes no lock on the
    /// tenant and no revision.
    pub async fn upkeep(&self, scope: impl Into<Scope>) -> Result<Upkeep, StoreError> {
        self.may_write().await?;
        Ok(Upkeep { transaction: self.begin("", scope.into()).await? })
    }

    /// A transaction that changes an organization's rows (or, with a project scope, the project's): locks the tenant's head first,
    /// which orders all its writes. Those of one tenant wait for each other without a connection. With the cluster's scope, the operator's, it locks the head of the installation. See [`Write`].
    pub async fn write(
        &self,
        scope: impl Into<Scope>,
        origin: &crate::Origin,
        once: Option<&Once>,
    ) -> Result<Write, StoreError> {
        self.may_write().await?;
        let scope = scope.into();
        let turn = match self.turns.take(write::tenant(scope)).await {
            Ok(turn) => turn,
            // Those before it may wait for a database that does not answer.
            Err(error) => return Err(self.pool.reach().judge(error).await),
        };
        let transaction = self.begin("", scope).await?;
        Write::open(transaction, turn, scope, origin.clone(), once.cloned(), self).await
    }

    /// What this service knows of an organization: its project, state and revision. None where it knows none. As of a moment after
    /// the call came, in one round trip that is shared with others who ask: see `heads`.
    pub async fn head(&self, organization: OrganizationId) -> Result<Option<Head>, StoreError> {
        self.heads.one(&self.pool, organization).await
    }

    /// The heads of an organization and of its project itself, as of one moment after the call came. As cheap as one of them.
    pub async fn heads(&self, scope: OrganizationScope) -> Result<[Option<Head>; 2], StoreError> {
        Ok(self.heads_as_of(scope).await?.0)
    }

    /// The same, with the moment as of which it holds; none where there is neither.
    pub async fn heads_as_of(&self, scope: OrganizationScope) -> Result<([Option<Head>; 2], Option<AsOf>), StoreError> {
        self.heads.two(&self.pool, [scope.organization_id(), scope.project_id().into()]).await
    }

    /// The heads of many tenants as of one moment, by a read of its own: for whoever looks after them in the background. None of a tenant
    /// that is not there.
    pub async fn many_heads(
        &self,
        tenants: &[OrganizationId],
    ) -> Result<(HashMap<OrganizationId, Head>, Option<AsOf>), StoreError> {
        self.heads.many(&self.pool, tenants).await
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// A reading transaction.
#[derive(Debug)]
pub struct Read {
    transaction: Transaction,
}

impl Read {
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// Gives the connection back. Nobody waits for the end of a transaction that wrote nothing: it goes to the server in one message with
    /// the question whether the connection is still good.
    pub fn finish(self) {
        drop(self.transaction);
    }
}

/// A transaction that writes no event.
#[derive(Debug)]
pub struct Upkeep {
    transaction: Transaction,
}

impl Upkeep {
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.transaction.commit().await?)
    }
}
