use std::collections::HashSet;

use foldhash::fast::RandomState;

use super::bindings::{ORGANIZATION, scope_of};
use crate::persistent::{ALLOCATED, Radix, Record, Table, Tree};
use crate::resource::ResourceRef;

/// How many levels a resource's place may have, itself counted and the organization not.
pub const MAX_RESOURCE_DEPTH: usize = 32;

const NONE: u32 = u32::MAX;

/// One that is registered, or that a binding or a registered resource below it names.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) id: ResourceRef,
    pub(super) is_registered: bool,
    /// How many bindings name it.
    bindings: u32,
}

impl Place {
    /// Whether it is one that lists may answer.
    pub(super) fn is_known(&self) -> bool {
        self.is_registered || self.bindings > 0
    }
}

/// The position of a resource's parent.
#[derive(Debug, Clone, Copy)]
struct Parent(u32);

impl Default for Parent {
    fn default() -> Self {
        Self(NONE)
    }
}

impl Record for Place {
    type Key = ResourceRef;

    fn key(&self) -> &ResourceRef {
        &self.id
    }
}

/// Every resource, with its parent.
///
/// Ancestors are followed at check time, a handful of array reads, rather than stored for each resource: so moving a folder
/// changes one entry, however much lies beneath it.
#[derive(Debug, Clone, Default)]
pub(super) struct Resources {
    table: Table<Place>,
    /// Beside the rest, so that those a check follows are close together.
    parents: Radix<Parent, 256>,
    /// The resources directly beneath each.
    children: Radix<Tree<u32>>,
    /// The length of all ids together.
    text: usize,
}

/// A resource and its ancestors, nearest first. Empty: the organization alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct ResourcePath {
    positions: [u32; MAX_RESOURCE_DEPTH],
    length: usize,
    /// A bit for each scope of a binding that may reach here: see [`Self::may_hold`].
    scopes: u64,
}

impl ResourcePath {
    pub(super) const ORGANIZATION: Self =
        Self { positions: [NONE; MAX_RESOURCE_DEPTH], length: 0, scopes: bit(ORGANIZATION) };

    /// False for most of the scopes that are not on the path, so that they need not be compared with each place on it.
    pub(super) fn may_hold(&self, scope: u32) -> bool {
        self.scopes & bit(scope) != 0
    }

    pub(super) fn positions(&self) -> &[u32] {
        &self.positions[..self.length]
    }
}

const fn bit(scope: u32) -> u64 {
    1 << (scope % u64::BITS)
}

impl Resources {
    pub(super) fn position(&self, resource: &ResourceRef) -> Option<u32> {
        self.table.position(resource)
    }

    pub(super) fn get(&self, resource: u32) -> &Place {
        &self.table[resource]
    }

    pub(super) fn id(&self, resource: u32) -> &ResourceRef {
        &self.table[resource].id
    }

    /// [`NONE`] for one that stands directly under the organization.
    fn parent(&self, resource: u32) -> u32 {
        self.parents.get(resource).map_or(NONE, |parent| parent.0)
    }

    pub(super) fn parent_of(&self, resource: u32) -> Option<&ResourceRef> {
        let parent = self.parent(resource);
        (parent != NONE).then(|| self.id(parent))
    }

    pub(super) fn children(&self, resource: u32) -> impl Iterator<Item = u32> {
        self.children.get(resource).into_iter().flat_map(Tree::iter).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Place)> {
        self.table.iter()
    }

    /// The resource's place; that of one which nothing names is the organization's. None when its ancestors do not end within
    /// [`MAX_RESOURCE_DEPTH`], be it for a cycle or for their number.
    pub(super) fn path(&self, resource: &ResourceRef) -> Option<ResourcePath> {
        self.position(resource).map_or(Some(ResourcePath::ORGANIZATION), |position| self.path_from(position))
    }

    pub(super) fn path_from(&self, position: u32) -> Option<ResourcePath> {
        let mut path = ResourcePath::ORGANIZATION;
        let mut next = position;
        while next != NONE {
            *path.positions.get_mut(path.length)? = next;
            path.length += 1;
            path.scopes |= bit(scope_of(next));
            next = self.parent(next);
        }
        Some(path)
    }

    /// Those given and all beneath them, each once.
    pub(super) fn beneath(&self, given: Vec<u32>) -> Vec<u32> {
        let mut seen: HashSet<u32, RandomState> = HashSet::default();
        let mut reached: Vec<u32> = given.into_iter().filter(|position| seen.insert(*position)).collect();
        let mut next = 0;
        while let Some(&position) = reached.get(next) {
            reached.extend(self.children(position).filter(|child| seen.insert(*child)));
            next += 1;
        }
        reached
    }

    /// Registers it, or says where it stands from now on.
    pub(super) fn put(&mut self, resource: &ResourceRef, parent: Option<&ResourceRef>) {
        let child = self.intern(resource);
        let parent = parent.map_or(NONE, |parent| self.intern(parent));
        let before = self.hang(child, parent);
        self.table.get_mut(child).is_registered = true;
        self.release(before);
    }

    pub(super) fn drop(&mut self, resource: &ResourceRef) {
        let Some(gone) = self.position(resource) else { return };
        let before = self.hang(gone, NONE);
        self.table.get_mut(gone).is_registered = false;
        self.release(gone);
        if before != gone {
            self.release(before);
        }
    }

    /// For a binding that names it.
    pub(super) fn bind(&mut self, resource: &ResourceRef) -> u32 {
        let position = self.intern(resource);
        self.table.get_mut(position).bindings += 1;
        position
    }

    pub(super) fn unbind(&mut self, position: u32) {
        self.table.get_mut(position).bindings -= 1;
        self.release(position);
    }

    /// The parent it had.
    fn hang(&mut self, child: u32, parent: u32) -> u32 {
        let before = self.parent(child);
        if before != parent {
            if before != NONE {
                self.children.get_mut(before).remove(child);
            }
            if parent != NONE {
                self.children.get_mut(parent).insert(child);
            }
            *self.parents.get_mut(child) = Parent(parent);
        }
        before
    }

    fn intern(&mut self, resource: &ResourceRef) -> u32 {
        if let Some(position) = self.position(resource) {
            return position;
        }
        self.text += resource.text_len();
        self.table.insert(Place { id: resource.clone(), is_registered: false, bindings: 0 })
    }

    /// The position is given up where nothing names it any more.
    fn release(&mut self, position: u32) {
        if position == NONE {
            return;
        }
        let place = &self.table[position];
        if !place.is_known() && self.children(position).next().is_none() {
            self.text -= place.id.text_len();
            self.table.remove(position);
        }
    }

    pub(super) fn vacancy(&self) -> (u32, u32) {
        self.table.vacancy()
    }

    /// About what they take in memory.
    pub(super) fn bytes(&self) -> usize {
        let each = ALLOCATED + size_of::<Parent>() + size_of::<Tree<u32>>() + size_of::<u32>();
        self.table.bytes() + self.text + self.table.len() * each
    }
}
