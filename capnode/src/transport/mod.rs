//! Transports: they carry frames and know nothing else.

use std::io;
use std::task::{Context, Poll};

mod adapters;
pub(crate) mod address;
pub(crate) mod lines;
pub(crate) mod memory;
pub(crate) mod messages;
#[cfg(feature = "ws")]
mod metered;
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

pub use crate::link::outgoing::Outgoing;

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

    /// How many signs of life have come that were no frames.
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
