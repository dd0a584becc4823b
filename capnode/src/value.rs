//! JavaScript's kinds of value that Rust has no word for.
//!
//! Each can be a field of any struct with an ordinary serde derive. In a session it travels as
//! what it is; in other formats it is written as its plain content.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

/// The newtype names by which a dialect's serializer and deserializer know these types.
pub(crate) mod marker {
    pub(crate) const REFERENCE: &str = "$capnode::reference";
    pub(crate) const VALUE: &str = "$capnode::value";
    /// Content: a string of digits.
    pub(crate) const BIGINT: &str = "$capnode::bigint";
    /// Content: milliseconds, none if the date is invalid.
    pub(crate) const DATE: &str = "$capnode::date";
    /// Content: the bytes, then the name of their JavaScript type unless it is `Uint8Array`.
    pub(crate) const BYTES: &str = "$capnode::bytes";
    /// Content: a string.
    pub(crate) const URL: &str = "$capnode::url";
    /// Content: a sequence of pairs of strings.
    pub(crate) const HEADERS: &str = "$capnode::headers";
    /// Content: name, message, and a map of properties if there are any.
    pub(crate) const ERROR: &str = "$capnode::error";
}

/// The largest integer up to which a JavaScript number counts exactly: 2^53 - 1. Integers beyond
/// it travel as big integers.
pub(crate) const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Reads the content of a newtype.
pub(crate) fn content<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
    name: &'static str,
    expected: &'static str,
) -> Result<T, D::Error> {
    struct Content<T>(&'static str, std::marker::PhantomData<T>);

    impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Content<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<T, D::Error> {
            T::deserialize(inner)
        }
    }

    deserializer.deserialize_newtype_struct(name, Content(expected, std::marker::PhantomData))
}

/// An integer of any size: JavaScript's `BigInt`.
///
/// The built-in integer types need none of this: they become big integers on the wire by
/// themselves where a JavaScript number would round them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BigInt(String);

impl BigInt {
    /// From decimal digits with an optional sign; `None` if `digits` are something else.
    pub fn parse(digits: &str) -> Option<Self> {
        let (negative, number) = match digits.strip_prefix('-') {
            Some(number) => (true, number),
            None => (false, digits),
        };
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(match number.trim_start_matches('0') {
            "" => Self("0".to_owned()),
            number if negative => Self(format!("-{number}")),
            number => Self(number.to_owned()),
        })
    }

    /// The decimal digits, with `-` in front if negative.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether JavaScript's `BigInt(text)` accepts it: decimal with a sign, or hexadecimal, octal
    /// or binary without one, white space around.
    pub(crate) fn is_js(text: &str) -> bool {
        let text = text.trim();
        let radix = |prefix: [&str; 2], radix| {
            let digits = prefix.iter().find_map(|prefix| text.strip_prefix(prefix))?;
            // No peer writes these; reading one takes time by the square of its length.
            Some((1..=256).contains(&digits.len()) && digits.chars().all(|digit| digit.is_digit(radix)))
        };
        radix(["0x", "0X"], 16)
            .or_else(|| radix(["0o", "0O"], 8))
            .or_else(|| radix(["0b", "0B"], 2))
            .unwrap_or_else(|| {
                text.is_empty() || {
                    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
                    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
                }
            })
    }

    /// Reads what [`is_js`](Self::is_js) accepts.
    pub(crate) fn from_js(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() {
            return Self::parse("0");
        }
        let bits = match text.get(..2) {
            Some("0x" | "0X") => 4,
            Some("0o" | "0O") => 3,
            Some("0b" | "0B") => 1,
            _ => return Self::parse(text.strip_prefix('+').unwrap_or(text)),
        };
        let mut decimal = vec![0u8];
        for digit in text[2..].chars() {
            let mut carry = digit.to_digit(1 << bits)?;
            for place in &mut decimal {
                let sum = (u32::from(*place) << bits) + carry;
                *place = u8::try_from(sum % 10).ok()?;
                carry = sum / 10;
            }
            while carry > 0 {
                decimal.push(u8::try_from(carry % 10).ok()?);
                carry /= 10;
            }
        }
        Self::parse(&decimal.iter().rev().map(|digit| char::from(b'0' + digit)).collect::<String>())
    }
}

impl fmt::Display for BigInt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! bigint_of {
    ($($integer:ty),*) => { $(
        impl From<$integer> for BigInt {
            fn from(integer: $integer) -> Self {
                Self(integer.to_string())
            }
        }

        impl TryFrom<&BigInt> for $integer {
            type Error = std::num::ParseIntError;

            fn try_from(bigint: &BigInt) -> Result<Self, Self::Error> {
                bigint.0.parse()
            }
        }
    )* };
}

bigint_of!(i32, u32, i64, u64, i128, u128);

impl Serialize for BigInt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(marker::BIGINT, &self.0)
    }
}

impl<'de> Deserialize<'de> for BigInt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits: String = content(deserializer, marker::BIGINT, "a big integer")?;
        Self::parse(&digits).ok_or_else(|| de::Error::custom("expected the digits of a big integer"))
    }
}

/// A point in time: JavaScript's `Date`, in milliseconds since 1970, possibly invalid.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Date(f64);

impl Date {
    /// The date that JavaScript shows as "Invalid Date".
    pub const INVALID: Date = Date(f64::NAN);

    /// The date `millis` milliseconds after 1970-01-01T00:00Z. Fractions are cut off; a number
    /// that is not finite or out of JavaScript's range (± 8.64e15) makes an invalid date.
    pub fn from_millis(millis: f64) -> Self {
        if millis.abs() <= 8.64e15 { Self(millis.trunc()) } else { Self::INVALID }
    }

    /// Milliseconds since 1970-01-01T00:00Z, or `None` if the date is invalid.
    pub fn millis(self) -> Option<f64> {
        (!self.0.is_nan()).then_some(self.0)
    }
}

impl From<SystemTime> for Date {
    fn from(time: SystemTime) -> Self {
        let millis = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_secs_f64() * 1e3,
            Err(before) => -before.duration().as_secs_f64() * 1e3,
        };
        Self::from_millis(millis)
    }
}

impl TryFrom<Date> for SystemTime {
    type Error = crate::Error;

    fn try_from(date: Date) -> Result<Self, Self::Error> {
        let beyond = || crate::Error::new(crate::ErrorKind::Decode, "the date is invalid or out of range");
        let millis = date.millis().ok_or_else(beyond)?;
        let distance = Duration::from_secs_f64(millis.abs() / 1e3);
        let time = if millis < 0.0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
        time.ok_or_else(beyond)
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(marker::DATE, &self.millis())
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let millis: Option<f64> = content(deserializer, marker::DATE, "a date")?;
        Ok(millis.map_or(Self::INVALID, Self::from_millis))
    }
}

macro_rules! byte_kinds {
    ($($kind:ident: $size:literal, $doc:literal;)*) => {
        /// Which of JavaScript's byte containers some bytes are.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ByteKind {
            /// Plain bytes, the default.
            #[default]
            Uint8Array,
            $(#[doc = $doc] $kind,)*
        }

        impl ByteKind {
            /// JavaScript's name of the type.
            pub fn name(self) -> &'static str {
                match self {
                    ByteKind::Uint8Array => "Uint8Array",
                    $(ByteKind::$kind => stringify!($kind),)*
                }
            }

            /// The type of that name, if there is one.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    "Uint8Array" => Some(ByteKind::Uint8Array),
                    $(stringify!($kind) => Some(ByteKind::$kind),)*
                    _ => None,
                }
            }

            /// Bytes an element: the length of the whole is a multiple of it.
            pub fn element_size(self) -> usize {
                match self {
                    ByteKind::Uint8Array => 1,
                    $(ByteKind::$kind => $size,)*
                }
            }
        }
    };
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

/// Bytes, as one of JavaScript's byte containers.
///
/// A `Vec<u8>` travels as an array of numbers, as serde has it, and is read from either; this type
/// travels as bytes, at 4 characters for 3 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bytes {
    /// The bytes.
    pub data: Vec<u8>,
    /// What JavaScript sees them as.
    pub kind: ByteKind,
}

impl From<Vec<u8>> for Bytes {
    fn from(data: Vec<u8>) -> Self {
        Self { data, kind: ByteKind::Uint8Array }
    }
}

/// Serializes as bytes, which a slice does not do by itself.
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

struct RawBuf(Vec<u8>);

impl<'de> Deserialize<'de> for RawBuf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Buffer;

        impl<'de> de::Visitor<'de> for Buffer {
            type Value = RawBuf;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<RawBuf, E> {
                Ok(RawBuf(bytes.to_vec()))
            }

            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<RawBuf, E> {
                Ok(RawBuf(bytes))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut numbers: A) -> Result<RawBuf, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = numbers.next_element()? {
                    bytes.push(byte);
                }
                Ok(RawBuf(bytes))
            }
        }

        deserializer.deserialize_byte_buf(Buffer)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.kind {
            ByteKind::Uint8Array => serializer.serialize_newtype_struct(marker::BYTES, &(Raw(&self.data),)),
            kind => serializer.serialize_newtype_struct(marker::BYTES, &(Raw(&self.data), kind.name())),
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Outer;

        impl<'de> de::Visitor<'de> for Outer {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Bytes, D::Error> {
                inner.deserialize_seq(BytesContent)
            }
        }

        deserializer.deserialize_newtype_struct(marker::BYTES, Outer)
    }
}

/// The content of [`Bytes`]: what [`marker::BYTES`] says.
struct BytesContent;

impl<'de> de::Visitor<'de> for BytesContent {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut parts: A) -> Result<Bytes, A::Error> {
        let RawBuf(data) = parts.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
        let kind = match parts.next_element::<String>()? {
            None => ByteKind::Uint8Array,
            Some(name) => ByteKind::from_name(&name)
                .ok_or_else(|| de::Error::custom("expected the name of a JavaScript byte container"))?,
        };
        Ok(Bytes { data, kind })
    }
}

/// A URL, kept as it is written: JavaScript's `URL`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url(String);

impl Url {
    /// From an absolute URL; `None` if `href` has no scheme. Nothing else is checked or changed.
    pub fn parse(href: &str) -> Option<Self> {
        Self::is_absolute(href).then(|| Self(href.to_owned()))
    }

    /// The URL as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_absolute(href: &str) -> bool {
        href.split_once(':').is_some_and(|(scheme, _)| {
            scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        })
    }
}

impl Serialize for Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(marker::URL, &self.0)
    }
}

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        content(deserializer, marker::URL, "a URL").map(Self)
    }
}

/// HTTP headers, names in lower case: JavaScript's `Headers`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The pairs of name and value, in order.
    pub fn as_slice(&self) -> &[(String, String)] {
        &self.0
    }
}

impl FromIterator<(String, String)> for Headers {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect())
    }
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(marker::HEADERS, &self.0)
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs: Vec<(String, String)> = content(deserializer, marker::HEADERS, "headers")?;
        Ok(pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn big_integers_are_read_as_javascript_reads_them() {
        let read = |text| BigInt::is_js(text).then(|| BigInt::from_js(text).unwrap().to_string());
        for (text, value) in [
            ("123", "123"), ("-007", "-7"), ("+5", "5"), (" 9 ", "9"), ("", "0"), ("-0", "0"),
            ("0x10", "16"), ("0b101", "5"), ("0o17", "15"),
            ("0xffffffffffffffffffff", "1208925819614629174706175"),
        ] {
            assert_eq!(read(text).as_deref(), Some(value), "{text:?}");
        }
        for text in ["0x1g", "1.5", "--1", "0x", "-0x1", "1n", "abc"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn dates_are_cut_and_bounded_as_in_javascript() {
        assert_eq!(Date::from_millis(5.9).millis(), Some(5.0));
        assert_eq!(Date::from_millis(8.65e15).millis(), None);
        let date = Date::from(UNIX_EPOCH - Duration::from_millis(1500));
        assert_eq!(date.millis(), Some(-1500.0));
        assert_eq!(SystemTime::try_from(date).unwrap(), UNIX_EPOCH - Duration::from_millis(1500));
        assert!(SystemTime::try_from(Date::INVALID).is_err());
    }
}
