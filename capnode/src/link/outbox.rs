//! Frames that wait to be written, and calls of this program that wait until there is room for them.
//!
//! Once an awaited call has to wait, all later calls on the connection wait behind it, however they are made. Their
//! turn comes when the driver takes output. It does not depend on polls by callers, so a caller that is not polled
//! holds up no other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

#[cfg(feature = "host")]
use futures_channel::oneshot;

#[cfg(feature = "host")]
use super::flushes::Flushes;
use super::queued_call::{QueuedCall, Requester};
use crate::error::Error;
use crate::limits::{LimitKind, Limits};
use crate::message::Message;
use crate::outgoing::Outgoing;

/// Unwritten bytes from which on chunks of streams wait.
const CHUNK_ROOM: usize = 64 << 10;

/// Frames that wait to be written, and calls that wait until there is room for them.
#[derive(Default)]
pub(super) struct Outbox {
    out: Outgoing,
    /// Bytes of `out`.
    pending: usize,
    /// Bytes that the driver has taken and not written, as last reported.
    writing: usize,
    /// Bytes of large buffers that are kept for the next output, here and at the driver.
    retained: usize,
    /// Calls that wait until less is unwritten, in the order in which they were made.
    waiting: BTreeMap<u64, QueuedCall>,
    /// The number of the last call that has had to wait.
    last_waiting: u64,
    waiting_bytes: usize,
    /// Writers of streams that wait until little is unwritten.
    for_room: Vec<Waker>,
    /// Bytes of the waiting calls whose callers do not wait.
    at_once_bytes: usize,
    /// Callers that wait until sent messages are written.
    #[cfg(feature = "host")]
    flushes: Flushes,
}

/// Findings about the output when the driver takes it.
#[cfg(feature = "host")]
pub(super) struct Taken {
    /// `true` if the driver has got output.
    pub(super) refilled: bool,
    /// `true` if a caller waits until the driver's output is written.
    pub(super) flush: bool,
    /// `true` if there may be room for calls that wait.
    pub(super) has_room: bool,
    /// `true` if more is unwritten than may be.
    pub(super) too_much: bool,
    /// The writers of streams that waited for room.
    pub(super) writers: Vec<Waker>,
}

impl Outbox {
    /// Returns `true` if so little is unwritten that a chunk of a stream delays nothing.
    pub(super) fn has_room_for_chunk(&self) -> bool {
        self.pending < CHUNK_ROOM
    }

    /// Registers a waker, to be called when the driver has taken the output. One that is known already is left.
    pub(super) fn wait_for_room(&mut self, waker: &mut Option<Waker>) {
        if let Some(waker) = waker.take_if(|waker| !self.for_room.iter().any(|other| other.will_wake(waker)))
        {
            self.for_room.push(waker);
        }
    }

    /// Adds a frame that `write` writes.
    pub(super) fn push(&mut self, write: impl FnOnce(&mut String)) {
        self.pending = self.out.push(write);
    }

    /// Puts the bytes that go beside the text of the last frame there. It is that of `message`.
    #[cold]
    pub(super) fn put_beside(&mut self, message: &Message) {
        let beside = message.beside();
        if !beside.is_empty() {
            self.pending = self.out.put_beside(beside);
        }
    }

    /// Returns `true` if a call with `size` bytes of arguments has to wait, or an error if there is no room for it even
    /// so. A call whose answer is not awaited by its caller (`awaits`) cannot wait until there is room. Of those with
    /// an answer (`answered`), `unanswered` have been sent.
    pub(super) fn admit(
        &self,
        size: usize,
        answered: bool,
        awaits: bool,
        unanswered: usize,
        limits: &Limits,
    ) -> Result<bool, Error> {
        if answered && unanswered + self.waiting.len() >= limits.calls {
            let message = format!("{} calls are without an answer", limits.calls);
            return Err(Error::over(LimitKind::Calls, message));
        }
        if !awaits && self.unwritten() + self.at_once_bytes + size > limits.unwritten_bytes_hard {
            return Err(Error::over(LimitKind::UnwrittenBytesHard, "too much is waiting to be written"));
        }
        Ok(!self.waiting.is_empty() || (awaits && self.pending >= limits.unwritten_bytes_soft))
    }

    /// Returns the number of the next call that has to wait.
    pub(super) fn next_number(&self) -> u64 {
        self.last_waiting + 1
    }

    /// Queues a call behind all others.
    pub(super) fn wait(&mut self, call: QueuedCall) {
        self.last_waiting += 1;
        self.waiting_bytes += call.size;
        self.at_once_bytes += call.at_once_size();
        self.waiting.insert(self.last_waiting, call);
    }

    /// Removes and returns the first call that waits, with its number, if there is room for it.
    #[must_use]
    pub(super) fn next_waiting(&mut self, limits: &Limits) -> Option<(u64, QueuedCall)> {
        if self.pending >= limits.unwritten_bytes_soft {
            return None;
        }
        let (number, _) = self.waiting.first_key_value()?;
        let number = *number;
        self.withdraw(number).map(|call| (number, call))
    }

    /// Removes and returns a call that waits.
    #[must_use]
    pub(super) fn withdraw(&mut self, number: u64) -> Option<QueuedCall> {
        let call = self.waiting.remove(&number)?;
        self.waiting_bytes -= call.size;
        self.at_once_bytes -= call.at_once_size();
        Some(call)
    }

    /// Removes and returns the calls that the deadline of one ends. One whose result is kept has its place still, but no
    /// call waits for the result.
    pub(super) fn withdraw_late(&mut self, number: u64) -> Vec<QueuedCall> {
        let mut late = Vec::new();
        let mut results = Vec::new();
        for (at, call) in self.waiting.range(number..) {
            let is_late = *at == number || results.iter().any(|result| Arc::ptr_eq(result, &call.target));
            match &call.requester {
                _ if !is_late => {}
                Requester::Reference(result) => results.push(result.clone()),
                Requester::Caller { .. } => late.push(*at),
            }
        }
        late.into_iter().filter_map(|number| self.withdraw(number)).collect()
    }

    /// Removes and returns all calls that wait.
    #[must_use]
    pub(super) fn take_waiting(&mut self) -> Vec<QueuedCall> {
        (self.waiting_bytes, self.at_once_bytes) = (0, 0);
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    /// Returns the number of calls that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes the next frame.
    #[must_use]
    pub(super) fn pop(&mut self) -> Option<String> {
        let frame = self.out.pop_text()?;
        self.pending = self.out.len();
        Some(frame)
    }

    /// Takes the writers of streams that wait for room, if there is some.
    #[must_use]
    pub(super) fn take_writers(&mut self) -> Vec<Waker> {
        if self.has_room_for_chunk() { std::mem::take(&mut self.for_room) } else { Vec::new() }
    }

    /// Returns the bytes that have not been taken.
    pub(super) fn pending(&self) -> usize {
        self.pending
    }

    /// Returns the bytes that wait to be written, here and at the driver.
    pub(super) fn unwritten(&self) -> usize {
        self.pending + self.writing
    }

    /// Returns the bytes of all calls that wait.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Returns the bytes that are held here and at the driver.
    pub(super) fn held(&self) -> usize {
        self.unwritten() + self.waiting_bytes + self.retained
    }

    /// Drops the output that the driver has not taken.
    pub(super) fn clear(&mut self) {
        self.out = Outgoing::default();
        self.pending = 0;
    }
}

#[cfg(feature = "host")]
impl Outbox {
    /// Moves the output into `out`, if that has been written. `speechless` tells whether some messages cannot be written
    /// yet, because the peer's language is not known.
    pub(super) fn take(
        &mut self,
        out: &mut Outgoing,
        speechless: impl FnOnce() -> bool,
        limits: &Limits,
    ) -> Taken {
        let taken = out.refill(&mut self.out);
        (self.pending, self.writing, self.retained) = (taken.left, taken.unwritten, taken.retained);
        let flush = taken.left == 0 && {
            let first = self.waiting.first_key_value().map(|(number, _)| *number);
            self.flushes.take(|| if speechless() { Some(0) } else { first })
        };
        Taken {
            writers: if taken.refilled { std::mem::take(&mut self.for_room) } else { Vec::new() },
            refilled: taken.refilled,
            flush,
            has_room: taken.refilled && !self.waiting.is_empty(),
            too_much: !taken.refilled && taken.left + taken.unwritten > limits.unwritten_bytes_hard,
        }
    }

    /// Drops all output: the driver writes no more.
    pub(super) fn end(&mut self) {
        self.clear();
        (self.writing, self.retained) = (0, 0);
    }

    /// Registers a caller that waits until all messages sent so far are written. Fails if nothing is written any more,
    /// with the sender if it has to be told that all is written.
    pub(super) fn ask_flush(
        &mut self,
        sender: oneshot::Sender<()>,
    ) -> Result<(), Option<oneshot::Sender<()>>> {
        self.flushes.ask(self.last_waiting, sender)
    }

    /// Returns the waits for output to be written.
    pub(super) fn flushes(&mut self) -> &mut Flushes {
        &mut self.flushes
    }
}

/// Returns the error of a session whose peer does not read what is written for it.
pub(super) fn reads_too_slowly() -> Error {
    let message = "the peer reads too slowly: too much is waiting to be written";
    Error::over(LimitKind::UnwrittenBytesHard, message)
}
