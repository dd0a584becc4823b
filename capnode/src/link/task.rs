//! Calls of the peer that did not complete at once, and handlers that were started beyond the depth of one stack.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::Link;
use crate::bounds;
use crate::cap::depth::{Host, Hosted, Nested};
use crate::cap::response::Response;
use crate::op::Id;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Mutex, MutexGuard, lock};

/// A task of a link, to be started by its driver.
pub(crate) enum Task {
    /// A running call of the peer.
    Call(CallTask),
    /// A handler of this side that is nested too deeply.
    Nested(Nested),
}

/// A running call of the peer.
pub(crate) struct CallTask {
    link: Arc<Link>,
    answer: Id,
    running: Arc<Running>,
}

/// The shared part of a running call, by which it can be cancelled.
pub(super) struct Running {
    response: Mutex<Option<Response>>,
    cancelled: AtomicBool,
    waker: Mutex<Option<Waker>>,
    /// Bytes of the call as it came, and of the values unfolded for it. Changed under the lock of the link.
    bytes: AtomicUsize,
}

impl Task {
    pub(super) fn new(link: Arc<Link>, answer: Id, response: Response, bytes: usize) -> (Self, Arc<Running>) {
        let running = Arc::new(Running {
            response: Mutex::new(Some(response)),
            cancelled: AtomicBool::new(false),
            waker: Mutex::new(None),
            bytes: AtomicUsize::new(bytes),
        });
        (Self::Call(CallTask { link, answer, running: running.clone() }), running)
    }
}

impl Running {
    /// Returns the bytes that the call counts for.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Drops the handler at once, or after the poll that is under way on another thread.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        let response = self.response.try_lock().ok().and_then(|mut response| response.take());
        drop(response);
        if let Some(waker) = lock(&self.waker).take() {
            waker.wake();
        }
    }
}

impl Future for Task {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.get_mut() {
            Task::Call(call) => {
                let _hosted = Hosted::new(Some(call.link.clone()));
                call.poll(cx)
            }
            Task::Nested(nested) => Pin::new(nested).poll(cx),
        }
    }
}

impl Host for Link {
    fn adopt(self: Arc<Self>, task: Nested) -> Result<(), Nested> {
        {
            let mut state = lock(&self.state);
            if state.closed.is_some() {
                return Err(task);
            }
            state.tasks.push(Task::Nested(task));
        }
        self.wake();
        Ok(())
    }

    fn is_open(&self) -> bool {
        !self.ended.load(Ordering::SeqCst)
    }
}

/// The result of one more turn for all calls of a peer.
#[cfg(feature = "tokio")]
pub(crate) enum LastTurn {
    /// The calls that are left all wait.
    Over,
    /// Some calls may go on without waiting.
    Again,
    /// The calls wait until it is decided which index this side offers.
    Undecided,
}

#[cfg(feature = "tokio")]
impl Link {
    /// Polls each running call of the peer once more. Wakes `cx` once it is decided which index this side offers.
    pub(crate) fn last_turn(self: &Arc<Self>, cx: &Context<'_>) -> LastTurn {
        let (running, undecided) = {
            let mut state = lock(&self.state);
            let running: Vec<_> =
                state.running.iter().map(|(answer, running)| (*answer, running.clone())).collect();
            // The decision may wait for an answer of the peer, which sends no more.
            let undecided = !running.is_empty()
                && state.own_calls == 0
                && state.index.as_ref().is_some_and(|index| index.nearest().queue().is_some());
            if undecided {
                let _pending = state.wait_quietly(cx);
            }
            (running, undecided)
        };
        let mut again = false;
        for (answer, running) in running {
            // The call's own task is to be woken.
            let waker = lock(&running.waker).clone().unwrap_or_else(|| Waker::noop().clone());
            let call = CallTask { link: self.clone(), answer, running };
            let _hosted = Hosted::new(Some(self.clone()));
            again |= match call.running.response.try_lock() {
                Ok(slot) => call.go_on(slot, &mut Context::from_waker(&waker)).is_ready(),
                // Another thread is polling it.
                Err(_) => true,
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
        let (out, running) = {
            let mut state = lock(&self.state);
            let answers: Vec<_> = state.running.keys().copied().collect();
            let running: Vec<_> =
                answers.into_iter().filter_map(|answer| state.take_running(answer)).collect();
            state.writing = 0;
            (std::mem::take(&mut state.out), running)
        };
        drop(out);
        for running in running {
            running.cancel();
        }
    }
}

impl CallTask {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        *lock(&self.running.waker) = Some(cx.waker().clone());
        self.go_on(lock(&self.running.response), cx)
    }

    fn go_on(&self, mut slot: MutexGuard<'_, Option<Response>>, cx: &mut Context<'_>) -> Poll<()> {
        let (outcome, unfolded) = {
            let Some(response) = slot.as_mut() else { return Poll::Ready(()) };
            let (polled, unfolded) = match self.running.cancelled.load(Ordering::SeqCst) {
                false => bounds::unfolding(|| response.poll(cx, None)),
                true => (Poll::Pending, 0),
            };
            if polled.is_pending() && !self.running.cancelled.load(Ordering::SeqCst) {
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
                self.link.finish(self.answer, outcome);
                Poll::Ready(())
            }
        }
    }
}
