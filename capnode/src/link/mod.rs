//! One connection without its transport: the session's tables, the objects and waiting callers
//! that its ids stand for, and the frames in and out. It neither reads, writes, spawns nor sleeps;
//! the driver does, and so does a test.
//!
//! All state is behind one lock, held only for moments and never while user code runs: what a
//! message asks for is first taken down, and done when the lock is free. For the same reason no
//! reference is dropped under it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::{Context, Poll, Waker};

use futures_channel::oneshot;

pub(crate) mod import;
mod inbound;
mod language;
mod named;
pub(crate) mod outgoing;
pub(crate) mod pending;
mod staged;
pub(crate) mod task;
#[cfg(test)]
pub(crate) mod tests;

use self::import::Import;
#[cfg(feature = "tokio")]
pub(crate) use self::inbound::no_index_in;
use self::language::Language;
use self::named::{Named, Naming};
use self::outgoing::Outgoing;
use self::pending::{Arrived, PendingAnswer};
use self::task::{Running, Task};
use crate::cap::payload::{
    Body, Lent, REFERENCE, flatten, held_len, to_cap, unfold, unfolded_len, with_records,
};
use crate::cap::progress::Progress;
use crate::cap::queue::Queue;
use crate::cap::response::{Outcome, Reply};
use crate::cap::{BrokenSlot, Cap, Shape, fire};
use crate::dialect::{Dialect, Names as _, Refused, capnweb};
use crate::error::{Error, ErrorKind, Fate};
use crate::limits::Limits;
use crate::lock;
use crate::op::{Answering, Id, Import as Use, Key, Op, Path, Payload, Word};
use crate::registry::Registry;
use crate::session::{ALL, Session, Side, Tables, Wanted};

/// Bytes of a message beside its path and its values.
const ENVELOPE: usize = 64;

/// What is agreed about a connection before it begins.
#[derive(Clone, Default)]
pub(crate) struct Terms {
    pub(crate) limits: Limits,
    /// The peer's language; none if it shall turn out from what it says first.
    pub(crate) dialect: Option<Dialect>,
    /// Where the names of functions are known, in languages that have them for all of a node.
    pub(crate) registry: Option<Registry>,
    /// Who is told of messages to what is not known.
    pub(crate) lost: Option<Arc<dyn Fn(LostMessage) + Send + Sync>>,
    /// What errors call the connection.
    pub(crate) nickname: Option<Arc<str>>,
}

/// A message to something that was forgotten, or never was: see [`Node::on_message_lost`](crate::Node::on_message_lost).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LostMessage {
    /// The id that is not known.
    pub id: String,
    /// The whole message.
    pub message: String,
}

pub(crate) struct Link {
    state: Mutex<State>,
    /// Once it is known.
    dialect: OnceLock<Dialect>,
    limits: Limits,
    lost: Option<Arc<dyn Fn(LostMessage) + Send + Sync>>,
    nickname: Option<Arc<str>>,
    /// Imports whose handles were dropped. Apart from the rest, so that a reference can be dropped
    /// anywhere.
    dropped: Mutex<Vec<Id>>,
    /// Wakes the driver.
    driver: Mutex<Option<Waker>>,
    /// Properties that are being asked for in order to go on from them, in a language that says one step at a time.
    steps: Mutex<HashMap<(Id, String), Weak<Queue>>>,
}

struct State {
    session: Session,
    language: Language,
    named: Named,
    /// Calls that could not be said in the peer's language.
    unsaid: Vec<Refused>,
    /// Messages to what is not known.
    lost: Vec<LostMessage>,
    /// What was forgotten, to be dropped where no lock is held.
    forgotten: Vec<Cap>,
    /// Who wants the index of a peer whose language is not known yet.
    strangers: Vec<Arc<Queue>>,
    index: Option<Cap>,
    out: Outgoing,
    /// Who waits for the answers of our calls and the outcomes of the peer's promises.
    calls: HashMap<Id, Caller>,
    imports: HashMap<Id, Weak<Import>>,
    objects: HashMap<Id, Cap>,
    /// The peer's calls whose results it may still use.
    answers: HashMap<Id, Answer>,
    kept_bytes: usize,
    /// How many of `calls` are calls of ours.
    own_calls: usize,
    running: HashMap<Id, Arc<Running>>,
    /// Handlers that did not end at once, to be driven.
    tasks: Vec<Task>,
    /// Calls of the peer's that wait for others to end.
    parked: VecDeque<inbound::Call>,
    parked_bytes: usize,
    /// Callers waiting until less is unwritten.
    room: Vec<Waker>,
    watchers: Vec<BrokenSlot>,
    /// Whether the peer's calls are refused from now on.
    draining: bool,
    /// Who waits for the last of the peer's calls to end, and for the end of the driver.
    quiet: Vec<Waker>,
    /// Whether nothing moves the connection any more.
    #[cfg(feature = "tokio")]
    gone: bool,
    closed: Option<Error>,
    /// What to tell the peer about it, if it is not an ordinary end.
    reason: Option<String>,
    /// Values that were written otherwise than they stand, to be dropped when the lock is free.
    left: Vec<Body>,
}

/// Who waits for an answer.
enum Caller {
    Waits(oneshot::Sender<Arrived>, Option<Progress>),
    /// A promise for the peer's index, in a language that has to be asked for it.
    Index(Arc<Queue>),
}

/// The result of a call of the peer's, kept for what the peer may still do with it.
#[derive(Default)]
struct Answer {
    /// Made when the result is used before it is there.
    queue: Option<Arc<Queue>>,
    outcome: Option<Result<Body, Error>>,
    bytes: usize,
}

impl Link {
    pub(crate) fn new(side: Side, index: Option<Cap>, terms: Terms) -> Arc<Self> {
        let Terms { limits, dialect, registry, lost, nickname } = terms;
        // Who connects speaks first.
        let dialect = dialect.or((side == Side::Connecting).then_some(Dialect::CapnWeb));
        let manner = dialect.unwrap_or_default().manner();
        let state = State {
            session: Session::speaking(side, limits.clone(), manner),
            language: Language::of(dialect),
            named: Named::new(registry),
            unsaid: Vec::new(),
            lost: Vec::new(),
            forgotten: Vec::new(),
            strangers: Vec::new(),
            index,
            out: Outgoing::default(),
            calls: HashMap::new(),
            imports: HashMap::new(),
            objects: HashMap::new(),
            answers: HashMap::new(),
            kept_bytes: 0,
            own_calls: 0,
            running: HashMap::new(),
            tasks: Vec::new(),
            parked: VecDeque::new(),
            parked_bytes: 0,
            room: Vec::new(),
            watchers: Vec::new(),
            draining: false,
            quiet: Vec::new(),
            #[cfg(feature = "tokio")]
            gone: false,
            closed: None,
            reason: None,
            left: Vec::new(),
        };
        let link = Self {
            state: Mutex::new(state),
            dialect: dialect.map_or_else(OnceLock::new, OnceLock::from),
            limits,
            lost,
            nickname,
            dropped: Mutex::new(Vec::new()),
            driver: Mutex::new(None),
            steps: Mutex::default(),
        };
        lock(&link.state).write_ops();
        Arc::new(link)
    }

    /// The peer's language, once it is known.
    pub(crate) fn dialect(&self) -> Option<Dialect> {
        self.dialect.get().copied()
    }

    /// What the connection is called, for errors.
    #[cfg(feature = "tokio")]
    pub(crate) fn nickname(&self) -> Option<&Arc<str>> {
        self.nickname.as_ref()
    }

    /// What the peer is offered from now on.
    #[cfg(feature = "tokio")]
    pub(crate) fn set_index(&self, index: Option<Cap>) {
        let not_used = {
            let mut state = lock(&self.state);
            if state.closed.is_none() { std::mem::replace(&mut state.index, index) } else { index }
        };
        drop(not_used);
    }

    /// What the peer offers.
    pub(crate) fn peer_index(self: &Arc<Self>) -> Cap {
        let index = {
            let mut state = lock(&self.state);
            match &state.closed {
                Some(closed) => Cap::broken(closed.clone().with_fate(Fate::NotSent)),
                None => state.peer_index(self),
            }
        };
        self.wake();
        index
    }

    /// Something of the peer's, by an id that came by another way.
    pub(crate) fn reconstruct(self: &Arc<Self>, name: &str) -> Result<Cap, Error> {
        let mut state = lock(&self.state);
        if let Some(closed) = &state.closed {
            return Err(closed.clone().with_fate(Fate::NotSent));
        }
        let unsupported = || {
            let message =
                "only Capnode has ids that are valid on all connections; elsewhere a `Restorer` knows them";
            Error::new(ErrorKind::Unsupported, message)
        };
        let id = state.language.reconstruct(name).ok_or_else(unsupported)?;
        state.session.reconstruct(id)?;
        Ok(state.import(self, id, true).into())
    }

    pub(crate) fn tables(&self) -> Tables {
        let state = lock(&self.state);
        Tables { forgotten: state.named.forgotten(), ..state.session.tables() }
    }

    // ------------------------------------------------------------------ what this program wants

    /// The id by which others can reconstruct something that the peer has lent.
    #[cfg(feature = "tokio")]
    pub(crate) fn id_of(self: &Arc<Self>, cap: &Cap) -> Option<String> {
        let cap = cap.nearest();
        let import = cap.import().filter(|import| Arc::ptr_eq(import.link(), self))?;
        lock(&self.state).language.name_of(import.id())
    }

    /// Calls, or without arguments reads, what an import stands for. The id of the result, and if
    /// the answer is to be sent, the future of it.
    fn call(
        self: &Arc<Self>,
        target: &Arc<Import>,
        path: Path,
        args: Option<Body>,
        answering: Answering,
        progress: Option<Progress>,
    ) -> Result<(Id, Option<PendingAnswer>), Error> {
        let args = args.map(|args| self.wording(args).0).transpose()?;
        let size = args.as_ref().map_or(0, |args| args.text.as_str().len() + args.refs.len() * REFERENCE);
        if size + path.len() + ENVELOPE >= self.limits.frame_bytes {
            return Err(Error::new(ErrorKind::Limit, "the arguments are longer than a frame may be"));
        }
        let mut state = lock(&self.state);
        if let Some(closed) = &state.closed {
            return Err(closed.clone().with_fate(Fate::NotSent));
        }
        if state.out.len() + size > self.limits.unwritten_bytes_hard {
            return Err(Error::new(ErrorKind::Limit, "too much is waiting to be written"));
        }
        self.settle_drops(&mut state);
        let args = args.map(|args| args.map(|lent| state.word(self, lent)));
        let id = state.session.call(target.id(), path, args, answering);
        let answer = (answering == Answering::Sent).then(|| {
            let (sender, answer) = oneshot::channel();
            state.calls.insert(id, Caller::Waits(sender, progress));
            state.own_calls += 1;
            answer
        });
        state.write_ops();
        let unsaid = state.take_unsaid(id);
        drop(state);
        self.wake();
        match unsaid {
            Some((error, caller)) => {
                drop(caller);
                Err(error)
            }
            None => Ok((id, answer.map(|answer| PendingAnswer::new(self.clone(), id, answer)))),
        }
    }

    /// A value with nothing in it that the peer's language has no words for; and what is left of it, to be dropped
    /// where no lock is held.
    fn wording(&self, body: Body) -> (Result<Payload<Lent>, Error>, Option<Body>) {
        let dialect = self.dialect().unwrap_or_default();
        if dialect == Dialect::CapnWeb {
            let (value, left) = unfold(body, self.limits.frame_bytes);
            return (value.map(|value| value.map(Lent::Cap)), left);
        }
        let body = if dialect == Dialect::Capnode { with_records(body) } else { body };
        (flatten(body.clone(), self.limits.frame_bytes), Some(body))
    }

    /// What a property of an import turns out to be. Whoever asks while it is being asked for gets the same promise, so
    /// that what is called on it keeps its order.
    fn step(self: &Arc<Self>, from: &Arc<Import>, name: &Key) -> Cap {
        let place = (from.id(), name.to_string());
        let asked = lock(&self.steps).get(&place).and_then(Weak::upgrade);
        if let Some(asked) = asked.filter(|asked| asked.resolution().is_none()) {
            return asked.into();
        }
        let promise = Queue::of_response(from.read(Path::One(name.clone())));
        if let Some(queue) = promise.queue() {
            let mut steps = lock(&self.steps);
            steps.retain(|_, asked| asked.strong_count() > 0);
            steps.insert(place, Arc::downgrade(queue));
        }
        promise
    }

    /// Nobody waits for the answer of a call any more.
    fn drop_call(&self, id: Id) {
        let sender = {
            let mut state = lock(&self.state);
            state.session.drop_call(id);
            state.write_ops();
            state.take_caller(id)
        };
        drop(sender);
        self.wake();
    }

    /// The handle of an import was dropped. This may happen anywhere, so nothing is done here.
    fn give_back(&self, id: Id) {
        lock(&self.dropped).push(id);
        self.wake();
    }

    /// Does what was put off by [`give_back`](Self::give_back).
    fn settle_drops(&self, state: &mut State) {
        let dropped = std::mem::take(&mut *lock(&self.dropped));
        for id in dropped {
            state.session.drop_import(id);
            if state.imports.get(&id).is_some_and(|import| import.strong_count() == 0) {
                state.imports.remove(&id);
            }
        }
    }

    /// Ready when there is room for a call that waits for its answer.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.closed.is_some() || state.out.len() < self.limits.unwritten_bytes_soft {
            return Poll::Ready(());
        }
        state.room.push(cx.waker().clone());
        Poll::Pending
    }

    pub(crate) fn on_closed(&self, slot: &BrokenSlot) {
        let closed = {
            let mut state = lock(&self.state);
            if state.closed.is_none() {
                if state.watchers.len() == state.watchers.capacity() {
                    state.watchers.retain(|watcher| Arc::strong_count(watcher) > 1);
                }
                state.watchers.push(slot.clone());
            }
            state.closed.clone()
        };
        if let Some(error) = closed {
            fire(slot, &error);
        }
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.state).closed.is_some()
    }

    /// What to tell the peer about the end, if it is not an ordinary one.
    #[cfg(feature = "tokio")]
    pub(crate) fn close_reason(&self) -> Option<String> {
        lock(&self.state).reason.clone()
    }

    /// Why the connection ended, if it has.
    pub(crate) fn closed(&self) -> Option<Error> {
        lock(&self.state).closed.clone()
    }

    pub(crate) fn closed_error(&self) -> Error {
        self.closed().unwrap_or_else(|| Error::new(ErrorKind::Disconnected, "the connection ended"))
    }

    /// Ends the session because the peer broke the protocol or a limit, and tells it why.
    pub(crate) fn abort(&self, error: Error) {
        {
            let mut state = lock(&self.state);
            if state.closed.is_none() {
                // What a stranger has to be told is told in the language that most speak.
                if state.language.is_unknown() {
                    state.language = Language::CapnWeb;
                }
                if let Ok(text) = capnweb::error_text(&error) {
                    state.session.abort(Payload::plain(text));
                    state.write_ops();
                }
            }
        }
        self.close(error);
    }

    /// Ends the session: whoever waits for anything gets `error`, and all references are dropped.
    /// The second time nothing happens.
    pub(crate) fn close(&self, error: Error) {
        let reason = (error.kind() != ErrorKind::Disconnected).then(|| error.message().to_owned());
        // Which connection it was is nothing for the peer.
        let error = match &self.nickname {
            Some(nickname) => error.about(nickname),
            None => error,
        };
        let (ended, watchers, room) = {
            let mut state = lock(&self.state);
            if state.closed.is_some() {
                return;
            }
            state.closed = Some(error.clone());
            state.reason = reason;
            state.session.end();
            state.parked_bytes = 0;
            state.kept_bytes = 0;
            state.own_calls = 0;
            let unnamed = state.named.clear();
            state.forgotten.extend(unnamed);
            state.unsaid.clear();
            let strangers = std::mem::take(&mut state.strangers);
            let ended = (
                (strangers, std::mem::take(&mut state.forgotten)),
                std::mem::take(&mut state.calls),
                std::mem::take(&mut state.objects),
                std::mem::take(&mut state.answers),
                std::mem::take(&mut state.imports),
                std::mem::take(&mut state.running),
                std::mem::take(&mut state.tasks),
                std::mem::take(&mut state.parked),
                state.index.take(),
            );
            (ended, std::mem::take(&mut state.watchers), std::mem::take(&mut state.room))
        };
        let ((strangers, forgotten), calls, objects, answers, imports, running, tasks, parked, index) = ended;
        for (_, caller) in calls {
            match caller {
                Caller::Waits(caller, _) => {
                    // A caller that has gone needs no cause.
                    let _gone = caller.send(Err(error.clone()));
                }
                Caller::Index(queue) => queue.resolve(Cap::broken(error.clone())),
            }
        }
        for stranger in strangers {
            stranger.resolve(Cap::broken(error.clone()));
        }
        for waker in room {
            waker.wake();
        }
        for (_, running) in running {
            running.cancel();
        }
        for answer in answers.values() {
            if let Some(queue) = &answer.queue {
                queue.resolve(Cap::broken(error.clone()));
            }
        }
        drop((objects, answers, imports, tasks, parked, index, forgotten));
        for watcher in watchers {
            fire(&watcher, &error);
        }
        self.tell_quiet();
        self.wake();
    }

    // ------------------------------------------------------------------------ for the driver

    /// Whom to wake when there is something to do. Whether there is already: output only if it
    /// `can_write`, or it would be asked again and again while the peer does not read.
    pub(crate) fn set_driver(&self, waker: Option<&Waker>, can_write: bool) -> bool {
        *lock(&self.driver) = waker.cloned();
        if waker.is_none() {
            return false;
        }
        let state = lock(&self.state);
        let work = (can_write && !state.out.is_empty()) || !state.tasks.is_empty() || state.closed.is_some();
        let work = work || state.session.has_events();
        work || !lock(&self.dropped).is_empty() || (!state.parked.is_empty() && state.has_room(self))
    }

    /// Lets the driver look whether the connection is still needed.
    #[cfg(feature = "tokio")]
    pub(crate) fn nudge(&self) {
        self.wake();
    }

    /// Whether something has to be said, and it is not known in which language.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_speechless(&self) -> bool {
        let state = lock(&self.state);
        state.language.is_unknown() && (state.session.has_ops() || !state.strangers.is_empty())
    }

    /// Refuses the peer's calls from now on. Those that it has made already go on.
    #[cfg(feature = "tokio")]
    pub(crate) fn drain(&self) {
        lock(&self.state).draining = true;
    }

    /// Ready when none of the peer's calls is running.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_quiet(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.closed.is_some() || state.session.running() == 0 {
            return Poll::Ready(());
        }
        state.wait_quietly(cx)
    }

    /// Ready when nothing moves the connection any more.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.gone { Poll::Ready(()) } else { state.wait_quietly(cx) }
    }

    /// Nothing moves the connection any more.
    #[cfg(feature = "tokio")]
    pub(crate) fn set_gone(&self) {
        let quiet = {
            let mut state = lock(&self.state);
            state.gone = true;
            std::mem::take(&mut state.quiet)
        };
        for waker in quiet {
            waker.wake();
        }
    }

    /// Tells who waits for it that none of the peer's calls is running, if that is so.
    fn tell_quiet(&self) {
        let quiet = {
            let mut state = lock(&self.state);
            let quiet = state.draining && (state.closed.is_some() || state.session.running() == 0);
            if quiet { std::mem::take(&mut state.quiet) } else { Vec::new() }
        };
        for waker in quiet {
            waker.wake();
        }
    }

    /// Which call of ours a frame asks for the answer of, in a language in which it matters.
    #[cfg(feature = "tokio")]
    pub(crate) fn asked_in(&self, frame: &str) -> Option<Id> {
        lock(&self.state).language.asked_in(frame)
    }

    /// Whether a call of ours has its answer.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_answered(&self, call: Id) -> bool {
        lock(&self.state).language.is_answered(call)
    }

    /// Whether there is something to give back that may still be kept if it comes again.
    pub(crate) fn is_leaving(&self) -> bool {
        lock(&self.state).language.is_leaving()
    }

    /// Gives back what has not come again for a turn; or all of it.
    pub(crate) fn flush(&self, all: bool) {
        let mut state = lock(&self.state);
        state.language.flush(all);
        state.write_ops();
    }

    fn wake(&self) {
        let waker = lock(&self.driver).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Moves what is to be written into `out`, which has been written.
    pub(crate) fn take_output(&self, out: &mut Outgoing) {
        let left;
        let (room, too_much) = {
            let mut state = lock(&self.state);
            left = std::mem::take(&mut state.left);
            if state.closed.is_none() {
                self.settle_drops(&mut state);
                state.write_ops();
            }
            let too_much = state.closed.is_none() && state.out.len() > self.limits.unwritten_bytes_hard;
            if state.out.is_empty() || !out.is_empty() {
                (Vec::new(), too_much)
            } else {
                out.clear();
                std::mem::swap(&mut state.out, out);
                (std::mem::take(&mut state.room), false)
            }
        };
        drop(left);
        if too_much {
            self.close(reads_too_slowly());
        }
        for waker in room {
            waker.wake();
        }
    }

    /// Handlers to be driven from now on.
    pub(crate) fn take_tasks(&self) -> Vec<Task> {
        std::mem::take(&mut lock(&self.state).tasks)
    }

    /// Whether nobody needs the connection: neither this program, nor the peer but for the index.
    pub(crate) fn is_idle(&self) -> bool {
        let mut state = lock(&self.state);
        self.settle_drops(&mut state);
        state.write_ops();
        state.session.is_idle()
    }

    // ------------------------------------------------------------------------ outcomes of calls

    /// Who is told how far a call of the peer's has come, if its language has a word for it.
    fn progress_of(self: &Arc<Self>, answer: Id) -> Option<Progress> {
        if self.dialect() != Some(Dialect::Q) {
            return None;
        }
        let link = Arc::downgrade(self);
        Some(Arc::new(move |value| {
            if let Some(link) = link.upgrade() {
                link.report(answer, value);
            }
        }))
    }

    fn report(self: &Arc<Self>, answer: Id, value: Body) {
        let (Ok(value), _left) = self.wording(value) else { return };
        {
            let mut state = lock(&self.state);
            if state.session.is_running(answer) {
                let value = value.map(|lent| state.word(self, lent));
                state.session.report(answer, value);
                state.write_ops();
            }
        }
        self.wake();
    }

    /// A call of the peer's has its outcome.
    pub(crate) fn finish(self: &Arc<Self>, answer: Id, outcome: Outcome) {
        let outcome = outcome.and_then(Reply::into_body).and_then(|body| {
            if unfolded_len(&body) + ENVELOPE < self.limits.frame_bytes {
                Ok(body)
            } else {
                Err(Error::new(ErrorKind::Limit, "the result is longer than a frame may be"))
            }
        });
        let mut told = false;
        let (forgotten, too_much) = loop {
            let mut state = lock(&self.state);
            let queue = state.answers.get(&answer).and_then(|answer| answer.queue.clone());
            if let (Some(queue), false) = (queue, told) {
                drop(state);
                // Calls made on the result before it was there go to it before anybody learns
                // what it is.
                told = true;
                queue.resolve(match &outcome {
                    Ok(body) => to_cap(body.clone()),
                    Err(error) => Cap::broken(error.clone()),
                });
                continue;
            }
            self.settle_drops(&mut state);
            let running = state.running.remove(&answer);
            let wanted = state.session.finish(answer);
            if wanted == Wanted::No {
                state.named.end(answer);
                let forgotten = state.forget(answer);
                state.write_ops();
                break ((running, forgotten), false);
            }
            let (outcome, refused) = state.keep(answer, outcome, self.limits.kept_bytes);
            if wanted == Wanted::Perhaps {
                state.named.end(answer);
                state.write_ops();
                break ((running, refused), false);
            }
            state.send_answer(self, answer, outcome);
            state.named.end(answer);
            let too_much = state.out.len() > self.limits.unwritten_bytes_hard;
            break ((running, refused), too_much);
        };
        drop(forgotten);
        if too_much {
            self.close(reads_too_slowly());
        }
        self.tell_quiet();
        self.wake();
    }
}

fn reads_too_slowly() -> Error {
    Error::new(ErrorKind::Limit, "the peer reads too slowly: too much is waiting to be written")
}

impl State {
    #[cfg(feature = "tokio")]
    fn wait_quietly(&mut self, cx: &Context<'_>) -> Poll<()> {
        if !self.quiet.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.quiet.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Who waits for an answer, and does so no longer.
    fn take_caller(&mut self, id: Id) -> Option<Caller> {
        let caller = self.calls.remove(&id);
        self.own_calls -= usize::from(caller.is_some() && id > 0);
        caller
    }

    fn write_ops(&mut self) {
        if self.language.is_unknown() {
            return;
        }
        let Self { session, language, named, objects, out, unsaid, .. } = self;
        while let Some(op) = session.poll_op() {
            let names = &mut Naming { named: &mut *named, session: &mut *session, objects: &mut *objects };
            out.push(|out| unsaid.extend(language.write(&op, names, out).err()));
        }
        while let Some(reply) = language.take_reply() {
            out.push(|out| out.push_str(&reply));
        }
    }

    /// Forgets what was not used for the longest time of what is lent to a peer that never gives it back.
    fn forget_oldest(&mut self, limit: usize) -> Result<(), Error> {
        while let Some(oldest) = self.named.oldest_beyond(limit) {
            let unnamed = self.named.remove(oldest);
            self.forgotten.extend(unnamed);
            // The peer may have given it back by the very message that is being taken in.
            if !self.session.is_kept(oldest) {
                continue;
            }
            self.session.handle(Op::Release { id: oldest, count: ALL })?;
        }
        Ok(())
    }

    /// Why a call could not be said in the peer's language, if that is so, and who made it.
    fn take_unsaid(&mut self, call: Id) -> Option<(Error, Option<Caller>)> {
        let at = self.unsaid.iter().position(|unsaid| unsaid.call == call)?;
        let Refused { call, error } = self.unsaid.swap_remove(at);
        self.session.unsay(call);
        Some((error.with_fate(Fate::NotSent), self.take_caller(call)))
    }

    /// What the peer offers.
    fn peer_index(&mut self, link: &Arc<Link>) -> Cap {
        match link.dialect() {
            Some(Dialect::CapnWeb | Dialect::Q) => self.import(link, 0, false).into(),
            // It has no name of its own there, and is asked for.
            Some(Dialect::Capnode) => {
                let queue = Queue::new();
                let id = self.session.call(0, Path::Empty, None, Answering::Sent);
                self.calls.insert(id, Caller::Index(queue.clone()));
                self.own_calls += 1;
                self.write_ops();
                queue.into()
            }
            None => {
                let queue = Queue::new();
                self.strangers.push(queue.clone());
                queue.into()
            }
        }
    }

    /// Keeps the outcome of a call whose result the peer may still use, if there is room for it. What to answer,
    /// and what is to be dropped elsewhere.
    fn keep(
        &mut self,
        answer: Id,
        outcome: Result<Body, Error>,
        limit: usize,
    ) -> (Result<Body, Error>, Option<Answer>) {
        let Some(kept) = self.answers.get_mut(&answer) else { return (outcome, None) };
        let outcome = outcome.map(Payload::compact);
        let bytes = match &outcome {
            Ok(body) => held_len(body),
            Err(error) => error.message().len(),
        };
        if self.kept_bytes + bytes > limit {
            let message = format!("more than {limit} bytes of results were not given back");
            let error = Error::new(ErrorKind::Limit, message);
            kept.outcome = Some(Err(error.clone()));
            return (Err(error), Some(Answer { outcome: Some(outcome), ..Answer::default() }));
        }
        kept.bytes = bytes;
        self.kept_bytes += bytes;
        let outcome =
            outcome.map(|body| Payload { text: body.text.share(), refs: body.refs, nodes: Vec::new() });
        (kept.outcome.insert(outcome).clone(), None)
    }

    /// The peer can use the result of a call no longer. What is returned is to be dropped elsewhere.
    fn forget(&mut self, answer: Id) -> Option<Answer> {
        let forgotten = self.answers.remove(&answer);
        self.kept_bytes -= forgotten.as_ref().map_or(0, |answer| answer.bytes);
        forgotten
    }

    /// The handle of an import, the one there is or a new one.
    fn import(&mut self, link: &Arc<Link>, id: Id, function: bool) -> Arc<Import> {
        if let Some(import) = self.imports.get(&id).and_then(Weak::upgrade) {
            return import;
        }
        let import = Import::new(link.clone(), id, function);
        self.session.hold(id);
        self.imports.insert(id, Arc::downgrade(&import));
        import
    }

    /// How to say a reference to this peer. What it lent us goes home; anything else is lent to
    /// it.
    fn word(&mut self, link: &Arc<Link>, lent: Lent) -> Word {
        let cap = match lent {
            Lent::Cap(cap) => cap.nearest(),
            Lent::Node(node) => return Word::Node(node),
        };
        if link.dialect().is_some_and(|dialect| !dialect.sends_home()) {
            return self.lend(cap);
        }
        if let Some(import) = cap.import() {
            if Arc::ptr_eq(import.link(), link) {
                return Word::Import(Use { id: import.id(), path: Path::Empty, args: None, awaited: false });
            }
        }
        if let Some(at) = cap.inside() {
            let (base, path) = at.parts();
            if let Some(import) = base.nearest().import().filter(|import| Arc::ptr_eq(import.link(), link)) {
                return Word::Import(Use { id: import.id(), path: path.clone(), args: None, awaited: false });
            }
        }
        self.lend(cap)
    }

    fn lend(&mut self, cap: Cap) -> Word {
        let id = self.session.export(cap.object_id());
        let function = matches!(cap.shape(), Shape::Function);
        self.objects.insert(id, cap);
        if matches!(self.language, Language::Capnode(_) | Language::Q(_)) {
            // It is known from now on, and so can be forgotten, also if the message is never written.
            let Self { named, session, objects, .. } = self;
            let _name = Naming { named, session, objects }.name(id);
        }
        if function { Word::Function(id) } else { Word::Export(id) }
    }

    fn send_answer(&mut self, link: &Arc<Link>, answer: Id, outcome: Result<Body, Error>) {
        let outcome = outcome.and_then(|body| {
            let (value, left) = link.wording(body);
            self.left.extend(left);
            value
        });
        let outcome = match outcome {
            // npm's `capnweb` fails when it awaits a call whose whole result is a reference of its
            // own, so it gets a reference to us that passes everything on.
            Ok(value) if value.root().is_some() && !self.session.is_marked() => {
                Ok(value.map(|lent| match lent {
                    Lent::Cap(cap) => self.lend(cap.nearest()),
                    Lent::Node(node) => Word::Node(node),
                }))
            }
            Ok(value) => Ok(value.map(|lent| self.word(link, lent))),
            Err(error) => Err(Payload::plain(capnweb::error_text(&error).unwrap_or_else(|_| {
                // Its typed data could not be written; its message can.
                capnweb::error_text(&Error::rejected(error.message())).unwrap_or_default()
            }))),
        };
        if let Ok(value) = &outcome {
            let exports = value.refs.iter().filter_map(|slot| match slot.to {
                Word::Export(id) | Word::Function(id) => Some(id),
                _ => None,
            });
            self.named.answers(answer, exports);
        }
        self.session.answer(answer, outcome);
        self.write_ops();
    }
}
