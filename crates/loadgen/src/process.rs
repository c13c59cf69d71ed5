//! The servers that are measured: real processes, on cores of their own, gone when we are.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use local_postgres::{Held, Leash};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, sysconf};

use crate::Failure;
use crate::place::hold_this_thread;

/// What a process of ours may take to end: it has no work any more.
const FAREWELL: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Process {
    child: Child,
    // Ends it however we end.
    _leash: Leash,
}

impl Process {
    /// Starts it on these cores: a runtime inside sees as many and no more.
    pub fn start(command: &mut Command, cores: &[usize]) -> Result<Self, Failure> {
        let name = command.get_program().to_string_lossy().into_owned();
        let failed = || Failure::system(format!("cannot run {name}"));
        command.stdin(Stdio::null());
        let spawned = thread::scope(|scope| {
            let held = scope.spawn(|| hold_this_thread(cores).and_then(|()| command.spawn())).join();
            held.unwrap_or_else(|_| Err(std::io::Error::other("its thread panicked")))
        });
        let mut child = spawned.map_err(failed())?;
        let leashed = Leash::new(None)
            .and_then(|leash| leash.hold(&[Held { pid: child.id(), signal: Signal::SIGTERM }]).map(|()| leash));
        match leashed {
            Ok(leash) => Ok(Self { child, _leash: leash }),
            Err(error) => {
                let _ = child.kill();
                Err(failed()(error))
            }
        }
    }

    /// One that is ready when it says `listening <address>`.
    pub fn listening(command: &mut Command, cores: &[usize]) -> Result<(Self, SocketAddr), Failure> {
        let mut process = Self::start(command.stdout(Stdio::piped()), cores)?;
        let mut line = String::new();
        if let Some(stdout) = process.child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(Failure::system("cannot read from a floor server"))?;
        }
        let address = line.trim().strip_prefix("listening ").and_then(|address| address.parse().ok());
        address
            .map(|address| (process, address))
            .ok_or_else(|| Failure::NotReady { name: "a floor server".into(), seconds: 0 })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let begun = Instant::now();
        while begun.elapsed() < FAREWELL && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The CPU time that processes have used, in user and in kernel mode.
pub fn cpu_time(pids: &[u32]) -> Result<Duration, Failure> {
    let ticks_per_s = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100) as f64;
    let mut ticks = 0;
    for pid in pids {
        let stat = read(&format!("/proc/{pid}/stat"))?;
        ticks += ticks_of(&stat)
            .ok_or_else(|| Failure::Unmeasurable(format!("/proc/{pid}/stat does not tell the time used")))?;
    }
    Ok(Duration::from_secs_f64(ticks as f64 / ticks_per_s))
}

/// utime and stime: the 14th and 15th field; the second is a name in parentheses that may hold anything.
fn ticks_of(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11).map(|field| field.parse::<u64>().ok());
    Some(fields.next()?? + fields.next()??)
}

/// What a process holds of the machine's memory, in bytes.
pub fn resident(pid: u32) -> Result<u64, Failure> {
    let status = read(&format!("/proc/{pid}/status"))?;
    let kilobytes =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes
        .map(|kilobytes| kilobytes * 1024)
        .ok_or_else(|| Failure::Unmeasurable(format!("/proc/{pid}/status does not tell the memory held")))
}

/// Every process that this one started, and that those started.
pub fn descendants() -> std::io::Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // What has ended since is nobody's parent.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        parents.extend(parent_of(&stat).map(|parent| (pid, parent)));
    }
    let mut found = vec![std::process::id()];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.remove(0);
    Ok(found)
}

/// The threads of a process, by the numbers that the system knows them by.
pub fn threads(pid: u32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks.filter_map(|task| task.file_name().to_str()?.parse().ok()).collect()
}

/// The fourth field of `/proc/<pid>/stat`.
fn parent_of(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// A command like the one that this process was started by, its environment included: another replica. What differs is said by
/// further variables.
pub fn replica_of(pid: u32) -> Result<Command, Failure> {
    let program =
        fs::read_link(format!("/proc/{pid}/exe")).map_err(Failure::system("cannot tell a process's program"))?;
    let words =
        |what: &str| Ok(read(&format!("/proc/{pid}/{what}"))?.split_terminator('\0').map(str::to_owned).collect());
    let arguments: Vec<String> = words("cmdline")?;
    let environment: Vec<String> = words("environ")?;
    let mut command = Command::new(Path::new(&program));
    command
        .args(arguments.iter().skip(1))
        .env_clear()
        .envs(environment.iter().filter_map(|variable| variable.split_once('=')));
    Ok(command)
}

fn read(path: &str) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(Failure::system(format!("cannot read {path}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 9 1 2 3";
        assert_eq!((ticks_of(stat), parent_of(stat)), (Some(300), Some(1)));
        assert_eq!(ticks_of("7 (x) S 1"), None);
    }
}
