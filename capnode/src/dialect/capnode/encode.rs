//! Values into tables.

use std::collections::HashMap;
use std::ops::Range;

use crate::dialect::ExportNames;
use crate::dialect::canonical::{
    DAMAGED, Form, Trees, Unrepresentable, check_place, form, open_error, other_members, unrepresentable,
    write_bytes, write_scalar,
};
use crate::dialect::capnweb::write_string;
use crate::dialect::flat::{self, Flat};
use crate::dialect::json::{Json, is_key, quote, separate};
use crate::message::{CapDescriptor, Id, Payload};

/// A stand-in for undefined inside a list or object, since the language has no word for it: a pointer past the end of
/// the table, which is read as undefined. No table is as long.
const NOTHING: &str = r#"{"type":0,"id":4294967295}"#;

/// The text before a scalar that is all of a value.
pub(super) const SCALAR: &str = r#"{"links":[],"value":"#;

/// The texts before and behind a list of scalars that is all of a value.
pub(super) const LIST: (&str, &str) = (r#"{"links":["#, r#"],"value":{"type":2,"id":0}}"#);

/// Bytes of a short pointer.
const POINTER: usize = 20;

type Result<T> = std::result::Result<T, Unrepresentable>;

pub(super) struct Encoder<'t, 'a, 'n> {
    trees: &'t Trees<'a>,
    names: &'n mut dyn ExportNames,
    /// The entries of the table that are written, as they were finished.
    written: String,
    /// Where in it each entry of the table stands.
    links: Vec<Range<usize>>,
    /// The place of each function that occurs, and of each node.
    functions: HashMap<Id, usize>,
    nodes: Vec<Option<String>>,
    /// Entries that are being written, each behind the one that it is in.
    open: String,
}

impl<'t, 'a, 'n> Encoder<'t, 'a, 'n> {
    fn new(trees: &'t Trees<'a>, names: &'n mut dyn ExportNames) -> Self {
        let nodes = vec![None; trees.nodes.len()];
        let (written, open) =
            (String::with_capacity(trees.bytes), String::with_capacity(trees.bytes + POINTER));
        Self { trees, names, written, links: Vec::new(), functions: HashMap::new(), nodes, open }
    }

    /// Writes a result.
    pub(super) fn value(
        payload: &Payload<CapDescriptor>,
        names: &'n mut dyn ExportNames,
        out: &mut String,
    ) -> Result<()> {
        if let Some(text) = flat::text_of(payload, false, Flat::scalar) {
            out.push_str(SCALAR);
            out.push_str(text);
            out.push('}');
            return Ok(());
        }
        let trees = Trees::read(payload)?;
        let mut encoder = Encoder::new(&trees, names);
        let there = encoder.leaf(&trees.root, 0)?;
        encoder.finish(there, out);
        Ok(())
    }

    /// Writes the arguments of a call.
    pub(super) fn arguments(
        payload: &Payload<CapDescriptor>,
        names: &'n mut dyn ExportNames,
        out: &mut String,
    ) -> Result<()> {
        if let Some(text) = flat::text_of(payload, false, Flat::list) {
            out.push_str(LIST.0);
            out.push_str(text);
            out.push_str(LIST.1);
            return Ok(());
        }
        let trees = Trees::read(payload)?;
        let mut encoder = Encoder::new(&trees, names);
        encoder.array(trees.arguments()?, None, 0)?;
        encoder.finish(true, out);
        Ok(())
    }

    fn finish(self, has_root: bool, out: &mut String) {
        out.push_str("{\"links\":[");
        for (at, link) in self.links.iter().enumerate() {
            separate(at, out);
            out.push_str(&self.written[link.clone()]);
        }
        out.push(']');
        if has_root {
            out.push_str(",\"value\":");
            out.push_str(&self.open);
        }
        out.push('}');
    }

    /// Writes a value in its place, unless it is undefined or null: the language has neither.
    fn leaf(&mut self, json: &'t Json<'a>, depth: usize) -> Result<bool> {
        check_place(depth, self.written.len() + self.open.len())?;
        match form(json) {
            Form::Undefined | Form::Null => return Ok(false),
            Form::NaN => return unrepresentable("Capnode has no NaN"),
            Form::Infinity | Form::NegativeInfinity => return unrepresentable("Capnode has no infinity"),
            Form::Array(_) | Form::Bytes(_) | Form::Object(_) | Form::Error { .. } => {
                self.container(json, None, depth)?;
            }
            Form::Slot(slot) => return self.reference(slot, depth),
            scalar => write_scalar(&scalar, "Capnode", &mut self.open)?,
        }
        Ok(true)
    }

    fn reference(&mut self, slot: usize, depth: usize) -> Result<bool> {
        let id = match self.trees.slots.get(slot).map(|slot| &slot.to) {
            Some(CapDescriptor::SenderFunction(id) | CapDescriptor::SenderHosted(id)) => *id,
            Some(CapDescriptor::Node(node)) => return self.node(*node, depth),
            _ => return unrepresentable("Capnode cannot name what is the peer's own"),
        };
        let at = match self.functions.get(&id) {
            Some(at) => *at,
            None => {
                let at = self.reserve();
                let start = self.open.len();
                write_string(&mut self.open, &self.names.name(id));
                self.close(at, start);
                self.functions.insert(id, at);
                at
            }
        };
        point(1, at, &mut self.open);
        Ok(true)
    }

    fn node(&mut self, node: usize, depth: usize) -> Result<bool> {
        let Some(json) = self.trees.nodes.get(node) else { return unrepresentable(DAMAGED) };
        if let Some(pointer) = &self.nodes[node] {
            self.open.push_str(pointer);
            return Ok(true);
        }
        match form(json) {
            Form::Array(_) | Form::Bytes(_) | Form::Object(_) | Form::Error { .. } => {
                self.container(json, Some(node), depth)?;
                Ok(true)
            }
            // Anything else is no object in JavaScript, so nothing can be there twice.
            _ => self.leaf(json, depth + 1),
        }
    }

    fn container(&mut self, json: &'t Json<'a>, node: Option<usize>, depth: usize) -> Result<()> {
        let start = self.open.len();
        match form(json) {
            Form::Array(elements) => self.array(elements, node, depth),
            Form::Bytes(parts) => self.bytes(parts, node),
            Form::Object(members) => {
                let members = members.iter().map(|(key, value)| (*key, value));
                self.open.push('{');
                self.object(start, members, node, depth)
            }
            // As much of it as an object can hold.
            Form::Error { name, message, properties } => {
                open_error(name, message, &mut self.open);
                self.object(start, other_members(properties), node, depth)
            }
            _ => unrepresentable(DAMAGED),
        }
    }

    /// Adds an entry to the table, whose text is still to come.
    fn reserve(&mut self) -> usize {
        self.links.push(0..0);
        self.links.len() - 1
    }

    /// Moves the entry that is open from `start` on to the table.
    fn close(&mut self, at: usize, start: usize) {
        let before = self.written.len();
        self.written.push_str(&self.open[start..]);
        self.open.truncate(start);
        self.links[at] = before..self.written.len();
    }

    /// Remembers where a node stands.
    fn place(&mut self, node: Option<usize>, kind: u8, at: usize) {
        if let Some(node) = node {
            let mut pointer = String::new();
            point(kind, at, &mut pointer);
            self.nodes[node] = Some(pointer);
        }
    }

    /// Writes an object, of which the text from `start` on is there. It stands in the table before its members.
    fn object(
        &mut self,
        start: usize,
        members: impl Iterator<Item = (&'a str, &'t Json<'a>)>,
        node: Option<usize>,
        depth: usize,
    ) -> Result<()>
    where
        'a: 't,
    {
        let at = self.reserve();
        self.place(node, 0, at);
        for (key, value) in members {
            // The real receiver takes that for the prototype.
            if is_key(key, "__proto__") {
                return unrepresentable("Capnode cannot say the key `__proto__`");
            }
            if self.open.len() > start + 1 {
                self.open.push(',');
            }
            quote(key, &mut self.open);
            self.open.push(':');
            if !self.leaf(value, depth + 1)? {
                self.open.push_str(NOTHING);
            }
        }
        self.open.push('}');
        self.close(at, start);
        point(0, at, &mut self.open);
        Ok(())
    }

    /// Writes a list. It stands in the table after its elements, unless it may be in itself.
    fn array(&mut self, elements: &'t [Json<'a>], node: Option<usize>, depth: usize) -> Result<()> {
        let early = node.map(|_| self.reserve());
        if let Some(at) = early {
            self.place(node, 2, at);
        }
        let start = self.open.len();
        self.open.push('[');
        for (at, element) in elements.iter().enumerate() {
            separate(at, &mut self.open);
            if !self.leaf(element, depth + 1)? {
                self.open.push_str(NOTHING);
            }
        }
        self.open.push(']');
        let at = early.unwrap_or_else(|| self.reserve());
        self.close(at, start);
        point(2, at, &mut self.open);
        Ok(())
    }

    fn bytes(&mut self, parts: &[Json<'_>], node: Option<usize>) -> Result<()> {
        let (before, start) = (self.written.len() + self.open.len(), self.open.len());
        write_bytes(parts, "Capnode", before, &mut self.open, |_, _| {
            unrepresentable("Capnode has no NaN and no infinity")
        })?;
        let at = self.reserve();
        self.place(node, 2, at);
        self.close(at, start);
        point(2, at, &mut self.open);
        Ok(())
    }
}

/// Writes a pointer.
fn point(kind: u8, at: usize, out: &mut String) {
    out.push_str("{\"type\":");
    out.push_str(itoa::Buffer::new().format(kind));
    out.push_str(",\"id\":");
    out.push_str(itoa::Buffer::new().format(at));
    out.push('}');
}
