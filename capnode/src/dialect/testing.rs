//! Helpers that the tests of the languages share.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value as Tree;

use super::ExportNames;
use super::canonical::Trees;
use super::ids::split_mix64;
use super::json::Json;
use crate::error::Error;
use crate::limits::Limits;
use crate::message::{CapDescriptor, Id, Message, Payload, Slot, Text};

/// Returns frames that differ from these in one place at most, each with limits.
pub(super) fn nearly(frames: Vec<String>) -> impl Strategy<Value = (String, Limits)> {
    const PIECES: &[&str] = &[
        "", "", " ", "\"", "\\", "\\u0041", ",", "[", "]", "{}", "null", "-", "0", "1e", "\"a\"", "true",
        "é", "\t", "x",
    ];
    let change = (any::<Index>(), 0_usize..3, prop::sample::select(PIECES));
    let limits = (prop::sample::select(&[0, 1, 2, 3, 64][..]), prop::sample::select(&[8, 40, 2_000][..]));
    (prop::sample::select(frames), change, limits).prop_map(|(mut frame, (at, length, piece), limits)| {
        let at = at.index(frame.len());
        if frame.is_char_boundary(at) {
            frame.replace_range(at..(at + length).min(frame.len()), piece);
        }
        let (depth, string_bytes) = limits;
        (frame, Limits { depth, string_bytes, ..Limits::default() })
    })
}

/// The texts of flat values, and of some that are not.
pub(super) const FLAT: &[&str] = &[
    "1",
    "-0.5e+7",
    "\"\"",
    "\"a\\n\\u00e9\\ud800\"",
    "true",
    "false",
    "null",
    "[1,\"b\",true]",
    "[]",
    "[null]",
    "[[[1]]]",
    "[[\"nan\"]]",
    "[\"undefined\"]",
    "{\"a\":1}",
    "[{\"%\":1}]",
];

/// One recorded conversation.
pub(super) struct Recording {
    pub(super) name: String,
    pub(super) lines: Vec<Line>,
}

pub(super) enum Line {
    Message {
        from: char,
        text: String,
    },
    /// The messages after this are of another connection.
    NewConnection(String),
}

/// Returns the recordings of a peer.
pub(super) fn recordings(peer: &str) -> Vec<Recording> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/transcripts").join(peer);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    let read = |path: &Path| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let lines = std::fs::read_to_string(path).unwrap().lines().filter_map(read_line).collect();
        Recording { name, lines }
    };
    files.iter().map(|path| read(path)).collect()
}

fn read_line(line: &str) -> Option<Line> {
    if let Some(message) = line.strip_prefix("{\"dir\":\"") {
        let from = message.chars().next()?;
        // The text as it was sent: reading and writing it anew would lose halves of surrogate pairs.
        let message = message.split_once("\",").unwrap().1;
        let text = match message.strip_prefix("\"msg\":") {
            Some(text) if !text.contains(",\"raw\":") => text.strip_suffix('}').unwrap().to_owned(),
            _ => serde_json::from_str::<Tree>(line).unwrap()["raw"].as_str().unwrap().to_owned(),
        };
        return Some(Line::Message { from, text });
    }
    let event: Tree = serde_json::from_str(line).ok()?;
    let case = (event["event"] == "new-connection").then(|| event["case"].as_str().unwrap().to_owned())?;
    Some(Line::NewConnection(case))
}

/// Returns the recorded messages of a peer: the name of the recording, and the text.
pub(super) fn recorded(peer: &str) -> Vec<(String, String)> {
    let mut messages = Vec::new();
    for Recording { name, lines } in recordings(peer) {
        messages.extend(lines.into_iter().filter_map(|line| match line {
            Line::Message { text, .. } => Some((name.clone(), text)),
            Line::NewConnection(_) => None,
        }));
    }
    messages
}

/// A message for comparing. Halves of surrogate pairs are more than serde_json takes, so they stay as they are
/// written.
pub(super) fn tree(text: &str) -> Option<Tree> {
    serde_json::from_str(&text.replace("\\ud", "\\\\ud")).ok()
}

/// Names of everything: a name that is looked up is given an id, and keeps it. The calls that are read are counted.
#[derive(Default)]
pub(super) struct Everything {
    pub(super) names: Vec<Arc<str>>,
    pub(super) calls: Id,
}

impl ExportNames for Everything {
    fn find(&mut self, name: &str) -> Option<Id> {
        let at = self.names.iter().position(|known| **known == *name).unwrap_or_else(|| {
            self.names.push(name.into());
            self.names.len() - 1
        });
        Some(-1 - Id::try_from(at).unwrap())
    }

    fn name(&mut self, export: Id) -> Arc<str> {
        self.names[usize::try_from(-1 - export).unwrap()].clone()
    }

    fn number(&mut self) -> Id {
        self.calls += 1;
        self.calls
    }
}

/// Names of the exports `f1`, `f2`, … alone, up to the first number. The second is that of a call that is read.
pub(super) struct ThinVec(pub(super) Id, pub(super) Id);

impl ExportNames for ThinVec {
    fn find(&mut self, name: &str) -> Option<Id> {
        let number: Id = name.strip_prefix('f')?.parse().ok()?;
        (1..=self.0).contains(&number).then_some(-number)
    }

    fn name(&mut self, export: Id) -> Arc<str> {
        format!("f{}", -export).into()
    }

    fn number(&mut self) -> Id {
        self.1
    }
}

/// A payload for people: references as `<word>`, then the nodes as ` #0=…`.
pub(super) fn shown(payload: &Payload<CapDescriptor>) -> String {
    let trees = Trees::read(payload).unwrap_or_else(|error| panic!("{error:?} in {payload:?}"));
    let mut out = String::new();
    show(&trees.root, &trees, &mut out);
    for (number, node) in trees.nodes.iter().enumerate() {
        out.push_str(&format!(" #{number}="));
        show(node, &trees, &mut out);
    }
    out
}

fn show(json: &Json<'_>, trees: &Trees<'_>, out: &mut String) {
    match json {
        Json::Null => out.push_str("null"),
        Json::Bool(value) => out.push_str(&value.to_string()),
        Json::Number(number) => out.push_str(number),
        Json::String(raw) => out.push_str(&format!("\"{raw}\"")),
        Json::Array(elements) => {
            out.push('[');
            for (at, element) in elements.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                show(element, trees, out);
            }
            out.push(']');
        }
        Json::Object(members) => {
            out.push('{');
            for (at, (key, value)) in members.iter().enumerate() {
                out.push_str(&format!("{}\"{key}\":", if at > 0 { "," } else { "" }));
                show(value, trees, out);
            }
            out.push('}');
        }
        Json::Slot(slot) => out.push_str(&match &trees.slots[*slot].to {
            CapDescriptor::SenderHosted(id) => format!("<object {id}>"),
            CapDescriptor::SenderFunction(id) => format!("<function {id}>"),
            CapDescriptor::Node(node) => format!("<#{node}>"),
            CapDescriptor::ReceiverHosted(import) => format!("<own {}>", import.id),
            CapDescriptor::SenderPromise(id) => format!("<promise {id}>"),
            CapDescriptor::SenderWritable(id) => format!("<write end {id}>"),
            CapDescriptor::ReceiverReadable(id) => format!("<read end {id}>"),
            CapDescriptor::Map(map) => format!("<map of {}>", map.id),
            CapDescriptor::Bytes(bytes) => format!("<{} bytes>", bytes.len()),
            CapDescriptor::Unsupported { form, .. } => format!("<unsupported {form}>"),
        }),
    }
}

/// Gives a call its number.
pub(super) fn numbered(number: Id, mut op: Message) -> Message {
    if let Message::Call { id, .. } | Message::Evaluate { id, .. } = &mut op {
        *id = number;
    }
    op
}

/// Returns a payload in whose text `<0>` is a reference to node 0 and `<-1>` one to our function -1.
pub(super) fn marked(root: &str, nodes: &[&str]) -> Payload<CapDescriptor> {
    let (mut buffer, mut refs, mut ranges) = (String::new(), Vec::new(), Vec::new());
    for part in [root].iter().chain(nodes) {
        let start = buffer.len();
        let mut rest = *part;
        while let Some((before, after)) = rest.split_once('<') {
            let (number, after) = after.split_once('>').unwrap();
            buffer.push_str(before);
            let number: i64 = number.parse().unwrap();
            let to =
                usize::try_from(number).map_or(CapDescriptor::SenderFunction(number), CapDescriptor::Node);
            refs.push(Slot { start: buffer.len(), end: buffer.len(), to });
            rest = after;
        }
        buffer.push_str(rest);
        ranges.push(start..buffer.len());
    }
    let end = ranges.remove(0).end;
    Payload {
        text: Text::Shared { frame: buffer.into(), start: 0, end },
        refs: refs.into(),
        nodes: ranges.into(),
    }
}

/// Reads all recorded messages of a peer with `parse`: each is taken.
pub(super) fn all_are_taken(peer: &str, mut parse: impl FnMut(&str) -> Result<Option<Message>, Error>) {
    let messages = recorded(peer);
    for (name, text) in &messages {
        assert!(parse(text).is_ok(), "{name}: {text}");
    }
    assert!(messages.len() > 300, "{}", messages.len());
}

/// Damages recorded messages of a peer, and reads them with `parse`. Answers go to `place`: `to` is the member with the
/// place of an answer of one of the `kinds`. Damage puts in `marks`, which the language gives a meaning.
pub(super) fn damaged_are_no_danger(
    peer: &str,
    (to, kinds): (&str, &[&str]),
    place: &str,
    marks: &[u8; 14],
    mut parse: impl FnMut(&str) -> Option<Message>,
) {
    let mut random = 1;
    let mut below = |bound: usize| usize::try_from(split_mix64(&mut random) % bound as u64).unwrap();
    for (_, mut text) in recorded(peer) {
        if let Some(tree) = tree(&text).filter(|tree| kinds.iter().any(|kind| tree["type"] == *kind)) {
            text = text.replacen(&tree[to].to_string(), place, 1);
        }
        for _ in 0..12 {
            let mut bytes = text.clone().into_bytes();
            let at = below(bytes.len());
            match below(3) {
                0 => bytes.truncate(at),
                1 => bytes[at] ^= 1 << below(7),
                _ => bytes[at] = marks[below(marks.len())],
            }
            if let Some(
                Message::Call { args: Some(value), .. }
                | Message::Answer { outcome: Ok(value) | Err(value), .. },
            ) = parse(&String::from_utf8_lossy(&bytes))
            {
                shown(&value);
            }
        }
    }
}

/// Texts that are no JSON: words, numbers and lists; strings and objects.
pub(super) const NO_JSON: [&[&str]; 2] = [
    &[
        "", "wat", "nul", "nulll", "True", "NaN", "Infinity", "-", "+1", "01", "-01", "1.", ".5", "1e",
        "1e+", "0x10", "--1", "'a'", "}", "[", "]", "[[1,]]", "[[,1]]", "[[1 2]]", "[[1]", "[[1],]", " ",
        "truex", "[1", "[1,]", "[,]", "1 2", "[1]]",
    ],
    &[
        "undefined",
        "\"",
        "\"a",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\u{1}\"",
        "\"a\nb\"",
        "{",
        "{]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:2}",
        "{,}",
        "{\"a\":1 \"b\":2}",
        "\"\n\"",
        "\"\\",
    ],
];
