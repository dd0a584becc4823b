//! Values as bare JSON, for places where a language has no forms: reasons of rejections.

use super::{
    Builder, Form, MAX_DEPTH, Trees, Unrepresentable, elements, exact_element, exact_number, form,
    open_error, other_members, write_scalar,
};
use crate::dialect::capnweb;
use crate::dialect::json::{Json, is_key, quote, separate};
use crate::limits::Limits;
use crate::message::{CapDescriptor, Message, Payload, Text};

/// The property of an error that holds its `data` in Cap'n Web's writing, as a string, if bare JSON cannot say it.
/// Peers of this library read it without loss.
const EXACT: &str = "capnode:data";

/// Writes values as bare JSON and leaves out all that bare JSON cannot say: an answer must never be lost for it.
struct Plain<'t, 'a> {
    trees: &'t Trees<'a>,
    /// The nodes that have been written. Shared values would grow without bound if they were unfolded.
    seen: Vec<bool>,
    /// Returns `true` for a key that has to be escaped, since it would mean something to the peer.
    escape: fn(&str) -> bool,
    /// `true` if a reason may be another value than an object.
    bare: bool,
}

/// Writes the reason of a failed call, or why it cannot be read. A key for which `escape` returns `true` gets a backslash
/// before it. If it is `bare`, a reason that is no error is written as the value that it is, if JavaScript takes it for
/// true.
pub(in crate::dialect) fn write_reason(
    reason: &Payload<CapDescriptor>,
    escape: fn(&str) -> bool,
    bare: bool,
    out: &mut String,
) {
    match Trees::read(reason) {
        Ok(trees) => {
            Plain { trees: &trees, seen: vec![false; trees.nodes.len()], escape, bare }.reason(out);
        }
        Err(Unrepresentable(why)) => write_message(&why, out),
    }
}

/// Writes an object with a message alone.
fn write_message(message: &str, out: &mut String) {
    out.push_str("{\"message\":");
    capnweb::write_string(out, message);
    out.push('}');
}

impl<'t, 'a> Plain<'t, 'a> {
    /// Writes the reason of a rejected call: an object, unless that need not be. A reason that is false in JavaScript
    /// would be taken for the result of the call.
    fn reason(&mut self, out: &mut String) {
        let mut root = &self.trees.root;
        if let Json::Slot(slot) = root {
            if let Some(node) = self.node(*slot) {
                self.seen[node] = true;
                root = &self.trees.nodes[node];
            }
        }
        match form(root) {
            Form::Error { name, message, properties } => self.error(name, message, properties, out),
            Form::Object(members) => self.object(members, 0, out),
            Form::String(raw) | Form::Url(raw) if !self.bare || raw.is_empty() => {
                open_error("Error", raw, out);
                out.push('}');
            }
            _ => {
                let mut said = String::new();
                if !self.value(root, 0, &mut said) {
                    said.push_str("undefined");
                } else if self.bare && is_truthy(&said) {
                    out.push_str(&said);
                    return;
                }
                write_message(&said.chars().take(200).collect::<String>(), out);
            }
        }
    }

    /// The node that the reference is to, if it is one.
    fn node(&self, slot: usize) -> Option<usize> {
        match self.trees.slots.get(slot)?.to {
            CapDescriptor::Node(node) if node < self.trees.nodes.len() => Some(node),
            _ => None,
        }
    }

    /// Writes the error of a call, which has to arrive unchanged where its type is known.
    fn error(&mut self, name: &str, message: &str, properties: &'t [(&'a str, Json<'a>)], out: &mut String) {
        self.error_at(name, message, properties, 0, out);
        let data = properties.iter().find(|(key, _)| is_key(key, "data")).map(|(_, data)| data);
        let Some(data) = data.filter(|data| !is_bare(data) && !has_slots(data)) else { return };
        let mut exact = String::new();
        write_json(data, &mut exact, "[", "]");
        out.truncate(out.len() - "}".len());
        out.push_str(",\"");
        out.push_str(EXACT);
        out.push_str("\":");
        capnweb::write_string(out, &exact);
        out.push('}');
    }

    fn error_at(
        &mut self,
        name: &str,
        message: &str,
        properties: &'t [(&'a str, Json<'a>)],
        depth: usize,
        out: &mut String,
    ) {
        open_error(name, message, out);
        for (key, value) in other_members(properties) {
            self.member(key, value, depth, out);
        }
        out.push('}');
    }

    fn object(&mut self, members: &'t [(&'a str, Json<'a>)], depth: usize, out: &mut String) {
        out.push('{');
        for (key, value) in members {
            self.member(key, value, depth, out);
        }
        out.push('}');
    }

    fn member(&mut self, key: &str, value: &'t Json<'a>, depth: usize, out: &mut String) {
        if is_key(key, "__proto__") {
            return;
        }
        let before = out.len();
        if !out.ends_with('{') {
            out.push(',');
        }
        out.push('"');
        if (self.escape)(key) {
            out.push_str("\\\\");
        }
        out.push_str(key);
        out.push_str("\":");
        if !self.value(value, depth + 1, out) {
            out.truncate(before);
        }
    }

    /// Writes a value, if JSON can say it.
    fn value(&mut self, json: &'t Json<'a>, depth: usize, out: &mut String) -> bool {
        if depth > MAX_DEPTH {
            return false;
        }
        match form(json) {
            Form::Date(Some(millis)) => out.push_str(millis),
            Form::BigInt(raw) => match exact_number(raw) {
                Some(number) => out.push_str(&number),
                None => quote(raw, out),
            },
            Form::Bytes(parts) => {
                let Ok(elements) = elements(parts) else { return false };
                list(elements, out, |element, out| {
                    exact_element(&element).map(|number| out.push_str(&number)).is_some()
                });
            }
            Form::Headers(pairs) => write_json(pairs, out, "[", "]"),
            Form::Array(elements) => {
                list(elements, out, |element, out| self.value(element, depth + 1, out));
            }
            Form::Object(members) => self.object(members, depth, out),
            Form::Error { name, message, properties } => {
                self.error_at(name, message, properties, depth, out);
            }
            Form::Slot(slot) => match self.node(slot) {
                Some(node) if !std::mem::replace(&mut self.seen[node], true) => {
                    return self.value(&self.trees.nodes[node], depth + 1, out);
                }
                _ => return false,
            },
            scalar => return write_scalar(&scalar, "JSON", out).is_ok(),
        }
        true
    }
}

/// `true` if bare JSON says a value without loss. Keys with escapes can mean something else to the peer.
fn is_bare(json: &Json<'_>) -> bool {
    match form(json) {
        Form::Null | Form::Bool(_) | Form::Number(_) | Form::String(_) => true,
        Form::Array(elements) => elements.iter().all(is_bare),
        Form::Object(members) => members
            .iter()
            .all(|(key, value)| !key.contains('\\') && !is_key(key, "__proto__") && is_bare(value)),
        _ => false,
    }
}

fn has_slots(json: &Json<'_>) -> bool {
    matches!(json, Json::Slot(_)) || json.children().any(has_slots)
}

/// `true` if JavaScript takes the value in this text for true.
fn is_truthy(text: &str) -> bool {
    let zero = text.parse::<f64>().is_ok_and(|number| number == 0.0);
    !zero && !matches!(text, "null" | "false" | "\"\"")
}

/// Returns the members of a peer's error beside those that have a place of their own, and its unchanged data, if the
/// peer is of this library and JSON could not say it.
pub(in crate::dialect) fn error_members<'t, 'a>(
    error: &'t Json<'a>,
    max_depth: usize,
) -> (Vec<(&'a str, &'t Json<'a>)>, Option<Text>) {
    let Json::Object(members) = error else { return (Vec::new(), None) };
    let exact = error.get(EXACT).and_then(Json::text).and_then(|text| exact_data(&text, max_depth));
    let stays = |key: &str| exact.is_none() || !(is_key(key, EXACT) || is_key(key, "data"));
    (other_members(members).filter(|(key, _)| stays(key)).collect(), exact)
}

/// The value that a text says in Cap'n Web's writing, if it is one without references.
fn exact_data(text: &str, max_depth: usize) -> Option<Text> {
    let limits = Limits { depth: max_depth, ..Limits::default() };
    let frame = format!("[\"resolve\",1,{text}]");
    match capnweb::parse(&frame, &limits) {
        Ok(Message::Answer { outcome: Ok(value), .. }) if value.refs.is_empty() => Some(value.text),
        _ => None,
    }
}

/// Writes a list, with null in the place of each element that cannot be said.
fn list<T>(
    elements: impl IntoIterator<Item = T>,
    out: &mut String,
    mut write: impl FnMut(T, &mut String) -> bool,
) {
    out.push('[');
    for (at, element) in elements.into_iter().enumerate() {
        separate(at, out);
        if !write(element, out) {
            out.push_str("null");
        }
    }
    out.push(']');
}

/// Writes a tree as JSON, its arrays between these brackets. Its depth was bounded when it was read.
pub(in crate::dialect) fn write_json(json: &Json<'_>, out: &mut String, open: &str, close: &str) {
    match json {
        Json::Null | Json::Slot(_) => out.push_str("null"),
        Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Json::Number(number) => out.push_str(number),
        Json::String(raw) => quote(raw, out),
        Json::Array(elements) => {
            out.push_str(open);
            for (at, element) in elements.iter().enumerate() {
                separate(at, out);
                write_json(element, out, open, close);
            }
            out.push_str(close);
        }
        Json::Object(members) => {
            out.push('{');
            for (at, (key, value)) in members.iter().enumerate() {
                separate(at, out);
                quote(key, out);
                out.push(':');
                write_json(value, out, open, close);
            }
            out.push('}');
        }
    }
}

impl Builder {
    /// Bare JSON as a value.
    pub(in crate::dialect) fn json(&mut self, json: &Json<'_>) {
        write_json(json, &mut self.out, "[[", "]]");
    }
}
