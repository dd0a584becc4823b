//! One pass over a frame: checks the text and finds every reference in it.
//!
//! A text that passes here is well formed to its last character, so that the reader that later turns it into Rust types
//! meets no surprise but a type that does not fit.

use super::MAX_DEPTH;
use super::lexer::Lexer;
use crate::error::Error;
use crate::limits::Limits;
use crate::message::{CapDescriptor, Slot, Text};
use crate::thin_vec::ThinVec;

mod expression;

/// The name of what follows each comma of a message.
pub(super) const ELEMENT: &str = "another element of the message";

type Result<T> = std::result::Result<T, Error>;

pub(super) struct Scanner<'a> {
    text: &'a Text,
    pub(super) lexer: Lexer<'a>,
    limits: &'a Limits,
    /// The depth at which nothing may stand.
    max_depth: usize,
    /// The references found in the value being passed over.
    refs: ThinVec<Slot<CapDescriptor>>,
}

/// Beginnings of nearly all messages, as peers write them.
const USUAL: [&str; 3] = ["[\"stream\"", "[\"resolve\"", "[\"push\""];

impl<'a> Scanner<'a> {
    /// Begins a message: passes over its bracket and returns its name.
    pub(super) fn open(text: &'a Text, limits: &'a Limits) -> Result<(Self, &'a str)> {
        let (buffer, range) = text.parts();
        let start = range.start;
        let lexer = Lexer { buffer, pos: start, string_bytes: limits.string_bytes };
        let max_depth = limits.depth.min(MAX_DEPTH);
        let mut scanner = Self { text, lexer, limits, max_depth, refs: ThinVec::NONE };
        let bytes = buffer.as_bytes().get(start..).unwrap_or_default();
        let usual = USUAL.iter().find(|usual| bytes.starts_with(usual.as_bytes()));
        if let Some(usual) = usual.filter(|usual| usual.len() <= limits.string_bytes) {
            scanner.lexer.pos += usual.len();
            return Ok((scanner, &usual[2..usual.len() - 1]));
        }
        scanner.lexer.expect(b'[', "a message, which is an array")?;
        let name = scanner.lexer.string()?;
        Ok((scanner, name))
    }

    /// Ends the message, and passes over elements that it does not know: later versions may add some.
    pub(super) fn end(&mut self) -> Result<()> {
        if self.lexer.ahead() == b"]" {
            return Ok(());
        }
        self.close()?;
        if self.lexer.ahead().is_empty() { Ok(()) } else { self.lexer.bad("the end of the message") }
    }
}
