//! Values of the peer's in which promises stand that have to become values before delivery.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use super::pending::{Kept, Promised};
use super::together::Together;
use crate::bounds;
use crate::cap::Cap;
use crate::cap::graph::tie_within;
use crate::cap::payload::{Body, Part, REFERENCE, check_extent, too_many_promises, too_much, unfolded_len};
use crate::cap::progress::Progress;
use crate::cap::request::{Args, Extras, Member, Request};
use crate::cap::response::Response;
use crate::error::{Error, ErrorKind};
use crate::limits::Unfolding;
use crate::op::{Path, Payload, Slot};
use crate::runtime::BoxFuture;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that a call or read that stands in a value is counted as.
pub(super) const REQUEST: usize = 1 << 10;

/// What a further step of a path counts for: what is asked on the way is held until the call has ended.
pub(super) const STEP: usize = 512;

/// What stands in the place of a reference in a message that has been taken in.
pub(super) enum Staged {
    Cap(Cap),
    /// Something to ask for: first all of a message is taken in, then its requests are made.
    Ask(Box<Ask>),
    /// Asked for.
    Asked(Response),
    /// A promise of the peer's.
    Promise(Promised),
    /// One of the nodes of the payload that this stands in.
    Node(usize),
    /// Something that is not there, with what came in it. The message that it stands in is refused, so nobody reads it.
    Missing(#[allow(dead_code, reason = "held to be dropped")] Vec<Staged>),
}

pub(super) struct Ask {
    pub(super) cap: Cap,
    pub(super) path: Path,
    pub(super) args: Option<Payload<Staged>>,
    /// Whether the value is awaited, or a reference to it taken at once.
    pub(super) awaited: bool,
}

impl Staged {
    /// Makes the requests in a value, in their order, inner ones first.
    pub(super) fn ask(value: Payload<Staged>, limits: Unfolding) -> Payload<Staged> {
        if value.refs.iter().all(|slot| !matches!(slot.to, Staged::Ask(_))) {
            return value;
        }
        value.map(|staged| match staged {
            Staged::Ask(ask) => ask.make(limits),
            other => other,
        })
    }

    /// How many calls and reads stand in a value, and how many further steps their paths have.
    pub(super) fn requests(value: &Payload<Staged>) -> (usize, usize) {
        let of = |slot: &Slot<Staged>| match &slot.to {
            Staged::Ask(ask) => {
                let (requests, steps) = ask.args.as_ref().map_or((0, 0), Staged::requests);
                (1 + requests, steps + ask.path.further_steps())
            }
            _ => (0, 0),
        };
        value
            .refs
            .iter()
            .map(of)
            .fold((0, 0), |(requests, steps), (more, further)| (requests + more, steps + further))
    }

    /// Bytes of a value of which nothing has been asked for yet, with those of what it asks for.
    pub(super) fn bytes(value: &Payload<Staged>) -> usize {
        let (requests, steps) = Staged::requests(value);
        value.text.as_str().len() + value.refs.len() * REFERENCE + requests * REQUEST + steps * STEP
    }

    /// The value without the rest of the frame that it came in.
    pub(super) fn compact(value: Payload<Staged>) -> Payload<Staged> {
        value.compact().map(|staged| match staged {
            Staged::Ask(ask) => {
                let Ask { cap, path, args, awaited } = *ask;
                let (path, args) = (path.compact(), args.map(Staged::compact));
                Staged::Ask(Box::new(Ask { cap, path, args, awaited }))
            }
            other => other,
        })
    }

    /// The value, if no promise stands in it.
    pub(super) fn all_there(value: Payload<Staged>, limits: Unfolding) -> Result<Body, Payload<Staged>> {
        let value = match value.without_refs() {
            Ok(plain) => return Ok(plain),
            Err(value) => value,
        };
        if value.refs.iter().any(|slot| !matches!(slot.to, Staged::Cap(_) | Staged::Node(_))) {
            return Err(value);
        }
        let mut refs = Vec::with_capacity(value.refs.len());
        for Slot { start, end, to } in value.refs {
            let to = match to {
                Staged::Cap(cap) => Part::Cap(cap),
                Staged::Node(node) => Part::Inner(node),
                // Looked for above.
                Staged::Ask(_) | Staged::Asked(_) | Staged::Promise(_) | Staged::Missing(_) => continue,
            };
            refs.push(Slot { start, end, to });
        }
        Ok(tie_within(Payload { text: value.text, refs: refs.into(), nodes: value.nodes }, limits.bytes))
    }
}

impl Ask {
    fn make(self, limits: Unfolding) -> Staged {
        let Ask { cap, path, args, awaited } = self;
        if args.is_none() && !awaited {
            return Staged::Cap(cap.at_path(path));
        }
        if !awaited {
            // Nobody could cancel it, and no peer makes one.
            let message = "a call inside a value is made by `pipeline`, not by `import`";
            return Staged::Cap(Cap::broken(Error::rejected(message)));
        }
        Staged::Asked(make_request(cap, path, args, limits, None))
    }
}

/// Calls, or without arguments reads, a member, once all that stands in the arguments is there, as far as
/// the limits go.
pub(super) fn make_request(
    cap: Cap,
    path: Path,
    args: Option<Payload<Staged>>,
    limits: Unfolding,
    progress: Option<Progress>,
) -> Response {
    let member = Member::Path(path);
    let Some(args) = args else {
        let extras = Extras::of_peer(None, limits.frame);
        return started(cap.into_request(Request { extras, ..Request::new(member, Args::Read) }));
    };
    match Staged::all_there(Staged::ask(args, limits), limits) {
        Ok(body) => started(cap.into_request(Request {
            extras: Extras::of_peer(progress, limits.frame),
            ..Request::new(member, Args::Wire(body))
        })),
        Err(args) => {
            // Whoever sends a promise as an argument accepts that later calls may overtake.
            Response::handler(async move {
                let args = Args::Wire(settle(args, limits).await?);
                cap.into_request(Request {
                    extras: Extras::of_peer(progress, limits.frame),
                    ..Request::new(member, args)
                })
                .await
            })
        }
    }
}

fn started(mut response: Response) -> Response {
    response.start();
    response
}

/// Waits for all promises in a value, and in what they turn out to be, as far as the limits go.
pub(super) async fn settle(value: Payload<Staged>, limits: Unfolding) -> Result<Body, Error> {
    settle_within(value, limits, limits.depth, Arc::default()).await
}

/// What has arrived of a value that is not complete. It counts at once: what is missing may never come.
type Arrived = Arc<AtomicUsize>;

/// Counts `bytes` of a value that have arrived, and what they make the call hold.
fn count(bytes: usize, arrived: &Arrived, limits: Unfolding) -> Result<(), Error> {
    bounds::add_unfolded(bytes);
    let before = arrived.fetch_add(bytes, Ordering::Relaxed);
    if before.saturating_add(bytes) > limits.bytes { Err(too_much(limits)) } else { Ok(()) }
}

async fn settle_within(
    value: Payload<Staged>,
    limits: Unfolding,
    chain: usize,
    arrived: Arrived,
) -> Result<Body, Error> {
    let mut refs: Vec<Slot<Option<Part>>> = Vec::with_capacity(value.refs.len());
    let (mut places, mut waiting): (Vec<usize>, Vec<BoxFuture<Result<Part, Error>>>) = Default::default();
    for (at, Slot { start, end, to }) in value.refs.into_iter().enumerate() {
        let to = match to {
            Staged::Ask(ask) => ask.make(limits),
            other => other,
        };
        let part = match to {
            Staged::Cap(cap) => Some(Part::Cap(cap)),
            Staged::Asked(response) => {
                places.push(at);
                let arrived = arrived.clone();
                waiting.push(Box::pin(async move {
                    let body = response.await?.into_body()?;
                    count(unfolded_len(&body), &arrived, limits)?;
                    Ok(Part::outcome(body))
                }));
                None
            }
            Staged::Promise(promised) => {
                places.push(at);
                waiting.push(keep(promised, limits, chain, arrived.clone()));
                None
            }
            Staged::Node(node) => Some(Part::Inner(node)),
            // Making a request leaves none to be made.
            Staged::Ask(_) => None,
            Staged::Missing(_) => return Err(Error::new(ErrorKind::Decode, "it is not there")),
        };
        refs.push(Slot { start, end, to: part });
    }
    // All at once: one may be waiting for what another does.
    let mut waiting = Together::new(waiting);
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

/// Waits for a promise of the peer's, and for those in what it turns out to be.
fn keep(
    mut promised: Promised,
    limits: Unfolding,
    chain: usize,
    arrived: Arrived,
) -> BoxFuture<Result<Part, Error>> {
    Box::pin(async move {
        let gone =
            |_| Error::new(ErrorKind::Disconnected, "the connection ended before the promise was kept");
        // From here on it counts with the call.
        let Kept { outcome, bytes, untaken } = promised.outcome().await.map_err(gone)?;
        drop(untaken);
        let value = outcome?;
        let Some(chain) = chain.checked_sub(1) else {
            return Err(too_many_promises(limits.depth));
        };
        count(bytes, &arrived, limits)?;
        settle_within(value, limits, chain, arrived).await.map(Part::value)
    })
}
