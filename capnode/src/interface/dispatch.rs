//! Requests on their way to a method: arguments decoded, the method run, its result made an answer.

use std::any::{Any, TypeId};
use std::future::Future;
use std::hash::BuildHasher as _;
use std::marker::{self, PhantomData};
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::args::{self, Args};
use super::client::Client;
use super::wire::{Wire, WireError};
use crate::bounds;
use crate::cap::Cap;
use crate::cap::interface::Interface;
use crate::cap::local::{Local, RequestTarget};
use crate::cap::methods::{MethodCall, request_of_interface};
use crate::cap::missing::not_a_function;
use crate::cap::request::{Request, UnwrittenValue, Write};
use crate::cap::response::{FirstPoll, Outcome, Reply, Response, ResultSlot, running};
use crate::dialect::capnweb;
use crate::error::{Error, ErrorData, ErrorKind, Fate, Fault, LocalData};
use crate::sync::{Mutex, lock};
use crate::threads::{Send, Sync, future, share};

/// A client whose interface `T` implements, so that it can stand for a `T`.
pub trait Serve<T: ?Sized>: Client {
    #[doc(hidden)]
    fn dispatch(method: usize, request: Invocation<'_, '_, T>) -> Response;
}

/// A request of an object that implements an interface.
#[doc(hidden)]
pub struct Invocation<'c, 'a, T: ?Sized> {
    call: &'c mut MethodCall<'a>,
    object: PhantomData<fn() -> Box<T>>,
}

crate::opaque::opaque!([T: ?Sized] Invocation<'_, '_, T>);

/// Hands out an object: a client that stands for it. The same as `ChatClient::from_arc`, for where
/// that name is taken by a method.
pub fn serve<C: Serve<T>, T: Send + Sync + 'static>(object: Arc<T>) -> C {
    C::from_cap(Cap::from_local(Local::new(share(object), &InterfaceTarget::<C, T>(PhantomData))))
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

    fn call(&self, number: usize, call: &mut MethodCall<'_>) -> Response {
        C::dispatch(number, Invocation::new(call))
    }

    fn request(&self, local: Local, request: &mut Request, first: Option<FirstPoll<'_>>) -> Response {
        request_of_interface(local, C::INTERFACE, request, first)
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
    fn run<T, A, Fut>(invocation: Invocation<'_, '_, T>, method: impl Fn(Arc<T>, A) -> Fut) -> Response
    where
        T: Send + Sync + 'static,
        A: Args,
        Fut: Future<Output = Self> + Send + 'static;
}

impl<T: Wire, E: WireError> IsResult for Result<T, E> {
    type Ok = T;
    type Err = E;

    fn run<O, A, Fut>(invocation: Invocation<'_, '_, O>, method: impl Fn(Arc<O>, A) -> Fut) -> Response
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
        if !typed {
            return write(&value, bounds::unchecked()).map(Reply::Wire);
        }
        match place.map(|place| place.downcast_mut::<Option<R>>()) {
            Some(Some(place)) => {
                *place = Some(value);
                Ok(Reply::Placed)
            }
            Some(None) => write(&value, bounds::unchecked()).map(Reply::Wire),
            None => Ok(Reply::Typed(Box::new(UnwrittenValue::new(value, write)))),
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
impl<T: Send + Sync + 'static> Invocation<'_, '_, T> {
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

    /// Runs the part that depends on the types of the method; the rest is [`MethodCall::begin`], which is compiled once.
    fn run_with<A: Args, Fut>(
        self,
        method: impl Fn(Arc<T>, A) -> Fut,
        reply: impl Fn(Fut::Output, bool, ResultSlot<'_>) -> Outcome + Copy + marker::Send + 'static,
    ) -> Response
    where
        Fut: Future + Send + 'static,
    {
        self.call.begin(&|call| {
            let args = args::take::<A>(&mut call.args, call.method.args)?;
            let object = call.local.take_object::<T>().ok_or_else(|| not_a_function(None))?;
            Ok(running(future(method(object, args)), reply, call.typed))
        })
    }
}

#[doc(hidden)]
impl<'c, 'a, T> Invocation<'c, 'a, T> {
    pub(super) fn new(call: &'c mut MethodCall<'a>) -> Self {
        Self { call, object: PhantomData }
    }

    /// Answers a call of a method that does not exist.
    pub fn no_such_method(self) -> Response {
        self.call.no_such_method()
    }
}
