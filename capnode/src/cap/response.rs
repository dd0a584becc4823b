//! The response to a request: a future that can be started in place, dropped to cancel, or left to run by itself.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use futures_channel::oneshot;
use pin_project_lite::pin_project;

use super::context::{self, Context as CallContext};
use super::depth;
#[cfg(feature = "tokio")]
use super::durable_call::DurableResponse;
use super::interface::HandlerOptions;
use super::payload::{LivePayload, undefined, unfolded_len};
use super::pending::PendingAnswer;
use super::promise::QueuedRequest;
use super::request::Unwritten;
use crate::bounds;
use crate::error::{Error, ErrorKind, Fate, Fault};
use crate::panics::{PanicId, catch_and_log, catch_panic};
use crate::runtime::Instant;

/// The result of a request.
pub(crate) enum Reply {
    Wire(LivePayload),
    /// The Rust value itself, for a caller in this program that can take it.
    Typed(Box<dyn Unwritten>),
    /// The Rust value has been moved to where its caller wants it.
    Placed,
}

/// A place for the Rust value itself, if a caller in this program waits for it: an `Option` of its type.
pub(crate) type ResultSlot<'a> = Option<&'a mut dyn Any>;

/// The first poll of a response, given with its request: a handler that can be polled at once is.
pub(crate) struct FirstPoll<'a> {
    pub(crate) waker: &'a Waker,
    pub(crate) place: ResultSlot<'a>,
}

impl FirstPoll<'_> {
    /// The poll for a caller that does not wait yet.
    pub(crate) const UNAWAITED: Self = Self { waker: Waker::noop(), place: None };
}

impl Reply {
    pub(crate) fn into_body(self) -> Result<LivePayload, Error> {
        match self {
            Reply::Wire(body) => Ok(body),
            Reply::Typed(value) => {
                catch_panic("a result", || value.write(usize::MAX)).map_err(PanicId::into_error)?
            }
            Reply::Placed => Ok(undefined()),
        }
    }
}

pub(crate) type Outcome = Result<Reply, Error>;

/// Returns the bytes of a result, as they are written inside the program, or the error.
pub(super) fn result_len(outcome: &Outcome) -> Result<usize, &Error> {
    match outcome {
        Ok(Reply::Wire(body)) => Ok(unfolded_len(body)),
        Ok(Reply::Typed(_) | Reply::Placed) => Ok(0),
        Err(error) => Err(error),
    }
}

/// The future of a request's outcome. Dropping it cancels as far as possible.
#[doc(hidden)]
#[must_use]
pub struct Response(pub(super) State);

crate::opaque::opaque!(Response);

pub(super) enum State {
    /// The outcome, until it is taken.
    Ready(Option<Outcome>),
    /// A handler of this program.
    Handler(Handler),
    /// A call sent to a peer.
    Sent(PendingAnswer),
    /// A request that waits in a promise's queue.
    Queued(QueuedRequest),
    /// A call by way of a durable reference.
    #[cfg(feature = "tokio")]
    Durable(DurableResponse),
    /// A handler of this program that is a task of its own.
    Moved(oneshot::Receiver<Outcome>),
}

/// The properties of a handler that do not depend on its types.
#[derive(Clone, Copy)]
pub(crate) struct MethodInfo {
    /// The name of the method, for the log.
    pub(crate) name: &'static str,
    pub(crate) handler_options: HandlerOptions,
    /// The most bytes of the answer where it is written.
    pub(crate) answer_bytes: usize,
}

/// A handler of this program. Dropping it drops its content, which runs user code, or lets it run on if that is its
/// manner.
pub(super) struct Handler {
    method_info: MethodInfo,
    /// `true` if the method has been polled with its request.
    begun: bool,
    /// The context of the call, while the method is not polled.
    context: Option<CallContext>,
    /// The method; `None` once it has been taken elsewhere.
    method: Option<BoxMethod>,
}

/// A method that runs.
pub(crate) trait Method: Send {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, place: ResultSlot<'_>) -> Poll<Outcome>;

    /// Gives it up, before it is dropped. Returns `true` if nothing has begun.
    fn give_up(self: Pin<&mut Self>) -> bool {
        false
    }
}

pin_project! {
    struct RunningMethod<F, R> {
        #[pin]
        method: F,
        reply: R,
        typed: bool,
    }
}

pub(crate) type BoxMethod = Pin<Box<dyn Method>>;

/// Returns a running method, with the function that makes an answer of its result. That is told whether the caller can
/// take the result as it is.
pub(crate) fn running<F: Future + Send + 'static>(
    method: F,
    reply: impl Fn(F::Output, bool, ResultSlot<'_>) -> Outcome + Send + 'static,
    typed: bool,
) -> BoxMethod {
    Box::pin(RunningMethod { method, reply, typed })
}

impl<F, R> Method for RunningMethod<F, R>
where
    F: Future + Send,
    R: Fn(F::Output, bool, ResultSlot<'_>) -> Outcome + Send,
{
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, place: ResultSlot<'_>) -> Poll<Outcome> {
        let this = self.project();
        this.method.poll(cx).map(|result| (this.reply)(result, *this.typed, place))
    }
}

/// A response that another one is followed by. Giving it up gives up the one inside.
struct Followed<P> {
    response: Response,
    poll: P,
}

impl<P: FnMut(&mut Response, &mut Context<'_>) -> Poll<Outcome> + Send + Unpin> Method for Followed<P> {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, _: ResultSlot<'_>) -> Poll<Outcome> {
        let Self { response, poll } = &mut *self;
        poll(response, cx)
    }

    fn give_up(mut self: Pin<&mut Self>) -> bool {
        self.response.take().give_up()
    }
}

fn given_up() -> Error {
    Error::rejected("the handler was given up")
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
            Some(response) if !given_up => response.poll(cx, None),
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

impl MethodInfo {
    /// Work of the library's own.
    const LIBRARY: Self = Self {
        name: "a handler",
        handler_options: HandlerOptions { no_cancel: false, blocking: false },
        answer_bytes: usize::MAX,
    };

    /// Runs the user's code of the method. A panic in it is its outcome.
    fn run(&self, step: impl FnOnce() -> Poll<Outcome>) -> Poll<Outcome> {
        let step = || bounds::writing(self.answer_bytes, step);
        catch_panic(self.name, step).unwrap_or_else(|panicked| Poll::Ready(Err(panicked.into_error())))
    }
}

impl Handler {
    /// Takes out the method, to be run elsewhere.
    fn take(&mut self) -> Self {
        let Self { method_info, begun, context, method } = self;
        Self { method_info: *method_info, begun: *begun, context: context.take(), method: method.take() }
    }

    /// Moves a handler that blocks to a thread where it may.
    fn off_thread(&mut self) -> Response {
        let mut blocking = self.take();
        let handler_options = std::mem::take(&mut blocking.method_info.handler_options);
        let method_info = MethodInfo {
            handler_options: HandlerOptions { blocking: false, ..handler_options },
            ..blocking.method_info
        };
        let moved = crate::runtime::run_blocking(Response(State::Handler(blocking)).outcome());
        Response::running(method_info, moved)
    }

    /// Makes the handler a task of its own.
    fn apart(&mut self) -> Response {
        if !depth::can_run_tasks() {
            // Nobody could run it on.
            self.method_info.handler_options.no_cancel = false;
            let message = "too many calls inside one another, and no runtime to run them as tasks";
            return Response::error(
                Error::new(ErrorKind::Limit, message).with_fate(Fate::NotSent).with_fault(Fault::Here),
            );
        }
        let handler = self.take();
        let no_cancel = handler.method_info.handler_options.no_cancel;
        let (ended, outcome) = oneshot::channel();
        let response = Some(Response(State::Handler(handler)));
        depth::start_later(Box::pin(Moved { response, ended, no_cancel }));
        Response(State::Moved(outcome))
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        if self.method.is_some() && self.method_info.handler_options.no_cancel {
            let mut detached = self.take();
            detached.method_info.handler_options = HandlerOptions::default();
            let detached = Response(State::Handler(detached)).outcome();
            // Without a runtime nothing is left to run it.
            let _unrunnable = crate::runtime::spawn(async move { drop(detached.await) });
        } else if let Some(method) = self.method.take() {
            catch_and_log(self.method_info.name, || drop(method));
        }
    }
}

impl Response {
    pub(crate) fn ready(outcome: Outcome) -> Self {
        Self(State::Ready(Some(outcome)))
    }

    pub(crate) fn wire(body: LivePayload) -> Self {
        Self::ready(Ok(Reply::Wire(body)))
    }

    /// Returns the error of a request that has failed before it was sent, or without being polled.
    pub(crate) fn failed(&self) -> Option<&Error> {
        if let State::Ready(Some(Err(error))) = &self.0 { Some(error) } else { None }
    }

    pub(crate) fn error(error: Error) -> Self {
        Self::ready(Err(error))
    }

    /// Returns the response of work of the library's own for a caller in this program.
    pub(crate) fn handler(handler: impl Future<Output = Outcome> + Send + 'static) -> Self {
        Self::running(MethodInfo::LIBRARY, handler)
    }

    /// Returns the response of work of the library's own.
    pub(super) fn of_method(method: BoxMethod) -> Self {
        Self::with_method(MethodInfo::LIBRARY, method)
    }

    /// Returns the response whose outcome `poll` makes of this one.
    pub(super) fn followed(
        self,
        poll: impl FnMut(&mut Self, &mut Context<'_>) -> Poll<Outcome> + Send + Unpin + 'static,
    ) -> Self {
        let has_begun = self.has_begun();
        let mut followed = Self::of_method(Box::pin(Followed { response: self, poll }));
        if let State::Handler(handler) = &mut followed.0 {
            handler.begun = has_begun;
        }
        followed
    }

    /// Returns a response that has ended.
    pub(super) const fn ended() -> Self {
        Self(State::Ready(None))
    }

    /// Takes the response out, and leaves one that has ended.
    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::ended())
    }

    fn running(method_info: MethodInfo, handler: impl Future<Output = Outcome> + Send + 'static) -> Self {
        Self::with_method(method_info, running(handler, |outcome, _, _| outcome, false))
    }

    fn with_method(method_info: MethodInfo, method: BoxMethod) -> Self {
        // What it asks for on the way is asked in the context in which it was.
        let context = context::context();
        Self(State::Handler(Handler { method_info, begun: false, context, method: Some(method) }))
    }

    /// Returns the response of a method that `make` makes. With `first` it is polled as soon as it is made, unless it
    /// has to run elsewhere.
    pub(super) fn begin(
        method_info: MethodInfo,
        mut context: Option<CallContext>,
        first: &mut Option<FirstPoll<'_>>,
        make: impl FnOnce() -> Result<BoxMethod, Error>,
    ) -> Self {
        let begun = first.is_some() && !method_info.handler_options.blocking && !depth::is_full();
        let mut method = None;
        // It is moved from one closure to the next, so it holds references only.
        let begin = || {
            let made = match make() {
                Ok(made) => method.insert(made),
                Err(error) => return Poll::Ready(Err(error)),
            };
            match first {
                Some(FirstPoll { waker, place }) if begun => {
                    made.as_mut().poll(&mut Context::from_waker(waker), place.take())
                }
                _ => Poll::Pending,
            }
        };
        let run = || if begun { depth::nest(|| method_info.run(begin)) } else { method_info.run(begin) };
        match context::within(&mut context, run) {
            Poll::Pending => Self(State::Handler(Handler { method_info, begun, context, method })),
            Poll::Ready(outcome) => {
                // The content of the handler is dropped before the outcome is told.
                if let Some(method) = method {
                    catch_and_log(method_info.name, || drop(method));
                }
                Self::ready(outcome)
            }
        }
    }

    /// Starts the response: a handler begins when it is first polled, and is polled here once, in place, unless it was
    /// with its request. Most are done by then, and this returns the outcome.
    pub(super) fn start(mut self, cx: &mut Context<'_>, place: ResultSlot<'_>) -> Result<Outcome, Self> {
        match self.0 {
            State::Ready(Some(outcome)) => return Ok(outcome),
            State::Handler(Handler { begun: true, .. }) => return Err(self),
            State::Sent(ref pending) if pending.has_begun() => return Err(self),
            #[cfg(feature = "tokio")]
            State::Durable(ref call) if call.has_begun() => return Err(self),
            _ => {}
        }
        match self.poll(cx, place) {
            Poll::Ready(outcome) => Ok(outcome),
            Poll::Pending => Err(self),
        }
    }

    /// Returns the outcome if it is there, without a poll.
    pub(super) fn outcome_now(self) -> Result<Outcome, Self> {
        match self.0 {
            State::Ready(Some(outcome)) => Ok(outcome),
            state => Err(Self(state)),
        }
    }

    /// Returns `true` for a handler that was polled with its request.
    pub(super) fn has_begun(&self) -> bool {
        matches!(&self.0, State::Handler(Handler { begun: true, .. }))
    }

    /// Polls the response as [`poll`](Self::poll) does, by the shortest way for a call that was sent.
    #[cfg(feature = "tokio")]
    #[inline]
    pub(super) fn poll_sent(&mut self, cx: &mut Context<'_>, place: ResultSlot<'_>) -> Poll<Outcome> {
        match &mut self.0 {
            State::Sent(pending) => Pin::new(pending).poll(cx),
            _ => self.poll(cx, place),
        }
    }

    /// Returns `true` for a call that was sent and whose caller is known.
    #[cfg(feature = "tokio")]
    pub(super) fn is_awaited(&self) -> bool {
        matches!(&self.0, State::Sent(pending) if pending.has_begun())
    }

    /// Starts the response for a caller that does not wait yet.
    pub(crate) fn start_unawaited(self) -> Result<Outcome, Self> {
        self.start(&mut Context::from_waker(Waker::noop()), None)
    }

    /// Returns the response after its start.
    pub(crate) fn started(self) -> Self {
        self.start_unawaited().map_or_else(|response| response, Self::ready)
    }

    /// Lets it run to its end, without a caller that waits.
    pub(crate) fn detach(mut self) -> Result<(), Error> {
        let mut own = false;
        match &mut self.0 {
            State::Sent(pending) => {
                pending.detach();
                return Ok(());
            }
            // If it becomes a task, the task runs to its end without a caller that waits.
            State::Handler(handler) => {
                handler.method_info.handler_options.no_cancel = true;
                own = true;
            }
            _ => {}
        }
        match self.start_unawaited() {
            Ok(Err(error)) if error.fate() == Fate::NotSent => Err(error),
            Ok(_) => Ok(()),
            Err(Self(State::Moved(_))) if own => Ok(()),
            Err(response) => crate::runtime::spawn(async move { drop(response.outcome().await) }),
        }
    }

    /// Returns `true` for a call sent to a peer, or about to be.
    #[cfg(feature = "host")]
    pub(crate) fn is_sent(&self) -> bool {
        matches!(self.0, State::Sent(_))
    }

    /// Gives it up, as dropping it does. Returns `true` if it was a call that still waited for room or for a decision, and
    /// so was not sent.
    pub(crate) fn give_up(mut self) -> bool {
        match &mut self.0 {
            State::Sent(pending) => pending.give_up(),
            State::Queued(queued) => queued.give_up(),
            #[cfg(feature = "tokio")]
            State::Durable(call) => call.give_up(),
            State::Handler(handler) => {
                handler.method.as_mut().is_some_and(|method| method.as_mut().give_up())
            }
            _ => false,
        }
    }

    /// Returns the response of a call that nobody waits for, given up at `end`. Of a call that was sent the connection
    /// keeps the time.
    #[cfg(feature = "host")]
    pub(crate) fn until(self, end: Option<Instant>) -> Self {
        let (Some(end), false) = (end, matches!(self.0, State::Ready(_) | State::Sent(_))) else {
            return self;
        };
        let mut timer = match crate::runtime::sleep_until(end) {
            Ok(timer) => timer,
            Err(error) => return Self::error(error),
        };
        self.started().followed(move |running, cx| {
            if let Poll::Ready(outcome) = running.poll(cx, None) {
                return Poll::Ready(outcome);
            }
            ready!(timer.as_mut().poll(cx));
            let fate = if running.take().give_up() { Fate::NotSent } else { Fate::MayHaveRun };
            Poll::Ready(Err(context::late().with_fate(fate)))
        })
    }

    /// Returns the response: without a clock there is no time to keep.
    #[cfg(not(feature = "host"))]
    pub(crate) fn until(self, _: Option<Instant>) -> Self {
        self
    }

    /// Waits for the outcome.
    pub(crate) async fn outcome(mut self) -> Outcome {
        poll_fn(|cx| self.poll(cx, None)).await
    }

    /// The outcome; if it comes of a handler that runs here, its result may be put into `place`, which leaves
    /// [`Reply::Placed`] as the outcome.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, place: ResultSlot<'_>) -> Poll<Outcome> {
        loop {
            let outcome = match &mut self.0 {
                State::Ready(outcome) => {
                    let again =
                        || Err(Error::new(ErrorKind::Unsupported, "a response was polled after its end"));
                    return Poll::Ready(outcome.take().unwrap_or_else(again));
                }
                State::Queued(queued) => match ready!(queued.poll(cx)) {
                    Ok(response) => {
                        *self = response;
                        continue;
                    }
                    Err(_) => Err(Error::new(ErrorKind::Unresolved, "the promise was dropped")),
                },
                State::Sent(pending) => return Pin::new(pending).poll(cx),
                #[cfg(feature = "tokio")]
                State::Durable(call) => return call.poll_outcome(cx, place),
                State::Moved(outcome) => {
                    ready!(Pin::new(outcome).poll(cx)).unwrap_or_else(|_| Err(given_up()))
                }
                State::Handler(handler) => {
                    if handler.method_info.handler_options.blocking {
                        *self = handler.off_thread();
                        continue;
                    }
                    if depth::is_full() {
                        *self = handler.apart();
                        continue;
                    }
                    let Handler { method_info, method, context, .. } = handler;
                    let poll = || match method {
                        Some(method) => method.as_mut().poll(cx, place),
                        None => Poll::Ready(Err(given_up())),
                    };
                    let run = || depth::nest(|| method_info.run(poll));
                    let outcome = ready!(context::within(context, run));
                    handler.method_info.handler_options.no_cancel = false;
                    outcome
                }
            };
            // The content of the handler is dropped before the outcome is told.
            self.0 = State::Ready(None);
            return Poll::Ready(outcome);
        }
    }
}
