//! Counters that are kept for a caveat, and shared by all that was redeemed by it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::mac::{Tag, hex};
use super::refusal::{Refusal, Rule};
use super::store::Store;
use super::sweep::{self, Sweep};

/// The most counters for all that was made from one text or link of the owner's own.
const MOST: usize = 1024;

/// A counter's place in the store, and how long it is kept.
pub(super) struct Counter {
    name: String,
    start: String,
    /// The seconds when the texts that it counts for have expired.
    until: u64,
}

impl Counter {
    pub(super) fn new(object: &str, branch: &str, tag: &Tag, until: Option<SystemTime>) -> Self {
        let start = format!("{}{branch}/", start(object));
        Self { name: format!("{start}{}", hex(tag)), start, until: until.map_or(u64::MAX, ending) }
    }

    /// Counts one more, if there are fewer than `most`, within the present period if there is one. Nobody else counts
    /// meanwhile.
    pub(super) fn count(
        &self,
        (store, sweep): (&dyn Store, &mut Sweep),
        most: u64,
        period: Option<Duration>,
        now: SystemTime,
    ) -> Result<bool, Refusal> {
        let now = seconds(now);
        let kept = store.get(&self.name).map_err(Refusal::owner)?;
        let (mut made, mut began) = match &kept {
            Some(kept) => {
                read(kept).map(|[made, began, _]| (made, began)).ok_or_else(|| Rule::Owner.broken())?
            }
            None => {
                // It may have been forgotten by a clock that was ahead.
                if self.until <= sweep::forgotten(store).map_err(Refusal::owner)? {
                    return Err(Rule::Expiry.broken());
                }
                sweep.add(store, now)?;
                self.make_room(store, now)?;
                (0, now)
            }
        };
        if period.is_some_and(|period| now.saturating_sub(began) >= period.as_secs()) {
            (made, began) = (0, now);
        }
        if made >= most {
            return Ok(false);
        }
        let value = [made + 1, began, self.until].map(u64::to_be_bytes).concat();
        store.put(&self.name, &value).map_err(Refusal::owner)?;
        Ok(true)
    }

    /// Forgets counters of texts that have expired, if there are too many: any holder can make one.
    fn make_room(&self, store: &dyn Store, now: u64) -> Result<(), Refusal> {
        let mut names = store.names(&self.start).map_err(Refusal::owner)?;
        if names.len() >= MOST {
            sweep::forget(store, &mut names, now)?;
        }
        if names.len() < MOST { Ok(()) } else { Err(Rule::Quota.broken()) }
    }
}

/// Returns how the names of an object's counters begin.
pub(super) fn start(object: &str) -> String {
    format!("{}{object}/", sweep::COUNTER)
}

/// Returns the numbers of a counter: calls made, begin of the period, end of the texts.
fn read(value: &[u8]) -> Option<[u64; 3]> {
    let value: &[u8; 24] = value.try_into().ok()?;
    let mut numbers = [0; 3];
    for (number, bytes) in numbers.iter_mut().zip(value.chunks_exact(8)) {
        *number = bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    }
    Some(numbers)
}

/// Returns the first second at which all has ended that ends at this time.
pub(super) fn ending(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() + u64::from(since.subsec_nanos() > 0)
}

/// Returns the seconds that are over at this time.
pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
