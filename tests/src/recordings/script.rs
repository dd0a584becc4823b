//! A transport whose other end is a script, and a clock that does not wait.

use std::future::Future;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use capnode::transport::{Closing, Frame, Outgoing, ReceiveError, Transport};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Longer than anything takes. The clock only moves when there is nothing left to do, so that this is not waited for.
pub const LONG: Duration = Duration::from_secs(3600);

/// An action of a node on its transport.
#[derive(Debug)]
pub enum Sent {
    Frame(String),
    /// It closes the transport, perhaps saying why.
    Closed(Option<String>),
}

/// Returns the next action of a node.
///
/// # Errors
///
/// If none comes.
pub async fn next(from_node: &mut UnboundedReceiver<Sent>) -> Result<Sent, String> {
    match tokio::time::timeout(LONG, from_node.recv()).await {
        Ok(Some(sent)) => Ok(sent),
        Ok(None) => Err("the node has let go of its transport".to_owned()),
        Err(_) => Err("the node sends nothing".to_owned()),
    }
}

/// A transport whose other end is a script.
pub struct Script {
    incoming: UnboundedReceiver<String>,
    outgoing: UnboundedSender<Sent>,
    current: String,
    closed: bool,
}

impl Script {
    pub fn new() -> (Self, UnboundedSender<String>, UnboundedReceiver<Sent>) {
        let (to_node, incoming) = unbounded_channel();
        let (outgoing, from_node) = unbounded_channel();
        (Self { incoming, outgoing, current: String::new(), closed: false }, to_node, from_node)
    }

    fn send(&self, sent: Sent) -> io::Result<()> {
        self.outgoing.send(sent).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Transport for Script {
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
        while let Some(Frame::Text(frame)) = frames.pop_frame() {
            self.send(Sent::Frame(frame.to_owned()))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>, closing: Closing<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.closed, true) {
            self.send(Sent::Closed(closing.reason().map(str::to_owned)))?;
        }
        Poll::Ready(Ok(()))
    }
}

/// Runs with a clock that jumps whenever nothing is left to do but wait.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(future)
}
