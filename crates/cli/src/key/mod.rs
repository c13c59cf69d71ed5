//! The keys of an installation: what is signed with them, and what is sealed.

mod files;
mod generate;
mod list;
mod plan;
mod rotate;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tokens::Algorithm;

pub use generate::generate;

use crate::{Failure, Output, render::Format};

#[derive(Subcommand)]
pub enum Command {
    /// Makes the keys of access tokens, a signing key and its public half for each of the four processes, and a sealing key for
    /// each service. What exists is kept.
    Generate {
        /// Gets the folders keys, trust and sealing.
        #[arg(long, value_name = "DIR")]
        directory: PathBuf,
    },
    /// Replaces signing keys without losing a token: the new one is published, signs after --lead, and the old one is kept until
    /// the last token that it signed has ended. A later run removes it.
    ///
    /// A run that finds a new key on its way makes no other, and one that was interrupted is made good by the next. So it may be run at
    /// any time, by anybody who shares the folder.
    Rotate(Rotate),
    /// Shows the signing keys and what each does.
    List {
        /// Holds the folders keys and trust.
        #[arg(long, value_name = "DIR")]
        directory: PathBuf,
        /// Default: a table on a terminal, else JSON.
        #[arg(long, value_enum)]
        output: Option<Format>,
        #[command(flatten)]
        times: Times,
    },
}

#[derive(Args)]
pub struct Rotate {
    /// Holds the folders keys and trust.
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,
    /// Whose keys: access (those of access tokens), gateway, org-service, member-service, authz-service. Again for more. Default: all.
    #[arg(long = "signer", value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(SIGNERS))]
    signers: Vec<String>,
    /// Only those of this algorithm, of access tokens: EdDSA, ES256 or RS256. Again for more.
    #[arg(long = "algorithm", value_name = "NAME")]
    algorithms: Vec<Algorithm>,
    /// Only those that have signed for so many days: for a job that runs every day.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=3650))]
    older_than: Option<u16>,
    /// For how many seconds the new key is published before it signs: the time in which the changed files reach every process, and
    /// 5 minutes for which others may keep the old set. At least 360.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "600")]
    lead: time::Duration,
    #[command(flatten)]
    times: Times,
}

/// How long things last. Only tests have reason to say.
#[derive(Args, Clone, Copy)]
pub struct Times {
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "300", hide = true)]
    cache_time: time::Duration,
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "3600", hide = true)]
    longest_life: time::Duration,
}

impl Times {
    /// For so long is a key believed after another has taken its place: until its last token has ended, signed by a process that
    /// learnt of the other late.
    fn kept(self) -> time::Duration {
        let leeway = time::Duration::seconds_f64(tokens::LEEWAY.as_secs_f64());
        self.longest_life
            + self.cache_time
            + if self.longest_life >= time::Duration::minutes(1) { leeway } else { time::Duration::ZERO }
    }
}

fn seconds(text: &str) -> Result<time::Duration, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=31_536_000.0).contains(&value) => Ok(time::Duration::seconds_f64(value)),
        _ => Err("must be from 0 to 31536000 seconds".to_owned()),
    }
}

pub fn run(command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Generate { directory } => {
            for made in generate(&directory)? {
                output.say(format_args!("wrote {}", made.display()));
            }
            Ok(())
        }
        Command::Rotate(options) => rotate::rotate(&options, output),
        Command::List { directory, output, times } => list::list(&directory, Format::or_default(output), times),
    }
}

/// Whose keys: those of access tokens, which the gateway holds, and each process's own for its calls to the others.
const SIGNERS: [&str; 5] = [ACCESS, "gateway", "org-service", "member-service", "authz-service"];
const ACCESS: &str = "access";

/// Calls between services are signed with the one; a project chooses what its tokens are signed with.
fn algorithms(signer: &str) -> &'static [Algorithm] {
    if signer == ACCESS { &Algorithm::ALL } else { &[Algorithm::EdDsa] }
}
