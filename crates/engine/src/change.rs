//! What can happen to an organization's authorization, one fact at a time.

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::data::{Binding, Group, OrganizationData, Resource, Role, SubjectState};
use crate::id::{BindingId, GroupId, RoleId, SubjectId};
use crate::resource::ResourceRef;

/// One fact that now holds. Each says what is, not what is different: applied twice it does what it did once.
#[derive(Debug, Clone)]
pub enum Change {
    Catalog(Arc<Catalog>),
    /// Whether the organization is active.
    Organization {
        active: bool,
    },
    /// A role as it now is, new or not.
    PutRole(Role),
    DropRole(RoleId),
    /// A group is there, without members if it is new.
    PutGroup(GroupId),
    /// A group is gone with its memberships, its places in other groups, and its bindings.
    DropGroup(GroupId),
    PutMembership {
        group: GroupId,
        member: SubjectId,
    },
    DropMembership {
        group: GroupId,
        member: SubjectId,
    },
    PutBinding(Binding),
    DropBinding(BindingId),
    /// A resource is registered, or stands elsewhere from now on.
    PutResource(Resource),
    DropResource(ResourceRef),
    /// What is known of a member or service account; None: active. A member of whom something is known is one of all members.
    Subject(SubjectId, Option<SubjectState>),
}

impl OrganizationData {
    /// Takes up a change, in time that grows with the organization: for what is written rarely, and for what others are measured by.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Catalog(catalog) => self.catalog = Arc::clone(catalog),
            Change::Organization { active } => self.active = *active,
            Change::PutRole(role) => put(&mut self.roles, role, |role| role.id),
            Change::DropRole(id) => self.roles.retain(|role| role.id != *id),
            Change::PutGroup(id) => {
                if self.groups.iter().all(|group| group.id != *id) {
                    self.groups.push(Group { id: *id, members: Vec::new() });
                }
            }
            Change::DropGroup(id) => {
                self.groups.retain(|group| group.id != *id);
                self.groups.iter_mut().for_each(|group| group.members.retain(|member| *member != (*id).into()));
                self.bindings.retain(|binding| binding.subject != (*id).into());
            }
            Change::PutMembership { group, member } => {
                self.apply(&Change::PutGroup(*group));
                self.apply(&Change::DropMembership { group: *group, member: *member });
                self.members_of(*group).for_each(|members| members.push(*member));
            }
            Change::DropMembership { group, member } => {
                self.members_of(*group).for_each(|members| members.retain(|other| other != member));
            }
            Change::PutBinding(binding) => put(&mut self.bindings, binding, |binding| binding.id),
            Change::DropBinding(id) => self.bindings.retain(|binding| binding.id != *id),
            Change::PutResource(resource) => {
                put(&mut self.resources, resource, |resource| resource.resource.clone());
            }
            Change::DropResource(gone) => self.resources.retain(|resource| resource.resource != *gone),
            Change::Subject(subject, state) => {
                if let SubjectId::Member(id) = subject
                    && !self.members.contains(id)
                {
                    self.members.push(*id);
                }
                self.inactive_subjects.retain(|(other, _)| other != subject);
                self.inactive_subjects.extend(state.map(|state| (*subject, state)));
            }
        }
    }

    fn members_of(&mut self, group: GroupId) -> impl Iterator<Item = &mut Vec<SubjectId>> {
        self.groups.iter_mut().filter(move |other| other.id == group).map(|group| &mut group.members)
    }
}

fn put<T: Clone, K: PartialEq>(all: &mut Vec<T>, one: &T, key: impl Fn(&T) -> K) {
    let wanted = key(one);
    match all.iter_mut().find(|other| key(other) == wanted) {
        Some(other) => *other = one.clone(),
        None => all.push(one.clone()),
    }
}
