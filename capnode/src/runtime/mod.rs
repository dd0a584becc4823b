//! The host: the one place that knows a clock, an executor and a source of random numbers.
//!
//! Each host is a file with the same functions, and a build has one of them: `tokio`; `web`, the event loop of a browser or
//! worker; `none` without either feature, where the owner of a [`Core`](crate::sans_io::Core) tells it the time and polls
//! its handlers; `shuttle` for tests. Those that run connections have more functions than the others.

use std::future::Future;
use std::pin::Pin;

#[cfg(not(any(feature = "host", capnode_shuttle)))]
mod none;
pub(crate) mod random;
#[cfg(capnode_shuttle)]
mod shuttle;
#[cfg(feature = "host")]
mod spans;
#[cfg(feature = "tokio")]
mod tokio;
#[cfg(all(feature = "host", not(feature = "tokio")))]
mod web;

#[cfg(not(any(feature = "host", capnode_shuttle)))]
pub(crate) use self::none::{Instant, can_spawn, spawn, to_std};
#[cfg(capnode_shuttle)]
pub(crate) use self::shuttle::{Instant, can_spawn, spawn, to_std};
#[cfg(feature = "host")]
pub(crate) use self::spans::{in_connection, in_current};
#[cfg(feature = "tokio")]
pub(crate) use self::tokio::*;
#[cfg(all(feature = "host", not(feature = "tokio")))]
pub(crate) use self::web::*;

/// The time as programs give it and are given it, whatever the host's clock.
#[cfg(not(all(feature = "host", not(feature = "tokio"))))]
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
