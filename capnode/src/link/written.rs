//! Who waits until what was sent is written, and for the end of a connection.

use futures_channel::oneshot;

use super::Link;
use super::state::State;
use crate::cap::broken::{BrokenSlot, Watchers, fire};
use crate::sync::lock;

/// Who waits until what was sent is written.
#[derive(Default)]
pub(super) struct Flushes {
    /// Those for whom something may not be with the driver yet, each with the last call that waits for room.
    asked: Vec<(u64, oneshot::Sender<()>)>,
    /// Those for whom all is with the driver.
    taken: Vec<oneshot::Sender<()>>,
    /// Who waits for the end.
    ends: Watchers,
    /// Once nothing is written any more: `true` if all that was sent is.
    over: Option<bool>,
    /// `true` once those who wait for the end have been told.
    safe: bool,
}

impl Flushes {
    pub(super) fn is_asked(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Notes that the driver has all that was to be written. Returns `true` if anybody waits until that is written.
    pub(super) fn take(&mut self, first_waiting: Option<u64>) -> bool {
        for (last, sender) in std::mem::take(&mut self.asked) {
            match first_waiting {
                Some(first) if first <= last => self.asked.push((last, sender)),
                _ => self.taken.push(sender),
            }
        }
        !self.taken.is_empty()
    }
}

impl Link {
    /// Returns what is ready when all that has been sent so far is written, and canceled if it never will be.
    pub(crate) fn flushed(&self) -> oneshot::Receiver<()> {
        let (sender, flushed) = oneshot::channel();
        {
            let mut state = lock(&self.state);
            if let Some(all) = state.flushes.over {
                if all {
                    let _waits = sender.send(());
                }
                return flushed;
            }
            let last = state.waiting.last();
            state.flushes.asked.push((last, sender));
        }
        self.nudge();
        flushed
    }

    /// Notes that all the driver had is written.
    pub(crate) fn set_flushed(&self) {
        let taken = std::mem::take(&mut lock(&self.state).flushes.taken);
        for sender in taken {
            // Who has gone does not wait.
            let _gone = sender.send(());
        }
    }

    /// Notes that nothing is written any more, and whether `all` that was sent is.
    pub(crate) fn set_written(&self, all: bool) {
        let (taken, asked) = {
            let mut state = lock(&self.state);
            let flushes = &mut state.flushes;
            if flushes.over.is_some() {
                return;
            }
            flushes.over = Some(all);
            (std::mem::take(&mut flushes.taken), std::mem::take(&mut flushes.asked))
        };
        if all {
            for sender in taken.into_iter().chain(asked.into_iter().map(|(_, sender)| sender)) {
                let _gone = sender.send(());
            }
        }
    }

    /// Notes that the end of the program would take nothing back that was sent.
    pub(crate) fn set_safe(&self) {
        let ends = {
            let mut state = lock(&self.state);
            state.flushes.safe = true;
            std::mem::take(&mut state.flushes.ends)
        };
        let error = self.closed_error();
        for end in ends.all() {
            fire(&end, &error);
        }
    }

    /// Calls `slot` when the connection has ended, and what was sent is written and cannot be taken back, as far as it
    /// goes.
    pub(crate) fn on_end(&self, slot: &BrokenSlot) {
        let safe = {
            let mut state = lock(&self.state);
            if !state.flushes.safe {
                state.flushes.ends.add(slot);
            }
            state.flushes.safe
        };
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
            return !self.flushes.taken.is_empty();
        }
        let first_waiting = if self.is_speechless() { Some(0) } else { self.waiting.first() };
        self.flushes.take(first_waiting)
    }
}
