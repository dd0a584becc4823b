//! The peer's language, the names that it has for this side's exports, and the calls that it cannot express.

use std::sync::Arc;

use super::caller::Caller;
use super::effects::{Effect, Effects};
use super::entries::Entries;
use super::lost::LostMessage;
use super::named::{Named, Naming};
use super::wording::ENVELOPE;
use crate::dialect::{Codec, Dialect, Names as _, Refused};
use crate::error::{Error, Fate};
use crate::limits::Limits;
use crate::op::{Id, Op, Word};
use crate::outgoing::Outgoing;
use crate::registry::Registry;
use crate::session::Session;

/// The peer's language with its state, the names of this side's exports in it, and the calls that it cannot express.
pub(super) struct Encoding {
    codec: Codec,
    /// Bytes that a value in a message may take.
    value_bytes: usize,
    export_names: Named,
    /// Calls that could not be written in the peer's language.
    encode_failures: Vec<Refused>,
}

impl Encoding {
    pub(super) fn new(dialect: Option<Dialect>, registry: Option<Registry>, limits: &Limits) -> Self {
        Self {
            codec: Codec::of(dialect),
            value_bytes: limits.frame_bytes.saturating_sub(ENVELOPE),
            export_names: Named::new(registry),
            encode_failures: Vec::new(),
        }
    }

    /// Sets the peer's language, which is known now.
    pub(super) fn set_dialect(&mut self, dialect: Dialect) {
        self.codec = Codec::of(Some(dialect));
    }

    /// Returns the codec of the peer's language.
    pub(super) fn codec(&self) -> &Codec {
        &self.codec
    }

    /// Returns the codec of the peer's language.
    pub(super) fn codec_mut(&mut self) -> &mut Codec {
        &mut self.codec
    }

    /// Reads a frame. Returns `None` for one that the language's own programs would ignore. Messages to unknown ids are
    /// lost; the program is told of them if it `tells_lost`.
    pub(super) fn parse(
        &mut self,
        frame: &str,
        limits: &Limits,
        session: &mut Session,
        entries: &mut Entries,
        tells_lost: bool,
        effects: &mut Effects,
    ) -> Result<Option<Op>, Error> {
        let named = &mut self.export_names;
        let op = self.codec.parse(frame, limits, &mut Naming { named, session, entries });
        while let Some(id) = self.codec.take_lost() {
            if tells_lost {
                effects.push(Effect::Lost(LostMessage { id, message: frame.to_owned() }));
            }
        }
        if self.codec.is_late() {
            effects.set_late();
        }
        op
    }

    /// Writes all messages of the session at the end of `out`, once the language is known. Returns `false` if there are
    /// calls that it cannot express.
    pub(super) fn write_all(
        &mut self,
        session: &mut Session,
        entries: &mut Entries,
        out: &mut Outgoing,
        effects: &mut Effects,
    ) -> bool {
        if self.codec.is_unknown() {
            return true;
        }
        while let Some(op) = session.poll_op() {
            let Self { codec, value_bytes, export_names, encode_failures } = self;
            let before = encode_failures.len();
            let naming = &mut Naming { named: export_names, session, entries };
            out.push(|out| encode_failures.extend(codec.write(&op, naming, out, *value_bytes).err()));
            if encode_failures.len() > before {
                self.retract_exports(&op, session, entries, effects);
            }
        }
        while let Some(reply) = self.codec.take_reply() {
            out.push(|out| out.push_str(&reply));
        }
        self.encode_failures.is_empty()
    }

    /// Takes back the references in a call that was not written: they have not been lent.
    fn retract_exports(
        &mut self,
        op: &Op,
        session: &mut Session,
        entries: &mut Entries,
        effects: &mut Effects,
    ) {
        let (Op::Call { args: Some(value), .. } | Op::Evaluate { value, .. }) = op else { return };
        for slot in &value.refs {
            if let Word::Export(id) | Word::Function(id) = slot.to {
                if session.take_back(id) {
                    self.export_names.remove(id, effects);
                    entries.remove_object(id, effects);
                }
            }
        }
    }

    /// Returns the error and the caller of a call that the peer's language cannot express.
    pub(super) fn take_encode_failure(
        &mut self,
        call: Id,
        session: &mut Session,
        entries: &mut Entries,
    ) -> Option<(Error, Option<Caller>)> {
        let at = self.encode_failures.iter().position(|refused| refused.call == call)?;
        let Refused { call, error } = self.encode_failures.swap_remove(at);
        session.unsay(call);
        Some((error.with_fate(Fate::NotSent), entries.take_caller(call)))
    }

    /// Fails the callers of all other calls that the peer's language cannot express.
    pub(super) fn fail_unsent(
        &mut self,
        session: &mut Session,
        entries: &mut Entries,
        effects: &mut Effects,
    ) {
        while let Some(call) = self.encode_failures.first().map(|refused| refused.call) {
            let failed = self.take_encode_failure(call, session, entries);
            if let Some((error, Some(caller))) = failed {
                effects.push(Effect::Deliver(caller, Err(error)));
            }
        }
    }

    /// Names an export, in a language with names for exports. From now on it can be forgotten even if the message that
    /// lends it is never written.
    pub(super) fn name_export(&mut self, id: Id, session: &mut Session, entries: &mut Entries) {
        if session.peer().names_exports {
            let _name: Arc<str> = Naming { named: &mut self.export_names, session, entries }.name(id);
        }
    }

    /// Notes that a call of the peer on an export begins. If it `asks_index` in a language where the index has no name of
    /// its own, what is in the answer is not forgotten.
    pub(super) fn begin_call(&mut self, answer: Id, target: Id, asks_index: bool) {
        self.export_names.begin(answer, target);
        if asks_index {
            self.export_names.asks_index(answer);
        }
    }

    /// Notes that a call of the peer is answered with these exports in the answer.
    pub(super) fn answer_call(&mut self, answer: Id, exports: impl Iterator<Item = Id>) {
        self.export_names.answers(answer, exports);
    }

    /// Notes that a call of the peer has ended.
    pub(super) fn end_call(&mut self, answer: Id) {
        self.export_names.end(answer);
    }

    /// Removes the names of an export.
    pub(super) fn remove_export(&mut self, export: Id, effects: &mut Effects) {
        self.export_names.remove(export, effects);
    }

    /// Forgets the least recently used exports beyond `limit`, for a peer that never releases them.
    pub(super) fn forget_oldest(&mut self, limit: usize, session: &mut Session, effects: &mut Effects) {
        while let Some(oldest) = self.export_names.oldest_beyond(limit) {
            self.export_names.remove(oldest, effects);
            // The peer may have released it by the current message.
            if session.is_kept(oldest) {
                session.forget(oldest);
            }
        }
    }

    /// Returns the number of exports that were forgotten because there were too many.
    pub(super) fn forgotten(&self) -> u64 {
        self.export_names.forgotten()
    }

    /// Forgets all exports and failures: the session has ended.
    pub(super) fn end(&mut self, effects: &mut Effects) {
        self.export_names.clear(effects);
        self.encode_failures.clear();
    }
}
