//! What a revision changed, from its events. There is no second log: whatever cannot be told from an event (a kind that is not known here,
//! a payload that was erased or cannot be read) is read anew with everything else.

use engine::{BindingId, Change, GroupId, ResourceRef, RoleId};
use serde::de::DeserializeOwned;
use tenancy::{Change as Changed, OrganizationState, ProjectId, since::Fact};

use super::catalogs::Catalogs;
use crate::model::{
    Binding, Effect, Group, GroupMembership, PermissionCatalog, Registration, Resource, Role, RoleSource, Standing,
};

/// What happened, in its order.
#[derive(Debug)]
pub struct Delta<'c> {
    catalogs: &'c Catalogs,
    project: ProjectId,
    pub changes: Vec<Change>,
    /// The key of a role; None: the role is no more.
    pub keys: Vec<(RoleId, Option<Box<str>>)>,
    /// See [`super::sources::Sources::set`].
    pub sources: Vec<(BindingId, Option<RoleSource>)>,
    pub state: Option<OrganizationState>,
}

/// An event that does not say what it changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Untold;

impl<'c> Delta<'c> {
    /// Nothing yet, in an organization of the project.
    pub fn of(catalogs: &'c Catalogs, project: ProjectId) -> Self {
        Self { catalogs, project, changes: Vec::new(), keys: Vec::new(), sources: Vec::new(), state: None }
    }

    /// Takes all the events of one tenant after a revision up to another: every revision between must be there, whole.
    pub fn take(&mut self, facts: &[Fact], after: i64, until: i64) -> Result<(), Untold> {
        let (mut revision, mut next) = (after, 0);
        for fact in facts {
            if fact.revision == revision + 1 && fact.ordinal == 0 {
                (revision, next) = (fact.revision, 0);
            }
            if fact.revision != revision || fact.ordinal != next || revision == after {
                return Err(Untold);
            }
            next += 1;
            self.tell(&fact.kind, fact.payload.as_deref().ok_or(Untold)?)?;
        }
        if revision == until { Ok(()) } else { Err(Untold) }
    }

    /// One event more.
    pub fn tell(&mut self, kind: &str, payload: &str) -> Result<(), Untold> {
        match kind {
            "catalog.updated" => self.catalog(after(payload)?),
            "role.created" | "role.updated" => self.role(after(payload)?),
            "role.deleted" => self.role_gone(&before(payload)?),
            "group.created" => self.group(&after(payload)?),
            // Of a group the engine knows that it is there.
            "group.updated" => after::<Group>(payload).map(|_| ()),
            "group.deleted" => self.group_gone(&before(payload)?),
            "group.member_added" => self.membership(&after(payload)?),
            "group.member_removed" => self.membership_gone(&before(payload)?),
            "binding.created" | "binding.updated" => self.binding(&after(payload)?),
            "binding.deleted" => self.binding_gone(&before(payload)?),
            "resource.registered" | "resource.moved" => self.resource(&after(payload)?),
            "resource.removed" => self.resource_gone(&before(payload)?),
            "subject.noted" | "subject.suspended" | "subject.reactivated" | "subject.removed" => {
                self.subject(&after(payload)?)
            }
            "organization.state_noted" => self.organization(after(payload)?),
            _ => Err(Untold),
        }
    }

    fn put(&mut self, change: Change) -> Result<(), Untold> {
        self.changes.push(change);
        Ok(())
    }

    fn catalog(&mut self, catalog: PermissionCatalog) -> Result<(), Untold> {
        let catalog = self.catalogs.of(self.project, catalog).map_err(|_| Untold)?;
        self.put(Change::Catalog(catalog))
    }

    fn role(&mut self, role: Role) -> Result<(), Untold> {
        let permissions = role.patterns();
        if permissions.len() < role.permissions.len() {
            return Err(Untold);
        }
        let (id, included_role_ids) = (RoleId(role.role_id.uuid()), role.included());
        self.keys.push((id, Some(role.key.into())));
        self.put(Change::PutRole(engine::Role { id, permissions, included_role_ids }))
    }

    fn role_gone(&mut self, role: &Role) -> Result<(), Untold> {
        let id = RoleId(role.role_id.uuid());
        self.keys.push((id, None));
        self.put(Change::DropRole(id))
    }

    fn group(&mut self, group: &Group) -> Result<(), Untold> {
        self.put(Change::PutGroup(GroupId(group.group_id.uuid())))
    }

    fn group_gone(&mut self, group: &Group) -> Result<(), Untold> {
        self.put(Change::DropGroup(GroupId(group.group_id.uuid())))
    }

    fn membership(&mut self, membership: &GroupMembership) -> Result<(), Untold> {
        let (group, member) = (GroupId(membership.group_id.uuid()), membership.subject.into());
        self.put(Change::PutMembership { group, member })
    }

    fn membership_gone(&mut self, membership: &GroupMembership) -> Result<(), Untold> {
        let (group, member) = (GroupId(membership.group_id.uuid()), membership.subject.into());
        self.put(Change::DropMembership { group, member })
    }

    fn binding(&mut self, binding: &Binding) -> Result<(), Untold> {
        if binding.resource.is_some() {
            reference(binding.resource.as_ref())?;
        }
        let sourced = binding.resource.is_none() && binding.effect == Effect::Allow;
        self.sources.push((BindingId(binding.binding_id.uuid()), sourced.then_some(binding.source)));
        self.put(Change::PutBinding(binding.for_engine()))
    }

    fn binding_gone(&mut self, binding: &Binding) -> Result<(), Untold> {
        let id = BindingId(binding.binding_id.uuid());
        self.sources.push((id, None));
        self.put(Change::DropBinding(id))
    }

    fn resource(&mut self, registration: &Registration) -> Result<(), Untold> {
        let resource = reference(Some(&registration.resource))?;
        let parent = match &registration.parent {
            Some(parent) => Some(reference(Some(parent))?),
            None => None,
        };
        self.put(Change::PutResource(engine::Resource { resource, parent }))
    }

    fn resource_gone(&mut self, registration: &Registration) -> Result<(), Untold> {
        self.put(Change::DropResource(reference(Some(&registration.resource))?))
    }

    fn subject(&mut self, standing: &Standing) -> Result<(), Untold> {
        self.put(Change::Subject(standing.subject.into(), standing.status.for_engine()))
    }

    /// A word of the organization itself. Whether it is in force hangs on the project too: see [`Delta::in_force`].
    fn organization(&mut self, state: OrganizationState) -> Result<(), Untold> {
        self.in_force(state);
        Ok(())
    }

    /// The state that is in force after all this.
    pub fn in_force(&mut self, state: OrganizationState) {
        self.state = Some(state);
        self.changes.push(Change::Organization { active: state == OrganizationState::Active });
    }
}

fn after<T: DeserializeOwned>(payload: &str) -> Result<T, Untold> {
    serde_json::from_str::<Changed<T>>(payload).ok().and_then(|change| change.after).ok_or(Untold)
}

fn before<T: DeserializeOwned>(payload: &str) -> Result<T, Untold> {
    serde_json::from_str::<Changed<T>>(payload).ok().and_then(|change| change.before).ok_or(Untold)
}

fn reference(resource: Option<&Resource>) -> Result<ResourceRef, Untold> {
    resource.and_then(Resource::reference).ok_or(Untold)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use engine::{OrganizationData, ResourceType, Snapshot};
    use serde_json::json;

    use super::*;

    fn fact(revision: i64, ordinal: i32, kind: &str, after: serde_json::Value) -> Fact {
        Fact {
            revision,
            ordinal,
            kind: kind.to_owned(),
            payload: Some(json!({"before": null, "after": after}).to_string()),
        }
    }

    /// How many changes they tell.
    fn of(facts: &[Fact], after: i64, until: i64) -> Result<usize, Untold> {
        let catalogs = Catalogs::default();
        let mut delta = Delta::of(&catalogs, ProjectId::new());
        delta.take(facts, after, until).map(|()| delta.changes.len())
    }

    fn noted(revision: i64, ordinal: i32) -> Fact {
        fact(revision, ordinal, "organization.state_noted", json!("ACTIVE"))
    }

    #[test]
    fn every_revision_between_has_to_be_there_whole() {
        let told = [noted(4, 0), noted(4, 1), noted(5, 0)];
        assert_eq!(of(&told, 3, 5), Ok(3));
        assert!(of(&[], 3, 3).is_ok(), "nothing happened");
        for (facts, after, until) in [
            (&told[..], 3, 6),
            (&told[..2], 3, 5),
            (&told[1..], 3, 5),
            (&told[2..], 3, 5),
            (&told[..], 2, 5),
            (&told[..], 4, 5),
            (&[noted(4, 0), noted(4, 2)][..], 3, 4),
            (&[noted(3, 1)][..], 3, 3),
        ] {
            assert!(of(facts, after, until).is_err(), "{after}..{until} by {facts:?}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_not_guessed() {
        let catalogs = Catalogs::default();
        let mut delta = Delta::of(&catalogs, ProjectId::new());
        let fit = r#"{"before":"ACTIVE","after":"SUSPENDED"}"#;
        assert_eq!(delta.tell("organization.state_noted", fit), Ok(()));
        assert_eq!(delta.state, Some(OrganizationState::Suspended));
        for (kind, payload) in [
            ("organization.purged", "{}"),
            ("organization.renamed", fit),
            ("organization.state_noted", r#"{"before":"ACTIVE","after":null}"#),
            ("organization.state_noted", r#"{"before":null,"after":"ASLEEP"}"#),
            ("role.created", fit),
            ("binding.created", "{}"),
            ("", ""),
        ] {
            assert_eq!(delta.tell(kind, payload), Err(Untold), "{kind} {payload}");
        }
        let mut erased = noted(1, 0);
        erased.payload = None;
        assert!(of(&[erased], 0, 1).is_err());
    }

    #[test]
    fn a_role_whose_permissions_cannot_be_read_is_read_anew() {
        let role = |permission: &str| {
            let role = Role { permissions: vec![permission.to_owned()], ..Role::builtins().next().unwrap() };
            serde_json::to_string(&Changed::created(role)).unwrap()
        };
        let catalogs = Catalogs::default();
        let mut delta = Delta::of(&catalogs, ProjectId::new());
        assert_eq!(delta.tell("role.created", &role("document:read")), Ok(()));
        assert_eq!(delta.tell("role.created", &role("Document Read")), Err(Untold));
    }

    #[test]
    fn the_organizations_of_a_project_share_its_catalog_before_an_update_and_after() {
        let (catalogs, project) = (Catalogs::default(), ProjectId::new());
        let stored = |revision, name: &str| {
            let resource_types = vec![ResourceType { name: name.to_owned(), ..ResourceType::default() }];
            PermissionCatalog { resource_types, revision, ..PermissionCatalog::default() }
        };
        let read = |stored| Snapshot::build(&OrganizationData::empty(catalogs.of(project, stored).unwrap()));
        let [one, other] = [(); 2].map(|()| read(stored(1, "document")));
        assert!(Arc::ptr_eq(one.catalog(), other.catalog()), "both were read");
        let updated = serde_json::to_string(&Changed::updated(stored(1, "document"), stored(2, "folder"))).unwrap();
        let [one, other] = [one, other].map(|snapshot| {
            let mut delta = Delta::of(&catalogs, project);
            assert_eq!(delta.tell("catalog.updated", &updated), Ok(()));
            snapshot.apply(&delta.changes)
        });
        assert!(one.catalog().knows_type("folder") && !one.catalog().knows_type("document"));
        assert!(Arc::ptr_eq(one.catalog(), other.catalog()), "both followed");
        assert!(Arc::ptr_eq(one.catalog(), read(stored(2, "folder")).catalog()), "one followed, one was read");
    }
}
