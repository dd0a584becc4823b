//! Values in the library's own writing, which is Cap'n Web's: taken apart for another language, and put together
//! from one.

use std::ops::Range;

use super::capnweb::text::{read_base64, unescape};
use super::capnweb::{Number, Numbers};
use super::json::{Json, MAX_VALUES, is_key, quote, separate};
use crate::bounds;
use crate::error::{Error, ErrorKind};
use crate::kinds::{BigInt, ByteKind};
use crate::limits::LimitKind;
use crate::message::{CapDescriptor, Payload, Slot, Text};

mod plain;

pub(super) use self::plain::{error_members, write_reason};

/// The deepest nesting of a value that is written in another language. In the text an array takes two levels, and an
/// argument list or a node one more.
pub(super) use crate::limits::MAX_DEPTH;
const MAX_LEVELS: usize = 2 * MAX_DEPTH + 8;

/// The reason that a value cannot be said in a language.
#[derive(Debug)]
pub(super) struct Unrepresentable(pub(super) String);

pub(super) fn unrepresentable<T>(why: impl Into<String>) -> Result<T, Unrepresentable> {
    Err(Unrepresentable(why.into()))
}

impl Unrepresentable {
    /// The error of a call that cannot be said.
    pub(super) fn into_error(self) -> Error {
        if self.0 == bounds::TOO_LONG { bounds::too_long() } else { Error::new(ErrorKind::Encode, self.0) }
    }
}

/// The reason for which a text is refused that our writer never writes.
pub(super) const DAMAGED: &str = "the text of the value is damaged";

/// The reason for which a value is refused that nests too deep.
fn too_deep() -> Unrepresentable {
    Unrepresentable(format!("the value nests more than {MAX_DEPTH} levels deep"))
}

/// Checks that a value may stand at a depth, behind this many bytes.
pub(super) fn check_place(depth: usize, bytes: usize) -> Result<(), Unrepresentable> {
    if depth > MAX_DEPTH { Err(too_deep()) } else { check_room(bytes) }
}

/// Checks that this many bytes may be written for the connection.
pub(super) fn check_room(bytes: usize) -> Result<(), Unrepresentable> {
    if bytes <= bounds::writable() { Ok(()) } else { unrepresentable(bounds::TOO_LONG) }
}

/// Checks that an error may take this many bytes.
pub(super) fn check_error(bytes: usize) -> Result<(), Unrepresentable> {
    check_room(bytes).or_else(|_| unrepresentable("the error is longer than a frame may be"))
}

/// A payload taken apart.
pub(super) struct Trees<'a> {
    pub(super) root: Json<'a>,
    pub(super) nodes: Vec<Json<'a>>,
    pub(super) slots: &'a [Slot<CapDescriptor>],
    /// The bytes of all of the text.
    pub(super) bytes: usize,
}

impl<'a> Trees<'a> {
    pub(super) fn read(payload: &'a Payload<CapDescriptor>) -> Result<Self, Unrepresentable> {
        let (buffer, slots) = (payload.text.buffer(), &*payload.refs);
        let failed = |error: Error| match error.kind() {
            ErrorKind::Limit if error.limit() == Some(LimitKind::Depth) => too_deep(),
            // A text of our own may be as long as a frame.
            ErrorKind::Limit => Unrepresentable(format!("the value holds more than {MAX_VALUES} values")),
            _ => Unrepresentable(DAMAGED.to_owned()),
        };
        let first = |range: &Range<usize>| slots.partition_point(|slot| slot.start < range.start);
        let range = payload.text.range();
        let (root, mut next) =
            Json::parse_part(buffer, range.clone(), slots, first(&range), MAX_LEVELS).map_err(failed)?;
        let mut end = range.end;
        let mut nodes = Vec::with_capacity(payload.nodes.len());
        for range in &payload.nodes {
            // A reference at the very end of the part before is no part of this.
            let from = if range.start == end { first(range).max(next) } else { first(range) };
            let node = Json::parse_part(buffer, range.clone(), slots, from, MAX_LEVELS).map_err(failed)?;
            nodes.push(node.0);
            (next, end) = (node.1, range.end);
        }
        let bytes = range.len() + payload.nodes.iter().map(Range::len).sum::<usize>();
        Ok(Self { root, nodes, slots, bytes })
    }

    /// The elements, if this is a list of arguments.
    pub(super) fn arguments(&self) -> Result<&[Json<'a>], Unrepresentable> {
        match &self.root {
            Json::Array(elements) => return Ok(elements),
            Json::Slot(slot) => {
                if let Some(CapDescriptor::Node(node)) = self.slots.get(*slot).map(|slot| &slot.to) {
                    if let Some(Form::Array(elements)) = self.nodes.get(*node).map(form) {
                        return Ok(elements);
                    }
                }
            }
            _ => {}
        }
        unrepresentable("the arguments are no list")
    }
}

/// The meaning of a piece of canonical text.
pub(super) enum Form<'t, 'a> {
    Undefined,
    Null,
    Bool(bool),
    Number(&'a str),
    NaN,
    Infinity,
    NegativeInfinity,
    BigInt(&'a str),
    Bytes(&'t [Json<'a>]),
    Date(Option<&'a str>),
    Headers(&'t Json<'a>),
    Url(&'a str),
    String(&'a str),
    Array(&'t [Json<'a>]),
    Object(&'t [(&'a str, Json<'a>)]),
    Error {
        name: &'a str,
        message: &'a str,
        properties: &'t [(&'a str, Json<'a>)],
    },
    Slot(usize),
    /// A blob, request or response.
    Fetch(&'a str),
    /// A text that our writer never writes, and our scanner never passes.
    Damaged,
}

pub(super) fn form<'t, 'a>(json: &'t Json<'a>) -> Form<'t, 'a> {
    let parts = match json {
        Json::Null => return Form::Null,
        Json::Bool(value) => return Form::Bool(*value),
        Json::Number(number) => return Form::Number(number),
        Json::String(raw) => return Form::String(raw),
        Json::Object(members) => return Form::Object(members),
        Json::Slot(slot) => return Form::Slot(*slot),
        Json::Array(parts) => parts.as_slice(),
    };
    match parts {
        [Json::Array(elements)] => Form::Array(elements),
        [Json::String(name), rest @ ..] => match (*name, rest) {
            ("undefined", _) => Form::Undefined,
            ("nan", _) => Form::NaN,
            ("inf", _) => Form::Infinity,
            ("-inf", _) => Form::NegativeInfinity,
            ("bigint", [Json::String(digits), ..]) => Form::BigInt(digits),
            ("bytes", [Json::String(_), ..]) => Form::Bytes(rest),
            ("date", [Json::Number(millis), ..]) => Form::Date(Some(millis)),
            ("date", _) => Form::Date(None),
            ("headers", [pairs, ..]) => Form::Headers(pairs),
            ("url", [Json::String(url), ..]) => Form::Url(url),
            ("error", [Json::String(name), Json::String(message), rest @ ..]) => {
                let properties = match rest {
                    [_, Json::Object(members), ..] => members.as_slice(),
                    _ => &[],
                };
                Form::Error { name, message, properties }
            }
            ("blob" | "request" | "response", _) => Form::Fetch(name),
            _ => Form::Damaged,
        },
        _ => Form::Damaged,
    }
}

/// The properties of an error beside those that have a place of their own.
pub(super) fn other_members<'t, 'a, T>(
    members: &'t [(&'a str, T)],
) -> impl Iterator<Item = (&'a str, &'t T)> {
    let own = |key: &str| ["message", "name", "stack"].iter().any(|name| is_key(key, name));
    members.iter().filter(move |(key, _)| !own(key)).map(|(key, value)| (*key, value))
}

/// The number that is exactly this big integer, if there is one, in JSON.
pub(super) fn exact_number(raw: &str) -> Option<String> {
    let integer = BigInt::from_js(&unescape(raw))?;
    let float: f64 = integer.as_str().parse().ok()?;
    if !float.is_finite() || format!("{float:.0}") != integer.as_str() {
        return None;
    }
    Some(number(float))
}

/// A finite number in JSON. Integers are written to their last digit, for readers that have more than doubles.
fn number(float: f64) -> String {
    if float.fract() == 0.0 && float.abs() < 1e21 { format!("{float:.0}") } else { format!("{float:?}") }
}

/// Returns the elements of a container of bytes, given the parts behind the form's name.
pub(super) fn elements(parts: &[Json<'_>]) -> Result<Numbers, Unrepresentable> {
    let kind = match parts.get(1) {
        Some(Json::String(name)) => ByteKind::from_name(name).unwrap_or_default(),
        _ => ByteKind::default(),
    };
    match parts.first().and_then(Json::text).map(|base64| read_base64(&base64)) {
        Some(Ok(data)) => Ok(Numbers::new(data, kind)),
        _ => unrepresentable(DAMAGED),
    }
}

/// Returns an element of a container of bytes in JSON, if JSON can say it exactly.
pub(super) fn exact_element(element: &Number) -> Option<String> {
    match *element {
        Number::Float(float) => float.is_finite().then(|| number(float)),
        Number::Signed(integer) => exact_integer(integer.into()),
        Number::Unsigned(integer) => exact_integer(integer.into()),
    }
}

/// Writes bytes as a list of numbers, after `before` bytes of the same value. `special` writes a float that JSON has no
/// number for.
pub(super) fn write_bytes(
    parts: &[Json<'_>],
    title: &str,
    before: usize,
    out: &mut String,
    special: fn(f64, &mut String) -> Result<(), Unrepresentable>,
) -> Result<(), Unrepresentable> {
    let start = out.len();
    out.push('[');
    for (at, element) in elements(parts)?.enumerate() {
        separate(at, out);
        check_room(before + out.len() - start)?;
        match (exact_element(&element), element) {
            (Some(number), _) => out.push_str(&number),
            (None, Number::Float(float)) => special(float, out)?,
            (None, Number::Signed(integer)) => return too_large(title, &integer.to_string()),
            (None, Number::Unsigned(integer)) => return too_large(title, &integer.to_string()),
        }
    }
    out.push(']');
    Ok(())
}

/// Writes a value that every language says alike. `title` names the language that cannot say it.
pub(super) fn write_scalar(
    form: &Form<'_, '_>,
    title: &str,
    out: &mut String,
) -> Result<(), Unrepresentable> {
    match form {
        Form::Null => out.push_str("null"),
        Form::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Form::Number(number) => out.push_str(number),
        Form::BigInt(raw) => match exact_number(raw) {
            Some(number) => out.push_str(&number),
            None => return too_large(title, &unescape(raw)),
        },
        Form::String(raw) | Form::Url(raw) => quote(raw, out),
        Form::Date(_) => {
            return unrepresentable(format!("a date cannot be said in {title}; send its milliseconds"));
        }
        Form::Headers(_) => {
            return unrepresentable(format!(
                "headers cannot be said in {title}; send them as pairs of strings"
            ));
        }
        Form::Fetch(name) => {
            return unrepresentable(format!("a {name} cannot be said in {title}; send its bytes"));
        }
        _ => return unrepresentable(DAMAGED),
    }
    Ok(())
}

fn too_large<T>(title: &str, digits: &str) -> Result<T, Unrepresentable> {
    let digits: String = digits.chars().take(60).collect();
    unrepresentable(format!("{title} has no integer as large as {digits}"))
}

/// Opens the object as which an error is written, with its message and, unless it is `Error`, its name.
pub(super) fn open_error(name: &str, message: &str, out: &mut String) {
    out.push_str("{\"message\":");
    quote(message, out);
    if name != "Error" {
        out.push_str(",\"name\":");
        quote(name, out);
    }
}

/// A number that JavaScript has no big integer for.
fn exact_integer(integer: i128) -> Option<String> {
    let float = integer as f64;
    (float as i128 == integer).then(|| number(float))
}

/// Puts a payload together: first the value, then its nodes.
#[derive(Default)]
pub(super) struct Builder {
    pub(super) out: String,
    refs: Vec<Slot<CapDescriptor>>,
    nodes: Vec<Range<usize>>,
    /// The end of the root; `None` while it is being written.
    root: Option<usize>,
    /// The start of the node that is being written.
    start: usize,
}

impl Builder {
    /// A reference, here.
    pub(super) fn reference(&mut self, to: CapDescriptor) {
        let at = self.out.len();
        self.refs.push(Slot { start: at, end: at, to });
    }

    pub(super) fn undefined(&mut self) {
        self.out.push_str("[\"undefined\"]");
    }

    /// A string or key that stands between quotes in JSON.
    pub(super) fn raw_string(&mut self, raw: &str) {
        quote(raw, &mut self.out);
    }

    /// Opens an error: writes its raw message, and its name, which is `Error` unless it is a string.
    pub(super) fn open_error(&mut self, name: Option<&Json<'_>>, message: &str) {
        self.out.push_str("[\"error\",");
        self.raw_string(match name {
            Some(Json::String(name)) => name,
            _ => "Error",
        });
        self.out.push(',');
        self.raw_string(message);
    }

    /// Ends the root or the node that was being written, and begins the next node.
    pub(super) fn next(&mut self) {
        match self.root {
            None => self.root = Some(self.out.len()),
            Some(_) => self.nodes.push(self.start..self.out.len()),
        }
        // The next node must not begin where the root ends: an empty root's reference stands there.
        self.out.push('\n');
        self.start = self.out.len();
    }

    /// Returns the written text, up to the last [`next`](Self::next).
    pub(super) fn finish(mut self) -> Payload<CapDescriptor> {
        let root = self.root.unwrap_or(self.out.len());
        let text = if self.nodes.is_empty() {
            self.out.truncate(root);
            Text::Own(self.out)
        } else {
            Text::Shared { frame: self.out.into(), start: 0, end: root }
        };
        Payload { text, refs: self.refs.into(), nodes: self.nodes.into() }
    }
}
