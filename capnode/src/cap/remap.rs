//! Maps: programs that are run here for each element of a value.
//!
//! Each request of a program begins as soon as what it is made of is there, in the order of the elements, and in that of
//! the instructions. All that has begun is polled by the one future of the map, so that dropping it cancels the rest.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use futures_channel::oneshot;

use super::context::ambient;
use super::data::to_cap;
use super::edge::Edge;
use super::join_all::JoinAll;
use super::payload::{LivePayload, NestedPayload, PayloadRef, check_extent, unfolded_len};
use super::request::Args;
use super::response::{FirstPoll, Reply, Response};
use super::{Cap, depth};
use crate::bounds;
use crate::dialect::capnweb::{Mappable, parts_to_map, range_at, reference_at};
use crate::error::{Error, Fate, Fault};
use crate::limits::{LimitKind, Unfolding};
use crate::message::{CapDescriptor, Id, Mapping, Path, Payload, Program, ReceiverRef, Slot, Text};
use crate::runtime::BoxFuture;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, lock};
use crate::thin_vec::ThinVec;

/// A map whose references are there.
pub(crate) struct NestedMap {
    pub(crate) cap: Cap,
    pub(crate) path: Path,
    pub(crate) captures: Vec<Cap>,
    pub(crate) program: Arc<Program>,
    /// The edge of the connection that it came by.
    pub(crate) edge: Option<Arc<dyn Edge>>,
}

/// Bytes that the result for an element takes beside its own.
const ELEMENT: usize = 128;

/// Bytes of a result that are worth a step.
const STEP: usize = 64;

/// The most steps before others get their turn.
const TURN: usize = 256;

impl NestedMap {
    /// Returns a measure of the memory that the program takes.
    pub(crate) fn size(&self) -> usize {
        self.program.size() + self.captures.len() + self.path.as_slice().len()
    }

    /// Runs the program for each element of the value, or for the value itself if it is no list. Null and undefined are
    /// passed through.
    pub(crate) fn run(self, limits: Unfolding) -> Response {
        let Self { cap, path, captures, program, edge } = self;
        let held = |cap| Variable::known(Ok(PayloadRef::Cap(cap)));
        let (subject, captures) = (held(cap), captures.into_iter().map(held).collect());
        Response::handler(async move {
            let run = Run::new(limits, edge);
            let (begun, work) = (run.clone(), Work { subject, path, captures, program });
            let result = run.clone().complete(move || begun.start(Box::pin(begun.clone().map(work)))).await;
            // Others may have run before one that has not been sent.
            let has_run = |error: Error| match error.fate() {
                Fate::NotSent if run.steps.load(Ordering::Relaxed) > 0 => error.with_fate(Fate::MayHaveRun),
                _ => error,
            };
            result.map(|result| Reply::Wire(Payload::reference(result))).map_err(has_run)
        })
    }
}

/// A map of which all variables are known.
struct Work {
    subject: Variable,
    path: Path,
    captures: Arc<[Variable]>,
    program: Arc<Program>,
}

type Found = Result<PayloadRef, Error>;

/// The value of a variable, now or later.
#[derive(Clone)]
struct Variable(Arc<Place>);

#[derive(Default)]
struct Place {
    found: OnceLock<Found>,
    /// The value as something to look into.
    cap: OnceLock<Cap>,
    waiting: Mutex<Vec<Waker>>,
}

impl Variable {
    fn known(found: Found) -> Self {
        Self(Arc::new(Place { found: OnceLock::from(found), ..Place::default() }))
    }

    fn set(&self, found: Found) {
        // The first failure counts.
        let _first = self.0.found.set(found);
        let waiting = std::mem::take(&mut *lock(&self.0.waiting));
        waiting.into_iter().for_each(Waker::wake);
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<&Found> {
        if self.0.found.get().is_none() {
            let mut waiting = lock(&self.0.waiting);
            if self.0.found.get().is_none() {
                if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    waiting.push(cx.waker().clone());
                }
                return Poll::Pending;
            }
        }
        self.0.found.get().map_or(Poll::Pending, Poll::Ready)
    }

    async fn get(&self) -> Found {
        poll_fn(|cx| self.poll(cx).map(Clone::clone)).await
    }

    /// Returns the value as something to look into, once it is there.
    async fn cap(&self) -> Result<Cap, Error> {
        let found = self.get().await?;
        Ok(self.0.cap.get_or_init(|| to_cap(Payload::reference(found))).clone())
    }

    /// Returns `true` for a value that is there, and is no reference that may have to be asked for it.
    fn is_value(&self) -> bool {
        self.0.found.get().is_some_and(|found| !matches!(found, Ok(PayloadRef::Cap(_))))
    }
}

/// A value with variables in it.
struct Parts {
    text: Text,
    refs: Vec<Slot<Variable>>,
    failed: FirstFailure,
}

/// The first failure of values of which all are needed.
struct FirstFailure(Variable);

impl FirstFailure {
    fn new() -> Self {
        Self(Variable(Arc::default()))
    }

    /// Returns the value, unless it or another has failed.
    async fn or(&self, part: &Variable) -> Found {
        poll_fn(|cx| match self.0.poll(cx) {
            Poll::Ready(failed) => Poll::Ready(failed.clone()),
            Poll::Pending => part.poll(cx).map(Clone::clone),
        })
        .await
    }
}

impl Parts {
    async fn whole(self, limits: Unfolding) -> Result<LivePayload, Error> {
        let mut refs = Vec::with_capacity(self.refs.len());
        for Slot { start, end, to } in self.refs {
            refs.push(Slot { start, end, to: self.failed.or(&to).await? });
        }
        check_extent(Payload { text: self.text, refs: refs.into(), nodes: ThinVec::NONE }, limits)
    }
}

/// The state that a map shares with the maps in it.
struct Run {
    limits: Unfolding,
    edge: Option<Arc<dyn Edge>>,
    steps: AtomicUsize,
    /// Bytes of the results that are kept.
    bytes: AtomicUsize,
    /// The steps that are left until others get their turn.
    turn: AtomicUsize,
    permits: Mutex<Permits>,
    /// Work that has begun and is not polled by anything yet.
    begun: Mutex<Vec<BoxFuture<()>>>,
    /// The reason why the whole map fails.
    failed: OnceLock<Error>,
}

/// The calls that may still begin, and those that wait for that.
struct Permits {
    free: usize,
    line: VecDeque<oneshot::Sender<Permit>>,
}

/// The permission of a call to run; `None` once it has been given back.
struct Permit(Option<Arc<Run>>);

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(run) = self.0.take() else { return };
        loop {
            let next = {
                let mut permits = lock(&run.permits);
                let next = permits.line.pop_front();
                permits.free += usize::from(next.is_none());
                next
            };
            let Some(next) = next else { return };
            // One that has been given up is passed over.
            match next.send(Permit(Some(run.clone()))) {
                Ok(()) => return,
                Err(mut unused) => unused.0 = None,
            }
        }
    }
}

impl Run {
    fn new(limits: Unfolding, edge: Option<Arc<dyn Edge>>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            edge,
            steps: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            turn: AtomicUsize::new(TURN),
            permits: Mutex::new(Permits { free: limits.calls.max(1), line: VecDeque::new() }),
            begun: Mutex::default(),
            failed: OnceLock::new(),
        })
    }

    /// Runs all that begins with `begin` until that has its outcome. If it has failed, all else is dropped; otherwise
    /// calls whose results nobody has used go on by themselves.
    async fn complete(self: Arc<Self>, begin: impl FnOnce() -> Variable) -> Found {
        let mut begin = Some(begin);
        let mut result = None;
        let mut tasks = JoinAll::new(Vec::new());
        let outcome = poll_fn(|cx| {
            if let Some(begin) = begin.take() {
                result = Some(begin());
            }
            let _left = self.go_on(&mut tasks, cx);
            if let Some(error) = self.failed.get() {
                return Poll::Ready(Err(error.clone()));
            }
            result.as_ref().map_or(Poll::Pending, |result| result.poll(cx).map(Clone::clone))
        })
        .await;
        if outcome.is_ok() && !tasks.is_empty() {
            depth::run_apart(Box::pin(async move { poll_fn(|cx| self.go_on(&mut tasks, cx)).await }));
        }
        outcome
    }

    /// Polls what has begun for a turn. Ready when nothing is left of it, or the map has failed.
    fn go_on(&self, tasks: &mut JoinAll<()>, cx: &mut Context<'_>) -> Poll<()> {
        self.turn.store(TURN, Ordering::Relaxed);
        loop {
            let begun = std::mem::take(&mut *lock(&self.begun));
            begun.into_iter().for_each(|task| tasks.push(task));
            let polled = tasks.poll(cx, |_, ()| {});
            if self.failed.get().is_some() {
                // It holds this.
                drop(std::mem::take(&mut *lock(&self.begun)));
                return Poll::Ready(());
            }
            if lock(&self.begun).is_empty() {
                return polled;
            }
        }
    }

    /// Begins work now, and returns the variable of its outcome.
    fn start(&self, mut work: BoxFuture<Found>) -> Variable {
        match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(found) => Variable::known(found),
            Poll::Pending => {
                let later = Variable(Arc::default());
                let set = later.clone();
                lock(&self.begun).push(Box::pin(async move { set.set(work.await) }));
                later
            }
        }
    }

    /// Counts steps of the map. If there are too many, the whole map fails.
    fn count_steps(&self, steps: usize) -> Result<(), Error> {
        if let Some(error) = self.failed.get() {
            return Err(error.clone());
        }
        if steps > self.steps_left() {
            return Err(self.too_long());
        }
        self.steps.fetch_add(steps, Ordering::Relaxed);
        let left = self.turn.load(Ordering::Relaxed);
        self.turn.store(left.saturating_sub(steps), Ordering::Relaxed);
        Ok(())
    }

    fn steps_left(&self) -> usize {
        self.limits.map_steps.saturating_sub(self.steps.load(Ordering::Relaxed))
    }

    fn too_long(&self) -> Error {
        self.fail(LimitKind::MapSteps, format!("a map of more than {} steps", self.limits.map_steps))
    }

    /// Counts a value that is kept. If it is too much, the whole map fails.
    fn keep(&self, part: &PayloadRef) -> Result<(), Error> {
        let bytes = len_of(part).saturating_add(ELEMENT);
        bounds::add_unfolded(bytes);
        let (limit, before) = (self.limits.bytes, self.bytes.fetch_add(bytes, Ordering::Relaxed));
        if before.saturating_add(bytes) <= limit {
            return Ok(());
        }
        Err(self.fail(LimitKind::UnfoldedBytes, format!("the result of a map has more than {limit} bytes")))
    }

    fn fail(&self, limit: LimitKind, message: String) -> Error {
        let fail = || Error::over(limit, message).with_fault(Fault::Peer).with_fate(Fate::Answered);
        self.failed.get_or_init(fail).clone()
    }

    /// Waits until a call may run. They begin in the order of their requests.
    async fn permit(self: &Arc<Self>) -> Permit {
        let waiting = {
            let mut permits = lock(&self.permits);
            if permits.line.is_empty() && permits.free > 0 {
                permits.free -= 1;
                return Permit(Some(self.clone()));
            }
            let (permit, waiting) = oneshot::channel();
            permits.line.push_back(permit);
            waiting
        };
        // The line lives as long as the map.
        waiting.await.unwrap_or(Permit(None))
    }

    /// Waits until the next element may begin: others have had their turn, and a call may run.
    async fn next_element(self: &Arc<Self>) {
        poll_fn(|cx| {
            if self.turn.load(Ordering::Relaxed) > 0 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        drop(self.permit().await);
    }

    /// Makes a request. What it counts depends on its result.
    async fn request(self: Arc<Self>, cap: Cap, path: Path, args: Args, is_value: bool) -> Found {
        // What is there begins and ends at once, and nobody is asked about it.
        let is_there = is_value && args.is_read();
        let permit = if is_there { None } else { Some(self.permit().await) };
        let edge = if is_there { None } else { self.edge.clone() };
        let first = Some(FirstPoll::UNAWAITED);
        let response = cap.serve(path, args, self.limits.frame, ambient(), edge, first);
        let outcome = response.outcome().await;
        drop(permit);
        let body = outcome?.into_body()?;
        self.count_steps(unfolded_len(&body) / STEP)?;
        Ok(PayloadRef::outcome(Payload { text: body.text.share(), ..body }))
    }

    /// Begins the request that stands in an instruction, those in its arguments first.
    fn refer(self: &Arc<Self>, scope: &Scope<'_>, descriptor: &CapDescriptor) -> Variable {
        if let Err(error) = self.count_steps(1) {
            return Variable::known(Err(error));
        }
        match descriptor {
            CapDescriptor::ReceiverHosted(ReceiverRef { id, path, args, awaited }) => {
                let subject = scope.variable(*id);
                if path.is_empty() && args.is_none() && (!awaited || subject.is_value()) {
                    return subject;
                }
                let args = args.as_ref().map(|args| self.parts(scope, args));
                let (run, path, awaited) = (self.clone(), path.clone(), *awaited);
                self.start(Box::pin(async move {
                    let cap = subject.cap().await?;
                    let args = match args {
                        Some(args) => Args::Wire(args.whole(run.limits).await?),
                        None if awaited => Args::Read,
                        None => return Ok(PayloadRef::Cap(cap.at_path(path))),
                    };
                    run.request(cap, path, args, subject.is_value()).await
                }))
            }
            CapDescriptor::Map(map) => {
                let Mapping { id, path, captures, program } = &**map;
                let captures = captures.iter().map(|capture| match capture {
                    CapDescriptor::ReceiverHosted(capture) => scope.variable(capture.id),
                    _ => unknown(),
                });
                let Ok(program) = program else { return unknown() };
                let (subject, path, captures) = (scope.variable(*id), path.clone(), captures.collect());
                let work = Work { subject, path, captures, program: program.clone() };
                self.start(Box::pin(self.clone().map(work)))
            }
            // No program with one of these is run.
            _ => unknown(),
        }
    }

    fn parts(self: &Arc<Self>, scope: &Scope<'_>, value: &Payload<CapDescriptor>) -> Parts {
        let failed = FirstFailure::new();
        let mut refs = Vec::with_capacity(value.refs.len());
        for slot in &value.refs {
            let to = self.refer(scope, &slot.to);
            if value.refs.len() > 1 {
                self.watch(&to, &failed, |_, _| Ok(()));
            }
            refs.push(slot.with(to));
        }
        Parts { text: value.text.clone(), refs, failed }
    }

    /// Has `failed` know if a value fails, or `use_it` refuses one that is not there yet.
    fn watch(
        self: &Arc<Self>,
        part: &Variable,
        failed: &FirstFailure,
        use_it: fn(&Self, &PayloadRef) -> Result<(), Error>,
    ) {
        match part.0.found.get() {
            Some(Ok(_)) => {}
            Some(Err(error)) => failed.0.set(Err(error.clone())),
            None => {
                let (run, part, failed) = (self.clone(), part.clone(), failed.0.clone());
                lock(&self.begun).push(Box::pin(async move {
                    if let Err(error) = part.get().await.and_then(|part| use_it(&run, &part)) {
                        failed.set(Err(error));
                    }
                }));
            }
        }
    }

    /// Begins the instructions of a program for one element, and returns the variable of the last one's result.
    fn element(self: &Arc<Self>, work: &Work, element: PayloadRef) -> Variable {
        let element = Variable::known(Ok(element));
        let mut scope = Scope { captures: &work.captures, variables: vec![element] };
        for instruction in &work.program.instructions {
            let result = match self.count_steps(1) {
                Ok(()) if instruction.root().is_some() => {
                    let only = instruction.refs.first();
                    only.map_or_else(unknown, |only| self.refer(&scope, &only.to))
                }
                Ok(()) => {
                    let (parts, run) = (self.parts(&scope, instruction), self.clone());
                    self.start(Box::pin(async move {
                        let whole = parts.whole(run.limits).await?;
                        run.count_steps(unfolded_len(&whole) / STEP)?;
                        Ok(PayloadRef::outcome(whole))
                    }))
                }
                Err(error) => return Variable::known(Err(error)),
            };
            scope.variables.push(result);
        }
        scope.variables.pop().unwrap_or_else(unknown)
    }

    /// Returns the request of the peer at which all is that a map is about, if that peer runs maps. The edge of a
    /// connection has to see each call.
    fn at_peer(&self, cap: &Cap, work: &Work) -> Option<(Cap, Path, Args)> {
        let lent = |cap: &Cap| {
            let cap = cap.nearest();
            cap.present().unwrap_or(cap)
        };
        let (cap, path) = base(&cap.at_path(work.path.clone()));
        let cap = lent(&cap);
        let connection =
            cap.import().filter(|import| self.edge.is_none() && import.connection().edge().is_none());
        let connection = connection.filter(|_| runs_maps(&cap))?.connection_addr();
        let is_there = |cap: &Cap| {
            cap.import().is_some_and(|import| import.is_sent() && import.connection_addr() == connection)
        };
        let captures = work.captures.iter().map(|capture| match capture.0.found.get() {
            Some(Ok(PayloadRef::Cap(cap))) => Some(lent(cap)).filter(is_there),
            _ => None,
        });
        let captures = captures.collect::<Option<_>>()?;
        Some((cap, path, map_args(captures, work.program.clone())))
    }

    /// Runs the program of a map, or has it run where all is that it is about.
    async fn map(self: Arc<Self>, work: Work) -> Found {
        let cap = work.subject.cap().await?;
        if let Some((cap, path, args)) = self.at_peer(&cap, &work) {
            let mapped = self.clone().request(cap, path, args, false).await;
            // What the peer has not got is run here: a durable reference finds another connection.
            if mapped.as_ref().err().is_none_or(|error| error.fate() != Fate::NotSent) {
                return mapped;
            }
        }
        let input = if work.path.is_empty() && work.subject.is_value() {
            work.subject.get().await?
        } else {
            self.clone().request(cap, work.path.clone(), Args::Read, work.subject.is_value()).await?
        };
        self.count_steps(len_of(&input) / STEP)?;
        let opened = opened(&input);
        let mappable =
            opened.as_ref().map_or(Mappable::One, |value| parts_to_map(value.body(), self.steps_left()));
        match (mappable, opened) {
            (Mappable::Nothing, _) => Ok(input),
            (Mappable::TooLong, _) => Err(self.too_long()),
            (Mappable::List(starts), Some(list)) => self.list(work, list.body(), starts).await,
            (Mappable::List(_) | Mappable::One, _) => {
                self.count_steps(1)?;
                self.element(&work, input).get().await
            }
        }
    }

    /// Runs the program of a map for each of the elements, which stand at these places.
    async fn list(self: Arc<Self>, work: Work, body: &LivePayload, starts: Vec<usize>) -> Found {
        let failed = FirstFailure::new();
        let mut results = Vec::with_capacity(starts.len());
        for start in starts {
            self.next_element().await;
            if let Some(failed) = failed.0.0.found.get() {
                return failed.clone();
            }
            self.count_steps(1)?;
            let element = match reference_at(body, start) {
                Some(slot) => slot.to.clone(),
                None => PayloadRef::value(body.slice(range_at(body, start).ok_or_else(broken)?)),
            };
            let result = self.element(&work, element);
            match result.0.found.get() {
                Some(found) => self.keep(found.as_ref().map_err(Clone::clone)?)?,
                None => self.watch(&result, &failed, Self::keep),
            }
            results.push(result);
        }
        let mut list = ListWriter::new();
        for result in results {
            list.push(failed.or(&result).await?);
        }
        let list = check_extent(list.end(), self.limits)?;
        self.count_steps(unfolded_len(&list) / STEP)?;
        Ok(PayloadRef::value(list))
    }
}

/// The variables of a program that is run for one element.
struct Scope<'a> {
    captures: &'a [Variable],
    /// The element, and the results so far.
    variables: Vec<Variable>,
}

impl Scope<'_> {
    fn variable(&self, id: Id) -> Variable {
        let at = usize::try_from(id.unsigned_abs()).unwrap_or(usize::MAX);
        let found = if id < 0 { self.captures.get(at - 1) } else { self.variables.get(at) };
        // The ids have been checked.
        found.cloned().unwrap_or_else(unknown)
    }
}

/// A list that is put together from its elements.
pub(crate) struct ListWriter {
    text: String,
    is_empty: bool,
    refs: Vec<Slot<PayloadRef>>,
}

impl ListWriter {
    pub(crate) fn new() -> Self {
        Self { text: "[[".to_owned(), is_empty: true, refs: Vec::new() }
    }

    pub(crate) fn push(&mut self, part: PayloadRef) {
        if !std::mem::replace(&mut self.is_empty, false) {
            self.text.push(',');
        }
        match part {
            PayloadRef::Value(nested) if nested.body().refs.is_empty() => {
                self.text.push_str(nested.body().text.as_str());
            }
            to => self.refs.push(Slot { start: self.text.len(), end: self.text.len(), to }),
        }
    }

    pub(crate) fn end(mut self) -> LivePayload {
        self.text.push_str("]]");
        Payload { text: Text::frame(&self.text), refs: self.refs.into(), nodes: ThinVec::NONE }
    }
}

/// Returns the value that is not a reference to something; `None` for such a reference.
fn opened(part: &PayloadRef) -> Option<Arc<NestedPayload>> {
    match part {
        PayloadRef::Value(nested) => match nested.body().root() {
            // It is no deeper than values nest.
            Some(inner) => opened(inner),
            None => Some(nested.clone()),
        },
        PayloadRef::Shared(node) => opened(&PayloadRef::value(node.body())),
        PayloadRef::Cap(_) | PayloadRef::Inner(_) => None,
    }
}

/// Returns the reference that another one leads into, and the path there.
pub(super) fn base(cap: &Cap) -> (Cap, Path) {
    let cap = cap.nearest();
    match cap.as_property().map(|at| at.full_parts()) {
        Some((of, path, false)) => (of.nearest(), path.clone()),
        _ => (cap, Path::Empty),
    }
}

/// Returns `true` for something at a peer that runs maps.
pub(super) fn runs_maps(cap: &Cap) -> bool {
    cap.import().and_then(|import| import.capabilities()).is_some_and(|peer| peer.maps)
}

/// Returns the arguments of a request of such a peer to run a map.
pub(super) fn map_args(captures: Vec<Cap>, program: Arc<Program>) -> Args {
    let captures = captures.into_iter().map(|cap| Slot { start: 0, end: 0, to: PayloadRef::Cap(cap) });
    Args::Map(Payload { text: Text::Static(""), refs: captures.collect(), nodes: ThinVec::NONE }, program)
}

/// Returns the bytes of a value with all in it unfolded.
fn len_of(part: &PayloadRef) -> usize {
    unfolded_len(&Payload::reference(part.clone()))
}

fn unknown() -> Variable {
    Variable::known(Err(Error::rejected("no such variable in a map")))
}

fn broken() -> Error {
    Error::rejected("a part of the value is not there")
}
