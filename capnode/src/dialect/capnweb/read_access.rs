//! The parts of a value under the reader: serde's accessors, keys, variants and contents.

use std::borrow::Cow;

use serde::de::value::SeqDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};

use super::de::Reader;
use crate::dialect::{Failure, Lookup};

type Result<T> = std::result::Result<T, Failure>;

/// The elements of an array.
pub(super) struct Elements<'a, 'b, R> {
    pub(super) reader: &'b mut Reader<'a, R>,
    pub(super) first: bool,
    pub(super) ended: bool,
}

impl<R: Lookup> Elements<'_, '_, R> {
    /// Moves to the next element, if there is one.
    pub(super) fn advance(&mut self) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let first = std::mem::replace(&mut self.first, false);
        let more = if first {
            self.reader.slot().is_some() || self.reader.peek() != b']'
        } else {
            self.reader.peek() == b','
        };
        self.ended = !more;
        if more && !first {
            self.reader.comma()?;
            self.reader.peek();
        }
        Ok(more)
    }

    pub(super) fn finish(&mut self) -> Result<()> {
        while self.advance()? {
            self.reader.skip()?;
        }
        Ok(())
    }
}

impl<'de, R: Lookup> de::SeqAccess<'de> for &mut Elements<'_, '_, R> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if self.advance()? { seed.deserialize(&mut *self.reader).map(Some) } else { Ok(None) }
    }
}

/// The members of an object.
pub(super) struct Members<'a, 'b, R> {
    pub(super) reader: &'b mut Reader<'a, R>,
    pub(super) first: bool,
    pub(super) ended: bool,
}

impl<'a, R: Lookup> Members<'a, '_, R> {
    pub(super) fn advance(&mut self) -> Result<Option<Cow<'a, str>>> {
        if self.ended {
            return Ok(None);
        }
        let first = std::mem::replace(&mut self.first, false);
        if self.reader.peek() == b'}' {
            self.ended = true;
            return Ok(None);
        }
        if !first {
            self.reader.comma()?;
        }
        let key = self.reader.string()?;
        self.reader.expect(b':')?;
        self.reader.peek();
        Ok(Some(key))
    }

    pub(super) fn finish(&mut self) -> Result<()> {
        while self.advance()?.is_some() {
            self.reader.skip()?;
        }
        Ok(())
    }
}

impl<'de, R: Lookup> de::MapAccess<'de> for &mut Members<'_, '_, R> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let key = self.advance()?;
        key.map(|key| seed.deserialize(MapKey(&key))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        seed.deserialize(&mut *self.reader)
    }
}

/// A key of an object, which may stand for a number in a Rust map.
pub(super) struct MapKey<'a>(&'a str);

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
        deserialize_u32 => visit_u32, deserialize_u64 => visit_u64, deserialize_u128 => visit_u128
    }

    serde::forward_to_deserialize_any! {
        f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

/// A variant of an enum with content.
pub(super) struct Variant<'a, 'b, R> {
    pub(super) reader: &'b mut Reader<'a, R>,
    pub(super) variant: &'b str,
}

impl<'de, 'a, 'b, R: Lookup> de::EnumAccess<'de> for Variant<'a, 'b, R> {
    type Error = Failure;
    type Variant = Content<'a, 'b, R>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self::Variant)> {
        self.reader.peek();
        Ok((seed.deserialize(MapKey(self.variant))?, Content { reader: self.reader }))
    }
}

pub(super) struct Content<'a, 'b, R> {
    pub(super) reader: &'b mut Reader<'a, R>,
}

impl<'de, R: Lookup> de::VariantAccess<'de> for Content<'_, '_, R> {
    type Error = Failure;

    fn unit_variant(self) -> Result<()> {
        self.reader.skip()
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        seed.deserialize(self.reader)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.reader.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value> {
        self.reader.deserialize_any(visitor)
    }
}

/// A special value for a visitor that knows the kinds, as a variant named like its form.
pub(super) struct Special<'a, 'b, R> {
    pub(super) reader: &'b mut Reader<'a, R>,
    pub(super) form: &'a str,
}

impl<'de, 'a, 'b, R: Lookup> de::EnumAccess<'de> for Special<'a, 'b, R> {
    type Error = Failure;
    type Variant = Content<'a, 'b, R>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self::Variant)> {
        Ok((seed.deserialize(MapKey(self.form))?, Content { reader: self.reader }))
    }
}

/// A reference on its way through serde: a newtype in a newtype around a number. No data of a
/// peer's ever makes a newtype, so none can be taken for a reference, not even after it was
/// buffered by an untagged enum.
pub(super) enum Token {
    Outer(u64),
    Inner(u64),
}

impl<'de> Deserializer<'de> for Token {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self {
            Token::Outer(token) => visitor.visit_newtype_struct(Token::Inner(token)),
            Token::Inner(token) => visitor.visit_u64(token),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}

/// The content of a date.
pub(super) struct OptionDeserializer(pub(super) Option<f64>);

impl<'de> Deserializer<'de> for OptionDeserializer {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0 {
            Some(millis) => visitor.visit_some(millis.into_deserializer()),
            None => visitor.visit_none(),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}

/// The content of headers: a pair of strings.
pub(super) struct Pair(pub(super) (String, String));

impl<'de> IntoDeserializer<'de, Failure> for Pair {
    type Deserializer = SeqDeserializer<std::array::IntoIter<String, 2>, Failure>;

    fn into_deserializer(self) -> Self::Deserializer {
        SeqDeserializer::new([self.0.0, self.0.1].into_iter())
    }
}

/// The content of bytes.
pub(super) enum Part {
    Bytes(Vec<u8>),
    Name(String),
}

impl<'de> IntoDeserializer<'de, Failure> for Part {
    type Deserializer = Part;

    fn into_deserializer(self) -> Part {
        self
    }
}

impl<'de> Deserializer<'de> for Part {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self {
            Part::Bytes(bytes) => visitor.visit_byte_buf(bytes),
            Part::Name(name) => visitor.visit_string(name),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}

/// An error read as a map: `name`, `message`, then its properties.
pub(super) struct ErrorMembers<'a, 'b, R> {
    pub(super) reader: &'b mut Reader<'a, R>,
    pub(super) stage: ErrorStage,
}

pub(super) enum ErrorStage {
    Name,
    Message,
    /// Inside the properties; whether at the first.
    Properties(bool),
    Done,
}

impl<'de, R: Lookup> de::MapAccess<'de> for &mut ErrorMembers<'_, '_, R> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        match self.stage {
            ErrorStage::Name => {
                self.reader.comma()?;
                self.reader.peek();
                seed.deserialize(MapKey("name")).map(Some)
            }
            ErrorStage::Message => {
                self.reader.comma()?;
                self.reader.peek();
                seed.deserialize(MapKey("message")).map(Some)
            }
            ErrorStage::Properties(first) => {
                if self.reader.peek() == b'}' {
                    self.reader.pos += 1;
                    self.stage = ErrorStage::Done;
                    return Ok(None);
                }
                if !first {
                    self.reader.comma()?;
                }
                let key = self.reader.string()?;
                self.reader.expect(b':')?;
                self.reader.peek();
                seed.deserialize(MapKey(&key)).map(Some)
            }
            ErrorStage::Done => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        let value = seed.deserialize(&mut *self.reader)?;
        self.stage = match self.stage {
            ErrorStage::Name => ErrorStage::Message,
            ErrorStage::Message => {
                // The stack, then the properties, if they are there.
                self.stage = ErrorStage::Done;
                if self.reader.peek() == b',' {
                    self.reader.pos += 1;
                    self.reader.skip()?;
                    if self.reader.peek() == b',' {
                        self.reader.pos += 1;
                        self.reader.expect(b'{')?;
                        self.stage = ErrorStage::Properties(true);
                    }
                }
                return Ok(value);
            }
            ErrorStage::Properties(_) => ErrorStage::Properties(false),
            ErrorStage::Done => ErrorStage::Done,
        };
        Ok(value)
    }
}
