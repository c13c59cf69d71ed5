use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::Snapshot;
use super::bindings::{Entry, resource_of, scope_of};
use super::circumstances::{Applies, Asked, Circumstances, Conditions, applies};
use super::standing::{Obstacle, Standing};
use crate::condition::Outcome;
use crate::data::Effect;
use crate::derivation::{BindingStep, Derivation, Missing, NearMiss, Verdict};
use crate::id::{RoleId, SubjectId};
use crate::permission::Permission;
use crate::resource::ResourceRef;

/// What was asked, as each step of the answer needs it.
struct Question<'a> {
    subject: &'a SubjectId,
    permission: &'a Permission,
    position: u32,
    now: OffsetDateTime,
}

impl Snapshot {
    /// The decision of [`Self::check`] with everything it rests on.
    pub fn explain<'a>(
        &self,
        subject: &'a SubjectId,
        permission: &Permission,
        resource: Option<&'a ResourceRef>,
        circumstances: impl Into<Circumstances<'a>>,
    ) -> Derivation {
        let circumstances = circumstances.into();
        let now = circumstances.now;
        let mut others = Vec::new();
        let verdict = match (self.catalog.position(permission), self.standing(subject, resource)) {
            (None, _) => Verdict::UnknownPermission,
            (_, Err(Obstacle::OrganizationInactive)) => Verdict::OrganizationInactive,
            (_, Err(Obstacle::SubjectInactive(state))) => Verdict::SubjectInactive { state },
            (_, Err(Obstacle::ResourceMisplaced)) => Verdict::ResourceMisplaced,
            (Some(position), Ok(standing)) => {
                let question = Question { subject, permission, position, now };
                let conditions = Conditions::new(Asked { subject, resource, circumstances });
                let weighed;
                (weighed, others) = self.weigh(&question, &standing, &conditions);
                weighed
            }
        };
        let (permission, resource) = (permission.clone(), resource.cloned());
        Derivation { subject: *subject, permission, resource, at: now, verdict, others }
    }

    /// What decides, and what does not for its condition's sake.
    fn weigh(
        &self,
        question: &Question<'_>,
        standing: &Standing<'_>,
        conditions: &Conditions<'_>,
    ) -> (Verdict, Vec<BindingStep>) {
        let mut reached: Vec<(BindingStep, Applies)> = Vec::new();
        standing.for_each(|principal, entry| {
            if self.roles.grants(entry.role, question.position) && self.bindings.is_open(entry, question.now) {
                let outcome = conditions.outcome(self, entry);
                let applies = applies(entry.effect, outcome.clone());
                reached.push((self.step(question, standing, principal, entry, outcome), applies));
            }
        });
        reached.sort_by_key(|(step, _)| (step.subject_path.len(), step.role_path.len(), step.binding));
        let some = |effect: Effect, test: fn(&Applies) -> bool| {
            reached.iter().any(|(step, applies)| step.effect == effect && test(applies))
        };
        let certain = |applies: &Applies| *applies == Applies::Yes;
        let open = |applies: &Applies| matches!(applies, Applies::Maybe(_));
        let denied = some(Effect::Deny, certain);
        let allowed = some(Effect::Allow, certain);
        let may_be_denied = !denied && some(Effect::Deny, open);
        let is_open = !denied && (allowed || some(Effect::Allow, open)) && (!allowed || may_be_denied);

        let (mut grants, mut denials, mut others) = (Vec::new(), Vec::new(), Vec::new());
        let mut missing = BTreeSet::new();
        for (step, applies) in reached {
            let decides = match (&applies, step.effect) {
                (Applies::Yes, _) => true,
                (Applies::No, _) => false,
                (Applies::Maybe(_), Effect::Deny) => is_open,
                (Applies::Maybe(_), Effect::Allow) => is_open && !allowed,
            };
            if let (true, Applies::Maybe(names)) = (decides, applies) {
                missing.extend(names);
            }
            match step.effect {
                _ if !decides => others.push(step),
                Effect::Allow => grants.push(step),
                Effect::Deny => denials.push(step),
            }
        }
        let verdict = match (denied, is_open, allowed) {
            (true, ..) => Verdict::DeniedBy { denials, grants },
            (_, true, _) => Verdict::Conditional { denials, grants, missing: missing.into_iter().collect() },
            (_, _, true) => Verdict::Granted { grants },
            _ => Verdict::NotGranted {
                nearest: conditioned(&others).or_else(|| self.nearest(question, standing)).map(Box::new),
                granting_roles: self.granting_roles(question.position),
            },
        };
        (verdict, others)
    }

    fn subject_path(&self, subject: &SubjectId, principal: u32) -> Vec<SubjectId> {
        self.subjects.position(subject).map_or_else(Vec::new, |subject| self.subjects.path(subject, principal))
    }

    fn granting_roles(&self, permission: u32) -> Vec<RoleId> {
        let granting = (0..self.roles.len()).filter(|role| self.roles.grants(*role, permission));
        let mut ids: Vec<RoleId> = granting.map(|role| self.roles.id(role)).collect();
        ids.sort_unstable();
        ids
    }

    /// The allow binding that lacks exactly one thing, and the least of things; of equals the one with the shortest way to it.
    fn nearest(&self, question: &Question<'_>, standing: &Standing<'_>) -> Option<NearMiss> {
        // Principals come nearest first. A binding with a condition may lack more than one thing.
        let misses = (0u32..).zip(standing.principals().iter()).flat_map(|(distance, principal)| {
            let entries = self.bindings.entries(principal);
            let allows = entries.filter(|entry| entry.effect == Effect::Allow && !entry.conditional);
            let missing = move |entry| Some((self.missing(question, standing, entry)?, distance, principal, entry));
            allows.filter_map(missing)
        });
        let least =
            misses.min_by_key(|(missing, distance, _, entry)| (*missing, *distance, self.bindings.record(entry).id));
        let (missing, _, principal, entry) = least?;
        Some(NearMiss { step: self.step(question, standing, principal, entry, None), missing })
    }

    fn missing(&self, question: &Question<'_>, standing: &Standing<'_>, entry: &Entry) -> Option<Missing> {
        let grants = self.roles.grants(entry.role, question.position);
        let open = self.bindings.is_open(entry, question.now);
        if !self.roles.exists(entry.role) {
            return None;
        }
        match (grants, open, standing.reaches(entry)) {
            (true, false, true) => {
                let record = self.bindings.record(entry);
                let ended = record.expire_time().is_some_and(|until| until <= question.now);
                let never = record.not_before().zip(record.expire_time()).is_some_and(|(from, until)| until <= from);
                Some(if ended || never { Missing::Expired } else { Missing::NotYetOpen })
            }
            (true, true, false) => Some(Missing::BoundElsewhere),
            (false, true, true) => Some(Missing::RoleLacksPermission),
            _ => None,
        }
    }

    fn step(
        &self,
        question: &Question<'_>,
        standing: &Standing<'_>,
        principal: u32,
        entry: &Entry,
        condition: Option<Outcome>,
    ) -> BindingStep {
        let record = self.bindings.record(entry);
        let path = standing.path().positions();
        let resource_path = match path.iter().position(|at| scope_of(*at) == entry.scope) {
            Some(end) => path[..=end].iter().map(|at| self.resources.id(*at).clone()).collect(),
            None => Vec::new(),
        };
        let (role_path, pattern) = match self.roles.derive(entry.role, question.permission) {
            Some((path, pattern)) => (path, Some(pattern)),
            None => (vec![self.roles.id(entry.role)], None),
        };
        BindingStep {
            binding: record.id,
            effect: entry.effect,
            subject_path: self.subject_path(question.subject, principal),
            role_path,
            pattern,
            resource_path,
            bound_to: resource_of(entry.scope).map(|at| self.resources.id(at).clone()),
            not_before: record.not_before(),
            expire_time: record.expire_time(),
            condition,
        }
    }
}

/// The first allow binding that only its condition keeps from granting.
fn conditioned(others: &[BindingStep]) -> Option<NearMiss> {
    others.iter().filter(|step| step.effect == Effect::Allow).find_map(|step| {
        let missing = match step.condition {
            Some(Outcome::False) => Missing::ConditionFalse,
            Some(Outcome::Failed(_)) => Missing::ConditionFailed,
            Some(Outcome::True | Outcome::Missing(_)) | None => return None,
        };
        Some(NearMiss { step: step.clone(), missing })
    })
}
