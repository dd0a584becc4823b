//! A JSON text as a tree that borrows from it, for the codecs that are not made for speed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

use super::capnweb::text::{plain_run, unescape};
use super::{too_deep, too_long};
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
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

/// The fault for which a text was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    Malformed,
    Deep,
    /// A string is too long.
    Long,
    Large,
}

/// The most values of a text. As a tree each takes some thirty bytes, and two in a text: without this a frame would
/// come to many times its size.
pub(crate) const MAX_VALUES: usize = 2 << 20;

type Result<T> = std::result::Result<T, Broken>;

impl<'a> Json<'a> {
    /// Reads all of `text`, in which nothing may stand at `depth`, and no string be longer than `string`.
    pub(crate) fn parse(text: &'a str, depth: usize, string: usize) -> Result<Self> {
        let (end, left) = (text.len(), MAX_VALUES);
        Parser::<()> { buffer: text, pos: 0, end, slots: &[], next: 0, depth, string, left }.whole()
    }

    /// Reads a part of a payload's text, whose references begin with the slot `next`.
    pub(crate) fn parse_part<R>(
        buffer: &'a str,
        range: Range<usize>,
        slots: &[Slot<R>],
        next: usize,
        depth: usize,
    ) -> Result<(Self, usize)> {
        let end = range.end.min(buffer.len());
        let (pos, string, left) = (range.start, usize::MAX, MAX_VALUES);
        let mut parser = Parser { buffer, pos, end, slots, next, depth, string, left };
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
    pub(crate) fn children(&self) -> Box<dyn Iterator<Item = &Json<'a>> + '_> {
        match self {
            Json::Array(elements) => Box::new(elements.iter()),
            Json::Object(members) => Box::new(members.iter().map(|(_, value)| value)),
            _ => Box::new(std::iter::empty()),
        }
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

/// `true` if a raw key says `name`.
pub(crate) fn is_key(raw: &str, name: &str) -> bool {
    raw == name || (raw.contains('\\') && unescape(raw) == name)
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
    buffer: &'a str,
    pos: usize,
    end: usize,
    slots: &'s [Slot<R>],
    next: usize,
    /// Levels that may still be opened.
    depth: usize,
    /// The most bytes of a string.
    string: usize,
    /// Values that may still come.
    left: usize,
}

impl<'a, R> Parser<'a, '_, R> {
    fn whole(&mut self) -> Result<Json<'a>> {
        let json = self.value()?;
        if self.peek().is_none() { Ok(json) } else { Err(Broken::Malformed) }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        if at < self.end { self.buffer.as_bytes().get(at).copied() } else { None }
    }

    /// The next byte that is no white space, left where it is.
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte(self.pos) {
            self.pos += 1;
        }
        self.byte(self.pos)
    }

    fn take(&mut self, byte: u8) -> bool {
        // See `Reader::take`.
        if self.peek() != Some(byte) {
            return false;
        }
        self.pos += 1;
        true
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.take(byte) { Ok(()) } else { Err(Broken::Malformed) }
    }

    fn value(&mut self) -> Result<Json<'a>> {
        self.left = self.left.checked_sub(1).ok_or(Broken::Large)?;
        let found = self.peek();
        if let Some(slot) = self.slots.get(self.next) {
            // White space may stand around an empty one.
            if slot.start <= self.pos && slot.end <= self.end {
                self.pos = self.pos.max(slot.end);
                self.next += 1;
                return Ok(Json::Slot(self.next - 1));
            }
        }
        match found {
            Some(b'"') => self.string().map(Json::String),
            Some(b'[') => self.deeper(Self::array),
            Some(b'{') => self.deeper(Self::object),
            Some(b't') => self.literal("true", Json::Bool(true)),
            Some(b'f') => self.literal("false", Json::Bool(false)),
            Some(b'n') => self.literal("null", Json::Null),
            _ => self.number().map(Json::Number),
        }
    }

    fn deeper(&mut self, read: fn(&mut Self) -> Result<Json<'a>>) -> Result<Json<'a>> {
        self.depth = self.depth.checked_sub(1).ok_or(Broken::Deep)?;
        self.pos += 1;
        let json = read(self)?;
        self.depth += 1;
        Ok(json)
    }

    fn array(&mut self) -> Result<Json<'a>> {
        let mut elements = Vec::new();
        if self.is_end(b']') {
            return Ok(Json::Array(elements));
        }
        loop {
            elements.push(self.value()?);
            if !self.take(b',') {
                self.expect(b']')?;
                return Ok(Json::Array(elements));
            }
        }
    }

    /// Passes the closing bracket if it comes at once, with no reference between; `true` if it did.
    fn is_end(&mut self, close: u8) -> bool {
        let slot_first = close == b']' && {
            self.peek();
            self.slots.get(self.next).is_some_and(|slot| slot.start <= self.pos && slot.end <= self.end)
        };
        !slot_first && self.take(close)
    }

    fn object(&mut self) -> Result<Json<'a>> {
        let mut members = Vec::new();
        if self.is_end(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.peek();
            let key = self.string()?;
            self.expect(b':')?;
            members.push((key, self.value()?));
            if !self.take(b',') {
                self.expect(b'}')?;
                return Ok(Json::Object(without_repeats(members)));
            }
        }
    }

    fn literal(&mut self, literal: &str, json: Json<'a>) -> Result<Json<'a>> {
        if !self.buffer[self.pos..self.end].starts_with(literal) {
            return Err(Broken::Malformed);
        }
        self.pos += literal.len();
        Ok(json)
    }

    /// A string, as it stands between its quotes, checked.
    fn string(&mut self) -> Result<&'a str> {
        self.expect(b'"')?;
        let start = self.pos;
        loop {
            self.pos += plain_run(self.buffer.as_bytes().get(self.pos..self.end).unwrap_or_default());
            match self.byte(self.pos) {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(0..0x20) | None => return Err(Broken::Malformed),
                Some(_) => self.pos += 1,
            }
        }
        let found = &self.buffer[start..self.pos];
        self.pos += 1;
        if found.len() > self.string { Err(Broken::Long) } else { Ok(found) }
    }

    fn escape(&mut self) -> Result<()> {
        self.pos += match self.byte(self.pos + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u')
                if (2..6).all(|at| self.byte(self.pos + at).is_some_and(|b| b.is_ascii_hexdigit())) =>
            {
                6
            }
            _ => return Err(Broken::Malformed),
        };
        Ok(())
    }

    fn number(&mut self) -> Result<&'a str> {
        let start = self.pos;
        if self.byte(self.pos) == Some(b'-') {
            self.pos += 1;
        }
        let whole = self.pos;
        self.digits()?;
        if self.byte(whole) == Some(b'0') && self.pos > whole + 1 {
            return Err(Broken::Malformed);
        }
        if self.byte(self.pos) == Some(b'.') {
            self.pos += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte(self.pos) {
            self.pos += 1;
            if let Some(b'+' | b'-') = self.byte(self.pos) {
                self.pos += 1;
            }
            self.digits()?;
        }
        Ok(&self.buffer[start..self.pos])
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.pos;
        while self.byte(self.pos).is_some_and(|byte| byte.is_ascii_digit()) {
            self.pos += 1;
        }
        if self.pos > start { Ok(()) } else { Err(Broken::Malformed) }
    }
}

/// Reads a message as a tree, in which no value may stand at `depth`. `None` if it is no JSON.
pub(super) fn tree<'a>(
    frame: &'a str,
    depth: usize,
    limits: &Limits,
) -> std::result::Result<Option<Json<'a>>, Error> {
    match Json::parse(frame, depth, limits.string_bytes) {
        Ok(message) => Ok(Some(message)),
        Err(Broken::Malformed) => Ok(None),
        Err(Broken::Deep) => Err(too_deep(limits.depth)),
        Err(Broken::Long) => Err(too_long(limits.string_bytes)),
        Err(Broken::Large) => {
            let message = format!("a message holds more than {} values", MAX_VALUES);
            Err(Error::new(ErrorKind::Limit, message))
        }
    }
}
