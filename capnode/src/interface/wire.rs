//! Types that can travel over a connection.

use std::panic::UnwindSafe;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cap::value::Value;
use crate::error::Error;

/// A type that can travel: serde can write and read it.
///
/// Implemented for every such type; there is nothing to implement.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be sent over a connection",
    label = "this type must implement `Serialize` and `Deserialize`, and be `Send + 'static`",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it, or hand it out as an object by a trait with `#[capnode::interface]`",
    note = "send a function as a `Func`, such as `Func<fn(String) -> u32>`, with owned types only"
)]
pub trait Wire: Serialize + DeserializeOwned + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + 'static> Wire for T {}

/// A type that can be offered to a peer: a client, a function, or data that holds such.
///
/// Implemented for everything that serde can write; there is nothing to implement.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be offered to a peer",
    label = "this is neither a client nor data",
    note = "offer an object by a client: `SeatClient::new(object)`, if it implements the interface `Seat`",
    note = "offer a function by a `Func`: `Func::<fn(u32) -> u32>::new(|x: u32| async move {{ x }})`",
    note = "data is what implements `serde::Serialize`"
)]
pub trait Offer: Serialize {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + ?Sized> Offer for T {}

/// A type that can be the `E` of a method's `Result<T, E>`: an error that serde can write and read, and that holds no
/// reference.
///
/// Implemented for every such type; there is nothing to implement.
///
/// Errors travel without references, so that a client, a [`Func`](crate::Func) or a [`Cap`](crate::Cap) in one could not arrive. A type
/// that has one in it is known by not being [`UnwindSafe`]. That holds for some others too, such as `Box<dyn Error + Send +
/// Sync>`: an error with a field of that kind, which serde has to be told to skip, needs `impl UnwindSafe for MyError {}`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be the error of a method",
    label = "an error must implement `Display`, `Serialize` and `Deserialize`, and hold no reference",
    note = "implement `std::fmt::Display` for it and derive `serde::Serialize` and `serde::Deserialize`",
    note = "for an error of another crate return `Result<T, capnode::Error>`: `?` makes one of a `std::io::Error` or a `Box<dyn Error + Send + Sync>`, and `capnode::Error::rejected(format!(\"{{error:#}}\"))` of any other, such as anyhow's",
    note = "errors travel without clients and functions: return those as a result, or in it",
    note = "if it has a field that serde skips, such as a `Box<dyn Error + Send + Sync>`, write `impl std::panic::UnwindSafe` for it"
)]
pub trait WireError:
    std::fmt::Display + Serialize + DeserializeOwned + Send + Sync + UnwindSafe + 'static
{
}

#[diagnostic::do_not_recommend]
impl<E: std::fmt::Display + Serialize + DeserializeOwned + Send + Sync + UnwindSafe + 'static> WireError
    for E
{
}

// A type that holds a reference can't be an error. These may hold one, and it is found when they are written.
impl UnwindSafe for Error {}
impl UnwindSafe for Value {}
