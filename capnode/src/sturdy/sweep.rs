//! What an owner forgets of counters, revocations and results, since all that they are about has expired.

use std::sync::Arc;

use super::refusal::Refusal;
use super::rows::{self, ENDING, FORGOTTEN};
use super::store::{Change, Store};
use crate::error::Error;

/// The fewest that are added from one round to the next.
const FEWEST: usize = 256;
/// The most that are looked at for each that is added.
const AT_A_TIME: usize = 256;

/// Looks through all that ends in rounds: the first begins with the owner, and each other one when as many were added as the round
/// before has left. So there are never many more than twice those that were left, and the fewest. For each that is added so few are
/// looked at that who adds it does not notice, and over all about two.
pub(super) struct Sweep {
    store: Arc<dyn Store>,
    /// The names that the present round has to look at still.
    names: Vec<String>,
    /// Those that were added since the round began.
    added: usize,
    /// Those that the round has left.
    left: usize,
}

impl Sweep {
    pub(super) fn new(store: Arc<dyn Store>) -> Result<Self, Error> {
        let mut sweep = Self { store, names: Vec::new(), added: 0, left: 0 };
        sweep.begin()?;
        Ok(sweep)
    }

    /// Returns the store that is swept.
    pub(super) fn store(&self) -> &dyn Store {
        &*self.store
    }

    fn begin(&mut self) -> Result<(), Error> {
        for start in ENDING {
            self.names.extend(self.store.names(start)?);
        }
        (self.added, self.left) = (0, 0);
        Ok(())
    }

    /// Makes ready for one more counter, revocation or result.
    pub(super) fn add(&mut self, now: u64) -> Result<(), Refusal> {
        if self.names.is_empty() && self.added >= self.left.max(FEWEST) {
            self.begin().map_err(Refusal::owner)?;
        }
        let mut looked = self.names.split_off(self.names.len().saturating_sub(AT_A_TIME));
        self.forget(&mut looked, now)?;
        self.left += looked.len();
        self.added += 1;
        Ok(())
    }

    /// Takes those out of some names that have expired, and forgets them, with the time at which it was done.
    pub(super) fn forget(&self, names: &mut Vec<String>, now: u64) -> Result<(), Refusal> {
        let mut ended = Vec::new();
        for name in std::mem::take(names) {
            // One that is gone is not left.
            let Some(kept) = self.store.get(&name).map_err(Refusal::owner)? else { continue };
            // One that cannot be read stays, and so refuses.
            let has_ended = rows::end(&kept).is_some_and(|end| end <= now);
            let list = if has_ended { &mut ended } else { &mut *names };
            list.push(name);
        }
        if ended.is_empty() {
            return Ok(());
        }
        let ended: Vec<_> = ended.iter().flat_map(|name| rows::all_of(name)).collect();
        let until = forgotten(&*self.store).map_err(Refusal::owner)?.max(now).to_be_bytes();
        let mut changes: Vec<Change<'_>> = ended.iter().map(|name| (name.as_str(), None)).collect();
        changes.push((FORGOTTEN, Some(&until)));
        self.store.write(&changes).map_err(Refusal::owner)
    }
}

/// Returns the seconds up to which something may have been forgotten. What has expired by then is worth nothing,
/// whatever the clock says now.
pub(super) fn forgotten(store: &dyn Store) -> Result<u64, Error> {
    let until = store.get(FORGOTTEN)?.and_then(|until| until.try_into().ok());
    Ok(until.map_or(0, u64::from_be_bytes))
}
