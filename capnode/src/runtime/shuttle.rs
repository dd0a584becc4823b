//! The host that tries orders of threads: a task is one more thread.

use std::future::Future;

use super::BoxFuture;
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

/// Runs a handler that blocks where it is polled: there are no threads for such.
pub(crate) fn run_blocking<T>(
    handler: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> BoxFuture<Result<T, Error>> {
    Box::pin(handler)
}
