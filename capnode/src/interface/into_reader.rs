//! Arguments for a reader: any stream of its values.

use std::any::Any;
use std::marker::PhantomData;

use futures_core::Stream;
#[cfg(feature = "tokio")]
use tokio::io::AsyncRead;

use super::stream::Reader;
use super::wire::Wire;
use crate::error::Error;
#[cfg(feature = "tokio")]
use crate::kinds::Bytes;
use crate::threads::Send;

/// A stream that can be handed over as a [`Reader<T>`](Reader): one of `T`, one of `Result<T, E>`, a `Reader`, and for
/// bytes anything that tokio can read. `Marker` tells these apart.
#[diagnostic::on_unimplemented(
    message = "this can't be used as a `Reader<{T}>`",
    label = "expected a stream of `{T}`, or of `Result<{T}, E>`",
    note = "a `Reader<Bytes>` may also be anything that is `AsyncRead`; `Reader::from_iter` makes a reader of an iterator",
    note = "the stream has to be `Send + 'static`, and `E` to convert into `capnode::Error`"
)]
pub trait IntoReader<T, Marker> {
    /// Returns the reader.
    fn into_reader(self) -> Reader<T>;
}

/// Marks a stream of values.
#[doc(hidden)]
#[derive(Debug)]
pub struct OfValues;

/// Marks a stream that can fail.
#[doc(hidden)]
#[derive(Debug)]
pub struct OfResults<E>(PhantomData<E>);

/// Marks a byte stream.
#[cfg(feature = "tokio")]
#[doc(hidden)]
#[derive(Debug)]
pub struct OfBytes;

#[diagnostic::do_not_recommend]
impl<T: Wire, S: Stream<Item = T> + Send + 'static> IntoReader<T, OfValues> for S {
    fn into_reader(self) -> Reader<T> {
        Reader::new(self)
    }
}

#[diagnostic::do_not_recommend]
impl<T: Wire, E: Into<Error>, S: Stream<Item = Result<T, E>> + Send + 'static> IntoReader<T, OfResults<E>>
    for S
{
    fn into_reader(self) -> Reader<T> {
        let mut stream = Some(self);
        // A reader is such a stream, and is passed on as it is.
        match (&mut stream as &mut dyn Any).downcast_mut::<Option<Reader<T>>>().and_then(Option::take) {
            Some(reader) => reader,
            None => stream.map_or_else(|| Reader::from_iter([]), Reader::fallible),
        }
    }
}

#[cfg(feature = "tokio")]
#[diagnostic::do_not_recommend]
impl<S: AsyncRead + Send + 'static> IntoReader<Bytes, OfBytes> for S {
    fn into_reader(self) -> Reader<Bytes> {
        Reader::from_async_read(self)
    }
}

/// A type that is written `Reader<..>` and is one: a user type may have the name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is named `Reader` but is another type",
    label = "this is not `capnode::Reader`",
    note = "an argument that is a `Reader` takes streams; give any other type another name here: write `type Source = ..`, or `use .. as Source`"
)]
#[doc(hidden)]
pub trait IsReader<T> {
    fn of(reader: Reader<T>) -> Self;
}

impl<T> IsReader<T> for Reader<T> {
    fn of(reader: Self) -> Self {
        reader
    }
}

/// An argument of a method, of the type that is written there.
#[doc(hidden)]
pub fn reader<A: IsReader<T>, T>(reader: Reader<T>) -> A {
    A::of(reader)
}
