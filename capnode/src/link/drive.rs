//! The side of a link that whoever drives it sees: what there is to write, to run and to wait for.

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
    /// Whom to wake when there is something to do. Whether there is already: output only if it
    /// `can_write`, or it would be asked again and again while the peer does not read.
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

    /// Whether there is something to write that nobody has taken.
    #[cfg(feature = "tokio")]
    pub(crate) fn has_output(&self) -> bool {
        !lock(&self.state).out.is_empty()
    }

    /// Lets the driver look whether the connection is still needed.
    #[cfg(feature = "tokio")]
    pub(crate) fn nudge(&self) {
        self.wake_up();
    }

    /// Whether something has to be said, and it is not known in which language.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_speechless(&self) -> bool {
        let state = lock(&self.state);
        state.language.is_unknown() && (state.session.has_ops() || !state.strangers.is_empty())
    }

    /// Refuses the peer's calls from now on. Those that it has made already go on.
    #[cfg(feature = "tokio")]
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Ready when none of the peer's calls is running.
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

    /// Ready when nothing moves the connection any more.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.gone { Poll::Ready(()) } else { state.wait_quietly(cx) }
    }

    /// Lets a session that has ended, or ends now, take no time for it: what is unwritten is lost.
    #[cfg(feature = "tokio")]
    pub(crate) fn cut_off(&self) {
        self.cut.store(true, Ordering::SeqCst);
        self.wake_up();
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn is_cut_off(&self) -> bool {
        self.cut.load(Ordering::SeqCst)
    }

    /// Nothing moves the connection any more.
    #[cfg(feature = "tokio")]
    pub(crate) fn set_gone(&self) {
        let quiet = {
            let mut state = lock(&self.state);
            state.gone = true;
            self.leave_pool();
            // Whoever still holds the connection need not hold what nobody will write.
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

    /// Tells who waits for it that none of the peer's calls is running, if that is so.
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

    /// Which call of ours a frame asks for the answer of, in a language in which it matters.
    #[cfg(feature = "tokio")]
    pub(crate) fn asked_in(&self, frame: &str) -> Option<Id> {
        lock(&self.state).language.asked_in(frame)
    }

    /// Whether a call of ours has its answer.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_answered(&self, call: Id) -> bool {
        lock(&self.state).language.is_answered(call)
    }

    /// Whether there is something to give back that may still be kept if it comes again.
    pub(crate) fn is_leaving(&self) -> bool {
        lock(&self.state).language.is_leaving()
    }

    /// Gives back what has not come again for a turn; or all of it.
    pub(crate) fn flush(&self, all: bool) {
        let mut state = lock(&self.state);
        state.language.flush(all);
        state.write_ops();
    }

    /// Gives back what need not be kept whether it comes again. Returns `true` if there was anything.
    #[cfg(feature = "tokio")]
    pub(crate) fn flush_late(&self) -> bool {
        let mut state = lock(&self.state);
        let any = state.language.flush_late();
        state.write_ops();
        any
    }

    /// Wakes the driver, if it is asleep, because of something that was changed under the lock, or that is looked at
    /// in an order that all threads agree on.
    pub(super) fn wake(&self) {
        // It looks at everything after it has said that it sleeps.
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

    /// Moves what is to be written into `out`, which has been written. Returns `true` if somebody waits until that is
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
                    // Nothing may be said for long.
                    out.shrink();
                    state.out.shrink();
                    state.spare = 0;
                    // All is written, which nothing else may tell for long.
                    self.tell_less(&state);
                }
                flush = state.out.is_empty() && state.take_flushes();
                (None, too_much)
            } else {
                out.clear();
                std::mem::swap(&mut state.out, out);
                state.writing = out.len();
                flush = state.take_flushes();
                // It can only have become less.
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

    /// Handlers to be driven from now on.
    pub(crate) fn take_tasks(&self) -> Vec<Task> {
        std::mem::take(&mut lock(&self.state).tasks)
    }

    /// Whether nobody needs the connection: neither this program, nor the peer but for the index.
    pub(crate) fn is_idle(&self) -> bool {
        let mut state = lock(&self.state);
        self.settle_drops(&mut state);
        state.write_ops();
        state.session.is_idle()
    }
}
