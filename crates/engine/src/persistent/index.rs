use std::ops::ControlFlow;

use super::radix::Radix;
use super::tree::Tree;

/// How many entries a page holds on average.
const LOAD: u32 = PAGE as u32 / 2;
/// How many it has room for: the hashes of so many fill a line of the processor's cache, and their positions the next. A search reads
/// those two.
const PAGE: usize = 16;
/// No record has this position.
const FREE: u32 = u32::MAX;

/// Positions by hash. What is hashed is kept elsewhere, so a search asks its caller which of equal hashes is meant.
///
/// Linear hashing: one page is added with every [`LOAD`] entries, and takes its share from the one page that had its hashes before.
/// So no single insertion costs more than two pages, and pages are alike in size whatever came.
#[derive(Debug, Clone)]
pub(super) struct Index {
    pages: Radix<Page, 4>,
    /// What found its page full, and stays here: few, unless hashes are equal.
    overflow: Tree<Entry>,
    count: u32,
    /// The bits of the hash that name a page, once all are there that this many bits can name.
    mask: u32,
    len: u32,
}

/// A hash and its position.
type Entry = (u32, u32);

#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Page {
    hashes: [u32; PAGE],
    positions: [u32; PAGE],
}

impl Default for Page {
    fn default() -> Self {
        Self { hashes: [0; PAGE], positions: [FREE; PAGE] }
    }
}

impl Page {
    /// A bit for each place with this hash, found without a branch: which place it is cannot be foretold, and a processor that guesses
    /// wrong has read ahead in vain.
    fn alike(&self, hash: u32) -> u32 {
        (0..PAGE).map(|at| u32::from((self.hashes[at] == hash) & (self.positions[at] != FREE)) << at).sum()
    }

    fn place_of(&self, position: u32) -> Option<usize> {
        self.positions.iter().position(|other| *other == position)
    }

    /// False where there is no room.
    fn put(&mut self, (hash, position): Entry) -> bool {
        let Some(place) = self.place_of(FREE) else { return false };
        (self.hashes[place], self.positions[place]) = (hash, position);
        true
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        self.hashes.into_iter().zip(self.positions).filter(|(_, position)| *position != FREE)
    }
}

impl Default for Index {
    fn default() -> Self {
        Self { pages: Radix::default(), overflow: Tree::default(), count: 1, mask: 0, len: 0 }
    }
}

impl Index {
    pub(super) fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let page = self.pages.get(self.page(hash))?;
        let mut alike = page.alike(hash);
        while alike != 0 {
            let position = page.positions[alike.trailing_zeros() as usize];
            if is_it(position) {
                return Some(position);
            }
            alike &= alike - 1;
        }
        let found = self.overflow.visit(&|(other, _)| other.cmp(&hash), &mut |(_, position)| match is_it(*position) {
            true => ControlFlow::Break(*position),
            false => ControlFlow::Continue(()),
        });
        found.break_value()
    }

    fn page(&self, hash: u32) -> u32 {
        let page = hash & self.mask;
        if page < self.count { page } else { page & (self.mask >> 1) }
    }

    pub(super) fn insert(&mut self, hash: u32, position: u32) {
        self.put((hash, position));
        self.len += 1;
        if self.len > self.count * LOAD {
            self.add_page();
        }
    }

    fn put(&mut self, entry: Entry) {
        if !self.pages.get_mut(self.page(entry.0)).put(entry) {
            self.overflow.insert(entry);
        }
    }

    fn add_page(&mut self) {
        let new = self.count;
        if new > self.mask {
            self.mask = self.mask << 1 | 1;
        }
        self.count += 1;
        let divided = std::mem::take(self.pages.get_mut(new & (self.mask >> 1)));
        // Neither of the two gets more than the one had.
        divided.entries().for_each(|entry| self.put(entry));
    }

    /// The pages stay: a table that has become too large for what is left is built anew by its owner.
    pub(super) fn remove(&mut self, hash: u32, position: u32) {
        let page = self.pages.get_mut(self.page(hash));
        match page.place_of(position) {
            Some(place) => page.positions[place] = FREE,
            None => self.overflow.remove((hash, position)),
        }
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
