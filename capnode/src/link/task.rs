//! Calls of the peer's that did not end at once.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::Link;
use crate::cap::response::Response;
use crate::lock;
use crate::op::Id;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};

/// A running call, to be polled by whoever drives the link.
pub(crate) struct Task {
    link: Arc<Link>,
    answer: Id,
    running: Arc<Running>,
}

/// The part of it by which it can be cancelled.
pub(super) struct Running {
    response: Mutex<Option<Response>>,
    cancelled: AtomicBool,
    waker: Mutex<Option<Waker>>,
    /// Of the call, as it came.
    pub(super) bytes: usize,
}

impl Task {
    pub(super) fn new(link: Arc<Link>, answer: Id, response: Response, bytes: usize) -> (Self, Arc<Running>) {
        let running = Arc::new(Running {
            response: Mutex::new(Some(response)),
            cancelled: AtomicBool::new(false),
            waker: Mutex::new(None),
            bytes,
        });
        (Self { link, answer, running: running.clone() }, running)
    }
}

impl Running {
    /// Drops the handler: here, or where it is being polled right now as soon as that is over.
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
        *lock(&self.running.waker) = Some(cx.waker().clone());
        let outcome = {
            let mut slot = lock(&self.running.response);
            let Some(response) = slot.as_mut() else { return Poll::Ready(()) };
            let polled = match self.running.cancelled.load(Ordering::SeqCst) {
                false => Pin::new(response).poll(cx),
                true => Poll::Pending,
            };
            if polled.is_pending() && !self.running.cancelled.load(Ordering::SeqCst) {
                return Poll::Pending;
            }
            let response = slot.take();
            drop(slot);
            drop(response);
            polled
        };
        if let Poll::Ready(outcome) = outcome {
            self.link.finish(self.answer, outcome);
        }
        Poll::Ready(())
    }
}
