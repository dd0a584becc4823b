//! Sending of the calls that have waited for room.

use std::sync::Arc;

use futures_channel::oneshot;

use super::Link;
use super::state::{Caller, State};
use super::waiting::{Asker, Call};
use crate::cap::import::Import;
use crate::cap::request::Extras;
use crate::cap::staged::Delivered;
use crate::error::Error;
use crate::limits::Limits;
use crate::op::{Answering, Id};

/// References to drop and callers to tell after calls were sent, when the lock is free.
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

impl State {
    /// Returns `true` if an awaited call has to wait. One call always fits if nothing is unwritten.
    pub(super) fn is_crowded(&self, limits: &Limits) -> bool {
        !self.out.is_empty() && self.out.len() >= limits.unwritten_bytes_soft
    }

    /// Sends waiting calls while there is room.
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

    /// Registers the caller that waits for the answer of a call of this side.
    pub(super) fn expect_answer(
        &mut self,
        link: &Link,
        id: Id,
        caller: oneshot::Sender<Delivered>,
        extras: Extras,
    ) {
        let Extras { progress, timed, .. } = extras;
        let since = link.call_since().filter(|_| !timed);
        self.calls.insert(id, Caller::Waits { caller, progress, since });
        self.own_calls += 1;
    }
}
