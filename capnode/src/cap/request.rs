//! Requests to a reference.

use std::any::Any;
use std::sync::Arc;

use super::context::Context;
use super::depth;
use super::interface::Interface;
use super::meter::TableEntry;
use super::payload::{LivePayload, undefined, unfolded_len};
use crate::error::{Error, ErrorKind, Fate};
use crate::message::{Path, Program};
use crate::panics::{Contained, PanicId, catch_panic};
use crate::runtime::Instant;

/// A call or a read, on its way to whatever its target turns out to be.
pub(crate) struct Request {
    pub(crate) member: Member,
    pub(crate) args: Args,
    /// `true` if the caller can take the result as the Rust value it is.
    pub(crate) typed: bool,
    pub(crate) options: CallOptions,
}

/// Options of a call that the callee does not see.
#[derive(Clone)]
pub(crate) struct CallOptions {
    /// The context of the call; `None` if there is nothing in it.
    pub(crate) context: Option<Context>,
    /// The most bytes of the answer, if it is written here.
    pub(crate) answer_bytes: usize,
    /// `true` if the caller is a peer.
    pub(crate) by_peer: bool,
    /// `true` if the call fails where progress cannot be told.
    pub(crate) needs_progress: bool,
    /// `true` if the call has a time limit of its own.
    pub(crate) timed: bool,
    /// `true` if the call fails where it would have to wait for room.
    pub(crate) at_once: bool,
    /// `true` if the result is wanted as a reference, before it is there.
    pub(crate) pipelined: bool,
    /// `true` for a write to a stream, which every peer answers by itself.
    pub(crate) chunk: bool,
    /// The number of properties that have passed it on to their values.
    pub(crate) passed_on: u8,
}

/// The member that is meant.
#[derive(Clone)]
pub(crate) enum Member {
    /// A method of an interface, by its number there.
    Method(&'static Interface, usize),
    Path(Path),
}

impl CallOptions {
    /// The options of a usual call by this program.
    pub(crate) const NONE: Self = Self {
        context: None,
        answer_bytes: usize::MAX,
        by_peer: false,
        needs_progress: false,
        timed: false,
        at_once: false,
        pipelined: false,
        chunk: false,
        passed_on: 0,
    };

    /// Returns `true` for an awaited call by this program that has nothing but a context and a time limit.
    #[cfg(feature = "tokio")]
    #[inline]
    pub(super) fn is_usual(&self) -> bool {
        let Self { by_peer, needs_progress, at_once, pipelined, chunk, .. } = *self;
        let any = by_peer | needs_progress | at_once | pipelined | chunk;
        self.answer_bytes == usize::MAX && !any && self.passed_on == 0
    }

    /// Returns the deadline of the call.
    pub(crate) fn ends_at(&self) -> Option<Instant> {
        self.context.as_ref().and_then(Context::ends_at)
    }
}

impl Member {
    pub(crate) fn into_path(self) -> Path {
        match self {
            Member::Method(interface, method) => match interface.method(method) {
                Some(method) => Path::One(method.key()),
                None => Path::Empty,
            },
            Member::Path(path) => path,
        }
    }

    /// Returns the entry of a method in the table of its interface.
    pub(crate) fn table_entry(&self) -> TableEntry {
        match self {
            Member::Method(interface, method) => interface.method(*method).map(|method| (*interface, method)),
            Member::Path(_) => None,
        }
    }

    /// `true` for a property of an interface.
    pub(crate) fn is_property(&self) -> bool {
        match self {
            Member::Method(interface, method) => {
                interface.method(*method).is_some_and(|method| method.property)
            }
            Member::Path(_) => false,
        }
    }

    /// Returns `true` if no member is meant, but the target itself.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self, Member::Path(path) if path.is_empty())
    }

    /// Says in an error of this side that it is about this member.
    pub(crate) fn explain(&self, error: Error) -> Error {
        if self.is_whole() { error } else { error.with_context(self.describe()) }
    }

    /// The name of the member, for messages.
    pub(crate) fn describe(&self) -> String {
        self.clone().into_path().dotted()
    }
}

pub(crate) enum Args {
    /// A read in place of a call.
    Read,
    /// The Rust values themselves, for a callee in this program.
    Typed(Box<dyn Unwritten>),
    /// The arguments as they are written.
    Wire(LivePayload),
    /// No arguments: the program of a map, and its captures. Only a peer that runs maps is asked so.
    Map(LivePayload, Arc<Program>),
}

/// A Rust value, or arguments, as they are, until it is known what their receiver can take.
pub(crate) trait Unwritten: Send {
    /// Moves the value into `place`, if that is an `Option` of its type. Returns `true` if it did.
    fn put(&mut self, place: &mut dyn Any) -> bool;

    /// Writes the value in at most so many bytes. A value that was moved away is written as `undefined`.
    fn write(&self, bytes: usize) -> Result<LivePayload, Error>;
}

/// Writes a value in at most so many bytes.
pub(crate) type Write<T> = fn(&T, usize) -> Result<LivePayload, Error>;

/// A value, and how it is written.
pub(crate) struct UnwrittenValue<T>(Contained<T>, Write<T>);

impl<T> UnwrittenValue<T> {
    pub(crate) fn new(value: T, write: Write<T>) -> Self {
        Self(Contained::new(value), write)
    }
}

impl<T: Send + 'static> Unwritten for UnwrittenValue<T> {
    fn put(&mut self, place: &mut dyn Any) -> bool {
        let Some(place) = place.downcast_mut::<Option<T>>() else { return false };
        *place = self.0.take();
        true
    }

    fn write(&self, bytes: usize) -> Result<LivePayload, Error> {
        self.0.get().map_or_else(|| Ok(undefined()), |value| (self.1)(value, bytes))
    }
}

impl Args {
    /// Writes the arguments in at most `bytes` bytes, if that has not been done.
    pub(crate) fn write(&mut self, bytes: usize) -> Result<(), Error> {
        if let Args::Typed(args) = self {
            let written = catch_panic("an argument", || args.write(bytes)).map_err(|PanicId(id)| {
                Error::new(ErrorKind::Encode, format!("an argument panicked while it was written (id {id})"))
            });
            *self = Args::Wire(written??);
        }
        Ok(())
    }

    /// Takes out the arguments that are written, or the captures of a map; `None` for a read.
    pub(crate) fn take_written(&mut self) -> Option<LivePayload> {
        match std::mem::replace(self, Args::Read) {
            Args::Wire(body) | Args::Map(body, _) => Some(body),
            Args::Read | Args::Typed(_) => None,
        }
    }

    /// Returns the bytes of arguments that are written, with those that stand beside the text.
    pub(crate) fn len(&self) -> usize {
        match self {
            Args::Wire(body) => unfolded_len(body),
            Args::Map(_, program) => program.text.as_str().len(),
            Args::Read | Args::Typed(_) => 0,
        }
    }

    /// Returns the text of arguments that are written, if nothing stands beside it.
    #[inline]
    pub(crate) fn as_plain(&self) -> Option<&str> {
        match self {
            Args::Wire(body) if body.is_plain() => Some(body.text.as_str()),
            _ => None,
        }
    }

    pub(crate) fn is_read(&self) -> bool {
        matches!(self, Args::Read)
    }
}

impl Request {
    /// Returns a read of this program whose result is wanted as text.
    pub(crate) fn read(member: Member) -> Self {
        Self { member, args: Args::Read, typed: false, options: CallOptions::NONE }
    }

    /// Takes the request out, and leaves a read.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::read(Member::Path(Path::Empty)))
    }

    /// Returns `true` for a read of the target itself, and not of a member.
    pub(super) fn reads_target(&self) -> bool {
        self.args.is_read() && self.member.is_whole()
    }

    /// Returns the error of the request if `why` ended its target. The request has not been sent, even if the call that
    /// was to give the target may have run; only a read of that call's outcome keeps the fate of `why`.
    pub(super) fn failing_with(&self, why: Error) -> Error {
        if why.fate() == Fate::MayHaveRun && !self.reads_target() {
            why.with_fate(Fate::NotSent)
        } else {
            why
        }
    }

    /// Returns the request on its way to the value of a property; `None` if too many properties were on it.
    pub(super) fn passed_on(self) -> Option<Self> {
        self.stepped().filter(|request| usize::from(request.options.passed_on) <= depth::HOPS)
    }

    /// Returns the request after one more step of its path was read; `None` after 255 of them.
    pub(super) fn stepped(mut self) -> Option<Self> {
        self.options.passed_on = self.options.passed_on.checked_add(1)?;
        Some(self)
    }

    /// Returns the request for something on the way to its target, `prefix` being the steps between.
    pub(crate) fn under(self, prefix: &Path) -> Self {
        let path = prefix.join(self.member.into_path().as_slice());
        Self { member: Member::Path(path), ..self }
    }
}
