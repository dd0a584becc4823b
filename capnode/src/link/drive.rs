//! The side of a link that its driver sees: output, tasks and waits.

use std::sync::Arc;
#[cfg(feature = "host")]
use std::task::{Context, Poll, Waker};

use super::Link;
#[cfg(feature = "host")]
use super::batch::Batch;
#[cfg(feature = "host")]
use super::effects::{Effect, Effects};
#[cfg(feature = "host")]
use super::lifecycle::peer_draining;
use super::locked::Cause;
#[cfg(feature = "host")]
use super::outbox::{Taken, reads_too_slowly};
use super::state::State;
use super::task::Task;
#[cfg(feature = "host")]
use crate::cap::broken::{BrokenSlot, fire};
#[cfg(feature = "host")]
use crate::cap::stream::StreamEnd;
#[cfg(feature = "host")]
use crate::error::{Error, ErrorKind, Fate, Fault};
#[cfg(feature = "host")]
use crate::message::Id;
#[cfg(feature = "host")]
use crate::outgoing::Outgoing;
#[cfg(feature = "host")]
use crate::sync::atomic::Ordering;

/// The state of a connection whose driver has set its waker.
#[cfg(feature = "host")]
pub(crate) struct Parked {
    /// `true` if there is something to do already.
    pub(crate) is_busy: bool,
    /// `true` if the connection is not needed.
    pub(crate) is_idle: bool,
    /// `true` if a caller waits until the output is written.
    pub(crate) flush: bool,
}

impl Link {
    /// Returns `true` if there are handlers to drive, parked calls that may run now, or perhaps exports to evict.
    #[cfg(feature = "host")]
    pub(crate) fn has_waiting(&self) -> bool {
        let evicts = self.capabilities().is_some_and(|peer| !peer.releases);
        evicts || self.read_state(|state| self.has_waiting_in(state))
    }

    fn has_waiting_in(&self, state: &State) -> bool {
        state.inbox.has_tasks() || self.can_unpark(state)
    }

    fn has_work_in(&self, state: &State) -> bool {
        self.has_waiting_in(state) || state.lifecycle.error().is_some()
    }

    /// Returns `true` if there is output, or something to do.
    pub(crate) fn has_work(&self) -> bool {
        self.with_state(Cause::Driver, |state, _| state.outbox.pending() > 0 || self.has_work_in(state))
    }

    /// Takes the next frame of the output. Its peer has been offered no place for bytes beside the text.
    pub(crate) fn next_frame(self: &Arc<Self>) -> Option<String> {
        self.with_state(Cause::Driver, |state, effects| {
            if state.outbox.pending() == 0 && !state.session.held.is_empty() {
                state.say_held();
            }
            if state.outbox.pending() == 0 && state.encoding.codec().is_leaving() {
                state.encoding.codec_mut().flush(true);
                state.write_replies();
            }
            let frame = state.outbox.pop()?;
            effects.wake_all(state.outbox.take_writers());
            if state.outbox.waiting() > 0 {
                self.admit(state, effects);
            }
            Some(frame)
        })
    }

    /// Takes the handlers that are to be driven from now on.
    pub(crate) fn take_tasks(&self) -> Vec<Task> {
        self.with_state(Cause::Driver, |state, _| state.inbox.take_tasks())
    }

    /// Returns `true` if the connection is not needed: neither by this program, nor by the peer except for the index.
    pub(crate) fn is_idle(&self) -> bool {
        self.with_state(Cause::Driver, |state, _| state.session.is_idle())
    }
}

#[cfg(feature = "host")]
impl Link {
    /// Sets the waker of the driver, which sleeps if there is nothing to do. Moves the pending output into `out`, if that
    /// has been written. If nobody holds the connection itself (`unheld`), it may be idle.
    pub(crate) fn park(
        self: &Arc<Self>,
        waker: &Waker,
        out: &mut Outgoing,
        unheld: impl FnOnce() -> bool,
    ) -> Parked {
        self.set_waker(Some(waker));
        self.with_state(Cause::Driver, |state, effects| {
            let taken = self.take(state, out, effects);
            Parked {
                is_busy: taken.refilled || self.has_work_in(state),
                is_idle: unheld()
                    && state.session.is_idle()
                    && !self.batch.as_deref().is_some_and(Batch::is_wanted),
                flush: taken.flush,
            }
        })
    }

    /// Returns `true` if there are functions to release that may still be kept if they come again.
    pub(crate) fn is_leaving(&self) -> bool {
        self.read_state(|state| state.encoding.codec().is_leaving())
    }

    /// Releases functions of the peer that have not come again for a turn, or all of them.
    pub(crate) fn flush(&self, all: bool) {
        self.with_state(Cause::Driver, |state, _| {
            state.encoding.codec_mut().flush(all);
            state.write_replies();
        });
    }

    /// Moves the pending output into `out`, if that has been written. Returns `true` if a caller waits until it is written.
    pub(crate) fn take_output(self: &Arc<Self>, out: &mut Outgoing) -> bool {
        self.with_state(Cause::Driver, |state, effects| self.take(state, out, effects).flush)
    }

    fn take(self: &Arc<Self>, state: &mut State, out: &mut Outgoing, effects: &mut Effects) -> Taken {
        let State { entries, outbox, .. } = state;
        let ended = self.ended.load(Ordering::SeqCst);
        let speechless = || !ended && entries.has_pending_indexes();
        let mut taken = outbox.take(out, speechless, &self.limits);
        if self.batch.is_some() && taken.refilled && !ended {
            self.count_body(outbox.unwritten(), effects);
        }
        if !taken.writers.is_empty() {
            effects.wake_all(std::mem::take(&mut taken.writers));
        }
        if !ended && taken.too_much {
            effects.push(Effect::BreakOff(reads_too_slowly()));
        } else if !ended && taken.has_room {
            self.admit(state, effects);
        }
        taken
    }

    /// Counts `bytes` that are taken for the body of this side of a batch. An answer ends if it becomes too long.
    #[cold]
    fn count_body(&self, bytes: usize, effects: &mut Effects) {
        let batch = self.batch.as_ref().filter(|_| !self.connecting);
        if let Some(Err(error)) = batch.map(|batch| batch.count(bytes, &self.limits)) {
            effects.push(Effect::BreakOff(error));
        }
    }

    /// Returns `true` if there is output that the driver has not taken.
    pub(crate) fn has_output(&self) -> bool {
        self.read_state(|state| state.outbox.pending() > 0)
    }

    /// Returns `true` if there is something to send while the peer's language is unknown.
    pub(crate) fn awaits_dialect(&self) -> bool {
        self.peer.get().is_none() && self.read_state(|state| state.entries.has_pending_indexes())
    }

    /// Refuses further calls of the peer, and tells it so if it can understand. Earlier calls go on.
    pub(crate) fn drain(&self) {
        self.with_state(Cause::Program, |state, _| {
            // No call comes in between.
            if !self.draining.swap(true, Ordering::SeqCst) && state.lifecycle.error().is_none() {
                let draining = state.session.drain();
                state.say_all(draining);
            }
        });
    }

    /// Returns `true` if further calls of the peer are refused.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Has `slot` called when the peer has said that it runs no further calls, or the connection has ended: at once if
    /// that is so.
    pub(crate) fn on_peer_draining(&self, slot: &BrokenSlot) {
        let told = self.with_state(Cause::Driver, |state, _| {
            if state.session.last_run().is_some() {
                return Some(peer_draining());
            }
            let ended = state.lifecycle.error().cloned();
            if ended.is_none() {
                state.lifecycle.watch_draining(slot);
            }
            ended
        });
        if let Some(error) = told {
            fire(slot, &error);
        }
    }

    /// Returns `Ready` when no call of the peer is running, and no stream of this side is being written.
    pub(crate) fn poll_drained(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.with_state(Cause::Driver, |state, _| {
            if self.is_drained(state) { Poll::Ready(()) } else { state.lifecycle.wait_idle(cx) }
        })
    }

    pub(super) fn is_gone(&self) -> bool {
        self.read_state(|state| state.lifecycle.is_gone())
    }

    /// Returns `Ready` when the driver has gone.
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.with_state(Cause::Driver, |state, _| {
            if state.lifecycle.is_gone() { Poll::Ready(()) } else { state.lifecycle.wait_idle(cx) }
        })
    }

    /// Cuts off a session that has ended or ends now: it ends at once, and unwritten output is lost.
    pub(crate) fn cut_off(&self) {
        self.cut.store(true, Ordering::SeqCst);
        self.wake_up();
    }

    pub(crate) fn is_cut_off(&self) -> bool {
        self.cut.load(Ordering::SeqCst)
    }

    /// Notes that the driver has gone.
    pub(crate) fn set_gone(&self) {
        self.with_state(Cause::Program, |state, effects| {
            state.lifecycle.set_gone();
            self.leave_pool();
            // A remaining handle of the connection need not keep output that is never written.
            state.outbox.end();
            effects.wake_all(state.lifecycle.take_idle_waiters());
        });
        self.set_written(false);
        self.set_safe();
    }

    /// Returns the call of this side whose answer a frame asks for, in a language in which it matters.
    pub(crate) fn asked_in(&self, frame: &str) -> Option<Id> {
        self.read_state(|state| state.encoding.codec().asked_in(frame))
    }

    /// Returns `true` if a call of this side has its answer.
    pub(crate) fn is_answered(&self, call: Id) -> bool {
        self.read_state(|state| state.encoding.codec().is_answered(call))
    }

    /// Releases functions of the peer that need not be kept in case they come again. Returns `true` if there were any.
    pub(crate) fn flush_late(&self) -> bool {
        self.with_state(Cause::Driver, |state, _| {
            let flushed = state.encoding.codec_mut().flush_late();
            state.write_replies();
            flushed
        })
    }
}

/// The two bodies of an HTTP batch.
#[cfg(feature = "host")]
impl Link {
    /// Returns `true` if the connection is an HTTP batch.
    pub(crate) fn is_batch(&self) -> bool {
        self.batch.is_some()
    }

    /// Returns `true` if nothing more goes into the body of this side.
    #[cfg(feature = "http")]
    pub(crate) fn is_sealed(&self) -> bool {
        self.batch.as_deref().is_some_and(Batch::is_sealed)
    }

    /// Notes that a call of the index is about to be made, which [`leave_batch`](Self::leave_batch) follows. Returns
    /// `false` if it goes into another batch.
    #[cfg(feature = "http")]
    pub(crate) fn enter_batch(&self) -> bool {
        !self.is_closed() && self.read_state(|_| self.batch.as_deref().is_some_and(Batch::enter))
    }

    /// Notes that a call of the index has been made.
    #[cfg(feature = "http")]
    pub(crate) fn leave_batch(&self) {
        self.batch.as_ref().inspect(|batch| batch.leave());
        self.wake_up();
    }

    /// Returns `Ready` when the calls of this side are to be sent: a caller waits, or nobody holds anything, and nobody is
    /// about to use the result of another.
    #[cfg(feature = "http")]
    pub(crate) fn poll_gathered(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.set_waker(Some(cx.waker()));
        let Some(batch) = &self.batch else { return Poll::Ready(()) };
        // No call comes in between.
        self.with_state(Cause::Driver, |state, _| {
            if !batch.is_entered() && state.session.is_idle() {
                batch.close();
            }
        });
        if self.is_closed() || batch.is_gathered() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Has later calls of the index go into another batch.
    #[cfg(feature = "http")]
    pub(crate) fn close_batch(&self) {
        if let Some(batch) = &self.batch {
            batch.close();
        }
    }

    /// Returns `true` if a batch is wanted although this program holds nothing of it.
    #[cfg(feature = "http")]
    pub(crate) fn is_wanted(&self) -> bool {
        self.batch.as_deref().is_some_and(Batch::is_wanted)
    }

    /// Has the index of the connection at an address stand for that of the peer.
    #[cfg(feature = "http")]
    pub(crate) fn set_index_of(&self, connection: usize) {
        if let Some(batch) = &self.batch {
            batch.set_index_of(connection);
        }
    }

    /// Notes that the peer has sent its whole body. Whatever waits for more of it fails.
    pub(crate) fn end_input(&self) {
        if self.batch.as_deref().is_none_or(Batch::end_input) {
            return;
        }
        let ended = |message| {
            let error = Error::new(ErrorKind::Disconnected, message);
            error.with_fate(Fate::MayHaveRun).with_fault(Fault::Peer)
        };
        let unfinished = self.with_state(Cause::Driver, |state, effects| {
            for question in state.entries.take_questions() {
                let error = ended("the HTTP batch has ended without the answer");
                effects.push(Effect::Deliver(question, Err(error)));
            }
            state.entries.stream_ends()
        });
        // What this side sends goes on, and a stream that was closed in the body is not affected.
        for end in unfinished.into_iter().filter(StreamEnd::is_written) {
            end.fail(&ended("the HTTP batch has ended in the middle of the stream"));
        }
    }

    /// Returns `true` once all that goes into the body of this side has been taken: at the connecting side all calls so
    /// far, at the accepting one the answers that the peer waits for, and at both the streams in them. Nothing more goes
    /// into it.
    pub(crate) fn end_output(&self) -> bool {
        let Some(batch) = &self.batch else { return false };
        self.with_state(Cause::Driver, |state, _| {
            let owes = || !batch.is_received() || state.session.owes_answers();
            if self.written_streams() > 0 || (!self.connecting && owes()) {
                return false;
            }
            let all_taken = state.outbox.pending() == 0 && state.outbox.waiting() == 0;
            if self.connecting || all_taken {
                batch.seal();
            }
            all_taken
        })
    }

    /// Returns `true` if no call of the peer is running.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.read_state(|state| state.session.running() == 0)
    }
}
