//! The wire languages: frames to [`Message`](crate::message::Message)s and back, Rust values to text and back.
//!
//! A language is a value ([`Dialect`]), never a feature of the build: one program can speak
//! several at once.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;
use serde::de::{Expected, Unexpected};

use crate::error::{Error, ErrorKind};
use crate::kinds::Bytes;
use crate::limits::LimitKind;
use crate::message::{Id, Payload, Slot};

mod canonical;
mod capabilities;
pub(crate) mod capnode;
pub(crate) mod capnweb;
mod codec;
mod detect;
mod flat;
mod ids;
pub(crate) mod json;
pub(crate) mod q;
mod stack;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod values;

pub(crate) use self::capabilities::{Capabilities, PROBE, Probe};
pub(crate) use self::codec::Codec;

/// A wire language.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// Cap'n Web, as npm's `capnweb` speaks it; also the language between Rust programs.
    #[default]
    CapnWeb,
    /// Capnode, as danfinlay's `capnode` 4.0.2 speaks it.
    Capnode,
    /// Q-Connection, as npm's `q-connection` 0.6.1 speaks it.
    Q,
}

/// Writes the name that [`FromStr`] reads: `capnweb`, `capnode` or `q`.
impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dialect::CapnWeb => "capnweb",
            Dialect::Capnode => "capnode",
            Dialect::Q => "q",
        })
    }
}

impl FromStr for Dialect {
    type Err = Error;

    /// Reads `capnweb`, `capnode`, or `q` (also `q-connection`).
    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "capnweb" => Ok(Dialect::CapnWeb),
            "capnode" => Ok(Dialect::Capnode),
            "q" | "q-connection" => Ok(Dialect::Q),
            _ => {
                let message = format!("`{name}` is no language: use capnweb, capnode or q");
                Err(Error::new(ErrorKind::Unsupported, message))
            }
        }
    }
}

/// The names of our exports on a wire whose ids are strings.
pub(crate) trait ExportNames {
    /// Finds the export of this name. A look-up counts as a use: the least recently used name is forgotten first.
    fn find(&mut self, name: &str) -> Option<Id>;

    /// Returns the name of an export. The index has no name here.
    fn name(&mut self, export: Id) -> Arc<str>;

    /// Returns the number that the call being read will have.
    fn number(&mut self) -> Id;
}

fn too_deep(depth: usize) -> Error {
    Error::over(LimitKind::Depth, format!("the message nests {depth} levels deep, which is too deep"))
}

fn too_long(bytes: usize) -> Error {
    Error::over(LimitKind::StringBytes, format!("a string is longer than {bytes} bytes"))
}

/// Levels of a frame of Capnode or Q-Connection around its values.
const ENVELOPE: usize = 4;

/// The kind of reference that a serializer finds in a value, and how.
pub(crate) trait ExtractRef: Sized {
    /// The reference inside the newtype that says it is one.
    fn extract<T: Serialize + ?Sized>(newtype: &T) -> Option<Self>;

    /// Returns the reference that stands for bytes beside the text, if there are such.
    fn of_bytes(bytes: Bytes) -> Option<Self>;
}

/// The content of a place in a payload that is being read.
pub(crate) enum ResolvedRef<'a, R: ResolveRef> {
    /// A reference: its token, by which [`ExtractRef`]'s counterpart finds it.
    Reference(u64),
    /// A value that came by another way, to be read as if it stood here.
    Value(&'a Payload<R>),
    /// Bytes that came beside the text.
    Bytes(&'a Bytes),
    /// A value that stands in several places, or inside itself.
    Node(NodeRef<'a, R>),
}

/// One of the values of a graph.
pub(crate) struct NodeRef<'a, R: ResolveRef> {
    pub(crate) graph: &'a R::Graph,
    pub(crate) index: usize,
}

impl<R: ResolveRef> Clone for NodeRef<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R: ResolveRef> Copy for NodeRef<'_, R> {}

impl<R: ResolveRef> PartialEq for NodeRef<'_, R> {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && R::address(self.graph) == R::address(other.graph)
    }
}

/// A value where it stands in a longer text.
pub(crate) struct ValueSlice<'a, R: ResolveRef> {
    pub(crate) buffer: &'a str,
    pub(crate) range: Range<usize>,
    /// The references inside the range, and perhaps others.
    pub(crate) refs: &'a [Slot<R>],
    /// The graph whose nodes the references can lead to.
    pub(crate) graph: Option<&'a R::Graph>,
}

/// Looks up references for a deserializer that hands them out.
pub(crate) trait ResolveRef: Sized {
    /// The holder of the values that stand in several places.
    type Graph;

    /// Returns the content of the reference's place. A number of a node is meant in `graph`.
    fn resolve<'a>(&'a self, graph: Option<&'a Self::Graph>) -> ResolvedRef<'a, Self>;

    /// Returns the place of a node.
    fn node(graph: &Self::Graph, index: usize) -> Option<ValueSlice<'_, Self>>;

    /// Bytes that may be read of a graph's nodes at once, each as often as it is met.
    fn unfolded_bytes(graph: &Self::Graph) -> usize;

    /// Returns an address that identifies the graph.
    fn address(graph: &Self::Graph) -> *const ();

    /// Returns the token of a node that is handed out as itself, unread.
    fn token(node: NodeRef<'_, Self>) -> Option<u64>;

    /// Returns the token of a reference to a record; `None` for a record without anything to call in it.
    fn record(record: ValueSlice<'_, Self>, node: Option<NodeRef<'_, Self>>) -> Option<u64>;
}

/// The reason that a value could not be written or read.
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

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        match found {
            // Nothing else is read as one by a type that does not ask for it.
            Unexpected::NewtypeStruct => Self(format!("invalid type: a reference, expected {expected}")),
            found => Self(format!("invalid type: {found}, expected {expected}")),
        }
    }
}
