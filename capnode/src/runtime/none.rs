//! The host of a core with an external driver: nothing runs by itself.

use std::future::Future;

pub(crate) use std::time::Instant;

use crate::error::{Error, ErrorKind};

/// Refuses a future, as there is nothing to run it on.
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
    drop(future);
    Err(Error::new(ErrorKind::Unsupported, "this needs capnode's feature `tokio`: enable it in Cargo.toml"))
}

/// Returns `true` if [`spawn`] finds something to run a future on.
pub(crate) fn can_spawn() -> bool {
    false
}

/// Returns a time as the standard library has it.
pub(crate) fn to_std(at: Instant) -> Instant {
    at
}
