//! Calls of this program that wait until there is room to write them.
//!
//! Once an awaited call has to wait, all later calls on the connection wait behind it, however they are made. Their
//! turn comes when the driver takes output. It does not depend on polls by callers, so a caller that is not polled
//! holds up no other.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_channel::oneshot;

use crate::cap::hook::{Ticket, UNSENT};
use crate::cap::import::{Called, Import, ImportHook};
use crate::cap::payload::Lent;
use crate::cap::pending::PendingAnswer;
use crate::cap::request::Extras;
use crate::cap::staged::Delivered;
use crate::error::{Error, Fate};
use crate::op::{Answering, Path, Payload};

/// The waiting calls, in the order in which they were made.
#[derive(Default)]
pub(super) struct Waiting {
    calls: BTreeMap<u64, Call>,
    last: u64,
    /// Bytes of all waiting calls.
    bytes: usize,
    /// Bytes of the calls whose callers do not wait.
    at_once: usize,
}

/// A call, with everything needed to send it.
pub(super) struct Call {
    pub(super) target: Arc<Import>,
    pub(super) path: Path,
    pub(super) args: Option<Payload<Lent>>,
    pub(super) size: usize,
    pub(super) asker: Asker,
}

/// The receiver of the result.
pub(super) enum Asker {
    /// A reference to the result, which exists already.
    Reference(Arc<Import>),
    Caller {
        ticket: Arc<Ticket>,
        caller: oneshot::Sender<Delivered>,
        extras: Extras,
    },
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

    /// Returns the number of the first call that waits.
    #[cfg(feature = "tokio")]
    pub(super) fn first(&self) -> Option<u64> {
        self.calls.keys().next().copied()
    }

    /// Returns the number of the last call that has had to wait.
    #[cfg(feature = "tokio")]
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Returns the bytes of all waiting calls.
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
        link: &Arc<impl ImportHook + 'static>,
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

    pub(super) fn pop(&mut self) -> Option<Call> {
        let first = self.calls.pop_first().map(|(_, call)| call);
        self.leave(first)
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Call> {
        let call = self.calls.remove(&number);
        self.leave(call)
    }

    /// Fails all callers: their calls were not sent.
    pub(super) fn fail(self, error: &Error) {
        for (_, call) in self.calls {
            if let Asker::Caller { caller, .. } = call.asker {
                // A dropped caller needs no error.
                let _gone = caller.send(Err(error.clone().with_fate(Fate::NotSent)));
            }
        }
    }
}
