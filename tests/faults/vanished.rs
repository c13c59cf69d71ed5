//! The machine of the database goes without a word, and another takes its place: connections stay open that nobody is at the other end of.
//! They are not waited for, whether they were idle or at work, and no place among a service's connections is lost with them.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use testkit::{
    Cluster, Proxy,
    caller::{Caller, text},
    free_port,
};
use tokio::{task::JoinSet, time::sleep};

const CONNECTIONS: usize = 4;
/// The first words of a transaction are waited for this long, and whoever finds it out has the others made anew.
const IDLE_WITHIN: Duration = Duration::from_secs(20);
/// Those at work may be waiting for a statement, so that it takes longer to tell.
const AT_WORK_WITHIN: Duration = Duration::from_secs(40);

async fn read(caller: &Caller, about: &serde_json::Value) -> bool {
    caller.try_call("OrganizationService/GetOrganization", about.clone()).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_a_database_that_vanished_are_not_waited_for() {
    let cluster = Cluster::start().await;
    let way = Proxy::to(cluster.database_address()).await;
    let url = cluster.access().service_database_urls["org"].runtime.clone();
    let url = url.replace(&cluster.database_address().to_string(), &way.address.to_string());
    let few = CONNECTIONS.to_string();
    let told = [
        ("GUILDHALL_DATABASE_URL", url.as_str()),
        ("GUILDHALL_DATABASE_CONNECTIONS", &few),
        ("GUILDHALL_DATABASE_WAIT", "1"),
        ("GUILDHALL_REVOCATION_LAG", "120"),
    ];
    let replica = cluster.replica("org-service", free_port(Ipv4Addr::LOCALHOST.into()), &told).await;
    let project = cluster.project().await;
    let made = json!({"organization": {"display_name": "Acme"}});
    let made = project.account.call("OrganizationService/CreateOrganization", made).await;
    let about = json!({"organization_id": text(&made, "organization_id")});
    let caller = cluster.bearer_at(replica.address, Some(&project.token));
    let fill = async |caller: &Caller| {
        let mut calls = JoinSet::new();
        for _ in 0..4 * CONNECTIONS {
            let (caller, about) = (caller.clone(), about.clone());
            calls.spawn(async move { read(&caller, &about).await });
        }
        calls
    };
    fill(&caller).await.join_all().await;

    // Idle ones.
    way.half_open();
    let gone = Instant::now();
    while !read(&caller, &about).await {
        assert!(
            gone.elapsed() < IDLE_WITHIN,
            "idle connections that nobody is behind are waited for: {}",
            replica.log()
        );
        sleep(Duration::from_millis(50)).await;
    }
    let idle = gone.elapsed();

    // All of them, in the middle of their work, among them two writes of one tenant.
    let mut database = PgConnection::connect(&cluster.access().database_url).await.unwrap();
    let mut lock = database.begin().await.unwrap();
    sqlx::raw_sql("lock table org.organization in access exclusive mode").execute(&mut *lock).await.unwrap();
    let mut hung = fill(&caller).await;
    for _ in 0..2 {
        let (caller, mut change) = (caller.clone(), about.clone());
        change["organization"] = json!({"display_name": "Acme Inc."});
        change["update_mask"] = json!("displayName");
        hung.spawn(async move { caller.try_call("OrganizationService/UpdateOrganization", change).await.is_ok() });
    }
    sleep(Duration::from_secs(1)).await;
    way.half_open();
    lock.rollback().await.unwrap();
    let gone = Instant::now();
    while !read(&caller, &about).await {
        assert!(
            gone.elapsed() < AT_WORK_WITHIN,
            "connections at work that nobody is behind are waited for: {}",
            replica.log()
        );
        sleep(Duration::from_millis(50)).await;
    }
    println!("answered again after {idle:?} where they were idle, {:?} where they were at work", gone.elapsed());
    hung.abort_all();
}
