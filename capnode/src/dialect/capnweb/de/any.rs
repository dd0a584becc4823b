//! The deserializer itself: which value fits which type.

use std::borrow::Cow;

use serde::de::{self, Deserializer, IntoDeserializer, Unexpected, Visitor};

use super::super::text::plain_integer;
use super::access::{Elements, Members, Variant};
use super::content::{Token, visit_numbers};
use super::{Next, Reader, Result, broken};
use crate::dialect::{Failure, ResolveRef, ResolvedRef};
use crate::kinds::{BigInt, MAX_SAFE_INTEGER, marker};

impl<'a, R: ResolveRef> Reader<'a, R> {
    #[inline(never)]
    pub(super) fn array<'de, V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        self.deeper()?;
        let mut elements = Elements::new(self);
        let value = visitor.visit_seq(&mut elements)?;
        elements.finish()?;
        self.expect(b']')?;
        self.expect(b']')?;
        self.depth -= 1;
        Ok(value)
    }

    #[inline(never)]
    pub(super) fn object<'de, V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        self.deeper()?;
        let mut members = Members::new(self);
        let value = visitor.visit_map(&mut members)?;
        members.finish()?;
        self.depth -= 1;
        Ok(value)
    }

    /// A number read as an integer, as long as it is written as one. JavaScript writes integers from 10^21 with an
    /// exponent.
    fn integer<'de, V: Visitor<'de>>(&mut self, number: &str, visitor: V) -> Result<V::Value> {
        let visitor = match visit_integer(number, visitor) {
            Ok(value) => return value,
            Err(visitor) => visitor,
        };
        let float: f64 = number.parse().map_err(|_| broken())?;
        // These bounds are powers of two; floats of this size are whole.
        const I128_END: f64 = -(i128::MIN as f64);
        if float.abs() < 1e21 || !(-I128_END..2.0 * I128_END).contains(&float) {
            visitor.visit_f64(float)
        } else if float < I128_END {
            visitor.visit_i128(float as i128)
        } else {
            visitor.visit_u128(float as u128)
        }
    }

    /// Reads a value as a type that has a word of its own among serde's, whatever [`deserialize_any`] says of it. Of
    /// JavaScript's special kinds it takes these `forms` alone: a URL is no string, and a date is no number.
    ///
    /// [`deserialize_any`]: Deserializer::deserialize_any
    fn only<'de, V: Visitor<'de>>(&mut self, forms: &[&str], visitor: V) -> Result<V::Value> {
        match self.next()? {
            Next::Array => self.array(visitor),
            Next::Object => self.object(visitor),
            other => self.only_part(other, forms, visitor),
        }
    }

    /// Reads a value that is neither an array nor an object: see [`part`](Self::part).
    #[inline(never)]
    fn only_part<'de, V: Visitor<'de>>(
        &mut self,
        found: Next<'a, R>,
        forms: &[&str],
        visitor: V,
    ) -> Result<V::Value> {
        match found {
            Next::Found(ResolvedRef::Value(payload)) => self.nested(payload)?.only(forms, visitor),
            Next::Found(ResolvedRef::Node(node)) => self.enter(node)?.only(forms, visitor),
            other => self.other(other, forms, visitor),
        }
    }

    /// Reads a value that is no array where a list is wanted: see [`part`](Self::part).
    #[inline(never)]
    fn list_part<'de, V: Visitor<'de>>(&mut self, found: Next<'a, R>, visitor: V) -> Result<V::Value> {
        match found {
            Next::Form(form @ ("bytes" | "headers")) => self.list(form, visitor),
            Next::Found(ResolvedRef::Value(payload)) => self.nested(payload)?.deserialize_seq(visitor),
            Next::Found(ResolvedRef::Bytes(bytes)) => visit_numbers(bytes.to_vec(), bytes.kind(), visitor),
            Next::Found(ResolvedRef::Node(node)) => self.enter(node)?.deserialize_seq(visitor),
            other => self.other(other, &[], visitor),
        }
    }

    /// Reads the value that was passed last, if it is undefined, of one of these `forms`, or of no special kind.
    pub(super) fn other<'de, V: Visitor<'de>>(
        &mut self,
        found: Next<'a, R>,
        forms: &[&str],
        visitor: V,
    ) -> Result<V::Value> {
        match found {
            Next::Form(form) if form != "undefined" && !forms.contains(&form) => {
                Err(de::Error::invalid_type(Unexpected::Other(kind(form)), &visitor))
            }
            Next::Found(ResolvedRef::Bytes(_)) if !forms.contains(&"bytes") => {
                Err(de::Error::invalid_type(Unexpected::Other(kind("bytes")), &visitor))
            }
            _ => self.any(found, visitor),
        }
    }

    /// Reads the value that was passed last, of any kind. Nothing is passed twice, since a string is looked through to
    /// its end.
    pub(super) fn any<'de, V: Visitor<'de>>(&mut self, found: Next<'a, R>, visitor: V) -> Result<V::Value> {
        match found {
            Next::Array => self.array(visitor),
            Next::Object => self.object(visitor),
            other => self.part(other, visitor),
        }
    }

    /// Reads a value that is neither an array nor an object. It stands apart, so that a level of a deep value takes
    /// little stack.
    #[inline(never)]
    fn part<'de, V: Visitor<'de>>(&mut self, found: Next<'a, R>, visitor: V) -> Result<V::Value> {
        match found {
            Next::Found(ResolvedRef::Reference(token)) => Token::new(token).deserialize_any(visitor),
            Next::Found(ResolvedRef::Value(payload)) => self.nested(payload)?.deserialize_any(visitor),
            Next::Found(ResolvedRef::Bytes(bytes)) => bytes.visit(visitor),
            Next::Found(ResolvedRef::Node(node)) => self.enter(node)?.deserialize_any(visitor),
            Next::Null => visitor.visit_unit(),
            Next::Bool(value) => visitor.visit_bool(value),
            Next::Number(number) => {
                let float: f64 = number.parse().map_err(|_| broken())?;
                // Beyond that the number does not tell which integer was meant.
                if float.abs() <= MAX_SAFE_INTEGER as f64 {
                    self.integer(number, visitor)
                } else {
                    visitor.visit_f64(float)
                }
            }
            Next::String(raw) => match self.said(raw) {
                Cow::Borrowed(text) => visitor.visit_str(text),
                Cow::Owned(text) => visitor.visit_string(text),
            },
            Next::Form(form) => self.form(form, visitor),
            Next::Array | Next::Object => self.any(found, visitor),
        }
    }
}

/// Reads digits as the first type of integer that they fit into, or gives the visitor back.
fn visit_integer<'de, V: Visitor<'de>>(digits: &str, visitor: V) -> std::result::Result<Result<V::Value>, V> {
    if let Ok(integer) = digits.parse() {
        Ok(visitor.visit_u64(integer))
    } else if let Ok(integer) = digits.parse() {
        Ok(visitor.visit_i64(integer))
    } else if let Ok(integer) = digits.parse() {
        Ok(visitor.visit_i128(integer))
    } else if let Ok(integer) = digits.parse() {
        Ok(visitor.visit_u128(integer))
    } else {
        Err(visitor)
    }
}

/// The name of a special form in a message.
fn kind(form: &str) -> &'static str {
    match form {
        "bigint" => "a big integer",
        "date" => "a date",
        "bytes" => "bytes",
        "url" => "a URL",
        "headers" => "headers",
        "blob" => "a blob",
        "request" => "a request",
        "response" => "a response",
        "error" => "an error",
        "nan" => "NaN",
        "inf" | "-inf" => "an infinite number",
        _ => "a value of a special kind",
    }
}

/// The number that is exactly this integer, if there is one.
fn exact(bigint: &BigInt) -> Option<f64> {
    let integer = i128::try_from(bigint).ok()?;
    let float = integer as f64;
    (float as i128 == integer && integer.unsigned_abs() < 1 << 120).then_some(float)
}

/// Methods for integers, which may be numbers or big integers.
macro_rules! integers {
    ($($method:ident)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            let rest = self.buffer.as_bytes().get(self.pos..).unwrap_or_default();
            if let Some((integer, length)) = plain_integer(rest) {
                // A reference that is not written yet would stand right here.
                if self.refs.is_empty() || self.slot().is_none() {
                    self.pos += length;
                    return match u64::try_from(integer) {
                        Ok(integer) => visitor.visit_u64(integer),
                        Err(_) => visitor.visit_i64(integer),
                    };
                }
            }
            match self.next()? {
                Next::Number(number) => self.integer(number, visitor),
                Next::Form("bigint") => {
                    let bigint = self.bigint()?;
                    self.close()?;
                    let too_large = |visitor: V| {
                        Err(de::Error::invalid_value(Unexpected::Other("a big integer"), &visitor))
                    };
                    visit_integer(bigint.as_str(), visitor).unwrap_or_else(too_large)
                }
                Next::Found(ResolvedRef::Value(payload)) => self.nested(payload)?.$method(visitor),
                Next::Found(ResolvedRef::Node(node)) => self.enter(node)?.$method(visitor),
                other => self.other(other, &["inf", "-inf", "nan"], visitor),
            }
        }
    )* };
}

/// Methods for types that have no special kind in JavaScript.
macro_rules! only {
    ($($method:ident)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            self.only(&[], visitor)
        }
    )* };
}

impl<'de, R: ResolveRef> Deserializer<'de> for &mut Reader<'_, R> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let found = self.next()?;
        self.any(found, visitor)
    }

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let start = self.pos;
        if let Next::Number(number) = self.next()? {
            return visitor.visit_f32(number.parse().map_err(|_| broken())?);
        }
        self.pos = start;
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.next()? {
            Next::Number(number) => visitor.visit_f64(number.parse().map_err(|_| broken())?),
            Next::Form("bigint") => {
                let bigint = self.bigint()?;
                self.close()?;
                match exact(&bigint) {
                    Some(float) => visitor.visit_f64(float),
                    None => Err(de::Error::invalid_value(Unexpected::Other("a big integer"), &visitor)),
                }
            }
            Next::Found(ResolvedRef::Value(payload)) => self.nested(payload)?.deserialize_f64(visitor),
            Next::Found(ResolvedRef::Node(node)) => self.enter(node)?.deserialize_f64(visitor),
            other => self.other(other, &["inf", "-inf", "nan"], visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        // A value that is no literal and in no brackets is there, and a string would be passed twice.
        if self.slot().is_none() && !matches!(self.peek(), b'n' | b'[') {
            return visitor.visit_some(self);
        }
        let start = self.pos;
        match self.next()? {
            Next::Null => visitor.visit_none(),
            Next::Form("undefined") => {
                self.close()?;
                visitor.visit_none()
            }
            Next::Found(ResolvedRef::Value(payload)) => self.nested(payload)?.deserialize_option(visitor),
            // One that is there may be wanted as itself.
            Next::Found(ResolvedRef::Node(node)) if !self.is_container(node) => {
                self.enter(node)?.deserialize_option(visitor)
            }
            _ => {
                self.pos = start;
                visitor.visit_some(self)
            }
        }
    }

    /// Takes any value where nothing is wanted: a JavaScript callback may return any.
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.skip()?;
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value> {
        match name {
            marker::VALUE => self.value(visitor),
            marker::REFERENCE => self.reference(visitor),
            marker::ERROR => self.deserialize_any(visitor),
            marker::BLOB => self.special("blob", visitor),
            marker::REQUEST => self.special("request", visitor),
            marker::RESPONSE => self.special("response", visitor),
            marker::BIGINT => self.special("bigint", visitor),
            marker::DATE => self.special("date", visitor),
            marker::BYTES => self.special("bytes", visitor),
            marker::URL => self.special("url", visitor),
            marker::HEADERS => self.special("headers", visitor),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.next()? {
            Next::Array => self.array(visitor),
            other => self.list_part(other, visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.next()? {
            Next::String(raw) => return visitor.visit_enum(self.said(raw).as_ref().into_deserializer()),
            Next::Found(ResolvedRef::Value(payload)) => {
                return self.nested(payload)?.deserialize_enum(name, variants, visitor);
            }
            Next::Found(ResolvedRef::Node(node)) => {
                return self.enter(node)?.deserialize_enum(name, variants, visitor);
            }
            Next::Object if self.peek() != b'}' => {
                self.deeper()?;
                let variant = self.string()?;
                self.expect(b':')?;
                let value = visitor.visit_enum(Variant { reader: &mut *self, variant: &variant })?;
                if self.take(b'}') {
                    self.depth -= 1;
                    return Ok(value);
                }
            }
            _ => {}
        }
        Err(Failure(format!(
            "expected one of the variants of {name}, as a string or an object of one member"
        )))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.skip()?;
        visitor.visit_unit()
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.next()? {
            Next::String(_) => Err(de::Error::invalid_type(Unexpected::Other("a string"), &visitor)),
            Next::Found(ResolvedRef::Value(payload)) => self.nested(payload)?.deserialize_bytes(visitor),
            Next::Found(ResolvedRef::Node(node)) => self.enter(node)?.deserialize_bytes(visitor),
            other => self.other(other, &["bytes"], visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.only(&["error", "headers"], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.only(&["error", "headers"], visitor)
    }

    only! {
        deserialize_bool deserialize_char deserialize_str deserialize_string deserialize_identifier
    }
}
