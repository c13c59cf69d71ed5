use std::hash::{BuildHasher, Hash};
use std::ops;

use foldhash::fast::RandomState;

use super::index::Index;
use super::radix::Radix;

/// What a table holds, known by its key.
pub(crate) trait Record: Clone {
    type Key: Eq + Hash;

    fn key(&self) -> &Self::Key;
}

/// Records by key and by position. A record keeps its position while it is there; then the next newcomer gets it.
///
/// The hash is seeded per process, because tenants choose resource ids.
#[derive(Debug, Clone)]
pub(crate) struct Table<R> {
    slots: Radix<Slot<R>>,
    index: Index,
    hasher: RandomState,
    /// Every position below was given out once.
    end: u32,
    vacant: u32,
    first_vacant: Option<u32>,
}

#[derive(Debug, Clone)]
enum Slot<R> {
    Vacant { next: Option<u32> },
    Taken(R),
}

impl<R> Default for Slot<R> {
    fn default() -> Self {
        Self::Vacant { next: None }
    }
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self {
            slots: Radix::default(),
            index: Index::default(),
            hasher: RandomState::default(),
            end: 0,
            vacant: 0,
            first_vacant: None,
        }
    }
}

impl<R: Record> Table<R> {
    pub(crate) fn position(&self, key: &R::Key) -> Option<u32> {
        self.index.find(self.hash(key), |position| self.get(position).is_some_and(|record| record.key() == key))
    }

    /// None where nothing is any more.
    pub(crate) fn get(&self, position: u32) -> Option<&R> {
        match self.slots.get(position) {
            Some(Slot::Taken(record)) => Some(record),
            Some(Slot::Vacant { .. }) | None => None,
        }
    }

    pub(crate) fn get_mut(&mut self, position: u32) -> &mut R {
        match self.slots.get_mut(position) {
            Slot::Taken(record) => record,
            Slot::Vacant { .. } => unreachable!("a position outlived its record"),
        }
    }

    /// Nothing may be there under its key.
    pub(crate) fn insert(&mut self, record: R) -> u32 {
        let hash = self.hash(record.key());
        let position = self.first_vacant.unwrap_or(self.end);
        let slot = self.slots.get_mut(position);
        match slot {
            Slot::Vacant { next } if self.first_vacant.is_some() => {
                self.first_vacant = *next;
                self.vacant -= 1;
            }
            Slot::Vacant { .. } | Slot::Taken(_) => self.end += 1,
        }
        *slot = Slot::Taken(record);
        self.index.insert(hash, position);
        position
    }

    pub(crate) fn remove(&mut self, position: u32) {
        let hash = self.hash(self[position].key());
        self.index.remove(hash, position);
        *self.slots.get_mut(position) = Slot::Vacant { next: self.first_vacant };
        self.first_vacant = Some(position);
        self.vacant += 1;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &R)> {
        (0..self.end).filter_map(|position| Some((position, self.get(position)?)))
    }

    pub(crate) fn len(&self) -> usize {
        (self.end - self.vacant) as usize
    }

    /// How many positions are held for newcomers, and how many there are.
    pub(crate) fn vacancy(&self) -> (u32, u32) {
        (self.vacant, self.end)
    }

    /// About what it takes in memory, without what records point to.
    pub(crate) fn bytes(&self) -> usize {
        /// An entry of the index, with the room beside it.
        const INDEXED: usize = 20;
        self.end as usize * size_of::<Slot<R>>() + self.len() * INDEXED
    }

    fn hash(&self, key: &R::Key) -> u32 {
        let hash = self.hasher.hash_one(key);
        (hash ^ hash >> 32) as u32
    }
}

/// A position that another record names: it is there as long as that one is.
impl<R: Record> ops::Index<u32> for Table<R> {
    type Output = R;

    fn index(&self, position: u32) -> &R {
        match self.slots.get(position) {
            Some(Slot::Taken(record)) => record,
            Some(Slot::Vacant { .. }) | None => unreachable!("a position outlived its record"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Record for (u32, &str) {
        type Key = u32;

        fn key(&self) -> &u32 {
            &self.0
        }
    }

    #[test]
    fn positions_are_given_out_again() {
        let mut table = Table::default();
        let first: Vec<u32> = (0..100).map(|key| table.insert((key, "first"))).collect();
        assert_eq!(first, (0..100).collect::<Vec<_>>());
        let copy = table.clone();
        for key in (0..100).step_by(2) {
            table.remove(table.position(&key).unwrap());
        }
        assert_eq!((table.len(), table.vacancy()), (50, (50, 100)));
        let mut second: Vec<u32> = (200..250).map(|key| table.insert((key, "second"))).collect();
        second.sort_unstable();
        assert_eq!(second, (0..100).step_by(2).collect::<Vec<_>>());
        assert_eq!(table.insert((300, "third")), 100);
        assert_eq!((table.position(&0), table.position(&1)), (None, Some(1)));
        assert_eq!((copy.position(&0), copy[0], copy.len()), (Some(0), (0, "first"), 100));
    }
}
