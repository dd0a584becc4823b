//! The serializer: which text each of serde's kinds of value is.

use serde::ser::{Serialize, Serializer};

use super::compound::Compound;
use super::{Result, Writer};
use crate::dialect::capnweb::text::{write_base64, write_string};
use crate::dialect::{ExtractRef, Failure};
use crate::kinds::{Bytes, MAX_SAFE_INTEGER, marker};

/// Methods for integers that every number of JavaScript can be.
macro_rules! small_integers {
    ($($method:ident $integer:ident)*) => { $(
        fn $method(self, v: $integer) -> Result<()> {
            self.out.push_str(itoa::Buffer::new().format(v));
            Ok(())
        }
    )* };
}

impl<'a, R: ExtractRef> Serializer for &'a mut Writer<R> {
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
        self.out.push_str(if v { "true" } else { "false" });
        Ok(())
    }

    small_integers! {
        serialize_i8 i8
        serialize_i16 i16
        serialize_i32 i32
        serialize_u8 u8
        serialize_u16 u16
        serialize_u32 u32
    }

    fn serialize_i64(self, v: i64) -> Result<()> {
        self.integer(v, v.unsigned_abs() <= MAX_SAFE_INTEGER)
    }

    fn serialize_i128(self, v: i128) -> Result<()> {
        self.integer(v, v.unsigned_abs() <= u128::from(MAX_SAFE_INTEGER))
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
        self.check_string(v)?;
        write_string(&mut self.out, v);
        Ok(())
    }

    fn serialize_bytes(self, v: &[u8]) -> Result<()> {
        if !self.plain && self.put_beside(v.len(), || Some(v.into()))? {
            return Ok(());
        }
        self.check_room(v.len() / 3 * 4)?;
        self.out.push_str(if self.plain { "\"" } else { "[\"bytes\",\"" });
        write_base64(&mut self.out, v);
        self.out.push_str(if self.plain { "\"" } else { "\"]" });
        Ok(())
    }

    fn serialize_none(self) -> Result<()> {
        self.out.push_str("null");
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        self.apart = false;
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<()> {
        self.out.push_str("[\"undefined\"]");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<()> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<()> {
        self.apart = false;
        match name {
            marker::REFERENCE => self.reference(value),
            marker::BIGINT => self.bigint(value),
            marker::DATE => self.form_of_one("date", value),
            marker::URL => self.form_of_one("url", value),
            marker::HEADERS => self.form_of_one("headers", value),
            marker::BYTES if self.beside => {
                let Some(bytes) = Bytes::extract(value) else { return self.form_of_parts("bytes", value) };
                if self.put_beside(bytes.len(), || Some(bytes))? {
                    return Ok(());
                }
                self.form_of_parts("bytes", value)
            }
            marker::BYTES => self.form_of_parts("bytes", value),
            marker::ERROR => self.form_of_parts("error", value),
            marker::BLOB => self.form_of_parts("blob", value),
            marker::REQUEST => self.form_of_parts("request", value),
            marker::RESPONSE => self.form_of_parts("response", value),
            marker::JSON => self.plain_json(value),
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
        let apart = std::mem::take(&mut self.apart) && self.out.is_empty();
        if apart && name == "Result" && matches!(variant, "Ok" | "Err") {
            self.is_err = variant == "Err";
            return value.serialize(self);
        }
        let mut body = Compound::variant(self, variant);
        body.element(value)?;
        body.close()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Compound<'a, R>> {
        Ok(Compound::array(self))
    }

    fn serialize_tuple(self, _: usize) -> Result<Compound<'a, R>> {
        Ok(Compound::array(self))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Compound<'a, R>> {
        Ok(Compound::array(self))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Compound<'a, R>> {
        Compound::variant(self, variant).with_array()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Compound<'a, R>> {
        Ok(Compound::object(self))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Compound<'a, R>> {
        Ok(Compound::object(self))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Compound<'a, R>> {
        Compound::variant(self, variant).with_object()
    }
}
