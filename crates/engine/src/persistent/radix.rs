use std::sync::Arc;

const FAN_BITS: u32 = 6;
const FAN: usize = 1 << FAN_BITS;

/// Values by number, defaults where nothing was put. Two or three dependent reads reach any of 131 072.
///
/// `LEAF` of them, a power of two, lie together: few where they are large, for a change copies the leaf that it falls into.
#[derive(Debug, Clone)]
pub(crate) struct Radix<T, const LEAF: usize = 32> {
    root: Node<T, LEAF>,
    /// How many levels are above the leaves.
    height: u32,
}

#[derive(Debug, Clone)]
enum Node<T, const LEAF: usize> {
    Empty,
    Leaf(Arc<[T; LEAF]>),
    Inner(Arc<[Node<T, LEAF>; FAN]>),
}

impl<T, const LEAF: usize> Default for Radix<T, LEAF> {
    fn default() -> Self {
        Self { root: Node::Empty, height: 0 }
    }
}

impl<T, const LEAF: usize> Radix<T, LEAF> {
    const LEAF_BITS: u32 = LEAF.trailing_zeros();

    /// What was put there; None when nothing near it ever was.
    pub(crate) fn get(&self, at: u32) -> Option<&T> {
        if u64::from(at) >= self.capacity() {
            return None;
        }
        let mut node = &self.root;
        let mut shift = Self::LEAF_BITS + FAN_BITS * self.height;
        loop {
            match node {
                Node::Empty => return None,
                Node::Leaf(values) => return Some(&values[at as usize % LEAF]),
                Node::Inner(children) => {
                    shift -= FAN_BITS;
                    node = &children[(at >> shift) as usize % FAN];
                }
            }
        }
    }

    fn capacity(&self) -> u64 {
        1 << (Self::LEAF_BITS + FAN_BITS * self.height)
    }
}

impl<T: Clone + Default, const LEAF: usize> Radix<T, LEAF> {
    /// What is there, to be changed.
    pub(crate) fn get_mut(&mut self, at: u32) -> &mut T {
        while u64::from(at) >= self.capacity() {
            let below = std::mem::replace(&mut self.root, Node::Empty);
            if !matches!(below, Node::Empty) {
                let mut children = std::array::from_fn(|_| Node::Empty);
                children[0] = below;
                self.root = Node::Inner(Arc::new(children));
            }
            self.height += 1;
        }
        self.root.get_mut(at, self.height)
    }
}

impl<T: Clone + Default, const LEAF: usize> Node<T, LEAF> {
    fn get_mut(&mut self, at: u32, height: u32) -> &mut T {
        if matches!(self, Self::Empty) {
            *self = match height {
                0 => Self::Leaf(Arc::new(std::array::from_fn(|_| T::default()))),
                _ => Self::Inner(Arc::new(std::array::from_fn(|_| Self::Empty))),
            };
        }
        match self {
            Self::Leaf(values) => &mut Arc::make_mut(values)[at as usize % LEAF],
            Self::Inner(children) => {
                let child = (at >> (LEAF.trailing_zeros() + FAN_BITS * (height - 1))) as usize % FAN;
                Arc::make_mut(children)[child].get_mut(at, height - 1)
            }
            Self::Empty => unreachable!("it was filled above"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_what_it_had() {
        let mut first = Radix::<u32>::default();
        assert_eq!(first.get(0), None);
        let numbers = (0..5_000).chain([131_071, 131_072, u32::MAX]);
        numbers.clone().for_each(|at| *first.get_mut(at) = at ^ 7);
        let mut second = first.clone();
        numbers.clone().for_each(|at| *second.get_mut(at) += 1);
        for at in numbers {
            assert_eq!((first.get(at), second.get(at)), (Some(&(at ^ 7)), Some(&((at ^ 7) + 1))));
        }
        assert_eq!(first.get(9_000_000), None);
    }

    #[test]
    fn a_gap_far_up_first_costs_no_leaves_below() {
        let mut sparse = Radix::<u8>::default();
        *sparse.get_mut(1 << 20) = 1;
        assert_eq!((sparse.get(0), sparse.get(1 << 20)), (None, Some(&1)));
    }
}
