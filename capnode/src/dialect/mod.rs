//! The wire languages: frames to [`Op`](crate::op::Op)s and back, Rust values to text and back.
//!
//! A language is a value ([`Dialect`]), never a feature of the build: one program can speak
//! several at once.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::error::Error;
use crate::op::{Id, Payload};

mod canonical;

pub(crate) mod capnode;
pub(crate) mod capnweb;
mod ids;
mod json;
pub(crate) mod q;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod values;

/// A wire language.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// Cap'n Web, as npm's `capnweb` speaks it; also the language between Rust programs.
    #[default]
    CapnWeb,
}

/// The names that a wire whose ids are strings has for what we lend the peer.
pub(crate) trait Names {
    /// What of ours is called so, if anything is. To ask is to use it: what is not used is forgotten first.
    fn find(&mut self, name: &str) -> Option<Id>;

    /// What an export of ours is called. The index has no name here.
    fn name(&mut self, export: Id) -> Arc<str>;
}

/// Why a message was not written.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The call that cannot be made.
    pub(crate) call: Id,
    pub(crate) error: Error,
}

/// The kind of reference that a serializer finds in a value, and how.
pub(crate) trait Extract: Sized {
    /// The reference inside the newtype that says it is one.
    fn extract<T: Serialize + ?Sized>(newtype: &T) -> Option<Self>;
}

/// What stands at a place of a payload that is being read.
pub(crate) enum Found<'a, R> {
    /// A reference: its token, by which [`Extract`]'s counterpart finds it.
    Reference(u64),
    /// A value that came by another way, to be read as if it stood here.
    Value(&'a Payload<R>),
}

/// How a deserializer hands out a reference.
pub(crate) trait Lookup: Sized {
    fn look_up(&self) -> Found<'_, Self>;
}

/// Why a value could not be written or read.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl serde::ser::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl serde::de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}
