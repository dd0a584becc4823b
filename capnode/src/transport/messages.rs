//! Streams and sinks of messages, a message a frame.

use std::fmt;
use std::io;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{Sink, Stream};

use super::{Outgoing, Transport};
use crate::printable::Printable;

/// The close code with which npm's `capnweb` ends a session that failed.
#[cfg_attr(not(any(feature = "ws", feature = "axum")), allow(dead_code))]
pub(crate) const FAILED: u16 = 3000;

/// A close reason may have 123 bytes. It is made to be printed.
#[cfg_attr(not(any(feature = "ws", feature = "axum")), allow(dead_code))]
pub(crate) fn close_reason(reason: &str) -> String {
    let mut reason = Printable(reason).to_string();
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.truncate(end);
    reason
}

/// What a message that came in is.
#[derive(Debug)]
#[non_exhaustive]
pub enum Received<T> {
    /// A frame.
    Frame(T),
    /// Nothing of ours, such as a ping.
    Other,
    /// The peer closes, perhaps saying why.
    Close(Option<String>),
    /// Something that has no place here, and what.
    Bad(&'static str),
}

/// A message of a transport.
pub trait Message: Sized + Send + 'static {
    /// The text of a message.
    type Text: Deref<Target = str> + Send;

    /// The message that carries a frame.
    fn from_frame(frame: &str) -> Self;

    /// The message that says goodbye, if there is such.
    fn closing(reason: Option<&str>) -> Option<Self>;

    /// The message that says goodbye because of something that the peer did wrong, with a code for it.
    fn failing(code: u16, reason: &str) -> Option<Self> {
        let _ = code;
        Self::closing(Some(reason))
    }

    /// The code for what the peer did wrong, if a message could not be read for that.
    fn fault_code(error: &(dyn std::error::Error + 'static)) -> Option<u16> {
        let _ = error;
        None
    }

    /// The message that asks for a sign of life, if there is such.
    fn ping() -> Option<Self> {
        None
    }

    /// What a message that came in is.
    fn receive(self) -> Received<Self::Text>;

    /// Whether it is the peer's fault that a message could not be read. Then the peer is told, as far as it still
    /// listens.
    fn is_fault(error: &(dyn std::error::Error + 'static)) -> bool {
        let _ = error;
        false
    }

    /// Whether a message was not read because it is too long, which the peer is told, too.
    fn is_too_long(error: &(dyn std::error::Error + 'static)) -> bool {
        let _ = error;
        false
    }
}

impl Message for String {
    type Text = String;

    fn from_frame(frame: &str) -> Self {
        frame.to_owned()
    }

    fn closing(_: Option<&str>) -> Option<Self> {
        None
    }

    fn receive(self) -> Received<String> {
        Received::Frame(self)
    }
}

/// Frames over a stream and sink of messages: see [`messages`].
pub struct Messages<S, M: Message> {
    messages: S,
    current: Option<M::Text>,
    said_goodbye: bool,
    /// Why the peer closed.
    goodbye: Option<String>,
    /// What asks the peer for a sign of life, and how many it has given.
    ping: Option<M>,
    signs_of_life: u64,
    /// The close code for what the peer did wrong.
    fault: Option<u16>,
}

/// Carries frames over anything that is a stream and a sink of messages: a message a frame.
///
/// `M` is `String`, or a type of yours that is a [`Message`].
pub fn messages<S, M, E>(messages: S) -> Messages<S, M>
where
    S: Stream<Item = Result<M, E>> + Sink<M> + Send + Unpin + 'static,
    M: Message,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    Messages {
        messages,
        current: None,
        said_goodbye: false,
        goodbye: None,
        ping: None,
        signs_of_life: 0,
        fault: None,
    }
}

impl<S, M, E> Transport for Messages<S, M>
where
    S: Stream<Item = Result<M, E>> + Sink<M> + Send + Unpin + 'static,
    M: Message,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<&str>>> {
        // It may be long until the next one.
        self.current = None;
        loop {
            let message = match ready!(Pin::new(&mut self.messages).poll_next(cx)) {
                Some(Ok(message)) => message,
                Some(Err(error)) => {
                    let error = error.into();
                    self.fault = M::fault_code(&*error);
                    let kind = match (M::is_too_long(&*error), M::is_fault(&*error)) {
                        (true, _) => io::ErrorKind::FileTooLarge,
                        (false, true) => io::ErrorKind::InvalidData,
                        (false, false) => io::ErrorKind::Other,
                    };
                    return Poll::Ready(Some(Err(io::Error::new(kind, error))));
                }
                None => return Poll::Ready(None),
            };
            match message.receive() {
                Received::Frame(text) => {
                    return Poll::Ready(Some(Ok(&**self.current.insert(text))));
                }
                Received::Other => self.signs_of_life += 1,
                Received::Close(reason) => {
                    // The answer to it comes by itself when the sink is closed.
                    self.said_goodbye = true;
                    self.goodbye = reason;
                    let closed = self
                        .goodbye
                        .clone()
                        // Whoever prints the causes of an error has nobody else to escape it.
                        .map(|reason| {
                            Err(io::Error::new(
                                io::ErrorKind::ConnectionAborted,
                                Printable(&reason).to_string(),
                            ))
                        });
                    return Poll::Ready(closed);
                }
                Received::Bad(what) => {
                    return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::InvalidData, what))));
                }
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, frames: &mut Outgoing) -> Poll<io::Result<()>> {
        let mut sink = Pin::new(&mut self.messages);
        if self.ping.is_some() {
            ready!(sink.as_mut().poll_ready(cx)).map_err(io::Error::other)?;
            if let Some(ping) = self.ping.take() {
                sink.as_mut().start_send(ping).map_err(io::Error::other)?;
            }
        }
        while !frames.is_empty() {
            ready!(sink.as_mut().poll_ready(cx)).map_err(io::Error::other)?;
            let Some(frame) = frames.pop_frame() else { break };
            sink.as_mut().start_send(M::from_frame(frame)).map_err(io::Error::other)?;
        }
        frames.clear();
        sink.poll_flush(cx).map_err(io::Error::other)
    }

    fn ping(&mut self) -> bool {
        self.ping = M::ping();
        self.ping.is_some()
    }

    fn signs_of_life(&self) -> u64 {
        self.signs_of_life
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, reason: Option<&str>) -> Poll<io::Result<()>> {
        let mut sink = Pin::new(&mut self.messages);
        if !self.said_goodbye {
            ready!(sink.as_mut().poll_ready(cx)).map_err(io::Error::other)?;
            self.said_goodbye = true;
            if let Some(closing) = match self.fault {
                Some(code) => M::failing(code, reason.unwrap_or_default()),
                None => M::closing(reason),
            } {
                sink.as_mut().start_send(closing).map_err(io::Error::other)?;
            }
        }
        sink.poll_close(cx).map_err(io::Error::other)
    }
}

impl<S, M: Message> fmt::Debug for Messages<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::close_reason;

    #[test]
    fn a_close_reason_is_cut_between_characters() {
        assert_eq!(close_reason("short"), "short");
        let just = format!("{}é", "x".repeat(121));
        assert_eq!((close_reason(&just), just.len()), (just.clone(), 123));
        let long = format!("{}é!", "x".repeat(122));
        assert_eq!(close_reason(&long), "x".repeat(122));
        assert_eq!(close_reason(&"🙂".repeat(100)).len(), 120);
    }

    #[test]
    fn a_close_reason_has_no_control_characters() {
        assert_eq!(close_reason("a\r\nINFO b\u{1b}[2J\0"), "a\\r\\nINFO b\\u{1b}[2J\\u{0}");
        // Escaped, it is longer.
        assert_eq!(close_reason(&"\n".repeat(123)).len(), 123);
    }
}
