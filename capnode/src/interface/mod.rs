//! What the macro's output is made of: the table of an interface, and the common half of all
//! clients and dispatchers.

use std::any::{Any, TypeId};
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::panic::UnwindSafe;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) mod args;
pub(crate) mod call;
pub(crate) mod func;
pub(crate) mod table;

use self::args::Args;
pub use self::table::Interface;
use crate::bounds;
use crate::cap::local::{Local, Serving, request_of_interface};
use crate::cap::payload::{Body, encode, encode_outcome};
use crate::cap::progress::{self, Watched};
use crate::cap::request::{self, Extras, Member, Request};
use crate::cap::response::{Kind, Manner, Outcome, Place, Reply, Response, TypedReply};
use crate::cap::value::Value;
use crate::cap::{self, Cap, Shape};
use crate::dialect::capnweb;
use crate::error::{Data, Error, ErrorKind, Fate, Fault, LocalData};
use crate::panics::{caught, contained};
use crate::sync::{Mutex, lock};

/// What can travel: everything that serde can write and read.
///
/// Implemented for every such type; there is nothing to implement.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't travel over a connection",
    label = "this has to be written and read by serde, and to be `Send + 'static`",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it, or hand it out as an object by a trait with `#[capnode::interface]`",
    note = "a function travels as `Func<fn(String) -> u32>`, told its own type, in which all is owned"
)]
pub trait Wire: Serialize + DeserializeOwned + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + 'static> Wire for T {}

/// What can be offered to a peer: a client, a function, or data with such in it.
///
/// Implemented for everything that serde can write; there is nothing to implement.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be offered to a peer",
    label = "this is neither a client nor data",
    note = "offer an object by a client: `SeatClient::new(object)`, if it implements the interface `Seat`",
    note = "offer a function by a `Func`: `Func::<fn(u32) -> u32>::new(|x: u32| async move {{ x }})`",
    note = "data is what implements `serde::Serialize`"
)]
pub trait Offer: Serialize {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + ?Sized> Offer for T {}

/// What can be the `E` of a method's `Result<T, E>`: an error that serde can write and read, and that holds no reference.
///
/// Implemented for every such type; there is nothing to implement.
///
/// Errors travel without references, so that a client, a [`Func`](crate::Func) or a [`Cap`] in one could not arrive. A type
/// that has one in it is known by not being [`UnwindSafe`]. That holds for some others too, such as `Box<dyn Error + Send +
/// Sync>`: an error with a field of that kind, which serde has to be told to skip, needs `impl UnwindSafe for MyError {}`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be the error of a method",
    label = "this has to be printed by `Display`, to be written and read by serde, and to hold no reference",
    note = "implement `std::fmt::Display` for it and derive `serde::Serialize` and `serde::Deserialize`",
    note = "for an error of another crate return `Result<T, capnode::Error>`, and make it by `capnode::Error::rejected(error.to_string())`",
    note = "errors travel without clients and functions: return those as a result, or in it",
    note = "if it has a field that serde skips, such as a `Box<dyn Error + Send + Sync>`, write `impl std::panic::UnwindSafe` for it"
)]
pub trait WireError:
    std::fmt::Display + Serialize + DeserializeOwned + Send + Sync + UnwindSafe + 'static
{
}

#[diagnostic::do_not_recommend]
impl<E: std::fmt::Display + Serialize + DeserializeOwned + Send + Sync + UnwindSafe + 'static> WireError
    for E
{
}

// What holds a reference can't be an error. These may, and it is found when they are written.
impl UnwindSafe for Error {}
impl UnwindSafe for Value {}

/// A typed client: what the attribute makes of a trait `Chat` is `ChatClient`, which is one.
///
/// A client has the methods of its interface and no others. What every reference can do is done by its [`Cap`], which
/// [`cap`](Client::cap) gives.
///
/// ```
/// use capnode::Client;
///
/// #[capnode::interface]
/// trait Store {
///     async fn get(&self, key: &str) -> Option<u32>;
/// }
///
/// # async fn example(store: StoreClient) -> Result<(), capnode::Error> {
/// let by_the_interface: Option<u32> = store.get("answer").await?;
/// let by_its_name: Option<u32> = store.cap().invoke("get", ("answer",)).await?;
/// # Ok(())
/// # }
/// ```
///
/// An object that hands out a client of itself keeps a `Weak` to itself, since by a client of its own it would live for
/// ever. While one of its methods runs, it is there:
///
/// ```
/// use std::sync::{Arc, Weak};
///
/// #[capnode::interface]
/// trait Counter {
///     async fn add(&self, count: u32) -> CounterClient;
/// }
///
/// struct Tally {
///     this: Weak<Tally>,
/// }
///
/// impl Tally {
///     fn client() -> CounterClient {
///         CounterClient::from_arc(Arc::new_cyclic(|this| Tally { this: this.clone() }))
///     }
/// }
///
/// impl Counter for Tally {
///     async fn add(&self, _count: u32) -> CounterClient {
///         CounterClient::from_arc(self.this.upgrade().expect("it is running"))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), capnode::Error> {
/// let counter = Tally::client();
/// assert_eq!(counter.add(1).await?, counter);
/// # Ok(())
/// # }
/// ```
pub trait Client: Into<Cap> + Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    #[doc(hidden)]
    const INTERFACE: &'static Interface;

    /// The client for a reference. Nothing is checked: whether the object has the methods shows
    /// when they are called.
    fn from_cap(cap: Cap) -> Self;

    /// Returns the reference that this client is made of. If the interface has a method of this name, write
    /// `Client::cap(&client)`.
    fn cap(&self) -> &Cap;
}

impl<C: Client> From<C> for Cap {
    fn from(client: C) -> Self {
        client.cap().clone().shaped(Shape::Object(C::INTERFACE))
    }
}

/// What every interface extends, by which the macro knows one among the supertraits that are written.
#[doc(hidden)]
pub trait AnInterface {
    /// Found before [`Ordinary::__kind`] where a bound says that something is an interface.
    fn __kind(&self) -> Extendable {
        Extendable
    }
}

#[diagnostic::do_not_recommend]
impl<T: ?Sized> AnInterface for T {}

/// What is found where no bound says so.
#[doc(hidden)]
pub trait Ordinary {
    fn __kind(&self) -> NotExtendable {
        NotExtendable
    }
}

impl<T: ?Sized> Ordinary for T {}

/// The kind of a trait that is an interface, or has one among its supertraits.
#[doc(hidden)]
pub struct Extendable;

/// The kind of every other trait.
#[doc(hidden)]
pub struct NotExtendable;

/// The kind that a supertrait has to be of.
#[diagnostic::on_unimplemented(
    message = "this supertrait is an interface, or has one among its own, and is not extended",
    label = "its methods can't be called at the client",
    note = "name the interface in the attribute, and not here: `#[capnode::interface(extends(..))]`"
)]
#[doc(hidden)]
pub trait Supertrait {}

impl Supertrait for NotExtendable {}

/// Checks the kind of a supertrait.
#[doc(hidden)]
pub fn supertrait(_: impl Supertrait) {}

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

/// How an object is served under the interface of `C`.
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

/// What is written `Result` is one, and of what: an alias may have its parameters in any order, and a type of the user's
/// own may have the name.
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

/// What a function returned. If that is a `Result`, it is one to the caller too, whether or not the closure was handed out
/// as one that can fail.
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
    /// The reply of a method. Its value is written as it is, also if it is a `Result`: what the method was declared to
    /// return decides, not what the value turns out to be.
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
                    Err(error) if error.exceeded().is_some() => Err(rejected),
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
    /// Runs a method: decodes the arguments, and makes of what the method returns an answer.
    pub fn run<A, R, Fut>(self, method: impl FnOnce(Arc<T>, A) -> Fut) -> Response
    where
        A: Args,
        R: Wire,
        Fut: Future<Output = R> + Send + 'static,
    {
        let typed = self.request.typed;
        self.request.run_with(self.object, method, move |value, place| Reply::of(value, typed, place))
    }

    /// There is no such method.
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
    /// Runs a function: decodes the arguments, and makes of what it returns an answer.
    pub(crate) fn run<T, A, R, Fut>(self, object: Arc<T>, method: impl FnOnce(Arc<T>, A) -> Fut) -> Response
    where
        A: Args,
        R: Wire,
        Fut: Future<Output = R> + Send + 'static,
    {
        let typed = self.typed;
        self.run_with(object, method, move |value, place| Reply::of_function(value, typed, place))
    }

    /// The same for a method or function that returns a `Result`.
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

    /// What depends on the types of the method; the rest is `start`, which is compiled once.
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
            // It may be the last share in the object, which is the user's.
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
        // What is read into may be a type of the user's, and what is called may do more than make a future.
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
            // Whoever called can do something about it: the class is JavaScript's for it.
            Ok(Err(error)) => Response::error(Error::type_error(error.about(name).message())),
            Err(panicked) => Response::error(panicked.into()),
        }
    }

    /// There is no such method.
    pub(crate) fn no_such_method(self) -> Response {
        Response::error(Error::type_error(format!("'{}' is not a function.", self.member.describe())))
    }
}

/// How every client is written: as its reference, of which the interface is known.
#[doc(hidden)]
pub fn serialize<C: Client, S: serde::Serializer>(client: &C, serializer: S) -> Result<S::Ok, S::Error> {
    client.cap().clone().shaped(Shape::Object(C::INTERFACE)).serialize(serializer)
}

/// The constructor behind every `ChatClient::promise`.
#[doc(hidden)]
pub fn promise<C: Client>() -> (C, cap::Resolver<C>) {
    cap::promise()
}

/// The client of a parent for the reference that `client` is.
#[doc(hidden)]
pub fn cast<C: Client, P: Client>(client: &C) -> P {
    P::from_cap(client.cap().clone())
}
