//! The ends of streams as references.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::chunk::{Acknowledge, Chunk, Item, Source, unfinished, unread};
use super::iterator::{self, Iterated, Line};
use super::pipe::{Pipe, Turns};
use crate::cap::local::{Local, RequestTarget, record_with};
use crate::cap::missing::{missing, not_a_function};
use crate::cap::payload::{LivePayload, PayloadRef, undefined};
use crate::cap::request::{Args, Request};
use crate::cap::response::{FirstPoll, Reply, Response};
use crate::cap::{Cap, RefKind};
use crate::error::{Error, ErrorKind};
use crate::message::{Expression, Key, Payload, Text};

/// The write end of a pipe. Dropping it without an end aborts the stream.
pub(crate) struct WriteEnd(pub(crate) Arc<Pipe>);

impl Drop for WriteEnd {
    fn drop(&mut self) {
        self.0.abort(&unfinished());
    }
}

/// The read end of a stream. Dropping it cancels the stream.
pub(crate) struct ReadEnd {
    pub(crate) source: Arc<Line>,
    turns: Arc<Turns>,
}

impl ReadEnd {
    /// Creates a read end that is on its way to its first holder.
    pub(crate) fn new(source: Box<dyn Source>) -> Arc<Self> {
        Arc::new(Self { source: Line::new(source), turns: Arc::default() })
    }

    /// Returns the turn of a new holder, who alone may read from now on.
    pub(crate) fn hold(&self) -> usize {
        self.turns.hold()
    }

    /// Returns `true` as long as the holder with this turn may read.
    pub(crate) fn is_held_by(&self, turn: usize) -> bool {
        self.turns.is_held_by(turn)
    }

    /// Notes whether its holder has read from it: what is left is then no whole stream.
    pub(crate) fn set_begun(&self, begun: bool) {
        self.turns.set_begun(begun);
    }

    /// Returns `true` once its holder has read from it.
    pub(crate) fn is_begun(&self) -> bool {
        self.turns.is_begun()
    }

    /// Returns the read end as a reference, to be passed on by the holder with this turn, who uses it no more.
    ///
    /// # Errors
    ///
    /// If that has been done.
    pub(crate) fn pass(self: &Arc<Self>, turn: usize) -> Result<Cap, Error> {
        if self.turns.pass(turn) { Ok(self.cap()) } else { Err(passed_on()) }
    }

    pub(crate) fn cap(self: &Arc<Self>) -> Cap {
        Cap::from_local(Local::new(self.clone(), &ReadTarget)).with_kind(RefKind::Readable)
    }

    /// Returns the read end that a reference stands for, if it is one of this program, to be moved to a peer: once.
    pub(crate) fn taken(cap: &Cap) -> Option<Arc<Self>> {
        Self::here(cap).filter(|end| end.turns.move_away())
    }

    fn here(cap: &Cap) -> Option<Arc<Self>> {
        if cap.is_readable() { cap.own() } else { None }
    }

    /// Returns `true` for a read end of this program that has been moved to a peer.
    pub(crate) fn is_moved(cap: &Cap) -> bool {
        Self::here(cap).is_some_and(|end| end.turns.is_moved())
    }

    /// Notes that a reference goes to a peer that has no pipes. Returns what is to be lent: the reference itself, unless
    /// it is the read end of a stream that a peer holds already.
    pub(crate) fn expose(cap: Cap) -> Cap {
        match Self::here(&cap) {
            Some(end) if !end.turns.expose() => Cap::broken(passed_on()),
            _ => cap,
        }
    }

    /// Notes that a peer has passed a reference back.
    pub(crate) fn come_home(cap: &Cap) {
        if let Some(end) = Self::here(cap) {
            end.turns.come_home();
        }
    }

    /// Returns the read end that a reference stands for. Any other reference is taken for an object with `next` and
    /// `return`. Nothing is checked.
    pub(crate) fn of(cap: Cap) -> Arc<Self> {
        cap.own().unwrap_or_else(|| Self::new(Box::new(Iterated::new(cap))))
    }
}

impl Drop for ReadEnd {
    fn drop(&mut self) {
        self.source.cancel(&unread());
    }
}

/// A pipe's read end.
struct Reading(Arc<Pipe>);

impl Source for Reading {
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Item, Error>>> {
        self.0.poll_next(cx)
    }

    fn cancel(&self, reason: &Error) {
        self.0.cancel(reason);
    }
}

/// Returns the write end of a new pipe, as a reference.
pub(crate) fn write_end(pipe: Arc<Pipe>) -> Cap {
    Cap::from_local(Local::new(Arc::new(WriteEnd(pipe)), &WriteTarget)).with_kind(RefKind::Writable)
}

impl WriteEnd {
    /// Returns the write end of this program that is called, if it is one.
    pub(crate) fn called<A>(expression: &Expression<Cap, A>) -> Option<Arc<Self>> {
        match expression {
            Expression::Call { target, .. } => Self::of(target),
            Expression::Value(_) => None,
        }
    }

    /// Returns the write end that a reference stands for, if it is one of this program.
    pub(crate) fn of(cap: &Cap) -> Option<Arc<Self>> {
        if cap.is_writable() { cap.own() } else { None }
    }
}

/// Creates a pipe of this program. Returns its ends.
pub(crate) fn pipe() -> (Arc<ReadEnd>, Cap) {
    let pipe = Pipe::new();
    pipe.claim();
    (reading(&pipe), write_end(pipe))
}

/// Returns the read end of a pipe, the first time.
pub(crate) fn read_end(pipe: &Arc<Pipe>) -> Option<Arc<ReadEnd>> {
    pipe.claim().then(|| reading(pipe))
}

fn reading(pipe: &Arc<Pipe>) -> Arc<ReadEnd> {
    let end = ReadEnd::new(Box::new(Reading(pipe.clone())));
    pipe.set_turns(&end.turns);
    end
}

/// Returns the error of a use of an end that was passed on.
pub(crate) fn passed_on() -> Error {
    let message = "this end of the stream was passed on: its new holder alone can use it";
    Error::new(ErrorKind::Encode, message)
}

/// Returns the error of another use of a body that is read, or was.
pub(crate) fn read_already() -> Error {
    Error::new(ErrorKind::Encode, "the body was read already, and can be read once")
}

/// An end of a stream of this program.
pub(crate) enum StreamEnd {
    Read(Arc<ReadEnd>),
    Write(Arc<WriteEnd>),
}

impl StreamEnd {
    /// Returns the end that a reference, or a method of an end, stands for.
    pub(crate) fn of(cap: &Cap) -> Option<Self> {
        let end = cap.as_property().map_or(cap, |method| method.parts().0);
        let read = end.is_readable().then(|| end.own().map(Self::Read)).flatten();
        read.or_else(|| WriteEnd::of(end).map(Self::Write))
    }

    /// Returns `true` for an end that its holder writes to.
    #[cfg(feature = "host")]
    pub(crate) fn is_written(&self) -> bool {
        matches!(self, Self::Write(_))
    }

    /// Ends the stream, whose other end has gone.
    pub(crate) fn fail(&self, error: &Error) {
        match self {
            Self::Read(end) => end.source.cancel(error),
            Self::Write(end) => end.0.abort(error),
        }
    }
}

/// Serves write ends.
struct WriteTarget;

/// Serves read ends.
struct ReadTarget;

impl WriteEnd {
    /// Takes in a call of the write end: the name of its method, and its arguments.
    pub(crate) fn call(&self, name: Option<&str>, chunk: Chunk, acknowledge: Acknowledge) {
        match name {
            Some("write") => self.0.push(Item::new(chunk, Some(acknowledge))),
            Some("close") => self.0.push(Item::new(Chunk::Close, Some(acknowledge))),
            Some("abort") => {
                self.0.abort(&reason_in(chunk).unwrap_or_else(unfinished));
                acknowledge(Ok(()));
            }
            Some(other) => acknowledge(Err(Error::type_error(format!("'{other}' is not a function.")))),
            None => acknowledge(Err(not_a_function(None))),
        }
    }
}

/// Reads the reason in the arguments of `abort` or `return`.
fn reason_in(chunk: Chunk) -> Option<Error> {
    let Chunk::Args(mut args) = chunk else { return None };
    match args.write(usize::MAX) {
        Ok(()) => Error::first_thrown(&args.take_written()?),
        Err(error) => Some(error),
    }
}

/// Names of the methods of a write end.
const WRITES: [&str; 3] = ["write", "close", "abort"];

/// Names of the methods of a read end.
const READS: [&str; 2] = ["next", "return"];

/// Returns an end of a stream as a record of its methods.
pub(crate) fn record_of_end(cap: &Cap) -> LivePayload {
    let names: &[&str] = if cap.is_writable() { &WRITES } else { &READS };
    let cap = ReadEnd::expose(cap.clone());
    record_with(names.iter().map(|name| (*name, cap.at(name).with_kind(RefKind::Function))))
}

/// Returns the method of an end that is called; otherwise what is to be answered.
fn called(request: &mut Request, local: &Local) -> Result<(Text, Args), Response> {
    let path = request.member.clone().into_path();
    match path.as_slice() {
        [Key::Name(name)] if !request.args.is_read() => {
            Ok((name.clone(), std::mem::replace(&mut request.args, Args::Read)))
        }
        [] if request.args.is_read() => {
            let itself = Cap::from_local(local.clone()).with_kind(local.ref_kind());
            Err(Response::wire(Payload::reference(PayloadRef::Cap(itself))))
        }
        [first, rest @ ..] => Err(missing(first, rest, request)),
        [] => Err(Response::error(not_a_function(None))),
    }
}

impl RequestTarget for WriteTarget {
    fn ref_kind(&self) -> RefKind {
        RefKind::Writable
    }

    fn name(&self) -> &'static str {
        "stream"
    }

    fn request(&self, local: Local, request: &mut Request, _: Option<FirstPoll<'_>>) -> Response {
        let (name, args) = match called(request, &local) {
            Ok(called) => called,
            Err(answer) => return answer,
        };
        let Some(end) = local.downcast::<WriteEnd>() else { return Response::error(not_a_function(None)) };
        let (sender, taken) = futures_channel::oneshot::channel();
        end.call(
            Some(name.as_str()),
            Chunk::Args(args),
            Box::new(move |fate| {
                // The writer may have gone.
                let _gone = sender.send(fate);
            }),
        );
        drop(end);
        Response::handler(async move {
            taken.await.unwrap_or_else(|_| Err(unread())).map(|()| Reply::Wire(undefined()))
        })
    }
}

impl RequestTarget for ReadTarget {
    fn ref_kind(&self) -> RefKind {
        RefKind::Readable
    }

    fn name(&self) -> &'static str {
        "stream"
    }

    fn request(&self, local: Local, request: &mut Request, _: Option<FirstPoll<'_>>) -> Response {
        let (name, args) = match called(request, &local) {
            Ok(called) => called,
            Err(answer) => return answer,
        };
        let Some(end) = local.downcast::<ReadEnd>() else { return Response::error(not_a_function(None)) };
        match name.as_str() {
            // Its chunks go to a peer.
            "next" if end.turns.is_moved() => Response::error(passed_on()),
            "next" => iterator::next(end.source.clone(), end, request.options.answer_bytes),
            "return" => iterator::end(&end.source, &reason_in(Chunk::Args(args)).unwrap_or_else(unread)),
            _ => Response::error(not_a_function(Some(&Key::Name(name)))),
        }
    }
}
