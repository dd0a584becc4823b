//! Arguments: borrowed or owned where a client is called, owned where a method is.

use std::any::Any;
use std::borrow::Borrow;

use serde::{Serialize, Serializer};

use super::Wire;
use crate::cap::payload::{Body, Part, decode_args};
use crate::cap::request::{self, TypedArgs};
use crate::dialect::capnweb::{ArgsReader, ArgsWriter};
use crate::error::{Error, ErrorKind};

/// An argument given as a borrow.
#[doc(hidden)]
pub struct Lend<'a, T: ?Sized>(pub &'a T);

/// An argument given away.
#[doc(hidden)]
pub struct Give<T: Wire>(pub T);

/// What the callee decodes for a borrowed argument.
#[doc(hidden)]
pub type Owned<T> = <T as ToOwned>::Owned;

impl<T: Serialize + ?Sized> Serialize for Lend<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<T: Wire> Serialize for Give<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// One argument as a client takes it.
#[doc(hidden)]
pub trait IntoArg: Serialize {
    type Owned: Wire;
    fn into_owned(self) -> Self::Owned;
}

impl<T: Serialize + ToOwned + ?Sized> IntoArg for Lend<'_, T>
where
    T::Owned: Wire + Borrow<T>,
{
    type Owned = T::Owned;

    fn into_owned(self) -> T::Owned {
        self.0.to_owned()
    }
}

impl<T: Wire> IntoArg for Give<T> {
    type Owned = T;

    fn into_owned(self) -> T {
        self.0
    }
}

/// The arguments of a call as a client takes them: a tuple.
///
/// For calls without an interface, see [`Cap::invoke`](crate::Cap::invoke): there it is a tuple of
/// up to six values that serialize.
pub trait IntoArgs {
    #[doc(hidden)]
    type Owned: Args;
    #[doc(hidden)]
    fn encode(&self) -> Result<Body, Error>;
    #[doc(hidden)]
    fn into_owned(self) -> Self::Owned;
}

/// The arguments of a call as a method takes them.
#[doc(hidden)]
pub trait Args: Send + Sized + 'static {
    #[doc(hidden)]
    fn encode(&self) -> Result<Body, Error>;
    #[doc(hidden)]
    fn read(reader: &mut ArgsReader<'_, Part>, names: &[&str]) -> Result<Self, Error>;

    /// The arguments of a request. One in this program may have them as they are.
    #[doc(hidden)]
    fn take(args: request::Args, names: &[&str]) -> Result<Self, Error> {
        let body = match args {
            request::Args::Read => no_args(),
            request::Args::Wire(body) => body,
            request::Args::Typed(args) => {
                let body = args.encode();
                match args.into_any().downcast::<Self>() {
                    Ok(args) => return Ok(*args),
                    Err(_) => body?,
                }
            }
        };
        decode_args(&body, |reader| Self::read(reader, names))
    }
}

fn no_args() -> Body {
    Body::plain(crate::op::Text::Static("[]"))
}

impl<A: Args> TypedArgs for A {
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }

    fn encode(&self) -> Result<Body, Error> {
        Args::encode(self)
    }
}

/// Reads one argument, and says which it is if it does not fit.
fn read_one<T: Wire>(reader: &mut ArgsReader<'_, Part>, at: usize, names: &[&str]) -> Result<T, Error> {
    reader.next().map_err(|error: Error| {
        let at = at + 1;
        let error = match names.get(at - 1) {
            Some(name) => error.about(format_args!("argument {at}, `{name}`")),
            None => error.about(format_args!("argument {at}")),
        };
        Error::new(ErrorKind::Decode, error.message())
    })
}

macro_rules! tuples {
    ($(($($arg:ident $at:tt),*))*) => { $(
        impl<$($arg: IntoArg),*> IntoArgs for ($($arg,)*) {
            type Owned = ($($arg::Owned,)*);

            fn encode(&self) -> Result<Body, Error> {
                #[allow(unused_mut)]
                let mut writer = ArgsWriter::new();
                $(writer.push(&self.$at)?;)*
                Ok(writer.finish())
            }

            #[allow(clippy::unused_unit)]
            fn into_owned(self) -> Self::Owned {
                ($(self.$at.into_owned(),)*)
            }
        }

        impl<$($arg: Wire),*> Args for ($($arg,)*) {
            fn encode(&self) -> Result<Body, Error> {
                #[allow(unused_mut)]
                let mut writer = ArgsWriter::new();
                $(writer.push(&self.$at)?;)*
                Ok(writer.finish())
            }

            #[allow(unused_variables, clippy::unused_unit)]
            fn read(reader: &mut ArgsReader<'_, Part>, names: &[&str]) -> Result<Self, Error> {
                Ok(($(read_one::<$arg>(reader, $at, names)?,)*))
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
