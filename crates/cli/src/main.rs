//! `guildhall`: the command of a developer and of an operator.

mod dev;
mod failure;
mod key;
mod output;
mod smtp;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use failure::Failure;
use output::Output;

/// Organizations, members, roles and the tokens that prove them.
#[derive(Parser)]
#[command(name = "guildhall", version)]
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
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::Dev(options) => dev::run(options),
        Command::Key(command) => key::run(command, Output::new(false)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            Output::new(false).fail(&failure);
            ExitCode::FAILURE
        }
    }
}
