use std::error::Error;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use crate::{Failure, refusal};

/// What a person reads. Every line is written whole, so that lines of several sources never mix; a reader that went away
/// (`guildhall dev | head`) does not stop the services.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    coloured: bool,
    quiet: bool,
}

/// ANSI colours, one for each source in turn; our own lines are bold.
const COLOURS: [(&str, &str); 6] = [
    ("gateway", "36"),
    ("org-service", "32"),
    ("member-service", "35"),
    ("authz-service", "33"),
    ("postgres", "34"),
    ("guildhall", "1"),
];

impl Output {
    /// `quiet` leaves out what the services log.
    pub fn new(quiet: bool) -> Self {
        let coloured = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { coloured, quiet }
    }

    /// A line that a service logged.
    pub fn log(self, source: &str, line: &str) {
        if !self.quiet {
            self.prefixed(source, line);
        }
    }

    /// A line of our own.
    pub fn say(self, line: impl Display) {
        self.prefixed("guildhall", &line.to_string());
    }

    /// Text without a prefix, to be copied.
    pub fn text(self, text: &str) {
        let mut out = io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Why we give up, with its causes, in one line; what a server says about a refusal, and what is wrong with several things at
    /// once, each on a line of its own.
    pub fn fail(self, failure: &Failure) {
        let lines = match failure {
            Failure::Refused(status) => refusal::words(status),
            Failure::Usage(faults) => faults.clone(),
            failure => causes(failure),
        };
        let _ = writeln!(io::stderr(), "guildhall: {lines}");
    }

    fn prefixed(self, source: &str, line: &str) {
        let colour = COLOURS.iter().find(|(name, _)| *name == source).map_or("37", |(_, colour)| colour);
        let mut out = io::stdout().lock();
        let _ = if self.coloured {
            writeln!(out, "\x1b[{colour}m{source:>14} |\x1b[0m {line}")
        } else {
            writeln!(out, "{source:>14} | {line}")
        };
    }
}

fn causes(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = inner.source();
    }
    line.replace('\n', " ")
}
