//! Counters that are kept for a caveat, and shared by all that was redeemed by it.

use std::time::{Duration, SystemTime};

use super::mac::{Tag, hex};
use super::refusal::{Refusal, Rule};
use super::rows;
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
        let start = format!("{}{branch}/", rows::counters(object));
        Self { name: format!("{start}{}", hex(tag)), start, until: until.map_or(u64::MAX, rows::end_by) }
    }

    /// Counts one more, if there are fewer than `most`, within the present period if there is one. Nobody else counts
    /// meanwhile.
    pub(super) fn count(
        &self,
        sweep: &mut Sweep,
        most: u64,
        period: Option<Duration>,
        now: SystemTime,
    ) -> Result<bool, Refusal> {
        let now = rows::seconds(now);
        let kept = sweep.store().get(&self.name).map_err(Refusal::owner)?;
        let (mut made, mut began) = match &kept {
            Some(kept) => {
                read(kept).map(|[_, made, began]| (made, began)).ok_or_else(|| Rule::Owner.broken())?
            }
            None => {
                // It may have been forgotten by a clock that was ahead.
                if self.until <= sweep::forgotten(sweep.store()).map_err(Refusal::owner)? {
                    return Err(Rule::Expiry.broken());
                }
                sweep.add(now)?;
                self.make_room(sweep, now)?;
                (0, now)
            }
        };
        // One that began in the future did so by a clock that was ahead.
        if period.is_some_and(|period| began > now || now - began >= period.as_secs()) {
            (made, began) = (0, now);
        }
        if made >= most {
            return Ok(false);
        }
        let value = [self.until, made + 1, began].map(u64::to_be_bytes).concat();
        sweep.store().put(&self.name, &value).map_err(Refusal::owner)?;
        Ok(true)
    }

    /// Forgets counters of texts that have expired, if there are too many: any holder can make one.
    fn make_room(&self, sweep: &Sweep, now: u64) -> Result<(), Refusal> {
        let mut names = sweep.store().names(&self.start).map_err(Refusal::owner)?;
        if names.len() >= MOST {
            sweep.forget(&mut names, now)?;
        }
        if names.len() < MOST { Ok(()) } else { Err(Rule::Quota.broken()) }
    }
}

/// Returns the numbers of a counter: end of the texts, calls made, begin of the period.
fn read(value: &[u8]) -> Option<[u64; 3]> {
    let value: &[u8; 24] = value.try_into().ok()?;
    let mut numbers = [0; 3];
    for (number, bytes) in numbers.iter_mut().zip(value.chunks_exact(8)) {
        *number = bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    }
    Some(numbers)
}
