//! Answers to come of our calls.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_channel::oneshot;

use super::broken::OnBroken;
use super::hook::{ConnectionHook, Ticket, UNSENT};
use super::inbound::{Delivered, InboundRef, settle};
use super::response::{Outcome, Reply};
use crate::error::Error;
use crate::message::{Id, Payload};
use crate::runtime::BoxFuture;

/// The future of an answer. Dropping it tells the peer that the answer is no longer waited for, if the peer's language
/// has a word for that.
pub(crate) struct PendingAnswer {
    connection: Arc<dyn ConnectionHook>,
    /// The id of the call; unknown for one that waits for room.
    id: Id,
    state: State,
}

enum State {
    Waiting(oneshot::Receiver<Delivered>),
    /// The call had to wait for room.
    InTurn(Box<(Arc<Ticket>, oneshot::Receiver<Delivered>)>),
    /// Answered, with promises or requests in the answer.
    Settling(Box<Settling>),
    /// Dropping this does nothing.
    Done,
}

/// The wait of an answer for its requests and promises. It ends with the session: nothing else may end a request in it.
struct Settling {
    settled: BoxFuture<Outcome>,
    ended: oneshot::Receiver<Error>,
    /// Sends the cause into `ended`.
    _watch: OnBroken,
}

impl Settling {
    fn new(connection: &dyn ConnectionHook, answer: Payload<InboundRef>) -> Box<Self> {
        let limits = connection.unfolding();
        let (end, ended) = oneshot::channel();
        let watch = OnBroken::watching(|error| {
            // The waiter may be gone by now.
            let _gone = end.send(error);
        });
        connection.on_closed(watch.slot());
        let settled = Box::pin(async move { settle(answer, limits).await.map(Reply::Wire) });
        Box::new(Self { settled, ended, _watch: watch })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        if let Poll::Ready(outcome) = self.settled.as_mut().poll(cx) {
            return Poll::Ready(outcome);
        }
        match Pin::new(&mut self.ended).poll(cx) {
            Poll::Ready(Ok(error)) => Poll::Ready(Err(error)),
            // The end is told before its source is dropped.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

impl PendingAnswer {
    pub(crate) fn new(
        connection: Arc<dyn ConnectionHook>,
        id: Id,
        answer: oneshot::Receiver<Delivered>,
    ) -> Self {
        Self { connection, id, state: State::Waiting(answer) }
    }

    /// The answer of a call that waits for room.
    pub(crate) fn waiting(
        connection: Arc<dyn ConnectionHook>,
        ticket: Arc<Ticket>,
        answer: oneshot::Receiver<Delivered>,
    ) -> Self {
        Self { connection, id: UNSENT, state: State::InTurn(Box::new((ticket, answer))) }
    }

    /// Gives the call up. Returns `true` if it still waited for room, and so was not sent.
    pub(crate) fn give_up(&mut self) -> bool {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Waiting(_) => {
                self.connection.drop_call(self.id);
                false
            }
            State::InTurn(waiting) => self.connection.withdraw(&waiting.0),
            State::Settling(_) | State::Done => false,
        }
    }

    /// Gives up the answer and lets the call run to its end.
    pub(crate) fn detach(&mut self) {
        self.state = State::Done;
    }
}

impl Future for PendingAnswer {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        loop {
            let arrived = match &mut self.state {
                State::Waiting(answer) => ready!(Pin::new(answer).poll(cx)),
                State::InTurn(waiting) => ready!(Pin::new(&mut waiting.1).poll(cx)),
                State::Settling(settled) => {
                    let outcome = ready!(settled.poll(cx));
                    self.state = State::Done;
                    return Poll::Ready(outcome);
                }
                State::Done => Err(oneshot::Canceled),
            };
            let outcome = match arrived {
                Ok(Ok(Ok(body))) => Ok(Reply::Wire(body)),
                Ok(Ok(Err(answer))) => {
                    self.state = State::Settling(Settling::new(&*self.connection, answer));
                    continue;
                }
                Ok(Err(error)) => Err(error),
                Err(oneshot::Canceled) => Err(self.connection.closed_error()),
            };
            self.state = State::Done;
            return Poll::Ready(outcome);
        }
    }
}

impl Drop for PendingAnswer {
    fn drop(&mut self) {
        if !matches!(self.state, State::Done) {
            self.give_up();
        }
    }
}
