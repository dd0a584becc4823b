//! The response to a request: a future that can be started in place, dropped to cancel, or left to run by itself.

use std::any::{Any, TypeId};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_channel::oneshot;
use pin_project_lite::pin_project;

use super::depth;
use super::interface::Manner;
use super::payload::Body;
use super::pending::PendingAnswer;
use super::queue::Queued;
use super::request::AnswerBytes;
use crate::bounds;
use crate::error::{Error, ErrorKind, Fate, Fault};
use crate::panics::{caught, contained};

/// The result of a request.
#[doc(hidden)]
pub struct Reply(pub(crate) Kind);

pub(crate) enum Kind {
    Wire(Body),
    /// The Rust value itself, for a caller in this program that can take it.
    Typed(Box<dyn TypedReply>),
    /// The result is in the caller's [`Place`].
    Placed,
}

/// A place for the Rust value itself, if a caller in this program waits for it: an `Option` of its type.
pub(crate) type Place<'a> = Option<&'a mut dyn Any>;

/// A result that has not been written.
pub(crate) trait TypedReply: Send {
    fn is(&self, type_id: TypeId) -> bool;
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
    fn encode(&self) -> Result<Body, Error>;
}

impl Reply {
    pub(crate) fn wire(body: Body) -> Self {
        Self(Kind::Wire(body))
    }

    pub(crate) fn into_body(self) -> Result<Body, Error> {
        match self.0 {
            Kind::Wire(body) => Ok(body),
            Kind::Typed(value) => caught("a result", || value.encode())?,
            Kind::Placed => Err(Error::new(
                ErrorKind::Encode,
                "the result was put where nobody looks: this is a mistake of the library",
            )),
        }
    }
}

pub(crate) type Outcome = Result<Reply, Error>;

/// The future of a request's outcome. Dropping it cancels as far as possible.
#[doc(hidden)]
#[must_use]
pub struct Response {
    state: State,
    manner: Manner,
    /// The name of the handler, for the log.
    name: &'static str,
    /// The most bytes of its answer where that is written.
    answer_bytes: AnswerBytes,
}

enum State {
    Ready(Option<Outcome>),
    /// A handler of this program.
    Handler(Pin<Box<dyn Handler>>),
    /// A call sent to a peer.
    Sent(PendingAnswer),
    /// A request that waits in a promise's queue.
    Queued(Queued),
    /// A handler of this program that is a task of its own.
    Moved(oneshot::Receiver<Outcome>),
}

/// A handler that runs as a task of its own, since too many others were running around it when it was started.
struct Moved {
    response: Option<Response>,
    ended: oneshot::Sender<Outcome>,
    no_cancel: bool,
}

impl Future for Moved {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let given_up = this.ended.poll_canceled(cx).is_ready() && !this.no_cancel;
        let polled = match &mut this.response {
            Some(response) if !given_up => Pin::new(response).poll(cx),
            _ => {
                this.response = None;
                return Poll::Ready(());
            }
        };
        polled.map(|outcome| {
            this.response = None;
            let (nobody, _) = oneshot::channel();
            // If its caller is gone, the outcome is not wanted.
            let _unwanted = std::mem::replace(&mut this.ended, nobody).send(outcome);
        })
    }
}

/// A method that runs.
trait Handler: Send {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, place: Place<'_>) -> Poll<Outcome>;
}

pin_project! {
    struct Running<F, R> {
        #[pin]
        method: F,
        reply: Option<R>,
    }
}

impl<F, R> Handler for Running<F, R>
where
    F: Future + Send,
    R: FnOnce(F::Output, Place<'_>) -> Outcome + Send,
{
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, place: Place<'_>) -> Poll<Outcome> {
        let this = self.project();
        let again = || Err(Error::new(ErrorKind::Unsupported, "a handler was polled after its end"));
        this.method.poll(cx).map(|result| this.reply.take().map_or_else(again, |reply| reply(result, place)))
    }
}

impl Response {
    fn new(state: State) -> Self {
        Self { state, manner: Manner::default(), name: "a handler", answer_bytes: AnswerBytes::UNLIMITED }
    }

    pub(crate) fn ready(outcome: Outcome) -> Self {
        Self::new(State::Ready(Some(outcome)))
    }

    pub(crate) fn error(error: Error) -> Self {
        Self::ready(Err(error))
    }

    pub(crate) fn handler(handler: impl Future<Output = Outcome> + Send + 'static) -> Self {
        Self::running(handler, |outcome, _| outcome)
    }

    /// Returns the response of a running method, with the function that makes an answer of its result.
    pub(crate) fn running<F: Future + Send + 'static>(
        method: F,
        reply: impl FnOnce(F::Output, Place<'_>) -> Outcome + Send + 'static,
    ) -> Self {
        Self::new(State::Handler(Box::pin(Running { method, reply: Some(reply) })))
    }

    /// Limits the bytes of the answer where it is written, if there is a limit.
    pub(crate) fn answering_within(mut self, bytes: AnswerBytes) -> Self {
        self.answer_bytes = bytes;
        self
    }

    /// The handler of the method of that name.
    pub(crate) fn of_method(mut self, name: &'static str, manner: Manner) -> Self {
        self.name = name;
        self.manner = manner;
        self
    }

    pub(crate) fn sent(pending: PendingAnswer) -> Self {
        Self::new(State::Sent(pending))
    }

    pub(super) fn promised(queued: Queued) -> Self {
        Self::new(State::Queued(queued))
    }

    /// Starts the response. A handler begins when it is first polled, and is polled here once, in place: most are done
    /// by then.
    pub(crate) fn start(&mut self) {
        if let Some(outcome) = self.poll_now() {
            self.state = State::Ready(Some(outcome));
        }
    }

    /// The outcome, if it is there at once.
    pub(crate) fn poll_now(&mut self) -> Option<Outcome> {
        match self.poll_into(&mut Context::from_waker(Waker::noop()), None) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    }

    /// Lets it run to its end, without a caller that waits.
    pub(crate) fn detach(mut self) -> Result<(), Error> {
        match &mut self.state {
            State::Ready(Some(Err(error))) if error.fate() == Fate::NotSent => Err(error.clone()),
            State::Ready(_) => Ok(()),
            State::Sent(pending) => {
                pending.detach();
                Ok(())
            }
            State::Moved(_) => crate::runtime::spawn(async move { drop(self.await) }),
            State::Handler(_) | State::Queued(_) => {
                // If it becomes a task by that, the task runs to its end without a caller that waits.
                self.manner.no_cancel = true;
                self.start();
                match self.state {
                    State::Ready(Some(Err(ref error))) if error.fate() == Fate::NotSent => Err(error.clone()),
                    State::Ready(_) | State::Moved(_) => Ok(()),
                    _ => crate::runtime::spawn(async move { drop(self.await) }),
                }
            }
        }
    }

    /// Gives it up, as dropping it does. Returns `true` if it was a call that still waited for room, and so was not sent.
    #[cfg(feature = "tokio")]
    pub(crate) fn give_up(mut self) -> bool {
        match &mut self.state {
            State::Sent(pending) => pending.give_up(),
            _ => false,
        }
    }

    /// A response of its own for a handler of this one.
    fn with_handler(&self, handler: Pin<Box<dyn Handler>>) -> Self {
        let Self { name, answer_bytes, .. } = *self;
        Self { state: State::Handler(handler), manner: Manner::default(), name, answer_bytes }
    }

    /// Moves a handler that blocks to a thread where it may.
    fn move_off(&mut self) {
        if !std::mem::take(&mut self.manner.blocking) {
            return;
        }
        let nothing = State::Ready(None);
        if let State::Handler(handler) = std::mem::replace(&mut self.state, nothing) {
            let moved = self.with_handler(handler);
            self.state = Self::handler(crate::runtime::run_blocking(moved)).into_state();
        }
    }

    /// Makes the handler a task of its own.
    fn move_to_task(&mut self) {
        let State::Handler(handler) = std::mem::replace(&mut self.state, State::Ready(None)) else { return };
        let no_cancel = std::mem::take(&mut self.manner).no_cancel;
        let mut response = self.with_handler(handler);
        response.manner.no_cancel = no_cancel;
        let response = Some(response);
        if !depth::can_run_tasks() {
            drop(response);
            let message = "too many calls inside one another, and nobody to run them apart";
            let error =
                Error::new(ErrorKind::Limit, message).with_fate(Fate::NotSent).with_fault(Fault::Here);
            self.state = State::Ready(Some(Err(error)));
            return;
        }
        let (ended, outcome) = oneshot::channel();
        self.state = State::Moved(outcome);
        depth::start_later(Box::pin(Moved { response, ended, no_cancel }));
    }

    fn into_state(mut self) -> State {
        std::mem::replace(&mut self.state, State::Ready(None))
    }

    /// Drops the content of the handler, which runs user code.
    fn end(&mut self) {
        let ended = std::mem::replace(&mut self.state, State::Ready(None));
        if let State::Handler(handler) = ended {
            contained(self.name, || drop(handler));
        }
    }
}

impl Future for Response {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        self.poll_into(cx, None)
    }
}

impl Response {
    /// The outcome; if it comes of a handler that runs here, its result may be put into `place`.
    pub(crate) fn poll_into(&mut self, cx: &mut Context<'_>, mut place: Place<'_>) -> Poll<Outcome> {
        let this = self;
        loop {
            let outcome = match &mut this.state {
                State::Ready(outcome) => {
                    let again =
                        || Err(Error::new(ErrorKind::Unsupported, "a response was polled after its end"));
                    return Poll::Ready(outcome.take().unwrap_or_else(again));
                }
                State::Queued(queued) => match queued.poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(mut response)) => {
                        let no_cancel = this.manner.no_cancel;
                        this.manner = std::mem::take(&mut response.manner);
                        this.manner.no_cancel |= no_cancel;
                        this.name = response.name;
                        this.answer_bytes = response.answer_bytes;
                        this.state = std::mem::replace(&mut response.state, State::Ready(None));
                        continue;
                    }
                    Poll::Ready(Err(_)) => Err(Error::new(ErrorKind::Unresolved, "the promise was dropped")),
                },
                State::Sent(pending) => match Pin::new(pending).poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(outcome) => outcome,
                },
                State::Moved(outcome) => match Pin::new(outcome).poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(outcome) => {
                        outcome.unwrap_or_else(|_| Err(Error::rejected("the handler was given up")))
                    }
                },
                State::Handler(_) if this.manner.blocking => {
                    this.move_off();
                    continue;
                }
                State::Handler(handler) => {
                    let Some(running) = depth::enter() else {
                        this.move_to_task();
                        continue;
                    };
                    let poll = || handler.as_mut().poll(cx, place.take());
                    let polled = caught(this.name, || bounds::writing(this.answer_bytes.get(), poll));
                    depth::leave(running);
                    match polled {
                        Ok(Poll::Pending) => return Poll::Pending,
                        Ok(Poll::Ready(outcome)) => outcome,
                        Err(panicked) => Err(panicked.into()),
                    }
                }
            };
            // The content of the handler is dropped before the outcome is told.
            this.end();
            return Poll::Ready(outcome);
        }
    }
}

impl Drop for Response {
    fn drop(&mut self) {
        if !self.manner.no_cancel {
            return self.end();
        }
        if let State::Handler(handler) = std::mem::replace(&mut self.state, State::Ready(None)) {
            let detached = self.with_handler(handler);
            // Without a runtime nothing is left to run it.
            let _unrunnable = crate::runtime::spawn(async move { drop(detached.await) });
        }
    }
}
