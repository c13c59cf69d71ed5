//! The installation that is measured: what `guildhall dev` starts, and further replicas of its services on cores of their own.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};
use testkit::{Access, Cluster};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::Failure;
use crate::place::Cores;
use crate::process::{Process, replica_of};

/// Any free port of this machine's own.
pub const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const READY_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(1);
/// Each line of a log costs its writer, and in production there is none for a call that went well.
const QUIET: [(&str, &str); 1] = [("GUILDHALL_LOG", "warn")];

pub struct House {
    pub cluster: Cluster,
    pub cores: Cores,
}

/// A service that was started beside the one of the same kind.
#[derive(Debug)]
pub struct Replica {
    pub process: Process,
    pub address: SocketAddr,
    /// From its start until it said that it is ready.
    pub ready_after: Duration,
}

impl House {
    pub async fn open(cores: Cores) -> Self {
        Self { cluster: Cluster::start_with(&QUIET).await, cores }
    }

    pub fn access(&self) -> &Access {
        self.cluster.access()
    }

    /// A fresh token of the demo project's own service account: they are short-lived.
    pub async fn token(&self) -> Result<String, Failure> {
        let Access { client_id, client_secret, .. } = self.access();
        let token = self.cluster.client_credentials(client_id, client_secret).await;
        token.map_err(|(status, body)| Failure::refused("/oauth2/token", format!("{status} {body}")))
    }

    /// The superuser, for whom there are no walls: to fill tables, and for nothing that is measured.
    pub async fn database(&self) -> Result<PgConnection, Failure> {
        PgConnection::connect(&self.access().database_url).await.map_err(Failure::database("connecting"))
    }

    pub fn pid(&self, service: &str) -> Result<u32, Failure> {
        self.cluster.pid(service).ok_or_else(|| Failure::Unmeasurable(format!("{service} is not running")))
    }

    /// One more of a service, on these cores, told what the other is told and this besides. Ready when it returns.
    pub async fn replica(&self, service: &str, cores: &[usize], told: &[(&str, String)]) -> Result<Replica, Failure> {
        let (address, admin) = (free_address()?, free_address()?);
        let mut command = replica_of(self.pid(service)?)?;
        command
            .env("GUILDHALL_LISTEN", address.to_string())
            .env("GUILDHALL_ADMIN_LISTEN", admin.to_string())
            .envs(told.iter().map(|(name, value)| (name, value)))
            .stdout(std::process::Stdio::null());
        let begun = Instant::now();
        let process = Process::start(&mut command, cores)?;
        while !is_ready(admin).await {
            if begun.elapsed() > READY_WITHIN {
                return Err(Failure::NotReady {
                    name: format!("a replica of {service}"),
                    seconds: READY_WITHIN.as_secs(),
                });
            }
            sleep(POLL).await;
        }
        Ok(Replica { process, address, ready_after: begun.elapsed() })
    }
}

/// A port of this machine's own that nobody has.
pub fn free_address() -> Result<SocketAddr, Failure> {
    local_postgres::free_port(LOOPBACK.ip()).map_err(|error| Failure::Unmeasurable(error.to_string()))
}

/// Whether `/readyz` says so.
async fn is_ready(admin: SocketAddr) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(admin).await?;
        stream
            .write_all(format!("GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n").as_bytes())
            .await?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(answer.ends_with(b" 200"))
    };
    asked.await.unwrap_or(false)
}
