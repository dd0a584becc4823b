//! One pass over a frame: checks the text and finds every reference in it.
//!
//! A text that passes here is well formed to its last character, so that the reader that later turns it into Rust types
//! meets no surprise but a type that does not fit.

use std::ops::Range;

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
    pub(super) lexer: Lexer<'a>,
    /// A copy of the frame for what is kept of it, once there is something.
    frame: Option<Text>,
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
    pub(super) fn open(buffer: &'a str, limits: &'a Limits) -> Result<(Self, &'a str)> {
        let lexer = Lexer { buffer, pos: 0, string_bytes: limits.string_bytes };
        let max_depth = limits.depth.min(MAX_DEPTH);
        let mut scanner = Self { lexer, frame: None, limits, max_depth, refs: ThinVec::NONE };
        let usual = USUAL.iter().find(|usual| buffer.starts_with(**usual));
        if let Some(usual) = usual.filter(|usual| usual.len() <= limits.string_bytes) {
            scanner.lexer.pos = usual.len();
            return Ok((scanner, &usual[2..usual.len() - 1]));
        }
        scanner.lexer.expect(b'[', "a message, which is an array")?;
        let name = scanner.lexer.string()?;
        Ok((scanner, name))
    }

    /// Returns a text that is kept longer than the frame.
    fn keep(&mut self, range: Range<usize>) -> Text {
        self.frame.get_or_insert_with(|| Text::frame(self.lexer.buffer)).slice(range)
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
