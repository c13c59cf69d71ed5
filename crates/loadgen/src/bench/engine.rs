//! The engine in process: no network, no database, one thread.

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use engine::{Change, Snapshot, SubjectId};
use time::OffsetDateTime;

use super::Run;
use crate::Failure;
use crate::data::world::{Question, Size, World};
use crate::measure::{Series, Times};
use crate::process::resident;

/// More than any cache near the core holds the answers to.
const QUESTIONS: usize = 20_000;
/// Of each kind.
const CHANGES: usize = 5_000;
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
    let mut world = World::make(run.seed ^ 1, plan.wide)?;
    let bytes = weighed(run.seed ^ 1, plan.wide)?;
    run.report.one("engine_bytes_per_binding", bytes / plan.wide.bindings as f64);
    let bare = weighed(run.seed ^ 1, Size { bindings: 0, ..plan.wide })?;
    run.report.one("engine_bytes_per_further_binding", (bytes - bare) / plan.wide.bindings as f64);
    let begun = Instant::now();
    let wide = Snapshot::build(&world.data);
    run.report.one("engine_build_wide_ms", begun.elapsed().as_secs_f64() * 1e3);
    run.report.one("engine_bytes_per_binding_as_estimated", wide.bytes() as f64 / plan.wide.bindings as f64);

    let bindings: Vec<Change> =
        (0..CHANGES).map(|n| Change::PutBinding(world.binding(plan.wide.bindings + n))).collect();
    let (wide, put) = taken_up(wide, bindings);
    let gone = world.data.bindings.iter().step_by(world.data.bindings.len().div_ceil(CHANGES));
    let (wide, dropped) = taken_up(wide, gone.map(|binding| Change::DropBinding(binding.id)).collect());
    let joins = world.data.members.iter().zip(world.data.groups.iter().cycle()).take(CHANGES);
    let joins =
        joins.map(|(member, group)| Change::PutMembership { group: group.id, member: SubjectId::Member(*member) });
    let (_, joined) = taken_up(wide, joins.collect());
    for (what, times) in [("", &put), ("_of_dropping", &dropped), ("_of_a_membership", &joined)] {
        run.report.one(format!("incremental_apply{what}_p50_us"), times.us(0.5));
        run.report.one(format!("incremental_apply{what}_p99_us"), times.us(0.99));
    }
    Ok(())
}

/// Changes taken up one after the other, each timed by itself, and what comes of them. Letting go of the snapshot before is not in the
/// times: whoever still reads it does that.
fn taken_up(mut snapshot: Snapshot, changes: Vec<Change>) -> (Snapshot, Times) {
    let mut times = Times::default();
    for change in &changes {
        let begun = Instant::now();
        let next = black_box(snapshot.apply(std::slice::from_ref(change)));
        times.record(begun.elapsed());
        snapshot = next;
    }
    (snapshot, times)
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

/// What one snapshot takes, in bytes, weighed by another process: this one's memory is full of holes by now.
fn weighed(seed: u64, size: Size) -> Result<f64, Failure> {
    let Size { members, groups, roles, resources, bindings } = size;
    let numbers = [members, groups, roles, resources, bindings].map(|number| number.to_string());
    let output = std::env::current_exe()
        .and_then(|program| Command::new(program).args(["weigh", &seed.to_string()]).args(numbers).output())
        .map_err(Failure::system("cannot weigh a snapshot"))?;
    let told = String::from_utf8_lossy(&output.stdout);
    told.trim().parse().map_err(|_| Failure::Unmeasurable(format!("the weight of a snapshot: {told:?}")))
}

/// What several snapshots take beyond the first: what building needs for a while is there by then.
#[expect(clippy::print_stdout, reason = "the load client reads it")]
pub fn weigh(seed: u64, size: Size) -> Result<(), Failure> {
    let world = World::make(seed, size)?;
    let first = Snapshot::build(&world.data);
    let before = resident(std::process::id())?;
    let more: Vec<Snapshot> = (0..HELD).map(|_| Snapshot::build(&world.data)).collect();
    let after = resident(std::process::id())?;
    drop((first, more));
    println!("{}", after.saturating_sub(before) as f64 / HELD as f64);
    Ok(())
}
