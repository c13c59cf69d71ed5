//! Reading events on a real PostgreSQL: the feed and what it says of its completeness, the log in pages, the walk over a chain.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod setting;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use setting::{Setting, event, origin, setting, setting_of};
use sqlx::{Connection, PgConnection};
use tenancy::{
    ClusterScope, NewEvent, OrganizationId, OrganizationScope, StoreError,
    feed::{self, FeedCursor, FeedPart, LogCursor, LogFilter},
    page::{Listed, MAX_BYTES, Page},
};
use time::OffsetDateTime;
use tokio::time::Instant;

async fn after(setting: &Setting, cursor: FeedCursor, limit: i64) -> FeedPart {
    feed::after(&setting.database, ClusterScope::granted().into(), cursor, limit).await.unwrap()
}

/// A transaction that has a number and does not end.
async fn open_write(url: &str) -> PgConnection {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql("begin; select pg_current_xact_id()").execute(&mut connection).await.unwrap();
    connection
}

/// Writers of four tenants commit out of order, while transactions of others begin and end; a reader follows meanwhile. It misses nothing,
/// sees each tenant's events in the order of their revisions, and is never told that the feed is complete when it is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_skips_nothing_keeps_each_tenants_order_and_says_what_it_holds_back() {
    let setting = Arc::new(setting().await);
    let mut tenants = Vec::new();
    for _ in 0..4 {
        tenants.push(setting.organization().await);
    }
    const EACH: i64 = 60;
    // What was committed no later than a moment. The server's clock is this one.
    let committed = Arc::new(Mutex::new(Vec::<(OrganizationId, i64, OffsetDateTime)>::new()));
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (setting, tenant, committed) = (setting.clone(), tenants[writer % 4], committed.clone());
            tokio::spawn(async move {
                for n in 0..EACH / 2 {
                    let mut tx = setting.database.write(tenant, &origin(), None).await.unwrap();
                    tx.append(event("x"));
                    let revision = tx.revision();
                    // Some transactions stay open while later ones commit.
                    if (n + writer as i64) % 7 == 0 {
                        tokio::time::sleep(Duration::from_millis(15)).await;
                    }
                    tx.commit(()).await.unwrap();
                    committed.lock().unwrap().push((tenant.organization_id(), revision, OffsetDateTime::now_utc()));
                }
            })
        })
        .collect();
    let others = tokio::spawn({
        let setting = setting.clone();
        async move {
            loop {
                let open = open_write(&setting.test.superuser_url).await;
                tokio::time::sleep(Duration::from_millis(40)).await;
                drop(open);
            }
        }
    });
    let (mut cursor, mut seen) = (FeedCursor::default(), BTreeMap::<OrganizationId, Vec<i64>>::new());
    let (mut total, mut told) = (0, 0);
    let begun = Instant::now();
    while total < 4 * EACH {
        assert!(begun.elapsed() < Duration::from_secs(60), "{total} of {} events came", 4 * EACH);
        let part = after(&setting, cursor, 7).await;
        for (event, at) in part.events {
            assert!(at > cursor);
            cursor = at;
            seen.entry(event.organization_id).or_default().push(event.revision);
            total += 1;
        }
        let Some(complete_until) = part.complete_until else { continue };
        for (tenant, revision, _) in committed.lock().unwrap().iter().filter(|(_, _, time)| *time < complete_until) {
            told += 1;
            assert!(seen.get(tenant).is_some_and(|seen| seen.contains(revision)), "said to be complete, and is not");
        }
    }
    others.abort();
    for writer in writers {
        writer.await.unwrap();
    }
    for revisions in seen.values() {
        assert_eq!(*revisions, (1..=EACH).collect::<Vec<_>>());
    }
    assert!(told > 0, "the reader was never told of completeness");
    let rest = after(&setting, cursor, 7).await;
    assert!(rest.events.is_empty());
}

#[tokio::test]
async fn a_transaction_in_another_database_holds_nothing_back() {
    let setting = setting().await;
    let acme = setting.organization().await;
    let _elsewhere = open_write(testkit::postgres::server().await.superuser_url()).await;
    let before = OffsetDateTime::now_utc();
    setting.write(acme, "one").await;
    let part = after(&setting, FeedCursor::default(), 10).await;
    assert_eq!(part.events.len(), 1);
    assert!(part.complete_until.unwrap() > before);
}

#[tokio::test]
async fn a_transaction_of_a_role_that_writes_no_events_here_holds_nothing_back() {
    let setting = setting().await;
    let acme = setting.organization().await;
    let urls = &setting.test.urls;
    for (url, may_write_here) in
        [(&urls.member.runtime, false), (&urls.authz.owner, false), (&urls.org.runtime, true), (&urls.org.owner, true)]
    {
        let cursor = feed::since(&setting.database, ClusterScope::granted().into(), OffsetDateTime::now_utc()).await;
        let open = open_write(url).await;
        let revision = setting.write(acme, "one").await;
        // What the one before held back may come only now: its transaction ends some time after its connection is closed.
        let part = after(&setting, cursor.unwrap(), 10).await;
        assert_eq!(part.events.iter().all(|(event, _)| event.revision < revision), may_write_here, "{part:?}");
        open.close().await.unwrap();
    }
}

#[tokio::test]
async fn what_a_running_transaction_of_this_database_holds_back_is_said() {
    let setting = setting().await;
    let acme = setting.organization().await;
    let mut open = open_write(&setting.test.superuser_url).await;
    setting.write(acme, "one").await;
    let committed = OffsetDateTime::now_utc();
    let (first, later) = (after(&setting, FeedCursor::default(), 10).await, async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        setting.write(acme, "two").await;
        after(&setting, FeedCursor::default(), 10).await
    });
    let later = later.await;
    assert!(first.events.is_empty() && later.events.is_empty());
    assert!(first.complete_until.unwrap() <= committed);
    assert_eq!(first.complete_until, later.complete_until, "it is as long ago as the first that is held back");
    let past = feed::since(&setting.database, ClusterScope::granted().into(), OffsetDateTime::now_utc()).await.unwrap();
    sqlx::raw_sql("commit").execute(&mut open).await.unwrap();
    let part = after(&setting, past, 10).await;
    assert_eq!(part.events.len(), 2, "a reader that begins here misses nothing of what was held back");
    assert!(part.complete_until.unwrap() > committed);
}

/// As many events as one write can have, of which the first of all is of another kind.
async fn fill(setting: &Setting, tenant: OrganizationScope, writes: usize, events: usize) {
    for n in 0..writes {
        let mut tx = setting.database.write(tenant, &origin(), None).await.unwrap();
        for m in 0..events {
            let kind = if (n, m) == (0, 0) { "thing.begun" } else { "thing.done" };
            tx.append(NewEvent::new(kind, vec![], &json!({})));
        }
        tx.commit(()).await.unwrap();
    }
}

async fn list(
    setting: &Setting,
    tenant: OrganizationScope,
    kinds: &[&str],
    after: Option<LogCursor>,
) -> Listed<tenancy::Event, LogCursor> {
    let filter = LogFilter { kinds: kinds.iter().map(ToString::to_string).collect(), ..LogFilter::default() };
    let page = Page { size: 50, after };
    feed::list(&setting.database, tenant.into(), tenant.organization_id(), &filter, &page, None).await.unwrap()
}

#[tokio::test]
async fn a_filter_that_matches_next_to_nothing_costs_short_pages_and_finds_it() {
    let setting = setting().await;
    let acme = setting.organization().await;
    fill(&setting, acme, 7, 3000).await;
    let (mut after, mut pages, mut found) = (None, 0, Vec::new());
    loop {
        let page = list(&setting, acme, &["thing.begun"], after).await;
        pages += 1;
        found.extend(page.rows);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(found.iter().map(|event| (event.revision, event.ordinal)).collect::<Vec<_>>(), [(1, 0)]);
    assert_eq!(pages, 3, "ten thousand events for each page");
    let full = list(&setting, acme, &[], None).await;
    assert_eq!((full.rows.len(), full.next), (50, Some(LogCursor { revision: 7, ordinal: 2950 })));
}

#[tokio::test]
async fn large_events_make_short_pages_and_short_parts_of_the_feed() {
    let setting = setting().await;
    let acme = setting.organization().await;
    for n in 1..=9 {
        assert_eq!(setting.write(acme, &n.to_string().repeat(150_000)).await, n);
    }
    let (mut after_log, mut log, mut cursor, mut fed) = (None, Vec::new(), FeedCursor::default(), Vec::new());
    loop {
        let page = list(&setting, acme, &[], after_log).await;
        assert!((1..=3).contains(&page.rows.len()));
        assert!(page.rows.iter().filter_map(|e| e.payload.as_ref()).map(String::len).sum::<usize>() <= MAX_BYTES);
        log.extend(page.rows.iter().map(|event| event.revision));
        match page.next {
            Some(next) => after_log = Some(next),
            None => break,
        }
    }
    assert!(log.iter().copied().eq((1..=9).rev()));
    loop {
        let part = after(&setting, cursor, 500).await;
        assert!(part.events.len() <= 4);
        for (event, at) in part.events {
            fed.push(event.revision);
            cursor = at;
        }
        if part.complete_until.is_some() {
            break;
        }
    }
    assert!(fed.iter().copied().eq(1..=9));
    let walk = feed::verify_chain(&setting.database, acme.into(), acme.organization_id(), None).await.unwrap();
    assert_eq!((walk.broken, walk.events), (None, 9));
}

#[tokio::test]
async fn a_walk_shares_its_connection_stops_in_time_and_a_tenant_has_one() {
    let setting = setting_of(|options| options.max_connections = 1).await;
    let acme = setting.organization().await;
    fill(&setting, acme, 3, 3000).await;
    let walk = |deadline| {
        let database = setting.database.clone();
        async move { feed::verify_chain(&database, acme.into(), acme.organization_id(), deadline).await }
    };
    assert!(matches!(walk(Some(Instant::now())).await, Err(StoreError::TimedOut)), "nobody waits for it");
    // While it waits for the pool's only connection, a second of the same tenant is refused without one.
    let held = setting.database.read(acme).await.unwrap();
    let first = tokio::spawn(walk(None));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(matches!(walk(None).await, Err(StoreError::Busy)));
    held.finish();
    // While it walks, others get at the connection.
    let mut between = 0;
    while !first.is_finished() {
        setting.database.read(acme).await.unwrap().finish();
        between += 1;
    }
    let check = first.await.unwrap().unwrap();
    assert_eq!((check.broken, check.events), (None, 9000));
    assert!(between > 3, "only {between} reads came in between");
}

#[tokio::test]
async fn an_event_behind_the_heads_back_breaks_the_chain() {
    let setting = setting().await;
    let acme = setting.organization().await;
    setting.write(acme, "one").await;
    let mut superuser = PgConnection::connect(&setting.test.superuser_url).await.unwrap();
    sqlx::query(
        "update org.head set revision = 0, event_hash = decode(repeat('00', 32), 'hex') where organization_id = $1",
    )
    .bind(acme.organization_id().uuid())
    .execute(&mut superuser)
    .await
    .unwrap();
    let check = feed::verify_chain(&setting.database, acme.into(), acme.organization_id(), None).await.unwrap();
    assert!(check.broken.is_some());
}

#[tokio::test]
async fn a_cursor_of_a_time_that_the_database_has_lost_is_refused() {
    let setting = setting().await;
    let acme = setting.organization().await;
    let mut owner = PgConnection::connect(&setting.test.urls.org.owner).await.unwrap();
    let count = async |owner: &mut PgConnection, before: i64| {
        let set = "select set_config('guildhall.scope', 'cluster', false)";
        sqlx::query(set).execute(&mut *owner).await.unwrap();
        sqlx::query("update org.history set transactions_before = $1").bind(before).execute(owner).await.unwrap();
    };
    count(&mut owner, 1_000_000).await;
    setting.write(acme, "lost").await;
    let mut read = after(&setting, FeedCursor::default(), 10).await;
    let (_, cursor) = read.events.pop().unwrap();
    assert!(after(&setting, cursor, 10).await.complete_until.is_some());
    // As by a restore to the moment before.
    count(&mut owner, 0).await;
    let refused = feed::after(&setting.database, ClusterScope::granted().into(), cursor, 10).await;
    assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
}

#[tokio::test]
async fn what_is_held_is_not_written_and_is_read() {
    let setting = setting_of(|options| options.acquire_timeout = Duration::from_millis(250)).await;
    let acme = setting.organization().await;
    setting.database.hold_writes(true);
    let refused = setting.database.write(acme, &origin(), None).await;
    assert!(matches!(refused, Err(StoreError::Unreachable(_))));
    assert!(matches!(setting.database.upkeep(acme).await, Err(StoreError::Unreachable(_))));
    assert!(setting.database.head(acme.organization_id()).await.unwrap().is_some());
    // Who waits when it is let writes then.
    let (written, ()) = tokio::join!(setting.write(acme, "let"), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        setting.database.hold_writes(false);
    });
    assert_eq!(written, setting.database.head(acme.organization_id()).await.unwrap().unwrap().revision);
}
