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
/// How much later than its deadline a call may be answered, on a machine that does nothing else.
const LATE: Duration = Duration::from_millis(50);
/// The same beside whatever else a machine does that runs the tests: far less than a call that waits for what does not come.
const LATE_BESIDE_OTHERS: Duration = Duration::from_millis(250);
/// An answer wakes the gateway and then whoever asked. Each may be as late as this machine was at worst meanwhile: a nap of a thread
/// that does nothing else, and a call to an installation that nothing is wrong with, beyond what it takes usually.
const WAKES: u32 = 2;
const PATIENT: Duration = Duration::from_secs(15);
/// From the end of a fault until everything is answered again.
const RECOVERED_WITHIN: Duration = Duration::from_secs(30);
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

#[derive(Debug)]
struct Timed {
    what: String,
    sent: Instant,
    ended: Instant,
    may: Duration,
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
    /// What each took, and what it might.
    timed: Vec<Timed>,
    /// The latest beyond its time, and what of that the machine was late itself.
    latest: Duration,
    stalled: Duration,
    recovered: Duration,
}

impl Seen {
    fn fault(&mut self, what: String) {
        self.faults.push(what);
    }

    fn took(&mut self, what: String, answer: &Answer, may: Duration) {
        self.timed.push(Timed {
            what: format!("{what} ({})", answer.status),
            sent: answer.sent,
            ended: answer.ended,
            may,
        });
    }

    /// Holds what each took beside the control.
    fn judge(&mut self, house: &House, control: &[Answer], usual: Duration) {
        let (Some(from), Some(to)) =
            (self.timed.iter().map(|timed| timed.sent).min(), self.timed.iter().map(|timed| timed.ended).max())
        else {
            return;
        };
        let slow = control.iter().map(Answer::took).max().unwrap_or_default().saturating_sub(usual);
        let stall = WAKES * (house.stalls.worst(from, to) + slow);
        for Timed { what, sent, ended, may } in std::mem::take(&mut self.timed) {
            let (took, late) = (ended - sent, (ended - sent).saturating_sub(may));
            if late > self.latest {
                (self.latest, self.stalled) = (late, stall);
            }
            if late > late_at_most() + stall {
                self.fault(format!("{what} took {took:?}, and might take {may:?}, with {stall:?} of the machine's"));
            }
        }
    }
}

/// The longest that each question takes while all is well and all are asked at once.
async fn usual(house: &House) -> BTreeMap<Probe, Duration> {
    let asked = PROBES.map(|probe| async move {
        let begun = Instant::now();
        // Whoever has just come may not know yet what was revoked.
        while probe.ask(house, PATIENT).await.status != 200 {
            assert!(begun.elapsed() < RECOVERED_WITHIN, "{probe:?} is not answered");
        }
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
            seen.took(format!("{probe:?}"), &answer, DEADLINE);
        } else {
            let answer = probe.ask(house, PATIENT).await;
            if answer.status != 200 {
                seen.fault(format!("{probe:?} does not go that way: {} {}", answer.status, answer.body));
            }
            seen.took(format!("{probe:?}, which does not go that way,"), &answer, 2 * usual);
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
            seen.took(what.to_owned(), answer, DEADLINE);
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
    let parts = join_all(PROBES.map(|probe| ask_meanwhile(house, probe, link, usual[&probe], until)));
    let again = async {
        while fault == Fault::HalfOpen && Instant::now() < until {
            sleep(lasts / 4).await;
            way.half_open();
        }
    };
    let control = async {
        let mut answers = Vec::new();
        while Instant::now() < until + DEADLINE {
            answers.push(house.control(PATIENT).await);
        }
        answers
    };
    let (parts, lost, (), control) = tokio::join!(parts, dismissed(house, &token, until), again, control);
    fault.end(way);

    let mut seen = Seen::default();
    for part in parts.into_iter().chain([lost]) {
        seen.faults.extend(part.faults);
        (seen.given, seen.refused, seen.beside) =
            (seen.given + part.given, seen.refused + part.refused, seen.beside + part.beside);
        seen.timed.extend(part.timed);
    }
    seen.judge(house, &control, usual[&Probe::Settings]);
    let ended = Instant::now();
    for probe in PROBES {
        loop {
            let answer = probe.ask(house, PATIENT).await;
            if answer.status == 200 && answer.took() < 2 * usual[&probe] + PATIENT / 5 {
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

/// What `make proof` asks for, on a machine that does nothing else.
fn is_long() -> bool {
    std::env::var_os("GUILDHALL_PROOF_LINKS").is_some()
}

fn late_at_most() -> Duration {
    if is_long() { LATE } else { LATE_BESIDE_OTHERS }
}

/// In a long run, each fault on each way; else one on each that a question needs.
fn cells() -> (Vec<(Link, Fault)>, Duration) {
    let all = LINKS
        .iter()
        .enumerate()
        .flat_map(|(n, link)| FAULTS.iter().enumerate().map(move |(m, fault)| (n, m, *link, *fault)));
    if is_long() {
        return (all.map(|(_, _, link, fault)| (link, fault)).collect(), Duration::from_secs(3));
    }
    let needed = |link: &Link| PROBES.iter().any(|probe| probe.needs().contains(link));
    let some = all.filter(|(n, m, link, _)| (n + n / 4) % 4 == *m && needed(link));
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
