use std::sync::Arc;

use super::Snapshot;
use super::bindings::{Record, resource_of};
use crate::change::Change;
use crate::data::{Binding, Group, OrganizationData, Resource, Role};
use crate::id::{BindingId, GroupId, RoleId, SubjectId};
use crate::resource::ResourceRef;
use crate::system::is_builtin;

/// What is known, as it was given. Sets come in no particular order.
impl Snapshot {
    /// All of it: a snapshot built of this answers the same.
    pub fn data(&self) -> OrganizationData {
        let mut data = OrganizationData::empty(Arc::clone(&self.catalog));
        data.active = self.active;
        data.roles = self.roles().filter(|role| !is_builtin(role.id)).cloned().collect();
        data.bindings = self.bindings().collect();
        data.resources = self.resources().collect();
        for (position, subject) in self.subjects.iter() {
            data.inactive_subjects.extend(subject.state.map(|state| (subject.id, state)));
            match subject.id {
                SubjectId::Member(id) if subject.is_member => data.members.push(id),
                SubjectId::Group(id) if subject.is_group => data.groups.push(self.group(GroupId(id), position)),
                SubjectId::Member(_) | SubjectId::ServiceAccount(_) | SubjectId::Group(_) | SubjectId::AllMembers => {}
            }
        }
        data
    }

    /// The same, one fact after the other as they are asked for: applied to an empty organization they make it up.
    pub fn facts(&self) -> impl Iterator<Item = Change> {
        let ground = [Change::Catalog(Arc::clone(&self.catalog)), Change::Organization { active: self.active }];
        let roles = self.roles().filter(|role| !is_builtin(role.id)).cloned().map(Change::PutRole);
        let groups = self.group_positions().map(|(id, _)| Change::PutGroup(id));
        let memberships = self.group_positions().flat_map(|(group, position)| {
            let members = self.subjects.members(position).into_iter().map(|member| self.subjects.id(member));
            members.map(move |member| Change::PutMembership { group, member })
        });
        let known = self.subjects.iter().filter(|(_, subject)| subject.is_member || subject.state.is_some());
        let subjects = known.map(|(_, subject)| Change::Subject(subject.id, subject.state));
        let ground = ground.into_iter().chain(roles).chain(groups).chain(memberships);
        ground
            .chain(self.bindings().map(Change::PutBinding))
            .chain(self.resources().map(Change::PutResource))
            .chain(subjects)
    }

    pub fn is_active(&self) -> bool {
        self.active
    }

    /// Every role that there is, builtin ones too.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.iter()
    }

    pub fn role(&self, role: RoleId) -> Option<&Role> {
        self.roles.get(self.roles.position(role)?)
    }

    pub fn groups(&self) -> impl Iterator<Item = Group> {
        self.group_positions().map(|(id, position)| self.group(id, position))
    }

    fn group_positions(&self) -> impl Iterator<Item = (GroupId, u32)> {
        self.subjects.iter().filter_map(|(position, subject)| match subject.id {
            SubjectId::Group(id) if subject.is_group => Some((GroupId(id), position)),
            _ => None,
        })
    }

    /// The members that a group has directly. None when there is no such group.
    pub fn members_of(&self, group: GroupId) -> Option<Vec<SubjectId>> {
        let position = self.subjects.position(&group.into())?;
        self.subjects.get(position).is_group.then(|| self.group(group, position).members)
    }

    /// Every group that the subject is in, at any depth, nearest first; by what all members are in too where it is one of them.
    pub fn groups_of(&self, subject: &SubjectId) -> Vec<GroupId> {
        let position = self.subjects.position(subject);
        let sets = position.map_or(&[][..], |position| self.subjects.sets(position));
        let group =
            |set: &u32| if let SubjectId::Group(id) = self.subjects.id(*set) { Some(GroupId(id)) } else { None };
        sets.iter().filter_map(group).collect()
    }

    pub fn bindings(&self) -> impl Iterator<Item = Binding> {
        self.bindings.all().map(|record| self.binding_of(record))
    }

    pub fn binding(&self, id: BindingId) -> Option<Binding> {
        self.bindings.find(id).map(|record| self.binding_of(record))
    }

    /// The bindings that name this subject itself.
    pub fn bindings_of(&self, subject: &SubjectId) -> impl Iterator<Item = Binding> {
        let entries = self.subjects.position(subject).into_iter().flat_map(|position| self.bindings.entries(position));
        entries.map(|entry| self.binding_of(self.bindings.record(entry)))
    }

    /// The bindings to this role itself, be it there or not.
    pub fn bindings_to(&self, role: RoleId) -> impl Iterator<Item = Binding> {
        let records = self.roles.named(role).into_iter().flat_map(|position| self.bindings.of_role(position));
        records.map(|record| self.binding_of(record))
    }

    /// Every registered resource.
    pub fn resources(&self) -> impl Iterator<Item = Resource> {
        let registered = self.resources.iter().filter(|(_, place)| place.is_registered);
        registered.map(|(position, _)| self.resource_at(position))
    }

    /// None when it is not registered.
    pub fn resource(&self, resource: &ResourceRef) -> Option<Resource> {
        let position = self.resources.position(resource)?;
        self.resources.get(position).is_registered.then(|| self.resource_at(position))
    }

    /// The resources that are registered directly beneath this one.
    pub fn children_of(&self, resource: &ResourceRef) -> impl Iterator<Item = &ResourceRef> {
        let position = self.resources.position(resource);
        let children = position.into_iter().flat_map(|position| self.resources.children(position));
        children.map(|child| self.resources.id(child))
    }

    fn group(&self, id: GroupId, position: u32) -> Group {
        let members = self.subjects.members(position).into_iter().map(|member| self.subjects.id(member));
        Group { id, members: members.collect() }
    }

    fn resource_at(&self, position: u32) -> Resource {
        let place = self.resources.get(position);
        Resource { resource: place.id.clone(), parent: self.resources.parent_of(position).cloned() }
    }

    fn binding_of(&self, record: &Record) -> Binding {
        Binding {
            id: record.id,
            subject: self.subjects.id(record.subject),
            role: self.roles.id(record.role),
            resource: resource_of(record.scope).map(|resource| self.resources.id(resource).clone()),
            effect: record.effect,
            not_before: record.not_before(),
            expire_time: record.expire_time(),
            condition: record.condition.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::catalog::Catalog;
    use crate::data::{Effect, SubjectState};
    use crate::system::MEMBER;

    #[test]
    fn facts_applied_to_nothing_make_up_the_same() {
        let id = Uuid::from_u128;
        let [ada, gone] = [1, 2].map(|n| SubjectId::Member(id(n)));
        let machine = SubjectId::ServiceAccount(id(3));
        let [inner, outer, empty] = [4, 5, 6].map(|n| GroupId(id(n)));
        let [folder, file]: [ResourceRef; 2] = ["home", "notes"].map(|id| ResourceRef::new("file", id).unwrap());
        let nothing = OrganizationData::empty(Arc::new(Catalog::system()));
        let data = OrganizationData {
            active: false,
            roles: vec![Role { id: RoleId(id(7)), permissions: Vec::new(), included_role_ids: vec![MEMBER] }],
            groups: vec![
                Group { id: outer, members: vec![inner.into(), SubjectId::AllMembers] },
                Group { id: inner, members: vec![ada, machine] },
                Group { id: empty, members: Vec::new() },
            ],
            bindings: vec![Binding {
                id: BindingId(id(8)),
                subject: outer.into(),
                role: RoleId(id(7)),
                resource: Some(folder.clone()),
                effect: Effect::Deny,
                condition: None,
                not_before: None,
                expire_time: None,
            }],
            resources: vec![Resource { resource: file, parent: Some(folder) }],
            inactive_subjects: vec![(gone, SubjectState::Removed), (machine, SubjectState::Suspended)],
            members: vec![id(1), id(2)],
            ..nothing.clone()
        };
        let snapshot = Snapshot::build(&data);
        let again = Snapshot::build(&nothing).apply(&snapshot.facts().collect::<Vec<_>>());
        let said = |snapshot: &Snapshot| {
            let mut facts: Vec<String> = snapshot.facts().map(|fact| format!("{fact:?}")).collect();
            facts.sort_unstable();
            facts
        };
        assert_eq!(said(&again), said(&snapshot));
        assert_eq!(snapshot.facts().count(), 2 + 1 + 3 + 4 + 1 + 1 + 3);
    }
}
