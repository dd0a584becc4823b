//! Values into the language's writing.

use std::borrow::Cow;

use super::key;
use crate::dialect::ExportNames;
use crate::dialect::canonical::{
    DAMAGED, Form, Trees, Unrepresentable, check_error, check_place, form, open_error, other_members,
    unrepresentable, write_bytes, write_reason, write_scalar,
};
use crate::dialect::capnweb::text::{unescape, write_string};
use crate::dialect::flat::{self, Flat};
use crate::dialect::json::{Json, quote, separate};
use crate::message::{CapDescriptor, Payload};

/// Bytes of all paths in one message. Each says where an object stands that occurs again, from the root on: long
/// keys around many such objects would make a message that grows with the square of the value. So the paths may be
/// this much longer than the value, and some.
const PATHS_PER_BYTE: usize = 64;
const PATHS: usize = 256 << 10;

/// Writes a value; a part that occurs for the second time is written as the path to the first.
pub(super) struct Encoder<'t, 'a, 'n> {
    trees: &'t Trees<'a>,
    names: &'n mut dyn ExportNames,
    out: &'n mut String,
    /// The start of the value in `out`.
    start: usize,
    /// The place of each node that has been written.
    written: Vec<Option<String>>,
    /// The place of the value that is being written.
    path: String,
    paths: usize,
    max_paths: usize,
}

type Result<T> = std::result::Result<T, Unrepresentable>;

/// Writes a resolution that says why a call failed, into a message that begins at `start`. The package does not decode reasons, so there are no forms in
/// it, and keys are escaped only where they would be taken for one. It takes a reason that is false in JavaScript for a
/// result, so that one becomes a message.
pub(super) fn reason(payload: &Payload<CapDescriptor>, start: usize, out: &mut String) -> Result<()> {
    out.push_str("{\"!\":");
    write_reason(payload, key::is_form, true, out);
    out.push('}');
    check_error(out.len() - start)
}

impl<'t, 'a, 'n> Encoder<'t, 'a, 'n> {
    fn new(trees: &'t Trees<'a>, path: &str, names: &'n mut dyn ExportNames, out: &'n mut String) -> Self {
        let written = vec![None; trees.nodes.len()];
        let max_paths = PATHS + PATHS_PER_BYTE * trees.bytes;
        let start = out.len();
        let path = if written.is_empty() { String::new() } else { path.to_owned() };
        Self { trees, names, start, out, written, path, paths: 0, max_paths }
    }

    /// Writes a value that is all of a resolution.
    pub(super) fn write(
        payload: &Payload<CapDescriptor>,
        names: &'n mut dyn ExportNames,
        out: &'n mut String,
    ) -> Result<()> {
        if let Some(text) = flat::text_of(payload, true, Flat::scalar) {
            out.push_str(text);
            return Ok(());
        }
        let trees = Trees::read(payload)?;
        Encoder::new(&trees, "", names, out).value(&trees.root, 0)
    }

    /// Writes the arguments of a call, which are the second part of a message's.
    pub(super) fn list(
        payload: &Payload<CapDescriptor>,
        names: &'n mut dyn ExportNames,
        out: &'n mut String,
    ) -> Result<()> {
        if let Some(text) = flat::text_of(payload, true, Flat::list) {
            out.push_str(text);
            return Ok(());
        }
        let trees = Trees::read(payload)?;
        let arguments = trees.arguments()?;
        Encoder::new(&trees, "/1", names, out).array(arguments, 0)
    }

    /// Writes the only argument of a call, which is the second part of a message's.
    pub(super) fn only(
        payload: &Payload<CapDescriptor>,
        names: &'n mut dyn ExportNames,
        out: &'n mut String,
    ) -> Result<()> {
        let trees = Trees::read(payload)?;
        match trees.arguments()? {
            [value] => Encoder::new(&trees, "/1", names, out).value(value, 0),
            _ => unrepresentable("a property is set to one value"),
        }
    }

    fn value(&mut self, json: &'t Json<'a>, depth: usize) -> Result<()> {
        check_place(depth, self.out.len() - self.start)?;
        match form(json) {
            Form::Undefined => special("undefined", self.out),
            Form::NaN => special("NaN", self.out),
            Form::Infinity => special("+Infinity", self.out),
            Form::NegativeInfinity => special("-Infinity", self.out),
            Form::Bytes(parts) => {
                let before = self.out.len() - self.start;
                return write_bytes(parts, "Q-Connection", before, self.out, special_float);
            }
            Form::Array(elements) => return self.array(elements, depth),
            Form::Object(members) => {
                self.out.push('{');
                for (key, value) in members {
                    self.member(key, value, depth)?;
                }
                self.out.push('}');
            }
            // As the package sends one: its message and its own properties, as an object.
            Form::Error { name, message, properties } => {
                open_error(name, message, self.out);
                for (key, value) in other_members(properties) {
                    self.member(key, value, depth)?;
                }
                self.out.push('}');
            }
            Form::Slot(slot) => return self.reference(slot, depth),
            scalar => return write_scalar(&scalar, "Q-Connection", self.out),
        }
        Ok(())
    }

    fn array(&mut self, elements: &'t [Json<'a>], depth: usize) -> Result<()> {
        self.out.push('[');
        for (at, element) in elements.iter().enumerate() {
            separate(at, self.out);
            self.part(|| Cow::Owned(at.to_string()), element, depth)?;
        }
        self.out.push(']');
        Ok(())
    }

    fn member(&mut self, key: &str, value: &'t Json<'a>, depth: usize) -> Result<()> {
        if !self.out.ends_with('{') {
            self.out.push(',');
        }
        let key = key::escape(key);
        quote(&key, self.out);
        self.out.push(':');
        self.part(|| unescape(&key), value, depth)
    }

    /// Writes a part of the value at `depth`, to which `step` leads. Only paths to nodes are written.
    fn part<'k>(
        &mut self,
        step: impl FnOnce() -> Cow<'k, str>,
        value: &'t Json<'a>,
        depth: usize,
    ) -> Result<()> {
        let here = self.path.len();
        if !self.written.is_empty() {
            self.path.push('/');
            self.path.push_str(&step());
        }
        self.value(value, depth + 1)?;
        self.path.truncate(here);
        Ok(())
    }

    fn reference(&mut self, slot: usize, depth: usize) -> Result<()> {
        let (id, kind) = match self.trees.slots.get(slot).map(|slot| &slot.to) {
            Some(CapDescriptor::SenderFunction(id)) => (*id, "function"),
            Some(CapDescriptor::SenderHosted(id)) => (*id, "object"),
            Some(CapDescriptor::Node(node)) => return self.node(*node, depth),
            _ => return unrepresentable("Q-Connection cannot name what is the peer's own"),
        };
        self.out.push_str("{\"@\":");
        write_string(self.out, &self.names.name(id));
        self.out.push_str(",\"type\":\"");
        self.out.push_str(kind);
        self.out.push_str("\"}");
        Ok(())
    }

    fn node(&mut self, node: usize, depth: usize) -> Result<()> {
        let Some(json) = self.trees.nodes.get(node) else { return unrepresentable(DAMAGED) };
        let max = self.max_paths;
        let longer = |paths: usize, path: &str| match paths + path.len() {
            more if more <= max => Ok(more),
            _ => unrepresentable("the paths to repeated values are too long: send each value once"),
        };
        if let Some(path) = &self.written[node] {
            self.paths = longer(self.paths, path)?;
            self.out.push_str("{\"$\":");
            write_string(self.out, path);
            self.out.push('}');
            return Ok(());
        }
        // Anything else is no object in JavaScript, so nothing can be there twice.
        if matches!(form(json), Form::Array(_) | Form::Object(_) | Form::Error { .. } | Form::Bytes(_)) {
            self.paths = longer(self.paths, &self.path)?;
            self.written[node] = Some(self.path.clone());
        }
        self.value(json, depth + 1)
    }
}

fn special(name: &str, out: &mut String) {
    out.push_str("{\"%\":\"");
    out.push_str(name);
    out.push_str("\"}");
}

/// Writes a number that JSON does not have.
fn special_float(float: f64, out: &mut String) -> Result<()> {
    let infinity = if float > 0.0 { "+Infinity" } else { "-Infinity" };
    special(if float.is_nan() { "NaN" } else { infinity }, out);
    Ok(())
}
