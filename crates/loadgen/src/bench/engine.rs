//! The engine in process: no network, no database, one thread.

use std::hint::black_box;
use std::time::{Duration, Instant};

use engine::Snapshot;
use time::OffsetDateTime;

use super::Run;
use crate::Failure;
use crate::data::world::{Question, Size, World};
use crate::measure::{Series, Times};
use crate::process::resident;

/// More than any cache near the core holds the answers to.
const QUESTIONS: usize = 20_000;
/// Snapshots that are held at once, to tell from the memory that they take what one takes.
const HELD: usize = 4;

pub fn measure(run: &mut Run<'_>) -> Result<(), Failure> {
    let plan = run.plan;
    run.progress.say("Check in process");
    let now = OffsetDateTime::now_utc();
    let mut world = World::make(run.seed, plan.budget)?;
    let mut built = Vec::new();
    for _ in 0..plan.rounds {
        let begun = Instant::now();
        black_box(Snapshot::build(&world.data));
        built.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    run.report.series("engine_build_ms", Series(built));
    let snapshot = Snapshot::build(&world.data);
    let questions = world.questions(&snapshot, QUESTIONS, now)?;

    let (mut p50, mut p99, mut mean, mut clock) =
        (Series::default(), Series::default(), Series::default(), Series::default());
    for _ in 0..plan.rounds {
        let each = one_by_one(&snapshot, &questions, now, plan.lasting / 2);
        p50.0.push(each.ns(0.5));
        p99.0.push(each.ns(0.99));
        clock.0.push(clock_itself().ns(0.5));
        mean.0.push(in_a_row(&snapshot, &questions, now, plan.lasting / 4));
    }
    run.report.series("check_in_process_p50_ns", p50);
    run.report.series("check_in_process_p99_ns", p99);
    run.report.series("check_in_process_mean_ns", mean);
    run.report.series("clock_ns", clock);
    drop((snapshot, world));

    run.progress.say("building and changing an organization of many bindings");
    let world = World::make(run.seed ^ 1, plan.wide)?;
    let bytes = bytes_held(&world)?;
    run.report.one("engine_bytes_per_binding", bytes / plan.wide.bindings as f64);
    let bare = World::make(run.seed ^ 1, Size { bindings: 0, ..plan.wide })?;
    run.report.one("engine_bytes_per_further_binding", (bytes - bytes_held(&bare)?) / plan.wide.bindings as f64);
    let begun = Instant::now();
    black_box(Snapshot::build(&world.data));
    run.report.one("engine_build_wide_ms", begun.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

fn ask(snapshot: &Snapshot, question: &Question, now: OffsetDateTime) -> bool {
    let Question { subject, permission, resource } = black_box(question);
    snapshot.check(subject, permission, Some(resource), now).is_allowed()
}

/// Each question timed by itself, the reading of the clock included.
fn one_by_one(snapshot: &Snapshot, questions: &[Question], now: OffsetDateTime, lasting: Duration) -> Times {
    let mut times = Times::default();
    for question in questions {
        black_box(ask(snapshot, question, now));
    }
    let end = Instant::now() + lasting;
    while Instant::now() < end {
        for question in questions {
            let begun = Instant::now();
            black_box(ask(snapshot, question, now));
            times.record(begun.elapsed());
        }
    }
    times
}

/// What a clock that is read twice in a row says.
fn clock_itself() -> Times {
    let mut times = Times::default();
    for _ in 0..100_000 {
        let begun = Instant::now();
        times.record(black_box(begun).elapsed());
    }
    times
}

/// Nanoseconds a question, with no clock in between.
fn in_a_row(snapshot: &Snapshot, questions: &[Question], now: OffsetDateTime, lasting: Duration) -> f64 {
    let begun = Instant::now();
    let mut asked = 0_u64;
    while begun.elapsed() < lasting {
        for question in questions {
            black_box(ask(snapshot, question, now));
        }
        asked += questions.len() as u64;
    }
    begun.elapsed().as_nanos() as f64 / asked.max(1) as f64
}

/// What one snapshot takes, by what several take beyond the first: what building needs for a while is there by then.
fn bytes_held(world: &World) -> Result<f64, Failure> {
    let first = Snapshot::build(&world.data);
    let before = resident(std::process::id())?;
    let more: Vec<Snapshot> = (0..HELD).map(|_| Snapshot::build(&world.data)).collect();
    let after = resident(std::process::id())?;
    drop((first, more));
    Ok(after.saturating_sub(before) as f64 / HELD as f64)
}
