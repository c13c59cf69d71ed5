//! What was written and acknowledged, and whether an answer fits it.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// The two counters of a revision token: the organization's own, and its project's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    pub own: i64,
    pub template: i64,
}

impl Counters {
    pub fn of(token: &str) -> Self {
        let bytes = URL_SAFE_NO_PAD.decode(token).unwrap();
        let at = |at: usize| i64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
        Self { own: at(33), template: at(41) }
    }

    fn max(self, other: Self) -> Self {
        Self { own: self.own.max(other.own), template: self.template.max(other.template) }
    }

    fn reaches(self, needed: Self) -> bool {
        self.own >= needed.own && self.template >= needed.template
    }
}

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Thing {
    /// Whether the role is bound at a place: by the organization's own revision.
    Place(String),
    /// Whether the project's role permits writing: by the project's.
    Role,
}

#[derive(Debug)]
pub struct Answer {
    pub thing: Thing,
    pub allowed: bool,
    pub at: Counters,
}

#[derive(Debug, Default)]
struct Written {
    /// Each with all that was acknowledged up to then.
    acknowledged: Vec<(Instant, Counters)>,
    values: HashMap<Thing, Vec<(i64, bool)>>,
    /// Of which a write was sent and not answered: what it is after the last one known cannot be told.
    doubtful: HashMap<Thing, i64>,
    answers: Vec<Answer>,
    faults: Vec<String>,
}

#[derive(Debug, Default)]
pub struct Truth(Mutex<Written>);

impl Truth {
    pub fn wrote(&self, thing: &Thing, value: bool, at: Counters) {
        let mut written = self.0.lock().unwrap();
        let before = written.acknowledged.last().map_or(Counters::default(), |(_, all)| *all);
        written.acknowledged.push((Instant::now(), before.max(at)));
        let revision = if *thing == Thing::Role { at.template } else { at.own };
        written.values.entry(thing.clone()).or_default().push((revision, value));
    }

    pub fn doubts(&self, thing: &Thing) {
        let mut written = self.0.lock().unwrap();
        let last = written.values.get(thing).and_then(|values| values.last()).map_or(0, |(revision, _)| *revision);
        written.doubtful.insert(thing.clone(), last);
    }

    /// All that had been acknowledged so long before now.
    pub fn known(&self, ago: Duration) -> Counters {
        let written = self.0.lock().unwrap();
        let Some(until) = Instant::now().checked_sub(ago) else { return Counters::default() };
        let count = written.acknowledged.partition_point(|(time, _)| *time <= until);
        written.acknowledged[..count].last().map_or(Counters::default(), |(_, all)| *all)
    }

    pub fn answered(&self, answer: Answer, needed: Counters, how: &str) {
        let mut written = self.0.lock().unwrap();
        if !answer.at.reaches(needed) {
            let fault = format!("{how}: at {:?}, and {needed:?} was needed", answer.at);
            written.faults.push(fault);
        }
        written.answers.push(answer);
    }

    pub fn fault(&self, fault: String) {
        self.0.lock().unwrap().faults.push(fault);
    }

    pub fn answers(&self) -> usize {
        self.0.lock().unwrap().answers.len()
    }

    pub fn writes(&self) -> usize {
        self.0.lock().unwrap().acknowledged.len()
    }

    /// Every answer too old, and every one that says other than what was so at its revision.
    pub fn judge(&self) -> Vec<String> {
        let mut written = self.0.lock().unwrap();
        let mut faults = std::mem::take(&mut written.faults);
        for answer in &written.answers {
            let revision = if answer.thing == Thing::Role { answer.at.template } else { answer.at.own };
            let values = written.values.get(&answer.thing).map(Vec::as_slice).unwrap_or_default();
            let known = values.iter().rev().find(|(at, _)| *at <= revision).is_some_and(|(_, value)| *value);
            let in_doubt = written.doubtful.get(&answer.thing).is_some_and(|last| revision > *last);
            if !in_doubt && answer.allowed != known {
                faults.push(format!("{answer:?} is not what was so at its revision: {values:?}"));
            }
        }
        faults
    }
}
