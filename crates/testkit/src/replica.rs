use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use local_postgres::{Held, Leash};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::sleep;

use crate::{Cluster, binaries, http};

const READY_WITHIN: Duration = Duration::from_secs(30);

/// One more authz-service of a cluster: with the same keys, on the same database, behind a port of its own. Nobody calls it but the test.
#[derive(Debug)]
pub struct Replica {
    pub address: SocketAddr,
    process: Child,
    _leash: Leash,
}

impl Cluster {
    /// Where PostgreSQL is.
    pub fn database_address(&self) -> SocketAddr {
        let url = &self.access().database_url;
        let place = url.split('@').next_back().and_then(|rest| rest.split('/').next()).unwrap_or_default();
        place.parse().unwrap_or_else(|_| panic!("{place} is no address of a database"))
    }

    /// A new one, ready. `database` is where it finds PostgreSQL; `told` is told by environment variables.
    pub async fn authz_replica(&self, database: SocketAddr, told: &[(&str, &str)]) -> Replica {
        let (access, directory) = (self.access(), self.directory());
        let [listen, admin] = free_ports();
        let url = access.service_database_urls.get("authz").map_or("", |urls| &urls.runtime);
        let url = url.replace(&self.database_address().to_string(), &database.to_string());
        let name = format!("authz-service-{}", listen.port());
        let log = || File::options().create(true).append(true).open(directory.join(format!("{name}.log")));
        let log = || log().unwrap_or_else(|error| panic!("no log of {name}: {error}"));
        let process = Command::new(binaries::built().join("authz-service"))
            .arg("serve")
            .env("GUILDHALL_LISTEN", listen.to_string())
            .env("GUILDHALL_ADMIN_LISTEN", admin.to_string())
            .env("GUILDHALL_SIGNING_KEY", directory.join("keys/authz-service.pem"))
            .env("GUILDHALL_TRUST", directory.join("trust"))
            .env("GUILDHALL_SEALING_KEYS", directory.join("sealing/authz-service.keys"))
            .env("GUILDHALL_ISSUER", format!("http://{}", access.gateway))
            .env("GUILDHALL_ORG_URL", format!("http://{}", access.org))
            .env("GUILDHALL_MEMBER_URL", format!("http://{}", access.member))
            .env("GUILDHALL_DATABASE_URL", url)
            .env("GUILDHALL_DRAIN_DELAY", "0")
            .env("GUILDHALL_LOG_FORMAT", "text")
            .envs(told.iter().copied())
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run authz-service: {error}"));
        let leash = Leash::new(None).unwrap_or_else(|error| panic!("no leash: {error}"));
        // Even one that is stopped ends by it.
        leash
            .hold(&[Held { pid: process.id(), signal: Signal::SIGKILL }])
            .unwrap_or_else(|error| panic!("no leash: {error}"));
        let replica = Replica { address: listen, process, _leash: leash };
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(admin).await.is_err() || http::get(admin, "/readyz").await.0 != 200 {
            assert!(begun.elapsed() < READY_WITHIN, "{name} was not ready within {} s", READY_WITHIN.as_secs());
            sleep(Duration::from_millis(20)).await;
        }
        replica
    }
}

fn free_ports() -> [SocketAddr; 2] {
    let taken = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap_or_else(|error| panic!("no port: {error}")));
    taken.map(|listener| listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}")))
}

impl Replica {
    /// As a machine that stands still: SIGSTOP, which the process does not notice.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub fn go_on(&self) {
        self.signal(Signal::SIGCONT);
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
    }
}
