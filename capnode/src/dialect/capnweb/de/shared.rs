//! Values that stand in several places or inside themselves, read as if they stood in each; and records
//! read as references.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt::Write as _;

use serde::de::{Deserializer, Visitor};

use super::content::Token;
use super::{NODE, Next, Reader, Result};
use crate::bounds;
use crate::dialect::{Failure, NodeRef, ResolveRef, ResolvedRef, ValueSlice};

/// A step on the way to a place in a text.
enum Step<'a> {
    Name(Cow<'a, str>),
    Index(usize),
    /// A bracket that stands for no step.
    Form,
}

impl<'a, R: ResolveRef> Reader<'a, R> {
    /// A reader of a node, as if it stood here.
    pub(super) fn enter<'s>(&'s self, node: NodeRef<'s, R>) -> Result<Reader<'s, R>> {
        let Some(place) = R::node(node.graph, node.index) else {
            return Err(Failure("a part of the value is not there".to_owned()));
        };
        let mut around = Some(self);
        while let Some(reader) = around {
            if reader.node == Some(node) {
                return Err(Failure(format!("the value contains itself{}", self.location())));
            }
            around = reader.outer;
        }
        let bytes = place.range.len().saturating_add(NODE);
        let mut nested = self.at_node(node, place);
        nested.charge(bytes)?;
        if !nested.at_container() {
            // One that leads to the next can do so for ever.
            nested.deeper()?;
        }
        Ok(nested)
    }

    fn at_node<'s>(&'s self, node: NodeRef<'s, R>, place: ValueSlice<'s, R>) -> Reader<'s, R> {
        let limit = R::unfolded_bytes(node.graph);
        let within = match self.within {
            Some((entered, outer)) => (entered, outer.min(limit)),
            None => {
                let mut outermost = self;
                while let Some(outer) = outermost.outer {
                    outermost = outer;
                }
                (&outermost.entered, limit)
            }
        };
        Reader {
            buffer: place.buffer,
            start: place.range.start,
            escaped: false,
            opened: false,
            pos: place.range.start,
            refs: place.refs,
            depth: self.depth,
            stack: self.stack,
            node: Some(node),
            outer: Some(self),
            entered: Cell::new(0),
            within: Some(within),
        }
    }

    fn at_container(&mut self) -> bool {
        self.slot().is_none() && matches!(self.peek(), b'{' | b'[')
    }

    /// Counts bytes that are read of nodes, each as often as it is met. A value in no node is read once.
    pub(super) fn charge(&self, bytes: usize) -> Result<()> {
        bounds::add_unfolded(bytes);
        let Some((entered, limit)) = self.within else { return Ok(()) };
        entered.set(entered.get().saturating_add(bytes));
        if entered.get() <= limit {
            return Ok(());
        }
        Err(Failure(format!("the value unfolds into more than {limit} bytes")))
    }

    /// Counts a part of a value by the size of its type: a part of a node is read as often as it is met, and a few
    /// bytes of text can be a large structure.
    #[inline]
    pub(super) fn charge_part<T>(&self) -> Result<()> {
        match self.within {
            Some(_) if size_of::<T>() > NODE => self.charge(size_of::<T>() - NODE),
            _ => Ok(()),
        }
    }

    /// `true` if a node is a value with parts.
    pub(super) fn is_container(&self, node: NodeRef<'_, R>) -> bool {
        R::node(node.graph, node.index).is_some_and(|place| self.at_node(node, place).at_container())
    }

    /// The value as a reference: a record with functions in it is one as well.
    pub(super) fn reference<'de, V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let start = self.pos;
        let token = match self.next()? {
            Next::Found(ResolvedRef::Reference(token)) => Some(token),
            Next::Found(ResolvedRef::Value(payload)) => return self.nested(payload)?.reference(visitor),
            Next::Found(ResolvedRef::Node(node)) => {
                let mut nested = self.enter(node)?;
                if nested.slot().is_some() || nested.peek() != b'{' {
                    return nested.reference(visitor);
                }
                R::node(node.graph, node.index).and_then(|record| R::record(record, Some(node)))
            }
            Next::Object if !self.refs.is_empty() => {
                self.pos = start;
                let range = self.place()?;
                let from = self.refs.partition_point(|slot| slot.start < range.start);
                let to = self.refs.partition_point(|slot| slot.end <= range.end);
                let refs = self.refs.get(from..to).unwrap_or_default();
                let graph = self.node.map(|node| node.graph);
                R::record(ValueSlice { buffer: self.buffer, range, refs, graph }, None)
            }
            _ => None,
        };
        match token {
            Some(token) => Token::asked_for(token).deserialize_any(visitor),
            None => {
                // Only references bring a newtype of their own, and so this does not fit.
                self.pos = start;
                self.deserialize_any(visitor)
            }
        }
    }

    /// Tells the place of the last value that was read, for a message.
    fn location(&self) -> String {
        let mut readers = vec![self];
        while let Some(outer) = readers.last().and_then(|reader| reader.outer) {
            readers.push(outer);
        }
        let mut path = String::new();
        for reader in readers.iter().rev() {
            reader.steps(&mut path);
        }
        if path.is_empty() { path } else { format!(" at `{path}`") }
    }

    /// Writes the way from the start of the text to the value that ends at the reader's place.
    fn steps(&self, path: &mut String) {
        for step in self.way() {
            match step {
                // A peer's names must not take more room in a message than they deserve.
                _ if path.len() > 200 => return,
                Step::Name(name) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.extend(name.chars().take(60));
                }
                // Writing to a string does not fail.
                Step::Index(index) => drop(write!(path, "[{index}]")),
                Step::Form => {}
            }
        }
    }

    fn way(&self) -> Vec<Step<'a>> {
        let entered = Cell::new(0);
        let mut reader = Reader { pos: self.start, node: None, outer: None, entered, within: None, ..*self };
        let mut open: Vec<Step<'a>> = Vec::new();
        loop {
            if let Some(slot) = reader.slot() {
                if slot.end >= self.pos {
                    return open;
                }
                reader.pos = slot.end;
                // The part behind it is no value.
                if !matches!(reader.peek(), b',' | b']' | b'}') {
                    return open;
                }
            }
            match reader.peek() {
                b'"' => {
                    let Ok(text) = reader.string() else { return open };
                    if let (Some(Step::Name(name)), b':') = (open.last_mut(), reader.peek()) {
                        *name = text;
                        reader.pos += 1;
                    }
                }
                b'{' => {
                    open.push(Step::Name(Cow::Borrowed("")));
                    reader.pos += 1;
                }
                b'[' => {
                    reader.pos += 1;
                    open.push(Step::Form);
                    if reader.slot().is_none() && reader.take(b'[') {
                        open.push(Step::Index(0));
                    }
                }
                b']' | b'}' => {
                    open.pop();
                    reader.pos += 1;
                }
                b',' => {
                    if let Some(Step::Index(index)) = open.last_mut() {
                        *index += 1;
                    }
                    reader.pos += 1;
                }
                _ if reader.word().is_empty() => return open,
                _ => {}
            }
        }
    }
}
