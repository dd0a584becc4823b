//! A transport whose other end is a task that owns what JavaScript gave.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_core::Stream;
use js_sys::JsString;

use crate::transport::{Closing, Frame, Outgoing, ReceiveError, Transport};

/// Frames between a connection and a [port](super::port) or WebSocket.
pub struct Channel {
    incoming: UnboundedReceiver<Result<String, ReceiveError>>,
    /// `None` once it is closed.
    outgoing: Option<UnboundedSender<Message>>,
    current: String,
}

/// An instruction to the task that JavaScript's values belong to.
pub(super) enum Message {
    Frame(String),
    /// The last one, with the reason of a failure.
    Close(Option<String>),
}

/// The end of a channel that is handed what arrives.
pub(super) type Arrivals = UnboundedSender<Result<String, ReceiveError>>;

/// Returns a transport, and the ends that its task has.
pub(super) fn channel() -> (Channel, Arrivals, UnboundedReceiver<Message>) {
    let ((arrivals, incoming), (outgoing, departures)) = (unbounded(), unbounded());
    (Channel { incoming, outgoing: Some(outgoing), current: String::new() }, arrivals, departures)
}

/// Returns a message of at most `limit` bytes. A longer one is not copied, as far as can be told before.
pub(super) fn within(message: &JsString, limit: usize) -> Result<String, ReceiveError> {
    let text = if message.length() as usize > limit { None } else { Some(String::from(message)) };
    text.filter(|text| text.len() <= limit)
        .ok_or_else(|| ReceiveError::TooLong(format!("a message is longer than {limit} bytes")))
}

impl Transport for Channel {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<'_>, ReceiveError>>> {
        match ready!(Pin::new(&mut self.incoming).poll_next(cx)) {
            Some(Ok(frame)) => {
                self.current = frame;
                Poll::Ready(Some(Ok(Frame::Text(&self.current))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => Poll::Ready(None),
        }
    }

    fn poll_send(&mut self, _: &mut Context<'_>, frames: &mut Outgoing) -> Poll<io::Result<()>> {
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        let outgoing = self.outgoing.as_ref().ok_or_else(gone)?;
        while let Some(frame) = frames.pop_frame() {
            let message = Message::Frame(frame.text().to_owned());
            outgoing.unbounded_send(message).map_err(|_| gone())?;
        }
        frames.clear();
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>, closing: Closing<'_>) -> Poll<io::Result<()>> {
        if let Some(outgoing) = self.outgoing.take() {
            let last = Message::Close(closing.reason().map(str::to_owned));
            // If this fails, the other side has closed.
            let _unwanted = outgoing.unbounded_send(last);
        }
        Poll::Ready(Ok(()))
    }
}

crate::opaque::opaque!(Channel);
