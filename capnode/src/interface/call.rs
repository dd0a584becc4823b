//! A call as a client makes it: nothing happens until it is awaited, pipelined on or sent.

use std::any::{Any, TypeId};
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
#[cfg(feature = "host")]
use std::time::Duration;

use super::args::{IntoArgs, UntypedArgs};
use super::client::Client;
use super::dispatch::IsResult;
use super::wire::{Wire, WireError};
use crate::bounds;
use crate::cap::Cap;
use crate::cap::context::{Context as CallContext, Progress, inherited};
#[cfg(feature = "host")]
use crate::cap::context::{is_late, late};
use crate::cap::missing::reserved;
use crate::cap::payload::undefined;
use crate::cap::promise::Promise;
use crate::cap::recorder::{MapRequest, Recorder, Source};
use crate::cap::request::{self, CallOptions, Member, Request, UnwrittenValue};
use crate::cap::response::{Reply, Response};
use crate::cap::slot::decode;
use crate::error::{CallError, Error, ErrorData, ErrorKind, Fate};
use crate::message::Path;
use crate::panics::{Contained, catch_and_log};
use crate::reserved::find_reserved;
use crate::text_pool;
use crate::threads::{Send, Staying, Sync};

/// A call of a method, not made yet.
///
/// Awaiting it sends it and gives the result: `Result<T, F>`, where `F` is [`Error`] for a method
/// that returns a plain value and [`CallError<E>`] for one that returns `Result<T, E>`.
///
/// ```
/// # use capnode::{Call, Error};
/// # async fn example(call: Call<u32>) -> Result<(), Error> {
/// let result: u32 = call.await?;
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
///
/// Dropping a call that was never polled does nothing, as if it had not been made. Dropping one
/// that is being awaited gives its answer up: the handler is cancelled at its next await, in this
/// program or at the other end, unless the method is `#[capnode(no_cancel)]` or the peer is a
/// JavaScript one, which lets it run. [`send`](Call::send) and [`pipeline`](Call::pipeline) are
/// not cancelled by dropping.
#[must_use = "a call does nothing unless it is awaited, pipelined on or sent"]
pub struct Call<T, F = Error> {
    state: State,
    timeout: Option<Timeout>,
    result: PhantomData<fn() -> (T, F)>,
}

crate::opaque::opaque!([T, F] Call<T, F>);

/// The call of a method that returns the `Result` `R`.
#[doc(hidden)]
pub type CallOf<R> = Call<<R as IsResult>::Ok, CallError<<R as IsResult>::Err>>;

// Most calls are sent as soon as they are made: a box would cost more than it saves.
#[allow(clippy::large_enum_variant)]
enum State {
    Unsent(Cap, Request),
    Mapped(Box<MapRequest>),
    Sent(Response),
    /// The outcome has been taken.
    Done,
}

/// The end of the time that a call may take.
#[cfg(feature = "host")]
enum Timeout {
    /// So long after the first poll.
    After(Duration),
    /// The deadline of the call itself. If a connection has the call, that looks for it, and there is no timer here.
    Until(crate::runtime::Instant),
    /// The timer that runs, with the time that `timeout` has set.
    At(Option<Duration>, crate::runtime::Sleep),
    /// A deadline that has passed.
    Passed,
}

/// Returns the error of a call whose own time has passed.
#[cfg(feature = "host")]
fn timed_out(limit: Option<Duration>, fate: Fate) -> Error {
    let error = match limit {
        Some(limit) if fate == Fate::NotSent => {
            Error::new(ErrorKind::Timeout, format!("it could not be sent within {limit:?}"))
        }
        Some(limit) => Error::new(ErrorKind::Timeout, format!("no answer within {limit:?}")),
        None => late(),
    };
    error.with_fate(fate)
}

/// Without a clock there is none.
#[cfg(not(feature = "host"))]
enum Timeout {}

/// Calls a method of an interface.
#[doc(hidden)]
pub fn call<C: Client, A: IntoArgs, T, F>(client: &C, method: usize, args: A) -> Call<T, F> {
    Call::with(client.cap(), Member::Method(C::INTERFACE, method), args)
}

/// Reads a property of an interface.
#[doc(hidden)]
pub fn read<C: Client, T, F>(client: &C, method: usize) -> Call<T, F> {
    Call::new(client.cap(), Member::Method(C::INTERFACE, method), Ok(request::Args::Read))
}

/// The result of a method with `#[capnode(rederive)]`.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a method with `rederive` returns one client, and not `{Self}`",
    label = "its result has to be the client of an interface",
    note = "leave out `rederive`, or return a client of which the others can be asked for"
)]
pub trait Rederived {}

#[diagnostic::do_not_recommend]
impl<C: Client> Rederived for C {}

impl Rederived for Cap {}

/// Returns the call of a method whose result can be had again by the same call.
#[doc(hidden)]
pub fn rederived<T: Rederived, F>(call: Call<T, F>) -> Call<T, F> {
    call
}

impl<T, F> Call<T, F> {
    fn new(cap: &Cap, member: Member, args: Result<request::Args, Error>) -> Self {
        let (limit, context) = (cap.call_time(), inherited());
        // A handler is dropped at its deadline, but what it leaves behind in its context is not.
        #[cfg(feature = "host")]
        let ends_at = context.as_ref().and_then(CallContext::ends_at);
        let state = match args {
            Ok(args) => {
                let timed = limit.is_some();
                let options = CallOptions { context, timed, ..CallOptions::NONE };
                State::Unsent(cap.clone(), Request { member, args, typed: true, options })
            }
            Err(error) => State::Sent(Response::error(member.explain(error))),
        };
        #[cfg(feature = "host")]
        let timeout = limit.map(Timeout::After).or_else(|| ends_at.map(Timeout::Until));
        #[cfg(not(feature = "host"))]
        let timeout = None;
        Self { state, timeout, result: PhantomData }
    }

    /// Calls a member. Arguments for a peer are written while they are borrowed; for an object in this program, and for
    /// a promise, they are kept as they are.
    pub(crate) fn with<A: IntoArgs>(cap: &Cap, member: Member, args: A) -> Self {
        let args = match cap.writes_within() {
            Some(bytes) => args.write(bytes).map(|written| request::Args::Wire(written.0)),
            None => {
                let write = |args: &A::Owned, bytes| args.write(bytes).map(|written| written.0);
                Ok(request::Args::Typed(Box::new(UnwrittenValue::new(args.into_owned(), write))))
            }
        };
        Self::new(cap, member, args)
    }

    /// Calls, or without arguments reads, a member that no interface is known of.
    pub(crate) fn untyped(cap: &Cap, path: Path, args: Option<&dyn UntypedArgs>) -> Self {
        let args = match args {
            Some(args) => {
                let written = args.write(cap.frame_bytes());
                written.map(|written| request::Args::Wire(written.0))
            }
            None => Ok(request::Args::Read),
        };
        match (find_reserved(path.as_slice()), args) {
            (Some(at), Ok(args)) => {
                let refused = reserved(path.as_slice(), at, args.is_read());
                Self { state: State::Sent(refused), timeout: None, result: PhantomData }
            }
            (_, args) => Self::new(cap, Member::Path(path), args),
        }
    }

    /// Gives the call `limit`, counted from when it is first polled. If it has no outcome by then,
    /// it fails with [`ErrorKind::Timeout`] and is given up as if dropped. Its handler learns how much
    /// time there is, as it does of a [`deadline`](Self::deadline).
    ///
    /// Of a call that is [sent](Self::send) or [pipelined](Self::pipeline) it counts from then. What runs in this program is
    /// dropped at its end, and so is a handler at a peer, if that is another program of this library. At any other peer it
    /// runs on, and the result of a pipelined call fails here, with all calls that were made on it. A call that has it as
    /// an argument is made all the same: its method gets a reference, and may not need what that stands for.
    ///
    /// Of several limits the shortest holds, also if one is that of the [client](Cap::with_call_time).
    #[cfg(feature = "host")]
    pub fn timeout(mut self, limit: Duration) -> Self {
        let limit = match &self.timeout {
            Some(Timeout::After(other)) => limit.min(*other),
            _ => limit,
        };
        self.timeout = Some(Timeout::After(limit));
        if let Some(options) = self.options() {
            options.timed = true;
        }
        self
    }

    /// Calls `progress` with each value by which the method [says](crate::report_progress) how far it has come, before
    /// the call has its outcome. Values of another type are passed over.
    ///
    /// Of the wire languages, Q-Connection alone has a word for progress. A call over a connection that speaks another
    /// fails with [`ErrorKind::Unsupported`], and is not sent.
    pub fn on_progress<P: Wire>(mut self, progress: impl Fn(P) + Send + Sync + 'static) -> Self {
        if let Some(options) = self.options() {
            options.needs_progress = true;
            let progress = Contained::new(Staying::new(progress));
            let progress: Progress = Arc::new(move |body| {
                // It must take neither the connection nor the method with it.
                catch_and_log("on_progress", || {
                    if let (Some(progress), Ok(value)) = (progress.get(), decode(&body)) {
                        progress.with(|progress| progress(value));
                    }
                });
            });
            CallContext::set_progress(&mut options.context, Some(progress));
        }
        self
    }

    /// Sets the value of a name in the [metadata](crate::Context::metadata) of the call, which its handler can read. Over
    /// a connection it travels to programs of this library alone.
    ///
    /// Metadata is for traces and the like, and never authority.
    pub fn metadata(mut self, name: &str, value: &str) -> Self {
        if let Some(options) = self.options() {
            CallContext::set_metadata(&mut options.context, name, value);
        }
        self
    }

    /// Returns the options, as long as the call has not been made.
    fn options(&mut self) -> Option<&mut CallOptions> {
        match &mut self.state {
            State::Unsent(_, request) => Some(&mut request.options),
            State::Mapped(map) => Some(&mut map.options),
            State::Sent(_) | State::Done => None,
        }
    }

    /// Gives the call up at a time, which its handler learns, and the calls that the handler makes. If it has no outcome
    /// by then, it fails with [`ErrorKind::Timeout`].
    #[cfg(feature = "host")]
    pub fn deadline(mut self, at: crate::runtime::StdInstant) -> Self {
        let at = crate::runtime::from_std(at);
        self.set_deadline(at);
        match &mut self.timeout {
            Some(Timeout::Until(other)) => *other = at.min(*other),
            timeout => {
                timeout.get_or_insert(Timeout::Until(at));
            }
        }
        self
    }

    /// Sets the deadline that a timeout comes to, of a call that is made now. An earlier one takes its place.
    #[cfg(feature = "host")]
    fn start_timeout(&mut self) {
        let Some(Timeout::After(limit)) = self.timeout else { return };
        let Some(end) = crate::runtime::Instant::now().checked_add(limit) else { return };
        let Some(options) = self.options() else { return };
        match options.ends_at().filter(|at| *at < end) {
            Some(at) => {
                options.timed = false;
                self.timeout = Some(Timeout::Until(at));
            }
            None => CallContext::set_deadline(&mut options.context, end),
        }
    }

    #[cfg(feature = "host")]
    fn set_deadline(&mut self, at: crate::runtime::Instant) {
        if let Some(options) = self.options() {
            CallContext::set_deadline(&mut options.context, at);
        }
    }

    /// Sends the call and wants no answer. It is never cancelled, and keeps its connection open
    /// until it has been answered.
    ///
    /// A program that ends before that loses the call: see [`Connection::closed`](crate::Connection::closed).
    ///
    /// # Errors
    ///
    /// If the call could not be sent. Its later outcome is not told.
    #[cfg_attr(not(feature = "host"), allow(unused_mut))]
    pub fn send(mut self) -> Result<(), Error> {
        if let Some(recorder) = Recorder::current() {
            return self.into_source().map(|source| drop(recorder.call(source)));
        }
        #[cfg(feature = "host")]
        self.start_timeout();
        match self.state {
            State::Mapped(map) => {
                let end = map.options.ends_at();
                map.request().until(end).detach()
            }
            State::Unsent(cap, mut request) => {
                // Nobody else keeps the time.
                (request.options.at_once, request.options.timed) = (true, false);
                let end = request.options.ends_at();
                cap.request(Request { typed: false, ..request }).until(end).detach()
            }
            State::Sent(response) => response.detach(),
            State::Done => Ok(()),
        }
    }

    /// Sends the call and gives at once a reference to whatever its result will be, or to
    /// something inside it: see [`Cap::at`]. Calls on it travel without waiting for the result.
    pub fn pipeline_cap(mut self) -> Cap {
        if let Some(recorder) = Recorder::current() {
            return self.into_source().map_or_else(Cap::broken, |source| recorder.call(source));
        }
        #[cfg(feature = "host")]
        self.start_timeout();
        if let Some(options) = self.options() {
            // Nobody else keeps the time.
            options.timed = false;
        }
        match self.state {
            State::Mapped(map) => map.pipeline(),
            State::Unsent(cap, mut request) => {
                request.options.at_once = true;
                cap.pipeline(Request { typed: false, ..request })
            }
            State::Sent(response) => Promise::of_response(response),
            State::Done => Cap::broken(made_already()),
        }
    }

    /// Takes out what has not been sent.
    pub(super) fn into_source(self) -> Result<Source, Error> {
        match self.state {
            State::Unsent(cap, request) => Ok(Source::Request(cap, request)),
            State::Mapped(map) => Ok(Source::Map(map)),
            State::Sent(response) => match response.start_unawaited() {
                Ok(Err(error)) => Err(error),
                _ => Err(made_already()),
            },
            State::Done => Err(made_already()),
        }
    }

    /// Returns the call of a map of what this one gives.
    pub(super) fn mapped<U>(
        mut self,
        record: impl FnOnce(Source) -> Result<Box<MapRequest>, Error>,
    ) -> Call<U, F> {
        let timeout = self.timeout.take();
        let state = match self.into_source().and_then(record) {
            Ok(map) => State::Mapped(map),
            Err(error) => State::Sent(Response::error(error)),
        };
        Call { state, timeout, result: PhantomData }
    }

    #[cfg(feature = "host")]
    #[cold]
    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let timer = match self.timeout {
            Some(Timeout::After(limit)) => Some((Some(limit), crate::runtime::sleep(limit))),
            Some(Timeout::Until(_)) if matches!(&self.state, State::Sent(response) if response.is_sent()) => {
                None
            }
            Some(Timeout::Until(at)) => Some((None, crate::runtime::sleep_until(at))),
            _ => None,
        };
        match timer {
            Some((limit, Ok(timer))) => self.timeout = Some(Timeout::At(limit, timer)),
            Some((_, Err(error))) => return Poll::Ready(error),
            None => {}
        }
        let limit = match &mut self.timeout {
            Some(Timeout::At(limit, sleep)) => {
                ready!(sleep.as_mut().poll(cx));
                *limit
            }
            Some(Timeout::Passed) => None,
            _ => return Poll::Pending,
        };
        if limit.is_none() && !matches!(self.timeout, Some(Timeout::Passed)) {
            // A call that a handler makes has the deadline of the handler, whose caller may be polled after this, and is to
            // see the end as its own.
            self.timeout = Some(Timeout::Passed);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready({
            let not_sent = match std::mem::replace(&mut self.state, State::Done) {
                State::Sent(response) => response.give_up(),
                State::Unsent(..) | State::Mapped(_) | State::Done => true,
            };
            let fate = if not_sent { Fate::NotSent } else { Fate::MayHaveRun };
            timed_out(limit, fate)
        })
    }

    /// Returns the error of a call that has a time limit of its own. The connection and the peer keep the same deadline:
    /// the error is the same, whoever sees first that it has passed.
    #[cfg(feature = "host")]
    #[cold]
    fn own_error(&self, error: Error) -> Error {
        if !is_late(&error) {
            return error;
        }
        let limit = match &self.timeout {
            Some(Timeout::After(limit)) => Some(*limit),
            Some(Timeout::At(limit, _)) => *limit,
            Some(Timeout::Until(_) | Timeout::Passed) | None => None,
        };
        timed_out(limit, if error.fate() == Fate::NotSent { Fate::NotSent } else { Fate::MayHaveRun })
    }

    #[cfg(not(feature = "host"))]
    fn poll_timeout(&mut self, _: &mut Context<'_>) -> Poll<Error> {
        Poll::Pending
    }

    #[cfg(not(feature = "host"))]
    fn own_error(&self, error: Error) -> Error {
        error
    }
}

impl<T: Client, F> Call<T, F> {
    /// Sends the call and gives at once a client for its result. Calls on it travel without
    /// waiting for the result, to any depth; if this call fails, they fail with its error.
    ///
    /// If the value of that error fits the error type of such a call, the call fails with
    /// [`CallError::Returned`](crate::CallError::Returned) of this type, though its method never ran. Give the methods of a chain one error
    /// type, or types of which no value fits another.
    pub fn pipeline(self) -> T {
        T::from_cap(self.pipeline_cap())
    }
}

impl<T: Wire, F: Failed> Future for Call<T, F> {
    type Output = Result<T, F>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, F>> {
        #[cfg(feature = "host")]
        if self.timeout.is_some() {
            self.start_timeout();
        }
        let mut place: Option<T> = None;
        let polled = match &mut self.state {
            State::Sent(response) => response.poll(cx, Some(&mut place)),
            State::Unsent(cap, request) => match cap.start(request, cx, Some(&mut place)) {
                Ok(outcome) => Poll::Ready(outcome),
                Err(response) => {
                    self.state = State::Sent(response);
                    Poll::Pending
                }
            },
            state @ State::Mapped(_) => {
                let State::Mapped(map) = std::mem::replace(state, State::Done) else { return Poll::Pending };
                let mut response = map.request();
                let polled = response.poll(cx, None);
                self.state = State::Sent(response);
                polled
            }
            State::Done => Poll::Ready(Err(made_already())),
        };
        let outcome = match polled {
            Poll::Ready(outcome) => outcome,
            Poll::Pending if self.timeout.is_none() => return Poll::Pending,
            Poll::Pending => Err(ready!(self.poll_timeout(cx))),
        };
        self.state = State::Done;
        if let Some(value) = place {
            return Poll::Ready(Ok(value));
        }
        let body = match outcome {
            Ok(Reply::Typed(mut value)) => {
                value.put(&mut place);
                if let Some(value) = place {
                    return Poll::Ready(Ok(value));
                }
                bounds::writing(usize::MAX, || value.write(usize::MAX))
            }
            Ok(Reply::Wire(body)) => Ok(body),
            Ok(Reply::Placed) => Ok(undefined()),
            Err(error) if self.timeout.is_some() => Err(self.own_error(error)),
            Err(error) => Err(error),
        };
        Poll::Ready(match body {
            Ok(body) => {
                let value = decode(&body);
                text_pool::give(body.text);
                value.map_err(|error| F::failed(error.with_context("the result")))
            }
            Err(error) => Err(F::failed(error)),
        })
    }
}

fn made_already() -> Error {
    Error::new(ErrorKind::Unsupported, "the call has been made already")
}

/// The error of a failed call: [`Error`], or [`CallError`] with the method's own error in it.
pub trait Failed: Send + 'static {
    #[doc(hidden)]
    fn failed(error: Error) -> Self;
}

impl Failed for Error {
    fn failed(error: Error) -> Self {
        error
    }
}

impl<E: WireError> Failed for CallError<E> {
    fn failed(error: Error) -> Self {
        if TypeId::of::<E>() == TypeId::of::<Error>() && error.fate() == Fate::Answered {
            // The answer was the error itself.
            let own: Box<dyn Any> = Box::new(error.clone());
            return own.downcast().map_or(CallError::Failed(error), |own| CallError::Returned(*own));
        }
        let returned = match error.data() {
            ErrorData::None | ErrorData::Thrown(_) => None,
            ErrorData::Wire(_) => error.property("data"),
            // In this program it is still the value that was returned.
            ErrorData::Local(data) => match data.take(TypeId::of::<E>()) {
                Some(own) => own.downcast().ok().map(|own| *own),
                None => error.property("data"),
            },
        };
        returned.map_or(CallError::Failed(error), CallError::Returned)
    }
}
