//! Calls of the peer that did not complete at once, and handlers that were started beyond the depth of one stack.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
#[cfg(feature = "host")]
use std::task::Waker;
use std::task::{Context, Poll};

use super::Link;
use super::call_handle::CallHandle;
use super::locked::Cause;
use crate::bounds;
use crate::cap::depth::{Host, HostGuard, NestedTask};
use crate::cap::response::Response;
use crate::message::Id;
use crate::runtime::BoxFuture;
use crate::sync::MutexGuard;
use crate::sync::atomic::Ordering;

/// A task of a link, to be started by its driver.
pub(crate) enum Task {
    /// A running call of the peer.
    Call(CallTask),
    /// A handler of this side that is nested too deeply.
    Nested(NestedTask),
}

/// A running call of the peer.
pub(crate) struct CallTask {
    link: Arc<Link>,
    answer: Id,
    running: Arc<CallHandle>,
}

impl Task {
    pub(super) fn new(
        link: Arc<Link>,
        answer: Id,
        response: Response,
        bytes: usize,
    ) -> (Self, Arc<CallHandle>) {
        let running = Arc::new(CallHandle::new(response, bytes));
        (Self::Call(CallTask { link, answer, running: running.clone() }), running)
    }

    /// Creates a task of the library's own.
    pub(super) fn nested(task: BoxFuture<()>, link: Arc<Link>) -> Self {
        Self::Nested(NestedTask::new(task, link))
    }
}

impl Future for Task {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.get_mut() {
            Task::Call(call) => {
                let _hosted = HostGuard::new(Some(call.link.clone()));
                call.poll(cx)
            }
            Task::Nested(nested) => Pin::new(nested).poll(cx),
        }
    }
}

impl Host for Link {
    fn spawn(self: Arc<Self>, task: NestedTask) -> Result<(), NestedTask> {
        self.with_state(Cause::Program, |state, _| {
            if self.ended.load(Ordering::SeqCst) {
                return Err(task);
            }
            state.inbox.add_task(Task::Nested(task));
            Ok(())
        })
    }

    fn is_open(&self) -> bool {
        !self.ended.load(Ordering::SeqCst)
    }
}

/// The result of one more turn for all calls of a peer.
#[cfg(feature = "host")]
pub(crate) enum LastTurn {
    /// The calls that are left all wait.
    Over,
    /// Some calls may go on without waiting.
    Again,
    /// The calls wait until it is decided which index this side offers.
    Undecided,
}

#[cfg(feature = "host")]
impl Link {
    /// Polls each running call of the peer once more. Wakes `cx` once it is decided which index this side offers.
    pub(crate) fn last_turn(self: &Arc<Self>, cx: &Context<'_>) -> LastTurn {
        let (running, undecided) = self.with_state(Cause::Driver, |state, _| {
            let running = state.inbox.all_running();
            // The decision may wait for an answer of the peer, which sends no more.
            let undecided =
                !running.is_empty() && state.entries.own_calls() == 0 && state.entries.is_undecided();
            if undecided {
                let _pending = state.lifecycle.wait_idle(cx);
            }
            (running, undecided)
        });
        let mut again = false;
        for (answer, running) in running {
            // The call's own task is to be woken.
            let waker = running.waker().unwrap_or_else(|| Waker::noop().clone());
            let call = CallTask { link: self.clone(), answer, running };
            let _hosted = HostGuard::new(Some(self.clone()));
            again |= match call.running.try_response() {
                Some(slot) => call.go_on(slot, &mut Context::from_waker(&waker)).is_ready(),
                // Another thread is polling it.
                None => true,
            };
        }
        match (again, undecided) {
            (true, _) => LastTurn::Again,
            (false, true) => LastTurn::Undecided,
            (false, false) => LastTurn::Over,
        }
    }

    /// Drops the handlers of the peer's calls, whose answers it will not get, and the unwritten output.
    pub(crate) fn give_up_running(&self) {
        let running = self.with_state(Cause::Driver, |state, _| {
            state.outbox.end();
            state.inbox.take_all_running()
        });
        for (_, running) in running {
            running.cancel();
        }
    }
}

impl CallTask {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.running.set_waker(cx.waker());
        self.go_on(self.running.response(), cx)
    }

    fn go_on(&self, mut slot: MutexGuard<'_, Option<Response>>, cx: &mut Context<'_>) -> Poll<()> {
        let (outcome, unfolded) = {
            let Some(response) = slot.as_mut() else { return Poll::Ready(()) };
            let (polled, unfolded) = if self.running.is_cancelled() {
                (Poll::Pending, 0)
            } else {
                bounds::unfolding(|| response.poll(cx, None))
            };
            if polled.is_pending() && !self.running.is_cancelled() {
                (None, unfolded)
            } else {
                let response = slot.take();
                drop(slot);
                drop(response);
                (Some(polled), 0)
            }
        };
        // Values unfolded for a call that has ended are gone with it.
        if unfolded > 0 {
            self.link.call_holds(self.answer, unfolded);
        }
        match outcome {
            None => Poll::Pending,
            Some(Poll::Pending) => Poll::Ready(()),
            Some(Poll::Ready(outcome)) => {
                self.link.finish(self.answer, outcome, true);
                Poll::Ready(())
            }
        }
    }
}
