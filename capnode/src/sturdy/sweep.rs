//! What an owner forgets of counters and revocations, since all that they are about has expired.

use super::refusal::Refusal;
use super::store::{Change, Store};
use crate::error::Error;

/// The fewest that are added from one look through all to the next.
const FEWEST: usize = 256;
/// The name of the greatest time at which something was forgotten, in seconds.
const FORGOTTEN: &str = "forgotten";
/// How the names of counters begin.
pub(super) const COUNTER: &str = "count/";
/// How the names begin under which the store has when a revocation ends.
pub(super) const REVOCATION: &str = "ending/";
/// How the names begin by which those ask who have a tag.
pub(super) const REVOKED: &str = "revoked/";

/// Says when to look through all: at the first that is added by this program, and then when as many were added as were left
/// the last time. So there are never more than twice those that were left, and the fewest, and all looks together cost each that is
/// added about two reads.
#[derive(Default)]
pub(super) struct Sweep {
    added: usize,
    left: usize,
}

impl Sweep {
    /// Makes ready for one more counter or revocation.
    pub(super) fn add(&mut self, store: &dyn Store, now: u64) -> Result<(), Refusal> {
        if self.added == 0 || self.added >= self.left.max(FEWEST) {
            (self.added, self.left) = (0, 0);
            // The value of either ends with the seconds when what it is about has expired.
            for start in [COUNTER, REVOCATION] {
                let mut names = store.names(start).map_err(Refusal::owner)?;
                forget(store, &mut names, now)?;
                self.left += names.len();
            }
        }
        self.added += 1;
        Ok(())
    }
}

/// Takes those out of some names that have expired, and forgets them, with the time at which it was done.
pub(super) fn forget(store: &dyn Store, names: &mut Vec<String>, now: u64) -> Result<(), Refusal> {
    let mut ended = Vec::new();
    for name in std::mem::take(names) {
        let kept = store.get(&name).map_err(Refusal::owner)?;
        let end = kept.as_deref().and_then(<[u8]>::last_chunk).map(|end| u64::from_be_bytes(*end));
        // One that cannot be read stays, and so refuses.
        let list = if end.is_some_and(|end| end <= now) { &mut ended } else { &mut *names };
        list.push(name);
    }
    if ended.is_empty() {
        return Ok(());
    }
    let both = |name: &String| match name.strip_prefix(REVOCATION) {
        Some(place) => rows(place).to_vec(),
        None => vec![name.clone()],
    };
    let ended: Vec<_> = ended.iter().flat_map(both).collect();
    let until = forgotten(store).map_err(Refusal::owner)?.max(now).to_be_bytes();
    let mut changes: Vec<Change<'_>> = ended.iter().map(|name| (name.as_str(), None)).collect();
    changes.push((FORGOTTEN, Some(&until)));
    store.write(&changes).map_err(Refusal::owner)
}

/// Returns the seconds up to which counters and revocations may have been forgotten. What has expired by then is worth nothing,
/// whatever the clock says now.
pub(super) fn forgotten(store: &dyn Store) -> Result<u64, Error> {
    let until = store.get(FORGOTTEN)?.and_then(|until| until.try_into().ok());
    Ok(until.map_or(0, u64::from_be_bytes))
}

/// Returns the name under which the store has when the revocation at a place ends.
pub(super) fn revocation(place: &str) -> String {
    format!("{REVOCATION}{place}")
}

/// Returns the names under which a revocation is kept.
pub(super) fn rows(place: &str) -> [String; 2] {
    let tag = place.rsplit('/').next().unwrap_or_default();
    [revocation(place), format!("{REVOKED}{tag}/{place}")]
}
