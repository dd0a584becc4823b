//! JSON strings, numbers and base64, both ways.

use std::borrow::Cow;

use base64_simd::{STANDARD_NO_PAD, forgiving_decode_to_vec};

use crate::retention;

/// Writes bytes as npm's `capnweb` does: in the standard alphabet, without padding.
pub(in crate::dialect) fn write_base64(out: &mut String, bytes: &[u8]) {
    // With room for the end of the form.
    retention::reserve_text(out, bytes.len() / 3 * 4 + 8);
    STANDARD_NO_PAD.encode_append(bytes, out);
}

/// Returns the number of bytes that `text` stands for, if it is base64 in the standard or the URL alphabet (Node
/// accepts both).
pub(in crate::dialect) fn base64_len(text: &str) -> Option<usize> {
    let digits = text.trim_end_matches('=');
    let (fours, rest) = digits.as_bytes().split_at(digits.len() / 4 * 4);
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
    let is_whole = rest.len() != 1 && text.len() - digits.len() <= 2;
    // The other alphabet is rare.
    (is_whole && rest.iter().all(known) && (STANDARD_NO_PAD.check(fours).is_ok() || fours.iter().all(known)))
        .then_some(fours.len() / 4 * 3 + rest.len() * 3 / 4)
}

/// Returns the text up to the next quote, if `json` begins with one. It is a string's content if it has no escapes.
pub(in crate::dialect) fn until_quote(json: &str) -> Option<&str> {
    let content = json.strip_prefix('"')?;
    content.get(..memchr::memchr(b'"', content.as_bytes())?)
}

/// Decodes text that [`base64_len`] has passed.
pub(in crate::dialect) fn read_base64(text: &str) -> Result<Vec<u8>, base64_simd::Error> {
    let digits = text.trim_end_matches('=');
    STANDARD_NO_PAD
        .decode_to_vec(digits)
        .or_else(|_| forgiving_decode_to_vec(digits.as_bytes()))
        .or_else(|_| forgiving_decode_to_vec(digits.replace('-', "+").replace('_', "/").as_bytes()))
}

/// Bytes that are looked at together, where nothing of interest is expected among them.
const CHUNK: usize = 64;

/// Counts the bytes before the first that means something in a JSON string: a quote, a backslash or a control
/// character.
pub(in crate::dialect) fn plain_run(bytes: &[u8]) -> usize {
    /// A string that is longer is looked through in chunks.
    const SHORT: usize = 64;
    const EACH: u64 = u64::MAX / 0xff;
    let plain_of_eight = |bytes: &[u8; 8]| {
        let word = u64::from_le_bytes(*bytes);
        let quote = (word ^ (u64::from(b'"') * EACH)).wrapping_sub(EACH);
        let backslash = (word ^ (u64::from(b'\\') * EACH)).wrapping_sub(EACH);
        let control = word.wrapping_sub(0x20 * EACH);
        // The highest bit of each byte that was less than its subtrahend; bytes beyond ASCII had that bit before. Above
        // the lowest one found there may be others.
        let found = (quote | backslash | control) & !word & (0x80 * EACH);
        found.trailing_zeros() as usize / 8
    };
    let mut run = 0;
    while let Some(eight) = bytes.get(run..).and_then(|rest| rest.first_chunk()) {
        let plain = plain_of_eight(eight);
        run += plain;
        if plain < 8 {
            return run;
        }
        if run == SHORT {
            return run + long_plain_run(&bytes[run..]);
        }
    }
    match bytes.last_chunk() {
        // Those before `run` are looked at again.
        Some(eight) => bytes.len() - 8 + plain_of_eight(eight),
        // Filled up with spaces.
        None => {
            let fill = |word: u64, byte: &u8| (word << 8) | u64::from(*byte);
            let word = bytes.iter().rev().fold(u64::from(b' ') * EACH, fill);
            plain_of_eight(&word.to_le_bytes()).min(bytes.len())
        }
    }
}

/// Counts the bytes of a run that may be long. It stands apart, so that short ones need not make room for it.
#[inline(never)]
fn long_plain_run(bytes: &[u8]) -> usize {
    let means = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    let plain = |chunk: &&[u8]| !chunk.iter().fold(false, |any, byte| any | means(*byte));
    let run = CHUNK * bytes.chunks_exact(CHUNK).take_while(plain).count();
    run + plain_run(&bytes[run..])
}

/// The whole number that `bytes` begin with, and how many digits and signs it takes, if it is written as most are: without
/// a leading zero, point or exponent, and in no more digits than fit for sure.
pub(in crate::dialect) fn plain_integer(bytes: &[u8]) -> Option<(i64, usize)> {
    const DIGITS: usize = 18;
    let negative = bytes.first() == Some(&b'-');
    let digits = bytes.get(usize::from(negative)..)?;
    let (mut number, mut length) = (0_i64, 0);
    while let Some(digit @ b'0'..=b'9') = digits.get(length) {
        number = number.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
        length += 1;
    }
    let ends = !matches!(digits.get(length), Some(b'.' | b'e' | b'E'));
    let plain = length == 1 || ((2..=DIGITS).contains(&length) && digits[0] != b'0');
    let number = if negative { number.wrapping_neg() } else { number };
    (plain && ends).then_some((number, usize::from(negative) + length))
}

/// Bytes that `text` takes as a JSON string.
pub(in crate::dialect) fn string_len(text: &str) -> usize {
    let extra = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
        0..0x20 => 5,
        _ => 0,
    };
    text.len() + 2 + text.bytes().map(extra).sum::<usize>()
}

/// Writes `text` as a JSON string.
pub(crate) fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    loop {
        let (plain, other) = rest.split_at(plain_run(rest.as_bytes()));
        out.push_str(plain);
        let Some(byte) = other.bytes().next() else { break };
        rest = &other[1..];
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            _ => "",
        };
        if escape.is_empty() {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.push_str("\\u00");
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        } else {
            out.push_str(escape);
        }
    }
    out.push('"');
}

/// Returns the text of a JSON string, given the characters between its quotes. The scanner has checked it.
///
/// JavaScript's strings may hold half of a surrogate pair, which no Rust string can: it becomes
/// U+FFFD, and the session goes on.
pub(in crate::dialect) fn unescape(raw: &str) -> Cow<'_, str> {
    // There is neither a quote nor a control character in it.
    let first = plain_run(raw.as_bytes());
    if first == raw.len() {
        return Cow::Borrowed(raw);
    }
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
        let next = plain_run(after.as_bytes());
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
            assert_eq!(out.len(), string_len(text));
            assert_eq!(unescape(&out[1..out.len() - 1]), text);
        }
    }

    #[test]
    fn the_first_byte_that_means_something_is_found_wherever_it_stands() {
        let others = ["é€😀".as_bytes(), b"abc \x7f\x20!#[]^".as_slice()].concat();
        for length in [0, 1, 7, 8, 9, 63, 64, 65, 130, 200] {
            let plain: Vec<u8> = others.iter().copied().cycle().take(length).collect();
            assert_eq!(plain_run(&plain), length);
            for at in 0..length {
                for found in (0..0x20).chain([b'"', b'\\']) {
                    let mut bytes = plain.clone();
                    bytes[at] = found;
                    // The bytes behind it do not matter.
                    bytes[at + (length - at) / 2] = found;
                    assert_eq!(plain_run(&bytes), at, "{found:#x} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn a_plain_integer_is_one_without_doubt() {
        assert_eq!(plain_integer(b"0,"), Some((0, 1)));
        assert_eq!(plain_integer(b"-1]"), Some((-1, 2)));
        assert_eq!(plain_integer(b"999999999999999999"), Some((999_999_999_999_999_999, 18)));
        for other in [
            "",
            "-",
            "01",
            "-01",
            "1.5",
            "1e3",
            "1E3",
            "1000000000000000000",
            "-9223372036854775808",
            "x",
            "+1",
            " 1",
        ] {
            assert_eq!(plain_integer(other.as_bytes()), None, "{other}");
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
    fn a_byte_of_no_alphabet_is_found_wherever_it_stands() {
        let alphabets = "ABCxyz059+/-_";
        for length in [1, 4, 5, 6, 7, 31, 32, 36, 37, 38, 39, 64, 70, 100, 131] {
            for digits in ["AB+/", "AB-_"] {
                let digits: String = digits.chars().cycle().take(length).collect();
                for other in (0..=u8::MAX).map(char::from).chain(['€']) {
                    let at = usize::from(other as u8) % length;
                    let text = [&digits[..at], &other.to_string(), &digits[at + 1..]].concat();
                    let known = other.is_ascii_alphanumeric() || alphabets.contains(other);
                    let pads = usize::from(other == '=' && at + 1 == length);
                    let whole = (known || pads == 1) && (length - pads) % 4 != 1;
                    assert_eq!(base64_len(&text).is_some(), whole, "{text}");
                    assert!(!whole || read_base64(&text).is_ok(), "{text}");
                }
            }
        }
    }

    #[test]
    fn base64_of_both_alphabets_and_with_padding_is_read() {
        assert_eq!(read_base64("AQID/wCABwk").unwrap(), [1, 2, 3, 255, 0, 128, 7, 9]);
        assert_eq!(read_base64("AQID_wCABwk=").unwrap(), [1, 2, 3, 255, 0, 128, 7, 9]);
        // The last bits may be anything.
        assert_eq!(read_base64("AR").unwrap(), [1]);
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
