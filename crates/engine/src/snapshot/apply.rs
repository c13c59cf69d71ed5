use std::sync::Arc;

use super::Snapshot;
use super::bindings::{ORGANIZATION, Record, resource_of, scope_of};
use super::roles::Roles;
use crate::change::Change;
use crate::data::{Binding, OrganizationData};
use crate::id::{BindingId, GroupId, RoleId, SubjectId};

/// Where more positions are vacant than are taken, and more than these, the snapshot is built anew.
const TOLERATED_VACANCIES: u32 = 4096;

impl Snapshot {
    pub fn build(data: &OrganizationData) -> Self {
        let mut draft = Draft::of(Self::empty(Arc::clone(&data.catalog)));
        draft.next.active = data.active;
        data.roles.iter().for_each(|role| draft.roles().put(role));
        for group in &data.groups {
            draft.put_group(group.id);
            group.members.iter().for_each(|member| draft.put_membership(group.id, *member));
        }
        data.members.iter().for_each(|member| draft.know(SubjectId::Member(*member)));
        for (subject, state) in &data.inactive_subjects {
            let position = draft.next.subjects.intern(*subject);
            draft.next.subjects.set_state(position, Some(*state));
        }
        data.resources.iter().for_each(|place| draft.next.resources.put(&place.resource, place.parent.as_ref()));
        data.bindings.iter().for_each(|binding| draft.put_binding(binding));
        draft.finish()
    }

    /// The snapshot after these changes, in their order; what they do not touch is shared with this one. It answers as one would
    /// that is built of the changed data.
    ///
    /// A binding, a membership or a resource costs what is on the way to it, however large the organization. A change of a group's
    /// own place costs what is within the group. Roles and the catalog cost what all roles cost.
    pub fn apply(&self, changes: &[Change]) -> Self {
        let mut draft = Draft::of(self.clone());
        changes.iter().for_each(|change| draft.take(change));
        draft.finish()
    }

    fn is_mostly_vacant(&self) -> bool {
        let parts = [self.subjects.vacancy(), self.resources.vacancy(), self.bindings.vacancy()];
        parts.iter().any(|(vacant, all)| *vacant > TOLERATED_VACANCIES && *vacant > all / 2)
    }
}

/// The next snapshot while changes are taken up: what is closed over many is closed once, at the end.
struct Draft {
    next: Snapshot,
    roles_changed: bool,
    /// Whose direct memberships changed.
    moved: Vec<u32>,
}

impl Draft {
    fn of(next: Snapshot) -> Self {
        Self { next, roles_changed: false, moved: Vec::new() }
    }

    fn finish(mut self) -> Snapshot {
        if self.roles_changed {
            let catalog = Arc::clone(&self.next.catalog);
            self.roles().close(&catalog);
        }
        if !self.moved.is_empty() {
            self.next.subjects.close(self.moved);
        }
        if self.next.is_mostly_vacant() { Snapshot::build(&self.next.data()) } else { self.next }
    }

    fn take(&mut self, change: &Change) {
        match change {
            Change::Catalog(catalog) => {
                self.next.catalog = Arc::clone(catalog);
                self.roles_changed = true;
            }
            Change::Organization { active } => self.next.active = *active,
            Change::PutRole(role) => self.roles().put(role),
            Change::DropRole(id) => {
                self.roles().drop(*id);
                self.release_role(*id);
            }
            Change::PutGroup(id) => {
                self.put_group(*id);
            }
            Change::DropGroup(id) => self.drop_group(*id),
            Change::PutMembership { group, member } => self.put_membership(*group, *member),
            Change::DropMembership { group, member } => self.drop_membership(*group, *member),
            Change::PutBinding(binding) => self.put_binding(binding),
            Change::DropBinding(id) => self.drop_binding(*id),
            Change::PutResource(place) => self.next.resources.put(&place.resource, place.parent.as_ref()),
            Change::DropResource(resource) => self.next.resources.drop(resource),
            Change::Subject(subject, state) => {
                self.know(*subject);
                let position = self.next.subjects.intern(*subject);
                self.next.subjects.set_state(position, *state);
                self.release_subject(position);
            }
        }
    }

    /// The roles, to be changed and closed again.
    fn roles(&mut self) -> &mut Roles {
        self.roles_changed = true;
        Arc::make_mut(&mut self.next.roles)
    }

    /// A member of whom something is known is one of all members.
    fn know(&mut self, subject: SubjectId) {
        if let SubjectId::Member(_) = subject {
            let position = self.next.subjects.intern(subject);
            if self.next.subjects.set_member(position) {
                self.moved.push(position);
            }
        }
    }

    fn put_group(&mut self, group: GroupId) -> u32 {
        let position = self.next.subjects.intern(group.into());
        self.next.subjects.set_group(position, true);
        position
    }

    fn drop_group(&mut self, group: GroupId) {
        let subjects = &mut self.next.subjects;
        let Some(position) = subjects.position(&group.into()) else { return };
        subjects.set_group(position, false);
        let members = subjects.members(position);
        for member in &members {
            subjects.take_out(*member, position);
        }
        for outer in subjects.groups_of(position) {
            subjects.take_out(position, outer);
        }
        self.moved.extend(members.iter().chain([&position]));
        let bound: Vec<BindingId> = {
            let bindings = &self.next.bindings;
            bindings.entries(position).map(|entry| bindings.record(entry).id).collect()
        };
        // The last one releases the group itself.
        let unbound = bound.is_empty();
        bound.into_iter().for_each(|id| self.drop_binding(id));
        members.into_iter().filter(|member| *member != position).for_each(|member| self.release_subject(member));
        if unbound {
            self.release_subject(position);
        }
    }

    fn put_membership(&mut self, group: GroupId, member: SubjectId) {
        let set = self.put_group(group);
        let member = self.next.subjects.intern(member);
        self.next.subjects.put_in(member, set);
        self.moved.push(member);
    }

    fn drop_membership(&mut self, group: GroupId, member: SubjectId) {
        let subjects = &mut self.next.subjects;
        if let Some(set) = subjects.position(&group.into())
            && let Some(member) = subjects.position(&member)
        {
            subjects.take_out(member, set);
            self.moved.push(member);
            self.release_subject(member);
        }
    }

    fn put_binding(&mut self, binding: &Binding) {
        self.drop_binding(binding.id);
        let subject = self.next.subjects.intern(binding.subject);
        let role = self.next.roles.named(binding.role).unwrap_or_else(|| self.roles().intern(binding.role));
        let resource = binding.resource.as_ref().map(|resource| self.next.resources.bind(resource));
        let scope = resource.map_or(ORGANIZATION, scope_of);
        let record = Record::new(binding.id, [subject, role, scope], binding.effect);
        self.next.bindings.insert(record.within(binding.not_before, binding.expire_time));
    }

    fn drop_binding(&mut self, id: BindingId) {
        let Some(record) = self.next.bindings.remove(id) else { return };
        if let Some(resource) = resource_of(record.scope) {
            self.next.resources.unbind(resource);
        }
        self.release_subject(record.subject);
        if !self.next.roles.exists(record.role) {
            self.release_role(self.next.roles.id(record.role));
        }
    }

    fn release_subject(&mut self, position: u32) {
        if !self.next.bindings.binds_subject(position) {
            self.next.subjects.release(position);
        }
    }

    fn release_role(&mut self, role: RoleId) {
        if let Some(position) = self.next.roles.named(role)
            && !self.next.bindings.binds_role(position)
        {
            self.roles().release(position);
        }
    }
}
