use std::io::{self, IsTerminal as _, Write as _};
use std::time::Instant;

/// What is being measured, on standard error: one line that is written over while somebody looks on, else a line each.
#[derive(Debug)]
pub struct Progress {
    begun: Instant,
    terminal: bool,
}

impl Progress {
    pub fn new() -> Self {
        Self { begun: Instant::now(), terminal: io::stderr().is_terminal() }
    }

    pub fn say(&self, what: &str) {
        let seconds = self.begun.elapsed().as_secs();
        let mut err = io::stderr().lock();
        let _ = if self.terminal {
            write!(err, "\r\x1b[K{seconds:4} s  {what}")
        } else {
            writeln!(err, "{seconds:4} s  {what}")
        };
        let _ = err.flush();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
