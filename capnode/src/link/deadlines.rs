//! The deadlines of the calls under way, in the order in which they pass. A call that ends before takes its own out.
//!
//! A call whose result is kept has no answer that would tell of its end, and a peer that knows no contexts does not end
//! it. Its result is read beside it, by a call with its deadline: if that has no answer by then, the result fails, and
//! what was made of it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

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
    /// The calls that read the results which are not there yet, by these.
    reads: HashMap<Id, Id>,
    /// The results on which calls were made, by these, as long as the results may fail.
    made_on: BTreeMap<Id, Id>,
    /// The results that have failed, as long as they are held.
    failed: HashSet<Id>,
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
        if let Deadline::Own(id) = call {
            self.made_on.remove(&id);
            self.failed.remove(&id);
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

    /// Notes that `read` reads a result, to tell whether it is there by the deadline.
    pub(super) fn set_read(&mut self, result: Id, read: Id) {
        self.reads.insert(result, read);
    }

    /// Notes that a call was made on a result.
    pub(super) fn made(&mut self, call: Id, on: Id) {
        if self.failed.contains(&on) {
            self.failed.insert(call);
        } else if self.reads.contains_key(&on) || self.made_on.contains_key(&on) {
            self.made_on.insert(call, on);
        }
    }

    /// Notes that a result is there, or was given up.
    pub(super) fn settle(&mut self, result: Id) {
        self.reads.remove(&result);
        self.made_on.retain(|_, on| *on != result);
    }

    /// Notes that a result is there no longer. Returns the call that reads it, if it was not there yet.
    pub(super) fn forget(&mut self, result: Id) -> Option<Id> {
        self.remove(Deadline::Own(result));
        self.reads.get(&result).copied()
    }

    /// Has a result fail. Returns the calls that were made on it, and on their results.
    pub(super) fn fail(&mut self, result: Id) -> Vec<Id> {
        let Self { made_on, failed, .. } = self;
        failed.insert(result);
        let mut calls = Vec::new();
        // A call has a higher number than that on whose result it was made, so it comes after that.
        made_on.retain(|call, on| {
            let fails = failed.contains(on);
            if fails {
                failed.insert(*call);
                calls.push(*call);
            }
            !fails
        });
        calls
    }

    /// Returns `true` for a result that has failed.
    pub(super) fn has_failed(&self, result: Id) -> bool {
        self.failed.contains(&result)
    }
}
