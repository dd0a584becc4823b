//! Streams with types: readers and writers.

use std::future::poll_fn;
#[cfg(feature = "tokio")]
use std::io;
use std::marker::{self, PhantomData};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};
#[cfg(feature = "tokio")]
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::args::{self, UntypedArgs};
use super::wire::Wire;
use crate::cap::Cap;
use crate::cap::fetch::Body;
use crate::cap::methods::MethodArgs;
use crate::cap::request::{Args, UnwrittenValue};
use crate::cap::stream::{self, Acknowledge, Chunk, Item, Later, Outflow, ReadEnd, Source};
use crate::error::{Error, ErrorKind};
use crate::kinds::Bytes;
use crate::panics::{Contained, PanicId, catch_panic};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, lock};
use crate::threads::{Send, Staying};

/// The read end of a stream, wherever its writer is: values of type `T`, one after the other.
///
/// It is an argument, a result, or a part of one, as a client is. Chunks arrive in their order, and are on their way
/// before you ask for them, as far as flow control lets them. A chunk is acknowledged to the writer when you take it.
///
/// **A writer that is dropped without [`close`](Writer::close) aborts the stream**: you get an error, so that a part of a
/// stream is never taken for all of it. Dropping a reader cancels the stream, and the writer's next write fails.
/// After an error or the end there is nothing more. A reader that was passed on gives an error as well: its new holder
/// reads.
///
/// ```
/// use capnode::Reader;
///
/// #[capnode::interface]
/// trait Numbers {
///     async fn up_to(&self, last: u32) -> Reader<u32>;
///     async fn sum(&self, numbers: Reader<u32>) -> Result<u32, capnode::Error>;
/// }
///
/// struct Machine;
///
/// impl Numbers for Machine {
///     async fn up_to(&self, last: u32) -> Reader<u32> {
///         Reader::from_iter(1..=last)
///     }
///
///     async fn sum(&self, mut numbers: Reader<u32>) -> Result<u32, capnode::Error> {
///         let mut sum = 0;
///         while let Some(number) = numbers.next().await {
///             sum += number?;
///         }
///         Ok(sum)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), capnode::Error> {
/// let machine = NumbersClient::new(Machine);
/// let numbers = machine.up_to(4).await?;
/// assert_eq!(machine.sum(numbers).await.unwrap(), 10);
/// # Ok(())
/// # }
/// ```
pub struct Reader<T> {
    end: Arc<ReadEnd>,
    /// The turn in which this is the holder of the end.
    turn: usize,
    /// A chunk with promises in it, which are awaited.
    later: Option<(Later, Option<Acknowledge>)>,
    over: bool,
    item: PhantomData<fn() -> T>,
}

/// The write end of a stream, wherever its reader is.
///
/// It is an argument, a result, or a part of one, as a client is.
///
/// **Dropping it without [`close`](Self::close) aborts the stream**, and the reader gets an error. After it was passed on,
/// its new holder alone can write.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), capnode::Error> {
/// let (mut writer, mut reader) = capnode::pipe::<String>();
/// writer.write("hello".to_owned()).await?;
/// let (closed, first) = tokio::join!(writer.close(), async {
///     let first = reader.next().await;
///     assert!(reader.next().await.is_none());
///     first
/// });
/// closed?;
/// assert_eq!(first.unwrap()?, "hello");
/// # Ok(())
/// # }
/// ```
pub struct Writer<T> {
    out: Outflow,
    passed: AtomicBool,
    closing: bool,
    item: PhantomData<fn(T)>,
}

/// Creates a stream inside this program. Either end can be passed on.
///
/// At most 16 values are in it before a write waits.
pub fn pipe<T: Wire>() -> (Writer<T>, Reader<T>) {
    let (source, end) = stream::pipe();
    (Writer::from_cap(end), Reader::of(source))
}

/// The values of a stream of this program.
struct Produced<T>(Mutex<Option<Contained<Poller<T>>>>);

/// Polls a stream for its next value.
type Poller<T> = Box<dyn FnMut(&mut Context<'_>) -> Poll<Option<Result<T, Error>>> + marker::Send>;

/// Returns the arguments of a write, as they are.
fn chunk<T: Wire>(value: T) -> Args {
    let write = |args: &(T,), bytes| args.write(bytes).map(|written| written.0);
    Args::Typed(Box::new(UnwrittenValue::new((value,), write)))
}

impl<T: Wire> Source for Produced<T> {
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Item, Error>>> {
        // It is user code, so no lock is held.
        let Some(mut values) = lock(&self.0).take() else { return Poll::Ready(None) };
        let poll = || values.get_mut().map_or(Poll::Ready(None), |values| values(cx));
        let next = match catch_panic("a stream", poll) {
            Ok(next) => next,
            Err(PanicId(id)) => {
                Poll::Ready(Some(Err(Error::rejected(format!("the stream panicked (id {id})")))))
            }
        };
        if !matches!(next, Poll::Ready(None | Some(Err(_)))) {
            *lock(&self.0) = Some(values);
        }
        next.map_ok(|value| Item::new(Chunk::Args(chunk(value)), None))
    }

    fn cancel(&self, _: &Error) {
        let values = lock(&self.0).take();
        drop(values);
    }
}

impl<T: Wire> Reader<T> {
    fn of(end: Arc<ReadEnd>) -> Self {
        let turn = end.hold();
        Self { end, turn, later: None, over: false, item: PhantomData }
    }

    fn produced(
        values: impl FnMut(&mut Context<'_>) -> Poll<Option<Result<T, Error>>> + Send + 'static,
    ) -> Self {
        let mut values = Staying::new(values);
        let values: Poller<T> = Box::new(move |cx| values.with_mut(|values| values(cx)));
        Self::of(ReadEnd::new(Box::new(Produced(Mutex::new(Some(Contained::new(values)))))))
    }

    /// Returns a reader of the values of a stream. The stream is polled when they are wanted, where the reader is read
    /// or by the connection that it was passed on over.
    pub fn new(stream: impl Stream<Item = T> + Send + 'static) -> Self {
        let mut stream = Box::pin(stream);
        Self::produced(move |cx| stream.as_mut().poll_next(cx).map(|value| value.map(Ok)))
    }

    /// Returns a reader of a stream that can fail. Its first error is the reader's, and its end.
    pub fn fallible<E: Into<Error>>(stream: impl Stream<Item = Result<T, E>> + Send + 'static) -> Self {
        let mut stream = Box::pin(stream);
        Self::produced(move |cx| stream.as_mut().poll_next(cx).map_err(Into::into))
    }

    /// Returns a reader of the values of an iterator.
    #[allow(clippy::should_implement_trait, reason = "the trait has no bound for `Send`")]
    pub fn from_iter<I>(values: I) -> Self
    where
        I: IntoIterator<Item = T>,
        I::IntoIter: Send + 'static,
    {
        let mut values = values.into_iter();
        Self::produced(move |_| Poll::Ready(values.next().map(Ok)))
    }

    /// Returns the next value; `None` at the end of the stream.
    ///
    /// # Errors
    ///
    /// The error by which the writer, or the connection, ended the stream; or that a chunk is no `T`, which cancels the
    /// stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<T, Error>> {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Ends the stream early. The writer's next write fails with `reason`.
    pub fn cancel(self, reason: Error) {
        if self.end.is_held_by(self.turn) {
            self.end.source.cancel(&reason);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, Error>>> {
        loop {
            if self.over {
                return Poll::Ready(None);
            }
            if !self.end.is_held_by(self.turn) {
                self.over = true;
                return Poll::Ready(Some(Err(stream::passed_on())));
            }
            if let Some((later, _)) = &mut self.later {
                let args = ready!(later.as_mut().poll(cx));
                let acknowledge = self.later.take().and_then(|(_, acknowledge)| acknowledge);
                return Poll::Ready(Some(self.take(args.map(Args::Wire), acknowledge)));
            }
            let item = ready!(self.end.source.poll_next(cx));
            self.end.set_begun(true);
            let Some(item) = item else {
                self.over = true;
                continue;
            };
            let (chunk, acknowledge) = match item {
                Ok(item) => item.into_parts(),
                Err(error) => return Poll::Ready(Some(self.take(Err(error), None))),
            };
            match chunk {
                Chunk::Args(args) => return Poll::Ready(Some(self.take(Ok(args), acknowledge))),
                Chunk::Later(later) => self.later = Some((later, acknowledge)),
                Chunk::Close => {
                    self.over = true;
                    if let Some(acknowledge) = acknowledge {
                        acknowledge(Ok(()));
                    }
                }
            }
        }
    }

    /// Reads a chunk, and tells its writer. An error is the end.
    fn take(&mut self, args: Result<Args, Error>, acknowledge: Option<Acknowledge>) -> Result<T, Error> {
        let value = args.and_then(|mut args| {
            args::take::<(T,)>(&mut MethodArgs::Request(&mut args), &["chunk"]).map(|(value,)| value)
        });
        if let Err(error) = &value {
            self.over = true;
            self.end.source.cancel(error);
        }
        if let Some(acknowledge) = acknowledge {
            acknowledge(value.as_ref().map_or_else(|error| Err(error.clone()), |_| Ok(())));
        }
        value
    }
}

/// The bytes of a chunk that is read from a byte stream: as many as fit small buffers on the way.
#[cfg(feature = "tokio")]
const CHUNK: usize = 32 << 10;

#[cfg(feature = "tokio")]
impl Reader<Bytes> {
    /// Returns a reader of the bytes of a file, socket or other source, in chunks of at most 32 KiB.
    pub fn from_async_read(source: impl AsyncRead + Send + 'static) -> Self {
        let (mut source, mut chunk) = (Box::pin(source), vec![0; CHUNK]);
        Self::produced(move |cx| {
            let mut buffer = ReadBuf::new(&mut chunk);
            if let Err(error) = ready!(source.as_mut().poll_read(cx, &mut buffer)) {
                return Poll::Ready(Some(Err(error.into())));
            }
            let read = buffer.filled();
            Poll::Ready((!read.is_empty()).then(|| Ok(Bytes::from(read.to_vec()))))
        })
    }

    /// Returns the bytes as a byte stream. An error of the stream is one of reading, and has the stream's as its source.
    pub fn into_async_read(self) -> impl AsyncRead + Send + Unpin {
        ByteStream { reader: self, chunk: Bytes::default(), taken: 0 }
    }
}

/// The bytes of a stream, of which a chunk may be taken in parts.
#[cfg(feature = "tokio")]
struct ByteStream {
    reader: Reader<Bytes>,
    chunk: Bytes,
    taken: usize,
}

#[cfg(feature = "tokio")]
impl AsyncRead for ByteStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.taken == self.chunk.len() {
            match ready!(self.reader.poll(cx)) {
                Some(Ok(chunk)) => (self.chunk, self.taken) = (chunk, 0),
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let rest = self.chunk.get(self.taken..).unwrap_or_default();
        let part = &rest[..rest.len().min(buffer.remaining())];
        buffer.put_slice(part);
        self.taken += part.len();
        Poll::Ready(Ok(()))
    }
}

impl<T: Wire> Stream for Reader<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

crate::opaque::opaque!([T] Reader<T>);

impl<T> Serialize for Reader<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.over || self.later.is_some() {
            return Err(ser::Error::custom("a stream that has been read to its end cannot be passed on"));
        }
        self.end.pass(self.turn).map_err(ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de, T: Wire> Deserialize<'de> for Reader<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cap::deserialize(deserializer).map(|cap| Self::of(ReadEnd::of(cap)))
    }
}

impl<T: Wire> Writer<T> {
    /// Returns the writer for an object with the methods `write`, `close` and `abort`. Nothing is checked.
    pub fn from_cap(cap: Cap) -> Self {
        Self { out: Outflow::new(cap), passed: AtomicBool::new(false), closing: false, item: PhantomData }
    }

    /// Writes a value. It waits until flow control has room for it, and not until it has been read.
    ///
    /// # Errors
    ///
    /// The reason for which this or an earlier value was not taken: the reader's, an error of the connection, or that the
    /// value could not be written. Later writes fail with it as well.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready drops the value unwritten.
    pub async fn write(&mut self, value: T) -> Result<(), Error> {
        poll_fn(|cx| self.poll_room(cx)).await?;
        self.out.write(chunk(value))
    }

    /// Says that nothing follows, and waits until the reader has taken everything.
    ///
    /// # Errors
    ///
    /// If the reader has not taken everything.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the end is on its way: dropping the future does not take it back.
    pub async fn close(mut self) -> Result<(), Error> {
        self.check_held()?;
        self.closing = true;
        self.out.close(None)?;
        poll_fn(|cx| self.out.poll_answers(cx)).await
    }

    /// Ends the stream by an error, which the reader gets.
    pub fn abort(mut self, reason: Error) {
        self.closing = true;
        if self.check_held().is_ok() {
            self.out.abort(&reason);
        }
    }

    fn check_held(&self) -> Result<(), Error> {
        if self.passed.load(Ordering::SeqCst) { Err(stream::passed_on()) } else { Ok(()) }
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.check_held()?;
        self.out.poll_ready(cx)
    }
}

impl<T> Drop for Writer<T> {
    fn drop(&mut self) {
        // Dropping a write end aborts its stream. Any other object has to be told.
        let passed = self.passed.load(Ordering::SeqCst);
        if !passed && !self.closing && !self.out.target().is_writable() {
            self.out.abort(&stream::unfinished());
        }
    }
}

impl<T: Wire> Sink<T> for Writer<T> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_room(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, value: T) -> Result<(), Error> {
        self.check_held()?;
        self.out.write(chunk(value))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.out.poll_answers(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.check_held()?;
        if !std::mem::replace(&mut self.closing, true) {
            self.out.close(None)?;
        }
        self.out.poll_answers(cx)
    }
}

impl<T> Unpin for Writer<T> {}

#[cfg(feature = "tokio")]
impl Writer<Bytes> {
    /// Returns the write end as a byte stream, which is written in chunks of at most 32 KiB. Its `shutdown` is the
    /// [`close`](Self::close) of the stream: without it the stream is aborted.
    pub fn into_async_write(self) -> impl AsyncWrite + Send + Unpin {
        ByteSink(self)
    }
}

#[cfg(feature = "tokio")]
struct ByteSink(Writer<Bytes>);

#[cfg(feature = "tokio")]
impl AsyncWrite for ByteSink {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.0.poll_room(cx)).map_err(io::Error::other)?;
        let part = &bytes[..bytes.len().min(CHUNK)];
        Pin::new(&mut self.0).start_send(Bytes::from(part.to_vec())).map_err(io::Error::other)?;
        Poll::Ready(Ok(part.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx).map_err(io::Error::other)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx).map_err(io::Error::other)
    }
}

crate::opaque::opaque!([T] Writer<T>);

impl<T> Serialize for Writer<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.passed.swap(true, Ordering::SeqCst) {
            return Err(ser::Error::custom(stream::passed_on()));
        }
        self.out.target().clone().with_kind(crate::cap::RefKind::Writable).serialize(serializer)
    }
}

impl<'de, T: Wire> Deserialize<'de> for Writer<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cap::deserialize(deserializer).map(Self::from_cap)
    }
}

impl Body {
    /// Returns the bytes as they come. A reader that nobody has read from yet gives its place up to a later one; if
    /// somebody has, the later one gets an error.
    pub fn into_reader(self) -> Reader<Bytes> {
        match self.end().filter(|end| !end.is_begun()) {
            Some(end) => Reader::of(end),
            None => Reader::produced(|_| Poll::Ready(Some(Err(stream::read_already())))),
        }
    }

    /// Reads all of the bytes.
    ///
    /// # Errors
    ///
    /// The error by which the stream ended, or that the body was read already; of kind [`Limit`](crate::ErrorKind::Limit)
    /// that it has more than `most` bytes.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, what it has read is lost, and the rest cannot be read.
    pub async fn read_to_end(self, most: usize) -> Result<Vec<u8>, Error> {
        let (mut reader, mut all) = (self.into_reader(), Vec::new());
        while let Some(chunk) = reader.next().await {
            let chunk = chunk?;
            if chunk.len() > most - all.len() {
                return Err(Error::new(ErrorKind::Limit, format!("the body has more than {most} bytes")));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }
}

/// Makes a body of the bytes that the reader has not read yet. The body of a reader that was passed on, or read to its end, was
/// read already: a use of it is an error.
impl From<Reader<Bytes>> for Body {
    fn from(reader: Reader<Bytes>) -> Self {
        if reader.over || reader.later.is_some() || !reader.end.is_held_by(reader.turn) {
            return Body::used();
        }
        reader.end.set_begun(false);
        Body::of(&reader.end)
    }
}
