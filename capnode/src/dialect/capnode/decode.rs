//! Values out of tables.

use std::collections::{HashMap, HashSet, VecDeque};

use super::Functions;
use crate::dialect::canonical::Builder;
use crate::dialect::ids::MAX_ID;
use crate::dialect::json::{Json, separate};
use crate::dialect::too_deep;
use crate::error::Error;
use crate::message::{CapDescriptor, Payload};

type Result<T> = std::result::Result<T, Error>;

/// A value as it comes: objects, lists and function ids in a table, and the one that it is.
pub(super) struct Table<'t, 'a> {
    links: Vec<&'t Json<'a>>,
    root: Option<&'t Json<'a>>,
}

/// A value in its place: whole, or as the number of an entry in the table.
enum Leaf<'t, 'a> {
    Undefined,
    Scalar(&'t Json<'a>),
    /// A list or object of the table.
    Container(usize),
    /// A function's id as it stands in JSON.
    Function(String),
}

impl<'t, 'a> Table<'t, 'a> {
    pub(super) fn new(value: &'t Json<'a>) -> Self {
        let links = match value.get("links") {
            Some(Json::Array(links)) => links.iter().collect(),
            _ => Vec::new(),
        };
        let mut table = Self { links, root: value.get("value") };
        table.repair();
        table
    }

    /// The package lists a function again at each further mention in a value, but goes on counting as if it had
    /// not, so that every later pointer is too low. Where the highest pointer shows that this has happened, the
    /// repetitions are taken out.
    fn repair(&mut self) {
        if !self.links.iter().any(|link| matches!(link, Json::String(_))) {
            return;
        }
        let mut known = HashSet::new();
        let repeats = |link: &&Json<'a>| matches!(link, Json::String(raw) if !known.insert(*raw));
        let repeats: Vec<bool> = self.links.iter().map(repeats).collect();
        let count = repeats.iter().filter(|repeats| **repeats).count();
        if count == 0 {
            return;
        }
        let leaves = self.links.iter().flat_map(|link| link.children()).chain(self.root);
        let highest = leaves.filter_map(|leaf| pointer(leaf).map(|(_, id)| id)).max();
        if highest.is_some_and(|highest| highest + 1 + count == self.links.len()) {
            let mut repeats = repeats.into_iter();
            self.links.retain(|_| repeats.next() != Some(true));
        }
    }

    /// Reads a value in its place. A pointer at nothing, or at something of another kind, is undefined, and so is
    /// anything that is neither pointer nor plain.
    fn leaf(&self, json: &'t Json<'a>) -> Leaf<'t, 'a> {
        let (kind, id) = match json {
            Json::Object(_) => match pointer(json) {
                Some(pointer) => pointer,
                None => return Leaf::Undefined,
            },
            Json::Array(_) | Json::Slot(_) => return Leaf::Undefined,
            scalar => return Leaf::Scalar(scalar),
        };
        match (kind, self.links.get(id)) {
            (0, Some(Json::Object(_))) | (2, Some(Json::Array(_))) => Leaf::Container(id),
            (1, Some(Json::String(raw) | Json::Number(raw))) if raw.len() > MAX_ID => Leaf::Undefined,
            (1, Some(Json::String(raw))) if !raw.is_empty() => Leaf::Function(format!("\"{raw}\"")),
            (1, Some(Json::Number(number))) => Leaf::Function((*number).to_owned()),
            _ => Leaf::Undefined,
        }
    }

    /// Returns the value itself. `in_index` is `true` for an index, whose functions are not given back.
    pub(super) fn value(
        self,
        functions: &mut Functions,
        in_index: bool,
        max_depth: usize,
    ) -> Result<Payload<CapDescriptor>> {
        let Some(root) = self.root else {
            let mut builder = Builder::default();
            builder.undefined();
            return Ok(builder.finish());
        };
        let mut decoder = Decoder::new(&self, std::slice::from_ref(root), functions, in_index, max_depth);
        decoder.write(root, 0)?;
        decoder.finish()
    }

    /// The value as a list of arguments, if it is a list.
    pub(super) fn arguments(
        self,
        functions: &mut Functions,
        max_depth: usize,
    ) -> Result<Option<Payload<CapDescriptor>>> {
        let list = match self.root.map(|root| self.leaf(root)) {
            None => return Ok(Some(Payload::plain("[]".to_owned()))),
            Some(Leaf::Container(id)) => match self.links.get(id) {
                Some(Json::Array(list)) => list,
                _ => return Ok(None),
            },
            Some(_) => return Ok(None),
        };
        let mut decoder = Decoder::new(&self, list, functions, false, max_depth);
        decoder.elements(list, 1)?;
        decoder.finish().map(Some)
    }
}

/// The type and the place of a pointer.
fn pointer(leaf: &Json<'_>) -> Option<(u8, usize)> {
    let number = |name| match leaf.get(name) {
        Some(Json::Number(number)) => number.parse::<f64>().ok(),
        _ => None,
    };
    let (kind, id) = (number("type")?, number("id")?);
    let whole = id >= 0.0 && id.fract() == 0.0 && id < 9e15;
    let kind = [0_u8, 1, 2].into_iter().find(|known| f64::from(*known) == kind)?;
    whole.then_some((kind, id as usize))
}

struct Decoder<'d, 't, 'a> {
    table: &'d Table<'t, 'a>,
    /// The number of times that each entry occurs in the value, counted up to two.
    occurs: Vec<u8>,
    numbers: HashMap<usize, usize>,
    waiting: VecDeque<usize>,
    max_depth: usize,
    functions: &'d mut Functions,
    in_index: bool,
    builder: Builder,
}

impl<'d, 't, 'a> Decoder<'d, 't, 'a> {
    /// Returns a decoder of all values that are reached from these leaves.
    fn new(
        table: &'d Table<'t, 'a>,
        roots: &'t [Json<'a>],
        functions: &'d mut Functions,
        in_index: bool,
        max_depth: usize,
    ) -> Self {
        let mut occurs = vec![0_u8; table.links.len()];
        let is_object = |leaf: &&'t Json<'a>| matches!(leaf, Json::Object(_));
        let mut left: Vec<&'t Json<'a>> = roots.iter().filter(is_object).collect();
        while let Some(leaf) = left.pop() {
            let Leaf::Container(id) = table.leaf(leaf) else { continue };
            if occurs[id] == 0 {
                left.extend(table.links[id].children().filter(is_object));
            }
            occurs[id] = (occurs[id] + 1).min(2);
        }
        let (numbers, waiting) = (HashMap::new(), VecDeque::new());
        Self { table, occurs, numbers, waiting, max_depth, functions, in_index, builder: Builder::default() }
    }

    fn finish(mut self) -> Result<Payload<CapDescriptor>> {
        self.builder.next();
        while let Some(id) = self.waiting.pop_front() {
            self.container(id, 0)?;
            self.builder.next();
        }
        Ok(self.builder.finish())
    }

    /// Writes the value at a place. Tables nest without brackets, so this is where depth is counted.
    fn write(&mut self, leaf: &'t Json<'a>, depth: usize) -> Result<()> {
        if depth >= self.max_depth {
            return Err(too_deep(self.max_depth));
        }
        match self.table.leaf(leaf) {
            Leaf::Undefined => self.builder.undefined(),
            Leaf::Scalar(scalar) => self.builder.json(scalar),
            Leaf::Function(name) => {
                let id = self.functions.mention(&name, self.in_index);
                self.builder.reference(CapDescriptor::SenderFunction(id));
            }
            Leaf::Container(id) if self.occurs[id] > 1 => {
                let next = self.numbers.len();
                let number = *self.numbers.entry(id).or_insert(next);
                if number == next {
                    self.waiting.push_back(id);
                }
                self.builder.reference(CapDescriptor::Node(number));
            }
            Leaf::Container(id) => return self.container(id, depth),
        }
        Ok(())
    }

    /// A list or object.
    fn container(&mut self, id: usize, depth: usize) -> Result<()> {
        match self.table.links[id] {
            Json::Array(elements) => {
                self.builder.out.push('[');
                self.elements(elements, depth + 1)?;
                self.builder.out.push(']');
            }
            Json::Object(members) => {
                self.builder.out.push('{');
                for (at, (key, value)) in members.iter().enumerate() {
                    separate(at, &mut self.builder.out);
                    self.builder.raw_string(key);
                    self.builder.out.push(':');
                    self.write(value, depth + 1)?;
                }
                self.builder.out.push('}');
            }
            _ => self.builder.undefined(),
        }
        Ok(())
    }

    fn elements(&mut self, elements: &'t [Json<'a>], depth: usize) -> Result<()> {
        self.builder.out.push('[');
        for (at, element) in elements.iter().enumerate() {
            separate(at, &mut self.builder.out);
            self.write(element, depth)?;
        }
        self.builder.out.push(']');
        Ok(())
    }
}
