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

/// Bytes that are read and dropped after the end of a session, while the peer's end is waited for.
pub(crate) const LEFTOVER: usize = 64 << 10;

/// Bytes that have to arrive, of frames that are not whole, to be a sign of life.
const LIFE: u64 = 16 << 10;

/// Bytes of a message that is too long that are read and dropped, so that its sender gets to read why.
const TOO_LONG: usize = 64 << 20;

/// How much of what arrives after the end of a session is read and dropped, while the peer's end is waited for. A
/// socket that is closed with something unread takes back what was written last.
#[derive(Debug)]
struct Leftover(usize);

impl Leftover {
    /// How often in succession is read before others get their turn.
    const TURNS: usize = 16;

    fn small() -> Self {
        Self(LEFTOVER)
    }

    /// After a message that was too long, of which the rest is to come.
    fn of_too_long() -> Self {
        Self(TOO_LONG)
    }

    /// Counts bytes that were dropped. Returns `true` if that is enough.
    fn is_over(&mut self, read: usize) -> bool {
        self.0 = self.0.saturating_sub(read);
        self.0 == 0
    }
}

/// Something that carries frames both ways, in order.
///
/// There are ready ones for byte streams ([`lines`]), for streams and sinks of messages
/// ([`messages`]), for WebSockets, for channels ([`channels`]) and for the inside of one program
/// ([`pair`]). [`translated`] is the place for a writing of your own.
pub trait Transport: Send + 'static {
    /// The next frame; `None` when the peer has closed. An [`io::ErrorKind::InvalidData`] error is
    /// the peer's fault, and it is told; and so is [`io::ErrorKind::FileTooLarge`], for a frame longer than there may be.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<&str>>>;

    /// Takes frames out of `frames` and sends them; ready when all are on their way.
    fn poll_send(&mut self, cx: &mut Context<'_>, frames: &mut Outgoing) -> Poll<io::Result<()>>;

    /// Whether what is sent in one go may reach the peer in several, or together with what was sent before. There are
    /// peers that do not bear it, and are sent a frame at a time.
    fn is_byte_stream(&self) -> bool {
        false
    }

    /// Asks the peer for a sign of life in a way of the transport's own, with the next [`poll_send`](Self::poll_send).
    /// Whether there is such a way.
    fn ping(&mut self) -> bool {
        false
    }

    /// How many signs of life have come that were no frames. A part of a frame is one if there is much of it: a link that
    /// is busy with a large frame is not dead.
    fn signs_of_life(&self) -> u64 {
        0
    }

    /// Bytes held for a frame that has not arrived whole, as far as is known.
    fn arriving(&self) -> usize {
        0
    }

    /// Closes, telling the peer `reason` where the transport can. `None` is an ordinary end.
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
