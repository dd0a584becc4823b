//! The host: the one place that knows a clock, an executor and a source of random numbers.
//!
//! Each host is a file with the same functions, and a build has one of them: `tokio`; `none` without that feature,
//! where the owner of a [`Core`](crate::sans_io::Core) tells it the time and polls its handlers; `shuttle` for tests. A
//! further one, such as a browser's event loop, is a further file. `tokio` alone has the functions for connections and
//! transports, which are of tokio.

use std::future::Future;
use std::pin::Pin;

#[cfg(not(any(feature = "tokio", capnode_shuttle)))]
mod none;
pub(crate) mod random;
#[cfg(capnode_shuttle)]
mod shuttle;
#[cfg(feature = "tokio")]
mod spans;
#[cfg(feature = "tokio")]
mod tokio;

#[cfg(not(any(feature = "tokio", capnode_shuttle)))]
pub(crate) use self::none::{Instant, can_spawn, spawn, to_std};
#[cfg(capnode_shuttle)]
pub(crate) use self::shuttle::{Instant, can_spawn, spawn, to_std};
#[cfg(feature = "tokio")]
pub(crate) use self::spans::{in_connection, in_current};
#[cfg(feature = "tokio")]
pub(crate) use self::tokio::*;

/// The time as programs give it and are given it, whatever the host's clock.
pub(crate) use std::time::Instant as StdInstant;

/// A boxed future that can be run on any thread.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs a handler that blocks where it is polled: this host has no threads for such.
#[cfg(not(feature = "tokio"))]
pub(crate) fn run_blocking<T: Send + 'static>(
    handler: impl Future<Output = T> + Send + 'static,
) -> BoxFuture<T> {
    Box::pin(handler)
}
