//! The side of a link that its driver sees: output, tasks and waits.

use std::sync::Arc;
use std::task::Waker;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};

use super::task::Task;
use super::{Link, reads_too_slowly};
#[cfg(feature = "tokio")]
use crate::op::Id;
use crate::outgoing::Outgoing;
use crate::sync::atomic::Ordering;
use crate::sync::lock;

impl Link {
    /// Sets the waker of the driver. Returns `true` if there is something to do already. Output counts only if the
    /// driver `can_write`; otherwise it would be asked again and again while the peer does not read.
    pub(crate) fn set_driver(&self, waker: Option<&Waker>, can_write: bool) -> bool {
        {
            let mut driver = lock(&self.driver);
            *driver = waker.cloned();
            self.asleep.store(waker.is_some(), Ordering::SeqCst);
        }
        if waker.is_none() {
            return false;
        }
        let state = lock(&self.state);
        let work = (can_write && !state.out.is_empty()) || !state.tasks.is_empty() || state.closed.is_some();
        let work = work || state.session.has_events();
        #[cfg(feature = "tokio")]
        let work = work || (can_write && state.flushes.is_asked() && !state.is_held_up());
        work || self.any_dropped.load(Ordering::SeqCst) || (!state.parked.is_empty() && state.has_room(self))
    }

    /// Returns `true` if there is output that the driver has not taken.
    #[cfg(feature = "tokio")]
    pub(crate) fn has_output(&self) -> bool {
        !lock(&self.state).out.is_empty()
    }

    /// Makes the driver check whether the connection is still needed.
    #[cfg(feature = "tokio")]
    pub(crate) fn nudge(&self) {
        self.wake_up();
    }

    /// Returns `true` if there is something to send while the peer's language is unknown.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_speechless(&self) -> bool {
        let state = lock(&self.state);
        state.language.is_unknown() && (state.session.has_ops() || !state.strangers.is_empty())
    }

    /// Refuses further calls of the peer. Earlier calls go on.
    #[cfg(feature = "tokio")]
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Returns `Ready` when no call of the peer is running.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_quiet(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.closed.is_some() || state.session.running() == 0 {
            return Poll::Ready(());
        }
        state.wait_quietly(cx)
    }

    #[cfg(feature = "tokio")]
    pub(super) fn is_gone(&self) -> bool {
        lock(&self.state).gone
    }

    /// Returns `Ready` when the driver has gone.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.gone { Poll::Ready(()) } else { state.wait_quietly(cx) }
    }

    /// Cuts off a session that has ended or ends now: it ends at once, and unwritten output is lost.
    #[cfg(feature = "tokio")]
    pub(crate) fn cut_off(&self) {
        self.cut.store(true, Ordering::SeqCst);
        self.wake_up();
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn is_cut_off(&self) -> bool {
        self.cut.load(Ordering::SeqCst)
    }

    /// Notes that the driver has gone.
    #[cfg(feature = "tokio")]
    pub(crate) fn set_gone(&self) {
        let quiet = {
            let mut state = lock(&self.state);
            state.gone = true;
            self.leave_pool();
            // A remaining handle of the connection need not keep output that is never written.
            state.out = Outgoing::default();
            state.writing = 0;
            std::mem::take(&mut state.quiet)
        };
        for waker in quiet {
            waker.wake();
        }
        self.set_written(false);
        self.set_safe();
    }

    /// Wakes the tasks that wait until no call of the peer is running, if that is so.
    pub(super) fn tell_quiet(&self) {
        if !self.draining.load(Ordering::SeqCst) {
            return;
        }
        let quiet = {
            let mut state = lock(&self.state);
            let quiet = state.closed.is_some() || state.session.running() == 0;
            if quiet { std::mem::take(&mut state.quiet) } else { Vec::new() }
        };
        for waker in quiet {
            waker.wake();
        }
    }

    /// Returns the call of this side whose answer a frame asks for, in a language in which it matters.
    #[cfg(feature = "tokio")]
    pub(crate) fn asked_in(&self, frame: &str) -> Option<Id> {
        lock(&self.state).language.asked_in(frame)
    }

    /// Returns `true` if a call of this side has its answer.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_answered(&self, call: Id) -> bool {
        lock(&self.state).language.is_answered(call)
    }

    /// Returns `true` if there are functions to release that may still be kept if they come again.
    pub(crate) fn is_leaving(&self) -> bool {
        lock(&self.state).language.is_leaving()
    }

    /// Releases functions of the peer that have not come again for a turn, or all of them.
    pub(crate) fn flush(&self, all: bool) {
        let mut state = lock(&self.state);
        state.language.flush(all);
        state.write_ops();
    }

    /// Releases functions of the peer that need not be kept in case they come again. Returns `true` if there were any.
    #[cfg(feature = "tokio")]
    pub(crate) fn flush_late(&self) -> bool {
        let mut state = lock(&self.state);
        let any = state.language.flush_late();
        state.write_ops();
        any
    }

    /// Wakes the driver if it is asleep. The cause was changed under the lock, or is looked at in an order that all
    /// threads agree on.
    pub(super) fn wake(&self) {
        // The driver looks at everything after it has said that it sleeps.
        if self.asleep.load(Ordering::SeqCst) {
            self.wake_up();
        }
    }

    fn wake_up(&self) {
        let waker = {
            let mut driver = lock(&self.driver);
            self.asleep.store(false, Ordering::SeqCst);
            driver.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Moves the pending output into `out`, if that has been written. Returns `true` if a caller waits until it is
    /// written.
    pub(crate) fn take_output(self: &Arc<Self>, out: &mut Outgoing) -> bool {
        let flush;
        let (admitted, too_much) = {
            let mut state = lock(&self.state);
            if state.closed.is_none() {
                self.settle_drops(&mut state);
                state.write_ops();
            }
            state.writing = out.len();
            let too_much = state.closed.is_none() && state.unwritten() > self.limits.unwritten_bytes_hard;
            state.spare = out.spare() + state.out.spare();
            if state.out.is_empty() || !out.is_empty() {
                if out.is_empty() {
                    // There may be no output for long.
                    out.shrink();
                    state.out.shrink();
                    state.spare = 0;
                    // All is written. Nothing else may tell the pool for long.
                    self.tell_less(&state);
                }
                flush = state.out.is_empty() && state.take_flushes();
                (None, too_much)
            } else {
                out.clear();
                std::mem::swap(&mut state.out, out);
                state.writing = out.len();
                flush = state.take_flushes();
                // The number can only have fallen.
                let _less = self.tell_pool(&state);
                let waiting = state.closed.is_none() && !state.waiting.is_empty();
                (waiting.then(|| state.admit(self)), false)
            }
        };
        if too_much {
            self.break_off(reads_too_slowly());
        }
        if let Some(admitted) = admitted {
            admitted.settle();
        }
        flush
    }

    /// Takes the handlers that are to be driven from now on.
    pub(crate) fn take_tasks(&self) -> Vec<Task> {
        std::mem::take(&mut lock(&self.state).tasks)
    }

    /// Returns `true` if the connection is not needed: neither by this program, nor by the peer except for the index.
    pub(crate) fn is_idle(&self) -> bool {
        let mut state = lock(&self.state);
        self.settle_drops(&mut state);
        state.write_ops();
        state.session.is_idle()
    }
}
