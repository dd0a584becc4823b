//! Parts of the macro's output: clients and their calls on one side, dispatch to methods on the other.

pub(crate) mod args;
pub(crate) mod call;
pub(crate) mod client;
mod dispatch;
mod from_cap;
pub(crate) mod func;
pub(crate) mod into_reader;
pub(crate) mod map;
mod membrane;
mod promise;
pub(crate) mod stream;
mod untyped;
mod wire;

pub use self::client::{AnInterface, Client, Ordinary, cast, serialize, supertrait};
pub use self::dispatch::{Invocation, IsResult, Serve, serve};
pub use self::from_cap::FromCap;
pub use self::membrane::{membrane, revocable};
pub use self::promise::{Resolver, promise};
pub use self::wire::{Offer, Wire, WireError};
