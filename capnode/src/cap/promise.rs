//! Promises made in this program. Requests to a promise wait in order until it is resolved.

use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, Weak};
use std::task::{Context, Poll};

use futures_channel::oneshot;

use super::broken::{BrokenSlot, Watchers};
use super::data::to_cap;
use super::inbound::HeldBytes;
use super::request::Request;
use super::response::{self, Outcome, Reply, Response};
use super::{Cap, depth, too_many_hops};
use crate::error::{Error, ErrorKind};
use crate::sync::{Mutex, lock};

pub(crate) struct Promise {
    state: Mutex<State>,
}

enum State {
    Waiting {
        requests: Requests,
        watchers: Watchers,
        /// The resolution before it is known not to lead back to the promise: only the search for cycles follows it.
        named: Option<Cap>,
    },
    /// The resolution is known, and the queued requests are being passed on to it. Requests made meanwhile have to go
    /// after them.
    Passing {
        requests: Requests,
        to: Cap,
    },
    Resolved(Cap),
}

impl State {
    fn new() -> Self {
        State::Waiting { requests: Requests::default(), watchers: Watchers::default(), named: None }
    }
}

/// The waiting requests, in their order.
#[derive(Default)]
pub(super) struct Requests {
    line: VecDeque<Waiting>,
    /// The number of requests that have come.
    last: u64,
    /// The number of requests in the line that have been given up.
    given_up: usize,
}

struct Waiting {
    number: u64,
    /// The request; `None` once it has been given up.
    asked: Option<Asked>,
}

/// A request that waits, with the receiver of its response.
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) sender: oneshot::Sender<Response>,
    /// The way to the resolution of a promise, if the request does not go there straight.
    arrival: Option<Arrival>,
}

/// Makes a request of the resolution of a promise.
pub(super) type Arrival = Box<dyn FnOnce(Cap, Request) -> Response + Send>;

/// A holder of requests that wait.
pub(super) trait Holder: Send + Sync {
    /// Takes out the request with this number, if it still waits.
    fn give_up(&self, number: u64) -> Option<Asked>;
}

impl Requests {
    /// Has a request wait in `holder`, which holds these. So long its bytes are `counted`.
    pub(super) fn push(
        &mut self,
        request: Request,
        holder: Weak<dyn Holder>,
        arrival: Option<Arrival>,
        counted: Option<HeldBytes>,
    ) -> Response {
        self.last += 1;
        let (sender, response) = oneshot::channel();
        let asked = Some(Asked { request, sender, arrival });
        self.line.push_back(Waiting { number: self.last, asked });
        let queued = QueuedRequest { holder: Some(holder), number: self.last, response, counted };
        Response(response::State::Queued(queued))
    }

    pub(super) fn pop(&mut self) -> Option<Asked> {
        loop {
            let Waiting { asked, .. } = self.line.pop_front()?;
            if asked.is_some() {
                return asked;
            }
            self.given_up -= 1;
        }
    }

    pub(super) fn give_up(&mut self, number: u64) -> Option<Asked> {
        let at = self.line.binary_search_by_key(&number, |waiting| waiting.number).ok()?;
        let asked = self.line.get_mut(at)?.asked.take()?;
        self.given_up += 1;
        if self.given_up > self.line.len() / 2 {
            self.line.retain(|waiting| waiting.asked.is_some());
            self.line.shrink_to(2 * self.line.len());
            self.given_up = 0;
        }
        Some(asked)
    }
}

/// A request that waits in a queue. Dropping it takes the request out: the holder may live on for long.
pub(super) struct QueuedRequest {
    /// The holder, until the request has left its queue.
    holder: Option<Weak<dyn Holder>>,
    number: u64,
    response: oneshot::Receiver<Response>,
    /// Bytes that are counted as long as it waits.
    counted: Option<HeldBytes>,
}

impl QueuedRequest {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response, oneshot::Canceled>> {
        let polled = Pin::new(&mut self.response).poll(cx);
        if polled.is_ready() {
            (self.holder, self.counted) = (None, None);
        }
        polled
    }

    /// Takes the request out of the queue. Returns `true` if it still waited.
    pub(super) fn give_up(&mut self) -> bool {
        let holder = self.holder.take().and_then(|holder| holder.upgrade());
        let asked = holder.and_then(|holder| holder.give_up(self.number));
        let waited = asked.is_some();
        depth::drop_iteratively(asked);
        waited
    }
}

impl Drop for QueuedRequest {
    fn drop(&mut self) {
        if self.holder.is_some() {
            self.give_up();
        }
    }
}

impl Holder for Promise {
    fn give_up(&self, number: u64) -> Option<Asked> {
        match &mut *lock(&self.state) {
            State::Waiting { requests, .. } | State::Passing { requests, .. } => requests.give_up(number),
            State::Resolved(_) => None,
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        // It may be a link of a long chain.
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        depth::drop_iteratively(std::mem::replace(state, State::new()));
    }
}

impl Promise {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State::new()) })
    }

    /// Returns a promise for the outcome of a response. The response is driven from now on.
    pub(crate) fn of_response(response: Response) -> Cap {
        match response.start_unawaited() {
            Ok(outcome) => result_of(outcome),
            Err(response) => {
                let promise = Promise::new();
                promise.drive(response);
                Cap::from_promise(promise)
            }
        }
    }

    /// Makes the promise one for the outcome of a response. The response is driven from now on.
    pub(crate) fn follow(self: &Arc<Self>, response: Response) {
        match response.start_unawaited() {
            Ok(outcome) => self.resolve(result_of(outcome)),
            Err(response) => self.drive(response),
        }
    }

    fn drive(self: &Arc<Self>, response: Response) {
        let promise = self.clone();
        let driving = async move { promise.resolve(result_of(response.outcome().await)) };
        if let Err(error) = crate::runtime::spawn(driving) {
            self.resolve(Cap::broken(error));
        }
    }

    /// The resolution of the promise, once all requests in its queue have been passed on.
    pub(crate) fn resolution(&self) -> Option<Cap> {
        match &*lock(&self.state) {
            State::Resolved(cap) => Some(cap.clone()),
            _ => None,
        }
    }

    pub(crate) fn request(this: &Arc<Self>, request: Request) -> Response {
        Self::request_by(this, request, None)
    }

    /// Makes a request, by way of `arrival` if there is one, once the promise is resolved.
    pub(super) fn request_by(this: &Arc<Self>, request: Request, arrival: Option<Arrival>) -> Response {
        let cap = {
            let mut state = lock(&this.state);
            match &mut *state {
                State::Waiting { requests, .. } | State::Passing { requests, .. } => {
                    let holder = Arc::downgrade(this);
                    return requests.push(request, holder, arrival, None);
                }
                State::Resolved(cap) => cap.clone(),
            }
        };
        arrive(cap.nearest(), request, arrival)
    }

    /// Has `slot` called when the promise breaks. Once it is resolved, returns the reference to watch instead.
    pub(super) fn watch(&self, slot: &BrokenSlot) -> Option<Cap> {
        match &mut *lock(&self.state) {
            State::Waiting { watchers, .. } => {
                watchers.add(slot);
                None
            }
            State::Passing { to, .. } => Some(to.clone()),
            State::Resolved(cap) => Some(cap.clone()),
        }
    }

    /// The promise stands for `cap` from now on. The second time nothing happens.
    ///
    /// Each promise names its resolution before it looks for a cycle, so that of several that are resolved to each other
    /// at the same time the last one to do so finds all others named. No lock has to be held over the search.
    pub(crate) fn resolve(self: &Arc<Self>, cap: Cap) {
        let cap = cap.nearest();
        match &mut *lock(&self.state) {
            State::Waiting { named: named @ None, .. } => *named = Some(cap.clone()),
            _ => return,
        }
        let to = if self.leads_to_itself(&cap) {
            Cap::broken(Error::new(ErrorKind::Unresolved, "the promise was resolved to itself"))
        } else {
            cap
        };
        let (named, watchers) = {
            let mut state = lock(&self.state);
            let State::Waiting { requests, watchers, named } = &mut *state else { return };
            let (requests, watchers) = (std::mem::take(requests), std::mem::take(watchers));
            let named = named.take();
            *state = State::Passing { requests, to: to.clone() };
            (named, watchers)
        };
        drop(named);
        self.forward(&to);
        for watcher in watchers.all() {
            to.watch(&watcher);
        }
    }

    fn forward(&self, to: &Cap) {
        loop {
            let next = {
                let mut state = lock(&self.state);
                let State::Passing { requests, .. } = &mut *state else { return };
                let next = requests.pop();
                if next.is_none() {
                    *state = State::Resolved(to.clone());
                }
                next
            };
            let Some(Asked { request, sender, arrival }) = next else { return };
            // The caller has given up before anything began.
            if sender.is_canceled() {
                continue;
            }
            // A handler begins when it is first polled, and these begin in their order.
            let started = arrive(to.clone(), request, arrival).started();
            // If it is refused, its caller has given up just now; dropping it cancels.
            drop(sender.send(started));
        }
    }

    /// `true` if the promise would come to stand for itself, perhaps through others.
    fn leads_to_itself(self: &Arc<Self>, cap: &Cap) -> bool {
        let mut cap = cap.clone();
        let mut passed = HashSet::new();
        #[cfg(feature = "tokio")]
        let mut slots = HashSet::new();
        loop {
            if let Some(at) = cap.as_property() {
                cap = at.parts().0.clone();
                continue;
            }
            #[cfg(feature = "tokio")]
            if let Some(slot) = cap.as_durable() {
                if !slots.insert(Arc::as_ptr(slot)) {
                    return false;
                }
                cap = slot.target();
                continue;
            }
            let Some(promise) = cap.promise() else { return false };
            if Arc::ptr_eq(promise, self) {
                return true;
            }
            // One of the promises in a cycle of others is about to break it.
            if !passed.insert(Arc::as_ptr(promise)) {
                return false;
            }
            let next = match &*lock(&promise.state) {
                State::Passing { to, .. } => Some(to.clone()),
                State::Resolved(cap) => Some(cap.clone()),
                State::Waiting { named, .. } => named.clone(),
            };
            match next {
                Some(next) => cap = next,
                None => return false,
            }
        }
    }
}

fn arrive(to: Cap, request: Request, arrival: Option<Arrival>) -> Response {
    match arrival {
        None => to.forward(request),
        Some(arrival) => depth::with_hop_limit(|| arrival(to, request)).unwrap_or_else(too_many_hops),
    }
}

pub(super) fn result_of(outcome: Outcome) -> Cap {
    outcome.and_then(Reply::into_body).map_or_else(Cap::broken, to_cap)
}
