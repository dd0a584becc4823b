//! One pass over a frame: checks the text and finds every reference in it.
//!
//! What passes here is well formed to its last character, so that the reader that later turns it
//! into Rust types meets no surprise but a type that does not fit.

use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::op::{Id, Import, Key, Path, Payload, Slot, Text, Word};
use crate::value::{BigInt, ByteKind, Url};

type Result<T> = std::result::Result<T, Error>;

pub(super) struct Scanner<'a> {
    text: &'a Text,
    buffer: &'a str,
    pos: usize,
    limits: &'a Limits,
    refs: Vec<Slot<Word>>,
}

fn protocol(message: String) -> Error {
    Error::new(ErrorKind::Protocol, message)
}

/// The start of a text that came from the peer, for a message.
fn excerpt(text: &str) -> &str {
    let end = text.char_indices().nth(60).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a Text, limits: &'a Limits) -> Self {
        Self { text, buffer: text.buffer(), pos: text.range().start, limits, refs: Vec::new() }
    }

    fn rest(&self) -> &'a str {
        self.buffer.get(self.pos..).unwrap_or_default()
    }

    fn bad<T>(&self, what: &str) -> Result<T> {
        Err(match self.rest() {
            "" => protocol(format!("the message ends where there should be {what}")),
            rest => protocol(format!(
                "there should be {what} at byte {} of the message, at `{}`",
                self.pos,
                excerpt(rest)
            )),
        })
    }

    /// The next byte that is no white space, left where it is; 0 at the end.
    pub(super) fn peek(&mut self) -> u8 {
        let bytes = self.buffer.as_bytes();
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(self.pos) {
            self.pos += 1;
        }
        bytes.get(self.pos).copied().unwrap_or(0)
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.pos += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, byte: u8, what: &str) -> Result<()> {
        if self.take(byte) { Ok(()) } else { self.bad(what) }
    }

    pub(super) fn comma(&mut self) -> bool {
        self.take(b',')
    }

    /// Nothing but white space may follow.
    pub(super) fn finish(&mut self) -> Result<()> {
        if self.peek() == 0 && self.pos >= self.buffer.len() {
            Ok(())
        } else {
            self.bad("the end of the message")
        }
    }

    /// A string, as it stands between its quotes, checked.
    pub(super) fn string(&mut self) -> Result<&'a str> {
        self.expect(b'"', "a string")?;
        let start = self.pos;
        let bytes = self.buffer.as_bytes();
        loop {
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
    fn number(&mut self) -> Result<&'a str> {
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

    /// A whole number, such as an id.
    pub(super) fn integer(&mut self) -> Result<i64> {
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

    fn literal(&mut self, literal: &str) -> Result<()> {
        if self.rest().starts_with(literal) {
            self.pos += literal.len();
            Ok(())
        } else {
            self.bad("a value")
        }
    }

    /// An expression, as a value of its own.
    pub(super) fn payload(&mut self, depth: usize) -> Result<Payload<Word>> {
        self.part(|scanner| scanner.expression(depth))
    }

    /// What `scan` passes over, with the references found in it.
    fn part(&mut self, scan: impl FnOnce(&mut Self) -> Result<()>) -> Result<Payload<Word>> {
        self.peek();
        let start = self.pos;
        let outer = std::mem::take(&mut self.refs);
        scan(self)?;
        let refs = std::mem::replace(&mut self.refs, outer);
        Ok(Payload { text: self.text.slice(start..self.pos), refs })
    }

    /// Passes over one expression and keeps the references in it.
    fn expression(&mut self, depth: usize) -> Result<()> {
        self.check_depth(depth)?;
        match self.peek() {
            b'"' => self.string().map(drop),
            b'{' => self.object(depth + 1),
            b'[' => self.form(depth + 1),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => self.number().map(drop),
        }
    }

    fn check_depth(&self, depth: usize) -> Result<()> {
        if depth < self.limits.depth {
            return Ok(());
        }
        let message = format!("the message nests {} levels deep, which is too deep", self.limits.depth);
        Err(Error::new(ErrorKind::Limit, message))
    }

    fn object(&mut self, depth: usize) -> Result<()> {
        self.expect(b'{', "an object")?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            self.string()?;
            self.expect(b':', "a colon")?;
            self.expression(depth)?;
            if !self.comma() {
                return self.expect(b'}', "a comma or the end of the object");
            }
        }
    }

    /// The elements of a JSON array whose bracket is still to come, each an expression.
    fn elements(&mut self, depth: usize) -> Result<()> {
        self.expect(b'[', "an array")?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.expression(depth)?;
            if !self.comma() {
                return self.expect(b']', "a comma or the end of the array");
            }
        }
    }

    /// Ends a form, passing over what it does not know: later versions may add elements.
    pub(super) fn close(&mut self) -> Result<()> {
        while self.comma() {
            self.json(0)?;
        }
        self.expect(b']', "the end of the form")
    }

    /// Passes over one JSON text in which nothing means anything.
    fn json(&mut self, depth: usize) -> Result<()> {
        self.check_depth(depth)?;
        let (open, close) = match self.peek() {
            b'[' => (b'[', b']'),
            b'{' => (b'{', b'}'),
            _ => return self.expression(depth),
        };
        self.take(open);
        if self.take(close) {
            return Ok(());
        }
        loop {
            if open == b'{' {
                self.string()?;
                self.expect(b':', "a colon")?;
            }
            self.json(depth + 1)?;
            if !self.comma() {
                return self.expect(close, "a comma or the end");
            }
        }
    }

    /// An array in the place of an expression: an array of values, or a special value.
    fn form(&mut self, depth: usize) -> Result<()> {
        let start = self.pos;
        self.expect(b'[', "an array")?;
        if self.peek() == b'[' {
            self.elements(depth)?;
            // An array of values is wrapped in one, alone.
            return self.expect(b']', "the end of the array");
        }
        if self.peek() != b'"' {
            return self.unknown_form(start);
        }
        match self.string()? {
            "undefined" => return self.expect(b']', "nothing more in `undefined`"),
            "inf" | "-inf" | "nan" => {}
            "bigint" => self.bigint()?,
            "date" => self.date()?,
            "bytes" => self.bytes()?,
            "error" => self.error(depth)?,
            "url" => return self.url(),
            "headers" => return self.headers(),
            "export" => {
                let id = self.new_export()?;
                return self.end_reference(start, Word::Export(id));
            }
            "promise" => {
                let id = self.new_export()?;
                return self.end_reference(start, Word::Promise(id));
            }
            "import" => return self.import(start, depth, false),
            "pipeline" => return self.import(start, depth, true),
            form @ ("remap" | "readable" | "writable" | "blob" | "request" | "response") => {
                return Err(protocol(format!("`{form}` is not supported by this version")));
            }
            _ => return self.unknown_form(start),
        }
        self.close()
    }

    fn unknown_form<T>(&mut self, start: usize) -> Result<T> {
        Err(protocol(format!("unknown special value: {}", excerpt(&self.buffer[start..]))))
    }

    fn end_reference(&mut self, start: usize, to: Word) -> Result<()> {
        self.close()?;
        self.refs.push(Slot { start, end: self.pos, to });
        Ok(())
    }

    fn new_export(&mut self) -> Result<Id> {
        self.expect(b',', "an id")?;
        self.integer()
    }

    /// The id, path and arguments of `import` and `pipeline`.
    fn import(&mut self, start: usize, depth: usize, awaited: bool) -> Result<()> {
        let (id, path, args) = self.import_parts(depth)?;
        let args = args.map(Box::new);
        self.refs.push(Slot { start, end: self.pos, to: Word::Import(Import { id, path, args, awaited }) });
        Ok(())
    }

    /// What follows the name in `import` and `pipeline`, to the end of the form.
    pub(super) fn import_parts(&mut self, depth: usize) -> Result<(Id, Path, Option<Payload<Word>>)> {
        self.expect(b',', "an id")?;
        let id = self.integer()?;
        let path = if self.comma() { self.path()? } else { Path::Empty };
        let args = if self.comma() { Some(self.part(|s| s.elements(depth))?) } else { None };
        self.expect(b']', "the end of the form")?;
        Ok((id, path, args))
    }

    fn path(&mut self) -> Result<Path> {
        self.expect(b'[', "a property path")?;
        if self.take(b']') {
            return Ok(Path::Empty);
        }
        let first = self.key()?;
        let mut path = Path::One(first);
        while self.comma() {
            if path.as_slice().len() >= self.limits.depth {
                return self.bad("no more steps in a property path");
            }
            let key = self.key()?;
            path = match path {
                Path::One(first) => Path::Many(vec![first, key]),
                Path::Many(mut keys) => {
                    keys.push(key);
                    Path::Many(keys)
                }
                Path::Empty => Path::One(key),
            };
        }
        self.expect(b']', "the end of the property path")?;
        Ok(path)
    }

    fn key(&mut self) -> Result<Key> {
        if self.peek() != b'"' {
            let index = self.integer()?;
            return u64::try_from(index).map(Key::Index).or_else(|_| self.bad("a name or an index"));
        }
        let raw = self.string()?;
        let start = self.pos - 1 - raw.len();
        Ok(Key::Name(match super::text::unescape(raw) {
            std::borrow::Cow::Borrowed(_) => self.text.slice(start..start + raw.len()),
            std::borrow::Cow::Owned(name) => Text::Own(name),
        }))
    }

    fn bigint(&mut self) -> Result<()> {
        self.expect(b',', "the digits of a big integer")?;
        let digits = self.string()?;
        if digits.len() > self.limits.bigint_chars {
            let message = format!("a big integer is longer than {} characters", self.limits.bigint_chars);
            return Err(Error::new(ErrorKind::Limit, message));
        }
        if !BigInt::is_js(digits) {
            return Err(protocol(format!("not a big integer: {}", excerpt(digits))));
        }
        Ok(())
    }

    fn date(&mut self) -> Result<()> {
        self.expect(b',', "milliseconds or null")?;
        if self.peek() == b'n' { self.literal("null") } else { self.number().map(drop) }
    }

    fn bytes(&mut self) -> Result<()> {
        self.expect(b',', "base64 text")?;
        let base64 = self.string()?;
        let kind = if self.comma() {
            let name = self.string()?;
            ByteKind::from_name(name)
                .ok_or_else(|| protocol(format!("unknown bytes type marker: {}", excerpt(name))))?
        } else {
            ByteKind::Uint8Array
        };
        let length = super::text::base64_len(base64).ok_or_else(|| protocol("not base64 text".to_owned()))?;
        if length % kind.element_size() != 0 {
            let (name, size) = (kind.name(), kind.element_size());
            return Err(protocol(format!("{length} bytes are no {name}; expected a multiple of {size}")));
        }
        Ok(())
    }

    fn error(&mut self, depth: usize) -> Result<()> {
        self.expect(b',', "the name of an error")?;
        self.string()?;
        self.expect(b',', "the message of an error")?;
        self.string()?;
        if self.comma() {
            // The stack: a string, or null where only properties follow.
            self.json(depth)?;
            if self.comma() {
                if self.peek() != b'{' {
                    return self.bad("the properties of an error");
                }
                self.object(depth)?;
            }
        }
        Ok(())
    }

    fn url(&mut self) -> Result<()> {
        self.expect(b',', "a URL")?;
        let raw = self.string()?;
        if !Url::is_absolute(&super::text::unescape(raw)) {
            return Err(protocol(format!("not a URL: {}", excerpt(raw))));
        }
        self.expect(b']', "nothing more in `url`")
    }

    fn headers(&mut self) -> Result<()> {
        self.expect(b',', "a list of headers")?;
        self.expect(b'[', "a list of headers")?;
        if !self.take(b']') {
            loop {
                self.expect(b'[', "a header")?;
                self.string()?;
                self.expect(b',', "the value of a header")?;
                self.string()?;
                self.expect(b']', "the end of a header")?;
                if !self.comma() {
                    self.expect(b']', "the end of the headers")?;
                    break;
                }
            }
        }
        self.expect(b']', "nothing more in `headers`")
    }
}
