use std::sync::Arc;

use time::OffsetDateTime;

use super::resources::Resources;
use super::roles::Roles;
use super::subjects::Subjects;
use crate::condition::Condition;
use crate::data::{Binding, Effect};
use crate::id::BindingId;

/// The scope of a binding to the organization. Sorts before every resource's position plus one.
pub(super) const ORGANIZATION: u32 = 0;

/// The scope of a binding to the resource at this position.
pub(super) fn scope_of(resource: u32) -> u32 {
    resource + 1
}

/// What a check reads of a binding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) scope: u32,
    pub(super) role: u32,
    pub(super) effect: Effect,
    /// Whether it has a condition, which its record holds.
    pub(super) conditional: bool,
    windowed: bool,
    record: u32,
}

/// What an explanation reads of it, and a check only when it has a window or a condition.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) id: BindingId,
    pub(super) not_before: Option<OffsetDateTime>,
    pub(super) expire_time: Option<OffsetDateTime>,
    pub(super) condition: Option<Condition>,
}

/// Each subject's own bindings, sorted by scope. Those of a group are stored with the group, not with each member: a group
/// of ten thousand is given a role by one entry.
#[derive(Debug)]
pub(super) struct Bindings {
    by_subject: Vec<Option<Arc<[Entry]>>>,
    records: Vec<Record>,
    /// Without a single deny binding, the first grant decides.
    any_denies: bool,
}

impl Bindings {
    /// Leaves out what names a role that is not there.
    pub(super) fn build(stored: &[Binding], roles: &Roles, subjects: &Subjects, resources: &Resources) -> Self {
        let mut records = Vec::with_capacity(stored.len());
        let mut collected: Vec<Vec<Entry>> = vec![Vec::new(); subjects.ids().len()];
        for binding in stored {
            let scope = match &binding.resource {
                None => Some(ORGANIZATION),
                Some(resource) => resources.position(resource).map(scope_of),
            };
            let (Some(role), Some(subject), Some(scope)) =
                (roles.position(binding.role), subjects.position(&binding.subject), scope)
            else {
                continue;
            };
            collected[subject as usize].push(Entry {
                scope,
                role,
                effect: binding.effect,
                conditional: binding.condition.is_some(),
                windowed: binding.not_before.is_some() || binding.expire_time.is_some(),
                record: records.len() as u32,
            });
            records.push(Record {
                id: binding.id,
                not_before: binding.not_before,
                expire_time: binding.expire_time,
                condition: binding.condition.clone(),
            });
        }
        let any_denies = collected.iter().flatten().any(|entry| entry.effect == Effect::Deny);
        let by_subject = collected.into_iter().map(sorted).collect();
        Self { by_subject, records, any_denies }
    }

    pub(super) fn of(&self, subject: u32) -> &[Entry] {
        self.by_subject[subject as usize].as_deref().unwrap_or_default()
    }

    pub(super) fn record(&self, entry: &Entry) -> &Record {
        &self.records[entry.record as usize]
    }

    pub(super) fn any_denies(&self) -> bool {
        self.any_denies
    }

    /// Whether `not_before <= now < expire_time`.
    pub(super) fn is_open(&self, entry: &Entry, now: OffsetDateTime) -> bool {
        !entry.windowed || self.record(entry).is_open(now)
    }
}

impl Record {
    fn is_open(&self, now: OffsetDateTime) -> bool {
        self.not_before.is_none_or(|from| from <= now) && self.expire_time.is_none_or(|until| now < until)
    }
}

fn sorted(mut entries: Vec<Entry>) -> Option<Arc<[Entry]>> {
    entries.sort_by_key(|entry| entry.scope);
    if entries.is_empty() { None } else { Some(entries.into()) }
}
