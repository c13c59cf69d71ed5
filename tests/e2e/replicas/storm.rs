//! Writes and questions at three processes while they are treated badly.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use sqlx::{Connection, PgConnection};
use testkit::{
    Cluster, Proxy,
    caller::{Caller, text},
};
use tokio::{task::JoinSet, time::sleep};
use tonic::Code;

use super::{
    asked::{Door, House},
    at_least, fully_consistent, minimize_latency, replica, silence,
    truth::{Answer, Counters, Thing, Truth},
};

const BOUND: Duration = Duration::from_secs(1);
const PLACES: usize = 12;
/// Questions that are under way at each process.
const AT_ONCE: usize = 4;

/// How many questions are answered: some with every test, fewer on a machine that is busy, and as many as `GUILDHALL_PROOF_CHECKS` says in
/// a long run.
fn wanted() -> (usize, Duration) {
    match std::env::var("GUILDHALL_PROOF_CHECKS") {
        Ok(checks) => (checks.parse().unwrap(), Duration::MAX),
        Err(_) => (4_000, Duration::from_secs(30)),
    }
}

/// What everybody sees of the storm.
struct Storm {
    truth: Truth,
    /// The last revision tokens, of any thing.
    tokens: Mutex<Vec<String>>,
    /// How often each process answered and refused, by code.
    counts: Mutex<BTreeMap<(usize, Option<i32>), usize>>,
    over: AtomicBool,
}

impl Storm {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn told(&self, token: &str) {
        let mut tokens = self.tokens.lock().unwrap();
        tokens.push(token.to_owned());
        let surplus = tokens.len().saturating_sub(8);
        tokens.drain(..surplus);
    }

    fn count(&self, process: usize, code: Option<Code>) -> usize {
        let counts = self.counts.lock().unwrap();
        counts.get(&(process, code.map(i32::from))).copied().unwrap_or(0)
    }
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }
}

/// Gives and takes a role at places, one after the other, at any process. A place of which a write went unanswered is given up for another.
async fn write(storm: Arc<Storm>, doors: Vec<Door>, places: Arc<Mutex<Vec<String>>>, mut dice: Dice) {
    let mut held: BTreeMap<String, String> = BTreeMap::new();
    let mut given_up = 0;
    while !storm.is_over() {
        let slot = dice.roll(PLACES);
        let place = places.lock().unwrap()[slot].clone();
        let thing = Thing::Place(place.clone());
        // Mostly at the one that is treated well: a write that stands still holds up all others until the database ends it.
        let door = if dice.roll(12) == 0 { &doors[dice.roll(doors.len())] } else { &doors[0] };
        let outcome = match held.get(&place) {
            Some(binding) => door.take(binding).await.map(|token| (None, token)),
            None => door.grant(&place).await.map(|(binding, token)| (Some(binding), token)),
        };
        match outcome {
            Ok((binding, token)) => {
                storm.truth.wrote(&thing, binding.is_some(), Counters::of(&token));
                storm.told(&token);
                match binding {
                    Some(binding) => held.insert(place, binding),
                    None => held.remove(&place),
                };
            }
            Err(_) => {
                storm.truth.doubts(&thing);
                given_up += 1;
                places.lock().unwrap()[slot] = format!("{place}-{given_up}");
            }
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Changes what the project's role permits, at the cluster's own process.
async fn change_role(storm: Arc<Storm>, account: Caller, role: String) {
    let mut wide = false;
    while !storm.is_over() {
        sleep(Duration::from_millis(150)).await;
        wide = !wide;
        let permissions = if wide { json!(["document:read", "document:write"]) } else { json!(["document:read"]) };
        let change = json!({"role": {"role_id": role, "permissions": permissions}, "update_mask": "permissions"});
        match account.try_call("RoleService/UpdateRole", change).await {
            Ok(changed) => {
                let token = text(&changed, "revision");
                storm.truth.wrote(&Thing::Role, wide, Counters::of(&token));
                storm.told(&token);
            }
            // It may have been, or may yet be.
            Err(_) => storm.truth.doubts(&Thing::Role),
        }
    }
}

/// Asks one process, in all three ways.
async fn ask(storm: Arc<Storm>, process: usize, door: Door, places: Arc<Mutex<Vec<String>>>, mut dice: Dice) {
    while !storm.is_over() {
        let (consistency, needed, how) = match dice.roll(3) {
            0 => (minimize_latency(), storm.truth.known(BOUND), "minimize_latency"),
            1 => (fully_consistent(), storm.truth.known(Duration::ZERO), "fully_consistent"),
            _ => {
                let token = {
                    let tokens = storm.tokens.lock().unwrap();
                    tokens[dice.roll(tokens.len())].clone()
                };
                (at_least(&token), Counters::of(&token), "at_least_as_fresh")
            }
        };
        let mut things = vec![(Thing::Role, "wide".to_owned(), "document:write")];
        let asked = places.lock().unwrap().clone();
        things.extend(asked.into_iter().map(|place| (Thing::Place(place.clone()), place, "document:read")));
        // One of them, or all at once.
        if dice.roll(2) == 0 {
            things = vec![things.swap_remove(dice.roll(things.len()))];
        }
        let questions: Vec<(&str, &str)> = things.iter().map(|(_, place, what)| (place.as_str(), *what)).collect();
        let answer = match questions[..] {
            [(place, permission)] => {
                let answer = door.check(place, permission, consistency).await;
                answer.map(|answer| (vec![answer.allowed], answer.revision))
            }
            _ => door.check_all(&questions, consistency).await,
        };
        let code = answer.as_ref().err().map(|refused| refused.code().into());
        *storm.counts.lock().unwrap().entry((process, code)).or_default() += 1;
        match answer {
            Ok((allowed, revision)) => {
                let at = Counters::of(&revision);
                for ((thing, ..), allowed) in things.into_iter().zip(allowed) {
                    let answer = Answer { thing, allowed, at };
                    storm.truth.answered(answer, needed, &format!("{how} at process {process}"));
                }
            }
            // It says so where it cannot know.
            Err(refused) => match refused.code() {
                Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded | Code::Cancelled => {
                    sleep(Duration::from_millis(20)).await;
                }
                _ => storm.truth.fault(format!("{how} at process {process}: {refused:?}")),
            },
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_is_older_than_it_may_be_whatever_happens_to_three_processes() {
    let cluster = Cluster::start_with(&[("GUILDHALL_STALENESS_BOUND", "1")]).await;
    let house = House::new(&cluster).await;
    let way = Proxy::to(cluster.database_address()).await;
    let stopped = replica(&cluster, cluster.database_address(), "1").await;
    let cut_off = replica(&cluster, way.address, "1").await;
    let doors: Vec<Door> = [cluster.access().authz, stopped.address, cut_off.address]
        .iter()
        .map(|address| Door::new(address, &house))
        .collect();
    let first = house.grant("wide").await;
    let storm = Arc::new(Storm {
        truth: Truth::default(),
        tokens: Mutex::new(vec![first]),
        counts: Mutex::default(),
        over: AtomicBool::default(),
    });
    let places = |writer: usize| -> Arc<Mutex<Vec<String>>> {
        Arc::new(Mutex::new((0..PLACES).map(|place| format!("{writer}-{place}")).collect()))
    };
    let mut tasks = JoinSet::new();
    for (process, door) in doors.iter().enumerate() {
        let places = places(process);
        let seed = |n: usize| Dice(0x9e37_79b9_7f4a_7c15 ^ ((process * 100 + n + 1) as u64));
        tasks.spawn(write(storm.clone(), doors.clone(), places.clone(), seed(99)));
        for n in 0..AT_ONCE {
            tasks.spawn(ask(storm.clone(), process, door.clone(), places.clone(), seed(n)));
        }
    }
    tasks.spawn(change_role(storm.clone(), house.project.account.clone(), house.role.clone()));

    let mut superuser = PgConnection::connect(&cluster.access().database_url).await.unwrap();
    let begun = Instant::now();
    let mut silenced = 0;
    let mut rounds = 0;
    // Each has stood still, and each has been cut off, for longer than the bound.
    let (wanted, patience) = wanted();
    while rounds < 2 || storm.truth.answers() < wanted && begun.elapsed() < patience {
        stopped.stop();
        silenced += silence(&mut superuser).await;
        sleep(BOUND * 3 / 2).await;
        stopped.go_on();
        silenced += silence(&mut superuser).await;
        sleep(BOUND / 2).await;
        // Until a head is not waited for any longer: what is asked meanwhile is refused.
        way.cut(true);
        sleep(BOUND * 5).await;
        way.cut(false);
        sleep(BOUND).await;
        rounds += 1;
    }
    storm.over.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let faults = storm.truth.judge();
    let shown = faults.iter().take(20).cloned().collect::<Vec<_>>().join("\n  ");
    assert!(faults.is_empty(), "{} of {} answers:\n  {shown}", faults.len(), storm.truth.answers());
    let told = format!(
        "{} answers, {} writes, {rounds} rounds, {silenced} silenced, {:?}",
        storm.truth.answers(),
        storm.truth.writes(),
        storm.counts.lock().unwrap()
    );
    for process in 0..doors.len() {
        assert!(storm.count(process, None) > 20, "{told}");
    }
    assert!(storm.count(2, Some(Code::Unavailable)) > 0, "whoever is cut off says so: {told}");
    assert!(silenced > 0 && storm.truth.writes() > 20, "{told}");
    println!("{told}");
}
