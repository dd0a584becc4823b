//! A JSON text as a tree that borrows from it, for the codecs that are not made for speed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

use super::capnweb::lexer::Lexer;
use super::capnweb::text::unescape;
use super::too_deep;
use crate::error::{Error, ErrorKind};
use crate::limits::{LimitKind, Limits};
use crate::message::Slot;

#[cfg(test)]
mod tests;

/// A JSON value. Strings and keys stand as between their quotes, checked and not unescaped; numbers as they
/// were written. Of equal keys in an object only the last is left, in the place of the first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    String(&'a str),
    Array(Vec<Json<'a>>),
    Object(Vec<(&'a str, Json<'a>)>),
    /// A place for a reference, by its number among the slots.
    Slot(usize),
}

/// The most values of a text. As a tree each takes some thirty bytes, and two in a text: without this a frame would
/// come to many times its size.
pub(crate) const MAX_VALUES: usize = 2 << 20;

type Result<T> = std::result::Result<T, Error>;

impl<'a> Json<'a> {
    /// Reads all of `text`, in which nothing may stand at `depth`, and no string be longer than `string_bytes`.
    pub(crate) fn parse(text: &'a str, depth: usize, string_bytes: usize) -> Result<Self> {
        Parser::<()>::new(Lexer::new(text, 0, string_bytes), depth, &[], 0).whole()
    }

    /// Reads all of `text` like [`parse`](Self::parse), and leaves equal keys in for the caller to refuse.
    #[cfg(feature = "signed")]
    pub(crate) fn parse_with_repeats(text: &'a str, depth: usize) -> Result<Self> {
        let mut parser = Parser::<()>::new(Lexer::new(text, 0, usize::MAX), depth, &[], 0);
        parser.keeps_repeats = true;
        parser.whole()
    }

    /// Reads a part of a payload's text, whose references begin with the slot `next`.
    pub(crate) fn parse_part<R>(
        buffer: &'a str,
        range: Range<usize>,
        slots: &[Slot<R>],
        next: usize,
        depth: usize,
    ) -> Result<(Self, usize)> {
        let lexer = Lexer::new(buffer.get(..range.end).unwrap_or(buffer), range.start, usize::MAX);
        let mut parser = Parser::new(lexer, depth, slots, next);
        let json = parser.whole()?;
        Ok((json, parser.next))
    }

    /// The member `key` of an object, which is written without escapes.
    pub(crate) fn get(&self, key: &str) -> Option<&Json<'a>> {
        let Json::Object(members) = self else { return None };
        members.iter().find(|(name, _)| is_key(name, key)).map(|(_, value)| value)
    }

    /// Returns the text of a string; `None` for any other value.
    pub(crate) fn text(&self) -> Option<Cow<'a, str>> {
        match self {
            Json::String(raw) => Some(unescape(raw)),
            _ => None,
        }
    }

    /// Returns the elements of an array, or the values of the members of an object.
    pub(crate) fn children(&self) -> impl Iterator<Item = &Json<'a>> {
        let (elements, members): (&[Json<'a>], &[(&str, Json<'a>)]) = match self {
            Json::Array(elements) => (elements, &[]),
            Json::Object(members) => (&[], members),
            _ => (&[], &[]),
        };
        elements.iter().chain(members.iter().map(|(_, value)| value))
    }

    /// `true` if JavaScript takes the value for true.
    pub(crate) fn is_truthy(&self) -> bool {
        match self {
            Json::Null | Json::Bool(false) | Json::String("") => false,
            Json::Number(number) => number.parse::<f64>().is_ok_and(|number| number != 0.0),
            _ => true,
        }
    }
}

/// Returns the text of a raw string or key, unless a surrogate stands alone in it.
#[cfg(feature = "signed")]
pub(crate) fn text_of(raw: &str) -> Option<String> {
    let (mut rest, mut high) = (raw, false);
    while let Some(at) = rest.find('\\') {
        let escape = &rest[at + 1..];
        let digits = escape.strip_prefix('u').and_then(|digits| digits.get(..4));
        let unit = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0);
        if (high && at > 0) || high != (0xDC00..0xE000).contains(&unit) {
            return None;
        }
        high = (0xD800..0xDC00).contains(&unit);
        rest = escape.get(if digits.is_some() { 5 } else { 1 }..).unwrap_or_default();
    }
    (!high).then(|| unescape(raw).into_owned())
}

/// `true` if a raw key says `name`.
pub(crate) fn is_key(raw: &str, name: &str) -> bool {
    raw == name || (raw.len() > name.len() && raw.contains('\\') && unescape(raw) == name)
}

/// Writes a raw string or key between quotes.
pub(crate) fn quote(raw: &str, out: &mut String) {
    out.push('"');
    out.push_str(raw);
    out.push('"');
}

/// Writes the comma before any part but the first, which is the part `at` of a list.
pub(crate) fn separate(at: usize, out: &mut String) {
    if at > 0 {
        out.push(',');
    }
}

/// The object without all but the last of equal keys.
fn without_repeats<'a>(members: Vec<(&'a str, Json<'a>)>) -> Vec<(&'a str, Json<'a>)> {
    let plain = members.iter().all(|(key, _)| !key.contains('\\'));
    let unlike =
        |(at, (key, _)): (usize, &(&str, Json<'_>))| members[..at].iter().all(|(other, _)| other != key);
    if plain && members.len() <= 12 && members.iter().enumerate().all(unlike) {
        return members;
    }
    let mut places = HashMap::with_capacity(members.len());
    let mut kept: Vec<(&str, Json<'_>)> = Vec::with_capacity(members.len());
    for (key, value) in members {
        match places.entry(unescape(key)) {
            Entry::Occupied(place) => {
                let place: usize = *place.get();
                kept[place].1 = value;
            }
            Entry::Vacant(place) => {
                place.insert(kept.len());
                kept.push((key, value));
            }
        }
    }
    kept
}

struct Parser<'a, 's, R> {
    lexer: Lexer<'a>,
    /// The depth at which nothing may stand.
    max_depth: usize,
    depth: usize,
    slots: &'s [Slot<R>],
    next: usize,
    /// Values that may still come.
    left: usize,
    /// `true` if equal keys of an object are left in.
    keeps_repeats: bool,
}

impl<'a, 's, R> Parser<'a, 's, R> {
    fn new(lexer: Lexer<'a>, max_depth: usize, slots: &'s [Slot<R>], next: usize) -> Self {
        Self { lexer, max_depth, depth: 0, slots, next, left: MAX_VALUES, keeps_repeats: false }
    }

    fn whole(&mut self) -> Result<Json<'a>> {
        let json = self.value()?;
        if self.lexer.ahead().is_empty() { Ok(json) } else { self.lexer.bad("the end of the text") }
    }

    fn value(&mut self) -> Result<Json<'a>> {
        let too_many =
            || Error::new(ErrorKind::Limit, format!("a message holds more than {MAX_VALUES} values"));
        self.left = self.left.checked_sub(1).ok_or_else(too_many)?;
        if let Some(end) = self.slot() {
            self.lexer.pos = self.lexer.pos.max(end);
            self.next += 1;
            return Ok(Json::Slot(self.next - 1));
        }
        match self.lexer.peek() {
            b'"' => self.lexer.string().map(Json::String),
            b'[' => self.list(b']', Self::value).map(Json::Array),
            b'{' => {
                let members = self.list(b'}', Self::member)?;
                Ok(Json::Object(if self.keeps_repeats { members } else { without_repeats(members) }))
            }
            b't' => self.lexer.literal("true").map(|()| Json::Bool(true)),
            b'f' => self.lexer.literal("false").map(|()| Json::Bool(false)),
            b'n' => self.lexer.literal("null").map(|()| Json::Null),
            _ => self.lexer.number().map(Json::Number),
        }
    }

    /// Returns the end of the reference that stands here, if one does. White space may stand around an empty one.
    fn slot(&mut self) -> Option<usize> {
        self.lexer.peek();
        let slot = self.slots.get(self.next)?;
        (slot.start <= self.lexer.pos && slot.end <= self.lexer.end()).then_some(slot.end)
    }

    fn member(&mut self) -> Result<(&'a str, Json<'a>)> {
        let key = self.lexer.string()?;
        self.lexer.expect(b':', "a colon")?;
        Ok((key, self.value()?))
    }

    /// Reads an array or object, whose bracket is next.
    fn list<T>(&mut self, close: u8, read: impl Fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        if self.depth == self.max_depth {
            return Err(too_deep(self.max_depth));
        }
        self.depth += 1;
        self.lexer.pos += 1;
        let mut parts = Vec::new();
        let is_slot = close == b']' && self.slot().is_some();
        if is_slot || !self.lexer.take(close) {
            parts.push(read(self)?);
            while self.lexer.take(b',') {
                parts.push(read(self)?);
            }
            self.lexer.expect(close, "a comma or the end")?;
        }
        self.depth -= 1;
        Ok(parts)
    }
}

/// Reads a message as a tree, in which no value may stand at `depth`. `None` if it is no JSON.
pub(super) fn tree<'a>(frame: &'a str, depth: usize, limits: &Limits) -> Result<Option<Json<'a>>> {
    match Json::parse(frame, depth, limits.string_bytes) {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == ErrorKind::Protocol => Ok(None),
        Err(error) if error.limit() == Some(LimitKind::Depth) => Err(too_deep(limits.depth)),
        Err(error) => Err(error),
    }
}
