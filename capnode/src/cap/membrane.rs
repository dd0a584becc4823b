//! Membranes: borders around objects. All that crosses one is wrapped.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use futures_channel::oneshot;

use super::broken::{BrokenSlot, OnBroken, Watchers, fire, relay};
use super::context::{Context as CallContext, Progress};
use super::graph::tie_within;
use super::line::{Gate, Line, enter, hold};
use super::local::{Local, RequestTarget};
use super::payload::{LivePayload, PayloadRef, flatten};
use super::policy::{
    AnyPolicy, CallInfo, Decision, Direction, Policy, Waiting, around, ask, refusal, tell, tell_outcome,
};
use super::promise::{Asked, Holder, Promise};
use super::property::PropertyRef;
use super::request::{Args, Request};
use super::response::{FirstPoll, Outcome, Reply, Response};
use super::stream::{Acknowledge, Chunk, Item, ReadEnd, Source};
use super::{Cap, Kind, depth, too_many};
use crate::bounds;
use crate::error::{Error, ErrorKind, Fate};
use crate::limits::Limits;
use crate::message::Payload;
use crate::runtime::Instant;
use crate::session::ObjectId;
use crate::sweep::Sweep;
use crate::sync::{Mutex, lock};
use crate::threads::Staying;

/// The border of a membrane.
pub(crate) struct Border {
    policy: Box<AnyPolicy>,
    state: Mutex<BorderState>,
}

#[derive(Default)]
struct BorderState {
    /// The reason of the end, once it is revoked.
    ended: Option<Error>,
    /// The wrappers by what they stand for.
    known: HashMap<(ObjectId, Side), Weak<Wrapper>>,
    sweep: Sweep,
    watchers: Watchers,
}

/// The side of a border.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    Inside,
    Outside,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Inside => Self::Outside,
            Self::Outside => Self::Inside,
        }
    }
}

/// The stand-in for a target on the other side of a border.
pub(super) struct Wrapper {
    border: Arc<Border>,
    /// The side of the target.
    side: Side,
    /// The target when it was wrapped. It may have been a promise.
    id: ObjectId,
    /// `true` for the result of a call that was passed: reading it needs no further decision.
    is_result: bool,
    /// `true` if the target may be a promise, or a part of one.
    is_promised: bool,
    /// The target; `None` once the membrane is revoked.
    target: Mutex<Option<Cap>>,
    /// What stands for the resolution of the target, once somebody has asked for it.
    resolved: OnceLock<Cap>,
    line: Line,
}

impl Border {
    pub(crate) fn new(policy: Box<AnyPolicy>) -> Arc<Self> {
        Arc::new(Self { policy, state: Mutex::default() })
    }

    /// Ends it: what has crossed works no more, and its targets are dropped.
    pub(crate) fn revoke(&self, reason: Error) {
        // That is the fate of a call that was sent. `Request::failing_with` changes it for one that was not.
        let reason = &for_both(reason).with_fate(Fate::MayHaveRun);
        let (wrappers, watchers) = {
            let mut state = lock(&self.state);
            if state.ended.is_some() {
                return;
            }
            state.ended = Some(reason.clone());
            (std::mem::take(&mut state.known), std::mem::take(&mut state.watchers))
        };
        for watcher in watchers.all() {
            fire(&watcher, reason);
        }
        let mut targets = Vec::new();
        for wrapper in wrappers.into_values().filter_map(|wrapper| wrapper.upgrade()) {
            targets.extend(lock(&wrapper.target).take());
            let mut waiting = wrapper.line.end();
            while let Some(Asked { request, sender, .. }) = waiting.pop() {
                // If it is refused, its caller has given up just now.
                drop(sender.send(Response::error(request.failing_with(reason.clone()))));
            }
        }
        depth::drop_iteratively(targets);
    }

    /// Returns the reason of the end, once it is revoked.
    pub(crate) fn ended(&self) -> Option<Error> {
        lock(&self.state).ended.clone()
    }

    /// Has `slot` called when it is revoked, at once if it is.
    fn watch(&self, slot: &BrokenSlot) {
        let ended = {
            let mut state = lock(&self.state);
            if state.ended.is_none() {
                state.watchers.add(slot);
            }
            state.ended.clone()
        };
        if let Some(error) = ended {
            fire(slot, &error);
        }
    }

    /// Takes a reference across: `from` is the side that it comes from.
    pub(crate) fn cross(self: &Arc<Self>, cap: &Cap, from: Side) -> Cap {
        let nearest = cap.nearest();
        if let Kind::Broken(error) = &nearest.0 {
            // What is in an error crosses one at a time: it may hold other references that have failed.
            if error.references().is_none() {
                return Cap::broken(for_both(error.clone()));
            }
        }
        if let Some(home) = self.unwrap(&nearest, from.other()) {
            return home;
        }
        if let Some(end) = ReadEnd::taken(&nearest) {
            if end.source.borders() >= depth::HOPS {
                return Cap::broken(too_many());
            }
            return ReadEnd::new(Box::new(ReadThrough::new(end, self, from))).cap();
        }
        self.wrapper(nearest, from, false)
    }

    /// Returns the target of a wrapper that goes back to the side of its target, or what was inside of that.
    fn unwrap(self: &Arc<Self>, cap: &Cap, to: Side) -> Option<Cap> {
        if let Kind::Property(at) = &cap.0 {
            let (of, path, getter) = at.full_parts();
            let of = depth::with_hop_limit(|| self.unwrap(&of.nearest(), to)).flatten()?;
            let path = path.clone();
            let back = if getter { PropertyRef::getter(of, path) } else { of.at_path(path) };
            return Some(back.with_kind(cap.1));
        }
        let wrapper = cap.own::<Wrapper>()?;
        if !Arc::ptr_eq(&wrapper.border, self) || wrapper.side != to {
            return None;
        }
        let target = wrapper.target();
        Some(target.unwrap_or_else(|| Cap::broken(self.closed())))
    }

    /// Returns what stands on this side for the resolution of a promise on the side `side`.
    fn stand_in(self: &Arc<Self>, resolution: Cap, side: Side) -> Cap {
        self.unwrap(&resolution, side.other()).unwrap_or_else(|| self.wrapper(resolution, side, false))
    }

    /// Returns the wrapper of a target on the side `side`: the same one as long as it lives.
    fn wrapper(self: &Arc<Self>, target: Cap, side: Side, is_result: bool) -> Cap {
        let kind = target.ref_kind();
        let id = target.object_id();
        let is_promised = matches!(target.0, Kind::Promise(_) | Kind::Property(_));
        let (border, target, line) = (self.clone(), Mutex::new(Some(target)), Line::default());
        let resolved = OnceLock::new();
        let new = Arc::new(Wrapper { border, side, id, is_result, is_promised, target, resolved, line });
        let (found, ended) = {
            let mut state = lock(&self.state);
            if state.ended.is_some() {
                (None, state.ended.clone())
            } else {
                if state.sweep.is_due(state.known.len()) {
                    state.known.retain(|_, wrapper| wrapper.strong_count() > 0);
                    let left = state.known.len();
                    state.sweep.done(left);
                }
                let known = state.known.entry((id, side)).or_default();
                let found = known.upgrade();
                if found.is_none() {
                    *known = Arc::downgrade(&new);
                }
                (found, None)
            }
        };
        match ended {
            Some(error) => Cap::broken(error),
            None => {
                let wrapper = found.unwrap_or(new);
                Cap::from_local(Local::new(wrapper, &WrapperTarget)).with_kind(kind)
            }
        }
    }

    /// Takes all references in a value across.
    pub(super) fn cross_payload(
        self: &Arc<Self>,
        body: LivePayload,
        from: Side,
    ) -> Result<LivePayload, Error> {
        if body.refs.is_empty() {
            return Ok(body);
        }
        let unfolded = body.refs.iter().find_map(|slot| match &slot.to {
            PayloadRef::Shared(node) => Some(node.graph.unfolded_bytes),
            _ => None,
        });
        let crossed = flatten(body, usize::MAX)?.map(|part| match part {
            PayloadRef::Cap(cap) => PayloadRef::Cap(self.cross(&cap, from)),
            part => part,
        });
        Ok(tie_within(crossed, unfolded.unwrap_or_else(|| Limits::default().unfolded_bytes)))
    }

    /// Takes an error across, with what is in it.
    fn cross_error(self: &Arc<Self>, error: Error, from: Side) -> Error {
        let error = error.written().without_source();
        error.map_references(|data| self.cross_payload(data, from))
    }

    /// Polls as long as it is not revoked.
    async fn until_revoked<T>(
        &self,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut ended = None;
        poll_fn(|cx| self.poll_until_revoked(&mut ended, cx, &mut poll)).await?
    }

    /// Polls, unless it is revoked. `ended` is there from the first poll on that has to wait.
    fn poll_until_revoked<T>(
        &self,
        ended: &mut Option<Ended>,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Result<T, Error>> {
        let revoked = match ended {
            None => self.ended(),
            Some(ended) => ended.poll(cx),
        };
        if let Some(error) = revoked {
            return Poll::Ready(Err(error));
        }
        let polled = poll(cx);
        if polled.is_pending() && ended.is_none() {
            if let Some(error) = ended.insert(Ended::new(self)).poll(cx) {
                return Poll::Ready(Err(error));
            }
        }
        polled.map(Ok)
    }

    /// Polls the response to a request, unless it is revoked: then it is given up, and the error says whether it may have
    /// run. A read of the target waits for a call, which may have.
    fn poll_response(
        &self,
        ended: &mut Option<Ended>,
        response: &mut Response,
        reads_target: bool,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Response, &mut Context<'_>) -> Poll<Outcome>,
    ) -> Poll<Outcome> {
        let polled = ready!(self.poll_until_revoked(ended, cx, |cx| poll(response, cx)));
        Poll::Ready(polled.unwrap_or_else(|revoked| {
            let not_sent = response.take().give_up() && !reads_target;
            Err(if not_sent { revoked.with_fate(Fate::NotSent) } else { revoked })
        }))
    }

    fn closed(&self) -> Error {
        self.ended().unwrap_or_else(|| refusal("the membrane was revoked"))
    }
}

/// Returns an error as one for both sides: its data is written, and its cause and the references in it stay behind.
fn for_both(error: Error) -> Error {
    error.written().without_source().without_references()
}

/// The end of a membrane, for something under way.
struct Ended {
    reason: oneshot::Receiver<Error>,
    _watch: OnBroken,
}

impl Ended {
    fn new(border: &Border) -> Self {
        let (sender, reason) = oneshot::channel();
        let watch = OnBroken::watching(|error| {
            // What was under way may have ended.
            let _gone = sender.send(error);
        });
        border.watch(watch.slot());
        Self { reason, _watch: watch }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Option<Error> {
        match Pin::new(&mut self.reason).poll(cx) {
            Poll::Ready(Ok(error)) => Some(error),
            Poll::Ready(Err(_)) | Poll::Pending => None,
        }
    }
}

impl Wrapper {
    fn target(&self) -> Option<Cap> {
        lock(&self.target).clone()
    }

    /// Returns what stands for the target, if that has become something else since it was wrapped.
    fn resolved(&self) -> Option<Cap> {
        if let Some(resolved) = self.resolved.get() {
            return Some(resolved.clone());
        }
        let settled = self.target()?.settled();
        if settled.object_id() == self.id {
            return None;
        }
        let stand_in = self.border.stand_in(settled, self.side);
        Some(self.resolved.get_or_init(|| stand_in).clone())
    }

    /// Makes a request of a promise, which is one of its resolution, so that it has one place among all that are made of
    /// that. `None` if the target is no promise.
    fn request_promised(&self, request: &mut Request) -> Option<Response> {
        let reads_target = request.reads_target();
        let reads_result = self.is_result && reads_target;
        let target = self.target().filter(|_| !reads_result)?;
        let nearer = target.behind_promise(request)?;
        let (border, side) = (self.border.clone(), self.side);
        let arrival = move |to, request| border.stand_in(to, side).forward(request);
        let Some(promise) = nearer.promise() else { return Some(arrival(nearer, request.take())) };
        if let Err(error) = write_request(&target, request) {
            return Some(Response::error(error));
        }
        let response = Promise::request_by(promise, request.take(), Some(Box::new(arrival)));
        let (border, mut ended) = (self.border.clone(), None);
        Some(response.followed(move |response, cx| {
            border
                .poll_response(&mut ended, response, reads_target, cx, |response, cx| response.poll(cx, None))
        }))
    }

    /// Takes all that a request carries across.
    fn cross_request(&self, target: &Cap, request: &mut Request) -> Result<(), Error> {
        write_request(target, request)?;
        let holder = self.side.other();
        request.args = match std::mem::replace(&mut request.args, Args::Read) {
            Args::Wire(args) => Args::Wire(self.border.cross_payload(args, holder)?),
            Args::Map(..) => {
                let message = "a map is not passed through a membrane as one request";
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
            args => args,
        };
        let context = &mut request.options.context;
        if let Some(progress) = context.as_ref().and_then(CallContext::progress).cloned() {
            CallContext::set_progress(context, Some(self.progress(progress)));
        }
        Ok(())
    }

    /// Returns a callback for progress that takes values across.
    fn progress(&self, progress: Progress) -> Progress {
        let (border, side) = (self.border.clone(), self.side);
        Arc::new(move |value| {
            if border.ended().is_none() {
                if let Ok(value) = border.cross_payload(value, side) {
                    progress(value);
                }
            }
        })
    }

    /// Passes a request on that the policy has passed. `call` is there if the policy is to learn the outcome.
    fn pass(self: &Arc<Self>, target: Cap, mut request: Request, mut call: Option<CallInfo>) -> Response {
        // It may have been revoked while the policy was asked, also by the policy.
        if let Some(error) = self.border.ended() {
            return Response::error(request.failing_with(error));
        }
        if let Some(call) = &call {
            call.apply_metadata(&mut request);
        }
        if std::mem::take(&mut request.options.pipelined) {
            let nearest = target.nearest();
            if nearest.pipelines() {
                return self.pass_pipelined(&nearest, request, call);
            }
        }
        let (border, side) = (self.border.clone(), self.side);
        let (began, mut ended, reads_target) = (Instant::now(), None, request.reads_target());
        let response = around(&*border.policy, call.as_ref(), Response::error, || target.forward(request));
        response.followed(move |response, cx| {
            let crossed = |reply: Reply| border.cross_payload(reply.into_body()?, side);
            let failed = |error| Poll::Ready(Err(error));
            let step = |response: &mut Response, cx: &mut Context<'_>| {
                around(&*border.policy, call.as_ref(), failed, || response.poll(cx, None))
            };
            let outcome = ready!(border.poll_response(&mut ended, response, reads_target, cx, step));
            let outcome = outcome.and_then(crossed).map(Reply::Wire);
            let outcome = outcome.map_err(|error| border.cross_error(error, side));
            if let Some(call) = &mut call {
                tell_outcome(&*border.policy, call, &outcome, began.elapsed());
            }
            Poll::Ready(outcome)
        })
    }

    /// Passes a request on whose result is used before it is there. Its outcome is never asked for, so what is told is
    /// that it was sent.
    fn pass_pipelined(&self, target: &Cap, request: Request, call: Option<CallInfo>) -> Response {
        let result = target.pipeline(request);
        let crossed = match &result.0 {
            Kind::Broken(error) => Err(self.border.cross_error(error.clone(), self.side)),
            _ => Ok(self.border.wrapper(result, self.side, true)),
        };
        if let Some(call) = call {
            tell(&*self.border.policy, &call, crossed.as_ref().map(|_| ()), Duration::ZERO);
        }
        Response::ready(crossed.map(|cap| Reply::Wire(Payload::reference(PayloadRef::Cap(cap)))))
    }

    /// Returns the parts of a reference that keeps its target otherwise than this one.
    pub(super) fn parts(&self) -> (Arc<Border>, Side, Option<Cap>) {
        (self.border.clone(), self.side, self.target())
    }
}

impl Holder for Wrapper {
    fn give_up(&self, number: u64) -> Option<Asked> {
        self.line.give_up(number)
    }
}

impl Gate for Wrapper {
    fn line(&self) -> &Line {
        &self.line
    }

    fn admit(self: &Arc<Self>, mut request: Request) -> (Response, bool) {
        let Some(target) = self.target() else {
            return (Response::error(request.failing_with(self.border.closed())), false);
        };
        if let Err(error) = self.cross_request(&target, &mut request) {
            return (Response::error(error), false);
        }
        if self.is_result && request.reads_target() {
            return (self.pass(target, request, None), false);
        }
        let direction = match self.side {
            Side::Inside => Direction::Inward,
            Side::Outside => Direction::Outward,
        };
        let mut call = CallInfo::new(target.clone(), &mut request, direction);
        let decision = ask(&*self.border.policy, &call);
        call.return_args(&mut request);
        match decision {
            Decision::Pass => (self.pass(target, request, Some(call)), false),
            Decision::Refuse(error) => (Response::error(error.with_fate(Fate::NotSent)), false),
            Decision::Wait(Waiting { mut decided, is_ordered }) => {
                let (border, wrapper) = (self.border.clone(), self.clone());
                let decided = async move { border.until_revoked(|cx| decided.as_mut().poll(cx)).await };
                let gate = is_ordered.then(|| self.clone());
                let pass = move |request| wrapper.pass(target, request, Some(call));
                hold(gate, Box::pin(decided), request, pass)
            }
        }
    }
}

/// Writes the arguments of a request, so that the references in it are seen.
fn write_request(target: &Cap, request: &mut Request) -> Result<(), Error> {
    let bytes = target.writes_within().unwrap_or(usize::MAX);
    bounds::writing(bytes, || request.args.write(bytes)).map_err(|error| request.member.explain(error))?;
    request.typed = false;
    Ok(())
}

impl Drop for Wrapper {
    fn drop(&mut self) {
        let mut state = lock(&self.border.state);
        let key = (self.id, self.side);
        if state.known.get(&key).is_some_and(|known| known.strong_count() == 0) {
            state.known.remove(&key);
        }
    }
}

/// Serves wrappers.
struct WrapperTarget;

impl RequestTarget for WrapperTarget {
    fn name(&self) -> &'static str {
        "behind a membrane"
    }

    fn watch(&self, local: &Local, slot: &BrokenSlot) -> Vec<Cap> {
        let Some(wrapper) = local.clone().downcast::<Wrapper>() else { return Vec::new() };
        wrapper.border.watch(slot);
        let target = wrapper.target();
        if let Some(target) = target {
            // Of a chain that is too long nothing is told.
            depth::with_hop_limit(|| relay(slot, for_both, |slot| target.watch(slot)));
        }
        Vec::new()
    }

    fn resolved(&self, local: &Local) -> Option<Cap> {
        let resolved = local.clone().downcast::<Wrapper>()?.resolved()?;
        Some(resolved.settled())
    }

    fn pipelines(&self, local: &Local) -> bool {
        let Some(wrapper) = local.clone().downcast::<Wrapper>() else { return false };
        let target = wrapper.target();
        let pipelines = |target: Cap| depth::with_hop_limit(|| target.nearest().pipelines());
        target.and_then(pipelines).unwrap_or(false)
    }

    fn request(&self, local: Local, request: &mut Request, _: Option<FirstPoll<'_>>) -> Response {
        match local.downcast::<Wrapper>() {
            Some(wrapper) => {
                let promised = if wrapper.is_promised { wrapper.request_promised(request) } else { None };
                promised.unwrap_or_else(|| enter(&wrapper, request.take()))
            }
            None => Response::error(refusal("the membrane is gone")),
        }
    }
}

/// The read end of a stream whose chunks cross a border.
struct ReadThrough {
    end: Arc<ReadEnd>,
    border: Arc<Border>,
    /// The side that the chunks come from.
    from: Side,
    reader: Arc<Mutex<Option<Waker>>>,
    _watch: OnBroken,
}

impl ReadThrough {
    fn new(end: Arc<ReadEnd>, border: &Arc<Border>, from: Side) -> Self {
        let reader: Arc<Mutex<Option<Waker>>> = Arc::default();
        let (waits, source) = (reader.clone(), Arc::downgrade(&end));
        let watch = OnBroken::watching(move |error| {
            if let Some(source) = source.upgrade() {
                source.source.cancel(&error);
            }
            let waker = lock(&waits).take();
            if let Some(waker) = waker {
                waker.wake();
            }
        });
        border.watch(watch.slot());
        Self { end, border: border.clone(), from, reader, _watch: watch }
    }

    fn crossed(&self, mut item: Item) -> Result<Item, Error> {
        let chunk = match std::mem::replace(&mut item.chunk, Chunk::Close) {
            Chunk::Args(mut args) => {
                args.write(bounds::writable())?;
                match args.take_written() {
                    Some(body) => Chunk::Args(Args::Wire(self.border.cross_payload(body, self.from)?)),
                    None => Chunk::Close,
                }
            }
            Chunk::Later(later) => {
                let (border, from, mut later) = (self.border.clone(), self.from, later);
                Chunk::Later(Box::pin(async move {
                    let settled = border.until_revoked(|cx| later.as_mut().poll(cx)).await;
                    border.cross_payload(settled.map_err(|error| border.cross_error(error, from))?, from)
                }))
            }
            Chunk::Close => Chunk::Close,
        };
        let told = item
            .take_acknowledge()
            .map(|told| -> Acknowledge { Box::new(move |fate| told(fate.map_err(for_both))) });
        Ok(Item::new(chunk, told))
    }
}

impl Source for ReadThrough {
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Item, Error>>> {
        // Wakers are user code, so the former one is dropped after the guard.
        let former = lock(&self.reader).replace(cx.waker().clone());
        drop(former);
        if let Some(error) = self.border.ended() {
            return Poll::Ready(Some(Err(error)));
        }
        let crossed = |next: Result<Item, Error>| match next {
            Ok(item) => self.crossed(item),
            Err(error) => Err(self.border.cross_error(error, self.from)),
        };
        self.end.source.poll_next(cx).map(|next| next.map(crossed))
    }

    fn cancel(&self, reason: &Error) {
        self.end.source.cancel(&for_both(reason.clone()));
    }

    fn borders(&self) -> usize {
        self.end.source.borders() + 1
    }
}

/// A border around objects, which its [`Policy`] guards.
///
/// All that crosses is wrapped, in both directions and under the same policy: what a call gives, its arguments,
/// callbacks, promises, streams and their chunks, the values of properties, and the functions in a record. A reference
/// that goes back to the side that it comes from is unwrapped, so that an object knows itself.
///
/// [`membrane`](crate::membrane()) makes one for one reference. With this type you can end it:
///
/// ```
/// use capnode::{Error, Membrane};
///
/// #[capnode::interface]
/// trait Door {
///     async fn open(&self) -> bool;
/// }
///
/// struct House;
///
/// impl Door for House {
///     async fn open(&self) -> bool {
///         true
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let (lent, membrane) = capnode::revocable(DoorClient::new(House));
/// assert!(lent.open().await?);
///
/// membrane.revoke(Error::rejected("moved out"));
/// assert_eq!(lent.open().await.unwrap_err().message(), "moved out");
/// # Ok(())
/// # }
/// ```
///
/// Dropping this ends nothing.
#[derive(Clone)]
pub struct Membrane(Arc<Border>);

impl Membrane {
    /// Creates a membrane with a policy.
    pub fn new(policy: impl Policy) -> Self {
        Self(Border::new(Box::new(Staying::new(policy))))
    }

    /// Returns the stand-in for a reference of the inside.
    pub(crate) fn wrap_cap(&self, cap: &Cap) -> Cap {
        self.0.cross(cap, Side::Inside)
    }

    /// Returns a way to its border that does not keep it.
    #[cfg(feature = "sturdy")]
    pub(crate) fn downgrade(&self) -> Weak<Border> {
        Arc::downgrade(&self.0)
    }

    /// Ends all that has crossed, at once and for good: calls fail with `reason`, those under way as well, streams end,
    /// and [`Cap::on_broken`] tells in this program. A remote holder learns of it by the next call. What was wrapped is
    /// dropped.
    pub fn revoke(&self, reason: Error) {
        self.0.revoke(reason);
    }

    /// Returns `true` once it is revoked.
    pub fn is_revoked(&self) -> bool {
        self.0.ended().is_some()
    }
}

impl fmt::Debug for Membrane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membrane").field("revoked", &self.is_revoked()).finish_non_exhaustive()
    }
}
