use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use foldhash::fast::RandomState;

/// Values and their positions, in order of first sight. The hash is seeded per process, because tenants choose resource ids.
#[derive(Debug)]
pub(super) struct Interner<T> {
    positions: HashMap<T, u32, RandomState>,
    values: Vec<T>,
}

impl<T: Clone + Eq + Hash> Interner<T> {
    pub(super) fn new() -> Self {
        Self { positions: HashMap::default(), values: Vec::new() }
    }

    pub(super) fn intern(&mut self, value: &T) -> u32 {
        if let Some(position) = self.position(value) {
            return position;
        }
        let position = self.values.len() as u32;
        self.positions.insert(value.clone(), position);
        self.values.push(value.clone());
        position
    }

    pub(super) fn position(&self, value: &T) -> Option<u32> {
        self.positions.get(value).copied()
    }

    pub(super) fn value(&self, position: u32) -> &T {
        &self.values[position as usize]
    }

    pub(super) fn values(&self) -> &[T] {
        &self.values
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }
}

/// All that can be reached from `start` along `edges`, itself first, each once: nearest first, so that cycles end.
pub(super) fn reachable(start: u32, edges: &[Vec<u32>]) -> Vec<u32> {
    let mut seen: HashSet<u32, RandomState> = std::iter::once(start).collect();
    let mut reached = vec![start];
    let mut next = 0;
    while let Some(&node) = reached.get(next) {
        reached.extend(edges[node as usize].iter().filter(|successor| seen.insert(**successor)));
        next += 1;
    }
    reached
}

/// The shortest way from `start` to the first node that `is_goal`, both included.
pub(super) fn shortest_path(start: u32, edges: &[Vec<u32>], is_goal: impl Fn(u32) -> bool) -> Option<Vec<u32>> {
    let mut came_from: HashMap<u32, Option<u32>, RandomState> = std::iter::once((start, None)).collect();
    let mut reached = vec![start];
    let mut next = 0;
    while let Some(&node) = reached.get(next) {
        if is_goal(node) {
            let mut path: Vec<u32> = std::iter::successors(Some(node), |at| came_from[at]).collect();
            path.reverse();
            return Some(path);
        }
        for &successor in &edges[node as usize] {
            if let Entry::Vacant(vacant) = came_from.entry(successor) {
                vacant.insert(Some(node));
                reached.push(successor);
            }
        }
        next += 1;
    }
    None
}
