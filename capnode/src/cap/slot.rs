//! Passage of references through serde, which knows no references.
//!
//! Out: a reference serializes as a newtype of a name that only this library's serializers know.
//! Such a serializer opens a slot for just as long as it takes the newtype to put the reference
//! into it; any other serializer finds the slot closed, and gets an error.
//!
//! In: a deserializer puts each reference it meets into the table of the decoding under way, and
//! hands its number through serde in a form that no data can take (newtypes in newtypes).

use std::cell::RefCell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, Visitor};
use serde::ser::{self, Serialize, Serializer};

use super::Cap;
use super::data::to_cap;
use super::graph::{Graph, SharedNode};
use super::payload::{LivePayload, PayloadRef, encode};
use super::value::Value;
use crate::dialect::capnweb::{Reader, decode_error};
use crate::dialect::{ExtractRef, NodeRef, ResolveRef, ResolvedRef, ValueSlice};
use crate::error::Error;
use crate::kinds::Bytes;
use crate::kinds::marker::REFERENCE;
use crate::message::{self, Payload, Text};
use crate::sync::{OnDrop, thread_local};
use crate::thin_vec::ThinVec;

thread_local! {
    /// The open slot: `None` while it is closed, `Some(None)` until a reference is put into it.
    static OUT: RefCell<ManuallyDrop<Option<Option<PayloadRef>>>> =
        const { RefCell::new(ManuallyDrop::new(None)) };
    /// The references met in the decoding under way.
    static IN: RefCell<ManuallyDrop<Vec<DecodedRef>>> = const { RefCell::new(ManuallyDrop::new(Vec::new())) };
}

/// The meaning of a number that is handed through serde.
#[derive(Clone)]
pub(super) enum DecodedRef {
    Cap(Cap),
    Shared(SharedNode),
}

/// The content of the newtype.
struct Slot<'a>(&'a PayloadRef);

impl Serialize for Slot<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let taken = OUT.with_borrow_mut(|slot| match &mut **slot {
            Some(place) => {
                *place = Some(self.0.clone());
                true
            }
            None => false,
        });
        if taken {
            return serializer.serialize_unit();
        }
        Err(ser::Error::custom(match self.0 {
            PayloadRef::Cap(_) => {
                "a reference can only be sent over a capnode connection, not written elsewhere"
            }
            _ => "a shared value can only be sent over a capnode connection, not written elsewhere",
        }))
    }
}

pub(super) fn serialize<S: Serializer>(part: &PayloadRef, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_newtype_struct(REFERENCE, &Slot(part))
}

impl ExtractRef for PayloadRef {
    fn extract<T: Serialize + ?Sized>(newtype: &T) -> Option<Self> {
        OUT.set(ManuallyDrop::new(Some(None)));
        let written = newtype.serialize(serde_json::value::Serializer);
        let part = ManuallyDrop::into_inner(OUT.take()).flatten();
        written.ok().and(part)
    }

    fn of_bytes(bytes: Bytes) -> Option<Self> {
        Some(PayloadRef::bytes(bytes))
    }
}

/// Puts something into the table of the decoding under way.
fn register_ref(met: DecodedRef) -> u64 {
    IN.with_borrow_mut(|table| {
        table.push(met);
        table.len() as u64 - 1
    })
}

impl ResolveRef for PayloadRef {
    type Graph = Arc<Graph>;

    fn resolve<'a>(&'a self, graph: Option<&'a Arc<Graph>>) -> ResolvedRef<'a, Self> {
        match (self, graph) {
            (PayloadRef::Cap(cap), _) => ResolvedRef::Reference(register_ref(DecodedRef::Cap(cap.clone()))),
            (PayloadRef::Value(nested), _) => match nested.raw() {
                Some(raw) => ResolvedRef::Bytes(raw),
                None => ResolvedRef::Value(nested.body()),
            },
            (PayloadRef::Shared(node), _) => {
                ResolvedRef::Node(NodeRef { graph: &node.graph, index: node.index })
            }
            (PayloadRef::Inner(index), Some(graph)) => ResolvedRef::Node(NodeRef { graph, index: *index }),
            (PayloadRef::Inner(_), None) => ResolvedRef::Reference(u64::MAX),
        }
    }

    fn node(graph: &Arc<Graph>, index: usize) -> Option<ValueSlice<'_, Self>> {
        graph.place(index)
    }

    fn unfolded_bytes(graph: &Arc<Graph>) -> usize {
        graph.unfolded_bytes
    }

    fn address(graph: &Arc<Graph>) -> *const () {
        Arc::as_ptr(graph).cast()
    }

    fn token(node: NodeRef<'_, Self>) -> Option<u64> {
        Some(register_ref(DecodedRef::Shared(SharedNode { graph: node.graph.clone(), index: node.index })))
    }

    fn record(record: ValueSlice<'_, Self>, node: Option<NodeRef<'_, Self>>) -> Option<u64> {
        let ValueSlice { buffer, range, refs, graph } = record;
        let is_callable = |part: &PayloadRef| match part {
            PayloadRef::Inner(_) => graph.is_some_and(|graph| graph.is_callable()),
            other => other.is_callable(),
        };
        if !refs.iter().any(|slot| is_callable(&slot.to)) {
            return None;
        }
        let body = match node {
            Some(NodeRef { graph, index }) => {
                Payload::reference(PayloadRef::Shared(SharedNode { graph: graph.clone(), index }))
            }
            // It stands by itself, so that keeping it does not keep all that it came with.
            None => {
                let moved = |slot: &message::Slot<PayloadRef>| {
                    let slot = slot.outside(graph);
                    message::Slot {
                        start: slot.start - range.start,
                        end: slot.end - range.start,
                        to: slot.to,
                    }
                };
                let refs = refs.iter().map(moved).collect();
                let text = Text::Own(buffer.get(range.clone())?.to_owned()).share();
                Payload { text, refs, nodes: ThinVec::NONE }
            }
        };
        Some(register_ref(DecodedRef::Cap(to_cap(body))))
    }
}

pub(crate) fn decode<T: DeserializeOwned>(body: &LivePayload) -> Result<T, Error> {
    if body.refs.is_empty() {
        let mut reader = Reader::<PayloadRef>::of(body.text.as_str());
        return T::deserialize(&mut reader).map_err(decode_error);
    }
    decoding(|| T::deserialize(&mut Reader::new(body)).map_err(decode_error))
}

/// Runs `decode` over arguments.
pub(crate) fn decode_args<T>(
    args: &LivePayload,
    decode: impl FnOnce(&mut Reader<'_, PayloadRef>) -> Result<T, Error>,
) -> Result<T, Error> {
    let decode = || decode(&mut Reader::new(args));
    if args.refs.is_empty() { decode() } else { decoding(decode) }
}

/// Runs a decoding with a table of its own.
fn decoding<T>(decode: impl FnOnce() -> T) -> T {
    let mut outer = IN.take();
    // A user's `Deserialize` may panic.
    let _restore = OnDrop(|| drop(ManuallyDrop::into_inner(IN.replace(std::mem::take(&mut outer)))));
    decode()
}

fn deserialize_cap<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cap, D::Error> {
    match deserializer.deserialize_newtype_struct(REFERENCE, RefVisitor { inside: 0 })? {
        DecodedRef::Cap(cap) => Ok(cap),
        // Put aside as a shared value, and then wanted as a reference.
        DecodedRef::Shared(node) => Ok(to_cap(Payload::reference(PayloadRef::Shared(node)))),
    }
}

impl Serialize for Cap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(&PayloadRef::Cap(self.untimed().clone()), serializer)
    }
}

impl<'de> Deserialize<'de> for Cap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_cap(deserializer)
    }
}

/// Accepts a number only inside two newtypes or more. In a value that was put aside, it also accepts a record of
/// functions from a peer whose language has objects as such records.
pub(super) struct RefVisitor {
    pub(super) inside: u8,
}

impl<'de> Visitor<'de> for RefVisitor {
    type Value = DecodedRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or function")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<DecodedRef, D::Error> {
        if self.inside < u8::MAX {
            inner.deserialize_any(RefVisitor { inside: self.inside + 1 })
        } else {
            Err(de::Error::invalid_type(de::Unexpected::NewtypeStruct, &self))
        }
    }

    fn visit_map<A: de::MapAccess<'de>>(self, members: A) -> Result<DecodedRef, A::Error> {
        let misfit = || de::Error::invalid_type(de::Unexpected::Map, &self);
        if self.inside != 1 {
            return Err(misfit());
        }
        let record = Value::of_members(members)?;
        let Value::Object(members) = &record else { return Err(misfit()) };
        // Any other record is one, and the enum that put it aside may have a variant for it.
        let is_function = |member: &Value| member.as_cap().is_some_and(Cap::comes_in_records);
        if members.is_empty() || !members.iter().all(|(_, member)| is_function(member)) {
            return Err(misfit());
        }
        encode(&record).map(|body| DecodedRef::Cap(to_cap(body))).map_err(de::Error::custom)
    }

    fn visit_u64<E: de::Error>(self, token: u64) -> Result<DecodedRef, E> {
        let found = || {
            let token = usize::try_from(token).ok()?;
            IN.with_borrow(|table| table.get(token).cloned())
        };
        match (self.inside >= 2).then(found).flatten() {
            Some(met) => Ok(met),
            None => Err(de::Error::invalid_type(de::Unexpected::Unsigned(token), &self)),
        }
    }
}
