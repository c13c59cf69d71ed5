use time::OffsetDateTime;

use super::Snapshot;
use super::bindings::{Entry, resource_of, scope_of};
use super::standing::{Obstacle, Standing};
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
    pub fn explain(
        &self,
        subject: &SubjectId,
        permission: &Permission,
        resource: Option<&ResourceRef>,
        now: OffsetDateTime,
    ) -> Derivation {
        let verdict = match (self.catalog.position(permission), self.standing(subject, resource)) {
            (None, _) => Verdict::UnknownPermission,
            (_, Err(Obstacle::OrganizationInactive)) => Verdict::OrganizationInactive,
            (_, Err(Obstacle::SubjectInactive(state))) => Verdict::SubjectInactive { state },
            (_, Err(Obstacle::ResourceMisplaced)) => Verdict::ResourceMisplaced,
            (Some(position), Ok(standing)) => self.weigh(&Question { subject, permission, position, now }, &standing),
        };
        Derivation { subject: *subject, permission: permission.clone(), resource: resource.cloned(), at: now, verdict }
    }

    fn weigh(&self, question: &Question<'_>, standing: &Standing<'_>) -> Verdict {
        let (mut grants, mut denials) = (Vec::new(), Vec::new());
        standing.for_each(|principal, entry| {
            if self.roles.grants(entry.role, question.position) && self.bindings.is_open(entry, question.now) {
                let step = self.step(question, standing, principal, entry);
                match entry.effect {
                    Effect::Allow => grants.push(step),
                    Effect::Deny => denials.push(step),
                }
            }
        });
        for steps in [&mut grants, &mut denials] {
            steps.sort_by_key(|step| (step.subject_path.len(), step.role_path.len(), step.binding));
        }
        match (denials.is_empty(), grants.is_empty()) {
            (false, _) => Verdict::DeniedBy { denials, grants },
            (true, false) => Verdict::Granted { grants },
            (true, true) => Verdict::NotGranted {
                nearest: self.nearest(question, standing).map(Box::new),
                granting_roles: self.granting_roles(question.position),
            },
        }
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
        // Principals come nearest first.
        let misses = (0u32..).zip(standing.principals().iter()).flat_map(|(distance, principal)| {
            let allows = self.bindings.entries(principal).filter(|entry| entry.effect == Effect::Allow);
            let missing = move |entry| Some((self.missing(question, standing, entry)?, distance, principal, entry));
            allows.filter_map(missing)
        });
        let least =
            misses.min_by_key(|(missing, distance, _, entry)| (*missing, *distance, self.bindings.record(entry).id));
        let (missing, _, principal, entry) = least?;
        Some(NearMiss { step: self.step(question, standing, principal, entry), missing })
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

    fn step(&self, question: &Question<'_>, standing: &Standing<'_>, principal: u32, entry: &Entry) -> BindingStep {
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
        }
    }
}
