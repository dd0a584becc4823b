//! Requests on their way to a method: arguments decoded, the method run, its result made an answer.

use std::any::{Any, TypeId};
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;

use super::args::{self, Args};
use super::client::Client;
use super::wire::{Wire, WireError};
use crate::bounds;
use crate::cap::interface::{Interface, Manner};
use crate::cap::local::{Local, Serving};
use crate::cap::methods::request_of_interface;
use crate::cap::payload::{Body, encode, encode_outcome};
use crate::cap::progress::{self, Watched};
use crate::cap::request::{self, Extras, Member, Request};
use crate::cap::response::{Kind, Outcome, Place, Reply, Response, TypedReply};
use crate::dialect::capnweb;
use crate::error::{Data, Error, ErrorKind, Fate, Fault, LocalData};
use crate::panics::{caught, contained};
use crate::sync::{Mutex, lock};

/// A client whose interface `T` implements, so that it can stand for a `T`.
pub trait Serve<T: ?Sized>: Client {
    #[doc(hidden)]
    fn dispatch(method: usize, request: Delivery<T>) -> Response;
}

/// A request of an object that implements an interface.
#[doc(hidden)]
pub struct Delivery<T: ?Sized> {
    object: Arc<T>,
    request: Request,
}

/// Hands out an object: a client that stands for it. The same as `ChatClient::from_arc`, for where
/// that name is taken by a method.
pub fn serve<C: Serve<T>, T: Send + Sync + 'static>(object: Arc<T>) -> C {
    C::from_cap(Local::new(object, &Served::<C, T>(PhantomData)).into())
}

/// Serves an object under the interface of `C`.
struct Served<C, T>(PhantomData<fn() -> (C, T)>);

impl<C: Serve<T>, T: Send + Sync + 'static> Serving for Served<C, T> {
    fn interface(&self) -> Option<&'static Interface> {
        Some(C::INTERFACE)
    }

    /// A generic interface has one table for all its parameters, and a client for each.
    fn face(&self) -> usize {
        let mut bits = Bits(0);
        TypeId::of::<C>().hash(&mut bits);
        bits.0 as usize
    }

    fn name(&self) -> &'static str {
        C::INTERFACE.name
    }

    fn request(&self, local: Local, request: Request) -> Response {
        request_of_interface(local, C::INTERFACE, request, |local, method, request| {
            match local.into_object().downcast::<T>() {
                Ok(object) => C::dispatch(method, Delivery { object, request }),
                Err(_) => request.no_such_method(),
            }
        })
    }
}

/// Takes the bits of a `TypeId`, which are a hash already.
struct Bits(u64);

impl Hasher for Bits {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_u64(&mut self, bits: u64) {
        self.0 = self.0.rotate_left(5) ^ bits;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A type that is written `Result` and is one, with its parameters: an alias may have them in any order, and a user
/// type may have the name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is called `Result` and is another type",
    label = "this is not `std::result::Result`",
    note = "a method that returns a `Result` gives its caller the typed error; any other type is called otherwise here: write `type Outcome = ..`, or `use .. as Outcome`"
)]
#[doc(hidden)]
pub trait IsResult {
    type Ok: Wire;
    type Err: WireError;

    /// Runs a method that returns it, as [`Delivery::run`] does one that returns a value.
    fn run<T, A, Fut>(delivery: Delivery<T>, method: impl FnOnce(Arc<T>, A) -> Fut) -> Response
    where
        A: Args,
        Fut: Future<Output = Self> + Send + 'static;
}

impl<T: Wire, E: WireError> IsResult for Result<T, E> {
    type Ok = T;
    type Err = E;

    fn run<O, A, Fut>(delivery: Delivery<O>, method: impl FnOnce(Arc<O>, A) -> Fut) -> Response
    where
        A: Args,
        Fut: Future<Output = Self> + Send + 'static,
    {
        delivery.request.run_result(delivery.object, method)
    }
}

impl<T: Wire> TypedReply for T {
    fn is(&self, type_id: TypeId) -> bool {
        type_id == TypeId::of::<T>()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }

    fn encode(&self) -> Result<Body, Error> {
        encode(self)
    }
}

/// The output of a function. If it is a `Result`, it is one to the caller too, whether or not the closure was handed
/// out as one that can fail.
struct OfFunction<R>(R);

impl<R: Wire> TypedReply for OfFunction<R> {
    fn is(&self, type_id: TypeId) -> bool {
        self.0.is(type_id)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        Box::new(self.0)
    }

    fn encode(&self) -> Result<Body, Error> {
        encode_outcome(&self.0)
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
    pub(crate) fn of<R: Wire>(value: R, typed: bool, place: Place<'_>) -> Outcome {
        if !typed {
            return encode(&value).map(Reply::wire);
        }
        Ok(Reply(match placed(value, place) {
            None => Kind::Placed,
            Some(value) => Kind::Typed(Box::new(value)),
        }))
    }

    /// The reply of a function.
    fn of_function<R: Wire>(value: R, typed: bool, place: Place<'_>) -> Outcome {
        if !typed {
            return encode_outcome(&value).map(Reply::wire);
        }
        Ok(Reply(match placed(value, place) {
            None => Kind::Placed,
            Some(value) => Kind::Typed(Box::new(OfFunction(value))),
        }))
    }

    /// The outcome of a method whose error has a type.
    pub(crate) fn of_result<R: Wire, E: WireError>(
        result: Result<R, E>,
        typed: bool,
        place: Place<'_>,
    ) -> Outcome {
        match result {
            Ok(value) => Reply::of(value, typed, place),
            Err(error) => {
                // The library's own error is passed on as it is.
                if let Some(error) = (&error as &dyn Any).downcast_ref::<Error>() {
                    return Err(error.clone().with_fate(Fate::Answered).with_fault(Fault::Peer));
                }
                let rejected = Error::rejected(error.to_string());
                if typed {
                    let data = Data::Local(Arc::new(Returned(Mutex::new(Some(error)))));
                    return Err(rejected.with_data(data));
                }
                match capnweb::error_data(&error) {
                    Ok(properties) => Err(rejected.with_data(Data::Wire(properties.into()))),
                    // The message is left.
                    Err(error) if error.limit().is_some() => Err(rejected),
                    Err(error) => Err(error),
                }
            }
        }
    }
}

/// Puts a result where the caller wants it, or gives it back.
fn placed<R: Wire>(value: R, place: Place<'_>) -> Option<R> {
    match place.and_then(|place| place.downcast_mut::<Option<R>>()) {
        Some(place) => {
            *place = Some(value);
            None
        }
        None => Some(value),
    }
}

#[doc(hidden)]
impl<T> Delivery<T> {
    /// Runs a method: decodes the arguments, and makes an answer of its output.
    pub fn run<A, R, Fut>(self, method: impl FnOnce(Arc<T>, A) -> Fut) -> Response
    where
        A: Args,
        R: Wire,
        Fut: Future<Output = R> + Send + 'static,
    {
        let typed = self.request.typed;
        self.request.run_with(self.object, method, move |value, place| Reply::of(value, typed, place))
    }

    /// Answers a call of a method that does not exist.
    pub fn no_such_method(self) -> Response {
        contained("drop", || drop(self.object));
        self.request.no_such_method()
    }
}

/// Makes the handler of a call, given its arguments and their names. It is called once.
type Make<'a> = &'a mut dyn FnMut(request::Args, &[&str]) -> Result<Response, Error>;

#[cold]
fn begun() -> Error {
    Error::new(ErrorKind::Unsupported, "the call has begun already")
}

impl Request {
    /// Runs a function: decodes the arguments, and makes an answer of its output.
    pub(crate) fn run<T, A, R, Fut>(self, object: Arc<T>, method: impl FnOnce(Arc<T>, A) -> Fut) -> Response
    where
        A: Args,
        R: Wire,
        Fut: Future<Output = R> + Send + 'static,
    {
        let typed = self.typed;
        self.run_with(object, method, move |value, place| Reply::of_function(value, typed, place))
    }

    /// Runs a method or function that returns a `Result`.
    pub(crate) fn run_result<T, A, R, E, Fut>(
        self,
        object: Arc<T>,
        method: impl FnOnce(Arc<T>, A) -> Fut,
    ) -> Response
    where
        A: Args,
        R: Wire,
        E: WireError,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
    {
        let typed = self.typed;
        self.run_with(object, method, move |result, place| Reply::of_result(result, typed, place))
    }

    /// Runs the part that depends on the types of the method; the rest is `start`, which is compiled once.
    fn run_with<T, A: Args, Fut>(
        self,
        object: Arc<T>,
        method: impl FnOnce(Arc<T>, A) -> Fut,
        reply: impl FnOnce(Fut::Output, Place<'_>) -> Outcome + Send + 'static,
    ) -> Response
    where
        Fut: Future + Send + 'static,
    {
        let mut once = Some((object, method, reply));
        let response = self.start(&mut |args, names| {
            let args = args::take::<A>(args, names)?;
            let (object, method, reply) = once.take().ok_or_else(begun)?;
            Ok(Response::running(method(object, args), reply))
        });
        if once.is_some() {
            // It may be the last share in the object, whose drop runs user code.
            contained("drop", || drop(once));
        }
        response
    }

    /// Has the handler of a method or function made by `make` from the arguments, knowing their names.
    fn start(self, make: Make<'_>) -> Response {
        let (name, manner, names) = match &self.member {
            Member::Method(interface, number) => match interface.method(*number) {
                Some(method) => (method.name, method.manner, method.args),
                None => return self.no_such_method(),
            },
            Member::Path(_) => ("the function", Manner::default(), &[] as &[&str]),
        };
        // The arguments may have a user's types, and the method may do more than make a future.
        let args = self.args;
        let Extras { progress, answer_bytes, .. } = self.extras;
        let watched = progress.is_some() || progress::is_watched();
        let started = caught(name, || match watched {
            true => progress::within(progress.clone(), || {
                bounds::writing(answer_bytes.get(), || make(args, names))
            }),
            false => make(args, names),
        });
        match started {
            Ok(Ok(running)) => {
                let response = match watched {
                    true => {
                        let handler = Box::pin(
                            running.of_method(name, Manner::default()).answering_within(answer_bytes),
                        );
                        Response::handler(Watched { handler, progress })
                    }
                    false => running,
                };
                response.of_method(name, manner).answering_within(answer_bytes)
            }
            // The caller can do something about it: the class is JavaScript's for it.
            Ok(Err(error)) => Response::error(Error::type_error(error.about(name).message())),
            Err(panicked) => Response::error(panicked.into()),
        }
    }

    /// Answers a call of a method that does not exist.
    pub(crate) fn no_such_method(self) -> Response {
        Response::error(Error::type_error(format!("'{}' is not a function.", self.member.describe())))
    }
}
