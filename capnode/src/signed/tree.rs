//! JSON that has one reading: strict in, canonical out (RFC 8785).

use crate::dialect::capnweb::write_string;
use crate::dialect::json::{self, Json, separate};

use super::refusal::{Refusal, Rule};

/// The most bytes of a document.
const MAX_BYTES: usize = 64 << 10;

/// Lists and objects inside one another, at most.
const MAX_DEPTH: usize = 32;

/// A JSON value, of which the fields and the hash are both taken.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Tree>),
    /// Members in the order of their keys' UTF-16 units, each key once.
    Object(Vec<(String, Tree)>),
}

type Result<T> = std::result::Result<T, Refusal>;

impl Tree {
    /// Reads a text that has one reading.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if text.len() > MAX_BYTES {
            return Err(Rule::Size.broken(format!("more than {MAX_BYTES} bytes")));
        }
        let json = Json::parse_with_repeats(text, MAX_DEPTH);
        Self::of(&json.map_err(|error| Rule::Json.broken(error.message()))?)
    }

    fn of(json: &Json<'_>) -> Result<Self> {
        Ok(match json {
            Json::Null | Json::Slot(_) => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(digits) => match digits.parse::<f64>() {
                Ok(number) if number.is_finite() => Self::Number(number),
                _ => return Err(Rule::Json.broken(format!("no number can hold {digits}"))),
            },
            Json::String(raw) => Self::Text(text_of(raw)?),
            Json::Array(parts) => Self::List(parts.iter().map(Self::of).collect::<Result<_>>()?),
            Json::Object(members) => {
                let member = |(key, value): &(&str, Json<'_>)| Ok((text_of(key)?, Self::of(value)?));
                Self::object(members.iter().map(member).collect::<Result<_>>()?)?
            }
        })
    }

    /// Returns the object with these members.
    pub(super) fn object(mut members: Vec<(String, Tree)>) -> Result<Self> {
        members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
        if let Some(pair) = members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Rule::Json.broken(format!("the key `{}` is there twice", pair[0].0)));
        }
        Ok(Self::Object(members))
    }

    /// Returns the member `key` of an object.
    pub(super) fn get(&self, key: &str) -> Option<&Tree> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(super) fn as_list(&self) -> Option<&[Tree]> {
        if let Self::List(list) = self { Some(list) } else { None }
    }

    pub(super) fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::List(texts.into_iter().map(|text| Self::Text(text.into())).collect())
    }

    /// Returns the canonical text.
    pub(crate) fn canonical(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, &[]);
        out
    }

    /// Returns the canonical text of the object without some of its members.
    pub(super) fn canonical_without(&self, left_out: &[&str]) -> String {
        let mut out = String::new();
        self.write(&mut out, left_out);
        out
    }

    fn write(&self, out: &mut String, left_out: &[&str]) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(number) => write_number(*number, out),
            Self::Text(text) => write_string(out, text),
            Self::List(parts) => {
                out.push('[');
                for (at, part) in parts.iter().enumerate() {
                    separate(at, out);
                    part.write(out, &[]);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                let kept = members.iter().filter(|(key, _)| !left_out.contains(&key.as_str()));
                for (at, (key, value)) in kept.enumerate() {
                    separate(at, out);
                    write_string(out, key);
                    out.push(':');
                    value.write(out, &[]);
                }
                out.push('}');
            }
        }
    }
}

fn text_of(raw: &str) -> Result<String> {
    json::text_of(raw).ok_or_else(|| Rule::Json.broken("a surrogate stands alone"))
}

/// Writes a number as ECMAScript prints it: the shortest digits that give it back.
fn write_number(number: f64, out: &mut String) {
    if number == 0.0 {
        return out.push('0');
    }
    let shortest = format!("{:e}", number.abs());
    // As short there may be a closer one, or one that is as close and even: this is how ECMAScript chooses.
    let length = shortest.bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count();
    let closest = format!("{:.*e}", length - 1, number.abs());
    let scientific = if closest.parse() == Ok(number.abs()) { closest } else { shortest };
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits = digits.replace('.', "");
    // The place of the point, in digits from the first one.
    let point = exponent.parse().unwrap_or(0) + 1;
    let length = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    if number < 0.0 {
        out.push('-');
    }
    match point {
        _ if length <= point && point <= 21 => out.extend([digits.as_str(), &zeros(point - length)]),
        1..=21 => {
            let (whole, rest) = digits.split_at(usize::try_from(point).unwrap_or(0));
            out.extend([whole, ".", rest]);
        }
        -5..=0 => out.extend(["0.", &zeros(-point), &digits]),
        _ => {
            let (first, rest) = digits.split_at(1);
            out.push_str(first);
            if !rest.is_empty() {
                out.extend([".", rest]);
            }
            out.push_str(&format!("e{:+}", point - 1));
        }
    }
}
