//! Requests of one reference of which an earlier one waits for a decision.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::inbound::{ENTRY, HeldBytes};
use super::policy::{panicked, refusal};
use super::promise::{Asked, Holder, Requests};
use super::request::{Member, Request};
use super::response::{Method, Outcome, Response, ResultSlot};
use crate::error::{Error, Fate};
use crate::panics::catch_panic;
use crate::runtime::BoxFuture;
use crate::sync::{Mutex, lock};

/// The requests of one reference that wait behind one that waits for its decision.
#[derive(Default)]
pub(super) struct Line(Mutex<LineState>);

#[derive(Default)]
struct LineState {
    /// The number of requests that wait for their decisions. Several do if threads asked about them at the same time.
    undecided: usize,
    waiting: Requests,
}

impl Line {
    /// Takes out the request with this number, if it still waits.
    pub(super) fn give_up(&self, number: u64) -> Option<Asked> {
        lock(&self.0).waiting.give_up(number)
    }

    /// Ends the waiting. Returns the requests that still wait.
    pub(super) fn end(&self) -> Requests {
        std::mem::take(&mut *lock(&self.0)).waiting
    }
}

/// Something that asks about the requests of one reference.
pub(super) trait Gate: Holder + 'static {
    fn line(&self) -> &Line;

    /// Asks about a request. Returns `true` beside the response if others have to wait for it.
    fn admit(self: &Arc<Self>, request: Request) -> (Response, bool);
}

/// The turn of a request that waits for a decision. Dropping it lets the next one have its turn.
struct Turn<G: Gate>(Arc<G>);

impl<G: Gate> Drop for Turn<G> {
    fn drop(&mut self) {
        advance(&self.0);
    }
}

/// Makes a request in its turn.
pub(super) fn enter<G: Gate>(gate: &Arc<G>, request: Request) -> Response {
    {
        let mut line = lock(&gate.line().0);
        if line.undecided > 0 {
            // It lives as long as the decision is waited for.
            let (counted, holder) = (undecided_bytes(&request), Arc::downgrade(gate));
            return line.waiting.push(request, holder, None, counted);
        }
    }
    gate.admit(request).0
}

/// A request that waits for its decision, and then for its outcome.
struct Held<G: Gate> {
    decided: BoxFuture<Result<(), Error>>,
    /// Makes the request; `None` once it is decided about.
    pass: Option<Box<dyn FnOnce() -> Response + Send>>,
    turn: Option<Turn<G>>,
    /// The bytes of the request, if it is a peer's; `None` once it is decided about.
    counted: Option<HeldBytes>,
    response: Option<Response>,
}

impl<G: Gate> Method for Held<G> {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, place: ResultSlot<'_>) -> Poll<Outcome> {
        if let Some(response) = &mut self.response {
            return response.poll(cx, place);
        }
        let decided = catch_panic("a policy", || self.decided.as_mut().poll(cx));
        let decided = ready!(decided.unwrap_or_else(|id| Poll::Ready(Err(panicked(&id)))));
        let mut response = match (decided, self.pass.take()) {
            (Ok(()), Some(pass)) => pass().started(),
            (Err(error), _) => Response::error(error.with_fate(Fate::NotSent)),
            (Ok(()), None) => Response::error(refusal("it was decided about before")),
        };
        self.counted = None;
        // The others go after it.
        self.turn = None;
        let polled = response.poll(cx, place);
        self.response = Some(response);
        polled
    }

    fn give_up(mut self: Pin<&mut Self>) -> bool {
        self.response.take().is_none_or(Response::give_up)
    }
}

/// Counts the bytes of a request that waits for a decision among those of the connection of its caller.
fn undecided_bytes(request: &Request) -> Option<HeldBytes> {
    let all = request.options.context.as_ref()?.undecided()?;
    let member = match &request.member {
        Member::Path(path) => path.len(),
        Member::Method(..) => 0,
    };
    Some(HeldBytes::new(all, request.args.len() + member + ENTRY))
}

/// Waits for the decision about a request, which `pass` makes. Later ones of `gate` wait for it. Returns `true` beside the
/// response if there is a gate.
pub(super) fn hold<G: Gate>(
    gate: Option<Arc<G>>,
    decided: BoxFuture<Result<(), Error>>,
    request: Request,
    pass: impl FnOnce(Request) -> Response + Send + 'static,
) -> (Response, bool) {
    let (counted, pass) = (undecided_bytes(&request), Box::new(move || pass(request)));
    let turn = gate.map(|gate| {
        lock(&gate.line().0).undecided += 1;
        Turn(gate)
    });
    let waits = turn.is_some();
    let held = Held { decided, pass: Some(pass), turn, counted, response: None };
    (Response::of_method(Box::pin(held)), waits)
}

/// Ends the turn of a request. After the last one, lets the requests that wait have theirs, up to one that waits for its
/// decision.
fn advance<G: Gate>(gate: &Arc<G>) {
    loop {
        let next = {
            let mut line = lock(&gate.line().0);
            // Others wait for their decisions, or it has come to its end.
            let is_last = line.undecided <= 1;
            let next = if is_last { line.waiting.pop() } else { None };
            if next.is_none() {
                line.undecided = line.undecided.saturating_sub(1);
            }
            next
        };
        let Some(Asked { request, sender, .. }) = next else { return };
        if sender.is_canceled() {
            continue;
        }
        let (response, waits) = gate.admit(request);
        let response = if waits { response } else { response.started() };
        // If it is refused, its caller has given up just now; dropping it cancels.
        drop(sender.send(response));
    }
}
