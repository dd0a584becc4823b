//! HTTP headers.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{self, Serialize, Serializer};

use super::marker;

/// HTTP headers, names in lower case: JavaScript's `Headers`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// Returns the pairs of name and value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the first value of the header `name`, in upper or lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl<N: AsRef<str>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.as_ref().to_ascii_lowercase(), value.into()))
                .collect(),
        )
    }
}

impl<N: AsRef<str>, V: Into<String>, const LEN: usize> From<[(N, V); LEN]> for Headers {
    fn from(pairs: [(N, V); LEN]) -> Self {
        pairs.into_iter().collect()
    }
}

impl IntoIterator for Headers {
    type Item = (String, String);
    type IntoIter = std::vec::IntoIter<(String, String)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// `true` if JavaScript's `Headers` accepts the header. Any other makes a JavaScript peer end the session.
fn is_header(name: &str, value: &str) -> bool {
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let in_value = |char: char| char <= '\u{ff}' && !matches!(char, '\0' | '\r' | '\n');
    !name.is_empty() && name.bytes().all(in_name) && value.chars().all(in_value)
}

impl Headers {
    /// Checks that JavaScript accepts them.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self.0.iter().find(|(name, value)| !is_header(name, value)) {
            None => Ok(()),
            Some((name, _)) => Err(format!(
                "{name:?} is not an HTTP header: a name is a token, a value has no line breaks and no characters beyond U+00FF"
            )),
        }
    }
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.check().map_err(ser::Error::custom)?;
        serializer.serialize_newtype_struct(marker::HEADERS, &self.0)
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
        std::iter::from_fn(|| pairs.next_element::<(String, String)>().transpose()).collect()
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut pairs: A) -> Result<Headers, A::Error> {
        std::iter::from_fn(|| pairs.next_entry::<String, String>().transpose()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_lower_case_and_pairs_keep_their_order() {
        let headers = Headers::from([("Set-Cookie", "a"), ("X-B", "c"), ("set-cookie", "D")]);
        let json = r#"[["set-cookie","a"],["x-b","c"],["set-cookie","D"]]"#;
        assert_eq!(serde_json::to_string(&headers).unwrap(), json);
        assert_eq!(serde_json::from_str::<Headers>(json).unwrap(), headers);
    }

    #[test]
    fn headers_are_found_in_any_case() {
        let headers = Headers::from([("Set-Cookie", "a"), ("set-cookie", "b")]);
        assert_eq!((headers.get("SET-COOKIE"), headers.get("cookie")), (Some("a"), None));
        assert!(headers.iter().eq([("set-cookie", "a"), ("set-cookie", "b")]));
        assert_eq!(headers.clone().into_iter().collect::<Headers>(), headers);
    }

    #[test]
    fn what_is_no_header_is_not_written() {
        for (name, value) in [("", "x"), ("a b", "x"), ("ä", "x"), ("a", "x\r\ny: z"), ("a", "€")] {
            assert!(serde_json::to_string(&Headers::from([(name, value)])).is_err(), "{name:?}: {value:?}");
        }
        assert!(serde_json::to_string(&Headers::from([("x-a", "ä 1, \t2")])).is_ok());
    }
}
