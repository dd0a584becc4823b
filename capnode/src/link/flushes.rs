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
    /// Notes that the driver has all pending output, up to the `first` of the calls that wait for room. Returns `true`
    /// if a caller waits until that is written.
    pub(super) fn take(&mut self, first: impl FnOnce() -> Option<u64>) -> bool {
        if !self.asked.is_empty() {
            let first = first();
            for (last, sender) in std::mem::take(&mut self.asked) {
                match first {
                    Some(first) if first <= last => self.asked.push((last, sender)),
                    _ => self.taken.push(sender),
                }
            }
        }
        !self.taken.is_empty()
    }

    /// Registers `sender`, which waits until all messages sent so far are written, up to `last` of the calls that wait
    /// for room. Fails if nothing is written any more, with the sender if it has to be told that all is written.
    pub(super) fn ask(
        &mut self,
        last: u64,
        sender: oneshot::Sender<()>,
    ) -> Result<(), Option<oneshot::Sender<()>>> {
        match self.over {
            Some(all) => Err(all.then_some(sender)),
            None => {
                self.asked.push((last, sender));
                Ok(())
            }
        }
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
