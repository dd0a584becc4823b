//! A call as a client makes it: nothing happens until it is awaited, pipelined on or sent.

use std::any::{Any, TypeId};
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
#[cfg(feature = "tokio")]
use std::time::Duration;

use super::args::{IntoArgs, UntypedArgs};
use super::client::Client;
use super::dispatch::IsResult;
use super::wire::{Wire, WireError};
use crate::bounds;
use crate::cap::Cap;
use crate::cap::request::{self, Extras, Member, Request};
use crate::cap::response::{Kind, Outcome, Place, Reply, Response};
use crate::cap::slot::decode;
use crate::error::{CallError, Data, Error, ErrorKind, Fate};
use crate::op::Path;
use crate::panics::contained;

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
    #[cfg(feature = "tokio")]
    timeout: Option<Timeout>,
    result: PhantomData<fn() -> (T, F)>,
}

/// The call of a method that returns the `Result` `R`.
#[doc(hidden)]
pub type CallOf<R> = Call<<R as IsResult>::Ok, CallError<<R as IsResult>::Err>>;

// Most calls are sent as soon as they are made: a box would cost more than it saves.
#[allow(clippy::large_enum_variant)]
enum State {
    Unsent(Cap, Request),
    Sent(Response),
    /// The arguments could not be written.
    Failed(Error),
    Done,
}

/// The time a call may take, counted from when it is first polled.
#[cfg(feature = "tokio")]
enum Timeout {
    After(Duration),
    At(Duration, crate::runtime::Sleep),
}

/// Calls a method of an interface.
#[doc(hidden)]
pub fn call<C: Client, A: IntoArgs, T, F>(client: &C, method: usize, args: A) -> Call<T, F> {
    let cap = client.cap();
    Call::new(cap, Member::Method(C::INTERFACE, method), write(cap, args))
}

/// Reads a property of an interface.
#[doc(hidden)]
pub fn read<C: Client, T, F>(client: &C, method: usize) -> Call<T, F> {
    Call::new(client.cap(), Member::Method(C::INTERFACE, method), Ok(request::Args::Read))
}

/// Arguments for a peer are written while they are borrowed; for an object in this program, and for
/// a promise, they are kept as they are.
fn write<A: IntoArgs>(cap: &Cap, args: A) -> Result<request::Args, Error> {
    if cap.is_remote() {
        let written = args.encode(cap.frame_bytes());
        written.map(|written| request::Args::Wire(written.0))
    } else {
        Ok(request::Args::Typed(Box::new(args.into_owned())))
    }
}

impl<T, F> Call<T, F> {
    pub(crate) fn new(cap: &Cap, member: Member, args: Result<request::Args, Error>) -> Self {
        let state = match args {
            Ok(args) => {
                State::Unsent(cap.nearest(), Request { member, args, typed: true, extras: Extras::default() })
            }
            Err(error) => State::Failed(error),
        };
        Self {
            state,
            #[cfg(feature = "tokio")]
            timeout: None,
            result: PhantomData,
        }
    }

    /// Calls a reference that is a function itself.
    pub(crate) fn function<A: IntoArgs>(cap: &Cap, args: A) -> Self {
        Self::new(cap, Member::Path(Path::Empty), write(cap, args))
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
        Self::new(cap, Member::Path(path), args)
    }

    /// Gives the call `limit`, counted from when it is first polled. If it has no outcome by then,
    /// it fails with [`ErrorKind::Timeout`] and is given up as if dropped.
    #[cfg(feature = "tokio")]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(Timeout::After(limit));
        if let State::Unsent(_, request) = &mut self.state {
            request.extras.timed = true;
        }
        self
    }

    /// Calls `progress` with each value by which the method [says](crate::report_progress) how far it has come, before
    /// the call has its outcome. Values of another type are passed over.
    ///
    /// Of the wire languages, Q-Connection alone has a word for progress. A call over a connection that speaks another
    /// fails with [`ErrorKind::Unsupported`], and is not sent.
    pub fn on_progress<P: Wire>(mut self, progress: impl Fn(P) + Send + Sync + 'static) -> Self {
        if let State::Unsent(_, request) = &mut self.state {
            request.extras.needs_progress = true;
            request.extras.progress = Some(Arc::new(move |body| {
                // It must take neither the connection nor the method with it.
                contained("on_progress", || {
                    if let Ok(value) = decode(&body) {
                        progress(value);
                    }
                });
            }));
        }
        self
    }

    /// Sends the call and wants no answer. It is never cancelled, and keeps its connection open
    /// until it has been answered.
    ///
    /// A program that ends before that loses the call: see [`Connection::closed`](crate::Connection::closed).
    ///
    /// # Errors
    ///
    /// If the call could not be sent. Its later outcome is not told.
    pub fn send(self) -> Result<(), Error> {
        match self.state {
            State::Unsent(cap, mut request) => {
                request.extras.at_once = true;
                cap.send(Request { typed: false, ..request })
            }
            State::Sent(response) => response.detach(),
            State::Failed(error) => Err(error),
            State::Done => Ok(()),
        }
    }

    /// Sends the call and gives at once a reference to whatever its result will be, or to
    /// something inside it: see [`Cap::at`]. Calls on it travel without waiting for the result.
    pub fn pipeline_cap(self) -> Cap {
        match self.state {
            State::Unsent(cap, mut request) => {
                request.extras.at_once = true;
                cap.pipeline(Request { typed: false, ..request })
            }
            State::Sent(response) => crate::cap::queue::Queue::of_response(response),
            State::Failed(error) => Cap::broken(error),
            State::Done => Cap::broken(Error::new(ErrorKind::Unsupported, "the call has been made already")),
        }
    }

    #[cfg(feature = "tokio")]
    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if let Some(Timeout::After(limit)) = self.timeout {
            match crate::runtime::sleep(limit) {
                Ok(timer) => self.timeout = Some(Timeout::At(limit, timer)),
                Err(error) => return Poll::Ready(error),
            }
        }
        let Some(Timeout::At(limit, sleep)) = &mut self.timeout else { return Poll::Pending };
        sleep.as_mut().poll(cx).map(|()| {
            let not_sent = match std::mem::replace(&mut self.state, State::Done) {
                State::Sent(response) => response.give_up(),
                State::Unsent(..) | State::Failed(_) | State::Done => true,
            };
            let fate = if not_sent { Fate::NotSent } else { Fate::MayHaveRun };
            Error::new(ErrorKind::Timeout, format!("no answer within {limit:?}")).with_fate(fate)
        })
    }

    #[cfg(not(feature = "tokio"))]
    fn poll_timeout(&mut self, _: &mut Context<'_>) -> Poll<Error> {
        Poll::Pending
    }

    fn poll_outcome(&mut self, cx: &mut Context<'_>, place: Place<'_>) -> Poll<Outcome> {
        if let State::Unsent(..) = &self.state {
            if let State::Unsent(cap, request) = std::mem::replace(&mut self.state, State::Done) {
                self.state = State::Sent(cap.into_request(request));
            }
        }
        let outcome = match &mut self.state {
            State::Sent(response) => response.poll_into(cx, place),
            State::Failed(error) => Poll::Ready(Err(error.clone())),
            State::Unsent(..) | State::Done => {
                Poll::Ready(Err(Error::new(ErrorKind::Unsupported, "the call has been made already")))
            }
        };
        if let Poll::Ready(outcome) = outcome {
            self.state = State::Done;
            return Poll::Ready(outcome);
        }
        self.poll_timeout(cx).map(|error| {
            self.state = State::Done;
            Err(error)
        })
    }
}

impl<T: Client, F> Call<T, F> {
    /// Sends the call and gives at once a client for its result. Calls on it travel without
    /// waiting for the result, to any depth; if this call fails, they fail with its error.
    pub fn pipeline(self) -> T {
        T::from_cap(self.pipeline_cap())
    }
}

impl<T: Wire, F: Failed> Future for Call<T, F> {
    type Output = Result<T, F>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, F>> {
        let mut place: Option<T> = None;
        self.poll_outcome(cx, Some(&mut place)).map(|outcome| match outcome {
            Ok(reply) => read_reply(reply, place).map_err(F::failed),
            Err(error) => Err(F::failed(error)),
        })
    }
}

/// A result as the type it was declared to be.
fn read_reply<T: Wire>(reply: Reply, place: Option<T>) -> Result<T, Error> {
    let body = match reply.0 {
        Kind::Placed => {
            return place.ok_or_else(|| {
                Error::new(
                    ErrorKind::Decode,
                    "the result is not where it was put: this is a mistake of the library",
                )
            });
        }
        Kind::Wire(body) => body,
        Kind::Typed(value) if value.is(TypeId::of::<T>()) => {
            let value = value.into_any().downcast();
            return value
                .map(|value| *value)
                .map_err(|_| Error::new(ErrorKind::Decode, "the result has another type"));
        }
        Kind::Typed(value) => bounds::writing(usize::MAX, || value.encode())?,
    };
    decode(&body).map_err(|error| error.about("the result"))
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
            Data::None | Data::Thrown(_) => None,
            Data::Wire(_) => error.property("data"),
            // In this program it is still the value that was returned.
            Data::Local(data) => match data.take(TypeId::of::<E>()) {
                Some(own) => own.downcast().ok().map(|own| *own),
                None => error.property("data"),
            },
        };
        returned.map_or(CallError::Failed(error), CallError::Returned)
    }
}
