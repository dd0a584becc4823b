//! Who waits until what was sent is written.

use futures_channel::oneshot;

use crate::cap::broken::{BrokenSlot, Watchers};

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

    /// Notes that `sender` waits until all is written that was sent so far, up to the call `last` of those that wait for
    /// room. Returns `false` if nothing is written any more, which it has been told.
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

    /// Returns `true` if anybody waits until what the driver has is written.
    pub(super) fn is_taken(&self) -> bool {
        !self.taken.is_empty()
    }

    /// All that the driver had is written. Returns who waited for it.
    pub(super) fn written(&mut self) -> Vec<oneshot::Sender<()>> {
        std::mem::take(&mut self.taken)
    }

    /// Nothing is written any more, and perhaps `all` that was sent is. Returns who has waited for that; the second time
    /// nobody.
    pub(super) fn end(&mut self, all: bool) -> Vec<oneshot::Sender<()>> {
        if self.over.is_some() {
            return Vec::new();
        }
        self.over = Some(all);
        let mut waiting = std::mem::take(&mut self.taken);
        waiting.extend(std::mem::take(&mut self.asked).into_iter().map(|(_, sender)| sender));
        waiting
    }

    /// The end of the program would take nothing back that was sent. Returns who waits for that.
    pub(super) fn set_safe(&mut self) -> Watchers {
        self.safe = true;
        std::mem::take(&mut self.ends)
    }

    /// Has `slot` called at the end. Returns `true` if it has come, so that the caller has to.
    pub(super) fn on_end(&mut self, slot: &BrokenSlot) -> bool {
        if !self.safe {
            self.ends.add(slot);
        }
        self.safe
    }
}
