//! The command line of a process: `serve`, `migrate`, `check-config`, `ready`, `version`; and what its exit codes mean.
//!
//! 0: done. 1: it could not go on, one line says why. 64: the configuration or command line is wrong, one message names
//! every fault. No message and no help text holds a value that may be secret.

use std::error::Error as _;
use std::ffi::OsString;
use std::future::{Future, Ready};
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::options::{ProcessOptions, TelemetryOptions};
use crate::probe;
use crate::refusal::Chain;
use crate::server::Process;
use crate::shutdown::Shutdown;
use crate::telemetry::Telemetry;

/// Why a process could not go on; its sources are printed after it.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// What a service's `main` names.
pub struct Service<S, M> {
    pub name: &'static str,
    pub version: &'static str,
    pub ports: Ports,
    /// Whether strangers connect to it: what one connection may do is then less, unless told.
    pub public: bool,
    /// `async fn(Config, Process) -> Result<(), Error>`; it ends with `Process::serve`.
    pub serve: S,
    /// `async fn(MigrateConfig) -> Result<(), Error>`, or `no_migration()`.
    pub migrate: Option<M>,
}

/// The default ports, on all addresses.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub api: u16,
    pub admin: u16,
}

/// The configuration of `serve`: a `clap::Args` that flattens `ProcessOptions`.
pub trait Config: Args {
    fn process(&self) -> &ProcessOptions;

    /// Everything that is wrong with it, one line a fault, as `--option (VARIABLE): what is wrong`, without secret values.
    fn validate(&self) -> Result<(), Vec<String>> {
        Ok(())
    }
}

/// The configuration of `migrate`: a `clap::Args` that flattens `TelemetryOptions`.
pub trait MigrateConfig: Args {
    fn telemetry(&self) -> &TelemetryOptions;

    /// As `Config::validate`.
    fn validate(&self) -> Result<(), Vec<String>> {
        Ok(())
    }
}

/// The configuration of a `migrate` that is not there.
#[derive(Args, Debug)]
pub struct NoMigration {
    #[command(flatten)]
    telemetry: TelemetryOptions,
}

impl MigrateConfig for NoMigration {
    fn telemetry(&self) -> &TelemetryOptions {
        &self.telemetry
    }
}

type NeverMigrates = fn(NoMigration) -> Ready<Result<(), Error>>;

/// For a service without a database.
pub fn no_migration() -> Option<NeverMigrates> {
    None
}

/// Reads the command line, runs the command, and says how the process ends.
pub fn main<C, S, Serving, D, M, Migrating>(service: Service<S, M>) -> ExitCode
where
    C: Config,
    S: FnOnce(C, Process) -> Serving,
    Serving: Future<Output = Result<(), Error>>,
    D: MigrateConfig,
    M: FnOnce(D) -> Migrating,
    Migrating: Future<Output = Result<(), Error>>,
{
    let Service { name, version, ports, public, serve, migrate } = service;
    let command = command_line::<C, D>(name, version, ports, public, migrate.is_some());
    let outcome = match read::<C, D>(command, std::env::args_os().collect()) {
        Ok(Command::Version) => return say(&format!("{name} {version}\n")),
        Ok(Command::CheckConfig) => return say("the configuration is valid\n"),
        Ok(Command::Ready(admin)) => run(|| probe::ready(admin)),
        Ok(Command::Serve(config)) => run(|| serving(name, version, config, serve)),
        Ok(Command::Migrate(config)) => run(|| migrating(name, version, config, migrate)),
        Err(Refused::Help(text)) => return say(&text),
        Err(Refused::Usage(text)) => {
            complain(&text);
            return ExitCode::from(64);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{name}: {}\n", Chain(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}

fn run<F: Future<Output = Result<(), Error>>>(work: impl FnOnce() -> F) -> Result<(), Error> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work())
}

async fn serving<C, S, Serving>(name: &str, version: &'static str, config: C, serve: S) -> Result<(), Error>
where
    C: Config,
    S: FnOnce(C, Process) -> Serving,
    Serving: Future<Output = Result<(), Error>>,
{
    let options = config.process().clone();
    if options.exit_with_parent {
        exit_with_parent()?;
    }
    crate::telemetry::prometheus();
    let telemetry = Telemetry::start(name, version, &options.telemetry)?;
    let process = Process::start(name, options, Shutdown::on_signals()?, telemetry.exporting()).await?;
    tracing::info!(name, version, api = %process.api_address()?, admin = %process.admin_address()?, "started");
    let served = serve(config, process).await;
    tracing::info!("ended");
    telemetry.shutdown().await;
    served
}

async fn migrating<D, M, Migrating>(
    name: &str,
    version: &'static str,
    config: D,
    migrate: Option<M>,
) -> Result<(), Error>
where
    D: MigrateConfig,
    M: FnOnce(D) -> Migrating,
    Migrating: Future<Output = Result<(), Error>>,
{
    let Some(migrate) = migrate else { return Ok(()) };
    let telemetry = Telemetry::start(name, version, config.telemetry())?;
    let migrated = migrate(config).await;
    telemetry.shutdown().await;
    migrated
}

/// A development cluster's children must not outlive it, even when it is killed.
#[cfg(target_os = "linux")]
fn exit_with_parent() -> Result<(), Error> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM)?;
    // The parent may have ended before the line above; then process 1 has adopted us.
    if nix::unistd::getppid().as_raw() == 1 { Err("the parent process has ended".into()) } else { Ok(()) }
}

#[cfg(not(target_os = "linux"))]
fn exit_with_parent() -> Result<(), Error> {
    Ok(())
}

fn say(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(text: &str) {
    // There is nowhere left to report that standard error is closed.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[derive(Debug)]
enum Command<C, D> {
    Serve(C),
    Migrate(D),
    CheckConfig,
    Ready(SocketAddr),
    Version,
}

#[derive(Debug)]
enum Refused {
    Help(String),
    Usage(String),
}

fn command_line<C: Args, D: Args>(
    name: &'static str,
    version: &'static str,
    ports: Ports,
    public: bool,
    migrates: bool,
) -> clap::Command {
    let with_ports = |command: clap::Command| {
        let address = |port: u16| format!("0.0.0.0:{port}");
        let about = command.get_about().cloned().unwrap_or_default();
        // The arguments would bring the words of the last struct that they are made of.
        let command = C::augment_args(command).about(about).long_about(None);
        let command = if public {
            // Of all the calls that may be in flight, a connection gets a part.
            command
                .mut_arg("max_streams", |arg| arg.default_value("250"))
                .mut_arg("max_resets", |arg| arg.default_value("100"))
        } else {
            command
        };
        command
            .mut_arg("listen", |arg| arg.required(false).default_value(address(ports.api)))
            .mut_arg("admin_listen", |arg| arg.required(false).default_value(address(ports.admin)))
            // Help must not show what the environment holds.
            .mut_args(|arg| arg.hide_env_values(true))
    };
    let mut command = clap::Command::new(name)
        .version(version)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_ports(clap::Command::new("serve").about("Serve until SIGTERM")));
    if migrates {
        let migrate = clap::Command::new("migrate").about("Bring the database schema up to date, then exit");
        command = command.subcommand(D::augment_args(migrate).mut_args(|arg| arg.hide_env_values(true)));
    }
    command
        .subcommand(with_ports(
            clap::Command::new("check-config").about("Check the configuration of `serve`, then exit"),
        ))
        .subcommand(
            clap::Command::new("ready")
                .about("Ask the process that serves here whether it is ready, then exit: 0 if it is, else 1")
                .arg(
                    clap::Arg::new("admin_listen")
                        .long("admin-listen")
                        .env("GUILDHALL_ADMIN_LISTEN")
                        .value_name("ADDRESS")
                        .default_value(format!("0.0.0.0:{}", ports.admin))
                        .value_parser(clap::value_parser!(SocketAddr))
                        .help("Address of its admin listener"),
                ),
        )
        .subcommand(clap::Command::new("version").about("Print name and version"))
}

fn read<C: Config, D: MigrateConfig>(command: clap::Command, args: Vec<OsString>) -> Result<Command<C, D>, Refused> {
    let process = command.get_name().to_owned();
    let (matches, mut faults) = parse(command, args)?;
    let subcommand = matches.as_ref().and_then(clap::ArgMatches::subcommand);
    let command = match subcommand {
        None => None,
        Some(("version", _)) => Some(Command::Version),
        Some(("ready", matches)) => matches.get_one("admin_listen").copied().map(Command::Ready),
        Some(("migrate", matches)) => D::from_arg_matches(matches).ok().map(|config| {
            faults.extend(config.telemetry().faults());
            faults.extend(config.validate().err().unwrap_or_default());
            Command::Migrate(config)
        }),
        Some((name, matches)) => C::from_arg_matches(matches).ok().map(|config| {
            faults.extend(config.process().faults(&process));
            faults.extend(config.validate().err().unwrap_or_default());
            if name == "serve" { Command::Serve(config) } else { Command::CheckConfig }
        }),
    };
    match command {
        Some(command) if faults.is_empty() => Ok(command),
        _ => Err(Refused::Usage(message(&process, &faults))),
    }
}

fn message(name: &str, faults: &[String]) -> String {
    let count = if faults.len() == 1 { "a fault".to_owned() } else { format!("{} faults", faults.len()) };
    let lines: String = faults.iter().map(|fault| format!("  - {fault}\n")).collect();
    format!("{name}: the configuration has {count}:\n{lines}")
}

/// Parses although values are malformed: clap stops at the first, but an operator wants to know them all. Each malformed
/// value is noted and taken out, and the rest is parsed again.
fn parse(
    mut command: clap::Command,
    mut args: Vec<OsString>,
) -> Result<(Option<clap::ArgMatches>, Vec<String>), Refused> {
    let mut faults = Vec::new();
    loop {
        let error = match command.clone().try_get_matches_from(&args) {
            Ok(matches) => return Ok((Some(matches), faults)),
            Err(error) => error,
        };
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                return Err(Refused::Help(error.render().to_string()));
            }
            ErrorKind::MissingRequiredArgument => {
                faults.extend(named(&error).iter().map(|flag| fault(&command, flag, "is required")));
                return Ok((None, faults));
            }
            ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
                let Some(flag) = named(&error).into_iter().next() else { return Err(usage(&error)) };
                faults.push(fault(&command, &flag, &what_is_wrong(&error)));
                take_out(&mut command, &mut args, &flag);
            }
            _ => return Err(usage(&error)),
        }
        // A flag that cannot be taken out would be found again and again.
        if faults.len() > 100 {
            return Err(usage(&error));
        }
    }
}

fn usage(error: &clap::Error) -> Refused {
    Refused::Usage(error.render().to_string())
}

/// The flags an error is about: `--listen` of `--listen <ADDRESS>`.
fn named(error: &clap::Error) -> Vec<String> {
    let texts = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    };
    texts.iter().filter_map(|text| text.split_whitespace().next()).map(str::to_owned).collect()
}

/// In words that do not repeat the value.
fn what_is_wrong(error: &clap::Error) -> String {
    if let Some(source) = error.source() {
        return source.to_string();
    }
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) => format!("must be one of {}", values.join(", ")),
        _ => "is malformed or empty".to_owned(),
    }
}

fn fault(command: &clap::Command, flag: &str, what: &str) -> String {
    let args = command.get_subcommands().flat_map(clap::Command::get_arguments);
    let arg = args.into_iter().find(|arg| is_flag(arg, flag));
    match arg.and_then(clap::Arg::get_env) {
        Some(variable) => format!("{flag} ({}): {what}", variable.to_string_lossy()),
        None => format!("{flag}: {what}"),
    }
}

fn is_flag(arg: &clap::Arg, flag: &str) -> bool {
    arg.get_long().is_some_and(|long| flag.strip_prefix("--") == Some(long))
}

fn take_out(command: &mut clap::Command, args: &mut Vec<OsString>, flag: &str) {
    let subcommands: Vec<_> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in subcommands {
        *command = std::mem::take(command).mut_subcommand(name, |sub| {
            sub.mut_args(|arg| if is_flag(&arg, flag) { arg.env(None::<&str>).required(false) } else { arg })
        });
    }
    let with_value = format!("{flag}=");
    let mut kept = Vec::with_capacity(args.len());
    let mut rest = std::mem::take(args).into_iter().peekable();
    while let Some(arg) = rest.next() {
        if arg == flag {
            rest.next_if(|value| !value.to_string_lossy().starts_with("--"));
        } else if !arg.to_string_lossy().starts_with(&with_value) {
            kept.push(arg);
        }
    }
    *args = kept;
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
