//! `guildhall dev`: a whole installation on one machine, from nothing, with one command.

mod child;
mod directory;
mod house;
mod http;
mod ports;
mod postgres;
mod record;
mod roster;
mod seed;
mod service;
mod steps;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use house::House;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{Failure, Output};

#[derive(Args)]
pub struct Options {
    /// Where the data, the keys, the mailbox and dev.json live.
    #[arg(long, value_name = "DIR", default_value = ".guildhall")]
    directory: PathBuf,
    /// Forget everything that an earlier run left in the directory, and start anew.
    #[arg(long)]
    reset: bool,
    /// `documented` (gateway 8080 and 8081, services 7101 to 7103 and 7201 to 7203), `auto` (free ones), or the first of eight in a row.
    #[arg(long, value_name = "PORTS", default_value = "documented")]
    ports: ports::Choice,
    /// Where org-service, member-service, authz-service and gateway are; by default beside this program.
    #[arg(long, value_name = "DIR", env = "GUILDHALL_BIN_DIR")]
    bin_dir: Option<PathBuf>,
    /// A superuser's URL of a PostgreSQL to use instead of a private one.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// What the services log, as tracing's filter directives.
    #[arg(long, value_name = "FILTER", env = "GUILDHALL_LOG", default_value = "info")]
    log: String,
    /// Leave the services' logs out.
    #[arg(long)]
    quiet: bool,
}

/// Blocks until a signal ends it.
pub fn run(options: Options) -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::system("cannot start"))?;
    let outcome = runtime.block_on(live(options));
    // An installation of PostgreSQL that was broken off runs in a thread that nothing waits for.
    runtime.shutdown_timeout(Duration::from_millis(100));
    outcome
}

async fn live(options: Options) -> Result<(), Failure> {
    let output = Output::new(options.quiet);
    let mut signals = Signals::new()?;
    let mut house = House::open(options, output)?;
    let risen = tokio::select! {
        risen = house.rise() => risen.map(|()| true),
        () = signals.any() => Ok(false),
    };
    if matches!(risen, Ok(true)) {
        signals.any().await;
    }
    if risen.is_ok() {
        output.say("stopping; once more ends it at once");
    }
    tokio::select! {
        () = house.fall() => {}
        // What is left is on leashes.
        () = signals.any() => output.say("ended at once"),
    }
    risen.map(drop)
}

/// Ctrl-C, `kill`, and the terminal that was closed.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> Result<Self, Failure> {
        let [interrupt, terminate, hangup] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        let deaf = |error| Failure::system("cannot listen for signals")(error);
        Ok(Self([interrupt.map_err(deaf)?, terminate.map_err(deaf)?, hangup.map_err(deaf)?]))
    }

    async fn any(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
