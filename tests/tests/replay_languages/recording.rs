//! The recordings of one language, read line by line.

use std::path::PathBuf;

use capnode::Dialect;
use serde_json::Value as Json;

pub use crate::capnweb::{Line, Side, parse};

#[derive(Clone, Debug)]
pub struct Recording {
    pub dialect: Dialect,
    /// All but the header.
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

/// The names of all recordings there are, in order.
pub fn names(dialect: Dialect) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder(dialect))
        .expect("the folder of the recordings")
        .map(|entry| entry.expect("a file").file_name().into_string().expect("a name in UTF-8"))
        .filter_map(|name| name.strip_suffix(".jsonl").map(str::to_owned))
        .collect();
    names.sort();
    names
}

pub fn read(dialect: Dialect, name: &str) -> Recording {
    let path = folder(dialect).join(format!("{name}.jsonl"));
    let text = std::fs::read_to_string(path).expect("a recording");
    Recording { dialect, lines: text.lines().skip(1).map(line).collect() }
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
        // Not written anew, so that numbers and escapes stay as the peer wrote them.
        (None, Some(message)) => message.to_owned(),
        (None, None) => panic!("a line of an unknown shape: {text}"),
    };
    Line::Frame { from, text }
}

/// A message or event with its text in full, where that was abbreviated as `y x 60000`.
fn whole_texts(mut json: Json) -> Json {
    let short = json["value"].as_str().and_then(|text| text.split_once(" x "));
    if let Some((letter, Ok(count))) = short.map(|(letter, count)| (letter, count.parse())) {
        json["value"] = Json::from(letter.repeat(count));
    }
    json
}
