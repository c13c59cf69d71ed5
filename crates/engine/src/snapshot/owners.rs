use std::collections::{BTreeSet, HashSet};
use std::iter::once;

use foldhash::fast::RandomState;
use time::OffsetDateTime;

use super::Snapshot;
use super::bindings::{ORGANIZATION, Record};
use super::subjects::ALL_MEMBERS;
use crate::data::Effect;
use crate::id::SubjectId;
use crate::system::OWNER;

impl Snapshot {
    /// Who holds the builtin `owner` itself for good: bound to it in the whole organization, in their own name or through a group, by a
    /// binding that is open and has neither an end nor a condition; not suspended or removed; and nothing of it taken away by a deny binding in the
    /// whole organization, be it open or yet to begin, for when it begins nobody is asked, and whatever its condition.
    ///
    /// Whoever holds it only as one of all members is left out, because who the members are may be known elsewhere only; what is denied to
    /// all members is denied to every member here, known or not. Whether the organization is active does not matter.
    ///
    /// Looks at the bindings to `owner`, and at those of whom they reach.
    pub fn lasting_owners(&self, now: OffsetDateTime) -> BTreeSet<SubjectId> {
        let Some(owner) = self.roles.position(OWNER) else { return BTreeSet::new() };
        let mut bound: HashSet<u32, RandomState> = HashSet::default();
        self.bindings.of_role_at(owner, ORGANIZATION, |record| {
            if record.effect == Effect::Allow && record.is_for_good() && record.is_open(now) {
                bound.insert(record.subject);
            }
        });
        let everyones: Vec<u32> = once(ALL_MEMBERS).chain(self.subjects.sets(ALL_MEMBERS).iter().copied()).collect();
        let reached = self.subjects.within_groups(bound.iter().copied()).into_iter();
        let is_owner = |position: &u32| {
            let subject = self.subjects.get(*position);
            let as_everyone: &[u32] = match subject.id {
                SubjectId::Member(_) => &everyones,
                SubjectId::ServiceAccount(_) => &[],
                SubjectId::Group(_) | SubjectId::AllMembers => return false,
            };
            let principals = || self.principals(Some(*position)).iter();
            let holds = principals().any(|set| bound.contains(&set) && !as_everyone.contains(&set));
            let mut denying = principals().chain(as_everyone.iter().copied());
            holds && subject.state.is_none() && !denying.any(|set| self.takes_something(set, now))
        };
        reached.filter(is_owner).map(|position| self.subjects.id(position)).collect()
    }

    /// Whether a deny binding of this very subject in the whole organization, not over yet, forbids any permission that there is.
    fn takes_something(&self, subject: u32, now: OffsetDateTime) -> bool {
        let entries = self.bindings.entries(subject).take_while(|entry| entry.scope == ORGANIZATION);
        let is_over = |record: &Record| record.expire_time().is_some_and(|end| end <= now);
        entries.filter(|entry| entry.effect == Effect::Deny).any(|entry| {
            self.roles.row(entry.role).iter().any(|word| *word != 0) && !is_over(self.bindings.record(entry))
        })
    }
}
