//! Big integers.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use super::marker;
use crate::error::{Error, ErrorKind};

/// An integer of any size: JavaScript's `BigInt`.
///
/// The built-in integer types need no wrapper: they become big integers on the wire where a JavaScript number would
/// round them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BigInt(String);

impl BigInt {
    /// Parses decimal digits with an optional `-`; `None` if `digits` are something else.
    pub(crate) fn from_decimal(digits: &str) -> Option<Self> {
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

    /// Returns the decimal digits, with `-` in front if negative.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `true` if JavaScript's `BigInt(text)` accepts the text: decimal with a sign, or hexadecimal, octal or binary
    /// without one, white space around.
    pub(crate) fn is_js(text: &str) -> bool {
        let text = text.trim();
        let radix = |prefix: [&str; 2], radix| {
            let digits = prefix.iter().find_map(|prefix| text.strip_prefix(prefix))?;
            // No peer writes these, and reading one takes time by the square of its length.
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

    /// Reads a text that [`is_js`](Self::is_js) accepts.
    pub(crate) fn from_js(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() {
            return Self::from_decimal("0");
        }
        let bits = match text.get(..2) {
            Some("0x" | "0X") => 4,
            Some("0o" | "0O") => 3,
            Some("0b" | "0B") => 1,
            _ => return Self::from_decimal(text.strip_prefix('+').unwrap_or(text)),
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
        Self::from_decimal(&decimal.iter().rev().map(|digit| char::from(b'0' + digit)).collect::<String>())
    }
}

impl Default for BigInt {
    fn default() -> Self {
        0.into()
    }
}

impl Ord for BigInt {
    fn cmp(&self, other: &Self) -> Ordering {
        // Without zeros in front, the longer number is the larger one.
        let magnitude = |digits: &str, others: &str| (digits.len(), digits).cmp(&(others.len(), others));
        match (self.0.strip_prefix('-'), other.0.strip_prefix('-')) {
            (None, None) => magnitude(&self.0, &other.0),
            (Some(digits), Some(others)) => magnitude(others, digits),
            (negative, _) => negative.is_none().cmp(&true),
        }
    }
}

impl PartialOrd for BigInt {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for BigInt {
    type Err = Error;

    /// Parses decimal digits with an optional `-` in front.
    fn from_str(digits: &str) -> Result<Self, Error> {
        Self::from_decimal(digits).ok_or_else(|| Error::new(ErrorKind::Decode, EXPECTED))
    }
}

const EXPECTED: &str = "expected the decimal digits of a big integer";

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
            type Error = Error;

            fn try_from(bigint: &BigInt) -> Result<Self, Error> {
                bigint.0.parse().map_err(|_| {
                    Error::new(ErrorKind::Decode, concat!("the big integer does not fit into ", stringify!($integer)))
                })
            }
        }
    )* };
}

bigint_of!(i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize);

impl Serialize for BigInt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(marker::BIGINT, &self.0)
    }
}

impl<'de> Deserialize<'de> for BigInt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(marker::BIGINT, Digits)
    }
}

struct Digits;

impl<'de> de::Visitor<'de> for Digits {
    type Value = BigInt;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a big integer")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<BigInt, D::Error> {
        if inner.is_human_readable() { inner.deserialize_any(self) } else { inner.deserialize_str(self) }
    }

    fn visit_str<E: de::Error>(self, digits: &str) -> Result<BigInt, E> {
        BigInt::from_decimal(digits).ok_or_else(|| E::custom(EXPECTED))
    }

    fn visit_u64<E: de::Error>(self, integer: u64) -> Result<BigInt, E> {
        Ok(integer.into())
    }

    fn visit_i64<E: de::Error>(self, integer: i64) -> Result<BigInt, E> {
        Ok(integer.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn big_integers_are_read_as_javascript_reads_them() {
        let read = |text| BigInt::is_js(text).then(|| BigInt::from_js(text).unwrap().to_string());
        for (text, value) in [
            ("123", "123"),
            ("-007", "-7"),
            ("+5", "5"),
            (" 9 ", "9"),
            ("", "0"),
            ("-0", "0"),
            ("0x10", "16"),
            ("0b101", "5"),
            ("0o17", "15"),
            ("0xffffffffffffffffffff", "1208925819614629174706175"),
        ] {
            assert_eq!(read(text).as_deref(), Some(value), "{text:?}");
        }
        for text in ["0x1g", "1.5", "--1", "0x", "-0x1", "1n", "abc", "+-1", "-", "1_0", "٣"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_big_integer_is_parsed_from_what_it_displays_and_from_nothing_else() {
        for (text, shown) in
            [("0", "0"), ("-0", "0"), ("-007", "-7"), ("18446744073709551616", "18446744073709551616")]
        {
            assert_eq!(text.parse::<BigInt>().unwrap().to_string(), shown);
        }
        for text in ["", "-", "+5", " 5", "5n", "0x5", "1.5", "1e3"] {
            let error = text.parse::<BigInt>().unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Decode, EXPECTED), "{text:?}");
        }
    }

    #[test]
    fn big_integers_are_ordered_by_their_values() {
        let sorted = [i128::MIN, -100, -20, -3, 0, 3, 20, 100, i128::MAX].map(BigInt::from);
        let mut integers = sorted.clone();
        integers.reverse();
        integers.sort();
        assert_eq!(integers, sorted);
        assert_eq!(BigInt::default(), sorted[4]);
    }

    #[test]
    fn the_integers_of_rust_become_big_ones_and_back_where_they_fit() {
        let big = BigInt::from(i128::MIN);
        assert_eq!(i128::try_from(&big).unwrap(), i128::MIN);
        assert!(u128::try_from(&big).is_err() && i64::try_from(&big).is_err());
        assert_eq!(u64::try_from(&BigInt::from(u64::MAX)).unwrap(), u64::MAX);
        let error = u8::try_from(&BigInt::from(256)).unwrap_err();
        assert_eq!(error.to_string(), "the big integer does not fit into u8");
    }

    #[test]
    fn other_formats_have_a_big_integer_as_its_digits_and_take_a_number_for_it() {
        let big = BigInt::from(u128::MAX);
        let json = serde_json::to_string(&big).unwrap();
        assert_eq!(json, "\"340282366920938463463374607431768211455\"");
        assert_eq!(serde_json::from_str::<BigInt>(&json).unwrap(), big);
        assert_eq!(serde_json::from_str::<BigInt>("-5").unwrap(), BigInt::from(-5));
        assert!(serde_json::from_str::<BigInt>("\"5x\"").is_err());
    }
}
