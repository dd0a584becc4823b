//! Rust values to expressions: a serializer that writes text and notes where references belong.

use std::fmt::Display;

use serde::ser::{self, Serialize};

use super::MAX_DEPTH;
use super::failure::encode_error;
use super::text::string_len;
use crate::bounds;
use crate::dialect::stack::{SHALLOW, Stack};
use crate::dialect::{ExtractRef, Failure};
use crate::error::Error;
use crate::kinds::{Bytes, MAX_SAFE_INTEGER};
use crate::message::Slot;
use crate::retention;
use crate::text_pool;
use crate::thin_vec::ThinVec;

mod compound;
mod key;
mod serializer;

/// A string of fewer bytes need not be measured before it is written.
const LONG: usize = 4_096;

/// Fewer bytes than these go as text.
pub(super) const BESIDE: usize = 1 << 10;

/// Bytes that a single one takes at the most.
const LONGEST_ESCAPE: usize = 6;

type Result<T> = std::result::Result<T, Failure>;

/// npm's `capnweb` reads no longer ones, sign included.
const MAX_BIGINT: usize = 16_384;

pub(super) struct Writer<R> {
    pub(super) out: String,
    pub(super) refs: ThinVec<Slot<R>>,
    /// The depth of the value that is being written.
    depth: usize,
    /// The stack at the start of the writer.
    stack: Stack,
    /// `true` inside a special form, where arrays stand for themselves and bytes are bare base64.
    plain: bool,
    /// `true` inside plain JSON.
    json: bool,
    /// The name that opens the next sequence, which is then that form's body.
    form: Option<&'static str>,
    /// `true` if a `Result` is to be taken apart when it comes next.
    apart: bool,
    /// `true` if the `Result` was an `Err`.
    pub(super) is_err: bool,
    /// The most bytes of the text, less those beside it.
    limit: usize,
    /// `true` if bytes may go beside the text.
    beside: bool,
    full: bool,
}

impl<R> Writer<R> {
    /// Returns a writer of values that stand at a depth. It stops when the text is longer than `limit`.
    pub(super) fn new(depth: usize, limit: usize) -> Self {
        let mark = 0_u8;
        Self {
            out: text_pool::take(),
            refs: ThinVec::NONE,
            depth,
            stack: Stack(&raw const mark),
            plain: false,
            json: false,
            form: None,
            apart: false,
            is_err: false,
            limit: limit & !bounds::BESIDE,
            beside: limit >> bounds::BESIDE.ilog2() == 1,
            full: false,
        }
    }

    /// Returns the outcome of writing a value: an error also if the text became too long and the value's type did not
    /// mind.
    pub(super) fn check(&self, written: Result<()>) -> std::result::Result<(), Error> {
        if self.full || self.out.len() > self.limit {
            Err(bounds::too_long())
        } else {
            written.map_err(encode_error)
        }
    }

    /// Checks that there is room for more text.
    fn check_room(&mut self, bytes: usize) -> Result<()> {
        if bytes <= self.limit && self.out.len() <= self.limit - bytes {
            return Ok(());
        }
        self.full = true;
        Err(Failure(bounds::TOO_LONG.to_owned()))
    }

    /// Makes and checks room for a string, which escapes can make longer.
    fn check_string(&mut self, text: &str) -> Result<()> {
        self.check_room(text.len())?;
        if text.len() < LONG {
            return Ok(());
        }
        retention::reserve_text(&mut self.out, text.len() + 2);
        if text.len() < (self.limit - self.out.len()) / LONGEST_ESCAPE {
            return Ok(());
        }
        self.check_room(string_len(text))
    }

    /// Returns a writer that takes a `Result` apart, if that is all of the value.
    pub(super) fn of_outcome(limit: usize) -> Self {
        Self { apart: true, ..Self::new(0, limit) }
    }

    /// Writes a float as JavaScript does. In the larger type it is only looked at.
    fn float(&mut self, float: f64, shortest: impl Display + Serialize) -> Result<()> {
        let whole = float.fract() == 0.0 && !(float == 0.0 && float.is_sign_negative());
        if float.is_nan() {
            self.out.push_str("[\"nan\"]");
        } else if float.is_infinite() {
            self.out.push_str(if float > 0.0 { "[\"inf\"]" } else { "[\"-inf\"]" });
        } else if whole && float.abs() <= MAX_SAFE_INTEGER as f64 {
            self.out.push_str(itoa::Buffer::new().format(float as i64));
        } else if whole && float.abs() < 1e21 {
            self.out.push_str(&shortest.to_string());
        } else {
            self.out.push_str(&serde_json::to_string(&shortest).map_err(ser::Error::custom)?);
        }
        Ok(())
    }

    /// Writes an integer that may be too large for a number.
    fn integer(&mut self, integer: impl itoa::Integer, safe: bool) -> Result<()> {
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(integer);
        if safe {
            self.out.push_str(digits);
        } else {
            self.out.push_str("[\"bigint\",\"");
            self.out.push_str(digits);
            self.out.push_str("\"]");
        }
        Ok(())
    }
}

impl<R: ExtractRef> Writer<R> {
    /// Writes a part of a compound value.
    fn child<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.check_depth()?;
        self.check_room(0)?;
        value.serialize(self)
    }

    fn check_depth(&self) -> Result<()> {
        if self.depth < SHALLOW { Ok(()) } else { self.check_deep() }
    }

    #[inline(never)]
    fn check_deep(&self) -> Result<()> {
        if self.depth >= MAX_DEPTH {
            return Err(Failure(format!(
                "the value nests {MAX_DEPTH} levels deep, which no peer would read"
            )));
        }
        self.stack.within("writing", self.depth)
    }

    /// A form whose content is a sequence of its parts.
    fn form_of_parts<T: Serialize + ?Sized>(&mut self, name: &'static str, content: &T) -> Result<()> {
        let outer = std::mem::replace(&mut self.plain, true);
        self.form = Some(name);
        content.serialize(&mut *self)?;
        self.form = None;
        self.plain = outer;
        Ok(())
    }

    /// A value without forms.
    fn plain_json<T: Serialize + ?Sized>(&mut self, content: &T) -> Result<()> {
        let outer = (std::mem::replace(&mut self.plain, true), std::mem::replace(&mut self.json, true));
        content.serialize(&mut *self)?;
        (self.plain, self.json) = outer;
        Ok(())
    }

    /// A form around a single part.
    fn form_of_one<T: Serialize + ?Sized>(&mut self, name: &str, content: &T) -> Result<()> {
        let outer = std::mem::replace(&mut self.plain, true);
        self.out.push_str("[\"");
        self.out.push_str(name);
        self.out.push_str("\",");
        content.serialize(&mut *self)?;
        self.out.push(']');
        self.plain = outer;
        Ok(())
    }

    fn bigint<T: Serialize + ?Sized>(&mut self, digits: &T) -> Result<()> {
        let before = self.out.len();
        self.form_of_one("bigint", digits)?;
        if self.out.len() - before - "[\"bigint\",\"\"]".len() > MAX_BIGINT {
            return Err(Failure(format!("a big integer is longer than {MAX_BIGINT} characters")));
        }
        Ok(())
    }

    /// Puts bytes beside the text, if there are enough of them and they may go there.
    fn put_beside(&mut self, length: usize, bytes: impl FnOnce() -> Option<Bytes>) -> Result<bool> {
        if !self.beside || length < BESIDE {
            return Ok(false);
        }
        // A peer may turn out to take them as text alone.
        let charge = length.div_ceil(3) * 4;
        self.check_room(charge)?;
        let Some(to) = bytes().and_then(R::of_bytes) else { return Ok(false) };
        self.limit -= charge;
        let at = self.out.len();
        self.refs.push(Slot { start: at, end: at, to });
        Ok(true)
    }

    fn reference<T: Serialize + ?Sized>(&mut self, newtype: &T) -> Result<()> {
        let to = R::extract(newtype).ok_or_else(|| Failure("no reference can be sent here".to_owned()))?;
        let at = self.out.len();
        self.refs.push(Slot { start: at, end: at, to });
        Ok(())
    }
}
