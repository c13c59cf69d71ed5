use std::sync::Arc;

use super::radix::Radix;

/// How many entries a page holds on average.
const LOAD: u32 = 8;

/// Positions by hash. What is hashed is kept elsewhere, so a search asks its caller which of equal hashes is meant.
///
/// Linear hashing: one page is added with every [`LOAD`] entries, and takes its share from the one page that had its hashes before.
/// So no single insertion costs more than two pages, and pages are alike in size whatever came.
#[derive(Debug, Clone)]
pub(super) struct Index {
    pages: Radix<Arc<[Entry]>>,
    count: u32,
    /// The bits of the hash that name a page, once all are there that this many bits can name.
    mask: u32,
    len: u32,
}

type Entry = (u32, u32);

impl Default for Index {
    fn default() -> Self {
        Self { pages: Radix::default(), count: 1, mask: 0, len: 0 }
    }
}

impl Index {
    pub(super) fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mut alike = self.pages.get(self.page(hash))?.iter().filter(|(other, _)| *other == hash);
        alike.find(|(_, position)| is_it(*position)).map(|(_, position)| *position)
    }

    fn page(&self, hash: u32) -> u32 {
        let page = hash & self.mask;
        if page < self.count { page } else { page & (self.mask >> 1) }
    }

    pub(super) fn insert(&mut self, hash: u32, position: u32) {
        let page = self.pages.get_mut(self.page(hash));
        *page = page.iter().copied().chain([(hash, position)]).collect();
        self.len += 1;
        if self.len > self.count * LOAD {
            self.add_page();
        }
    }

    fn add_page(&mut self) {
        let new = self.count;
        if new > self.mask {
            self.mask = self.mask << 1 | 1;
        }
        let divided = self.pages.get_mut(new & (self.mask >> 1));
        let (moving, staying): (Vec<Entry>, Vec<Entry>) = divided.iter().partition(|(hash, _)| hash & self.mask == new);
        *divided = staying.into();
        *self.pages.get_mut(new) = moving.into();
        self.count += 1;
    }

    /// The pages stay: a table that has become too large for what is left is built anew by its owner.
    pub(super) fn remove(&mut self, hash: u32, position: u32) {
        let page = self.pages.get_mut(self.page(hash));
        *page = page.iter().copied().filter(|entry| *entry != (hash, position)).collect();
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_hashes_are_told_apart_however_many() {
        let spread = |n: u32| n.wrapping_mul(2_654_435_761);
        let mut index = Index::default();
        (0..100).for_each(|position| index.insert(42, position));
        (100..10_000).for_each(|position| index.insert(spread(position), position));
        let copy = index.clone();
        (0..100).for_each(|position| assert_eq!(index.find(42, |found| found == position), Some(position)));
        index.remove(42, 7);
        assert_eq!(index.find(42, |found| found == 7), None);
        assert_eq!(index.find(42, |found| found == 8), Some(8));
        assert_eq!(copy.find(42, |found| found == 7), Some(7), "a copy keeps what it had");
        for position in 100..10_000 {
            assert_eq!(index.find(spread(position), |found| found == position), Some(position));
            index.remove(spread(position), position);
            assert_eq!(index.find(spread(position), |found| found == position), None);
        }
    }
}
