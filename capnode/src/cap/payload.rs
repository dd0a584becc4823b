//! Values on their way, with live references in them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use serde::Serialize;

use super::Cap;
use super::graph::{Graph, SharedNode};
use crate::bounds;
use crate::dialect::capnweb;
use crate::error::{Error, ErrorKind, Fate, Fault};
use crate::kinds::Bytes;
use crate::limits::{LimitKind, MAX_PROMISE_DEPTH, Unfolding};
use crate::message::{Payload, Slot, Text};
use crate::thin_vec::ThinVec;

/// The content of a reference's slot in a value.
#[derive(Clone, Debug)]
pub(crate) enum PayloadRef {
    Cap(Cap),
    /// The outcome of a promise that stood here.
    Value(Arc<NestedPayload>),
    /// A value that occurs more than once, or inside itself.
    Shared(SharedNode),
    /// One of the nodes of the payload or graph that this stands in. Only in a value of a graph, or on its way to a
    /// peer.
    Inner(usize),
}

/// A value inside another. It is shared, since a peer can put one into many others; so its unfolded size is known and
/// limited before anything is unfolded.
#[derive(Debug)]
pub(crate) struct NestedPayload {
    body: OnceLock<LivePayload>,
    /// The bytes that the value is, if it came beside the text. They are written as text where that is needed.
    raw: Option<Bytes>,
    bytes: usize,
    levels: usize,
    callable: bool,
}

/// Bytes that a reference comes to when it is written.
pub(crate) const REFERENCE: usize = 32;

impl PayloadRef {
    pub(crate) fn value(body: LivePayload) -> Self {
        let (bytes, levels) = extent(&body);
        let callable = body.refs.iter().any(|slot| slot.to.is_callable());
        PayloadRef::Value(Arc::new(NestedPayload { body: body.into(), raw: None, bytes, levels, callable }))
    }

    /// Returns bytes that stand beside the text.
    pub(crate) fn bytes(raw: Bytes) -> Self {
        let bytes = raw.len().div_ceil(3) * 4 + REFERENCE;
        let nested =
            NestedPayload { body: OnceLock::new(), raw: Some(raw), bytes, levels: 0, callable: false };
        PayloadRef::Value(Arc::new(nested))
    }

    /// Returns the bytes, if they stand beside the text.
    pub(crate) fn as_bytes(&self) -> Option<&Bytes> {
        match self {
            PayloadRef::Value(nested) => nested.raw.as_ref(),
            _ => None,
        }
    }

    /// The outcome of a read. One that is nothing but another value is that one, shared.
    pub(crate) fn outcome(body: LivePayload) -> Self {
        match body.root() {
            Some(PayloadRef::Value(nested)) => PayloadRef::Value(nested.clone()),
            _ => PayloadRef::value(body),
        }
    }

    /// `true` if it holds anything to call, as far as can be told without following it.
    pub(crate) fn is_callable(&self) -> bool {
        match self {
            PayloadRef::Cap(_) => true,
            PayloadRef::Value(nested) => nested.callable,
            PayloadRef::Shared(node) => node.graph.is_callable(),
            PayloadRef::Inner(_) => false,
        }
    }
}

impl NestedPayload {
    /// Returns the value as text.
    pub(crate) fn body(&self) -> &LivePayload {
        self.body.get_or_init(|| {
            let written = self.raw.as_ref().map(|raw| capnweb::to_payload(raw, usize::MAX));
            written.and_then(Result::ok).map_or_else(undefined, Payload::compact)
        })
    }

    /// Returns the bytes that the value is, if they stand beside the text.
    pub(crate) fn raw(&self) -> Option<&Bytes> {
        self.raw.as_ref()
    }
}

/// The bytes of a value with all in it unfolded, and how deep values stand in it.
fn extent(body: &LivePayload) -> (usize, usize) {
    let own = (body.text.as_str().len() + body.refs.len() * REFERENCE, 1);
    body.refs.iter().fold(own, |(bytes, levels), slot| match &slot.to {
        PayloadRef::Cap(_) | PayloadRef::Inner(_) => (bytes, levels),
        // Its content does not count: it may be the value itself.
        PayloadRef::Shared(node) => (bytes.saturating_add(node.len()), levels),
        PayloadRef::Value(nested) => (bytes.saturating_add(nested.bytes), levels.max(nested.levels + 1)),
    })
}

/// The bytes of a value with all in it unfolded, references apart.
pub(crate) fn unfolded_len(body: &LivePayload) -> usize {
    if body.refs.is_empty() { body.text.as_str().len() } else { extent(body).0 }
}

/// Returns the number of bytes that stand beside the text of a value.
pub(crate) fn beside_len(body: &LivePayload) -> usize {
    body.refs.iter().filter_map(|slot| slot.to.as_bytes()).map(|bytes| bytes.len()).sum()
}

/// The bytes that a value keeps from being freed, references apart.
pub(crate) fn held_len(body: &LivePayload) -> usize {
    let mut counted: Vec<*const Graph> = Vec::new();
    let own = body.text.buffer().len() + body.refs.len() * REFERENCE;
    body.refs.iter().fold(own, |bytes, slot| match &slot.to {
        PayloadRef::Cap(cap) => bytes + cap.as_property().map_or(0, |at| at.parts().1.len()),
        PayloadRef::Inner(_) => bytes,
        PayloadRef::Value(nested) => bytes.saturating_add(nested.bytes),
        PayloadRef::Shared(node) if counted.contains(&Arc::as_ptr(&node.graph)) => bytes,
        PayloadRef::Shared(node) => {
            // Nearly all come of one message.
            if counted.len() < 16 {
                counted.push(Arc::as_ptr(&node.graph));
            }
            bytes.saturating_add(node.graph.len())
        }
    })
}

/// Refuses a value that is too much when unfolded.
pub(crate) fn check_extent(body: LivePayload, limits: Unfolding) -> Result<LivePayload, Error> {
    let (bytes, levels) = extent(&body);
    if bytes > limits.bytes {
        Err(too_much(limits))
    } else if levels > limits.depth + 1 {
        // The value itself is one of them.
        Err(too_many_promises(limits.depth).with_fate(Fate::Answered))
    } else {
        Ok(body)
    }
}

/// The error of a value that is too much with the outcomes of promises in it.
pub(crate) fn too_much(limits: Unfolding) -> Error {
    let message = format!("the value has more than {} bytes with the outcomes of its promises", limits.bytes);
    Error::over(LimitKind::UnfoldedBytes, message).with_fault(Fault::Peer).with_fate(Fate::Answered)
}

/// A promise has turned out to be a value with a promise in it, and so on.
pub(crate) fn too_many_promises(depth: usize) -> Error {
    let message = format!("a value came as a promise in a promise, more than {depth} times");
    Error::over(LimitKind::PromiseDepth, message).with_fault(Fault::Peer)
}

/// A value of which everything is there.
pub(crate) type LivePayload = Payload<PayloadRef>;

pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<LivePayload, Error> {
    capnweb::to_payload(value, usize::MAX)
}

/// Writes a value for a connection, as long as that allows.
pub(crate) fn encode_bounded<T: Serialize + ?Sized>(value: &T) -> Result<LivePayload, Error> {
    capnweb::to_payload(value, bounds::writable())
}

/// The value that is `undefined`.
pub(crate) fn undefined() -> LivePayload {
    Payload::plain(Text::Static("[\"undefined\"]"))
}

/// The most levels of objects in objects that are sent as records. An object that is deeper goes as a function.
const RECORDS: usize = 8;

/// The most objects of one value that are sent as records.
const MAX_RECORDS: usize = 1_000;

/// Returns the value with each known object in it replaced by the record of its members, for languages that have no
/// words for objects.
pub(crate) fn with_records(body: LivePayload) -> LivePayload {
    expand(body, RECORDS, &mut MAX_RECORDS.clone())
}

fn expand(mut body: LivePayload, depth: usize, left: &mut usize) -> LivePayload {
    for slot in &mut body.refs {
        let inside = match &slot.to {
            PayloadRef::Cap(cap) if depth > 0 && *left > 0 => cap.as_record().map(|as_record| {
                *left -= 1;
                expand(as_record, depth - 1, left)
            }),
            PayloadRef::Value(nested) => Some(expand(nested.body().clone(), depth, left)),
            _ => None,
        };
        if let Some(inside) = inside {
            slot.to = PayloadRef::value(inside);
        }
    }
    body
}

/// `true` for a value with nothing but references in it, which every language can say as it is. `beside` says that bytes
/// may stand beside the text.
fn is_plain(body: &LivePayload, beside: bool) -> bool {
    let is_plain = |to: &PayloadRef| matches!(to, PayloadRef::Cap(_)) || (beside && to.as_bytes().is_some());
    body.refs.iter().all(|slot| is_plain(&slot.to))
}

/// A stand-in for a reference in a text of several values, so that its place is not where the next value begins.
const PLACEHOLDER: &str = "null";

/// Returns the value in the form of a language that has words for values that occur more than once, in at most `bytes`
/// bytes. Each such value is a node. Nothing but references and nodes stands in the result.
pub(crate) fn flatten(body: LivePayload, bytes: usize) -> Result<LivePayload, Error> {
    if is_plain(&body, false) {
        return Ok(body);
    }
    let mut out = Out::new(bytes, false);
    let mut numbers: HashMap<(usize, usize), usize> = HashMap::new();
    // In the order in which they were met.
    let mut met: Vec<(&Arc<Graph>, usize)> = Vec::new();
    let mut nodes: Vec<Range<usize>> = Vec::new();
    let mut frames = vec![Frame::of(&body)];
    let mut root = None;
    loop {
        let start = out.text.len();
        while let Some(frame) = frames.last_mut() {
            match frame.next(&mut out)? {
                Some(Step::Cap(cap)) => out.reference(PayloadRef::Cap(cap.clone()), PLACEHOLDER)?,
                Some(Step::Bytes(to)) => out.reference(to.clone(), PLACEHOLDER)?,
                Some(Step::Into(nested)) => out.go_into(&mut frames, nested)?,
                Some(Step::Node(graph, index)) => {
                    let number = *numbers.entry((Arc::as_ptr(graph).addr(), index)).or_insert_with(|| {
                        met.push((graph, index));
                        met.len() - 1
                    });
                    out.reference(PayloadRef::Inner(number), PLACEHOLDER)?;
                }
                None => drop(frames.pop()),
            }
        }
        match root {
            None => root = Some(out.text.len()),
            Some(_) => nodes.push(start..out.text.len()),
        }
        let Some((graph, index)) = met.get(nodes.len()) else { break };
        frames.push(Frame::of_node(graph, *index)?);
    }
    let text = match root {
        Some(end) if !nodes.is_empty() => Text::Shared { frame: out.text.into(), start: 0, end },
        _ => Text::Own(out.text),
    };
    Ok(Payload { text, refs: out.refs.into(), nodes: nodes.into() })
}

/// Returns the value in Cap'n Web's form, with all that occurs more than once written each time, in at most `bytes`
/// bytes. Nothing but references stands in the result, and bytes beside the text if `bytes` allows it. The rest of the
/// value is to be dropped where that is allowed.
pub(crate) fn unfold(body: LivePayload, bytes: usize) -> (Result<LivePayload, Error>, Option<LivePayload>) {
    let (bytes, beside) = bounds::parts(bytes);
    if is_plain(&body, beside) { (Ok(body), None) } else { (unfolded(&body, bytes, beside), Some(body)) }
}

fn unfolded(body: &LivePayload, bytes: usize, beside: bool) -> Result<LivePayload, Error> {
    let mut out = Out::new(bytes, beside);
    let mut frames = vec![Frame::of(body)];
    while let Some(frame) = frames.last_mut() {
        match frame.next(&mut out)? {
            Some(Step::Cap(cap)) => out.reference(PayloadRef::Cap(cap.clone()), "")?,
            Some(Step::Bytes(to)) => out.reference(to.clone(), "")?,
            Some(Step::Into(nested)) => out.go_into(&mut frames, nested)?,
            Some(Step::Node(graph, index)) => {
                if frames.iter().any(|frame| frame.is_node(graph, index)) {
                    return Err(Error::new(
                        ErrorKind::Encode,
                        "the value contains itself, which Cap'n Web cannot say",
                    ));
                }
                let node = Frame::of_node(graph, index)?;
                out.charge(NODE)?;
                out.go_into(&mut frames, node)?;
            }
            None => drop(frames.pop()),
        }
    }
    Ok(Payload { text: out.text.into(), refs: out.refs.into(), nodes: ThinVec::NONE })
}

/// Bytes that a node costs beside its text, so that many empty ones cost as well.
const NODE: usize = 32;

/// A value that is being written into another.
struct Frame<'a> {
    buffer: &'a str,
    written: usize,
    end: usize,
    refs: std::slice::Iter<'a, Slot<PayloadRef>>,
    node: Option<(&'a Arc<Graph>, usize)>,
}

/// The next part of a value, behind text that has been written.
enum Step<'a> {
    Cap(&'a Cap),
    /// Bytes that stay beside the text.
    Bytes(&'a PayloadRef),
    Into(Frame<'a>),
    Node(&'a Arc<Graph>, usize),
}

impl<'a> Frame<'a> {
    fn of(body: &'a LivePayload) -> Self {
        let Range { start, end } = body.text.range();
        Self { buffer: body.text.buffer(), written: start, end, refs: body.refs.iter(), node: None }
    }

    fn of_node(graph: &'a Arc<Graph>, index: usize) -> Result<Self, Error> {
        let missing = || Error::new(ErrorKind::Encode, "a part of the value is not there");
        let place = graph.place(index).ok_or_else(missing)?;
        let Range { start, end } = place.range;
        let (buffer, refs) = (place.buffer, place.refs.iter());
        Ok(Self { buffer, written: start, end, refs, node: Some((graph, index)) })
    }

    fn is_node(&self, graph: &Arc<Graph>, index: usize) -> bool {
        self.node.is_some_and(|(own, at)| at == index && Arc::ptr_eq(own, graph))
    }

    /// Writes the text up to the next reference, or to the end.
    fn next(&mut self, out: &mut Out) -> Result<Option<Step<'a>>, Error> {
        let slot = self.refs.next();
        let (start, end) = slot.map_or((self.end, self.end), |slot| (slot.start, slot.end));
        out.push(self.buffer.get(self.written..start).unwrap_or_default())?;
        self.written = end;
        let Some(slot) = slot else { return Ok(None) };
        Ok(Some(match (&slot.to, self.node) {
            (PayloadRef::Cap(cap), _) => Step::Cap(cap),
            (to @ PayloadRef::Value(nested), _) => match nested.raw() {
                Some(raw) if out.beside => {
                    out.charge(raw.len())?;
                    Step::Bytes(to)
                }
                _ => Step::Into(Frame::of(nested.body())),
            },
            (PayloadRef::Shared(node), _) => Step::Node(&node.graph, node.index),
            (PayloadRef::Inner(index), Some((graph, _))) => Step::Node(graph, *index),
            (PayloadRef::Inner(_), None) => {
                return Err(Error::new(ErrorKind::Encode, "a part of the value is not there"));
            }
        }))
    }
}

/// A text that is being put together, with its measures.
struct Out {
    text: String,
    refs: Vec<Slot<PayloadRef>>,
    limit: usize,
    /// Bytes that count beside the text.
    extra: usize,
    /// `true` if bytes may stand beside the text.
    beside: bool,
    depth: capnweb::Depth,
}

impl Out {
    fn new(limit: usize, beside: bool) -> Self {
        Self {
            text: String::new(),
            refs: Vec::new(),
            limit,
            extra: 0,
            beside,
            depth: capnweb::Depth::default(),
        }
    }

    fn push(&mut self, text: &str) -> Result<(), Error> {
        self.charge(0)?;
        if text.len() > self.limit - self.text.len() {
            return Err(self.too_long());
        }
        self.text.push_str(text);
        self.depth.follow(text)
    }

    fn reference(&mut self, to: PayloadRef, placeholder: &str) -> Result<(), Error> {
        self.charge(REFERENCE)?;
        let start = self.text.len();
        self.text.push_str(placeholder);
        self.depth.reference();
        self.refs.push(Slot { start, end: self.text.len(), to });
        Ok(())
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Error> {
        self.extra = self.extra.saturating_add(bytes);
        if self.text.len().saturating_add(self.extra) > self.limit { Err(self.too_long()) } else { Ok(()) }
    }

    fn too_long(&self) -> Error {
        let message =
            format!("the value has more than {} bytes with its shared parts written out", self.limit);
        Error::over(LimitKind::FrameBytes, message)
    }

    /// Writes `next` before the rest of the others.
    fn go_into<'a>(&self, frames: &mut Vec<Frame<'a>>, next: Frame<'a>) -> Result<(), Error> {
        if frames.len() > capnweb::MAX_DEPTH + MAX_PROMISE_DEPTH + 1 {
            return Err(Error::new(ErrorKind::Limit, "the value nests too deep"));
        }
        frames.push(next);
        Ok(())
    }
}
