//! Answers to come: of our calls, and of the peer's promises.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_channel::oneshot;

use super::Link;
use super::pool::ENTRY;
use super::staged::{Staged, settle};
use super::waiting::{Ticket, UNSENT};
use crate::cap::OnBroken;
use crate::cap::response::{Outcome, Reply};
use crate::error::Error;
use crate::limits::Unfolding;
use crate::op::{Id, Payload};
use crate::runtime::BoxFuture;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// An answer as it arrives: promises may still stand in it.
pub(super) type Arrived = Result<Payload<Staged>, Error>;

/// What a promise of the peer's has turned out to be. It counts from the moment at which it comes, though whoever waits for
/// it may not take it for long: a call that is parked does not.
pub(super) struct Kept {
    pub(super) outcome: Arrived,
    /// What it comes to with what it asks for, once it is taken.
    pub(super) bytes: usize,
    pub(super) untaken: Option<Untaken>,
}

/// Bytes of an outcome that nobody has taken, among all of its link.
pub(super) struct Untaken {
    all: Arc<AtomicUsize>,
    bytes: usize,
}

impl Kept {
    pub(super) fn failed(error: Error) -> Self {
        Self { outcome: Err(error), bytes: 0, untaken: None }
    }

    pub(super) fn value(value: Payload<Staged>, all: &Arc<AtomicUsize>, limits: Unfolding) -> Self {
        let value = Staged::compact(value);
        let (bytes, held) = (Staged::bytes(&value), value.text.buffer().len());
        let untaken = Untaken::new(all, bytes + held - value.text.as_str().len() + ENTRY);
        Self { outcome: Ok(Staged::ask(value, limits)), bytes, untaken: Some(untaken) }
    }
}

impl Untaken {
    fn new(all: &Arc<AtomicUsize>, bytes: usize) -> Self {
        all.fetch_add(bytes, Ordering::Relaxed);
        Self { all: all.clone(), bytes }
    }
}

impl Drop for Untaken {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A promise of the peer's, whose outcome comes by itself. Dropping it before gives it back.
pub(crate) struct Promised {
    link: Arc<Link>,
    id: Id,
    /// Until it is there.
    outcome: Option<oneshot::Receiver<Kept>>,
}

impl Promised {
    pub(super) fn new(link: Arc<Link>, id: Id, outcome: oneshot::Receiver<Kept>) -> Self {
        Self { link, id, outcome: Some(outcome) }
    }

    /// Waits for the outcome, once.
    pub(super) async fn outcome(&mut self) -> Result<Kept, oneshot::Canceled> {
        let Some(outcome) = &mut self.outcome else { return Err(oneshot::Canceled) };
        let kept = outcome.await;
        self.outcome = None;
        kept
    }
}

impl Drop for Promised {
    fn drop(&mut self) {
        // Nobody is to be woken any more where it is given back, which is under a lock.
        if self.outcome.take().is_some() {
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
    /// Answered, with promises or requests in the answer.
    Settling(Box<Settling>),
    /// Nothing is to be done when this is dropped.
    Done,
}

/// What an answer still waits for, which ends with the session: a request in it may be one that nothing else ends.
struct Settling {
    settled: BoxFuture<Outcome>,
    ended: oneshot::Receiver<Error>,
    /// Sends the cause into `ended`.
    _watch: OnBroken,
}

impl Settling {
    fn new(link: &Link, answer: Payload<Staged>) -> Box<Self> {
        let limits = link.limits.unfolding();
        let (end, ended) = oneshot::channel();
        let watch = OnBroken::watching(|error| {
            // Whoever waited may be gone by now.
            let _gone = end.send(error);
        });
        link.on_closed(watch.slot());
        let settled = Box::pin(async move { settle(answer, limits).await.map(Reply::wire) });
        Box::new(Self { settled, ended, _watch: watch })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        if let Poll::Ready(outcome) = self.settled.as_mut().poll(cx) {
            return Poll::Ready(outcome);
        }
        match Pin::new(&mut self.ended).poll(cx) {
            Poll::Ready(Ok(error)) => Poll::Ready(Err(error)),
            // The end is told before what tells it is dropped.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
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
                                self.state = State::Settling(Settling::new(&self.link, answer));
                                continue;
                            }
                        }
                    }
                    Poll::Ready(Ok(Err(error))) => Err(error),
                    Poll::Ready(Err(_)) => Err(self.link.closed_error()),
                },
                (None, State::Settling(settled)) => match settled.poll(cx) {
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
