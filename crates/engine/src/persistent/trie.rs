use std::sync::Arc;

/// How many entries a leaf may hold before it is divided among children.
const LEAF: usize = 32;
const FAN_BITS: u32 = 4;
const FAN: usize = 1 << FAN_BITS;

/// Positions by hash. What is hashed is kept elsewhere, so a search asks its caller which of equal hashes is meant.
#[derive(Debug, Clone)]
pub(super) enum Trie {
    Leaf(Arc<[Entry]>),
    Inner(Arc<[Trie; FAN]>),
}

type Entry = (u32, u32);

impl Default for Trie {
    fn default() -> Self {
        Self::Leaf(Arc::default())
    }
}

impl Trie {
    pub(super) fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mut node = self;
        let mut rest = hash;
        loop {
            match node {
                Self::Leaf(entries) => {
                    let mut alike = entries.iter().filter(|(other, _)| *other == hash);
                    return alike.find(|(_, position)| is_it(*position)).map(|(_, position)| *position);
                }
                Self::Inner(children) => {
                    node = &children[rest as usize % FAN];
                    rest >>= FAN_BITS;
                }
            }
        }
    }

    pub(super) fn insert(&mut self, hash: u32, position: u32) {
        self.insert_at(0, (hash, position));
    }

    fn insert_at(&mut self, depth: u32, entry: Entry) {
        match self {
            Self::Inner(children) => {
                Arc::make_mut(children)[child(entry.0, depth)].insert_at(depth + 1, entry);
            }
            // Below the last bit of the hash there is nothing left to divide by.
            Self::Leaf(entries) if entries.len() < LEAF || depth * FAN_BITS >= u32::BITS => {
                *entries = entries.iter().copied().chain([entry]).collect();
            }
            Self::Leaf(entries) => {
                let mut parts: [Vec<Entry>; FAN] = Default::default();
                entries.iter().chain([&entry]).for_each(|entry| parts[child(entry.0, depth)].push(*entry));
                *self = Self::Inner(Arc::new(parts.map(|part| Self::Leaf(part.into()))));
            }
        }
    }

    pub(super) fn remove(&mut self, hash: u32, position: u32) {
        self.remove_at(0, (hash, position));
    }

    fn remove_at(&mut self, depth: u32, entry: Entry) {
        match self {
            Self::Inner(children) => {
                Arc::make_mut(children)[child(entry.0, depth)].remove_at(depth + 1, entry);
            }
            Self::Leaf(entries) => {
                *entries = entries.iter().copied().filter(|other| *other != entry).collect();
            }
        }
    }
}

fn child(hash: u32, depth: u32) -> usize {
    (hash >> (depth * FAN_BITS)) as usize % FAN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_hashes_are_told_apart_however_many() {
        let mut trie = Trie::default();
        (0..100).for_each(|position| trie.insert(42, position));
        (100..10_000u32).for_each(|position| trie.insert(position.wrapping_mul(2_654_435_761), position));
        let copy = trie.clone();
        (0..100).for_each(|position| assert_eq!(trie.find(42, |found| found == position), Some(position)));
        trie.remove(42, 7);
        assert_eq!(trie.find(42, |found| found == 7), None);
        assert_eq!(trie.find(42, |found| found == 8), Some(8));
        assert_eq!(copy.find(42, |found| found == 7), Some(7), "a copy keeps what it had");
        for position in 100..10_000u32 {
            assert_eq!(trie.find(position.wrapping_mul(2_654_435_761), |found| found == position), Some(position));
        }
    }
}
