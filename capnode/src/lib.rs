//! Live objects shared between programs.

#![warn(missing_docs)]
#![forbid(unsafe_code)]

mod cap;
mod dialect;
mod error;
mod interface;
mod limits;
mod link;
mod op;
mod runtime;
mod session;
mod value;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use capnode_derive::interface;

pub use cap::value::{ErrorValue, Value};
pub use cap::{Cap, OnBroken, Resolver, promise};
pub use dialect::Dialect;
pub use error::{CallError, Error, ErrorKind, Fate};
pub use interface::args::IntoArgs;
pub use interface::call::{Call, Failed};
pub use interface::func::{Func, IntoFallibleFunc, IntoFunc};
pub use interface::{Client, Serve, Wire, WireError, serve};
pub use limits::Limits;
pub use session::Tables;
pub use value::{BigInt, ByteKind, Bytes, Date, Headers, Url};

/// Locks, also after a panic of user code that held no lock of ours.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
