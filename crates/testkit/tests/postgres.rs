//! Each test has a database of its own, copied from a template that is prepared once.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::sync::atomic::{AtomicU32, Ordering};

use local_postgres::ServiceUrls;
use sqlx::{Connection as _, PgConnection};
use testkit::postgres::{Template, TestDatabase, template};

static PREPARED: AtomicU32 = AtomicU32::new(0);

async fn notes() -> Template {
    template("notes", async |urls: ServiceUrls| -> Result<(), sqlx::Error> {
        PREPARED.fetch_add(1, Ordering::Relaxed);
        let mut owner = PgConnection::connect(&urls.org.owner).await?;
        sqlx::raw_sql("create table note (text text); grant select, insert on note to guildhall_org")
            .execute(&mut owner)
            .await?;
        owner.close().await
    })
    .await
}

async fn write_and_count(text: &str) -> i64 {
    let database = TestDatabase::new(&notes().await).await;
    let mut service = PgConnection::connect(&database.urls.org.runtime).await.unwrap();
    sqlx::query("insert into note values ($1)").bind(text).execute(&mut service).await.unwrap();
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    let current: String = sqlx::query_scalar("select current_database()").fetch_one(&mut superuser).await.unwrap();
    assert_eq!(current, database.name());
    sqlx::query_scalar("select count(*) from note").fetch_one(&mut service).await.unwrap()
}

#[tokio::test]
async fn one_test_sees_only_its_own_rows() {
    assert_eq!(write_and_count("one").await, 1);
}

#[tokio::test]
async fn another_test_sees_only_its_own_rows() {
    assert_eq!(write_and_count("another").await, 1);
}

#[tokio::test]
async fn many_copies_at_once_come_from_one_preparation() {
    let counts = (0..8).map(|_| tokio::spawn(write_and_count("many")));
    for count in counts {
        assert_eq!(count.await.unwrap(), 1);
    }
    assert_eq!(PREPARED.load(Ordering::Relaxed), 1);
}
