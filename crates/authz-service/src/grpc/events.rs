use api::{
    event::v1::{
        BindingChange, GroupChange, GroupMembershipChange, OrganizationChange, PermissionCatalogChange, ProjectChange,
        ResourceRegistrationChange, RoleChange, SubjectStateChange, event::Payload,
    },
    org::v1::{Organization, Project},
};
use serde::de::DeserializeOwned;
use tenancy::{Change, OrganizationState};

use super::convert::{binding, catalog, group, resource, role, subject, tokens::Tokens};

/// An event's payload as it is told: the models as the contract's messages. Revision tokens are left out; the event says its
/// revision.
pub fn payload(kind: &str, json: &str) -> Option<Payload> {
    let tokens = Tokens::default();
    let (resource, verb) = kind.split_once('.')?;
    Some(match (resource, verb) {
        ("catalog", _) => {
            let (before, after) = change(json, |model| catalog::to_proto(model, &tokens))?;
            Payload::PermissionCatalog(PermissionCatalogChange { before, after })
        }
        ("role", _) => {
            let (before, after) = change(json, |model| role::to_proto(model, &tokens))?;
            Payload::Role(RoleChange { before, after })
        }
        ("group", "member_added" | "member_removed") => {
            let (before, after) = change(json, |model| group::membership(model, &tokens))?;
            Payload::GroupMembership(GroupMembershipChange { before, after })
        }
        ("group", _) => {
            let (before, after) = change(json, |model| group::to_proto(model, &tokens))?;
            Payload::Group(GroupChange { before, after })
        }
        ("binding", _) => {
            let (before, after) = change(json, |model| binding::to_proto(model, &tokens))?;
            Payload::Binding(BindingChange { before, after })
        }
        ("resource", _) => {
            let (before, after) = change(json, |model| resource::registration(model, &tokens))?;
            Payload::ResourceRegistration(ResourceRegistrationChange { before, after })
        }
        ("subject", _) => {
            let (before, after) = change(json, |model| subject::standing(model, &tokens))?;
            Payload::SubjectState(SubjectStateChange { before, after })
        }
        ("organization", _) => {
            let (before, after) = change(json, |state: OrganizationState| Organization {
                state: subject::organization_state_to_proto(state).into(),
                ..Organization::default()
            })?;
            Payload::Organization(OrganizationChange { before, after, ..OrganizationChange::default() })
        }
        ("project", _) => {
            let (before, after) = change(json, |state: OrganizationState| Project {
                state: subject::project_state_to_proto(state).into(),
                ..Project::default()
            })?;
            Payload::Project(ProjectChange { before, after, ..ProjectChange::default() })
        }
        _ => return None,
    })
}

fn change<T: DeserializeOwned, P>(json: &str, message: impl Fn(T) -> P) -> Option<(Option<P>, Option<P>)> {
    let Change { before, after } = serde_json::from_str::<Change<T>>(json).ok()?;
    Some((before.map(&message), after.map(&message)))
}

#[cfg(test)]
mod tests {
    use api::org::v1::ProjectState;

    use super::*;
    use crate::model::Role;

    #[test]
    fn a_payload_is_read_as_its_kind_says() {
        let owner = Role::builtins().next().expect("there are builtin roles");
        let json = serde_json::to_string(&Change::created(owner)).expect("plain data");
        let Some(Payload::Role(RoleChange { before: None, after: Some(role) })) = payload("role.created", &json) else {
            panic!("no role");
        };
        assert_eq!((role.key.as_str(), role.revision.as_str()), ("owner", ""));
        assert!(payload("group.created", &json).is_none());
        assert!(payload("nothing", &json).is_none());
        let noted = r#"{"before":"ACTIVE","after":"SUSPENDED"}"#;
        assert!(matches!(payload("organization.state_noted", noted), Some(Payload::Organization(_))));
        let Some(Payload::Project(ProjectChange { after: Some(project), .. })) = payload("project.state_noted", noted)
        else {
            panic!("no project");
        };
        assert_eq!(project.state(), ProjectState::Archived);
    }
}
