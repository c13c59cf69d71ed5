use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use local_postgres::ServiceUrls;
use tokio::process::Command;

use super::directory::Directory;
use super::ports::Ports;
use super::seed::Operator;
use crate::Failure;

/// One of the four processes: its program and its environment. Secrets travel in the environment, which others on the machine
/// cannot read, and never in the arguments, which they can.
#[derive(Clone)]
pub struct Service {
    pub name: &'static str,
    pub admin: SocketAddr,
    binary: PathBuf,
    environment: Vec<(&'static str, String)>,
    /// The URL of the schema's owner, for `migrate`.
    owner_url: Option<String>,
}

/// What all of them are told.
pub struct Surroundings<'a> {
    pub directory: &'a Directory,
    pub bin: &'a Path,
    pub ports: Ports,
    pub log: &'a str,
}

/// The programs, looked for before anything is started.
pub fn check_binaries(bin: &Path) -> Result<(), Failure> {
    match ["org-service", "member-service", "authz-service", "gateway"]
        .map(|name| bin.join(name))
        .into_iter()
        .find(|path| !path.is_file())
    {
        Some(path) => Err(Failure::BinaryMissing { path }),
        None => Ok(()),
    }
}

/// The three services that keep data, in the order of the vocabulary.
pub fn backends(around: &Surroundings<'_>, urls: &ServiceUrls, smtp_port: u16) -> [Service; 3] {
    let Ports { org, member, authz, org_admin, member_admin, authz_admin, .. } = around.ports;
    let backend = |name: &'static str, listen, admin, url: &local_postgres::ServiceUrl| {
        let mut service = Service::new(name, listen, admin, around);
        service.set("GUILDHALL_DATABASE_URL", url.runtime.clone());
        let sealing = around.directory.join("sealing").join(format!("{name}.keys"));
        service.set("GUILDHALL_SEALING_KEYS", sealing.display().to_string());
        service.owner_url = Some(url.owner.clone());
        service
    };
    let org = backend("org-service", org, org_admin, &urls.org);
    let mut member = backend("member-service", member, member_admin, &urls.member);
    member.set("GUILDHALL_SMTP_URL", format!("smtp://127.0.0.1:{smtp_port}"));
    member.set("GUILDHALL_MAIL_FROM", "Guildhall <no-reply@guildhall.test>".to_owned());
    member.set("GUILDHALL_INVITATION_URL", format!("http://{}/invitation", around.ports.gateway));
    member.set("GUILDHALL_SIGN_IN_URL", format!("http://{}/sign-in", around.ports.gateway));
    let authz = backend("authz-service", authz, authz_admin, &urls.authz);
    [org, member, authz]
}

/// The gateway; `project` is whose people sign in when none is named, known once it is seeded.
pub fn gateway(around: &Surroundings<'_>, operator: &Operator, project: Option<&str>) -> Service {
    let mut gateway = Service::new("gateway", around.ports.gateway, around.ports.gateway_admin, around);
    gateway.set("GUILDHALL_ACCESS_KEYS", around.directory.join("keys/access.pem").display().to_string());
    gateway.set("GUILDHALL_OPERATOR_CLIENT_ID", operator.client_id.clone());
    gateway.set("GUILDHALL_OPERATOR_SECRET_SHA256", operator.secret_sha256());
    gateway.set("GUILDHALL_DEV_MAILBOX", around.directory.join("mailbox").display().to_string());
    if let Some(project) = project {
        gateway.set("GUILDHALL_DEFAULT_PROJECT", project.to_owned());
    }
    gateway
}

impl Service {
    fn new(name: &'static str, listen: SocketAddr, admin: SocketAddr, around: &Surroundings<'_>) -> Self {
        let Surroundings { directory, bin, ports, log } = around;
        let environment = vec![
            ("GUILDHALL_LISTEN", listen.to_string()),
            ("GUILDHALL_ADMIN_LISTEN", admin.to_string()),
            ("GUILDHALL_SIGNING_KEY", directory.join("keys").join(format!("{name}.pem")).display().to_string()),
            ("GUILDHALL_TRUST", directory.join("trust").display().to_string()),
            ("GUILDHALL_ISSUER", format!("http://{}", ports.gateway)),
            ("GUILDHALL_ORG_URL", format!("http://{}", ports.org)),
            ("GUILDHALL_MEMBER_URL", format!("http://{}", ports.member)),
            ("GUILDHALL_AUTHZ_URL", format!("http://{}", ports.authz)),
            // There is no load balancer that has to notice.
            ("GUILDHALL_DRAIN_DELAY", "0".to_owned()),
            ("GUILDHALL_REFLECTION", "true".to_owned()),
            ("GUILDHALL_LOG", (*log).to_owned()),
            ("GUILDHALL_LOG_FORMAT", "text".to_owned()),
        ];
        Self { name, admin, binary: bin.join(name), environment, owner_url: None }
    }

    fn set(&mut self, name: &'static str, value: String) {
        self.environment.push((name, value));
    }

    pub fn serve(&self) -> Command {
        self.command("serve")
    }

    /// None for the gateway, which has no database.
    pub fn migrate(&self) -> Option<Command> {
        let owner_url = self.owner_url.as_ref()?;
        let mut command = self.command("migrate");
        command.env("GUILDHALL_DATABASE_URL", owner_url);
        Some(command)
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg(subcommand).env_remove("DATABASE_URL");
        // A developer's machine builds something beside: making a connection may take longer than a caller of a real one should wait.
        if std::env::var_os("GUILDHALL_DATABASE_WAIT").is_none() {
            command.env("GUILDHALL_DATABASE_WAIT", "5");
        }
        // Over what the shell sets: every setting that is not decided here can be tried out from there.
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}
