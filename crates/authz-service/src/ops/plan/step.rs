//! One thing that changes, with all that follows from it: the fact that decides, the event that is told, the row that is kept.

use engine::Change as Fact;
use tenancy::{Change as Changed, NewEvent};

use crate::model::{Binding, Group, GroupMembership, Registration, Resource, Role, Standing, SubjectStatus};

/// What was and what is; None where there was or is nothing.
#[derive(Debug, Clone)]
pub(in crate::ops) enum Step {
    Binding(Changed<Binding>),
    Role(Changed<Role>),
    Group(Changed<Group>),
    Membership(Changed<GroupMembership>),
    Resource(Changed<Registration>, Ways),
    Standing(Changed<Standing>),
}

/// What a resource lies in no more, and what it lies in from now on, at any depth.
#[derive(Debug, Clone, Default)]
pub(in crate::ops) struct Ways {
    pub(in crate::ops) left: Vec<Resource>,
    pub(in crate::ops) entered: Vec<Resource>,
}

impl Step {
    /// What the engine has to know of it. None: it decides nothing.
    pub(in crate::ops) fn fact(&self) -> Option<Fact> {
        Some(match self {
            Self::Binding(Changed { after: Some(binding), .. }) => Fact::PutBinding(binding.for_engine()),
            Self::Binding(Changed { before, .. }) => Fact::DropBinding(before.as_ref()?.binding_id.uuid().into()),
            Self::Role(Changed { after: Some(role), .. }) => Fact::PutRole(role.for_engine()),
            Self::Role(Changed { before, .. }) => Fact::DropRole(before.as_ref()?.role_id.uuid().into()),
            Self::Group(Changed { before: None, after }) => {
                Fact::PutGroup(engine::GroupId(after.as_ref()?.group_id.uuid()))
            }
            Self::Group(Changed { before: Some(group), after: None }) => {
                Fact::DropGroup(engine::GroupId(group.group_id.uuid()))
            }
            Self::Group(_) => return None,
            Self::Membership(Changed { after: Some(membership), .. }) => Fact::PutMembership {
                group: engine::GroupId(membership.group_id.uuid()),
                member: membership.subject.into(),
            },
            Self::Membership(Changed { before, .. }) => {
                let membership = before.as_ref()?;
                Fact::DropMembership {
                    group: engine::GroupId(membership.group_id.uuid()),
                    member: membership.subject.into(),
                }
            }
            Self::Resource(Changed { after: Some(registration), .. }, _) => {
                Fact::PutResource(registration.for_engine()?)
            }
            Self::Resource(Changed { before, .. }, _) => Fact::DropResource(before.as_ref()?.resource.reference()?),
            Self::Standing(Changed { after, .. }) => {
                let standing = after.as_ref()?;
                Fact::Subject(standing.subject.into(), standing.status.for_engine())
            }
        })
    }

    pub(in crate::ops) fn event(&self) -> NewEvent {
        match self {
            Self::Binding(changed) => {
                let ids = now(changed).map(Binding::subject_ids).unwrap_or_default();
                NewEvent::new(word(changed, ["binding.created", "binding.updated", "binding.deleted"]), ids, changed)
            }
            Self::Role(changed) => {
                let ids = now(changed).map(|role| role.role_id.to_string());
                let kind = word(changed, ["role.created", "role.updated", "role.deleted"]);
                NewEvent::new(kind, ids.into_iter().collect(), changed)
            }
            Self::Group(changed) => {
                let ids = now(changed).map(|group| group.group_id.to_string());
                let kind = word(changed, ["group.created", "group.updated", "group.deleted"]);
                NewEvent::new(kind, ids.into_iter().collect(), changed)
            }
            Self::Membership(changed) => {
                let ids = now(changed).map(|m| vec![m.group_id.to_string(), m.subject.to_string()]);
                let kind = word(changed, ["group.member_added", "group.member_added", "group.member_removed"]);
                NewEvent::new(kind, ids.unwrap_or_default(), changed)
            }
            Self::Resource(changed, _) => {
                let ids = now(changed).map(|registration| registration.resource.to_string());
                let kind = word(changed, ["resource.registered", "resource.moved", "resource.removed"]);
                NewEvent::new(kind, ids.into_iter().collect(), changed)
            }
            Self::Standing(changed) => {
                let ids = now(changed).map(|standing| standing.subject.to_string());
                // The first word of somebody who may act decides too: all members is one more from here on.
                let kind = match now(changed).map(|standing| standing.status) {
                    Some(SubjectStatus::Suspended) => "subject.suspended",
                    Some(SubjectStatus::Removed) => "subject.removed",
                    Some(SubjectStatus::Active) | None => {
                        word(changed, ["subject.noted", "subject.reactivated", "subject.reactivated"])
                    }
                };
                NewEvent::new(kind, ids.into_iter().collect(), changed)
            }
        }
    }
}

/// As it is now, or as it was before it went.
fn now<T>(changed: &Changed<T>) -> Option<&T> {
    changed.after.as_ref().or(changed.before.as_ref())
}

fn word<T>(changed: &Changed<T>, [created, updated, removed]: [&'static str; 3]) -> &'static str {
    match (&changed.before, &changed.after) {
        (None, Some(_)) => created,
        (Some(_), Some(_)) => updated,
        (_, None) => removed,
    }
}
