//! What steps hand out: each permission that somebody could gain by them, at its scope and until its end. To lift a deny hands out
//! what it forbade.

use std::collections::BTreeSet;

use engine::{PermissionPattern, RoleId, Snapshot};
use tenancy::{Change as Changed, GroupId};
use time::OffsetDateTime;

use super::{Records, Step, step::Ways};
use crate::{
    model::{Binding, Effect, Resource, Role, SubjectStatus},
    ops::rules::Given,
};

/// `before` is what decides before the steps, `records` are as they are after them.
pub(super) fn of(steps: &[Step], before: &Snapshot, records: &Records, now: OffsetDateTime) -> Vec<Given> {
    let mut gifts = Gifts { before, now, given: Vec::new() };
    // Those that the steps end are no longer among the records, and hold until then.
    let ended: Vec<&Binding> = steps
        .iter()
        .filter_map(
            |step| if let Step::Binding(Changed { before, after: None }) = step { before.as_ref() } else { None },
        )
        .collect();
    for step in steps {
        match step {
            // A wider allow gives what it did not, and a narrower deny gives back what it forbade.
            Step::Binding(Changed { before: was, after: is }) => {
                let within =
                    |inner: &Binding, outer: &Option<Binding>| outer.as_ref().is_some_and(|o| o.takes_in(inner));
                let allows = is.iter().filter(|new| new.effect == Effect::Allow && !within(new, was));
                allows.for_each(|allow| gifts.by(allow));
                let denies = was.iter().filter(|old| old.effect == Effect::Deny && !within(old, is));
                denies.for_each(|deny| gifts.by(deny));
            }
            Step::Role(Changed { before: was, after: is }) => gifts.of_role(was.as_ref(), is.as_ref()),
            Step::Membership(Changed { before: Some(left), .. }) => {
                gifts.of_sets(left.group_id, engine::Effect::Deny);
            }
            Step::Membership(Changed { after, .. }) => {
                after.iter().for_each(|m| gifts.of_sets(m.group_id, engine::Effect::Allow));
            }
            Step::Group(Changed { before: Some(group), after: None }) => {
                gifts.of_sets(group.group_id, engine::Effect::Deny);
            }
            Step::Resource(Changed { before: was, after: is }, Ways { left, entered }) => {
                let Some(resource) = is.as_ref().or(was.as_ref()).map(|registration| &registration.resource) else {
                    continue;
                };
                let at = |places: &[Resource]| -> Vec<Binding> {
                    let ended =
                        ended.iter().filter(|binding| binding.resource.as_ref().is_some_and(|at| places.contains(at)));
                    places.iter().flat_map(|place| records.bindings_at(place)).chain(ended.copied().cloned()).collect()
                };
                gifts.of_place(resource, &at(left), Effect::Deny);
                gifts.of_place(resource, &at(entered), Effect::Allow);
            }
            Step::Group(_) | Step::Standing(_) => {}
        }
    }
    gifts.given
}

struct Gifts<'a> {
    before: &'a Snapshot,
    now: OffsetDateTime,
    given: Vec<Given>,
}

impl Gifts<'_> {
    fn add(&mut self, given: Option<Given>) {
        // A thousand who join one group are given one thing.
        if let Some(given) = given.filter(|given| !given.patterns.is_empty())
            && self.given.last() != Some(&given)
        {
            self.given.push(given);
        }
    }

    fn by(&mut self, binding: &Binding) {
        let given = Given::by(&binding.for_engine(), self.before, self.now);
        self.add(given);
    }

    /// What the role permits from now on and, where a deny binds it, what it forbids no more: wherever it is bound, so everywhere.
    fn of_role(&mut self, was: Option<&Role>, is: Option<&Role>) {
        let has = is.map(|role| self.closed(role)).unwrap_or_default();
        let had = was.map(|role| self.closed(role)).unwrap_or_default();
        let mut given = uncovered(&has, &had);
        if was.is_some_and(|role| self.forbids(role.role_id.uuid().into())) {
            given.extend(uncovered(&had, &has));
        }
        self.add(Some(Given::everywhere(given)));
    }

    /// Whether a deny binds the role, or one that includes it; whenever that begins or ends.
    fn forbids(&self, role: RoleId) -> bool {
        let denied = |role: RoleId| self.before.bindings_to(role).any(|binding| binding.effect == engine::Effect::Deny);
        let wider = |other: &&engine::Role| super::role::includes(self.before, other.id, role);
        self.before.roles().filter(wider).any(|role| denied(role.id))
    }

    /// What a role lists and includes. It is in no circle.
    fn closed(&self, role: &Role) -> Vec<PermissionPattern> {
        let included = role.included().into_iter().filter_map(|id| self.before.patterns_of(id));
        included.flatten().chain(role.patterns()).collect()
    }

    /// The bindings of a set and of every set that it is in.
    fn of_sets(&mut self, group: GroupId, effect: engine::Effect) {
        let group = engine::GroupId(group.uuid());
        for set in std::iter::once(group).chain(self.before.groups_of(&group.into())) {
            for binding in self.before.bindings_of(&set.into()).filter(|binding| binding.effect == effect) {
                self.add(Given::by(&binding, self.before, self.now));
            }
        }
    }

    /// What bindings elsewhere come to give, or no longer forbid, at a resource.
    fn of_place(&mut self, resource: &Resource, bindings: &[Binding], effect: Effect) {
        let alike = |binding: &Binding| (binding.role_id, binding.window.expire_time);
        let mut seen = BTreeSet::new();
        for binding in bindings.iter().filter(|binding| binding.effect == effect && seen.insert(alike(binding))) {
            let given = Given::by(&binding.for_engine(), self.before, self.now);
            self.add(given.map(|given| Given { scope: resource.reference(), ..given }));
        }
    }
}

/// Those of `patterns` that none of `others` covers.
fn uncovered(patterns: &[PermissionPattern], others: &[PermissionPattern]) -> Vec<PermissionPattern> {
    patterns.iter().filter(|pattern| !others.iter().any(|other| other.covers(pattern))).cloned().collect()
}

/// Whether a step can take ownership of the organization from somebody. Who does lose it is looked at where one can.
pub(super) fn may_unseat(step: &Step) -> bool {
    match step {
        Step::Binding(Changed { before, after }) => {
            before.as_ref().is_some_and(Binding::is_ownership)
                || after.as_ref().is_some_and(|new| new.effect == Effect::Deny && new.resource.is_none())
        }
        // A wider role may be denied, a narrower one is no `owner`: that one cannot be changed.
        Step::Role(Changed { before, after }) => before.is_some() && after.is_some(),
        // Whoever joins may be denied by the group, whoever leaves may own by it.
        Step::Membership(_) | Step::Group(Changed { after: None, .. }) => true,
        Step::Group(_) | Step::Resource(..) => false,
        Step::Standing(Changed { after, .. }) => {
            after.as_ref().is_some_and(|standing| standing.status != SubjectStatus::Active)
        }
    }
}
