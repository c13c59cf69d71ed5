//! The stored rows that a list of edits may touch or has to look at, as they are after the edits planned so far.
//!
//! They are read at once, in a few statements, before the first edit is planned: planning itself reads nothing more, and costs what
//! the edits touch.

use std::collections::{HashMap, HashSet};

use engine::MAX_RESOURCE_DEPTH;
use tenancy::{BindingId, Change as Changed, GroupId, OrganizationId, RoleId};

use super::step::Step;
use crate::{
    model::{
        Binding, Group, GroupMembership, Registration, Resource, Role, RoleName, Standing, Subject, SubjectStatus,
    },
    ops::{
        Refused,
        edit::{Edit, NewResource},
    },
    store::{self, Connection, role::Owners, subject::Presence, tree},
};

#[derive(Debug, Default)]
pub(in crate::ops) struct Records {
    pub(super) roles: HashMap<RoleId, Role>,
    /// How many bindings each role has that is to be deleted.
    role_uses: HashMap<RoleId, i64>,
    /// The roles that include it, of each role that is to be deleted.
    role_includers: HashMap<RoleId, HashSet<RoleId>>,
    /// How many roles of its own the tenant has; counted where one is to be made.
    pub(super) role_count: i64,
    /// Keys that are taken where no role of the tenant shows it: in an organization of the project whose role is to be made.
    pub(super) keys_elsewhere: HashSet<String>,
    pub(super) groups: HashMap<GroupId, Group>,
    pub(super) memberships: HashMap<(GroupId, Subject), GroupMembership>,
    pub(super) bindings: HashMap<BindingId, Binding>,
    bindings_at: HashMap<Resource, HashSet<BindingId>>,
    bindings_of: HashMap<Subject, HashSet<BindingId>>,
    pub(super) resources: HashMap<Resource, Registration>,
    parents: HashMap<Resource, Option<Resource>>,
    /// How many stored levels lie below a resource; none for most.
    heights: HashMap<Resource, usize>,
    children: HashMap<Resource, HashSet<Resource>>,
    pub(super) presence: HashMap<Subject, Presence>,
    pub(super) standings: HashMap<Subject, Standing>,
}

/// What the edits name.
#[derive(Debug, Default)]
struct Named {
    roles: Vec<RoleName>,
    new_keys: Vec<String>,
    gone_roles: Vec<RoleId>,
    groups: Vec<GroupId>,
    external_ids: Vec<String>,
    memberships: Vec<(GroupId, Subject)>,
    bindings: Vec<BindingId>,
    /// All that they hold, and where they are in, is looked at.
    whole: Vec<Subject>,
    presence: Vec<Subject>,
    resources: Vec<Resource>,
    parents: Vec<Resource>,
    emptied: Vec<Resource>,
}

impl Named {
    fn of(edits: &[Edit]) -> Self {
        let mut named = Self::default();
        edits.iter().for_each(|edit| named.add(edit));
        named
    }

    fn add(&mut self, edit: &Edit) {
        match edit {
            Edit::CreateBinding(new) => {
                self.bindings.extend(new.id);
                self.roles.push(new.role.clone());
                self.subject(new.subject);
            }
            Edit::UpdateBinding(patch) => self.bindings.push(patch.binding_id),
            Edit::DeleteBinding { id, .. } => self.bindings.push(*id),
            Edit::CreateRole(new) => {
                self.roles.extend(new.id.map(RoleName::Id));
                self.roles.push(RoleName::Key(new.key.clone()));
                self.roles.extend(new.included_role_ids.iter().copied().map(RoleName::Id));
                self.new_keys.push(new.key.to_string());
            }
            Edit::UpdateRole(patch) => {
                self.roles.push(RoleName::Id(patch.role_id));
                self.roles.extend(patch.included_role_ids.iter().flatten().copied().map(RoleName::Id));
            }
            Edit::DeleteRole { id, .. } => {
                self.roles.push(RoleName::Id(*id));
                self.gone_roles.push(*id);
            }
            Edit::CreateGroup(new) => {
                self.groups.extend(new.id);
                self.external_ids.push(new.external_id.clone());
            }
            Edit::UpdateGroup(patch) => {
                self.groups.push(patch.group_id);
                self.external_ids.extend(patch.external_id.clone());
            }
            Edit::DeleteGroup { id, .. } => {
                self.groups.push(*id);
                self.whole.push(Subject::Group(*id));
            }
            Edit::AddMembers { group, subjects } | Edit::RemoveMembers { group, subjects } => {
                self.groups.push(*group);
                self.memberships.extend(subjects.iter().map(|subject| (*group, *subject)));
                subjects.iter().for_each(|subject| self.subject(*subject));
            }
            Edit::Register(new) => {
                for NewResource { resource, parent } in new {
                    self.resources.push(resource.clone());
                    self.parents.extend(parent.clone());
                }
            }
            Edit::Move(to) => {
                self.resources.push(to.resource.clone());
                self.parents.extend(to.parent.clone());
            }
            Edit::Remove { resources, .. } => {
                self.resources.extend(resources.iter().cloned());
                self.emptied.extend(resources.iter().cloned());
            }
            Edit::Note { news, .. } => self.presence.push(news.subject),
            Edit::RemoveSubject(news) => {
                self.presence.push(news.subject);
                self.whole.push(news.subject);
            }
        }
    }

    fn subject(&mut self, subject: Subject) {
        match subject {
            Subject::Group(id) => self.groups.push(id),
            Subject::Member(_) | Subject::ServiceAccount(_) => self.presence.push(subject),
            Subject::AllMembers => {}
        }
    }
}
fn once<T: Ord>(mut all: Vec<T>) -> Vec<T> {
    all.sort_unstable();
    all.dedup();
    all
}

impl Records {
    pub(in crate::ops) async fn load(
        connection: &mut Connection,
        owners: Owners,
        edits: &[Edit],
    ) -> Result<Self, Refused> {
        let mut records = Self::default();
        let named = Named::of(edits);
        records.load_roles(connection, owners, &named).await?;
        let organization = owners.tenant;
        records.load_sets(connection, organization, &named).await?;
        records.load_resources(connection, organization, &named).await?;
        records.load_bindings(connection, organization, &named).await?;
        Ok(records)
    }

    async fn load_roles(&mut self, connection: &mut Connection, owners: Owners, named: &Named) -> Result<(), Refused> {
        let (mut ids, mut keys) = (Vec::new(), Vec::new());
        for name in &named.roles {
            match name {
                RoleName::Id(id) => ids.push(*id),
                RoleName::Key(key) => keys.push(key.to_string()),
            }
        }
        let (ids, keys) = (once(ids), once(keys));
        let builtin = |role: &Role| ids.contains(&role.role_id) || keys.contains(&role.key);
        self.roles = Role::builtins().filter(builtin).map(|role| (role.role_id, role)).collect();
        if ids.len() + keys.len() > self.roles.len() {
            let stored = store::role::named(&mut *connection, owners, &ids, &keys).await?;
            self.roles.extend(stored.into_iter().map(|role| (role.role_id, role)));
        }
        if !named.gone_roles.is_empty() {
            let gone = once(named.gone_roles.clone());
            self.role_uses = store::role::uses(&mut *connection, owners, &gone).await?.into_iter().collect();
            for (role, includer) in store::role::includers(&mut *connection, owners, &gone).await? {
                self.role_includers.entry(role).or_default().insert(includer);
            }
        }
        if !named.new_keys.is_empty() {
            self.role_count = store::role::count(&mut *connection, owners.tenant).await?;
            if owners.tenant == owners.project.into() {
                let used = store::role::keys_used(&mut *connection, owners.project, &named.new_keys).await?;
                self.keys_elsewhere = used.into_iter().collect();
            }
        }
        Ok(())
    }

    async fn load_sets(
        &mut self,
        connection: &mut Connection,
        organization: OrganizationId,
        named: &Named,
    ) -> Result<(), Refused> {
        let external_ids: Vec<String> = named.external_ids.iter().filter(|id| !id.is_empty()).cloned().collect();
        if !named.groups.is_empty() || !external_ids.is_empty() {
            let ids = once(named.groups.clone());
            let stored = store::group::named(&mut *connection, organization, &ids, &external_ids).await?;
            self.groups.extend(stored.into_iter().map(|group| (group.group_id, group)));
        }
        let mut memberships = Vec::new();
        if !named.memberships.is_empty() {
            memberships.extend(store::membership::find(&mut *connection, organization, &named.memberships).await?);
        }
        if !named.whole.is_empty() {
            memberships.extend(store::membership::of_subjects(&mut *connection, organization, &named.whole).await?);
        }
        self.memberships.extend(memberships.into_iter().map(|m| ((m.group_id, m.subject), m)));
        if !named.presence.is_empty() {
            let asked = once(named.presence.clone());
            for presence in store::subject::presence(&mut *connection, organization, &asked).await? {
                self.standings.extend(presence.standing.clone().map(|standing| (presence.subject, standing)));
                self.presence.insert(presence.subject, presence);
            }
        }
        Ok(())
    }

    async fn load_resources(
        &mut self,
        connection: &mut Connection,
        organization: OrganizationId,
        named: &Named,
    ) -> Result<(), Refused> {
        let mut wanted = named.resources.clone();
        if !named.emptied.is_empty() {
            wanted.extend(tree::descendants(&mut *connection, organization, &once(named.emptied.clone())).await?);
        }
        let wanted = once(wanted);
        if wanted.is_empty() {
            return Ok(());
        }
        for registration in store::resource::find(&mut *connection, organization, &wanted).await? {
            self.place(&registration.resource, registration.parent.as_ref());
            self.resources.insert(registration.resource.clone(), registration);
        }
        let below: Vec<Resource> = wanted.iter().chain(&named.parents).cloned().collect();
        for (child, parent) in tree::parents(&mut *connection, organization, &once(below)).await? {
            self.parents.entry(child).or_insert(Some(parent));
        }
        self.heights = tree::heights(&mut *connection, organization, &once(named.resources.clone())).await?;
        Ok(())
    }

    async fn load_bindings(
        &mut self,
        connection: &mut Connection,
        organization: OrganizationId,
        named: &Named,
    ) -> Result<(), Refused> {
        let mut found = Vec::new();
        if !named.bindings.is_empty() {
            found.extend(store::binding::find(&mut *connection, organization, &once(named.bindings.clone())).await?);
        }
        if !named.whole.is_empty() {
            found.extend(store::binding::of_subjects(&mut *connection, organization, &named.whole).await?);
        }
        let mut places: HashSet<Resource> = self.resources.keys().chain(self.parents.keys()).cloned().collect();
        places.extend(self.parents.values().flatten().cloned());
        places.extend(named.resources.iter().chain(&named.parents).cloned());
        if !places.is_empty() {
            let places: Vec<Resource> = places.into_iter().collect();
            found.extend(store::binding::at_resources(&mut *connection, organization, &places).await?);
        }
        found.into_iter().for_each(|binding| self.put_binding(binding));
        Ok(())
    }

    fn put_binding(&mut self, binding: Binding) {
        self.bindings_of.entry(binding.subject).or_default().insert(binding.binding_id);
        if let Some(at) = &binding.resource {
            self.bindings_at.entry(at.clone()).or_default().insert(binding.binding_id);
        }
        self.bindings.insert(binding.binding_id, binding);
    }

    fn place(&mut self, resource: &Resource, parent: Option<&Resource>) {
        if let Some(Some(old)) = self.parents.insert(resource.clone(), parent.cloned()) {
            self.children.entry(old).or_default().remove(resource);
        }
        if let Some(parent) = parent {
            self.children.entry(parent.clone()).or_default().insert(resource.clone());
        }
    }

    /// Takes up what a step changes.
    pub(super) fn take(&mut self, step: &Step) {
        match step {
            Step::Binding(Changed { before, after }) => {
                if let Some(before) = before {
                    *self.role_uses.entry(before.role_id).or_default() -= 1;
                    self.bindings.remove(&before.binding_id);
                    self.bindings_of.entry(before.subject).or_default().remove(&before.binding_id);
                    if let Some(at) = &before.resource {
                        self.bindings_at.entry(at.clone()).or_default().remove(&before.binding_id);
                    }
                }
                if let Some(after) = after {
                    *self.role_uses.entry(after.role_id).or_default() += 1;
                    self.put_binding(after.clone());
                }
            }
            Step::Role(Changed { before, after }) => {
                if let Some(role) = before {
                    self.roles.remove(&role.role_id);
                    self.role_count -= 1;
                    for included in &role.included_role_ids {
                        self.role_includers.entry(*included).or_default().remove(&role.role_id);
                    }
                }
                if let Some(role) = after {
                    self.role_count += 1;
                    for included in &role.included_role_ids {
                        self.role_includers.entry(*included).or_default().insert(role.role_id);
                    }
                    self.roles.insert(role.role_id, role.clone());
                }
            }
            Step::Group(Changed { before, after }) => {
                if let Some(before) = before {
                    self.groups.remove(&before.group_id);
                }
                if let (Some(before), None) = (before, after) {
                    self.memberships.retain(|(group, _), _| *group != before.group_id);
                }
                self.groups.extend(after.clone().map(|group| (group.group_id, group)));
            }
            Step::Membership(Changed { before, after }) => {
                if let Some(gone) = before {
                    self.memberships.remove(&(gone.group_id, gone.subject));
                }
                self.memberships.extend(after.clone().map(|new| ((new.group_id, new.subject), new)));
            }
            Step::Resource(Changed { before, after }, _) => {
                if let Some(before) = before {
                    self.resources.remove(&before.resource);
                    self.place(&before.resource, None);
                }
                if let Some(after) = after {
                    self.place(&after.resource, after.parent.as_ref());
                    self.resources.insert(after.resource.clone(), after.clone());
                }
            }
            Step::Standing(Changed { after, .. }) => {
                self.standings.extend(after.clone().map(|standing| (standing.subject, standing)));
            }
        }
    }

    pub(super) fn role(&self, name: &RoleName) -> Option<&Role> {
        match name {
            RoleName::Id(id) => self.roles.get(id),
            RoleName::Key(_) => self.roles.values().find(|role| name.is_of(role)),
        }
    }

    pub(super) fn role_is_used(&self, id: RoleId) -> bool {
        self.role_uses.get(&id).is_some_and(|uses| *uses > 0)
            || self.role_includers.get(&id).is_some_and(|includers| !includers.is_empty())
    }

    pub(super) fn bindings_of(&self, subject: Subject) -> Vec<Binding> {
        self.all(self.bindings_of.get(&subject))
    }

    pub(super) fn bindings_at(&self, resource: &Resource) -> Vec<Binding> {
        self.all(self.bindings_at.get(resource))
    }

    fn all(&self, ids: Option<&HashSet<BindingId>>) -> Vec<Binding> {
        let mut ids: Vec<BindingId> = ids.into_iter().flatten().copied().collect();
        ids.sort_unstable();
        ids.iter().filter_map(|id| self.bindings.get(id)).cloned().collect()
    }

    /// What the resource lies in, nearest first; one level too many where it has no end.
    pub(super) fn above<'a>(&'a self, resource: &Resource) -> impl Iterator<Item = &'a Resource> + use<'a> {
        let up = |at: &Resource| self.parents.get(at).and_then(Option::as_ref);
        std::iter::successors(up(resource), move |at| up(at)).take(MAX_RESOURCE_DEPTH)
    }

    /// How many levels lie below it.
    pub(super) fn height(&self, resource: &Resource) -> usize {
        self.height_within(resource, MAX_RESOURCE_DEPTH)
    }

    fn height_within(&self, resource: &Resource, levels: usize) -> usize {
        let stored = self.heights.get(resource).copied().unwrap_or_default();
        let children = self.children.get(resource).into_iter().flatten();
        let moved = children.filter(|_| levels > 0).map(|child| 1 + self.height_within(child, levels - 1)).max();
        stored.max(moved.unwrap_or_default())
    }

    /// What lies directly in it, of what was read.
    pub(super) fn children(&self, resource: &Resource) -> impl Iterator<Item = &Resource> {
        self.children.get(resource).into_iter().flatten()
    }

    pub(super) fn is_removed(&self, subject: Subject) -> bool {
        self.standings.get(&subject).is_some_and(|standing| standing.status == SubjectStatus::Removed)
    }

    /// Told of: by its state, or by roles, which a member is given before it is one.
    pub(super) fn is_known(&self, subject: Subject) -> bool {
        self.standings.contains_key(&subject) || self.presence.get(&subject).is_some_and(|presence| presence.is_bound)
    }
}
