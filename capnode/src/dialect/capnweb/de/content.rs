//! Small deserializers for parts of a value that have another form in serde: keys, references, and the contents of
//! special forms.

use serde::de::value::SeqDeserializer;
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, SeqAccess, Visitor};

use super::Result;
use crate::dialect::Failure;
use crate::kinds::ByteKind;

/// Methods that take no notice of the type that is asked for.
macro_rules! forward_all {
    () => {
        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
            unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
            ignored_any
        }
    };
}

/// A key of an object, which may stand for a number in a Rust map.
pub(super) struct MapKey<'a>(pub(super) &'a str);

macro_rules! number_keys {
    ($($method:ident => $visit:ident),*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            match self.0.parse() {
                Ok(number) => visitor.$visit(number),
                Err(_) => visitor.visit_str(self.0),
            }
        }
    )* };
}

impl<'de> Deserializer<'de> for MapKey<'_> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    number_keys! {
        deserialize_bool => visit_bool,
        deserialize_i8 => visit_i8, deserialize_i16 => visit_i16,
        deserialize_i32 => visit_i32, deserialize_i64 => visit_i64, deserialize_i128 => visit_i128,
        deserialize_u8 => visit_u8, deserialize_u16 => visit_u16,
        deserialize_u32 => visit_u32, deserialize_u64 => visit_u64, deserialize_u128 => visit_u128,
        deserialize_f32 => visit_f32, deserialize_f64 => visit_f64
    }

    serde::forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

/// A reference on its way through serde: newtypes in newtypes around a number. Data from a peer never makes a newtype,
/// so it cannot be taken for a reference, not even after it was buffered by an untagged enum. Read from such a buffer,
/// each user newtype around the reference takes one of these newtypes; two have to be left.
pub(super) struct Token {
    token: u64,
    newtypes: u8,
}

impl Token {
    pub(super) fn new(token: u64) -> Self {
        Self { token, newtypes: 8 }
    }

    /// Returns a token for a visitor that has asked for a reference, with nothing around it.
    pub(super) fn asked_for(token: u64) -> Self {
        Self { token, newtypes: 2 }
    }
}

impl<'de> Deserializer<'de> for Token {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.newtypes.checked_sub(1) {
            Some(newtypes) => visitor.visit_newtype_struct(Token { newtypes, ..self }),
            None => visitor.visit_u64(self.token),
        }
    }

    forward_all!();
}

/// The content of headers: a pair of strings.
pub(super) struct Pair(pub(super) (String, String));

impl<'de> IntoDeserializer<'de, Failure> for Pair {
    type Deserializer = SeqDeserializer<std::array::IntoIter<String, 2>, Failure>;

    fn into_deserializer(self) -> Self::Deserializer {
        SeqDeserializer::new([self.0.0, self.0.1].into_iter())
    }
}

/// The content of a special form, or a part of it.
pub(super) enum Content {
    Undefined,
    Number(Number),
    Text(String),
    Bytes(Vec<u8>),
    Name(&'static str),
    /// The milliseconds of a date.
    Date(Option<f64>),
    Reference(Token),
}

impl<'de> IntoDeserializer<'de, Failure> for Content {
    type Deserializer = Content;

    fn into_deserializer(self) -> Content {
        self
    }
}

impl<'de> Deserializer<'de> for Content {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self {
            Content::Undefined => visitor.visit_unit(),
            Content::Number(number) => number.deserialize_any(visitor),
            Content::Text(text) => visitor.visit_string(text),
            Content::Bytes(bytes) => visitor.visit_byte_buf(bytes),
            Content::Name(name) => visitor.visit_str(name),
            Content::Date(Some(millis)) => visitor.visit_some(millis.into_deserializer()),
            Content::Date(None) => visitor.visit_none(),
            Content::Reference(token) => token.deserialize_any(visitor),
        }
    }

    forward_all!();
}

/// The elements of a byte container, as numbers. One type serves all kinds, since the code that reads a list is
/// compiled for each type that a list comes as, in every program that uses this library.
pub(in crate::dialect) struct Numbers {
    data: Vec<u8>,
    kind: ByteKind,
    at: usize,
}

impl Numbers {
    pub(in crate::dialect) fn new(data: Vec<u8>, kind: ByteKind) -> Self {
        Self { data, kind, at: 0 }
    }
}

impl Iterator for Numbers {
    type Item = Number;

    fn next(&mut self) -> Option<Number> {
        let end = self.at + self.kind.element_size();
        let element = self.data.get(self.at..end)?;
        self.at = end;
        Number::read(self.kind, element)
    }
}

impl<'de> SeqAccess<'de> for Numbers {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        self.next().map(|number| seed.deserialize(number)).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some((self.data.len() - self.at) / self.kind.element_size())
    }
}

/// The elements of a byte container, as the numbers that JavaScript sees.
pub(super) fn visit_numbers<'de, V: Visitor<'de>>(
    data: Vec<u8>,
    kind: ByteKind,
    visitor: V,
) -> Result<V::Value> {
    match kind.element_size() {
        1 if kind != ByteKind::Int8Array => visitor.visit_seq(SeqDeserializer::new(data.into_iter())),
        _ => visitor.visit_seq(Numbers::new(data, kind)),
    }
}

/// A number in a byte container.
pub(in crate::dialect) enum Number {
    Signed(i64),
    Unsigned(u64),
    Float(f64),
}

impl Number {
    fn read(kind: ByteKind, element: &[u8]) -> Option<Self> {
        macro_rules! number {
            ($number:ty) => {
                <$number>::from_le_bytes(element.try_into().ok()?).into()
            };
        }

        Some(match kind {
            ByteKind::Int8Array => Self::Signed(number!(i8)),
            ByteKind::Int16Array => Self::Signed(number!(i16)),
            ByteKind::Int32Array => Self::Signed(number!(i32)),
            ByteKind::BigInt64Array => Self::Signed(number!(i64)),
            ByteKind::Uint16Array => Self::Unsigned(number!(u16)),
            ByteKind::Uint32Array => Self::Unsigned(number!(u32)),
            ByteKind::BigUint64Array => Self::Unsigned(number!(u64)),
            ByteKind::Float32Array => Self::Float(number!(f32)),
            ByteKind::Float64Array => Self::Float(number!(f64)),
            ByteKind::Uint8Array
            | ByteKind::Uint8ClampedArray
            | ByteKind::ArrayBuffer
            | ByteKind::DataView => Self::Unsigned(number!(u8)),
        })
    }
}

impl<'de> Deserializer<'de> for Number {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self {
            Self::Signed(number) => visitor.visit_i64(number),
            Self::Unsigned(number) => visitor.visit_u64(number),
            Self::Float(number) => visitor.visit_f64(number),
        }
    }

    forward_all!();
}
