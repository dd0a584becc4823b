//! The codec of the peer's dialect, and the names that it has for this side's exports.

use std::sync::Arc;

use super::effects::{Effect, Effects};
use super::encode::ENVELOPE;
use super::entries::Entries;
use super::export_names::{ExportNamer, NamedExports};
use super::lost::LostMessage;
use crate::dialect::{Codec, Dialect, ExportNames as _};
use crate::error::Error;
use crate::limits::Limits;
use crate::message::{Id, Message};
use crate::registry::Registry;
use crate::session::Session;

/// The codec of the peer's dialect, and the names of this side's exports in it.
pub(super) struct Encoding {
    codec: Codec,
    /// Bytes that a value in a message may take.
    value_bytes: usize,
    export_names: NamedExports,
}

impl Encoding {
    pub(super) fn new(dialect: Option<Dialect>, registry: Option<Registry>, limits: &Limits) -> Self {
        Self {
            codec: Codec::of(dialect),
            value_bytes: limits.frame_bytes.saturating_sub(ENVELOPE),
            export_names: NamedExports::new(registry),
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

    pub(super) fn export_names(&self) -> &NamedExports {
        &self.export_names
    }

    pub(super) fn export_names_mut(&mut self) -> &mut NamedExports {
        &mut self.export_names
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
    ) -> Result<Option<Message>, Error> {
        let export_names = &mut self.export_names;
        let message = self.codec.parse(frame, limits, &mut ExportNamer { export_names, session, entries });
        while let Some(id) = self.codec.take_unknown_target() {
            if tells_lost {
                effects.push(Effect::Lost(LostMessage { id, message: frame.to_owned() }));
            }
        }
        if self.codec.is_late() {
            effects.set_late();
        }
        message
    }

    /// Writes a message at the end of `out`. Fails for a call that the dialect cannot express.
    pub(super) fn write(
        &mut self,
        message: &Message,
        session: &mut Session,
        entries: &mut Entries,
        out: &mut String,
    ) -> Result<(), Error> {
        let names = &mut ExportNamer { export_names: &mut self.export_names, session, entries };
        self.codec.write(message, names, out, self.value_bytes)
    }

    /// Names an export, in a language with names for exports. From now on it can be forgotten even if the message that
    /// lends it is never written.
    pub(super) fn name_export(&mut self, id: Id, session: &mut Session, entries: &mut Entries) {
        if session.peer().names_exports {
            let _name: Arc<str> =
                ExportNamer { export_names: &mut self.export_names, session, entries }.name(id);
        }
    }

    /// Forgets the name of the least recently used export beyond `limit`, and returns its id.
    pub(super) fn evict_export(&mut self, limit: usize, effects: &mut Effects) -> Option<Id> {
        let oldest = self.export_names.oldest_beyond(limit)?;
        self.export_names.remove(oldest, effects);
        Some(oldest)
    }

    /// Forgets all exports: the session has ended.
    pub(super) fn end(&mut self, effects: &mut Effects) {
        self.export_names.clear(effects);
    }
}
