use std::collections::BTreeSet;
use std::ops::ControlFlow;

use time::OffsetDateTime;

use super::Snapshot;
use super::bindings::Entry;
use super::check::Decision;
use super::standing::Standing;
use crate::condition::{Context, Facts, Meter, Outcome};
use crate::data::Effect;
use crate::id::SubjectId;
use crate::resource::ResourceRef;

/// When a question is asked and what is known then. A time alone is one without inputs.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    pub now: OffsetDateTime,
    /// The inputs of conditions. None: not one is given.
    pub context: Option<&'a Context>,
    /// What the conditions may cost, together with those of other questions. None: [`Meter::STEPS`] for this question alone.
    pub meter: Option<&'a Meter>,
}

impl<'a> Circumstances<'a> {
    /// The same with a meter, if it has none.
    pub(super) fn metered_by(self, meter: &'a Meter) -> Self {
        Self { meter: self.meter.or(Some(meter)), ..self }
    }
}

impl From<OffsetDateTime> for Circumstances<'_> {
    fn from(now: OffsetDateTime) -> Self {
        Self { now, context: None, meter: None }
    }
}

/// Who asks, where, and what is known then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) subject: &'a SubjectId,
    pub(super) resource: Option<&'a ResourceRef>,
    pub(super) circumstances: Circumstances<'a>,
}

/// Evaluates the conditions that one question reaches.
pub(super) struct Conditions<'a> {
    facts: Facts<'a>,
    meter: Source<'a>,
}

enum Source<'a> {
    Shared(&'a Meter),
    Own(Meter),
}

static NOTHING: Context = Context::EMPTY;

impl<'a> Conditions<'a> {
    pub(super) fn new(Asked { subject, resource, circumstances }: Asked<'a>) -> Self {
        let context = circumstances.context.unwrap_or(&NOTHING);
        let meter = circumstances.meter.map_or_else(|| Source::Own(Meter::default()), Source::Shared);
        Self { facts: Facts { now: circumstances.now, subject, resource, context }, meter }
    }

    /// None for a binding without a condition.
    pub(super) fn outcome(&self, snapshot: &Snapshot, entry: &Entry) -> Option<Outcome> {
        if !entry.conditional {
            return None;
        }
        let meter = match &self.meter {
            Source::Shared(meter) => meter,
            Source::Own(meter) => meter,
        };
        let condition = snapshot.bindings.record(entry).condition.as_ref()?;
        Some(condition.evaluate(&self.facts, meter))
    }
}

/// Whether a binding applies, its condition considered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Applies {
    Yes,
    No,
    /// It depends on these inputs.
    Maybe(Vec<String>),
}

/// A condition that fails never widens access.
pub(super) fn applies(effect: Effect, outcome: Option<Outcome>) -> Applies {
    match (outcome, effect) {
        (None | Some(Outcome::True), _) | (Some(Outcome::Failed(_)), Effect::Deny) => Applies::Yes,
        (Some(Outcome::False), _) | (Some(Outcome::Failed(_)), Effect::Allow) => Applies::No,
        (Some(Outcome::Missing(names)), _) => Applies::Maybe(names),
    }
}

/// What the bindings of one effect come to.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub(super) certain: bool,
    /// What those lack that may apply. Some as soon as there is one.
    missing: Option<BTreeSet<String>>,
}

impl Side {
    pub(super) fn add(&mut self, applies: Applies) {
        match applies {
            Applies::Yes => self.certain = true,
            Applies::No => {}
            Applies::Maybe(names) => self.missing.get_or_insert_default().extend(names),
        }
    }
}

/// The rules of precedence: a deny, then nothing that may allow, then what is open.
pub(super) fn decide(allow: Side, deny: Side) -> Decision {
    if deny.certain || (!allow.certain && allow.missing.is_none()) {
        return Decision::Denied;
    }
    let open = if allow.certain { None } else { allow.missing };
    match (deny.missing, open) {
        (None, None) => Decision::Allowed,
        (denies, allows) => {
            let missing: BTreeSet<String> = denies.into_iter().chain(allows).flatten().collect();
            Decision::Conditional { missing: missing.into_iter().collect() }
        }
    }
}

impl Snapshot {
    /// Decides where conditions have a say. `allowed` says that a binding without one allows; none denies.
    pub(super) fn decide_by_conditions(
        &self,
        standing: &Standing<'_>,
        permission: u32,
        allowed: bool,
        conditions: &Conditions<'_>,
    ) -> Decision {
        let (mut allow, mut deny) = (Side { certain: allowed, missing: None }, Side::default());
        let now = conditions.facts.now;
        let denied = standing.visit(|_, entry| {
            // Where it is allowed already, only denies are left to ask.
            let asked = entry.conditional && (entry.effect == Effect::Deny || !allow.certain);
            if asked && self.roles.grants(entry.role, permission) && self.bindings.is_open(entry, now) {
                let applies = applies(entry.effect, conditions.outcome(self, entry));
                match entry.effect {
                    Effect::Allow => allow.add(applies),
                    Effect::Deny if applies == Applies::Yes => return ControlFlow::Break(()),
                    Effect::Deny => deny.add(applies),
                }
            }
            ControlFlow::Continue(())
        });
        if denied.is_break() { Decision::Denied } else { decide(allow, deny) }
    }
}
