//! Values of the peer's in which promises stand that have to become values before delivery.

use std::future::poll_fn;
use std::task::Poll;

use futures_channel::oneshot;

use super::pending::Arrived;
use crate::cap::graph::tie;
use crate::cap::payload::{Body, Part, check_extent};
use crate::cap::progress::Progress;
use crate::cap::request::{Args, Member, Request};
use crate::cap::response::Response;
use crate::cap::{BoxFuture, Cap};
use crate::error::{Error, ErrorKind, Fault};
use crate::op::{Path, Payload, Slot};

/// What stands in the place of a reference in a message that has been taken in.
pub(super) enum Staged {
    Cap(Cap),
    /// Something to ask for: first all of a message is taken in, then its requests are made.
    Ask(Box<Ask>),
    /// Asked for.
    Asked(Response),
    /// A promise of the peer's.
    Promise(oneshot::Receiver<Arrived>),
    /// One of the nodes of the payload that this stands in.
    Node(usize),
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
    pub(super) fn ask(value: Payload<Staged>, bytes: usize) -> Payload<Staged> {
        if value.refs.iter().all(|slot| !matches!(slot.to, Staged::Ask(_))) {
            return value;
        }
        value.map(|staged| match staged {
            Staged::Ask(ask) => ask.make(bytes),
            other => other,
        })
    }

    /// How many calls and reads stand in a value.
    pub(super) fn requests(value: &Payload<Staged>) -> usize {
        let of = |slot: &Slot<Staged>| match &slot.to {
            Staged::Ask(ask) => 1 + ask.args.as_ref().map_or(0, Staged::requests),
            _ => 0,
        };
        value.refs.iter().map(of).sum()
    }

    /// The value, if no promise stands in it.
    pub(super) fn all_there(value: Payload<Staged>) -> Result<Body, Payload<Staged>> {
        if value.refs.iter().any(|slot| !matches!(slot.to, Staged::Cap(_) | Staged::Node(_))) {
            return Err(value);
        }
        let mut refs = Vec::with_capacity(value.refs.len());
        for Slot { start, end, to } in value.refs {
            let to = match to {
                Staged::Cap(cap) => Part::Cap(cap),
                Staged::Node(node) => Part::Inner(node),
                // Looked for above.
                Staged::Ask(_) | Staged::Asked(_) | Staged::Promise(_) => continue,
            };
            refs.push(Slot { start, end, to });
        }
        Ok(tie(Payload { text: value.text, refs, nodes: value.nodes }))
    }
}

impl Ask {
    fn make(self, bytes: usize) -> Staged {
        let Ask { cap, path, args, awaited } = self;
        if args.is_none() && !awaited {
            return Staged::Cap(cap.at_path(path));
        }
        if !awaited {
            // Nobody could cancel it, and no peer makes one.
            let message = "a call inside a value is made by `pipeline`, not by `import`";
            return Staged::Cap(Cap::broken(Error::rejected(message)));
        }
        Staged::Asked(make_request(&cap, path, args, bytes, None))
    }
}

/// Calls, or without arguments reads, a member, once all that stands in the arguments is there. They may come to
/// so many bytes.
pub(super) fn make_request(
    cap: &Cap,
    path: Path,
    args: Option<Payload<Staged>>,
    bytes: usize,
    progress: Option<Progress>,
) -> Response {
    let member = Member::Path(path);
    let Some(args) = args else {
        return started(cap.request(Request::new(member, Args::Read)));
    };
    match Staged::all_there(Staged::ask(args, bytes)) {
        Ok(body) => started(cap.request(Request { progress, ..Request::new(member, Args::Wire(body)) })),
        Err(args) => {
            // Whoever sends a promise as an argument accepts that later calls may overtake.
            let cap = cap.clone();
            Response::handler(async move {
                let args = Args::Wire(settle(args, bytes).await?);
                cap.request(Request { progress, ..Request::new(member, args) }).await
            })
        }
    }
}

fn started(mut response: Response) -> Response {
    response.start();
    response
}

/// Waits for all promises in a value, and in what they turn out to be, which may come to so many bytes.
pub(super) async fn settle(value: Payload<Staged>, bytes: usize) -> Result<Body, Error> {
    settle_within(value, bytes, CHAIN).await
}

/// How many promises may turn out to be values with promises in them, one in the other. Each costs
/// the stack of one.
const CHAIN: usize = 64;

async fn settle_within(value: Payload<Staged>, bytes: usize, chain: usize) -> Result<Body, Error> {
    let mut refs: Vec<Slot<Option<Part>>> = Vec::with_capacity(value.refs.len());
    let mut waiting: Vec<(usize, BoxFuture<Result<Part, Error>>)> = Vec::new();
    for (at, Slot { start, end, to }) in value.refs.into_iter().enumerate() {
        let to = match to {
            Staged::Ask(ask) => ask.make(bytes),
            other => other,
        };
        let part = match to {
            Staged::Cap(cap) => Some(Part::Cap(cap)),
            Staged::Asked(response) => {
                waiting.push((at, Box::pin(async { response.await?.into_body().map(Part::value) })));
                None
            }
            Staged::Promise(outcome) => {
                waiting.push((at, keep(outcome, bytes, chain)));
                None
            }
            Staged::Node(node) => Some(Part::Inner(node)),
            // Making a request leaves none to be made.
            Staged::Ask(_) => None,
        };
        refs.push(Slot { start, end, to: part });
    }
    // All at once: one may be waiting for what another does.
    poll_fn(|cx| {
        let mut failed = None;
        waiting.retain_mut(|(at, part)| match part.as_mut().poll(cx) {
            Poll::Pending => true,
            Poll::Ready(Ok(part)) => {
                refs[*at].to = Some(part);
                false
            }
            Poll::Ready(Err(error)) => {
                failed.get_or_insert(error);
                false
            }
        });
        match failed {
            Some(error) => Poll::Ready(Err(error)),
            None if waiting.is_empty() => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    })
    .await?;
    let settled = refs.into_iter().filter_map(|Slot { start, end, to }| to.map(|to| Slot { start, end, to }));
    check_extent(Payload { text: value.text, refs: settled.collect(), nodes: value.nodes }, bytes).map(tie)
}

/// Waits for a promise of the peer's, and for those in what it turns out to be.
fn keep(outcome: oneshot::Receiver<Arrived>, bytes: usize, chain: usize) -> BoxFuture<Result<Part, Error>> {
    Box::pin(async move {
        let gone =
            |_| Error::new(ErrorKind::Disconnected, "the connection ended before the promise was kept");
        let value = outcome.await.map_err(gone)??;
        let Some(chain) = chain.checked_sub(1) else {
            let message = format!("a value came as a promise in a promise, more than {CHAIN} times");
            return Err(Error::new(ErrorKind::Limit, message).with_fault(Fault::Peer));
        };
        settle_within(value, bytes, chain).await.map(Part::value)
    })
}
