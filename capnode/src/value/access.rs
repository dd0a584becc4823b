//! Access to the parts of a value.

use std::borrow::Cow;
use std::ops;

use crate::cap::Cap;
use crate::cap::value::{ErrorValue, Value};
use crate::error::Error;
use crate::kinds::{BigInt, Bytes, Date, Headers, Url};

/// A key of a member of a record, which is a string, or an index of an element of a list, which is a `usize`.
pub trait Index {
    /// Returns the position of the part among the members or elements of `value`, if it has the part.
    fn position(&self, value: &Value) -> Option<usize>;
}

impl Index for str {
    fn position(&self, value: &Value) -> Option<usize> {
        value.as_object()?.iter().position(|(key, _)| key == self)
    }
}

impl Index for String {
    fn position(&self, value: &Value) -> Option<usize> {
        self.as_str().position(value)
    }
}

impl Index for usize {
    fn position(&self, value: &Value) -> Option<usize> {
        (*self < value.as_array()?.len()).then_some(*self)
    }
}

impl<I: Index + ?Sized> Index for &I {
    fn position(&self, value: &Value) -> Option<usize> {
        (**self).position(value)
    }
}

/// Returns the part, or `undefined` where there is none, as JavaScript does. See [`Value::get`].
impl<I: Index> ops::Index<I> for Value {
    type Output = Value;

    fn index(&self, index: I) -> &Value {
        self.get(index).unwrap_or(&Value::Undefined)
    }
}

macro_rules! variants {
    ($($name:ident, $variant:ident => $type:ty, $what:literal;)*) => { $(
        #[doc = concat!("Returns the ", $what, ", if the value is one.")]
        pub fn $name(&self) -> Option<&$type> {
            let Value::$variant(content) = self else { return None };
            Some(content)
        }
    )* };
}

/// Access to parts and contents, as serde_json's `Value` has it. A [shared](Value::Shared) value has none before it is
/// [opened](Value::open).
impl Value {
    variants! {
        as_str, String => str, "string";
        as_array, Array => [Value], "elements of the list";
        as_object, Object => [(String, Value)], "members of the record";
        as_cap, Cap => Cap, "reference";
        as_bigint, BigInt => BigInt, "big integer";
        as_bytes, Bytes => Bytes, "bytes";
        as_date, Date => Date, "point in time";
        as_url, Url => Url, "URL";
        as_headers, Headers => Headers, "headers";
        as_error, Error => ErrorValue, "error";
    }

    /// Returns the elements of the list, to be changed, if the value is one.
    pub fn as_array_mut(&mut self) -> Option<&mut Vec<Value>> {
        let Value::Array(elements) = self else { return None };
        Some(elements)
    }

    /// Returns the members of the record, to be changed, if the value is one.
    pub fn as_object_mut(&mut self) -> Option<&mut Vec<(String, Value)>> {
        let Value::Object(members) = self else { return None };
        Some(members)
    }

    /// Returns the boolean, if the value is one.
    pub fn as_bool(&self) -> Option<bool> {
        let Value::Bool(value) = self else { return None };
        Some(*value)
    }

    /// Returns the number, if the value is one. A big integer is none: an `f64` would round it.
    pub fn as_f64(&self) -> Option<f64> {
        let Value::Number(number) = self else { return None };
        Some(*number)
    }

    /// Returns the integer, if the value is one that fits: a number without a fraction, or a big integer.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            // Both bounds are powers of two, and so exact.
            Value::Number(number) => {
                (number.fract() == 0.0 && (-TWO_TO_63..TWO_TO_63).contains(number)).then_some(*number as i64)
            }
            Value::BigInt(integer) => integer.try_into().ok(),
            _ => None,
        }
    }

    /// Returns the integer, if the value is one that fits: a number without a fraction, or a big integer.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Value::Number(number) => {
                (number.fract() == 0.0 && (0.0..2.0 * TWO_TO_63).contains(number)).then_some(*number as u64)
            }
            Value::BigInt(integer) => integer.try_into().ok(),
            _ => None,
        }
    }

    /// `true` if the value is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// `true` if the value is `undefined`.
    pub fn is_undefined(&self) -> bool {
        matches!(self, Value::Undefined)
    }

    /// Returns a member of a record by its name, or an element of a list by its position. To look into a value that is
    /// [shared](Value::Shared), use [`member`](Self::member) and [`element`](Self::element).
    pub fn get<I: Index>(&self, index: I) -> Option<&Value> {
        let position = index.position(self)?;
        match self {
            Value::Array(elements) => elements.get(position),
            Value::Object(members) => members.get(position).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Returns a member of a record or an element of a list, to be changed.
    pub fn get_mut<I: Index>(&mut self, index: I) -> Option<&mut Value> {
        let position = index.position(self)?;
        match self {
            Value::Array(elements) => elements.get_mut(position),
            Value::Object(members) => members.get_mut(position).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Returns the part that a JSON Pointer (RFC 6901) such as `/users/0/name` leads to.
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        if pointer.is_empty() {
            return Some(self);
        }
        pointer.strip_prefix('/')?.split('/').try_fold(self, |value, step| match value {
            // An index has one form: no sign, and no zeros in front.
            Value::Array(elements) => {
                elements.get(step.parse::<usize>().ok().filter(|index| index.to_string() == step)?)
            }
            _ => value.get(step.replace("~1", "/").replace("~0", "~")),
        })
    }

    /// Returns a member of a record, shared or not.
    pub fn member(&self, name: &str) -> Option<Value> {
        self.open().ok()?.get(name).cloned()
    }

    /// Returns an element of a list, shared or not.
    pub fn element(&self, index: usize) -> Option<Value> {
        self.open().ok()?.get(index).cloned()
    }

    /// Returns the content of a [shared](Value::Shared) value, and any other value as it is.
    pub fn open(&self) -> Result<Cow<'_, Value>, Error> {
        match self {
            Value::Shared(shared) => shared.get().map(Cow::Owned),
            other => Ok(Cow::Borrowed(other)),
        }
    }
}

const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn value() -> Value {
        Value::from([
            ("a/b", [1.into(), Value::from([("~", "deep".into())])].into()),
            ("null", Value::Null),
            ("", true.into()),
        ])
    }

    #[test]
    fn parts_are_found_by_name_position_and_pointer() {
        let mut value = value();
        assert_eq!(value["a/b"][1]["~"].as_str(), Some("deep"));
        assert_eq!(value.get("a/b").and_then(|list| list.get(0)), Some(&1.into()));
        assert_eq!(value.get(String::from("null")), Some(&Value::Null));
        for (pointer, found) in [("", &value), ("/a~1b/1/~0", &"deep".into()), ("/", &true.into())] {
            assert_eq!(value.pointer(pointer), Some(found), "{pointer:?}");
        }
        *value.get_mut("null").unwrap() = 5.into();
        value.as_object_mut().unwrap().retain(|(key, _)| key == "null");
        assert_eq!(value, Value::from([("null", 5.into())]));
    }

    #[test]
    fn a_part_that_is_not_there_is_none_and_by_brackets_undefined() {
        let value = value();
        for pointer in ["a~1b", "/a", "/a~1b/2", "/a~1b/01", "/a~1b/+1", "/a~1b/", "/null/x"] {
            assert_eq!(value.pointer(pointer), None, "{pointer:?}");
        }
        assert_eq!((value.get(0), value.get("a"), value["a/b"].get("0")), (None, None, None));
        assert!(value["a"]["b"][0].is_undefined() && value["null"].is_null());
    }

    #[test]
    fn numbers_are_read_as_integers_where_they_are_exactly_that() {
        for (value, signed, unsigned) in [
            (Value::from(-0.0), Some(0), Some(0)),
            (Value::from(-1), Some(-1), None),
            (Value::from(1.5), None, None),
            (Value::from(f64::NAN), None, None),
            (Value::from(f64::INFINITY), None, None),
            (Value::from(-TWO_TO_63), Some(i64::MIN), None),
            (Value::from(TWO_TO_63), None, Some(1 << 63)),
            (Value::from(2.0 * TWO_TO_63), None, None),
            (Value::from(i64::MAX), Some(i64::MAX), Some(i64::MAX as u64)),
            (Value::from(u64::MAX), None, Some(u64::MAX)),
            (Value::from(u128::MAX), None, None),
            (Value::from("1"), None, None),
        ] {
            assert_eq!((value.as_i64(), value.as_u64()), (signed, unsigned), "{value:?}");
        }
        assert_eq!((Value::from(2.5).as_f64(), Value::from(u64::MAX).as_f64()), (Some(2.5), None));
    }
}
