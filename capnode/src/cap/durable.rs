//! Durable references: slots whose reference is found again after its connection was lost.

use std::any::Any;
use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_channel::oneshot;

use super::broken::{BrokenSlot, Watchers, fire};
use super::context::Context as CallContext;
use super::local::{Local, RequestTarget};
use super::payload::{LivePayload, PayloadRef};
use super::promise::{Promise, result_of};
use super::request::{Args, CallOptions, Member, Request};
use super::response::{FirstPoll, Method, Outcome, Reply, Response, ResultSlot};
use super::{Cap, Kind, depth};
use crate::bounds;
use crate::error::{Error, ErrorKind, Fate};
use crate::limits::LimitKind;
use crate::message::{Payload, Text};
use crate::runtime::{self, Instant};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, lock, thread_local};

/// The slot of a durable reference.
pub(crate) struct Durable {
    source: Source,
    /// The number of calls by which it is made again.
    calls: usize,
    waiting: Waiting,
    /// The bound of a message to the peer that lends the present reference, when it was last used; 0 if that is not
    /// known.
    writes_within: AtomicUsize,
    state: Mutex<DurableState>,
}

/// The bounds of the calls that wait while there is no reference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// The time for which calls wait, and for which those that may have run are sent again.
    pub(crate) time: Duration,
    /// The most bytes of the calls that wait; 0 if such calls fail.
    pub(crate) bytes: usize,
}

/// The source of the reference of a slot.
enum Source {
    Line(Arc<dyn Line>),
    /// A call of another slot, which is made again.
    Call(Arc<Durable>, Again),
}

/// The keeper of the connection of a slot.
pub(crate) trait Line: Send + Sync {
    /// Learns that the slot has lost its reference, or is gone. Another one is to be found.
    fn lost(&self);

    /// Returns the line itself.
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

struct DurableState {
    /// The number of references that the slot has lost.
    epoch: u64,
    phase: Phase,
    /// Where requests go: to the present reference; while another one is looked for, and until those that wait have been
    /// passed on, to a promise of that; or nowhere.
    present: Cap,
    /// Bytes of the calls that wait.
    waiting: usize,
    /// The epoch of the parent in which the call was made that gave the reference.
    made_at: u64,
    /// Ends the call that makes the reference again, when it is dropped.
    making: Option<oneshot::Sender<Infallible>>,
    watchers: Watchers,
}

enum Phase {
    /// There is this reference, as far as is known.
    Up(Cap),
    /// Another one is looked for, with the promise of it for which calls wait, if they do.
    Sought(Option<Arc<Promise>>),
    /// It is given up.
    Ended(Error),
}

/// Bytes that a waiting call counts beside its arguments.
const WAITING: usize = 512;

/// The bytes of calls that may wait at least while the call that makes a reference again is under way.
const REMAKING: usize = 64 * 1024;

/// The most bytes of arguments that are kept for a call that is made again on each connection.
const KEPT: usize = 64 * 1024;

impl DurableState {
    fn new(present: Cap, made_at: u64) -> Self {
        let phase = Phase::Up(present.clone());
        Self { epoch: 0, phase, present, waiting: 0, made_at, making: None, watchers: Watchers::default() }
    }

    /// Returns the reason of the end, once it is given up.
    fn ended(&self) -> Option<&Error> {
        if let Phase::Ended(error) = &self.phase { Some(error) } else { None }
    }

    /// Returns `true` if calls wait.
    fn is_awaited(&self) -> bool {
        matches!(self.phase, Phase::Sought(Some(_)))
    }

    /// Begins to look for another reference. Returns what is to be dropped.
    fn begin(&mut self, waits: bool) -> (Phase, Cap) {
        self.epoch += 1;
        self.waiting = 0;
        let promise = waits.then(Promise::new);
        let next = promise.clone().map_or_else(|| Cap::broken(down()), Cap::from_promise);
        let former = std::mem::replace(&mut self.phase, Phase::Sought(promise));
        (former, std::mem::replace(&mut self.present, next))
    }
}

fn down() -> Error {
    Error::new(ErrorKind::Disconnected, "there is no connection at present").with_fate(Fate::NotSent)
}

/// The present reference of a slot.
struct Present {
    epoch: u64,
    cap: Cap,
    /// `true` if it is a promise for which calls wait.
    awaited: bool,
}

impl Durable {
    /// Returns the slot of a line that is to find its first reference.
    pub(crate) fn new(line: Arc<dyn Line>, waiting: Waiting) -> Arc<Self> {
        let mut state = DurableState::new(Cap::broken(down()), 0);
        drop(state.begin(waiting.bytes > 0));
        Arc::new(Self {
            source: Source::Line(line),
            calls: 0,
            waiting,
            writes_within: AtomicUsize::new(0),
            state: Mutex::new(state),
        })
    }

    /// Returns a reference by the slot.
    pub(crate) fn cap(self: Arc<Self>) -> Cap {
        Cap::from_local(Local::new(self, &DurableTarget))
    }

    /// Returns the slot of the reference that a call of `parent` gave in one of its epochs.
    fn made(parent: &Arc<Self>, call: Again, present: Cap, made_at: u64) -> Cap {
        let ref_kind = present.1;
        let state = Mutex::new(DurableState::new(present, made_at));
        let source = Source::Call(parent.clone(), call);
        let (calls, waiting, writes_within) = (parent.calls + 1, parent.waiting, AtomicUsize::new(0));
        let slot = Arc::new(Self { source, calls, waiting, writes_within, state });
        slot.cap().with_kind(ref_kind)
    }

    /// Returns the first of the slots on which this one depends, and its line.
    pub(crate) fn root(self: &Arc<Self>) -> (Arc<Self>, Arc<dyn Any + Send + Sync>) {
        let mut slot = self;
        loop {
            match &slot.source {
                Source::Line(line) => return (slot.clone(), line.clone().as_any()),
                Source::Call(parent, _) => slot = parent,
            }
        }
    }

    /// Returns the number of references that the slot has lost.
    pub(crate) fn epoch(&self) -> u64 {
        lock(&self.state).epoch
    }

    /// Returns the reason of the end, once it is given up.
    pub(crate) fn ended(&self) -> Option<Error> {
        lock(&self.state).ended().cloned()
    }

    /// Returns `false` if a parent has lost the reference by which the present one was made.
    fn is_current(&self) -> bool {
        match &self.source {
            Source::Line(_) => true,
            Source::Call(parent, _) => {
                let made_at = lock(&self.state).made_at;
                parent.is_current() && parent.epoch() == made_at
            }
        }
    }

    /// Returns `true` if the call that makes the reference was not sent.
    fn is_unmade(&self, present: &Cap) -> bool {
        matches!(self.source, Source::Call(..))
            && matches!(&present.0, Kind::Broken(error) if error.fate() == Fate::NotSent)
    }

    /// Returns the present reference. One that is made by a call is made again if it has been lost.
    fn present(self: &Arc<Self>) -> Result<Present, Error> {
        let is_current = self.is_current();
        let (present, former) = {
            let mut state = lock(&self.state);
            if is_current && matches!((&state.phase, &state.present.0), (Phase::Up(_), Kind::Remote(_))) {
                return Ok(Present { epoch: state.epoch, cap: state.present.clone(), awaited: false });
            }
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

    /// Puts the reference that was found for an epoch into the slot. Calls that wait are passed on to it.
    pub(crate) fn found(&self, epoch: u64, cap: Cap, made_at: u64) {
        let (promise, former) = {
            let mut state = lock(&self.state);
            if state.epoch != epoch {
                return;
            }
            let Phase::Sought(promise) = &mut state.phase else { return };
            let promise = promise.take();
            (state.phase, state.made_at) = (Phase::Up(cap.clone()), made_at);
            self.writes_within.store(0, Ordering::Relaxed);
            let former = promise.is_none().then(|| std::mem::replace(&mut state.present, cap.clone()));
            (promise, former)
        };
        drop(former);
        if let Some(promise) = promise {
            promise.resolve(cap);
        }
    }

    /// Fails the calls that wait for a reference, and those that are made until there is one.
    pub(crate) fn wait_no_longer(&self, epoch: u64, why: Error) {
        let cap = Cap::broken(why.with_fate(Fate::NotSent));
        let promise = {
            let mut state = lock(&self.state);
            if state.epoch != epoch {
                return;
            }
            let Phase::Sought(promise) = &mut state.phase else { return };
            let Some(promise) = promise.take() else { return };
            state.present = cap.clone();
            promise
        };
        promise.resolve(cap);
    }

    /// Gives the slot up: it breaks.
    pub(crate) fn give_up(&self, why: Error) {
        // What was sent may have run. To what was not, that is said.
        let why = why.with_fate(Fate::MayHaveRun);
        let (former, phase, watchers) = {
            let mut state = lock(&self.state);
            if state.ended().is_some() {
                return;
            }
            let phase = std::mem::replace(&mut state.phase, Phase::Ended(why.clone()));
            let former = std::mem::replace(&mut state.present, Cap::broken(why.clone()));
            (former, phase, std::mem::take(&mut state.watchers))
        };
        drop(former);
        if let Phase::Sought(Some(promise)) = phase {
            promise.resolve(Cap::broken(why.clone()));
        }
        for watcher in watchers.all() {
            fire(&watcher, &why);
        }
    }

    /// Notes that the reference of an epoch is lost. Returns `true` if that was not known.
    pub(crate) fn lose(&self, epoch: u64) -> bool {
        let former = {
            let mut state = lock(&self.state);
            if state.epoch != epoch || !matches!(state.phase, Phase::Up(_)) {
                return false;
            }
            state.begin(self.waiting.bytes > 0)
        };
        drop(former);
        true
    }

    /// Returns `true` if the reference of an epoch is lost, which is noted.
    fn has_lost(&self, epoch: u64) -> bool {
        let (cap, made_at) = {
            let state = lock(&self.state);
            if state.epoch != epoch {
                return true;
            }
            let Phase::Up(cap) = &state.phase else { return false };
            (cap.nearest(), state.made_at)
        };
        let is_lost = match &cap.0 {
            Kind::Remote(import) => import.connection().is_leaving(),
            // The index of a connection that has ended before it was known.
            Kind::Broken(error) => error.kind() == ErrorKind::Disconnected,
            _ => false,
        };
        if !is_lost {
            return false;
        }
        match &self.source {
            Source::Line(line) => {
                if self.lose(epoch) {
                    line.lost();
                }
                true
            }
            Source::Call(parent, _) => parent.has_lost(made_at),
        }
    }

    /// Makes the call again that gives the reference.
    fn make_again(self: &Arc<Self>, epoch: u64) {
        let Source::Call(parent, call) = &self.source else { return };
        let mut made = parent.clone().call(&mut call.request(), None, Flags { again: true, keeps: false });
        let Some(mut made) = made.call.take() else { return };
        let slot = Arc::downgrade(self);
        let (wanted, mut unwanted) = oneshot::channel();
        let former = lock(&self.state).making.replace(wanted);
        drop(former);
        let making = async move {
            let outcome = poll_fn(|cx| match Pin::new(&mut unwanted).poll(cx) {
                Poll::Ready(_) => Poll::Ready(Err(down())),
                Poll::Pending => made.poll_outcome(cx, None),
            });
            let outcome = outcome.await;
            let Some(slot) = Weak::upgrade(&slot) else { return };
            match outcome {
                Ok(reply) => slot.found(epoch, result_of(Ok(reply)), made.attempt.epoch),
                Err(error) if error.fate() == Fate::Answered => slot.give_up(error),
                // It may have run, but nobody has the result: the next one makes it again.
                Err(error) => slot.wait_no_longer(epoch, error),
            }
        };
        if let Err(error) = runtime::spawn(making) {
            self.wait_no_longer(epoch, error);
        }
    }

    /// Counts the bytes of a request that waits.
    fn wait(self: &Arc<Self>, epoch: u64, request: &Request) -> Result<Waits, Error> {
        let bytes = request.args.len() + WAITING;
        let mut state = lock(&self.state);
        if state.epoch == epoch && state.is_awaited() {
            let (most, what) = match self.source {
                Source::Line(_) => (self.waiting.bytes, "a connection"),
                // Where calls fail that would wait for a connection, that one call fails as well.
                Source::Call(..) => (self.waiting.bytes.max(REMAKING), "a reference that is made again"),
            };
            if bytes > most.saturating_sub(state.waiting) {
                let message = format!("more than {most} bytes of calls wait for {what}");
                return Err(Error::over(LimitKind::ParkedBytes, message).with_fate(Fate::NotSent));
            }
            state.waiting += bytes;
        }
        Ok(Waits { slot: self.clone(), epoch, bytes })
    }

    /// Writes the arguments of a request, if that has not been done, and checks those that are kept.
    fn write(&self, request: &mut Request, flags: Flags) -> Result<(), Error> {
        if matches!(request.args, Args::Typed(_)) {
            let bytes = lock(&self.state).present.writes_within().unwrap_or(usize::MAX);
            bounds::writing(bytes, || request.args.write(bytes))
                .map_err(|error| request.member.explain(error))?;
        }
        match flags.keeps.then(|| Again::of(request, &mut String::new())).flatten() {
            Some(copy) => copy.check_kept(self.calls),
            None => Ok(()),
        }
    }

    /// Makes a request of the present reference.
    fn attempt(self: &Arc<Self>, request: &mut Request, first: Option<FirstPoll<'_>>) -> Attempt {
        let mut present = match self.present() {
            Ok(present) => present,
            Err(error) => {
                let response = Response::error(request.failing_with(error));
                return Attempt { epoch: self.epoch(), waits: None, response };
            }
        };
        let epoch = present.epoch;
        let waits = match present.awaited.then(|| self.wait(epoch, request)).transpose() {
            Ok(waits) => waits,
            Err(error) => return Attempt { epoch, waits: None, response: Response::error(error) },
        };
        // Once bytes may go beside the text of a message to the peer, its bound does not change.
        if !bounds::parts(self.writes_within.load(Ordering::Relaxed)).1 {
            self.writes_within.store(present.cap.writes_within().unwrap_or(0), Ordering::Relaxed);
        }
        Attempt { epoch, waits, response: present.cap.deliver(request, first) }
    }

    /// Makes a call that is sent again if that is certain to do no harm.
    fn call(
        self: Arc<Self>,
        request: &mut Request,
        first: Option<FirstPoll<'_>>,
        flags: Flags,
    ) -> Pin<Box<CallPlace>> {
        let spare = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
        let mut place = spare.unwrap_or_else(|| Box::pin(CallPlace::default()));
        let copies = self.waiting.bytes > 0 || flags.again;
        let copy = if copies { Again::of(request, &mut place.text) } else { None };
        let attempt = self.attempt(request, first);
        place.call =
            Some(DurableCall { slot: self, copy, flags, attempt, again_since: None, may_have_run: false });
        place
    }

    /// Makes a request whose result is used before it is there.
    fn pipelined(self: &Arc<Self>, mut request: Request, flags: Flags) -> Result<Cap, Error> {
        request.options.pipelined = false;
        let present = self.present().map_err(|error| request.failing_with(error))?;
        if present.awaited {
            self.wait(present.epoch, &request)?.stay();
        }
        let copy = flags.keeps.then(|| Again::of(&request, &mut String::new())).flatten();
        let result = present.cap.pipeline(request);
        Ok(match copy {
            Some(copy) => Durable::made(self, copy.kept(), result, present.epoch),
            None => result,
        })
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        if let Source::Line(line) = &self.source {
            line.lost();
        }
    }
}

/// A count of a request that waits, which ends with it.
struct Waits {
    slot: Arc<Durable>,
    epoch: u64,
    bytes: usize,
}

impl Waits {
    /// Counts the request until a reference is found: it is never given up.
    fn stay(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        let mut state = lock(&self.slot.state);
        if state.epoch == self.epoch && state.is_awaited() {
            state.waiting = state.waiting.saturating_sub(self.bytes);
        }
    }
}

/// A request that can be made again.
struct Again {
    member: Member,
    /// The arguments; `None` for a read.
    args: Option<LivePayload>,
    options: CallOptions,
}

impl Again {
    /// Returns a copy of a request whose arguments are written, if need be in the memory of `spare`. `None` for that of a
    /// map.
    fn of(request: &Request, spare: &mut String) -> Option<Self> {
        let args = match &request.args {
            Args::Read => None,
            Args::Wire(args) if args.is_plain() => {
                let mut text = std::mem::take(spare);
                text.push_str(args.text.as_str());
                Some(Payload::plain(Text::Own(text)))
            }
            Args::Wire(args) => Some(args.clone()),
            Args::Typed(_) | Args::Map(..) => return None,
        };
        Some(Self { member: request.member.clone(), args, options: request.options.clone() })
    }

    fn request(&self) -> Request {
        let args = self.args.clone().map_or(Args::Read, Args::Wire);
        Request { member: self.member.clone(), args, typed: false, options: self.options.clone() }
    }

    /// Returns it as one that is kept for longer than its caller waits.
    fn kept(self) -> Self {
        Self { options: CallOptions::NONE, args: self.args.map(Payload::compact), ..self }
    }

    /// Returns `true` if nothing in it is lent by a peer for whose references `is_bad` holds.
    fn holds_no(&self, is_bad: impl Fn(&Cap) -> bool) -> bool {
        let is_good = |to: &PayloadRef| match to {
            PayloadRef::Cap(cap) => {
                let nearest = cap.nearest();
                // An end of a stream can be passed once.
                !cap.is_readable()
                    && !cap.is_writable()
                    && !is_bad(
                        &nearest.as_property().map_or_else(|| nearest.clone(), |at| at.parts().0.nearest()),
                    )
            }
            other => !other.is_callable(),
        };
        self.args.as_ref().is_none_or(|args| args.refs.iter().all(|slot| is_good(&slot.to)))
    }

    /// Checks that it can be kept for all connections to come.
    fn check_kept(&self, calls: usize) -> Result<(), Error> {
        let is_lent = |cap: &Cap| !matches!(cap.0, Kind::Local(_));
        let len = self.args.as_ref().map_or(0, super::payload::unfolded_len);
        let message = if len > KEPT {
            format!(
                "the arguments of a call that is made again on each connection have more than {KEPT} bytes"
            )
        } else if calls >= depth::HOPS {
            format!(
                "the reference would be had again by more than {} calls, each on the result of the one before",
                depth::HOPS
            )
        } else if !self.holds_no(is_lent) {
            "the arguments of a call that is made again on each connection hold a reference of a connection: \
             pass plain values, objects of this program and durable references"
                .to_owned()
        } else {
            return Ok(());
        };
        Err(self.member.explain(Error::new(ErrorKind::Unsupported, message).with_fate(Fate::NotSent)))
    }

    /// Returns `true` if the deadline of the call has passed.
    fn is_late(&self) -> bool {
        let left = self.options.context.as_ref().and_then(CallContext::time_left);
        left.is_some_and(|left| left.is_zero())
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
    fn of(member: &Member) -> Self {
        match member {
            Member::Method(interface, number) => {
                interface.method(*number).map_or(Self { again: false, keeps: false }, |method| Self {
                    again: method.is_idempotent(),
                    keeps: method.rederives(),
                })
            }
            Member::Path(_) => Self { again: false, keeps: false },
        }
    }
}

/// A request that was made of the reference of a slot.
struct Attempt {
    /// The epoch of the slot in which it was made.
    epoch: u64,
    waits: Option<Waits>,
    response: Response,
}

/// A call by way of a slot.
struct DurableCall {
    slot: Arc<Durable>,
    /// A copy, if it can be sent again.
    copy: Option<Again>,
    flags: Flags,
    attempt: Attempt,
    /// The time at which it was first sent again.
    again_since: Option<Instant>,
    /// `true` if it may have run before it was sent again.
    may_have_run: bool,
}

/// The memory of a call by way of a slot, used again when the call is done.
#[derive(Default)]
struct CallPlace {
    call: Option<DurableCall>,
    /// Memory for a copy of arguments.
    text: String,
}

/// The most calls of a thread whose memory is kept.
const SPARE_CALLS: usize = 64;

/// The most bytes of their texts, each.
const SPARE_TEXT: usize = 256;

thread_local! {
    static SPARE: RefCell<Vec<Pin<Box<CallPlace>>>> = const { RefCell::new(Vec::new()) };
}

impl DurableCall {
    fn poll_outcome(&mut self, cx: &mut Context<'_>, mut place: ResultSlot<'_>) -> Poll<Outcome> {
        loop {
            let outcome = match self.attempt.response.poll_sent(cx, place.as_deref_mut()) {
                Poll::Ready(outcome) if outcome.is_err() || self.flags.keeps => outcome,
                polled => return polled,
            };
            let error = match outcome {
                Ok(reply) => return Poll::Ready(self.reply(reply)),
                Err(error) => error,
            };
            let fate = error.fate();
            if !self.sends_again(fate) {
                let ran = self.may_have_run && fate == Fate::NotSent;
                return Poll::Ready(Err(if ran { error.with_fate(Fate::MayHaveRun) } else { error }));
            }
        }
    }

    /// Sends the call again if its connection is lost and nothing speaks against it. Returns `true` if it did.
    fn sends_again(&mut self, fate: Fate) -> bool {
        // Whoever learns of the outcome is to find the loss noted.
        if fate == Fate::Answered || !self.slot.has_lost(self.attempt.epoch) {
            return false;
        }
        let may_have_run = fate == Fate::MayHaveRun;
        // It may be what ends the connection; or each server turns it away.
        let is_over = self.again_since.is_some_and(|since| since.elapsed() >= self.slot.waiting.time);
        if is_over || may_have_run && !self.flags.again {
            return false;
        }
        let Some(copy) = &self.copy else { return false };
        // The references of other connections live on.
        let of_this = |cap: &Cap| cap.import().is_some_and(|import| import.connection().is_leaving());
        if copy.is_late() || !copy.holds_no(of_this) {
            return false;
        }
        self.again_since.get_or_insert_with(Instant::now);
        self.may_have_run |= may_have_run;
        let mut request = copy.request();
        self.attempt = self.slot.attempt(&mut request, None);
        true
    }

    /// Returns the result; a reference that is durable as well by its slot.
    fn reply(&mut self, reply: Reply) -> Outcome {
        let Some(copy) = self.copy.take().filter(|_| self.flags.keeps) else { return Ok(reply) };
        let body = reply.into_body()?;
        let Some(PayloadRef::Cap(cap)) = body.root() else { return Ok(Reply::Wire(body)) };
        let made = Durable::made(&self.slot, copy.kept(), cap.clone(), self.attempt.epoch);
        Ok(Reply::Wire(Payload::reference(PayloadRef::Cap(made))))
    }
}

impl Method for CallPlace {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, place: ResultSlot<'_>) -> Poll<Outcome> {
        match &mut self.call {
            Some(call) => call.poll_outcome(cx, place),
            None => Poll::Ready(Err(down())),
        }
    }

    fn has_begun(&self) -> bool {
        self.call.as_ref().is_some_and(|call| call.attempt.response.is_awaited())
    }

    fn give_up(mut self: Pin<&mut Self>) -> bool {
        self.call.take().is_none_or(|call| call.attempt.response.give_up() && !call.may_have_run)
    }

    fn put_back(mut self: Pin<Box<Self>>) {
        let args = self.call.as_mut().and_then(|call| call.copy.as_mut()?.args.as_mut());
        if let Some(Text::Own(text)) = args.map(|args| &mut args.text) {
            if text.capacity() <= SPARE_TEXT {
                let mut text = std::mem::take(text);
                text.clear();
                self.text = text;
            }
        }
        // This may run user code, which may make other calls.
        self.call = None;
        // While the thread ends, nothing is kept.
        let _ending = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_CALLS {
                spare.push(self);
            }
        });
    }
}

/// Serves slots.
struct DurableTarget;

impl RequestTarget for DurableTarget {
    fn name(&self) -> &'static str {
        "durable"
    }

    fn watch(&self, local: &Local, slot: &BrokenSlot) -> Vec<Cap> {
        let Some(durable) = local.clone().downcast::<Durable>() else { return Vec::new() };
        let ended = {
            let mut state = lock(&durable.state);
            if state.ended().is_none() {
                state.watchers.add(slot);
            }
            state.ended().cloned()
        };
        match (ended, &durable.source) {
            (Some(error), _) => fire(slot, &error),
            (None, Source::Call(parent, _)) => return vec![parent.clone().cap()],
            (None, Source::Line(_)) => {}
        }
        Vec::new()
    }

    fn pipelines(&self, local: &Local) -> bool {
        self.present(local).is_some_and(|cap| cap.pipelines())
    }

    fn writes_within(&self, local: &Local) -> Option<usize> {
        let slot = local.peek::<Durable>()?;
        Some(slot.writes_within.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }

    fn present(&self, local: &Local) -> Option<Cap> {
        let slot = local.peek::<Durable>()?;
        let state = lock(&slot.state);
        Some(state.present.nearest()).filter(|cap| cap.import().is_some())
    }

    fn request(&self, local: Local, request: &mut Request, first: Option<FirstPoll<'_>>) -> Response {
        let Some(slot) = local.downcast::<Durable>() else { return Response::error(down()) };
        let flags = Flags::of(&request.member);
        if let Err(error) = slot.write(request, flags) {
            return Response::error(error);
        }
        if request.options.pipelined {
            let result = slot.pipelined(request.take(), flags);
            return Response::ready(result.map(|cap| Reply::Wire(Payload::reference(PayloadRef::Cap(cap)))));
        }
        if request.options.at_once {
            let made = slot.attempt(request, first);
            if let Some(waits) = made.waits {
                waits.stay();
            }
            return made.response;
        }
        let first = first.map(|first| FirstPoll { waker: first.waker, place: None });
        Response::own(slot.call(request, first, flags))
    }
}
