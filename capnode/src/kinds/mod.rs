//! JavaScript's kinds of value that Rust does not have.
//!
//! Each can be a field of any struct with an ordinary serde derive. In a session it keeps its kind; in other formats it
//! is written as its plain content.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer};

mod bigint;
mod bytes;
mod date;
mod headers;
mod url;

pub use self::bigint::BigInt;
pub use self::bytes::{ByteKind, Bytes};
pub use self::date::Date;
pub use self::headers::Headers;
pub use self::url::Url;

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
    /// Content: the type, then the read end of the bytes.
    pub(crate) const BLOB: &str = "$capnode::blob";
    /// Content when written: the URL, then a map of the rest, whose body is a read end. It is read as the URL, the rest as
    /// JSON, and the body.
    pub(crate) const REQUEST: &str = "$capnode::request";
    /// Content when written: the body, then a map of the rest. It is read as the rest as JSON, and the body.
    pub(crate) const RESPONSE: &str = "$capnode::response";
    /// Content: any value, which is written as plain JSON.
    pub(crate) const JSON: &str = "$capnode::json";
    /// Content when written: name, message, and if there are properties, nothing (in the place of
    /// the stack) and a map of them. It is read as one map of all these.
    pub(crate) const ERROR: &str = "$capnode::error";
}

/// The largest integer up to which a JavaScript number counts exactly: 2^53 - 1. Integers beyond
/// it travel as big integers.
pub(crate) const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Reads the content of a newtype. `visitor` may also take any other value in its place: an untagged enum forgets that
/// there was a newtype.
fn content<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
    name: &'static str,
    expected: &'static str,
) -> Result<T, D::Error> {
    struct Content<T>(&'static str, PhantomData<T>);

    impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Content<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<T, D::Error> {
            T::deserialize(inner)
        }
    }

    deserializer.deserialize_newtype_struct(name, Content(expected, PhantomData))
}
