//! A second installation on the first one's database, with a network of ours between any two of its processes.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testkit::{
    Cluster, Proxy, Replica,
    caller::{Caller, text},
    free_port,
};

use crate::stall::Stalls;

/// Who calls whom.
pub type Link = (&'static str, &'static str);

pub const LINKS: [Link; 12] = [
    ("gateway", "org-service"),
    ("gateway", "member-service"),
    ("gateway", "authz-service"),
    ("org-service", "member-service"),
    ("org-service", "authz-service"),
    ("member-service", "org-service"),
    ("member-service", "authz-service"),
    ("authz-service", "org-service"),
    ("authz-service", "member-service"),
    ("org-service", "postgres"),
    ("member-service", "postgres"),
    ("authz-service", "postgres"),
];
const SERVICES: [(&str, &str); 3] = [
    ("org-service", "GUILDHALL_ORG_URL"),
    ("member-service", "GUILDHALL_MEMBER_URL"),
    ("authz-service", "GUILDHALL_AUTHZ_URL"),
];

pub struct House {
    pub cluster: Cluster,
    pub ways: BTreeMap<Link, Proxy>,
    pub stalls: Stalls,
    gateway: SocketAddr,
    _replicas: Vec<Replica>,
    pub account: Caller,
    project: String,
    token: String,
    pub acme: String,
    /// Their address and password. What they hold is given and taken.
    guest: [String; 3],
    owner: String,
}

/// An answer over HTTP, and when it was asked for and came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
    pub sent: Instant,
    pub ended: Instant,
}

impl Answer {
    pub fn took(&self) -> Duration {
        self.ended - self.sent
    }
}

impl House {
    pub async fn new() -> Self {
        let cluster = Cluster::start().await;
        let places: BTreeMap<&str, SocketAddr> =
            SERVICES.iter().map(|(service, _)| (*service, free_port(Ipv4Addr::LOCALHOST.into()))).collect();
        let mut ways = BTreeMap::new();
        for link in LINKS {
            let to = places.get(link.1).copied().unwrap_or(cluster.database_address());
            ways.insert(link, Proxy::to(to).await);
        }
        let told = |name: &str| {
            let mut told = vec![
                // Dead connections are found out within two seconds.
                ("GUILDHALL_KEEPALIVE_INTERVAL", "1".to_owned()),
                ("GUILDHALL_KEEPALIVE_TIMEOUT", "1".to_owned()),
                // What is tried here is not how long a revocation takes.
                ("GUILDHALL_REVOCATION_LAG", "60".to_owned()),
            ];
            for (service, variable) in SERVICES {
                let link = LINKS.into_iter().find(|link| *link == (name_of(name), service));
                told.extend(link.map(|link| (variable, format!("http://{}", ways[&link].address))));
            }
            if let Some(urls) = cluster.access().service_database_urls.get(name.trim_end_matches("-service")) {
                let way = ways[&(name_of(name), "postgres")].address;
                let url = urls.runtime.replace(&cluster.database_address().to_string(), &way.to_string());
                told.push(("GUILDHALL_DATABASE_URL", url));
            }
            told
        };
        let start = async |name: &'static str, at: SocketAddr| {
            let told = told(name);
            let told: Vec<(&str, &str)> = told.iter().map(|(variable, value)| (*variable, value.as_str())).collect();
            cluster.replica(name, at, &told).await
        };
        let gateway = free_port(Ipv4Addr::LOCALHOST.into());
        let (org, member, authz, front) = tokio::join!(
            start("org-service", places["org-service"]),
            start("member-service", places["member-service"]),
            start("authz-service", places["authz-service"]),
            start("gateway", gateway)
        );
        let project = cluster.project().await;
        let acme = project.organization("acme").await;
        let guest = acme.join("guest", &[]).await;
        let (account, token, id) = (project.account.clone(), project.token.clone(), project.id.clone());
        let (owner, acme_id) = (acme.owner().tokens.access.clone(), acme.id.clone());
        let guest = [guest.id, guest.email, guest.password];
        let replicas = vec![org, member, authz, front];
        let stalls = Stalls::watch();
        Self {
            ways,
            stalls,
            gateway,
            _replicas: replicas,
            account,
            project: id,
            token,
            acme: acme_id,
            guest,
            owner,
            cluster,
        }
    }

    /// Who may see it.
    pub async fn admit(&self) -> (String, String) {
        let binding = json!({"organization_id": self.acme,
            "binding": {"subject": {"member_id": self.guest[0]}, "role_id": "admin"}});
        let binding = text(&self.account.call("BindingService/CreateBinding", binding).await, "binding_id");
        let request = json!({"email_address": self.guest[1], "password": self.guest[2], "organization_id": self.acme});
        let anyone = self.cluster.anyone().with("guildhall-project-id", &self.project);
        let signed = anyone.call("AuthenticationService/SignInWithPassword", request).await;
        (binding, text(&signed, "access_token"))
    }

    /// By the first installation, which nothing is wrong with. When it returns, it holds.
    pub async fn dismiss(&self, binding: &str) {
        let request = json!({"organization_id": self.acme, "binding_id": binding});
        self.account.call("BindingService/DeleteBinding", request).await;
    }

    pub fn organization_path(&self) -> String {
        format!("/v1/organizations/{}", self.acme)
    }

    pub async fn as_project(&self, path: &str, body: Option<&Value>, deadline: Duration) -> Answer {
        self.ask(&self.token, path, body, deadline).await
    }

    pub async fn as_owner(&self, path: &str, deadline: Duration) -> Answer {
        self.ask(&self.owner, path, None, deadline).await
    }

    /// As HTTP and JSON: a gRPC client would keep the deadline itself, and the installation's would not be seen.
    pub async fn ask(&self, token: &str, path: &str, body: Option<&Value>, deadline: Duration) -> Answer {
        self.ask_at(self.gateway, token, path, body, deadline).await
    }

    /// The same of the first installation, which nothing is wrong with.
    pub async fn control(&self, deadline: Duration) -> Answer {
        self.ask_at(self.cluster.access().gateway, &self.token, "/effectiveSettings", None, deadline).await
    }

    async fn ask_at(
        &self,
        gateway: SocketAddr,
        token: &str,
        path: &str,
        body: Option<&Value>,
        deadline: Duration,
    ) -> Answer {
        let millis = deadline.as_millis();
        let (verb, body) = body.map_or(("GET", String::new()), |body| ("POST", body.to_string()));
        let request = format!(
            "{verb} {}{path} HTTP/1.1\r\nHost: {gateway}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\ngrpc-timeout: {millis}m\r\n\r\n{body}",
            self.organization_path(),
            body.len()
        );
        let sent = Instant::now();
        let (status, _, body) = testkit::http::send(gateway, &request).await;
        Answer { status, body, sent, ended: Instant::now() }
    }

    /// Whether the one who is admitted or dismissed may read there.
    pub async fn check_guest(&self, deadline: Duration) -> Answer {
        let body = json!({"subject": {"memberId": self.guest[0]}, "permission": "guildhall.member:read",
            "consistency": {"fullyConsistent": true}});
        self.as_project("/authorization:check", Some(&body), deadline).await
    }
}

fn name_of(name: &str) -> &'static str {
    LINKS.iter().map(|link| link.0).find(|known| *known == name).expect("a process")
}
