//! Keys of maps, which are strings in the end.

use std::fmt::Display;

use serde::ser::{Impossible, Serialize, Serializer};

use super::{Result, Writer};
use crate::dialect::Failure;
use crate::dialect::capnweb::text::write_string;

/// Writes keys.
pub(super) struct KeyWriter<'a, R>(pub(super) &'a mut Writer<R>);

impl<R> KeyWriter<'_, R> {
    fn write(self, key: impl Display) -> Result<()> {
        self.serialize_str(&key.to_string())
    }
}

fn no_key<T>() -> Result<T> {
    Err(Failure("the key of a map has to be a string, a number or a bool".to_owned()))
}

macro_rules! displayed {
    ($($method:ident($key:ty)),*) => { $(
        fn $method(self, key: $key) -> Result<()> {
            self.write(key)
        }
    )* };
}

macro_rules! no_keys {
    ($($method:ident($($argument:ty),*) -> $written:ident),*) => { $(
        fn $method(self, $(_: $argument),*) -> Result<Self::$written> {
            no_key()
        }
    )* };
}

impl<R> Serializer for KeyWriter<'_, R> {
    type Ok = ();
    type Error = Failure;
    type SerializeSeq = Impossible<(), Failure>;
    type SerializeTuple = Impossible<(), Failure>;
    type SerializeTupleStruct = Impossible<(), Failure>;
    type SerializeTupleVariant = Impossible<(), Failure>;
    type SerializeMap = Impossible<(), Failure>;
    type SerializeStruct = Impossible<(), Failure>;
    type SerializeStructVariant = Impossible<(), Failure>;

    displayed! {
        serialize_bool(bool), serialize_char(char),
        serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64), serialize_i128(i128),
        serialize_u8(u8), serialize_u16(u16), serialize_u32(u32), serialize_u64(u64), serialize_u128(u128)
    }

    fn serialize_f32(self, key: f32) -> Result<()> {
        if key.is_finite() { self.write(key) } else { no_key() }
    }

    fn serialize_f64(self, key: f64) -> Result<()> {
        if key.is_finite() { self.write(key) } else { no_key() }
    }

    fn serialize_str(self, key: &str) -> Result<()> {
        self.0.check_string(key)?;
        write_string(&mut self.0.out, key);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, key: &T) -> Result<()> {
        key.serialize(self)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<()> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, key: &T) -> Result<()> {
        key.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<()> {
        no_key()
    }

    no_keys! {
        serialize_bytes(&[u8]) -> Ok,
        serialize_none() -> Ok,
        serialize_unit() -> Ok,
        serialize_unit_struct(&'static str) -> Ok,
        serialize_seq(Option<usize>) -> SerializeSeq,
        serialize_tuple(usize) -> SerializeTuple,
        serialize_tuple_struct(&'static str, usize) -> SerializeTupleStruct,
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> SerializeTupleVariant,
        serialize_map(Option<usize>) -> SerializeMap,
        serialize_struct(&'static str, usize) -> SerializeStruct,
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> SerializeStructVariant
    }
}
