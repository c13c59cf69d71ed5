use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use nix::sys::signal::Signal;

/// Reads wills line by line; the last one is carried out when its standard input ends. Then the folder, if one was named.
const SCRIPT: &str = r#"
held=
while read -r line; do held=$line; done
[ -n "$held" ] || exit 0
for one in $held; do kill -s "${one%%:*}" "${one##*:}" 2>/dev/null; done
[ -n "$1" ] || exit 0
patience=100
for one in $held; do
  while [ "$patience" -gt 0 ] && kill -0 "${one##*:}" 2>/dev/null; do sleep 0.1; patience=$((patience - 1)); done
done
rm -rf -- "$1"
"#;

/// What should end with us, and by which signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub pid: u32,
    pub signal: Signal,
}

/// Ends other processes when this one is gone, however it went: a test that aborts and a `kill -9` leave no servers behind.
///
/// A small shell waits at the reading end of a pipe whose only writing end is ours; the kernel closes that when we die. This
/// needs neither `PR_SET_PDEATHSIG`, which Linux alone has and which fires when the *thread* that started the child ends, nor
/// unsafe code. It is a group of its own, so that Ctrl-C in a terminal does not reach it.
#[derive(Debug)]
pub struct Leash {
    shell: Child,
    will: Mutex<Option<ChildStdin>>,
}

impl Leash {
    /// Holds nothing yet. `folder` is removed after the held processes have ended, if any are held when we go.
    pub fn new(folder: Option<&Path>) -> io::Result<Self> {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "leash"])
            .arg(folder.unwrap_or(Path::new("")))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let will = Mutex::new(shell.stdin.take());
        Ok(Self { shell, will })
    }

    /// Replaces what is held: these, and no others. An empty list lets go of everything.
    pub fn hold(&self, held: &[Held]) -> io::Result<()> {
        let words: Vec<String> =
            held.iter().map(|one| format!("{}:{}", one.signal.as_str().trim_start_matches("SIG"), one.pid)).collect();
        let mut will = self.will.lock().unwrap_or_else(PoisonError::into_inner);
        match will.as_mut() {
            Some(pipe) => writeln!(pipe, "{}", words.join(" ")),
            None => Ok(()),
        }
    }
}

impl Drop for Leash {
    /// Carries the will out, then collects the shell unless it is busy with that.
    fn drop(&mut self) {
        self.will.lock().unwrap_or_else(PoisonError::into_inner).take();
        for _ in 0..50 {
            match self.shell.try_wait() {
                Ok(None) => std::thread::sleep(std::time::Duration::from_millis(2)),
                Ok(Some(_)) | Err(_) => return,
            }
        }
    }
}
