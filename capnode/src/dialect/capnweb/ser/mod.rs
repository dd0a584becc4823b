//! Rust values to expressions: a serializer that writes text and notes where references belong.

use std::fmt::Display;

use serde::ser::{self, Serialize, Serializer};

use super::text::{string_len, write_base64, write_string};
use super::{MAX_DEPTH, encode_error};
use crate::bounds;
use crate::dialect::stack::{SHALLOW, Stack};
use crate::dialect::{Extract, Failure};
use crate::error::Error;
use crate::few::Few;
use crate::kinds::{MAX_SAFE_INTEGER, marker};
use crate::op::{Payload, Slot};

mod compound;
mod key;

use self::compound::Compound;

/// A string of fewer bytes need not be measured before it is written.
const LONG: usize = 4_096;

/// Bytes that a single one takes at the most.
const LONGEST_ESCAPE: usize = 6;

type Result<T> = std::result::Result<T, Failure>;

/// npm's `capnweb` reads no longer ones, sign included.
const MAX_BIGINT: usize = 16_384;

pub(super) struct Writer<R> {
    out: String,
    refs: Vec<Slot<R>>,
    /// The depth of the value that is being written.
    depth: usize,
    /// Where the writer began.
    stack: Stack,
    /// Inside a special form arrays stand for themselves and bytes are bare base64.
    plain: bool,
    /// The name that opens the next sequence, which is then that form's body.
    form: Option<&'static str>,
    /// Whether a `Result` is to be taken apart, if that is what comes next.
    apart: bool,
    side: Side,
    /// How long the text may be.
    limit: usize,
    full: bool,
}

/// The sides of a `Result`.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Side {
    /// `Ok`, or no `Result` at all.
    Ok,
    Err,
}

impl<R> Writer<R> {
    pub(super) fn at_depth(depth: usize) -> Self {
        // Most values are small.
        let (out, refs) = (String::with_capacity(56), Vec::new());
        let (apart, side, limit, full) = (false, Side::Ok, usize::MAX, false);
        Self { out, refs, depth, stack: Stack::here(), plain: false, form: None, apart, side, limit, full }
    }

    /// Stops when the text is longer than what may be written at the moment.
    pub(super) fn bound(&mut self) {
        self.limit = bounds::writable();
    }

    /// Whether it has stopped because the text is too long.
    pub(super) fn is_full(&self) -> bool {
        self.full || self.out.len() > self.limit
    }

    /// The error of a value that was not written.
    pub(super) fn error(&self, failure: Failure) -> Error {
        if self.is_full() { bounds::too_long() } else { encode_error(failure) }
    }

    /// Checks that there is room for more text.
    fn check_room(&mut self, bytes: usize) -> Result<()> {
        if bytes <= self.limit && self.out.len() <= self.limit - bytes {
            return Ok(());
        }
        self.full = true;
        Err(Failure(bounds::TOO_LONG.to_owned()))
    }

    /// The same for a string, which escapes can make longer.
    fn check_string(&mut self, text: &str) -> Result<()> {
        self.check_room(text.len())?;
        if text.len() < LONG || text.len() < (self.limit - self.out.len()) / LONGEST_ESCAPE {
            return Ok(());
        }
        self.check_room(string_len(text))
    }

    /// A writer that takes a `Result` apart, if that is all of the value.
    pub(super) fn of_outcome() -> Self {
        Self { apart: true, ..Self::at_depth(0) }
    }

    /// Which side of a `Result` was written.
    pub(super) fn side(&self) -> Side {
        self.side
    }

    pub(super) fn finish(self) -> Payload<R> {
        Payload { text: self.out.into(), refs: self.refs.into(), nodes: Few::NONE }
    }

    pub(super) fn raw(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// Writes a float as JavaScript does. In the larger type it is only looked at.
    fn float(&mut self, float: f64, shortest: impl Display + Serialize) -> Result<()> {
        let whole = float.fract() == 0.0 && !(float == 0.0 && float.is_sign_negative());
        if float.is_nan() {
            self.raw("[\"nan\"]");
        } else if float.is_infinite() {
            self.raw(if float > 0.0 { "[\"inf\"]" } else { "[\"-inf\"]" });
        } else if whole && float.abs() <= MAX_SAFE_INTEGER as f64 {
            self.raw(itoa::Buffer::new().format(float as i64));
        } else if whole && float.abs() < 1e21 {
            self.raw(&shortest.to_string());
        } else {
            self.raw(&serde_json::to_string(&shortest).map_err(ser::Error::custom)?);
        }
        Ok(())
    }

    fn integer(&mut self, integer: impl itoa::Integer, safe: bool) -> Result<()> {
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(integer);
        if safe {
            self.raw(digits);
        } else {
            self.raw("[\"bigint\",\"");
            self.raw(digits);
            self.raw("\"]");
        }
        Ok(())
    }
}

impl<R: Extract> Writer<R> {
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
        self.stack.within("writing")
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

    /// A form around a single part.
    fn form_of_one<T: Serialize + ?Sized>(&mut self, name: &str, content: &T) -> Result<()> {
        let outer = std::mem::replace(&mut self.plain, true);
        self.raw("[\"");
        self.raw(name);
        self.raw("\",");
        content.serialize(&mut *self)?;
        self.raw("]");
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

    fn reference<T: Serialize + ?Sized>(&mut self, newtype: &T) -> Result<()> {
        let to = R::extract(newtype).ok_or_else(|| Failure("no reference can be sent here".to_owned()))?;
        let at = self.out.len();
        self.refs.push(Slot { start: at, end: at, to });
        Ok(())
    }
}

impl<'a, R: Extract> Serializer for &'a mut Writer<R> {
    type Ok = ();
    type Error = Failure;
    type SerializeSeq = Compound<'a, R>;
    type SerializeTuple = Compound<'a, R>;
    type SerializeTupleStruct = Compound<'a, R>;
    type SerializeTupleVariant = Compound<'a, R>;
    type SerializeMap = Compound<'a, R>;
    type SerializeStruct = Compound<'a, R>;
    type SerializeStructVariant = Compound<'a, R>;

    fn serialize_bool(self, v: bool) -> Result<()> {
        self.raw(if v { "true" } else { "false" });
        Ok(())
    }

    fn serialize_i8(self, v: i8) -> Result<()> {
        self.integer(v, true)
    }

    fn serialize_i16(self, v: i16) -> Result<()> {
        self.integer(v, true)
    }

    fn serialize_i32(self, v: i32) -> Result<()> {
        self.integer(v, true)
    }

    fn serialize_i64(self, v: i64) -> Result<()> {
        self.integer(v, v.unsigned_abs() <= MAX_SAFE_INTEGER)
    }

    fn serialize_i128(self, v: i128) -> Result<()> {
        self.integer(v, v.unsigned_abs() <= u128::from(MAX_SAFE_INTEGER))
    }

    fn serialize_u8(self, v: u8) -> Result<()> {
        self.integer(v, true)
    }

    fn serialize_u16(self, v: u16) -> Result<()> {
        self.integer(v, true)
    }

    fn serialize_u32(self, v: u32) -> Result<()> {
        self.integer(v, true)
    }

    fn serialize_u64(self, v: u64) -> Result<()> {
        self.integer(v, v <= MAX_SAFE_INTEGER)
    }

    fn serialize_u128(self, v: u128) -> Result<()> {
        self.integer(v, v <= u128::from(MAX_SAFE_INTEGER))
    }

    fn serialize_f32(self, v: f32) -> Result<()> {
        self.float(f64::from(v), v)
    }

    fn serialize_f64(self, v: f64) -> Result<()> {
        self.float(v, v)
    }

    fn serialize_char(self, v: char) -> Result<()> {
        self.serialize_str(v.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, v: &str) -> Result<()> {
        self.check_string(v)?;
        write_string(&mut self.out, v);
        Ok(())
    }

    fn serialize_bytes(self, v: &[u8]) -> Result<()> {
        self.check_room(v.len() / 3 * 4)?;
        self.raw(if self.plain { "\"" } else { "[\"bytes\",\"" });
        write_base64(&mut self.out, v);
        self.raw(if self.plain { "\"" } else { "\"]" });
        Ok(())
    }

    fn serialize_none(self) -> Result<()> {
        self.raw("null");
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        self.apart = false;
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<()> {
        self.raw("[\"undefined\"]");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<()> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<()> {
        self.apart = false;
        match name {
            marker::REFERENCE => self.reference(value),
            marker::BIGINT => self.bigint(value),
            marker::DATE => self.form_of_one("date", value),
            marker::URL => self.form_of_one("url", value),
            marker::HEADERS => self.form_of_one("headers", value),
            marker::BYTES => self.form_of_parts("bytes", value),
            marker::ERROR => self.form_of_parts("error", value),
            _ => value.serialize(self),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<()> {
        if std::mem::take(&mut self.apart) && self.out.is_empty() {
            match (name, variant) {
                ("Result", "Ok") => return value.serialize(self),
                ("Result", "Err") => {
                    self.side = Side::Err;
                    return value.serialize(self);
                }
                _ => {}
            }
        }
        let mut body = Compound::variant(self, variant);
        body.element(value)?;
        body.close()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Compound<'a, R>> {
        Ok(Compound::array(self))
    }

    fn serialize_tuple(self, _: usize) -> Result<Compound<'a, R>> {
        Ok(Compound::array(self))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Compound<'a, R>> {
        Ok(Compound::array(self))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Compound<'a, R>> {
        Compound::variant(self, variant).with_array()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Compound<'a, R>> {
        Ok(Compound::object(self))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Compound<'a, R>> {
        Ok(Compound::object(self))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Compound<'a, R>> {
        Compound::variant(self, variant).with_object()
    }
}
