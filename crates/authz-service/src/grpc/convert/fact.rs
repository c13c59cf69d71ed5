//! What the engine takes up, as it is told to somebody who has an engine of their own.

use api::authz::v1::{self as proto, authorization_fact::Fact};
use engine::{Binding, Catalog, Change, Effect, GroupId, Role, SubjectId, SubjectState};
use tenancy::{BindingId, GroupId as GroupIdText, RoleId};

use super::{resource, subject, time};
use crate::model::Subject;

pub fn to_proto(change: Change) -> proto::AuthorizationFact {
    let fact = match change {
        Change::Catalog(catalog) => Fact::Catalog(of_catalog(&catalog)),
        Change::Organization { active } => Fact::OrganizationActive(active),
        Change::PutRole(role) => Fact::Role(of_role(role)),
        Change::DropRole(id) => Fact::RemovedRoleId(RoleId::from_uuid(id.0).to_string()),
        Change::PutGroup(id) => Fact::GroupId(group(id)),
        Change::DropGroup(id) => Fact::RemovedGroupId(group(id)),
        Change::PutMembership { group, member } => Fact::Membership(membership(group, member)),
        Change::DropMembership { group, member } => Fact::RemovedMembership(membership(group, member)),
        Change::PutBinding(binding) => Fact::Binding(of_binding(binding)),
        Change::DropBinding(id) => Fact::RemovedBindingId(BindingId::from_uuid(id.0).to_string()),
        Change::PutResource(place) => Fact::Resource(proto::ResourceFact {
            resource: Some(resource::of_reference(&place.resource)),
            parent: place.parent.as_ref().map(resource::of_reference),
        }),
        Change::DropResource(gone) => Fact::RemovedResource(resource::of_reference(&gone)),
        Change::Subject(id, state) => Fact::Subject(proto::SubjectFact {
            subject: Some(subject::to_proto(Subject::from(id))),
            status: status(state).into(),
        }),
    };
    proto::AuthorizationFact { fact: Some(fact) }
}

fn status(state: Option<SubjectState>) -> proto::SubjectStatus {
    match state {
        None => proto::SubjectStatus::Active,
        Some(SubjectState::Suspended) => proto::SubjectStatus::Suspended,
        Some(SubjectState::Removed) => proto::SubjectStatus::Removed,
    }
}

fn group(id: GroupId) -> String {
    GroupIdText::from_uuid(id.0).to_string()
}

fn membership(id: GroupId, member: SubjectId) -> proto::MembershipFact {
    proto::MembershipFact { group_id: group(id), subject: Some(subject::to_proto(Subject::from(member))) }
}

fn of_catalog(catalog: &Catalog) -> proto::CatalogFact {
    let types = catalog.project_types().iter().map(|declared| proto::ResourceType {
        name: declared.name.clone(),
        parent_types: declared.parent_types.clone(),
        verbs: declared.verbs.clone(),
        description: declared.description.clone(),
    });
    proto::CatalogFact { resource_types: types.collect() }
}

fn of_role(role: Role) -> proto::RoleFact {
    proto::RoleFact {
        role_id: RoleId::from_uuid(role.id.0).to_string(),
        permissions: role.permissions.iter().map(ToString::to_string).collect(),
        included_role_ids: role.included_role_ids.iter().map(|id| RoleId::from_uuid(id.0).to_string()).collect(),
    }
}

fn of_binding(binding: Binding) -> proto::Binding {
    let effect = match binding.effect {
        Effect::Allow => proto::BindingEffect::Allow,
        Effect::Deny => proto::BindingEffect::Deny,
    };
    proto::Binding {
        binding_id: BindingId::from_uuid(binding.id.0).to_string(),
        subject: Some(subject::to_proto(Subject::from(binding.subject))),
        role_id: RoleId::from_uuid(binding.role.0).to_string(),
        resource: binding.resource.as_ref().map(resource::of_reference),
        effect: effect.into(),
        not_before: binding.not_before.map(time::to_proto),
        expire_time: binding.expire_time.map(time::to_proto),
        ..proto::Binding::default()
    }
}
