//! A transaction on a connection of the pool, of which nothing is left when it ends, however it ends.
//!
//! That of sqlx 0.9.0 forgets one whose beginning was given up, or failed half way (transact-rs/sqlx#4393): the server has begun it
//! all the same, and the connection goes back to the pool. The next who uses it would see what was there when that transaction began, in its
//! scope, and what they write would be lost with it. Here such a connection is closed.

use std::ops::{Deref, DerefMut};

use sqlx::{PgConnection, Postgres, SqlStr, pool::PoolConnection};
use sqlx_core::transaction::TransactionManager as _;

type Manager = <Postgres as sqlx::Database>::TransactionManager;

#[derive(Debug)]
pub(crate) struct Transaction {
    connection: PoolConnection<Postgres>,
    has_begun: bool,
}

impl Transaction {
    /// `opening` begins it, and sets what holds in it.
    pub async fn begin(connection: PoolConnection<Postgres>, opening: SqlStr) -> Result<Self, sqlx::Error> {
        let mut transaction = Self { connection, has_begun: false };
        Manager::begin(&mut transaction.connection, Some(opening)).await?;
        transaction.has_begun = true;
        Ok(transaction)
    }

    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        Manager::commit(&mut self.connection).await
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.has_begun {
            // Goes to the server before anything else on this connection. Nothing where it is committed.
            Manager::start_rollback(&mut self.connection);
        } else {
            self.connection.close_on_drop();
        }
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
