use engine::{PermissionPattern, Snapshot};
use std::sync::Arc;

use tenancy::{Change as Changed, RoleId, mask};

use super::{Plan, Step, UNREAD};
use crate::{
    model::{Role, RoleName},
    ops::{
        Refused,
        edit::{Made, NewRole, RolePatch},
    },
};

impl Plan {
    pub(super) fn create_role(&mut self, new: &NewRole) -> Option<Made> {
        let faults = self.faults.len();
        if new.id.is_some_and(|id| self.records.role(&RoleName::Id(id)).is_some()) {
            self.refuse("role_id", Refused::IdTaken);
        }
        let key = new.key.to_string();
        if self.records.role(&RoleName::Key(new.key.clone())).is_some() || self.records.keys_elsewhere.contains(&key) {
            self.refuse("key", Refused::RoleKeyTaken(key.clone()));
        }
        let (limit, used) = (self.ground.most_roles, self.records.role_count);
        if used >= limit {
            self.refuse("", Refused::TooManyRoles { limit, used });
        }
        self.declared(&new.permissions);
        self.includable(None, &new.included_role_ids);
        if self.faults.len() > faults {
            return None;
        }
        let owners = self.ground.owners;
        let role = Role {
            role_id: new.id.unwrap_or_else(RoleId::new),
            organization_id: (owners.tenant != owners.project.into()).then_some(owners.tenant),
            key,
            display_name: new.display_name.clone(),
            description: new.description.clone(),
            permissions: new.permissions.iter().map(ToString::to_string).collect(),
            included_role_ids: new.included_role_ids.clone(),
            builtin: false,
            create_time: Some(self.ground.now),
            update_time: Some(self.ground.now),
            revision: self.ground.revision,
        };
        self.take(Step::Role(Changed::created(role.clone())));
        Some(Made::Role(role))
    }

    fn declared(&mut self, permissions: &[PermissionPattern]) {
        let catalog = Arc::clone(&self.ground.catalog);
        let unknown = permissions.iter().filter(|pattern| !catalog.knows_pattern(pattern));
        let unknown: Vec<String> = unknown.map(ToString::to_string).collect();
        if !unknown.is_empty() {
            self.refuse("permissions", Refused::UnknownPermission(unknown));
        }
    }

    /// Roles that are there and, for a role that is there already, do not include it.
    fn includable(&mut self, role: Option<RoleId>, included: &[RoleId]) {
        if included.iter().any(|id| self.records.role(&RoleName::Id(*id)).is_none()) {
            self.refuse("included_role_ids", Refused::NotFound("role"));
        }
        let Some(role) = role.filter(|_| !included.is_empty()) else { return };
        let reaches =
            |snapshot: &Snapshot| included.iter().any(|id| includes(snapshot, id.uuid().into(), role.uuid().into()));
        match self.show(self.steps.len()).map(reaches) {
            Some(false) => {}
            Some(true) => {
                self.refuse("included_role_ids", Refused::Cycle("the role would include itself".to_owned()));
            }
            None => self.refuse("included_role_ids", UNREAD),
        }
    }

    /// The tenant's own role, with a current etag. The project's roles are not the organization's to change, and builtin ones nobody's.
    fn own_role(&mut self, id: RoleId, etag: &str) -> Option<Role> {
        let owners = self.ground.owners;
        let own = (owners.tenant != owners.project.into()).then_some(owners.tenant);
        let refused = match self.records.roles.get(&id) {
            Some(role) if role.builtin => Refused::RoleInUse,
            Some(role) if role.organization_id != own => Refused::NotFound("role"),
            Some(role) if mask::etag_matches(etag, role.revision) => return Some(role.clone()),
            Some(_) => Refused::EtagMismatch,
            None => Refused::NotFound("role"),
        };
        self.refuse("role_id", refused);
        None
    }

    pub(super) fn update_role(&mut self, patch: &RolePatch) -> Option<Made> {
        let faults = self.faults.len();
        let before = self.own_role(patch.role_id, &patch.etag);
        if let Some(permissions) = &patch.permissions {
            self.declared(permissions);
        }
        if let Some(included) = &patch.included_role_ids {
            self.includable(Some(patch.role_id), included);
        }
        let before = before.filter(|_| self.faults.len() == faults)?;
        let after = Role {
            display_name: patch.display_name.clone().unwrap_or_else(|| before.display_name.clone()),
            description: patch.description.clone().unwrap_or_else(|| before.description.clone()),
            permissions: match &patch.permissions {
                Some(patterns) => patterns.iter().map(ToString::to_string).collect(),
                None => before.permissions.clone(),
            },
            included_role_ids: patch.included_role_ids.clone().unwrap_or_else(|| before.included_role_ids.clone()),
            update_time: Some(self.ground.now),
            revision: self.ground.revision,
            ..before.clone()
        };
        self.take(Step::Role(Changed::updated(before, after.clone())));
        Some(Made::Role(after))
    }

    pub(super) fn delete_role(&mut self, id: RoleId, etag: &str) -> Option<Made> {
        let role = self.own_role(id, etag)?;
        if self.records.role_is_used(id) {
            self.refuse("", Refused::RoleInUse);
            return None;
        }
        self.take(Step::Role(Changed::removed(role.clone())));
        Some(Made::Role(Role { revision: self.ground.revision, ..role }))
    }
}

/// Whether a role is the other one, or includes it at any depth.
pub(in crate::ops) fn includes(snapshot: &Snapshot, role: engine::RoleId, other: engine::RoleId) -> bool {
    let mut reached = vec![role];
    let mut next = 0;
    while let Some(role) = reached.get(next).copied() {
        if role == other {
            return true;
        }
        next += 1;
        for included in snapshot.role(role).into_iter().flat_map(|role| &role.included_role_ids) {
            if !reached.contains(included) {
                reached.push(*included);
            }
        }
    }
    false
}
