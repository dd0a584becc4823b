//! The task that moves the chunks of a stream into a pipe of a peer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::chunk::{Acknowledge, Chunk, Item, Later, Source};
use super::ends::ReadEnd;
use super::outflow::Outflow;
use crate::cap::Cap;
use crate::cap::request::Args;
use crate::error::Error;

/// Moves the chunks of a stream to a write end. It ends with the stream.
pub(crate) struct Pump {
    source: Arc<ReadEnd>,
    out: Outflow,
    state: State,
}

enum State {
    Moving,
    /// The next chunk has promises in it.
    Waiting(Later, Item),
    /// The end is on its way.
    Closing,
    /// The stream has failed. Its error follows when all before it has been taken.
    Failing(Error),
}

impl Pump {
    pub(crate) fn new(source: Arc<ReadEnd>, target: Cap) -> Self {
        Self { source, out: Outflow::new(target), state: State::Moving }
    }

    /// Moves one chunk. Ready with `true` at the end.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        let (args, mut item) = match std::mem::replace(&mut self.state, State::Moving) {
            State::Closing => {
                self.state = State::Closing;
                return self.out.poll_answers(cx).map_ok(|()| true);
            }
            State::Failing(error) => {
                // This stream has its error already.
                let _sent = self.out.flush();
                let answered = self.out.poll_answers(cx);
                if answered.is_pending() {
                    self.state = State::Failing(error);
                    return Poll::Pending;
                }
                self.out.abort(&error);
                return Poll::Ready(Err(error));
            }
            State::Waiting(mut later, item) => match later.as_mut().poll(cx) {
                Poll::Ready(Ok(args)) => (Args::Wire(args), item),
                Poll::Ready(Err(error)) => return self.fail(error),
                Poll::Pending => {
                    self.state = State::Waiting(later, item);
                    return Poll::Pending;
                }
            },
            State::Moving => {
                ready!(self.out.poll_ready(cx))?;
                let next = self.source.source.poll_next(cx);
                if next.is_pending() {
                    match self.out.flush() {
                        // The answer is to wake this as well.
                        Ok(true) => return Poll::Ready(Ok(false)),
                        Ok(false) => {}
                        Err(error) => return self.fail(error),
                    }
                }
                let Some(item) = ready!(next) else { return self.close(None) };
                let mut item = match item {
                    Ok(item) => item,
                    Err(error) => {
                        self.state = State::Failing(error);
                        return Poll::Ready(Ok(false));
                    }
                };
                match std::mem::replace(&mut item.chunk, Chunk::Close) {
                    Chunk::Args(args) => (args, item),
                    Chunk::Later(later) => {
                        if let Err(error) = self.out.flush() {
                            return self.fail(error);
                        }
                        self.state = State::Waiting(later, item);
                        return Poll::Ready(Ok(false));
                    }
                    Chunk::Close => return self.close(item.take_acknowledge()),
                }
            }
        };
        match self.out.write_item(args, &mut item) {
            Ok(()) => Poll::Ready(Ok(false)),
            Err(error) => {
                item.refuse(error.clone());
                self.fail(error)
            }
        }
    }

    /// Ends the stream by an error of this side. The reader gets it after what has been sent.
    fn fail(&mut self, error: Error) -> Poll<Result<bool, Error>> {
        self.source.source.cancel(&error);
        self.state = State::Failing(error);
        Poll::Ready(Ok(false))
    }

    /// Passes the end of the stream on.
    fn close(&mut self, acknowledge: Option<Acknowledge>) -> Poll<Result<bool, Error>> {
        if let Err(error) = self.out.close(acknowledge) {
            return self.fail(error);
        }
        self.state = State::Closing;
        Poll::Ready(Ok(false))
    }

    /// Ends both sides by an error.
    fn end(&mut self, error: &Error) {
        self.source.source.cancel(error);
        self.out.fail(error);
    }
}

impl Future for Pump {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            match ready!(this.poll_step(cx)) {
                Ok(false) if this.out.ends_turn() => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Ok(false) => {}
                Ok(true) => return Poll::Ready(()),
                Err(error) => {
                    this.end(&error);
                    return Poll::Ready(());
                }
            }
        }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        // It is dropped before its end only with the connection. After an end this does nothing.
        if let Some(import) = self.out.target().import() {
            let closed = import.connection().closed_error();
            self.end(&closed);
        }
    }
}
