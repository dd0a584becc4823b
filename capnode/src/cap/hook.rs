//! A connection as references and answers see it.

use super::broken::BrokenSlot;
use crate::error::Error;
use crate::limits::Unfolding;
use crate::message::Id;
use crate::sync::atomic::{AtomicI64, Ordering};

/// The id of a call that has not been sent. No sent call has this id, and no import, whose ids are below zero.
pub(crate) const UNSENT: Id = Id::MAX;

/// A connection, as seen by waiters for its peer.
pub(crate) trait ConnectionHook: Send + Sync {
    /// Releases the import `id`. It can be called anywhere, so nothing is done at once.
    fn release(&self, id: Id);

    /// Tells the peer that the answer of a call is no longer waited for.
    fn drop_call(&self, id: Id);

    /// Takes a call back that waits for room. Returns `true` if it was not sent.
    fn withdraw(&self, ticket: &Ticket) -> bool;

    /// Has `slot` called when the connection ends, at once if it has.
    fn on_closed(&self, slot: &BrokenSlot);

    /// The error of a request after the end.
    fn closed_error(&self) -> Error;

    /// The limits of a value into which promises of the peer are put.
    fn unfolding(&self) -> Unfolding;
}

/// The place of an awaited call among those that wait, and its id once it is sent.
pub(crate) struct Ticket {
    number: u64,
    id: AtomicI64,
}

impl Ticket {
    pub(crate) fn new(number: u64) -> Self {
        Self { number, id: AtomicI64::new(UNSENT) }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn id(&self) -> Id {
        self.id.load(Ordering::Relaxed)
    }

    /// The call has been sent.
    pub(crate) fn set_id(&self, id: Id) {
        self.id.store(id, Ordering::Relaxed);
    }
}
