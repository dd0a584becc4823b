//! A transport whose other end is a task that owns what JavaScript gave.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_channel::mpsc::{self, UnboundedReceiver, UnboundedSender, unbounded};
use futures_channel::oneshot;
use futures_core::Stream;
use js_sys::JsString;

use crate::transport::{Closing, Frame, Outgoing, ReceiveError, Transport};

/// The bytes of frames that one batch has, but for the last of its frames.
const BATCH: usize = 256 << 10;

/// Frames between a connection and a [port](super::port) or WebSocket.
pub struct Channel {
    incoming: UnboundedReceiver<Result<String, ReceiveError>>,
    /// `None` once it is closed.
    outgoing: Option<Outgoings>,
    current: String,
}

/// The end of a channel that frames are put in. It holds one batch, so a connection waits for a task that does not take it.
struct Outgoings {
    batches: mpsc::Sender<Vec<String>>,
    end: oneshot::Sender<Option<String>>,
}

/// The end of a channel for the task that JavaScript's values belong to.
pub(super) struct Departures {
    /// The frames, some at a time.
    pub(super) batches: mpsc::Receiver<Vec<String>>,
    /// Says that no more batches come, with the reason of a failure. It is there when they end.
    pub(super) end: oneshot::Receiver<Option<String>>,
}

/// The end of a channel that is handed what arrives. It takes everything, since no browser can be told to hold messages back.
pub(super) type Arrivals = UnboundedSender<Result<String, ReceiveError>>;

/// Returns a transport, and the ends that its task has.
pub(super) fn channel() -> (Channel, Arrivals, Departures) {
    let (arrivals, incoming) = unbounded();
    let (sender, batches) = mpsc::channel(0);
    let (ends, end) = oneshot::channel();
    let outgoing = Some(Outgoings { batches: sender, end: ends });
    (Channel { incoming, outgoing, current: String::new() }, arrivals, Departures { batches, end })
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

    fn poll_send(&mut self, cx: &mut Context<'_>, frames: &mut Outgoing) -> Poll<io::Result<()>> {
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        let outgoing = self.outgoing.as_mut().ok_or_else(gone)?;
        while !frames.is_empty() {
            ready!(outgoing.batches.poll_ready(cx)).map_err(|_| gone())?;
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while bytes < BATCH {
                let Some(frame) = frames.pop_frame() else { break };
                bytes += frame.len();
                batch.push(frame.text().to_owned());
            }
            if batch.is_empty() {
                break;
            }
            outgoing.batches.start_send(batch).map_err(|_| gone())?;
        }
        frames.clear();
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>, closing: Closing<'_>) -> Poll<io::Result<()>> {
        if let Some(outgoing) = self.outgoing.take() {
            // If this fails, the other side has closed.
            let _unwanted = outgoing.end.send(closing.reason().map(str::to_owned));
        }
        Poll::Ready(Ok(()))
    }
}

crate::opaque::opaque!(Channel);
