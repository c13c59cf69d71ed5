//! Every replica is ended and started again, one after the other, while calls go on. None of them fails.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use api::{
    member::v1::{CreateMemberRequest, Member},
    org::v1::{CreateOrganizationRequest, GetOrganizationRequest, Organization},
};
use client::Client;
use testkit::{Cluster, Replica, caller::unique, free_port};
use tokio::task::JoinHandle;

use crate::name_server::NameServer;

/// member-service first: it tells the others what was revoked, and one that has nobody to tell it believes no token at first.
pub const SERVICES: [&str; 3] = ["member-service", "org-service", "authz-service"];
pub const VARIABLES: [&str; 3] = ["GUILDHALL_MEMBER_URL", "GUILDHALL_ORG_URL", "GUILDHALL_AUTHZ_URL"];
/// How many call at once, and how long each waits between two calls: a few, at leisure, with every test, and in `make proof` as many as
/// `GUILDHALL_PROOF_RESTARTS` says, who call again at once. That is the highest rate that the machine holds.
fn callers() -> (usize, Duration) {
    match std::env::var("GUILDHALL_PROOF_RESTARTS") {
        Ok(callers) => (callers.parse().expect("a number of callers"), Duration::ZERO),
        Err(_) => (4, Duration::from_millis(20)),
    }
}

/// What a busy machine may make of a call.
const DEADLINE: Duration = Duration::from_secs(20);
/// And of the way of a revocation: whoever has not heard for longer that nothing was revoked refuses, which is not what is tried here.
pub const LAG: (&str, &str) = ("GUILDHALL_REVOCATION_LAG", "30");

/// Reads and writes at a steady rate, each write with no key: sent twice it would be done twice, or refused.
pub struct Load {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    failed: Arc<Mutex<Vec<String>>>,
    callers: Vec<JoinHandle<()>>,
    begun: Instant,
}

impl Load {
    pub async fn begin(cluster: &Cluster, gateways: &str) -> Self {
        let options = client::ClientOptions { deadline: DEADLINE, ..Default::default() };
        let access = cluster.access();
        let client = Client::new(gateways, options)
            .unwrap()
            .with_service_account(&access.client_id, access.client_secret.clone().into());
        let name = unique("rolling");
        let organization = Organization { slug: name.clone(), display_name: name, ..Default::default() };
        let request = CreateOrganizationRequest { organization: Some(organization), ..Default::default() };
        let made = client.organizations().create_organization(request).await.unwrap().into_inner();
        let (over, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let failed = Arc::<Mutex<Vec<String>>>::default();
        let (count, pause) = callers();
        let callers = (0..count)
            .map(|_| {
                let (client, id) = (client.clone(), made.organization_id.clone());
                let (over, answered, failed) = (over.clone(), answered.clone(), failed.clone());
                tokio::spawn(async move {
                    for n in 0.. {
                        if over.load(Ordering::Relaxed) {
                            return;
                        }
                        let outcome = match n % 4 {
                            0 => {
                                let email_address = format!("{}@acme.test", unique("m"));
                                let member = Some(Member { email_address, ..Default::default() });
                                let roles = vec!["member".to_owned()];
                                let organization_id = id.clone();
                                let request =
                                    CreateMemberRequest { organization_id, member, roles, ..Default::default() };
                                client.members().create_member(request).await.map(drop)
                            }
                            _ => {
                                let request = GetOrganizationRequest { organization_id: id.clone() };
                                client.organizations().get_organization(request).await.map(drop)
                            }
                        };
                        match outcome {
                            Ok(()) => drop(answered.fetch_add(1, Ordering::Relaxed)),
                            Err(status) => failed.lock().unwrap().push(format!("{status:?}")),
                        }
                        tokio::time::sleep(pause).await;
                    }
                })
            })
            .collect();
        Self { over, answered, failed, callers, begun: Instant::now() }
    }

    /// Until some more calls have been answered: whoever is newly there has had its part of them.
    pub async fn goes_on(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        let more = async {
            while self.answered.load(Ordering::Relaxed) < before + 5 * self.callers.len() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), more).await.expect("nothing is answered any more");
    }

    #[expect(clippy::print_stderr, reason = "how much was tried is part of what is claimed")]
    pub async fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        let callers = self.callers.len();
        for caller in self.callers {
            caller.await.unwrap();
        }
        let (answered, failed) = (self.answered.load(Ordering::Relaxed), self.failed.lock().unwrap().clone());
        let took = self.begun.elapsed().as_secs_f64();
        eprintln!("{callers} callers: {answered} calls in {took:.1} s, {:.0} a second", answered as f64 / took);
        assert!(failed.is_empty(), "{} of {} calls failed: {failed:#?}", failed.len(), answered + failed.len());
    }
}

async fn restart(replica: &mut Replica, load: &Load) {
    load.goes_on().await;
    let status = replica.end().await;
    assert!(status.success(), "{status}: {}", replica.log());
    load.goes_on().await;
    replica.start_again().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_all_replicas_of_a_list_are_restarted() {
    let cluster = Cluster::start().await;
    let places = SERVICES.map(|_| [(); 2].map(|()| free_port(Ipv4Addr::LOCALHOST.into())));
    let lists = places.map(|places| places.map(|place| format!("http://{place}")).join(","));
    let mut told: Vec<(&str, &str)> = VARIABLES.into_iter().zip(lists.iter().map(String::as_str)).collect();
    // Long enough to be seen in the order of things.
    told.extend([("GUILDHALL_DRAIN_DELAY", "0.2"), LAG]);
    let mut replicas = Vec::new();
    for (service, places) in SERVICES.into_iter().zip(places) {
        for place in places {
            replicas.push(cluster.replica(service, place, &told).await);
        }
    }
    for _ in 0..2 {
        replicas.push(cluster.replica("gateway", free_port(Ipv4Addr::LOCALHOST.into()), &told).await);
    }
    let gateways: Vec<_> = replicas[6..].iter().map(|gateway| format!("http://{}", gateway.address)).collect();
    let load = Load::begin(&cluster, &gateways.join(",")).await;
    for replica in &mut replicas {
        restart(replica, &load).await;
    }
    load.goes_on().await;
    load.end().await;
}

/// As in Kubernetes: the name leads to every replica that is ready, on one port, and a new one has a new address.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_replicas_behind_names_are_replaced() {
    let cluster = Cluster::start().await;
    let (names, name_server) = NameServer::start();
    let name_server = name_server.to_string();
    let ports = SERVICES.map(|_| free_port(Ipv4Addr::LOCALHOST.into()).port());
    let host = |service: &str| format!("{service}.guildhall.test");
    let urls: Vec<_> =
        SERVICES.iter().zip(ports).map(|(service, port)| format!("http://{}:{port}", host(service))).collect();
    let mut told: Vec<(&str, &str)> = VARIABLES.into_iter().zip(urls.iter().map(String::as_str)).collect();
    told.extend([
        ("GUILDHALL_NAME_SERVER", name_server.as_str()),
        ("GUILDHALL_LOOK_UP_INTERVAL", "0.5"),
        // Longer than from one look-up to the next: whoever calls has seen that it is gone.
        ("GUILDHALL_DRAIN_DELAY", "1.2"),
        LAG,
    ]);
    let at = |last: u8, port| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), port);
    let ip = |last: u8| Ipv4Addr::new(127, 0, 0, last);
    let mut replicas = Vec::new();
    for (service, port) in SERVICES.into_iter().zip(ports) {
        names.set_addresses(&host(service), &[ip(1), ip(2)]);
        replicas.push(cluster.replica(service, at(1, port), &told).await);
        replicas.push(cluster.replica(service, at(2, port), &told).await);
    }
    let gateway = cluster.replica("gateway", free_port(Ipv4Addr::LOCALHOST.into()), &told).await;
    let load = Load::begin(&cluster, &format!("http://{}", gateway.address)).await;
    for (service, port) in SERVICES.into_iter().zip(ports) {
        let [mut first, mut second] = [replicas.remove(0), replicas.remove(0)];
        let third = cluster.replica(service, at(3, port), &told).await;
        names.set_addresses(&host(service), &[ip(2), ip(3)]);
        assert!(first.end().await.success(), "{}", first.log());
        load.goes_on().await;
        names.set_addresses(&host(service), &[ip(3)]);
        assert!(second.end().await.success(), "{}", second.log());
        load.goes_on().await;
        replicas.push(third);
    }
    load.end().await;
}
