//! The tenant transaction on a real PostgreSQL: revisions, repeats, the chain, and what an unfinished transaction leaves behind.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod setting;

use std::time::Duration;

use futures::{FutureExt as _, future::join_all};
use secrecy::ExposeSecret as _;
use setting::{Setting, event, origin, setting, setting_of};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tenancy::{
    ClusterScope, Once, OrganizationId, OrganizationScope, OrganizationState, ProjectId, ProjectScope, StoreError,
    event::Fault, feed,
};
use testkit::Proxy;
use tokio::{io::AsyncReadExt as _, net::lookup_host};
use url::Url;

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
    let check = feed::verify_chain(&setting.database, acme.into(), acme.organization_id(), None).await.unwrap();
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
    // Nor what the request hashes to, which could be searched for a password.
    let bodies: Vec<Vec<u8>> =
        sqlx::query_scalar("select body_hash from org.answer").fetch_all(&mut superuser).await.unwrap();
    assert!(bodies.iter().all(|kept| kept.len() == 32 && *kept != [1; 32] && *kept != [2; 32]));
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
        let check = feed::verify_chain(&setting.database, scope, key, None).await.unwrap();
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
        let check = feed::verify_chain(&setting.database, acme.into(), acme.organization_id(), None).await.unwrap();
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

/// What the one connection of a pool is told apart by, and the scope that stands on it between two transactions.
async fn left_behind(connection: &mut PgConnection) -> (i32, [Option<String>; 3]) {
    sqlx::raw_sql("rollback").execute(&mut *connection).await.unwrap();
    let left = sqlx::query_as::<_, (i32, Option<String>, Option<String>, Option<String>)>(
        "select pg_backend_pid(), current_setting('guildhall.scope', true), current_setting('guildhall.project_id', true),
             current_setting('guildhall.organization_id', true)",
    )
    .fetch_one(&mut *connection)
    .await
    .unwrap();
    sqlx::raw_sql("begin").execute(connection).await.unwrap();
    (left.0, [left.1, left.2, left.3])
}

#[tokio::test]
async fn no_scope_stays_on_a_connection_that_goes_to_the_next() {
    let setting = setting_of(|options| options.max_connections = 1).await;
    let acme = setting.organization().await;
    let globex = OrganizationScope::granted(ProjectId::new(), OrganizationId::new());
    let database = &setting.database;
    let mut pids = Vec::new();
    for ending in 0..9 {
        match ending {
            0 => drop(database.read(acme).await.unwrap()),
            1 => database.read(acme).await.unwrap().finish(),
            2 => drop(database.write(acme, &origin(), None).await.unwrap()),
            3 => assert_eq!(setting.write(acme, "one").await, 1),
            4 => drop(database.upkeep(ClusterScope::granted()).await.unwrap()),
            5 => database.upkeep(ClusterScope::granted()).await.unwrap().commit().await.unwrap(),
            6 => {
                // Dropped in the middle of a statement, as by a caller's task that ends.
                let mut tx = database.upkeep(ClusterScope::granted()).await.unwrap();
                let sleep = sqlx::query("select pg_sleep(0.3)").execute(tx.connection());
                assert!(tokio::time::timeout(Duration::from_millis(50), sleep).await.is_err());
            }
            7 => {
                let mut tx = database.upkeep(ClusterScope::granted()).await.unwrap();
                sqlx::query("select 1 / 0").execute(tx.connection()).await.unwrap_err();
            }
            _ => assert!(database.head(acme.organization_id()).await.unwrap().is_some()),
        }
        let mut next = database.read(globex).await.unwrap();
        let (pid, left) = left_behind(next.connection()).await;
        assert!(left.iter().all(|value| value.as_deref().unwrap_or_default().is_empty()), "{ending}: {left:?}");
        pids.push(pid);
    }
    assert!(pids.iter().all(|pid| *pid == pids[0]), "one connection: {pids:?}");
}

/// Nothing of the transactions that never came to be is there for those who come next: neither the moment that they saw, nor that they only
/// read, nor that they failed.
async fn is_as_new(setting: &Setting, acme: OrganizationScope) {
    let database = &setting.database;
    for _ in 0..3 {
        let written = setting.write(acme, "beside").await;
        let head = database.head(acme.organization_id()).await.unwrap().unwrap();
        assert_eq!(head.revision, written, "an old moment");
        let mut tx = database.upkeep(acme).await.unwrap();
        let mode: String = sqlx::query_scalar("select current_setting('transaction_isolation')")
            .fetch_one(tx.connection())
            .await
            .unwrap();
        assert_eq!(mode, "read committed");
        tx.commit().await.unwrap();
        database.read(acme).await.unwrap().finish();
    }
}

#[tokio::test]
async fn a_transaction_whose_beginning_is_given_up_leaves_nothing_behind() {
    let superuser: PgConnectOptions = testkit::postgres::server().await.superuser_url().parse().unwrap();
    let host = Some(superuser.get_host()).filter(|host| !host.starts_with('/')).unwrap_or("127.0.0.1");
    let server = lookup_host((host, superuser.get_port())).await.unwrap().next().unwrap();
    let proxy = Proxy::to(server).await;
    let setting = setting_of(|options| {
        let mut url: Url = options.url.expose_secret().parse().unwrap();
        url.set_query(None);
        url.set_ip_host(proxy.address.ip()).unwrap();
        url.set_port(Some(proxy.address.port())).unwrap();
        (options.url, options.max_connections) = (String::from(url).into(), 1);
    })
    .await;
    let (acme, database) = (setting.organization().await, &setting.database);
    for mode in ["read", "upkeep", "write"] {
        is_as_new(&setting, acme).await;
        // Until the connection is back in the pool.
        tokio::time::sleep(Duration::from_millis(200)).await;
        proxy.cut(true);
        let begin = async {
            match mode {
                "read" => database.read(acme).await.is_ok(),
                "upkeep" => database.upkeep(acme).await.is_ok(),
                _ => database.write(acme, &origin(), None).await.is_ok(),
            }
        };
        assert!(tokio::time::timeout(Duration::from_millis(200), begin).await.is_err(), "{mode}");
        proxy.cut(false);
        tokio::time::sleep(Duration::from_millis(200)).await;
        is_as_new(&setting, acme).await;
    }
}

#[tokio::test]
async fn a_transaction_that_fails_when_it_has_just_begun_leaves_nothing_behind() {
    let setting = setting_of(|options| options.max_connections = 1).await;
    let acme = setting.organization().await;
    let mut superuser = PgConnection::connect(&setting.test.superuser_url).await.unwrap();
    let mut may_open = async |may: &str| {
        let statement = format!("{may} function pg_catalog.set_config(text, text, boolean) ");
        let statement = statement + if may.starts_with("grant") { "to public" } else { "from public" };
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut superuser).await.unwrap();
    };
    may_open("revoke execute on").await;
    setting.database.read(acme).await.map(drop).unwrap_err();
    setting.database.write(acme, &origin(), None).await.map(drop).unwrap_err();
    may_open("grant execute on").await;
    is_as_new(&setting, acme).await;
}

#[tokio::test]
async fn a_statement_that_takes_too_long_ran_out_of_time() {
    let setting = setting_of(|options| options.statement_timeout = Duration::from_millis(50)).await;
    let mut read = setting.database.read(ClusterScope::granted()).await.unwrap();
    let error = sqlx::query("select pg_sleep(5)").execute(read.connection()).await.unwrap_err();
    assert!(matches!(StoreError::from(error), StoreError::TimedOut));
}

#[tokio::test]
async fn a_server_that_hangs_up_on_whoever_comes_cannot_be_reached() {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut caller, _) = server.accept().await.unwrap();
            // As one does that ends once it has read what it is asked first.
            caller.read_exact(&mut [0; 8]).await.unwrap();
        }
    });
    let setting = setting_of(|options| options.url = format!("postgres://somebody@{address}/nothing").into()).await;
    let refused = setting.database.read(ClusterScope::granted()).await.map(drop).unwrap_err();
    assert!(matches!(refused, StoreError::Unreachable(_)), "{refused:?}");
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
    let check = feed::verify_chain(&setting.database, acme.into(), acme.organization_id(), None).await.unwrap();
    assert_eq!((check.broken, check.events, check.last_revision), (None, 2102, 5));
    assert_eq!(setting.write(acme, "goes on").await, 6);
}
