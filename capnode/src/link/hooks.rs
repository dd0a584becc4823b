//! The connection as its references and answers see it: calls and releases of this program.

use std::sync::{Arc, Weak};
use std::task::{self, Poll, Waker};
use std::time::Duration;

use super::deadlines::Deadline;
use super::effects::{Effect, Effects};
use super::encode::{ENVELOPE, to_wire};
use super::lifecycle::peer_draining;
use super::locked::Cause;
use super::question::Question;
use super::queued_call::{QueuedCall, Requester};
use super::state::State;
use super::{Link, PropertyReads};
use crate::bounds::with_bytes_beside;
use crate::cap::Cap;
use crate::cap::broken::{BrokenSlot, fire};
use crate::cap::context::{Context, late};
use crate::cap::edge::Edge;
use crate::cap::hook::{ConnectionHook, UNSENT};
use crate::cap::import::{Called, Import, ImportHook};
use crate::cap::meter::Counted;
use crate::cap::payload::{LivePayload, PayloadRef, REFERENCE, beside_len};
use crate::cap::pending::{AnswerSlot, PendingAnswer};
use crate::cap::promise::Promise;
use crate::cap::request::{Args, CallOptions, Member, Request};
use crate::cap::stream::{ReadEnd, passed_on};
use crate::dialect::Capabilities;
use crate::error::{Error, Fate};
use crate::limits::{LimitKind, Unfolding};
use crate::message::{
    CapDescriptor, Expression, Id, Key, Mapping, Message, Path, Payload, Program, ReturnMode, Text,
};
use crate::runtime::Instant;
use crate::session::OutboundCall;
use crate::sync::atomic::Ordering;
use crate::sync::lock;
use crate::thin_vec::ThinVec;

impl ConnectionHook for Link {
    fn release(&self, id: Id) {
        self.queue_drop(id);
    }

    fn give_up(&self, call: &AnswerSlot) -> bool {
        self.with_state(Cause::Program, |state, effects| {
            if let Some(waited) = state.outbox.withdraw(call.number()) {
                effects.discard(waited);
                return true;
            }
            // It is unknown in a session that has ended.
            effects.discard_all(state.drop_call(call.id()));
            false
        })
    }

    fn note_awaited(&self) {
        if let Some(batch) = &self.batch {
            batch.close();
            self.wake_up();
        }
    }

    fn on_closed(&self, slot: &BrokenSlot) {
        let closed = self.with_state(Cause::Program, |state, _| state.lifecycle.watch(slot));
        if let Some(error) = closed {
            fire(slot, &error);
        }
    }

    fn closed_error(&self) -> Error {
        Link::closed_error(self)
    }

    fn unfolding(&self) -> Unfolding {
        self.unfolding
    }
}

impl ImportHook for Link {
    fn capabilities(&self) -> Option<&'static Capabilities> {
        Link::capabilities(self)
    }

    #[cfg(feature = "tokio")]
    fn is_leaving(&self) -> bool {
        self.ended.load(Ordering::SeqCst) || self.read_state(|state| state.session.last_run().is_some())
    }

    fn knows_extended(&self) -> Option<bool> {
        self.read_state(|state| state.session.knows_extended())
    }

    fn round_trip(self: Arc<Self>) -> Result<PendingAnswer, Error> {
        self.with_state(Cause::Program, |state, effects| {
            self.check_call(state, None, true, true)?;
            // It does not wait: the peer answers at once.
            let _waits = state.outbox.admit(0, true, true, state.session.unanswered(), &self.limits)?;
            let call = state.session.round_trip();
            let id = state.send(call, effects)?;
            let (caller, answer) = PendingAnswer::new(self.clone(), id, 0, None, None);
            state.entries.expect(id, Question::Call { caller, progress: None, since: None });
            Ok(answer)
        })
    }

    fn frame_bytes(&self) -> usize {
        self.limits.frame_bytes
    }

    fn write_limit(&self) -> usize {
        let bytes = self.limits.frame_bytes;
        if self.puts_bytes_beside.load(Ordering::Relaxed) { with_bytes_beside(bytes) } else { bytes }
    }

    fn now(&self) -> Duration {
        Link::now(self)
    }

    fn stream_window(&self) -> usize {
        self.limits.stream_window
    }

    fn count_unacknowledged(&self, bytes: usize) -> Option<Result<(), Error>> {
        let batch = self.batch.as_ref()?;
        let closed = self.closed().map_or(Ok(()), Err);
        Some(closed.and_then(|()| batch.count_chunk(bytes, &self.limits)))
    }

    fn poll_room(&self, cx: &mut task::Context<'_>) -> Poll<bool> {
        // A waker is user code.
        let mut waker = Some(cx.waker().clone());
        self.with_state(Cause::Program, |state, _| {
            if self.ended.load(Ordering::SeqCst) || state.outbox.has_room_for_chunk() {
                return Poll::Ready(state.session.is_extended());
            }
            state.outbox.wait_for_room(&mut waker);
            Poll::Pending
        })
    }

    fn call(
        self: Arc<Self>,
        target: &Arc<Import>,
        request: &mut Request,
        return_mode: ReturnMode,
        waker: Option<&Waker>,
        counted: Option<&mut Option<Counted>>,
    ) -> Result<Called, Error> {
        let (size, program) = match &mut request.args {
            // Arguments without references are sent as they are.
            Args::Wire(args) if args.refs.is_empty() && args.nodes.is_empty() => {
                (args.text.as_str().len(), None)
            }
            Args::Wire(args) => (self.args_to_wire(args)?, None),
            Args::Map(captures, map) => {
                (map.text.as_str().len() + captures.refs.len() * REFERENCE, Some(map.clone()))
            }
            _ => (0, None),
        };
        let path = std::mem::replace(&mut request.member, Member::Path(Path::Empty)).into_path();
        if size + path.len() + ENVELOPE >= self.limits.frame_bytes {
            return Err(Error::over(LimitKind::FrameBytes, "the arguments are longer than a frame may be"));
        }
        if self.call_time.is_some() || request.options.context.is_some() {
            self.prepare_context(&mut request.options)?;
        }
        let answered = matches!(return_mode, ReturnMode::Streamed);
        let awaits = answered && !request.options.at_once;
        // A waker is user code.
        let mut waker = waker.filter(|_| answered).cloned();
        self.with_state(Cause::Program, |state, effects| {
            let restricted = self.restricted.load(Ordering::SeqCst);
            if restricted {
                self.check_call(state, Some(target), awaits, request.options.chunk)?;
            }
            let unanswered = state.session.unanswered();
            let waits = state.outbox.admit(size, answered, awaits, unanswered, &self.limits)?;
            let Request { args, options, .. } = request;
            let args = args.take_written();
            if waits {
                let number = state.outbox.next_number();
                self.note_deadline(state, Deadline::Waiting(number), options);
                let context = options.context.clone();
                let (requester, called) = self.requester(number, answered, options, waker.take(), counted);
                let (target, path) = (target.clone(), path.compact());
                state.outbox.wait(QueuedCall { target, path, args, program, context, size, requester });
                return Ok(called);
            }
            let asked = match program {
                Some(program) => self.map_of(state, target, path, args, program, effects),
                None => {
                    let args = args.map(|args| self.descriptors(state, args, false, effects));
                    Expression::Call { target: target.id(), path, args }
                }
            };
            let mut call = state.session.call(asked, return_mode, options.chunk);
            if let Some(context) = &options.context {
                carry(state, &mut call, context);
            }
            if let Some(batch) = &self.batch {
                batch.note_call(target.id(), answered, awaits, &mut call, &mut state.session);
            }
            let id = state.send(call, effects)?;
            if !answered {
                if restricted || options.context.is_some() {
                    self.watch_result(state, id, target, options.ends_at(), effects);
                }
                return Ok(Called::Kept(Import::new(self.clone(), id, false)));
            }
            let since = self.call_since(options.timed);
            let (caller, answer) =
                PendingAnswer::new(self.clone(), id, 0, waker.take(), counted.and_then(Option::take));
            if restricted || options.context.is_some() {
                self.note_deadline(state, Deadline::Own(id), options);
                state.entries.note_made(id, target);
            }
            let progress = options.context.as_ref().and_then(Context::progress).cloned();
            state.entries.expect(id, Question::Call { caller, progress, since });
            Ok(Called::Sent(if self.batch.is_some() { answer.gathering() } else { answer }))
        })
    }

    fn has_edge(&self) -> bool {
        self.edge.is_some()
    }

    fn edge(&self) -> Option<Arc<dyn Edge>> {
        self.edge.clone().filter(|edge| !edge.is_idle())
    }

    fn read_property(self: Arc<Self>, from: &Arc<Import>, name: &Key) -> Cap {
        let place = (from.id(), name.to_string());
        let asked;
        let promise = {
            let PropertyReads { asked: property_reads, sweep } = &mut *lock(&self.property_reads);
            asked = property_reads.get(&place).and_then(Weak::upgrade);
            match &asked {
                Some(asked) if asked.resolution().is_none() => return Cap::from_promise(asked.clone()),
                _ => {
                    let promise = Promise::new();
                    if sweep.is_due(property_reads.len()) {
                        property_reads.retain(|_, asked| asked.strong_count() > 0);
                        sweep.done(property_reads.len());
                    }
                    property_reads.insert(place, Arc::downgrade(&promise));
                    promise
                }
            }
        };
        promise.follow(from.request(&mut Request::read(Member::Path(Path::One(name.clone()))), None));
        Cap::from_promise(promise)
    }
}

impl Link {
    /// Checks that a call of a target can be made, whose caller `awaits` its answer or not. One that belongs to an earlier
    /// one, `goes_on` with it, is made of a peer that drains.
    #[cold]
    fn check_call(
        &self,
        state: &State,
        target: Option<&Arc<Import>>,
        awaits: bool,
        goes_on: bool,
    ) -> Result<(), Error> {
        state.lifecycle.check()?;
        if target.is_some_and(|target| state.entries.has_failed(target)) {
            return Err(late().with_fate(Fate::NotSent));
        }
        if !goes_on && state.session.last_run().is_some() {
            return Err(peer_draining());
        }
        if let Some(batch) = &self.batch {
            return batch.check_call(awaits);
        }
        // Once no result can fail, calls need no look at them.
        let may_fail = state.entries.deadlines.as_ref().is_some_and(|deadlines| deadlines.has_results());
        self.restricted.store(may_fail || state.session.last_run().is_some(), Ordering::SeqCst);
        Ok(())
    }

    /// Converts arguments to those that the peer's language can express. None of their streams may have gone to a peer.
    /// Returns their size.
    fn args_to_wire(&self, args: &mut LivePayload) -> Result<usize, Error> {
        if has_moved_stream(args) {
            return Err(passed_on());
        }
        let unwritten = std::mem::replace(args, Payload::plain(Text::Static("")));
        *args = to_wire(unwritten, self.capabilities(), self.write_limit()).0?;
        Ok(args.text.as_str().len() + args.refs.len() * REFERENCE + beside_len(args))
    }

    /// Returns the receiver of the result of a call that waits for room, and the result itself. Options that nothing
    /// reads are left, since they may not be dropped under the lock.
    fn requester(
        self: &Arc<Self>,
        number: u64,
        answered: bool,
        options: &mut CallOptions,
        waker: Option<Waker>,
        counted: Option<&mut Option<Counted>>,
    ) -> (Requester, Called) {
        if answered {
            let options = std::mem::replace(options, CallOptions::NONE);
            let (caller, answer) =
                PendingAnswer::new(self.clone(), UNSENT, number, waker, counted.and_then(Option::take));
            (Requester::Caller { caller, options }, Called::Sent(answer))
        } else {
            let result = Import::new(self.clone(), UNSENT, false);
            (Requester::Reference(result.clone()), Called::Kept(result))
        }
    }

    /// Returns the map that the peer is asked for.
    fn map_of(
        self: &Arc<Self>,
        state: &mut State,
        target: &Import,
        path: Path,
        args: Option<LivePayload>,
        program: Arc<Program>,
        effects: &mut Effects,
    ) -> Expression<Id, CapDescriptor> {
        let captures = args.map_or(ThinVec::NONE, |args| args.refs);
        let captures_of = captures.iter().map(|slot| self.capture(state, &slot.to)).collect();
        effects.discard(captures);
        let map = Mapping { id: target.id(), path, captures: captures_of, program: Ok(program) };
        Expression::Value(Payload::reference(CapDescriptor::Map(Box::new(map))))
    }

    /// Adds to the context of a call what the connection says of each, and checks it.
    #[cold]
    fn prepare_context(&self, options: &mut CallOptions) -> Result<(), Error> {
        let end = self.call_time.and_then(|limit| Instant::now().checked_add(limit));
        if let Some(end) = end {
            Context::set_deadline(&mut options.context, end);
        }
        options.context.as_ref().map_or(Ok(()), |context| context.check(self.limits.metadata_bytes))
    }

    /// Notes the deadline of a call of this side, unless its caller sees to it.
    fn note_deadline(&self, state: &mut State, call: Deadline, options: &CallOptions) {
        if let Some(end) = options.ends_at().filter(|_| !options.timed) {
            self.set_deadline(state, call, end);
        }
    }

    /// Has the result of a call that was made on `target` fail at the deadline of the call, and with the target.
    #[cold]
    fn watch_result(
        &self,
        state: &mut State,
        result: Id,
        target: &Arc<Import>,
        end: Option<Instant>,
        effects: &mut Effects,
    ) {
        state.entries.note_made(result, target);
        let Some(end) = end else { return };
        if end <= Instant::now() {
            state.entries.deadlines.get_or_insert_default().fail(result);
            return self.restricted.store(true, Ordering::SeqCst);
        }
        // A peer that knows contexts keeps the time itself, and the results of a batch end with it.
        if state.session.takes_context() || self.batch.is_some() {
            return;
        }
        let read = Expression::Call { target: result, path: Path::Empty, args: None };
        let read = state.session.call(read, ReturnMode::Streamed, false);
        // A language that has results to read has words for it.
        let Ok(read) = state.send(read, effects) else { return };
        state.entries.expect(read, Question::Result(result));
        self.set_deadline(state, Deadline::Own(read), end);
        state.entries.deadlines.get_or_insert_default().set_read(result, read);
        self.restricted.store(true, Ordering::SeqCst);
    }

    /// Sets the deadline of a call.
    pub(super) fn set_deadline(&self, state: &mut State, call: Deadline, at: Instant) {
        if state.entries.deadlines.get_or_insert_default().set(call, at) {
            self.has_sooner.store(true, Ordering::SeqCst);
        }
    }

    /// Returns the start of the time limit of a call, unless the call has one of its own (`timed`), or the peer answers
    /// every call.
    fn call_since(&self, timed: bool) -> Option<Duration> {
        let answers_all = self.peer.get().is_some_and(|peer| peer.answers_all);
        (!answers_all && !timed).then(|| self.now())
    }

    /// Sends waiting calls while there is room.
    pub(super) fn admit(self: &Arc<Self>, state: &mut State, effects: &mut Effects) {
        while let Some((number, call)) = state.outbox.next_waiting(&self.limits) {
            if let Some(deadlines) = &mut state.entries.deadlines {
                deadlines.remove(Deadline::Waiting(number));
            }
            // A call that waited before it may have had the same stream.
            let has_caller = matches!(call.requester, Requester::Caller { .. });
            if has_caller && call.args.as_ref().is_some_and(has_moved_stream) {
                effects.push(Effect::Unsent(call, passed_on()));
                continue;
            }
            if has_caller && state.entries.has_failed(&call.target) {
                effects.push(Effect::Unsent(call, late()));
                continue;
            }
            let QueuedCall { target, path, args, program, context, requester, .. } = call;
            let end = context.as_ref().and_then(Context::ends_at);
            let asked = match program {
                // Calls that wait behind it need a result, which fails.
                _ if !has_caller && end.is_some_and(|end| end <= Instant::now()) => {
                    effects.discard_all(args);
                    Expression::Value(Payload::plain(Text::Static("null")))
                }
                Some(program) => self.map_of(state, &target, path, args, program, effects),
                None => {
                    let args = args.map(|args| self.descriptors(state, args, false, effects));
                    Expression::Call { target: target.id(), path, args }
                }
            };
            let return_mode = if has_caller { ReturnMode::Streamed } else { ReturnMode::Retained };
            let mut call = state.session.call(asked, return_mode, false);
            if let Some(context) = &context {
                carry(state, &mut call, context);
            }
            effects.discard_all(context);
            call.pulled &= self.batch.is_none() || requester.awaits();
            let id = call.id;
            let sent = state.send(call, effects);
            match requester {
                Requester::Reference(result) => {
                    // Only a peer that pipelines has references to results, and its language can express every call.
                    let _always_sent = sent;
                    result.set_id(id);
                    self.watch_result(state, id, &target, end, effects);
                    effects.discard(result);
                }
                Requester::Caller { caller, options } => {
                    caller.set_id(id);
                    self.note_deadline(state, Deadline::Own(id), &options);
                    let progress = options.context.as_ref().and_then(Context::progress).cloned();
                    let since = self.call_since(options.timed);
                    effects.discard_all(options.context);
                    let caller = Question::Call { caller, progress, since };
                    match sent {
                        Ok(id) => state.entries.expect(id, caller),
                        Err(error) => effects.push(Effect::Deliver(caller, Err(error))),
                    }
                    state.entries.note_made(id, &target);
                }
            }
            effects.discard(target);
        }
    }
}

/// Returns `true` if one of the streams in a value has gone to a peer.
fn has_moved_stream(value: &LivePayload) -> bool {
    value.refs.iter().any(|slot| matches!(&slot.to, PayloadRef::Cap(cap) if ReadEnd::is_moved(cap)))
}

/// Has a call carry its context, to a peer that understands it.
fn carry(state: &State, call: &mut OutboundCall, context: &Context) {
    let carried = if state.session.takes_context() { context.carried() } else { None };
    if let Some(context) = carried {
        let message = std::mem::replace(&mut call.message, Message::Hello);
        call.message = Message::InContext { call: Box::new(message), context };
    }
}
