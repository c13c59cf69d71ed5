use std::cmp::Ordering;
use std::ops::ControlFlow;
use std::sync::Arc;

/// The most items of a leaf, and the most children of a branch.
const NODE: usize = 64;
/// A node with fewer joins its neighbour where both fit into one.
const SPARSE: usize = NODE / 4;

/// A sorted set. Most are small: those are one slice of exactly their size.
#[derive(Debug, Clone)]
pub(crate) enum Tree<T> {
    Leaf(Arc<[T]>),
    Inner(Arc<[Branch<T>]>),
}

#[derive(Debug, Clone)]
pub(crate) struct Branch<T> {
    /// No item of the child is less.
    least: T,
    child: Tree<T>,
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self::Leaf(Arc::default())
    }
}

impl<T: Copy + Ord> Tree<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.width() == 0
    }

    /// All items where they are few, for whoever looks through them in order rather than searching.
    pub(crate) fn as_slice(&self) -> Option<&[T]> {
        match self {
            Self::Leaf(items) => Some(items),
            Self::Inner(_) => None,
        }
    }

    pub(crate) fn insert(&mut self, item: T) {
        if let Some(right) = self.insert_below(item) {
            let least = item.min(self.least().unwrap_or(item));
            let left = Branch { least, child: std::mem::take(self) };
            *self = Self::Inner(Arc::new([left, right]));
        }
    }

    /// The right half where the node had to be divided.
    fn insert_below(&mut self, item: T) -> Option<Branch<T>> {
        match self {
            Self::Leaf(items) => {
                let Err(at) = items.binary_search(&item) else { return None };
                let (before, after) = items.split_at(at);
                *items = before.iter().chain([&item]).chain(after).copied().collect();
            }
            Self::Inner(branches) => {
                let at = branches.partition_point(|branch| branch.least <= item).saturating_sub(1);
                let branches = Arc::make_mut(branches);
                branches[at].least = branches[at].least.min(item);
                let right = branches[at].child.insert_below(item)?;
                let (before, after) = branches.split_at(at + 1);
                *self = Self::Inner(before.iter().chain([&right]).chain(after).cloned().collect());
            }
        }
        (self.width() > NODE).then(|| self.halve())
    }

    fn halve(&mut self) -> Branch<T> {
        match self {
            Self::Leaf(items) => {
                let (left, right) = items.split_at(items.len() / 2);
                let right = Branch { least: right[0], child: Self::Leaf(right.into()) };
                *self = Self::Leaf(left.into());
                right
            }
            Self::Inner(branches) => {
                let (left, right) = branches.split_at(branches.len() / 2);
                let right = Branch { least: right[0].least, child: Self::Inner(right.into()) };
                *self = Self::Inner(left.into());
                right
            }
        }
    }

    pub(crate) fn remove(&mut self, item: T) {
        self.remove_below(item);
        while let Self::Inner(branches) = self
            && let [only] = &**branches
        {
            *self = only.child.clone();
        }
    }

    fn remove_below(&mut self, item: T) {
        match self {
            Self::Leaf(items) => {
                if let Ok(at) = items.binary_search(&item) {
                    *items = items[..at].iter().chain(&items[at + 1..]).copied().collect();
                }
            }
            Self::Inner(shared) => {
                let Some(at) = shared.partition_point(|branch| branch.least <= item).checked_sub(1) else { return };
                let branches = Arc::make_mut(shared);
                branches[at].child.remove_below(item);
                let left = if at + 1 < branches.len() { at } else { at.saturating_sub(1) };
                let pair = branches.get(left..left + 2).filter(|_| branches[at].child.width() < SPARSE);
                if let Some([first, second]) = pair
                    && let Some(child) = first.child.joined(&second.child)
                {
                    let joined = Branch { least: first.least, child };
                    let (before, after) = (&branches[..left], &branches[left + 2..]);
                    *shared = before.iter().chain([&joined]).chain(after).cloned().collect();
                }
            }
        }
    }

    /// Both in one node, if they fit. They are neighbours, and so of one height.
    fn joined(&self, next: &Self) -> Option<Self> {
        match (self, next) {
            _ if self.width() + next.width() > NODE => None,
            (Self::Leaf(left), Self::Leaf(right)) => Some(Self::Leaf(left.iter().chain(&**right).copied().collect())),
            (Self::Inner(left), Self::Inner(right)) => {
                Some(Self::Inner(left.iter().chain(&**right).cloned().collect()))
            }
            (Self::Leaf(_), Self::Inner(_)) | (Self::Inner(_), Self::Leaf(_)) => None,
        }
    }

    fn width(&self) -> usize {
        match self {
            Self::Leaf(items) => items.len(),
            Self::Inner(branches) => branches.len(),
        }
    }

    fn least(&self) -> Option<T> {
        match self {
            Self::Leaf(items) => items.first().copied(),
            Self::Inner(branches) => branches.first().map(|branch| branch.least),
        }
    }

    /// Visits in order the items that `order` finds equal to what is sought: it says on which side of that an item lies.
    pub(crate) fn visit<'a, B>(
        &'a self,
        order: &impl Fn(&T) -> Ordering,
        visit: &mut impl FnMut(&'a T) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        match self {
            Self::Leaf(items) => {
                let from = items.partition_point(|item| order(item).is_lt());
                items[from..].iter().take_while(|item| order(item).is_eq()).try_for_each(visit)
            }
            Self::Inner(branches) => {
                let from = branches.partition_point(|branch| order(&branch.least).is_lt()).saturating_sub(1);
                let mut within = branches[from..].iter().take_while(|branch| order(&branch.least).is_le());
                within.try_for_each(|branch| branch.child.visit(order, visit))
            }
        }
    }

    pub(crate) fn iter(&self) -> Iter<'_, T> {
        let mut iter = Iter { above: Vec::new(), items: [].iter() };
        iter.enter(self);
        iter
    }
}

pub(crate) struct Iter<'a, T> {
    above: Vec<std::slice::Iter<'a, Branch<T>>>,
    items: std::slice::Iter<'a, T>,
}

impl<'a, T> Iter<'a, T> {
    fn enter(&mut self, tree: &'a Tree<T>) {
        match tree {
            Tree::Leaf(items) => self.items = items.iter(),
            Tree::Inner(branches) => self.above.push(branches.iter()),
        }
    }
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        loop {
            if let Some(item) = self.items.next() {
                return Some(item);
            }
            match self.above.last_mut()?.next() {
                Some(branch) => self.enter(&branch.child),
                None => drop(self.above.pop()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_set_that_the_standard_library_makes(
            steps in vec((prop::bool::weighted(0.6), 0u32..400), 0..2_000), from in 0u32..400, width in 0u32..100,
        ) {
            let (mut tree, mut set) = (Tree::default(), BTreeSet::new());
            for (n, (put, item)) in steps.iter().copied().enumerate() {
                let (copy, as_it_was) = (tree.clone(), (n % 100 == 0).then(|| set.clone()));
                if put {
                    tree.insert(item);
                    set.insert(item);
                } else {
                    tree.remove(item);
                    set.remove(&item);
                }
                if let Some(as_it_was) = as_it_was {
                    prop_assert!(copy.iter().eq(&as_it_was));
                    prop_assert!(tree.iter().eq(&set));
                }
            }
            prop_assert!(tree.iter().eq(&set));
            prop_assert_eq!(tree.is_empty(), set.is_empty());
            let mut found = Vec::new();
            let sought = |item: &u32| match *item {
                item if item < from => Ordering::Less,
                item if item < from + width => Ordering::Equal,
                _ => Ordering::Greater,
            };
            let _: ControlFlow<()> = tree.visit(&sought, &mut |item| {
                found.push(*item);
                ControlFlow::Continue(())
            });
            prop_assert!(found.iter().eq(set.range(from..from + width)));
            for item in set {
                tree.remove(item);
            }
            prop_assert!(tree.is_empty());
            prop_assert!(tree.as_slice().is_some(), "what is empty is one empty leaf again");
        }
    }
}
