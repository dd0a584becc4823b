//! The connection as its references and answers see it: calls and releases of this program.

use std::sync::{Arc, Weak};

use futures_channel::oneshot;

use super::wording::{ENVELOPE, wording};
use super::{Dropped, Link, Steps, late};
use crate::cap::Cap;
use crate::cap::broken::BrokenSlot;
use crate::cap::hook::{ConnectionHook, Ticket, UNSENT};
use crate::cap::import::{Called, Import, ImportHook};
use crate::cap::payload::{Body, REFERENCE};
use crate::cap::pending::PendingAnswer;
use crate::cap::queue::Queue;
use crate::cap::request::{Extras, Member, Request};
use crate::dialect::Capabilities;
use crate::error::{Error, Fate};
use crate::limits::{LimitKind, Unfolding};
use crate::op::{Answering, Id, Key, Path};
use crate::sync::atomic::Ordering;
use crate::sync::lock;

impl ConnectionHook for Link {
    fn give_back(&self, id: Id) {
        {
            let mut dropped = lock(&self.dropped);
            dropped.push(Dropped { id, late: late::is_late() });
            self.any_dropped.store(true, Ordering::SeqCst);
        }
        self.wake();
    }

    fn drop_call(&self, id: Id) {
        let sender = {
            let mut state = lock(&self.state);
            state.session.drop_call(id);
            state.write_ops();
            state.take_caller(id)
        };
        drop(sender);
        self.wake();
    }

    fn withdraw(&self, ticket: &Ticket) -> bool {
        let call = lock(&self.state).waiting.remove(ticket.number());
        let waited = call.is_some();
        drop(call);
        let id = ticket.id();
        if !waited && id != UNSENT {
            self.drop_call(id);
        }
        waited
    }

    fn on_closed(&self, slot: &BrokenSlot) {
        Link::on_closed(self, slot);
    }

    fn closed_error(&self) -> Error {
        Link::closed_error(self)
    }

    fn unfolding(&self) -> Unfolding {
        self.limits.unfolding()
    }
}

impl ImportHook for Link {
    fn capabilities(&self) -> Option<&'static Capabilities> {
        Link::capabilities(self)
    }

    fn knows_mark(&self) -> Option<bool> {
        lock(&self.state).session.knows_mark()
    }

    fn greet(self: Arc<Self>) -> Result<PendingAnswer, Error> {
        let (sender, answer) = oneshot::channel();
        let id = {
            let mut state = lock(&self.state);
            if let Some(closed) = &state.closed {
                return Err(closed.clone().with_fate(Fate::NotSent));
            }
            let calls = self.limits.calls;
            if state.session.unanswered() + state.waiting.len() >= calls {
                return Err(Error::over(LimitKind::Calls, format!("{calls} calls are without an answer")));
            }
            let id = state.session.greet();
            state.expect_answer(&self, id, sender, Extras::NONE);
            state.write_ops();
            id
        };
        self.wake();
        Ok(PendingAnswer::new(self, id, answer))
    }

    fn frame_bytes(&self) -> usize {
        Link::frame_bytes(self)
    }

    fn call(
        self: Arc<Self>,
        target: &Arc<Import>,
        path: Path,
        args: Option<Body>,
        answering: Answering,
        extras: Extras,
    ) -> Result<Called, Error> {
        let args = args
            .map(|args| wording(args, Link::capabilities(&self), self.limits.frame_bytes).0)
            .transpose()?;
        let size = args.as_ref().map_or(0, |args| args.text.as_str().len() + args.refs.len() * REFERENCE);
        if size + path.len() + ENVELOPE >= self.limits.frame_bytes {
            return Err(Error::over(LimitKind::FrameBytes, "the arguments are longer than a frame may be"));
        }
        let mut state = lock(&self.state);
        if let Some(closed) = &state.closed {
            return Err(closed.clone().with_fate(Fate::NotSent));
        }
        let calls = self.limits.calls;
        if answering == Answering::Sent && state.session.unanswered() + state.waiting.len() >= calls {
            return Err(Error::over(LimitKind::Calls, format!("{calls} calls are without an answer")));
        }
        let waits = answering == Answering::Sent && !extras.at_once;
        let unwritten = state.unwritten() + state.waiting.at_once() + size;
        if !waits && unwritten > self.limits.unwritten_bytes_hard {
            return Err(Error::over(LimitKind::UnwrittenBytesHard, "too much is waiting to be written"));
        }
        if !state.waiting.is_empty() || (waits && state.is_crowded(&self.limits)) {
            return Ok(state.waiting.push(&self, target.clone(), path, args, size, answering, extras));
        }
        self.settle_drops(&mut state);
        let args = args.map(|args| args.map(|lent| state.word(&self, lent)));
        let id = state.session.call(target.id(), path, args, answering);
        let answer = (answering == Answering::Sent).then(|| {
            let (sender, answer) = oneshot::channel();
            state.expect_answer(&self, id, sender, extras);
            answer
        });
        state.write_ops();
        let unsaid = state.take_unsaid(id);
        let left = unsaid.is_some().then(|| std::mem::take(&mut state.forgotten));
        drop(state);
        drop(left);
        self.wake();
        match unsaid {
            Some((error, caller)) => {
                drop(caller);
                Err(error)
            }
            None => Ok(match answer {
                Some(answer) => Called::Sent(PendingAnswer::new(self, id, answer)),
                None => Called::Kept(Import::new(self, id, false)),
            }),
        }
    }

    fn step(self: Arc<Self>, from: &Arc<Import>, name: &Key) -> Cap {
        let place = (from.id(), name.to_string());
        let asked;
        let promise = {
            let Steps { asked: steps, sweep } = &mut *lock(&self.steps);
            asked = steps.get(&place).and_then(Weak::upgrade);
            match &asked {
                Some(asked) if asked.resolution().is_none() => return asked.clone().into(),
                _ => {
                    let promise = Queue::new();
                    if sweep.is_due(steps.len()) {
                        steps.retain(|_, asked| asked.strong_count() > 0);
                        sweep.done(steps.len());
                    }
                    steps.insert(place, Arc::downgrade(&promise));
                    promise
                }
            }
        };
        promise.follow(from.request(Request::read(Member::Path(Path::One(name.clone())))));
        promise.into()
    }
}
