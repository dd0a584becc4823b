//! Calls by way of the slots of durable references, which are sent again if that does no harm.

use std::cell::RefCell;
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use futures_channel::oneshot;

use super::context::Context as CallContext;
use super::durable::{Again, Durable, DurableState, Phase, Source, Waits, down};
use super::import::Import;
use super::interface::Interface;
use super::payload::PayloadRef;
use super::promise::result_of;
use super::request::{Args, CallOptions, Member, Request};
use super::response::{FirstPoll, Outcome, Reply, Response, ResultSlot, State};
use super::{Cap, Kind, depth, too_many};
use crate::bounds;
use crate::error::{Error, ErrorKind, Fate};
use crate::message::{Path, Payload, Text};
use crate::runtime::{self, Instant};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, lock, thread_local};

/// The present reference of a slot.
struct Present {
    epoch: u64,
    cap: Cap,
    /// `true` if it is a promise for which calls wait.
    awaited: bool,
}

/// The reference that a durable one stands for at present, or the promise of the next one: calls on it go to one connection,
/// and none is sent again.
#[cfg(feature = "sturdy")]
pub(crate) struct Pinned {
    pub(crate) cap: Cap,
    waits: Option<Waits>,
}

#[cfg(feature = "sturdy")]
impl Cap {
    /// Returns what the reference stands for at present: the reference itself if it is not durable.
    pub(crate) fn pinned(&self) -> Result<Pinned, Error> {
        let Some(slot) = self.durable() else { return Ok(Pinned { cap: self.clone(), waits: None }) };
        // A loss that nobody has noted yet.
        let _is_noted = slot.has_lost(slot.epoch());
        let Present { epoch, cap, .. } = slot.present()?;
        let waits = Some(slot.wait(epoch, 0)?);
        let cap = self.call_time().map_or_else(|| cap.clone(), |limit| cap.with_call_time(limit));
        Ok(Pinned { cap, waits })
    }
}

#[cfg(feature = "sturdy")]
impl Pinned {
    /// Returns the time for which the next reference is sought, if this one is lost.
    pub(crate) fn lost(&self) -> Option<std::time::Duration> {
        self.waits.as_ref()?.lost()
    }
}

/// Returns `true` if whoever has answered says that another time may be better.
fn is_for_now(error: &Error) -> bool {
    error.property::<String>("code").as_deref() == Some("EUNAVAILABLE")
}

impl Durable {
    /// Returns the slot of the reference that a call of `parent` gave in one of its epochs.
    fn made(parent: &Arc<Self>, call: Again, present: Cap, made_at: u64) -> Cap {
        let ref_kind = present.1;
        let all_waiting = lock(&parent.state).all_waiting();
        let state = Mutex::new(DurableState::new(present, made_at, all_waiting));
        let source = Source::Call(parent.clone(), call);
        let (calls, waiting, writes_within) = (parent.calls + 1, parent.waiting, AtomicUsize::new(0));
        let slot = Arc::new(Self { source, calls, waiting, writes_within, state });
        slot.cap().with_kind(ref_kind)
    }

    /// Returns the present reference and its epoch, if a peer lends it, as far as is known.
    #[inline]
    fn lent(&self) -> Option<(u64, Arc<Import>)> {
        if !matches!(self.source, Source::Line(_)) && !self.is_current() {
            return None;
        }
        let state = lock(&self.state);
        match (&state.phase, &state.present.0) {
            (Phase::Up(_), Kind::Remote(import)) => Some((state.epoch, import.clone())),
            _ => None,
        }
    }

    /// Returns the present reference. One that is made by a call is made again if it has been lost.
    fn present(self: &Arc<Self>) -> Result<Present, Error> {
        let is_current = self.is_current();
        let (present, former) = {
            let mut state = lock(&self.state);
            if let Some(error) = state.ended() {
                return Err(error.clone());
            }
            if !state.is_awaited() && state.present.promise().is_some() {
                state.present = state.present.nearest();
            }
            let begins = !state.is_awaited() && (!is_current || self.is_unmade(&state.present));
            let former = begins.then(|| state.begin(true));
            let (epoch, cap, awaited) = (state.epoch, state.present.clone(), state.is_awaited());
            (Present { epoch, cap, awaited }, former)
        };
        if former.is_some() {
            self.make_again(present.epoch);
        }
        Ok(present)
    }

    /// Makes the call again that gives the reference.
    fn make_again(self: &Arc<Self>, epoch: u64) {
        let Source::Call(parent, call) = &self.source else { return };
        let mut made = parent.call(&mut call.request(), None, Flags { again: true, keeps: false });
        let slot = Arc::downgrade(self);
        let (wanted, mut unwanted) = oneshot::channel();
        let former = lock(&self.state).making.replace(wanted);
        drop(former);
        let limit = self.making_limit();
        let making = async move {
            let mut late = pin!(runtime::wait(limit));
            let outcome = poll_fn(|cx| {
                if Pin::new(&mut unwanted).poll(cx).is_ready() {
                    return Poll::Ready(Err(down()));
                }
                if late.as_mut().poll(cx).is_ready() {
                    let message =
                        format!("the call that makes the reference again was not answered in {limit:?}");
                    return Poll::Ready(Err(Error::new(ErrorKind::Timeout, message)));
                }
                made.poll_outcome(cx, None)
            });
            let outcome = outcome.await;
            let Some(slot) = Weak::upgrade(&slot) else { return };
            match outcome {
                Ok(reply) => slot.found(epoch, result_of(Ok(reply)), made.epoch()),
                Err(error) if error.fate() == Fate::Answered && !is_for_now(&error) => slot.give_up(error),
                // It may have run, but nobody has the result: the next one makes it again.
                Err(error) => slot.wait_no_longer(epoch, error),
            }
        };
        if let Err(error) = runtime::spawn(making) {
            self.wait_no_longer(epoch, error);
        }
    }

    /// Writes the arguments of a request, if that has not been done, and checks those that are kept.
    fn write(&self, request: &mut Request, flags: Flags) -> Result<(), Error> {
        if matches!(request.args, Args::Typed(_)) {
            let bytes = lock(&self.state).present.writes_within().unwrap_or(usize::MAX);
            bounds::writing(bytes, || request.args.write(bytes))
                .map_err(|error| request.member.explain(error))?;
        }
        match flags.keeps.then(|| Again::of(request)).flatten() {
            Some(copy) => copy.check_kept(self.calls),
            None => Ok(()),
        }
    }

    /// Makes a request of the present reference, for a caller that waits if there is a waker.
    fn attempt(self: &Arc<Self>, request: &mut Request, waker: Option<&Waker>) -> Attempt {
        let mut present = match self.present() {
            Ok(present) => present,
            Err(error) => {
                let response = Response::error(request.failing_with(error));
                return Attempt { epoch: self.epoch(), waits: None, response };
            }
        };
        let epoch = present.epoch;
        let waits = match present.awaited.then(|| self.wait(epoch, request.args.len())).transpose() {
            Ok(waits) => waits,
            Err(error) => return Attempt { epoch, waits: None, response: Response::error(error) },
        };
        self.note_bound(|| present.cap.writes_within().unwrap_or(0));
        let first = waker.map(|waker| FirstPoll { waker, place: None });
        let response = match present.cap.as_durable() {
            // Of the peer's choice, by way of a promise: it may lead to others in turn.
            Some(_) => present.cap.forward(request.take()),
            None => present.cap.deliver(request, first),
        };
        Attempt { epoch, waits, response }
    }

    /// Notes the bound of a message to the peer that lends the present reference.
    #[inline]
    fn note_bound(&self, bound: impl FnOnce() -> usize) {
        // Once bytes may go beside the text, it does not change.
        if !bounds::parts(self.writes_within.load(Ordering::Relaxed)).1 {
            self.writes_within.store(bound(), Ordering::Relaxed);
        }
    }

    /// Makes a request, for a caller that waits if there is a waker.
    #[inline(never)]
    pub(super) fn request(self: &Arc<Self>, request: &mut Request, waker: Option<&Waker>) -> Response {
        let Some((method, args)) = usual(request).filter(|_| self.waiting.bytes > 0) else {
            return self.request_any(request, waker);
        };
        let Some((epoch, import)) = self.lent() else { return self.request_any(request, waker) };
        self.note_bound(|| import.connection.write_limit());
        let mut call = DurableCall::take();
        call.text.push_str(args);
        (call.method, call.epoch, call.timed) = (Some(method), epoch, request.options.timed);
        call.context = request.options.context.clone();
        let response = import.request(request, waker);
        call.response.get_or_insert(response);
        call.slot.get_or_insert_with(|| self.clone());
        Response(State::Durable(DurableResponse(Some(call))))
    }

    /// Makes a request of any kind.
    #[cold]
    fn request_any(self: &Arc<Self>, request: &mut Request, waker: Option<&Waker>) -> Response {
        let flags = Flags::of(&request.member);
        if let Err(error) = self.write(request, flags) {
            return Response::error(error);
        }
        if request.options.pipelined {
            let result = self.pipelined(request.take(), flags);
            return Response::ready(result.map(|cap| Reply::Wire(Payload::reference(PayloadRef::Cap(cap)))));
        }
        if request.options.at_once {
            let made = self.attempt(request, waker);
            if let Some(waits) = made.waits {
                waits.stay();
            }
            return made.response;
        }
        Response(State::Durable(self.call(request, waker, flags)))
    }

    /// Makes a call that is sent again if that is certain to do no harm.
    fn call(self: &Arc<Self>, request: &mut Request, waker: Option<&Waker>, flags: Flags) -> DurableResponse {
        let copies = self.waiting.bytes > 0 || flags.again;
        let copy = copies.then(|| Again::of(request)).flatten();
        let Attempt { epoch, waits, response } = self.attempt(request, waker);
        let mut call = DurableCall::take();
        call.more =
            Some(Box::new(More { flags, copy, _waits: waits, may_have_run: false, again_since: None }));
        (call.slot, call.epoch, call.response) = (Some(self.clone()), epoch, Some(response));
        DurableResponse(Some(call))
    }

    /// Makes a request whose result is used before it is there.
    fn pipelined(self: &Arc<Self>, mut request: Request, flags: Flags) -> Result<Cap, Error> {
        request.options.pipelined = false;
        let present = self.present().map_err(|error| request.failing_with(error))?;
        if present.awaited {
            self.wait(present.epoch, request.args.len())?.stay();
        }
        let copy = flags.keeps.then(|| Again::of(&request)).flatten();
        let result = match present.cap.as_durable() {
            Some(_) => depth::with_hop_limit(|| present.cap.pipeline(request))
                .unwrap_or_else(|| Cap::broken(too_many())),
            None => present.cap.pipeline(request),
        };
        Ok(match copy {
            Some(copy) => Durable::made(self, copy.kept(), result, present.epoch),
            None => result,
        })
    }
}

/// The marks of the method of a call.
#[derive(Clone, Copy)]
struct Flags {
    /// `true` if it may be sent again after it may have run.
    again: bool,
    /// `true` if its result is a durable reference as well.
    keeps: bool,
}

impl Flags {
    const NONE: Self = Self { again: false, keeps: false };

    #[inline]
    fn of(member: &Member) -> Self {
        match member {
            Member::Method(interface, number) => interface.method(*number).map_or(Self::NONE, |method| {
                Self { again: method.is_idempotent(), keeps: method.rederives() }
            }),
            Member::Path(_) => Self::NONE,
        }
    }
}

/// Returns the method and the arguments of a usual call, of which nothing else need be known to make it again.
#[inline]
fn usual(request: &Request) -> Option<((&'static Interface, usize), &str)> {
    let Member::Method(interface, number) = request.member else { return None };
    let is_usual = request.options.is_usual() && interface.method(number).is_some_and(|at| !at.rederives());
    request.args.as_plain().filter(|_| is_usual).map(|args| ((interface, number), args))
}

/// A request that was made of the reference of a slot.
struct Attempt {
    /// The epoch of the slot in which it was made.
    epoch: u64,
    waits: Option<Waits>,
    response: Response,
}

/// A call by way of a slot, in memory that is used again when the call is done.
#[derive(Default)]
struct DurableCall {
    /// The slot; `None` if there is no call.
    slot: Option<Arc<Durable>>,
    /// The epoch of the slot in which it was made last.
    epoch: u64,
    response: Option<Response>,
    /// The method of a usual call.
    method: Option<(&'static Interface, usize)>,
    /// The arguments of a usual call.
    text: String,
    /// The context of a usual call.
    context: Option<CallContext>,
    /// `true` for a usual call with a time limit of its own.
    timed: bool,
    /// The rest of any other, and of one that is sent again.
    more: Option<Box<More>>,
}

/// The part of a call that a usual one has no use for.
struct More {
    flags: Flags,
    /// A copy, if it can be sent again.
    copy: Option<Again>,
    _waits: Option<Waits>,
    /// `true` if it may have run before it was sent again.
    may_have_run: bool,
    /// The time at which it was first sent again.
    again_since: Option<Instant>,
}

/// The response of a call by way of a slot.
pub(super) struct DurableResponse(Option<Box<DurableCall>>);

/// The most calls of a thread whose memory is kept.
const SPARE_CALLS: usize = 64;

/// The most bytes of their texts, each.
const SPARE_TEXT: usize = 256;

thread_local! {
    // A call is moved as a pointer.
    #[allow(clippy::vec_box)]
    static SPARE: RefCell<Vec<Box<DurableCall>>> = const { RefCell::new(Vec::new()) };
}

impl DurableCall {
    /// Returns memory for a call.
    #[inline]
    fn take() -> Box<Self> {
        let spare = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
        spare.unwrap_or_default()
    }

    /// Returns the outcome that the caller is to learn; `None` if the call was sent again.
    #[cold]
    fn settle(&mut self, outcome: Outcome) -> Option<Outcome> {
        let mut more = self.more.take().unwrap_or_else(|| Box::new(self.more_of_usual()));
        let Some(slot) = &self.slot else { return Some(outcome) };
        let error = match outcome {
            Ok(reply) => return Some(more.reply(reply, slot, self.epoch)),
            Err(error) => error,
        };
        let fate = error.fate();
        let Some(made) = more.send_again(fate, slot, self.epoch) else {
            let ran = more.may_have_run && fate == Fate::NotSent;
            return Some(Err(if ran { error.with_fate(Fate::MayHaveRun) } else { error }));
        };
        more._waits = made.waits;
        (self.epoch, self.response, self.more) = (made.epoch, Some(made.response), Some(more));
        None
    }

    /// Returns what is to be known to send a usual call again.
    fn more_of_usual(&mut self) -> More {
        let path = || Member::Path(Path::Empty);
        let member = self.method.map_or_else(path, |(interface, number)| Member::Method(interface, number));
        let (flags, args) = (Flags::of(&member), Payload::plain(Text::Own(std::mem::take(&mut self.text))));
        let options = CallOptions { context: self.context.take(), timed: self.timed, ..CallOptions::NONE };
        let copy = Some(Again { member, args: Some(args), options });
        More { flags, copy, _waits: None, may_have_run: false, again_since: None }
    }
}

impl More {
    /// Sends the call again if its connection is lost and nothing speaks against it.
    fn send_again(&mut self, fate: Fate, slot: &Arc<Durable>, epoch: u64) -> Option<Attempt> {
        // Whoever learns of the outcome is to find the loss noted.
        if fate == Fate::Answered || !slot.has_lost(epoch) {
            return None;
        }
        let may_have_run = fate == Fate::MayHaveRun;
        // It may be what ends the connection; or each server turns it away.
        let is_over = self.again_since.is_some_and(|since| since.elapsed() >= slot.waiting.time);
        if is_over || may_have_run && !self.flags.again {
            return None;
        }
        // The references of other connections live on.
        let of_this = |cap: &Cap| cap.import().is_some_and(|import| import.connection().is_leaving());
        let copy = self.copy.as_ref().filter(|copy| !copy.is_late() && copy.holds_no(of_this))?;
        self.again_since.get_or_insert_with(Instant::now);
        self.may_have_run |= may_have_run;
        Some(slot.attempt(&mut copy.request(), None))
    }

    /// Returns the result; a reference that is durable as well by its slot.
    fn reply(&mut self, reply: Reply, slot: &Arc<Durable>, epoch: u64) -> Outcome {
        let Some(copy) = self.copy.take().filter(|_| self.flags.keeps) else { return Ok(reply) };
        let body = reply.into_body()?;
        let Some(PayloadRef::Cap(cap)) = body.root() else { return Ok(Reply::Wire(body)) };
        // One of this program that the peer has given back is durable already.
        if cap.durable().is_some() {
            return Ok(Reply::Wire(body));
        }
        let made = Durable::made(slot, copy.kept(), cap.clone(), epoch);
        Ok(Reply::Wire(Payload::reference(PayloadRef::Cap(made))))
    }
}

impl DurableResponse {
    /// Polls the call, until it has an outcome that its caller is to learn.
    #[inline]
    pub(super) fn poll_outcome(&mut self, cx: &mut Context<'_>, mut place: ResultSlot<'_>) -> Poll<Outcome> {
        let Some(call) = self.0.as_deref_mut() else { return Poll::Ready(Err(down())) };
        loop {
            let Some(response) = &mut call.response else { return Poll::Ready(Err(down())) };
            let outcome = match response.poll_sent(cx, place.as_deref_mut()) {
                Poll::Ready(outcome) if outcome.is_err() || call.more.is_some() => outcome,
                polled => return polled,
            };
            if let Some(outcome) = call.settle(outcome) {
                return Poll::Ready(outcome);
            }
        }
    }

    /// Returns `true` for a call that was sent and whose caller is known.
    #[inline]
    pub(super) fn has_begun(&self) -> bool {
        let response = self.0.as_ref().and_then(|call| call.response.as_ref());
        response.is_some_and(Response::is_awaited)
    }

    /// Returns the epoch of the slot in which the call was made last.
    fn epoch(&self) -> u64 {
        self.0.as_ref().map_or(0, |call| call.epoch)
    }

    /// Gives the call up. Returns `true` if it was not sent.
    pub(super) fn give_up(&mut self) -> bool {
        let Some(call) = &mut self.0 else { return true };
        let may_have_run = call.more.as_ref().is_some_and(|more| more.may_have_run);
        call.response.take().is_none_or(Response::give_up) && !may_have_run
    }
}

impl Drop for DurableResponse {
    fn drop(&mut self) {
        let Some(mut call) = self.0.take() else { return };
        // This may run user code, which may make other calls.
        (call.response, call.slot, call.context, call.more) = (None, None, None, None);
        if call.text.capacity() > SPARE_TEXT {
            call.text = String::new();
        }
        call.text.clear();
        // While the thread ends, nothing is kept.
        let _ending = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_CALLS {
                spare.push(call);
            }
        });
    }
}
