//! Answers to come of our calls.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use futures_channel::oneshot;

use super::broken::OnBroken;
use super::hook::ConnectionHook;
use super::inbound::{Delivered, InboundRef, settle};
use super::meter::Counted;
use super::payload::unfolded_len;
use super::response::{Outcome, Reply, result_len};
use crate::error::Error;
use crate::message::{Id, Payload};
use crate::runtime::BoxFuture;
use crate::sync::atomic::{AtomicI64, Ordering};
use crate::sync::{Mutex, lock};

/// The place of a call's answer, which its caller and the connection share.
pub(crate) struct AnswerSlot {
    /// The id of the call; unknown while it waits for room. Set under the lock of the link.
    id: AtomicI64,
    /// The number of the call among those that have had to wait for room; 0 if it has not.
    number: u64,
    content: Mutex<Content>,
    /// The counter of the call, if it is counted.
    counted: Option<Counted>,
}

enum Content {
    /// No answer yet, with the waker of a caller that waits.
    Awaited(Option<Waker>),
    Arrived(Delivered),
    /// The answer has been taken, is not wanted, or does not come.
    Nothing,
}

/// The side of an answer's place that fills it. Dropping it says that no answer comes.
pub(crate) struct Answerer(Option<Arc<AnswerSlot>>);

/// The future of an answer. Dropping it tells the peer that the answer is no longer waited for, if the peer's language
/// has a word for that.
pub(crate) struct PendingAnswer {
    connection: Arc<dyn ConnectionHook>,
    slot: Arc<AnswerSlot>,
    state: State,
}

enum State {
    /// Not sent yet, since calls are gathered; `true` once the caller has waited for a turn.
    Gathering(bool),
    /// Sent, with the waker of its caller.
    Begun,
    Waiting,
    /// Answered, with promises or requests in the answer.
    Settling(Box<Settling>),
    /// Dropping this does nothing.
    Done,
}

impl AnswerSlot {
    pub(crate) fn id(&self) -> Id {
        self.id.load(Ordering::Relaxed)
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Ends the wait for the answer. Returns the waker of the caller. A content that is not wanted is dropped, when the
    /// lock is free.
    #[inline]
    fn end(&self, content: Content) -> Option<Waker> {
        let mut place = lock(&self.content);
        let Content::Awaited(waker) = &mut *place else { return None };
        let waker = waker.take();
        *place = content;
        waker
    }

    /// Takes the answer; `None` in place of one that does not come.
    fn poll(&self, cx: &Context<'_>) -> Poll<Option<Delivered>> {
        // Wakers are user code, so the former one is dropped after the guard.
        let mut waker = None;
        loop {
            let mut place = lock(&self.content);
            match &mut *place {
                Content::Awaited(waiting) if waker.is_some() => {
                    std::mem::swap(waiting, &mut waker);
                    return Poll::Pending;
                }
                Content::Awaited(_) => {}
                content => {
                    return Poll::Ready(match std::mem::replace(content, Content::Nothing) {
                        Content::Arrived(answer) => Some(answer),
                        Content::Awaited(_) | Content::Nothing => None,
                    });
                }
            }
            drop(place);
            waker = Some(cx.waker().clone());
        }
    }
}

impl Answerer {
    /// Sets the id of the call, which has been sent.
    pub(crate) fn set_id(&self, id: Id) {
        if let Some(slot) = &self.0 {
            slot.id.store(id, Ordering::Relaxed);
        }
    }

    /// Answers the call. If the caller has gone, the answer is dropped. No lock may be held.
    pub(crate) fn answer(mut self, answer: Delivered) {
        let Some(slot) = self.0.take() else { return };
        if let Some(counted) = &slot.counted {
            match &answer {
                Ok(Ok(body)) => counted.outcome(Ok(unfolded_len(body))),
                // Its outcome depends on what is in it.
                Ok(Err(_)) => {}
                Err(error) => counted.outcome(Err(error)),
            }
        }
        if let Some(waker) = slot.end(Content::Arrived(answer)) {
            waker.wake();
        }
    }
}

impl Drop for Answerer {
    fn drop(&mut self) {
        if let Some(waker) = self.0.take().and_then(|slot| slot.end(Content::Nothing)) {
            waker.wake();
        }
    }
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
    /// Returns the future of the answer of a call, and what answers it. `number` is that among the calls that wait for
    /// room, or 0. A caller that waits has a `waker`. A call that is `counted` is so when it is answered.
    pub(crate) fn new(
        connection: Arc<dyn ConnectionHook>,
        id: Id,
        number: u64,
        waker: Option<Waker>,
        counted: Option<Counted>,
    ) -> (Answerer, Self) {
        let state = if waker.is_some() { State::Begun } else { State::Waiting };
        let content = Mutex::new(Content::Awaited(waker));
        let slot = Arc::new(AnswerSlot { id: AtomicI64::new(id), number, content, counted });
        (Answerer(Some(slot.clone())), Self { connection, slot, state })
    }

    /// Returns `true` if the caller waits already.
    pub(super) fn has_begun(&self) -> bool {
        matches!(self.state, State::Begun)
    }

    /// Returns the future of an answer of a connection that gathers calls, until a caller that waits has had a turn to make
    /// others.
    pub(crate) fn gathering(mut self) -> Self {
        self.state = State::Gathering(false);
        self
    }

    /// Gives the call up. Returns `true` if it still waited for room, and so was not sent.
    pub(crate) fn give_up(&mut self) -> bool {
        let waits = matches!(self.state, State::Begun | State::Waiting | State::Gathering(_));
        self.detach();
        waits && self.connection.give_up(&self.slot)
    }

    /// Gives up the answer and lets the call run to its end.
    pub(crate) fn detach(&mut self) {
        self.state = State::Done;
        drop(self.slot.end(Content::Nothing));
    }
}

impl Future for PendingAnswer {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        loop {
            let arrived = match &mut self.state {
                State::Gathering(false) => {
                    self.state = State::Gathering(true);
                    // All that is ready to make calls runs before.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                State::Gathering(true) => {
                    self.state = State::Waiting;
                    self.connection.note_awaited();
                    continue;
                }
                State::Begun | State::Waiting => ready!(self.slot.poll(cx)),
                State::Settling(settled) => {
                    let outcome = ready!(settled.poll(cx));
                    if let Some(counted) = &self.slot.counted {
                        counted.outcome(result_len(&outcome));
                    }
                    self.state = State::Done;
                    return Poll::Ready(outcome);
                }
                State::Done => None,
            };
            let outcome = match arrived {
                Some(Ok(Ok(body))) => Ok(Reply::Wire(body)),
                Some(Ok(Err(answer))) => {
                    self.state = State::Settling(Settling::new(&*self.connection, answer));
                    continue;
                }
                Some(Err(error)) => Err(error),
                None => {
                    let error = self.connection.closed_error();
                    if let Some(counted) = &self.slot.counted {
                        counted.outcome(Err(&error));
                    }
                    Err(error)
                }
            };
            self.state = State::Done;
            return Poll::Ready(outcome);
        }
    }
}

impl Drop for PendingAnswer {
    fn drop(&mut self) {
        if !matches!(self.state, State::Done) {
            let _unsent = self.give_up();
        }
    }
}
