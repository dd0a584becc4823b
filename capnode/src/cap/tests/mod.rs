//! Values that keep identity, and records that are references.

use std::collections::HashMap;

use super::graph::tie;
use super::payload::{LivePayload, PayloadRef, encode, flatten, unfold};
use super::slot::decode;
use crate::message::{Payload, Slot, Text};
use crate::value::{GraphBuilder, Shared};
use crate::{Cap, Error, ErrorKind, Value};

mod graphs;
mod random;
mod reading;
mod records;

/// Room enough for any value here.
const BYTES: usize = 1 << 20;

/// Some reference.
fn cap() -> Cap {
    Cap::broken(Error::rejected("nobody"))
}

/// Returns a message's payload: `<0>` in the texts is node 0, and `@0` the first of `caps`. The text in the places of
/// references has no meaning.
fn payload(root: &str, nodes: &[&str], caps: &[Cap]) -> Payload<PayloadRef> {
    let (mut text, mut refs) = (String::new(), Vec::new());
    let mut add = |from: &str| {
        let begin = text.len();
        let mut rest = from;
        while let Some(at) = rest.find(['<', '@']) {
            text.push_str(&rest[..at]);
            let digits = &rest[at + 1..];
            let length = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
            let number: usize = digits[..length].parse().unwrap();
            let is_node = rest[at..].starts_with('<');
            let start = text.len();
            text.push_str(["{\"$\":1}", "[]", "\u{e9}"][refs.len() % 3]);
            let to = if is_node { PayloadRef::Inner(number) } else { PayloadRef::Cap(caps[number].clone()) };
            refs.push(Slot { start, end: text.len(), to });
            rest = &digits[length + usize::from(is_node)..];
        }
        text.push_str(rest);
        begin..text.len()
    };
    let root = add(root);
    let nodes = nodes.iter().map(|node| add(node)).collect();
    Payload { text: Text::frame(&text).slice(root), refs: refs.into(), nodes }
}

fn body(root: &str, nodes: &[&str]) -> LivePayload {
    let body = tie(payload(root, nodes, &[]));
    assert!(body.nodes.is_empty());
    body
}

/// A payload as [`payload`] takes it, with its references in the order of their places.
fn shown(payload: &LivePayload) -> (Vec<String>, Vec<Cap>) {
    let mut caps = Vec::new();
    let mut show = |range: std::ops::Range<usize>| {
        let (mut out, mut written) = (String::new(), range.start);
        let inside = payload.refs.iter().filter(|slot| range.start <= slot.start && slot.end <= range.end);
        for slot in inside {
            out.push_str(&payload.text.buffer()[written..slot.start]);
            written = slot.end;
            match &slot.to {
                PayloadRef::Inner(node) => out.push_str(&format!("<{node}>")),
                PayloadRef::Cap(cap) => {
                    out.push_str(&format!("@{}", caps.len()));
                    caps.push(cap.clone());
                }
                part => panic!("neither a reference nor a node: {part:?}"),
            }
        }
        out.push_str(&payload.text.buffer()[written..range.end]);
        out
    };
    let ranges = std::iter::once(payload.text.range()).chain(payload.nodes.iter().cloned());
    let texts = ranges.map(&mut show).collect();
    assert!(payload.refs.windows(2).all(|pair| pair[0].end <= pair[1].start), "{payload:?}");
    (texts, caps)
}

fn sent(value: &Value) -> Vec<String> {
    shown(&flatten(encode(value).unwrap(), BYTES).unwrap()).0
}

fn shared(value: &Value) -> Shared {
    match value {
        Value::Shared(shared) => shared.clone(),
        other => panic!("{other:?}"),
    }
}

fn cannot_unfold(body: LivePayload, bytes: usize) -> Error {
    unfold(body, bytes).0.unwrap_err()
}
