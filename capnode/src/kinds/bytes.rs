//! Bytes.

use std::cell::RefCell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{self, Serialize, Serializer};

use super::marker;
use crate::error::{Error, ErrorKind};
use crate::sync::thread_local;

thread_local! {
    /// The open slot: `None` while it is closed, `Some(None)` until bytes are put into it. Serde has no way to hand bytes on
    /// without a copy.
    static OUT: RefCell<ManuallyDrop<Option<Option<Bytes>>>> =
        const { RefCell::new(ManuallyDrop::new(None)) };
    /// The bytes that are being handed to a visitor.
    static IN: RefCell<ManuallyDrop<Option<Bytes>>> = const { RefCell::new(ManuallyDrop::new(None)) };
}

macro_rules! byte_kinds {
    ($($kind:ident: $size:literal, $doc:literal;)*) => {
        /// The kinds of JavaScript's byte containers.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ByteKind {
            /// Plain bytes, the default.
            #[default]
            Uint8Array,
            $(#[doc = $doc] $kind,)*
        }

        impl ByteKind {
            /// Returns JavaScript's name of the type.
            pub fn name(self) -> &'static str {
                match self {
                    ByteKind::Uint8Array => "Uint8Array",
                    $(ByteKind::$kind => stringify!($kind),)*
                }
            }

            /// Returns the type of that name, if there is one.
            pub(crate) fn from_name(name: &str) -> Option<Self> {
                match name {
                    "Uint8Array" => Some(ByteKind::Uint8Array),
                    $(stringify!($kind) => Some(ByteKind::$kind),)*
                    _ => None,
                }
            }

            /// Returns the bytes of an element. The length of the whole is a multiple of it.
            pub fn element_size(self) -> usize {
                match self {
                    ByteKind::Uint8Array => 1,
                    $(ByteKind::$kind => $size,)*
                }
            }
        }
    };
}

impl fmt::Display for ByteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ByteKind {
    type Err = Error;

    /// Reads JavaScript's name of a type.
    fn from_str(name: &str) -> Result<Self, Error> {
        let unknown =
            || Error::new(ErrorKind::Decode, format!("{name:?} is not a JavaScript byte container"));
        Self::from_name(name).ok_or_else(unknown)
    }
}

byte_kinds! {
    ArrayBuffer: 1, "A bare buffer.";
    DataView: 1, "A view without an element type.";
    Int8Array: 1, "Signed bytes.";
    Uint8ClampedArray: 1, "Bytes that clamp when written to.";
    Int16Array: 2, "Little-endian, like all that follow.";
    Uint16Array: 2, "Little-endian.";
    Int32Array: 4, "Little-endian.";
    Uint32Array: 4, "Little-endian.";
    BigInt64Array: 8, "Little-endian.";
    BigUint64Array: 8, "Little-endian.";
    Float32Array: 4, "Little-endian.";
    Float64Array: 8, "Little-endian.";
}

/// Bytes of the crate `bytes`, as one of JavaScript's byte containers. Cloning them copies no data.
///
/// A `Vec<u8>` travels as an array of numbers, as in serde, and can be read from an array and from bytes. This type
/// travels as bytes: beside the text of the message to another program of this library, if there are at least a thousand and
/// the transport can carry them, and otherwise at 4 characters for 3 bytes.
///
/// ```
/// use capnode::{ByteKind, Bytes};
///
/// let bytes = Bytes::from(vec![0, 0, 128, 63]).with_kind(ByteKind::Float32Array);
/// assert_eq!(bytes.len(), 4);
/// assert_eq!(bytes.kind().name(), "Float32Array");
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Bytes {
    data: ::bytes::Bytes,
    kind: ByteKind,
}

impl Bytes {
    /// Returns bytes of the kind `Uint8Array` that are part of the program, without a copy.
    pub const fn from_static(data: &'static [u8]) -> Self {
        Self { data: ::bytes::Bytes::from_static(data), kind: ByteKind::Uint8Array }
    }

    /// Changes the JavaScript type. Bytes that are not a whole number of its elements cannot be sent.
    pub fn with_kind(self, kind: ByteKind) -> Self {
        Self { kind, ..self }
    }

    /// Returns the JavaScript type of the bytes.
    pub fn kind(&self) -> ByteKind {
        self.kind
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bytes").field("data", &&self[..]).field("kind", &self.kind).finish()
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.data
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<::bytes::Bytes> for Bytes {
    fn from(data: ::bytes::Bytes) -> Self {
        Self { data, kind: ByteKind::Uint8Array }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(data: Vec<u8>) -> Self {
        ::bytes::Bytes::from(data).into()
    }
}

impl From<&[u8]> for Bytes {
    fn from(data: &[u8]) -> Self {
        data.to_vec().into()
    }
}

impl<const N: usize> From<[u8; N]> for Bytes {
    fn from(data: [u8; N]) -> Self {
        data.to_vec().into()
    }
}

impl<const N: usize> From<&[u8; N]> for Bytes {
    fn from(data: &[u8; N]) -> Self {
        data.to_vec().into()
    }
}

impl From<Bytes> for ::bytes::Bytes {
    fn from(bytes: Bytes) -> Self {
        bytes.data
    }
}

impl From<Bytes> for Vec<u8> {
    fn from(bytes: Bytes) -> Self {
        bytes.data.into()
    }
}

impl FromIterator<u8> for Bytes {
    fn from_iter<I: IntoIterator<Item = u8>>(data: I) -> Self {
        Vec::from_iter(data).into()
    }
}

/// Serializes as bytes, which a slice does not do by itself.
struct Raw<'a>(&'a Bytes);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let taken = OUT.with_borrow_mut(|slot| match &mut **slot {
            Some(place) => {
                *place = Some(self.0.clone());
                true
            }
            None => false,
        });
        if taken { serializer.serialize_unit() } else { serializer.serialize_bytes(self.0) }
    }
}

impl Bytes {
    /// Returns the bytes that the content of a [`marker::BYTES`] is, without a copy.
    pub(crate) fn extract<T: Serialize + ?Sized>(content: &T) -> Option<Self> {
        OUT.set(ManuallyDrop::new(Some(None)));
        let written = content.serialize(serde_json::value::Serializer);
        let bytes = ManuallyDrop::into_inner(OUT.take()).flatten();
        written.ok().and(bytes)
    }

    /// Hands the bytes to a visitor: without a copy, if it is that of this type.
    pub(crate) fn visit<'de, V: de::Visitor<'de>, E: de::Error>(&self, visitor: V) -> Result<V::Value, E> {
        IN.set(ManuallyDrop::new(Some(self.clone())));
        let value = visitor.visit_bytes(self);
        drop(ManuallyDrop::into_inner(IN.take()));
        value
    }

    /// Returns the bytes that are being handed on, if they are these.
    fn handed(bytes: &[u8]) -> Option<Self> {
        IN.with_borrow_mut(|given| given.take_if(|given| std::ptr::eq(&raw const given[..], bytes)))
    }
}

/// Deserializes as bytes do, without a kind.
struct RawBuf(Bytes);

impl<'de> Deserialize<'de> for RawBuf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(BytesVisitor { in_newtype: false }).map(RawBuf)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.data.len() % self.kind.element_size() != 0 {
            let (length, name, size) = (self.data.len(), self.kind.name(), self.kind.element_size());
            return Err(ser::Error::custom(format_args!(
                "{length} bytes are no {name}; expected a multiple of {size}"
            )));
        }
        match self.kind {
            ByteKind::Uint8Array => serializer.serialize_newtype_struct(marker::BYTES, &(Raw(self),)),
            kind => serializer.serialize_newtype_struct(marker::BYTES, &(Raw(self), kind.name())),
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(marker::BYTES, BytesVisitor { in_newtype: false })
    }
}

/// Takes bytes, or a newtype around their content, which is as in [`marker::BYTES`], or the bytes alone if a step on the
/// way has dropped the rest.
struct BytesVisitor {
    in_newtype: bool,
}

impl<'de> de::Visitor<'de> for BytesVisitor {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
        Ok(Bytes::handed(bytes).unwrap_or_else(|| bytes.into()))
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
        Ok(bytes.into())
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut parts: A) -> Result<Bytes, A::Error> {
        if !self.in_newtype {
            // Languages without byte values write them as numbers.
            return std::iter::from_fn(|| parts.next_element::<u8>().transpose()).collect();
        }
        let RawBuf(data) = parts.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
        let kind = match parts.next_element::<String>()? {
            None => ByteKind::Uint8Array,
            Some(name) => ByteKind::from_name(&name)
                .ok_or_else(|| de::Error::custom("expected the name of a JavaScript byte container"))?,
        };
        Ok(data.with_kind(kind))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Bytes, D::Error> {
        let visitor = BytesVisitor { in_newtype: true };
        if inner.is_human_readable() {
            inner.deserialize_any(visitor)
        } else {
            inner.deserialize_seq(visitor)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_bytes_is_parsed_from_the_name_that_it_displays() {
        assert_eq!(ByteKind::BigInt64Array.to_string(), "BigInt64Array");
        assert_eq!("DataView".parse::<ByteKind>().unwrap(), ByteKind::DataView);
        let error = "uint8array".parse::<ByteKind>().unwrap_err();
        assert_eq!(error.to_string(), "\"uint8array\" is not a JavaScript byte container");
    }

    #[test]
    fn other_formats_have_bytes_as_a_list_and_keep_their_kind() {
        for kind in [ByteKind::Uint8Array, ByteKind::Int16Array] {
            let bytes = Bytes::from([1, 2]).with_kind(kind);
            let json = serde_json::to_string(&bytes).unwrap();
            assert_eq!(serde_json::from_str::<Bytes>(&json).unwrap(), bytes);
        }
        assert!(serde_json::from_str::<Bytes>("[[1,2],\"Wat\"]").is_err());
    }

    #[test]
    fn bytes_are_those_of_the_crate_bytes_and_are_passed_on_without_a_copy() {
        let data = ::bytes::Bytes::from(vec![1, 2, 3]);
        let bytes = Bytes::from(data.clone()).with_kind(ByteKind::DataView);
        assert_eq!((&bytes[1..], bytes.kind()), ([2, 3].as_slice(), ByteKind::DataView));
        assert_eq!(::bytes::Bytes::from(bytes.clone()).as_ptr(), data.as_ptr());
        assert_ne!(bytes, Bytes::from(&[1, 2, 3]));
        assert_eq!(Vec::from(bytes), [1, 2, 3]);
        const STATIC: Bytes = Bytes::from_static(b"abc");
        assert_eq!(STATIC, "abc".bytes().collect());
    }

    #[test]
    fn bytes_that_fill_no_whole_elements_are_not_written() {
        let odd = Bytes::from([1, 2, 3]).with_kind(ByteKind::Float64Array);
        let error = serde_json::to_string(&odd).unwrap_err();
        assert_eq!(error.to_string(), "3 bytes are no Float64Array; expected a multiple of 8");
    }
}
