use uuid::Uuid;

use super::intern::{Interner, reachable, shortest_path};
use crate::data::{Binding, Group, SubjectState};
use crate::id::SubjectId;

/// Where `AllMembers` stands: first, so that it is there even when nothing names it.
pub(super) const ALL_MEMBERS: u32 = 0;

/// Every subject that the data names, with its memberships closed.
#[derive(Debug)]
pub(super) struct Subjects {
    ids: Interner<SubjectId>,
    /// The members that there are, sorted.
    members: Box<[Uuid]>,
    /// The sets each is directly in; of a member that there is, also all members.
    directly_in: Vec<Vec<u32>>,
    /// Each one's own position, then every set it is in at any depth.
    closed: Vec<Vec<u32>>,
    states: Vec<Option<SubjectState>>,
}

impl Subjects {
    pub(super) fn build(
        groups: &[Group],
        bindings: &[Binding],
        inactive: &[(SubjectId, SubjectState)],
        members: &[Uuid],
    ) -> Self {
        let mut members: Box<[Uuid]> = members.into();
        members.sort_unstable();
        let mut ids = Interner::new();
        ids.intern(&SubjectId::AllMembers);
        let mut memberships = Vec::new();
        for group in groups {
            let set = ids.intern(&group.id.into());
            memberships.extend(group.members.iter().map(|member| (ids.intern(member), set)));
        }
        for binding in bindings {
            ids.intern(&binding.subject);
        }
        for (subject, _) in inactive {
            ids.intern(subject);
        }

        let mut directly_in: Vec<Vec<u32>> = vec![Vec::new(); ids.len()];
        for (member, set) in memberships {
            directly_in[member as usize].push(set);
        }
        for (subject, sets) in ids.values().iter().zip(&mut directly_in) {
            if is_member(&members, subject) {
                sets.push(ALL_MEMBERS);
            }
        }
        let closed = (0..ids.len() as u32).map(|subject| reachable(subject, &directly_in)).collect();
        let mut states = vec![None; ids.len()];
        for (subject, state) in inactive.iter().rev() {
            let at = ids.intern(subject);
            states[at as usize] = Some(*state);
        }
        Self { ids, members, directly_in, closed, states }
    }

    /// Where to begin for a subject: at itself, for a member that nothing names at all members, for any other nowhere.
    pub(super) fn start(&self, subject: &SubjectId) -> Option<u32> {
        let position = self.ids.position(subject);
        position.or_else(|| is_member(&self.members, subject).then_some(ALL_MEMBERS))
    }

    /// The state of an inactive subject, given where it starts. All members as such being inactive stops no member.
    pub(super) fn state(&self, subject: &SubjectId, start: u32) -> Option<SubjectState> {
        if self.ids.value(start) == subject { self.states[start as usize] } else { None }
    }

    /// The position itself and every set it is in.
    pub(super) fn closed(&self, position: u32) -> &[u32] {
        &self.closed[position as usize]
    }

    pub(super) fn position(&self, subject: &SubjectId) -> Option<u32> {
        self.ids.position(subject)
    }

    pub(super) fn ids(&self) -> &[SubjectId] {
        self.ids.values()
    }

    /// The shortest way from the subject into the set at `goal`, both included.
    pub(super) fn path(&self, subject: &SubjectId, goal: u32) -> Vec<SubjectId> {
        let start = self.start(subject);
        let path = start.and_then(|start| shortest_path(start, &self.directly_in, |node| node == goal));
        let mut named: Vec<SubjectId> = path.into_iter().flatten().map(|node| *self.ids.value(node)).collect();
        if named.first() != Some(subject) {
            named.insert(0, *subject);
        }
        named
    }
}

fn is_member(sorted: &[Uuid], subject: &SubjectId) -> bool {
    matches!(subject, SubjectId::Member(id) if sorted.binary_search(id).is_ok())
}
