//! Function references, and closures as such.

use std::fmt;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::args::ByValue;
use super::call::Call;
use super::dispatch::{Invocation, IsResult};
use super::wire::{Wire, WireError};
use crate::cap::local::{Local, RequestTarget};
use crate::cap::methods::{FUNCTION, MethodCall};
use crate::cap::missing::{in_function, not_a_function};
use crate::cap::payload::PayloadRef;
use crate::cap::request::{Args, Member, Request};
use crate::cap::response::{FirstPoll, Response};
use crate::cap::{Cap, RefKind};
use crate::error::CallError;
use crate::message::{Path, Payload};
use crate::threads::{Send, Sync, share};

/// A reference to a function, wherever it lives: `Func<fn(A, B) -> R>`.
///
/// `call` gives a [`Call<R>`], or for a function that returns `Result<T, E>` a
/// [`Call<T, CallError<E>>`](Call). Wherever an interface wants a `Func`, a closure that returns a
/// future will do; inside other data, make one by [`Func::new`], or by [`Func::fallible`] for a
/// function that returns a `Result`.
///
/// Cloning is cheap. The function is dropped with the last reference to it.
pub struct Func<F: ?Sized>(PlainFunc<F>);

/// The type of a function that can travel, which is the parameter of `Func`.
#[doc(hidden)]
pub trait Signature {}

/// A type that is written `Func<fn(..)>` and is one: a user type may have the name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is named `Func` but is another type",
    label = "this is not `capnode::Func`",
    note = "an argument that is a `Func` takes closures; give any other type another name here: write `type Function = ..`, or `use .. as Function`"
)]
#[doc(hidden)]
pub trait IsFunc<F: ?Sized> {
    fn of(func: Func<F>) -> Self;
}

impl<F: ?Sized> IsFunc<F> for Func<F> {
    fn of(func: Self) -> Self {
        func
    }
}

/// An argument of a method, of the type that is written there.
#[doc(hidden)]
pub fn func<T: IsFunc<F>, F: ?Sized>(func: Func<F>) -> T {
    T::of(func)
}

/// A [`Func`] whose result is no `Result`: by `Deref`, the method `call` of each that has none of its own.
pub struct PlainFunc<F: ?Sized> {
    cap: Cap,
    signature: PhantomData<fn(&F)>,
}

crate::opaque::opaque!([F: ?Sized] PlainFunc<F>);

impl<F: ?Sized> Func<F> {
    /// Returns the function that a reference stands for. Nothing is checked: a target that is no function, or has
    /// another signature, shows when it is called.
    pub fn from_cap(cap: Cap) -> Self {
        Self(PlainFunc { cap, signature: PhantomData })
    }

    fn from_closure(closure: impl Send + Sync + 'static, target: &'static FuncTarget) -> Self {
        Self::from_cap(Cap::from_local(Local::new(share(Arc::new(closure)), target)))
    }

    /// Returns the reference itself.
    pub fn cap(&self) -> &Cap {
        &self.0.cap
    }

    /// Returns a reference to `function`.
    ///
    /// If it returns a `Result`, its error reaches the caller as a value: the message is no more than that value's text, and
    /// an [`Error`](crate::Error) loses its properties. [`fallible`](Func::fallible) keeps both the text of `Display` and the
    /// properties.
    pub fn new(function: impl IntoFunc<F>) -> Self {
        function.into_func()
    }

    /// Makes a function reference for a `function` that returns a `Result`, whose error reaches the caller unchanged.
    pub fn fallible(function: impl IntoFallibleFunc<F>) -> Self {
        function.into_func()
    }
}

impl<F: ?Sized> Deref for Func<F> {
    type Target = PlainFunc<F>;

    fn deref(&self) -> &PlainFunc<F> {
        &self.0
    }
}

impl<F: ?Sized> From<Func<F>> for Cap {
    fn from(func: Func<F>) -> Self {
        func.0.cap.with_kind(RefKind::Function)
    }
}

impl<F: ?Sized> Clone for Func<F> {
    fn clone(&self) -> Self {
        Self::from_cap(self.0.cap.clone())
    }
}

impl<F: ?Sized> fmt::Debug for Func<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Func").field(&self.0.cap).finish()
    }
}

impl<F: ?Sized> PartialEq for Func<F> {
    fn eq(&self, other: &Self) -> bool {
        self.0.cap == other.0.cap
    }
}

impl<F: ?Sized> Eq for Func<F> {}

impl<F: ?Sized> Hash for Func<F> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.cap.hash(state);
    }
}

impl<F: Signature + ?Sized> Serialize for Func<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.cap.clone().with_kind(RefKind::Function).serialize(serializer)
    }
}

impl<'de, F: Signature + ?Sized> Deserialize<'de> for Func<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cap::deserialize(deserializer).map(Self::from_cap)
    }
}

/// The future that a closure returns.
#[diagnostic::on_unimplemented(
    message = "this function is not async",
    label = "it returns `{Self}`, which is not a future",
    note = "write `|argument: Type| async move {{ ... }}`"
)]
#[doc(hidden)]
pub trait Answers: Future<Output = <Self as Answers>::Answer> {
    /// The output of the function.
    type Answer;
}

#[diagnostic::do_not_recommend]
impl<F: Future> Answers for F {
    type Answer = F::Output;
}

/// A closure that returns a future, or a [`Func`]: it can be handed out as a function of the signature `F`.
#[diagnostic::on_unimplemented(
    message = "this can't be used as a function `{F}`",
    label = "expected a closure with the arguments of `{F}` that returns a future of its result",
    note = "write `|argument: Type| async move {{ ... }}`, and `move |argument: Type| {{ let x = x.clone(); async move {{ ... }} }}` if it captures `x`",
    note = "both the closure and its future have to be `Send`, and the closure `Sync + 'static`"
)]
pub trait IntoFunc<F: ?Sized> {
    /// The reference.
    fn into_func(self) -> Func<F>;
}

/// A closure or [`Func`] that can be handed out as a function of a signature that returns `Result<T, E>`.
#[diagnostic::on_unimplemented(
    message = "this can't be used as a function `{F}`",
    label = "expected a closure with the arguments of `{F}` that returns a future of its result",
    note = "write `|argument: Type| async move {{ ... }}`, and `move |argument: Type| {{ let x = x.clone(); async move {{ ... }} }}` if it captures `x`",
    note = "both the closure and its future have to be `Send`, and the closure `Sync + 'static`"
)]
pub trait IntoFallibleFunc<F: ?Sized> {
    /// The reference.
    fn into_func(self) -> Func<F>;
}

impl<F: ?Sized> IntoFunc<F> for Func<F> {
    fn into_func(self) -> Func<F> {
        self
    }
}

impl<F: ?Sized> IntoFallibleFunc<F> for Func<F> {
    fn into_func(self) -> Func<F> {
        self
    }
}

/// Serves the closures of one type, by a function that calls one.
struct FuncTarget(fn(&mut MethodCall<'_>) -> Response);

impl RequestTarget for FuncTarget {
    fn ref_kind(&self) -> RefKind {
        RefKind::Function
    }

    fn name(&self) -> &'static str {
        "function"
    }

    fn call(&self, _: usize, call: &mut MethodCall<'_>) -> Response {
        (self.0)(call)
    }

    fn request(&self, local: Local, request: &mut Request, first: Option<FirstPoll<'_>>) -> Response {
        match (&request.member, &request.args) {
            (Member::Path(path), args) if path.is_empty() => match args {
                Args::Read => Response::wire(Payload::reference(PayloadRef::Cap(Cap::from_local(local)))),
                _ => RequestTarget::call(self, 0, &mut MethodCall::new(local, &FUNCTION, request, first)),
            },
            (member, _) => match member.clone().into_path().as_slice() {
                [] => Response::error(not_a_function(None)),
                [first, rest @ ..] => in_function(first, rest, request),
            },
        }
    }
}

macro_rules! functions {
    ($(($($arg:ident $value:ident),*))*) => { $(
        impl<$($arg,)* R> Signature for fn($($arg),*) -> R {}

        impl<$($arg: Wire,)* R: Wire> PlainFunc<fn($($arg),*) -> R> {
            /// Calls the function.
            #[allow(clippy::too_many_arguments)]
            pub fn call(&self, $($value: $arg),*) -> Call<R> {
                Call::with(&self.cap, Member::Path(Path::Empty), ($(ByValue($value),)*))
            }
        }

        impl<$($arg: Wire,)* T: Wire, E: WireError> Func<fn($($arg),*) -> Result<T, E>> {
            /// Calls the function.
            #[allow(clippy::too_many_arguments)]
            pub fn call(&self, $($value: $arg),*) -> Call<T, CallError<E>> {
                Call::with(&self.0.cap, Member::Path(Path::Empty), ($(ByValue($value),)*))
            }
        }

        impl<C, Fut, $($arg: Wire,)* R: Wire> IntoFunc<fn($($arg),*) -> R> for C
        where
            C: Fn($($arg),*) -> Fut + Send + Sync + 'static,
            Fut: Answers<Answer = R> + Send + 'static,
        {
            fn into_func(self) -> Func<fn($($arg),*) -> R> {
                Func::from_closure(self, &FuncTarget(|call| {
                    let function = |closure: Arc<C>, ($($value,)*): ($($arg,)*)| closure($($value),*);
                    Invocation::new(call).run_function(function)
                }))
            }
        }

        impl<C, Fut, $($arg: Wire,)* T: Wire, E: WireError> IntoFallibleFunc<fn($($arg),*) -> Result<T, E>> for C
        where
            C: Fn($($arg),*) -> Fut + Send + Sync + 'static,
            Fut: Answers<Answer = Result<T, E>> + Send + 'static,
        {
            fn into_func(self) -> Func<fn($($arg),*) -> Result<T, E>> {
                Func::from_closure(self, &FuncTarget(|call| {
                    let function = |closure: Arc<C>, ($($value,)*): ($($arg,)*)| closure($($value),*);
                    IsResult::run(Invocation::new(call), function)
                }))
            }
        }
    )* };
}

functions! {
    ()
    (A a)
    (A a, B b)
    (A a, B b, C1 c)
    (A a, B b, C1 c, D d)
    (A a, B b, C1 c, D d, E1 e)
    (A a, B b, C1 c, D d, E1 e, F f)
}
