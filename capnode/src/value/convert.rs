//! Values made of Rust's types, and Rust's types made of values.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cap::Cap;
use crate::cap::payload::encode;
use crate::cap::shared::Shared;
use crate::cap::slot::decode;
use crate::cap::value::{ErrorValue, Value};
use crate::error::Error;
use crate::kinds::{BigInt, Bytes, Date, Headers, MAX_SAFE_INTEGER, Url};

/// Makes a value of anything that can be sent, references in it included.
///
/// # Errors
///
/// A value that cannot be sent is an error of the kind [`Encode`](crate::ErrorKind::Encode).
pub fn to_value<T: Serialize>(value: T) -> Result<Value, Error> {
    decode(&encode(&value)?)
}

/// Reads a `T` from a value, references in it included.
///
/// # Errors
///
/// A value that does not fit is an error of the kind [`Decode`](crate::ErrorKind::Decode).
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    decode(&encode(&value)?)
}

macro_rules! from {
    ($($source:ty => $variant:ident),*) => { $(
        impl From<$source> for Value {
            fn from(value: $source) -> Self {
                Value::$variant(value.into())
            }
        }
    )* };
}

from!(bool => Bool, char => String, &str => String, String => String, Cow<'_, str> => String);
from!(i8 => Number, i16 => Number, i32 => Number, u8 => Number, u16 => Number, u32 => Number, f32 => Number, f64 => Number);
from!(BigInt => BigInt, Bytes => Bytes, Date => Date, Url => Url, Headers => Headers, ErrorValue => Error);
from!(Cap => Cap, Shared => Shared);

macro_rules! from_wide {
    ($($integer:ty),*) => { $(
        /// Makes a number, or a big integer where a number would be rounded.
        impl From<$integer> for Value {
            fn from(integer: $integer) -> Self {
                match i128::try_from(integer) {
                    Ok(safe) if safe.unsigned_abs() <= u128::from(MAX_SAFE_INTEGER) => Value::Number(safe as f64),
                    _ => Value::BigInt(integer.into()),
                }
            }
        }
    )* };
}

from_wide!(i64, i128, isize, u64, u128, usize);

/// Makes `undefined`, as which `()` is sent.
impl From<()> for Value {
    fn from((): ()) -> Self {
        Value::Undefined
    }
}

/// Makes `null` of `None`.
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, T::into)
    }
}

impl<T: Clone + Into<Value>> From<&[T]> for Value {
    fn from(elements: &[T]) -> Self {
        elements.iter().cloned().collect()
    }
}

macro_rules! from_parts {
    ($([$($generics:tt)*] $source:ty;)*) => { $(
        impl<$($generics)*> From<$source> for Value {
            fn from(parts: $source) -> Self {
                parts.into_iter().collect()
            }
        }
    )* };
}

from_parts! {
    [T: Into<Value>] Vec<T>;
    [T: Into<Value>, const N: usize] [T; N];
    [K: Into<String>, const N: usize] [(K, Value); N];
    [K: Into<String>, V: Into<Value>] BTreeMap<K, V>;
    [K: Into<String>, V: Into<Value>, S] HashMap<K, V, S>;
}

/// Makes a list.
impl<T: Into<Value>> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        Value::Array(elements.into_iter().map(T::into).collect())
    }
}

/// Makes a record.
impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Value {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(members: I) -> Self {
        Value::Object(members.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_value_is_made_of_a_rust_value_as_that_would_be_sent() {
        let error = ErrorValue::new("RangeError", "too far").with_property("by", 5);
        let map = HashMap::from([("a", 1u8)]);
        for (made, sent) in [
            (().into(), to_value(())),
            (None::<bool>.into(), to_value(None::<bool>)),
            (Some('x').into(), to_value('x')),
            (i64::MIN.into(), to_value(i64::MIN)),
            (MAX_SAFE_INTEGER.into(), to_value(MAX_SAFE_INTEGER)),
            ((MAX_SAFE_INTEGER + 1).into(), to_value(MAX_SAFE_INTEGER + 1)),
            (u128::MAX.into(), to_value(u128::MAX)),
            (7usize.into(), to_value(7usize)),
            (vec!["a", "b"].into(), to_value(["a", "b"])),
            (["a", "b"][..].into(), to_value(["a", "b"])),
            ([Some(1.5), None].into(), to_value((1.5, None::<f64>))),
            (map.clone().into(), to_value(&map)),
            (map_of_lists().into(), to_value(map_of_lists())),
            (error.clone().into(), to_value(error)),
        ] {
            let made: Value = made;
            assert_eq!(made, sent.unwrap());
        }
    }

    fn map_of_lists() -> BTreeMap<String, Vec<i8>> {
        [("x".to_owned(), vec![-1, 1])].into()
    }

    #[test]
    fn a_value_becomes_the_type_it_is_read_as_or_an_error() {
        let cap = Cap::broken(Error::rejected("nowhere"));
        let value = Value::from([("list", [1, 2].into()), ("cap", cap.clone().into())]);
        assert_eq!(to_value(&value).unwrap(), value);

        #[derive(serde::Deserialize)]
        struct Record {
            list: Vec<u8>,
            cap: Cap,
        }
        let record: Record = from_value(value).unwrap();
        assert_eq!((record.list, record.cap), (vec![1, 2], cap));
        assert_eq!(from_value::<u8>(300.into()).unwrap_err().kind(), ErrorKind::Decode);
    }
}
