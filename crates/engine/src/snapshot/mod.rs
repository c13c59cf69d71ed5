//! One organization's authorization at one revision, in the form that answers.

mod bindings;
mod check;
mod circumstances;
mod explain;
mod hold;
mod holders;
mod intern;
mod resources;
mod roles;
mod standing;
mod subjects;

use std::sync::Arc;

use bindings::Bindings;
use resources::Resources;
use roles::Roles;
use subjects::Subjects;

pub use check::{Decision, Permissions};
pub use circumstances::Circumstances;
pub use holders::{HeldRole, Holder};
pub use resources::MAX_RESOURCE_DEPTH;

use crate::catalog::Catalog;
use crate::data::OrganizationData;
use crate::id::RoleId;
use crate::permission::PermissionPattern;

/// Immutable, and cheap to clone: each part is shared. The parts refer to each other by position only, and each is built
/// from its own data, so that the next revision can keep the parts it does not touch.
#[derive(Debug, Clone)]
pub struct Snapshot {
    active: bool,
    catalog: Arc<Catalog>,
    roles: Arc<Roles>,
    subjects: Arc<Subjects>,
    resources: Arc<Resources>,
    bindings: Arc<Bindings>,
}

impl Snapshot {
    pub fn build(data: &OrganizationData) -> Self {
        let roles = Roles::build(&data.catalog, &data.roles);
        let subjects = Subjects::build(&data.groups, &data.bindings, &data.inactive_subjects, &data.members);
        let resources = Resources::build(&data.resources, &data.bindings);
        let bindings = Bindings::build(&data.bindings, &roles, &subjects, &resources);
        Self {
            active: data.active,
            catalog: Arc::clone(&data.catalog),
            roles: Arc::new(roles),
            subjects: Arc::new(subjects),
            resources: Arc::new(resources),
            bindings: Arc::new(bindings),
        }
    }

    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Every pattern that the role lists or includes, which is what binding it would hand out (see [`Self::not_held`]). None when
    /// there is no such role.
    pub fn patterns_of(&self, role: RoleId) -> Option<Vec<PermissionPattern>> {
        let position = self.roles.position(role)?;
        let mut patterns: Vec<_> = self.roles.patterns_within(position).cloned().collect();
        patterns.sort_unstable();
        patterns.dedup();
        Some(patterns)
    }
}
