//! Streams as objects with the methods `next` and `return`, as JavaScript's iterators are: the read end of one that is
//! lent so, and the source of one that a peer lends.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use serde::Deserialize;

use super::chunk::{Acknowledge, Chunk, Item, Later, Source, error_args, no_args};
use crate::bounds;
use crate::cap::Cap;
use crate::cap::payload::{LivePayload, PayloadRef, undefined};
use crate::cap::request::{Args, CallOptions, Member, Request};
use crate::cap::response::{Outcome, Reply, Response};
use crate::cap::slot::decode;
use crate::cap::value::Value;
use crate::dialect::capnweb::{range_at, write_args};
use crate::error::Error;
use crate::message::{Key, Path, Payload, Slot, Text};
use crate::sync::{Mutex, lock};
use crate::thin_vec::ThinVec;

/// The source of a read end, with the calls of `next` that wait for its values. They are answered in their order.
pub(crate) struct Line {
    source: Box<dyn Source>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// The wakers of the calls by their numbers. The first one polls the source.
    calls: BTreeMap<u64, Option<Waker>>,
    last: u64,
    /// A chunk with promises in it, which are awaited.
    later: Option<(Later, Option<Acknowledge>)>,
    over: bool,
}

impl Line {
    pub(super) fn new(source: Box<dyn Source>) -> Arc<Self> {
        Arc::new(Self { source, waiting: Mutex::default() })
    }

    /// Answers all calls that wait with the end of the stream, and those to come.
    fn end(&self) {
        let (wakers, later) = {
            let waiting = &mut *lock(&self.waiting);
            waiting.over = true;
            let wakers: Vec<_> = waiting.calls.values_mut().filter_map(Option::take).collect();
            (wakers, waiting.later.take())
        };
        drop(later);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Source for Line {
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Item, Error>>> {
        self.source.poll_next(cx)
    }

    fn cancel(&self, reason: &Error) {
        // What is in it goes to the reader, if it is the end of the stream.
        self.source.cancel(&reason.clone().without_references());
        self.end();
    }

    fn borders(&self) -> usize {
        self.source.borders()
    }
}

/// A call of `next` in the line.
struct Turn {
    line: Arc<Line>,
    number: u64,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (_own, next) = {
            let calls = &mut lock(&self.line.waiting).calls;
            let own = calls.remove(&self.number);
            (own, calls.first_entry().and_then(|mut first| first.get_mut().take()))
        };
        if let Some(next) = next {
            next.wake();
        }
    }
}

impl Turn {
    fn new(line: Arc<Line>) -> Self {
        let number = {
            let waiting = &mut *lock(&line.waiting);
            waiting.last += 1;
            waiting.calls.insert(waiting.last, None);
            waiting.last
        };
        Self { line, number }
    }

    /// Returns the arguments of the next write; `None` at the end.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Args, Error>>> {
        // A waker is user code, so the former one is dropped after the guard.
        let mut waker = Some(cx.waker().clone());
        let mut later = {
            let waiting = &mut *lock(&self.line.waiting);
            if waiting.over {
                return Poll::Ready(None);
            }
            let is_first = waiting.calls.keys().next() == Some(&self.number);
            if let Some(place) = waiting.calls.get_mut(&self.number) {
                std::mem::swap(place, &mut waker);
            }
            if !is_first {
                return Poll::Pending;
            }
            waiting.later.take()
        };
        loop {
            if let Some((mut args, acknowledge)) = later.take() {
                let Poll::Ready(args) = args.as_mut().poll(cx) else {
                    lock(&self.line.waiting).later = Some((args, acknowledge));
                    return Poll::Pending;
                };
                return Poll::Ready(Some(self.take(args.map(Args::Wire), acknowledge)));
            }
            let item = ready!(self.line.source.poll_next(cx));
            let (chunk, acknowledge) = match item {
                Some(Ok(item)) => item.into_parts(),
                Some(Err(error)) => return Poll::Ready(Some(self.take(Err(error), None))),
                None => {
                    self.line.end();
                    return Poll::Ready(None);
                }
            };
            match chunk {
                Chunk::Args(args) => return Poll::Ready(Some(self.take(Ok(args), acknowledge))),
                Chunk::Later(args) => later = Some((args, acknowledge)),
                Chunk::Close => {
                    self.line.end();
                    if let Some(acknowledge) = acknowledge {
                        acknowledge(Ok(()));
                    }
                    return Poll::Ready(None);
                }
            }
        }
    }

    /// Tells the writer that its chunk was taken. An error is the end.
    fn take(&self, args: Result<Args, Error>, acknowledge: Option<Acknowledge>) -> Result<Args, Error> {
        if let Err(error) = &args {
            self.line.cancel(error);
        }
        if let Some(acknowledge) = acknowledge {
            acknowledge(args.as_ref().map_or_else(|error| Err(error.clone()), |_| Ok(())));
        }
        args
    }
}

/// Answers a call of `next`, in at most so many bytes. `end` is held until then.
pub(super) fn next(line: Arc<Line>, end: impl Send + 'static, bytes: usize) -> Response {
    let turn = Turn::new(line);
    Response::handler(async move {
        let _held = end;
        let Some(args) = poll_fn(|cx| turn.poll(cx)).await else { return step(true, undefined()) };
        let mut args = args?;
        if let Err(error) = bounds::writing(bytes, || args.write(bytes)) {
            return turn.take(Err(error), None).map(|_| Reply::Wire(undefined()));
        }
        let first = |args: &LivePayload| Some(args.slice(range_at(args, args.text.range().start + 1)?));
        step(false, args.take_written().as_ref().and_then(first).unwrap_or_else(undefined))
    })
}

/// Ends a stream early, and answers the call of `return`.
pub(super) fn end(line: &Line, reason: &Error) -> Response {
    line.cancel(reason);
    Response::ready(step(true, undefined()))
}

/// Returns the result of `next`.
fn step(done: bool, value: LivePayload) -> Outcome {
    let text = if done { r#"{"done":true,"value":}"# } else { r#"{"done":false,"value":}"# };
    let at = text.len() - 1;
    let refs = vec![Slot {
        start: at,
        end: at,
        to: PayloadRef::outcome(Payload { text: value.text.share(), ..value }),
    }];
    Ok(Reply::Wire(Payload { text: Text::Static(text), refs: refs.into(), nodes: ThinVec::NONE }))
}

/// The most calls of `next` on their way.
const AHEAD: usize = 16;

/// The values of an object with `next` and `return`. Some are asked for before they are wanted.
pub(super) struct Iterated(Mutex<Asked>);

struct Asked {
    /// The object, until the stream is over.
    cap: Option<Cap>,
    /// The calls of `next` without an answer, in their order.
    calls: VecDeque<Response>,
}

/// A result of `next`.
#[derive(Deserialize)]
struct Step {
    #[serde(default)]
    done: bool,
    #[serde(default)]
    value: Value,
}

impl Iterated {
    pub(super) fn new(cap: Cap) -> Self {
        Self(Mutex::new(Asked { cap: Some(cap), calls: VecDeque::new() }))
    }

    /// Ends the stream. Returns its object the first time.
    fn end(&self) -> Option<Cap> {
        let (cap, calls) = {
            let asked = &mut *lock(&self.0);
            (asked.cap.take(), std::mem::take(&mut asked.calls))
        };
        drop(calls);
        cap
    }
}

fn call(cap: Cap, name: &'static str, args: Args) -> Response {
    let member = Member::Path(Path::One(Key::Name(Text::Static(name))));
    // A stream may have nothing to say for longer than a call may take.
    let options = CallOptions { timed: true, ..CallOptions::NONE };
    cap.request(Request { member, args, typed: false, options })
}

/// Returns the value in a result of `next` as the arguments of a write; `None` at the end.
fn value_in(outcome: Outcome) -> Result<Option<Args>, Error> {
    let Step { done, value } = decode(&outcome?.into_body()?).map_err(|error| error.with_context("next"))?;
    if done { Ok(None) } else { write_args(usize::MAX, |args| args.push(&value)).map(Args::Wire).map(Some) }
}

impl Source for Iterated {
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Item, Error>>> {
        // They may be handlers of this program, so no lock is held while they are polled.
        let (cap, mut calls) = {
            let asked = &mut *lock(&self.0);
            let Some(cap) = asked.cap.clone() else { return Poll::Ready(None) };
            (cap, std::mem::take(&mut asked.calls))
        };
        while calls.len() < AHEAD {
            calls.push_back(call(cap.clone(), "next", no_args()));
        }
        let polled = calls.front_mut().map_or(Poll::Pending, |call| call.poll(cx, None));
        if polled.is_ready() {
            calls.pop_front();
        }
        {
            let asked = &mut *lock(&self.0);
            if asked.cap.is_some() {
                std::mem::swap(&mut asked.calls, &mut calls);
            }
        }
        drop((calls, cap));
        let value = value_in(ready!(polled));
        if !matches!(value, Ok(Some(_))) {
            drop(self.end());
        }
        Poll::Ready(value.transpose().map(|args| args.map(|args| Item::new(Chunk::Args(args), None))))
    }

    fn cancel(&self, reason: &Error) {
        if let Some(cap) = self.end() {
            // Nothing is to be done if it fails: there may be no such method.
            let _gone = call(cap, "return", error_args(reason)).detach();
        }
    }
}
