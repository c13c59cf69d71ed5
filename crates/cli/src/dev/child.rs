use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::roster::Roster;
use super::service::Service;
use crate::{Failure, Output};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// With the time that a service takes to start it stays well below the gateway's `--revocation-lag`: one that is killed again and again takes
/// nobody's tokens along.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Whoever has lived this long is given the first pause again.
const SETTLED: Duration = Duration::from_secs(5);
/// What a process may take to end when asked to: its calls in flight may last that long.
const FAREWELL: Duration = Duration::from_secs(10);

/// A service that is kept running until it is stopped.
#[derive(Debug)]
pub struct Kept {
    stop: CancellationToken,
    keeper: JoinHandle<()>,
}

impl Kept {
    pub fn start(service: Service, roster: Arc<Roster>, output: Output) -> Self {
        let stop = CancellationToken::new();
        let keeper = tokio::spawn(keep(service, roster, output, stop.clone()));
        Self { stop, keeper }
    }

    /// Asks it to end, and insists after a while.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = self.keeper.await;
    }
}

async fn keep(service: Service, roster: Arc<Roster>, output: Output, stop: CancellationToken) {
    let name = service.name;
    let mut pause = FIRST_PAUSE;
    loop {
        let begun = Instant::now();
        match spawn(&mut service.serve(), name, output) {
            Ok(mut child) => {
                let pid = child.id().unwrap_or_default();
                roster.entered(name, pid);
                let status = tokio::select! {
                    status = child.wait() => status.ok(),
                    () = stop.cancelled() => {
                        end(&mut child, name, output).await;
                        roster.left(name, None);
                        return;
                    }
                };
                roster.left(name, status);
                if begun.elapsed() > SETTLED {
                    pause = FIRST_PAUSE;
                }
                let how = status.map_or_else(|| "in a way unknown".to_owned(), |status| status.to_string());
                output.say(format_args!(
                    "{name} (pid {pid}) ended, {how}; starting it again in {} ms",
                    pause.as_millis()
                ));
            }
            Err(failure) => output.say(format_args!("{failure}; trying again in {} ms", pause.as_millis())),
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = stop.cancelled() => return,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Runs a command to its end, its output shown under `name`.
pub async fn run_once(mut command: Command, name: &'static str, output: Output) -> Result<ExitStatus, Failure> {
    let mut child = spawn(&mut command, name, output)?;
    child.wait().await.map_err(Failure::system("cannot wait for a child"))
}

fn spawn(command: &mut Command, name: &'static str, output: Output) -> Result<Child, Failure> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C in the terminal is for us: we stop them in order.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(Failure::file("cannot run", command.as_std().get_program()))?;
    if let Some(stdout) = child.stdout.take() {
        tokio::spawn(show(stdout, name, output));
    }
    if let Some(stderr) = child.stderr.take() {
        tokio::spawn(show(stderr, name, output));
    }
    Ok(child)
}

async fn show(stream: impl AsyncRead + Unpin, name: &'static str, output: Output) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
        output.log(name, String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
}

async fn end(child: &mut Child, name: &str, output: Output) {
    // None: it has ended and is collected, and its pid may be somebody else's.
    let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) else { return };
    let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    if timeout(FAREWELL, child.wait()).await.is_err() {
        output.say(format_args!("{name} has not ended within {} s; ending it at once", FAREWELL.as_secs()));
        let _ = child.kill().await;
    }
}
