//! More calls than authz-service can serve: ten times as many callers as keep it busy, who do not wait when they are told to, and ten
//! times as many as it has places for, who do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use api::authz::v1::consistency::Requirement;
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::check::Ground;
use super::{CALLERS, CALLS_A_CONNECTION, Plan, Run, saturate};
use crate::Failure;
use crate::house::House;
use crate::measure::{Closed, Seen, Series, Times, rounds};
use crate::process::resident;
use crate::wire::{Call, Connection};

const TIMES_TOO_MANY: usize = 10;
/// `--max-in-flight` as it is by default.
const PLACES: usize = 1_024;
/// A flood lasts for so many of the plan's measurements: two minutes.
const LONG: u32 = 60;
/// What is served after a flood is as much as before once it is at least this share.
const BACK: f64 = 0.9;
const BACK_WITHIN: Duration = Duration::from_secs(10);

/// What became of the calls that were let in, and how many were not.
#[derive(Debug, Default)]
struct Outcome {
    served: Mutex<Times>,
    shed: AtomicU64,
}

pub async fn measure(house: &House, ground: &Ground, run: &mut Run<'_>) -> Result<(), Failure> {
    let token = house.token().await?;
    let calls = ground.checks(ground.authz.address, &token, &Requirement::MinimizeLatency(true))?;
    let pid = ground.authz.process.pid();
    for (key, callers, waits) in
        [("impatient", TIMES_TOO_MANY * CALLERS, false), ("patient", TIMES_TOO_MANY * PLACES, true)]
    {
        // On as many connections: the fewer calls come on each of them together, the more each costs.
        let connections = (callers / CALLS_A_CONNECTION).min(CALLERS);
        let usual = Flood { callers: CALLERS, connections, waits: false, lasting: run.plan.lasting };
        run.progress.say("no more calls than can be served");
        let before = Usual::measure(usual, run.plan.rounds, house, ground, run, &calls)?;
        let memory = resident(pid)?;
        run.progress.say("ten times too many calls");
        // The token is short-lived.
        let token = house.token().await?;
        let calls = ground.checks(ground.authz.address, &token, &Requirement::MinimizeLatency(true))?;
        let connections = callers / CALLS_A_CONNECTION;
        let flood = Flood { callers, connections, waits, lasting: run.plan.lasting * LONG };
        let (seen, shed) = flood.run(house, ground, run, &calls)?;
        let grown = resident(pid)?.saturating_sub(memory);
        run.not_the_client(key, seen.client_busy);
        let (ended, brief) = (Instant::now(), Flood { lasting: run.plan.warm_up, ..usual });
        loop {
            let again = Usual::measure(brief, 1, house, ground, run, &calls)?;
            if again.shed == 0 && again.of_floor.median() >= BACK * before.of_floor.median() {
                break;
            }
            if ended.elapsed() > BACK_WITHIN {
                run.report.doubt(format!(
                    "{key}: {:.2} of an empty RPC's rate is served {:.0} s after a flood, before it {:.2}",
                    again.of_floor.median(),
                    ended.elapsed().as_secs_f64(),
                    before.of_floor.median()
                ));
                break;
            }
        }
        run.report.one(format!("overload_{key}_back_s"), ended.elapsed().as_secs_f64());
        // What the machine gives changes from second to second: the flood is long, and stands between two such measurements.
        let mut around = before;
        around.add(Usual::measure(usual, run.plan.rounds, house, ground, run, &calls)?);
        let peak = around.per_s.mean();
        run.report.one(format!("overload_{key}_goodput"), seen.per_s / peak);
        run.report.one(format!("overload_{key}_p99_of_usual"), seen.times.ns(0.99) / around.times.ns(0.99));
        run.report.one(format!("overload_{key}_shed_of_served"), shed as f64 / seen.times.count().max(1) as f64);
        run.report.one(format!("overload_{key}_grown_mb"), grown as f64 / 1e6);
        run.report.one(format!("overload_{key}_usual_p99_us"), around.times.us(0.99));
        run.report.series(format!("overload_{key}_peak_of_floor"), around.of_floor);
        run.report.series(format!("overload_{key}_peak_per_s"), around.per_s);
    }
    Ok(())
}

/// What is served of no more calls than can be, beside an empty RPC, which knows what the machine gave in that moment.
#[derive(Debug, Default)]
struct Usual {
    per_s: Series,
    of_floor: Series,
    times: Times,
    shed: u64,
}

impl Usual {
    fn measure(
        flood: Flood,
        times: usize,
        house: &House,
        ground: &Ground,
        run: &Run<'_>,
        calls: &Arc<[Call]>,
    ) -> Result<Self, Failure> {
        let (empty, mut usual) = (ground.empty_call()?, Self::default());
        let plan = Plan { lasting: flood.lasting, ..run.plan };
        let [[floor], [served]] = rounds::<2, 1>(times, |thing| {
            if thing == 0 {
                let [per_s, ..] = saturate(&plan, &house.cores, ground.empty.1, &empty, &[ground.empty.0.pid()])?;
                return Ok([per_s]);
            }
            let (seen, shed) = flood.run(house, ground, run, calls)?;
            usual.times.add(&seen.times);
            usual.shed += shed;
            Ok([seen.per_s])
        })?;
        Ok(Self { of_floor: served.over(&floor), per_s: served, ..usual })
    }

    fn add(&mut self, other: Self) {
        self.per_s.0.extend(other.per_s.0);
        self.of_floor.0.extend(other.of_floor.0);
        self.times.add(&other.times);
        self.shed += other.shed;
    }
}

/// So many callers, each of whom calls again as soon as they are answered.
#[derive(Debug, Clone, Copy)]
struct Flood {
    callers: usize,
    connections: usize,
    /// Who is refused comes again when they are told to.
    waits: bool,
    lasting: Duration,
}

impl Flood {
    /// What they saw of the calls that were served, and how many were shed.
    fn run(self, house: &House, ground: &Ground, run: &Run<'_>, calls: &Arc<[Call]>) -> Result<(Seen, u64), Failure> {
        let Self { callers, connections, waits, lasting } = self;
        let closed = Closed { cores: house.cores.client.clone(), workers: callers, warm_up: run.plan.warm_up, lasting };
        let outcome = Outcome::default();
        let (outcome, begun) = (&outcome, Instant::now() + run.plan.warm_up);
        let seen = block_in_place(|| {
            closed.run(async |range| {
                let mut open = Vec::new();
                for _ in 0..connections.min(range.len()) {
                    open.push(Connection::open(ground.authz.address).await?);
                }
                let connection = |at: usize| open[at % open.len()].clone();
                let worker = |(at, number): (usize, usize)| {
                    caller(connection(at), Arc::clone(calls), number * 31, waits, outcome, begun)
                };
                Ok(range.enumerate().map(worker).collect())
            })
        })?;
        let served = outcome.served.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let per_s = served.count() as f64 / lasting.as_secs_f64();
        Ok((Seen { times: served, per_s, ..seen }, outcome.shed.load(Ordering::Relaxed)))
    }
}

fn caller(
    connection: Connection,
    calls: Arc<[Call]>,
    mut at: usize,
    waits: bool,
    outcome: &Outcome,
    begun: Instant,
) -> impl AsyncFnMut() -> Result<(), Failure> {
    async move || {
        at = (at + 1) % calls.len();
        let sent = Instant::now();
        match connection.call(&calls[at]).await {
            Ok(_) => {
                if Instant::now() >= begun {
                    outcome.served.lock().unwrap_or_else(PoisonError::into_inner).record(sent.elapsed());
                }
                Ok(())
            }
            Err(Failure::Refused { retry_after: Some(retry_after), .. }) => {
                outcome.shed.fetch_add(1, Ordering::Relaxed);
                if waits {
                    sleep(retry_after).await;
                }
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }
}
