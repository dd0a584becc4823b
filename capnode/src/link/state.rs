//! The state of a connection under its lock: parts that have an owner each.

use super::clock::LivenessClock;
use super::effects::Effects;
use super::encoding::Encoding;
use super::entries::Entries;
use super::inbox::Inbox;
use super::lifecycle::Lifecycle;
use super::outbox::Outbox;
use super::question::Question;
use crate::cap::inbound::ENTRY;
use crate::error::{Error, Fate};
use crate::message::{Id, Message};
use crate::session::{OutboundCall, Session};
use crate::text_pool;

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
    pub(super) clock: LivenessClock,
    /// The end, and the waits for it.
    pub(super) lifecycle: Lifecycle,
    /// The numbers of references of both sides, as `metrics` knows them.
    #[cfg(feature = "metrics")]
    pub(super) told: [usize; 2],
}

impl State {
    /// Writes a message that is no call.
    pub(super) fn say(&mut self, message: &Message) {
        if !self.session.held.is_empty() {
            self.say_held();
        }
        let Self { session, encoding, entries, outbox, .. } = self;
        outbox.push(|out| {
            let written = encoding.write(message, session, entries, out);
            debug_assert!(written.is_ok(), "each dialect passes over what it has no message for");
        });
        if matches!(message, Message::Answer { outcome: Ok(value) | Err(value), .. } if !value.refs.is_empty())
        {
            outbox.put_beside(message);
        }
    }

    /// Writes the messages that go before the next one.
    #[cold]
    pub(super) fn say_held(&mut self) {
        let held = self.session.take_held();
        self.say_all(held);
    }

    /// Writes the messages that a change of the session leads to, if any.
    pub(super) fn say_all(&mut self, messages: impl IntoIterator<Item = Message>) {
        messages.into_iter().for_each(|message| self.say(&message));
    }

    /// Writes the messages of a call of this side, and returns its id. A call that the peer's dialect cannot express has
    /// not been made.
    #[inline]
    pub(super) fn send(&mut self, call: OutboundCall, effects: &mut Effects) -> Result<Id, Error> {
        let OutboundCall { id, message, pulled } = call;
        if !self.session.held.is_empty() {
            self.say_held();
        }
        let Self { session, encoding, entries, outbox, .. } = self;
        let mut written = Ok(());
        outbox.push(|out| written = encoding.write(&message, session, entries, out));
        if let Err(error) = written {
            self.session.remove_import(id);
            self.retract_exports(&message, effects);
            return Err(error.with_fate(Fate::NotSent));
        }
        let may_have_bytes = match &message {
            Message::Call { args: Some(value), .. } | Message::Evaluate { value, .. } => {
                !value.refs.is_empty()
            }
            message => matches!(message, Message::InContext { .. }),
        };
        if may_have_bytes {
            self.outbox.put_beside(&message);
        }
        if pulled {
            self.say(&Message::Pull(id));
        }
        if let Message::Call { args: Some(args), .. } = message {
            text_pool::give(args.text);
        }
        Ok(id)
    }

    /// Gives up a call of this side. Returns its caller, if it has one.
    pub(super) fn drop_call(&mut self, id: Id) -> Option<Question> {
        let release = self.session.drop_call(id);
        self.say_all(release);
        let caller = self.entries.take_question(id);
        self.drop_unneeded();
        caller
    }

    /// Gives up the reads of results that nothing needs any more.
    pub(super) fn drop_unneeded(&mut self) {
        while let Some(read) = self.entries.deadlines.as_mut().and_then(|deadlines| deadlines.take_unneeded())
        {
            let release = self.session.drop_call(read);
            self.say_all(release);
            let _nobody = self.entries.take_question(read);
        }
    }

    /// Takes back the references in a call that was not written: they have not been lent.
    #[cold]
    fn retract_exports(&mut self, message: &Message, effects: &mut Effects) {
        let value = match message {
            Message::InContext { call, .. } => return self.retract_exports(call, effects),
            Message::Call { args: Some(value), .. } | Message::Evaluate { value, .. } => value,
            _ => return,
        };
        for id in value.refs.iter().filter_map(|slot| slot.to.sender_id()) {
            if self.session.retract_export(id) {
                self.encoding.export_names_mut().remove(id, effects);
                self.entries.remove_object(id, effects);
            }
        }
    }

    /// Writes the frames that the codec sends by itself.
    pub(super) fn write_replies(&mut self) {
        while let Some(reply) = self.encoding.codec_mut().take_reply() {
            self.outbox.push(|out| out.push_str(&reply));
        }
    }

    /// Releases the least recently used exports beyond `limit`, for a peer that never does.
    pub(super) fn evict_exports(&mut self, limit: usize, effects: &mut Effects) {
        while let Some(oldest) = self.encoding.evict_export(limit, effects) {
            // The peer may have released it by the current message.
            if self.session.forget(oldest).is_some() {
                self.entries.remove_object(oldest, effects);
            }
        }
    }

    /// Returns the numbers of references before and now, each of those that the peer lends and those that this side does,
    /// if they have changed since the last time.
    #[cfg(feature = "metrics")]
    pub(super) fn references_changed(&mut self) -> Option<[[usize; 2]; 2]> {
        let now = [self.session.imported(), self.entries.objects()];
        (self.told != now).then(|| [std::mem::replace(&mut self.told, now), now])
    }

    /// Returns the bytes that are held for the peer.
    pub(super) fn held(&self) -> usize {
        let entries = self.entries.len() + self.session.running() + self.outbox.waiting();
        self.outbox.held() + self.inbox.bytes() + self.entries.kept_bytes() + entries * ENTRY
    }
}
