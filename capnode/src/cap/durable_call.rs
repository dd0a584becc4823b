//! Calls by way of the slots of durable references, which are sent again if that does no harm.

use std::cell::RefCell;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use futures_channel::oneshot;

use super::broken::{BrokenSlot, fire};
use super::durable::{Again, Durable, DurableState, Phase, Source, Waits, down};
use super::local::{Local, RequestTarget};
use super::payload::PayloadRef;
use super::promise::result_of;
use super::request::{Args, Member, Request};
use super::response::{FirstPoll, Method, Outcome, Reply, Response, ResultSlot};
use super::{Cap, Kind};
use crate::bounds;
use crate::error::{Error, Fate};
use crate::message::{Payload, Text};
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

impl Durable {
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
