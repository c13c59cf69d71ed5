use std::collections::HashMap;

use super::*;
use crate::key::generate::new_keys;

const LEAD: Duration = Duration::seconds(600);
const TIMES: Times = Times { cache_time: Duration::seconds(300), longest_life: Duration::seconds(3600) };
const BOTH: [Algorithm; 2] = [Algorithm::EdDsa, Algorithm::Es256];

/// A signer's files, a clock, and what everybody else may hold against them.
struct World {
    held: Held,
    now: OffsetDateTime,
    /// Since when each key is published.
    published: HashMap<String, OffsetDateTime>,
    /// When each key signed last.
    signed: HashMap<String, OffsetDateTime>,
}

impl World {
    fn new() -> Self {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        let private = new_keys(&BOTH, now).unwrap();
        let public: Vec<_> = private.iter().map(|key| Entry::of(key, now)).collect();
        // Long ago, as far as anybody is concerned.
        let published = public.iter().map(|entry| (entry.kid.clone(), now - Duration::days(1))).collect();
        Self { held: Held { private, public }, now, published, signed: HashMap::new() }
    }

    /// A process that signs and one that verifies look at the files as they are now.
    fn look(&mut self) {
        for entry in &self.held.public {
            self.published.entry(entry.kid.clone()).or_insert(self.now);
        }
        for algorithm in BOTH {
            let key = signing(&self.held.private, algorithm, self.now).expect("one signs at any time");
            let kid = key.key.kid().to_owned();
            assert!(self.held.entry(&kid).is_some(), "{kid} signs and is not published");
            assert!(self.now - self.published[&kid] >= TIMES.cache_time, "{kid} signs too early");
            self.signed.insert(kid, self.now);
        }
        for (kid, last) in &self.signed {
            let good = self.now - *last <= TIMES.longest_life;
            assert!(!good || self.held.entry(kid).is_some(), "{kid} signed what is still good, and is forgotten");
        }
        assert!(self.held.private.len() < 20 && self.held.public.len() < 40, "what is over goes");
    }

    /// A rotation that dies after so many of its three steps.
    fn rotate(&mut self, steps: usize, algorithms: &[Algorithm], older_than: Duration) {
        let wanted = Wanted { algorithms, older_than, lead: LEAD, times: TIMES };
        let plan = plan(&self.held, &wanted, self.now).unwrap();
        if steps >= 1 {
            self.held.public = plan.published;
            self.look();
        }
        if steps >= 2 {
            self.held.private = plan.private;
            self.look();
        }
        if steps >= 3 {
            self.held.public = plan.in_the_end;
            self.look();
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.look();
    }
}

#[test]
fn whatever_dies_when_each_key_is_known_before_it_signs_and_kept_while_its_tokens_are_good() {
    // A generator that always says the same.
    let mut state = 7u64;
    let mut below = |limit: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    let mut world = World::new();
    for _ in 0..3000 {
        match below(8) {
            0..=3 => world.pass(Duration::seconds(below(900) as i64)),
            4 => world.pass(Duration::seconds(below(9000) as i64)),
            5 => world.rotate(3, &BOTH, Duration::hours(1)),
            _ => world.rotate(below(4) as usize, &BOTH[below(2) as usize..], Duration::ZERO),
        }
    }
    assert!(world.signed.len() > 100, "{} keys have signed", world.signed.len());
}

#[test]
fn a_new_key_is_not_replaced_before_it_signs() {
    let mut world = World::new();
    world.rotate(3, &BOTH, Duration::ZERO);
    let kids = |world: &World| world.held.private.iter().map(|key| key.key.kid().to_owned()).collect::<Vec<_>>();
    let first = kids(&world);
    assert_eq!(first.len(), 4);
    world.pass(LEAD - Duration::SECOND);
    world.rotate(3, &BOTH, Duration::ZERO);
    assert_eq!(kids(&world), first);
    world.pass(Duration::SECOND);
    let signs = signing(&world.held.private, Algorithm::EdDsa, world.now).unwrap();
    assert_eq!(signs.key.kid(), first[2]);
    world.pass(TIMES.kept());
    world.rotate(3, &BOTH, Duration::days(1));
    assert_eq!((kids(&world).as_slice(), world.held.public.len()), (&first[2..], 2));
}

#[test]
fn what_somebody_else_has_published_stays() {
    let mut world = World::new();
    let theirs = new_keys(&[Algorithm::EdDsa], world.now).unwrap().remove(0);
    let entry = Entry { published: None, ..Entry::of(&theirs, world.now) };
    world.held.public.push(entry.clone());
    for _ in 0..5 {
        world.rotate(3, &BOTH, Duration::ZERO);
        world.pass(Duration::hours(5));
    }
    assert!(world.held.public.contains(&entry));
}

#[test]
fn a_private_key_that_nobody_knows_is_published_first() {
    let mut world = World::new();
    let mut late = new_keys(&[Algorithm::EdDsa], world.now + Duration::SECOND).unwrap();
    let kid = late[0].key.kid().to_owned();
    world.held.private.append(&mut late);
    world.rotate(3, &BOTH, Duration::ZERO);
    assert!(world.held.entry(&kid).is_some());
    let key = world.held.private.iter().find(|key| key.key.kid() == kid).unwrap();
    assert_eq!(key.signs_from, world.now + LEAD);
}
