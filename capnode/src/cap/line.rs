//! Requests of one reference of which an earlier one waits for a decision.

use std::future::Future;
use std::sync::Arc;

use super::promise::{Asked, Holder, Requests};
use super::request::Request;
use super::response::Response;
use crate::error::{Error, Fate};
use crate::sync::{Mutex, lock};

/// The requests of one reference that wait behind one that waits for its decision.
#[derive(Default)]
pub(super) struct Line(Mutex<LineState>);

#[derive(Default)]
struct LineState {
    /// `true` while a request waits for its decision.
    busy: bool,
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
        if line.busy {
            // It lives as long as the decision is waited for.
            let holder = Arc::downgrade(gate);
            return line.waiting.push(request, holder);
        }
    }
    gate.admit(request).0
}

/// Waits for the decision about a request, which `pass` makes. Later ones wait for it.
pub(super) fn hold<G: Gate>(
    gate: Arc<G>,
    decided: impl Future<Output = Result<(), Error>> + Send + 'static,
    pass: impl FnOnce() -> Response + Send + 'static,
) -> Response {
    lock(&gate.line().0).busy = true;
    let turn = Turn(gate);
    Response::handler(async move {
        let response = match decided.await {
            Ok(()) => pass().started(),
            Err(error) => Response::error(error.with_fate(Fate::NotSent)),
        };
        drop(turn);
        response.outcome().await
    })
}

/// Lets the requests that wait have their turns, up to one that waits for its decision.
fn advance<G: Gate>(gate: &Arc<G>) {
    loop {
        let next = {
            let mut line = lock(&gate.line().0);
            let next = line.waiting.pop();
            line.busy = next.is_some();
            next
        };
        let Some((request, sender)) = next else { return };
        if sender.is_canceled() {
            continue;
        }
        let (response, waits) = gate.admit(request);
        let response = if waits { response } else { response.started() };
        // If it is refused, its caller has given up just now; dropping it cancels.
        drop(sender.send(response));
        if waits {
            return;
        }
    }
}
