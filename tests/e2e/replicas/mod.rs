//! Several authz-services on one database: what one of them answers holds what the others wrote, or is refused, whatever becomes of the
//! process, of its notifications and of its way to the database.

mod asked;
mod storm;
mod truth;
mod watch;

use std::time::{Duration, Instant};

use api::authz::v1::{Consistency, consistency::Requirement};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use testkit::{Cluster, Proxy, Replica, caller::text};
use tokio::time::sleep;
use tonic::Code;

use asked::{Door, House};

fn minimize_latency() -> Consistency {
    Consistency { requirement: Some(Requirement::MinimizeLatency(true)) }
}

fn fully_consistent() -> Consistency {
    Consistency { requirement: Some(Requirement::FullyConsistent(true)) }
}

fn at_least(token: &str) -> Consistency {
    Consistency { requirement: Some(Requirement::AtLeastAsFresh(token.to_owned())) }
}

async fn replica(cluster: &Cluster, database: std::net::SocketAddr, bound: &str) -> Replica {
    let told = [("GUILDHALL_STALENESS_BOUND", bound), ("GUILDHALL_DATABASE_WAIT", "1")];
    cluster.authz_replica(database, &told).await
}

/// Ends every connection that waits for notifications; how many there were.
async fn silence(superuser: &mut PgConnection) -> u64 {
    let ended = sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'listen%'");
    ended.execute(superuser).await.map_or(0, |ended| ended.rows_affected())
}

#[tokio::test]
async fn an_answer_from_memory_needs_no_database_and_ends_with_its_proof() {
    let cluster = Cluster::start().await;
    let house = House::new(&cluster).await;
    let way = Proxy::to(cluster.database_address()).await;
    let replica = replica(&cluster, way.address, "3").await;
    let door = Door::new(&replica.address, &house);
    let token = house.grant("kept").await;
    assert!(door.may("kept", fully_consistent()).await.unwrap().allowed);
    sleep(Duration::from_millis(600)).await;

    way.cut(true);
    let cut = Instant::now();
    for consistency in [minimize_latency(), at_least(&token)] {
        let asked = Instant::now();
        assert!(door.may("kept", consistency).await.unwrap().allowed);
        assert!(asked.elapsed() < Duration::from_secs(2), "it was in memory");
    }
    // What is taken away now, this one cannot know.
    house.take("kept").await;
    let refused = door.may("kept", fully_consistent()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    while cut.elapsed() < Duration::from_secs(4) {
        sleep(Duration::from_millis(50)).await;
    }
    let refused = door.may("kept", minimize_latency()).await.unwrap_err();
    assert!(matches!(refused.code(), Code::Unavailable | Code::ResourceExhausted), "{refused:?}");

    way.cut(false);
    let light = Instant::now();
    loop {
        match door.may("kept", minimize_latency()).await {
            Ok(answer) => break assert!(!answer.allowed, "no answer is of the time before"),
            Err(_) => assert!(light.elapsed() < Duration::from_secs(15), "it does not recover"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_process_that_was_stopped_believes_no_proof_of_before() {
    let cluster = Cluster::start().await;
    let house = House::new(&cluster).await;
    let replica = replica(&cluster, cluster.database_address(), "1").await;
    let door = Door::new(&replica.address, &house);
    for round in 0..3 {
        let place = format!("place-{round}");
        house.grant(&place).await;
        assert!(door.may(&place, fully_consistent()).await.unwrap().allowed);
        // It is asked while it stands still, and answers when it goes on.
        replica.stop();
        house.take(&place).await;
        sleep(Duration::from_millis(1200)).await;
        let asked = tokio::spawn({
            let (door, place) = (door.clone(), place.clone());
            async move { door.may(&place, minimize_latency()).await }
        });
        sleep(Duration::from_millis(100)).await;
        replica.go_on();
        // A starved machine may keep it from the database for so long that it says that instead.
        let answered = asked.await.unwrap();
        assert!(!answered.is_ok_and(|answer| answer.allowed), "round {round}");
    }
}

#[tokio::test]
async fn news_come_without_notifications() {
    let cluster = Cluster::start().await;
    let house = House::new(&cluster).await;
    // So long that no answer of this test is too old: only the sweep brings news in time.
    let replica = replica(&cluster, cluster.database_address(), "20").await;
    let door = Door::new(&replica.address, &house);
    let mut superuser = PgConnection::connect(&cluster.access().database_url).await.unwrap();
    let silencer = tokio::spawn(async move {
        loop {
            silence(&mut superuser).await;
            sleep(Duration::from_millis(5)).await;
        }
    });
    for round in 0..10 {
        let place = format!("place-{round}");
        assert!(!door.may(&place, minimize_latency()).await.unwrap().allowed);
        house.grant(&place).await;
        let granted = Instant::now();
        while !door.may(&place, minimize_latency()).await.unwrap().allowed {
            assert!(granted.elapsed() < Duration::from_secs(15), "round {round}: the sweep has not told of it");
            sleep(Duration::from_millis(10)).await;
        }
    }
    silencer.abort();
}

#[tokio::test]
async fn a_token_of_a_history_that_was_undone_is_refused() {
    let cluster = Cluster::start().await;
    let house = House::new(&cluster).await;
    let token = house.grant("kept").await;
    let door = Door::new(&cluster.access().authz, &house);
    assert!(door.may("kept", at_least(&token)).await.unwrap().allowed);
    let mut superuser = PgConnection::connect(&cluster.access().database_url).await.unwrap();
    sqlx::query("update authz.head set incarnation = gen_random_uuid()").execute(&mut superuser).await.unwrap();
    let restored = Instant::now();
    let refused = loop {
        match door.may("kept", at_least(&token)).await {
            Err(refused) => break refused,
            Ok(_) => assert!(restored.elapsed() < Duration::from_secs(5), "it is still taken"),
        }
        sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    assert!(door.may("kept", minimize_latency()).await.unwrap().allowed, "and the rest goes on");
    let fresh = house.grant("other").await;
    assert!(door.may("other", at_least(&fresh)).await.unwrap().allowed);
}

#[tokio::test]
async fn what_this_process_wrote_it_answers_by_at_once() {
    let house_cluster = Cluster::shared().await;
    let house = House::new(house_cluster).await;
    let door = Door::new(&house_cluster.access().authz, &house);
    for round in 0..20 {
        let place = format!("own-{round}");
        house.grant(&place).await;
        assert!(door.may(&place, minimize_latency()).await.unwrap().allowed, "round {round}");
        house.take(&place).await;
        assert!(!door.may(&place, minimize_latency()).await.unwrap().allowed, "round {round}");
    }
    // The project's own changes reach every organization of it.
    let role = json!({"role": {"role_id": house.role, "permissions": ["document:read", "document:write"]},
        "update_mask": "permissions"});
    let role = house.project.account.call("RoleService/UpdateRole", role).await;
    house.grant("wide").await;
    assert!(door.check("wide", "document:write", minimize_latency()).await.unwrap().allowed);
    let answer = door.check("wide", "document:write", at_least(&text(&role, "revision"))).await.unwrap();
    assert!(answer.allowed);
}
