//! A schema is migrated while servers use it.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod setting;

use std::{
    borrow::Cow,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use setting::setting;
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
};
use tenancy::migration::Migrations;
use tokio::time::{sleep, timeout};

/// One that needs the table to itself for a moment.
fn wider() -> Migrator {
    let sql = AssertSqlSafe("alter table head add column note text".to_owned()).into_sql_str();
    let migration = Migration::new(99_990_101_000_000, Cow::Borrowed("wider"), MigrationType::Simple, sql, false);
    Migrator::with_migrations(vec![migration])
}

/// A long transaction keeps the migration out. Calls that come after it wait for the lock's time at most, and then go on; when the
/// transaction ends, the migration is applied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_is_kept_out_keeps_nobody_out_for_long() {
    let setting = setting().await;
    let urls = &setting.test.urls.org;
    let mut long = PgConnection::connect(&urls.runtime).await.unwrap();
    sqlx::raw_sql("begin; select count(*) from head").execute(&mut long).await.unwrap();
    let owner = urls.owner.clone().into();
    let (migrator, done) = (Migrations::of(&wider()), AtomicBool::new(false));
    let migrating = async {
        let applied = timeout(Duration::from_secs(60), migrator.apply(&owner, "guildhall_org")).await;
        done.store(true, Ordering::Relaxed);
        applied.unwrap().unwrap();
    };
    let acme = setting.organization().await;
    let working = async {
        let (begun, mut longest) = (Instant::now(), Duration::ZERO);
        while begun.elapsed() < Duration::from_secs(6) {
            let asked = Instant::now();
            setting.write(acme, "meanwhile").await;
            longest = longest.max(asked.elapsed());
            sleep(Duration::from_millis(20)).await;
        }
        assert!(longest > Duration::from_millis(500), "it never tried: {longest:?}");
        assert!(longest < Duration::from_secs(4), "a call waited for {longest:?}");
        assert!(!done.load(Ordering::Relaxed), "nothing kept it out");
        sqlx::raw_sql("commit").execute(&mut long).await.unwrap();
    };
    tokio::join!(migrating, working);
    setting.write(acme, "afterwards").await;
    sqlx::raw_sql("select note from head").execute(&mut long).await.unwrap();
}
