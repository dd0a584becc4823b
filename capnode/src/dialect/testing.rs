//! Helpers that the tests of the languages share.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Tree;

use super::ExportNames;
use super::canonical::Trees;
use super::json::Json;
use crate::message::{CapDescriptor, Id, Payload};

/// Returns the recorded messages of a peer: the name of the recording, the sender, and the text.
pub(super) fn recorded(peer: &str) -> Vec<(String, char, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/transcripts").join(peer);
    let mut messages = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    for path in files {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let Some(message) = line.strip_prefix("{\"dir\":\"") else { continue };
            let from = message.chars().next().unwrap();
            let message = message.split_once("\",").unwrap().1;
            // The text as it was sent: reading and writing it anew would lose halves of surrogate pairs.
            let text = match message.strip_prefix("\"msg\":") {
                Some(text) if !text.contains(",\"raw\":") => text.strip_suffix('}').unwrap().to_owned(),
                _ => serde_json::from_str::<Tree>(line).unwrap()["raw"].as_str().unwrap().to_owned(),
            };
            messages.push((name.clone(), from, text));
        }
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
            CapDescriptor::Unsupported { form, .. } => format!("<unsupported {form}>"),
        }),
    }
}
