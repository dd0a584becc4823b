//! Cap'n Web, as npm's `capnweb` 0.12 speaks it.
//!
//! A frame is a JSON array that begins with the name of the message; a value is a JSON expression
//! in which arrays are special forms. What is said here about the protocol was observed of that
//! package.

use serde::Serialize;
use serde::de::DeserializeOwned;

mod de;
mod read_access;
mod scan;
mod ser;
mod text;

use self::de::Reader;
use self::scan::Scanner;
use self::ser::{Side, Writer};
use crate::dialect::{Extract, Failure, Lookup};
use crate::error::{Data, Error, ErrorKind};
use crate::limits::Limits;
use crate::op::{Answering, Import, Key, Op, Path, Payload, Text, Word};

/// What the `release` that is a mark carries, beside dropping no reference to the index.
const MARK: &str = "capnode";

/// Reads one message. An error means that the peer broke the protocol or a limit.
pub(crate) fn parse(frame: &Text, limits: &Limits) -> Result<Op, Error> {
    let mut scanner = Scanner::new(frame, limits);
    scanner.expect(b'[', "a message, which is an array")?;
    let op = match scanner.string()? {
        "push" => call(&mut scanner, Answering::Kept)?,
        "stream" => call(&mut scanner, Answering::Sent)?,
        "pull" => {
            comma(&mut scanner)?;
            Op::Pull(scanner.integer()?)
        }
        "resolve" => {
            comma(&mut scanner)?;
            let id = scanner.integer()?;
            comma(&mut scanner)?;
            Op::Answer { id, outcome: Ok(scanner.payload(0)?) }
        }
        "reject" => {
            comma(&mut scanner)?;
            let id = scanner.integer()?;
            comma(&mut scanner)?;
            Op::Answer { id, outcome: Err(scanner.payload(0)?) }
        }
        "release" => {
            comma(&mut scanner)?;
            let id = scanner.integer()?;
            comma(&mut scanner)?;
            let count = scanner.integer()?;
            let mark = (id, count) == (0, 0)
                && scanner.comma()
                && scanner.peek() == b'"'
                && scanner.string()? == MARK;
            let count = u64::try_from(count)
                .map_err(|_| Error::new(ErrorKind::Protocol, "a release of fewer than no references"))?;
            if mark { Op::Mark } else { Op::Release { id, count } }
        }
        "abort" => {
            comma(&mut scanner)?;
            Op::Abort(scanner.payload(0)?)
        }
        "pipe" => return Err(Error::new(ErrorKind::Protocol, "streams are not supported by this version")),
        unknown => {
            return Err(Error::new(ErrorKind::Protocol, format!("unknown message: {}", short(unknown))));
        }
    };
    scanner.close()?;
    scanner.finish()?;
    Ok(op)
}

fn comma(scanner: &mut Scanner<'_>) -> Result<(), Error> {
    scanner.expect(b',', "another element of the message")
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

/// What follows `push` or `stream`.
fn call(scanner: &mut Scanner<'_>, answering: Answering) -> Result<Op, Error> {
    comma(scanner)?;
    let mut value = scanner.payload(0)?;
    if matches!(value.root(), Some(Word::Import(_))) {
        if let Some(slot) = value.refs.pop() {
            if let Word::Import(Import { id, path, args, .. }) = slot.to {
                return Ok(Op::Call { target: id, path, args: args.map(|args| *args), answering });
            }
        }
    }
    Ok(Op::Evaluate { value, answering })
}

/// Writes one message at the end of `out`.
pub(crate) fn write(op: &Op, out: &mut String) {
    match op {
        Op::Call { target, path, args, answering } => {
            out.push_str(match answering {
                Answering::Kept => "[\"push\",",
                Answering::Sent => "[\"stream\",",
            });
            write_import("pipeline", *target, path, args.as_ref(), out);
        }
        Op::Evaluate { value, answering } => {
            out.push_str(match answering {
                Answering::Kept => "[\"push\",",
                Answering::Sent => "[\"stream\",",
            });
            write_payload(value, out);
        }
        Op::Pull(id) => {
            out.push_str("[\"pull\",");
            write_id(*id, out);
        }
        Op::Answer { id, outcome: Ok(value) } => {
            out.push_str("[\"resolve\",");
            write_id(*id, out);
            out.push(',');
            write_payload(value, out);
        }
        Op::Answer { id, outcome: Err(error) } => {
            out.push_str("[\"reject\",");
            write_id(*id, out);
            out.push(',');
            write_payload(error, out);
        }
        Op::Release { id, count } => {
            out.push_str("[\"release\",");
            write_id(*id, out);
            out.push(',');
            out.push_str(itoa::Buffer::new().format(*count));
        }
        Op::Mark => {
            out.push_str("[\"release\",0,0,\"");
            out.push_str(MARK);
            out.push('"');
        }
        Op::Abort(error) => {
            out.push_str("[\"abort\",");
            write_payload(error, out);
        }
    }
    out.push(']');
}

fn write_id(id: i64, out: &mut String) {
    out.push_str(itoa::Buffer::new().format(id));
}

/// Writes a payload's text with its references in their places.
fn write_payload(payload: &Payload<Word>, out: &mut String) {
    let (buffer, range) = (payload.text.buffer(), payload.text.range());
    let mut written = range.start;
    for slot in &payload.refs {
        out.push_str(&buffer[written..slot.start]);
        written = slot.end;
        match &slot.to {
            Word::Export(id) => write_simple("export", *id, out),
            Word::Promise(id) => write_simple("promise", *id, out),
            Word::Import(Import { id, path, args, awaited }) => {
                let form = if *awaited { "pipeline" } else { "import" };
                write_import(form, *id, path, args.as_deref(), out);
            }
        }
    }
    out.push_str(&buffer[written..range.end]);
}

fn write_simple(form: &str, id: i64, out: &mut String) {
    out.push_str("[\"");
    out.push_str(form);
    out.push_str("\",");
    write_id(id, out);
    out.push(']');
}

fn write_import(form: &str, id: i64, path: &Path, args: Option<&Payload<Word>>, out: &mut String) {
    out.push_str("[\"");
    out.push_str(form);
    out.push_str("\",");
    write_id(id, out);
    if !path.is_empty() || args.is_some() {
        out.push_str(",[");
        for (at, key) in path.as_slice().iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            match key {
                Key::Name(name) => text::write_string(out, name.as_str()),
                Key::Index(index) => out.push_str(itoa::Buffer::new().format(*index)),
            }
        }
        out.push(']');
    }
    if let Some(args) = args {
        out.push(',');
        write_payload(args, out);
    }
    out.push(']');
}

fn encode_error(failure: Failure) -> Error {
    Error::new(ErrorKind::Encode, failure.0)
}

fn decode_error(failure: Failure) -> Error {
    Error::new(ErrorKind::Decode, failure.0)
}

/// Writes a value as an expression.
pub(crate) fn to_payload<R: Extract, T: Serialize + ?Sized>(value: &T) -> Result<Payload<R>, Error> {
    let mut writer = Writer::new();
    value.serialize(&mut writer).map_err(encode_error)?;
    Ok(writer.finish())
}

/// Writes the outcome of a call: a value, or if it is a `Result` what is in it. An `Err` becomes an error with
/// the value as its property `data`, and with its text as message if it is a string or a bare variant.
pub(crate) fn to_outcome<R: Extract, T: Serialize + ?Sized>(value: &T) -> Result<Payload<R>, Error> {
    let mut writer = Writer::of_outcome();
    value.serialize(&mut writer).map_err(encode_error)?;
    let side = writer.side();
    let written = writer.finish();
    if side == Side::Ok {
        return Ok(written);
    }
    if !written.refs.is_empty() {
        return Err(Error::new(ErrorKind::Encode, "an error cannot carry references"));
    }
    let properties = format!(r#"{{"data":{}}}"#, written.text.as_str());
    let data: Payload<NoReference> = Payload { text: written.text, refs: Vec::new() };
    let message = from_payload(&data).unwrap_or_else(|_| short(data.text.as_str()));
    Err(Error::rejected(message).with_data(Data::Wire(properties.into())))
}

/// Writes the arguments of a call, one after the other.
pub(crate) struct ArgsWriter<R> {
    writer: Writer<R>,
    count: usize,
}

impl<R: Extract> ArgsWriter<R> {
    pub(crate) fn new() -> Self {
        let mut writer = Writer::new();
        writer.raw("[");
        Self { writer, count: 0 }
    }

    pub(crate) fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if self.count > 0 {
            self.writer.raw(",");
        }
        self.count += 1;
        value
            .serialize(&mut self.writer)
            .map_err(|failure| encode_error(failure).about(format_args!("argument {}", self.count)))
    }

    pub(crate) fn finish(mut self) -> Payload<R> {
        self.writer.raw("]");
        self.writer.finish()
    }
}

/// Reads an expression.
pub(crate) fn from_payload<R: Lookup, T: DeserializeOwned>(payload: &Payload<R>) -> Result<T, Error> {
    T::deserialize(&mut Reader::new(payload)).map_err(decode_error)
}

/// Reads the arguments of a call, one after the other.
pub(crate) struct ArgsReader<'a, R> {
    reader: Reader<'a, R>,
    started: bool,
    ended: bool,
}

impl<'a, R: Lookup> ArgsReader<'a, R> {
    pub(crate) fn new(args: &'a Payload<R>) -> Self {
        Self { reader: Reader::new(args), started: false, ended: false }
    }

    /// The next argument; an argument that is not there is undefined.
    pub(crate) fn next<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        let before = if std::mem::replace(&mut self.started, true) { b',' } else { b'[' };
        let more =
            !self.ended && self.reader.take(before) && (before == b',' || !self.reader.at_end_of_list());
        if !more {
            self.ended = true;
            let missing = |failure: Failure| {
                let message = failure.0.replace("invalid type: unit value", "it is missing");
                Error::new(ErrorKind::Decode, message)
            };
            let undefined: Payload<R> = Payload { text: Text::Static("[\"undefined\"]"), refs: Vec::new() };
            return T::deserialize(&mut Reader::new(&undefined)).map_err(missing);
        }
        T::deserialize(&mut self.reader).map_err(decode_error)
    }
}

/// What `key` of a value is, if the value is an object or array that has it.
pub(crate) fn member<R: Lookup + Clone>(value: &Payload<R>, key: &Key) -> Option<Payload<R>> {
    let mut reader = Reader::new(value);
    let at = match key {
        Key::Name(name) => reader.find_name(name.as_str()).or_else(|| {
            // Node's indexes are names; a list takes either.
            let index = name.as_str().parse().ok()?;
            Reader::new(value).find_index(index)
        }),
        Key::Index(index) => reader.find_index(*index),
    }?;
    Some(value.slice(at))
}

/// The expression of an error. Neither its causes nor a stack leave this program.
pub(crate) fn error_text(error: &Error) -> Result<String, Error> {
    let mut out = String::from("[\"error\",");
    text::write_string(&mut out, error.name());
    out.push(',');
    text::write_string(&mut out, error.message());
    match error.data() {
        Data::None => {}
        Data::Wire(properties) => {
            out.push_str(",null,");
            out.push_str(properties.as_str());
        }
        Data::Local(data) => {
            out.push_str(",null,");
            out.push_str(&data.encode()?);
        }
    }
    out.push(']');
    Ok(out)
}

/// The properties of an error that carries `data`.
pub(crate) fn error_data<T: Serialize + ?Sized>(data: &T) -> Result<String, Error> {
    #[derive(Serialize)]
    struct Properties<'a, T: ?Sized> {
        data: &'a T,
    }

    let payload: Payload<NoReference> = to_payload(&Properties { data })?;
    Ok(payload.text.as_str().to_owned())
}

/// Reads the property `name` of an error's properties.
pub(crate) fn error_property<T: DeserializeOwned>(properties: &Text, name: &str) -> Option<T> {
    let properties: Payload<NoReference> = Payload { text: properties.clone(), refs: Vec::new() };
    let property = member(&properties, &Key::Name(Text::Own(name.to_owned())))?;
    from_payload(&property).ok()
}

/// Reads what a peer rejected a call with, or ended the session with: any value at all.
pub(crate) fn read_error<R>(thrown: &Payload<R>) -> Error {
    // An error's references are given back: nobody asks an error for them.
    let thrown: Payload<NoReference> = Payload { text: thrown.text.clone(), refs: Vec::new() };
    let mut reader = Reader::new(&thrown);
    if let Ok((name, message, properties)) = reader.error_parts() {
        let error = Error::new(ErrorKind::Rejected, message).with_name(name);
        return match properties {
            Some(at) => error.with_data(Data::Wire(thrown.text.slice(at))),
            None => error,
        };
    }
    let message = match from_payload::<_, String>(&thrown) {
        Ok(text) => text,
        Err(_) => short(thrown.text.as_str()),
    };
    Error::new(ErrorKind::Rejected, message)
}

/// In values that may hold no references.
#[derive(Clone)]
enum NoReference {}

impl Extract for NoReference {
    fn extract<T: Serialize + ?Sized>(_: &T) -> Option<Self> {
        None
    }
}

impl Lookup for NoReference {
    fn look_up(&self) -> crate::dialect::Found<'_, Self> {
        match *self {}
    }
}

#[cfg(test)]
mod tests;
