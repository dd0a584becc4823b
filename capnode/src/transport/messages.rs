//! Streams and sinks of messages, a message a frame.

use std::io;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{Sink, Stream};

use super::{Closing, Frame, Outgoing, Properties, ReceiveError, Transport};
use crate::escape::EscapeControl;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Returns a close reason of at most 123 bytes. It is escaped for printing.
#[cfg_attr(not(feature = "ws"), allow(dead_code))]
pub(crate) fn close_reason(reason: &str) -> String {
    let mut reason = EscapeControl(reason).to_string();
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
    /// A message that ends the session, such as one of a type that carries no frames.
    Failed(ReceiveError),
}

/// A message of a transport.
pub trait FrameMessage: Sized + Send + 'static {
    /// The text of a message.
    type Text: Deref<Target = str> + Send;

    /// Returns the message that carries a frame.
    fn from_frame(frame: &str) -> Self;

    /// Returns the message that says goodbye, if there is one.
    fn closing(closing: Closing<'_>) -> Option<Self>;

    /// Returns the message that says goodbye because of a fault of the peer, with a code for it.
    fn failing(code: u16, reason: &str) -> Option<Self> {
        let _ = code;
        Self::closing(Closing::Failed(reason))
    }

    /// Returns the message that asks for a sign of life, if there is one.
    fn ping() -> Option<Self> {
        None
    }

    /// Classifies an incoming message.
    fn receive(self) -> Received<Self::Text>;

    /// Classifies a failure to read a message. If it is the peer's fault, there may be a code for it, which
    /// [`failing`](Self::failing) is then called with.
    fn classify(error: BoxError) -> (ReceiveError, Option<u16>) {
        (io::Error::other(error).into(), None)
    }
}

impl FrameMessage for String {
    type Text = String;

    fn from_frame(frame: &str) -> Self {
        frame.to_owned()
    }

    fn closing(_: Closing<'_>) -> Option<Self> {
        None
    }

    fn receive(self) -> Received<String> {
        Received::Frame(self)
    }
}

/// Frames over a stream and sink of messages: see [`messages`].
pub struct Messages<S, M: FrameMessage> {
    messages: S,
    current: Option<M::Text>,
    said_goodbye: bool,
    /// The message that asks the peer for a sign of life, until it is sent.
    ping: Option<M>,
    signs_of_life: u64,
    /// The close code for the peer's fault.
    fault: Option<u16>,
}

/// Carries frames over a stream and sink of messages: a message a frame.
///
/// `M` is `String`, or a type of yours that is a [`FrameMessage`].
pub fn messages<S, M, E>(messages: S) -> Messages<S, M>
where
    S: Stream<Item = Result<M, E>> + Sink<M> + Send + Unpin + 'static,
    M: FrameMessage,
    E: Into<BoxError>,
    S::Error: Into<BoxError>,
{
    Messages { messages, current: None, said_goodbye: false, ping: None, signs_of_life: 0, fault: None }
}

impl<S, M, E> Transport for Messages<S, M>
where
    S: Stream<Item = Result<M, E>> + Sink<M> + Send + Unpin + 'static,
    M: FrameMessage,
    E: Into<BoxError>,
    S::Error: Into<BoxError>,
{
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<'_>, ReceiveError>>> {
        // It may be long until the next one.
        self.current = None;
        loop {
            let message = match ready!(Pin::new(&mut self.messages).poll_next(cx)) {
                Some(Ok(message)) => message,
                Some(Err(error)) => {
                    let (error, fault) = M::classify(error.into());
                    self.fault = fault;
                    return Poll::Ready(Some(Err(error)));
                }
                None => return Poll::Ready(None),
            };
            match message.receive() {
                Received::Frame(text) => {
                    return Poll::Ready(Some(Ok(Frame::Text(self.current.insert(text)))));
                }
                Received::Other => self.signs_of_life += 1,
                Received::Close(reason) => {
                    // The answer to it comes by itself when the sink is closed.
                    self.said_goodbye = true;
                    return Poll::Ready(reason.map(|reason| Err(ReceiveError::Closed(reason))));
                }
                Received::Failed(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, frames: &mut Outgoing) -> Poll<io::Result<()>> {
        let mut sink = Pin::new(&mut self.messages);
        while self.ping.is_some() || !frames.is_empty() {
            ready!(sink.as_mut().poll_ready(cx)).map_err(io::Error::other)?;
            let next = self.ping.take();
            let next = next.or_else(|| frames.pop_frame().map(|frame| M::from_frame(frame.text())));
            let Some(message) = next else { break };
            sink.as_mut().start_send(message).map_err(io::Error::other)?;
        }
        frames.clear();
        sink.poll_flush(cx).map_err(io::Error::other)
    }

    fn ping(&mut self) -> bool {
        self.ping = M::ping();
        self.ping.is_some()
    }

    fn properties(&self) -> Properties {
        Properties { signs_of_life: self.signs_of_life, ..Properties::default() }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, closing: Closing<'_>) -> Poll<io::Result<()>> {
        let mut sink = Pin::new(&mut self.messages);
        if !self.said_goodbye {
            ready!(sink.as_mut().poll_ready(cx)).map_err(io::Error::other)?;
            self.said_goodbye = true;
            let goodbye = match self.fault {
                Some(code) => M::failing(code, closing.reason().unwrap_or_default()),
                None => M::closing(closing),
            };
            if let Some(goodbye) = goodbye {
                sink.as_mut().start_send(goodbye).map_err(io::Error::other)?;
            }
        }
        sink.poll_close(cx).map_err(io::Error::other)
    }
}

crate::opaque::opaque!([S, M: FrameMessage] Messages<S, M>);

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
