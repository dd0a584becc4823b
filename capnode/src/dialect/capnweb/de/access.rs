//! The parts of a value under the reader: elements, members, variants.

use std::borrow::Cow;

use serde::de::{self, DeserializeSeed, Deserializer, Visitor};

use super::content::MapKey;
use super::{Next, Reader, Result};
use crate::dialect::{Failure, ResolveRef};

/// The elements of an array.
pub(super) struct Elements<'a, 'b, R: ResolveRef> {
    pub(super) reader: &'b mut Reader<'a, R>,
    first: bool,
    ended: bool,
}

impl<'a, 'b, R: ResolveRef> Elements<'a, 'b, R> {
    pub(super) fn new(reader: &'b mut Reader<'a, R>) -> Self {
        Self { reader, first: true, ended: false }
    }

    /// Moves to the next element, if there is one.
    pub(super) fn advance(&mut self) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let first = std::mem::replace(&mut self.first, false);
        let more = if first { !self.reader.at_end_of_list() } else { self.reader.take(b',') };
        self.ended = !more;
        Ok(more)
    }

    pub(super) fn finish(&mut self) -> Result<()> {
        while self.advance()? {
            self.reader.skip()?;
        }
        Ok(())
    }
}

impl<'de, R: ResolveRef> de::SeqAccess<'de> for &mut Elements<'_, '_, R> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if !self.advance()? {
            return Ok(None);
        }
        self.reader.charge_part::<T::Value>()?;
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

/// The members of an object, or of an error read as one: `name`, `message`, then its properties.
pub(super) struct Members<'a, 'b, R: ResolveRef> {
    pub(super) reader: &'b mut Reader<'a, R>,
    next: Stage,
}

/// The part that comes next.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Name,
    Message,
    /// The stack of an error, and its properties, if they follow.
    Stack,
    First,
    Further,
    End,
}

impl<'a, 'b, R: ResolveRef> Members<'a, 'b, R> {
    pub(super) fn new(reader: &'b mut Reader<'a, R>) -> Self {
        Self { reader, next: Stage::First }
    }

    /// Returns the members of an object whose brace comes next.
    pub(super) fn at_brace(reader: &'b mut Reader<'a, R>) -> Result<Self> {
        reader.expect(b'{')?;
        Ok(Self::new(reader))
    }

    /// Returns the members of an error, of which the name of the form has been passed.
    pub(super) fn of_error(reader: &'b mut Reader<'a, R>) -> Self {
        Self { reader, next: Stage::Name }
    }

    /// Moves to the next member's value, if there is one, and tells its key. Passes over the bracket at the end.
    pub(super) fn advance(&mut self) -> Result<Option<Cow<'a, str>>> {
        match self.next {
            Stage::First | Stage::Further => {}
            Stage::End => return Ok(None),
            Stage::Name | Stage::Message | Stage::Stack => {
                if let Some(part) = self.part_of_error()? {
                    return Ok(Some(Cow::Borrowed(part)));
                }
            }
        }
        if self.next == Stage::End || self.reader.take(b'}') {
            self.next = Stage::End;
            return Ok(None);
        }
        if self.next == Stage::Further {
            self.reader.comma()?;
        }
        self.next = Stage::Further;
        let key = self.reader.string()?;
        self.reader.expect(b':')?;
        Ok(Some(key))
    }

    /// Moves to the name or the message of an error, or behind both.
    #[inline(never)]
    fn part_of_error(&mut self) -> Result<Option<&'static str>> {
        let (name, next) = match self.next {
            Stage::Name => ("name", Stage::Message),
            Stage::Message => ("message", Stage::Stack),
            Stage::Stack => {
                self.next = Stage::End;
                if self.reader.take(b',') {
                    self.reader.skip()?;
                    if self.reader.take(b',') {
                        self.reader.expect(b'{')?;
                        self.next = Stage::First;
                    }
                }
                return Ok(None);
            }
            Stage::First | Stage::Further | Stage::End => return Ok(None),
        };
        self.reader.comma()?;
        self.next = next;
        Ok(Some(name))
    }

    pub(super) fn finish(&mut self) -> Result<()> {
        while self.advance()?.is_some() {
            self.reader.skip()?;
        }
        Ok(())
    }
}

impl<'de, R: ResolveRef> de::MapAccess<'de> for &mut Members<'_, '_, R> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let key = self.advance()?;
        key.map(|key| seed.deserialize(MapKey(&key))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        self.reader.charge_part::<V::Value>()?;
        seed.deserialize(&mut *self.reader)
    }
}

/// A variant of an enum with content. A special value is one, named like its form, for a visitor that knows the kinds.
pub(super) struct Variant<'a, 'b, R: ResolveRef> {
    pub(super) reader: &'b mut Reader<'a, R>,
    pub(super) variant: &'b str,
}

impl<'de, R: ResolveRef> de::EnumAccess<'de> for Variant<'_, '_, R> {
    type Error = Failure;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self)> {
        Ok((seed.deserialize(MapKey(self.variant))?, self))
    }
}

impl<'de, R: ResolveRef> de::VariantAccess<'de> for Variant<'_, '_, R> {
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

impl<R: ResolveRef> Reader<'_, R> {
    /// The names of the members of the object that stands here, or the indexes of the array.
    pub(in crate::dialect::capnweb) fn keys(&mut self) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        match self.next()? {
            Next::Object => {
                let mut members = Members::new(self);
                while let Some(key) = members.advance()? {
                    keys.push(key.into_owned());
                    members.reader.skip()?;
                }
            }
            Next::Array => {
                let mut elements = Elements::new(self);
                while elements.advance()? {
                    keys.push(keys.len().to_string());
                    elements.reader.skip()?;
                }
            }
            _ => {}
        }
        Ok(keys)
    }
}
