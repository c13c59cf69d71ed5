use std::ops::ControlFlow;

use time::OffsetDateTime;

use super::Snapshot;
use super::bindings::{Bindings, Entry, ORGANIZATION, scope_of};
use super::resources::ResourcePath;
use crate::data::{Effect, SubjectState};
use crate::id::SubjectId;
use crate::resource::ResourceRef;

/// Up to this many bindings of one subject are looked through in order; beyond, the sorted scopes are searched.
const SCAN: usize = 16;

/// Who asks, as themselves and as all the sets they are in, and where.
pub(super) struct Standing<'a> {
    bindings: &'a Bindings,
    principals: Principals<'a>,
    path: ResourcePath,
}

/// A subject and then every set it is in, nearest first; nobody, where nothing names the subject.
#[derive(Debug, Clone, Copy)]
pub(super) struct Principals<'a> {
    own: Option<u32>,
    sets: &'a [u32],
}

impl<'a> Principals<'a> {
    pub(super) fn iter(self) -> impl Iterator<Item = u32> + 'a {
        self.own.into_iter().chain(self.sets.iter().copied())
    }
}

/// Why no binding is even looked at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Obstacle {
    OrganizationInactive,
    SubjectInactive(SubjectState),
    ResourceMisplaced,
}

impl Snapshot {
    pub(super) fn standing(
        &self,
        subject: &SubjectId,
        resource: Option<&ResourceRef>,
    ) -> Result<Standing<'_>, Obstacle> {
        if !self.active {
            return Err(Obstacle::OrganizationInactive);
        }
        let position = self.subjects.position(subject);
        // Of all members as such only the question about them asks for their state: it stops no member.
        if let Some(state) = position.and_then(|position| self.subjects.get(position).state) {
            return Err(Obstacle::SubjectInactive(state));
        }
        let path = match resource {
            None => ResourcePath::ORGANIZATION,
            Some(resource) => self.resources.path(resource).ok_or(Obstacle::ResourceMisplaced)?,
        };
        Ok(self.standing_at(position, path))
    }

    /// The same without asking whether anyone is active.
    pub(super) fn standing_at(&self, subject: Option<u32>, path: ResourcePath) -> Standing<'_> {
        Standing { bindings: &self.bindings, principals: self.principals(subject), path }
    }

    pub(super) fn principals(&self, subject: Option<u32>) -> Principals<'_> {
        Principals { own: subject, sets: subject.map_or(&[], |subject| self.subjects.sets(subject)) }
    }
}

impl<'a> Standing<'a> {
    pub(super) fn principals(&self) -> Principals<'a> {
        self.principals
    }

    /// The same subject at another place.
    pub(super) fn elsewhere(&self, path: ResourcePath) -> Self {
        Self { path, ..*self }
    }

    pub(super) fn path(&self) -> &ResourcePath {
        &self.path
    }

    pub(super) fn reaches(&self, entry: &Entry) -> bool {
        entry.scope == ORGANIZATION || self.path.positions().iter().any(|at| scope_of(*at) == entry.scope)
    }

    /// Visits every binding of the principals whose scope is on the path, whatever its role, effect and window.
    pub(super) fn visit<B>(&self, mut visit: impl FnMut(u32, &'a Entry) -> ControlFlow<B>) -> ControlFlow<B> {
        for principal in self.principals.iter() {
            let Some(entries) = self.bindings.of(principal) else { continue };
            if let Some(few) = entries.as_slice().filter(|entries| entries.len() <= SCAN) {
                for entry in few.iter().filter(|entry| self.reaches(entry)) {
                    visit(principal, entry)?;
                }
                continue;
            }
            let resources = self.path.positions().iter().map(|at| scope_of(*at));
            for scope in std::iter::once(ORGANIZATION).chain(resources) {
                entries.visit(&|entry| entry.scope.cmp(&scope), &mut |entry| visit(principal, entry))?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Visits them all.
    pub(super) fn for_each(&self, mut visit: impl FnMut(u32, &'a Entry)) {
        let _: ControlFlow<()> = self.visit(|principal, entry| {
            visit(principal, entry);
            ControlFlow::Continue(())
        });
    }
}

impl Snapshot {
    /// What is granted now and not denied, one bit a permission.
    pub(super) fn held(&self, standing: &Standing<'_>, now: OffsetDateTime) -> Vec<u64> {
        let mut granted = vec![0; self.roles.words()];
        let mut denied = vec![0; self.roles.words()];
        standing.for_each(|_, entry| {
            if self.bindings.is_open(entry, now) {
                let row = match entry.effect {
                    Effect::Allow => &mut granted,
                    Effect::Deny => &mut denied,
                };
                row.iter_mut().zip(self.roles.row(entry.role)).for_each(|(word, role)| *word |= role);
            }
        });
        granted.iter().zip(denied).map(|(granted, denied)| granted & !denied).collect()
    }
}

pub(super) fn has(bits: &[u64], permission: u32) -> bool {
    bits[permission as usize / 64] >> (permission % 64) & 1 == 1
}
