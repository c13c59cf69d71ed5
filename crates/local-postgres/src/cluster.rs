use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use aws_lc_rs::digest;
use rand::RngCore as _;
use tempfile::TempDir;

use crate::account::Account;
use crate::installation::Installation;
use crate::launch::{Server, end_leftover};
use crate::{Error, Held, Leash};

/// A socket's path must fit into `sockaddr_un`, 104 bytes on macOS and 108 on Linux, with `/.s.PGSQL.65535` at its end.
const LONGEST_SOCKET_FOLDER: usize = 88;

/// Where root keeps the data of a directory that no other account can enter.
const ROOT_DATA: &str = "/var/lib/guildhall";

/// Which cluster to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Holds the data, the socket, the log and the superuser's password. Absent: a temporary folder.
    pub directory: Option<PathBuf>,
    /// Kept when it stops, written as carefully as a real one. Otherwise thrown away as soon as possible, and quick.
    pub persistent: bool,
}

impl Options {
    pub fn persistent(directory: impl Into<PathBuf>) -> Self {
        Self { directory: Some(directory.into()), persistent: true }
    }

    pub fn throw_away() -> Self {
        Self { directory: None, persistent: false }
    }
}

/// A PostgreSQL server of our own. It listens on a unix socket in a folder that only its account and root can enter, where
/// nobody is asked for a password, and on a port of 127.0.0.1 for those who know one.
///
/// Dropping it stops it: a fast stop for a persistent one, none at all for one whose data is thrown away. That blocks for some tens of
/// milliseconds; [`Cluster::stop`] does not. If this process is killed, its [`Leash`] stops the server.
#[derive(Debug)]
pub struct Cluster {
    server: Server,
    password: String,
    leash: Leash,
    // Removed last.
    _temporary: Vec<TempDir>,
}

impl Cluster {
    /// Starts a new cluster, or the one whose data lies in the directory. A server that an earlier run left behind there is
    /// stopped first.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let mut temporary = Vec::new();
        let asked = match &options.directory {
            Some(directory) => absolute(directory)?,
            None => {
                let usual = std::env::temp_dir();
                let reached = Account::for_data(&usual.join("data"))?.reaches(&usual.join("any"));
                temporary_folder(if reached { &usual } else { Path::new("/tmp") }, &mut temporary)?
            }
        };
        let account = Account::for_data(&asked.join("data"))?;
        let directory = reachable(&asked, account)?;
        let data = directory.join("data");
        let account = Account::for_data(&data)?;
        account.give(&directory, 0o700)?;

        let installation = match fs::read_to_string(data.join("PG_VERSION")) {
            Ok(version) => Installation::find_major(version.trim().parse().unwrap_or(0), &data)?,
            Err(_) => Installation::find()?,
        };
        end_leftover(&data).await?;
        let password_file = directory.join("superuser");
        if !data.join("PG_VERSION").is_file() {
            make_password(&password_file, account)?;
            let (installation, directory) = (installation.clone(), directory.clone());
            tokio::task::spawn_blocking(move || initdb(&installation, account, &directory, options.persistent))
                .await
                .map_err(|panicked| Error::Initdb(panicked.to_string()))??;
        }
        let password = fs::read_to_string(&password_file).map_err(Error::file("cannot read", &password_file))?;

        let mut socket = directory.join("socket");
        if socket.as_os_str().len() > LONGEST_SOCKET_FOLDER {
            socket = temporary_folder(Path::new("/tmp"), &mut temporary)?;
        }
        fs::create_dir_all(&socket).map_err(Error::file("cannot create", &socket))?;
        account.give(&socket, 0o700)?;

        let removed_after_us = if options.persistent { None } else { Some(directory.as_path()) };
        let leash = Leash::new(removed_after_us).map_err(Error::run("/bin/sh"))?;
        let server = Server::start(installation, account, directory, socket, options.persistent).await?;
        let cluster = Self { server, password, leash, _temporary: temporary };
        cluster.tether()?;
        Ok(cluster)
    }

    /// Stops the server that an earlier run left running in the directory, if any: before the directory is removed.
    pub async fn stop_leftover(directory: &Path) -> Result<(), Error> {
        match directory.canonicalize() {
            Ok(directory) => end_leftover(&directory.join("data")).await,
            Err(_) => Ok(()),
        }
    }

    /// The superuser, by TCP and password: what to hand to other programs.
    pub fn superuser_url(&self) -> String {
        format!("postgres://postgres:{}@127.0.0.1:{}/postgres", self.password, self.server.port())
    }

    /// The superuser, by the socket: nothing to prove and so quicker, for the account that started the server and for root.
    pub fn socket_url(&self) -> String {
        let folder = url::form_urlencoded::byte_serialize(self.server.socket().as_os_str().as_encoded_bytes());
        format!("postgres://postgres@localhost:{}/postgres?host={}", self.server.port(), folder.collect::<String>())
    }

    pub fn port(&self) -> u16 {
        self.server.port()
    }

    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    pub fn major(&self) -> u32 {
        self.server.major()
    }

    /// How the server ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.server.ended()
    }

    /// Starts a server that ended once more, on the same port, socket and data.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.leash.hold(&[]).map_err(Error::run("/bin/sh"))?;
        self.server.restart().await?;
        self.tether()
    }

    /// Lets running transactions go, writes everything down, and ends.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.server.stop().await?;
        self.leash.hold(&[]).map_err(Error::run("/bin/sh"))
    }

    fn tether(&self) -> Result<(), Error> {
        let held = Held { pid: self.server.pid(), signal: self.server.farewell() };
        self.leash.hold(&[held]).map_err(Error::run("/bin/sh"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.server.end();
        // Nothing is left to hold. If this fails the shell is gone already, and there is nothing to tell it.
        let _ = self.leash.hold(&[]);
    }
}

fn absolute(directory: &Path) -> Result<PathBuf, Error> {
    fs::create_dir_all(directory).map_err(Error::file("cannot create", directory))?;
    directory.canonicalize().map_err(Error::file("cannot find", directory))
}

fn temporary_folder(parent: &Path, kept: &mut Vec<TempDir>) -> Result<PathBuf, Error> {
    let made = tempfile::Builder::new()
        .prefix("guildhall-pg-")
        .tempdir_in(parent)
        .map_err(Error::file("cannot create a folder in", parent))?;
    let path = absolute(made.path())?;
    kept.push(made);
    Ok(path)
}

/// `directory` itself, unless a folder above it is closed to the account (root's home is): then a folder under /var/lib, where root alone can
/// put one, and a link to it in place of `directory`.
fn reachable(directory: &Path, account: Account) -> Result<PathBuf, Error> {
    if account.reaches(directory) {
        return Ok(directory.to_owned());
    }
    let name = digest::digest(&digest::SHA256, directory.as_os_str().as_encoded_bytes());
    let name: String = name.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let elsewhere = Path::new(ROOT_DATA).join(name);
    fs::create_dir_all(&elsewhere).map_err(Error::file("cannot create", &elsewhere))?;
    fs::remove_dir(directory).map_err(Error::file("cannot put a link in place of", directory))?;
    std::os::unix::fs::symlink(&elsewhere, directory).map_err(Error::file("cannot link", directory))?;
    Ok(elsewhere)
}

fn make_password(file: &Path, account: Account) -> Result<(), Error> {
    let mut secret = [0; 24];
    rand::rng().fill_bytes(&mut secret);
    let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut made| made.write_all(secret.as_bytes()))
        .map_err(Error::file("cannot write", file))?;
    account.give(file, 0o600)
}

/// Made beside its place and then moved: an interrupted initdb leaves nothing that looks like a cluster.
fn initdb(installation: &Installation, account: Account, directory: &Path, persistent: bool) -> Result<(), Error> {
    let (making, data) = (directory.join("data.new"), directory.join("data"));
    for left in [&making, &data] {
        if left.exists() {
            fs::remove_dir_all(left).map_err(Error::file("cannot remove", left))?;
        }
    }
    let mut command = Command::new(installation.program("initdb"));
    command
        .args(["--username=postgres", "--encoding=UTF8", "--locale=C", "--no-instructions"])
        .args(["--auth-local=trust", "--auth-host=scram-sha-256", "--pwfile"])
        .arg(directory.join("superuser"))
        .arg("-D")
        .arg(&making)
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    if !persistent {
        command.arg("--no-sync");
    }
    account.dress(&mut command);
    let output = command.output().map_err(Error::run(installation.program("initdb")))?;
    if !output.status.success() {
        return Err(Error::Initdb(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    fs::rename(&making, &data).map_err(Error::file("cannot move", &making))
}
