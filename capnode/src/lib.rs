//! Live objects shared between programs.

#![warn(missing_docs)]
#![forbid(unsafe_code)]

// The macro's output names the crate, also in its own tests.
#[cfg(test)]
extern crate self as capnode;

#[cfg(feature = "axum")]
pub mod axum;
mod cap;
#[cfg(feature = "tokio")]
mod connection;
mod dialect;
#[cfg(feature = "tokio")]
mod driver;
mod error;
mod interface;
mod limits;
mod link;
#[cfg(feature = "tokio")]
mod node;
mod op;
#[cfg(feature = "tokio")]
mod origin;
mod runtime;
mod session;
#[cfg(feature = "tokio")]
pub mod transport;
mod value;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use capnode_derive::interface;

pub use cap::value::{ErrorValue, Value};
pub use cap::{Cap, OnBroken, Resolver, promise};
#[cfg(feature = "tokio")]
pub use connection::{Connection, FromConnection};
pub use dialect::Dialect;
pub use error::{CallError, Error, ErrorKind, Fate};
pub use interface::args::UntypedArgs;
pub use interface::call::{Call, Failed};
pub use interface::func::{Func, IntoFallibleFunc, IntoFunc};
pub use interface::{Client, Serve, Wire, WireError, serve};
pub use limits::Limits;
#[cfg(feature = "tokio")]
pub use node::{Connect, Incoming, Listener, Node, connect, connect_over};
pub use session::Tables;
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;
pub use value::{BigInt, ByteKind, Bytes, Date, Headers, Url};

/// Locks, also after a panic of user code that held no lock of ours.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
