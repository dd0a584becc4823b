//! Values into tables.

use std::collections::HashMap;

use crate::dialect::ExportNames;
use crate::dialect::canonical::{
    DAMAGED, Form, Trees, Unrepresentable, check_place, form, open_error, other_members, unrepresentable,
    write_bytes, write_scalar,
};
use crate::dialect::ids::quoted;
use crate::dialect::json::{Json, is_key, quote, separate};
use crate::message::{CapDescriptor, Id, Payload};

/// A stand-in for undefined inside a list or object, since the language has no word for it: a pointer past the end of
/// the table, which is read as undefined. No table is as long.
const NOTHING: &str = r#"{"type":0,"id":4294967295}"#;

type Result<T> = std::result::Result<T, Unrepresentable>;

pub(super) struct Encoder<'t, 'a, 'n> {
    trees: &'t Trees<'a>,
    names: &'n mut dyn ExportNames,
    links: Vec<String>,
    /// The place of each function that occurs, and of each node.
    functions: HashMap<Id, usize>,
    nodes: Vec<Option<String>>,
    /// Bytes of the links that are written.
    bytes: usize,
}

impl<'t, 'a, 'n> Encoder<'t, 'a, 'n> {
    fn new(trees: &'t Trees<'a>, names: &'n mut dyn ExportNames) -> Self {
        let nodes = vec![None; trees.nodes.len()];
        Self { trees, names, links: Vec::new(), functions: HashMap::new(), nodes, bytes: 0 }
    }

    /// Writes a result.
    pub(super) fn value(
        payload: &Payload<CapDescriptor>,
        names: &'n mut dyn ExportNames,
        out: &mut String,
    ) -> Result<()> {
        let trees = Trees::read(payload)?;
        let mut encoder = Encoder::new(&trees, names);
        let mut root = String::new();
        let there = encoder.leaf(&trees.root, 0, &mut root)?;
        encoder.finish(there.then_some(root), out);
        Ok(())
    }

    /// Writes the arguments of a call.
    pub(super) fn arguments(
        payload: &Payload<CapDescriptor>,
        names: &'n mut dyn ExportNames,
        out: &mut String,
    ) -> Result<()> {
        let trees = Trees::read(payload)?;
        let mut encoder = Encoder::new(&trees, names);
        let mut root = String::new();
        encoder.array(trees.arguments()?, None, 0, &mut root)?;
        encoder.finish(Some(root), out);
        Ok(())
    }

    fn finish(self, root: Option<String>, out: &mut String) {
        out.push_str("{\"links\":[");
        for (at, link) in self.links.iter().enumerate() {
            separate(at, out);
            out.push_str(link);
        }
        out.push(']');
        if let Some(root) = root {
            out.push_str(",\"value\":");
            out.push_str(&root);
        }
        out.push('}');
    }

    /// Writes a value in its place, unless it is undefined or null: the language has neither.
    fn leaf(&mut self, json: &'t Json<'a>, depth: usize, out: &mut String) -> Result<bool> {
        check_place(depth, self.bytes + out.len())?;
        match form(json) {
            Form::Undefined | Form::Null => return Ok(false),
            Form::NaN => return unrepresentable("Capnode has no NaN"),
            Form::Infinity | Form::NegativeInfinity => return unrepresentable("Capnode has no infinity"),
            Form::Array(_) | Form::Bytes(_) | Form::Object(_) | Form::Error { .. } => {
                self.container(json, None, depth, out)?;
            }
            Form::Slot(slot) => return self.reference(slot, depth, out),
            scalar => write_scalar(&scalar, "Capnode", out)?,
        }
        Ok(true)
    }

    fn reference(&mut self, slot: usize, depth: usize, out: &mut String) -> Result<bool> {
        let id = match self.trees.slots.get(slot).map(|slot| &slot.to) {
            Some(CapDescriptor::SenderFunction(id) | CapDescriptor::SenderHosted(id)) => *id,
            Some(CapDescriptor::Node(node)) => return self.node(*node, depth, out),
            _ => return unrepresentable("Capnode cannot name what is the peer's own"),
        };
        let at = match self.functions.get(&id) {
            Some(at) => *at,
            None => {
                let name = quoted(&self.names.name(id));
                self.bytes += name.len() + 1;
                self.links.push(name);
                self.functions.insert(id, self.links.len() - 1);
                self.links.len() - 1
            }
        };
        point(1, at, out);
        Ok(true)
    }

    fn node(&mut self, node: usize, depth: usize, out: &mut String) -> Result<bool> {
        let Some(json) = self.trees.nodes.get(node) else { return unrepresentable(DAMAGED) };
        if let Some(pointer) = &self.nodes[node] {
            out.push_str(pointer);
            return Ok(true);
        }
        match form(json) {
            Form::Array(_) | Form::Bytes(_) | Form::Object(_) | Form::Error { .. } => {
                self.container(json, Some(node), depth, out)?;
                Ok(true)
            }
            // Anything else is no object in JavaScript, so nothing can be there twice.
            _ => self.leaf(json, depth + 1, out),
        }
    }

    fn container(
        &mut self,
        json: &'t Json<'a>,
        node: Option<usize>,
        depth: usize,
        out: &mut String,
    ) -> Result<()> {
        match form(json) {
            Form::Array(elements) => self.array(elements, node, depth, out),
            Form::Bytes(parts) => self.bytes(parts, node, out),
            Form::Object(members) => {
                let members = members.iter().map(|(key, value)| (*key, value));
                self.object(String::from("{"), members, node, depth, out)
            }
            // As much of it as an object can hold.
            Form::Error { name, message, properties } => {
                let mut text = String::new();
                open_error(name, message, &mut text);
                self.object(text, other_members(properties), node, depth, out)
            }
            _ => unrepresentable(DAMAGED),
        }
    }

    /// Adds an entry to the table, whose text is still to come.
    fn reserve(&mut self) -> usize {
        self.links.push(String::new());
        self.links.len() - 1
    }

    /// Remembers where a node stands.
    fn place(&mut self, node: Option<usize>, kind: u8, at: usize) {
        if let Some(node) = node {
            let mut pointer = String::new();
            point(kind, at, &mut pointer);
            self.nodes[node] = Some(pointer);
        }
    }

    /// Writes an object. It stands in the table before its members.
    fn object(
        &mut self,
        mut text: String,
        members: impl Iterator<Item = (&'a str, &'t Json<'a>)>,
        node: Option<usize>,
        depth: usize,
        out: &mut String,
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
            if text.len() > 1 {
                text.push(',');
            }
            quote(key, &mut text);
            text.push(':');
            if !self.leaf(value, depth + 1, &mut text)? {
                text.push_str(NOTHING);
            }
        }
        text.push('}');
        self.bytes += text.len() + 1;
        self.links[at] = text;
        point(0, at, out);
        Ok(())
    }

    /// Writes a list. It stands in the table after its elements, unless it may be in itself.
    fn array(
        &mut self,
        elements: &'t [Json<'a>],
        node: Option<usize>,
        depth: usize,
        out: &mut String,
    ) -> Result<()> {
        let early = node.map(|_| self.reserve());
        if let Some(at) = early {
            self.place(node, 2, at);
        }
        let mut text = String::from("[");
        for (at, element) in elements.iter().enumerate() {
            separate(at, &mut text);
            if !self.leaf(element, depth + 1, &mut text)? {
                text.push_str(NOTHING);
            }
        }
        text.push(']');
        self.list(text, early, out);
        Ok(())
    }

    fn list(&mut self, text: String, early: Option<usize>, out: &mut String) {
        self.bytes += text.len() + 1;
        let at = early.unwrap_or_else(|| self.reserve());
        self.links[at] = text;
        point(2, at, out);
    }

    fn bytes(&mut self, parts: &[Json<'_>], node: Option<usize>, out: &mut String) -> Result<()> {
        let mut text = String::new();
        write_bytes(parts, "Capnode", self.bytes, &mut text, |_, _| {
            unrepresentable("Capnode has no NaN and no infinity")
        })?;
        let at = self.links.len();
        self.place(node, 2, at);
        self.list(text, None, out);
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
