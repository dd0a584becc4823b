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

/// Returns a close reason of at most 123 bytes. It is escaped for printing.
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

/// A classified incoming message.
#[derive(Debug)]
#[non_exhaustive]
pub enum Received<T> {
    /// A frame.
    Frame(T),
    /// A message that carries no frame, such as a ping.
    Other,
    /// The peer closes, perhaps with a reason.
    Close(Option<String>),
    /// A message that has no place here, with its name.
    Bad(&'static str),
}

/// A message of a transport.
pub trait Message: Sized + Send + 'static {
    /// The text of a message.
    type Text: Deref<Target = str> + Send;

    /// Returns the message that carries a frame.
    fn from_frame(frame: &str) -> Self;

    /// Returns the message that says goodbye, if there is one.
    fn closing(reason: Option<&str>) -> Option<Self>;

    /// Returns the message that says goodbye because of a fault of the peer, with a code for it.
    fn failing(code: u16, reason: &str) -> Option<Self> {
        let _ = code;
        Self::closing(Some(reason))
    }

    /// Returns the code for the peer's fault, if a message could not be read because of one.
    fn fault_code(error: &(dyn std::error::Error + 'static)) -> Option<u16> {
        let _ = error;
        None
    }

    /// Returns the message that asks for a sign of life, if there is one.
    fn ping() -> Option<Self> {
        None
    }

    /// Classifies an incoming message.
    fn receive(self) -> Received<Self::Text>;

    /// `true` if a message could not be read by a fault of the peer. Then the peer is told, as far as it still listens.
    fn is_fault(error: &(dyn std::error::Error + 'static)) -> bool {
        let _ = error;
        false
    }

    /// `true` if a message was not read because it is too long. The peer is told.
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
    /// The peer's reason for closing.
    goodbye: Option<String>,
    /// The message that asks the peer for a sign of life, until it is sent.
    ping: Option<M>,
    signs_of_life: u64,
    /// The close code for the peer's fault.
    fault: Option<u16>,
}

/// Carries frames over a stream and sink of messages: a message a frame.
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
                        // The causes of an error are printed without further escapes.
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
