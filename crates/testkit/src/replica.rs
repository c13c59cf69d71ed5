use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use local_postgres::{Held, Leash};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::sleep;

use crate::{Cluster, binaries, http};

const READY_WITHIN: Duration = Duration::from_secs(60);
const ENDED_WITHIN: Duration = Duration::from_secs(60);

/// One more process of a cluster's `org-service`, `member-service`, `authz-service` or `gateway`: with the same keys, on the same database,
/// behind ports of its own. Nobody calls it but the test and whom the test tells of it.
#[derive(Debug)]
pub struct Replica {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    name: &'static str,
    log: PathBuf,
    environment: Vec<(String, String)>,
    process: Child,
    leash: Leash,
}

impl Cluster {
    /// Where PostgreSQL is.
    pub fn database_address(&self) -> SocketAddr {
        let url = &self.access().database_url;
        let place = url.split('@').next_back().and_then(|rest| rest.split('/').next()).unwrap_or_default();
        place.parse().unwrap_or_else(|_| panic!("{place} is no address of a database"))
    }

    /// A new authz-service, ready. `database` is where it finds PostgreSQL; `told` is told by environment variables.
    pub async fn authz_replica(&self, database: SocketAddr, told: &[(&str, &str)]) -> Replica {
        let url = self.service_url("authz").replace(&self.database_address().to_string(), &database.to_string());
        let told: Vec<_> = told.iter().copied().chain([("GUILDHALL_DATABASE_URL", url.as_str())]).collect();
        self.replica("authz-service", free_port(Ipv4Addr::LOCALHOST.into()), &told).await
    }

    /// A new one, ready, which listens at `listen`.
    pub async fn replica(&self, name: &'static str, listen: SocketAddr, told: &[(&str, &str)]) -> Replica {
        let (access, directory) = (self.access(), self.directory());
        let admin = free_port(listen.ip());
        let path = |path: String| directory.join(path).display().to_string();
        let mut environment: Vec<(String, String)> = Vec::new();
        let mut set = |name: &str, value: String| environment.push((name.to_owned(), value));
        set("GUILDHALL_LISTEN", listen.to_string());
        set("GUILDHALL_ADMIN_LISTEN", admin.to_string());
        set("GUILDHALL_SIGNING_KEY", path(format!("keys/{name}.pem")));
        set("GUILDHALL_ACCESS_KEYS", path("keys/access.pem".to_owned()));
        set("GUILDHALL_TRUST", path("trust".to_owned()));
        set("GUILDHALL_SEALING_KEYS", path(format!("sealing/{name}.keys")));
        set("GUILDHALL_ISSUER", format!("http://{}", access.gateway));
        set("GUILDHALL_ORG_URL", format!("http://{}", access.org));
        set("GUILDHALL_MEMBER_URL", format!("http://{}", access.member));
        set("GUILDHALL_AUTHZ_URL", format!("http://{}", access.authz));
        set("GUILDHALL_DATABASE_URL", self.service_url(name.trim_end_matches("-service")));
        // Nobody is there: what is to be mailed waits for the cluster's own member-service.
        set("GUILDHALL_SMTP_URL", "smtp://127.0.0.1:9".to_owned());
        set("GUILDHALL_MAIL_FROM", "Guildhall <no-reply@guildhall.test>".to_owned());
        set("GUILDHALL_INVITATION_URL", format!("http://{}/invitation", access.gateway));
        set("GUILDHALL_SIGN_IN_URL", format!("http://{}/sign-in", access.gateway));
        set("GUILDHALL_DRAIN_DELAY", "0".to_owned());
        // A busy machine makes a call wait for long.
        set("GUILDHALL_DATABASE_WAIT", "5".to_owned());
        set("GUILDHALL_LOG_FORMAT", "text".to_owned());
        told.iter().for_each(|(name, value)| set(name, (*value).to_owned()));

        let log = directory.join(format!("{name}-{}.log", listen.port()));
        let process = spawn(name, &environment, &log);
        let leash = Leash::new(None).unwrap_or_else(|error| panic!("no leash: {error}"));
        let mut replica = Replica { address: listen, admin, name, log, environment, process, leash };
        replica.hold();
        replica.is_ready().await;
        replica
    }

    /// What a service signs in to the database with; nothing for the gateway.
    fn service_url(&self, service: &str) -> String {
        self.access().service_database_urls.get(service).map_or_else(String::new, |urls| urls.runtime.clone())
    }
}

fn spawn(name: &str, environment: &[(String, String)], log: &PathBuf) -> Child {
    let log = || File::options().create(true).append(true).open(log);
    let log = || log().unwrap_or_else(|error| panic!("no log of {name}: {error}"));
    Command::new(binaries::built().join(name))
        .arg("serve")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log())
        .stderr(log())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {name}: {error}"))
}

/// A port that is free now.
pub fn free_port(ip: IpAddr) -> SocketAddr {
    local_postgres::free_port(ip).unwrap_or_else(|error| panic!("no port: {error}"))
}

impl Replica {
    /// As a machine that stands still: SIGSTOP, which the process does not notice.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// As an operator ends it: SIGTERM. How it ended.
    pub async fn end(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        let begun = Instant::now();
        loop {
            match self.process.try_wait() {
                Ok(Some(status)) => return status,
                Ok(None) => {}
                Err(error) => panic!("cannot wait for {}: {error}", self.name),
            }
            assert!(begun.elapsed() < ENDED_WITHIN, "{} did not end within {} s", self.name, ENDED_WITHIN.as_secs());
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Once more, at the same place, until it is ready.
    pub async fn start_again(&mut self) {
        self.process = spawn(self.name, &self.environment, &self.log);
        self.hold();
        self.is_ready().await;
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn hold(&self) {
        // Even one that is stopped ends by it.
        let held = Held { pid: self.process.id(), signal: Signal::SIGKILL };
        self.leash.hold(&[held]).unwrap_or_else(|error| panic!("no leash: {error}"));
    }

    async fn is_ready(&mut self) {
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(self.admin).await.is_err()
            || http::get(self.admin, "/readyz").await.0 != 200
        {
            let (name, seconds) = (self.name, READY_WITHIN.as_secs());
            let ended = self.process.try_wait().ok().flatten();
            assert!(ended.is_none(), "{name} ended: {}", self.log());
            assert!(begun.elapsed() < READY_WITHIN, "{name} was not ready within {seconds} s: {}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id()).unwrap_or_else(|_| panic!("no pid"));
        kill(Pid::from_raw(pid), signal).unwrap_or_else(|error| panic!("cannot send {signal} to {pid}: {error}"));
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = self.leash.hold(&[]);
    }
}
