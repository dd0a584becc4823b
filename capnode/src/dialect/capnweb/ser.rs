//! Rust values to expressions: a serializer that writes text and notes where references belong.

use serde::ser::{self, Serialize, Serializer};

use super::text::{write_base64, write_string};
use crate::dialect::{Extract, Failure};
use crate::op::{Payload, Slot};
use crate::value::{MAX_SAFE_INTEGER, marker};

type Result<T> = std::result::Result<T, Failure>;

/// npm's `capnweb` refuses this depth on both sides.
pub(super) const MAX_DEPTH: usize = 256;

pub(super) struct Writer<R> {
    out: String,
    refs: Vec<Slot<R>>,
    depth: usize,
    /// Inside a special form arrays stand for themselves and bytes are bare base64.
    plain: bool,
    /// The name that opens the next sequence, which is then that form's body.
    form: Option<&'static str>,
    /// Whether a `Result` that is all of the value is to be taken apart, and which it was.
    outcome: Option<Side>,
}

/// The sides of a `Result`.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Side {
    /// `Ok`, or no `Result` at all.
    Ok,
    Err,
}

impl<R> Writer<R> {
    pub(super) fn new() -> Self {
        Self { out: String::new(), refs: Vec::new(), depth: 0, plain: false, form: None, outcome: None }
    }

    /// A writer that takes a `Result` apart.
    pub(super) fn of_outcome() -> Self {
        Self { outcome: Some(Side::Ok), ..Self::new() }
    }

    /// Which side of a `Result` was written.
    pub(super) fn side(&self) -> Side {
        self.outcome.unwrap_or(Side::Ok)
    }

    pub(super) fn finish(self) -> Payload<R> {
        Payload { text: self.out.into(), refs: self.refs }
    }

    pub(super) fn raw(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn deeper(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth < MAX_DEPTH {
            return Ok(());
        }
        Err(Failure(format!("the value nests {MAX_DEPTH} levels deep, which no peer would read")))
    }

    fn float(&mut self, float: f64, shortest: impl Serialize) -> Result<()> {
        if float.is_nan() {
            self.raw("[\"nan\"]");
        } else if float.is_infinite() {
            self.raw(if float > 0.0 { "[\"inf\"]" } else { "[\"-inf\"]" });
        } else if float.fract() == 0.0
            && float.abs() <= MAX_SAFE_INTEGER as f64
            && !(float == 0.0 && float.is_sign_negative())
        {
            self.raw(itoa::Buffer::new().format(float as i64));
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

    fn open_array(&mut self) -> Result<Body> {
        self.deeper()?;
        Ok(match self.form.take() {
            Some(name) => {
                self.raw("[\"");
                self.raw(name);
                self.raw("\"");
                Body { first: false, end: "]", depth: 1, plain: self.plain }
            }
            None if self.plain => {
                self.raw("[");
                Body { first: true, end: "]", depth: 1, plain: true }
            }
            None => {
                self.raw("[[");
                Body { first: true, end: "]]", depth: 1, plain: false }
            }
        })
    }

    fn open_object(&mut self) -> Result<Body> {
        self.deeper()?;
        self.raw("{");
        // What is inside an object of a special form is made of ordinary values again.
        Ok(Body { first: true, end: "}", depth: 1, plain: std::mem::replace(&mut self.plain, false) })
    }

    /// Opens `{"variant":`, for a body that will close both.
    fn open_variant(&mut self, variant: &str) -> Result<()> {
        self.deeper()?;
        self.raw("{");
        write_string(&mut self.out, variant);
        self.raw(":");
        Ok(())
    }
}

impl<R: Extract> Writer<R> {
    fn special<T: Serialize + ?Sized>(&mut self, name: &'static str, content: &T) -> Result<()> {
        let outer = std::mem::replace(&mut self.plain, true);
        self.form = Some(name);
        content.serialize(&mut *self)?;
        self.form = None;
        self.plain = outer;
        Ok(())
    }

    /// A form around a single element that is no sequence, or a sequence of its own.
    fn wrapped<T: Serialize + ?Sized>(&mut self, name: &str, content: &T) -> Result<()> {
        let outer = std::mem::replace(&mut self.plain, true);
        self.raw("[\"");
        self.raw(name);
        self.raw("\",");
        content.serialize(&mut *self)?;
        self.raw("]");
        self.plain = outer;
        Ok(())
    }
}

/// What has to be written and restored when a compound value ends.
struct Body {
    first: bool,
    end: &'static str,
    depth: usize,
    plain: bool,
}

/// A compound value being written.
pub(super) struct Compound<'a, R> {
    writer: &'a mut Writer<R>,
    body: Body,
}

impl<'a, R: Extract> Compound<'a, R> {
    fn comma(&mut self) {
        if !std::mem::replace(&mut self.body.first, false) {
            self.writer.raw(",");
        }
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.comma();
        value.serialize(&mut *self.writer)
    }

    fn key(&mut self, key: &str) {
        self.comma();
        write_string(&mut self.writer.out, key);
        self.writer.raw(":");
    }

    fn close(self) -> Result<()> {
        self.writer.raw(self.body.end);
        self.writer.depth -= self.body.depth;
        self.writer.plain = self.body.plain;
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
        write_string(&mut self.out, v);
        Ok(())
    }

    fn serialize_bytes(self, v: &[u8]) -> Result<()> {
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
        match name {
            marker::REFERENCE => {
                let to = R::extract(value).ok_or_else(|| Failure("not a reference".to_owned()))?;
                let at = self.out.len();
                self.refs.push(Slot { start: at, end: at, to });
                Ok(())
            }
            marker::BIGINT => self.wrapped("bigint", value),
            marker::DATE => self.wrapped("date", value),
            marker::URL => self.wrapped("url", value),
            marker::HEADERS => self.wrapped("headers", value),
            marker::BYTES => self.special("bytes", value),
            marker::ERROR => self.special("error", value),
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
        if self.outcome.is_some() && self.out.is_empty() && name == "Result" {
            self.outcome = Some(if variant == "Err" { Side::Err } else { Side::Ok });
            return value.serialize(self);
        }
        self.open_variant(variant)?;
        value.serialize(&mut *self)?;
        self.raw("}");
        self.depth -= 1;
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Compound<'a, R>> {
        let body = self.open_array()?;
        Ok(Compound { writer: self, body })
    }

    fn serialize_tuple(self, _: usize) -> Result<Compound<'a, R>> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Compound<'a, R>> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Compound<'a, R>> {
        self.open_variant(variant)?;
        let body = self.open_array()?;
        Ok(Compound { writer: self, body: Body { end: "]]}", depth: 2, ..body } })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Compound<'a, R>> {
        let body = self.open_object()?;
        Ok(Compound { writer: self, body })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Compound<'a, R>> {
        self.serialize_map(None)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Compound<'a, R>> {
        self.open_variant(variant)?;
        let body = self.open_object()?;
        Ok(Compound { writer: self, body: Body { end: "}}", depth: 2, ..body } })
    }
}

macro_rules! compound {
    ($($trait:ident::$method:ident),*) => { $(
        impl<R: Extract> ser::$trait for Compound<'_, R> {
            type Ok = ();
            type Error = Failure;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                self.element(value)
            }

            fn end(self) -> Result<()> {
                self.close()
            }
        }
    )* };
}

compound!(SerializeSeq::serialize_element, SerializeTuple::serialize_element);
compound!(SerializeTupleStruct::serialize_field, SerializeTupleVariant::serialize_field);

impl<R: Extract> ser::SerializeMap for Compound<'_, R> {
    type Ok = ();
    type Error = Failure;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        match serde_json::to_value(key) {
            Ok(serde_json::Value::String(key)) => self.key(&key),
            Ok(serde_json::Value::Number(key)) => self.key(&key.to_string()),
            Ok(serde_json::Value::Bool(key)) => self.key(if key { "true" } else { "false" }),
            _ => return Err(Failure("the key of a map has to be a string, a number or a bool".to_owned())),
        }
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<()> {
        self.close()
    }
}

macro_rules! compound_struct {
    ($($trait:ident),*) => { $(
        impl<R: Extract> ser::$trait for Compound<'_, R> {
            type Ok = ();
            type Error = Failure;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<()> {
                self.key(key);
                value.serialize(&mut *self.writer)
            }

            fn end(self) -> Result<()> {
                self.close()
            }
        }
    )* };
}

compound_struct!(SerializeStruct, SerializeStructVariant);
