//! Migrations: the tables that every schema has, then the service's own, applied in the order of their versions by
//! `<service> migrate`, never by a server. A landed migration is never edited: its checksum is kept and compared.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    Connection, PgConnection,
    migrate::{Migrate, MigrateError, Migrator},
};

use tokio::time::sleep;

use crate::{Database, StoreError, feed};

/// A migration waits for a table's lock no longer than this: whoever uses the table queues up behind it meanwhile.
const LOCK_TIMEOUT: &str = "2s";
/// It is then tried again, so many times in all, each after a pause in which those calls go on.
const ATTEMPTS: u32 = 30;
const PAUSE: Duration = Duration::from_secs(1);

static TENANCY: Migrator = sqlx::migrate!("./migrations");

/// The migrations of one service's schema.
#[derive(Debug)]
pub struct Migrations {
    migrator: Migrator,
}

impl Migrations {
    pub fn of(service: &Migrator) -> Self {
        let all = TENANCY.iter().chain(service.iter()).cloned().collect();
        Self { migrator: Migrator::with_migrations(all) }
    }

    /// Applies what is missing, as the schema's owner, while servers run. `runtime_role` is granted what the server needs. Each
    /// migration is a transaction, and waits for a lock no longer than two seconds at a time: one that a long transaction keeps out is
    /// given up and tried again, for a minute or so, and the servers' calls go on in between. It is also how two that run at once wait for each other.
    pub async fn apply(&self, owner_url: &SecretString, runtime_role: &str) -> Result<(), MigrateError> {
        for _ in 1..ATTEMPTS {
            match self.attempt(owner_url, runtime_role).await {
                Err(error) if is_kept_out(&error) => sleep(PAUSE).await,
                outcome => return outcome,
            }
        }
        self.attempt(owner_url, runtime_role).await
    }

    async fn attempt(&self, owner_url: &SecretString, runtime_role: &str) -> Result<(), MigrateError> {
        let mut connection = PgConnection::connect(owner_url.expose_secret()).await?;
        sqlx::query("select set_config('guildhall.runtime_role', $1, false), set_config('lock_timeout', $2, false)")
            .bind(runtime_role)
            .bind(LOCK_TIMEOUT)
            .execute(&mut connection)
            .await?;
        self.migrator.run(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }

    /// Says, as the schema's owner and while no server runs, that the database was restored from a backup: what was committed after the backup
    /// is not in it, and never was. Revision tokens that were given out before are refused from then on, and what is written now comes
    /// after everything in the feed.
    pub async fn begin_history(&self, owner_url: &SecretString) -> Result<(), sqlx::Error> {
        let mut connection = PgConnection::connect(owner_url.expose_secret()).await?;
        feed::begin(&mut connection).await?;
        connection.close().await
    }

    /// None when the schema is the one that this binary was built for, else what is missing or too much, for an operator to read.
    /// A schema that is ahead is fine: migrations expand before they contract, so that a release can be taken back.
    pub async fn behind(&self, database: &Database) -> Result<Option<String>, StoreError> {
        let mut connection = database.pool().patient().acquire().await?;
        let applied = match connection.list_applied_migrations(&self.migrator.table_name).await {
            Ok(applied) => applied,
            Err(MigrateError::Execute(error)) if is_undefined_table(&error) => Vec::new(),
            Err(MigrateError::Execute(error)) => return Err(error.into()),
            Err(error) => return Ok(Some(error.to_string())),
        };
        for wanted in self.migrator.iter() {
            match applied.iter().find(|a| a.version == wanted.version) {
                None => {
                    let name = format!("{} ({})", wanted.version, wanted.description);
                    return Ok(Some(format!("the database lacks migration {name}: run `migrate`")));
                }
                Some(a) if a.checksum != wanted.checksum => {
                    return Ok(Some(format!("migration {} was changed after it had been applied", wanted.version)));
                }
                Some(_) => {}
            }
        }
        drop(connection);
        let restored = feed::unfinished(database).await?;
        Ok(restored.then(|| {
            "the database counts fewer transactions than its events do, so it was restored from a dump: run `migrate --restored`".to_owned()
        }))
    }
}

/// A lock was not to be had in time.
fn is_kept_out(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else { return false };
    error.as_database_error().and_then(|e| e.code()).is_some_and(|code| code == "55P03")
}

fn is_undefined_table(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|e| e.code()).is_some_and(|code| code == "42P01")
}
