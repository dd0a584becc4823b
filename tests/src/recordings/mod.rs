//! The recordings, read line by line.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value as Json;

/// One of the two ends of a recorded connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    A,
    B,
}

impl Side {
    pub fn name(self) -> &'static str {
        match self {
            Side::A => "a",
            Side::B => "b",
        }
    }
}

#[derive(Clone, Debug)]
pub enum Line {
    /// A message, as it was written.
    Frame { from: Side, text: String },
    /// What the program at one end saw or did.
    Event(Json),
}

#[derive(Clone, Debug)]
pub struct Recording {
    pub name: String,
    /// All but the header.
    pub lines: Vec<Line>,
}

pub fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "transcripts", "capnweb"].iter().collect()
}

/// The names of all recordings there are, in order.
pub fn names() -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder())
        .expect("the folder of the recordings")
        .map(|entry| entry.expect("a file").file_name().into_string().expect("a name in UTF-8"))
        .filter_map(|name| name.strip_suffix(".jsonl").map(str::to_owned))
        .collect();
    names.sort();
    names
}

pub fn read(name: &str) -> Result<Recording, String> {
    let text =
        std::fs::read_to_string(folder().join(format!("{name}.jsonl"))).map_err(|error| error.to_string())?;
    let lines = text.lines().skip(1).map(line).collect::<Result<_, _>>()?;
    Ok(Recording { name: name.to_owned(), lines })
}

fn line(text: &str) -> Result<Line, String> {
    for (from, start) in [(Side::A, r#"{"dir":"a->b","#), (Side::B, r#"{"dir":"b->a","#)] {
        let Some(rest) = text.strip_prefix(start) else { continue };
        let json = parse(text)?;
        let text =
            match (json.get("raw"), rest.strip_prefix(r#""msg":"#).and_then(|rest| rest.strip_suffix('}'))) {
                (Some(raw), _) => raw.as_str().ok_or("`raw` is no string")?.to_owned(),
                // Not written anew, so that numbers and escapes stay as the peer wrote them.
                (None, Some(message)) => message.to_owned(),
                (None, None) => return Err(format!("a line of an unknown shape: {text}")),
            };
        return Ok(Line::Frame { from, text });
    }
    parse(text).map(Line::Event)
}

/// Reads JSON as JavaScript does: of any depth, and with halves of surrogate pairs. No Rust string
/// can hold such a half, so it is read as U+FFFD, which is also what a Rust program sees of it.
pub fn parse(text: &str) -> Result<Json, String> {
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let escape = rest.get(at..at + 6).unwrap_or_default();
        // JavaScript escapes no surrogate that has its other half.
        let lone = escape.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("\\ud"))
            && matches!(escape.as_bytes().get(3), Some(b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F'));
        let escaped = rest[at + 1..].chars().next();
        let length = if lone { 6 } else { 1 + escaped.map_or(0, char::len_utf8) };
        whole.push_str(&rest[..at]);
        whole.push_str(if lone { "\\ufffd" } else { &rest[at..at + length] });
        rest = &rest[at + length..];
    }
    whole.push_str(rest);
    let mut reader = serde_json::Deserializer::from_str(&whole);
    reader.disable_recursion_limit();
    Json::deserialize(&mut reader).map_err(|error| format!("{error} in {text}"))
}
