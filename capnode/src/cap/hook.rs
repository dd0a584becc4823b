//! A connection as references and answers see it.

use super::broken::BrokenSlot;
use crate::error::Error;
use crate::limits::Unfolding;
use crate::op::Id;
use crate::sync::atomic::{AtomicI64, Ordering};

/// The id of what has not been sent. No call has it, and nothing that a peer lends: its ids are below zero.
pub(crate) const UNSENT: Id = Id::MAX;

/// A connection, for what waits for something of its peer's.
pub(crate) trait ConnectionHook: Send + Sync {
    /// Gives back what the peer has lent under `id`. Called anywhere, so nothing is done at once.
    fn give_back(&self, id: Id);

    /// Tells the peer that nobody waits any more for the answer of a call.
    fn drop_call(&self, id: Id);

    /// Takes a call back that waits for room. Returns `true` if it was not sent.
    fn withdraw(&self, ticket: &Ticket) -> bool;

    /// Has `slot` called when the connection ends, at once if it has.
    fn on_closed(&self, slot: &BrokenSlot);

    /// The error of what is asked for after the end.
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
