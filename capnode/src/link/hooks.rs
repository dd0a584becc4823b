//! The connection as its references and answers see it: calls and releases of this program.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_channel::oneshot;

use super::effects::{Effect, Effects};
use super::encode::{ENVELOPE, to_wire};
use super::locked::Cause;
use super::question::Question;
use super::queued_call::{QueuedCall, Requester};
use super::state::State;
use super::{Link, PropertyReads};
use crate::cap::Cap;
use crate::cap::broken::{BrokenSlot, fire};
use crate::cap::hook::{ConnectionHook, Ticket, UNSENT};
use crate::cap::import::{Called, Import, ImportHook};
use crate::cap::inbound::Delivered;
use crate::cap::payload::{LivePayload, REFERENCE};
use crate::cap::pending::PendingAnswer;
use crate::cap::promise::Promise;
use crate::cap::request::{CallOptions, Member, Request};
use crate::dialect::Capabilities;
use crate::error::Error;
use crate::limits::{LimitKind, Unfolding};
use crate::message::{Expression, Id, Key, Path, Payload, ReturnMode};
use crate::sync::atomic::Ordering;
use crate::sync::lock;
use crate::thin_vec::ThinVec;

/// The way of a call of this program.
enum Way {
    /// It has been sent, with a receiver for its answer if it is awaited.
    Sent(Id, Option<oneshot::Receiver<Delivered>>),
    /// It waits for room.
    Waits(Called),
}

impl ConnectionHook for Link {
    fn release(&self, id: Id) {
        self.queue_drop(id);
    }

    fn drop_call(&self, id: Id) {
        self.with_state(Cause::Program, |state, effects| {
            let release = state.session.drop_call(id);
            state.say_all(release);
            effects.discard_all(state.entries.take_question(id));
        });
    }

    fn withdraw(&self, ticket: &Ticket) -> bool {
        let waited = self.with_state(Cause::Program, |state, effects| {
            let call = state.outbox.withdraw(ticket.number());
            let waited = call.is_some();
            effects.discard_all(call);
            waited
        });
        let id = ticket.id();
        if !waited && id != UNSENT {
            self.drop_call(id);
        }
        waited
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

    fn knows_extended(&self) -> Option<bool> {
        self.read_state(|state| state.session.knows_extended())
    }

    fn round_trip(self: Arc<Self>) -> Result<PendingAnswer, Error> {
        let (caller, answer) = oneshot::channel();
        let id = self.with_state(Cause::Program, |state, effects| {
            state.lifecycle.check()?;
            state.outbox.check_calls(state.session.unanswered(), &self.limits)?;
            let call = state.session.round_trip();
            let id = state.send(call, effects)?;
            state.entries.expect(id, Question::Call { caller, progress: None, since: None });
            Ok::<_, Error>(id)
        })?;
        Ok(PendingAnswer::new(self, id, answer))
    }

    fn frame_bytes(&self) -> usize {
        self.limits.frame_bytes
    }

    fn call(
        self: Arc<Self>,
        target: &Arc<Import>,
        path: Path,
        args: Option<LivePayload>,
        return_mode: ReturnMode,
        mut options: CallOptions,
    ) -> Result<Called, Error> {
        let peer = self.peer.get().copied();
        let args = match args {
            // Arguments without references are sent as they are.
            Some(args) if !args.refs.is_empty() || !args.nodes.is_empty() => {
                Some(to_wire(args, peer, self.limits.frame_bytes).0?)
            }
            args => args,
        };
        let size = args.as_ref().map_or(0, |args| args.text.as_str().len() + args.refs.len() * REFERENCE);
        if size + path.len() + ENVELOPE >= self.limits.frame_bytes {
            return Err(Error::over(LimitKind::FrameBytes, "the arguments are longer than a frame may be"));
        }
        let answers_all = peer.is_some_and(|peer| peer.answers_all);
        let answered = matches!(return_mode, ReturnMode::Streamed);
        let awaits = answered && !options.at_once;
        if !answered {
            // Nothing would receive it, and below it would be dropped under the lock.
            options.progress = None;
        }
        let request = (path, args, options);
        let way = self.with_state(Cause::Program, |state, effects| {
            let open = if self.ended.load(Ordering::SeqCst) { state.lifecycle.check() } else { Ok(()) };
            let unanswered = state.session.unanswered();
            let admit = |()| state.outbox.admit(size, answered, awaits, unanswered, &self.limits);
            let waits = match open.and_then(admit) {
                Ok(waits) => waits,
                Err(error) => {
                    effects.discard(request);
                    return Err(error);
                }
            };
            let (path, args, options) = request;
            if waits {
                let (asker, called) = self.requester(state.outbox.next_number(), answered, options);
                state.outbox.wait(QueuedCall {
                    target: target.clone(),
                    path: path.compact(),
                    args,
                    size,
                    asker,
                });
                return Ok(Way::Waits(called));
            }
            let args = args.map(|args| {
                if args.refs.is_empty() {
                    return Payload { text: args.text, refs: ThinVec::NONE, nodes: args.nodes };
                }
                self.descriptors(state, args, false, effects)
            });
            let call = state.session.call(Expression::Call { target: target.id(), path, args }, return_mode);
            let id = match state.send(call, effects) {
                Ok(id) => id,
                Err(error) => {
                    effects.discard_all(options.progress);
                    return Err(error);
                }
            };
            let answer = answered.then(|| {
                let (caller, answer) = oneshot::channel();
                let since = if answers_all { None } else { self.call_since(options.timed) };
                state.entries.expect(id, Question::Call { caller, progress: options.progress, since });
                answer
            });
            Ok(Way::Sent(id, answer))
        });
        Ok(match way? {
            Way::Sent(id, Some(answer)) => Called::Sent(PendingAnswer::new(self, id, answer)),
            Way::Sent(id, None) => Called::Kept(Import::new(self, id, false)),
            Way::Waits(called) => called,
        })
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
        promise.follow(from.request(Request::read(Member::Path(Path::One(name.clone())))));
        Cap::from_promise(promise)
    }
}

impl Link {
    /// Returns the receiver of the result of a call that waits for room, and the result itself.
    fn requester(self: &Arc<Self>, number: u64, answered: bool, options: CallOptions) -> (Requester, Called) {
        if answered {
            let ticket = Arc::new(Ticket::new(number));
            let (caller, answer) = oneshot::channel();
            let pending = PendingAnswer::waiting(self.clone(), ticket.clone(), answer);
            (Requester::Caller { ticket, caller, options }, Called::Sent(pending))
        } else {
            let result = Import::new(self.clone(), UNSENT, false);
            (Requester::Reference(result.clone()), Called::Kept(result))
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
        while let Some(QueuedCall { target, path, args, asker, .. }) = state.outbox.next_waiting(&self.limits)
        {
            let args = args.map(|args| self.descriptors(state, args, false, effects));
            let return_mode = match &asker {
                Requester::Reference(_) => ReturnMode::Retained,
                Requester::Caller { .. } => ReturnMode::Streamed,
            };
            let call = state.session.call(Expression::Call { target: target.id(), path, args }, return_mode);
            let id = call.id;
            let sent = state.send(call, effects);
            effects.discard(target);
            match asker {
                Requester::Reference(result) => {
                    // Only a peer that pipelines has references to results, and its language can express every call.
                    let _always_sent = sent;
                    result.set_id(id);
                    effects.discard(result);
                }
                Requester::Caller { ticket, caller, options } => {
                    ticket.set_id(id);
                    let (progress, since) = (options.progress, self.call_since(options.timed));
                    let caller = Question::Call { caller, progress, since };
                    match sent {
                        Ok(id) => state.entries.expect(id, caller),
                        Err(error) => effects.push(Effect::Deliver(caller, Err(error))),
                    }
                }
            }
        }
    }
}
