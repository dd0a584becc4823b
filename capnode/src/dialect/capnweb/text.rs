//! JSON strings and base64, both ways.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// The standard alphabet without padding: what npm's `capnweb` writes. Padding is accepted.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

pub(in crate::dialect) fn write_base64(out: &mut String, bytes: &[u8]) {
    BASE64.encode_string(bytes, out);
}

/// Whether `text` is base64 in the standard or the URL alphabet (Node accepts both), and how many
/// bytes it stands for.
pub(in crate::dialect) fn base64_len(text: &str) -> Option<usize> {
    let digits = text.trim_end_matches('=');
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
    let whole = digits.len() % 4 != 1 && text.len() - digits.len() <= 2;
    (whole && digits.bytes().all(known)).then_some(digits.len() / 4 * 3 + digits.len() % 4 * 3 / 4)
}

/// Decodes text that [`base64_len`] has passed.
pub(in crate::dialect) fn read_base64(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    let digits = text.trim_end_matches('=');
    if digits.bytes().any(|byte| matches!(byte, b'-' | b'_')) {
        BASE64.decode(digits.replace('-', "+").replace('_', "/"))
    } else {
        BASE64.decode(digits)
    }
}

/// Writes `text` as a JSON string.
pub(crate) fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut written = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[written..at]);
        written = at + 1;
        if escape.is_empty() {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.push_str("\\u00");
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        } else {
            out.push_str(escape);
        }
    }
    out.push_str(&text[written..]);
    out.push('"');
}

/// What a JSON string says, given what stands between its quotes. The scanner has checked it.
///
/// JavaScript's strings may hold half of a surrogate pair, which no Rust string can: it becomes
/// U+FFFD, and the session goes on.
pub(in crate::dialect) fn unescape(raw: &str) -> Cow<'_, str> {
    let Some(first) = raw.find('\\') else {
        return Cow::Borrowed(raw);
    };
    let mut out = String::with_capacity(raw.len());
    out.push_str(&raw[..first]);
    let mut rest = &raw[first..];
    while let Some(escape) = rest.strip_prefix('\\') {
        let mut length = 1;
        match escape.as_bytes().first() {
            Some(b'b') => out.push('\u{8}'),
            Some(b'f') => out.push('\u{c}'),
            Some(b'n') => out.push('\n'),
            Some(b'r') => out.push('\r'),
            Some(b't') => out.push('\t'),
            Some(b'u') => {
                let (unit, units) = unicode(escape);
                out.push(unit);
                length = units * 6 - 1;
            }
            Some(byte) => out.push(char::from(*byte)),
            None => length = 0,
        }
        let after = escape.get(length..).unwrap_or_default();
        let next = after.find('\\').unwrap_or(after.len());
        out.push_str(&after[..next]);
        rest = &after[next..];
    }
    out.into()
}

/// The character of a `uXXXX`, and how many such escapes it took.
fn unicode(escape: &str) -> (char, usize) {
    let unit = |at: usize| {
        let digits = escape.get(at..at + 4)?;
        u32::from_str_radix(digits, 16).ok()
    };
    let first = unit(1).unwrap_or(0xFFFD);
    if (0xD800..0xDC00).contains(&first) && escape.get(5..7) == Some("\\u") {
        if let Some(second @ 0xDC00..0xE000) = unit(7) {
            let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
            return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 2);
        }
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_survive_the_way_out_and_back() {
        for text in ["", "plain", "a \"quoted\" \\ one", "\u{0}\u{1f}\u{7f}", "line\r\n\ttab", "é€😀"] {
            let mut out = String::new();
            write_string(&mut out, text);
            assert_eq!(out, serde_json::to_string(text).unwrap());
            assert_eq!(unescape(&out[1..out.len() - 1]), text);
        }
    }

    #[test]
    fn escapes_are_read_as_json_says() {
        assert_eq!(unescape(r#"\"\\\/\b\f\n\r\t\u0041\u00e9\ud83d\ude00!"#), "\"\\/\u{8}\u{c}\n\r\tAé😀!");
    }

    #[test]
    fn half_a_surrogate_pair_becomes_the_replacement_character() {
        for raw in [r"a\ud800b", r"a\udc00b", r"a\ud800\u0062"] {
            assert_eq!(unescape(raw), "a\u{fffd}b", "{raw}");
        }
        assert_eq!(unescape(r"\ud800\ud83d\ude00"), "\u{fffd}😀");
    }

    #[test]
    fn base64_of_both_alphabets_and_with_padding_is_read() {
        assert_eq!(read_base64("AQID/wCABwk").unwrap(), [1, 2, 3, 255, 0, 128, 7, 9]);
        assert_eq!(read_base64("AQID_wCABwk=").unwrap(), [1, 2, 3, 255, 0, 128, 7, 9]);
        for (text, length) in [
            ("", Some(0)),
            ("AQ", Some(1)),
            ("AQ==", Some(1)),
            ("AQI", Some(2)),
            ("A", None),
            ("A!", None),
            ("AQ===", None),
        ] {
            assert_eq!(base64_len(text), length, "{text}");
            if length.is_some() {
                assert_eq!(read_base64(text).ok().map(|bytes| bytes.len()), length);
            }
        }
    }
}
