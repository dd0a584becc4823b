//! Intake of frames: the request of a frame is staged under the lock, and done when it is free.

use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;

use super::Link;
use super::clock::Sign;
use super::deadlines::Deadline;
use super::effects::{Effect, Effects};
use super::entries::no_index_for;
use super::inbound_call::InboundCall;
use super::lifecycle::{SHUTDOWN, SHUTTING_DOWN};
use super::locked::Cause;
use super::question::Question;
use super::state::State;
use super::task::Task;
use crate::bounds;
use crate::cap::context::{check_metadata, within};
use crate::cap::depth::HostGuard;
use crate::cap::import::ImportHook as _;
use crate::cap::inbound::{
    InboundRef, InboundResult, NestedCall, PeerPromise, make_call, make_request, settle,
};
use crate::cap::remap::NestedMap;
use crate::cap::response::{Outcome, Reply, Response};
use crate::cap::stream::{ReadEnd, StreamEnd, WriteEnd};
use crate::cap::{Cap, RefKind};
use crate::dialect::{Capabilities, Dialect, capnweb};
use crate::error::{Error, ErrorData, ErrorKind, Fate, Fault};
use crate::limits::{LimitKind, Unfolding};
use crate::message::{
    CapDescriptor, CarriedContext, Expression, Extensions, Id, Mapping, Message, Parsed, Payload,
    ReceiverRef, ReturnMode, Text, Usual,
};
use crate::session::{Event, Received};
use crate::sync::atomic::Ordering;
use crate::text_pool;

/// The request of a frame, to be done when the lock is free.
enum Work {
    Run(InboundCall),
    /// A call that fails without running.
    Refuse(InboundCall, Error),
    /// A call of the write end of a stream.
    Write(InboundCall),
    /// The answer of a call that its caller waits for.
    Answer(Question, InboundResult),
}

/// Returns the error for a first message that is not one of the peer's language, or of any.
fn not_spoken(peer: Option<&Capabilities>) -> Error {
    let language = peer.map_or("any language that is spoken here", |peer| peer.title);
    Error::new(ErrorKind::Protocol, format!("the first message is not one of {language}: check the address"))
}

impl Link {
    /// Ends the session if the first message is not one of the peer's language. Any program that can open a byte stream
    /// can write to it: the HTTP request of a web page must not get as far as a line that is understood.
    #[cfg(feature = "host")]
    pub(crate) fn check_first(&self) {
        self.checks_first.store(true, Ordering::SeqCst);
        self.share.note_silent();
    }

    /// Takes in one frame. A frame that breaks the protocol or a limit ends the session. Returns `true` for a usual message,
    /// in which there is hardly anything to do but what the program does.
    pub(crate) fn receive(self: &Arc<Self>, frame: &str) -> bool {
        if frame.len() > self.limits.frame_bytes {
            let message = format!("a message is longer than {} bytes", self.limits.frame_bytes);
            self.break_off(Error::over(LimitKind::FrameBytes, message));
            return false;
        }
        let now = Duration::from_micros(self.now.load(Ordering::Relaxed));
        let parser = self.peer.get().and_then(|peer| peer.parser);
        // The general way checks the first message.
        let Some(parse) = parser.filter(|_| !self.checks_first.load(Ordering::SeqCst)) else {
            self.receive_any(None, frame, frame.len(), now);
            return false;
        };
        // Where no state is needed, a frame is parsed before the lock is taken.
        let parsed = match parse(frame, &self.limits) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.break_off(error);
                return false;
            }
        };
        let is_over = match &parsed {
            Parsed::Usual(Usual::Call { target, name, args }) => {
                self.receive_call(*target, *name, args, frame.len(), now)
            }
            Parsed::Usual(Usual::Answer { id, value }) => self.receive_answer(*id, value, now),
            Parsed::Other(_) => false,
        };
        if !is_over {
            self.receive_any(Some(parsed.into_message()), frame, frame.len(), now);
        }
        is_over
    }

    /// Takes in one frame with bytes beside its text.
    #[cfg(feature = "host")]
    pub(crate) fn receive_mixed(self: &Arc<Self>, text: &str, beside: ::bytes::Bytes) {
        let bytes = text.len() + beside.len();
        if bytes > self.limits.frame_bytes {
            let message = format!("a message is longer than {} bytes", self.limits.frame_bytes);
            return self.break_off(Error::over(LimitKind::FrameBytes, message));
        }
        if !self.read_state(|state| state.session.has_offered_bytes()) {
            let message = "a message with bytes beside its text, which was not offered";
            return self.break_off(Error::new(ErrorKind::Protocol, message));
        }
        match capnweb::read_mixed(text, beside, &self.limits) {
            Ok(message) => {
                let now = Duration::from_micros(self.now.load(Ordering::Relaxed));
                self.receive_any(Some(message), text, bytes, now);
            }
            Err(error) => self.break_off(error),
        }
    }

    /// Takes in a call without references that waits for its answer, in a frame of `bytes` bytes, if it can begin at once
    /// and nothing about it is unusual. Returns `false` if it has not been taken in.
    fn receive_call(
        self: &Arc<Self>,
        target: Id,
        name: Option<&str>,
        args: &str,
        bytes: usize,
        now: Duration,
    ) -> bool {
        let admitted = self.with_state(Cause::Usual, |state, _| {
            let State { session, entries, inbox, clock, .. } = state;
            let has_room = || inbox.has_room(session.running() + 1, || entries.own_calls(), &self.limits);
            if self.ended.load(Ordering::SeqCst) || self.draining.load(Ordering::SeqCst) || !has_room() {
                return None;
            }
            // The entries keep a share, so that dropping this one runs no user code.
            let cap = entries.offered(target).filter(|cap| !cap.is_writable())?;
            let answer = session.receive_call(target)?;
            clock.note_received(Sign::Use, now);
            Some((answer, cap))
        });
        let Some((answer, target)) = admitted else { return false };
        if self.begins_calls() {
            let _hosted = HostGuard::new(Some(self.clone()));
            let limits = Unfolding { frame: self.write_limit(), ..self.unfolding };
            let started = make_call(target, name, args, limits, &self.context, self.edge()).start_unawaited();
            self.go_on(answer, started, InboundCall::SIZE + bytes);
        }
        true
    }

    /// Takes in an answer without references, if a call waits for it and nothing about it is unusual. Returns `false` if
    /// it has not been taken in.
    fn receive_answer(&self, id: Id, value: &str, now: Duration) -> bool {
        // It stays away if the caller has gone.
        let mut caller = None;
        let admitted = self.with_state(Cause::Usual, |state, _| {
            if self.ended.load(Ordering::SeqCst) {
                return false;
            }
            let Some(pulled) = state.session.receive_answer(id) else { return false };
            state.clock.note_received(Sign::Answer(id), now);
            if pulled {
                let release = state.session.release_result(id);
                state.say_all(release);
            }
            caller = state.entries.take_question(id);
            true
        });
        match caller {
            // If the caller has gone, the answer is dropped.
            Some(Question::Call { caller, .. }) => {
                caller.answer(Ok(Ok(Payload::plain(text_pool::copy(value)))));
            }
            Some(caller) => self.deliver(caller, Ok(Payload::plain(text_pool::copy(value)))),
            None => {}
        }
        admitted
    }

    /// Takes in any message, or a frame that is read under the lock. The frame has `bytes` bytes, with those beside its
    /// text.
    pub(super) fn receive_any(
        self: &Arc<Self>,
        parsed: Option<Message>,
        frame: &str,
        bytes: usize,
        now: Duration,
    ) {
        let work = self.with_state(Cause::Peer, |state, effects| {
            if self.ended.load(Ordering::SeqCst) {
                return None;
            }
            let checks = self.checks_first.load(Ordering::SeqCst);
            if checks {
                self.checks_first.store(false, Ordering::SeqCst);
            }
            let take_in = || {
                let message = match parsed {
                    Some(message) => Some(message),
                    None => self.read(state, frame, checks, effects)?,
                };
                if let Some(message) = &message {
                    state.clock.received(message, now);
                }
                let Received { event, reply } = state.session.receive(message, now)?;
                state.say_all(reply);
                self.offer(state);
                if self.peer.get().is_some_and(|peer| !peer.releases) {
                    state.evict_exports(self.limits.exports, effects);
                }
                match event {
                    Some(event) => self.stage(state, event, bytes, effects),
                    None => Ok(None),
                }
            };
            take_in().unwrap_or_else(|error| {
                // No call of this side that waited for the peer's dialect is sent to a peer that broke the protocol.
                effects.break_off_first(error);
                None
            })
        });
        match work {
            None => {}
            Some(Work::Answer(caller, answer)) => self.deliver(caller, answer),
            Some(_) if !self.begins_calls() => {}
            Some(Work::Run(call)) => self.start(call),
            Some(Work::Write(call)) => match WriteEnd::called(&call.expression) {
                Some(end) => {
                    let _hosted = HostGuard::new(Some(self.clone()));
                    self.take_chunk(&end, call);
                }
                None => self.start(call),
            },
            Some(Work::Refuse(call, error)) => self.refuse(call, error),
        }
    }

    /// Returns `true` if a call that was taken in begins: not in a session that has ended since, unless a drain had begun. Its
    /// peer was told then which calls run, and this is one of them.
    #[inline]
    fn begins_calls(&self) -> bool {
        !self.ended.load(Ordering::SeqCst) || self.draining.load(Ordering::SeqCst)
    }

    /// Answers a call that has not begun with an error.
    fn refuse(self: &Arc<Self>, call: InboundCall, error: Error) {
        let _hosted = HostGuard::new(Some(self.clone()));
        let answer = call.answer;
        drop(call);
        self.finish(answer, Err(error), false);
    }

    /// Refuses the calls that wait for others to end.
    #[cfg(feature = "host")]
    pub(crate) fn refuse_parked(self: &Arc<Self>) {
        let parked = self.with_state(Cause::Driver, |state, _| state.inbox.take_parked());
        for call in parked {
            self.refuse(call, shutting_down());
        }
    }

    /// Tells a peer of this library, once, what this side is able to do, and notes that the peer takes bytes beside the
    /// text.
    fn offer(&self, state: &mut State) {
        if !state.session.is_extended() {
            return;
        }
        let bytes = self.carries_bytes.load(Ordering::Relaxed);
        if !state.session.has_offer() {
            let reply = state.session.offer(Extensions { bytes, context: true });
            state.say_all(reply);
            #[cfg(feature = "host")]
            if self.is_draining() {
                let draining = state.session.drain();
                state.say_all(draining);
            }
        }
        if bytes && state.session.takes_bytes() {
            self.puts_bytes_beside.store(true, Ordering::Relaxed);
        }
    }

    /// Reads a frame in a language that needs the state for it, or that is not known yet. If it is the first one and
    /// `checks` is `true`, it must be one of the peer's language.
    fn read(
        self: &Arc<Self>,
        state: &mut State,
        frame: &str,
        checks: bool,
        effects: &mut Effects,
    ) -> Result<Option<Message>, Error> {
        let peer = self.capabilities();
        if peer.is_none() {
            match Dialect::detect(frame, &self.limits)? {
                Some(dialect) => self.speak(state, dialect, effects),
                None if checks => return Err(not_spoken(None)),
                None => return Ok(None),
            }
        } else if checks && !state.encoding.codec().recognizes(frame, &self.limits)? {
            return Err(not_spoken(peer));
        }
        let State { session, encoding, entries, .. } = state;
        let message = encoding.parse(frame, &self.limits, session, entries, self.lost.is_some(), effects);
        state.write_replies();
        message
    }

    /// Sets the peer's language, which is known now.
    fn speak(self: &Arc<Self>, state: &mut State, dialect: Dialect, effects: &mut Effects) {
        // It is set only here, under the lock.
        let _set = self.peer.set(dialect.capabilities());
        state.encoding.set_dialect(dialect);
        state.session.set_peer(dialect.capabilities());
        for promise in state.entries.take_pending_indexes() {
            let index = self.index_of_peer(state, effects);
            effects.push(Effect::Resolve(promise, index));
        }
    }

    /// Starts parked calls while there is room for them and `go_on` returns `true`. Returns `true` if there is room for
    /// more of them.
    pub(crate) fn unpark(self: &Arc<Self>, mut go_on: impl FnMut() -> bool) -> bool {
        loop {
            let call = self.with_state(Cause::Driver, |state, effects| {
                if self.capabilities().is_some_and(|peer| !peer.releases) {
                    state.evict_exports(self.limits.exports, effects);
                }
                let (calls, own_calls) = (state.session.running(), state.entries.own_calls());
                state.inbox.unpark(calls, own_calls, &self.limits)
            });
            let Some(call) = call else { return false };
            self.start(call);
            if !go_on() {
                return self.read_state(|state| self.can_unpark(state));
            }
        }
    }

    /// Returns `true` if a parked call may run now.
    pub(super) fn can_unpark(&self, state: &State) -> bool {
        state.inbox.can_unpark(state.session.running(), state.entries.own_calls(), &self.limits)
    }

    /// Adds `bytes` to those that a running call of the peer holds.
    pub(super) fn call_holds(&self, answer: Id, bytes: usize) {
        self.with_state(Cause::Peer, |state, effects| {
            if state.inbox.add_bytes(answer, bytes) {
                self.check_calls(state, effects);
            }
        });
    }

    /// Returns the bytes of outcomes of promises that no caller has taken.
    pub(super) fn untaken(&self) -> usize {
        self.untaken.load(Ordering::Relaxed)
    }

    /// Returns the bytes of the peer's calls that wait for the decisions of policies.
    pub(super) fn undecided(&self) -> usize {
        self.context.undecided().map_or(0, |bytes| bytes.load(Ordering::Relaxed))
    }

    /// Starts a call of the peer: here, if it completes at once. Otherwise it becomes a task, and values unfolded for it
    /// count with it.
    fn start(self: &Arc<Self>, call: InboundCall) {
        // A handler started here may start others, which become tasks of this connection.
        let _hosted = HostGuard::new(Some(self.clone()));
        let InboundCall { answer, expression, context, bytes, .. } = call;
        // References may lead to other values.
        let unfolds = match &expression {
            Expression::Call { args, .. } => args.as_ref().is_some_and(|args| !args.refs.is_empty()),
            Expression::Value(_) => true,
        };
        let limits = Unfolding { frame: self.write_limit(), ..self.unfolding };
        let progress = self.peer.get().is_some_and(|peer| peer.progress);
        let progress = progress.then(|| self.progress_of(answer));
        let context = context.unwrap_or_else(|| self.context.received(None, progress));
        let start = || {
            let response = match expression {
                Expression::Call { target, path, args } => {
                    make_request(target, path, args, limits, Some(context.clone()), self.edge())
                }
                Expression::Value(value) => match InboundRef::begin(value, limits) {
                    Ok(body) => Response::wire(body),
                    Err(value) => {
                        Response::handler(async move { settle(value, limits).await.map(Reply::Wire) })
                    }
                },
            };
            response.start_unawaited()
        };
        // Requests in the values are of the same context.
        let start = || within(&mut Some(context.clone()), start);
        let (started, unfolded) = if unfolds { bounds::unfolding(start) } else { (start(), 0) };
        self.go_on(answer, started, bytes + unfolded);
    }

    /// Answers a call that has been started, or makes it a task that holds `bytes` if it has no outcome yet.
    fn go_on(self: &Arc<Self>, answer: Id, started: Result<Outcome, Response>, bytes: usize) {
        let response = match started {
            Ok(outcome) => return self.finish(answer, outcome, false),
            Err(response) => response,
        };
        let (task, running) = Task::new(self.clone(), answer, response, bytes);
        let is_over = self.with_state(Cause::Peer, |state, effects| {
            // Another thread may have ended the session, or cancelled the call, since it was staged.
            if self.ended.load(Ordering::SeqCst) || !state.session.is_running(answer) {
                effects.discard(task);
                return true;
            }
            state.session.enter_in_place();
            state.inbox.add(answer, running.clone(), task);
            self.check_calls(state, effects);
            false
        });
        if is_over {
            running.cancel();
        }
    }

    /// Stages the event of a frame of `bytes` bytes. Returns its request, if it has one.
    fn stage(
        self: &Arc<Self>,
        state: &mut State,
        event: Event,
        bytes: usize,
        effects: &mut Effects,
    ) -> Result<Option<Work>, Error> {
        match event {
            Event::Call { answer, expression, return_mode, refusal, context } => {
                if matches!(return_mode, ReturnMode::Retained) {
                    state.entries.open_answer(answer);
                }
                let said = (expression, context);
                return self.stage_call(state, answer, said, refusal, bytes, effects);
            }
            Event::Answered { import, outcome } => {
                return Ok(self.stage_answer(state, import, outcome, effects));
            }
            Event::Pull { answer } => {
                if let Some(outcome) = state.entries.outcome(answer) {
                    self.send_answer(state, answer, outcome, effects);
                }
            }
            Event::Pipe { answer } => {
                self.open_pipe(state, answer, effects);
            }
            Event::PullObject { export } => {
                let outcome = state.entries.pull(export);
                self.send_answer(state, export, outcome, effects);
            }
            Event::Cancel { answers } => {
                for answer in answers {
                    Self::cancel_call(state, answer, effects);
                }
            }
            Event::AnswerReleased { answer } => state.entries.forget(answer, false, effects),
            Event::ExportReleased { export } => {
                if self.capabilities().is_some_and(|peer| peer.names_exports) {
                    state.encoding.export_names_mut().remove(export, effects);
                }
                state.entries.remove_object(export, effects);
            }
            Event::Undecodable { import, value, why } => {
                effects.discard(self.stage_value(state, value));
                if let Some(caller) = state.entries.take_question(import) {
                    effects.push(Effect::Deliver(caller, Err(Error::new(ErrorKind::Decode, why))));
                }
            }
            Event::Draining => {
                self.restricted.store(true, Ordering::SeqCst);
                effects.push(Effect::PeerDraining(state.lifecycle.take_draining()));
            }
            Event::Progress { import, value } => {
                let value = self.stage_value(state, value);
                match state.entries.progress_of(import) {
                    Some(progress) => effects.push(Effect::Progress(progress, value)),
                    None => effects.discard(value),
                }
            }
            Event::Aborted { reason } => {
                let (error, _) = capnweb::read_error(&reason);
                // It is copied for each call that was not sent.
                let message = format!("the peer ended the session: {:.1000}", error.message());
                effects.push(Effect::Close(Error::new(ErrorKind::Protocol, message)));
            }
        }
        Ok(None)
    }

    /// Stages a call that came in a frame of `bytes` bytes, and may have to wait.
    fn stage_call(
        self: &Arc<Self>,
        state: &mut State,
        answer: Id,
        (expression, carried): (Expression<Id, CapDescriptor>, Option<Box<CarriedContext>>),
        refusal: Option<String>,
        bytes: usize,
        effects: &mut Effects,
    ) -> Result<Option<Work>, Error> {
        let (mut is_write, mut waits_for_end) = (false, false);
        let expression = match expression {
            Expression::Call { target, path, args } => {
                let peer = self.peer.get().copied().unwrap_or_default();
                if peer.names_exports {
                    let asks_index = peer.asks_index && target == 0 && path.is_empty() && args.is_none();
                    state.encoding.export_names_mut().begin(answer, target, asks_index);
                }
                let target = state.entries.target(target).unwrap_or_else(|| no_index_for(peer));
                is_write = refusal.is_none() && target.is_writable();
                let args = args.map(|args| self.stage_value(state, args));
                waits_for_end = StreamEnd::of(&target).is_some();
                Expression::Call { target, path, args }
            }
            Expression::Value(value) => Expression::Value(self.stage_value(state, value)),
        };
        let mut call = InboundCall::new(answer, expression, bytes);
        let mut refused = refusal.map(Error::rejected);
        // A chunk has no context: its reader does not run for it.
        let is_chunk = is_write && WriteEnd::called(&call.expression).is_some();
        if let Some(carried) = carried.filter(|_| !is_chunk) {
            let fits = check_metadata(&carried.metadata, self.limits.metadata_bytes);
            refused = refused.or_else(|| fits.err());
            let context = self.context.received(Some(*carried), None);
            if let Some(at) = context.ends_at() {
                self.set_deadline(state, Deadline::Theirs(answer), at);
            }
            call.context = Some(context);
        }
        if call.requests > self.limits.running_calls && refused.is_none() {
            let message = format!("more than {} calls in one message", self.limits.running_calls);
            effects.discard(call);
            return Err(Error::over(LimitKind::RunningCalls, message));
        }
        if is_write && refused.is_none() {
            // It is no running call, wherever the stream is, and waits for none.
            state.session.set_write(answer);
            return Ok(Some(Work::Write(call)));
        }
        if refused.is_none() && self.draining.load(Ordering::SeqCst) {
            refused = Some(shutting_down());
        }
        if let Some(error) = refused {
            return Ok(Some(Work::Refuse(call, error)));
        }
        if waits_for_end {
            state.session.set_write(answer);
            return Ok(Some(Work::Run(call)));
        }
        let calls = state.session.running();
        match state.inbox.admit(call, calls, || state.entries.own_calls(), &self.limits) {
            Some(call) => Ok(Some(Work::Run(call))),
            None => state.inbox.check(self.untaken(), self.undecided(), &self.limits).map(|()| None),
        }
    }

    /// Stages the outcome of a call of this side, or of a promise of the peer.
    fn stage_answer(
        self: &Arc<Self>,
        state: &mut State,
        import: Id,
        outcome: Result<Payload<CapDescriptor>, Payload<CapDescriptor>>,
        effects: &mut Effects,
    ) -> Option<Work> {
        let caller = state.entries.take_question(import);
        let answer = match outcome {
            Ok(value) => {
                let staged = self.stage_value(state, value);
                let limit = self.limits.running_calls;
                if !staged.refs.is_empty() && InboundRef::requests(&staged).0 > limit {
                    effects.discard(staged);
                    let message = format!("more than {limit} calls in one answer");
                    let error = Error::over(LimitKind::RunningCalls, message);
                    Err(error.with_fate(Fate::Answered).with_fault(Fault::Peer))
                } else {
                    Ok(staged)
                }
            }
            Err(thrown) => {
                let (reason, unused) = InboundRef::reason(self.stage_value(state, thrown), self.unfolding);
                let error = with_fate_of_refusal(Error::thrown(&reason));
                if !reason.refs.is_empty() {
                    effects.discard((reason, unused));
                }
                Err(error)
            }
        };
        match caller {
            Some(caller @ Question::Call { .. }) => return Some(Work::Answer(caller, answer)),
            Some(caller) => effects.push(Effect::Deliver(caller, answer)),
            None => effects.discard(answer),
        }
        None
    }

    /// Cancels a call of the peer.
    pub(super) fn cancel_call(state: &mut State, answer: Id, effects: &mut Effects) {
        state.inbox.withdraw(answer, effects);
        state.encoding.export_names_mut().end(answer);
        if let Some(deadlines) = &mut state.entries.deadlines {
            deadlines.remove(Deadline::Theirs(answer));
        }
        if let Some(running) = state.inbox.take_running(answer) {
            effects.push(Effect::Cancel(running));
        }
        // There may be a reference to the result.
        state.entries.forget(answer, true, effects);
    }

    /// Replaces the ids in a value by what they stand for.
    fn stage_value(
        self: &Arc<Self>,
        state: &mut State,
        value: Payload<CapDescriptor>,
    ) -> Payload<InboundRef> {
        value.map(|descriptor| self.stage_reference(state, descriptor))
    }

    fn stage_reference(self: &Arc<Self>, state: &mut State, descriptor: CapDescriptor) -> InboundRef {
        match descriptor {
            CapDescriptor::SenderHosted(id) => {
                InboundRef::Cap(Cap::from_import(self.import(state, id, false)))
            }
            CapDescriptor::SenderFunction(id) => {
                InboundRef::Cap(Cap::from_import(self.import(state, id, true)))
            }
            CapDescriptor::SenderWritable(id) => {
                let cap = Cap::from_import(self.import(state, id, false));
                InboundRef::Cap(cap.with_kind(RefKind::Writable))
            }
            CapDescriptor::ReceiverReadable(id) => InboundRef::Cap(state.entries.read_end(id)),
            CapDescriptor::Bytes(bytes) => InboundRef::Bytes(bytes),
            CapDescriptor::Node(node) => InboundRef::Node(node),
            CapDescriptor::SenderPromise(id) => {
                let (sender, outcome) = oneshot::channel();
                state.entries.expect(id, Question::Promise(sender));
                InboundRef::Promise(PeerPromise::new(self.clone(), id, outcome))
            }
            CapDescriptor::ReceiverHosted(ReceiverRef { id, path, args, awaited }) => {
                let cap = state
                    .entries
                    .target(id)
                    .unwrap_or_else(|| no_index_for(self.capabilities().unwrap_or_default()));
                if path.is_empty() && args.is_none() && !awaited {
                    ReadEnd::come_home(&cap);
                    return InboundRef::Cap(cap);
                }
                let args = args.map(|args| self.stage_value(state, *args));
                InboundRef::Call(Box::new(NestedCall { cap, path, args, awaited, edge: self.edge.clone() }))
            }
            CapDescriptor::Map(map) => self.stage_map(state, *map),
            CapDescriptor::Unsupported { with, .. } => InboundRef::Missing(
                with.into_iter().map(|descriptor| self.stage_reference(state, descriptor)).collect(),
            ),
        }
    }
}

impl Link {
    fn stage_map(self: &Arc<Self>, state: &mut State, map: Mapping) -> InboundRef {
        let target = state.entries.target(map.id);
        let cap = target.unwrap_or_else(|| no_index_for(self.capabilities().unwrap_or_default()));
        let mut captures = Vec::with_capacity(map.captures.len());
        let mut missing = Vec::new();
        for capture in map.captures {
            match self.stage_reference(state, capture) {
                InboundRef::Cap(cap) => captures.push(cap),
                other => missing.push(other),
            }
        }
        match map.program {
            Ok(program) if missing.is_empty() => InboundRef::Map(Box::new(NestedMap {
                cap,
                path: map.path,
                captures,
                program,
                edge: self.edge.clone(),
            })),
            // It has been refused.
            _ => InboundRef::Missing(
                missing.into_iter().chain(captures.into_iter().map(InboundRef::Cap)).collect(),
            ),
        }
    }
}

/// The property that says of a call that nothing of it ran, or that it may have.
const RAN: &str = "capnode:ran";

/// Returns the error for a call that comes while the node is shutting down. The call has not run. A program in JavaScript
/// recognizes that by the property `code`, which other errors may have as well; this library by one of its own.
fn shutting_down() -> Error {
    let code = ErrorData::Wire(Text::Static(r#"{"code":"ESHUTDOWN","capnode:ran":false}"#));
    Error::rejected(SHUTTING_DOWN).with_data(code)
}

/// Sets the fate of an error by which the peer has refused a call. The property for it is dropped: if the error is passed
/// on, it is about another call.
fn with_fate_of_refusal(error: Error) -> Error {
    // References in it would be dropped under the lock.
    if error.references().is_some() || error.property(RAN) != Some(false) {
        return error;
    }
    error.with_data(SHUTDOWN).with_fate(Fate::NotSent)
}
