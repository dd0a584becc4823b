//! Values that occur more than once, as programs read and make them.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};

use super::graph::{Graph, SharedNode};
use super::payload::{LivePayload, PayloadRef, encode};
use super::slot::{decode, serialize};
use super::value::Value;
use crate::error::{Error, ErrorKind};
use crate::message::{Slot, Text};

/// A value that occurs more than once in the value it came in, or inside itself. Its identity is kept, also when it is
/// sent on.
///
/// The languages of Capnode and Q-Connection can say so; in Cap'n Web's, each occurrence is written out, and a value
/// inside itself is an error. Two of these are equal if they are the same one; their contents are not compared.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Shared(pub(crate) SharedNode);

impl Shared {
    /// Returns one level of the value: anything that occurs more than once in it is again shared.
    pub fn get(&self) -> Result<Value, Error> {
        self.read()
    }

    /// Reads the value as a `T`. Where that is no [`Value`], a part that occurs more than once is read each time, and a
    /// value inside itself is an error, unless `T` leaves it out.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        if !self.0.graph.is_finished() {
            return Err(unfinished());
        }
        decode(&self.0.body())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Shared {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(&PayloadRef::Shared(self.0.clone()), serializer)
    }
}

/// Makes values that occur more than once, or inside themselves.
///
/// ```
/// use capnode::Value;
/// use capnode::value::GraphBuilder;
///
/// let mut graph = GraphBuilder::new();
/// let (ann, bob) = (graph.node(), graph.node());
/// graph.set(&ann, &Value::from([("name", "ann".into()), ("friend", bob.clone().into())]))?;
/// graph.set(&bob, &Value::from([("name", "bob".into()), ("friend", ann.clone().into())]))?;
/// let ann = graph.finish(ann)?;
///
/// let friend_of_friend = ann.member("friend").and_then(|bob| bob.member("friend"));
/// assert_eq!(friend_of_friend, Some(ann));
/// # Ok::<(), capnode::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct GraphBuilder {
    graph: Arc<Graph>,
    nodes: Vec<Option<LivePayload>>,
}

impl GraphBuilder {
    /// Creates a graph without any values.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a new value, to be [`set`](Self::set) later. It can be used in others right away.
    pub fn node(&mut self) -> Shared {
        self.nodes.push(None);
        Shared(SharedNode { graph: self.graph.clone(), index: self.nodes.len() - 1 })
    }

    /// Sets the content of a value of this graph: a record or list, that may hold any values of this graph.
    pub fn set<T: Serialize + ?Sized>(&mut self, node: &Shared, value: &T) -> Result<(), Error> {
        let own = Arc::ptr_eq(&node.0.graph, &self.graph);
        let Some(place) = self.nodes.get_mut(node.0.index).filter(|_| own) else {
            return Err(foreign());
        };
        let mut body = encode(value)?;
        for slot in &mut body.refs {
            if let PayloadRef::Shared(other) = &slot.to {
                if Arc::ptr_eq(&other.graph, &self.graph) {
                    slot.to = PayloadRef::Inner(other.index);
                } else if !other.graph.is_finished() {
                    // Two graphs in each other would keep each other for ever.
                    return Err(unfinished());
                }
            }
        }
        if !(body.text.as_str().starts_with('{') || body.text.as_str().starts_with("[[")) {
            return Err(Error::new(ErrorKind::Encode, "a value of a graph has to be a record or a list"));
        }
        *place = Some(body);
        Ok(())
    }

    /// Returns the value `root` of the graph. From now on its values can be read and sent.
    pub fn finish(self, root: Shared) -> Result<Value, Error> {
        if !Arc::ptr_eq(&root.0.graph, &self.graph) {
            return Err(foreign());
        }
        let (mut text, mut refs, mut nodes) = (String::new(), Vec::new(), Vec::new());
        for body in self.nodes {
            let Some(body) = body else {
                return Err(Error::new(ErrorKind::Encode, "a value was never set: call `set` for each"));
            };
            let (start, from) = (text.len(), body.text.range().start);
            text.push_str(body.text.as_str());
            let moved = |at: usize| at - from + start;
            refs.extend(body.refs.into_iter().map(|slot| Slot {
                start: moved(slot.start),
                end: moved(slot.end),
                to: slot.to,
            }));
            nodes.push(start..text.len());
        }
        self.graph.finish(Text::frame(&text), refs, &nodes);
        Ok(Value::Shared(root))
    }
}

fn foreign() -> Error {
    Error::new(ErrorKind::Encode, "the value is of another graph: make it with `node` of this one")
}

fn unfinished() -> Error {
    Error::new(ErrorKind::Encode, "the value is of a graph that is not finished: call `finish` first")
}
