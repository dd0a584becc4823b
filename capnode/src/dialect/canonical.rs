//! Values in the library's own writing, which is Cap'n Web's: taken apart for another language, and put together
//! from one.

use std::ops::Range;

use super::capnweb::text::{read_base64, unescape};
use super::json::{Broken, Json, MAX_VALUES, is_key};
use crate::bounds;
use crate::error::{Error, ErrorKind};
use crate::kinds::{BigInt, ByteKind};
use crate::op::{Payload, Slot, Text, Word};

mod plain;

pub(super) use self::plain::{Plain, error_members};

/// The deepest nesting of a value that is written in another language. In the text an array takes two levels, and an
/// argument list or a node one more.
pub(super) const MAX_DEPTH: usize = 256;
const MAX_LEVELS: usize = 2 * MAX_DEPTH + 8;

/// The reason that a value cannot be said in a language.
#[derive(Debug)]
pub(super) struct Unsayable(pub(super) String);

pub(super) fn unsayable<T>(why: impl Into<String>) -> Result<T, Unsayable> {
    Err(Unsayable(why.into()))
}

impl Unsayable {
    /// The error of a call that cannot be said.
    pub(super) fn into_error(self) -> Error {
        if self.0 == bounds::TOO_LONG { bounds::too_long() } else { Error::new(ErrorKind::Encode, self.0) }
    }
}

/// The message in place of an error that is longer than a frame may be.
pub(super) const ERROR_TOO_LONG: &str = "an error that is longer than a frame may be";

/// Checks that this many bytes may be written for the connection.
pub(super) fn check_room(bytes: usize) -> Result<(), Unsayable> {
    if bytes <= bounds::writable() { Ok(()) } else { unsayable(bounds::TOO_LONG) }
}

/// A payload taken apart.
pub(super) struct Trees<'a> {
    pub(super) root: Json<'a>,
    pub(super) nodes: Vec<Json<'a>>,
    pub(super) slots: &'a [Slot<Word>],
    /// The bytes of all of the text.
    pub(super) bytes: usize,
}

impl<'a> Trees<'a> {
    pub(super) fn read(payload: &'a Payload<Word>) -> Result<Self, Unsayable> {
        let (buffer, slots) = (payload.text.buffer(), &*payload.refs);
        let failed = |broken| match broken {
            Broken::Deep => Unsayable(format!("the value nests more than {MAX_DEPTH} levels deep")),
            // A text of our own may be as long as a frame.
            Broken::Long | Broken::Large => {
                Unsayable(format!("the value holds more than {MAX_VALUES} values"))
            }
            Broken::Malformed => Unsayable("the text of the value is damaged".to_owned()),
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
    pub(super) fn arguments(&self) -> Result<&[Json<'a>], Unsayable> {
        match &self.root {
            Json::Array(elements) => return Ok(elements),
            Json::Slot(slot) => {
                if let Some(Word::Node(node)) = self.slots.get(*slot).map(|slot| &slot.to) {
                    if let Some(Form::Array(elements)) = self.nodes.get(*node).map(form) {
                        return Ok(elements);
                    }
                }
            }
            _ => {}
        }
        unsayable("the arguments are no list")
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
pub(super) fn number(float: f64) -> String {
    if float.fract() == 0.0 && float.abs() < 1e21 { format!("{float:.0}") } else { format!("{float:?}") }
}

/// An element of a container of bytes, as the number that JavaScript sees.
pub(super) enum Element {
    Number(f64),
    Integer(i128),
}

/// Returns the elements of a container of bytes, given the parts behind the form's name.
pub(super) fn elements(parts: &[Json<'_>]) -> Result<Box<dyn Iterator<Item = Element>>, Unsayable> {
    let kind = match parts.get(1) {
        Some(Json::String(name)) => ByteKind::from_name(name).unwrap_or_default(),
        _ => ByteKind::default(),
    };
    let Some(Ok(data)) = parts.first().and_then(Json::text).map(|base64| read_base64(&base64)) else {
        return unsayable("the text of the value is damaged");
    };
    macro_rules! read {
        ($number:ty) => {{
            const SIZE: usize = std::mem::size_of::<$number>();
            let chunk =
                move |at| data.get(at * SIZE..(at + 1) * SIZE).and_then(|chunk| chunk.try_into().ok());
            (0..).map_while(chunk).map(<$number>::from_le_bytes)
        }};
    }
    Ok(match kind {
        ByteKind::Int8Array => Box::new(read!(i8).map(|n| Element::Integer(n.into()))),
        ByteKind::Int16Array => Box::new(read!(i16).map(|n| Element::Integer(n.into()))),
        ByteKind::Uint16Array => Box::new(read!(u16).map(|n| Element::Integer(n.into()))),
        ByteKind::Int32Array => Box::new(read!(i32).map(|n| Element::Integer(n.into()))),
        ByteKind::Uint32Array => Box::new(read!(u32).map(|n| Element::Integer(n.into()))),
        ByteKind::BigInt64Array => Box::new(read!(i64).map(|n| Element::Integer(n.into()))),
        ByteKind::BigUint64Array => Box::new(read!(u64).map(|n| Element::Integer(n.into()))),
        ByteKind::Float32Array => Box::new(read!(f32).map(|n| Element::Number(n.into()))),
        ByteKind::Float64Array => Box::new(read!(f64).map(Element::Number)),
        _ => Box::new(data.into_iter().map(|n| Element::Integer(n.into()))),
    })
}

/// A number that JavaScript has no big integer for.
pub(super) fn exact_integer(integer: i128) -> Option<String> {
    let float = integer as f64;
    (float as i128 == integer).then(|| number(float))
}

/// Puts a payload together: first the value, then its nodes.
#[derive(Default)]
pub(super) struct Builder {
    pub(super) out: String,
    refs: Vec<Slot<Word>>,
    nodes: Vec<Range<usize>>,
    /// The end of the root; `None` while it is being written.
    root: Option<usize>,
    /// The start of the node that is being written.
    start: usize,
}

impl Builder {
    /// A reference, here.
    pub(super) fn word(&mut self, to: Word) {
        let at = self.out.len();
        self.refs.push(Slot { start: at, end: at, to });
    }

    pub(super) fn undefined(&mut self) {
        self.out.push_str("[\"undefined\"]");
    }

    /// A string or key that stands between quotes in JSON.
    pub(super) fn raw_string(&mut self, raw: &str) {
        self.out.push('"');
        self.out.push_str(raw);
        self.out.push('"');
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
    pub(super) fn finish(mut self) -> Payload<Word> {
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
