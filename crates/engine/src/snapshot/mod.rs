//! One organization's authorization at one revision, in the form that answers.

mod apply;
mod bindings;
mod check;
mod contents;
mod explain;
mod graph;
mod hold;
mod holders;
mod list;
mod owners;
mod resources;
mod roles;
mod standing;
mod subjects;

use std::sync::Arc;

use bindings::Bindings;
use resources::Resources;
use roles::Roles;
use subjects::Subjects;

pub use check::Decision;
pub use holders::{HeldRole, Holder};
pub use list::Listed;
pub use resources::MAX_RESOURCE_DEPTH;

use crate::catalog::Catalog;
use crate::id::RoleId;
use crate::permission::PermissionPattern;

/// Immutable, and cheap to clone: copies share what they have in common, also with the next revision ([`Snapshot::apply`]).
///
/// The parts refer to each other by position only. A position is kept as long as something names it, and then given to what comes
/// next, so that names which come and go leave nothing behind.
#[derive(Debug, Clone)]
pub struct Snapshot {
    active: bool,
    catalog: Arc<Catalog>,
    roles: Arc<Roles>,
    subjects: Subjects,
    resources: Resources,
    bindings: Bindings,
}

impl Snapshot {
    /// An active organization in which nobody may do anything yet.
    fn empty(catalog: Arc<Catalog>) -> Self {
        let roles = Arc::new(Roles::builtin(&catalog));
        let (resources, bindings) = (Resources::default(), Bindings::default());
        Self { active: true, catalog, roles, subjects: Subjects::empty(), resources, bindings }
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

    /// About what it takes in memory, in bytes, without the catalog that the organizations of a project share. What it shares
    /// with the snapshots before and after it is counted with each.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.roles.bytes() + self.subjects.bytes() + self.resources.bytes() + self.bindings.bytes()
    }
}
