//! Small transports made of other transports and of channels.

use std::io;
use std::task::{Context, Poll, ready};

#[cfg(feature = "tokio")]
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Closing, Frame, Outgoing, Properties, ReceiveError, Transport};

/// Frames over a pair of channels: see [`channels`] and [`pair`].
#[cfg(feature = "tokio")]
#[derive(Debug)]
pub struct Channels {
    /// `None` once it is closed.
    outgoing: Option<UnboundedSender<String>>,
    incoming: UnboundedReceiver<String>,
    current: String,
}

/// Carries frames over a pair of channels, one for each direction, for programs that move messages by other means.
///
/// Closing the connection closes both channels. Dropping the other ends closes the connection.
#[cfg(feature = "tokio")]
pub fn channels(outgoing: UnboundedSender<String>, incoming: UnboundedReceiver<String>) -> Channels {
    Channels { outgoing: Some(outgoing), incoming, current: String::new() }
}

/// Returns the two ends of a connection inside one program.
#[cfg(feature = "tokio")]
pub fn pair() -> (Channels, Channels) {
    let ((there, from_here), (back, from_there)) = (unbounded_channel(), unbounded_channel());
    (channels(there, from_there), channels(back, from_here))
}

#[cfg(feature = "tokio")]
impl Transport for Channels {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<'_>, ReceiveError>>> {
        match ready!(self.incoming.poll_recv(cx)) {
            Some(frame) => {
                self.current = frame;
                Poll::Ready(Some(Ok(Frame::Text(&self.current))))
            }
            None => Poll::Ready(None),
        }
    }

    fn poll_send(&mut self, _: &mut Context<'_>, frames: &mut Outgoing) -> Poll<io::Result<()>> {
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        let outgoing = self.outgoing.as_ref().ok_or_else(gone)?;
        while let Some(frame) = frames.pop_frame() {
            outgoing.send(frame.text().to_owned()).map_err(|_| gone())?;
        }
        frames.clear();
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: Closing<'_>) -> Poll<io::Result<()>> {
        self.outgoing = None;
        self.incoming.close();
        Poll::Ready(Ok(()))
    }
}

/// Frames in another encoding: see [`translated`].
pub struct Translated<T, W, R> {
    transport: T,
    write: W,
    read: R,
    /// Translated frames that are not sent yet.
    pending: Outgoing,
    current: String,
}

/// Carries frames over `transport` in an encoding of your own: each passes through `write` on the way out, and through
/// `read` on the way in. This is the place for another serialization, for compression, for encryption.
///
/// A frame that `read` refuses ends the connection, and the peer is told the reason.
///
/// ```
/// use capnode::{Node, transport};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), capnode::Error> {
/// // Frames that are written backwards.
/// let backwards = |frame: &str| frame.chars().rev().collect::<String>();
/// let (one, other) = transport::pair();
/// let one = transport::translated(one, backwards, move |frame| Ok(backwards(frame)));
/// let other = transport::translated(other, backwards, move |frame| Ok(backwards(frame)));
///
/// let _served = Node::new("any value").serve(one).await?;
/// let peer: capnode::Cap = capnode::connect_over(other).await?;
/// assert_eq!(peer.read::<String>().await?, "any value");
/// # Ok(())
/// # }
/// ```
pub fn translated<T, W, R>(transport: T, write: W, read: R) -> Translated<T, W, R>
where
    T: Transport,
    W: Fn(&str) -> String + Send + 'static,
    R: Fn(&str) -> io::Result<String> + Send + 'static,
{
    Translated { transport, write, read, pending: Outgoing::default(), current: String::new() }
}

impl<T, W, R> Transport for Translated<T, W, R>
where
    T: Transport,
    W: Fn(&str) -> String + Send + 'static,
    R: Fn(&str) -> io::Result<String> + Send + 'static,
{
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<'_>, ReceiveError>>> {
        let Some(frame) = ready!(self.transport.poll_receive(cx)?) else {
            return Poll::Ready(None);
        };
        self.current = (self.read)(frame.text()).map_err(|error| ReceiveError::Invalid(error.to_string()))?;
        Poll::Ready(Some(Ok(Frame::Text(&self.current))))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, frames: &mut Outgoing) -> Poll<io::Result<()>> {
        // Unsent frames stay where they are counted.
        loop {
            ready!(self.transport.poll_send(cx, &mut self.pending))?;
            let Some(frame) = frames.pop_frame() else { break };
            let written = (self.write)(frame.text());
            self.pending.push(|out| out.push_str(&written));
        }
        frames.clear();
        Poll::Ready(Ok(()))
    }

    fn properties(&self) -> Properties {
        // What is translated is text.
        Properties { bytes: false, ..self.transport.properties() }
    }

    fn ping(&mut self) -> bool {
        self.transport.ping()
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, closing: Closing<'_>) -> Poll<io::Result<()>> {
        self.transport.poll_close(cx, closing)
    }
}

crate::opaque::opaque!([T, W, R] Translated<T, W, R>);
