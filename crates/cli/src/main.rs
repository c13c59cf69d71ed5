//! `guildhall`: the command of a developer and of an operator.

mod catalog;
mod command;
mod context;
mod contract;
mod dev;
mod failure;
mod import;
mod key;
mod output;
mod policy;
mod refusal;
mod render;
mod smtp;

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use clap_complete::Shell;
use failure::Failure;
use output::Output;

/// Organizations, members, roles and the tokens that prove them.
///
/// Commands that call a gateway are those of its contracts. Any value may be read from a file or standard input: @FILE, @-.
/// GUILDHALL_CLIENT_ID and GUILDHALL_CLIENT_SECRET, or GUILDHALL_TOKEN, go before a context's credential.
#[derive(Parser)]
#[command(name = "guildhall", version, after_long_help = refusal::EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts everything on this machine: PostgreSQL, the four services, a demo project. Ctrl-C stops it.
    Dev(dev::Options),
    /// The keys of the services.
    #[command(subcommand)]
    Key(key::Command),
    /// Where gateways are, who calls them, and what is meant when nothing is said.
    #[command(subcommand)]
    Context(context::Command),
    /// Prints what makes a shell complete these commands: `source <(guildhall completions bash)`.
    Completions { shell: Shell },
}

fn main() -> ExitCode {
    let matches = match all().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            // Help and version are answers, not faults.
            return ExitCode::from(if error.use_stderr() { refusal::USAGE } else { 0 });
        }
    };
    match command::run(&matches).unwrap_or_else(|| own(&matches)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            Output::new(false).fail(&failure);
            ExitCode::from(refusal::exit_code(&failure))
        }
    }
}

/// What calls a gateway, and what does not.
fn all() -> clap::Command {
    Arguments::command().subcommands(command::commands())
}

fn own(matches: &ArgMatches) -> Result<(), Failure> {
    let arguments = Arguments::from_arg_matches(matches).map_err(|error| Failure::Usage(error.to_string()))?;
    match arguments.command {
        Command::Dev(options) => dev::run(options),
        Command::Key(command) => key::run(command, Output::new(false)),
        Command::Context(command) => context::run(command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut all(), "guildhall", &mut script);
            render::line(String::from_utf8_lossy(&script).trim_end())
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn clap_finds_no_fault_with_all_commands_together() {
        super::all().debug_assert();
    }
}
