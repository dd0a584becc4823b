//! Waits until sent messages are written, and for the end of a connection.

use futures_channel::oneshot;

use super::Link;
use super::state::State;
use crate::cap::broken::{BrokenSlot, fire};
use crate::sync::lock;

impl Link {
    /// Returns a receiver that is ready when all messages sent so far are written, and canceled if they never will be.
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
            // A dropped caller does not wait.
            let _gone = sender.send(());
        }
    }

    /// Notes that nothing is written any more; `all` is `true` if all sent messages are.
    pub(crate) fn set_written(&self, all: bool) {
        let waiting = lock(&self.state).flushes.end(all);
        // If not all is written, the drop of their senders tells the callers.
        for sender in waiting.into_iter().filter(|_| all) {
            let _gone = sender.send(());
        }
    }

    /// Notes that the end of the program can no longer discard sent messages.
    pub(crate) fn set_safe(&self) {
        let ends = lock(&self.state).flushes.set_safe();
        let error = self.closed_error();
        for end in ends.all() {
            fire(&end, &error);
        }
    }

    /// Calls `slot` when the connection has ended and, as far as possible, the sent messages are written and can no
    /// longer be discarded.
    pub(crate) fn on_end(&self, slot: &BrokenSlot) {
        let safe = lock(&self.state).flushes.on_end(slot);
        if safe {
            fire(slot, &self.closed_error());
        }
    }
}

impl State {
    /// Returns `true` if a sent message cannot be written yet.
    fn is_speechless(&self) -> bool {
        self.closed.is_none() && (self.session.has_ops() || !self.strangers.is_empty())
    }

    /// Returns `true` if no wait for the driver can end now.
    pub(super) fn is_held_up(&self) -> bool {
        self.is_speechless() || !self.waiting.is_empty()
    }

    /// Notes that the driver has all pending output. Returns `true` if a caller waits until that is written.
    pub(super) fn take_flushes(&mut self) -> bool {
        if !self.flushes.is_asked() {
            return self.flushes.is_taken();
        }
        let first_waiting = if self.is_speechless() { Some(0) } else { self.waiting.first() };
        self.flushes.take(first_waiting)
    }
}
