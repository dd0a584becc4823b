//! Counters that are kept for a caveat, and shared by all that was redeemed by it.

use std::time::{Duration, SystemTime};

use super::mac::{Tag, hex};
use super::refusal::{Refusal, Rule};
use super::rows;
use super::store::Change;
use super::sweep::{self, Sweep};

/// The most counters for all that was made from one text or link of the owner's own.
const MOST: usize = 1024;

/// A counter's place in the store, and how long it is kept.
pub(super) struct Counter {
    name: String,
    start: String,
    /// The seconds when the texts that it counts for have expired.
    until: u64,
    /// The calls that it counts at most, in each period if there is one.
    most: u64,
    period: Option<Duration>,
}

impl Counter {
    /// Returns that of a caveat of what was made from a branch, until a time.
    pub(super) fn new(
        (object, branch): (&str, &str),
        tag: &Tag,
        until: Option<SystemTime>,
        (most, period): (u64, Option<Duration>),
    ) -> Self {
        let start = format!("{}{branch}/", rows::counters(object));
        let until = until.map_or(u64::MAX, rows::end_by);
        Self { name: format!("{start}{}", hex(tag)), start, until, most, period }
    }

    /// Returns the value of it when one more is counted, if there are fewer than the most. `new` are the counters that are
    /// made with it.
    fn next(&self, sweep: &mut Sweep, now: u64, new: &mut usize) -> Result<Option<Vec<u8>>, Refusal> {
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
                self.make_room(sweep, now, *new)?;
                *new += 1;
                (0, now)
            }
        };
        // One that began in the future did so by a clock that was ahead.
        if self.period.is_some_and(|period| began > now || now - began >= period.as_secs()) {
            (made, began) = (0, now);
        }
        Ok((made < self.most).then(|| [self.until, made + 1, began].map(u64::to_be_bytes).concat()))
    }

    /// Forgets counters of texts that have expired, if there are too many: any holder can make one.
    fn make_room(&self, sweep: &Sweep, now: u64, new: usize) -> Result<(), Refusal> {
        let mut names = sweep.store().names(&self.start).map_err(Refusal::owner)?;
        if names.len() + new >= MOST {
            sweep.forget(&mut names, now)?;
        }
        if names.len() + new < MOST { Ok(()) } else { Err(Rule::Quota.broken()) }
    }
}

/// Counts one more on all of the counters of an object, or on none if one of them is full, of which it returns the most. Nobody
/// else counts meanwhile.
///
/// The store writes once, however many there are: holders choose how many, and others wait.
pub(super) fn count(
    counters: &[Counter],
    sweep: &mut Sweep,
    now: SystemTime,
) -> Result<Option<u64>, Refusal> {
    let (now, mut new) = (rows::seconds(now), 0);
    let mut values = Vec::with_capacity(counters.len());
    for counter in counters {
        let Some(value) = counter.next(sweep, now, &mut new)? else { return Ok(Some(counter.most)) };
        values.push((counter.name.as_str(), value));
    }
    let changes: Vec<Change<'_>> = values.iter().map(|(name, value)| (*name, Some(&value[..]))).collect();
    sweep.store().write(&changes).map_err(Refusal::owner)?;
    Ok(None)
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
