//! What was asked for and what was answered, in the order of one clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Organization,
    Member,
    /// What a member may: the role that they were given, as `Check` answers.
    Right,
    Invitation,
    Binding,
    Session,
    /// What a session was given, as the gateway takes it.
    AccessToken,
    ServiceAccount,
}

/// Something with a state. One writer alone changes it, one change after the other, and leaves it once a change went unanswered: what
/// was lost on its way may still arrive, and nobody could say before which later change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Thing {
    pub kind: Kind,
    pub name: String,
}

impl Thing {
    pub fn new(kind: Kind, name: &str) -> Self {
        Self { kind, name: name.to_owned() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Not there, or ended for good.
    Gone,
    Live,
    Suspended,
    /// Used up, as an invitation is that was accepted.
    Spent,
}

/// What becomes of one thing by an operation.
#[derive(Clone, Debug)]
pub struct Effect {
    pub thing: Thing,
    pub state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Acknowledged,
    /// It was sent, and no answer says what became of it.
    Unknown,
}

/// The event that an operation leaves in the audit log: the tenant, the kind, and the id that it is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventKey {
    pub organization: String,
    pub kind: String,
    pub subject: String,
}

/// A write, however often it was sent.
#[derive(Clone, Debug)]
pub struct Operation {
    pub method: &'static str,
    pub request_id: String,
    /// When it was first sent, and when its last answer or failure came.
    pub sent: Duration,
    pub ended: Duration,
    /// How often it was sent.
    pub attempts: usize,
    pub outcome: Outcome,
    /// All of them, or none.
    pub effects: Vec<Effect>,
    /// The id that was answered, of the first thing. Empty: none is known.
    pub id: String,
    /// None where it leaves none, or where its id was never told.
    pub event: Option<EventKey>,
}

/// A question whether something is in force, and its answer.
#[derive(Clone, Debug)]
pub struct Look {
    pub thing: Thing,
    pub sent: Duration,
    pub ended: Duration,
    pub in_force: bool,
    /// For how long after its end it may be taken for good, as the documentation says.
    pub grace: Duration,
}

/// Something that is there at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub thing: Thing,
    pub id: String,
    pub state: State,
}

/// One line of an audit log.
#[derive(Clone, Debug)]
pub struct Logged {
    pub key: EventKey,
    pub service: String,
    pub revision: i64,
}

/// All that is there in the end.
#[derive(Clone, Debug, Default)]
pub struct Finally {
    pub found: Vec<Found>,
    pub log: Vec<Logged>,
    /// Whose chain, in which service, and whether it is whole.
    pub chains: Vec<(String, String, bool)>,
    /// The organizations whose logs were read.
    pub logs: BTreeSet<String>,
    /// Which kinds of things were looked for, all of them.
    pub looked: BTreeSet<Kind>,
}

#[derive(Debug)]
pub struct History {
    begun: Instant,
    noted: Mutex<Noted>,
}

#[derive(Clone, Debug, Default)]
pub struct Noted {
    pub operations: Vec<Operation>,
    pub looks: Vec<Look>,
    /// Answers that nobody should have got.
    pub wrong: Vec<String>,
    /// How often an attempt failed, by code and reason.
    pub failures: BTreeMap<String, usize>,
}

impl History {
    pub fn begin() -> Self {
        Self { begun: Instant::now(), noted: Mutex::default() }
    }

    pub fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self, operation: Operation) {
        self.noted().operations.push(operation);
    }

    pub fn look(&self, look: Look) {
        self.noted().looks.push(look);
    }

    pub fn wrong(&self, what: String) {
        self.noted().wrong.push(what);
    }

    pub fn failed(&self, how: String) {
        *self.noted().failures.entry(how).or_default() += 1;
    }

    pub fn acknowledged(&self) -> usize {
        self.noted().operations.iter().filter(|done| done.outcome == Outcome::Acknowledged).count()
    }

    pub fn all(&self) -> Noted {
        self.noted().clone()
    }
}
