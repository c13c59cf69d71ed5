use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::Uid;

use crate::{Error, OLDEST_MAJOR};

/// Where each distribution keeps one folder for each major version; `*` stands for the version.
const VERSIONED: [(&str, &str, &str); 7] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/lib", "postgresql", "bin"),
    ("/usr/libexec", "postgresql", ""),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql@", "bin"),
];

/// A folder with the server's programs, and their major version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    bin: PathBuf,
    major: u32,
}

impl Installation {
    /// What `pg_config` names, then PATH, then the versioned folders of Debian, Red Hat, SUSE, Alpine and Homebrew, newest
    /// first; the first of at least [`OLDEST_MAJOR`].
    pub fn find() -> Result<Self, Error> {
        candidates()
            .iter()
            .filter_map(|bin| Self::at(bin))
            .find(|found| found.major >= OLDEST_MAJOR)
            .ok_or(Error::NotInstalled)
    }

    /// The one that can open data made by this major version: PostgreSQL reads no other's.
    pub(crate) fn find_major(major: u32, data: &Path) -> Result<Self, Error> {
        let found: Vec<Self> = candidates().iter().filter_map(|bin| Self::at(bin)).collect();
        match found.iter().find(|one| one.major == major) {
            Some(one) => Ok(one.clone()),
            None if found.is_empty() => Err(Error::NotInstalled),
            None => Err(Error::MajorNotInstalled { data: data.into(), major }),
        }
    }

    pub fn major(&self) -> u32 {
        self.major
    }

    /// Where one of its programs is: `pg_dump`, `psql` and so on.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// A client-only package leaves a folder without a server in it; that is no installation.
    fn at(bin: &Path) -> Option<Self> {
        if !bin.join("initdb").is_file() {
            return None;
        }
        let output = Command::new(bin.join("postgres")).arg("--version").current_dir("/").output().ok()?;
        Some(Self { bin: bin.into(), major: major(&String::from_utf8_lossy(&output.stdout))? })
    }
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` is 15; `.. 18beta2` is 18.
fn major(version: &str) -> Option<u32> {
    let number = version.split("(PostgreSQL) ").nth(1)?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn candidates() -> Vec<PathBuf> {
    let configured = Command::new("pg_config")
        .arg("--bindir")
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim().to_owned()));
    // A link in PATH leads to the folder where the rest lies.
    let in_path = env::var_os("PATH")
        .into_iter()
        .flat_map(|path| env::split_paths(&path).collect::<Vec<_>>())
        .filter_map(|folder| Some(folder.join("postgres").canonicalize().ok()?.parent()?.to_owned()));
    let mut versioned = BTreeSet::new();
    for (parent, prefix, below) in VERSIONED {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if let Some(version) =
                name.to_str().and_then(|name| name.strip_prefix(prefix)).and_then(|v| v.parse::<u32>().ok())
            {
                versioned.insert((version, entry.path().join(below)));
            }
        }
    }
    let mut seen = BTreeSet::new();
    configured
        .into_iter()
        .chain(in_path)
        .chain(versioned.into_iter().rev().map(|(_, bin)| bin))
        .filter(|bin| seen.insert(bin.clone()))
        .collect()
}

/// Installs PostgreSQL with the machine's package manager, where that can be done without asking anybody: as root, by a `sudo`
/// that wants no password, or by Homebrew. `progress` hears each command before it runs; they take a minute or so and block.
pub fn install(progress: impl Fn(&str)) -> Result<Installation, Error> {
    for command in install_commands().ok_or(Error::NotInstalled)? {
        progress(&command.join(" "));
        let failed = |reason: String| Error::InstallFailed { command: command.join(" "), reason };
        let output = Command::new(&command[0])
            .args(&command[1..])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("HOMEBREW_NO_AUTO_UPDATE", "1")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            let last = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
            return Err(failed(format!("{} ({last})", output.status)));
        }
    }
    Installation::find()
}

fn install_commands() -> Option<Vec<Vec<String>>> {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let root = Uid::effective().is_root();
    if !root && on_path("brew") {
        return Some(vec![words("brew install postgresql@17")]);
    }
    let commands = [
        ("apt-get", vec!["apt-get update -q", "apt-get install -q -y --no-install-recommends postgresql"]),
        ("dnf", vec!["dnf install -q -y postgresql-server"]),
        ("apk", vec!["apk add -q postgresql"]),
    ];
    let (_, lines) = commands.into_iter().find(|(manager, _)| on_path(manager))?;
    if root {
        return Some(lines.into_iter().map(words).collect());
    }
    let asks_nothing = Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    asks_nothing.then(|| lines.into_iter().map(|line| words(&format!("sudo -n {line}"))).collect())
}

fn on_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_the_server_says() {
        assert_eq!(major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta2"), Some(18));
        assert_eq!(major("postgres (EnterpriseDB) 9.6"), None);
    }

    #[test]
    fn this_machine_has_one_that_is_new_enough() {
        let found = Installation::find().expect("PostgreSQL is needed to run the tests");
        assert!(found.major() >= OLDEST_MAJOR);
        assert!(found.program("initdb").is_file());
    }
}
