//! One of each process, on a cluster's database, that speak mutual TLS with each other.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::{Duration, Instant},
};

use testkit::{Cluster, Replica, caller::Caller, free_port};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::papers::{Authority, Paper, mount};

pub const PROCESSES: [&str; 4] = ["org-service", "member-service", "authz-service", "gateway"];
const VARIABLES: [&str; 3] = ["GUILDHALL_ORG_URL", "GUILDHALL_MEMBER_URL", "GUILDHALL_AUTHZ_URL"];
const SEEN_WITHIN: Duration = Duration::from_secs(30);

pub struct House {
    mounts: tempfile::TempDir,
    pub replicas: Vec<Replica>,
}

impl House {
    /// With certificates of this authority, which alone is believed.
    pub async fn new(cluster: &Cluster, authority: &Authority, told: &[(&str, &str)]) -> Self {
        let mounts = tempfile::tempdir().unwrap();
        let places = PROCESSES.map(|_| free_port(Ipv4Addr::LOCALHOST.into()));
        let urls: Vec<String> = places.iter().map(|place| format!("https://{place}")).collect();
        let start = async |at: usize| {
            let directory = mounts.path().join(PROCESSES[at]);
            mount(&directory, &authority.paper(PROCESSES[at]), &authority.pem);
            let mut told: Vec<(&str, &str)> = told.to_vec();
            told.extend(VARIABLES.into_iter().zip(urls.iter().map(String::as_str)));
            told.push(("GUILDHALL_MUTUAL_TLS", directory.to_str().unwrap()));
            cluster.replica(PROCESSES[at], places[at], &told).await
        };
        let (org, member, authz) = tokio::join!(start(0), start(1), start(2));
        let gateway = start(3).await;
        Self { mounts, replicas: vec![org, member, authz, gateway] }
    }

    pub fn directory(&self, process: &str) -> PathBuf {
        self.mounts.path().join(process)
    }

    pub fn place(&self, process: &str) -> SocketAddr {
        self.replicas[PROCESSES.iter().position(|&name| name == process).unwrap()].address
    }

    /// Gives every process a certificate and authorities, and waits until they are in use.
    pub async fn mount(&self, authority: &Authority, believed: &str) {
        let counts: Vec<usize> = self.replicas.iter().map(changes).collect();
        for process in PROCESSES {
            mount(&self.directory(process), &authority.paper(process), believed);
        }
        for (replica, before) in self.replicas.iter().zip(counts) {
            until(replica, |log| changes_in(log) > before).await;
        }
    }
}

fn changes_in(log: &str) -> usize {
    log.matches("the certificates have changed").count()
}

fn changes(replica: &Replica) -> usize {
    changes_in(&replica.log())
}

pub async fn until(replica: &Replica, holds: impl Fn(&str) -> bool) {
    let begun = Instant::now();
    while !holds(&replica.log()) {
        assert!(begun.elapsed() < SEEN_WITHIN, "it is not in the log: {}", replica.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A connection of the test's own, made when it is first used.
pub fn channel(place: SocketAddr, believed: &str, shown: Option<&Paper>) -> Channel {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(believed)).domain_name("127.0.0.1");
    if let Some(paper) = shown {
        tls = tls.identity(Identity::from_pem(&paper.certificate, &paper.key));
    }
    let endpoint = Endpoint::from_shared(format!("https://{place}")).unwrap().tls_config(tls).unwrap();
    endpoint.timeout(Duration::from_secs(20)).connect_lazy()
}

pub fn caller(place: SocketAddr, believed: &str, shown: Option<&Paper>, token: Option<&str>) -> Caller {
    Caller::by(channel(place, believed, shown), token)
}
