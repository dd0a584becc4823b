//! Tables that give back the memory of removed entries.

use std::borrow::Borrow;
use std::collections::{HashMap, hash_map};
use std::hash::{BuildHasher, Hash};
use std::ops::{Deref, DerefMut};

/// The room for entries below which a table is left as it is.
const SMALL: usize = 256;

/// The factor by which a table may have more room than it needs.
const SPARE: usize = 8;

/// A map that shrinks when few of its former entries are left, so that a peer cannot make a session hold much memory by
/// past use. Peers choose some of the keys, so the hashes are keyed; they need not bear more than that.
#[derive(Clone, Debug)]
pub(crate) struct Table<K, V, S = foldhash::fast::RandomState> {
    map: HashMap<K, V, S>,
    /// The largest size at a removal. The map does not tell its capacity: places of removed entries are no room until
    /// it is rebuilt.
    most: usize,
}

impl<K: Eq + Hash, V, S: BuildHasher> Table<K, V, S> {
    #[inline]
    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let before = self.map.len();
        if before > self.most {
            self.most = before;
        } else if self.most > SMALL && before <= self.most / SPARE {
            self.shrink();
        }
        // Last, so that removed entries are not moved once more.
        self.map.remove(key)
    }

    /// Shrinks the table. As many entries as are left have to come or go until this happens again.
    #[cold]
    fn shrink(&mut self) {
        self.most = self.map.len() * 2;
        self.map.shrink_to(self.most);
    }
}

impl<K, V, S: Default> Default for Table<K, V, S> {
    fn default() -> Self {
        Self { map: HashMap::default(), most: 0 }
    }
}

impl<K: Eq + Hash, V, S: BuildHasher + Default> FromIterator<(K, V)> for Table<K, V, S> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self { map: HashMap::from_iter(entries), most: 0 }
    }
}

impl<K, V, S> IntoIterator for Table<K, V, S> {
    type Item = (K, V);
    type IntoIter = hash_map::IntoIter<K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.map.into_iter()
    }
}

impl<K, V, S> Deref for Table<K, V, S> {
    type Target = HashMap<K, V, S>;

    fn deref(&self) -> &Self::Target {
        &self.map
    }
}

impl<K, V, S> DerefMut for Table<K, V, S> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_has_been_large_has_room_for_little_more_than_is_left() {
        let mut table: Table<u32, u32> = (0..100_000).map(|number| (number, number)).collect();
        let mut shrunk = 0;
        for number in 0..100_000 {
            assert_eq!(table.remove(&number), Some(number));
            // Only one that has just been rebuilt has more room than it has entries.
            shrunk += usize::from(table.most == (table.len() + 1) * 2);
        }
        assert!(table.capacity() <= SMALL, "{}", table.capacity());
        // Each time there were a quarter as many as before.
        assert!((2..10).contains(&shrunk), "{shrunk} times");
    }
}
