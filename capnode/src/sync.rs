//! What blocks, is atomic or belongs to a thread. It is the standard library's; under `cfg(capnode_shuttle)` it is that
//! of shuttle, which tries many orders in which threads can come: see the repository's `tests/threads`.

#[cfg(capnode_shuttle)]
mod tried;

#[cfg(not(capnode_shuttle))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};
#[cfg(not(capnode_shuttle))]
pub(crate) use std::thread_local;

#[cfg(capnode_shuttle)]
pub(crate) use self::tried::{LocalKey, Mutex, MutexGuard, local_keys as thread_local};
#[cfg(capnode_shuttle)]
pub(crate) use shuttle::sync::atomic;

/// A lock of all of the program.
#[cfg(not(capnode_shuttle))]
macro_rules! static_mutex {
    ($name:ident) => {
        static $name: $crate::sync::Mutex<()> = $crate::sync::Mutex::new(());
    };
}

/// The same, a new one for each order that is tried.
#[cfg(capnode_shuttle)]
macro_rules! static_mutex {
    ($name:ident) => {
        shuttle::lazy_static! { static ref $name: $crate::sync::Mutex<()> = $crate::sync::Mutex::new(()); }
    };
}

pub(crate) use static_mutex;

/// Locks, also after a panic of user code that held no lock of ours.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
