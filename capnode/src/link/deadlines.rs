//! The deadlines of the calls under way, in the order in which they pass. A call that ends before takes its own out.

use std::collections::{BTreeSet, HashMap};

use crate::message::Id;
use crate::runtime::Instant;

/// A call with a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Deadline {
    /// A call of this side.
    Own(Id),
    /// A call of this side that waits for room, by its number among those.
    Waiting(u64),
    /// A call of the peer.
    Theirs(Id),
}

/// The deadlines of the calls under way.
#[derive(Default)]
pub(super) struct Deadlines {
    in_order: BTreeSet<(Instant, Deadline)>,
    times: HashMap<Deadline, Instant>,
}

impl Deadlines {
    /// Sets the deadline of a call. Returns `true` if it is the next one.
    pub(super) fn set(&mut self, call: Deadline, at: Instant) -> bool {
        self.remove(call);
        self.times.insert(call, at);
        self.in_order.insert((at, call));
        self.in_order.first() == Some(&(at, call))
    }

    /// Removes the deadline of a call that has ended.
    pub(super) fn remove(&mut self, call: Deadline) {
        if let Some(at) = self.times.remove(&call) {
            self.in_order.remove(&(at, call));
        }
    }

    /// Removes and returns a call whose deadline has passed by `now`.
    pub(super) fn take_late(&mut self, now: Instant) -> Option<Deadline> {
        let (_, call) = *self.in_order.first().filter(|(at, _)| *at <= now)?;
        self.remove(call);
        Some(call)
    }

    /// Returns the next deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.in_order.first().map(|(at, _)| *at)
    }
}
