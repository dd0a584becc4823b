//! Layers: policies at the edge of a connection, which wrap nothing.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker, ready};

use super::Cap;
use super::edge::Edge;
use super::line::{Gate, Line, enter, hold};
use super::meter::{Counted, Meter};
use super::policy::{
    AnyPolicy, CallInfo, Decision, Direction, around, ask, is_idle, meter_of, panicked, tell_outcome,
};
use super::promise::{Asked, Holder, Promise};
use super::request::Request;
use super::response::{FirstPoll, Response};
use crate::error::Fate;
use crate::message::ReturnMode;
use crate::runtime::Instant;
use crate::session::ObjectId;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, lock};

/// The policy of one connection, and the calls that it holds back.
pub(crate) struct Layer {
    policy: Arc<AnyPolicy>,
    /// The references on which a call waits for its decision.
    held: Mutex<HashMap<(ObjectId, bool), Weak<Held>>>,
    /// The number of these, and of those about to be there. Read without the lock.
    count: AtomicUsize,
}

/// A reference on which a call waits for its decision.
struct Held {
    layer: Arc<Layer>,
    way: Way,
    key: (ObjectId, bool),
    line: Line,
}

/// The direction of a call, with its target.
#[derive(Clone)]
enum Way {
    In(Cap),
    Out(Cap, ReturnMode),
}

impl Way {
    fn direction(&self) -> Direction {
        match self {
            Way::In(_) => Direction::Inward,
            Way::Out(..) => Direction::Outward,
        }
    }

    fn target(&self) -> Cap {
        match self {
            Way::In(target) | Way::Out(target, _) => target.clone(),
        }
    }

    /// An id that is equal for calls whose order matters. The target is no promise, which may become something else.
    fn key(&self) -> (ObjectId, bool) {
        (self.target().object_id(), matches!(self, Way::In(_)))
    }

    /// The way of a call that has waited: it is awaited, whoever uses its result.
    fn awaited(self) -> Self {
        match self {
            Way::Out(target, _) => Way::Out(target, ReturnMode::Streamed),
            way @ Way::In(_) => way,
        }
    }

    /// Delivers a request. A call that is `counted` is so with its answer, if one is expected.
    fn deliver(
        self,
        request: &mut Request,
        first: Option<FirstPoll<'_>>,
        counted: Option<&mut Option<Counted>>,
    ) -> Response {
        match self {
            Way::In(mut target) => target.deliver(request, first),
            Way::Out(mut target, mode) => match target.import() {
                Some(import) => import.send(request, mode, first.map(|first| first.waker), counted),
                None => target.deliver(request, first),
            },
        }
    }
}

impl Layer {
    pub(crate) fn new(policy: Arc<AnyPolicy>) -> Arc<Self> {
        Arc::new(Self { policy, held: Mutex::default(), count: AtomicUsize::new(0) })
    }

    fn cross(self: Arc<Self>, way: Way, request: &mut Request, first: Option<FirstPoll<'_>>) -> Response {
        if self.count.load(Ordering::SeqCst) > 0 {
            let held = lock(&self.held).get(&way.key()).and_then(Weak::upgrade);
            if let Some(held) = held {
                return enter(&held, request.take());
            }
        }
        self.admit(way, request, first, None).0
    }

    /// Asks about a request. Returns `true` beside the response if others of the reference have to wait for it.
    fn admit(
        self: &Arc<Self>,
        way: Way,
        request: &mut Request,
        first: Option<FirstPoll<'_>>,
        held: Option<&Arc<Held>>,
    ) -> (Response, bool) {
        let mut call = CallInfo::new(way.target(), request, way.direction());
        let decision = ask(&*self.policy, &call);
        call.return_args(request);
        match decision {
            Decision::Pass => (self.pass(way, request, first, call), false),
            Decision::Refuse(error) => (Response::error(error.with_fate(Fate::NotSent)), false),
            Decision::Wait(decided) => {
                let way = way.awaited();
                let held = || held.map_or_else(|| self.hold(&way), Arc::clone);
                let held = decided.is_ordered.then(held);
                let layer = self.clone();
                let pass = move |mut request: Request| layer.pass(way, &mut request, None, call);
                hold(held, decided.decided, request.take(), pass)
            }
        }
    }

    /// Returns the line of a reference.
    fn hold(self: &Arc<Self>, way: &Way) -> Arc<Held> {
        let key = way.key();
        let new = Arc::new(Held { layer: self.clone(), way: way.clone(), key, line: Line::default() });
        self.count.fetch_add(1, Ordering::SeqCst);
        let mut held = lock(&self.held);
        let entry = held.entry(key).or_default();
        let found = entry.upgrade();
        if found.is_none() {
            *entry = Arc::downgrade(&new);
        }
        drop(held);
        found.unwrap_or(new)
    }

    /// Makes a request that the policy has passed.
    fn pass(
        self: &Arc<Self>,
        way: Way,
        request: &mut Request,
        first: Option<FirstPoll<'_>>,
        mut call: CallInfo,
    ) -> Response {
        call.apply_metadata(request);
        let began = Instant::now();
        let deliver = || way.deliver(request, first, None);
        let response = match around(&*self.policy, Some(&call), Response::error, deliver).outcome_now() {
            Ok(outcome) => {
                tell_outcome(&*self.policy, &mut call, &outcome, began.elapsed());
                return Response::ready(outcome);
            }
            Err(response) => response,
        };
        let policy = self.policy.clone();
        response.followed(move |response, cx| {
            let failed = |error| Poll::Ready(Err(error));
            let outcome = ready!(around(&*policy, Some(&call), failed, || response.poll(cx, None)));
            tell_outcome(&*policy, &mut call, &outcome, began.elapsed());
            Poll::Ready(outcome)
        })
    }
}

impl Edge for Layer {
    fn is_idle(&self) -> bool {
        self.count.load(Ordering::SeqCst) == 0 && is_idle(&*self.policy)
    }

    fn meter(&self) -> Option<&dyn Meter> {
        if self.count.load(Ordering::SeqCst) == 0 { meter_of(&*self.policy) } else { None }
    }

    fn take_in(
        self: Arc<Self>,
        mut target: Cap,
        request: &mut Request,
        first: Option<FirstPoll<'_>>,
    ) -> Response {
        // What is asked of a promise is asked of its resolution, so that it has one place among all that is.
        while let Some(nearer) = target.behind_promise(request) {
            if let Some(promise) = nearer.promise() {
                let arrival = move |to, mut request: Request| self.take_in(to, &mut request, None);
                return Promise::request_by(promise, request.take(), Some(Box::new(arrival)));
            }
            target = nearer;
        }
        self.cross(Way::In(target), request, first)
    }

    fn send(
        self: Arc<Self>,
        target: Cap,
        request: &mut Request,
        mode: ReturnMode,
        waker: Option<&Waker>,
    ) -> Response {
        let way = Way::Out(target, mode);
        let Some(meter) = self.meter() else { return self.cross(way, request, None) };
        // To count, the method is enough.
        let entry = request.member.table_entry();
        let mut counted = match Counted::begin(meter, entry, way.direction(), request.args.len()) {
            Ok(counted) => Some(counted),
            Err(id) => return Response::error(panicked(&id)),
        };
        let first = waker.map(|waker| FirstPoll { waker, place: None });
        let response = way.deliver(request, first, Some(&mut counted));
        match counted {
            // It has no answer that would be counted.
            Some(counted) => counted.watch(response),
            None => response,
        }
    }
}

impl Holder for Held {
    fn give_up(&self, number: u64) -> Option<Asked> {
        self.line.give_up(number)
    }
}

impl Gate for Held {
    fn line(&self) -> &Line {
        &self.line
    }

    fn admit(self: &Arc<Self>, mut request: Request) -> (Response, bool) {
        self.layer.admit(self.way.clone(), &mut request, None, Some(self))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = lock(&self.layer.held);
        if held.get(&self.key).is_some_and(|held| held.strong_count() == 0) {
            held.remove(&self.key);
        }
        self.layer.count.fetch_sub(1, Ordering::SeqCst);
    }
}
