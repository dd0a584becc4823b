//! Answers to come: of our calls, and of the peer's promises.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_channel::oneshot;

use super::Link;
use super::staged::{Staged, settle};
use super::waiting::{Ticket, UNSENT};
use crate::cap::BoxFuture;
use crate::cap::response::{Outcome, Reply};
use crate::error::Error;
use crate::op::{Id, Payload};

/// An answer as it arrives: promises may still stand in it.
pub(super) type Arrived = Result<Payload<Staged>, Error>;

/// A promise of the peer's, whose outcome comes by itself. Dropping it before gives it back.
pub(crate) struct Promised {
    link: Arc<Link>,
    id: Id,
    /// Until it is there.
    outcome: Option<oneshot::Receiver<Arrived>>,
}

impl Promised {
    pub(super) fn new(link: Arc<Link>, id: Id, outcome: oneshot::Receiver<Arrived>) -> Self {
        Self { link, id, outcome: Some(outcome) }
    }

    /// Waits for the outcome, once.
    pub(super) async fn outcome(&mut self) -> Result<Arrived, oneshot::Canceled> {
        let Some(outcome) = &mut self.outcome else { return Err(oneshot::Canceled) };
        let arrived = outcome.await;
        self.outcome = None;
        arrived
    }
}

impl Drop for Promised {
    fn drop(&mut self) {
        if self.outcome.is_some() {
            self.link.give_back(self.id);
        }
    }
}

/// The future of an answer. Dropping it tells the peer that nobody waits any more, if its language has a word for that.
pub(crate) struct PendingAnswer {
    link: Arc<Link>,
    /// Of the call; not known of one that waits for room.
    id: Id,
    state: State,
}

enum State {
    Waiting(oneshot::Receiver<Arrived>),
    /// The call had to wait for room.
    InTurn(Box<(Arc<Ticket>, oneshot::Receiver<Arrived>)>),
    /// Answered, with promises in the answer.
    Settling(BoxFuture<Outcome>),
    /// Nothing is to be done when this is dropped.
    Done,
}

impl PendingAnswer {
    pub(super) fn new(link: Arc<Link>, id: Id, answer: oneshot::Receiver<Arrived>) -> Self {
        Self { link, id, state: State::Waiting(answer) }
    }

    /// The answer of a call that waits for room.
    pub(super) fn waiting(link: Arc<Link>, ticket: Arc<Ticket>, answer: oneshot::Receiver<Arrived>) -> Self {
        Self { link, id: UNSENT, state: State::InTurn(Box::new((ticket, answer))) }
    }

    /// Gives the call up. Returns `true` if it still waited for room, and so was not sent.
    pub(crate) fn give_up(&mut self) -> bool {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Waiting(_) => {
                self.link.drop_call(self.id);
                false
            }
            State::InTurn(waiting) => self.link.withdraw(&waiting.0),
            State::Settling(_) | State::Done => false,
        }
    }

    /// The answer will come, and nobody will take it; but somebody wants the call to run.
    pub(crate) fn detach(&mut self) {
        self.state = State::Done;
    }
}

impl Future for PendingAnswer {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        loop {
            let arrived = match &mut self.state {
                State::Waiting(answer) => Some(Pin::new(answer).poll(cx)),
                State::InTurn(waiting) => Some(Pin::new(&mut waiting.1).poll(cx)),
                State::Settling(_) | State::Done => None,
            };
            let outcome = match (arrived, &mut self.state) {
                (Some(arrived), _) => match arrived {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(Ok(answer))) => {
                        match Staged::all_there(answer, self.link.limits.unfolding()) {
                            Ok(body) => Ok(Reply::wire(body)),
                            Err(answer) => {
                                let limits = self.link.limits.unfolding();
                                let settled = async move { settle(answer, limits).await.map(Reply::wire) };
                                self.state = State::Settling(Box::pin(settled));
                                continue;
                            }
                        }
                    }
                    Poll::Ready(Ok(Err(error))) => Err(error),
                    Poll::Ready(Err(_)) => Err(self.link.closed_error()),
                },
                (None, State::Settling(settled)) => match settled.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(outcome) => outcome,
                },
                (None, _) => Err(self.link.closed_error()),
            };
            self.state = State::Done;
            return Poll::Ready(outcome);
        }
    }
}

impl Drop for PendingAnswer {
    fn drop(&mut self) {
        self.give_up();
    }
}
