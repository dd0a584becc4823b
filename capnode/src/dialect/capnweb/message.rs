//! Messages: frames to messages and back.

use std::sync::Arc;

use super::lexer::{excerpt, protocol};
use super::scan::{ELEMENT, Scanner};
use super::text::write_string;
use crate::error::Error;
use crate::kinds::ByteKind;
use crate::limits::Limits;
use crate::message::{
    CapDescriptor, CarriedContext, Extensions, Key, Mapping, Message, Parsed, Path, Payload, Program,
    ReceiverRef, ReturnMode, Text, UNNUMBERED,
};
use crate::retention::{SMALL, reserve_text};

/// Bytes of a message behind its value.
const END: usize = 4;

/// The beginning of nearly all calls, as peers write them.
const CALL: &str = "[\"stream\",[\"pipeline\",";

/// The name of the ability to take bytes beside the text.
const BYTES: &str = "bytes";

/// The name of the ability to understand the context of a call.
const CONTEXT: &str = "context";

/// The beginning of nearly all answers.
const ANSWER: &str = "[\"resolve\",";

/// Reads one message. An error means that the peer broke the protocol or a limit.
pub(crate) fn read<'a>(frame: &'a str, limits: &'a Limits) -> Result<Parsed<'a>, Error> {
    // No limit forbids the names in the beginning.
    let is_wide = limits.string_bytes >= CALL.len() && limits.depth > 0;
    if is_wide && frame.starts_with(CALL) {
        return Scanner::new(frame, CALL.len(), limits).pipelined(ReturnMode::Streamed);
    }
    if is_wide && frame.starts_with(ANSWER) {
        return Scanner::new(frame, ANSWER.len(), limits).answer();
    }
    read_any(&mut Scanner::new(frame, 0, limits))
}

fn read_any<'a>(scanner: &mut Scanner<'a>) -> Result<Parsed<'a>, Error> {
    match scanner.open()? {
        "push" => scanner.call(ReturnMode::Retained),
        "stream" => scanner.call(ReturnMode::Streamed),
        "resolve" => {
            scanner.lexer.expect(b',', ELEMENT)?;
            scanner.answer()
        }
        rare => {
            let message = read_rare(rare, scanner)?;
            scanner.end()?;
            Ok(Parsed::Other(message))
        }
    }
}

/// Reads one message, with copies of its texts.
pub(crate) fn parse(frame: &str, limits: &Limits) -> Result<Message, Error> {
    read(frame, limits).map(Parsed::into_message)
}

/// Reads one message beside whose text bytes stand.
#[cfg(feature = "host")]
pub(crate) fn read_mixed(frame: &str, beside: ::bytes::Bytes, limits: &Limits) -> Result<Message, Error> {
    let mut scanner = Scanner::new(frame, 0, limits).with_beside(beside);
    let message = read_any(&mut scanner)?.into_message();
    scanner.check_beside()?;
    Ok(message)
}

/// Reads the program of a map with so many captures.
pub(crate) fn read_program(text: &str, captures: usize) -> Result<Arc<Program>, Error> {
    Scanner::new(text, 0, &Limits::default()).whole_program(captures)
}

fn read_rare(name: &str, scanner: &mut Scanner<'_>) -> Result<Message, Error> {
    Ok(match name {
        "pull" => Message::Pull(scanner.lexer.integer_after_comma(ELEMENT)?),
        "reject" => Message::Answer {
            id: scanner.lexer.integer_after_comma(ELEMENT)?,
            outcome: Err(scanner.value_after_comma()?),
        },
        "release" => release(scanner)?,
        "abort" => Message::Abort(scanner.value_after_comma()?),
        "pipe" => Message::Pipe { id: UNNUMBERED },
        "abilities" => Message::Extensions(extensions(scanner)?),
        "draining" => Message::Draining { last: scanner.lexer.integer_after_comma(ELEMENT)? },
        unknown => return Err(protocol(format!("unknown message: {}", excerpt(unknown)))),
    })
}

/// Reads the names of abilities. Those of later versions are passed over.
fn extensions(scanner: &mut Scanner<'_>) -> Result<Extensions, Error> {
    let mut extensions = Extensions::default();
    while scanner.lexer.take(b',') {
        if scanner.lexer.peek() != b'"' {
            scanner.json(0)?;
            continue;
        }
        let name = scanner.lexer.string()?;
        extensions.bytes |= name == BYTES;
        extensions.context |= name == CONTEXT;
    }
    Ok(extensions)
}

fn release(scanner: &mut Scanner<'_>) -> Result<Message, Error> {
    let (id, count) =
        (scanner.lexer.integer_after_comma(ELEMENT)?, scanner.lexer.integer_after_comma(ELEMENT)?);
    let count = u64::try_from(count).map_err(|_| protocol("a release of fewer than no references"))?;
    // Any peer accepts a release of no references to the index, and only this library sends one.
    Ok(if (id, count) == (0, 0) { Message::Hello } else { Message::Release { id, count } })
}

/// Writes one message at the end of `out`.
pub(crate) fn write(message: &Message, out: &mut String) {
    match message {
        Message::InContext { call, context } => {
            write(call, out);
            out.pop();
            write_context(context, out);
        }
        Message::Call { target, path, args, return_mode, .. } => {
            let form = match return_mode {
                ReturnMode::Retained => "[\"push\",[\"pipeline\",",
                ReturnMode::Streamed => "[\"stream\",[\"pipeline\",",
            };
            write_import(form, *target, path, args.as_ref(), out);
        }
        Message::Evaluate { value, return_mode, .. } => {
            out.push_str(match return_mode {
                ReturnMode::Retained => "[\"push\",",
                ReturnMode::Streamed => "[\"stream\",",
            });
            write_payload(value, out);
        }
        Message::Pipe { .. } => out.push_str("[\"pipe\""),
        Message::Pull(id) => {
            out.push_str("[\"pull\",");
            write_integer(*id, out);
        }
        Message::Answer { id, outcome } => {
            let (name, value) = match outcome {
                Ok(value) => ("[\"resolve\",", value),
                Err(error) => ("[\"reject\",", error),
            };
            out.push_str(name);
            write_integer(*id, out);
            out.push(',');
            write_payload(value, out);
        }
        Message::Release { id, count } => {
            out.push_str("[\"release\",");
            write_integer(*id, out);
            out.push(',');
            out.push_str(itoa::Buffer::new().format(*count));
        }
        Message::Hello => out.push_str("[\"release\",0,0"),
        Message::Extensions(Extensions { bytes, context }) => {
            out.push_str("[\"abilities\"");
            for (name, has) in [(BYTES, *bytes), (CONTEXT, *context)] {
                if has {
                    out.push_str(",\"");
                    out.push_str(name);
                    out.push('"');
                }
            }
        }
        Message::Draining { last } => {
            out.push_str("[\"draining\",");
            write_integer(*last, out);
        }
        // The language has no word for it.
        Message::Progress { .. } => return,
        Message::Abort(error) => {
            out.push_str("[\"abort\",");
            write_payload(error, out);
        }
    }
    out.push(']');
}

/// Writes the context of a call, as a further element of its message.
fn write_context(context: &CarriedContext, out: &mut String) {
    out.push_str(",{");
    if let Some(left) = context.left {
        out.push_str("\"left\":");
        out.push_str(itoa::Buffer::new().format(i64::try_from(left.as_micros()).unwrap_or(i64::MAX)));
    }
    if !context.metadata.is_empty() {
        out.push_str(if context.left.is_some() { ",\"metadata\":" } else { "\"metadata\":" });
        for (at, (name, value)) in context.metadata.iter().enumerate() {
            out.push(if at == 0 { '{' } else { ',' });
            write_string(out, name);
            out.push(':');
            write_string(out, value);
        }
        out.push('}');
    }
    out.push('}');
}

/// Writes an id. Most targets are the index.
fn write_integer(integer: i64, out: &mut String) {
    match u8::try_from(integer) {
        Ok(digit @ 0..10) => out.push(char::from(b'0' + digit)),
        _ => out.push_str(itoa::Buffer::new().format(integer)),
    }
}

/// Writes a payload's text with its references in their places.
fn write_payload(payload: &Payload<CapDescriptor>, out: &mut String) {
    let text = payload.text.as_str();
    if text.len() > SMALL {
        reserve_text(out, text.len() + END);
    }
    if payload.refs.is_empty() {
        return out.push_str(text);
    }
    let (buffer, range) = payload.text.parts();
    let mut written = range.start;
    for slot in payload.refs.iter() {
        out.push_str(&buffer[written..slot.start]);
        written = slot.end;
        write_descriptor(&slot.to, &buffer[slot.start..slot.end], out);
    }
    out.push_str(&buffer[written..range.end]);
}

/// Writes a reference, in whose place `text` stood.
fn write_descriptor(descriptor: &CapDescriptor, text: &str, out: &mut String) {
    match descriptor {
        CapDescriptor::SenderHosted(id) | CapDescriptor::SenderFunction(id) => {
            write_export("[\"export\",", *id, out)
        }
        CapDescriptor::SenderPromise(id) => write_export("[\"promise\",", *id, out),
        CapDescriptor::SenderWritable(id) => write_export("[\"writable\",", *id, out),
        CapDescriptor::ReceiverReadable(id) => write_export("[\"readable\",", *id, out),
        CapDescriptor::ReceiverHosted(ReceiverRef { id, path, args, awaited }) => {
            let form = if *awaited { "[\"pipeline\"," } else { "[\"import\"," };
            write_import(form, *id, path, args.as_deref(), out);
        }
        CapDescriptor::Map(map) => write_map(map, out),
        CapDescriptor::Bytes(bytes) => {
            out.push_str("[\"bytes\",");
            out.push_str(itoa::Buffer::new().format(bytes.len()));
            if bytes.kind() != ByteKind::Uint8Array {
                out.push_str(",\"");
                out.push_str(bytes.kind().name());
                out.push('"');
            }
            out.push(']');
        }
        // Only read from a peer: it is written as it stood.
        CapDescriptor::Unsupported { .. } => out.push_str(text),
        // The language has no nodes; values sent in it have been unfolded.
        CapDescriptor::Node(_) => out.push_str("null"),
    }
}

fn write_export(form: &str, id: i64, out: &mut String) {
    out.push_str(form);
    write_integer(id, out);
    out.push(']');
}

/// Writes a map. A program that can not run is never written.
fn write_map(map: &Mapping, out: &mut String) {
    out.push_str("[\"remap\",");
    write_integer(map.id, out);
    out.push(',');
    write_path(map.path.as_slice(), out);
    out.push_str(",[");
    for (at, capture) in map.captures.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_descriptor(capture, "", out);
    }
    out.push_str("],");
    out.push_str(map.program.as_ref().map_or("[]", |program| program.text.as_str()));
    out.push(']');
}

/// Writes a property path.
pub(crate) fn write_path(keys: &[Key], out: &mut String) {
    if let [Key::Name(Text::Static(name))] = keys {
        // A method of an interface.
        out.push_str("[\"");
        out.push_str(name);
        return out.push_str("\"]");
    }
    out.push('[');
    for (at, key) in keys.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        match key {
            Key::Name(name) => write_string(out, name.as_str()),
            Key::Index(index) => out.push_str(itoa::Buffer::new().format(*index)),
            // Refused before it came here.
            Key::Verb(verb) => write_string(out, verb.name()),
        }
    }
    out.push(']');
}

fn write_import(form: &str, id: i64, path: &Path, args: Option<&Payload<CapDescriptor>>, out: &mut String) {
    out.push_str(form);
    write_integer(id, out);
    let keys = path.as_slice();
    if !keys.is_empty() || args.is_some() {
        out.push(',');
        write_path(keys, out);
    }
    if let Some(args) = args {
        out.push(',');
        write_payload(args, out);
    }
    out.push(']');
}
