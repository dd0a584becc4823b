//! A connection as references and answers see it.

use super::broken::BrokenSlot;
use super::pending::AnswerSlot;
use crate::error::Error;
use crate::limits::Unfolding;
use crate::message::Id;

/// The id of a call that has not been sent. No sent call has this id, and no import, whose ids are below zero.
pub(crate) const UNSENT: Id = Id::MAX;

/// A connection, as seen by waiters for its peer.
pub(crate) trait ConnectionHook: Send + Sync {
    /// Releases the import `id`. It can be called anywhere, so nothing is done at once.
    fn release(&self, id: Id);

    /// Takes back a call that waits for room, or tells the peer that its answer is no longer waited for. Returns `true`
    /// if it was not sent.
    fn give_up(&self, call: &AnswerSlot) -> bool;

    /// Notes that a caller waits, and has had a turn to make other calls. It matters where calls are gathered.
    fn note_awaited(&self);

    /// Has `slot` called when the connection ends, at once if it has.
    fn on_closed(&self, slot: &BrokenSlot);

    /// The error of a request after the end.
    fn closed_error(&self) -> Error;

    /// The limits of a value into which promises of the peer are put.
    fn unfolding(&self) -> Unfolding;
}
