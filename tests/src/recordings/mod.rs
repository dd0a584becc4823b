//! Recordings of connections of the original libraries, and what tests need to play them.

pub mod calls;
pub mod json;
pub mod objects;
pub mod programs;
pub mod script;
pub mod streams;
pub mod table;
pub mod well;
pub mod wire;

use std::path::PathBuf;

use capnode::Dialect;
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
    /// An observation or action of the program at one end.
    Event(Json),
}

/// A recorded connection.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The language of the connection.
    pub dialect: Dialect,
    /// The name of its file.
    pub name: String,
    /// All lines but the header.
    pub lines: Vec<Line>,
}

fn folder(dialect: Dialect) -> PathBuf {
    let name = match dialect {
        Dialect::Capnode => "capnode",
        Dialect::Q => "q-connection",
        _ => "capnweb",
    };
    [env!("CARGO_MANIFEST_DIR"), "transcripts", name].iter().collect()
}

/// Returns the names of all recordings of a language, in order.
///
/// # Panics
///
/// If they cannot be listed.
pub fn names(dialect: Dialect) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder(dialect))
        .expect("the folder of the recordings")
        .map(|entry| entry.expect("a file").file_name().into_string().expect("a name in UTF-8"))
        .filter_map(|name| name.strip_suffix(".jsonl").map(str::to_owned))
        .collect();
    names.sort();
    names
}

/// Reads a recording.
///
/// # Panics
///
/// If there is no such recording, or a line of it has no known shape.
pub fn read(dialect: Dialect, name: &str) -> Recording {
    let path = folder(dialect).join(format!("{name}.jsonl"));
    let text = std::fs::read_to_string(path).expect("a recording");
    Recording { dialect, name: name.to_owned(), lines: text.lines().skip(1).map(line).collect() }
}

fn line(text: &str) -> Line {
    let json = parse(text).expect("a line in JSON");
    let from = match json["dir"].as_str() {
        Some("a->b") => Side::A,
        Some(_) => Side::B,
        None => return Line::Event(whole_texts(json)),
    };
    let rest = text.split_once(r#","msg":"#).map(|(_, rest)| rest);
    let text = match (json.get("raw"), rest.and_then(|rest| rest.strip_suffix('}'))) {
        (Some(raw), _) => raw.as_str().expect("`raw` is a string").to_owned(),
        // A long text was abbreviated.
        (None, _) if json.get("msg_bytes").is_some() => {
            let mut message = json["msg"].clone();
            message["value"] = whole_texts(message["value"].take());
            message.to_string()
        }
        (None, Some(message)) if message.contains("\"z x 16384\"") => {
            message.replace("z x 16384", &"z".repeat(16_384))
        }
        // Not written anew, so that numbers and escapes stay as the peer wrote them.
        (None, Some(message)) => message.to_owned(),
        (None, None) => panic!("a line of an unknown shape: {text}"),
    };
    Line::Frame { from, text }
}

/// Shortens a text of which only the length matters.
pub fn shorten(line: &mut Line) {
    if let Line::Frame { text, .. } = line {
        *text =
            text.replace("200000", "2000").replace(&"y".repeat(1_000), "y").replace(&"z".repeat(16_384), "z");
    }
}

/// Writes out a text that was abbreviated as `y x 60000` in a message or event.
fn whole_texts(mut json: Json) -> Json {
    let short = json["value"].as_str().and_then(|text| text.split_once(" x "));
    if let Some((letter, Ok(count))) = short.map(|(letter, count)| (letter, count.parse())) {
        json["value"] = Json::from(letter.repeat(count));
    }
    json
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
