//! Special forms: their contents, and serde's words for them.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::value::{MapDeserializer, SeqDeserializer, StrDeserializer, StringDeserializer};
use serde::de::{self, Deserializer, Unexpected, Visitor};

use super::access::{Members, Variant};
use super::content::{Content, Number, Pair, Token, visit_numbers};
use super::{Next, Reader, Result, broken};
use crate::dialect::capnweb::text::{read_base64, until_quote, write_string};
use crate::dialect::{Failure, ResolveRef, ResolvedRef};
use crate::kinds::{BigInt, ByteKind, Url};

impl<'a, R: ResolveRef> Reader<'a, R> {
    pub(super) fn bigint(&mut self) -> Result<BigInt> {
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

    fn base64(&mut self) -> Result<(Vec<u8>, ByteKind)> {
        self.comma()?;
        self.peek();
        // What is base64 as it stands has no escapes, and need not be looked through for them.
        let plain = self.buffer.get(self.pos..).and_then(until_quote);
        let data = match plain.and_then(|text| read_base64(text).ok()).zip(plain) {
            Some((data, text)) => {
                self.pos += text.len() + 2;
                data
            }
            None => read_base64(&self.string()?).map_err(|_| broken())?,
        };
        let kind = if self.take(b',') { ByteKind::from_name(self.raw_string()?) } else { None };
        Ok((data, kind.unwrap_or_default()))
    }

    fn headers(&mut self) -> Result<Vec<(String, String)>> {
        self.comma()?;
        self.expect(b'[')?;
        let mut headers = Vec::new();
        while self.take(b'[') {
            let name = self.string()?.into_owned();
            self.comma()?;
            headers.push((name, self.string()?.into_owned()));
            self.expect(b']')?;
            self.take(b',');
        }
        self.expect(b']')?;
        Ok(headers)
    }

    /// Returns the name, the message and the place of the properties of the error that stands here.
    pub(in super::super) fn error_parts(&mut self) -> Result<(String, String, Option<Range<usize>>)> {
        let Next::Form("error") = self.next()? else { return Err(broken()) };
        self.comma()?;
        let name = self.string()?.into_owned();
        self.comma()?;
        let message = self.string()?.into_owned();
        // The stack is of use to the peer alone.
        let stack = if self.take(b',') { Some(self.place()?) } else { None };
        let properties = if stack.is_some() && self.take(b',') { Some(self.place()?) } else { None };
        Ok((name, message, properties))
    }

    /// Reads a special form before its use is known, as the nearest of serde's words.
    pub(super) fn form<'de, V: Visitor<'de>>(&mut self, form: &str, visitor: V) -> Result<V::Value> {
        let value = match form {
            "headers" => visitor.visit_map(MapDeserializer::new(self.headers()?.into_iter())),
            "error" => {
                self.deeper()?;
                let mut members = Members::of_error(self);
                let value = visitor.visit_map(&mut members)?;
                members.finish()?;
                self.depth -= 1;
                Ok(value)
            }
            other => self.content(other)?.deserialize_any(visitor),
        }?;
        self.close()?;
        Ok(value)
    }

    /// Reads the content of a form that is one value for serde. It stands apart from [`form`](Reader::form), which is
    /// compiled for each type of user code.
    fn content(&mut self, form: &str) -> Result<Content> {
        Ok(match form {
            "undefined" => Content::Undefined,
            "inf" => Content::Number(Number::Float(f64::INFINITY)),
            "-inf" => Content::Number(Number::Float(f64::NEG_INFINITY)),
            "nan" => Content::Number(Number::Float(f64::NAN)),
            "bigint" => {
                let bigint = self.bigint()?;
                if let Ok(integer) = u64::try_from(&bigint) {
                    Content::Number(Number::Unsigned(integer))
                } else if let Ok(integer) = i64::try_from(&bigint) {
                    Content::Number(Number::Signed(integer))
                } else {
                    Content::Text(bigint.to_string())
                }
            }
            "date" => Content::Number(Number::Float(self.date()?.unwrap_or(f64::NAN))),
            "bytes" => Content::Bytes(self.base64()?.0),
            "url" => {
                self.comma()?;
                Content::Text(self.string()?.into_owned())
            }
            "blob" | "request" | "response" => {
                return Err(Failure(format!("a {form} can be read as itself or as a `Value` alone")));
            }
            _ => return Err(broken()),
        })
    }

    /// Reads the parts of a blob, a request or a response, as [`marker`](crate::kinds::marker) says.
    fn fetch_parts(&mut self, form: &str) -> Result<Vec<Content>> {
        let mut parts = Vec::with_capacity(3);
        if form != "response" {
            self.comma()?;
            parts.push(Content::Text(self.string()?.into_owned()));
        }
        self.comma()?;
        if form == "blob" {
            parts.push(self.body()?);
            return Ok(parts);
        }
        let mut body = if form == "response" { Some(self.body()?) } else { None };
        if body.is_some() {
            self.comma()?;
        }
        let (mut rest, mut members) = (String::from("{"), Members::at_brace(self)?);
        while let Some(key) = members.advance()? {
            match &*key {
                "body" if body.is_none() => body = Some(members.reader.body()?),
                "body" | "signal" => members.reader.skip()?,
                name => {
                    if rest.len() > 1 {
                        rest.push(',');
                    }
                    write_string(&mut rest, name);
                    rest.push(':');
                    let place = members.reader.place()?;
                    rest.push_str(members.reader.buffer.get(place).unwrap_or_default());
                }
            }
        }
        rest.push('}');
        parts.push(Content::Text(rest));
        parts.push(body.unwrap_or(Content::Undefined));
        Ok(parts)
    }

    /// Reads the body of a request or response: the read end of a stream, a text, bytes, or nothing.
    fn body(&mut self) -> Result<Content> {
        match self.next()? {
            Next::Found(ResolvedRef::Reference(token)) => Ok(Content::Reference(Token::new(token))),
            Next::Found(ResolvedRef::Bytes(bytes)) => Ok(Content::Bytes(bytes.to_vec())),
            Next::Null => Ok(Content::Undefined),
            Next::String(raw) => Ok(Content::Text(self.said(raw).into_owned())),
            Next::Form("undefined") => self.close().map(|()| Content::Undefined),
            Next::Form("bytes") => {
                let (data, _) = self.base64()?;
                self.close()?;
                Ok(Content::Bytes(data))
            }
            _ => Err(Failure("a body is a stream, a text, bytes or nothing".to_owned())),
        }
    }

    /// A form read as a list: the numbers in a byte container, or pairs of headers.
    pub(super) fn list<'de, V: Visitor<'de>>(&mut self, form: &str, visitor: V) -> Result<V::Value> {
        let value = match form {
            "bytes" => self.base64().and_then(|(data, kind)| visit_numbers(data, kind, visitor)),
            "headers" => visitor.visit_seq(SeqDeserializer::new(self.headers()?.into_iter().map(Pair))),
            other => return self.form(other, visitor),
        }?;
        self.close()?;
        Ok(value)
    }

    /// A value of one of the kinds that only this library has a word for, with its content handed
    /// to the visitor as [`marker`](crate::kinds::marker) says.
    pub(super) fn special<'de, V: Visitor<'de>>(
        &mut self,
        form: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        match self.next()? {
            Next::Found(ResolvedRef::Value(payload)) => return self.nested(payload)?.special(form, visitor),
            Next::Found(ResolvedRef::Node(node)) => return self.enter(node)?.special(form, visitor),
            Next::Found(ResolvedRef::Bytes(bytes)) if form == "bytes" => return bytes.visit(visitor),
            Next::Form(found) if found == form => {}
            // A number will do where a big integer or a date is wanted; for a URL, a string.
            Next::Number(number) if form == "bigint" => {
                return match whole(number) {
                    Some(digits) => visitor.visit_newtype_struct(StrDeserializer::new(&digits)),
                    None => Err(de::Error::invalid_type(Unexpected::Other("a number"), &visitor)),
                };
            }
            Next::Number(number) if form == "date" => {
                let millis: f64 = number.parse().map_err(|_| broken())?;
                return visitor.visit_newtype_struct(Content::Date(Some(millis)));
            }
            Next::String(url) if form == "url" => {
                let url = self.said(url);
                if !Url::is_absolute(&url) {
                    return Err(de::Error::invalid_value(Unexpected::Str(&url), &visitor));
                }
                return visitor.visit_newtype_struct(StringDeserializer::new(url.into_owned()));
            }
            Next::String(text) => {
                let text = self.said(text);
                return Err(de::Error::invalid_type(Unexpected::Str(&text), &visitor));
            }
            // A visitor may take the content of another kind for its own.
            other => return self.other(other, &[], visitor),
        }
        let value = self.special_content(form, visitor)?;
        self.close()?;
        Ok(value)
    }

    fn special_content<'de, V: Visitor<'de>>(&mut self, form: &str, visitor: V) -> Result<V::Value> {
        match form {
            "headers" => {
                let headers = self.headers()?.into_iter();
                visitor.visit_newtype_struct(SeqDeserializer::new(headers.map(Pair)))
            }
            "bytes" => {
                let (data, kind) = self.base64()?;
                let name = (kind != ByteKind::Uint8Array).then_some(Content::Name(kind.name()));
                let parts = [Some(Content::Bytes(data)), name].into_iter().flatten();
                visitor.visit_newtype_struct(SeqDeserializer::new(parts))
            }
            "date" => visitor.visit_newtype_struct(Content::Date(self.date()?)),
            "blob" | "request" | "response" => {
                let parts = self.fetch_parts(form)?;
                visitor.visit_newtype_struct(SeqDeserializer::new(parts.into_iter()))
            }
            other => visitor.visit_newtype_struct(self.content(other)?),
        }
    }

    /// Any value, with the special ones told apart: see
    /// [`marker::VALUE`](crate::kinds::marker::VALUE).
    pub(super) fn value<'de, V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let start = self.pos;
        match self.next()? {
            Next::Array => self.array(visitor),
            Next::Object => self.object(visitor),
            Next::Number(number) => visitor.visit_f64(number.parse().map_err(|_| broken())?),
            other => self.value_part(start, other, visitor),
        }
    }

    /// Reads a value that was found at `start` and is neither an array nor an object. It stands apart, so that each
    /// level of a deep value takes little stack.
    #[inline(never)]
    fn value_part<'de, V: Visitor<'de>>(
        &mut self,
        start: usize,
        found: Next<'a, R>,
        visitor: V,
    ) -> Result<V::Value> {
        match found {
            Next::Found(ResolvedRef::Value(payload)) => self.nested(payload)?.value(visitor),
            Next::Found(ResolvedRef::Node(node)) => match R::token(node) {
                Some(token) => Token::new(token).deserialize_any(visitor),
                None => self.enter(node)?.value(visitor),
            },
            Next::Found(ResolvedRef::Bytes(_)) => {
                self.pos = start;
                visitor.visit_enum(Variant { reader: self, variant: "bytes" })
            }
            Next::Form(
                form @ ("undefined" | "bigint" | "date" | "bytes" | "url" | "headers" | "error" | "blob"
                | "request" | "response"),
            ) => {
                self.pos = start;
                visitor.visit_enum(Variant { reader: self, variant: form })
            }
            other => self.any(other, visitor),
        }
    }
}

/// The digits of the integer that a number is, if it is written as one. JavaScript writes those from 10^21 with an exponent.
fn whole(number: &str) -> Option<Cow<'_, str>> {
    if BigInt::from_decimal(number).is_some() {
        return Some(Cow::Borrowed(number));
    }
    let float: f64 = number.parse().ok()?;
    (float.is_finite() && float.abs() >= 1e21).then(|| Cow::Owned(format!("{float:.0}")))
}
