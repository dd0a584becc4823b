//! HTTP batches: the frames of a connection are the lines of one body each way.

use std::fmt;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_channel::{mpsc, oneshot};
use futures_util::Stream as _;
use hyper::body::{Body, Frame as BodyFrame, SizeHint};

use super::{Closing, Frame, Outgoing, Properties, ReceiveError, Transport};

/// Bytes of a body that are handed over at once.
const CHUNK: usize = 64 << 10;

/// Frames over a body that is received and a body that is sent. Nothing is taken out of the former before it is whole,
/// so no call runs of a body that was cut off or too long.
pub(crate) struct Batch<B> {
    input: Input<B>,
    /// The most bytes of the body that is received.
    limit: usize,
    /// The body that is sent, with a line feed behind each frame until it is whole.
    output: Output,
}

enum Input<B> {
    /// The body has not begun.
    Awaited(oneshot::Receiver<B>),
    Arriving(B, Vec<u8>),
    /// The body is whole; the place of the next line.
    Whole(String, usize),
    Over,
}

enum Output {
    Collected(Vec<u8>, oneshot::Sender<Sent>),
    /// The body is whole; what has not been handed over.
    Whole(Bytes, mpsc::Sender<Bytes>),
    Over,
}

/// A body that is sent. Its bytes are held by the transport, which counts them, until they are wanted.
pub(crate) struct Sent {
    left: usize,
    chunks: mpsc::Receiver<Bytes>,
}

impl<B> Batch<B> {
    /// Returns the transport, and the receiver of the body that is sent. The received body may have `limit` bytes.
    pub(crate) fn new(input: oneshot::Receiver<B>, limit: usize) -> (Self, oneshot::Receiver<Sent>) {
        let (sent, output) = oneshot::channel();
        (Self { input: Input::Awaited(input), limit, output: Output::Collected(Vec::new(), sent) }, output)
    }
}

impl<B> Input<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: fmt::Display,
{
    /// Reads until the body is whole, or failed.
    fn poll_whole(&mut self, limit: usize, cx: &mut Context<'_>) -> Poll<Result<(), ReceiveError>> {
        loop {
            match self {
                Input::Awaited(body) => match ready!(Pin::new(body).poll(cx)) {
                    Ok(body) => *self = Input::Arriving(body, Vec::new()),
                    // Whoever was to bring it has ended the session.
                    Err(oneshot::Canceled) => *self = Input::Over,
                },
                Input::Arriving(body, text) => match ready!(Pin::new(body).poll_frame(cx)) {
                    Some(Ok(part)) => {
                        let Ok(data) = part.into_data() else { continue };
                        if text.len() + data.len() > limit {
                            let message = format!("the body of the HTTP batch is longer than {limit} bytes");
                            return Poll::Ready(Err(ReceiveError::TooLong(message)));
                        }
                        text.extend_from_slice(&data);
                    }
                    Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error.to_string()).into())),
                    None if text.is_empty() => *self = Input::Over,
                    None => {
                        let text = String::from_utf8(std::mem::take(text));
                        let text = text.map_err(|error| ReceiveError::Invalid(error.to_string()))?;
                        *self = Input::Whole(text, 0);
                    }
                },
                Input::Whole(..) | Input::Over => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<B> Transport for Batch<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: fmt::Display,
{
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<'_>, ReceiveError>>> {
        if let Err(error) = ready!(self.input.poll_whole(self.limit, cx)) {
            self.input = Input::Over;
            return Poll::Ready(Some(Err(error)));
        }
        if matches!(&self.input, Input::Whole(text, at) if *at > text.len()) {
            self.input = Input::Over;
        }
        let Input::Whole(text, at) = &mut self.input else { return Poll::Ready(None) };
        let start = *at;
        let end = memchr::memchr(b'\n', &text.as_bytes()[start..]).map_or(text.len(), |end| start + end);
        // An empty line is a frame too, and one that no language has.
        *at = end + 1;
        Poll::Ready(Some(Ok(Frame::Text(&text[start..end]))))
    }

    fn poll_send(&mut self, _: &mut Context<'_>, frames: &mut Outgoing) -> Poll<io::Result<()>> {
        // What comes after the body goes nowhere.
        if let Output::Collected(body, _) = &mut self.output {
            body.extend_from_slice(frames.lines());
        }
        frames.advance(frames.len());
        Poll::Ready(Ok(()))
    }

    fn properties(&self) -> Properties {
        let input = match &self.input {
            Input::Arriving(_, text) => text.capacity(),
            Input::Whole(text, _) => text.capacity(),
            Input::Awaited(_) | Input::Over => 0,
        };
        let output = match &self.output {
            Output::Collected(body, _) => body.capacity(),
            Output::Whole(body, _) => body.len(),
            Output::Over => 0,
        };
        Properties { arriving: input + output, ..Properties::default() }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, _: Closing<'_>) -> Poll<io::Result<()>> {
        self.output = match std::mem::replace(&mut self.output, Output::Over) {
            Output::Collected(mut body, sent) => {
                // No line feed ends a body.
                body.pop();
                let (sender, chunks) = mpsc::channel(0);
                // Nobody may want it any more, which the channel tells as well.
                let _unwanted = sent.send(Sent { left: body.len(), chunks });
                Output::Whole(body.into(), sender)
            }
            output => output,
        };
        while let Output::Whole(body, chunks) = &mut self.output {
            let is_wanted = body.is_empty() || ready!(chunks.poll_ready(cx)).is_ok();
            let chunk = body.split_to(body.len().min(CHUNK));
            if chunk.is_empty() || !is_wanted || chunks.start_send(chunk).is_err() {
                self.output = Output::Over;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Sent {
    /// Returns a body of a few words.
    pub(crate) fn words(words: &'static str) -> Self {
        let (mut sender, chunks) = mpsc::channel(0);
        // There is room for one chunk.
        let _sent = sender.try_send(Bytes::from_static(words.as_bytes()));
        Self { left: words.len(), chunks }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<BodyFrame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let chunk = ready!(Pin::new(&mut self.chunks).poll_next(cx));
        let chunk = chunk.ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
        self.left -= chunk.len();
        Poll::Ready(Some(Ok(BodyFrame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}
