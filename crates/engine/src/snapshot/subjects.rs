use std::collections::HashSet;

use foldhash::fast::RandomState;

use super::graph::shortest_path;
use crate::data::SubjectState;
use crate::id::SubjectId;
use crate::persistent::{Radix, Record, Short, Table, Tree};

/// Where `AllMembers` stands: first, so that it is there even when nothing names it.
pub(super) const ALL_MEMBERS: u32 = 0;

/// One whom a group, a binding or a state names, or a member that there is.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) id: SubjectId,
    pub(super) state: Option<SubjectState>,
    /// A member of whom something is known: one of all members.
    pub(super) is_member: bool,
    /// A group that is there, be it empty.
    pub(super) is_group: bool,
    /// How many of `sets` it is in directly: the first ones, sorted by id.
    direct: u32,
    /// Every set it is in at any depth, nearest first, itself left out.
    sets: Short,
}

impl Subject {
    fn named(id: SubjectId) -> Self {
        Self { id, state: None, is_member: false, is_group: false, direct: 0, sets: Short::default() }
    }

    fn directly_in(&self) -> &[u32] {
        &self.sets[..self.direct as usize]
    }
}

impl Record for Subject {
    type Key = SubjectId;

    fn key(&self) -> &SubjectId {
        &self.id
    }
}

/// Every subject, with its memberships closed.
#[derive(Debug, Clone)]
pub(super) struct Subjects {
    table: Table<Subject>,
    /// Who is directly in each group. All members are not listed, but marked.
    members: Radix<Tree<u32>>,
    /// How long the lists of sets are, all together.
    listed: usize,
}

impl Subjects {
    pub(super) fn empty() -> Self {
        let mut table = Table::default();
        let all = table.insert(Subject::named(SubjectId::AllMembers));
        debug_assert_eq!(all, ALL_MEMBERS);
        Self { table, members: Radix::default(), listed: 0 }
    }

    pub(super) fn position(&self, subject: &SubjectId) -> Option<u32> {
        self.table.position(subject)
    }

    pub(super) fn get(&self, position: u32) -> &Subject {
        &self.table[position]
    }

    pub(super) fn id(&self, position: u32) -> SubjectId {
        self.table[position].id
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Subject)> {
        self.table.iter()
    }

    /// Every set that the subject is in at any depth, nearest first.
    pub(super) fn sets(&self, position: u32) -> &[u32] {
        &self.table[position].sets
    }

    /// Who is directly in a set.
    pub(super) fn members(&self, set: u32) -> Vec<u32> {
        match set {
            ALL_MEMBERS => self.iter().filter(|(_, subject)| subject.is_member).map(|(at, _)| at).collect(),
            group => self.members.get(group).into_iter().flat_map(Tree::iter).copied().collect(),
        }
    }

    fn has_members(&self, group: u32) -> bool {
        self.members.get(group).is_some_and(|members| !members.is_empty())
    }

    /// Those given and all that are in them at any depth, each once.
    pub(super) fn within(&self, sets: impl IntoIterator<Item = u32>) -> Vec<u32> {
        self.descend(sets, |_| true)
    }

    /// The same, but all members stand for themselves.
    pub(super) fn within_groups(&self, sets: impl IntoIterator<Item = u32>) -> Vec<u32> {
        self.descend(sets, |set| set != ALL_MEMBERS)
    }

    fn descend(&self, sets: impl IntoIterator<Item = u32>, into: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut seen = HashSet::<u32, RandomState>::default();
        let mut reached: Vec<u32> = sets.into_iter().filter(|set| seen.insert(*set)).collect();
        let mut next = 0;
        while let Some(&set) = reached.get(next) {
            if into(set) && (set == ALL_MEMBERS || self.has_members(set)) {
                reached.extend(self.members(set).into_iter().filter(|member| seen.insert(*member)));
            }
            next += 1;
        }
        reached
    }

    /// The shortest way from the subject into the set at `goal`, both included.
    pub(super) fn path(&self, subject: u32, goal: u32) -> Vec<SubjectId> {
        let path = shortest_path(subject, |node| self.table[node].directly_in(), |node| node == goal);
        path.into_iter().flatten().map(|node| self.id(node)).collect()
    }

    pub(super) fn intern(&mut self, subject: SubjectId) -> u32 {
        self.position(&subject).unwrap_or_else(|| self.table.insert(Subject::named(subject)))
    }

    /// The position is given up where nothing names it any more. Whether a binding does, the caller knows.
    pub(super) fn release(&mut self, position: u32) {
        let subject = &self.table[position];
        let marked = subject.is_member || subject.is_group || subject.state.is_some();
        if position != ALL_MEMBERS && !marked && subject.direct == 0 && !self.has_members(position) {
            self.table.remove(position);
        }
    }

    pub(super) fn set_state(&mut self, position: u32, state: Option<SubjectState>) {
        self.table.get_mut(position).state = state;
    }

    pub(super) fn set_group(&mut self, position: u32, is_group: bool) {
        self.table.get_mut(position).is_group = is_group;
    }

    /// Makes it one of all members. True when it was none before, and so is to be closed anew.
    pub(super) fn set_member(&mut self, position: u32) -> bool {
        if self.table[position].is_member {
            return false;
        }
        self.table.get_mut(position).is_member = true;
        self.join(position, ALL_MEMBERS);
        true
    }

    /// Puts it into a group. Until [`Self::close`] its sets are but those it is directly in.
    pub(super) fn put_in(&mut self, member: u32, group: u32) {
        self.members.get_mut(group).insert(member);
        // What is in itself is listed as its member, but adds nothing to what it is in.
        if member != group {
            self.join(member, group);
        }
    }

    pub(super) fn take_out(&mut self, member: u32, group: u32) {
        self.members.get_mut(group).remove(member);
        let direct: Vec<u32> = self.table[member].directly_in().iter().copied().filter(|set| *set != group).collect();
        self.set_direct(member, &direct);
    }

    /// The groups it is directly in.
    pub(super) fn groups_of(&self, member: u32) -> Vec<u32> {
        self.table[member].directly_in().iter().copied().filter(|set| *set != ALL_MEMBERS).collect()
    }

    fn join(&mut self, member: u32, set: u32) {
        let mut direct = self.table[member].directly_in().to_vec();
        let id = self.id(set);
        // By id, so that explanations do not depend on the order in which memberships came.
        if let Err(at) = direct.binary_search_by_key(&id, |other| self.id(*other)) {
            direct.insert(at, set);
            self.set_direct(member, &direct);
        }
    }

    fn set_direct(&mut self, member: u32, direct: &[u32]) {
        self.table.get_mut(member).direct = direct.len() as u32;
        self.set_sets(member, direct);
    }

    fn set_sets(&mut self, position: u32, sets: &[u32]) {
        let before = std::mem::replace(&mut self.table.get_mut(position).sets, sets.into());
        self.listed = self.listed + sets.len() - before.len();
    }

    /// Closes the memberships of those whose direct ones changed, and of all that are in them. Some may be gone.
    pub(super) fn close(&mut self, changed: Vec<u32>) {
        let present = changed.into_iter().filter(|position| self.table.get(*position).is_some());
        let affected = self.within(present.collect::<Vec<_>>());
        for position in affected {
            let sets = self.closed(position);
            if *sets != *self.table[position].sets {
                self.set_sets(position, &sets);
            }
        }
    }

    fn closed(&self, position: u32) -> Vec<u32> {
        /// Up to this many are compared one by one.
        const FEW: usize = 32;
        let mut sets = self.table[position].directly_in().to_vec();
        let mut seen: HashSet<u32, RandomState> = HashSet::default();
        let mut next = 0;
        while let Some(&set) = sets.get(next) {
            for &outer in self.table[set].directly_in() {
                if sets.len() >= FEW && seen.is_empty() {
                    seen.extend(&sets);
                }
                let known = if sets.len() < FEW { sets.contains(&outer) } else { !seen.insert(outer) };
                if !known && outer != position {
                    sets.push(outer);
                }
            }
            next += 1;
        }
        sets
    }

    pub(super) fn vacancy(&self) -> (u32, u32) {
        self.table.vacancy()
    }

    /// About what they take in memory.
    pub(super) fn bytes(&self) -> usize {
        self.table.bytes() + self.listed * size_of::<u32>()
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }
}
