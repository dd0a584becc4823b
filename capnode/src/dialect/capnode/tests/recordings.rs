//! Messages that the real package wrote: see `tests/transcripts`.

use serde_json::{Value as Tree, json};

use super::*;
use crate::dialect::testing::{Everything, all_are_taken, damaged_are_no_danger, recorded, tree};

/// Reads a recorded frame as its receiver does, and writes it again as its sender does.
fn again(text: &str) -> Option<String> {
    let tree = tree(text)?;
    let (mut receiver, mut sender) = (Codec::new(1), Codec::new(2));
    let mut names = Everything::default();
    let mut frame = text.to_owned();
    let method = tree["methodId"].to_string();
    if tree["type"] == "return" || tree["type"] == "error" {
        receiver.own.ask(1);
        frame = text.replacen(&method, &quoted(&receiver.own.call.id(1)), 1);
        sender.exchange.add(1, Some(method.clone()));
    }
    let mut op = receiver.parse(&frame, &Limits::default(), &mut names).unwrap()?;
    if let Message::Call { args: Some(value), .. } | Message::Answer { outcome: Ok(value), .. } = &mut op {
        for slot in &mut value.refs {
            if let CapDescriptor::SenderFunction(id) = &mut slot.to {
                let name: Tree = serde_json::from_str(receiver.functions.lent.name(*id).unwrap()).unwrap();
                *id = names.find(name.as_str().unwrap()).unwrap();
            }
        }
    }
    if let Message::Call { target: target @ ..0, .. } = &mut op {
        *target = sender.functions.mention(&quoted(&names.name(*target)), false);
    }
    if let Message::Release { id, .. } = &mut op {
        *id = sender.functions.mention(&quoted(&names.name(*id)), false);
    }
    let mut out = String::new();
    sender.write(&numbered(1, op), &mut names, &mut out).unwrap();
    sender.flush(true);
    out.extend(sender.exchange.take_reply());
    let reply = tree["replyId"].to_string();
    let first = |own: String, theirs: &str, out: String| out.replacen(&quoted(&own), theirs, 1);
    let out = first(sender.own.call.id(1), &reply, out);
    let out = first(sender.own.index.id(1), &method, out);
    Some(first(sender.own.dealloc.id(1), &reply, out))
}

/// Unfolds a table into a tree, in which the order of its entries makes no difference.
fn unfolded(table: &Tree, leaf: &Tree, depth: usize) -> Tree {
    let Some(id) = leaf["id"].as_u64().filter(|_| leaf.is_object()) else { return leaf.clone() };
    let link = &table["links"][usize::try_from(id).unwrap()];
    if depth > 6 {
        return json!("deeper");
    }
    match link {
        Tree::Array(elements) => elements.iter().map(|element| unfolded(table, element, depth + 1)).collect(),
        Tree::Object(members) => {
            let member = |(key, value): (&String, &Tree)| (key.clone(), unfolded(table, value, depth + 1));
            Tree::Object(members.iter().map(member).collect())
        }
        Tree::Null => Tree::Null,
        other => json!({ "function": other }),
    }
}

fn essence(mut message: Tree) -> Tree {
    for part in ["arguments", "value"] {
        let table = message[part].clone();
        if table.get("links").is_some() {
            message[part] = unfolded(&table, &table["value"], 0);
        }
    }
    if message["type"] == "error" {
        let value = message["value"].as_object_mut().unwrap();
        value.remove("stack");
        value.entry("message").or_insert("the peer gave no message".into());
    }
    message
}

#[test]
fn what_was_read_is_written_as_the_package_wrote_it() {
    let (mut same, mut alike) = (0, 0);
    for (name, text) in recorded("capnode") {
        // Not written by the package, or with its faults, or the answers that the codec gives.
        let faulty = ["inject", "same-function-twice", "null", "nan", "undefined", "index-absent"];
        if faulty.iter().any(|fault| name.starts_with(fault))
            || !text.contains("\"value\"") && text.contains("return")
        {
            continue;
        }
        let Some(written) = again(&text) else {
            assert!(name.starts_with("tcp"), "{name}: {text}");
            continue;
        };
        if written == text {
            same += 1;
            continue;
        }
        assert_eq!(
            essence(tree(&written).unwrap()),
            essence(tree(&text).unwrap()),
            "{name}: {text} {written}"
        );
        alike += 1;
    }
    assert!(same > 250 && alike < 60, "{same} {alike}");
}

#[test]
fn every_message_is_taken() {
    let mut codec = Codec::new(1);
    all_are_taken("capnode", |text| codec.parse(text, &Limits::default(), &mut ThinVec(1, 1)));
}

#[test]
fn damaged_messages_are_no_danger() {
    let mut codec = Codec::new(1);
    let mut names = Everything::default();
    for id in 1..=4 {
        written(&mut codec, &numbered(id, call(0, None)));
    }
    let answers: (_, &[_]) = ("methodId", &["return", "error"]);
    let place = quoted(&codec.own.index.id(2));
    damaged_are_no_danger("capnode", answers, &place, b"{}[]\",:0123\\n-", |frame| {
        let op = codec.parse(frame, &Limits::default(), &mut names).unwrap();
        while codec.exchange.take_reply().is_some() || codec.exchange.take_unknown_target().is_some() {}
        op
    });
}
