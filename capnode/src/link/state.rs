//! The state of a connection under its lock: parts that have an owner each.

use super::caller::Caller;
use super::clock::Clock;
use super::effects::Effects;
use super::encoding::Encoding;
use super::entries::Entries;
use super::inbox::Inbox;
use super::lifecycle::Lifecycle;
use super::outbox::Outbox;
use crate::cap::staged::ENTRY;
use crate::error::Error;
use crate::op::Id;
use crate::session::Session;

/// The state of a connection under its lock. What is done on several parts is done by the connection, see
/// [`Link::with_state`](super::Link::with_state).
pub(super) struct State {
    /// Ids and counts.
    pub(super) session: Session,
    /// The peer's language.
    pub(super) encoding: Encoding,
    /// The objects and callers behind the ids.
    pub(super) entries: Entries,
    /// Calls of the peer.
    pub(super) inbox: Inbox,
    /// Output, and calls that wait for room.
    pub(super) outbox: Outbox,
    /// The times of the last signs of life.
    pub(super) clock: Clock,
    /// The end, and the waits for it.
    pub(super) lifecycle: Lifecycle,
}

impl State {
    /// Writes all messages of the session. Returns `false` if there were calls that the peer's language cannot express.
    pub(super) fn write(&mut self, effects: &mut Effects) -> bool {
        let Self { session, encoding, entries, outbox, .. } = self;
        outbox.write(encoding, session, entries, effects)
    }

    /// Returns the error and the caller of a call that the peer's language cannot express.
    pub(super) fn take_encode_failure(&mut self, call: Id) -> Option<(Error, Option<Caller>)> {
        self.encoding.take_encode_failure(call, &mut self.session, &mut self.entries)
    }

    /// Returns the bytes that are held for the peer.
    pub(super) fn held(&self) -> usize {
        let entries = self.entries.len() + self.session.running() + self.outbox.waiting();
        self.outbox.held() + self.inbox.bytes() + self.entries.kept_bytes() + entries * ENTRY
    }

    /// Returns `true` if a message cannot be written yet, because the peer's language is not known.
    #[cfg(feature = "tokio")]
    pub(super) fn awaits_dialect(&self) -> bool {
        self.lifecycle.error().is_none() && (self.session.has_ops() || self.entries.has_pending_indexes())
    }
}
