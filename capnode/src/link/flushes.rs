//! Callers that wait until sent messages are written.

use futures_channel::oneshot;

use crate::cap::broken::{BrokenSlot, Watchers};

/// Callers that wait until sent messages are written.
#[derive(Default)]
pub(super) struct Flushes {
    /// Callers some of whose messages the driver may not have yet, each with the last call that waits for room.
    asked: Vec<(u64, oneshot::Sender<()>)>,
    /// Callers all of whose messages the driver has.
    taken: Vec<oneshot::Sender<()>>,
    /// Watchers of the end.
    ends: Watchers,
    /// Set once nothing is written any more: `true` if all sent messages are.
    over: Option<bool>,
    /// `true` once the watchers of the end have been told.
    safe: bool,
}

impl Flushes {
    pub(super) fn is_asked(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Notes that the driver has all pending output. Returns `true` if a caller waits until that is written.
    pub(super) fn take(&mut self, first_waiting: Option<u64>) -> bool {
        for (last, sender) in std::mem::take(&mut self.asked) {
            match first_waiting {
                Some(first) if first <= last => self.asked.push((last, sender)),
                _ => self.taken.push(sender),
            }
        }
        !self.taken.is_empty()
    }

    /// Notes that `sender` waits until all messages sent so far are written, up to `last` of the calls that wait for
    /// room. Returns `false` if nothing is written any more; `sender` has been told then.
    pub(super) fn ask(&mut self, last: u64, sender: oneshot::Sender<()>) -> bool {
        if let Some(all) = self.over {
            if all {
                let _waits = sender.send(());
            }
            return false;
        }
        self.asked.push((last, sender));
        true
    }

    /// Returns `true` if a caller waits until the driver's output is written.
    pub(super) fn is_taken(&self) -> bool {
        !self.taken.is_empty()
    }

    /// Notes that all the driver had is written. Returns the callers that waited for it.
    pub(super) fn written(&mut self) -> Vec<oneshot::Sender<()>> {
        std::mem::take(&mut self.taken)
    }

    /// Notes that nothing is written any more; `all` is `true` if all sent messages are. Returns the callers that
    /// waited for it, the second time none.
    pub(super) fn end(&mut self, all: bool) -> Vec<oneshot::Sender<()>> {
        if self.over.is_some() {
            return Vec::new();
        }
        self.over = Some(all);
        let mut waiting = std::mem::take(&mut self.taken);
        waiting.extend(std::mem::take(&mut self.asked).into_iter().map(|(_, sender)| sender));
        waiting
    }

    /// Notes that the end of the program can no longer discard sent messages. Returns the watchers of that.
    pub(super) fn set_safe(&mut self) -> Watchers {
        self.safe = true;
        std::mem::take(&mut self.ends)
    }

    /// Registers `slot` to be called at the end. Returns `true` if that has come already, so that the caller must call
    /// it.
    pub(super) fn on_end(&mut self, slot: &BrokenSlot) -> bool {
        if !self.safe {
            self.ends.add(slot);
        }
        self.safe
    }
}
