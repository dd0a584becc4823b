//! The codec of a connection: its dialect, and the dialect's state.

use super::ids::Exchange;
use super::{Dialect, ExportNames, capnode, capnweb, q};
use crate::bounds;
use crate::error::Error;
use crate::limits::Limits;
use crate::message::{Id, Message};
use crate::runtime::random;

/// The codec of a connection.
pub(crate) enum Codec {
    /// Not known until the peer's first message.
    Unknown,
    CapnWeb,
    Capnode(Box<capnode::Codec>),
    Q(Box<q::Codec>),
}

impl Codec {
    /// Creates the codec of a new connection.
    pub(crate) fn of(dialect: Option<Dialect>) -> Self {
        match dialect {
            None => Codec::Unknown,
            Some(Dialect::CapnWeb) => Codec::CapnWeb,
            Some(Dialect::Capnode) => Codec::Capnode(Box::new(capnode::Codec::new(random::number()))),
            Some(Dialect::Q) => Codec::Q(Box::new(q::Codec::new(random::number()))),
        }
    }

    /// Returns `true` if a frame is of this dialect, as far as its own parser does not tell. Capnode and Q-Connection
    /// skip unknown messages.
    ///
    /// # Errors
    ///
    /// If the frame breaks a limit.
    pub(crate) fn recognizes(&self, frame: &str, limits: &Limits) -> Result<bool, Error> {
        let spoken = match self {
            Codec::Unknown | Codec::CapnWeb => return Ok(true),
            Codec::Capnode(_) => Dialect::Capnode,
            Codec::Q(_) => Dialect::Q,
        };
        Ok(Dialect::detect(frame, limits)? == Some(spoken))
    }

    /// Parses a frame. Returns `None` for one that the language's own programs would ignore.
    pub(crate) fn parse(
        &mut self,
        frame: &str,
        limits: &Limits,
        names: &mut dyn ExportNames,
    ) -> Result<Option<Message>, Error> {
        match self {
            Codec::Unknown => Ok(None),
            Codec::CapnWeb => capnweb::parse(frame, limits).map(Some),
            Codec::Capnode(codec) => codec.parse(frame, limits, names),
            Codec::Q(codec) => codec.parse(frame, limits, names),
        }
    }

    /// Appends a message to `out`, if the language has one for `message`. A value in it may take `bytes` in the peer's
    /// language.
    pub(crate) fn write(
        &mut self,
        message: &Message,
        names: &mut dyn ExportNames,
        out: &mut String,
        bytes: usize,
    ) -> Result<(), Error> {
        match self {
            Codec::Unknown => Ok(()),
            Codec::CapnWeb => {
                capnweb::write(message, out);
                Ok(())
            }
            Codec::Capnode(codec) => bounds::writing(bytes, || codec.write(message, names, out)),
            Codec::Q(codec) => bounds::writing(bytes, || codec.write(message, names, out)),
        }
    }

    fn exchange(&mut self) -> Option<&mut Exchange> {
        match self {
            Codec::Unknown | Codec::CapnWeb => None,
            Codec::Capnode(codec) => Some(&mut codec.exchange),
            Codec::Q(codec) => Some(&mut codec.exchange),
        }
    }

    /// Returns the next frame that is sent without a message.
    pub(crate) fn take_reply(&mut self) -> Option<String> {
        self.exchange()?.take_reply()
    }

    /// Returns `true` if there are functions to release that may still be kept if they come again.
    pub(crate) fn is_leaving(&self) -> bool {
        matches!(self, Codec::Capnode(codec) if codec.is_leaving())
    }

    /// Releases functions of the peer that have not come again for a turn, or all of them.
    pub(crate) fn flush(&mut self, all: bool) {
        if let Codec::Capnode(codec) = self {
            codec.flush(all);
        }
    }

    /// Releases functions of the peer that need not be kept in case they come again. Returns `true` if there were any.
    #[cfg(feature = "host")]
    pub(crate) fn flush_late(&mut self) -> bool {
        let Codec::Capnode(codec) = self else { return false };
        codec.flush_late()
    }

    /// Returns `true` if the last message was a delayed release.
    pub(crate) fn is_late(&self) -> bool {
        matches!(self, Codec::Capnode(codec) if codec.is_late())
    }

    /// Notes that a handle of a function of the peer was dropped. If it was the last, and `late`, the function need not
    /// be kept.
    pub(crate) fn expire(&mut self, id: Id, late: bool) {
        if let Codec::Capnode(codec) = self {
            codec.expire(id, late);
        }
    }

    /// Returns the call of this side whose answer a frame asks for, in a language in which it matters.
    #[cfg(feature = "host")]
    pub(crate) fn asked_in(&self, frame: &str) -> Option<Id> {
        let Codec::Capnode(codec) = self else { return None };
        codec.asked_in(frame)
    }

    /// Returns `true` if a call of this side has its answer.
    #[cfg(feature = "host")]
    pub(crate) fn is_answered(&self, call: Id) -> bool {
        !matches!(self, Codec::Capnode(codec) if !codec.is_answered(call))
    }

    /// Returns the target of the next message whose target is not, or no longer, known.
    pub(crate) fn take_unknown_target(&mut self) -> Option<String> {
        self.exchange()?.take_unknown_target()
    }

    /// Returns the name of a function of the peer that is valid on other connections, too.
    #[cfg(feature = "host")]
    pub(crate) fn name_of(&self, id: Id) -> Option<String> {
        let Codec::Capnode(codec) = self else { return None };
        codec.name_of(id)
    }

    /// Returns the id of a function of the peer whose name came by another way.
    pub(crate) fn reconstruct(&mut self, name: &str) -> Option<Id> {
        let Codec::Capnode(codec) = self else { return None };
        Some(codec.reconstruct(name))
    }
}
