use super::intern::{Interner, reachable, shortest_path};
use crate::catalog::Catalog;
use crate::data::Role;
use crate::id::RoleId;
use crate::permission::{Permission, PermissionPattern};
use crate::system::{BUILTIN_ROLES, BuiltinRole, is_builtin};

/// Every role with its inheritance closed: one row of bits a role, one bit a permission of the catalog.
#[derive(Debug)]
pub(super) struct Roles {
    ids: Interner<RoleId>,
    listed: Vec<Vec<PermissionPattern>>,
    includes: Vec<Vec<u32>>,
    /// Each role's own position, then every one it includes at any depth.
    closed: Vec<Vec<u32>>,
    words: usize,
    bits: Vec<u64>,
}

impl Roles {
    pub(super) fn build(catalog: &Catalog, stored: &[Role]) -> Self {
        let mut ids = Interner::new();
        let mut roles = Vec::with_capacity(BUILTIN_ROLES.len() + stored.len());
        let custom = stored.iter().filter(|role| !is_builtin(role.id)).cloned();
        for role in BUILTIN_ROLES.iter().map(BuiltinRole::role).chain(custom) {
            if ids.position(&role.id).is_none() {
                ids.intern(&role.id);
                roles.push(role);
            }
        }
        let includes: Vec<Vec<u32>> = roles
            .iter()
            .map(|role| role.included_role_ids.iter().filter_map(|included| ids.position(included)).collect())
            .collect();
        let closed: Vec<Vec<u32>> = (0..roles.len() as u32).map(|role| reachable(role, &includes)).collect();
        let listed: Vec<Vec<PermissionPattern>> = roles.into_iter().map(|role| role.permissions).collect();

        let words = catalog.permissions().len().div_ceil(64);
        let own: Vec<Vec<u64>> = listed.iter().map(|patterns| expand(catalog, patterns, words)).collect();
        let mut bits = Vec::with_capacity(words * listed.len());
        for reached in &closed {
            bits.extend((0..words).map(|word| reached.iter().fold(0, |row, role| row | own[*role as usize][word])));
        }
        Self { ids, listed, includes, closed, words, bits }
    }

    pub(super) fn position(&self, role: RoleId) -> Option<u32> {
        self.ids.position(&role)
    }

    pub(super) fn id(&self, role: u32) -> RoleId {
        *self.ids.value(role)
    }

    pub(super) fn len(&self) -> u32 {
        self.ids.len() as u32
    }

    pub(super) fn grants(&self, role: u32, permission: u32) -> bool {
        let word = self.bits[role as usize * self.words + permission as usize / 64];
        word >> (permission % 64) & 1 == 1
    }

    /// The role's permissions, one bit each.
    pub(super) fn row(&self, role: u32) -> &[u64] {
        &self.bits[role as usize * self.words..][..self.words]
    }

    pub(super) fn words(&self) -> usize {
        self.words
    }

    /// True when `role` is `other` or includes it at any depth.
    pub(super) fn includes(&self, role: u32, other: u32) -> bool {
        self.closed[role as usize].contains(&other)
    }

    /// What the role and those it includes list, known to the catalog or not.
    pub(super) fn patterns_within(&self, role: u32) -> impl Iterator<Item = &PermissionPattern> {
        self.closed[role as usize].iter().flat_map(|reached| &self.listed[*reached as usize])
    }

    /// The shortest way from the role to one that lists the permission, and what that one lists.
    pub(super) fn derive(&self, role: u32, permission: &Permission) -> Option<(Vec<RoleId>, PermissionPattern)> {
        let listing = |role: u32| self.listed[role as usize].iter().find(|pattern| pattern.matches(permission));
        let path = shortest_path(role, &self.includes, |role| listing(role).is_some())?;
        let pattern = path.last().and_then(|last| listing(*last))?.clone();
        Some((path.into_iter().map(|role| self.id(role)).collect(), pattern))
    }
}

fn expand(catalog: &Catalog, patterns: &[PermissionPattern], words: usize) -> Vec<u64> {
    let mut row = vec![0; words];
    for permission in patterns.iter().flat_map(|pattern| catalog.range(pattern)) {
        row[permission as usize / 64] |= 1 << (permission % 64);
    }
    row
}
