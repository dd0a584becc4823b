//! Messages that the real package wrote: see `tests/transcripts`.

use serde_json::{Value as Tree, json};

use super::*;
use crate::dialect::testing::{Everything, all_are_taken, damaged_are_no_danger, recorded, tree};

/// Reads a recorded frame as its receiver does, and writes it again as its sender does.
fn again(text: &str) -> Option<String> {
    let tree = tree(text).unwrap_or_default();
    let (mut receiver, mut sender) = (Codec::new(1), Codec::new(2));
    let mut names = Everything::default();
    let (mut frame, answer) = (text.to_owned(), tree["type"] != "send");
    if answer {
        // The call that is answered.
        receiver.last_call = 1;
        frame = text.replacen(&tree["to"].to_string(), &quoted(&receiver.own.id(1)), 1);
        sender.exchange.add(1, Some(tree["to"].to_string()));
    }
    let mut op = receiver.parse(&frame, &Limits::default(), &mut names).unwrap()?;
    assert_eq!(
        (receiver.exchange.take_reply(), receiver.exchange.take_unknown_target()),
        (None, None),
        "{text}"
    );
    let (Message::Call { args: Some(value), .. }
    | Message::Answer { outcome: Ok(value) | Err(value), .. }
    | Message::Progress { value, .. }) = &mut op
    else {
        return Some(rewritten(&mut sender, op, &tree, &mut names));
    };
    for slot in &mut value.refs {
        if let CapDescriptor::SenderFunction(id) | CapDescriptor::SenderHosted(id) = &mut slot.to {
            let name: Tree = serde_json::from_str(receiver.lent.name(*id).unwrap()).unwrap();
            *id = names.find(name.as_str().unwrap_or("5")).unwrap();
        }
    }
    Some(rewritten(&mut sender, op, &tree, &mut names))
}

fn rewritten(sender: &mut Codec, mut op: Message, tree: &Tree, names: &mut Everything) -> String {
    if let Message::Call { target: target @ ..0, .. } = &mut op {
        *target = sender.lent.intern(&quoted(&names.name(*target)));
    }
    let mut out = String::new();
    sender.write(&numbered(1, op), names, &mut out).unwrap();
    out.replacen(&quoted(&sender.own.id(1)), &tree["from"].to_string(), 1)
}

/// A message as this library would say it: reasons have no stacks, no forms, and are not false.
fn said_our_way(mut message: Tree) -> Tree {
    if let Some(reason) = message.pointer_mut("/resolution/!") {
        if reason["message"].is_string() {
            reason.as_object_mut().unwrap().remove("stack");
        } else if matches!(reason, Tree::Null | Tree::Bool(false)) || *reason == 0 || *reason == "" {
            let text = reason.as_str().map_or_else(|| reason.to_string(), str::to_owned);
            *reason = json!({ "message": text });
        } else if reason.get("%").is_some() {
            let name = reason["%"].as_str().unwrap();
            *reason = json!({ "message": if name == "NaN" { "undefined" } else { name } });
        } else if reason.get("@").is_some() {
            *reason = json!({ "message": "undefined" });
        }
    }
    if message["type"] == "resolve" && message.get("resolution").is_none() {
        message["resolution"] = json!({ "%": "undefined" });
    }
    if message["op"] == "post" && !message["args"][0].is_string() {
        message["op"] = "apply".into();
        message["args"][0] = json!({ "%": "undefined" });
    }
    if message["op"] == "post" && !message["args"][1].is_array() {
        message["args"][1] = json!([]);
    }
    message
}

/// `true` for recordings with paths to references, which are written as the references themselves.
fn has_paths_to_references(name: &str) -> bool {
    name == "same-function-twice"
}

#[test]
fn what_was_read_is_written_as_the_package_wrote_it() {
    let (mut same, mut alike) = (0, 0);
    for (name, text) in recorded("q-connection") {
        if name.starts_with("inject") || has_paths_to_references(&name) || text.contains("bogus") {
            continue;
        }
        let written = again(&text).unwrap_or_else(|| panic!("{name}: {text}"));
        if written == text {
            same += 1;
            continue;
        }
        let (original, written) = (tree(&text).unwrap(), tree(&written).unwrap());
        assert_eq!(written, said_our_way(original), "{name}: {text}");
        alike += 1;
    }
    assert!(same > 200 && alike > 5, "{same} {alike}");
}

#[test]
fn every_message_is_taken() {
    let mut codec = Codec::new(1);
    all_are_taken("q-connection", |text| codec.parse(text, &Limits::default(), &mut ThinVec(1, 1)));
}

#[test]
fn damaged_messages_are_no_danger() {
    let mut codec = Codec::new(1);
    let mut names = Everything::default();
    for id in 1..=4 {
        written(&mut codec, &numbered(id, call(0, Path::Empty, None)));
    }
    let (answers, place): ((_, &[_]), _) = (("to", &["resolve", "notify"]), quoted(&codec.own.id(2)));
    damaged_are_no_danger("q-connection", answers, &place, b"{}[]\",:$%@!/\\0", |frame| {
        let op = codec.parse(frame, &Limits::default(), &mut names).unwrap();
        while codec.exchange.take_reply().is_some() || codec.exchange.take_unknown_target().is_some() {}
        op
    });
}
