//! Those who are there, by names.

use std::collections::HashMap;
use std::sync::Arc;

use crate::sync::{Mutex, lock};

/// A table of those who are there. A name is in it as long as somebody is, with something that all of these share.
pub(super) struct Present<T>(Arc<Mutex<Table<T>>>);

type Table<T> = HashMap<String, (usize, T)>;

/// One who is there, until it is dropped.
pub(super) struct Entered<T> {
    pub(super) shared: T,
    name: String,
    table: Arc<Mutex<Table<T>>>,
}

impl<T: Clone + Default> Present<T> {
    /// Lets one more enter by a name, if fewer than `most` are there by it.
    pub(super) fn enter(&self, name: &str, most: usize) -> Option<Entered<T>> {
        let mut table = lock(&self.0);
        if table.get(name).map_or(0, |(count, _)| *count) >= most {
            return None;
        }
        let (count, shared) = table.entry(name.to_owned()).or_default();
        *count += 1;
        Some(Entered { shared: shared.clone(), name: name.to_owned(), table: self.0.clone() })
    }

    /// Returns what those share who are there by a name, if there are any.
    pub(super) fn shared(&self, name: &str) -> Option<T> {
        lock(&self.0).get(name).map(|(_, shared)| shared.clone())
    }

    #[cfg(test)]
    pub(super) fn names(&self) -> usize {
        lock(&self.0).len()
    }
}

impl<T> Drop for Entered<T> {
    fn drop(&mut self) {
        let mut table = lock(&self.table);
        if let Some((count, _)) = table.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                table.remove(&self.name);
            }
        }
    }
}

impl<T> Default for Present<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn only_so_many_enter_and_leave_nothing() {
        let present = Present::<()>::default();
        let entered: Vec<_> = (0..3).map(|_| present.enter("a", 2)).collect();
        assert_eq!(entered.iter().flatten().count(), 2);
        drop(entered);
        assert_eq!(present.names(), 0);
        assert!(present.enter("a", 2).is_some());
    }

    #[test]
    fn two_who_leave_at_once_leave_nothing() {
        const ROUNDS: usize = 5_000;
        let present = Present::<Arc<()>>::default();
        let both = Barrier::new(2);
        let leave = || {
            for round in 0..ROUNDS {
                let entered = present.enter(&round.to_string(), usize::MAX);
                both.wait();
                drop(entered);
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(leave);
            leave();
        });
        assert_eq!(present.names(), 0);
    }
}
