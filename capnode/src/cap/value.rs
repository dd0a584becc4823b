//! Values of any shape.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeTuple, Serializer};

use super::Cap;
use super::fetch::{Blob, Request, Response};
use super::shared::Shared;
use super::slot::{DecodedRef, RefVisitor};
use crate::kinds::{BigInt, Bytes, Date, Headers, MAX_SAFE_INTEGER, Url, marker};
use crate::reserved::is_reserved;

/// A value of any shape that can travel, references included.
///
/// Members of objects keep their order. In a session a value arrives unchanged; in other formats it is written and read
/// as plain data; references, and values that are shared, are an error.
///
/// Where serde puts a value aside before its type is known (enums without a tag or with one inside, flattened fields)
/// it has no words for all kinds: undefined becomes null, a date its milliseconds, a big integer beyond 64 bits its
/// digits, a URL a string, an error or headers an object, bytes forget their container, and a shared value is copied.
/// References survive.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// JavaScript's `undefined`, which is also the value of an argument that was not given.
    #[default]
    Undefined,
    /// JavaScript's `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number. JavaScript has but one kind.
    Number(f64),
    /// An integer beyond the range that a number holds exactly.
    BigInt(BigInt),
    /// A string.
    String(String),
    /// Bytes.
    Bytes(Bytes),
    /// A point in time.
    Date(Date),
    /// A URL.
    Url(Url),
    /// HTTP headers.
    Headers(Headers),
    /// A blob.
    Blob(Box<Blob>),
    /// A request.
    Request(Box<Request>),
    /// A response.
    Response(Box<Response>),
    /// An error as a value.
    Error(Box<ErrorValue>),
    /// A list.
    Array(Vec<Value>),
    /// A record.
    Object(Vec<(String, Value)>),
    /// A reference to an object or function, or an end of a stream.
    Cap(Cap),
    /// A value that occurs more than once in the value it came in, or inside itself. Equal only to itself.
    Shared(Shared),
}

impl Value {
    /// Reads the members of a record.
    pub(super) fn of_members<'de, A: MapAccess<'de>>(mut members: A) -> Result<Self, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Value::Object(object))
    }
}

/// A JavaScript error that travels as a value, not as the failure of a call.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ErrorValue {
    /// Class, such as `TypeError`.
    pub name: String,
    /// Message.
    pub message: String,
    /// Other properties, `cause` and an aggregate's `errors` among them.
    pub properties: Vec<(String, Value)>,
}

impl ErrorValue {
    /// Returns an error of a class such as `TypeError`, without properties.
    pub fn new(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self { name: name.into(), message: message.into(), properties: Vec::new() }
    }

    /// Adds a property.
    pub fn with_property(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.properties.push((name.into(), value.into()));
        self
    }
}

struct Properties<'a>(&'a [(String, Value)]);

impl Serialize for Properties<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// Returns the class of an error. A name that every JavaScript object has does not count as one.
fn class(name: &str) -> &str {
    if is_reserved(name) { "Error" } else { name }
}

struct ErrorContent<'a>(&'a ErrorValue);

impl Serialize for ErrorContent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bare = self.0.properties.is_empty();
        let mut parts = serializer.serialize_tuple(if bare { 2 } else { 4 })?;
        parts.serialize_element(class(&self.0.name))?;
        parts.serialize_element(&self.0.message)?;
        if !bare {
            // In the place of the stack.
            parts.serialize_element(&None::<String>)?;
            parts.serialize_element(&Properties(&self.0.properties))?;
        }
        parts.end()
    }
}

impl Serialize for ErrorValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(marker::ERROR, &ErrorContent(self))
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Undefined => serializer.serialize_unit(),
            Value::Null => serializer.serialize_none(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Number(number) => serializer.serialize_f64(*number),
            Value::BigInt(bigint) => bigint.serialize(serializer),
            Value::String(text) => serializer.serialize_str(text),
            Value::Bytes(bytes) => bytes.serialize(serializer),
            Value::Date(date) => date.serialize(serializer),
            Value::Url(url) => url.serialize(serializer),
            Value::Headers(headers) => headers.serialize(serializer),
            Value::Blob(blob) => blob.serialize(serializer),
            Value::Request(request) => request.serialize(serializer),
            Value::Response(response) => response.serialize(serializer),
            Value::Error(error) => error.serialize(serializer),
            Value::Array(elements) => serializer.collect_seq(elements),
            Value::Object(members) => Properties(members).serialize(serializer),
            Value::Cap(cap) => cap.serialize(serializer),
            Value::Shared(shared) => shared.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(marker::VALUE, AnyValue { inside: 0 })
    }
}

/// Takes any value. A number inside two newtypes is a reference: see [`super::slot`].
struct AnyValue {
    inside: u8,
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
        match self.inside {
            0 => inner.deserialize_any(AnyValue { inside: 1 }),
            _ => Ok(match inner.deserialize_any(RefVisitor { inside: 2 })? {
                DecodedRef::Cap(cap) => Value::Cap(cap),
                DecodedRef::Shared(node) => Value::Shared(Shared(node)),
            }),
        }
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
        Value::deserialize(inner)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_u64<E: de::Error>(self, integer: u64) -> Result<Value, E> {
        let safe = integer <= MAX_SAFE_INTEGER;
        Ok(if safe { Value::Number(integer as f64) } else { Value::BigInt(integer.into()) })
    }

    fn visit_i64<E: de::Error>(self, integer: i64) -> Result<Value, E> {
        let safe = integer.unsigned_abs() <= MAX_SAFE_INTEGER;
        Ok(if safe { Value::Number(integer as f64) } else { Value::BigInt(integer.into()) })
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(bytes.to_vec().into()))
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Value, E> {
        Ok(Value::Bytes(bytes.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element()? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Value, A::Error> {
        Value::of_members(members)
    }

    /// The special kinds, each as a variant named as the form is on the wire.
    fn visit_enum<A: EnumAccess<'de>>(self, special: A) -> Result<Value, A::Error> {
        let (kind, content): (String, _) = special.variant()?;
        match kind.as_str() {
            "undefined" => content.unit_variant().map(|()| Value::Undefined),
            "bigint" => content.newtype_variant().map(Value::BigInt),
            "date" => content.newtype_variant().map(Value::Date),
            "bytes" => content.newtype_variant().map(Value::Bytes),
            "url" => content.newtype_variant().map(Value::Url),
            "headers" => content.newtype_variant().map(Value::Headers),
            "blob" | "request" | "response" => fetched(&kind, content),
            "error" => content.struct_variant(&[], ErrorMembers).map(|error| Value::Error(Box::new(error))),
            _ => Err(de::Error::custom("a kind of value that this version does not know")),
        }
    }
}

/// Reads a blob, a request or a response. It stands apart, so that a level of a deep value takes little stack.
#[inline(never)]
fn fetched<'de, A: VariantAccess<'de>>(kind: &str, content: A) -> Result<Value, A::Error> {
    match kind {
        "blob" => content.newtype_variant().map(|blob| Value::Blob(Box::new(blob))),
        "request" => content.newtype_variant().map(|request| Value::Request(Box::new(request))),
        _ => content.newtype_variant().map(|response| Value::Response(Box::new(response))),
    }
}

/// Reads an error: a map of its name, its message, and its properties. Other formats have it as the list that it is
/// written as.
struct ErrorMembers;

impl<'de> Visitor<'de> for ErrorMembers {
    type Value = ErrorValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an error")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<ErrorValue, D::Error> {
        if inner.is_human_readable() { inner.deserialize_any(self) } else { inner.deserialize_seq(self) }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<ErrorValue, A::Error> {
        let (mut name, mut message) = (None, None);
        let mut properties = Vec::new();
        while let Some(key) = members.next_key::<String>()? {
            match key.as_str() {
                "name" if name.is_none() => name = Some(members.next_value()?),
                "message" if message.is_none() => message = Some(members.next_value()?),
                _ => properties.push((key, members.next_value()?)),
            }
        }
        // Languages without a word for errors leave out the class that most have.
        let name: String = name.unwrap_or_else(|| "Error".to_owned());
        let message = message.ok_or_else(|| de::Error::missing_field("message"))?;
        Ok(ErrorValue { name: class(&name).to_owned(), message, properties })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<ErrorValue, A::Error> {
        let missing = || de::Error::custom("an error has a name and a message");
        let name: String = parts.next_element()?.ok_or_else(missing)?;
        let name = class(&name).to_owned();
        let message = parts.next_element()?.ok_or_else(missing)?;
        parts.next_element::<de::IgnoredAny>()?;
        let properties = match parts.next_element()? {
            Some(Value::Object(properties)) => properties,
            _ => Vec::new(),
        };
        Ok(ErrorValue { name, message, properties })
    }
}

impl<'de> Deserialize<'de> for ErrorValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(marker::ERROR, ErrorMembers)
    }
}
