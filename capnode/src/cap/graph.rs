//! Values that occur more than once in another, or inside themselves, and keep that.
//!
//! In a message such a value is a *node*, and each of its occurrences says the node's number. Once all of a message is
//! there, its nodes are tied into one graph, which owns them all; from then on an occurrence is a [`SharedNode`]. Inside
//! the graph nodes still go by their numbers, so that it never holds itself.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::payload::{LivePayload, PayloadRef};
use crate::dialect::ValueSlice;
use crate::limits::Limits;
use crate::message::{Payload, Slot, Text};
use crate::thin_vec::ThinVec;

/// The nodes of one message.
#[derive(Debug)]
pub(crate) struct Graph {
    contents: OnceLock<Contents>,
    /// Bytes that may be read of it at once, each node as often as it is met.
    pub(crate) unfolded_bytes: usize,
}

impl Default for Graph {
    fn default() -> Self {
        Self::within(Limits::default().unfolded_bytes)
    }
}

#[derive(Debug)]
struct Contents {
    text: Text,
    /// The references of all nodes, those of each node together, in the order of the nodes.
    refs: Vec<Slot<PayloadRef>>,
    nodes: Vec<NodeRange>,
    /// `true` if it holds anything to call.
    callable: bool,
}

/// The place of a node in the text, and of its references among all.
#[derive(Clone, Debug)]
struct NodeRange {
    text: Range<usize>,
    refs: Range<usize>,
}

impl Drop for Contents {
    fn drop(&mut self) {
        let refs = std::mem::take(&mut self.refs);
        if !refs.is_empty() {
            super::depth::drop_iteratively(refs);
        }
    }
}

impl Contents {
    /// The nodes at `nodes` in `text`, whose references are among `refs`.
    fn new(text: Text, refs: Vec<Slot<PayloadRef>>, nodes: &[Range<usize>]) -> Self {
        let callable = refs.iter().any(|slot| slot.to.is_callable());
        let spot = |range: &Range<usize>| {
            // Only a faulty reader of the message gives a node that is nowhere.
            let range = text.buffer().get(range.clone()).map_or(0..0, |_| range.clone());
            let start = refs.partition_point(|slot| slot.start < range.start);
            let end = refs.partition_point(|slot| slot.end <= range.end);
            NodeRange { text: range, refs: start..end.max(start) }
        };
        let nodes = nodes.iter().map(spot).collect();
        Self { text, refs, nodes, callable }
    }
}

impl Graph {
    fn within(unfolded_bytes: usize) -> Self {
        Self { contents: OnceLock::new(), unfolded_bytes }
    }

    /// Returns `true` once its nodes are known.
    pub(super) fn is_finished(&self) -> bool {
        self.contents.get().is_some()
    }

    /// Sets the nodes: parts of `text`, whose references are among `refs`. A second call does nothing.
    pub(super) fn finish(&self, text: Text, refs: Vec<Slot<PayloadRef>>, nodes: &[Range<usize>]) {
        let _known = self.contents.set(Contents::new(text, refs, nodes));
    }

    /// Returns the place of a node, with its references.
    pub(crate) fn place<'a>(self: &'a Arc<Self>, index: usize) -> Option<ValueSlice<'a, PayloadRef>> {
        let contents = self.contents.get()?;
        let spot = contents.nodes.get(index)?;
        let refs = contents.refs.get(spot.refs.clone())?;
        Some(ValueSlice { buffer: contents.text.buffer(), range: spot.text.clone(), refs, graph: Some(self) })
    }

    pub(crate) fn is_callable(&self) -> bool {
        self.contents.get().is_some_and(|contents| contents.callable)
    }

    /// Bytes that it keeps.
    pub(crate) fn len(&self) -> usize {
        let of = |contents: &Contents| {
            contents.text.buffer().len() + contents.refs.len() * super::payload::REFERENCE
        };
        self.contents.get().map_or(0, of)
    }
}

/// An occurrence of a node.
#[derive(Clone)]
pub(crate) struct SharedNode {
    pub(crate) graph: Arc<Graph>,
    pub(crate) index: usize,
}

impl SharedNode {
    /// Returns an id that is equal for all occurrences of one node.
    pub(crate) fn id(&self) -> (usize, usize) {
        (Arc::as_ptr(&self.graph).addr(), self.index)
    }

    /// The node as a value of its own.
    pub(crate) fn body(&self) -> LivePayload {
        match (self.graph.contents.get(), self.graph.place(self.index)) {
            (Some(contents), Some(place)) => {
                let refs = place.refs.iter().map(|slot| slot.outside(Some(&self.graph))).collect();
                Payload { text: contents.text.slice(place.range), refs, nodes: ThinVec::NONE }
            }
            _ => super::payload::undefined(),
        }
    }

    /// Bytes of the node itself.
    pub(crate) fn len(&self) -> usize {
        let place = self.graph.place(self.index);
        place.map_or(0, |place| place.range.len() + place.refs.len() * super::payload::REFERENCE)
    }
}

impl fmt::Debug for SharedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It may hold itself.
        write!(f, "Shared(#{})", self.index)
    }
}

impl PartialEq for SharedNode {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for SharedNode {}

impl Hash for SharedNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl Slot<PayloadRef> {
    /// Returns the slot as it is outside of its graph.
    pub(crate) fn outside(&self, graph: Option<&Arc<Graph>>) -> Self {
        let to = match (&self.to, graph) {
            (PayloadRef::Inner(index), Some(graph)) => {
                PayloadRef::Shared(SharedNode { graph: graph.clone(), index: *index })
            }
            (other, _) => other.clone(),
        };
        self.with(to)
    }
}

/// Returns a message of ours with its nodes as shared values.
#[cfg(any(test, fuzzing))]
pub(crate) fn tie(payload: Payload<PayloadRef>) -> LivePayload {
    tie_within(payload, Limits::default().unfolded_bytes)
}

/// Returns a complete message with its nodes as shared values, of which at most `unfolded_bytes` may be read at once.
pub(crate) fn tie_within(payload: Payload<PayloadRef>, unfolded_bytes: usize) -> LivePayload {
    if payload.nodes.is_empty() {
        return payload;
    }
    let Payload { text, refs, nodes } = payload;
    let (text, graph) = (text.share(), Arc::new(Graph::within(unfolded_bytes)));
    let root = text.range();
    let is_inside = |slot: &Slot<PayloadRef>| slot.start >= root.start && slot.end <= root.end;
    let (own, inner): (Vec<_>, Vec<_>) = refs.into_iter().partition(is_inside);
    let own = own.iter().map(|slot| slot.outside(Some(&graph))).collect();
    debug_assert!(nodes.iter().all(|node| node.start >= root.end || node.end <= root.start));
    graph.finish(text.clone(), inner, &nodes);
    Payload { text, refs: own, nodes: ThinVec::NONE }
}
