//! Scalars, and lists of them, which all languages write alike: they need no tree.

use super::capnweb::lexer::Lexer;
use crate::bounds;
use crate::limits::Limits;
use crate::message::{CapDescriptor, Payload};

/// The most bytes of a text that is read so. No id and no list in it is too long.
const SHORT: usize = 1_024;

/// A place in a text without white space between its parts. What else stands there is found out elsewhere.
pub(super) struct Flat<'a> {
    lexer: Lexer<'a>,
    /// `true` if there was a null.
    pub(super) has_null: bool,
}

impl<'a> Flat<'a> {
    /// Begins a frame, unless a limit could matter to it.
    pub(super) fn of_frame(frame: &'a str, limits: &Limits) -> Option<Self> {
        let is_short = frame.len() <= SHORT.min(limits.string_bytes);
        (is_short && limits.depth > 1).then(|| Self::new(frame))
    }

    fn new(text: &'a str) -> Self {
        Self { lexer: Lexer::new(text, 0, usize::MAX), has_null: false }
    }

    /// Passes over `text`, if it stands here.
    pub(super) fn pass(&mut self, text: &str) -> Option<()> {
        self.lexer.ahead_is(text).then(|| self.lexer.pos += text.len())
    }

    /// Passes over the last of the text.
    pub(super) fn end(&mut self, text: &str) -> Option<()> {
        self.pass(text)?;
        (self.lexer.pos == self.lexer.end()).then_some(())
    }

    /// Passes over a string without escapes, and returns it.
    pub(super) fn string(&mut self) -> Option<&'a str> {
        self.lexer.ahead_is("\"").then_some(())?;
        self.lexer.string().ok().filter(|raw| !raw.contains('\\'))
    }

    /// Passes over a scalar, and returns it.
    pub(super) fn scalar(&mut self) -> Option<&'a str> {
        let start = self.lexer.pos;
        match self.lexer.byte() {
            b'"' => _ = self.lexer.string().ok()?,
            b'-' | b'0'..=b'9' => _ = self.lexer.number().ok()?,
            b't' => self.lexer.literal("true").ok()?,
            b'f' => self.lexer.literal("false").ok()?,
            b'n' => {
                self.has_null = true;
                self.lexer.literal("null").ok()?;
            }
            _ => return None,
        }
        Some(self.lexer.since(start))
    }

    /// Passes over a list of scalars, and returns it with its brackets.
    pub(super) fn list(&mut self) -> Option<&'a str> {
        let start = self.lexer.pos;
        self.pass("[")?;
        if self.pass("]").is_none() {
            self.scalar()?;
            while self.pass(",").is_some() {
                self.scalar()?;
            }
            self.pass("]")?;
        }
        Some(self.lexer.since(start))
    }
}

/// Returns the text of a payload that is all of what `read` reads, if it may be written. A payload with a null is left out
/// unless there may be `nulls`.
pub(super) fn text_of<'a>(
    payload: &'a Payload<CapDescriptor>,
    nulls: bool,
    read: fn(&mut Flat<'a>) -> Option<&'a str>,
) -> Option<&'a str> {
    let text = payload.text.as_str();
    if !payload.refs.is_empty() || !payload.nodes.is_empty() || text.len() > SHORT.min(bounds::writable()) {
        return None;
    }
    let mut flat = Flat::new(text);
    read(&mut flat)?;
    flat.end("").filter(|()| nulls || !flat.has_null).map(|()| text)
}
