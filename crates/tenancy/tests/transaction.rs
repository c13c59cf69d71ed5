//! The tenant transaction on a real PostgreSQL: revisions, repeats, the chain, the feed, and what an unfinished write leaves behind.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{FutureExt as _, future::join_all};
use local_postgres::ServiceUrls;
use serde_json::json;
use sqlx::{Connection, PgConnection, migrate::Migrator};
use tenancy::{
    Actor, ClusterScope, Database, DatabaseOptions, NewEvent, Once, OrganizationId, OrganizationScope,
    OrganizationState, Origin, ProjectId, ProjectScope, Sealer, StoreError,
    event::Fault,
    feed::{self, FeedCursor},
    migration::Migrations,
};
use testkit::postgres::{TestDatabase, template};

static NOTHING_OF_ITS_OWN: Migrator = Migrator::DEFAULT;

struct Setting {
    /// Dropped last: it takes the database along.
    database: Database,
    test: TestDatabase,
    project: ProjectId,
}

async fn setting() -> Setting {
    let prepared = template("tenancy", async |urls: ServiceUrls| {
        Migrations::of(&NOTHING_OF_ITS_OWN).apply(&urls.org.owner.into(), "guildhall_org").await
    })
    .await;
    let test = TestDatabase::new(&prepared).await;
    let sealer = Sealer::parse("a:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=").unwrap();
    let mut options = DatabaseOptions::new(test.urls.org.runtime.clone().into());
    options.acquire_timeout = Duration::from_secs(20);
    let database = Database::new(&options, Arc::new(sealer)).unwrap();
    Setting { database, test, project: ProjectId::new() }
}

impl Setting {
    async fn organization(&self) -> OrganizationScope {
        let id = OrganizationId::new();
        self.database.admit(self.project, id, OrganizationState::Active, 1).await.unwrap();
        OrganizationScope::granted(self.project, id)
    }

    async fn write(&self, scope: OrganizationScope, text: &str) -> i64 {
        let mut tx = self.database.write(scope, &origin(), None).await.unwrap();
        tx.append(event(text));
        let revision = tx.revision();
        tx.commit(revision).await.unwrap()
    }
}

fn origin() -> Origin {
    Origin { actor: Actor::Operator, on_behalf_of: None, request_id: "r".into(), trace_id: String::new() }
}

fn event(text: &str) -> NewEvent {
    NewEvent::new("thing.done", vec![text.to_owned()], &json!({"after": text}))
}

fn once(caller: &str, id: &str, body: u8) -> Once {
    Once { caller: caller.into(), method: "/test/Do", request_id: id.into(), body_hash: [body; 32] }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_writers_at_once_take_fifty_revisions_without_a_gap() {
    let setting = setting().await;
    let acme = setting.organization().await;
    let mut revisions =
        join_all((0..50).map(|n| setting.write(acme, if n % 2 == 0 { "even" } else { "odd" }).boxed())).await;
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=50).collect::<Vec<_>>());
    let check = feed::verify_chain(&setting.database, acme.into(), acme.organization_id()).await.unwrap();
    assert_eq!((check.broken, check.events, check.last_revision), (None, 50, 50));
}

#[tokio::test]
async fn a_write_without_an_event_takes_no_revision_and_a_dropped_one_changes_nothing() {
    let setting = setting().await;
    let acme = setting.organization().await;
    setting.database.write(acme, &origin(), None).await.unwrap().commit(()).await.unwrap();
    let mut dropped = setting.database.write(acme, &origin(), None).await.unwrap();
    dropped.append(event("never"));
    drop(dropped);
    assert_eq!(setting.write(acme, "first").await, 1);
    let unknown = OrganizationScope::granted(setting.project, OrganizationId::new());
    assert!(matches!(setting.database.write(unknown, &origin(), None).await, Err(StoreError::TenantUnknown)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_is_answered_once_and_written_once() {
    let setting = setting().await;
    let acme = setting.organization().await;
    let claim = |caller: &'static str, id: &'static str, body: u8| {
        let database = setting.database.clone();
        async move {
            let mut tx = database.write(acme, &origin(), Some(&once(caller, id, body))).await?;
            if let Some(first) = tx.first_answer::<String>()? {
                return Ok(first);
            }
            tx.append(event(id));
            let answer = format!("{caller} at {}", tx.revision());
            tx.commit(answer).await
        }
    };
    let answers = join_all((0..20).map(|_| claim("ada", "one", 1))).await;
    for answer in answers {
        assert_eq!(answer.unwrap(), "ada at 1");
    }
    assert!(matches!(claim("ada", "one", 2).await, Err(StoreError::RequestIdReused)));
    assert_eq!(claim("grace", "one", 2).await.unwrap(), "grace at 2", "the id is the caller's own");
    assert_eq!(claim("ada", "two", 1).await.unwrap(), "ada at 3");
    // The answer is kept, and nobody who reads the database reads it.
    let mut superuser = PgConnection::connect(&setting.test.superuser_url).await.unwrap();
    let kept: Vec<Vec<u8>> =
        sqlx::query_scalar("select answer from org.answer").fetch_all(&mut superuser).await.unwrap();
    assert_eq!(kept.len(), 3);
    assert!(kept.iter().all(|answer| !answer.windows(3).any(|w| w == b"ada" || w == b"gra")));
    // A day later it is forgotten.
    sqlx::query("update org.answer set expire_time = now() - interval '1 s'").execute(&mut superuser).await.unwrap();
    assert_eq!(claim("ada", "one", 2).await.unwrap(), "ada at 4");
    assert_eq!(setting.database.forget_answers(10).await.unwrap(), 2);
}

#[tokio::test]
async fn a_project_and_each_of_its_organizations_have_chains_of_their_own() {
    let setting = setting().await;
    let scope = ProjectScope::granted(setting.project);
    let id = OrganizationId::new();
    let mut tx = setting.database.write(scope, &origin(), None).await.unwrap();
    let founded = tx.found(id, event("founded")).await.unwrap();
    tx.append(event("the project's"));
    tx.commit(()).await.unwrap();
    assert_eq!(setting.write(founded, "second").await, 2);
    for (scope, key, revision) in [(founded.into(), id, 2), (scope.into(), scope.own_key(), 1)] {
        let check = feed::verify_chain(&setting.database, scope, key).await.unwrap();
        assert_eq!((check.broken, check.last_revision), (None, revision));
    }
}

#[tokio::test]
async fn whoever_edits_the_history_is_found_out() {
    let setting = setting().await;
    let mut superuser = PgConnection::connect(&setting.test.superuser_url).await.unwrap();
    for (tampering, fault) in [
        ("update org.event set actor = 'anonymous' where revision = 2", Fault::Hash),
        ("update org.event set payload = '{}' where revision = 2", Fault::Payload),
        ("delete from org.event where revision = 2", Fault::Gap),
        ("delete from org.event where revision = 3", Fault::Gap),
        ("update org.event set previous_hash = hash where revision = 2", Fault::PreviousHash),
    ] {
        let acme = setting.organization().await;
        for text in ["one", "two", "three"] {
            setting.write(acme, text).await;
        }
        let statement = format!("{tampering} and organization_id = '{}'", acme.organization_id().uuid());
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut superuser).await.unwrap();
        let check = feed::verify_chain(&setting.database, acme.into(), acme.organization_id()).await.unwrap();
        assert_eq!(check.broken.map(|b| b.fault), Some(fault), "{tampering}");
    }
}

#[tokio::test]
async fn an_older_word_of_the_state_never_undoes_a_newer() {
    let setting = setting().await;
    let acme = setting.organization().await;
    for (state, revision, taken) in [
        (OrganizationState::Suspended, 5, true),
        (OrganizationState::Active, 4, false),
        (OrganizationState::Active, 6, true),
    ] {
        let mut tx = setting.database.write(acme, &origin(), None).await.unwrap();
        assert_eq!(tx.set_state(state, revision).await.unwrap(), taken);
        tx.commit(()).await.unwrap();
    }
    let head = setting.database.head(acme.organization_id()).await.unwrap().unwrap();
    assert_eq!((head.state, head.state_revision), (OrganizationState::Active, 6));
}

/// Writers of four tenants commit out of order; a reader follows meanwhile. It misses nothing, and sees each tenant's events in the
/// order of their revisions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_skips_nothing_and_keeps_each_tenants_order() {
    let setting = Arc::new(setting().await);
    let mut tenants = Vec::new();
    for _ in 0..4 {
        tenants.push(setting.organization().await);
    }
    const EACH: i64 = 60;
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (setting, tenant) = (setting.clone(), tenants[writer % 4]);
            tokio::spawn(async move {
                for n in 0..EACH / 2 {
                    let mut tx = setting.database.write(tenant, &origin(), None).await.unwrap();
                    tx.append(event("x"));
                    // Some transactions stay open while later ones commit.
                    if (n + writer as i64) % 7 == 0 {
                        tokio::time::sleep(Duration::from_millis(15)).await;
                    }
                    tx.commit(()).await.unwrap();
                }
            })
        })
        .collect();
    let (mut cursor, mut seen) = (FeedCursor::default(), BTreeMap::<OrganizationId, Vec<i64>>::new());
    let mut total = 0;
    let begun = std::time::Instant::now();
    while total < 4 * EACH {
        assert!(begun.elapsed() < Duration::from_secs(60), "{total} of {} events came", 4 * EACH);
        for (event, at) in feed::after(&setting.database, ClusterScope::granted().into(), cursor, 7).await.unwrap() {
            assert!(at > cursor);
            cursor = at;
            seen.entry(event.organization_id).or_default().push(event.revision);
            total += 1;
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    for revisions in seen.values() {
        assert_eq!(*revisions, (1..=EACH).collect::<Vec<_>>());
    }
    assert!(feed::after(&setting.database, ClusterScope::granted().into(), cursor, 7).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_erased_history_keeps_its_chain_and_says_nothing() {
    let setting = setting().await;
    let (acme, other) = (setting.organization().await, setting.organization().await);
    setting.write(other, "beside").await;
    // More than one statement's worth, several to a revision.
    for revision in 0..3 {
        let mut tx =
            setting.database.write(acme, &origin(), Some(&once("ada", &revision.to_string(), 1))).await.unwrap();
        for n in 0..700 {
            tx.append(event(&format!("secret {revision} {n}")));
        }
        tx.commit("answer").await.unwrap();
    }
    let erase = async |keep: bool| {
        let mut tx = setting.database.write(acme, &origin(), None).await.unwrap();
        let erased = tx.erase_history().await.unwrap();
        tx.append(event("erased"));
        if keep {
            tx.commit(()).await.unwrap();
        }
        erased
    };
    let mut superuser = PgConnection::connect(&setting.test.superuser_url).await.unwrap();
    let told = "select count(*) filter (where e.payload is not null),
            (select count(*) from org.answer a where a.organization_id = e.organization_id)
        from org.event e group by e.organization_id order by 1 desc";
    let mut told = async || sqlx::query_as::<_, (i64, i64)>(told).fetch_all(&mut superuser).await.unwrap();

    assert_eq!(erase(false).await, 2100, "dropped, it changes nothing");
    assert_eq!(told().await, [(2100, 3), (1, 0)]);
    assert_eq!(erase(true).await, 2100);
    assert_eq!(told().await, [(1, 0), (1, 0)], "the write's own event and the other tenant's are told still");
    assert_eq!(erase(true).await, 1, "only what came since");
    let check = feed::verify_chain(&setting.database, acme.into(), acme.organization_id()).await.unwrap();
    assert_eq!((check.broken, check.events, check.last_revision), (None, 2102, 5));
    assert_eq!(setting.write(acme, "goes on").await, 6);
}
