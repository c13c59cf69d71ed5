use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::mem;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use local_postgres::{Held, Leash};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio::time::sleep;

use crate::{Mail, binaries, postgres};

/// A first start makes a PostgreSQL cluster and runs every migration, beside other tests on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(120);
const STOPPED_WITHIN: Duration = Duration::from_secs(20);
const BACK_WITHIN: Duration = Duration::from_secs(30);
const MAIL_WITHIN: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(10);
/// All tests come from one address; what they test of rates is what member-service keeps.
/// A busy machine makes a call wait for long.
const SETTINGS: [(&str, &str); 6] = [
    ("GUILDHALL_DATABASE_WAIT", "5"),
    ("GUILDHALL_SIGN_IN_RATE_PER_IDENTITY", "0"),
    ("GUILDHALL_SIGN_IN_RATE_PER_ADDRESS", "0"),
    ("GUILDHALL_SIGN_IN_RATE_PER_PROJECT", "0"),
    ("GUILDHALL_TOKEN_RATE_PER_CLIENT", "0"),
    ("GUILDHALL_TOKEN_RATE_PER_ADDRESS", "0"),
];
/// In the cluster's folder: holds the name of the place where the next process dies.
const KILL_POINT: &str = "kill-point";
/// How much of the log a failed test shows.
const SHOWN_LINES: usize = 200;

/// What dev.json says. The addresses and credentials stay the same while the cluster is up; the pids do not.
#[derive(Clone, Debug, Deserialize)]
pub struct Access {
    pub gateway: SocketAddr,
    pub gateway_admin: SocketAddr,
    pub org: SocketAddr,
    pub member: SocketAddr,
    pub authz: SocketAddr,
    pub org_admin: SocketAddr,
    pub member_admin: SocketAddr,
    pub authz_admin: SocketAddr,
    pub project_id: String,
    pub client_id: String,
    pub client_secret: String,
    pub operator_client_id: String,
    pub operator_client_secret: String,
    /// The superuser's, in the services' database.
    pub database_url: String,
    /// By `org`, `member` and `authz`.
    pub service_database_urls: BTreeMap<String, DatabaseUrls>,
    pids: BTreeMap<String, u32>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct DatabaseUrls {
    pub owner: String,
    pub runtime: String,
}

/// A whole installation, started as a newcomer starts it: `guildhall dev`, real processes, a real PostgreSQL, free ports, a
/// folder of its own. Dropping it stops everything; a test process that is killed takes it along.
#[derive(Debug)]
pub struct Cluster {
    access: Access,
    process: Child,
    log: Log,
    folder: TempDir,
    leash: Leash,
}

/// An installation of which nothing runs.
#[derive(Debug)]
pub struct Down {
    folder: TempDir,
    leash: Leash,
}

impl Down {
    /// As [`Cluster::directory`].
    pub fn directory(&self) -> PathBuf {
        self.folder.path().join("dev")
    }

    pub async fn up(self, told: &[(&str, &str)]) -> Cluster {
        Cluster::rise(&binaries::built(), self.folder, self.leash, told).await
    }
}

/// What `guildhall dev` and its children printed.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Cluster {
    /// The one that all tests of this process share. Tests that break things take one of their own.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        SHARED
            .get_or_init(|| async {
                let cluster = Self::start().await;
                // It outlives every test, so the failing one shows what it can.
                let (log, usual) = (cluster.log.clone(), std::panic::take_hook());
                std::panic::set_hook(Box::new(move |panic| {
                    usual(panic);
                    log.show();
                }));
                cluster
            })
            .await
    }

    /// A new one, ready.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// A new one whose processes are also told this, by environment variables.
    pub async fn start_with(told: &[(&str, &str)]) -> Self {
        Self::start_of(&binaries::built(), told).await
    }

    /// A new one of the programs in this folder.
    pub async fn start_of(programs: &Path, told: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("guildhall-test-")
            // PostgreSQL's account has to pass when the tests run as root.
            .permissions(fs::Permissions::from_mode(0o711))
            .tempdir()
            .unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let leash = Leash::new(Some(folder.path())).unwrap_or_else(|error| panic!("no leash: {error}"));
        Self::rise(programs, folder, leash, told).await
    }

    /// Stops everything, and keeps what it kept.
    pub fn down(mut self) -> Down {
        let folder = TempDir::new().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let leash = Leash::new(None).unwrap_or_else(|error| panic!("no leash: {error}"));
        Down { folder: mem::replace(&mut self.folder, folder), leash: mem::replace(&mut self.leash, leash) }
    }

    async fn rise(programs: &Path, folder: TempDir, leash: Leash, told: &[(&str, &str)]) -> Self {
        let mut process = Command::new(programs.join("guildhall"))
            .args(["dev", "--ports", "auto", "--directory"])
            .arg(folder.path().join("dev"))
            .current_dir(folder.path())
            .envs(SETTINGS)
            .env("GUILDHALL_KILL_POINT", folder.path().join(KILL_POINT))
            .envs(told.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run guildhall dev: {error}"));
        leash
            .hold(&[Held { pid: process.id(), signal: Signal::SIGTERM }])
            .unwrap_or_else(|error| panic!("no leash: {error}"));
        let log = Log::default();
        log.follow(process.stdout.take());
        log.follow(process.stderr.take());

        let begun = Instant::now();
        let dev_json = folder.path().join("dev/dev.json");
        while !dev_json.exists() {
            let ended = process.try_wait().ok().flatten();
            if ended.is_some() || begun.elapsed() > READY_WITHIN {
                // Its last words may still be on their way.
                sleep(Duration::from_millis(100)).await;
                log.show();
                let _ = process.kill();
                match ended {
                    Some(status) => panic!("guildhall dev ended before it was ready: {status}"),
                    None => panic!("guildhall dev was not ready within {} s", READY_WITHIN.as_secs()),
                }
            }
            sleep(POLL).await;
        }
        let access = read_access(&dev_json);
        Self { access, process, log, folder, leash }
    }

    pub fn access(&self) -> &Access {
        &self.access
    }

    /// The pid of `gateway`, `org-service`, `member-service`, `authz-service`, `postgres` or `guildhall` now; none while it is down.
    pub fn pid(&self, name: &str) -> Option<u32> {
        read_access(&self.dev_json()).pids.get(name).copied()
    }

    /// Kills a child as the kernel would, and returns the pid that it had.
    pub fn kill(&self, name: &str) -> u32 {
        self.signal(name, Signal::SIGKILL)
    }

    /// SIGQUIT: to PostgreSQL an immediate stop, as by `pg_ctl stop -m immediate`. The pid that it had.
    pub fn quit(&self, name: &str) -> u32 {
        self.signal(name, Signal::SIGQUIT)
    }

    /// A child stands still and does not notice, until it is told to go on.
    pub fn stop(&self, name: &str) {
        self.signal(name, Signal::SIGSTOP);
    }

    pub fn go_on(&self, name: &str) {
        self.signal(name, Signal::SIGCONT);
    }

    fn signal(&self, name: &str, signal: Signal) -> u32 {
        let pid = self.pid(name).unwrap_or_else(|| panic!("{name} is not running"));
        let raw = i32::try_from(pid).unwrap_or_else(|_| panic!("{pid} is no pid"));
        kill(Pid::from_raw(raw), signal)
            .unwrap_or_else(|error| panic!("cannot send {signal} to {name} ({pid}): {error}"));
        pid
    }

    /// Has whichever service comes to this place next die there, once. See `runtime::kill_point`.
    pub fn arm(&self, kill_point: &str) {
        let file = self.folder.path().join(KILL_POINT);
        fs::write(&file, kill_point).unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
    }

    /// Whether somebody is still to die.
    pub fn armed(&self) -> bool {
        self.folder.path().join(KILL_POINT).exists()
    }

    /// Waits until the child that had this pid runs again as another process. It may not be ready yet.
    pub async fn restarted(&self, name: &str, pid: u32) -> u32 {
        let begun = Instant::now();
        loop {
            match self.pid(name) {
                Some(now) if now != pid => return now,
                _ if begun.elapsed() > BACK_WITHIN => {
                    panic!("{name} was not started again within {} s", BACK_WITHIN.as_secs())
                }
                _ => sleep(POLL).await,
            }
        }
    }

    /// What was mailed to the address, oldest first; waits until there is something.
    pub async fn mailbox(&self, to: &str) -> Vec<Mail> {
        self.mails(to, 1).await
    }

    /// As `mailbox`, until there are at least `count`.
    pub async fn mails(&self, to: &str, count: usize) -> Vec<Mail> {
        let begun = Instant::now();
        loop {
            let mails = self.delivered(to);
            if mails.len() >= count {
                return mails;
            }
            assert!(
                begun.elapsed() < MAIL_WITHIN,
                "{} of {count} mails to {to} within {} s",
                mails.len(),
                MAIL_WITHIN.as_secs()
            );
            sleep(POLL).await;
        }
    }

    /// What has been mailed to the address so far.
    pub fn delivered(&self, to: &str) -> Vec<Mail> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.folder.path().join("dev/mailbox"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
            .filter(|path| path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b".")))
            .collect();
        files.sort();
        let mails = files.iter().filter_map(|file| serde_json::from_slice::<Mail>(&fs::read(file).ok()?).ok());
        mails.filter(|mail| mail.to.eq_ignore_ascii_case(to)).collect()
    }

    /// Everything printed so far, line by line.
    pub fn log(&self) -> Vec<String> {
        self.log.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What `guildhall dev` keeps: `dev.json`, `keys/`, `trust/`, `mailbox/`.
    pub fn directory(&self) -> PathBuf {
        self.folder.path().join("dev")
    }

    fn dev_json(&self) -> PathBuf {
        self.directory().join("dev.json")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking() {
            self.log.show();
        }
        if let Ok(raw) = i32::try_from(self.process.id()) {
            let _ = kill(Pid::from_raw(raw), Signal::SIGTERM);
        }
        let begun = Instant::now();
        while begun.elapsed() < STOPPED_WITHIN && matches!(self.process.try_wait(), Ok(None)) {
            thread::sleep(POLL);
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = self.leash.hold(&[]);
        if let Some(superuser_url) = local_postgres::given_url() {
            let server = self.access.database_url.split('?').next().unwrap_or_default();
            let database = server.rsplit('/').next().unwrap_or_default().to_owned();
            postgres::drop_elsewhere(superuser_url, database);
        }
    }
}

/// It is replaced whole, never written in place.
fn read_access(dev_json: &std::path::Path) -> Access {
    let text = fs::read(dev_json).unwrap_or_else(|error| panic!("cannot read {}: {error}", dev_json.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{} is not as expected: {error}", dev_json.display()))
}

impl Log {
    fn follow(&self, stream: Option<impl Read + Send + 'static>) {
        let lines = Arc::clone(&self.0);
        let Some(stream) = stream else { return };
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                line.clear();
            }
        });
    }

    #[expect(clippy::print_stderr, reason = "libtest shows it with the test that failed")]
    fn show(&self) {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, last) = lines.split_at(lines.len().saturating_sub(SHOWN_LINES));
        eprintln!("--- errors that guildhall dev told before its last lines ---");
        for line in before.iter().filter(|line| line.contains(" ERROR ")).take(SHOWN_LINES) {
            eprintln!("{line}");
        }
        eprintln!("--- the last lines of guildhall dev ---");
        for line in last {
            eprintln!("{line}");
        }
    }
}
