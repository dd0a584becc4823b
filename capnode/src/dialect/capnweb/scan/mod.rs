//! One pass over a frame: checks the text and finds every reference in it.
//!
//! A text that passes here is well formed to its last character, so that the reader that later turns it into Rust types
//! meets no surprise but a type that does not fit.

use std::ops::Range;

use super::MAX_DEPTH;
use super::lexer::{Lexer, protocol};
use super::ser::BESIDE;
use crate::error::Error;
use crate::kinds::{ByteKind, Bytes};
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
    /// The bytes beside the text that no value has taken yet.
    beside: Option<Beside>,
}

/// The bytes beside the text of a frame.
struct Beside {
    left: ::bytes::Bytes,
    /// The bytes of the whole frame, which each part of it keeps.
    frame: usize,
}

impl<'a> Scanner<'a> {
    /// Begins at a place in a message.
    pub(super) fn new(buffer: &'a str, pos: usize, limits: &'a Limits) -> Self {
        let lexer = Lexer { buffer, pos, string_bytes: limits.string_bytes };
        let max_depth = limits.depth.min(MAX_DEPTH);
        Self { lexer, frame: None, limits, max_depth, refs: ThinVec::NONE, in_program: false, beside: None }
    }

    /// Lets values take bytes that stand beside the text.
    #[cfg(feature = "host")]
    pub(super) fn with_beside(self, left: ::bytes::Bytes) -> Self {
        let frame = self.lexer.buffer.len() + left.len();
        Self { beside: Some(Beside { left, frame }), ..self }
    }

    /// Checks that values have taken all bytes beside the text.
    #[cfg(feature = "host")]
    pub(super) fn check_beside(&self) -> Result<()> {
        match &self.beside {
            Some(beside) if !beside.left.is_empty() => {
                Err(protocol(format!("{} bytes beside the text are of no value", beside.left.len())))
            }
            _ => Ok(()),
        }
    }

    /// Takes bytes beside the text.
    fn take_beside(&mut self, length: i64, kind: ByteKind) -> Result<Bytes> {
        let beside = self.beside.as_mut().filter(|_| !self.in_program);
        let Some(beside) = beside else {
            return Err(protocol("bytes beside the text where none are".to_owned()));
        };
        let length = usize::try_from(length).ok().filter(|length| *length <= beside.left.len());
        let Some(length) = length else {
            return Err(protocol("fewer bytes beside the text than it says".to_owned()));
        };
        // A reference takes much more memory than it takes of a frame.
        if length < BESIDE {
            return Err(protocol(format!("fewer than {BESIDE} bytes beside the text, which belong into it")));
        }
        let part = beside.left.split_to(length);
        // A small part would keep all of a large frame.
        let part = if beside.frame / 4 > length { ::bytes::Bytes::copy_from_slice(&part) } else { part };
        Ok(Bytes::from(part).with_kind(kind))
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
