//! More calls than authz-service can serve: ten times as many callers as keep it busy, who do not wait when they are told to, and ten
//! times as many as it has places for, who do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use api::authz::v1::consistency::Requirement;
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::check::Ground;
use super::{CALLERS, CALLS_A_CONNECTION, Run};
use crate::Failure;
use crate::house::House;
use crate::measure::{Closed, Seen, Times};
use crate::process::resident;
use crate::wire::{Call, Connection};

const TIMES_TOO_MANY: usize = 10;
/// `--max-in-flight` as it is by default.
const PLACES: usize = 1_024;
/// What a shed caller is told to wait, in the middle.
const COME_AGAIN: Duration = Duration::from_millis(150);
/// A flood lasts for so many of the plan's measurements: two minutes.
const LONG: u32 = 60;
/// What is served after a flood is as much as before once it is at least this share.
const BACK: f64 = 0.95;
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
    let peak = flood(house, ground, run, &calls, CALLERS, run.plan.lasting, false)?.0;
    let before = resident(pid)?;
    run.report.one("overload_peak_per_s", peak.per_s);
    run.report.one("overload_usual_p99_us", peak.times.us(0.99));
    for (key, callers, waits) in
        [("impatient", TIMES_TOO_MANY * CALLERS, false), ("patient", TIMES_TOO_MANY * PLACES, true)]
    {
        run.progress.say("ten times too many calls");
        // The token is short-lived.
        let token = house.token().await?;
        let calls = ground.checks(ground.authz.address, &token, &Requirement::MinimizeLatency(true))?;
        let (seen, shed) = flood(house, ground, run, &calls, callers, run.plan.lasting * LONG, waits)?;
        let grown = resident(pid)?.saturating_sub(before);
        run.not_the_client(key, seen.client_busy);
        run.report.one(format!("overload_{key}_goodput"), seen.per_s / peak.per_s);
        run.report.one(format!("overload_{key}_p99_of_usual"), seen.times.ns(0.99) / peak.times.ns(0.99));
        run.report.one(format!("overload_{key}_shed_of_served"), shed as f64 / seen.times.count().max(1) as f64);
        run.report.one(format!("overload_{key}_grown_mb"), grown as f64 / 1e6);
        let ended = Instant::now();
        loop {
            let (again, shed) = flood(house, ground, run, &calls, CALLERS, run.plan.warm_up, false)?;
            if shed == 0 && again.per_s >= BACK * peak.per_s {
                break;
            }
            if ended.elapsed() > BACK_WITHIN {
                run.report.doubt(format!(
                    "{key}: {:.0} calls a second are served {:.0} s after a flood, before it {:.0}",
                    again.per_s,
                    ended.elapsed().as_secs_f64(),
                    peak.per_s
                ));
                break;
            }
        }
        run.report.one(format!("overload_{key}_back_s"), ended.elapsed().as_secs_f64());
    }
    Ok(())
}

/// So many callers: what they saw of the calls that were served, and how many were shed.
fn flood(
    house: &House,
    ground: &Ground,
    run: &Run<'_>,
    calls: &Arc<[Call]>,
    callers: usize,
    lasting: Duration,
    waits: bool,
) -> Result<(Seen, u64), Failure> {
    let closed = Closed { cores: house.cores.client.clone(), workers: callers, warm_up: run.plan.warm_up, lasting };
    let outcome = Outcome::default();
    let (outcome, begun) = (&outcome, Instant::now() + run.plan.warm_up);
    let seen = block_in_place(|| {
        closed.run(async |range| {
            let mut connection = Connection::open(ground.authz.address).await?;
            let mut workers = Vec::with_capacity(range.len());
            for (at, number) in range.enumerate() {
                if at > 0 && at.is_multiple_of(CALLS_A_CONNECTION) {
                    connection = Connection::open(ground.authz.address).await?;
                }
                workers.push(caller(connection.clone(), Arc::clone(calls), number * 31, waits, outcome, begun));
            }
            Ok(workers)
        })
    })?;
    let served = outcome.served.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let per_s = served.count() as f64 / lasting.as_secs_f64();
    Ok((Seen { times: served, per_s, ..seen }, outcome.shed.load(Ordering::Relaxed)))
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
            // RESOURCE_EXHAUSTED.
            Err(Failure::Refused { why, .. }) if why.starts_with("status 8:") => {
                outcome.shed.fetch_add(1, Ordering::Relaxed);
                if waits {
                    sleep(COME_AGAIN.mul_f64(0.67 + 0.01 * (at % 67) as f64)).await;
                }
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }
}
