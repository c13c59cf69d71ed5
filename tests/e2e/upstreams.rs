//! What goes wrong between the gateway and a service stays with the calls that were under way there, and ends in time.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use serde_json::json;
use testkit::{
    Cluster, Proxy, Replica,
    caller::{Caller, text},
    free_port,
};
use tonic::Code;

/// How much later than its deadline a call may end, on a machine that does other things too.
const LATE: Duration = Duration::from_millis(50);
/// What a busy machine adds.
const BUSY: Duration = Duration::from_millis(200);

struct House {
    cluster: Cluster,
    /// The ways to two replicas of org-service.
    ways: [Proxy; 2],
    /// The way to the one member-service.
    member: Proxy,
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
        let member = Proxy::to(cluster.access().member).await;
        let list = ways.each_ref().map(|way| format!("http://{}", way.address)).join(",");
        let member_url = format!("http://{}", member.address);
        let told = [
            ("GUILDHALL_ORG_URL", list.as_str()),
            ("GUILDHALL_MEMBER_URL", member_url.as_str()),
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
        Self { cluster, ways, member, gateway, _org: org, token, organization }
    }

    fn caller(&self, timeout: &str) -> Caller {
        self.cluster.bearer_at(self.gateway.address, Some(&self.token)).with("grpc-timeout", timeout)
    }

    /// A read that may be asked for again.
    async fn read(&self, caller: &Caller) -> Result<Duration, (Code, Duration)> {
        let begun = Instant::now();
        let request = json!({"organization_id": self.organization});
        match caller.try_call("OrganizationService/GetOrganization", request).await {
            Ok(_) => Ok(begun.elapsed()),
            Err(refused) => Err((refused.code, begun.elapsed())),
        }
    }

    /// Both replicas have connections, and calls go to both.
    async fn warm(&self) {
        let caller = self.caller("20S");
        for _ in 0..20 {
            self.read(&caller).await.expect("all is well");
        }
    }
}

fn in_time(took: Duration, deadline: Duration) {
    assert!(took >= deadline.saturating_sub(LATE) && took <= deadline + LATE + BUSY, "{took:?} of {deadline:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_into_silence_ends_at_its_deadline_and_others_do_not_notice() {
    let house = House::new().await;
    house.warm().await;
    house.member.cut(true);
    let silent = house.caller("500m");
    let list = json!({"organization_id": house.organization});
    let into_silence = async {
        for _ in 0..4 {
            let begun = Instant::now();
            let refused = silent.try_call("MemberService/ListMembers", list.clone()).await.unwrap_err();
            assert!(matches!(refused.code, Code::DeadlineExceeded | Code::Unavailable), "{refused:?}");
            let took = begun.elapsed();
            match refused.code {
                Code::DeadlineExceeded => in_time(took, Duration::from_millis(500)),
                // The connection was found to be dead.
                _ => assert!(took < Duration::from_millis(500) + LATE + BUSY, "{took:?}"),
            }
        }
    };
    let beside = async {
        let caller = house.caller("20S");
        for _ in 0..40 {
            let took = house.read(&caller).await.expect("nothing is wrong on that way");
            assert!(took < Duration::from_millis(500), "{took:?}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    };
    tokio::join!(into_silence, beside);

    house.member.cut(false);
    let begun = Instant::now();
    let caller = house.caller("5S");
    while let Err(refused) = caller.try_call("MemberService/ListMembers", list.clone()).await {
        assert!(begun.elapsed() < Duration::from_secs(10), "it does not come back: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_falls_silent_is_left_out_and_comes_back() {
    let house = House::new().await;
    house.warm().await;
    house.ways[0].cut(true);
    let cut = Instant::now();
    // As long as the dead connection is not found out, calls may go there, and end in time.
    let caller = house.caller("700m");
    let (mut lost, mut last_lost) = (0, cut.elapsed());
    while cut.elapsed() < Duration::from_secs(6) {
        match house.read(&caller).await {
            Ok(_) => {}
            Err((code, took)) => {
                assert!(matches!(code, Code::DeadlineExceeded | Code::Unavailable), "{code:?}");
                assert!(took < Duration::from_millis(700) + LATE + BUSY, "{took:?}");
                (lost, last_lost) = (lost + 1, cut.elapsed());
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // A second of silence, a second for the sign of life; by then nobody is sent there any more.
    assert!(last_lost < Duration::from_secs(4), "{lost} calls were lost, the last after {last_lost:?}");

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
    let caller = house.caller("20S");
    for n in 0..60 {
        if n % 3 == 0 {
            house.ways[n % 2].break_off();
        }
        house.read(&caller).await.expect("it was asked for again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_way_is_waited_for_and_no_longer_than_the_deadline() {
    let house = House::new().await;
    house.warm().await;
    house.ways.iter().for_each(|way| way.delay(Duration::from_millis(150)));
    house.read(&house.caller("20S")).await.expect("it is only slow");
    house.ways.iter().for_each(|way| way.delay(Duration::from_secs(2)));
    let (code, took) = house.read(&house.caller("400m")).await.expect_err("too slow");
    assert_eq!(code, Code::DeadlineExceeded);
    in_time(took, Duration::from_millis(400));
}
