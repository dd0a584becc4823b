//! Messages: frames to ops and back.

use super::scan::Scanner;
use super::text::write_string;
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::op::{Answering, Import, Key, Op, Path, Payload, Text, UNNUMBERED, Word};

fn protocol(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Protocol, message)
}

/// Reads one message. An error means that the peer broke the protocol or a limit.
pub(crate) fn parse(frame: &Text, limits: &Limits) -> Result<Op, Error> {
    let mut scanner = Scanner::new(frame, limits);
    scanner.expect(b'[', "a message, which is an array")?;
    let op = match scanner.string()? {
        "push" => call(&mut scanner, Answering::Kept)?,
        "stream" => call(&mut scanner, Answering::Sent)?,
        "pull" => Op::Pull(id(&mut scanner)?),
        "resolve" => Op::Answer { id: id(&mut scanner)?, outcome: Ok(value(&mut scanner)?) },
        "reject" => Op::Answer { id: id(&mut scanner)?, outcome: Err(value(&mut scanner)?) },
        "release" => release(&mut scanner)?,
        "abort" => Op::Abort(value(&mut scanner)?),
        "pipe" => Op::Pipe { id: UNNUMBERED },
        // Its elements are names. None is known, and those of later versions are passed over below.
        "abilities" => Op::Abilities,
        unknown => return Err(protocol(format!("unknown message: {}", super::failure::short(unknown)))),
    };
    scanner.close()?;
    scanner.finish()?;
    Ok(op)
}

fn comma(scanner: &mut Scanner<'_>) -> Result<(), Error> {
    scanner.expect(b',', "another element of the message")
}

fn id(scanner: &mut Scanner<'_>) -> Result<i64, Error> {
    comma(scanner)?;
    scanner.integer()
}

fn value(scanner: &mut Scanner<'_>) -> Result<Payload<Word>, Error> {
    comma(scanner)?;
    scanner.payload()
}

/// Reads the call that follows `push` or `stream`.
fn call(scanner: &mut Scanner<'_>, answering: Answering) -> Result<Op, Error> {
    comma(scanner)?;
    if let Some((target, path, args)) = scanner.plain_call()? {
        return Ok(Op::Call { id: UNNUMBERED, target, path, args, answering });
    }
    let mut value = scanner.payload()?;
    if matches!(value.root(), Some(Word::Import(_))) {
        if let Some(slot) = value.refs.pop() {
            if let Word::Import(Import { id, path, args, .. }) = slot.to {
                let args = args.map(|args| *args);
                return Ok(Op::Call { id: UNNUMBERED, target: id, path, args, answering });
            }
        }
    }
    Ok(Op::Evaluate { id: UNNUMBERED, value, answering })
}

fn release(scanner: &mut Scanner<'_>) -> Result<Op, Error> {
    let id = id(scanner)?;
    comma(scanner)?;
    let count = scanner.integer()?;
    let count = u64::try_from(count).map_err(|_| protocol("a release of fewer than no references"))?;
    // Any peer accepts a release of no references to the index, and only this library sends one.
    Ok(if (id, count) == (0, 0) { Op::Mark } else { Op::Release { id, count } })
}

/// Writes one message at the end of `out`.
pub(crate) fn write(op: &Op, out: &mut String) {
    match op {
        Op::Call { target, path, args, answering, .. } => {
            out.push_str(opening(*answering));
            write_import("[\"pipeline\",", *target, path, args.as_ref(), out);
        }
        Op::Evaluate { value, answering, .. } => {
            out.push_str(opening(*answering));
            write_payload(value, out);
        }
        Op::Pipe { .. } => out.push_str("[\"pipe\""),
        Op::Pull(id) => {
            out.push_str("[\"pull\",");
            write_number(*id, out);
        }
        Op::Answer { id, outcome } => {
            let (name, value) = match outcome {
                Ok(value) => ("[\"resolve\",", value),
                Err(error) => ("[\"reject\",", error),
            };
            out.push_str(name);
            write_number(*id, out);
            out.push(',');
            write_payload(value, out);
        }
        Op::Release { id, count } => {
            out.push_str("[\"release\",");
            write_number(*id, out);
            out.push(',');
            write_number(*count, out);
        }
        Op::Mark => out.push_str("[\"release\",0,0"),
        Op::Abilities => out.push_str("[\"abilities\""),
        // The language has no word for it.
        Op::Progress { .. } => return,
        Op::Abort(error) => {
            out.push_str("[\"abort\",");
            write_payload(error, out);
        }
    }
    out.push(']');
}

/// Returns the beginning of the message.
fn opening(answering: Answering) -> &'static str {
    match answering {
        Answering::Kept => "[\"push\",",
        Answering::Sent => "[\"stream\",",
    }
}

fn write_number(number: impl itoa::Integer, out: &mut String) {
    out.push_str(itoa::Buffer::new().format(number));
}

/// Writes a payload's text with its references in their places.
fn write_payload(payload: &Payload<Word>, out: &mut String) {
    let (buffer, range) = (payload.text.buffer(), payload.text.range());
    let mut written = range.start;
    for slot in &payload.refs {
        out.push_str(&buffer[written..slot.start]);
        written = slot.end;
        match &slot.to {
            Word::Export(id) | Word::Function(id) => write_export("[\"export\",", *id, out),
            Word::Promise(id) => write_export("[\"promise\",", *id, out),
            Word::Import(Import { id, path, args, awaited }) => {
                let form = if *awaited { "[\"pipeline\"," } else { "[\"import\"," };
                write_import(form, *id, path, args.as_deref(), out);
            }
            // Only read from a peer: it is written as it stood.
            Word::Unsupported { .. } => out.push_str(&buffer[slot.start..slot.end]),
            // The language has no nodes; values sent in it have been unfolded.
            Word::Node(_) => out.push_str("null"),
        }
    }
    out.push_str(&buffer[written..range.end]);
}

fn write_export(form: &str, id: i64, out: &mut String) {
    out.push_str(form);
    write_number(id, out);
    out.push(']');
}

fn write_import(form: &str, id: i64, path: &Path, args: Option<&Payload<Word>>, out: &mut String) {
    out.push_str(form);
    write_number(id, out);
    if !path.is_empty() || args.is_some() {
        out.push_str(",[");
        for (at, key) in path.as_slice().iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            match key {
                Key::Name(name) => write_string(out, name.as_str()),
                Key::Index(index) => write_number(*index, out),
                // Refused before it came here.
                Key::Verb(verb) => write_string(out, verb.name()),
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
