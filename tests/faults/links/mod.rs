//! Each way between two processes, and to the database, is made slow, reset, silent and half-open. Calls end at their deadline, nobody
//! is allowed what was taken from them, and whoever does not need that way notices nothing.

mod house;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::future::join_all;
use testkit::Proxy;
use tokio::time::sleep;

use house::{Answer, House, LINKS, Link};

/// Of each call while something is wrong.
const DEADLINE: Duration = Duration::from_millis(500);
/// How much later than its deadline a call may be answered.
const LATE: Duration = Duration::from_millis(50);
/// An answer wakes the gateway and then whoever asked: each may be as late as the control was at worst meanwhile.
const WAKES: u32 = 2;
const PATIENT: Duration = Duration::from_secs(15);
/// From the end of a fault until everything is answered again.
const RECOVERED_WITHIN: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(40);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// Each word takes longer than a call may.
    Late,
    Reset,
    /// Everything is taken, and nothing comes.
    Silent,
    /// The server knows nothing of a connection that its client believes in.
    HalfOpen,
}

const FAULTS: [Fault; 4] = [Fault::Silent, Fault::HalfOpen, Fault::Reset, Fault::Late];

impl Fault {
    fn begin(self, way: &Proxy) {
        match self {
            Self::Late => way.delay(2 * DEADLINE),
            Self::Reset => way.reset(true),
            Self::Silent => way.cut(true),
            Self::HalfOpen => way.half_open(),
        }
    }

    fn end(self, way: &Proxy) {
        match self {
            Self::Late => way.delay(Duration::ZERO),
            Self::Reset => way.reset(false),
            Self::Silent => way.cut(false),
            // New connections are whole; the old ones have to be found out.
            Self::HalfOpen => {}
        }
    }
}

/// A question that needs certain ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Probe {
    /// The project asks for an organization's settings.
    Settings,
    /// For a member's sessions.
    Sessions,
    /// Whether somebody may.
    Check,
    /// For members, with their roles.
    Members,
    /// An owner, whose own right is asked about first.
    Own,
}

const PROBES: [Probe; 5] = [Probe::Settings, Probe::Sessions, Probe::Check, Probe::Members, Probe::Own];

impl Probe {
    fn needs(self) -> &'static [Link] {
        match self {
            Self::Settings => &[("gateway", "org-service"), ("org-service", "postgres")],
            Self::Sessions => &[("gateway", "member-service"), ("member-service", "postgres")],
            Self::Check => &[("gateway", "authz-service"), ("authz-service", "postgres")],
            Self::Members => &[
                ("gateway", "member-service"),
                ("member-service", "postgres"),
                ("member-service", "authz-service"),
                ("authz-service", "postgres"),
            ],
            Self::Own => &[
                ("gateway", "org-service"),
                ("org-service", "postgres"),
                ("org-service", "authz-service"),
                ("authz-service", "postgres"),
            ],
        }
    }

    async fn ask(self, house: &House, deadline: Duration) -> Answer {
        match self {
            Self::Settings => house.as_project("/effectiveSettings", None, deadline).await,
            Self::Sessions => house.as_project("/sessions", None, deadline).await,
            Self::Check => house.check_guest(deadline).await,
            Self::Members => house.as_project("/members", None, deadline).await,
            Self::Own => house.as_owner("/effectiveSettings", deadline).await,
        }
    }
}

/// What was seen of one way.
#[derive(Debug, Default)]
struct Seen {
    faults: Vec<String>,
    /// Answers that were given, and refusals, of those that need the way.
    given: usize,
    refused: usize,
    /// Of those that do not.
    beside: usize,
    /// The latest beyond a deadline, and what of that the control was late itself.
    latest: Duration,
    stalled: Duration,
    recovered: Duration,
}

impl Seen {
    fn fault(&mut self, what: String) {
        self.faults.push(what);
    }

    fn in_time(&mut self, house: &House, what: &str, answer: &Answer) {
        let late = answer.took().saturating_sub(DEADLINE);
        let stall = WAKES * house.stalls.worst(answer.sent, answer.ended);
        if late > self.latest {
            (self.latest, self.stalled) = (late, stall);
        }
        if late > LATE + stall {
            let (status, took) = (answer.status, answer.took());
            self.fault(format!(
                "{what} was answered {status} after {took:?} of {DEADLINE:?}, with a stall of {stall:?}"
            ));
        }
    }
}

/// The longest that each question takes while all is well and all are asked at once.
async fn usual(house: &House) -> BTreeMap<Probe, Duration> {
    let asked = PROBES.map(|probe| async move {
        let mut longest = Duration::ZERO;
        for n in 0..20 {
            let answer = probe.ask(house, PATIENT).await;
            assert_eq!(answer.status, 200, "{probe:?}: {}", answer.body);
            if n >= 5 {
                longest = longest.max(answer.took());
            }
            sleep(PAUSE).await;
        }
        (probe, longest)
    });
    join_all(asked).await.into_iter().collect()
}

async fn ask_meanwhile(house: &House, probe: Probe, link: Link, usual: Duration, until: Instant) -> Seen {
    let mut seen = Seen::default();
    while Instant::now() < until {
        if probe.needs().contains(&link) {
            let answer = probe.ask(house, DEADLINE).await;
            match answer.status {
                200 => seen.given += 1,
                503 | 504 => seen.refused += 1,
                status => seen.fault(format!("{probe:?} was answered {status}: {}", answer.body)),
            }
            seen.in_time(house, &format!("{probe:?}"), &answer);
        } else {
            let answer = probe.ask(house, PATIENT).await;
            let stall = WAKES * house.stalls.worst(answer.sent, answer.ended);
            let may = 2 * usual + stall + LATE;
            if answer.status != 200 || answer.took() > may {
                let (status, body, took) = (answer.status, &answer.body, answer.took());
                seen.fault(format!("{probe:?} does not go that way: {status} {body} after {took:?}, usually {usual:?}, {stall:?} stalled"));
            }
            seen.beside += 1;
        }
        sleep(PAUSE).await;
    }
    seen
}

/// Somebody who has just lost their right, where the news may not come.
async fn dismissed(house: &House, token: &str, until: Instant) -> Seen {
    let mut seen = Seen::default();
    while Instant::now() < until {
        let (checked, read) =
            tokio::join!(house.check_guest(DEADLINE), house.ask(token, "/effectiveSettings", None, DEADLINE));
        if checked.status == 200 && checked.body.contains("ALLOWED") {
            seen.fault(format!("what was taken is allowed: {}", checked.body));
        }
        if read.status == 200 {
            seen.fault(format!("whoever lost their right was answered: {}", read.body));
        }
        for (what, answer) in [("a check", &checked), ("whoever lost their right", &read)] {
            seen.in_time(house, what, answer);
        }
        sleep(PAUSE).await;
    }
    seen
}

async fn tried(house: &House, link: Link, fault: Fault, usual: &BTreeMap<Probe, Duration>, lasts: Duration) -> Seen {
    let way = &house.ways[&link];
    let (binding, token) = house.admit().await;
    let begun = Instant::now();
    loop {
        let (checked, read) =
            tokio::join!(house.check_guest(PATIENT), house.ask(&token, "/effectiveSettings", None, PATIENT));
        if checked.body.contains("ALLOWED") && read.status == 200 {
            break;
        }
        assert!(begun.elapsed() < PATIENT, "{link:?}: they have a right: {checked:?} {read:?}");
    }
    fault.begin(way);
    house.dismiss(&binding).await;
    let until = Instant::now() + lasts;
    let mut parts = join_all(PROBES.map(|probe| ask_meanwhile(house, probe, link, usual[&probe], until)));
    let again = async {
        while fault == Fault::HalfOpen && Instant::now() < until {
            sleep(lasts / 4).await;
            way.half_open();
        }
    };
    let (parts, lost, ()) = tokio::join!(&mut parts, dismissed(house, &token, until), again);
    fault.end(way);

    let mut seen = Seen::default();
    for part in parts.into_iter().chain([lost]) {
        seen.faults.extend(part.faults);
        (seen.given, seen.refused, seen.beside) =
            (seen.given + part.given, seen.refused + part.refused, seen.beside + part.beside);
        if part.latest > seen.latest {
            (seen.latest, seen.stalled) = (part.latest, part.stalled);
        }
    }
    let ended = Instant::now();
    for probe in PROBES {
        loop {
            let answer = probe.ask(house, PATIENT).await;
            if answer.status == 200 && answer.took() < 2 * usual[&probe] + DEADLINE {
                break;
            }
            if ended.elapsed() > RECOVERED_WITHIN {
                seen.fault(format!("{probe:?} is not answered again: {answer:?}"));
                break;
            }
        }
    }
    seen.recovered = ended.elapsed();
    seen
}

/// In a long run, each fault on each way; else one on each.
fn cells() -> (Vec<(Link, Fault)>, Duration) {
    let all = LINKS
        .iter()
        .enumerate()
        .flat_map(|(n, link)| FAULTS.iter().enumerate().map(move |(m, fault)| (n, m, *link, *fault)));
    if std::env::var_os("GUILDHALL_PROOF_LINKS").is_some() {
        return (all.map(|(_, _, link, fault)| (link, fault)).collect(), Duration::from_secs(3));
    }
    let some = all.filter(|(n, m, ..)| (n + n / 4) % 4 == *m);
    (some.map(|(_, _, link, fault)| (link, fault)).collect(), Duration::from_millis(800))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_way_costs_nobody_else_and_lets_nobody_in() {
    let house = House::new().await;
    let usual = usual(&house).await;
    println!("usually: {usual:?}");
    let (cells, lasts) = cells();
    let mut faults = Vec::new();
    for (link, fault) in cells {
        let mut seen = tried(&house, link, fault, &usual, lasts).await;
        let needed = PROBES.iter().any(|probe| probe.needs().contains(&link));
        if needed && fault != Fault::HalfOpen && seen.refused == 0 {
            seen.fault("nobody was refused: the way was not needed".to_owned());
        }
        let Seen { given, refused, beside, latest, stalled, recovered, .. } = &seen;
        println!(
            "{link:?} {fault:?}: {given} given, {refused} refused, {beside} beside, {latest:?} late at most ({stalled:?} for stalls), well after {recovered:?}"
        );
        faults.extend(seen.faults.into_iter().map(|what| format!("{link:?} {fault:?}: {what}")));
    }
    assert!(
        faults.is_empty(),
        "{} faults:\n  {}",
        faults.len(),
        faults.iter().take(40).cloned().collect::<Vec<_>>().join("\n  ")
    );
}
