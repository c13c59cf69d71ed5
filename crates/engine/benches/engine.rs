//! What the engine alone takes: `cargo bench -p engine`. Each call is timed by itself; reading the clock is in the figures, and is
//! shown beside them.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement prints, and may fail by panic")]

mod world;

use std::hint::black_box;
use std::time::{Duration, Instant};

use engine::{Change, Permission, ResourceRef, Snapshot, SubjectId};
use world::{BUDGETED, Size, World};

fn main() {
    let clock = timed(1_000_000, |_| ());
    println!("clock                      {clock}");
    check();
    for bindings in [10_000, 100_000] {
        apply(bindings);
    }
    lists();
}

/// Times of single calls, sorted.
struct Times(Vec<Duration>);

impl Times {
    fn at(&self, share: f64) -> Duration {
        self.0[((self.0.len() - 1) as f64 * share) as usize]
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "p50 {:?}, p99 {:?}, p99.9 {:?}", self.at(0.5), self.at(0.99), self.at(0.999))
    }
}

fn timed<T>(calls: usize, mut call: impl FnMut(usize) -> T) -> Times {
    let mut times = Vec::with_capacity(calls);
    for n in 0..calls {
        let start = Instant::now();
        let result = black_box(call(n));
        times.push(start.elapsed());
        drop(result);
    }
    times.sort_unstable();
    Times(times)
}

fn check() {
    let mut world = World::new(BUDGETED);
    let snapshot = Snapshot::build(&world.organization());
    let questions: Vec<(SubjectId, Permission, ResourceRef)> = (0..100_000)
        .map(|_| {
            let subject = world::member(world.random.below(BUDGETED.members));
            let resource = world.random.below(BUDGETED.resources);
            (subject, world.permission(), world::resource(resource))
        })
        .collect();
    let mut allowed = 0;
    let mut ask = |n: usize| {
        let (subject, permission, resource) = &questions[n % questions.len()];
        let decision = snapshot.check(subject, permission, Some(resource), world::now());
        allowed += usize::from(decision.is_allowed());
        decision
    };
    timed(questions.len(), &mut ask);
    println!("check                      {}", timed(1_000_000, &mut ask));
    println!("  of which allowed         {:.1} %", allowed as f64 / 1_100_000.0 * 100.0);
}

fn apply(bindings: usize) {
    let size = Size { bindings, ..BUDGETED };
    let mut world = World::new(size);
    let data = world.organization();
    let before = resident();
    let start = Instant::now();
    let mut snapshot = Snapshot::build(&data);
    let built = start.elapsed();
    let (resident, estimated) = (resident().saturating_sub(before), snapshot.bytes());
    println!("{bindings} bindings");
    println!("  build                    {built:?}");
    println!(
        "  bytes                    {resident} resident, {estimated} estimated, {} a binding",
        estimated / bindings
    );
    let mut step = |name: &str, calls: usize, changes: &mut dyn FnMut(usize, &mut World) -> Change| {
        let changes: Vec<[Change; 1]> = (0..calls).map(|n| [changes(n, &mut world)]).collect();
        let times = timed(calls, |n| {
            let next = snapshot.apply(&changes[n]);
            std::mem::replace(&mut snapshot, next)
        });
        println!("  {name:24} {times}");
    };
    step("put a binding", 10_000, &mut |n, world| Change::PutBinding(world.binding(bindings + n)));
    step("drop a binding", 10_000, &mut |n, _| Change::DropBinding(world::binding_id(n)));
    step("put a membership", 10_000, &mut |n, world| Change::PutMembership {
        group: world::group(world.random.below(size.groups)),
        member: world::member(n % size.members),
    });
    step("move a resource", 10_000, &mut |n, _| {
        Change::PutResource(engine::Resource {
            resource: world::resource(n % 1_000),
            parent: Some(world::resource(2_000)),
        })
    });
    step("put a group into a group", 90, &mut |n, _| Change::PutMembership {
        group: world::group(n % 10),
        member: world::group(10 + (n + 15) % 90).into(),
    });
    step("put a role", 200, &mut |n, world| {
        Change::PutRole(engine::Role {
            id: world::role(n % size.roles),
            permissions: vec![world.permission().into()],
            included_role_ids: vec![],
        })
    });
}

fn lists() {
    let size = Size { resources: 100_000, bindings: 100_000, ..BUDGETED };
    let mut world = World::new(size);
    let mut data = world.organization();
    data.bindings.push(engine::Binding {
        subject: world::member(0),
        role: engine::OWNER,
        resource: None,
        effect: engine::Effect::Allow,
        expire_time: None,
        ..world.binding(size.bindings)
    });
    let snapshot = Snapshot::build(&data);
    let permission: Permission = "kind0:read".parse().unwrap();
    for (who, subject) in [("an owner", world::member(0)), ("a member", world::member(1))] {
        let mut found = 0;
        let all = timed(20, |_| {
            let all = snapshot.list_resources(&subject, &permission, "kind0", world::now(), None, usize::MAX);
            found = all.len();
            all
        });
        let page = timed(20, |_| snapshot.list_resources(&subject, &permission, "kind0", world::now(), None, 1_000));
        println!("resources of {who:13} {found} of 100000 in {:?}, a page of 1000 in {:?}", all.at(0.5), page.at(0.5));
    }
    let mut found = 0;
    let everywhere = timed(20, |n| {
        let place = world::resource(n * 4_999);
        let all = snapshot.list_subjects(&permission, Some(&place), world::now(), None, usize::MAX);
        found = all.len();
        all
    });
    println!("subjects at a resource     {found} in {:?}", everywhere.at(0.5));
}

/// The resident memory of this process.
fn resident() -> usize {
    const PAGE: usize = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * PAGE
}
