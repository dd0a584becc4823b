//! Expressions to Rust values: a deserializer over the text of a payload.
//!
//! The text has passed the scanner or came from our own writer; what can still fail is that it
//! does not fit the type it is read as. What the type does not ask for is skipped.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::value::{MapDeserializer, SeqDeserializer, StrDeserializer, StringDeserializer};
use serde::de::{self, Deserializer, IntoDeserializer, Unexpected, Visitor};

use super::read_access::{
    Elements, ErrorMembers, ErrorStage, Members, OptionDeserializer, Pair, Part, Special, Token, Variant,
};
use super::ser::MAX_DEPTH;
use super::text::{read_base64, unescape};
use crate::dialect::{Failure, Found, Lookup};
use crate::op::{Payload, Slot, Text};
use crate::value::{BigInt, marker};

type Result<T> = std::result::Result<T, Failure>;

pub(super) struct Reader<'a, R> {
    buffer: &'a str,
    pub(super) pos: usize,
    refs: &'a [Slot<R>],
    depth: usize,
}

/// What kind of value stands at the reader's place.
enum Next<'a, R> {
    Found(Found<'a, R>),
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

impl<'a, R: Lookup> Reader<'a, R> {
    pub(super) fn new(payload: &'a Payload<R>) -> Self {
        Self::nested(payload, 0)
    }

    fn nested(payload: &'a Payload<R>, depth: usize) -> Self {
        let text: &'a Text = &payload.text;
        Self { buffer: text.buffer(), pos: text.range().start, refs: &payload.refs, depth }
    }

    fn bytes(&self) -> &'a [u8] {
        self.buffer.as_bytes()
    }

    pub(super) fn peek(&mut self) -> u8 {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.bytes().get(self.pos) {
            self.pos += 1;
        }
        self.bytes().get(self.pos).copied().unwrap_or(0)
    }

    pub(super) fn take(&mut self, byte: u8) -> bool {
        // A reference not yet written takes no text, so what stands here is not what is next.
        if self.slot().is_some_and(|slot| slot.start == slot.end) {
            return false;
        }
        let found = self.peek() == byte;
        self.pos += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, byte: u8) -> Result<()> {
        if self.peek() == byte {
            self.pos += 1;
            Ok(())
        } else {
            Err(broken())
        }
    }

    /// The reference that stands here, if one does.
    pub(super) fn slot(&self) -> Option<&'a Slot<R>> {
        if self.refs.is_empty() {
            return None;
        }
        let at = self.refs.binary_search_by_key(&self.pos, |slot| slot.start).ok()?;
        self.refs.get(at)
    }

    /// A string's raw content.
    pub(super) fn raw_string(&mut self) -> Result<&'a str> {
        self.expect(b'"')?;
        let start = self.pos;
        loop {
            match self.bytes().get(self.pos).ok_or_else(broken)? {
                b'"' => break,
                b'\\' => self.pos += 2,
                _ => self.pos += 1,
            }
        }
        self.pos += 1;
        self.buffer.get(start..self.pos - 1).ok_or_else(broken)
    }

    pub(super) fn string(&mut self) -> Result<Cow<'a, str>> {
        self.raw_string().map(unescape)
    }

    fn word(&mut self) -> &'a str {
        self.peek();
        let rest = self.buffer.get(self.pos..).unwrap_or_default();
        let end = rest.find([',', ']', '}', ' ', '\t', '\r', '\n']).unwrap_or(rest.len());
        self.pos += end;
        &rest[..end]
    }

    fn next(&mut self) -> Result<Next<'a, R>> {
        self.peek();
        if let Some(slot) = self.slot() {
            self.pos = slot.end;
            return Ok(Next::Found(slot.to.look_up()));
        }
        Ok(match self.peek() {
            b'"' => Next::String(self.raw_string()?),
            b'{' => {
                self.pos += 1;
                Next::Object
            }
            b'[' => {
                self.pos += 1;
                match self.peek() {
                    b'[' => {
                        self.pos += 1;
                        Next::Array
                    }
                    _ => Next::Form(self.raw_string()?),
                }
            }
            _ => match self.word() {
                "null" => Next::Null,
                "true" => Next::Bool(true),
                "false" => Next::Bool(false),
                number => Next::Number(number),
            },
        })
    }

    pub(super) fn comma(&mut self) -> Result<()> {
        self.expect(b',')
    }

    /// Ends a special form, whatever is left of it.
    pub(super) fn close(&mut self) -> Result<()> {
        while self.peek() == b',' {
            self.pos += 1;
            self.skip()?;
        }
        self.expect(b']')
    }

    /// Passes over one JSON text.
    pub(super) fn skip(&mut self) -> Result<()> {
        self.peek();
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
                0 => return Err(broken()),
                _ if self.word().is_empty() => self.pos += 1,
                _ => {}
            }
            if open == 0 {
                return Ok(());
            }
        }
    }

    /// Whether the list that was opened ends here without an element.
    pub(super) fn at_end_of_list(&mut self) -> bool {
        self.slot().is_none() && self.peek() == b']'
    }

    /// Where the member of that name is, in the object that stands here. The last one of a name
    /// counts, as in JavaScript.
    pub(super) fn find_name(&mut self, name: &str) -> Option<Range<usize>> {
        let Next::Object = self.next().ok()? else { return None };
        let mut found = None;
        let mut members = Members { reader: self, first: true, ended: false };
        while let Some(key) = members.advance().ok()? {
            let start = members.reader.pos;
            members.reader.skip().ok()?;
            if key == name {
                found = Some(start..members.reader.pos);
            }
        }
        found
    }

    /// Where the element of that index is, in the array that stands here.
    pub(super) fn find_index(&mut self, index: u64) -> Option<Range<usize>> {
        let Next::Array = self.next().ok()? else { return None };
        let mut elements = Elements { reader: self, first: true, ended: false };
        for _ in 0..index {
            if !elements.advance().ok()? {
                return None;
            }
            elements.reader.skip().ok()?;
        }
        if !elements.advance().ok()? {
            return None;
        }
        let start = elements.reader.pos;
        elements.reader.skip().ok()?;
        Some(start..elements.reader.pos)
    }

    /// Name, message and the place of the properties of the error that stands here.
    pub(super) fn error_parts(&mut self) -> Result<(String, String, Option<Range<usize>>)> {
        let Next::Form("error") = self.next()? else { return Err(broken()) };
        self.comma()?;
        let name = self.string()?.into_owned();
        self.comma()?;
        let message = self.string()?.into_owned();
        // The stack is of no use to anybody but the peer.
        for place in ["stack", "properties"] {
            if self.peek() != b',' {
                break;
            }
            self.pos += 1;
            self.peek();
            let start = self.pos;
            self.skip()?;
            if place == "properties" {
                return Ok((name, message, Some(start..self.pos)));
            }
        }
        Ok((name, message, None))
    }

    fn deeper(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth <= MAX_DEPTH { Ok(()) } else { Err(Failure("the value nests too deep".to_owned())) }
    }

    fn array<'de, V: Visitor<'de>>(&mut self, visitor: V, end: &str) -> Result<V::Value> {
        self.deeper()?;
        let mut elements = Elements { reader: self, first: true, ended: false };
        let value = visitor.visit_seq(&mut elements)?;
        elements.finish()?;
        for bracket in end.bytes() {
            self.expect(bracket)?;
        }
        self.depth -= 1;
        Ok(value)
    }

    fn object<'de, V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        self.deeper()?;
        let mut members = Members { reader: self, first: true, ended: false };
        let value = visitor.visit_map(&mut members)?;
        members.finish()?;
        self.expect(b'}')?;
        self.depth -= 1;
        Ok(value)
    }

    fn number<'de, V: Visitor<'de>>(&mut self, number: &str, visitor: V) -> Result<V::Value> {
        if let Ok(number) = number.parse() {
            visitor.visit_u64(number)
        } else if let Ok(number) = number.parse() {
            visitor.visit_i64(number)
        } else {
            visitor.visit_f64(number.parse().map_err(|_| broken())?)
        }
    }

    /// A special form read without knowing what for: what comes nearest to it among serde's words.
    fn form<'de, V: Visitor<'de>>(&mut self, form: &str, visitor: V) -> Result<V::Value> {
        let value = match form {
            "undefined" => visitor.visit_unit(),
            "inf" => visitor.visit_f64(f64::INFINITY),
            "-inf" => visitor.visit_f64(f64::NEG_INFINITY),
            "nan" => visitor.visit_f64(f64::NAN),
            "bigint" => {
                let bigint = self.bigint()?;
                if let Ok(integer) = u64::try_from(&bigint) {
                    visitor.visit_u64(integer)
                } else if let Ok(integer) = i64::try_from(&bigint) {
                    visitor.visit_i64(integer)
                } else {
                    visitor.visit_str(bigint.as_str())
                }
            }
            "date" => match self.date()? {
                Some(millis) => visitor.visit_f64(millis),
                None => visitor.visit_f64(f64::NAN),
            },
            "bytes" => visitor.visit_byte_buf(self.base64()?),
            "url" => {
                self.comma()?;
                visitor.visit_str(&self.string()?)
            }
            "headers" => visitor.visit_map(MapDeserializer::new(self.headers()?.into_iter())),
            "error" => {
                self.deeper()?;
                let mut members = ErrorMembers { reader: self, stage: ErrorStage::Name };
                let value = visitor.visit_map(&mut members)?;
                self.depth -= 1;
                Ok(value)
            }
            _ => return Err(broken()),
        }?;
        self.close()?;
        Ok(value)
    }

    fn bigint(&mut self) -> Result<BigInt> {
        self.comma()?;
        BigInt::from_js(&self.string()?).ok_or_else(broken)
    }

    fn date(&mut self) -> Result<Option<f64>> {
        self.comma()?;
        match self.word() {
            "null" => Ok(None),
            millis => millis.parse().map(Some).map_err(|_| broken()),
        }
    }

    fn base64(&mut self) -> Result<Vec<u8>> {
        self.comma()?;
        read_base64(self.raw_string()?).map_err(|_| broken())
    }

    fn headers(&mut self) -> Result<Vec<(String, String)>> {
        self.comma()?;
        self.expect(b'[')?;
        let mut headers = Vec::new();
        while self.peek() == b'[' {
            self.pos += 1;
            let name = self.string()?.into_owned();
            self.comma()?;
            headers.push((name, self.string()?.into_owned()));
            self.expect(b']')?;
            if self.peek() == b',' {
                self.pos += 1;
            }
        }
        self.expect(b']')?;
        Ok(headers)
    }

    /// A value of one of the kinds that only this library has a word for, with its content handed
    /// to the visitor as [`marker`] says.
    fn special<'de, V: Visitor<'de>>(&mut self, form: &'static str, visitor: V) -> Result<V::Value> {
        let start = self.pos;
        match self.next()? {
            Next::Found(Found::Value(payload)) => {
                return Self::nested(payload, self.depth + 1).special(form, visitor);
            }
            Next::Form(found) if found == form => {}
            // Where a big integer or a date is wanted, a number will do.
            Next::Number(number) if form == "bigint" && BigInt::parse(number).is_some() => {
                return visitor.visit_newtype_struct(StrDeserializer::new(number));
            }
            Next::Number(number) if form == "date" => {
                let millis: f64 = number.parse().map_err(|_| broken())?;
                return visitor.visit_newtype_struct(millis.into_deserializer());
            }
            Next::String(url) if form == "url" => {
                return visitor.visit_newtype_struct(StringDeserializer::new(unescape(url).into_owned()));
            }
            _ => {
                self.pos = start;
                return self.deserialize_any(visitor);
            }
        }
        let value = self.special_content(form, visitor)?;
        self.close()?;
        Ok(value)
    }

    fn special_content<'de, V: Visitor<'de>>(&mut self, form: &str, visitor: V) -> Result<V::Value> {
        match form {
            "bigint" => visitor.visit_newtype_struct(StringDeserializer::new(self.bigint()?.to_string())),
            "date" => visitor.visit_newtype_struct(OptionDeserializer(self.date()?)),
            "url" => {
                self.comma()?;
                visitor.visit_newtype_struct(StringDeserializer::new(self.string()?.into_owned()))
            }
            "headers" => {
                let headers = self.headers()?.into_iter();
                visitor.visit_newtype_struct(SeqDeserializer::new(headers.map(Pair)))
            }
            "bytes" => {
                let data = self.base64()?;
                let mut parts = vec![Part::Bytes(data)];
                if self.peek() == b',' {
                    self.pos += 1;
                    parts.push(Part::Name(self.string()?.into_owned()));
                }
                visitor.visit_newtype_struct(SeqDeserializer::new(parts.into_iter()))
            }
            _ => Err(broken()),
        }
    }

    /// Any value, with the special ones told apart: see [`marker::VALUE`].
    fn value<'de, V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let start = self.pos;
        let form = match self.next()? {
            Next::Found(Found::Value(payload)) => {
                self.deeper()?;
                let value = Self::nested(payload, self.depth).value(visitor)?;
                self.depth -= 1;
                return Ok(value);
            }
            Next::Form(form @ ("undefined" | "bigint" | "date" | "bytes" | "url" | "headers" | "error")) => {
                form
            }
            _ => {
                self.pos = start;
                return self.deserialize_any(visitor);
            }
        };
        self.pos = start;
        visitor.visit_enum(Special { reader: self, form })
    }
}

impl<'de, R: Lookup> Deserializer<'de> for &mut Reader<'_, R> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.next()? {
            Next::Found(Found::Reference(token)) => visitor.visit_newtype_struct(Token::Outer(token)),
            Next::Found(Found::Value(payload)) => {
                self.deeper()?;
                let value = Reader::nested(payload, self.depth).deserialize_any(visitor)?;
                self.depth -= 1;
                Ok(value)
            }
            Next::Null => visitor.visit_unit(),
            Next::Bool(value) => visitor.visit_bool(value),
            Next::Number(number) => self.number(number, visitor),
            Next::String(raw) => match unescape(raw) {
                Cow::Borrowed(text) => visitor.visit_str(text),
                Cow::Owned(text) => visitor.visit_string(text),
            },
            Next::Array => self.array(visitor, "]]"),
            Next::Object => self.object(visitor),
            Next::Form(form) => self.form(form, visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let start = self.pos;
        match self.next()? {
            Next::Null => visitor.visit_none(),
            Next::Form("undefined") => {
                self.close()?;
                visitor.visit_none()
            }
            Next::Found(Found::Value(payload)) => {
                Reader::nested(payload, self.depth + 1).deserialize_option(visitor)
            }
            _ => {
                self.pos = start;
                visitor.visit_some(self)
            }
        }
    }

    /// Whoever wants nothing is content with anything: a JavaScript callback may return what it
    /// likes.
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.skip()?;
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value> {
        match name {
            // Only a reference brings a newtype of its own; anything else does not fit there.
            marker::REFERENCE => self.deserialize_any(visitor),
            marker::VALUE => self.value(visitor),
            marker::BIGINT => self.special("bigint", visitor),
            marker::DATE => self.special("date", visitor),
            marker::BYTES => self.special("bytes", visitor),
            marker::URL => self.special("url", visitor),
            marker::HEADERS => self.special("headers", visitor),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let start = self.pos;
        match self.next()? {
            Next::Form("bytes") => {
                let bytes = self.base64()?;
                self.close()?;
                visitor.visit_seq(SeqDeserializer::new(bytes.into_iter()))
            }
            Next::Form("headers") => {
                let headers = self.headers()?;
                self.close()?;
                visitor.visit_seq(SeqDeserializer::new(headers.into_iter().map(Pair)))
            }
            Next::Found(Found::Value(payload)) => {
                Reader::nested(payload, self.depth + 1).deserialize_seq(visitor)
            }
            _ => {
                self.pos = start;
                self.deserialize_any(visitor)
            }
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
            Next::String(raw) => visitor.visit_enum(unescape(raw).as_ref().into_deserializer()),
            Next::Object => {
                self.deeper()?;
                let variant = self.string()?;
                self.expect(b':')?;
                let value = visitor.visit_enum(Variant { reader: &mut *self, variant: &variant })?;
                self.expect(b'}')?;
                self.depth -= 1;
                Ok(value)
            }
            Next::Found(Found::Value(payload)) => {
                Reader::nested(payload, self.depth + 1).deserialize_enum(name, variants, visitor)
            }
            _ => Err(Failure(format!(
                "expected one of the variants of {name}, as a string or an object of one member"
            ))),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.skip()?;
        visitor.visit_unit()
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let start = self.pos;
        if let Next::Form("bigint") = self.next()? {
            let bigint = self.bigint()?;
            self.close()?;
            return match i128::try_from(&bigint) {
                Ok(integer) => visitor.visit_i128(integer),
                Err(_) => Err(de::Error::invalid_value(Unexpected::Other("a big integer"), &visitor)),
            };
        }
        self.pos = start;
        self.deserialize_any(visitor)
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let start = self.pos;
        if let Next::Form("bigint") = self.next()? {
            let bigint = self.bigint()?;
            self.close()?;
            return match u128::try_from(&bigint) {
                Ok(integer) => visitor.visit_u128(integer),
                Err(_) => Err(de::Error::invalid_value(Unexpected::Other("a big integer"), &visitor)),
            };
        }
        self.pos = start;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf map struct
        identifier
    }
}
