//! The text of a sturdy reference.

use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

use super::caveat::Caveat;
use super::mac::{Secret, Tag, first, hex, is_hex, is_same, next, tag, unhex};
use super::refusal::{Refusal, Rule};
use crate::runtime::random;

/// The beginning of a text.
const START: &str = "capnode:1/";
/// The most bytes of a text.
const BYTES: usize = 4096;
/// The most caveats of a text.
const CAVEATS: usize = 16;
/// The most addresses of a text.
const ADDRESSES: usize = 8;

/// A text that is the permission to use an object, for as long as its owner says, over any connection.
///
/// `capnode:1/<key>/<object>/<issue>/<caveat>/<secret>?at=<address>&at=<address>`, with any number of caveats and addresses. Whoever
/// reads it may use it: [`reveal`](Self::reveal) alone tells the secret, `Display` and `Debug` leave it out.
#[derive(Clone)]
pub struct Sturdy {
    key: String,
    object: String,
    issue: String,
    addresses: Vec<String>,
    caveats: Vec<String>,
    secret: Secret,
}

impl Sturdy {
    /// Makes a text of an object that has no caveats. It is another one each time, so that who was given one cannot use up
    /// what the owner keeps for others.
    pub(super) fn new(key: &str, secret: &Secret, object: &str, addresses: &[String]) -> Self {
        let (key, object, addresses) = (key.to_owned(), object.to_owned(), addresses.to_vec());
        let issue = hex(&random::bytes::<8>());
        let mut new = Self { key, object, issue, addresses, caveats: Vec::new(), secret: Secret::default() };
        new.secret = new.first(secret);
        new
    }

    /// Returns the whole text, secret and all.
    pub fn reveal(&self) -> Zeroizing<String> {
        let secret = Zeroizing::new(hex(&*self.secret));
        Zeroizing::new(self.write(&secret))
    }

    /// Returns a text that allows less, made from this one. Nobody can make this one from it.
    ///
    /// # Errors
    ///
    /// If the text would be too long, or the caveat cannot be written: a name with a comma, or a part of a second in a
    /// period.
    pub fn with(&self, caveat: &Caveat) -> Result<Self, Refusal> {
        let text = caveat.to_string();
        let is_meant = match (text.parse()?, caveat) {
            // Which is a part of a second earlier at most.
            (Caveat::Until(_), Caveat::Until(_)) => true,
            // A name with a comma would be two.
            (read, meant) => read == *meant,
        };
        if !is_meant || !is_caveat(&text) {
            return Err(Rule::Caveat.broken());
        }
        let mut narrower = self.clone();
        narrower.secret = next(&self.secret, &text);
        narrower.caveats.push(text);
        if narrower.caveats.len() > CAVEATS || narrower.reveal().len() > BYTES {
            return Err(Rule::Size.broken());
        }
        Ok(narrower)
    }

    /// Returns the addresses of the owner, as it wrote them. Who has the text from a stranger connects to what the stranger
    /// names.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Returns the caveats as they are written. Some may be known to the owner alone.
    pub fn caveats(&self) -> &[String] {
        &self.caveats
    }

    /// Returns the id of the key.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Returns the id of the object, which alone is worth nothing.
    pub fn object(&self) -> &str {
        &self.object
    }

    /// Returns the id of the text that the owner gave, from which holders have made this one.
    pub(super) fn issue(&self) -> &str {
        &self.issue
    }

    /// Returns the tags of the secrets of all texts that this one was made from, and its own, if the secret belongs to the
    /// rest.
    pub(super) fn verify(&self, key: &Secret) -> Result<Vec<Tag>, Refusal> {
        let mut secrets = Vec::with_capacity(1 + self.caveats.len());
        let mut last = self.first(key);
        for caveat in &self.caveats {
            let narrower = next(&last, caveat);
            secrets.push(std::mem::replace(&mut last, narrower));
        }
        if !is_same(&last, &self.secret) {
            return Err(Rule::Mac.broken());
        }
        secrets.push(last);
        Ok(secrets.iter().map(tag).collect())
    }

    fn first(&self, key: &Secret) -> Secret {
        let head = [self.key.as_str(), self.object.as_str(), self.issue.as_str()];
        let head: Vec<&str> = head.into_iter().chain(self.addresses.iter().map(String::as_str)).collect();
        first(key, &head)
    }

    fn write(&self, secret: &str) -> String {
        let mut text = String::with_capacity(BYTES);
        text.extend([START, &self.key, "/", &self.object, "/", &self.issue]);
        text.extend(self.caveats.iter().flat_map(|caveat| ["/", caveat]));
        text.extend(["/", secret]);
        let marks = std::iter::once("?at=").chain(std::iter::repeat("&at="));
        text.extend(marks.zip(&self.addresses).flat_map(|(mark, address)| [mark, address]));
        text
    }
}

impl FromStr for Sturdy {
    type Err = Refusal;

    /// Reads a text, with or without white space of ASCII around it, as a file has at its end.
    fn from_str(text: &str) -> Result<Self, Refusal> {
        let shape = || Rule::Shape.broken();
        let text = text.trim_ascii();
        if text.len() > BYTES {
            return Err(Rule::Size.broken());
        }
        let rest = text.strip_prefix(START).ok_or_else(shape)?;
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let parts: Vec<&str> = path.split('/').collect();
        let [key, object, issue, caveats @ .., secret] = parts.as_slice() else { return Err(shape()) };
        let addresses: Option<Vec<&str>> = query
            .map_or(Some(Vec::new()), |query| query.split('&').map(|at| at.strip_prefix("at=")).collect());
        let addresses = addresses.ok_or_else(shape)?;
        if caveats.len() > CAVEATS || addresses.len() > ADDRESSES {
            return Err(Rule::Size.broken());
        }
        let is_whole = is_hex(key, 8) && is_hex(object, 16) && is_hex(issue, 8);
        if !is_whole
            || !caveats.iter().all(|text| is_caveat(text))
            || !addresses.iter().all(|text| is_address(text))
        {
            return Err(shape());
        }
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Ok(Self {
            key: (*key).to_owned(),
            object: (*object).to_owned(),
            issue: (*issue).to_owned(),
            addresses: owned(&addresses),
            caveats: owned(caveats),
            secret: unhex(secret).ok_or_else(shape)?,
        })
    }
}

/// `true` for what a text can have between two slashes. Nothing is escaped, so that there is one way to write it.
fn is_caveat(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'?' | b'#' | b'%' | b'\\');
    !text.is_empty() && text.bytes().all(is_plain)
}

/// `true` for what a text can have as an address.
pub(super) fn is_address(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'&' | b'#' | b'\\');
    !text.is_empty() && text.bytes().all(is_plain)
}

impl fmt::Display for Sturdy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.write("…"))
    }
}

impl fmt::Debug for Sturdy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sturdy({self})")
    }
}
