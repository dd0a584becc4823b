//! The bounds of what stays in this program, and how the library holds it. They are empty where there is one thread.
//!
//! All that the library has itself can be sent to other threads, on every host: a waker and an error have to be, and both
//! may lead to an object of the program. So where the bounds are empty, a program's value is kept in a table of the
//! thread, and the library holds its place.

#[cfg(not(all(target_family = "wasm", not(target_feature = "atomics"))))]
mod many;
#[cfg(any(test, all(target_family = "wasm", not(target_feature = "atomics"))))]
#[cfg_attr(
    not(all(target_family = "wasm", not(target_feature = "atomics"))),
    allow(dead_code, unreachable_pub, reason = "its tests run where it is not in use")
)]
mod one;

#[cfg(not(all(target_family = "wasm", not(target_feature = "atomics"))))]
pub(crate) use self::many::{Object, Staying, WeakObject, downgrade, future, object_of, share};
#[cfg(not(all(target_family = "wasm", not(target_feature = "atomics"))))]
pub use self::many::{Send, Sync};
#[cfg(all(target_family = "wasm", not(target_feature = "atomics")))]
pub(crate) use self::one::{Object, Staying, WeakObject, downgrade, future, object_of, share};
#[cfg(all(target_family = "wasm", not(target_feature = "atomics")))]
pub use self::one::{Send, Sync};
