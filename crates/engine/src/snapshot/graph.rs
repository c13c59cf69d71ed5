use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

/// All that can be reached from `start` along the edges, itself first, each once: nearest first, so that cycles end.
pub(super) fn reachable<'a>(start: u32, edges: impl Fn(u32) -> &'a [u32]) -> Vec<u32> {
    let mut seen: HashSet<u32, RandomState> = std::iter::once(start).collect();
    let mut reached = vec![start];
    let mut next = 0;
    while let Some(&node) = reached.get(next) {
        reached.extend(edges(node).iter().filter(|successor| seen.insert(**successor)));
        next += 1;
    }
    reached
}

/// The shortest way from `start` to the first node that `is_goal`, both included.
pub(super) fn shortest_path<'a>(
    start: u32,
    edges: impl Fn(u32) -> &'a [u32],
    is_goal: impl Fn(u32) -> bool,
) -> Option<Vec<u32>> {
    let mut came_from: HashMap<u32, Option<u32>, RandomState> = std::iter::once((start, None)).collect();
    let mut reached = vec![start];
    let mut next = 0;
    while let Some(&node) = reached.get(next) {
        if is_goal(node) {
            let mut path: Vec<u32> = std::iter::successors(Some(node), |at| came_from[at]).collect();
            path.reverse();
            return Some(path);
        }
        for &successor in edges(node) {
            if let Entry::Vacant(vacant) = came_from.entry(successor) {
                vacant.insert(Some(node));
                reached.push(successor);
            }
        }
        next += 1;
    }
    None
}
