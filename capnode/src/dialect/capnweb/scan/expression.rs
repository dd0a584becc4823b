//! Expressions: values, special forms, references.

use std::borrow::Cow;
use std::ops::Range;
use std::time::Duration;

use super::super::lexer::{excerpt, protocol};
use super::super::text::{base64_len, plain_integer, plain_run, unescape, until_quote};
use super::{ELEMENT, Result, Scanner};
use crate::dialect::too_deep;
use crate::error::Error;
use crate::kinds::{BigInt, ByteKind, Url};
use crate::limits::LimitKind;
use crate::message::{
    CapDescriptor, CarriedContext, Key, Message, Parsed, Path, Payload, ReceiverRef, ReturnMode, Slot, Text,
    UNNUMBERED, Usual,
};
use crate::thin_vec::ThinVec;

/// The name of the form that is an error of which the name or message is no string, or the properties are no object.
const ODD_ERROR: &str = "an error whose name or message is no string";

/// Levels of depth that a call inside the arguments of another takes. Each is understood, started and dropped within
/// the one around it, which takes more stack than a level of a value.
const CALL_LEVELS: usize = 4;

/// A part of the frame, with the references found in it.
type Part = (Range<usize>, ThinVec<Slot<CapDescriptor>>);

impl<'a> Scanner<'a> {
    /// Reads the call or the expression that follows `push` or `stream`, to the end of the message.
    pub(in super::super) fn call(&mut self, return_mode: ReturnMode) -> Result<Parsed<'a>> {
        const PIPELINE: &[u8] = b"[\"pipeline\"";
        let before = self.lexer.pos;
        self.lexer.expect(b',', ELEMENT)?;
        if self.lexer.ahead().starts_with(PIPELINE) && self.max_depth > 0 {
            self.lexer.pos += PIPELINE.len();
            self.lexer.expect(b',', "an id")?;
            return self.pipelined(return_mode);
        }
        self.lexer.pos = before;
        let mut value = self.value_after_comma()?;
        if matches!(value.root(), Some(CapDescriptor::ReceiverHosted(_))) {
            if let Some(slot) = value.refs.pop() {
                if let CapDescriptor::ReceiverHosted(ReceiverRef { id, path, args, .. }) = slot.to {
                    let args = args.map(|args| *args);
                    let call = Message::Call { id: UNNUMBERED, target: id, path, args, return_mode };
                    return self.finish(Parsed::Other(call));
                }
            }
        }
        self.finish(Parsed::Other(Message::Evaluate { id: UNNUMBERED, value, return_mode }))
    }

    /// Reads a call from the id of its target to the end of the message. It takes no detour, since a call stands in nearly
    /// every message.
    pub(in super::super) fn pipelined(&mut self, return_mode: ReturnMode) -> Result<Parsed<'a>> {
        let target = self.lexer.integer()?;
        let Some(name) = self.plain_path() else {
            let (path, args) = self.path_and_args(1)?;
            let call = Message::Call { id: UNNUMBERED, target, path, args, return_mode };
            return self.finish(Parsed::Other(call));
        };
        let start = self.lexer.pos;
        self.elements(1)?;
        let args = start..self.lexer.pos;
        self.lexer.expect(b']', "the end of the form")?;
        let refs = std::mem::replace(&mut self.refs, ThinVec::NONE);
        if refs.is_empty() && matches!(return_mode, ReturnMode::Streamed) {
            let name = name.map(|name| &self.lexer.buffer[name]);
            let call = Usual::Call { target, name, args: &self.lexer.buffer[args] };
            return self.finish(Parsed::Usual(call));
        }
        let path = name.map_or(Path::Empty, |name| Path::One(Key::Name(self.keep(name))));
        let args = Some(self.payload((args, refs)));
        self.finish(Parsed::Other(Message::Call { id: UNNUMBERED, target, path, args, return_mode }))
    }

    /// Reads the message of a call to its end, with the context that may stand there.
    #[inline]
    fn finish(&mut self, call: Parsed<'a>) -> Result<Parsed<'a>> {
        if self.lexer.ahead() == b"]" {
            return Ok(call);
        }
        let context = self.read_context()?;
        self.end()?;
        Ok(match context {
            None => call,
            Some(context) => {
                Parsed::Other(Message::InContext { call: Box::new(call.into_message()), context })
            }
        })
    }

    #[cold]
    fn read_context(&mut self) -> Result<Option<Box<CarriedContext>>> {
        let before = self.lexer.pos;
        if !self.lexer.take(b',') || self.lexer.peek() != b'{' {
            // It is something else, of a later version.
            self.lexer.pos = before;
            return Ok(None);
        }
        let mut context = Box::<CarriedContext>::default();
        self.list(b'{', b'}', "a context", "a comma or the end of the context", |scanner| {
            let name = scanner.lexer.string()?;
            scanner.lexer.expect(b':', "a colon")?;
            match name {
                "left" => {
                    // What is no number of this range is passed over.
                    let Ok(left) = scanner.lexer.integer() else { return scanner.skip() };
                    context.left = u64::try_from(left).ok().map(Duration::from_micros);
                    Ok(())
                }
                "metadata" if scanner.lexer.peek() == b'{' => scanner.metadata(&mut context.metadata),
                _ => scanner.skip(),
            }
        })?;
        Ok(Some(context))
    }

    /// Reads names and values. What is no text is passed over.
    fn metadata(&mut self, metadata: &mut Vec<(String, String)>) -> Result<()> {
        self.list(b'{', b'}', "metadata", "a comma or the end of the metadata", |scanner| {
            let name = unescape(scanner.name()?).into_owned();
            if scanner.lexer.peek() != b'"' {
                return scanner.skip();
            }
            let value = unescape(scanner.lexer.string()?).into_owned();
            metadata.push((name, value));
            Ok(())
        })
    }

    /// Passes over an empty path or one of a single name without escapes, if it stands between commas without white
    /// space, and a list of arguments follows. Returns the place of the name, if there is one.
    fn plain_path(&mut self) -> Option<Option<Range<usize>>> {
        let start = self.lexer.pos + 3;
        let (name, rest) = match self.lexer.buffer.as_bytes().get(self.lexer.pos..)?.strip_prefix(b",[")? {
            [b'"', rest @ ..] => {
                let length = plain_run(rest);
                (Some(start..start + length), rest[length..].strip_prefix(b"\"")?)
            }
            rest => (None, rest),
        };
        if !rest.starts_with(b"],[")
            || name.as_ref().is_some_and(|name| name.len() > self.limits.string_bytes)
        {
            return None;
        }
        self.lexer.pos = self.lexer.buffer.len() - rest.len() + 2;
        Some(name)
    }

    /// Reads the answer that follows `resolve` and a comma, to the end of the message.
    pub(in super::super) fn answer(&mut self) -> Result<Parsed<'a>> {
        let id = self.lexer.integer()?;
        self.lexer.expect(b',', ELEMENT)?;
        self.lexer.ahead();
        let start = self.lexer.pos;
        self.expression(0)?;
        let value = start..self.lexer.pos;
        let refs = std::mem::replace(&mut self.refs, ThinVec::NONE);
        self.end()?;
        if refs.is_empty() {
            return Ok(Parsed::Usual(Usual::Answer { id, value: &self.lexer.buffer[value] }));
        }
        Ok(Parsed::Other(Message::Answer { id, outcome: Ok(self.payload((value, refs))) }))
    }

    /// Passes over a comma, and reads the value behind it.
    pub(in super::super) fn value_after_comma(&mut self) -> Result<Payload<CapDescriptor>> {
        let value = self.part_after_comma(ELEMENT, |scanner| scanner.expression(0))?;
        Ok(self.payload(value))
    }

    /// Keeps a part of the frame.
    fn payload(&mut self, (text, refs): Part) -> Payload<CapDescriptor> {
        Payload { text: self.keep(text), refs, nodes: ThinVec::NONE }
    }

    /// Passes over a comma, or says that `what` is missing. Returns the part behind it that `scan` passes over.
    fn part_after_comma(&mut self, what: &str, scan: impl FnOnce(&mut Self) -> Result<()>) -> Result<Part> {
        if !self.lexer.ahead().starts_with(b",") {
            return self.lexer.bad(what);
        }
        self.lexer.pos += 1;
        self.lexer.ahead();
        let start = self.lexer.pos;
        let outer = std::mem::replace(&mut self.refs, ThinVec::NONE);
        scan(self)?;
        let refs = std::mem::replace(&mut self.refs, outer);
        Ok((start..self.lexer.pos, refs))
    }

    /// Passes over one expression and keeps the references in it.
    pub(in super::super) fn expression(&mut self, depth: usize) -> Result<()> {
        if depth >= self.max_depth {
            return Err(too_deep(self.max_depth));
        }
        match self.lexer.ahead() {
            [b'"', ..] => self.lexer.string().map(drop),
            [b'{', ..] => self.object(depth + 1),
            [b'[', ..] => self.form(depth + 1),
            [b't', ..] => self.lexer.literal("true"),
            [b'f', ..] => self.lexer.literal("false"),
            [b'n', ..] => self.lexer.literal("null"),
            other => match plain_integer(other) {
                Some((_, length)) => {
                    self.lexer.pos += length;
                    Ok(())
                }
                None => self.lexer.number().map(drop),
            },
        }
    }

    fn object(&mut self, depth: usize) -> Result<()> {
        self.list(b'{', b'}', "an object", "a comma or the end of the object", |scanner| {
            scanner.name()?;
            scanner.expression(depth)
        })
    }

    /// The elements of a JSON array whose bracket is still to come, each an expression.
    fn elements(&mut self, depth: usize) -> Result<()> {
        self.list(b'[', b']', "an array", "a comma or the end of the array", |s| s.expression(depth))
    }

    /// The name of a member, and its colon.
    fn name(&mut self) -> Result<&str> {
        let name = self.lexer.string()?;
        self.lexer.expect(b':', "a colon")?;
        Ok(name)
    }

    /// Ends a form, and passes over elements that it does not know: later versions may add some.
    pub(super) fn close(&mut self) -> Result<()> {
        while self.lexer.take(b',') {
            self.skip()?;
        }
        self.lexer.expect(b']', "the end of the form")
    }

    /// Passes over one JSON text in which nothing means anything.
    fn skip(&mut self) -> Result<()> {
        self.json(0)
    }

    pub(in super::super) fn json(&mut self, depth: usize) -> Result<()> {
        if depth >= self.max_depth {
            return Err(too_deep(self.max_depth));
        }
        let (open, close) = match self.lexer.peek() {
            b'[' => (b'[', b']'),
            b'{' => (b'{', b'}'),
            _ => return self.expression(depth),
        };
        self.list(open, close, "a value", "a comma or the end", |scanner| {
            if open == b'{' {
                scanner.name()?;
            }
            scanner.json(depth + 1)
        })
    }

    /// Passes over a JSON array or object, whose parts `part` passes over.
    pub(super) fn list(
        &mut self,
        open: u8,
        close: u8,
        what: &str,
        end: &str,
        mut part: impl FnMut(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.lexer.expect(open, what)?;
        if self.lexer.take(close) {
            return Ok(());
        }
        loop {
            part(self)?;
            if !self.lexer.take(b',') {
                return self.lexer.expect(close, end);
            }
        }
    }

    /// An array in the place of an expression: an array of values, or a special value.
    fn form(&mut self, depth: usize) -> Result<()> {
        let start = self.lexer.pos;
        self.lexer.expect(b'[', "an array")?;
        if self.lexer.peek() == b'[' {
            self.elements(depth)?;
            // An array of values is wrapped in one, alone.
            return self.lexer.expect(b']', "the end of the array");
        }
        if self.lexer.peek() != b'"' {
            return self.unknown_form(start);
        }
        match self.lexer.string()? {
            "undefined" => return self.lexer.expect(b']', "nothing more in `undefined`"),
            "inf" | "-inf" | "nan" => {}
            "bigint" => self.bigint()?,
            "date" => self.date()?,
            "bytes" => return self.bytes(start),
            "error" => return self.error(start, depth),
            "url" => return self.url(),
            "headers" => return self.headers(),
            "export" => {
                let id = self.lexer.integer_after_comma("an id")?;
                return self.end_reference(start, CapDescriptor::SenderHosted(id));
            }
            "promise" => {
                let id = self.lexer.integer_after_comma("an id")?;
                return self.end_reference(start, CapDescriptor::SenderPromise(id));
            }
            "import" => return self.import(start, depth, false),
            "pipeline" => return self.import(start, depth, true),
            "remap" => {
                let map = CapDescriptor::Map(Box::new(self.map(depth)?));
                return self.end_reference(start, map);
            }
            "readable" => {
                let id = self.lexer.integer_after_comma("an id")?;
                return self.end_reference(start, CapDescriptor::ReceiverReadable(id));
            }
            "writable" => {
                let id = self.lexer.integer_after_comma("an id")?;
                return self.end_reference(start, CapDescriptor::SenderWritable(id));
            }
            "blob" => self.blob(depth)?,
            "request" => self.request(depth)?,
            "response" => self.response(depth)?,
            _ => return self.unknown_form(start),
        }
        self.close()
    }

    fn unknown_form<T>(&mut self, start: usize) -> Result<T> {
        Err(protocol(format!("unknown special value: {}", excerpt(&self.lexer.buffer[start..]))))
    }

    fn blob(&mut self, depth: usize) -> Result<()> {
        self.lexer.expect(b',', "a content type")?;
        self.lexer.string()?;
        self.lexer.expect(b',', "the content of a blob")?;
        self.expression(depth)
    }

    fn request(&mut self, depth: usize) -> Result<()> {
        self.lexer.expect(b',', "a URL")?;
        self.lexer.string()?;
        self.fetch_options(depth)
    }

    fn response(&mut self, depth: usize) -> Result<()> {
        self.lexer.expect(b',', "a body")?;
        self.expression(depth)?;
        self.fetch_options(depth)
    }

    /// The options of a request or response, of which all but the body and the signal are plain JSON.
    fn fetch_options(&mut self, depth: usize) -> Result<()> {
        self.lexer.expect(b',', "options")?;
        self.list(b'{', b'}', "options", "a comma or the end of the options", |scanner| {
            match scanner.name()? {
                "body" | "signal" => scanner.expression(depth),
                _ => scanner.json(depth),
            }
        })
    }

    fn end_reference(&mut self, start: usize, to: CapDescriptor) -> Result<()> {
        self.close()?;
        self.refs.push(Slot { start, end: self.lexer.pos, to });
        Ok(())
    }

    /// The id, path and arguments of `import` and `pipeline`.
    fn import(&mut self, start: usize, depth: usize, awaited: bool) -> Result<()> {
        let id = self.lexer.integer_after_comma("an id")?;
        let (path, args) = self.path_and_args(depth + CALL_LEVELS - 1)?;
        let to = CapDescriptor::ReceiverHosted(ReceiverRef { id, path, args: args.map(Box::new), awaited });
        self.refs.push(Slot { start, end: self.lexer.pos, to });
        Ok(())
    }

    /// Reads the parts that may follow the id in `import` and `pipeline`, to the end of the form.
    fn path_and_args(&mut self, depth: usize) -> Result<(Path, Option<Payload<CapDescriptor>>)> {
        let (mut path, mut args) = (Path::Empty, None);
        if self.lexer.take(b',') {
            path = self.path()?;
            if self.lexer.ahead().starts_with(b",") {
                let part = self.part_after_comma("a list of arguments", |s| s.elements(depth))?;
                args = Some(self.payload(part));
            }
        }
        self.lexer.expect(b']', "the end of the form")?;
        Ok((path, args))
    }

    pub(super) fn path(&mut self) -> Result<Path> {
        self.lexer.expect(b'[', "a property path")?;
        if self.lexer.take(b']') {
            return Ok(Path::Empty);
        }
        let first = self.key()?;
        let mut further = Vec::new();
        while self.lexer.take(b',') {
            if further.len() + 1 >= self.limits.depth {
                return self.lexer.bad("no more steps in a property path");
            }
            further.push(self.key()?);
        }
        self.lexer.expect(b']', "the end of the property path")?;
        Ok(std::iter::once(first).chain(further).collect())
    }

    fn key(&mut self) -> Result<Key> {
        if self.lexer.peek() != b'"' {
            let index = self.lexer.integer()?;
            return u64::try_from(index).map(Key::Index).or_else(|_| self.lexer.bad("a name or an index"));
        }
        let raw = self.lexer.string()?;
        let start = self.lexer.pos - 1 - raw.len();
        Ok(Key::Name(match unescape(raw) {
            Cow::Borrowed(_) => self.keep(start..start + raw.len()),
            Cow::Owned(name) => Text::Own(name),
        }))
    }

    fn bigint(&mut self) -> Result<()> {
        self.lexer.expect(b',', "the digits of a big integer")?;
        let digits = unescape(self.lexer.string()?);
        if digits.len() > self.limits.bigint_chars {
            let message = format!("a big integer is longer than {} characters", self.limits.bigint_chars);
            return Err(Error::over(LimitKind::BigintChars, message));
        }
        if !BigInt::is_js(&digits) {
            return Err(protocol(format!("not a big integer: {}", excerpt(&digits))));
        }
        Ok(())
    }

    fn date(&mut self) -> Result<()> {
        self.lexer.expect(b',', "milliseconds or null")?;
        if self.lexer.peek() == b'n' { self.lexer.literal("null") } else { self.lexer.number().map(drop) }
    }

    fn bytes(&mut self, start: usize) -> Result<()> {
        self.lexer.expect(b',', "base64 text")?;
        if self.lexer.peek().is_ascii_digit() && self.beside.is_some() {
            let length = self.lexer.integer()?;
            let kind = self.byte_kind()?;
            let bytes = self.take_beside(length, kind)?;
            check_elements(bytes.len(), kind)?;
            return self.end_reference(start, CapDescriptor::Bytes(bytes));
        }
        // What is base64 as it stands has no escapes, and need not be looked through for them.
        let plain = until_quote(self.lexer.rest()).filter(|text| text.len() <= self.limits.string_bytes);
        let length = match plain.and_then(base64_len).zip(plain) {
            Some((length, text)) => {
                self.lexer.pos += text.len() + 2;
                Some(length)
            }
            None => base64_len(&unescape(self.lexer.string()?)),
        };
        let kind = self.byte_kind()?;
        let length = length.ok_or_else(|| protocol("not base64 text".to_owned()))?;
        check_elements(length, kind)?;
        self.close()
    }

    fn byte_kind(&mut self) -> Result<ByteKind> {
        if !self.lexer.take(b',') {
            return Ok(ByteKind::Uint8Array);
        }
        let name = self.lexer.string()?;
        ByteKind::from_name(name)
            .ok_or_else(|| protocol(format!("unknown bytes type marker: {}", excerpt(name))))
    }

    /// JavaScript lets a program set the name and message of an error to anything, and its client writes them as they are.
    /// Such an error is not supported.
    fn error(&mut self, start: usize, depth: usize) -> Result<()> {
        let before = self.refs.len();
        let mut is_odd = false;
        for what in ["the name of an error", "the message of an error"] {
            self.lexer.expect(b',', what)?;
            if self.lexer.peek() == b'"' {
                self.lexer.string()?;
            } else {
                is_odd = true;
                self.skip()?;
            }
        }
        if self.lexer.take(b',') {
            // The stack: a string, or null where only properties follow.
            self.skip()?;
            if self.lexer.take(b',') {
                if self.lexer.peek() == b'{' {
                    self.object(depth)?;
                } else {
                    is_odd = true;
                    self.skip()?;
                }
            }
        }
        if !is_odd {
            return self.close();
        }
        let with = found_in(self.refs.split_off(before));
        self.end_reference(start, CapDescriptor::Unsupported { form: ODD_ERROR, with })
    }

    fn url(&mut self) -> Result<()> {
        self.lexer.expect(b',', "a URL")?;
        let raw = self.lexer.string()?;
        if !Url::is_absolute(&unescape(raw)) {
            return Err(protocol(format!("not a URL: {}", excerpt(raw))));
        }
        self.lexer.expect(b']', "nothing more in `url`")
    }

    fn headers(&mut self) -> Result<()> {
        self.lexer.expect(b',', "a list of headers")?;
        self.list(b'[', b']', "a list of headers", "the end of the headers", |scanner| {
            scanner.lexer.expect(b'[', "a header")?;
            scanner.lexer.string()?;
            scanner.lexer.expect(b',', "the value of a header")?;
            scanner.lexer.string()?;
            scanner.lexer.expect(b']', "the end of a header")
        })?;
        self.lexer.expect(b']', "nothing more in `headers`")
    }
}

/// Checks that so many bytes are a whole number of elements.
fn check_elements(length: usize, kind: ByteKind) -> Result<()> {
    let (name, size) = (kind.name(), kind.element_size());
    if length % size == 0 {
        return Ok(());
    }
    Err(protocol(format!("{length} bytes are no {name}; expected a multiple of {size}")))
}

/// Collects the references in a form that is not supported. Such forms inside it add their own, so that they do not
/// nest.
fn found_in(refs: impl IntoIterator<Item = Slot<CapDescriptor>>) -> Vec<CapDescriptor> {
    let mut found = Vec::new();
    for slot in refs {
        match slot.to {
            CapDescriptor::Unsupported { with, .. } => found.extend(with),
            other => found.push(other),
        }
    }
    found
}
