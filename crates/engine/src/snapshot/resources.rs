use super::intern::Interner;
use crate::data::{Binding, Resource};
use crate::resource::ResourceRef;

/// How many levels a resource's place may have, itself counted and the organization not.
pub const MAX_RESOURCE_DEPTH: usize = 32;

const NONE: u32 = u32::MAX;

/// Every resource that the data names, with its parent.
///
/// Ancestors are followed at check time, a handful of array reads, rather than stored for each resource: so moving a folder
/// changes one entry, however much lies beneath it.
#[derive(Debug)]
pub(super) struct Resources {
    ids: Interner<ResourceRef>,
    parents: Vec<u32>,
}

/// A resource and its ancestors, nearest first. Empty: the organization alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct ResourcePath {
    positions: [u32; MAX_RESOURCE_DEPTH],
    length: usize,
}

impl ResourcePath {
    pub(super) const ORGANIZATION: Self = Self { positions: [NONE; MAX_RESOURCE_DEPTH], length: 0 };

    pub(super) fn positions(&self) -> &[u32] {
        &self.positions[..self.length]
    }
}

impl Resources {
    pub(super) fn build(stored: &[Resource], bindings: &[Binding]) -> Self {
        let mut ids = Interner::new();
        let mut parents: Vec<Option<u32>> = Vec::new();
        for Resource { resource, parent } in stored {
            let child = ids.intern(resource) as usize;
            let parent = parent.as_ref().map_or(NONE, |parent| ids.intern(parent));
            parents.resize(ids.len(), None);
            parents[child].get_or_insert(parent);
        }
        for resource in bindings.iter().filter_map(|binding| binding.resource.as_ref()) {
            ids.intern(resource);
        }
        parents.resize(ids.len(), None);
        Self { ids, parents: parents.into_iter().map(|parent| parent.unwrap_or(NONE)).collect() }
    }

    pub(super) fn position(&self, resource: &ResourceRef) -> Option<u32> {
        self.ids.position(resource)
    }

    pub(super) fn id(&self, resource: u32) -> &ResourceRef {
        self.ids.value(resource)
    }

    /// The resource's place; that of one which nothing names is the organization's. None when its ancestors do not end within
    /// [`MAX_RESOURCE_DEPTH`], be it for a cycle or for their number.
    pub(super) fn path(&self, resource: &ResourceRef) -> Option<ResourcePath> {
        let mut path = ResourcePath::ORGANIZATION;
        let mut next = self.position(resource).unwrap_or(NONE);
        while next != NONE {
            *path.positions.get_mut(path.length)? = next;
            path.length += 1;
            next = self.parents[next as usize];
        }
        Some(path)
    }
}
