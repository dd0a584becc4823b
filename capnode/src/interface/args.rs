//! Arguments: borrowed or owned where a client is called, owned where a method is.

use serde::Serialize;

use super::wire::Wire;
use crate::cap::methods::MethodArgs;
use crate::cap::payload::{LivePayload, PayloadRef};
use crate::cap::request;
use crate::cap::slot::decode_args;
use crate::dialect::capnweb::{Reader, write_args};
use crate::error::Error;

/// An argument given as a borrow.
#[doc(hidden)]
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct ByRef<'a, T: ?Sized>(pub &'a T);

/// An argument given away.
#[doc(hidden)]
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct ByValue<T>(pub T);

/// A type that an argument can be lent as: its owned form can travel.
#[diagnostic::on_unimplemented(
    message = "`&{Self}` can't be sent over a connection",
    label = "this type must implement `Clone`, `Serialize` and `Deserialize`",
    note = "derive `Clone`, `serde::Serialize` and `serde::Deserialize` for it"
)]
#[doc(hidden)]
pub trait BorrowedArg: Serialize + ToOwned<Owned: Wire> {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + ToOwned<Owned: Wire> + ?Sized> BorrowedArg for T {}

/// The type that an argument is given as. The client and the dispatcher both name it by this trait, in the same words,
/// so that rustc says once that a type can't travel.
#[doc(hidden)]
pub trait Passed {
    type Given: IntoArg;
    type Taken: Wire;
    fn give(self) -> Self::Given;
}

impl<T: Wire> Passed for T {
    type Given = ByValue<T>;
    type Taken = T;

    fn give(self) -> ByValue<T> {
        ByValue(self)
    }
}

/// The type that the callee decodes for an argument given away.
#[doc(hidden)]
pub type Taken<T> = <T as Passed>::Taken;

/// The type that the callee decodes for a borrowed argument.
#[doc(hidden)]
pub type Owned<T> = <T as ToOwned>::Owned;

/// One argument as a client takes it.
#[doc(hidden)]
pub trait IntoArg: Serialize {
    type Owned: Wire;
    fn into_owned(self) -> Self::Owned;
}

impl<T: BorrowedArg + ?Sized> IntoArg for ByRef<'_, T> {
    type Owned = T::Owned;

    fn into_owned(self) -> T::Owned {
        self.0.to_owned()
    }
}

impl<T: Wire> IntoArg for ByValue<T> {
    type Owned = T;

    fn into_owned(self) -> T {
        self.0
    }
}

/// Arguments that have been written.
#[doc(hidden)]
#[derive(Debug)]
pub struct EncodedArgs(pub(crate) LivePayload);

/// Arguments being read.
#[doc(hidden)]
pub struct ArgsDecoder<'a, 'b> {
    reader: &'b mut Reader<'a, PayloadRef>,
    names: &'b [&'b str],
}

/// The arguments of a call without an interface, as for [`Cap::invoke`](crate::Cap::invoke): a tuple
/// of up to twelve values that serialize, or a `Vec` of any number.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a list of arguments",
    label = "this is not a tuple of values that serialize",
    note = "write a tuple: `()`, `(argument,)` or `(first, second)`, with 12 arguments at most"
)]
pub trait UntypedArgs {
    #[doc(hidden)]
    fn write(&self, limit: usize) -> Result<EncodedArgs, Error>;
}

/// The arguments of a call as a client takes them: a tuple.
#[doc(hidden)]
pub trait IntoArgs: UntypedArgs {
    type Owned: Args;
    fn into_owned(self) -> Self::Owned;
}

/// The arguments of a call as a method takes them.
#[doc(hidden)]
pub trait Args: UntypedArgs + Send + Sized + 'static {
    #[doc(hidden)]
    fn read(decoder: &mut ArgsDecoder<'_, '_>) -> Result<Self, Error>;
}

/// The arguments of a request. A caller in this program may have left them as they are.
pub(crate) fn take<A: Args>(args: &mut MethodArgs<'_>, names: &[&str]) -> Result<A, Error> {
    let read = |reader: &mut Reader<'_, PayloadRef>| A::read(&mut ArgsDecoder { reader, names });
    let args = match args {
        MethodArgs::Text(text) => return read(&mut Reader::of(text)),
        MethodArgs::Request(args) => std::mem::replace(*args, request::Args::Read),
    };
    let body = match args {
        request::Args::Read | request::Args::Map(..) => return read(&mut Reader::of("[]")),
        request::Args::Wire(body) => body,
        request::Args::Typed(mut args) => {
            let mut place = None;
            args.put(&mut place);
            match place {
                Some(args) => return Ok(args),
                None => args.write(usize::MAX)?,
            }
        }
    };
    decode_args(&body, read)
}

crate::opaque::opaque!(ArgsDecoder<'_, '_>);

impl ArgsDecoder<'_, '_> {
    /// Returns the error of an argument that does not fit, which says which one it is.
    #[cold]
    fn misfit(&self, at: usize, error: Error) -> Error {
        match self.names.get(at) {
            Some(name) => error.with_context(format_args!("argument {}, `{name}`", at + 1)),
            None => error.with_context(format_args!("argument {}", at + 1)),
        }
    }
}

impl<A: Serialize> UntypedArgs for Vec<A> {
    fn write(&self, limit: usize) -> Result<EncodedArgs, Error> {
        Ok(EncodedArgs(write_args(limit, |args| self.iter().try_for_each(|arg| args.push(arg)))?))
    }
}

macro_rules! tuples {
    ($(($($arg:ident $at:tt),*))*) => { $(
        impl<$($arg: Serialize),*> UntypedArgs for ($($arg,)*) {
            fn write(&self, limit: usize) -> Result<EncodedArgs, Error> {
                Ok(EncodedArgs(write_args(limit, |_args| {
                    $(_args.push(&self.$at)?;)*
                    Ok(())
                })?))
            }
        }

        impl<$($arg: IntoArg),*> IntoArgs for ($($arg,)*) {
            type Owned = ($($arg::Owned,)*);

            #[allow(clippy::unused_unit)]
            fn into_owned(self) -> Self::Owned {
                ($(self.$at.into_owned(),)*)
            }
        }

        impl<$($arg: Wire),*> Args for ($($arg,)*) {
            #[allow(unused_variables, clippy::unused_unit)]
            fn read(decoder: &mut ArgsDecoder<'_, '_>) -> Result<Self, Error> {
                Ok(($(decoder.reader.argument::<$arg>().map_err(|error| decoder.misfit($at, error))?,)*))
            }
        }
    )* };
}

tuples! {
    ()
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11)
}
