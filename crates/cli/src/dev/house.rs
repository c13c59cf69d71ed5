use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::Options;
use super::child::{Kept, run_once};
use super::directory::Directory;
use super::ports::Ports;
use super::postgres::Server;
use super::record::Record;
use super::roster::Roster;
use super::seed::{Demo, Seed};
use super::service::{self, Service, Surroundings, check_binaries};
use super::{http, steps};
use crate::smtp::{self, Mailbox};
use crate::{Failure, Output, key};

/// From the start of a process until it says that it is ready.
/// A machine that builds something beside takes its time; what never comes up is found sooner, by its ends.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// For the demo project and its service account.
const SEEDED_WITHIN: Duration = Duration::from_secs(60);
/// A process that ends this often before it was ever ready will go on doing so.
const MOST_ENDS: u32 = 5;
/// `EX_USAGE`: its configuration is wrong, and starting it again changes nothing.
const BAD_CONFIGURATION: i32 = 64;
/// For the ports of a run that was killed: its leash takes as long as its children.
const LEFTOVER_WITHIN: Duration = Duration::from_secs(12);

/// Everything that runs. It is built from the bottom up, and taken down from the top.
pub struct House {
    options: Options,
    output: Output,
    directory: Directory,
    bin: PathBuf,
    roster: Arc<Roster>,
    postgres: Option<Server>,
    mail: Option<JoinHandle<()>>,
    backends: Vec<Kept>,
    gateway: Option<Kept>,
}

impl House {
    /// Takes the directory, and refuses early what cannot work.
    pub fn open(options: Options, output: Output) -> Result<Self, Failure> {
        let bin = match &options.bin_dir {
            Some(bin) => bin.canonicalize().map_err(Failure::file("cannot find", bin))?,
            None => {
                let program = std::env::current_exe().map_err(Failure::system("cannot tell where this program is"))?;
                program.parent().map(PathBuf::from).unwrap_or_default()
            }
        };
        check_binaries(&bin)?;
        let directory = Directory::open(&options.directory)?;
        let roster = Arc::new(Roster::new(directory.join("dev.json"), output)?);
        Ok(Self {
            options,
            output,
            directory,
            bin,
            roster,
            postgres: None,
            mail: None,
            backends: Vec::new(),
            gateway: None,
        })
    }

    /// Returns when everything is ready and was told. May be dropped at any point; `fall` takes down what stands.
    pub async fn rise(&mut self) -> Result<(), Failure> {
        let begun = Instant::now();
        // There is a dev.json only while an installation is up, or was killed.
        let killed = self.directory.join("dev.json").exists();
        let patience = if killed { LEFTOVER_WITHIN } else { Duration::ZERO };
        let (ports, kept) = Ports::take(self.options.ports, patience).await?;
        self.roster.withdraw();

        let given = self
            .options
            .database_url
            .clone()
            .filter(|url| !url.trim().is_empty())
            .map(|url| Server::given(url, &self.directory));
        if self.options.reset {
            local_postgres::Cluster::stop_leftover(&self.directory.join("postgres")).await?;
            self.directory.reset()?;
            if let Some(server) = &given {
                server.reset().await?;
            }
        }
        let server = match given {
            Some(server) => server,
            None => Server::private(&self.directory, Arc::clone(&self.roster), self.output).await?,
        };
        let server = self.postgres.insert(server);
        let urls = server.provision(&self.directory.join("role-key")).await?;
        let (database_url, place) = (server.database_url(), server.place.clone());

        key::generate(self.directory.path())?;
        let mut seed = Seed::open(self.directory.join("seed.json"), self.directory.path(), &place)?;
        let (smtp_port, mail) = smtp::serve(Mailbox::open(&self.directory.folder("mailbox")?, self.output)?).await?;
        self.mail = Some(mail);

        let around = Surroundings { directory: &self.directory, bin: &self.bin, ports, log: &self.options.log };
        let backends = service::backends(&around, &urls, smtp_port);
        let [org, member, authz] = &backends;
        tokio::try_join!(migrate(org, self.output), migrate(member, self.output), migrate(authz, self.output))?;

        let planted = seed.demo.as_ref().map(|demo| demo.project_id.clone());
        let mut gateway = service::gateway(&around, &seed.operator, planted.as_deref());
        drop(kept);
        self.backends
            .extend(backends.iter().map(|service| Kept::start(service.clone(), Arc::clone(&self.roster), self.output)));
        self.gateway = Some(Kept::start(gateway.clone(), Arc::clone(&self.roster), self.output));
        for service in backends.iter().chain([&gateway]) {
            ready(service, &self.roster).await?;
        }

        let demo = plant(&mut seed, ports).await?;
        if planted.is_none() {
            gateway = service::gateway(&around, &seed.operator, Some(&demo.project_id));
            if let Some(first) = self.gateway.take() {
                first.stop().await;
            }
            self.gateway = Some(Kept::start(gateway.clone(), Arc::clone(&self.roster), self.output));
            ready(&gateway, &self.roster).await?;
        }

        let Ports { gateway, gateway_admin, org, member, authz, org_admin, member_admin, authz_admin } = ports;
        let record = Record {
            gateway,
            gateway_admin,
            org,
            member,
            authz,
            org_admin,
            member_admin,
            authz_admin,
            project_id: demo.project_id,
            client_id: demo.client_id,
            client_secret: demo.client_secret,
            operator_client_id: seed.operator.client_id,
            operator_client_secret: seed.operator.client_secret,
            database_url,
            service_database_urls: [
                ("org", urls.org.into()),
                ("member", urls.member.into()),
                ("authz", urls.authz.into()),
            ]
            .into(),
            pids: Default::default(),
        };
        self.output.text(&steps::summary(&record, self.directory.path()));
        self.roster.publish(record)?;
        self.output.say(format_args!("ready after {:.1} s; Ctrl-C stops everything", begun.elapsed().as_secs_f64()));
        Ok(())
    }

    /// The door first, then the services, then what they stand on.
    pub async fn fall(&mut self) {
        if let Some(gateway) = self.gateway.take() {
            gateway.stop().await;
        }
        let mut stopping = tokio::task::JoinSet::new();
        for backend in self.backends.drain(..) {
            stopping.spawn(backend.stop());
        }
        stopping.join_all().await;
        if let Some(mail) = self.mail.take() {
            mail.abort();
        }
        if let Some(postgres) = self.postgres.take() {
            postgres.stop().await;
        }
        self.roster.withdraw();
    }
}

/// Every step carries a request_id, so what a busy machine did not answer in time is asked for again.
async fn plant(seed: &mut Seed, ports: Ports) -> Result<Demo, Failure> {
    let begun = Instant::now();
    loop {
        match seed.plant(ports.gateway).await {
            Err(failure) if failure.may_pass() && begun.elapsed() < SEEDED_WITHIN => {
                sleep(Duration::from_millis(200)).await;
            }
            planted => return planted,
        }
    }
}

async fn migrate(service: &Service, output: Output) -> Result<(), Failure> {
    let Some(command) = service.migrate() else { return Ok(()) };
    let status = run_once(command, service.name, output).await?;
    if status.success() { Ok(()) } else { Err(Failure::Migration { service: service.name, status }) }
}

async fn ready(service: &Service, roster: &Roster) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        let reason = match http::get(service.admin, "/readyz").await {
            Ok((status, _)) if status.is_success() => return Ok(()),
            Ok((status, body)) => format!("{status} {}", body.trim()),
            Err(error) => error.to_string(),
        };
        if let Some((count, status)) = roster.ends(service.name)
            && (count >= MOST_ENDS || status.code() == Some(BAD_CONFIGURATION))
        {
            return Err(Failure::DoesNotStayUp { service: service.name, status });
        }
        if begun.elapsed() > READY_WITHIN {
            return Err(Failure::NotReady { service: service.name, seconds: READY_WITHIN.as_secs(), reason });
        }
        sleep(Duration::from_millis(20)).await;
    }
}
