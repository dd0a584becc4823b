//! Transports: they carry frames and know nothing else.

use std::fmt;
use std::io;
use std::task::{Context, Poll};

mod adapters;
#[cfg(feature = "tokio")]
pub(crate) mod address;
#[cfg(feature = "http")]
pub(crate) mod batch;
#[cfg(feature = "ws")]
pub(crate) mod frames;
#[cfg(feature = "tokio")]
mod input;
#[cfg(feature = "tokio")]
pub(crate) mod lines;
pub(crate) mod messages;
#[cfg(feature = "tokio")]
mod mixed;
#[cfg(feature = "tokio")]
mod public;
#[cfg(feature = "tokio")]
pub(crate) mod streams;
#[cfg(feature = "tokio")]
mod texts;
#[cfg(feature = "ws")]
pub(crate) mod ws;

#[cfg(feature = "tokio")]
pub use self::adapters::{Channels, channels, pair};
pub use self::adapters::{Translated, translated};
#[cfg(feature = "tokio")]
pub use self::address::Address;
#[cfg(feature = "tokio")]
pub use self::lines::{ChildPipes, Lines, child, lines, stdio};
#[cfg(all(feature = "web", not(feature = "tokio")))]
pub(crate) use self::messages::close_reason;
pub use self::messages::{FrameMessage, Messages, Received, messages};
#[cfg(feature = "ws")]
pub use self::ws::{WebSocket, web_socket};

use crate::escape::EscapeControl;
pub use crate::outgoing::{Frame, Outgoing};

/// The number of bytes that are read and dropped after the end of a session, until the peer's end.
pub(crate) const LEFTOVER: usize = 64 << 10;

/// The number of bytes of incomplete frames that count as a sign of life.
#[cfg(feature = "tokio")]
const LIFE: u64 = 16 << 10;

/// The number of bytes of a too long message that are read and dropped, so that its sender gets to read the reason.
#[cfg(feature = "tokio")]
const TOO_LONG: usize = 64 << 20;

/// The number of bytes that are still read and dropped after the end of a session, until the peer's end. If a socket is
/// closed with unread input, the system takes back the last writes.
#[cfg(feature = "tokio")]
#[derive(Debug)]
struct Leftover(usize);

#[cfg(feature = "tokio")]
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

/// A failure to receive a frame.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The peer sent something that is no frame. It is told this reason, and the session ends.
    Invalid(String),
    /// The peer sent a frame above the limit. It is told so, and the session ends.
    TooLong(String),
    /// The peer closed the transport, for this reason.
    Closed(String),
    /// The transport failed.
    Io(io::Error),
}

impl From<io::Error> for ReceiveError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(reason) | Self::TooLong(reason) => f.write_str(reason),
            Self::Closed(reason) => write!(f, "the peer closed the connection: {}", EscapeControl(reason)),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReceiveError {}

/// The abilities and the present state of a [`Transport`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Properties {
    /// `true` if the peer may receive one write in several pieces, or joined with the one before. Some peers cannot
    /// handle that, and are sent a frame at a time. It does not change.
    pub byte_stream: bool,
    /// `true` if it carries bytes beside the text of a frame: see [`Frame::Mixed`]. It does not change.
    pub bytes: bool,
    /// The number of signs of life that were no frames. A large part of a frame counts as one: a link that is busy with
    /// a large frame is not dead.
    pub signs_of_life: u64,
    /// The bytes held for an incomplete frame, as far as is known.
    pub arriving: usize,
}

crate::setters::setters! { Properties { byte_stream: bool, bytes: bool, signs_of_life: u64, arriving: usize } }

/// A carrier of frames both ways, in order.
///
/// There are ready ones for byte streams ([`lines`]), for streams and sinks of messages ([`messages`]), for WebSockets,
/// for channels ([`channels`]) and for the inside of one program ([`pair`]). [`translated`] is the place for an
/// encoding of your own.
pub trait Transport: Send + 'static {
    /// Returns the next frame; `None` when the peer has closed.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<'_>, ReceiveError>>>;

    /// Takes frames out of `frames` and sends them. Ready when all are on their way.
    fn poll_send(&mut self, cx: &mut Context<'_>, frames: &mut Outgoing) -> Poll<io::Result<()>>;

    /// Returns what the transport can carry, and its state. It is asked each time that frames are taken in.
    fn properties(&self) -> Properties {
        Properties::default()
    }

    /// Asks the peer for a sign of life in the transport's own way, with the next [`poll_send`](Self::poll_send).
    /// Returns `true` if there is such a way.
    fn ping(&mut self) -> bool {
        false
    }

    /// Closes the transport, and tells the peer how where that is possible.
    fn poll_close(&mut self, cx: &mut Context<'_>, closing: Closing<'_>) -> Poll<io::Result<()>>;
}

/// The way in which a connection ends, for the transport that tells the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Closing<'a> {
    /// Nobody needs the connection any more. A WebSocket says 1000.
    Ordinary,
    /// The program is shutting down, in these words. A WebSocket says 1001.
    Leaving(&'a str),
    /// The connection failed, for this reason. A WebSocket says 3000.
    Failed(&'a str),
}

#[cfg(any(feature = "ws", feature = "web"))]
pub(crate) const NORMAL: u16 = 1000;
#[cfg(feature = "ws")]
const LEAVING: u16 = 1001;
/// The close code with which npm's `capnweb` ends a session that failed.
#[cfg(any(feature = "ws", feature = "web"))]
pub(crate) const FAILED: u16 = 3000;

impl<'a> Closing<'a> {
    /// Returns the words for the peer; an ordinary end has none.
    pub fn reason(self) -> Option<&'a str> {
        match self {
            Self::Ordinary => None,
            Self::Leaving(reason) | Self::Failed(reason) => Some(reason),
        }
    }

    /// Returns the close code of WebSocket for it (RFC 6455, section 7.4).
    #[cfg(feature = "ws")]
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::Ordinary => NORMAL,
            Self::Leaving(_) => LEAVING,
            Self::Failed(_) => FAILED,
        }
    }
}

impl<T: Transport + ?Sized> Transport for Box<T> {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<'_>, ReceiveError>>> {
        (**self).poll_receive(cx)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, frames: &mut Outgoing) -> Poll<io::Result<()>> {
        (**self).poll_send(cx, frames)
    }

    fn properties(&self) -> Properties {
        (**self).properties()
    }

    fn ping(&mut self) -> bool {
        (**self).ping()
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, closing: Closing<'_>) -> Poll<io::Result<()>> {
        (**self).poll_close(cx, closing)
    }
}
