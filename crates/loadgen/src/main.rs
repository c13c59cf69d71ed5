//! The load client: starts an installation of its own, fills it, and measures each path beside what the same parts cost without it.

mod bench;
mod data;
mod failure;
mod floor;
mod house;
mod measure;
mod place;
mod process;
mod progress;
mod report;
mod wire;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use serde_json::json;

use bench::peers::Programs;
use bench::{Plan, Run};
use data::world::Size;
use failure::Failure;
use progress::Progress;
use report::Report;

#[derive(Parser)]
#[command(name = "guildhall-loadgen", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure, print a table, and write it down as JSON.
    Bench {
        /// Only these; without any, all.
        #[arg(value_enum)]
        topics: Vec<Topic>,
        /// Small data and short moments: whether everything runs, and no figures to go by.
        #[arg(long)]
        quick: bool,
        /// Where `scale` ends.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        organizations: Option<u32>,
        #[command(flatten)]
        programs: Programs,
        /// Where the figures go.
        #[arg(long, value_name = "FILE", default_value = "target/bench.json")]
        output: PathBuf,
        /// What the data is made up from.
        #[arg(long, default_value_t = 20_260_101)]
        seed: u64,
    },
    /// The floor of a call: a bare tonic server.
    #[command(hide = true)]
    ServeEmpty,
    /// The floor of forwarding: a bare proxy.
    #[command(hide = true)]
    ServeProxy { to: SocketAddr },
    /// What a snapshot of an organization of this size takes, in bytes.
    #[command(hide = true)]
    Weigh { seed: u64, members: usize, groups: usize, roles: usize, resources: usize, bindings: usize },
    /// A collector of traces that forgets them.
    #[command(hide = true)]
    ServeSink,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Topic {
    /// Decisions in process: times, memory, building.
    Engine,
    /// Memory and start of idle services.
    Idle,
    /// Check and BatchCheck over gRPC.
    Check,
    /// Through the gateway.
    Forward,
    /// A write seen at another replica.
    Visibility,
    /// Organizations taken into memory.
    Loads,
    /// Pages of long lists.
    Lists,
    /// A member by id.
    Get,
    /// Minting and refreshing.
    Tokens,
    /// All kinds of calls at once.
    Mix,
    /// Signing in by password, and believing tokens.
    SignIn,
    /// Ten times too many calls, for four minutes.
    Overload,
    /// The same as a platform grows to a million organizations; only when asked for.
    Scale,
    /// Check beside SpiceDB and OpenFGA; only when asked for, with the paths of their programs.
    Peers,
}

fn main() -> ExitCode {
    let outcome = tokio::runtime::Runtime::new().map_err(Failure::system("cannot start")).and_then(|runtime| {
        runtime.block_on(async {
            match Arguments::parse().command {
                Command::Bench { topics, quick, organizations, programs, output, seed } => {
                    let mut plan = if quick { Plan::QUICK } else { Plan::FULL };
                    plan.organizations = organizations.map_or(plan.organizations, |some| some as usize);
                    bench(&topics, plan, quick, &programs, &output, seed).await
                }
                Command::Weigh { seed, members, groups, roles, resources, bindings } => {
                    bench::engine::weigh(seed, Size { members, groups, roles, resources, bindings })
                }
                Command::ServeEmpty => floor::empty::serve().await,
                Command::ServeProxy { to } => floor::proxy::serve(to).await,
                Command::ServeSink => floor::sink::serve().await,
            }
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "guildhall-loadgen: {}", failure.told());
            ExitCode::FAILURE
        }
    }
}

async fn bench(
    topics: &[Topic],
    plan: Plan,
    quick: bool,
    programs: &Programs,
    output: &std::path::Path,
    seed: u64,
) -> Result<(), Failure> {
    let mut report = Report::default();
    let progress = Progress::new();
    let measured =
        bench::all(topics, &mut Run { plan, report: &mut report, progress: &progress, seed }, programs).await;
    drop(progress);
    // What was measured before a failure is not lost.
    let mut out = std::io::stdout().lock();
    let _ = write!(out, "{}", report.table());
    for doubt in report.doubts() {
        let _ = writeln!(out, "in doubt: {doubt}");
    }
    report.write(output, machine(quick, seed))?;
    report.plot(&output.with_extension("svg"))?;
    measured
}

fn machine(quick: bool, seed: u64) -> serde_json::Value {
    let first = |file: &str, key: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines()
            .find_map(|line| Some(line.strip_prefix(key)?.trim_start_matches([' ', '\t', ':']).trim().to_owned()))
    };
    json!({
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "processor": first("/proc/cpuinfo", "model name"),
        "memory": first("/proc/meminfo", "MemTotal"),
        "kernel": std::fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned()),
        "quick": quick,
        "seed": seed,
        "profile": if cfg!(debug_assertions) { "debug" } else { "release" },
    })
}
