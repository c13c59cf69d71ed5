use std::io::{self, IsTerminal as _, Write as _};

/// How far an import is, on one line of standard error while somebody looks on.
pub struct Progress {
    what: &'static str,
    total: usize,
    done: usize,
    shown: bool,
}

impl Progress {
    pub fn new(what: &'static str, total: usize) -> Self {
        let progress = Self { what, total, done: 0, shown: io::stderr().is_terminal() };
        progress.show();
        progress
    }

    pub fn advance(&mut self, rows: usize) {
        self.done += rows;
        self.show();
    }

    /// A line that stays, above the progress.
    pub fn say(&self, line: &str) {
        self.clear();
        let _ = writeln!(io::stderr(), "{line}");
        self.show();
    }

    fn show(&self) {
        if self.shown {
            let percent = (self.done * 100).checked_div(self.total).unwrap_or(100);
            let mut err = io::stderr().lock();
            let _ = write!(err, "\r\x1b[K{} of {} {} ({percent} %)", self.done, self.total, self.what);
            let _ = err.flush();
        }
    }

    fn clear(&self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
