//! The wire language of a connection, and what it has to remember.

use super::named::Naming;
use crate::bounds;
use crate::dialect::{Dialect, Refused, capnode, capnweb, q};
use crate::error::Error;
use crate::limits::Limits;
use crate::op::{Id, Op, Text};
use crate::runtime::random;
use crate::session::Manner;

pub(super) enum Language {
    /// It turns out when the peer says something.
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

    /// Takes in a frame. Nothing comes of one that the language's own programs would pass over.
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

    /// Writes one message at the end of `out`, if the language has one for it. A value in it may come to `bytes` in the
    /// peer's language.
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

    /// A frame that is sent without an op.
    pub(super) fn take_reply(&mut self) -> Option<String> {
        match self {
            Language::Unknown | Language::CapnWeb => None,
            Language::Capnode(speech) => speech.take_reply(),
            Language::Q(speech) => speech.take_reply(),
        }
    }

    /// Whether there is something to give back that may still be kept if it comes again.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self, Language::Capnode(speech) if speech.is_leaving())
    }

    /// Gives back what has not come again for a turn; or all of it.
    pub(super) fn flush(&mut self, all: bool) {
        if let Language::Capnode(speech) = self {
            speech.flush(all);
        }
    }

    /// Gives back what need not be kept whether it comes again. Returns `true` if there was anything.
    #[cfg(feature = "tokio")]
    pub(super) fn flush_late(&mut self) -> bool {
        match self {
            Language::Capnode(speech) => speech.flush_late(),
            _ => false,
        }
    }

    /// Whether the last message gave something back after a while.
    pub(super) fn is_late(&self) -> bool {
        matches!(self, Language::Capnode(speech) if speech.is_late())
    }

    /// A share in something of the peer's is dropped. If it is the last, and `late`, that need not be kept.
    pub(super) fn expire(&mut self, id: Id, late: bool) {
        if let Language::Capnode(speech) = self {
            speech.expire(id, late);
        }
    }

    /// Which call of ours a frame asks for the answer of, in a language in which it matters.
    #[cfg(feature = "tokio")]
    pub(super) fn asked_in(&self, frame: &str) -> Option<Id> {
        match self {
            Language::Capnode(speech) => speech.asked_in(frame),
            _ => None,
        }
    }

    /// Whether a call of ours has its answer.
    #[cfg(feature = "tokio")]
    pub(super) fn is_answered(&self, call: Id) -> bool {
        !matches!(self, Language::Capnode(speech) if !speech.is_answered(call))
    }

    /// Whom a message was for that is not, or no longer, known.
    pub(super) fn take_lost(&mut self) -> Option<String> {
        match self {
            Language::Unknown | Language::CapnWeb => None,
            Language::Capnode(speech) => speech.take_lost().map(|lost| lost.to),
            Language::Q(speech) => speech.take_lost().map(|lost| lost.to),
        }
    }

    /// The name of something of the peer's that is valid on other connections, too.
    #[cfg(feature = "tokio")]
    pub(super) fn name_of(&self, id: Id) -> Option<String> {
        match self {
            Language::Capnode(speech) => speech.name_of(id),
            Language::Unknown | Language::CapnWeb | Language::Q(_) => None,
        }
    }

    /// The id of something of the peer's whose name came by another way.
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

    /// Whether a reference of the peer's can be sent back as what it is. Elsewhere it goes as a reference of ours, that
    /// passes everything on.
    pub(super) fn sends_home(self) -> bool {
        self == Dialect::CapnWeb
    }

    /// Whether calls can be made on the result of a call before it is there.
    pub(crate) fn pipelines(self) -> bool {
        self == Dialect::CapnWeb
    }
}
