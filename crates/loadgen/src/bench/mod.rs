//! What is measured, each path beside its floor.

mod check;
mod embedded;
pub mod engine;
mod forward;
mod get;
mod idle;
mod lists;
mod loads;
mod mix;
mod overload;
pub mod peers;
mod scale;
mod sign_in;
mod tokens;
mod visibility;

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::block_in_place;

use crate::data::world::Size;
use crate::house::House;
use crate::measure::{Closed, Seen};
use crate::place::Cores;
use crate::process::cpu_time;
use crate::progress::Progress;
use crate::report::Report;
use crate::wire::{Call, Connection};
use crate::{Failure, Topic};

use peers::Programs;

/// So many calls share a connection, as those of one process do.
const CALLS_A_CONNECTION: usize = 16;
/// Enough that a server always has work: it is the most that it can do that is asked for.
const CALLERS: usize = 64;
/// Above this, the client could give no more, and the server perhaps could.
const BUSY: f64 = 0.95;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub rounds: usize,
    pub warm_up: Duration,
    pub lasting: Duration,
    /// How many call at once where rates are measured.
    pub callers: usize,
    /// The organization of most questions, and the one with a hundred thousand bindings.
    pub budget: Size,
    pub wide: Size,
    pub few: usize,
    pub many: usize,
    /// How often a write is looked for at another replica.
    pub writes: usize,
    /// How many there are in the end, where they grow.
    pub organizations: usize,
}

impl Plan {
    /// The budgets' sizes.
    pub const FULL: Self = Self {
        rounds: 5,
        warm_up: Duration::from_millis(500),
        lasting: Duration::from_secs(2),
        callers: CALLERS,
        budget: Size::BUDGET,
        wide: Size::WIDE,
        few: 1_000,
        many: 100_000,
        writes: 200,
        organizations: 1_000_000,
    };
    /// Whether everything runs; the figures are of small data and short moments.
    pub const QUICK: Self = Self {
        rounds: 1,
        warm_up: Duration::from_millis(50),
        lasting: Duration::from_millis(200),
        callers: CALLERS,
        budget: Size::SMALL,
        wide: Size::SMALL,
        few: 100,
        many: 2_000,
        writes: 10,
        organizations: 2_000,
    };
}

/// One run.
pub struct Run<'r> {
    pub plan: Plan,
    pub report: &'r mut Report,
    pub progress: &'r Progress,
    pub seed: u64,
}

/// Everything that was asked for, the engine alone first: it needs the machine to itself.
pub async fn all(topics: &[Topic], run: &mut Run<'_>, programs: &Programs) -> Result<(), Failure> {
    let wanted = |topic| topics.is_empty() || topics.contains(&topic);
    let cores = Cores::of_this_machine();
    if wanted(Topic::Engine) {
        engine::measure(run)?;
    }
    if topics == [Topic::Engine] {
        return Ok(());
    }
    run.progress.say("starting an installation");
    let house = House::open(cores).await;
    if wanted(Topic::Idle) {
        idle::measure(&house, run).await?;
    }
    if [Topic::Check, Topic::Forward, Topic::Tokens, Topic::Mix, Topic::Overload].into_iter().any(wanted) {
        let ground = check::Ground::lay(&house, run).await?;
        if wanted(Topic::Check) {
            check::measure(&house, &ground, run).await?;
            embedded::measure(&house, &ground, run).await?;
        }
        if wanted(Topic::Forward) {
            forward::measure(&house, &ground, run).await?;
        }
        if wanted(Topic::Tokens) {
            tokens::mint(&house, &ground, run).await?;
        }
        if wanted(Topic::Mix) {
            mix::measure(&house, &ground, run).await?;
        }
        if wanted(Topic::Overload) {
            overload::measure(&house, &ground, run).await?;
        }
    }
    if wanted(Topic::Visibility) {
        visibility::measure(&house, run).await?;
    }
    if wanted(Topic::Loads) {
        loads::measure(&house, run).await?;
    }
    // Half an hour and tens of gigabytes: when it is asked for.
    if topics.contains(&Topic::Scale) {
        scale::measure(&house, run, run.plan.organizations).await?;
    }
    // Programs of other makers: when they are named.
    if topics.contains(&Topic::Peers) {
        peers::measure(&house, run, programs).await?;
    }
    if wanted(Topic::SignIn) {
        sign_in::measure(&house, run).await?;
    }
    if wanted(Topic::Lists) {
        lists::measure(&house, run).await?;
    }
    if wanted(Topic::Get) || wanted(Topic::Tokens) {
        let floor = get::floor(&house).await?;
        if wanted(Topic::Get) {
            get::measure(&house, &floor, run).await?;
        }
        if wanted(Topic::Tokens) {
            tokens::refresh(&house, &floor, run).await?;
        }
    }
    Ok(())
}

impl Plan {
    /// A closed loop on these cores.
    fn closed(&self, cores: &[usize], workers: usize) -> Closed {
        Closed { cores: cores.to_vec(), workers, warm_up: self.warm_up, lasting: self.lasting }
    }
}

/// Calls a server from the clients' cores as fast as it answers: calls a second, microseconds of the servers' CPU for each, and how
/// busy the clients were.
fn saturate(
    plan: &Plan,
    cores: &Cores,
    address: SocketAddr,
    calls: &Arc<[Call]>,
    pids: &[u32],
) -> Result<[f64; 3], Failure> {
    let before = cpu_time(pids)?;
    let seen = block_in_place(|| {
        plan.closed(&cores.client, plan.callers).run(async |range| callers(address, calls, range).await)
    })?;
    let spent = cpu_time(pids)? - before;
    Ok([seen.per_s, spent.as_secs_f64() * 1e6 / seen.calls.max(1) as f64, seen.client_busy])
}

/// Workers that go through the calls in turn, some on each connection.
async fn callers(
    address: SocketAddr,
    calls: &Arc<[Call]>,
    range: Range<usize>,
) -> Result<Vec<impl AsyncFnMut() -> Result<(), Failure>>, Failure> {
    let mut connection = Connection::open(address).await?;
    let first = range.start;
    let mut workers = Vec::with_capacity(range.len());
    for number in range {
        if number > first && (number - first).is_multiple_of(CALLS_A_CONNECTION) {
            connection = Connection::open(address).await?;
        }
        workers.push(caller(connection.clone(), Arc::clone(calls), number * calls.len() / CALLERS));
    }
    Ok(workers)
}

fn caller(connection: Connection, calls: Arc<[Call]>, mut at: usize) -> impl AsyncFnMut() -> Result<(), Failure> {
    async move || {
        at = (at + 1) % calls.len();
        connection.call(&calls[at]).await.map(drop)
    }
}

impl Run<'_> {
    /// A ratio of rates says something of the servers only while the clients could have given more.
    fn not_the_client(&mut self, what: &str, busy: f64) {
        if busy > BUSY {
            self.report.doubt(format!(
                "{what}: the client used {:.0} % of its cores, so its rate may be the client's",
                busy * 100.0
            ));
        }
    }

    fn latency(&mut self, key: &str, seen: &Seen) {
        for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)] {
            self.report.one(format!("{key}_{name}_us"), seen.times.us(share));
        }
    }
}
