//! Handles of the peer's calls that did not complete at once.

use std::task::Waker;

use crate::cap::response::Response;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Mutex, MutexGuard, lock};

/// The shared part of a running call, by which it can be cancelled.
pub(super) struct CallHandle {
    response: Mutex<Option<Response>>,
    cancelled: AtomicBool,
    waker: Mutex<Option<Waker>>,
    /// Bytes of the call as it came, and of the values unfolded for it. Changed under the lock of the link.
    bytes: AtomicUsize,
}

impl CallHandle {
    pub(super) fn new(response: Response, bytes: usize) -> Self {
        Self {
            response: Mutex::new(Some(response)),
            cancelled: AtomicBool::new(false),
            waker: Mutex::new(None),
            bytes: AtomicUsize::new(bytes),
        }
    }

    /// Returns the bytes that the call counts for.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns the handler; `None` in it once it has ended.
    pub(super) fn response(&self) -> MutexGuard<'_, Option<Response>> {
        lock(&self.response)
    }

    /// Returns the handler, unless another thread is polling it.
    #[cfg(feature = "host")]
    pub(super) fn try_response(&self) -> Option<MutexGuard<'_, Option<Response>>> {
        self.response.try_lock().ok()
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// Sets the waker of the task that polls the handler.
    pub(super) fn set_waker(&self, waker: &Waker) {
        let before = lock(&self.waker).replace(waker.clone());
        drop(before);
    }

    /// Returns the waker of the task that polls the handler.
    #[cfg(feature = "host")]
    pub(super) fn waker(&self) -> Option<Waker> {
        lock(&self.waker).clone()
    }

    /// Drops the handler at once, or after the poll that is under way on another thread.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        let response = self.response.try_lock().ok().and_then(|mut response| response.take());
        drop(response);
        let waker = lock(&self.waker).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
