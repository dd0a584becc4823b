//! Primitives that block, are atomic or belong to a thread. They are the standard library's; under
//! `cfg(capnode_shuttle)` they are those of shuttle, which tries many orders of threads: see the repository's
//! `tests/threads`.

#[cfg(capnode_shuttle)]
mod instrumented;

#[cfg(not(capnode_shuttle))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};
#[cfg(not(capnode_shuttle))]
pub(crate) use std::thread_local;

#[cfg(capnode_shuttle)]
pub(crate) use self::instrumented::{LocalKey, Mutex, MutexGuard, local_keys as thread_local};
#[cfg(capnode_shuttle)]
pub(crate) use shuttle::sync::atomic;

/// A guard that calls a function when it is dropped, also after a panic.
pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    #[inline]
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Locks, also after a panic of user code that did not hold the lock.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
