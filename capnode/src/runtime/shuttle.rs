//! The host that tries orders of threads: a task is one more thread.

use std::future::Future;

pub(crate) use std::time::Instant;

use crate::error::Error;

/// Spawns a future.
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
    drop(shuttle::future::spawn(future));
    Ok(())
}

/// Returns `true` if [`spawn`] finds something to run a future on.
pub(crate) fn can_spawn() -> bool {
    true
}

/// Returns a time as the standard library has it.
pub(crate) fn to_std(at: Instant) -> Instant {
    at
}
