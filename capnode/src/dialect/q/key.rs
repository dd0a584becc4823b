//! Keys of objects: `@ ! % $ / \` mean something to the language, so the first of them gets a backslash.
//!
//! All of this works on keys as they stand between quotes in JSON, so that halves of surrogate pairs survive.

use std::borrow::Cow;

/// `true` if keys have to be escaped because of this character.
fn is_special(byte: u8) -> bool {
    matches!(byte, b'@' | b'!' | b'%' | b'$' | b'/' | b'\\')
}

/// Returns the characters of a raw key: the place of each, and its value if it is one of ASCII.
fn characters(raw: &str) -> impl Iterator<Item = (usize, u8)> {
    let bytes = raw.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        let byte = *bytes.get(at)?;
        at += 1;
        if byte != b'\\' {
            return Some((start, byte));
        }
        let escaped = bytes.get(at).copied().unwrap_or_default();
        at += 1;
        if escaped != b'u' {
            return Some((start, if matches!(escaped, b'\\' | b'/' | b'"') { escaped } else { 0 }));
        }
        let unit = raw.get(at..at + 4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        at += 4;
        Some((start, unit.and_then(|unit| u8::try_from(unit).ok()).unwrap_or(0)))
    })
}

/// Returns a key of the program as the language writes it.
pub(super) fn escape(raw: &str) -> Cow<'_, str> {
    match characters(raw).find(|(_, byte)| is_special(*byte)) {
        Some((at, _)) => Cow::Owned(format!("{}\\\\{}", &raw[..at], &raw[at..])),
        None => Cow::Borrowed(raw),
    }
}

/// Returns a key of the peer as the program sees it.
pub(super) fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut before: Option<usize> = None;
    for (at, byte) in characters(raw) {
        match before {
            Some(backslash) if is_special(byte) => {
                return Cow::Owned(format!("{}{}", &raw[..backslash], &raw[at..]));
            }
            _ => before = (byte == b'\\').then_some(at),
        }
    }
    Cow::Borrowed(raw)
}

/// `true` if a key that stands alone means something to the language.
pub(super) fn is_form(raw: &str) -> bool {
    raw.len() <= 6
        && matches!(&*crate::dialect::capnweb::text::unescape(raw), "@" | "!" | "%" | "$" | "@r" | "@l")
}
