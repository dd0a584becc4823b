//! Values on their way, with live references in them.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Cap, data, slot};
use crate::dialect::capnweb;
use crate::error::{Error, ErrorKind, Fate};
use crate::op::{Payload, Slot};

/// What stands in the place of a reference.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Cap(Cap),
    /// The outcome of a promise that stood here.
    Value(Arc<Nested>),
    /// One of the nodes of the payload that this stands in.
    Inner(usize),
}

/// A value inside another. Shared, since a peer can put one into many others; so what they come to unfolded is
/// known and limited before anything is unfolded.
#[derive(Debug)]
pub(crate) struct Nested {
    pub(crate) body: Body,
    bytes: usize,
    levels: usize,
}

/// Bytes that a reference comes to when it is written.
pub(crate) const REFERENCE: usize = 32;

/// How deep values may stand in values, each of which costs the stack of one.
const LEVELS: usize = 64;

impl Part {
    pub(crate) fn value(body: Body) -> Self {
        let (bytes, levels) = extent(&body);
        Part::Value(Arc::new(Nested { body, bytes, levels }))
    }
}

/// The bytes of a value with all in it unfolded, and how deep values stand in it.
fn extent(body: &Body) -> (usize, usize) {
    let own = (body.text.as_str().len() + body.refs.len() * REFERENCE, 1);
    body.refs.iter().fold(own, |(bytes, levels), slot| match &slot.to {
        Part::Cap(_) | Part::Inner(_) => (bytes, levels),
        Part::Value(nested) => (bytes.saturating_add(nested.bytes), levels.max(nested.levels + 1)),
    })
}

/// The bytes of a value with all in it unfolded, references apart.
pub(crate) fn unfolded_len(body: &Body) -> usize {
    extent(body).0
}

/// Refuses a value that is too much when unfolded.
pub(crate) fn check_extent(body: Body, bytes: usize) -> Result<Body, Error> {
    let (unfolded, levels) = extent(&body);
    let message = if unfolded > bytes {
        format!("the values of the promises in it make a value of more than {bytes} bytes")
    } else if levels > LEVELS {
        format!("a value came as a promise in a promise, more than {LEVELS} times")
    } else {
        return Ok(body);
    };
    Err(Error::new(ErrorKind::Limit, message).with_fate(Fate::Answered))
}

/// A value of which everything is there.
pub(crate) type Body = Payload<Part>;

pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Body, Error> {
    capnweb::to_payload(value)
}

/// The outcome of a call that returned `value`: if it is an `Err`, a failed one.
pub(crate) fn encode_outcome<T: Serialize + ?Sized>(value: &T) -> Result<Body, Error> {
    capnweb::to_outcome(value)
}

pub(crate) fn decode<T: DeserializeOwned>(body: &Body) -> Result<T, Error> {
    if body.refs.is_empty() {
        return capnweb::from_payload(body);
    }
    slot::decoding(|| capnweb::from_payload(body))
}

/// Runs `decode` over arguments.
pub(crate) fn decode_args<T>(
    args: &Body,
    decode: impl FnOnce(&mut capnweb::ArgsReader<'_, Part>) -> Result<T, Error>,
) -> Result<T, Error> {
    slot::decoding(|| decode(&mut capnweb::ArgsReader::new(args)))
}

/// An index from any value. One that cannot be written says so to whoever uses it.
pub(crate) fn index(offered: &impl Serialize) -> Cap {
    encode(offered).map_or_else(|error| Cap::broken(error.about("the index")), to_cap)
}

/// The value that is `undefined`.
pub(crate) fn undefined() -> Body {
    Payload::plain(crate::op::Text::Static("[\"undefined\"]"))
}

/// The value as something that can be called or looked into.
pub(crate) fn to_cap(body: Body) -> Cap {
    match body.root() {
        Some(Part::Cap(cap)) => cap.clone(),
        Some(Part::Value(nested)) => to_cap(nested.body.clone()),
        Some(Part::Inner(_)) | None => data::cap(body),
    }
}

/// How deep objects may stand in objects that are sent as records. What is deeper goes as a function.
const RECORDS: usize = 8;

/// How many objects of one value may be sent as records.
const MAX_RECORDS: usize = 1_000;

/// The value with each object in it, as far as it is known to be one, replaced by the record of what is in the object:
/// for languages that have no words for objects.
pub(crate) fn with_records(body: Body) -> Body {
    expand(body, RECORDS, &mut MAX_RECORDS.clone())
}

fn expand(mut body: Body, depth: usize, left: &mut usize) -> Body {
    for slot in &mut body.refs {
        let inside = match &slot.to {
            Part::Cap(cap) if depth > 0 && *left > 0 => cap.record().map(|record| {
                *left -= 1;
                expand(record, depth - 1, left)
            }),
            Part::Value(nested) => Some(expand(nested.body.clone(), depth, left)),
            _ => None,
        };
        if let Some(inside) = inside {
            slot.to = Part::value(inside);
        }
    }
    body
}

/// The value in one text, with nothing but references in it.
pub(crate) fn flatten(body: Body) -> Payload<Cap> {
    let simple = body.refs.iter().all(|slot| matches!(slot.to, Part::Cap(_)));
    let mut out = String::new();
    let mut refs = Vec::with_capacity(body.refs.len());
    if simple {
        for Slot { start, end, to } in body.refs {
            if let Part::Cap(to) = to {
                refs.push(Slot { start, end, to });
            }
        }
        return Payload { text: body.text, refs, nodes: Vec::new() };
    }
    flatten_into(&body, &mut out, &mut refs);
    Payload { text: out.into(), refs, nodes: Vec::new() }
}

fn flatten_into(body: &Body, out: &mut String, refs: &mut Vec<Slot<Cap>>) {
    let (buffer, range) = (body.text.buffer(), body.text.range());
    let mut written = range.start;
    for slot in &body.refs {
        out.push_str(&buffer[written..slot.start]);
        written = slot.end;
        match &slot.to {
            Part::Cap(cap) => refs.push(Slot { start: out.len(), end: out.len(), to: cap.clone() }),
            Part::Value(nested) => flatten_into(&nested.body, out, refs),
            Part::Inner(_) => out.push_str("null"),
        }
    }
    out.push_str(&buffer[written..range.end]);
}
