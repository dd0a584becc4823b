//! What counts calls: it is told of each no more than the method.

use std::sync::Arc;
use std::time::Duration;

use super::interface::{Interface, Method};
use crate::error::Error;
use crate::panics::{PanicId, catch_and_log, catch_panic};
use crate::runtime::Instant;

/// The direction in which a call crosses a border.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the outside to what the border protects: the wrapped object, or this program.
    Inward,
    /// From the inside to something that the outside has lent, such as a callback.
    Outward,
}

impl Direction {
    /// Returns the other direction.
    pub fn reversed(self) -> Self {
        match self {
            Self::Inward => Self::Outward,
            Self::Outward => Self::Inward,
        }
    }
}

/// Counts calls, of which it has to know no more than the method.
#[doc(hidden)]
pub trait Meter: Send + Sync {
    /// Returns the counters of a method; `None` stands for one that is in no table.
    fn counter(&self, method: TableEntry, direction: Direction) -> SharedCounter;
}

/// An entry of the table of an interface, if there is one.
pub(crate) type TableEntry = Option<(&'static Interface, &'static Method)>;

/// The counters of a method, in one word: each call that waits for its answer keeps room for it.
pub(crate) type SharedCounter = Arc<Box<dyn Counter>>;

/// The counters of a method.
#[doc(hidden)]
pub trait Counter: Send + Sync {
    /// Counts the beginning of a call with arguments of so many bytes.
    fn begun(&self, bytes: usize);

    /// Counts an outcome: a result of so many bytes, or an error.
    fn outcome(&self, outcome: Result<usize, &Error>, duration: Duration);

    /// Counts the end of a call, with an outcome or without.
    fn over(&self);
}

/// A call that is counted, until it is over.
pub(crate) struct Counted {
    counter: SharedCounter,
    began: Instant,
}

impl Counted {
    /// Counts the beginning of a call. Its counters may be user code.
    pub(super) fn begin(
        meter: &dyn Meter,
        method: TableEntry,
        direction: Direction,
        bytes: usize,
    ) -> Result<Self, PanicId> {
        let begin = || {
            let counter = meter.counter(method, direction);
            counter.begun(bytes);
            counter
        };
        Ok(Self { counter: catch_panic("a policy", begin)?, began: Instant::now() })
    }

    /// Counts the outcome. No lock may be held.
    pub(super) fn outcome(&self, outcome: Result<usize, &Error>) {
        catch_and_log("a policy", || self.counter.outcome(outcome, self.began.elapsed()));
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        catch_and_log("a policy", || self.counter.over());
    }
}
