//! The grammar of JSON: strings, numbers and punctuation, checked.

use super::text::{plain_integer, plain_run};
use crate::dialect::too_long;
use crate::error::{Error, ErrorKind};

type Result<T> = std::result::Result<T, Error>;

/// A place in a JSON text.
pub(in crate::dialect) struct Lexer<'a> {
    pub(super) buffer: &'a str,
    pub(in crate::dialect) pos: usize,
    /// The most bytes of a string.
    pub(super) string_bytes: usize,
}

pub(super) fn protocol(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Protocol, message)
}

/// The start of a text that came from the peer, for a message.
pub(super) fn excerpt(text: &str) -> &str {
    let end = text.char_indices().nth(60).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

impl<'a> Lexer<'a> {
    pub(in crate::dialect) fn new(buffer: &'a str, pos: usize, string_bytes: usize) -> Self {
        Self { buffer, pos, string_bytes }
    }

    /// The end of the text.
    pub(in crate::dialect) fn end(&self) -> usize {
        self.buffer.len()
    }

    pub(super) fn rest(&self) -> &'a str {
        self.buffer.get(self.pos..).unwrap_or_default()
    }

    /// Returns the text from `start` to here.
    pub(in crate::dialect) fn since(&self, start: usize) -> &'a str {
        self.buffer.get(start..self.pos).unwrap_or_default()
    }

    /// Returns the next byte; 0 at the end.
    pub(in crate::dialect) fn byte(&self) -> u8 {
        self.buffer.as_bytes().get(self.pos).copied().unwrap_or_default()
    }

    /// Returns `true` if `text` stands here, without white space before it.
    pub(in crate::dialect) fn ahead_is(&self, text: &str) -> bool {
        self.buffer.as_bytes().get(self.pos..).is_some_and(|rest| rest.starts_with(text.as_bytes()))
    }

    pub(in crate::dialect) fn bad<T>(&self, what: &str) -> Result<T> {
        Err(match self.rest() {
            "" => protocol(format!("the message ends where there should be {what}")),
            rest => protocol(format!(
                "there should be {what} at byte {} of the message, at `{}`",
                self.pos,
                excerpt(rest)
            )),
        })
    }

    /// Passes over white space, and returns what follows.
    pub(in crate::dialect) fn ahead(&mut self) -> &'a [u8] {
        let bytes = self.buffer.as_bytes();
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(self.pos) {
            self.pos += 1;
        }
        bytes.get(self.pos..).unwrap_or_default()
    }

    /// The next byte that is no white space, left where it is; 0 at the end.
    pub(in crate::dialect) fn peek(&mut self) -> u8 {
        self.ahead().first().copied().unwrap_or_default()
    }

    pub(in crate::dialect) fn take(&mut self, byte: u8) -> bool {
        // See `Reader::take`.
        if self.ahead().first() != Some(&byte) {
            return false;
        }
        self.pos += 1;
        true
    }

    pub(in crate::dialect) fn expect(&mut self, byte: u8, what: &str) -> Result<()> {
        if self.ahead().first() != Some(&byte) {
            return self.bad(what);
        }
        self.pos += 1;
        Ok(())
    }

    /// A string, as it stands between its quotes, checked.
    pub(in crate::dialect) fn string(&mut self) -> Result<&'a str> {
        self.expect(b'"', "a string")?;
        let start = self.pos;
        let bytes = self.buffer.as_bytes();
        loop {
            self.pos += plain_run(bytes.get(self.pos..).unwrap_or_default());
            match bytes.get(self.pos) {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(0..0x20) => return self.bad("no bare control character in a string"),
                Some(_) => self.pos += 1,
                None => return self.bad("the end of a string"),
            }
        }
        let found = &self.buffer[start..self.pos];
        self.pos += 1;
        if found.len() > self.string_bytes {
            return Err(too_long(self.string_bytes));
        }
        Ok(found)
    }

    fn escape(&mut self) -> Result<()> {
        let bytes = self.buffer.as_bytes();
        let length = match bytes.get(self.pos + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') => match bytes.get(self.pos + 2..self.pos + 6) {
                Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => 6,
                _ => return self.bad("four hexadecimal digits"),
            },
            _ => return self.bad("an escape that JSON knows"),
        };
        self.pos += length;
        Ok(())
    }

    /// A number, as it stands, checked against JSON's grammar.
    pub(in crate::dialect) fn number(&mut self) -> Result<&'a str> {
        self.peek();
        let start = self.pos;
        self.digit_run(true)?;
        let bytes = self.buffer.as_bytes();
        if bytes.get(self.pos) == Some(&b'.') {
            self.pos += 1;
            self.digit_run(false)?;
        }
        if let Some(b'e' | b'E') = bytes.get(self.pos) {
            self.pos += 1;
            if let Some(b'+' | b'-') = bytes.get(self.pos) {
                self.pos += 1;
            }
            self.digit_run(false)?;
        }
        Ok(&self.buffer[start..self.pos])
    }

    fn digit_run(&mut self, whole_part: bool) -> Result<()> {
        let bytes = self.buffer.as_bytes();
        if whole_part && bytes.get(self.pos) == Some(&b'-') {
            self.pos += 1;
        }
        let start = self.pos;
        while bytes.get(self.pos).is_some_and(u8::is_ascii_digit) {
            self.pos += 1;
        }
        let leading_zero = whole_part && self.pos > start + 1 && bytes[start] == b'0';
        if self.pos == start || leading_zero { self.bad("a number") } else { Ok(()) }
    }

    /// Passes over a comma, or says that `what` is missing, and over a whole number such as an id.
    pub(super) fn integer_after_comma(&mut self, what: &str) -> Result<i64> {
        self.expect(b',', what)?;
        self.integer()
    }

    /// A whole number such as an id.
    pub(super) fn integer(&mut self) -> Result<i64> {
        if let Some((integer, length)) = plain_integer(self.ahead()) {
            self.pos += length;
            return Ok(integer);
        }
        let before = self.pos;
        let integer = self.number().ok().and_then(|digits| digits.parse().ok());
        integer.map_or_else(
            || {
                self.pos = before;
                self.bad("a whole number")
            },
            Ok,
        )
    }

    pub(in crate::dialect) fn literal(&mut self, literal: &str) -> Result<()> {
        if self.rest().starts_with(literal) {
            self.pos += literal.len();
            Ok(())
        } else {
            self.bad("a value")
        }
    }
}
