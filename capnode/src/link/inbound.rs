//! Intake of frames: the requests of a frame are taken down under the lock, and done after it.

use std::sync::Arc;

use futures_channel::oneshot;

use super::Link;
use super::call::{Call, What};
use super::late::Late;
use super::lost::LostMessage;
use super::named::Naming;
use super::state::{Answer, Caller, State};
use super::task::{Running, Task};
use crate::bounds;
use crate::cap::Cap;
use crate::cap::data::to_cap;
use crate::cap::depth::Hosted;
use crate::cap::payload::{Body, Part, undefined};
use crate::cap::progress::Progress;
use crate::cap::queue::Queue;
use crate::cap::response::{Reply, Response};
use crate::cap::staged::{Arrived, Ask, Kept, Promised, Staged, make_request, settle};
use crate::dialect::{Capabilities, Codec, Dialect, capnweb};
use crate::error::{Data, Error, ErrorKind, Fault};
use crate::limits::{LimitKind, Limits};
use crate::op::{Id, Op, Payload, Text};
use crate::panics::contained;
use crate::session::{Event, Ref};
use crate::sync::atomic::Ordering;
use crate::sync::lock;

/// Work to be done when the lock is free.
enum Todo {
    Call(Call),
    Deliver {
        caller: Option<Caller>,
        answer: Arrived,
    },
    Cancel(Option<Arc<Running>>, Option<Answer>),
    /// A call that fails without running.
    Refuse(Call, Error),
    /// A value to be dropped, which may run user code.
    Forget(Option<Answer>),
    Unpark(Option<Call>),
    Drop(Option<Cap>),
    /// The rest of an answer that was converted for the peer's language.
    Left(Box<Body>),
    /// A promise for the peer's index, and the index now that the language is known.
    Introduce(Arc<Queue>, Cap),
    Lost(LostMessage),
    Progress(Option<Progress>, Payload<Staged>),
    Close(Error),
}

/// Work to be done, in order. It is nearly always a single item, which takes no list.
#[derive(Default)]
struct Todos {
    first: Option<Todo>,
    rest: Vec<Todo>,
    /// `true` if the drops follow a delayed release.
    late: bool,
}

impl Todos {
    fn push(&mut self, todo: Todo) {
        match &self.first {
            None => self.first = Some(todo),
            Some(_) => self.rest.push(todo),
        }
    }

    fn extend(&mut self, todos: impl IntoIterator<Item = Todo>) {
        todos.into_iter().for_each(|todo| self.push(todo));
    }

    /// Removes the calls that have not begun.
    fn forget_calls(&mut self) {
        let has_begun = |todo: &Todo| !matches!(todo, Todo::Call(_));
        self.first = self.first.take().filter(has_begun);
        self.rest.retain(has_begun);
    }
}

/// Returns the error for a first message that is not one of the peer's language, or of any.
fn not_spoken(peer: Option<&Capabilities>) -> Error {
    let language = peer.map_or("any language that is spoken here", |peer| peer.title);
    Error::new(ErrorKind::Protocol, format!("the first message is not one of {language}"))
}

impl Link {
    /// Ends the session if the first message is not one of the peer's language. Any program that can open a byte stream
    /// can write to it: the HTTP request of a web page must not get as far as a line that is understood.
    #[cfg(feature = "tokio")]
    pub(crate) fn check_first(&self) {
        lock(&self.state).checks_first = true;
        self.share.note_silent();
    }

    /// Takes in one frame. A frame that breaks the protocol or a limit ends the session.
    pub(crate) fn receive(self: &Arc<Self>, frame: &str) {
        let mut todos = Todos::default();
        match self.take_in(frame, &mut todos) {
            Ok(over) => {
                if over {
                    self.relieve();
                }
                self.do_all(todos);
                self.tell_quiet();
                self.wake();
            }
            Err(error) => {
                self.break_off(error);
                // Waiting callers are told. No call begins in a session that has ended.
                todos.forget_calls();
                self.do_all(todos);
            }
        }
    }

    /// Takes in a frame and adds its work to `todos`, even if the frame ends the session. Returns `true` if the pool
    /// has no more room.
    fn take_in(self: &Arc<Self>, frame: &str, todos: &mut Todos) -> Result<bool, Error> {
        if frame.len() > self.limits.frame_bytes {
            let message = format!("a message is longer than {} bytes", self.limits.frame_bytes);
            return Err(Error::over(LimitKind::FrameBytes, message));
        }
        // Where no state is needed, a frame is parsed before the lock is taken.
        let parser = self.capabilities().and_then(|peer| peer.parser);
        let op = parser.map(|parse| parse(&Text::frame(frame), &self.limits)).transpose()?;
        let now = self.now();
        let mut state = lock(&self.state);
        if state.closed.is_some() {
            return Ok(false);
        }
        state.session.count_frame(now)?;
        let checks = std::mem::take(&mut state.checks_first);
        if state.language.is_unknown() {
            match Dialect::detect(frame, &self.limits)? {
                Some(dialect) => state.speak(self, dialect, todos),
                None if checks => return Err(not_spoken(None)),
                None => return Ok(false),
            }
        } else if checks && !state.language.recognizes(frame, &self.limits)? {
            return Err(not_spoken(self.capabilities()));
        }
        self.settle_drops(&mut state);
        // Releases have to be written before the name of a released function is read again.
        state.write_ops();
        let op = match op {
            Some(op) => Some(op),
            None => state.parse(frame, &self.limits, self.lost.is_some())?,
        };
        todos.late = state.language.is_late();
        if let Some(op) = op {
            state.clock.heard(&op, now);
            state.session.receive(op, now)?;
        }
        state.stage_events(self, todos, frame.len())?;
        state.write_ops();
        todos.extend(std::mem::take(&mut state.lost).into_iter().map(Todo::Lost));
        if state.unwritten() > self.limits.unwritten_bytes_hard {
            return Err(super::reads_too_slowly());
        }
        Ok(self.tell_pool(&state))
    }

    /// Starts parked calls while there is room for them and `go_on` returns `true`. Returns `true` if there is room for
    /// more of them.
    pub(crate) fn unpark(self: &Arc<Self>, mut go_on: impl FnMut() -> bool) -> bool {
        loop {
            let mut todos = Todos::default();
            let starts;
            {
                let mut state = lock(&self.state);
                // An ended call may have been the last that used another, which is cancelled now.
                let unwanted = state.stage_events(self, &mut todos, 0);
                debug_assert!(unwanted.is_ok(), "nothing new has arrived");
                let parked = if state.has_room(self) { state.parked.pop_first() } else { None };
                starts = parked.is_some();
                if let Some((_, call)) = parked {
                    state.parked_bytes -= call.bytes;
                    todos.push(Todo::Call(call));
                }
            }
            self.do_all(todos);
            if !starts {
                return false;
            }
            if !go_on() {
                let state = lock(&self.state);
                return !state.parked.is_empty() && state.has_room(self);
            }
        }
    }

    fn do_all(self: &Arc<Self>, todos: Todos) {
        let mut hosted = None;
        let limits = self.limits.unfolding();
        let _late = todos.late.then(Late::begin);
        for todo in todos.first.into_iter().chain(todos.rest) {
            // A handler started here may start others, which become tasks of this connection. An answer starts none.
            if !matches!(todo, Todo::Deliver { caller: Some(Caller::Waits { .. }) | None, .. }) {
                hosted.get_or_insert_with(|| Hosted::new(Some(self.clone())));
            }
            match todo {
                Todo::Call(call) => {
                    let Call { answer, what, bytes, .. } = call;
                    let unfolds = what.has_references();
                    let respond = || match what {
                        What::Call { target, path, args } => {
                            make_request(target, path, args, limits, self.progress_of(answer))
                        }
                        What::Evaluate(value) => match Staged::begin(value, limits) {
                            Ok(body) => Response::wire(body),
                            Err(value) => {
                                Response::handler(async move { settle(value, limits).await.map(Reply::Wire) })
                            }
                        },
                    };
                    self.run(answer, respond, bytes, unfolds);
                }
                Todo::Deliver { caller: Some(Caller::Waits { caller, .. }), answer } => {
                    // If the caller has gone, the answer is dropped, which releases its references.
                    let _gone = caller.send(answer.map(|answer| Staged::begin(answer, limits)));
                }
                Todo::Deliver { caller: Some(Caller::Promise(promised)), answer } => {
                    let kept = match answer {
                        Ok(value) => Kept::value(value, &self.untaken, limits),
                        Err(error) => Kept::failed(error),
                    };
                    // If no receiver is left, the outcome is dropped.
                    let _gone = promised.send(kept);
                    self.check_room();
                }
                Todo::Deliver { caller: Some(Caller::Index(queue)), answer } => {
                    let promise = |_| Error::new(ErrorKind::Protocol, "a promise in the place of an index");
                    let index = answer.and_then(|answer| Staged::all_there(answer, limits).map_err(promise));
                    queue.resolve(index.map_or_else(Cap::broken, to_cap));
                }
                Todo::Deliver { caller: None, answer } => drop(answer),
                Todo::Cancel(running, answer) => cancel(running, answer),
                Todo::Refuse(Call { answer, what, .. }, error) => {
                    drop(what);
                    self.finish(answer, Err(error));
                }
                Todo::Forget(answer) => drop(answer),
                Todo::Unpark(call) => drop(call),
                Todo::Drop(cap) => drop(cap),
                Todo::Left(body) => drop(body),
                Todo::Introduce(stranger, index) => stranger.resolve(index),
                Todo::Progress(progress, value) => {
                    if let (Some(progress), Ok(value)) = (progress, Staged::all_there(value, limits)) {
                        progress(value);
                    }
                }
                Todo::Lost(message) => {
                    if let Some(tell) = &self.lost {
                        contained("on_message_lost", || tell(message));
                    }
                }
                Todo::Close(error) => self.close(error),
            }
        }
    }

    /// Adds `bytes` to those that a running call of the peer holds.
    pub(super) fn call_holds(&self, answer: Id, bytes: usize) {
        {
            let mut state = lock(&self.state);
            let Some(running) = state.running.get(&answer) else { return };
            running.add_bytes(bytes);
            state.call_bytes += bytes;
        }
        self.check_room();
    }

    /// Returns the bytes of outcomes of promises that no caller has taken.
    pub(super) fn untaken(&self) -> usize {
        self.untaken.load(Ordering::Relaxed)
    }

    /// Ends the session if there is no room for its calls, or relieves the pool if that has none.
    fn check_room(&self) {
        let (room, over) = {
            let state = lock(&self.state);
            if state.closed.is_some() {
                return;
            }
            (state.check_calls(self), self.tell_pool(&state))
        };
        if over {
            self.relieve();
        }
        if let Err(error) = room {
            self.break_off(error);
        }
    }

    /// Runs a call of the peer: here, if it completes at once. Otherwise it becomes a task, and values unfolded for it
    /// count with it.
    fn run(self: &Arc<Self>, answer: Id, respond: impl FnOnce() -> Response, bytes: usize, unfolds: bool) {
        let start = || {
            let mut response = respond();
            (response.start(), response)
        };
        let ((outcome, response), unfolded) = match unfolds {
            true => bounds::unfolding(start),
            false => (start(), 0),
        };
        let bytes = bytes + unfolded;
        match outcome {
            Some(outcome) => {
                drop(response);
                self.finish(answer, outcome);
            }
            None => {
                let (task, running) = Task::new(self.clone(), answer, response, bytes);
                let mut state = lock(&self.state);
                if state.closed.is_some() {
                    drop(state);
                    return running.cancel();
                }
                state.running.insert(answer, running);
                state.tasks.push(task);
                state.call_bytes += bytes;
                let room = state.check_calls(self);
                let over = self.tell_pool(&state);
                drop(state);
                if over {
                    self.relieve();
                }
                if let Err(error) = room {
                    self.break_off(error);
                }
            }
        }
    }
}

impl State {
    /// Returns `true` if another call of the peer may run. Each call of this side that waits for the peer makes room
    /// for one more. Otherwise two sides at their limit whose handlers all call back would deadlock.
    pub(super) fn has_room(&self, link: &Link) -> bool {
        self.session.running() - self.parked.len() < link.limits.running_calls + self.own_calls
    }

    /// Returns an error if there is no room for all calls that have not ended.
    fn check_calls(&self, link: &Link) -> Result<(), Error> {
        let limit = link.limits.call_bytes;
        if self.call_bytes + self.parked_bytes + link.untaken() <= limit {
            return Ok(());
        }
        Err(Error::over(LimitKind::CallBytes, format!("more than {limit} bytes of calls have not ended")))
    }

    /// Sets the peer's language, which is known now.
    fn speak(&mut self, link: &Arc<Link>, dialect: Dialect, todos: &mut Todos) {
        // It is set only here, under the lock.
        let _set = link.dialect.set(dialect);
        self.language = Codec::of(Some(dialect));
        self.session.set_peer(dialect.capabilities());
        for stranger in std::mem::take(&mut self.strangers) {
            todos.push(Todo::Introduce(stranger, self.peer_index(link)));
        }
    }

    fn parse(&mut self, frame: &str, limits: &Limits, tell_lost: bool) -> Result<Option<Op>, Error> {
        let Self { session, language, named, objects, .. } = self;
        let op = language.parse(frame, limits, &mut Naming { named, session, objects });
        while let Some(lost) = self.language.take_lost() {
            if tell_lost {
                self.lost.push(LostMessage { id: lost, message: frame.to_owned() });
            }
        }
        op
    }

    /// Takes down the events of a frame of `bytes` bytes.
    fn stage_events(&mut self, link: &Arc<Link>, todos: &mut Todos, bytes: usize) -> Result<(), Error> {
        if link.capabilities().is_some_and(|peer| !peer.releases) {
            self.forget_oldest(link.limits.exports);
            todos.extend(std::mem::take(&mut self.forgotten).into_iter().map(|cap| Todo::Drop(Some(cap))));
        }
        while let Some(unsaid) = self.unsaid.first().map(|unsaid| unsaid.call) {
            let Some((error, caller)) = self.take_unsaid(unsaid) else { break };
            todos.push(Todo::Deliver { caller, answer: Err(error) });
        }
        while let Some(event) = self.session.poll_event() {
            let call = match event {
                Event::Call { answer, target, path, args } => {
                    self.named.begin(answer, target);
                    if target == 0
                        && path.is_empty()
                        && args.is_none()
                        && link.capabilities().is_some_and(|peer| peer.asks_index)
                    {
                        self.named.asks_index(answer);
                    }
                    let target = self.target(target);
                    let args = args.map(|args| self.stage_value(link, args));
                    Call::new(answer, What::Call { target, path, args }, bytes)
                }
                Event::Evaluate { answer, value } => {
                    Call::new(answer, What::Evaluate(self.stage_value(link, value)), bytes)
                }
                Event::Refused { answer, value, why } => {
                    if self.session.is_kept(answer) {
                        self.answers.entry(answer).or_default();
                    }
                    let call = Call::new(answer, What::Evaluate(self.stage_value(link, value)), bytes);
                    todos.push(Todo::Refuse(call, Error::rejected(why)));
                    continue;
                }
                event => {
                    self.stage(link, event, todos);
                    continue;
                }
            };
            if call.requests > link.limits.running_calls {
                let message = format!("more than {} calls in one message", link.limits.running_calls);
                // The call is dropped when the lock is free, like the others.
                todos.push(Todo::Unpark(Some(call)));
                return Err(Error::over(LimitKind::RunningCalls, message));
            }
            if self.session.is_kept(call.answer) {
                self.answers.entry(call.answer).or_default();
            }
            if link.draining.load(Ordering::SeqCst) {
                todos.push(Todo::Refuse(call, shutting_down()));
                continue;
            }
            // The call itself already counts as running.
            let room = self.parked.is_empty()
                && self.session.running() <= link.limits.running_calls + self.own_calls;
            if room {
                todos.push(Todo::Call(call));
                continue;
            }
            self.parked_bytes += call.bytes;
            self.parked.insert(call.answer, call);
            if self.parked_bytes > link.limits.parked_bytes {
                let message = format!("more than {} bytes of calls are waiting", link.limits.parked_bytes);
                return Err(Error::over(LimitKind::ParkedBytes, message));
            }
            self.check_calls(link)?;
        }
        Ok(())
    }

    fn stage(&mut self, link: &Arc<Link>, event: Event, todos: &mut Todos) {
        let todo = match event {
            // The caller has handled these, since there may be no room for them.
            Event::Call { .. } | Event::Evaluate { .. } | Event::Refused { .. } => return,
            Event::Pull { answer } => {
                if let Some(outcome) = self.answers.get(&answer).and_then(|answer| answer.outcome.clone()) {
                    todos.extend(self.send_answer(link, answer, outcome).map(Todo::Left));
                }
                return;
            }
            Event::PullObject { export } => {
                let outcome = self.pull_object(export);
                todos.extend(self.send_answer(link, export, outcome).map(Todo::Left));
                return;
            }
            Event::Cancel { answer } => {
                if let Some(call) = self.parked.remove(&answer) {
                    self.parked_bytes -= call.bytes;
                    todos.push(Todo::Unpark(Some(call)));
                }
                self.named.end(answer);
                Todo::Cancel(self.take_running(answer), self.forget(answer))
            }
            Event::Forget { answer } => Todo::Forget(self.forget(answer)),
            Event::Dropped { export } => {
                todos.extend(self.named.remove(export).into_iter().map(|cap| Todo::Drop(Some(cap))));
                Todo::Drop(self.objects.remove(&export))
            }
            Event::Answered { import, outcome } => {
                let caller = self.take_caller(import);
                let answer = match outcome {
                    Ok(value) => {
                        let staged = self.stage_value(link, value);
                        let limit = link.limits.running_calls;
                        if Staged::requests(&staged).0 > limit {
                            todos.push(Todo::Deliver { caller: None, answer: Ok(staged) });
                            let message = format!("more than {limit} calls in one answer");
                            Err(Error::over(LimitKind::RunningCalls, message).with_fault(Fault::Peer))
                        } else {
                            Ok(staged)
                        }
                    }
                    Err(thrown) => {
                        let error = capnweb::read_error(&thrown);
                        let staged = self.stage_value(link, thrown);
                        todos.push(Todo::Deliver { caller: None, answer: Ok(staged) });
                        Err(error)
                    }
                };
                Todo::Deliver { caller, answer }
            }
            Event::Unfit { import, value, why } => {
                let staged = self.stage_value(link, value);
                todos.push(Todo::Deliver { caller: None, answer: Ok(staged) });
                let error = Error::new(ErrorKind::Decode, why);
                Todo::Deliver { caller: self.take_caller(import), answer: Err(error) }
            }
            Event::Progress { import, value } => {
                let progress = match self.calls.get(&import) {
                    Some(Caller::Waits { progress, .. }) => progress.clone(),
                    Some(Caller::Promise(_) | Caller::Index(_)) | None => None,
                };
                Todo::Progress(progress, self.stage_value(link, value))
            }
            Event::Aborted { reason } => {
                let error = capnweb::read_error(&reason);
                let message = format!("the peer ended the session: {}", error.message());
                Todo::Close(Error::new(ErrorKind::Protocol, message))
            }
        };
        todos.push(todo);
    }

    /// Returns the object of an export, or the result of a call of the peer.
    fn target(&mut self, export: Id) -> Cap {
        if export == 0 {
            return self.index.clone().unwrap_or_else(|| no_index_for(self.session.peer()));
        }
        if let Some(cap) = self.objects.get(&export) {
            return cap.clone();
        }
        let answer = self.answers.entry(export).or_default();
        match (&answer.queue, &answer.outcome) {
            (Some(queue), _) => queue.clone().into(),
            (None, Some(Ok(body))) => answer.cap.get_or_insert_with(|| to_cap(body.clone())).clone(),
            (None, Some(Err(error))) => Cap::broken(error.clone()),
            (None, None) => answer.queue.insert(Queue::new()).clone().into(),
        }
    }

    /// Returns the answer to a pull of an export that is not a result.
    fn pull_object(&self, export: Id) -> Result<Body, Error> {
        match (export, &self.index) {
            (0, Some(index)) => Ok(Payload::reference(Part::Cap(index.clone()))),
            (0, None) => Err(no_index()),
            _ if !self.objects.contains_key(&export) => {
                Err(Error::rejected(format!("no such export ID: {export}")))
            }
            _ => Err(Error::rejected("Tried to resolve a non-promise stub.")),
        }
    }

    fn stage_value(&mut self, link: &Arc<Link>, value: Payload<Ref>) -> Payload<Staged> {
        value.map(|to| self.stage_reference(link, to))
    }

    fn stage_reference(&mut self, link: &Arc<Link>, to: Ref) -> Staged {
        match to {
            Ref::Import(id) => Staged::Cap(self.import(link, id, false).into()),
            Ref::Function(id) => Staged::Cap(self.import(link, id, true).into()),
            Ref::Node(node) => Staged::Node(node),
            Ref::Promise(id) => {
                let (sender, outcome) = oneshot::channel();
                self.calls.insert(id, Caller::Promise(sender));
                Staged::Promise(Promised::new(link.clone(), id, outcome))
            }
            Ref::Export(id) => Staged::Cap(self.target(id)),
            Ref::Use { id, path, args, awaited } => {
                let cap = self.target(id);
                let args = args.map(|args| self.stage_value(link, *args));
                Staged::Ask(Box::new(Ask { cap, path, args, awaited }))
            }
            Ref::Missing(with) => {
                Staged::Missing(with.into_iter().map(|to| self.stage_reference(link, to)).collect())
            }
        }
    }
}

/// Cancels a call that its caller has given up.
fn cancel(running: Option<Arc<Running>>, answer: Option<Answer>) {
    if let Some(running) = running {
        running.cancel();
    }
    // There may be a reference to the result, which will not come.
    if let Some(queue) = answer.as_ref().and_then(|answer| answer.queue.as_ref()) {
        queue.resolve(Cap::broken(Error::rejected("the call was cancelled")));
    }
    drop(answer);
}

/// Returns the error for a call that comes while the node is shutting down. The call has not run; a program in
/// JavaScript recognizes that by the property `code`.
fn shutting_down() -> Error {
    let code = Data::Wire(Text::Static(r#"{"code":"ESHUTDOWN"}"#));
    Error::rejected("the node is shutting down").with_data(code)
}

/// Returns the replacement for a missing index.
pub(crate) fn no_index_for(peer: &Capabilities) -> Cap {
    if peer.asks_index { to_cap(undefined()) } else { Cap::broken(no_index()) }
}

fn no_index() -> Error {
    Error::rejected("This connection has no main object.")
}
