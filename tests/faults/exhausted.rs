//! All of a service's connections to its database are taken by calls that wait there. Others are told so in time, other services
//! do not notice, and it recovers.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use futures::future::join_all;
use sqlx::{Connection as _, PgConnection};
use testkit::{Cluster, caller::text, free_port, http};
use tokio::time::sleep;

use crate::stall::Stalls;

const DEADLINE: Duration = Duration::from_millis(1500);
const LATE: Duration = Duration::from_millis(50);
const CONNECTIONS: usize = 3;
/// `--database-wait`, and what the look takes whether there is a database at all.
const WAIT: Duration = Duration::from_millis(250);
const CALLS: usize = 16;
/// Those under way hold their connections until the server ends their statements, after ten seconds at the latest.
const RECOVERED_WITHIN: Duration = Duration::from_secs(15);

/// The service, what holds up whoever reads one of its tables, and the end of a path that reads it.
const HOUSES: [(&str, &str, &str); 3] = [
    ("org-service", "lock table org.organization in access exclusive mode", ""),
    ("member-service", "lock table member.member in access exclusive mode", "/members"),
    ("authz-service", "lock table authz.binding in access exclusive mode", "/bindings"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_a_free_connection_says_so_in_time_and_recovers() {
    let cluster = Cluster::start().await;
    let few = CONNECTIONS.to_string();
    let wait = WAIT.as_secs_f64().to_string();
    let told = [("GUILDHALL_DATABASE_CONNECTIONS", few.as_str()), ("GUILDHALL_DATABASE_WAIT", wait.as_str())];
    let place = || free_port(Ipv4Addr::LOCALHOST.into());
    let (org, member, authz) = tokio::join!(
        cluster.replica("org-service", place(), &told),
        cluster.replica("member-service", place(), &told),
        cluster.replica("authz-service", place(), &told)
    );
    let urls = [&org, &member, &authz].map(|replica| format!("http://{}", replica.address));
    let told = [
        ("GUILDHALL_ORG_URL", urls[0].as_str()),
        ("GUILDHALL_MEMBER_URL", &urls[1]),
        ("GUILDHALL_AUTHZ_URL", &urls[2]),
        ("GUILDHALL_REVOCATION_LAG", "60"),
    ];
    let gateway = cluster.replica("gateway", place(), &told).await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let ask = async |end: &str| {
        let (address, token, millis) = (gateway.address, &project.token, DEADLINE.as_millis());
        let request = format!(
            "GET /v1/organizations/{}{end} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             grpc-timeout: {millis}m\r\n\r\n",
            acme.id
        );
        let sent = Instant::now();
        let (status, _, body) = http::send(address, &request).await;
        (status, body, sent, Instant::now())
    };
    for (_, _, end) in HOUSES {
        let begun = Instant::now();
        while ask(end).await.0 != 200 {
            assert!(begun.elapsed() < RECOVERED_WITHIN, "{end} is not answered");
        }
    }
    let stalls = Stalls::watch();
    let mut database = PgConnection::connect(&cluster.access().database_url).await.unwrap();
    for (service, locked, end) in HOUSES {
        let mut lock = database.begin().await.unwrap();
        sqlx::raw_sql(locked).execute(&mut *lock).await.unwrap();
        let asked = async {
            let holders = join_all((0..CONNECTIONS).map(|_| ask(end)));
            let others = async {
                sleep(DEADLINE / 5).await;
                join_all((CONNECTIONS..CALLS).map(|_| ask(end))).await
            };
            let (holders, others) = tokio::join!(holders, others);
            holders.into_iter().chain(others).collect::<Vec<_>>()
        };
        // Whoever does not need that table is answered meanwhile.
        let beside = async {
            sleep(DEADLINE / 3).await;
            let others = HOUSES.iter().filter(|(other, ..)| *other != service && *other != "authz-service");
            join_all(others.map(|(other, _, _)| {
                let end = if *other == "org-service" { "/effectiveSettings" } else { "/sessions" };
                ask(end)
            }))
            .await
        };
        let (answers, beside) = tokio::join!(asked, beside);
        let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
        for (status, body, sent, ended) in &answers {
            *counts.entry(*status).or_default() += 1;
            let (took, stall) = (*ended - *sent, 2 * stalls.worst(*sent, *ended));
            assert!(matches!(status, 429 | 503 | 504), "{service}: {status} {body}");
            assert!(took <= DEADLINE + LATE + stall, "{service}: {status} after {took:?}, {stall:?} stalled");
            // Told that it is crowded, and not that it is broken.
            assert!(*status != 429 || body.contains("OVERLOADED"), "{service}: {body}");
        }
        println!("{service}: {counts:?}, {} beside", beside.len());
        assert!(counts.get(&429).is_some_and(|count| *count >= CALLS / 2), "{service}: {counts:?}");
        for (status, body, ..) in &beside {
            assert_eq!(*status, 200, "beside {service}: {body}");
        }
        lock.rollback().await.unwrap();
        let free = Instant::now();
        while ask(end).await.0 != 200 {
            assert!(free.elapsed() < RECOVERED_WITHIN, "{service} does not recover");
            sleep(Duration::from_millis(50)).await;
        }
    }
    let made =
        text(&acme.owner().caller.call("AuthenticationService/WhoAmI", serde_json::json!({})).await, "project_id");
    assert_eq!(made, project.id);
}
