//! JavaScript's `Blob`, `Request` and `Response`, whose bodies are streams.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{self, Serialize, SerializeMap, Serializer};
use serde_json::Map;

use super::Cap;
use super::request::{Args, UnwrittenValue};
use super::stream::{Chunk, Item, ReadEnd, Source, read_already};
use crate::dialect::capnweb::write_args;
use crate::error::Error;
use crate::kinds::{Bytes, Headers, marker};
use crate::sync::{Mutex, lock};

/// The body of a [`Blob`], a [`Request`] or a [`Response`]: the read end of a stream of bytes, to be read once.
///
/// Two bodies are equal if they are the same stream. A clone is the same stream as well: once somebody has read from it, or
/// passed it on, any other use is an error.
#[derive(Clone, PartialEq, Eq)]
pub struct Body(pub(crate) Cap);

impl Body {
    pub(crate) fn of(end: &Arc<ReadEnd>) -> Self {
        Self(end.cap())
    }

    /// Returns a body that nobody can read any more.
    pub(crate) fn used() -> Self {
        let end = ReadEnd::new(Box::new(Whole(Mutex::new(None))));
        end.set_begun(true);
        Self::of(&end)
    }

    /// Returns the read end.
    pub(crate) fn end(&self) -> Option<Arc<ReadEnd>> {
        self.0.own()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::of(&ReadEnd::new(Box::new(Whole(Mutex::new(Some(bytes))))))
    }
}

/// A stream of one chunk.
struct Whole(Mutex<Option<Bytes>>);

impl Source for Whole {
    fn poll_next(&self, _: &mut Context<'_>) -> Poll<Option<Result<Item, Error>>> {
        let next = lock(&self.0).take().filter(|bytes| !bytes.is_empty());
        let write = |args: &(Bytes,), limit| write_args(limit, |out| out.push(&args.0));
        let chunk = |bytes| Chunk::Args(Args::Typed(Box::new(UnwrittenValue::new((bytes,), write))));
        Poll::Ready(next.map(|bytes| Ok(Item::new(chunk(bytes), None))))
    }

    fn cancel(&self, _: &Error) {
        drop(lock(&self.0).take());
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body")
    }
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let end = self.end().ok_or_else(|| ser::Error::custom("the body is no stream"))?;
        if end.is_begun() {
            return Err(ser::Error::custom(read_already()));
        }
        end.pass(end.hold()).map_err(ser::Error::custom)?.serialize(serializer)
    }
}

/// Reads what peers send for a body.
struct AnyBody(Option<Body>);

impl<'de> Deserialize<'de> for AnyBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BodyVisitor;

        impl<'de> Visitor<'de> for BodyVisitor {
            type Value = AnyBody;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a stream, a text, bytes or nothing")
            }

            fn visit_unit<E: de::Error>(self) -> Result<AnyBody, E> {
                Ok(AnyBody(None))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<AnyBody, E> {
                Ok(AnyBody(Some(Body::from(Bytes::from(text.into_bytes())))))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<AnyBody, E> {
                self.visit_string(text.to_owned())
            }

            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<AnyBody, E> {
                Ok(AnyBody(Some(Body::from(Bytes::from(bytes)))))
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<AnyBody, D::Error> {
                let body = Body(Cap::deserialize(inner)?);
                match body.end() {
                    Some(_) => Ok(AnyBody(Some(body))),
                    None => Err(de::Error::custom(
                        "a body is a stream to read, and this is none, or was passed on before",
                    )),
                }
            }
        }

        deserializer.deserialize_any(BodyVisitor)
    }
}

/// JavaScript's `Blob`: bytes with a type, read as a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Blob {
    /// The media type, such as `image/png`; empty if it is not known.
    pub content_type: String,
    /// The bytes.
    pub body: Body,
}

/// JavaScript's `Request`. With the feature `http` it converts from and to that of the crate `http`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Request {
    /// The method, such as `GET`.
    pub method: String,
    /// The URL.
    pub url: String,
    /// The headers.
    pub headers: Headers,
    /// The body, if there is one.
    pub body: Option<Body>,
    /// Further options that JavaScript knows, such as `redirect`, as they are.
    pub options: Map<String, serde_json::Value>,
}

/// JavaScript's `Response`. With the feature `http` it converts from and to that of the crate `http`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Response {
    /// The status code, such as 200.
    pub status: u16,
    /// The text of the status, often empty.
    pub status_text: String,
    /// The headers.
    pub headers: Headers,
    /// The body, if there is one.
    pub body: Option<Body>,
    /// Further options that JavaScript knows, as they are.
    pub options: Map<String, serde_json::Value>,
}

impl Request {
    /// Returns a request without headers and body.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        let (method, url) = (method.into(), url.into());
        Self { method, url, headers: Headers::default(), body: None, options: Map::new() }
    }
}

impl Response {
    /// Returns a response without headers and body.
    pub fn new(status: u16) -> Self {
        let (status_text, headers) = (String::new(), Headers::default());
        Self { status, status_text, headers, body: None, options: Map::new() }
    }
}

/// A value that is written as plain JSON.
struct Json<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> Serialize for Json<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(marker::JSON, self.0)
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(marker::BLOB, &(&self.content_type, &self.body))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(
            marker::BLOB,
            Parts("a blob", 1, |mut parts: Read| {
                let content_type = parts.text.pop().unwrap_or_default();
                let body = parts.body.unwrap_or_else(|| Body::from(Bytes::default()));
                Ok(Self { content_type, body })
            }),
        )
    }
}

/// The members of a request or response but its URL.
struct Init<'a> {
    first: [Option<(&'static str, serde_json::Value)>; 2],
    headers: &'a Headers,
    options: &'a Map<String, serde_json::Value>,
    /// The body of a request.
    body: Option<&'a Body>,
}

/// The pairs of headers, which are plain JSON in a request or response.
struct Pairs<'a>(&'a Headers);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.check().map_err(ser::Error::custom)?;
        serializer.collect_seq(self.0.iter())
    }
}

/// Members that have a place of their own.
const OWN: [&str; 7] = ["method", "status", "statusText", "headers", "body", "duplex", "signal"];

impl Serialize for Init<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.first.iter().flatten() {
            map.serialize_entry(name, value)?;
        }
        if self.headers.iter().next().is_some() {
            map.serialize_entry("headers", &Json(&Pairs(self.headers)))?;
        }
        if let Some(body) = self.body {
            map.serialize_entry("body", body)?;
            // Browsers demand it where the body is a stream.
            map.serialize_entry("duplex", "half")?;
        }
        for (name, value) in self.options.iter().filter(|(name, _)| !OWN.contains(&name.as_str())) {
            map.serialize_entry(name, &Json(value))?;
        }
        map.end()
    }
}

impl Serialize for Request {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let method = (self.method != "GET").then(|| ("method", self.method.clone().into()));
        let (headers, options, body) = (&self.headers, &self.options, self.body.as_ref());
        let init = Init { first: [method, None], headers, options, body };
        serializer.serialize_newtype_struct(marker::REQUEST, &(&self.url, init))
    }
}

impl Serialize for Response {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let status = (self.status != 200).then(|| ("status", self.status.into()));
        let text = (!self.status_text.is_empty()).then(|| ("statusText", self.status_text.clone().into()));
        let (headers, options) = (&self.headers, &self.options);
        let init = Init { first: [status, text], headers, options, body: None };
        serializer.serialize_newtype_struct(marker::RESPONSE, &(&self.body, init))
    }
}

impl<'de> Deserialize<'de> for Request {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(
            marker::REQUEST,
            Parts("a request", 2, |mut parts: Read| {
                let mut options = parts.rest()?;
                let method = match options.remove("method") {
                    None => "GET".to_owned(),
                    Some(serde_json::Value::String(method)) => method,
                    Some(_) => return Err("the method of a request is a text".to_owned()),
                };
                options.remove("duplex");
                let headers = headers(&mut options)?;
                let url = parts.text.pop().unwrap_or_default();
                Ok(Self { method, url, headers, body: parts.body, options })
            }),
        )
    }
}

impl<'de> Deserialize<'de> for Response {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(
            marker::RESPONSE,
            Parts("a response", 1, |mut parts: Read| {
                let mut options = parts.rest()?;
                let status = match options.remove("status") {
                    None => 200,
                    Some(status) => {
                        serde_json::from_value(status).map_err(|_| "a status is a number".to_owned())?
                    }
                };
                let status_text = match options.remove("statusText") {
                    None => String::new(),
                    Some(serde_json::Value::String(text)) => text,
                    Some(_) => return Err("the text of a status is a text".to_owned()),
                };
                let headers = headers(&mut options)?;
                Ok(Self { status, status_text, headers, body: parts.body, options })
            }),
        )
    }
}

fn headers(options: &mut Map<String, serde_json::Value>) -> Result<Headers, String> {
    let Some(headers) = options.remove("headers") else { return Ok(Headers::default()) };
    let pairs: Vec<(String, String)> =
        serde_json::from_value(headers).map_err(|_| "headers are a list of pairs".to_owned())?;
    Ok(pairs.into_iter().collect())
}

/// The parts of a form as they are read.
struct Read {
    /// The texts: the URL or type, and the rest as JSON.
    text: Vec<String>,
    body: Option<Body>,
}

impl Read {
    /// Takes out the members of a request or response, which are the last text.
    fn rest(&mut self) -> Result<Map<String, serde_json::Value>, String> {
        let rest = self.text.pop().unwrap_or_default();
        serde_json::from_str(&rest).map_err(|error| error.to_string())
    }
}

/// Takes the parts of a form, which is said: so many texts, and the body at the end.
struct Parts<F>(&'static str, usize, F);

impl<'de, T, F: FnOnce(Read) -> Result<T, String>> Visitor<'de> for Parts<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<T, D::Error> {
        inner.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<T, A::Error> {
        let mut read = Read { text: Vec::new(), body: None };
        while read.text.len() < self.1 {
            let text =
                parts.next_element()?.ok_or_else(|| de::Error::invalid_length(read.text.len(), &self))?;
            read.text.push(text);
        }
        if let Some(AnyBody(body)) = parts.next_element()? {
            read.body = body;
        }
        (self.2)(read).map_err(de::Error::custom)
    }
}
