//! HTTP headers.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{self, Serialize, Serializer};

use super::marker;

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

/// `true` if JavaScript's `Headers` accepts the header. Any other makes a JavaScript peer end the session.
fn is_header(name: &str, value: &str) -> bool {
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let in_value = |char: char| char <= '\u{ff}' && !matches!(char, '\0' | '\r' | '\n');
    !name.is_empty() && name.bytes().all(in_name) && value.chars().all(in_value)
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.iter().find(|(name, value)| !is_header(name, value)) {
            None => serializer.serialize_newtype_struct(marker::HEADERS, &self.0),
            Some((name, _)) => Err(ser::Error::custom(format_args!("not an HTTP header: {name:?}"))),
        }
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(marker::HEADERS, Pairs)
    }
}

struct Pairs;

impl<'de> de::Visitor<'de> for Pairs {
    type Value = Headers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("headers")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Headers, D::Error> {
        if inner.is_human_readable() { inner.deserialize_any(self) } else { inner.deserialize_seq(self) }
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut pairs: A) -> Result<Headers, A::Error> {
        std::iter::from_fn(|| pairs.next_element().transpose()).collect()
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut pairs: A) -> Result<Headers, A::Error> {
        std::iter::from_fn(|| pairs.next_entry().transpose()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers<const N: usize>(pairs: [(&str, &str); N]) -> Headers {
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn names_are_in_lower_case_and_pairs_keep_their_order() {
        let headers = headers([("Set-Cookie", "a"), ("X-B", "c"), ("set-cookie", "D")]);
        let json = r#"[["set-cookie","a"],["x-b","c"],["set-cookie","D"]]"#;
        assert_eq!(serde_json::to_string(&headers).unwrap(), json);
        assert_eq!(serde_json::from_str::<Headers>(json).unwrap(), headers);
    }

    #[test]
    fn what_is_no_header_is_not_written() {
        for (name, value) in [("", "x"), ("a b", "x"), ("ä", "x"), ("a", "x\r\ny: z"), ("a", "€")] {
            assert!(serde_json::to_string(&headers([(name, value)])).is_err(), "{name:?}: {value:?}");
        }
        assert!(serde_json::to_string(&headers([("x-a", "ä 1, \t2")])).is_ok());
    }
}
