//! Three authz-services start at once, with nothing in memory, while questions wait at every one of them. The database has at most twice the
//! work that it has when they are warm: of those who ask about one organization, one has it read.

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use testkit::{
    Cluster,
    caller::{Caller, text},
    http,
};
use tokio::{task::JoinSet, time::sleep};

const ORGANIZATIONS: usize = 6;
/// So that reading one takes its time.
const BINDINGS: usize = 1500;
/// Callers that wait for an answer, at each process.
const CALLERS: usize = 24;
const PAUSE: Duration = Duration::from_millis(100);
/// As long is looked at when they are warm as when they are cold. Shorter, and what a process does once when it starts is all there is to see.
const WINDOW: Duration = Duration::from_secs(5);
const LAG: (&str, &str) = ("GUILDHALL_REVOCATION_LAG", "60");
/// What servers tell the statistics late.
const TOLD: Duration = Duration::from_millis(1500);

/// What the database has done: transactions, and the time that its processes were on a core.
#[derive(Clone, Copy, Debug)]
struct Work {
    transactions: i64,
    ticks: u64,
}

async fn work(cluster: &Cluster, database: &mut PgConnection) -> Work {
    sleep(TOLD).await;
    let statement = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()";
    let transactions = sqlx::query_scalar(statement).fetch_one(database).await.unwrap();
    Work { transactions, ticks: cluster.pid("postgres").map_or(0, ticks) }
}

/// Of a process and its children, those that have ended too. Nothing of a server that is not ours.
fn ticks(parent: u32) -> u64 {
    let stat = |pid: u32| -> Option<Vec<u64>> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Behind the name: the state, and numbers. The parent is the second, four times stand from the twelfth.
        Some(stat.rsplit_once(')')?.1.split_whitespace().map(|number| number.parse().unwrap_or_default()).collect())
    };
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let children = pids.filter_map(stat).filter(|stat| stat[1] == u64::from(parent)).map(|stat| stat[11] + stat[12]);
    children.sum::<u64>() + stat(parent).map_or(0, |stat| stat[11..15].iter().sum())
}

impl Work {
    fn since(self, before: Self) -> Self {
        Self { transactions: self.transactions - before.transactions, ticks: self.ticks - before.ticks }
    }
}

struct Load {
    over: AtomicBool,
    answered: AtomicUsize,
}

async fn ask(load: Arc<Load>, caller: Caller, questions: Arc<Vec<Value>>, first: usize) {
    for n in first.. {
        if load.over.load(Ordering::Relaxed) {
            return;
        }
        let question = questions[n % questions.len()].clone();
        if let Ok(answer) = caller.try_call("AuthorizationService/Check", question).await {
            assert_eq!(answer["allowed"], true, "{answer}");
            load.answered.fetch_add(1, Ordering::Relaxed);
        }
        sleep(PAUSE).await;
    }
}

/// How often a process has read an organization as a whole.
async fn loads(admin: SocketAddr) -> usize {
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    let (_, _, body) = http::send(admin, &request).await;
    let line = body.lines().find(|line| line.starts_with("guildhall_snapshots_loads"));
    line.and_then(|line| line.split_whitespace().last()?.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_that_start_at_once_under_load_ask_no_more_than_twice_of_the_database() {
    // What is tried here is not how long a revocation takes.
    let cluster = Cluster::start_with(&[LAG]).await;
    let project = cluster.project().await;
    let account = &project.account;
    let catalog = json!({"catalog": {"resource_types": [{"name": "document", "verbs": ["read"]}]}});
    account.call("CatalogService/UpdateCatalog", catalog).await;
    let role = json!({"role": {"key": "reader", "display_name": "Reader", "permissions": ["document:read"]}});
    let role = text(&account.call("RoleService/CreateRole", role).await, "role_id");
    let mut questions = Vec::new();
    for n in 0..ORGANIZATIONS {
        let made = json!({"organization": {"display_name": format!("cold-{n}")}});
        let id = text(&account.call("OrganizationService/CreateOrganization", made).await, "organization_id");
        let member = json!({"organization_id": id, "member": {"email_address": format!("cold-{n}@acme.test")}});
        let member = text(&account.call("MemberService/CreateMember", member).await, "member_id");
        for some in 0..BINDINGS / 250 {
            let change = |n: usize| {
                json!({"create_binding": {"subject": {"member_id": member}, "role_id": role,
                "resource": {"type": "document", "id": format!("{some}-{n}")}}})
            };
            let changes: Vec<Value> = (0..250).map(change).collect();
            account.call("BindingService/ApplyChanges", json!({"organization_id": id, "changes": changes})).await;
        }
        questions.push(json!({"organization_id": id, "subject": {"member_id": member}, "permission": "document:read",
            "resource": {"type": "document", "id": "0-7"}, "consistency": {"fully_consistent": true}}));
    }
    let questions = Arc::new(questions);
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(cluster.authz_replica(cluster.database_address(), &[LAG]).await);
    }
    let load = Arc::new(Load { over: AtomicBool::default(), answered: AtomicUsize::default() });
    let mut callers = JoinSet::new();
    for replica in &replicas {
        for n in 0..CALLERS {
            let caller = cluster.bearer_at(replica.address, Some(&project.token));
            callers.spawn(ask(load.clone(), caller, questions.clone(), n));
        }
    }
    let mut database = PgConnection::connect(&cluster.access().database_url).await.unwrap();
    // Until all is warm.
    sleep(Duration::from_secs(2)).await;
    let answered = || load.answered.load(Ordering::Relaxed);
    let (before, count) = (work(&cluster, &mut database).await, answered());
    sleep(WINDOW).await;
    let (warm, warm_answers) = (work(&cluster, &mut database).await.since(before), answered() - count);

    for replica in &mut replicas {
        replica.end().await;
    }
    let before = work(&cluster, &mut database).await;
    let (begun, count) = (Instant::now(), answered());
    futures::future::join_all(replicas.iter_mut().map(|replica| replica.start_again())).await;
    let ready = begun.elapsed();
    sleep(WINDOW.saturating_sub(ready)).await;
    let (cold, cold_answers) = (work(&cluster, &mut database).await.since(before), answered() - count);
    load.over.store(true, Ordering::Relaxed);
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    let mut read = Vec::new();
    for replica in &replicas {
        read.push(loads(replica.admin).await);
    }
    let told = format!(
        "warm {warm:?} for {warm_answers} answers, cold {cold:?} for {cold_answers} answers, ready after {ready:?}, snapshots read {read:?}"
    );
    println!("{told}");
    assert!(warm_answers > 200 && cold_answers > 100, "{told}");
    assert!(cold.transactions <= 2 * warm.transactions && cold.ticks <= 2 * warm.ticks, "{told}");
    // The project's own row counts as one more.
    assert!(read.iter().all(|read| (1..=ORGANIZATIONS + 1).contains(read)), "{told}");
}
