//! What counts calls: it is told of each no more than the method.

use std::sync::Arc;
use std::time::Duration;

use super::interface::{Interface, Method};
use crate::error::Error;

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
    /// Counts the beginning of a call with arguments of so many bytes. The method is `None` if it is in no table.
    fn begin(&self, method: TableEntry, direction: Direction, bytes: usize) -> Arc<dyn Counter>;
}

/// An entry of the table of an interface, if there is one.
pub(crate) type TableEntry = Option<(&'static Interface, &'static Method)>;

/// The counters of a method.
#[doc(hidden)]
pub trait Counter: Send + Sync {
    /// Counts an outcome: a result of so many bytes, or an error.
    fn outcome(&self, outcome: Result<usize, &Error>, duration: Duration);

    /// Counts the end of a call, with an outcome or without.
    fn over(&self);
}
