//! Values from the peer with promises in them, which have to become values before delivery.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use futures_channel::oneshot;

use super::Cap;
use super::context::{Context, ambient};
use super::edge::Edge;
use super::graph::tie_within;
use super::hook::ConnectionHook;
use super::join_all::JoinAll;
use super::payload::{
    LivePayload, PayloadRef, REFERENCE, check_extent, too_many_promises, too_much, undefined, unfolded_len,
};
use super::remap::NestedMap;
use super::request::Args;
use super::response::{FirstPoll, Response};
use crate::bounds;
use crate::error::{Error, ErrorKind, Fate};
use crate::kinds::Bytes;
use crate::limits::Unfolding;
use crate::message::{Id, Path, Payload, Slot};
use crate::runtime::BoxFuture;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::thin_vec::ThinVec;

/// Bytes that an entry of a table is counted as, beside its content.
pub(crate) const ENTRY: usize = 256;

/// Bytes that a call or read that stands in a value is counted as.
pub(crate) const REQUEST: usize = 1 << 10;

/// Bytes that a further step of a path is counted as: the values on the way are held until the call has ended.
pub(crate) const STEP: usize = 512;

/// The content of a reference's slot in a message that has been taken in.
pub(crate) enum InboundRef {
    Cap(Cap),
    /// Something to ask for: first all of a message is taken in, then its requests are made.
    Call(Box<NestedCall>),
    /// A program to be run for each element of a value.
    Map(Box<NestedMap>),
    /// Asked for.
    Pending(Response),
    /// A promise of the peer.
    Promise(PeerPromise),
    /// Bytes that came beside the text.
    Bytes(Bytes),
    /// One of the nodes of the payload that this stands in.
    Node(usize),
    /// A missing reference, with the values that came in it. The message that it stands in is refused, so it is never
    /// read.
    Missing(#[allow(dead_code, reason = "held to be dropped")] Vec<InboundRef>),
}

pub(crate) struct NestedCall {
    pub(crate) cap: Cap,
    pub(crate) path: Path,
    pub(crate) args: Option<Payload<InboundRef>>,
    /// `true` if the value is awaited, `false` if a reference to it is taken at once.
    pub(crate) awaited: bool,
    /// The edge of the connection that it came by.
    pub(crate) edge: Option<Arc<dyn Edge>>,
}

/// An answer as it arrives: promises may still stand in it.
pub(crate) type InboundResult = Result<Payload<InboundRef>, Error>;

/// An answer whose requests have been made. If all of it is there, it is a value of the program.
pub(crate) type Delivered = Result<Result<LivePayload, Payload<InboundRef>>, Error>;

/// The outcome of a promise of the peer. It counts from the moment at which it comes, though its waiter may not take it
/// for long: a call that is parked does not.
pub(crate) struct PromiseOutcome {
    pub(crate) outcome: InboundResult,
    /// Bytes of the outcome with all its requests, once it is taken.
    pub(crate) bytes: usize,
    pub(crate) untaken: Option<HeldBytes>,
}

/// Bytes of something that has not been taken, counted among all of its connection.
pub(crate) struct HeldBytes {
    all: Arc<AtomicUsize>,
    bytes: usize,
}

impl PromiseOutcome {
    pub(crate) fn failed(error: Error) -> Self {
        Self { outcome: Err(error), bytes: 0, untaken: None }
    }

    pub(crate) fn value(value: Payload<InboundRef>, all: &Arc<AtomicUsize>, limits: Unfolding) -> Self {
        let value = InboundRef::compact(value);
        let (bytes, held) = (InboundRef::bytes(&value), value.text.buffer().len());
        let untaken = HeldBytes::new(all, bytes + held - value.text.as_str().len() + ENTRY);
        Self { outcome: Ok(InboundRef::ask(value, limits)), bytes, untaken: Some(untaken) }
    }
}

impl HeldBytes {
    pub(crate) fn new(all: &Arc<AtomicUsize>, bytes: usize) -> Self {
        all.fetch_add(bytes, Ordering::Relaxed);
        Self { all: all.clone(), bytes }
    }

    /// Counts more of them. Returns all bytes of the connection.
    pub(crate) fn add(&mut self, bytes: usize) -> usize {
        self.bytes += bytes;
        self.all.fetch_add(bytes, Ordering::Relaxed) + bytes
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A promise of the peer, whose outcome comes by itself. Dropping it before the outcome is there gives it back.
pub(crate) struct PeerPromise {
    connection: Arc<dyn ConnectionHook>,
    id: Id,
    /// The receiver of the outcome; `None` once the outcome is there.
    outcome: Option<oneshot::Receiver<PromiseOutcome>>,
}

impl PeerPromise {
    pub(crate) fn new(
        connection: Arc<dyn ConnectionHook>,
        id: Id,
        outcome: oneshot::Receiver<PromiseOutcome>,
    ) -> Self {
        Self { connection, id, outcome: Some(outcome) }
    }

    /// Waits for the outcome, once.
    pub(crate) async fn outcome(&mut self) -> Result<PromiseOutcome, oneshot::Canceled> {
        let Some(outcome) = &mut self.outcome else { return Err(oneshot::Canceled) };
        let kept = outcome.await;
        self.outcome = None;
        kept
    }
}

impl Drop for PeerPromise {
    fn drop(&mut self) {
        // No task may be woken where it is given back, which is under a lock.
        if self.outcome.take().is_some() {
            self.connection.release(self.id);
        }
    }
}

impl InboundRef {
    /// Makes the requests in a value, and returns it as one of the program if all of it is there.
    pub(crate) fn begin(
        value: Payload<InboundRef>,
        limits: Unfolding,
    ) -> Result<LivePayload, Payload<InboundRef>> {
        if value.is_plain() {
            return Ok(Payload { text: value.text, refs: ThinVec::NONE, nodes: ThinVec::NONE });
        }
        Self::into_live(Self::ask(value, limits), limits)
    }

    /// Makes the requests in a value, in their order, inner ones first.
    pub(crate) fn ask(value: Payload<InboundRef>, limits: Unfolding) -> Payload<InboundRef> {
        if value.refs.iter().all(|slot| !matches!(slot.to, InboundRef::Call(_) | InboundRef::Map(_))) {
            return value;
        }
        value.map(|staged| staged.asked(limits))
    }

    /// Makes the request that this is, if it is one.
    fn asked(self, limits: Unfolding) -> Self {
        match self {
            InboundRef::Call(ask) => ask.make(limits),
            InboundRef::Map(map) => InboundRef::Pending(map.run(limits).started()),
            other => other,
        }
    }

    /// Counts the calls and reads in a value, and the further steps of their paths.
    pub(crate) fn requests(value: &Payload<InboundRef>) -> (usize, usize) {
        let of = |slot: &Slot<InboundRef>| match &slot.to {
            InboundRef::Call(ask) => {
                let (requests, steps) = ask.args.as_ref().map_or((0, 0), InboundRef::requests);
                (1 + requests, steps + ask.path.as_slice().len().saturating_sub(1))
            }
            // Each part of a program is held as what a step is.
            InboundRef::Map(map) => (1, map.size()),
            _ => (0, 0),
        };
        value
            .refs
            .iter()
            .map(of)
            .fold((0, 0), |(requests, steps), (more, further)| (requests + more, steps + further))
    }

    /// Returns the bytes of a value whose requests have not been made yet, with those of the requests.
    pub(crate) fn bytes(value: &Payload<InboundRef>) -> usize {
        let (requests, steps) = InboundRef::requests(value);
        value.text.as_str().len() + value.refs.len() * REFERENCE + requests * REQUEST + steps * STEP
    }

    /// The value without the rest of the frame that it came in.
    pub(crate) fn compact(value: Payload<InboundRef>) -> Payload<InboundRef> {
        value.compact().map(|staged| match staged {
            InboundRef::Call(ask) => {
                let (path, args) = (ask.path.compact(), ask.args.map(InboundRef::compact));
                InboundRef::Call(Box::new(NestedCall { path, args, ..*ask }))
            }
            other => other,
        })
    }

    /// The value of an error, which waits for nothing: what would have to be asked for is undefined in it. Returns that
    /// as well, to be dropped where no lock is held.
    pub(crate) fn reason(value: Payload<InboundRef>, limits: Unfolding) -> (LivePayload, Vec<InboundRef>) {
        let mut unused = Vec::new();
        let value = value.map(|staged| match staged {
            InboundRef::Cap(cap) => PayloadRef::Cap(cap),
            InboundRef::Call(read) if read.args.is_none() && !read.awaited => {
                PayloadRef::Cap(read.cap.at_path(read.path))
            }
            InboundRef::Bytes(bytes) => PayloadRef::bytes(bytes),
            InboundRef::Node(node) => PayloadRef::Inner(node),
            other => {
                unused.push(other);
                PayloadRef::value(undefined())
            }
        });
        (tie_within(value, limits.bytes), unused)
    }

    /// The value, if no promise stands in it.
    pub(crate) fn into_live(
        value: Payload<InboundRef>,
        limits: Unfolding,
    ) -> Result<LivePayload, Payload<InboundRef>> {
        if value
            .refs
            .iter()
            .any(|slot| !matches!(slot.to, InboundRef::Cap(_) | InboundRef::Bytes(_) | InboundRef::Node(_)))
        {
            return Err(value);
        }
        let mut refs = Vec::with_capacity(value.refs.len());
        for Slot { start, end, to } in value.refs {
            let to = match to {
                InboundRef::Cap(cap) => PayloadRef::Cap(cap),
                InboundRef::Bytes(bytes) => PayloadRef::bytes(bytes),
                InboundRef::Node(node) => PayloadRef::Inner(node),
                // Looked for above.
                InboundRef::Call(_)
                | InboundRef::Map(_)
                | InboundRef::Pending(_)
                | InboundRef::Promise(_)
                | InboundRef::Missing(_) => continue,
            };
            refs.push(Slot { start, end, to });
        }
        Ok(tie_within(Payload { text: value.text, refs: refs.into(), nodes: value.nodes }, limits.bytes))
    }
}

impl NestedCall {
    fn make(self, limits: Unfolding) -> InboundRef {
        let NestedCall { cap, path, args, awaited, edge } = self;
        if args.is_none() && !awaited {
            return InboundRef::Cap(cap.at_path(path));
        }
        if !awaited {
            // It could not be cancelled, and no peer makes one.
            let message = "a call inside a value is made by `pipeline`, not by `import`";
            return InboundRef::Cap(Cap::broken(Error::rejected(message)));
        }
        // It is a part of the call that it stands in, or is asked for by the same peer.
        InboundRef::Pending(make_request(cap, path, args, limits, ambient(), edge).started())
    }
}

/// Calls a method for a peer, or the target itself, with arguments that stand in a frame without references.
pub(crate) fn make_call(
    cap: Cap,
    name: Option<&str>,
    args: &str,
    limits: Unfolding,
    context: &Context,
    edge: Option<Arc<dyn Edge>>,
) -> Response {
    // Whoever is asked sees a request. To count, the method is enough.
    let meter = edge.as_ref().map(|edge| edge.meter());
    let called = match meter {
        Some(None) => Err(cap),
        _ => cap.call_of_peer(name, args, limits, context, meter.flatten()),
    };
    called.unwrap_or_else(|cap| {
        let args = Some(Payload::plain(args.to_owned()));
        make_request(cap, Path::of_name(name), args, limits, Some(context.clone()), edge)
    })
}

/// Calls, or without arguments reads, a member for a peer, once all that stands in the arguments is there, as far as
/// the limits go. A handler of this program is polled once, if it can be made now.
pub(crate) fn make_request(
    cap: Cap,
    path: Path,
    args: Option<Payload<InboundRef>>,
    limits: Unfolding,
    context: Option<Context>,
    edge: Option<Arc<dyn Edge>>,
) -> Response {
    let request = move |args, first| cap.serve(path, args, limits.frame, context, edge, first);
    let first = Some(FirstPoll::UNAWAITED);
    let Some(args) = args else { return request(Args::Read, first) };
    match InboundRef::begin(args, limits) {
        Ok(body) => request(Args::Wire(body), first),
        // A peer that sends a promise as an argument accepts that later calls may overtake.
        Err(args) => Response::handler(async move {
            request(Args::Wire(settle(args, limits).await?), None).outcome().await
        }),
    }
}

/// Waits for all promises in a value, and in their outcomes, as far as the limits go.
pub(crate) async fn settle(value: Payload<InboundRef>, limits: Unfolding) -> Result<LivePayload, Error> {
    settle_within(value, limits, limits.depth, Arc::default()).await
}

/// Bytes that have arrived of an incomplete value. They count at once: the rest may never come.
type Counted = Arc<AtomicUsize>;

/// Counts `bytes` of a value that have arrived, and with them the bytes that the call holds.
fn count(bytes: usize, arrived: &Counted, limits: Unfolding) -> Result<(), Error> {
    bounds::add_unfolded(bytes);
    let before = arrived.fetch_add(bytes, Ordering::Relaxed);
    if before.saturating_add(bytes) > limits.bytes { Err(too_much(limits)) } else { Ok(()) }
}

async fn settle_within(
    value: Payload<InboundRef>,
    limits: Unfolding,
    chain: usize,
    arrived: Counted,
) -> Result<LivePayload, Error> {
    let mut refs: Vec<Slot<Option<PayloadRef>>> = Vec::with_capacity(value.refs.len());
    let (mut places, mut waiting): (Vec<usize>, Vec<BoxFuture<Result<PayloadRef, Error>>>) =
        Default::default();
    for (at, Slot { start, end, to }) in value.refs.into_iter().enumerate() {
        let part = match to.asked(limits) {
            InboundRef::Cap(cap) => Some(PayloadRef::Cap(cap)),
            InboundRef::Pending(response) => {
                places.push(at);
                let arrived = arrived.clone();
                waiting.push(Box::pin(async move {
                    let body = response.outcome().await?.into_body()?;
                    count(unfolded_len(&body), &arrived, limits)?;
                    Ok(PayloadRef::outcome(body))
                }));
                None
            }
            InboundRef::Promise(promised) => {
                places.push(at);
                waiting.push(keep(promised, limits, chain, arrived.clone()));
                None
            }
            InboundRef::Bytes(bytes) => Some(PayloadRef::bytes(bytes)),
            InboundRef::Node(node) => Some(PayloadRef::Inner(node)),
            // Making a request leaves none to be made.
            InboundRef::Call(_) | InboundRef::Map(_) => None,
            InboundRef::Missing(_) => return Err(Error::new(ErrorKind::Decode, "a part is missing")),
        };
        refs.push(Slot { start, end, to: part });
    }
    // All at once: one may be waiting for the effect of another.
    let mut waiting = JoinAll::new(waiting);
    poll_fn(|cx| {
        let mut failed = None;
        let polled = waiting.poll(cx, |number, outcome| match outcome {
            Ok(part) => refs[places[number]].to = Some(part),
            Err(error) => drop(failed.get_or_insert(error)),
        });
        match failed {
            Some(error) => Poll::Ready(Err(error)),
            None => polled.map(Ok),
        }
    })
    .await?;
    let settled = refs.into_iter().filter_map(|Slot { start, end, to }| to.map(|to| Slot { start, end, to }));
    check_extent(Payload { text: value.text, refs: settled.collect(), nodes: value.nodes }, limits)
        .map(|body| tie_within(body, limits.bytes))
}

/// Waits for a promise of the peer, and for those in its outcome.
fn keep(
    mut promised: PeerPromise,
    limits: Unfolding,
    chain: usize,
    arrived: Counted,
) -> BoxFuture<Result<PayloadRef, Error>> {
    Box::pin(async move {
        let gone =
            |_| Error::new(ErrorKind::Disconnected, "the connection ended before the promise was resolved");
        // From here on it counts with the call.
        let PromiseOutcome { outcome, bytes, untaken } = promised.outcome().await.map_err(gone)?;
        drop(untaken);
        let value = outcome?;
        let Some(chain) = chain.checked_sub(1) else {
            return Err(too_many_promises(limits.depth).with_fate(Fate::Answered));
        };
        count(bytes, &arrived, limits)?;
        settle_within(value, limits, chain, arrived).await.map(PayloadRef::value)
    })
}
