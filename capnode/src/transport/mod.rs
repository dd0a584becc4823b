//! Transports: they carry frames and know nothing else.

use std::io;
use std::task::{Context, Poll};

mod adapters;
pub(crate) mod address;
#[cfg(any(feature = "axum", feature = "ws"))]
pub(crate) mod frames;
pub(crate) mod lines;
pub(crate) mod memory;
pub(crate) mod messages;
pub(crate) mod streams;
mod texts;
#[cfg(feature = "ws")]
pub(crate) mod ws;

pub use self::adapters::{Channels, Translated, channels, translated};
pub use self::address::Address;
pub use self::lines::{ChildPipes, Lines, child, lines, stdio};
pub use self::memory::{Memory, pair};
pub use self::messages::{Message, Messages, Received, messages};
#[cfg(feature = "ws")]
pub use self::ws::{WebSocket, web_socket};

pub use crate::outgoing::Outgoing;

/// The number of bytes that are read and dropped after the end of a session, until the peer's end.
pub(crate) const LEFTOVER: usize = 64 << 10;

/// The number of bytes of incomplete frames that count as a sign of life.
const LIFE: u64 = 16 << 10;

/// The number of bytes of a too long message that are read and dropped, so that its sender gets to read the reason.
const TOO_LONG: usize = 64 << 20;

/// The number of bytes that are still read and dropped after the end of a session, until the peer's end. If a socket is
/// closed with unread input, the system takes back the last writes.
#[derive(Debug)]
struct Leftover(usize);

impl Leftover {
    /// The number of reads in succession before other tasks get their turn.
    const TURNS: usize = 16;

    fn small() -> Self {
        Self(LEFTOVER)
    }

    /// Returns the budget for the rest of a message that was too long.
    fn of_too_long() -> Self {
        Self(TOO_LONG)
    }

    /// Counts dropped bytes. Returns `true` if that is enough.
    fn is_over(&mut self, read: usize) -> bool {
        self.0 = self.0.saturating_sub(read);
        self.0 == 0
    }
}

/// A carrier of frames both ways, in order.
///
/// There are ready ones for byte streams ([`lines`]), for streams and sinks of messages ([`messages`]), for WebSockets,
/// for channels ([`channels`]) and for the inside of one program ([`pair`]). [`translated`] is the place for an
/// encoding of your own.
pub trait Transport: Send + 'static {
    /// Returns the next frame; `None` when the peer has closed. An [`io::ErrorKind::InvalidData`] error is the peer's
    /// fault, and the peer is told. The peer is also told of [`io::ErrorKind::FileTooLarge`], for a frame above the
    /// limit.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<&str>>>;

    /// Takes frames out of `frames` and sends them. Ready when all are on their way.
    fn poll_send(&mut self, cx: &mut Context<'_>, frames: &mut Outgoing) -> Poll<io::Result<()>>;

    /// `true` if the peer may receive one write in several pieces, or joined with the one before. Some peers cannot
    /// handle that, and are sent a frame at a time.
    fn is_byte_stream(&self) -> bool {
        false
    }

    /// Asks the peer for a sign of life in the transport's own way, with the next [`poll_send`](Self::poll_send).
    /// Returns `true` if there is such a way.
    fn ping(&mut self) -> bool {
        false
    }

    /// Returns the number of signs of life that were no frames. A large part of a frame counts as one: a link that is
    /// busy with a large frame is not dead.
    fn signs_of_life(&self) -> u64 {
        0
    }

    /// Returns the bytes held for an incomplete frame, as far as is known.
    fn arriving(&self) -> usize {
        0
    }

    /// Closes the transport, and tells the peer `reason` where that is possible. `None` is an ordinary end.
    fn poll_close(&mut self, cx: &mut Context<'_>, reason: Option<&str>) -> Poll<io::Result<()>>;
}

impl<T: Transport + ?Sized> Transport for Box<T> {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<&str>>> {
        (**self).poll_receive(cx)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, frames: &mut Outgoing) -> Poll<io::Result<()>> {
        (**self).poll_send(cx, frames)
    }

    fn is_byte_stream(&self) -> bool {
        (**self).is_byte_stream()
    }

    fn ping(&mut self) -> bool {
        (**self).ping()
    }

    fn signs_of_life(&self) -> u64 {
        (**self).signs_of_life()
    }

    fn arriving(&self) -> usize {
        (**self).arriving()
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, reason: Option<&str>) -> Poll<io::Result<()>> {
        (**self).poll_close(cx, reason)
    }
}
