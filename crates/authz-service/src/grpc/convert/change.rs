//! Changes of a batch, each named by its place in it.

use api::authz::v1::{self as proto, authorization_change::Change, precondition::Condition};
use runtime::Violations;
use tenancy::{BindingId, GroupId, RoleId};
use uuid::Uuid;

use super::{binding, group, resource, role, subject, text};
use crate::{
    model::{Effect, Subject},
    ops::{
        edit::{Edit, NewResource, Relocation},
        precondition::{Matter, Precondition},
    },
};

const MAX_CHANGES: usize = 1000;
const MAX_PRECONDITIONS: usize = 100;

/// The changes, in their order.
pub fn edits(violations: &mut Violations, changes: &[proto::AuthorizationChange]) -> Vec<Edit> {
    text::count(violations, "changes", changes.len(), 1, MAX_CHANGES);
    let mut edits = Vec::with_capacity(changes.len().min(MAX_CHANGES));
    for (at, change) in changes.iter().take(MAX_CHANGES).enumerate() {
        match &change.change {
            Some(change) => edits.extend(edit(violations, &format!("changes[{at}]"), change)),
            None => violations.add(format!("changes[{at}]"), "must be one change"),
        }
    }
    edits
}

fn edit(violations: &mut Violations, place: &str, change: &Change) -> Option<Edit> {
    let at = |name: &str| format!("{place}.{name}");
    match change {
        Change::CreateBinding(named) => {
            let field = at("create_binding");
            let id = given(violations, &field, "binding_id", &named.binding_id, BindingId::uuid);
            let new = binding::parse(violations, &field, named)?;
            Some(Edit::CreateBinding(crate::ops::edit::NewBinding { id: id?, ..new }))
        }
        Change::DeleteBindingId(id) => {
            let id = violations.check(at("delete_binding_id"), id.parse::<BindingId>())?;
            Some(Edit::DeleteBinding { id, etag: String::new() })
        }
        Change::CreateRole(named) => {
            let field = at("create_role");
            let id = given(violations, &field, "role_id", &named.role_id, RoleId::uuid);
            let new = role::parse(violations, &field, named)?;
            Some(Edit::CreateRole(crate::ops::edit::NewRole { id: id?, ..new }))
        }
        Change::ReplaceRole(named) => role::replacement(violations, &at("replace_role"), named).map(Edit::UpdateRole),
        Change::DeleteRoleId(id) => {
            let id = violations.check(at("delete_role_id"), id.parse::<RoleId>())?;
            Some(Edit::DeleteRole { id, etag: String::new() })
        }
        Change::CreateGroup(named) => {
            let field = at("create_group");
            let id = given(violations, &field, "group_id", &named.group_id, GroupId::uuid);
            let new = group::parse(violations, &field, named)?;
            Some(Edit::CreateGroup(crate::ops::edit::NewGroup { id: id?, ..new }))
        }
        Change::DeleteGroupId(id) => {
            let id = violations.check(at("delete_group_id"), id.parse::<GroupId>())?;
            Some(Edit::DeleteGroup { id, etag: String::new() })
        }
        Change::AddGroupMember(named) => {
            let (group, subject) = membership(violations, &at("add_group_member"), named)?;
            Some(Edit::AddMembers { group, subjects: vec![subject] })
        }
        Change::RemoveGroupMember(named) => {
            let (group, subject) = membership(violations, &at("remove_group_member"), named)?;
            Some(Edit::RemoveMembers { group, subjects: vec![subject] })
        }
        Change::RegisterResource(named) => {
            Some(Edit::Register(vec![registration(violations, &at("register_resource"), named)?]))
        }
        Change::MoveResource(named) => {
            let NewResource { resource, parent } = registration(violations, &at("move_resource"), named)?;
            Some(Edit::Move(Relocation { resource, parent, etag: named.etag.clone() }))
        }
        Change::RemoveResource(named) => {
            let resource = resource::from_proto(violations, &at("remove_resource"), named)?;
            Some(Edit::Remove { resources: vec![resource], with_descendants: false })
        }
    }
}

/// An id that the caller chose; Some(None) where the choice is left to us. Of another version it could be one that is never stored,
/// such as that of a [contextual binding](crate::ops::contextual::id).
fn given<T: std::str::FromStr<Err = tenancy::IdError> + Copy>(
    violations: &mut Violations,
    field: &str,
    name: &str,
    id: &str,
    uuid: impl Fn(T) -> Uuid,
) -> Option<Option<T>> {
    if id.is_empty() {
        return Some(None);
    }
    let field = format!("{field}.{name}");
    let id = violations.check(field.as_str(), id.parse::<T>())?;
    violations.require(uuid(id).get_version_num() == 7, field, "must be of a UUIDv7");
    Some(Some(id))
}

pub fn membership(
    violations: &mut Violations,
    field: &str,
    named: &proto::GroupMembership,
) -> Option<(GroupId, Subject)> {
    let group = violations.check(format!("{field}.group_id"), named.group_id.parse::<GroupId>());
    let member = subject::groupable(&named.subject.clone().unwrap_or_default());
    let member = violations.check(format!("{field}.subject"), member);
    Some((group?, member?))
}

pub fn registration(
    violations: &mut Violations,
    field: &str,
    named: &proto::ResourceRegistration,
) -> Option<NewResource> {
    let about = named.resource.clone().unwrap_or_default();
    let resource = resource::from_proto(violations, &format!("{field}.resource"), &about);
    let parent = match &named.parent {
        Some(parent) => Some(resource::from_proto(violations, &format!("{field}.parent"), parent)?),
        None => None,
    };
    Some(NewResource { resource: resource?, parent })
}

pub fn preconditions(violations: &mut Violations, asked: &[proto::Precondition]) -> Vec<Precondition> {
    text::count(violations, "preconditions", asked.len(), 0, MAX_PRECONDITIONS);
    let mut preconditions = Vec::new();
    for (at, precondition) in asked.iter().take(MAX_PRECONDITIONS).enumerate() {
        let field = format!("preconditions[{at}]");
        match &precondition.condition {
            Some(condition) => preconditions.extend(self::precondition(violations, &field, condition)),
            None => violations.add(field, "must be one condition"),
        }
    }
    preconditions
}

fn precondition(violations: &mut Violations, place: &str, condition: &Condition) -> Option<Precondition> {
    let at = |name: &str| format!("{place}.{name}");
    let (about, exists) = match condition {
        Condition::BindingExists(named) => (bound(violations, &at("binding_exists"), named)?, true),
        Condition::BindingAbsent(named) => (bound(violations, &at("binding_absent"), named)?, false),
        Condition::MembershipExists(named) => {
            let (group, subject) = membership(violations, &at("membership_exists"), named)?;
            (Matter::Membership { group, subject }, true)
        }
        Condition::MembershipAbsent(named) => {
            let (group, subject) = membership(violations, &at("membership_absent"), named)?;
            (Matter::Membership { group, subject }, false)
        }
        Condition::ResourceExists(named) => {
            let NewResource { resource, parent } = registration(violations, &at("resource_exists"), named)?;
            (Matter::Resource { resource, parent }, true)
        }
        Condition::ResourceAbsent(named) => {
            let resource = resource::from_proto(violations, &at("resource_absent"), named)?;
            (Matter::Resource { resource, parent: None }, false)
        }
    };
    Some(Precondition { about, exists })
}

fn bound(violations: &mut Violations, field: &str, named: &proto::Binding) -> Option<Matter> {
    let new = binding::parse(violations, field, named)?;
    let effect: Effect = new.effect;
    Some(Matter::Binding { subject: new.subject, role: new.role, resource: new.resource, effect })
}

/// The method that makes such a change alone, and its name in a batch.
fn kind(edit: &Edit) -> (&'static str, &'static str) {
    match edit {
        Edit::CreateBinding(_) => ("/guildhall.authz.v1.BindingService/CreateBinding", "create_binding"),
        Edit::UpdateBinding(_) => ("/guildhall.authz.v1.BindingService/UpdateBinding", "update_binding"),
        Edit::DeleteBinding { .. } => ("/guildhall.authz.v1.BindingService/DeleteBinding", "delete_binding_id"),
        Edit::CreateRole(_) => ("/guildhall.authz.v1.RoleService/CreateRole", "create_role"),
        Edit::UpdateRole(_) => ("/guildhall.authz.v1.RoleService/UpdateRole", "replace_role"),
        Edit::DeleteRole { .. } => ("/guildhall.authz.v1.RoleService/DeleteRole", "delete_role_id"),
        Edit::CreateGroup(_) => ("/guildhall.authz.v1.GroupService/CreateGroup", "create_group"),
        Edit::UpdateGroup(_) => ("/guildhall.authz.v1.GroupService/UpdateGroup", "update_group"),
        Edit::DeleteGroup { .. } => ("/guildhall.authz.v1.GroupService/DeleteGroup", "delete_group_id"),
        Edit::AddMembers { .. } => ("/guildhall.authz.v1.GroupService/AddGroupMembers", "add_group_member"),
        Edit::RemoveMembers { .. } => ("/guildhall.authz.v1.GroupService/RemoveGroupMembers", "remove_group_member"),
        Edit::Register(_) => ("/guildhall.authz.v1.ResourceService/RegisterResources", "register_resource"),
        Edit::Move(_) => ("/guildhall.authz.v1.ResourceService/MoveResource", "move_resource"),
        Edit::Remove { .. } => ("/guildhall.authz.v1.ResourceService/RemoveResources", "remove_resource"),
        Edit::Note { .. } => ("/guildhall.authz.v1.SubjectService/SetSubjectState", "subject_state"),
        Edit::RemoveSubject(_) => ("/guildhall.authz.v1.SubjectService/RemoveSubject", "remove_subject"),
    }
}

/// What the record is called that such a change makes.
pub fn record(edit: &Edit) -> &'static str {
    match kind(edit).1 {
        "create_role" => "role",
        "create_group" => "group",
        "add_group_member" => "membership",
        "register_resource" => "resource",
        _ => "binding",
    }
}

/// The permission that the change needs alone; None where there is no such method.
pub fn permission(edit: &Edit) -> Option<&'static str> {
    api::method(kind(edit).0).map(|method| method.permission)
}

/// Where in the request a fault is.
pub fn path(edits: &[Edit], at: usize, field: &str) -> String {
    let Some((_, name)) = edits.get(at).map(kind) else { return "changes".to_owned() };
    // One that is but an id has no parts.
    match field.is_empty() || name.ends_with("_id") {
        true => format!("changes[{at}].{name}"),
        false => format!("changes[{at}].{name}.{field}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(change: Change) -> proto::AuthorizationChange {
        proto::AuthorizationChange { change: Some(change) }
    }

    #[test]
    fn every_fault_of_every_change_is_named_by_its_place() {
        let mut violations = Violations::default();
        let group = proto::Group { display_name: "staff".to_owned(), ..Default::default() };
        let changes = [
            change(Change::CreateBinding(proto::Binding { binding_id: "x".to_owned(), ..Default::default() })),
            change(Change::CreateGroup(group)),
            change(Change::DeleteRoleId("group_x".to_owned())),
            proto::AuthorizationChange::default(),
        ];
        assert_eq!(edits(&mut violations, &changes).len(), 1);
        let status = violations.finish().expect_err("three are wrong");
        let first = "changes[0].create_binding.binding_id";
        assert!(status.message().starts_with(&format!("5 invalid fields, the first of them {first}")), "{status:?}");
    }

    #[test]
    fn an_id_is_chosen_as_the_moment_gives_it_and_no_other() {
        let make = |uuid: Uuid| {
            let role_id = RoleId::new().to_string();
            let subject = proto::Subject { subject: Some(proto::subject::Subject::AllMembers(true)) };
            let binding_id = BindingId::from_uuid(uuid).to_string();
            let binding = proto::Binding { binding_id, role_id, subject: Some(subject), ..Default::default() };
            let group_id = GroupId::from_uuid(uuid).to_string();
            let group = proto::Group { group_id, display_name: "staff".to_owned(), ..Default::default() };
            let mut violations = Violations::default();
            edits(&mut violations, &[change(Change::CreateBinding(binding)), change(Change::CreateGroup(group))]);
            violations.finish()
        };
        make(Uuid::now_v7()).expect("fresh ids");
        for other in [Uuid::nil(), Uuid::from_u128(1), Uuid::max(), Uuid::from_u128(4 << 76)] {
            let refused = make(other).expect_err("both are of another version");
            let first = "changes[0].create_binding.binding_id: must be of a UUIDv7";
            assert_eq!(refused.message(), format!("2 invalid fields, the first of them {first}"));
        }
    }

    #[test]
    fn every_kind_of_change_needs_the_permission_of_its_method() {
        let id = || Edit::DeleteBinding { id: BindingId::new(), etag: String::new() };
        assert_eq!(permission(&id()), Some("guildhall.binding:delete"));
        let members = Edit::AddMembers { group: GroupId::new(), subjects: Vec::new() };
        assert_eq!(permission(&members), Some("guildhall.group:update"));
        assert_eq!(path(&[members, id()], 0, "subject"), "changes[0].add_group_member.subject");
        assert_eq!(path(&[id()], 0, "role_id"), "changes[0].delete_binding_id");
    }
}
