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
mod program;

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
    /// `true` inside a program, where ids are variables.
    in_program: bool,
}

impl<'a> Scanner<'a> {
    /// Begins at a place in a message.
    pub(super) fn new(buffer: &'a str, pos: usize, limits: &'a Limits) -> Self {
        let lexer = Lexer { buffer, pos, string_bytes: limits.string_bytes };
        let max_depth = limits.depth.min(MAX_DEPTH);
        Self { lexer, frame: None, limits, max_depth, refs: ThinVec::NONE, in_program: false }
    }

    /// Passes over the bracket of a message, and returns its name.
    pub(super) fn open(&mut self) -> Result<&'a str> {
        self.lexer.expect(b'[', "a message, which is an array")?;
        self.lexer.string()
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
