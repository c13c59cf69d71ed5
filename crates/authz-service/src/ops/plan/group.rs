use std::collections::{HashMap, HashSet};

use engine::{Snapshot, SubjectId};
use tenancy::{Change as Changed, GroupId, mask};
use uuid::Uuid;

use super::{Plan, Step, UNREAD};
use crate::{
    model::{Group, GroupMembership, Subject},
    ops::{
        Refused,
        edit::{GroupPatch, Made, NewGroup},
    },
};

/// How deep groups may lie in groups.
const MAX_DEPTH: usize = 16;

impl Plan {
    pub(super) fn create_group(&mut self, new: &NewGroup) -> Option<Made> {
        let faults = self.faults.len();
        if new.id.is_some_and(|id| self.records.groups.contains_key(&id)) {
            self.refuse("group_id", Refused::IdTaken);
        }
        self.unshared(None, &new.external_id);
        if self.faults.len() > faults {
            return None;
        }
        let group = Group {
            group_id: new.id.unwrap_or_else(GroupId::new),
            organization_id: self.ground.owners.tenant,
            display_name: new.display_name.clone(),
            external_id: new.external_id.clone(),
            create_time: self.ground.now,
            update_time: self.ground.now,
            revision: self.ground.revision,
            members_revision: self.ground.revision,
        };
        self.take(Step::Group(Changed::created(group.clone())));
        Some(Made::Group(group))
    }

    fn unshared(&mut self, group: Option<GroupId>, external_id: &str) {
        let mut others = self.records.groups.values().filter(|other| Some(other.group_id) != group);
        if !external_id.is_empty() && others.any(|other| other.external_id == external_id) {
            self.refuse("external_id", Refused::ExternalIdTaken);
        }
    }

    fn group(&mut self, field: &'static str, id: GroupId, etag: &str) -> Option<Group> {
        let refused = match self.records.groups.get(&id) {
            Some(group) if mask::etag_matches(etag, group.revision) => return Some(group.clone()),
            Some(_) => Refused::EtagMismatch,
            None => Refused::NotFound("group"),
        };
        self.refuse(field, refused);
        None
    }

    pub(super) fn update_group(&mut self, patch: &GroupPatch) -> Option<Made> {
        let faults = self.faults.len();
        let before = self.group("group_id", patch.group_id, &patch.etag);
        if let Some(external_id) = &patch.external_id {
            self.unshared(Some(patch.group_id), external_id);
        }
        let before = before.filter(|_| self.faults.len() == faults)?;
        let after = Group {
            display_name: patch.display_name.clone().unwrap_or_else(|| before.display_name.clone()),
            external_id: patch.external_id.clone().unwrap_or_else(|| before.external_id.clone()),
            update_time: self.ground.now,
            revision: self.ground.revision,
            ..before.clone()
        };
        self.take(Step::Group(Changed::updated(before, after.clone())));
        Some(Made::Group(after))
    }

    pub(super) fn delete_group(&mut self, id: GroupId, etag: &str) -> Option<Made> {
        let group = self.group("", id, etag)?;
        self.strip(Subject::Group(id));
        self.take(Step::Group(Changed::removed(group.clone())));
        let revision = self.ground.revision;
        Some(Made::Group(Group { revision, members_revision: revision, ..group }))
    }

    pub(super) fn add_members(&mut self, id: GroupId, subjects: &[Subject]) -> Option<Made> {
        let faults = self.faults.len();
        self.group("group_id", id, "");
        for subject in subjects {
            self.may_hold("subject", *subject, false);
        }
        if self.faults.len() > faults {
            return None;
        }
        let joining: Vec<Subject> = subjects
            .iter()
            .filter(|subject| !self.records.memberships.contains_key(&(id, **subject)))
            .copied()
            .collect();
        self.may_nest(id, &joining);
        if self.faults.len() > faults {
            return None;
        }
        for subject in &joining {
            self.take(Step::Membership(Changed::created(GroupMembership {
                organization_id: self.ground.owners.tenant,
                group_id: id,
                subject: *subject,
                membership_id: Uuid::now_v7(),
                create_time: self.ground.now,
                revision: self.ground.revision,
            })));
        }
        Some(count(joining.len()))
    }

    /// No circles, and no deeper than allowed.
    fn may_nest(&mut self, id: GroupId, joining: &[Subject]) {
        let inner: Vec<engine::GroupId> = joining
            .iter()
            .filter_map(|subject| if let Subject::Group(inner) = subject { Some(inner.uuid().into()) } else { None })
            .collect();
        if inner.is_empty() {
            return;
        }
        let outer = engine::GroupId(id.uuid());
        let Some(snapshot) = self.show(self.steps.len()) else {
            self.refuse("subject", UNREAD);
            return;
        };
        let containing = snapshot.groups_of(&outer.into());
        if inner.iter().any(|inner| *inner == outer || containing.contains(inner)) {
            self.refuse("subject", Refused::Cycle("the group would contain itself".to_owned()));
        } else if levels_above(snapshot, outer, containing) + levels_below(snapshot, inner) + 2 > MAX_DEPTH {
            let refused = Refused::Cycle(format!("the groups would lie more than {MAX_DEPTH} deep"));
            self.refuse("subject", refused);
        }
    }

    pub(super) fn remove_members(&mut self, id: GroupId, subjects: &[Subject]) -> Option<Made> {
        self.group("group_id", id, "")?;
        let leaving = subjects.iter().filter_map(|subject| self.records.memberships.get(&(id, *subject)));
        let leaving: Vec<GroupMembership> = leaving.cloned().collect();
        let gone = count(leaving.len());
        for membership in leaving {
            self.take(Step::Membership(Changed::removed(membership)));
        }
        Some(gone)
    }
}

pub(super) fn count(count: usize) -> Made {
    Made::Count(i32::try_from(count).unwrap_or(i32::MAX))
}

fn groups_in(snapshot: &Snapshot, group: engine::GroupId) -> impl Iterator<Item = engine::GroupId> {
    let members = snapshot.members_of(group).unwrap_or_default().into_iter();
    members.filter_map(|member| if let SubjectId::Group(id) = member { Some(id.into()) } else { None })
}

/// How many groups lie around the group, one in the other, on the longest way. `containing` are all that it is in.
fn levels_above(snapshot: &Snapshot, group: engine::GroupId, containing: Vec<engine::GroupId>) -> usize {
    let mut outer: HashMap<engine::GroupId, Vec<engine::GroupId>> = HashMap::new();
    for set in containing {
        groups_in(snapshot, set).for_each(|inner| outer.entry(inner).or_default().push(set));
    }
    levels(vec![group], |group| outer.get(&group).cloned().unwrap_or_default())
}

/// How many groups lie in the groups, one in the other, on the longest way.
fn levels_below(snapshot: &Snapshot, groups: Vec<engine::GroupId>) -> usize {
    levels(groups, |group| groups_in(snapshot, group).collect())
}

/// Level by level; who is reached again, deeper, counts deeper. More levels than allowed need not be counted.
fn levels(groups: Vec<engine::GroupId>, next: impl Fn(engine::GroupId) -> Vec<engine::GroupId>) -> usize {
    let mut level: HashSet<engine::GroupId> = groups.into_iter().collect();
    (0..=MAX_DEPTH)
        .take_while(|_| {
            level = level.iter().flat_map(|group| next(*group)).collect();
            !level.is_empty()
        })
        .count()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use engine::{Catalog, Group as Set, OrganizationData};

    use super::*;

    #[test]
    fn the_longest_way_counts() {
        let id = |n: u128| engine::GroupId(Uuid::from_u128(n));
        let mut data = OrganizationData::empty(Arc::new(Catalog::system()));
        // 1 > 2 > 3 and 1 > 3.
        data.groups = vec![
            Set { id: id(1), members: vec![id(2).into(), id(3).into()] },
            Set { id: id(2), members: vec![id(3).into()] },
            Set { id: id(3), members: vec![] },
        ];
        let snapshot = Snapshot::build(&data);
        for (n, above, below) in [(1, 0, 2), (2, 1, 1), (3, 2, 0), (4, 0, 0)] {
            let containing = snapshot.groups_of(&id(n).into());
            assert_eq!(levels_above(&snapshot, id(n), containing), above, "{n}");
            assert_eq!(levels_below(&snapshot, vec![id(n)]), below, "{n}");
        }
    }
}
