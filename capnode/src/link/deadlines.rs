//! The deadlines of the calls under way, in the order in which they pass. A call that ends before takes its own out.
//!
//! A call whose result is kept has no answer that would tell of its end, and a peer that knows no contexts does not end
//! it. Its result is read beside it, by a call with its deadline: if that has no answer by then, the result fails, and
//! what was made of it. The read goes on for calls under way that were made on the result, although nobody holds it.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::message::{Id, IdMap};
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
    /// The calls that end by the deadline of another: results that may fail, and what was made on them.
    bound: IdMap<Bound>,
    /// The calls that read results of which nothing is left.
    unneeded: Vec<Id>,
    /// The results that have failed, as long as they are held.
    failed: HashSet<Id>,
    /// The number of calls looked at to settle or fail others.
    #[cfg(test)]
    steps: usize,
}

/// A call whose result may fail by a deadline.
#[derive(Default)]
struct Bound {
    /// The call that reads the result, if it has a deadline of its own.
    read: Option<Id>,
    /// The result on which it was made, if that may fail.
    on: Option<Id>,
    /// The calls under way that were made on its result.
    made: BTreeSet<Id>,
    /// `true` if nobody holds the result.
    dropped: bool,
}

impl Deadlines {
    /// Sets the deadline of a call. Returns `true` if it is the next one.
    pub(super) fn set(&mut self, call: Deadline, at: Instant) -> bool {
        self.remove(call);
        self.times.insert(call, at);
        self.in_order.insert((at, call));
        self.in_order.first() == Some(&(at, call))
    }

    /// Removes the deadline of a call that has ended, or whose result nobody holds any more.
    pub(super) fn remove(&mut self, call: Deadline) {
        if let Some(at) = self.times.remove(&call) {
            self.in_order.remove(&(at, call));
        }
        let Deadline::Own(id) = call else { return };
        self.failed.remove(&id);
        match self.bound.get_mut(&id) {
            Some(bound) if !bound.made.is_empty() => bound.dropped = true,
            Some(_) => {
                let read = self.unbind(id).read;
                self.unneeded.extend(read);
            }
            None => {}
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
        self.bound.entry(result).or_default().read = Some(read);
    }

    /// Notes that a call was made on a result.
    pub(super) fn made(&mut self, call: Id, on: Id) {
        if self.failed.contains(&on) {
            self.failed.insert(call);
        } else if let Some(bound) = self.bound.get_mut(&on) {
            bound.made.insert(call);
            self.bound.entry(call).or_default().on = Some(on);
        }
    }

    /// Notes that a result is there, or was given up. What was made on it fails by its own deadline alone.
    pub(super) fn settle(&mut self, result: Id) {
        let mut settled = vec![result];
        while let Some(id) = settled.pop() {
            for call in self.unbind(id).made {
                let Some(bound) = self.bound.get_mut(&call) else { continue };
                bound.on = None;
                if bound.read.is_none() {
                    settled.push(call);
                }
            }
        }
    }

    /// Has a result fail. Returns the calls that end with it: those made on it and on their results, and their reads.
    pub(super) fn fail(&mut self, result: Id) -> Vec<Id> {
        let mut late = Vec::new();
        let mut results = vec![result];
        while let Some(id) = results.pop() {
            let bound = self.unbind(id);
            if !bound.dropped {
                self.failed.insert(id);
            }
            late.push(id);
            late.extend(bound.read);
            results.extend(bound.made);
        }
        late
    }

    /// Takes out a call, and those whose results were kept for it alone.
    fn unbind(&mut self, id: Id) -> Bound {
        let taken = self.bound.remove(&id).unwrap_or_default();
        let (mut call, mut next) = (id, taken.on);
        #[cfg(test)]
        {
            self.steps += 1;
        }
        while let Some(on) = next {
            let Some(bound) = self.bound.get_mut(&on) else { break };
            bound.made.remove(&call);
            if !bound.dropped || !bound.made.is_empty() {
                break;
            }
            self.unneeded.extend(bound.read);
            (call, next) = (on, bound.on);
            self.bound.remove(&on);
        }
        taken
    }

    /// Removes and returns a call that reads a result of which nothing is left.
    pub(super) fn take_unneeded(&mut self) -> Option<Id> {
        self.unneeded.pop()
    }

    /// Returns `true` for a result that has failed.
    pub(super) fn has_failed(&self, result: Id) -> bool {
        self.failed.contains(&result)
    }

    /// Returns `true` if a result has failed, or may.
    pub(super) fn has_results(&self) -> bool {
        !self.bound.is_empty() || !self.failed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns `count` calls with deadlines, made on one result that has one.
    fn calls_on_one(count: Id) -> Deadlines {
        let mut deadlines = Deadlines::default();
        deadlines.set_read(1, -1);
        for call in 2..2 + count {
            deadlines.made(call, 1);
            deadlines.set_read(call, -call);
        }
        deadlines
    }

    #[test]
    fn as_many_steps_as_calls_settle_or_fail_them() {
        for count in [10, 1_000] {
            let mut settled = calls_on_one(count);
            (2..2 + count).for_each(|call| settled.settle(call));
            settled.settle(1);
            assert!(!settled.has_results());
            let mut failed = calls_on_one(count);
            assert_eq!(failed.fail(1).len(), 2 * settled.steps);
            assert!((1..2 + count).all(|result| failed.has_failed(result)));
            for deadlines in [settled, failed] {
                assert_eq!(deadlines.steps, 1 + usize::try_from(count).unwrap());
            }
        }
    }

    #[test]
    fn a_read_is_needed_until_the_last_call_on_its_result_has_ended() {
        let mut deadlines = Deadlines::default();
        deadlines.set_read(1, 2);
        // The result of a call on a result, and two calls on that.
        for (call, on) in [(3, 1), (4, 3), (5, 3)] {
            deadlines.made(call, on);
        }
        for gone in [1, 3, 4] {
            deadlines.remove(Deadline::Own(gone));
            assert_eq!(deadlines.take_unneeded(), None, "{gone}");
        }
        deadlines.remove(Deadline::Own(5));
        assert_eq!((deadlines.take_unneeded(), deadlines.take_unneeded()), (Some(2), None));
        assert!(!deadlines.has_results());
    }

    #[test]
    fn nothing_is_kept_of_a_result_that_fails_when_nobody_holds_it() {
        let mut deadlines = Deadlines::default();
        deadlines.set_read(1, 2);
        deadlines.made(3, 1);
        deadlines.remove(Deadline::Own(1));
        assert_eq!(deadlines.fail(1), [1, 2, 3]);
        assert!(!deadlines.has_failed(1));
        deadlines.remove(Deadline::Own(3));
        assert!(!deadlines.has_results());
    }

    #[test]
    fn what_was_made_on_a_result_that_is_there_stays_with_its_own_read() {
        let mut deadlines = Deadlines::default();
        deadlines.set_read(1, 2);
        deadlines.made(3, 1);
        deadlines.set_read(3, 4);
        deadlines.made(5, 3);
        deadlines.settle(1);
        assert_eq!(deadlines.fail(1), [1]);
        assert_eq!(deadlines.fail(3), [3, 4, 5]);
    }
}
