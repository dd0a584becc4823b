//! Waiting until what was sent is written, and for the end of a connection.

use futures_channel::oneshot;

use super::Link;
use super::state::State;
use crate::cap::broken::{BrokenSlot, fire};
use crate::sync::lock;

impl Link {
    /// Returns what is ready when all that has been sent so far is written, and canceled if it never will be.
    pub(crate) fn flushed(&self) -> oneshot::Receiver<()> {
        let (sender, flushed) = oneshot::channel();
        let waits = {
            let mut state = lock(&self.state);
            let last = state.waiting.last();
            state.flushes.ask(last, sender)
        };
        if waits {
            self.nudge();
        }
        flushed
    }

    /// Notes that all the driver had is written.
    pub(crate) fn set_flushed(&self) {
        let taken = lock(&self.state).flushes.written();
        for sender in taken {
            // Who has gone does not wait.
            let _gone = sender.send(());
        }
    }

    /// Notes that nothing is written any more, and whether `all` that was sent is.
    pub(crate) fn set_written(&self, all: bool) {
        let waiting = lock(&self.state).flushes.end(all);
        // The others are told by the drop of what they wait for.
        for sender in waiting.into_iter().filter(|_| all) {
            let _gone = sender.send(());
        }
    }

    /// Notes that the end of the program would take nothing back that was sent.
    pub(crate) fn set_safe(&self) {
        let ends = lock(&self.state).flushes.set_safe();
        let error = self.closed_error();
        for end in ends.all() {
            fire(&end, &error);
        }
    }

    /// Calls `slot` when the connection has ended, and what was sent is written and cannot be taken back, as far as it
    /// goes.
    pub(crate) fn on_end(&self, slot: &BrokenSlot) {
        let safe = lock(&self.state).flushes.on_end(slot);
        if safe {
            fire(slot, &self.closed_error());
        }
    }
}

impl State {
    /// Returns `true` if something that was sent cannot be said yet.
    fn is_speechless(&self) -> bool {
        self.closed.is_none() && (self.session.has_ops() || !self.strangers.is_empty())
    }

    /// Returns `true` if nobody's wait for the driver can end now.
    pub(super) fn is_held_up(&self) -> bool {
        self.is_speechless() || !self.waiting.is_empty()
    }

    /// Notes that the driver has all that was to be written. Returns `true` if anybody waits until that is written.
    pub(super) fn take_flushes(&mut self) -> bool {
        if !self.flushes.is_asked() {
            return self.flushes.is_taken();
        }
        let first_waiting = if self.is_speechless() { Some(0) } else { self.waiting.first() };
        self.flushes.take(first_waiting)
    }
}
