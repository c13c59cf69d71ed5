use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::graph::{reachable, shortest_path};
use crate::catalog::Catalog;
use crate::data::Role;
use crate::id::RoleId;
use crate::permission::{Permission, PermissionPattern};
use crate::system::{BUILTIN_ROLES, is_builtin};

/// Every role with its inheritance closed: one row of bits a role, one bit a permission of the catalog.
///
/// Also those that a binding names and that are not there: they grant nothing until they are put.
#[derive(Debug, Clone)]
pub(super) struct Roles {
    positions: HashMap<RoleId, u32, RandomState>,
    slots: Vec<Slot>,
    vacant: Vec<u32>,
    includes: Vec<Vec<u32>>,
    /// Each role's own position, then every one it includes at any depth.
    closed: Vec<Vec<u32>>,
    words: usize,
    bits: Vec<u64>,
}

#[derive(Debug, Clone)]
struct Slot {
    id: RoleId,
    /// None: not there, or not any more.
    role: Option<Arc<Role>>,
}

impl Roles {
    pub(super) fn builtin(catalog: &Catalog) -> Self {
        let mut roles = Self {
            positions: HashMap::default(),
            slots: Vec::new(),
            vacant: Vec::new(),
            includes: Vec::new(),
            closed: Vec::new(),
            words: 0,
            bits: Vec::new(),
        };
        for role in BUILTIN_ROLES {
            roles.define(role.role());
        }
        roles.close(catalog);
        roles
    }

    /// Takes the role as it now is. The builtin ones are what they are. What includes what is open until [`Self::close`].
    pub(super) fn put(&mut self, role: &Role) {
        if !is_builtin(role.id) {
            self.define(role.clone());
        }
    }

    fn define(&mut self, role: Role) {
        let position = self.intern(role.id);
        self.slots[position as usize].role = Some(Arc::new(role));
    }

    pub(super) fn drop(&mut self, role: RoleId) {
        if let Some(position) = self.named(role).filter(|_| !is_builtin(role)) {
            self.slots[position as usize].role = None;
        }
    }

    /// Its position, be it there or only named.
    pub(super) fn intern(&mut self, role: RoleId) -> u32 {
        if let Some(position) = self.named(role) {
            return position;
        }
        let slot = Slot { id: role, role: None };
        let position = match self.vacant.pop() {
            Some(position) => {
                self.slots[position as usize] = slot;
                position
            }
            None => {
                self.slots.push(slot);
                self.slots.len() as u32 - 1
            }
        };
        self.positions.insert(role, position);
        position
    }

    /// The position of a role that is not there is given up. No binding may name it.
    pub(super) fn release(&mut self, position: u32) {
        let Slot { id, role } = &self.slots[position as usize];
        if role.is_none() && self.positions.remove(id).is_some() {
            self.vacant.push(position);
        }
    }

    /// Closes the inheritance, and says in bits what each role means under the catalog.
    pub(super) fn close(&mut self, catalog: &Catalog) {
        let roles = || self.slots.iter().map(|slot| slot.role.as_deref());
        self.includes = roles()
            .map(|role| {
                let included = role.into_iter().flat_map(|role| &role.included_role_ids);
                included.filter_map(|included| self.position(*included)).collect()
            })
            .collect();
        self.closed =
            (0..self.len()).map(|role| reachable(role, |node| self.includes[node as usize].as_slice())).collect();
        self.words = catalog.permissions().len().div_ceil(64);
        let own: Vec<Vec<u64>> = roles().map(|role| expand(catalog, role, self.words)).collect();
        self.bits = Vec::with_capacity(self.words * own.len());
        for reached in &self.closed {
            let row = (0..self.words).map(|word| reached.iter().fold(0, |row, role| row | own[*role as usize][word]));
            self.bits.extend(row);
        }
    }

    /// Its position, if it is there or a binding names it.
    pub(super) fn named(&self, role: RoleId) -> Option<u32> {
        self.positions.get(&role).copied()
    }

    /// None when there is no such role.
    pub(super) fn position(&self, role: RoleId) -> Option<u32> {
        self.named(role).filter(|position| self.exists(*position))
    }

    pub(super) fn exists(&self, role: u32) -> bool {
        self.slots[role as usize].role.is_some()
    }

    pub(super) fn get(&self, role: u32) -> Option<&Role> {
        self.slots[role as usize].role.as_deref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Role> {
        self.slots.iter().filter_map(|slot| slot.role.as_deref())
    }

    pub(super) fn id(&self, role: u32) -> RoleId {
        self.slots[role as usize].id
    }

    pub(super) fn len(&self) -> u32 {
        self.slots.len() as u32
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

    /// Those that are `other` or include it at any depth.
    pub(super) fn including(&self, other: u32) -> impl Iterator<Item = u32> {
        (0..self.len()).filter(move |role| self.closed[*role as usize].contains(&other))
    }

    /// What the role and those it includes list, known to the catalog or not.
    pub(super) fn patterns_within(&self, role: u32) -> impl Iterator<Item = &PermissionPattern> {
        let roles = self.closed[role as usize].iter().filter_map(|reached| self.get(*reached));
        roles.flat_map(|role| &role.permissions)
    }

    /// The shortest way from the role to one that lists the permission, and what that one lists.
    pub(super) fn derive(&self, role: u32, permission: &Permission) -> Option<(Vec<RoleId>, PermissionPattern)> {
        let listing = |role: u32| self.get(role)?.permissions.iter().find(|pattern| pattern.matches(permission));
        let path = shortest_path(role, |node| self.includes[node as usize].as_slice(), |role| listing(role).is_some())?;
        let pattern = path.last().and_then(|last| listing(*last))?.clone();
        Some((path.into_iter().map(|role| self.id(role)).collect(), pattern))
    }

    /// About what they take in memory.
    pub(super) fn bytes(&self) -> usize {
        let listed = |role: &Role| {
            size_of::<Role>()
                + role.included_role_ids.len() * size_of::<RoleId>()
                + role.permissions.len() * (size_of::<PermissionPattern>() + 48)
        };
        let lists = self.includes.iter().chain(&self.closed).map(|list| size_of_val(list) + size_of_val(&**list));
        let index = self.positions.capacity() * (size_of::<(RoleId, u32)>() + 1);
        index
            + self.slots.len() * size_of::<Slot>()
            + self.iter().map(listed).sum::<usize>()
            + lists.sum::<usize>()
            + size_of_val(&*self.bits)
    }
}

fn expand(catalog: &Catalog, role: Option<&Role>, words: usize) -> Vec<u64> {
    let mut row = vec![0; words];
    let patterns = role.into_iter().flat_map(|role| &role.permissions);
    for permission in patterns.flat_map(|pattern| catalog.range(pattern)) {
        row[permission as usize / 64] |= 1 << (permission % 64);
    }
    row
}
