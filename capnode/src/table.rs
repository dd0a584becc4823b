//! Tables that give back the memory of removed entries.

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque, hash_map};
use std::hash::{BuildHasher, Hash};
use std::ops::{Deref, DerefMut};

#[cfg(feature = "testing")]
use crate::seeded::Hashes;

/// Hashes of keys that a peer may choose.
#[cfg(not(feature = "testing"))]
type Hashes = foldhash::fast::RandomState;

/// The room for entries below which a table is left as it is.
const SMALL: usize = 256;

/// The factor by which a table may have more room than it needs.
const SPARE: usize = 8;

/// The factor by which a window may have more places than filled ones. A place is about as large as a map's entry, and a
/// peer chooses which calls it leaves unanswered.
const SPARSE: usize = 2;

/// The number of empty places that a window may always have.
const EMPTY: usize = 32;

/// A map that shrinks when few of its former entries are left, so that a peer cannot make a session hold much memory by
/// past use. Peers choose some of the keys, so the hashes are keyed; they need not bear more than that.
#[derive(Clone, Debug)]
pub(crate) struct Table<K, V, S = Hashes> {
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

/// A map by ids of which those above zero are numbers given one after the other, whose entries are nearly all removed
/// soon: these are in a window that moves along, found by number. The oldest of those that stay long go to a map, where
/// all other entries are as well.
pub(crate) struct NumberMap<V> {
    /// Places for the ids from `first` on. The first of them is filled.
    window: VecDeque<Option<V>>,
    /// The id of the first place, above zero. It never falls, and no id from it on is among the `others`.
    first: i64,
    /// The number of filled places.
    filled: usize,
    others: Table<i64, V>,
}

impl<V> NumberMap<V> {
    /// Returns the position of an id in the window; one beyond its end for an id before it.
    fn position(&self, id: i64) -> usize {
        usize::try_from(id.wrapping_sub(self.first)).unwrap_or(usize::MAX)
    }

    pub(crate) fn get(&self, id: &i64) -> Option<&V> {
        match self.window.get(self.position(*id)) {
            Some(place) => place.as_ref(),
            None => self.others.get(id),
        }
    }

    pub(crate) fn get_mut(&mut self, id: &i64) -> Option<&mut V> {
        let at = self.position(*id);
        match self.window.get_mut(at) {
            Some(place) => place.as_mut(),
            None => self.others.get_mut(id),
        }
    }

    pub(crate) fn contains_key(&self, id: &i64) -> bool {
        self.get(id).is_some()
    }

    #[inline]
    pub(crate) fn insert(&mut self, id: i64, value: V) {
        let at = self.position(id);
        match self.window.get_mut(at) {
            Some(place) => self.filled += usize::from(place.replace(value).is_none()),
            None if id < self.first => {
                self.others.insert(id, value);
            }
            None => {
                if at > self.window.len() {
                    self.skip_to(id);
                }
                self.filled += 1;
                self.window.push_back(Some(value));
            }
        }
    }

    #[inline]
    pub(crate) fn remove(&mut self, id: &i64) -> Option<V> {
        let value = match self.position(*id) {
            // Nearly always the oldest is the first to be removed.
            0 => {
                let value = self.window.pop_front().flatten()?;
                self.first += 1;
                value
            }
            at => match self.window.get_mut(at) {
                Some(place) => place.take()?,
                None => return self.others.remove(id),
            },
        };
        self.filled -= 1;
        if self.window.len() > self.filled || self.window.capacity() > SMALL {
            self.advance();
        }
        Some(value)
    }

    /// Moves the window to its first filled place, and further while few of its places are filled.
    fn advance(&mut self) {
        while let Some(oldest) = self.window.front() {
            if oldest.is_some() && self.window.len() <= SPARSE * self.filled + EMPTY {
                break;
            }
            self.pop_front();
        }
        if self.window.capacity() > SMALL && self.window.capacity() > 2 * SPARSE * (self.window.len() + 1) {
            self.window.shrink_to(2 * self.window.len());
        }
    }

    /// Leaves empty places up to `id`, or begins the window there if they would be many.
    #[cold]
    fn skip_to(&mut self, id: i64) {
        if self.window.is_empty() || self.position(id) > SPARSE * self.filled + EMPTY {
            while !self.window.is_empty() {
                self.pop_front();
            }
            self.first = id;
        }
        let at = self.position(id);
        self.window.resize_with(at, || None);
    }

    /// Moves the oldest place of the window to the map.
    fn pop_front(&mut self) {
        if let Some(Some(value)) = self.window.pop_front() {
            self.filled -= 1;
            self.others.insert(self.first, value);
        }
        self.first += 1;
    }

    pub(crate) fn len(&self) -> usize {
        self.filled + self.others.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &V)> {
        let window = (self.first..).zip(&self.window).filter_map(|(id, place)| Some((id, place.as_ref()?)));
        window.chain(self.others.iter().map(|(id, value)| (*id, value)))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    pub(crate) fn into_entries(self) -> impl Iterator<Item = (i64, V)> {
        let window = (self.first..).zip(self.window).filter_map(|(id, place)| Some((id, place?)));
        window.chain(self.others)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl<V> Default for NumberMap<V> {
    fn default() -> Self {
        Self { window: VecDeque::new(), first: 1, filled: 0, others: Table::default() }
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

    #[test]
    fn a_map_by_numbers_holds_what_a_map_would_however_they_come_and_go() {
        let (mut numbers, mut map) = (NumberMap::default(), HashMap::new());
        let (mut last, mut seed) = (0, 1_u64);
        for step in 0..200_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let random = (seed >> 33) as i64;
            // Most are removed soon, one in a while never, and at times a number is left out, or many are.
            match random % 8 {
                0..3 => {
                    last += if random % 1_000 == 8 { 5_000 } else { 1 + i64::from(random % 50 == 1) };
                    numbers.insert(last, step);
                    map.insert(last, step);
                }
                3 => {
                    let id = last - random % 20_000;
                    numbers.insert(id, step);
                    map.insert(id, step);
                }
                _ => {
                    let id = last - random / 8 % if random % 3 == 0 { 20_000 } else { 20 };
                    assert_eq!(numbers.remove(&id), map.remove(&id));
                }
            }
            let id = last - random % 30;
            assert_eq!((numbers.get(&id), numbers.len()), (map.get(&id), map.len()));
            assert!(numbers.window.len() <= SPARSE * (numbers.filled + 1) + EMPTY);
        }
        let mut held: Vec<_> = numbers.iter().map(|(id, step)| (id, *step)).collect();
        let mut expected: Vec<_> = map.into_iter().collect();
        held.sort_unstable();
        expected.sort_unstable();
        assert_eq!(held, expected);
        assert!(!numbers.others.is_empty() && numbers.filled > 0);
    }
}
