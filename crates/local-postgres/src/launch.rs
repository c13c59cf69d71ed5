use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::time::sleep;

use crate::account::Account;
use crate::installation::Installation;
use crate::{Error, free_port};

/// After a crash the server first replays its log.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long what an earlier server left behind (its last backends, its shared memory) may take to go.
const LEFTOVER_WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

/// The server process and what it takes to start it again.
#[derive(Debug)]
pub(crate) struct Server {
    installation: Installation,
    account: Account,
    directory: PathBuf,
    socket: PathBuf,
    persistent: bool,
    port: u16,
    child: Child,
}

impl Server {
    pub(crate) async fn start(
        installation: Installation,
        account: Account,
        directory: PathBuf,
        socket: PathBuf,
        persistent: bool,
    ) -> Result<Self, Error> {
        let mut tries = 0;
        loop {
            tries += 1;
            let port = free_port(Ipv4Addr::LOCALHOST.into())?.port();
            let child = spawn(&installation, account, &directory, &socket, persistent, port)?;
            let mut server = Self {
                installation: installation.clone(),
                account,
                directory: directory.clone(),
                socket: socket.clone(),
                persistent,
                port,
                child,
            };
            match server.ready().await {
                Ok(()) => return Ok(server),
                // Somebody took the port between our look and the server's.
                Err(Error::NotStarted(words)) if tries < 5 && words.contains("could not bind") => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) async fn restart(&mut self) -> Result<(), Error> {
        end_leftover(&self.directory.join("data")).await?;
        let begun = Instant::now();
        loop {
            self.child =
                spawn(&self.installation, self.account, &self.directory, &self.socket, self.persistent, self.port)?;
            match self.ready().await {
                // The backends of a server that was killed go when they notice; until then its shared memory is in use.
                Err(Error::NotStarted(_)) if begun.elapsed() < LEFTOVER_WITHIN => {
                    sleep(Duration::from_millis(200)).await
                }
                other => return other,
            }
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn major(&self) -> u32 {
        self.installation.major()
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The signal that stops it as its data deserves: a fast stop, or an immediate one that writes nothing down.
    pub(crate) fn farewell(&self) -> Signal {
        if self.persistent { Signal::SIGINT } else { Signal::SIGQUIT }
    }

    pub(crate) async fn stop(&mut self) -> Result<(), Error> {
        for (signal, patience) in self.escalation() {
            self.send(signal);
            let begun = Instant::now();
            while begun.elapsed() < patience {
                if self.ended().is_some() {
                    return Ok(());
                }
                sleep(POLL).await;
            }
        }
        Err(Error::StillRunning { data: self.directory.join("data"), pid: raw(self.child.id()) })
    }

    /// Like `stop`, blocking, for `Drop`.
    pub(crate) fn end(&mut self) {
        for (signal, patience) in self.escalation() {
            if self.ended().is_some() {
                return;
            }
            self.send(signal);
            let begun = Instant::now();
            while begun.elapsed() < patience && self.ended().is_none() {
                std::thread::sleep(POLL);
            }
        }
    }

    fn escalation(&self) -> [(Signal, Duration); 3] {
        [
            (self.farewell(), Duration::from_secs(15)),
            (Signal::SIGQUIT, Duration::from_secs(5)),
            (Signal::SIGKILL, Duration::from_secs(2)),
        ]
    }

    /// Only while we have not collected it: until then its pid is nobody else's.
    fn send(&mut self, signal: Signal) {
        if self.ended().is_none() {
            let _ = kill(Pid::from_raw(raw(self.child.id())), signal);
        }
    }

    async fn ready(&mut self) -> Result<(), Error> {
        let options = PgConnectOptions::new_without_pgpass()
            .socket(&self.socket)
            .port(self.port)
            .username("postgres")
            .database("postgres");
        let log = self.directory.join("server.log");
        let begun = Instant::now();
        while begun.elapsed() < READY_WITHIN {
            if let Some(status) = self.ended() {
                return Err(Error::NotStarted(format!("{status}: {}", last_words(&log))));
            }
            if let Ok(connection) = PgConnection::connect_with(&options).await {
                return connection.close().await.map_err(Error::database("lost the connection to PostgreSQL"));
            }
            sleep(POLL).await;
        }
        self.end();
        Err(Error::NotReady { seconds: READY_WITHIN.as_secs(), log })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

fn spawn(
    installation: &Installation,
    account: Account,
    directory: &Path,
    socket: &Path,
    persistent: bool,
    port: u16,
) -> Result<Child, Error> {
    let log = directory.join("server.log");
    let log = File::create(&log).map_err(Error::file("cannot write", &log))?;
    let errors = log.try_clone().map_err(Error::file("cannot write", directory.join("server.log")))?;
    let mut settings = vec![
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        // A list: a folder whose name holds a comma or a blank is quoted.
        format!("unix_socket_directories=\"{}\"", socket.display().to_string().replace('"', "\"\"")),
        "unix_socket_permissions=0700".to_owned(),
        "max_connections=300".to_owned(),
        "timezone=UTC".to_owned(),
        "log_timezone=UTC".to_owned(),
        "password_encryption=scram-sha-256".to_owned(),
    ];
    if !persistent {
        settings.extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off"].map(str::to_owned));
    }
    let mut command = Command::new(installation.program("postgres"));
    command
        .arg("-D")
        .arg(directory.join("data"))
        .args(settings.iter().flat_map(|setting| ["-c", setting]))
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        // Ctrl-C in the terminal is for us; we stop the server when its clients have gone.
        .process_group(0);
    account.dress(&mut command);
    command.spawn().map_err(Error::run(installation.program("postgres")))
}

/// Stops the server that an earlier run left running on this data, and removes its pid file if the pid is another's by now.
///
/// PostgreSQL clears a stale pid file itself unless a living process of the same account has that number, which after a reboot or in a
/// new container is likely. Whether it is a server on this data is told by its command line, which holds the folder.
pub(crate) async fn end_leftover(data: &Path) -> Result<(), Error> {
    let file = data.join("postmaster.pid");
    let Some(pid) = fs::read_to_string(&file).ok().and_then(|text| text.lines().next()?.trim().parse::<i32>().ok())
    else {
        return Ok(());
    };
    let begun = Instant::now();
    let mut told = false;
    while serves(pid, data) {
        if !told {
            let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
            told = true;
        }
        if begun.elapsed() > LEFTOVER_WITHIN {
            return Err(Error::StillRunning { data: data.into(), pid });
        }
        sleep(POLL).await;
    }
    match fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("cannot remove", file)(error)),
        _ => Ok(()),
    }
}

fn serves(pid: i32, data: &Path) -> bool {
    let line = if Path::new("/proc/self/cmdline").exists() {
        fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()
    } else {
        let listing = Command::new("ps").args(["-ww", "-o", "command=", "-p", &pid.to_string()]).output();
        listing.map(|listing| listing.stdout).unwrap_or_default()
    };
    let data = data.as_os_str().as_encoded_bytes();
    line.windows(data.len()).any(|part| part == data)
}

fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let mut lines: Vec<&str> = text.lines().rev().take(5).collect();
    lines.reverse();
    lines.join(" | ")
}

fn raw(pid: u32) -> i32 {
    i32::try_from(pid).unwrap_or(i32::MAX)
}
