//! The wire language of a connection, and its state.

use super::named::Naming;
use crate::bounds;
use crate::dialect::{Dialect, Refused, capnode, capnweb, q};
use crate::error::Error;
use crate::limits::Limits;
use crate::op::{Id, Op, Text};
use crate::runtime::random;
use crate::session::Manner;

pub(super) enum Language {
    /// Not known until the peer's first message.
    Unknown,
    CapnWeb,
    Capnode(Box<capnode::Speech>),
    Q(Box<q::Speech>),
}

impl Language {
    pub(super) fn of(dialect: Option<Dialect>) -> Self {
        match dialect {
            None => Language::Unknown,
            Some(Dialect::CapnWeb) => Language::CapnWeb,
            Some(Dialect::Capnode) => {
                let mut speech = capnode::Speech::new(random::number());
                speech.defer();
                Language::Capnode(Box::new(speech))
            }
            Some(Dialect::Q) => Language::Q(Box::new(q::Speech::new(random::number()))),
        }
    }

    pub(super) fn dialect(&self) -> Option<Dialect> {
        match self {
            Language::Unknown => None,
            Language::CapnWeb => Some(Dialect::CapnWeb),
            Language::Capnode(_) => Some(Dialect::Capnode),
            Language::Q(_) => Some(Dialect::Q),
        }
    }

    pub(super) fn is_unknown(&self) -> bool {
        matches!(self, Language::Unknown)
    }

    /// Parses a frame. Returns `None` for one that the language's own programs would ignore.
    pub(super) fn parse(
        &mut self,
        frame: &str,
        limits: &Limits,
        names: &mut Naming<'_>,
    ) -> Result<Option<Op>, Error> {
        match self {
            Language::Unknown => Ok(None),
            Language::CapnWeb => capnweb::parse(&Text::frame(frame), limits).map(Some),
            Language::Capnode(speech) => speech.parse(frame, limits, names),
            Language::Q(speech) => speech.parse(frame, limits, names),
        }
    }

    /// Appends a message to `out`, if the language has one for `op`. A value in it may take `bytes` in the peer's
    /// language.
    pub(super) fn write(
        &mut self,
        op: &Op,
        names: &mut Naming<'_>,
        out: &mut String,
        bytes: usize,
    ) -> Result<(), Refused> {
        match self {
            Language::Unknown => Ok(()),
            Language::CapnWeb => {
                capnweb::write(op, out);
                Ok(())
            }
            Language::Capnode(speech) => bounds::writing(bytes, || speech.write(op, names, out)),
            Language::Q(speech) => bounds::writing(bytes, || speech.write(op, names, out)),
        }
    }

    /// Returns the next frame that is sent without an op.
    pub(super) fn take_reply(&mut self) -> Option<String> {
        match self {
            Language::Unknown | Language::CapnWeb => None,
            Language::Capnode(speech) => speech.take_reply(),
            Language::Q(speech) => speech.take_reply(),
        }
    }

    /// Returns `true` if there are functions to release that may still be kept if they come again.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self, Language::Capnode(speech) if speech.is_leaving())
    }

    /// Releases functions of the peer that have not come again for a turn, or all of them.
    pub(super) fn flush(&mut self, all: bool) {
        if let Language::Capnode(speech) = self {
            speech.flush(all);
        }
    }

    /// Releases functions of the peer that need not be kept in case they come again. Returns `true` if there were any.
    #[cfg(feature = "tokio")]
    pub(super) fn flush_late(&mut self) -> bool {
        match self {
            Language::Capnode(speech) => speech.flush_late(),
            _ => false,
        }
    }

    /// Returns `true` if the last message was a delayed release.
    pub(super) fn is_late(&self) -> bool {
        matches!(self, Language::Capnode(speech) if speech.is_late())
    }

    /// Notes that a handle of a function of the peer was dropped. If it was the last, and `late`, the function need not
    /// be kept.
    pub(super) fn expire(&mut self, id: Id, late: bool) {
        if let Language::Capnode(speech) = self {
            speech.expire(id, late);
        }
    }

    /// Returns the call of this side whose answer a frame asks for, in a language in which it matters.
    #[cfg(feature = "tokio")]
    pub(super) fn asked_in(&self, frame: &str) -> Option<Id> {
        match self {
            Language::Capnode(speech) => speech.asked_in(frame),
            _ => None,
        }
    }

    /// Returns `true` if a call of this side has its answer.
    #[cfg(feature = "tokio")]
    pub(super) fn is_answered(&self, call: Id) -> bool {
        !matches!(self, Language::Capnode(speech) if !speech.is_answered(call))
    }

    /// Returns the target of the next message whose target is not, or no longer, known.
    pub(super) fn take_lost(&mut self) -> Option<String> {
        match self {
            Language::Unknown | Language::CapnWeb => None,
            Language::Capnode(speech) => speech.take_lost().map(|lost| lost.to),
            Language::Q(speech) => speech.take_lost().map(|lost| lost.to),
        }
    }

    /// Returns the name of a function of the peer that is valid on other connections, too.
    #[cfg(feature = "tokio")]
    pub(super) fn name_of(&self, id: Id) -> Option<String> {
        match self {
            Language::Capnode(speech) => speech.name_of(id),
            Language::Unknown | Language::CapnWeb | Language::Q(_) => None,
        }
    }

    /// Returns the id of a function of the peer whose name came by another way.
    pub(super) fn reconstruct(&mut self, name: &str) -> Option<Id> {
        match self {
            Language::Capnode(speech) => Some(speech.reconstruct(name)),
            Language::Unknown | Language::CapnWeb | Language::Q(_) => None,
        }
    }
}

impl Dialect {
    pub(crate) fn manner(self) -> Manner {
        match self {
            Dialect::CapnWeb => Manner::CAPN_WEB,
            Dialect::Capnode | Dialect::Q => Manner { marks: false, releases: false, reuses: true },
        }
    }

    /// Returns `true` if a reference of the peer can be sent back as itself. In other languages it is sent as a
    /// reference of this side that passes everything on.
    pub(super) fn sends_home(self) -> bool {
        self == Dialect::CapnWeb
    }

    /// Returns `true` if the language has promise pipelining.
    pub(crate) fn pipelines(self) -> bool {
        self == Dialect::CapnWeb
    }
}
