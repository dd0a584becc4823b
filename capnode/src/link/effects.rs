//! Effects of a change of a connection's state. They are collected while its lock is held, and run when it is free:
//! only then may user code run, and that is what drops, wakers and callers are.

use std::sync::Arc;
use std::task::Waker;

use super::call_handle::CallHandle;
use super::lost::LostMessage;
use super::question::Question;
use super::queued_call::QueuedCall;
use crate::cap::Cap;
use crate::cap::broken::Watchers;
use crate::cap::context::Progress;
use crate::cap::inbound::{InboundRef, InboundResult};
use crate::cap::promise::Promise;
use crate::error::Error;
use crate::message::Payload;

/// Something to be done when the lock is free.
pub(super) enum Effect {
    /// Answers a caller.
    Deliver(Question, InboundResult),
    /// Fails a call of this side that has not been sent.
    Unsent(QueuedCall, Error),
    /// Reports the progress of a call of this side.
    Progress(Progress, Payload<InboundRef>),
    /// Resolves a promise.
    Resolve(Arc<Promise>, Cap),
    /// Drops the handler of a call.
    Cancel(Arc<CallHandle>),
    /// Drops a value.
    Drop(Box<dyn Send>),
    Wake(Waker),
    Lost(LostMessage),
    /// Tells that the peer runs no further calls.
    PeerDraining(Watchers),
    /// Ends the session.
    Close(Error),
    /// Ends the session because the peer broke the protocol or a limit, and tells it the reason.
    BreakOff(Error),
}

/// The effects of one change, in order. Nearly always there are none, which takes no list.
pub(super) struct Effects {
    /// Read by [`Link::with_state`](super::Link::with_state), which alone runs effects.
    pub(super) list: Vec<Effect>,
    /// `true` if the drops follow a delayed release.
    pub(super) late: bool,
}

impl Effects {
    pub(super) const NONE: Self = Self { list: Vec::new(), late: false };

    pub(super) fn push(&mut self, effect: Effect) {
        self.list.push(effect);
    }

    /// Ends the session before all other effects run.
    pub(super) fn break_off_first(&mut self, error: Error) {
        self.list.insert(0, Effect::BreakOff(error));
    }

    /// Drops a value when the lock is free.
    pub(super) fn discard(&mut self, value: impl Send + 'static) {
        self.list.push(Effect::Drop(Box::new(value)));
    }

    /// Drops values when the lock is free.
    pub(super) fn discard_all<T: Send + 'static>(&mut self, values: impl IntoIterator<Item = T>) {
        values.into_iter().for_each(|value| self.discard(value));
    }

    pub(super) fn wake_all(&mut self, wakers: Vec<Waker>) {
        self.list.extend(wakers.into_iter().map(Effect::Wake));
    }

    /// Notes that the drops follow a delayed release.
    pub(super) fn set_late(&mut self) {
        self.late = true;
    }
}
