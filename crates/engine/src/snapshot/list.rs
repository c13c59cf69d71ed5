use std::cmp::Reverse;
use std::collections::BinaryHeap;

use time::OffsetDateTime;

use super::bindings::{ORGANIZATION, resource_of, scope_of};
use super::resources::ResourcePath;
use super::{Decision, Snapshot};
use crate::data::Effect;
use crate::id::SubjectId;
use crate::permission::Permission;
use crate::resource::ResourceRef;

/// One that a list answers, and what [`Snapshot::check`] says of it: never denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    pub item: T,
    pub decision: Decision,
}

impl Snapshot {
    /// The resources of a type at which the subject is not denied the permission, sorted by id: the first `limit` of those behind
    /// `after`, which need not be there any more. Whoever passes the last one on gets all of them, each once.
    ///
    /// Complete for the resources that are known: the registered ones, and those that a binding names. Looks at what is at or beneath
    /// the resources that the subject is given something at; at all of them only where it is given something in the whole organization.
    /// Each call looks anew, so large pages cost less.
    pub fn list_resources(
        &self,
        subject: &SubjectId,
        permission: &Permission,
        resource_type: &str,
        now: OffsetDateTime,
        after: Option<&ResourceRef>,
        limit: usize,
    ) -> Vec<Listed<ResourceRef>> {
        let (Some(permission), Ok(asking)) = (self.catalog.position(permission), self.standing(subject, None)) else {
            return Vec::new();
        };
        let mut everywhere = false;
        let mut given_at = Vec::new();
        for entry in asking.principals().iter().flat_map(|principal| self.bindings.entries(principal)) {
            let is_open_grant = || self.roles.grants(entry.role, permission) && self.bindings.is_open(entry, now);
            if entry.effect == Effect::Allow && is_open_grant() {
                match resource_of(entry.scope) {
                    None => everywhere = true,
                    Some(resource) => given_at.push(resource),
                }
            }
        }
        let candidates = if everywhere {
            self.resources.iter().map(|(position, _)| position).collect()
        } else {
            self.resources.beneath(given_at)
        };
        let candidates = candidates.into_iter().filter_map(|position| {
            let place = self.resources.get(position);
            let wanted = place.is_known() && place.id.type_name() == resource_type;
            (wanted && after.is_none_or(|after| place.id > *after)).then_some((&place.id, position))
        });
        first(candidates, limit, |position| {
            let path = self.resources.path_from(position)?;
            Some(self.decide(&asking.elsewhere(path), permission, now))
        })
        .map(|(id, decision)| Listed { item: id.clone(), decision })
        .collect()
    }

    /// The members and service accounts that are not denied the permission there (at the organization when absent), sorted: the first
    /// `limit` of those behind `after`, which need not be there any more. Groups and all members are resolved.
    ///
    /// Complete for the subjects that are known: those of whom something is known, and those that a binding or a group names. Looks at
    /// whom the bindings at the resource and above it reach.
    pub fn list_subjects(
        &self,
        permission: &Permission,
        resource: Option<&ResourceRef>,
        now: OffsetDateTime,
        after: Option<&SubjectId>,
        limit: usize,
    ) -> Vec<Listed<SubjectId>> {
        let path = resource.map_or(Some(ResourcePath::ORGANIZATION), |resource| self.resources.path(resource));
        let (Some(permission), Some(path), true) = (self.catalog.position(permission), path, self.active) else {
            return Vec::new();
        };
        let mut given = Vec::new();
        for role in (0..self.roles.len()).filter(|role| self.roles.grants(*role, permission)) {
            for scope in std::iter::once(ORGANIZATION).chain(path.positions().iter().map(|at| scope_of(*at))) {
                self.bindings.of_role_at(role, scope, |record| {
                    if record.effect == Effect::Allow && record.is_open(now) {
                        given.push(record.subject);
                    }
                });
            }
        }
        let candidates = self.subjects.within(given).into_iter().filter_map(|position| {
            let subject = self.subjects.get(position);
            let is_somebody = matches!(subject.id, SubjectId::Member(_) | SubjectId::ServiceAccount(_));
            let wanted = is_somebody && subject.state.is_none() && after.is_none_or(|after| subject.id > *after);
            wanted.then_some((&subject.id, position))
        });
        first(candidates, limit, |position| Some(self.decide(&self.standing_at(Some(position), path), permission, now)))
            .map(|(id, decision)| Listed { item: *id, decision })
            .collect()
    }
}

/// In the order of their keys, as many as wanted of those that are not denied. Only as many are sorted as are needed for that.
fn first<K: Ord>(
    candidates: impl Iterator<Item = (K, u32)>,
    limit: usize,
    decide: impl Fn(u32) -> Option<Decision>,
) -> impl Iterator<Item = (K, Decision)> {
    let mut least: BinaryHeap<Reverse<(K, u32)>> = candidates.map(Reverse).collect();
    let sorted = std::iter::from_fn(move || least.pop());
    let decided = sorted.filter_map(move |Reverse((key, position))| Some((key, decide(position)?)));
    decided.filter(|(_, decision)| *decision != Decision::Denied).take(limit)
}
