//! Expressions to Rust values: a deserializer over the text of a payload.
//!
//! The text has passed the scanner or came from our own writer; the only failure left is that it does not fit the type
//! it is read as. Parts that the type does not ask for are skipped.

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;

use super::MAX_DEPTH;
use super::text::{plain_run, unescape};
use crate::dialect::stack::{SHALLOW, Stack};
use crate::dialect::{Failure, NodeRef, ResolveRef, ResolvedRef};
use crate::message::{Payload, Slot};

mod access;
mod any;
pub(super) mod content;
mod forms;
pub(super) mod places;
mod shared;

type Result<T> = std::result::Result<T, Failure>;

/// Bytes that a node costs beside its text when it is read.
const NODE: usize = 32;

pub(crate) struct Reader<'a, R: ResolveRef> {
    buffer: &'a str,
    /// The start of the value.
    pub(super) start: usize,
    pub(super) pos: usize,
    /// `true` if there are escapes in the string that was passed last.
    escaped: bool,
    /// `true` if the text is a list of arguments, and the first has been read.
    pub(super) opened: bool,
    pub(super) refs: &'a [Slot<R>],
    depth: usize,
    /// The stack at the start of the outermost reader.
    stack: Stack,
    /// The node that is being read, or the node in whose text the value came.
    node: Option<NodeRef<'a, R>>,
    /// The reader of the value that this one stands in by reference.
    outer: Option<&'a Reader<'a, R>>,
    /// Bytes of nodes that have been read in this decoding; the outermost reader counts.
    entered: Cell<usize>,
    /// The counter of those bytes and their limit, if this reads a node, or a value in one.
    within: Option<(&'a Cell<usize>, usize)>,
}

/// The kind of value at the reader's place.
enum Next<'a, R: ResolveRef> {
    Found(ResolvedRef<'a, R>),
    Null,
    Bool(bool),
    Number(&'a str),
    String(&'a str),
    /// The brackets have been passed.
    Array,
    Object,
    /// A special form, passed up to its name; [`Reader::close`] ends it.
    Form(&'a str),
}

fn broken() -> Failure {
    Failure("the text is damaged".to_owned())
}

impl<'a, R: ResolveRef> Reader<'a, R> {
    pub(crate) fn new(payload: &'a Payload<R>) -> Self {
        let (buffer, Range { start, .. }) = payload.text.parts();
        Self { start, pos: start, refs: &payload.refs, ..Self::of(buffer) }
    }

    /// Creates a reader of a text without references.
    pub(crate) fn of(buffer: &'a str) -> Self {
        let mark = 0_u8;
        Self {
            buffer,
            start: 0,
            pos: 0,
            escaped: false,
            opened: false,
            refs: &[],
            depth: 0,
            stack: Stack(&raw const mark),
            node: None,
            outer: None,
            entered: Cell::new(0),
            within: None,
        }
    }

    /// Returns a reader of the value at a place of a payload.
    fn at(payload: &'a Payload<R>, at: usize) -> Self {
        Self { start: at, pos: at, ..Self::new(payload) }
    }

    /// A reader of a value that came by another way, as if it stood here.
    fn nested<'s>(&'s self, payload: &'s Payload<R>) -> Result<Reader<'s, R>> {
        // A node that this stands in can be read any number of times.
        self.charge(payload.text.range().len().saturating_add(NODE))?;
        let within = self.within;
        let (depth, stack) = (self.depth, self.stack);
        let mut nested = Reader { depth, stack, outer: Some(self), within, ..Reader::new(payload) };
        nested.deeper()?;
        Ok(nested)
    }

    fn deeper(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth <= SHALLOW { Ok(()) } else { self.check_depth() }
    }

    #[inline(never)]
    fn check_depth(&self) -> Result<()> {
        if self.depth > MAX_DEPTH {
            return Err(Failure("the value nests too deep".to_owned()));
        }
        self.stack.within("reading", self.depth)
    }

    /// The next byte that is no white space, left where it is; 0 at the end.
    pub(super) fn peek(&mut self) -> u8 {
        loop {
            match self.buffer.as_bytes().get(self.pos) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.pos += 1,
                Some(byte) => return *byte,
                None => return 0,
            }
        }
    }

    /// Passes over `byte`, if it is next. Not for places where a value may stand: a reference that
    /// is not yet written takes no text.
    fn take(&mut self, byte: u8) -> bool {
        // This does not add the comparison as a number: with optimizations, rustc 1.95 drops that addition where this
        // is inlined.
        if self.peek() != byte {
            return false;
        }
        self.pos += 1;
        true
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.take(byte) { Ok(()) } else { Err(broken()) }
    }

    fn comma(&mut self) -> Result<()> {
        self.expect(b',')
    }

    /// The reference that stands here, if one does.
    pub(super) fn slot(&mut self) -> Option<&'a Slot<R>> {
        if self.refs.is_empty() {
            return None;
        }
        // One that is not written yet stands right here, whatever white space follows.
        let here = |pos: usize| self.refs.binary_search_by_key(&pos, |slot| slot.start).ok();
        let at = match here(self.pos) {
            Some(at) => at,
            None => {
                self.peek();
                self.refs.binary_search_by_key(&self.pos, |slot| slot.start).ok()?
            }
        };
        self.refs.get(at)
    }

    /// `true` if the list that was opened ends here without an element.
    #[inline(never)]
    fn at_end_of_list(&mut self) -> bool {
        self.slot().is_none() && self.peek() == b']'
    }

    /// A string's raw content.
    fn raw_string(&mut self) -> Result<&'a str> {
        self.expect(b'"')?;
        let start = self.pos;
        self.escaped = false;
        loop {
            self.pos += plain_run(self.buffer.as_bytes().get(self.pos..).unwrap_or_default());
            match self.buffer.as_bytes().get(self.pos).ok_or_else(broken)? {
                b'"' => break,
                b'\\' => {
                    self.escaped = true;
                    self.pos += 2;
                }
                _ => self.pos += 1,
            }
        }
        self.pos += 1;
        self.buffer.get(start..self.pos - 1).ok_or_else(broken)
    }

    fn string(&mut self) -> Result<Cow<'a, str>> {
        let raw = self.raw_string()?;
        Ok(self.said(raw))
    }

    /// Returns the text of the string that was passed last.
    fn said(&self, raw: &'a str) -> Cow<'a, str> {
        if self.escaped { unescape(raw) } else { Cow::Borrowed(raw) }
    }

    /// A number or literal.
    fn word(&mut self) -> &'a str {
        self.peek();
        let rest = self.buffer.get(self.pos..).unwrap_or_default();
        let is_end = |byte: u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n');
        let end = rest.bytes().position(is_end).unwrap_or(rest.len());
        self.pos += end;
        &rest[..end]
    }

    fn next(&mut self) -> Result<Next<'a, R>> {
        if let Some(slot) = self.slot() {
            self.pos = slot.end;
            return Ok(Next::Found(slot.to.resolve(self.node.map(|node| node.graph))));
        }
        Ok(match self.peek() {
            b'"' => Next::String(self.raw_string()?),
            b'{' => {
                self.pos += 1;
                Next::Object
            }
            b'[' => {
                self.pos += 1;
                if self.take(b'[') { Next::Array } else { Next::Form(self.raw_string()?) }
            }
            _ => match self.word() {
                "null" => Next::Null,
                "true" => Next::Bool(true),
                "false" => Next::Bool(false),
                number => Next::Number(number),
            },
        })
    }

    /// Ends a special form, whatever is left of it.
    fn close(&mut self) -> Result<()> {
        while self.take(b',') {
            self.skip()?;
        }
        self.expect(b']')
    }

    /// Passes over one value.
    fn skip(&mut self) -> Result<()> {
        if let Some(slot) = self.slot() {
            self.pos = slot.end;
            return Ok(());
        }
        let mut open = 0usize;
        loop {
            match self.peek() {
                b'"' => drop(self.raw_string()?),
                b'[' | b'{' => {
                    open += 1;
                    self.pos += 1;
                }
                b']' | b'}' => {
                    open = open.checked_sub(1).ok_or_else(broken)?;
                    self.pos += 1;
                }
                b',' | b':' if open > 0 => self.pos += 1,
                _ if self.word().is_empty() => return Err(broken()),
                _ => {}
            }
            if open == 0 {
                return Ok(());
            }
        }
    }

    /// Passes over one value and tells where it is.
    fn place(&mut self) -> Result<Range<usize>> {
        self.peek();
        let start = self.pos;
        self.skip()?;
        Ok(start..self.pos)
    }
}
