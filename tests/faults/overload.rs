//! More calls than can be served: who is let in is served in time, who is not is told so at once and has changed nothing, and when it is
//! over nothing is left of it. How much is still served then is `guildhall-loadgen bench overload`'s to say.

use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::available_parallelism,
    time::{Duration, Instant},
};

use serde_json::json;
use testkit::{
    Cluster,
    caller::{Caller, Refused, unique},
};
use tokio::time::sleep;
use tonic::Code;

/// Calls in flight that a process takes here.
const PLACES: usize = 32;
/// Callers who do not wait when they are told to.
const CALLERS: usize = 10 * PLACES;
const CHECK: &str = "AuthorizationService/Check";
const SIGN_IN: &str = "AuthenticationService/SignInWithPassword";
const CREATE: &str = "GroupService/CreateGroup";
const SERVERS: [&str; 4] = ["gateway", "org-service", "member-service", "authz-service"];
/// What a process may take on, in MiB: 32 calls, 16 connections of each caller's kind, and what their callers send meanwhile.
const MOST_MORE: u64 = 64;
/// One flood at a time: two of them would be a test of this machine.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
/// A machine that does other things too makes a call wait.
const BUSY: Duration = Duration::from_secs(3);
/// How many times the mean the 99th percentile may be of those who are let in. Where all are let in, the mean itself is ten times as long.
const UNEVEN: u32 = 6;
const BACK_WITHIN: Duration = Duration::from_secs(10);

/// How long the flood lasts: some seconds with every test, minutes in `make proof`.
fn flood() -> Duration {
    match std::env::var("GUILDHALL_PROOF_OVERLOAD") {
        Ok(seconds) => Duration::from_secs(seconds.parse().unwrap()),
        Err(_) => Duration::from_secs(6),
    }
}

/// What a process holds in memory, in MiB.
fn resident(cluster: &Cluster, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", cluster.pid(name).unwrap())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// The 99th of a hundred, and the middle.
fn times(mut all: Vec<Duration>) -> (Duration, Duration) {
    all.sort_unstable();
    (all[all.len() * 99 / 100], all[all.len() / 2])
}

#[track_caller]
fn is_shed(refused: &Refused) {
    assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "OVERLOADED"), "{refused:?}");
    assert!(refused.retry_after.is_some_and(|after| after > Duration::ZERO), "it is not said when to come again");
}

/// What came of a flood: the names of the groups that were to be made, by what became of them.
#[derive(Default)]
struct Outcome {
    made: Mutex<BTreeSet<String>>,
    /// A machine that is that busy loses calls too: the database does not answer in time, or the test itself gives up.
    lost: Mutex<BTreeSet<String>>,
    /// Of checks, and of writes, which wait for each other besides.
    times: Mutex<[Vec<Duration>; 2]>,
    shed: AtomicUsize,
}

fn is_lost(refused: &Refused) -> bool {
    matches!(refused.code, Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_times_too_many_calls_are_shed_unbegun_and_forgotten_at_once() {
    let _alone = ALONE.lock().await;
    let cluster = Cluster::start_with(&[("GUILDHALL_MAX_IN_FLIGHT", &PLACES.to_string())]).await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let doors = [cluster.door("gateway"), cluster.door("authz-service")];
    let caller = |at: usize| -> Caller { cluster.bearer_at(doors[at % 2], Some(&project.token)) };
    let check = json!({"organization_id": acme.id, "subject": {"member_id": acme.owner().id},
        "permission": "guildhall.member:read"});
    let mut usual = Vec::new();
    for at in 0..40 {
        let begun = Instant::now();
        caller(at).call(CHECK, check.clone()).await;
        usual.push(begun.elapsed());
    }
    let before: Vec<u64> = SERVERS.iter().map(|name| resident(&cluster, name)).collect();

    let (outcome, over) = (Arc::new(Outcome::default()), Arc::new(AtomicBool::new(false)));
    let connections: Vec<Caller> = (0..16).map(caller).collect();
    let callers: Vec<_> = (0..CALLERS)
        .map(|at| {
            let (caller, outcome, over) = (connections[at % 16].clone(), outcome.clone(), over.clone());
            let (check, organization) = (check.clone(), acme.id.clone());
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let name = unique("group");
                    // One in two asks, one in two writes.
                    let (method, request) = match at % 4 < 2 {
                        true => (CHECK, check.clone()),
                        false => (CREATE, json!({"organization_id": organization, "group": {"display_name": name}})),
                    };
                    let begun = Instant::now();
                    match caller.try_call(method, request).await {
                        Ok(_) => {
                            outcome.times.lock().unwrap()[usize::from(method == CREATE)].push(begun.elapsed());
                            if method == CREATE {
                                outcome.made.lock().unwrap().insert(name);
                            }
                        }
                        Err(refused) if is_lost(&refused) => {
                            outcome.lost.lock().unwrap().insert(name);
                        }
                        Err(refused) => {
                            is_shed(&refused);
                            outcome.shed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            })
        })
        .collect();
    let begun = Instant::now();
    let mut most = before.clone();
    while begun.elapsed() < flood() {
        sleep(Duration::from_millis(250)).await;
        for (most, name) in most.iter_mut().zip(SERVERS) {
            *most = resident(&cluster, name).max(*most);
        }
    }
    over.store(true, Ordering::Relaxed);
    let ended = Instant::now();
    for caller in callers {
        caller.await.unwrap();
    }
    let ([checks, writes], shed) = (outcome.times.lock().unwrap().clone(), outcome.shed.load(Ordering::Relaxed));
    let count = (checks.len(), writes.len());
    assert!(count.0 > 50 && count.1 > 10 && shed > 100, "{count:?} were served, {shed} were shed");
    let ((p99, middle), (writes, _), (_, usual)) = (times(checks), times(writes), times(usual));
    eprintln!(
        "usual {usual:?}; served {count:?}, checks with {middle:?}, p99 {p99:?}, writes with p99 {writes:?}; shed {shed}; {before:?} to {most:?} MiB"
    );
    // By Little's law, of the places at both doors and the rate at which they are left.
    let mean = flood() * u32::try_from(2 * PLACES).unwrap() / u32::try_from(count.0 + count.1).unwrap();
    let may = BUSY.max(UNEVEN * mean);
    assert!(p99 < may && writes < 3 * may, "who is let in is served in {p99:?}, and writes in {writes:?}, of {may:?}");
    for ((name, before), most) in SERVERS.iter().zip(&before).zip(&most) {
        assert!(most - before < MOST_MORE, "{name} grew from {before} to {most} MiB");
    }

    // It is over: at once nobody is refused any more, and nobody waits.
    let mut in_time = 0;
    while in_time < 20 {
        assert!(ended.elapsed() < BACK_WITHIN, "{in_time} calls in a row were as before");
        let begun = Instant::now();
        let answered = caller(in_time).try_call(CHECK, check.clone()).await.is_ok();
        in_time = if answered && begun.elapsed() < (20 * usual).max(BUSY / 6) { in_time + 1 } else { 0 };
    }
    // What was answered is there, what was refused is not.
    let (made, lost) = (outcome.made.lock().unwrap().clone(), outcome.lost.lock().unwrap().clone());
    let there = groups(&project.account, &acme.id).await;
    assert!(made.is_subset(&there), "{:?} were answered and are not there", made.difference(&there));
    let more: Vec<_> = there.difference(&made).filter(|name| !lost.contains(*name)).collect();
    assert!(more.is_empty(), "{more:?} were refused and are there");
}

async fn groups(caller: &Caller, organization: &str) -> BTreeSet<String> {
    let (mut names, mut token) = (BTreeSet::new(), String::new());
    loop {
        let page = json!({"organization_id": organization, "page_size": 500, "page_token": token});
        let page = caller.call("GroupService/ListGroups", page).await;
        let listed = page["groups"].as_array().unwrap();
        names.extend(listed.iter().map(|group| group["display_name"].as_str().unwrap().to_owned()));
        match page["next_page_token"].as_str() {
            Some(next) if !next.is_empty() => token = next.to_owned(),
            _ => return names,
        }
    }
}

/// A hash takes some twenty milliseconds of a core, so that a few hundred people who sign in at once are seconds of work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_sign_ins_starves_neither_checks_nor_members() {
    let cores = available_parallelism().map_or(1, usize::from);
    // Four times what waits for hashing.
    let people = 128 * cores;
    let _alone = ALONE.lock().await;
    let cluster = Cluster::start().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let over = Arc::new(AtomicBool::new(false));
    let (tried, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let connections: Vec<Caller> = (0..8).map(|_| Caller::clone(&project.anyone())).collect();
    let people: Vec<_> = (0..people)
        .map(|at| {
            let (anyone, over) = (connections[at % 8].clone(), over.clone());
            let (tried, told) = (tried.clone(), told.clone());
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let somebody =
                        json!({"email_address": unique("nobody") + "@people.test", "password": "not a password"});
                    let refused = anyone.try_call(SIGN_IN, somebody).await.unwrap_err();
                    if is_lost(&refused) {
                        continue;
                    }
                    if refused.reason == "SIGN_IN_FAILED" {
                        tried.fetch_add(1, Ordering::Relaxed);
                    } else {
                        is_shed(&refused);
                        told.fetch_add(1, Ordering::Relaxed);
                        sleep(refused.retry_after.unwrap()).await;
                    }
                }
            })
        })
        .collect();
    // It has begun when somebody is told to come again.
    let begun = Instant::now();
    while told.load(Ordering::Relaxed) == 0 {
        assert!(begun.elapsed() < 4 * BUSY, "nobody is told to come again");
        sleep(Duration::from_millis(5)).await;
    }
    let check = json!({"organization_id": acme.id, "subject": {"member_id": acme.owner().id},
        "permission": "guildhall.member:read"});
    // A check, and something that the very process serves that hashes.
    let read = json!({"organization_id": acme.id, "member_id": acme.owner().id});
    let others = [(CHECK, check), ("MemberService/GetMember", read)];
    let (mut answered, mut lost) = ([Vec::new(), Vec::new()], 0);
    let begun = Instant::now();
    while begun.elapsed() < flood() || answered[1].len() < 5 {
        for ((method, request), answered) in others.iter().zip(&mut answered) {
            let asked = Instant::now();
            match acme.owner().caller.try_call(method, request.clone()).await {
                Ok(_) => answered.push(asked.elapsed()),
                Err(refused) if is_lost(&refused) && begun.elapsed() < 20 * BUSY => lost += 1,
                Err(refused) => panic!("{method}: {refused:?}"),
            }
        }
    }
    over.store(true, Ordering::Relaxed);
    for person in people {
        person.await.unwrap();
    }
    let [checks, reads] = answered;
    let count = checks.len();
    let ((check_p99, check), (read_p99, read)) = (times(checks), times(reads));
    let (tried, told) = (tried.load(Ordering::Relaxed), told.load(Ordering::Relaxed));
    eprintln!(
        "{tried} passwords hashed, {told} told to come again; {count} checks with {check:?}, p99 {check_p99:?}, reads with {read:?}, \
         p99 {read_p99:?}; {lost} lost"
    );
    assert!(check < BUSY && read < BUSY, "a check takes {check:?}, a read {read:?}");
    assert!(tried > 0, "sign-ins go on");

    // Who was told to come again has not tried, and when it is over they come in.
    let ada = acme.owner();
    let begun = Instant::now();
    while acme.sign_in(&ada.email, &ada.password).await.is_err() {
        assert!(begun.elapsed() < BACK_WITHIN, "a sign-in is not possible");
        sleep(Duration::from_millis(50)).await;
    }
}
