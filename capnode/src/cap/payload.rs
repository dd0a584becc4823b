//! Values on their way, with live references in them.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Cap, data, slot};
use crate::dialect::capnweb;
use crate::error::Error;
use crate::op::{Payload, Slot};

/// What stands in the place of a reference.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Cap(Cap),
    /// The outcome of a promise that stood here.
    Value(Payload<Part>),
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
        Some(Part::Value(value)) => to_cap(value.clone()),
        None => data::cap(body),
    }
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
        return Payload { text: body.text, refs };
    }
    flatten_into(&body, &mut out, &mut refs);
    Payload { text: out.into(), refs }
}

fn flatten_into(body: &Body, out: &mut String, refs: &mut Vec<Slot<Cap>>) {
    let (buffer, range) = (body.text.buffer(), body.text.range());
    let mut written = range.start;
    for slot in &body.refs {
        out.push_str(&buffer[written..slot.start]);
        written = slot.end;
        match &slot.to {
            Part::Cap(cap) => refs.push(Slot { start: out.len(), end: out.len(), to: cap.clone() }),
            Part::Value(value) => flatten_into(value, out, refs),
        }
    }
    out.push_str(&buffer[written..range.end]);
}
