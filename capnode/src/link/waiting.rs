//! Calls of this program that wait until there is room to write them.
//!
//! Once an awaited call has to wait, all later calls on the connection wait behind it, however they are made. Their turn
//! comes when the driver takes output. It needs no caller to be polled, so that one who isn't holds up nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_channel::oneshot;

use super::Link;
use super::state::{Caller, State};
use crate::cap::hook::{Ticket, UNSENT};
use crate::cap::import::{Called, Import};
use crate::cap::payload::Lent;
use crate::cap::pending::PendingAnswer;
use crate::cap::request::Extras;
use crate::cap::staged::Arrived;
use crate::error::{Error, Fate};
use crate::limits::Limits;
use crate::op::{Answering, Id, Path, Payload};

/// The calls that wait, in the order in which they were made.
#[derive(Default)]
pub(super) struct Waiting {
    calls: BTreeMap<u64, Call>,
    last: u64,
    /// Bytes of all of them.
    bytes: usize,
    /// Bytes of those whose callers do not wait.
    at_once: usize,
}

/// A call, with everything needed to send it.
pub(super) struct Call {
    target: Arc<Import>,
    path: Path,
    args: Option<Payload<Lent>>,
    size: usize,
    asker: Asker,
}

/// Who gets the result.
enum Asker {
    /// A reference to it, which exists already.
    Reference(Arc<Import>),
    Caller {
        ticket: Arc<Ticket>,
        caller: oneshot::Sender<Arrived>,
        extras: Extras,
    },
}

/// What sending a call leaves behind, to be dropped or told when the lock is free.
#[derive(Default)]
pub(super) struct Admitted {
    targets: Vec<Arc<Import>>,
    references: Vec<Arc<Import>>,
    refused: Vec<(Option<Caller>, Error)>,
}

impl Admitted {
    /// Tells the callers whose calls could not be written. No lock may be held.
    pub(super) fn settle(self) {
        for (caller, error) in self.refused {
            if let Some(caller) = caller {
                caller.fail(error);
            }
        }
    }
}

impl Asker {
    fn is_at_once(&self) -> bool {
        match self {
            Asker::Reference(_) => true,
            Asker::Caller { extras, .. } => extras.at_once,
        }
    }
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// The number of the first call that waits.
    #[cfg(feature = "tokio")]
    pub(super) fn first(&self) -> Option<u64> {
        self.calls.keys().next().copied()
    }

    /// The number of the last call that has had to wait.
    #[cfg(feature = "tokio")]
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Bytes of all that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of the calls whose callers do not wait.
    pub(super) fn at_once(&self) -> usize {
        self.at_once
    }

    /// Queues a call behind all others.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn push(
        &mut self,
        link: &Arc<Link>,
        target: Arc<Import>,
        path: Path,
        args: Option<Payload<Lent>>,
        size: usize,
        answering: Answering,
        extras: Extras,
    ) -> Called {
        self.last += 1;
        let (asker, called) = match answering {
            Answering::Kept => {
                let result = Import::new(link.clone(), UNSENT, false);
                (Asker::Reference(result.clone()), Called::Kept(result))
            }
            Answering::Sent => {
                let ticket = Arc::new(Ticket::new(self.last));
                let (caller, answer) = oneshot::channel();
                let pending = PendingAnswer::waiting(link.clone(), ticket.clone(), answer);
                (Asker::Caller { ticket, caller, extras }, Called::Sent(pending))
            }
        };
        self.bytes += size;
        self.at_once += if asker.is_at_once() { size } else { 0 };
        self.calls.insert(self.last, Call { target, path: path.compact(), args, size, asker });
        called
    }

    fn leave(&mut self, call: Option<Call>) -> Option<Call> {
        let call = call?;
        self.bytes -= call.size;
        self.at_once -= if call.asker.is_at_once() { call.size } else { 0 };
        Some(call)
    }

    fn pop(&mut self) -> Option<Call> {
        let first = self.calls.pop_first().map(|(_, call)| call);
        self.leave(first)
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Call> {
        let call = self.calls.remove(&number);
        self.leave(call)
    }

    /// Tells all callers that their calls were not sent.
    pub(super) fn fail(self, error: &Error) {
        for (_, call) in self.calls {
            if let Asker::Caller { caller, .. } = call.asker {
                // A caller that has gone needs no cause.
                let _gone = caller.send(Err(error.clone().with_fate(Fate::NotSent)));
            }
        }
    }
}

impl State {
    /// Whether an awaited call has to wait. One always fits where nothing is unwritten.
    pub(super) fn is_crowded(&self, limits: &Limits) -> bool {
        !self.out.is_empty() && self.out.len() >= limits.unwritten_bytes_soft
    }

    /// Sends calls that wait, while there is room.
    pub(super) fn admit(&mut self, link: &Arc<Link>) -> Admitted {
        let mut admitted = Admitted::default();
        while !self.is_crowded(&link.limits) {
            let Some(Call { target, path, args, asker, .. }) = self.waiting.pop() else { break };
            let args = args.map(|args| args.map(|lent| self.word(link, lent)));
            let answering = match &asker {
                Asker::Reference(_) => Answering::Kept,
                Asker::Caller { .. } => Answering::Sent,
            };
            let id = self.session.call(target.id(), path, args, answering);
            match asker {
                Asker::Reference(result) => {
                    result.set_id(id);
                    admitted.references.push(result);
                }
                Asker::Caller { ticket, caller, extras } => {
                    ticket.set_id(id);
                    self.expect_answer(link, id, caller, extras);
                }
            }
            self.write_ops();
            admitted.refused.extend(self.take_unsaid(id).map(|(error, caller)| (caller, error)));
            admitted.targets.push(target);
        }
        admitted
    }

    /// Notes who waits for the answer of a call of ours.
    pub(super) fn expect_answer(
        &mut self,
        link: &Link,
        id: Id,
        caller: oneshot::Sender<Arrived>,
        extras: Extras,
    ) {
        let Extras { progress, timed, .. } = extras;
        let since = link.call_since().filter(|_| !timed);
        self.calls.insert(id, Caller::Waits { caller, progress, since });
        self.own_calls += 1;
    }
}
