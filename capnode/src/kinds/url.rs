//! URLs.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{self, Serialize, Serializer};

use super::{content, marker};
use crate::error::{Error, ErrorKind};

/// A URL, kept as it is written: JavaScript's `URL`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url(String);

impl Url {
    /// Returns the URL as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `true` if the text begins as a URL does.
    pub(crate) fn is_absolute(href: &str) -> bool {
        split_scheme(href).is_some()
    }
}

impl FromStr for Url {
    type Err = Error;

    /// Parses an absolute URL, and keeps it unchanged. A URL that JavaScript would rewrite before it uses it is an error
    /// too.
    fn from_str(href: &str) -> Result<Self, Error> {
        let not_a_url = || Error::new(ErrorKind::Decode, format!("expected an absolute URL, got {href:?}"));
        is_plain(href).then(|| Self(href.to_owned())).ok_or_else(not_a_url)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Url {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

fn split_scheme(href: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = href.split_once(':')?;
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let good = scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(known);
    good.then_some((scheme, rest))
}

/// `true` if JavaScript's `new URL` accepts the text. A refused URL makes a JavaScript peer end the session, so this
/// refuses when in doubt (but for international names that are encoded wrongly).
fn is_plain(href: &str) -> bool {
    let Some((scheme, rest)) = split_scheme(href) else { return false };
    if href.trim() != href || href.chars().any(char::is_control) {
        return false;
    }
    let special =
        ["http", "https", "ws", "wss", "ftp"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let file = scheme.eq_ignore_ascii_case("file");
    if (special || file) && href.contains('\\') {
        return false;
    }
    let Some(rest) = rest.strip_prefix("//") else { return !special };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (user, place) =
        authority.rsplit_once('@').map_or((None, authority), |(user, place)| (Some(user), place));
    let after_brackets = place.rfind(']').map_or(0, |end| end + 1);
    let (host, port) = match place[after_brackets..].rfind(':') {
        Some(colon) => (&place[..after_brackets + colon], Some(&place[after_brackets + colon + 1..])),
        None => (place, None),
    };
    let good_port = port.is_none_or(|port| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && (port.is_empty() || port.parse::<u16>().is_ok())
    });
    if host.is_empty() {
        return !special && user.is_none() && port.is_none();
    }
    good_port && (!file || (user.is_none() && port.is_none())) && is_host(host)
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let last = host.strip_suffix('.').unwrap_or(host).rsplit('.').next().unwrap_or_default();
    let number =
        last.starts_with("0x") || last.starts_with("0X") || last.bytes().all(|byte| byte.is_ascii_digit());
    if number {
        return host.parse::<Ipv4Addr>().is_ok();
    }
    host.chars().all(|char| char.is_alphanumeric() || "-._~!$&'()*+,;=".contains(char))
}

impl Serialize for Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !is_plain(&self.0) {
            return Err(ser::Error::custom(format_args!("not a URL: {:?}", self.0)));
        }
        serializer.serialize_newtype_struct(marker::URL, &self.0)
    }
}

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        content(deserializer, marker::URL, "a URL").map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_kept_as_it_is_written() {
        for href in [
            "https://example.com/a%20b?q=%C3%BC#f",
            "HTTP://user:secret@[::1]:8080/",
            "http://127.0.0.1:/x",
            "https://bücher.example/",
            "wss://a.b.",
            "file:///etc/hosts",
            "file://host/share",
            "data:text/plain,hello world",
            "mailto:ann@example.com",
            "custom://",
            "custom://host:1/x",
            "x:",
        ] {
            let url: Url = href.parse().unwrap();
            let json = serde_json::to_string(&url).unwrap();
            assert_eq!(serde_json::from_str::<Url>(&json).unwrap(), url);
            assert_eq!(url.to_string(), href);
        }
    }

    #[test]
    fn what_javascript_does_not_take_as_a_url_is_neither_parsed_nor_written() {
        for href in [
            "not a url",
            "/path",
            "1x:y",
            "",
            "http://",
            "http:example.com",
            "https://a b/",
            "http://a:99999/",
            "http://a:x/",
            "http://1.2.3.999/",
            "http://[::1/",
            "http://[wat]/",
            "http://a%b/",
            " http://a/",
            "http://a/\n",
            "custom://a b/",
            "custom://:1/",
            "custom://user@/",
            "file://a:1/",
            "http://user@/",
            "http://<a>/",
        ] {
            assert_eq!(href.parse::<Url>().unwrap_err().kind(), ErrorKind::Decode, "{href:?}");
            assert!(serde_json::to_string(&Url(href.to_owned())).is_err(), "{href:?}");
        }
    }
}
