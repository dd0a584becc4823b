//! Requests on their way to a method: arguments decoded, the method run, its result made an answer.

use std::any::{Any, TypeId};
use std::future::Future;
use std::hash::BuildHasher as _;
use std::marker::PhantomData;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::args::{self, Args};
use super::client::Client;
use super::wire::{Wire, WireError};
use crate::bounds;
use crate::cap::Cap;
use crate::cap::interface::{HandlerOptions, Interface, Method};
use crate::cap::local::{Local, RequestTarget};
use crate::cap::methods::request_of_interface;
use crate::cap::missing::not_a_function;
use crate::cap::progress::{self, WithProgress};
use crate::cap::request::{self, CallOptions, Request, Write, keep, put};
use crate::cap::response::{MethodInfo, Outcome, Reply, Response, ResultSlot};
use crate::dialect::capnweb;
use crate::error::{Error, ErrorData, ErrorKind, Fate, Fault, LocalData};
use crate::panics::catch_panic;
use crate::sync::{Mutex, lock};

/// A client whose interface `T` implements, so that it can stand for a `T`.
pub trait Serve<T: ?Sized>: Client {
    #[doc(hidden)]
    fn dispatch(method: usize, request: Invocation<T>) -> Response;
}

/// A request of an object that implements an interface.
#[doc(hidden)]
pub struct Invocation<T: ?Sized> {
    local: Local,
    method: &'static Method,
    request: Request,
    object: PhantomData<fn() -> Box<T>>,
}

impl<T: ?Sized> std::fmt::Debug for Invocation<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invocation").finish_non_exhaustive()
    }
}

/// Hands out an object: a client that stands for it. The same as `ChatClient::from_arc`, for where
/// that name is taken by a method.
pub fn serve<C: Serve<T>, T: Send + Sync + 'static>(object: Arc<T>) -> C {
    C::from_cap(Cap::from_local(Local::new(object, &InterfaceTarget::<C, T>(PhantomData))))
}

/// Serves an object under the interface of `C`.
struct InterfaceTarget<C, T>(PhantomData<fn() -> (C, T)>);

impl<C: Serve<T>, T: Send + Sync + 'static> RequestTarget for InterfaceTarget<C, T> {
    fn interface(&self) -> Option<&'static Interface> {
        Some(C::INTERFACE)
    }

    /// A generic interface has one table for all its parameters, and a client for each.
    fn interface_id(&self) -> usize {
        FixedState::default().hash_one(TypeId::of::<C>()) as usize
    }

    fn name(&self) -> &'static str {
        C::INTERFACE.name
    }

    fn request(&self, local: Local, request: Request) -> Response {
        request_of_interface(local, C::INTERFACE, request, |local, method, number, request| {
            C::dispatch(number, Invocation { local, method, request, object: PhantomData })
        })
    }
}

/// A type that is written `Result` and is one, with its parameters: an alias may have them in any order, and a user
/// type may have the name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is named `Result` but is another type",
    label = "this is not `std::result::Result`",
    note = "a method that returns a `Result` gives its caller the typed error; give any other type another name here: write `type Outcome = ..`, or `use .. as Outcome`"
)]
#[doc(hidden)]
pub trait IsResult {
    type Ok: Wire;
    type Err: WireError;

    /// Runs a method that returns it, as [`Invocation::run`] does one that returns a value.
    fn run<T, A, Fut>(invocation: Invocation<T>, method: impl Fn(Arc<T>, A) -> Fut) -> Response
    where
        T: Send + Sync + 'static,
        A: Args,
        Fut: Future<Output = Self> + Send + 'static;
}

impl<T: Wire, E: WireError> IsResult for Result<T, E> {
    type Ok = T;
    type Err = E;

    fn run<O, A, Fut>(invocation: Invocation<O>, method: impl Fn(Arc<O>, A) -> Fut) -> Response
    where
        O: Send + Sync + 'static,
        A: Args,
        Fut: Future<Output = Self> + Send + 'static,
    {
        invocation.run_with(method, Reply::of_result)
    }
}

/// A method's own error, on its way to the caller.
struct Returned<E>(Mutex<Option<E>>);

impl<E: WireError> LocalData for Returned<E> {
    fn take(&self, wanted: TypeId) -> Option<Box<dyn Any>> {
        if wanted != TypeId::of::<E>() {
            return None;
        }
        lock(&self.0).take().map(|error| Box::new(error) as Box<dyn Any>)
    }

    fn encode(&self) -> Result<String, Error> {
        let error = lock(&self.0);
        let taken = || Error::new(ErrorKind::Encode, "the error was taken by another caller");
        capnweb::error_data(error.as_ref().ok_or_else(taken)?)
    }
}

impl Reply {
    /// Returns the reply of a method. Its value is written as it is, also if it is a `Result`: the declared return type
    /// of the method decides, not the value.
    fn of<R: Wire>(value: R, typed: bool, place: ResultSlot<'_>) -> Outcome {
        Reply::made(value, capnweb::to_payload, typed, place)
    }

    /// Returns the reply of a function. If its value is a `Result`, it is one to the caller too, whether or not the
    /// closure was handed out as one that can fail.
    fn of_function<R: Wire>(value: R, typed: bool, place: ResultSlot<'_>) -> Outcome {
        Reply::made(value, |value, _| capnweb::to_outcome(value), typed, place)
    }

    /// Returns the reply with a value. A `typed` caller can take it as it is: in its place, if it is waiting now.
    fn made<R: Wire>(value: R, write: Write<R>, typed: bool, place: ResultSlot<'_>) -> Outcome {
        match place {
            _ if !typed => write(&value, usize::MAX).map(Reply::Wire),
            Some(place) => put(value, write, place, usize::MAX).map(Reply::Wire),
            None => Ok(Reply::Typed(keep(value, write))),
        }
    }

    /// The outcome of a method whose error has a type.
    fn of_result<R: Wire, E: WireError>(result: Result<R, E>, typed: bool, place: ResultSlot<'_>) -> Outcome {
        match result {
            Ok(value) => Reply::of(value, typed, place),
            Err(error) => {
                // The library's own error is passed on as it is.
                if let Some(error) = (&error as &dyn Any).downcast_ref::<Error>() {
                    return Err(error.clone().with_fate(Fate::Answered).with_fault(Fault::Peer));
                }
                let rejected = Error::rejected(error.to_string());
                if typed {
                    let data = ErrorData::Local(Arc::new(Returned(Mutex::new(Some(error)))));
                    return Err(rejected.with_data(data));
                }
                match capnweb::error_data(&error) {
                    Ok(properties) => Err(rejected.with_data(ErrorData::Wire(properties.into()))),
                    // The message is left.
                    Err(error) if error.limit().is_some() => Err(rejected),
                    Err(error) => Err(error),
                }
            }
        }
    }
}

#[doc(hidden)]
impl<T: Send + Sync + 'static> Invocation<T> {
    /// Runs a method: decodes the arguments, and makes an answer of its output.
    pub fn run<A, R, Fut>(self, method: impl Fn(Arc<T>, A) -> Fut) -> Response
    where
        A: Args,
        R: Wire,
        Fut: Future<Output = R> + Send + 'static,
    {
        self.run_with(method, Reply::of)
    }

    /// Runs a function: decodes the arguments, and makes an answer of its output.
    pub(super) fn run_function<A, R, Fut>(self, function: impl Fn(Arc<T>, A) -> Fut) -> Response
    where
        A: Args,
        R: Wire,
        Fut: Future<Output = R> + Send + 'static,
    {
        self.run_with(function, Reply::of_function)
    }

    /// Runs the part that depends on the types of the method; the rest is `begin`, which is compiled once.
    fn run_with<A: Args, Fut>(
        self,
        method: impl Fn(Arc<T>, A) -> Fut,
        reply: impl Fn(Fut::Output, bool, ResultSlot<'_>) -> Outcome + Copy + Send + 'static,
    ) -> Response
    where
        Fut: Future + Send + 'static,
    {
        let Self { local, method: entry, request, .. } = self;
        begin(local, entry, request, &|local, args, typed, method_info| {
            let args = args::take::<A>(args, entry.args)?;
            let object = local.downcast::<T>().ok_or_else(|| not_a_function(None))?;
            Ok(Response::running(method_info, method(object, args), reply, typed))
        })
    }
}

/// The entry of a function, which stands in no table.
static FUNCTION: Method = Method::call("the function", "", &[]);

#[doc(hidden)]
impl<T> Invocation<T> {
    /// Returns a call of a function, which is the object itself.
    pub(super) fn of_function(local: Local, request: Request) -> Self {
        Self { local, method: &FUNCTION, request, object: PhantomData }
    }

    /// Answers a call of a method that does not exist.
    pub fn no_such_method(self) -> Response {
        let name = self.request.member.describe();
        Response::error(Error::type_error(format!("'{name}' is not a function.")))
    }
}

/// Makes the handler of a call, given its arguments. It drops no user code but the arguments and what they become.
type MakeHandler<'a> = &'a dyn Fn(Local, request::Args, bool, MethodInfo) -> Result<Response, Error>;

/// Has the handler of a method made by `make`, and prepares it for being polled.
fn begin(local: Local, method: &'static Method, request: Request, make: MakeHandler<'_>) -> Response {
    let Request { args, typed, options: CallOptions { progress, answer_bytes, .. }, .. } = request;
    let Method { name, handler_options, .. } = *method;
    let method_info = MethodInfo { name, handler_options, answer_bytes };
    // The arguments may have a user's types, and the method may do more than make a future.
    let started = if progress.is_some() || progress::is_watched() {
        let inner = MethodInfo { handler_options: HandlerOptions::default(), ..method_info };
        let make = || bounds::writing(answer_bytes, || make(local, args, typed, inner));
        catch_panic(name, || progress::within(progress.clone(), make)).map(|made| {
            made.map(|handler| {
                let watched = WithProgress { handler: Box::pin(handler.outcome()), progress };
                Response::running(method_info, watched, |outcome, _, _| outcome, false)
            })
        })
    } else {
        catch_panic(name, || make(local, args, typed, method_info))
    };
    match started {
        Ok(Ok(response)) => response,
        // The caller can do something about it: the class is JavaScript's for it.
        Ok(Err(error)) => Response::error(Error::type_error(error.with_context(name).message())),
        Err(panicked) => Response::error(panicked.into_error()),
    }
}
