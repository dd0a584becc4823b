//! The chunks of a stream, and where they come from.

use std::task::{Context, Poll};

use crate::cap::payload::LivePayload;
use crate::cap::request::Args;
use crate::error::{Error, ErrorKind, Fate};
use crate::message::{Payload, Text};
use crate::runtime::BoxFuture;

/// A part of a stream on its way.
pub(crate) enum Chunk {
    /// A list of one argument: what was written.
    Args(Args),
    /// Such a list with promises of a peer in it.
    Later(Later),
    /// The end. Nothing follows.
    Close,
}

/// Arguments with promises of a peer in them.
pub(crate) type Later = BoxFuture<Result<LivePayload, Error>>;

/// Called once with the fate of a chunk. No lock may be held.
pub(crate) type Acknowledge = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// A chunk, and what its writer wants to know.
pub(crate) struct Item {
    pub(crate) chunk: Chunk,
    acknowledge: Option<Acknowledge>,
}

impl Item {
    pub(crate) fn new(chunk: Chunk, acknowledge: Option<Acknowledge>) -> Self {
        Self { chunk, acknowledge }
    }

    /// Returns the chunk, and the acknowledgement to be called once it has been taken.
    pub(crate) fn into_parts(mut self) -> (Chunk, Option<Acknowledge>) {
        (std::mem::replace(&mut self.chunk, Chunk::Close), self.take_acknowledge())
    }

    /// Tells the writer that nothing takes the chunk.
    pub(super) fn refuse(mut self, reason: Error) {
        self.tell(Err(reason));
    }

    /// Takes out the acknowledgement, to be called once the chunk has been taken.
    pub(crate) fn take_acknowledge(&mut self) -> Option<Acknowledge> {
        self.acknowledge.take()
    }

    fn tell(&mut self, fate: Result<(), Error>) {
        if let Some(acknowledge) = self.acknowledge.take() {
            acknowledge(fate);
        }
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        self.tell(Err(unread()));
    }
}

/// The source of the chunks of a stream.
pub(crate) trait Source: Send + Sync {
    /// Returns the next chunk; `None` at the end, which is not acknowledged before it was taken.
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Item, Error>>>;

    /// Ends the stream early: what comes is refused for `reason`.
    fn cancel(&self, reason: &Error);

    /// Returns the number of borders of membranes that its chunks cross, one after the other.
    fn borders(&self) -> usize {
        0
    }
}

pub(crate) fn unread() -> Error {
    Error::rejected("the stream was not read to its end").with_fate(Fate::Answered)
}

/// Returns the error of a stream whose writer has gone without an end.
pub(crate) fn unfinished() -> Error {
    Error::new(ErrorKind::Rejected, "the writer was dropped without `close`: the stream is not complete")
}

pub(super) fn no_args() -> Args {
    Args::Wire(Payload::plain("[]".to_owned()))
}

/// Returns an error as the only argument.
pub(super) fn error_args(reason: &Error) -> Args {
    let reason = reason.expression().unwrap_or_else(|_| Payload::plain(Text::Static("null")));
    Args::Wire(reason.inside("[", "]"))
}
