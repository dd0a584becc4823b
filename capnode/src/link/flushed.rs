//! Waits until sent messages are written, and for the end of a connection.

use futures_channel::oneshot;

use super::Link;
use super::locked::Cause;
use crate::cap::broken::{BrokenSlot, fire};

impl Link {
    /// Returns a receiver that is ready when all messages sent so far are written, and canceled if they never will be.
    pub(crate) fn flushed(&self) -> oneshot::Receiver<()> {
        let (sender, flushed) = oneshot::channel();
        let asked = self.with_state(Cause::Driver, |state, _| state.outbox.ask_flush(sender));
        match asked {
            Ok(()) => self.wake_up(),
            Err(written) => tell(written),
        }
        flushed
    }

    /// Notes that all the driver had is written.
    pub(crate) fn set_flushed(&self) {
        tell(self.with_state(Cause::Driver, |state, _| state.outbox.flushes().written()));
    }

    /// Notes that nothing is written any more; `all` is `true` if all sent messages are.
    pub(crate) fn set_written(&self, all: bool) {
        let waiting = self.with_state(Cause::Driver, |state, _| state.outbox.flushes().end(all));
        // If not all is written, the drop of their senders tells the callers.
        if all {
            tell(waiting);
        }
    }

    /// Notes that the end of the program can no longer discard sent messages.
    pub(crate) fn set_safe(&self) {
        let ends = self.with_state(Cause::Driver, |state, _| state.outbox.flushes().set_safe());
        let error = self.closed_error();
        for end in ends.all() {
            fire(&end, &error);
        }
    }

    /// Calls `slot` when the connection has ended and, as far as possible, the sent messages are written and can no
    /// longer be discarded.
    pub(crate) fn on_end(&self, slot: &BrokenSlot) {
        let safe = self.with_state(Cause::Driver, |state, _| state.outbox.flushes().on_end(slot));
        if safe {
            fire(slot, &self.closed_error());
        }
    }
}

/// Tells callers that their messages are written.
fn tell(callers: impl IntoIterator<Item = oneshot::Sender<()>>) {
    for sender in callers {
        // A dropped caller does not wait.
        let _gone = sender.send(());
    }
}
