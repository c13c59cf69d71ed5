//! What goes wrong between the gateway and a service stays with the calls that were under way there, and ends in time.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use serde_json::json;
use testkit::{Cluster, Proxy, Replica, caller::text, free_port};

/// How much before its deadline a call may end: what it took to send it.
const EARLY: Duration = Duration::from_millis(50);
const PATIENT: Duration = Duration::from_secs(20);

struct House {
    _cluster: Cluster,
    /// The ways to two replicas of org-service.
    ways: [Proxy; 2],
    gateway: Replica,
    _org: Replica,
    token: String,
    organization: String,
}

impl House {
    async fn new() -> Self {
        let cluster = Cluster::start().await;
        let org = cluster.replica("org-service", free_port(Ipv4Addr::LOCALHOST.into()), &[]).await;
        let ways = [Proxy::to(cluster.access().org).await, Proxy::to(org.address).await];
        let list = ways.each_ref().map(|way| format!("http://{}", way.address)).join(",");
        let told = [
            ("GUILDHALL_ORG_URL", list.as_str()),
            ("GUILDHALL_KEEPALIVE_INTERVAL", "1"),
            ("GUILDHALL_KEEPALIVE_TIMEOUT", "1"),
            ("GUILDHALL_REVOCATION_LAG", "3600"),
        ];
        let gateway = cluster.replica("gateway", free_port(Ipv4Addr::LOCALHOST.into()), &told).await;
        let access = cluster.access();
        let token = cluster.client_credentials(&access.client_id, &access.client_secret).await.unwrap();
        let made = json!({"organization": {"display_name": "Acme", "slug": "acme"}});
        let made = cluster.bearer(&token).call("OrganizationService/CreateOrganization", made).await;
        let organization = text(&made, "organization_id");
        Self { _cluster: cluster, ways, gateway, _org: org, token, organization }
    }

    /// A read, which may be asked for again. As HTTP and JSON: a gRPC client would keep the deadline itself, and ours would not be seen.
    async fn organization(&self, deadline: Duration) -> Result<(), (String, Duration)> {
        let (gateway, token, millis) = (self.gateway.address, &self.token, deadline.as_millis());
        let request = format!(
            "GET /v1/organizations/{} HTTP/1.1\r\nHost: {gateway}\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\ngrpc-timeout: {millis}m\r\n\r\n",
            self.organization
        );
        let begun = Instant::now();
        let (status, _, body) = testkit::http::send(gateway, &request).await;
        match status {
            200 => Ok(()),
            _ => Err((format!("{status} {body}"), begun.elapsed())),
        }
    }

    /// Both replicas have connections, and calls go to both.
    async fn warm(&self) {
        for _ in 0..20 {
            self.organization(PATIENT).await.expect("all is well");
        }
    }
}

/// Not before its time, and long before what it waits for would come. How late to the millisecond, beside what the machine is late
/// itself, is seen in `faults::links`.
fn at_its_deadline(refused: (String, Duration), deadline: Duration, would_come: Duration) {
    let (said, took) = refused;
    assert!(said.starts_with("504 ") && said.contains("DEADLINE_EXCEEDED"), "{said}");
    assert!(took >= deadline.saturating_sub(EARLY) && took < would_come, "{took:?} of {deadline:?}");
}

/// The same, or before it, where the connection was found to be dead.
fn by_its_deadline(refused: (String, Duration), deadline: Duration) {
    match refused.0.starts_with("503 ") {
        true => assert!(refused.1 < PATIENT, "{refused:?} of {deadline:?}"),
        false => at_its_deadline(refused, deadline, PATIENT),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_falls_silent_is_left_out_and_comes_back() {
    let house = House::new().await;
    house.warm().await;
    house.ways[0].cut(true);
    let cut = Instant::now();
    // As long as the dead connection is not found out, calls may go there, and end in time: a second of silence, and a second for the
    // sign of life. Then nobody is sent there any more.
    let (deadline, mut lost, mut answered) = (Duration::from_millis(700), 0, 0);
    while answered < 100 {
        if let Err(refused) = house.organization(deadline).await {
            assert!(cut.elapsed() < PATIENT, "{lost} calls were lost");
            by_its_deadline(refused, deadline);
            (lost, answered) = (lost + 1, 0);
        } else {
            answered += 1;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    // With the other gone instead, everything goes to the one that is back.
    house.ways[0].cut(false);
    tokio::time::sleep(Duration::from_secs(4)).await;
    house.warm().await;
    house.ways[1].cut(true);
    tokio::time::sleep(Duration::from_secs(4)).await;
    house.warm().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_break_cost_no_read() {
    let house = House::new().await;
    house.warm().await;
    for n in 0..60 {
        if n % 3 == 0 {
            house.ways[n % 2].break_off();
        }
        house.organization(PATIENT).await.expect("it was asked for again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_way_is_waited_for_and_no_longer_than_the_deadline() {
    let house = House::new().await;
    house.warm().await;
    house.ways.iter().for_each(|way| way.delay(Duration::from_millis(150)));
    house.organization(PATIENT).await.expect("it is only slow");
    house.ways.iter().for_each(|way| way.delay(Duration::from_secs(2)));
    let deadline = Duration::from_millis(400);
    at_its_deadline(house.organization(deadline).await.expect_err("too slow"), deadline, Duration::from_secs(4));
}
