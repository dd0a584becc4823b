//! Cap'n Web, as npm's `capnweb` 0.12 speaks it.
//!
//! A frame is a JSON array that begins with the name of the message; a value is a JSON expression
//! in which arrays are special forms. What is said here about the protocol was observed of that
//! package.
//!
//! On the way in the scanner passes over a frame once, checks all of it and finds its references;
//! later the reader turns the parts into Rust values. On the way out the writer turns Rust values
//! into text and notes where references belong, and only the finished message names them by ids.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bounds;
use crate::dialect::{Extract, Failure, Found, Lookup, Node, Place};
use crate::error::{Error, ErrorKind};
use crate::op::{Key, Payload};

mod args;
mod de;
mod depth;
mod error;
mod message;
mod scan;
mod ser;
#[cfg(test)]
mod tests;
pub(in crate::dialect) mod text;

pub(crate) use self::args::{ArgsReader, ArgsWriter};
pub(crate) use self::depth::Depth;
#[cfg(test)]
use self::error::error_property;
pub(crate) use self::error::{error_data, error_text, read_error, to_outcome};
pub(crate) use self::message::{parse, write};
pub(crate) use self::text::write_string;

use self::de::Reader;
pub(crate) use self::de::places::{Places, range_at, reference_at};
use self::ser::Writer;

/// An expression at this depth is refused by npm's `capnweb`, by the sender and by the receiver;
/// so it is here. The arguments of a call are at depth 1, and each object or array adds one.
pub(crate) const MAX_DEPTH: usize = 256;

/// Writes a value as an expression.
pub(crate) fn to_payload<R: Extract, T: Serialize + ?Sized>(value: &T) -> Result<Payload<R>, Error> {
    written(Writer::at_depth(0), value)
}

/// The same; the value is written for a connection, and so may be as long as that allows.
pub(crate) fn to_bounded<R: Extract, T: Serialize + ?Sized>(value: &T) -> Result<Payload<R>, Error> {
    let mut writer = Writer::at_depth(0);
    writer.bound();
    written(writer, value)
}

fn written<R: Extract, T: Serialize + ?Sized>(mut writer: Writer<R>, value: &T) -> Result<Payload<R>, Error> {
    let written = value.serialize(&mut writer);
    if writer.is_full() {
        return Err(bounds::too_long());
    }
    written.map_err(encode_error)?;
    Ok(writer.finish())
}

/// Reads an expression.
pub(crate) fn from_payload<R: Lookup, T: DeserializeOwned>(payload: &Payload<R>) -> Result<T, Error> {
    T::deserialize(&mut Reader::new(payload)).map_err(decode_error)
}

/// What `key` of a value is, if the value is an object or array that has it.
pub(crate) fn member<R: Lookup + Clone>(value: &Payload<R>, key: &Key) -> Option<Payload<R>> {
    let at = Places::default().find(value, value.text.range().start, key)?;
    Some(value.slice(range_at(value, at)?))
}

/// The names of what is in a value: the members of an object, the indexes of an array.
pub(crate) fn keys<R: Lookup>(value: &Payload<R>) -> Result<Vec<String>, Error> {
    Reader::new(value).keys().map_err(decode_error)
}

fn encode_error(failure: Failure) -> Error {
    Error::new(ErrorKind::Encode, failure.0)
}

fn decode_error(failure: Failure) -> Error {
    // It may quote what came.
    let message = match failure.0.char_indices().nth(400) {
        Some((end, _)) => format!("{}…", &failure.0[..end]),
        None => failure.0,
    };
    Error::new(ErrorKind::Decode, message)
}

/// The start of a text of the peer's, for a message.
fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

/// In values that may hold no references.
#[derive(Clone, Debug)]
enum NoReference {}

impl Extract for NoReference {
    fn extract<T: Serialize + ?Sized>(_: &T) -> Option<Self> {
        None
    }
}

impl Lookup for NoReference {
    type Graph = NoReference;

    fn look_up<'a>(&'a self, _: Option<&'a NoReference>) -> Found<'a, Self> {
        match *self {}
    }

    fn node(graph: &NoReference, _: usize) -> Option<Place<'_, Self>> {
        match *graph {}
    }

    fn unfolded_bytes(graph: &Self::Graph) -> usize {
        match *graph {}
    }

    fn address(graph: &NoReference) -> *const () {
        match *graph {}
    }

    fn token(node: Node<'_, Self>) -> Option<u64> {
        match *node.graph {}
    }

    fn record(_: Place<'_, Self>, _: Option<Node<'_, Self>>) -> Option<u64> {
        None
    }
}
