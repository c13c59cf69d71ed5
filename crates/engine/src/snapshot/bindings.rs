use std::cmp::Ordering;
use std::ops::ControlFlow;
use std::sync::Arc;

use time::OffsetDateTime;

use crate::data::Effect;
use crate::id::BindingId;
use crate::persistent::{self, Radix, Table, Tree};

/// The scope of a binding to the organization. Sorts before every resource's position plus one.
pub(super) const ORGANIZATION: u32 = 0;

/// The scope of a binding to the resource at this position.
pub(super) fn scope_of(resource: u32) -> u32 {
    resource + 1
}

/// The position of the resource that a scope names; none: the organization.
pub(super) fn resource_of(scope: u32) -> Option<u32> {
    scope.checked_sub(1)
}

/// What a check reads of a binding. Of one subject they are sorted by scope.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) scope: u32,
    pub(super) role: u32,
    record: u32,
    pub(super) effect: Effect,
    windowed: bool,
}

impl Entry {
    fn rank(&self) -> (u32, u32) {
        (self.scope, self.record)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

/// The whole of a binding, with what it names by position.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) id: BindingId,
    pub(super) subject: u32,
    pub(super) role: u32,
    pub(super) scope: u32,
    pub(super) effect: Effect,
    /// None: always open, as most are.
    window: Option<Arc<Window>>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    not_before: Option<OffsetDateTime>,
    expire_time: Option<OffsetDateTime>,
}

impl persistent::Record for Record {
    type Key = BindingId;

    fn key(&self) -> &BindingId {
        &self.id
    }
}

/// Every binding, found by its subject for a check and by its role for a list. Those of a group are stored with the group, not with
/// each member: a group of ten thousand is given a role by one entry.
#[derive(Debug, Clone, Default)]
pub(super) struct Bindings {
    by_subject: Radix<Tree<Entry>>,
    /// Scope and record of each.
    by_role: Radix<Tree<(u32, u32)>>,
    records: Table<Record>,
    /// How many there are. Without a single one, the first grant decides.
    denies: u32,
    windows: u32,
}

impl Bindings {
    pub(super) fn find(&self, id: BindingId) -> Option<&Record> {
        self.records.position(&id).map(|record| &self.records[record])
    }

    /// No binding of this id may be there.
    pub(super) fn insert(&mut self, binding: Record) {
        let Record { subject, role, scope, effect, .. } = binding;
        let windowed = binding.window.is_some();
        self.denies += u32::from(effect == Effect::Deny);
        self.windows += u32::from(windowed);
        let record = self.records.insert(binding);
        self.by_subject.get_mut(subject).insert(Entry { scope, role, record, effect, windowed });
        self.by_role.get_mut(role).insert((scope, record));
    }

    /// What it was.
    pub(super) fn remove(&mut self, id: BindingId) -> Option<Record> {
        let record = self.records.position(&id)?;
        let binding = self.records[record].clone();
        self.records.remove(record);
        let Record { subject, role, scope, effect, .. } = binding;
        let windowed = binding.window.is_some();
        self.by_subject.get_mut(subject).remove(Entry { scope, role, record, effect, windowed });
        self.by_role.get_mut(role).remove((scope, record));
        self.denies -= u32::from(effect == Effect::Deny);
        self.windows -= u32::from(windowed);
        Some(binding)
    }

    /// Those of one subject in its own name.
    pub(super) fn of(&self, subject: u32) -> Option<&Tree<Entry>> {
        self.by_subject.get(subject)
    }

    pub(super) fn entries(&self, subject: u32) -> impl Iterator<Item = &Entry> {
        self.of(subject).into_iter().flat_map(Tree::iter)
    }

    pub(super) fn binds_subject(&self, subject: u32) -> bool {
        self.of(subject).is_some_and(|entries| !entries.is_empty())
    }

    pub(super) fn binds_role(&self, role: u32) -> bool {
        self.by_role.get(role).is_some_and(|bound| !bound.is_empty())
    }

    pub(super) fn of_role(&self, role: u32) -> impl Iterator<Item = &Record> {
        self.by_role.get(role).into_iter().flat_map(Tree::iter).map(|(_, record)| &self.records[*record])
    }

    /// The bindings of one role at exactly one scope.
    pub(super) fn of_role_at<'a>(&'a self, role: u32, scope: u32, mut visit: impl FnMut(&'a Record)) {
        let Some(bound) = self.by_role.get(role) else { return };
        let _: ControlFlow<()> = bound.visit(&|(at, _)| at.cmp(&scope), &mut |(_, record)| {
            visit(&self.records[*record]);
            ControlFlow::Continue(())
        });
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().map(|(_, record)| record)
    }

    pub(super) fn record(&self, entry: &Entry) -> &Record {
        &self.records[entry.record]
    }

    pub(super) fn any_denies(&self) -> bool {
        self.denies > 0
    }

    /// Whether `not_before <= now < expire_time`.
    pub(super) fn is_open(&self, entry: &Entry, now: OffsetDateTime) -> bool {
        !entry.windowed || self.record(entry).is_open(now)
    }

    pub(super) fn vacancy(&self) -> (u32, u32) {
        self.records.vacancy()
    }

    /// About what they take in memory.
    pub(super) fn bytes(&self) -> usize {
        let entries = self.records.len() * (size_of::<Entry>() + size_of::<(u32, u32)>());
        self.records.bytes() + entries + self.windows as usize * (size_of::<Window>() + 16)
    }
}

impl Record {
    pub(super) fn new(id: BindingId, [subject, role, scope]: [u32; 3], effect: Effect) -> Self {
        Self { id, subject, role, scope, effect, window: None }
    }

    pub(super) fn within(mut self, not_before: Option<OffsetDateTime>, expire_time: Option<OffsetDateTime>) -> Self {
        let bounded = not_before.is_some() || expire_time.is_some();
        self.window = bounded.then(|| Arc::new(Window { not_before, expire_time }));
        self
    }

    pub(super) fn not_before(&self) -> Option<OffsetDateTime> {
        self.window.as_ref()?.not_before
    }

    pub(super) fn expire_time(&self) -> Option<OffsetDateTime> {
        self.window.as_ref()?.expire_time
    }

    pub(super) fn is_open(&self, now: OffsetDateTime) -> bool {
        self.not_before().is_none_or(|from| from <= now) && self.expire_time().is_none_or(|until| now < until)
    }
}
