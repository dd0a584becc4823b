//! One connection without its transport: the session's tables, the objects and waiting callers
//! that its ids stand for, and the frames in and out. It neither reads, writes, spawns nor sleeps;
//! the driver does, and so does a test.
//!
//! All state is behind one lock, held only for moments and never while user code runs: what a
//! message asks for is first taken down, and done when the lock is free. For the same reason no
//! reference is dropped under it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock, Weak};
use std::task::Waker;
use std::time::Duration;

mod admit;
mod call;
mod clock;
mod drive;
#[cfg(feature = "tokio")]
mod flushed;
#[cfg(feature = "tokio")]
mod flushes;
mod hooks;
mod inbound;
mod language;
mod late;
mod liveness;
mod lost;
mod named;
pub(crate) mod pool;
pub(crate) mod report;
mod state;
pub(crate) mod task;
#[cfg(test)]
pub(crate) mod tests;
mod waiting;
mod wording;

use self::clock::Clock;
#[cfg(feature = "tokio")]
use self::flushes::Flushes;
#[cfg(feature = "tokio")]
pub(crate) use self::inbound::no_index_in;
use self::language::Language;
pub use self::lost::LostMessage;
use self::named::Named;
use self::pool::{Pool, Share};
use self::state::State;
use self::waiting::Waiting;
use self::wording::{ENVELOPE, wording};
use crate::bounds;
use crate::cap::Cap;
use crate::cap::broken::{BrokenSlot, Watchers, fire};
use crate::cap::data::to_cap;
use crate::cap::payload::{Body, REFERENCE, unfolded_len};
use crate::cap::progress::Progress;
use crate::cap::queue::Queue;
use crate::cap::response::{Outcome, Reply};
use crate::dialect::{Dialect, capnweb};
use crate::error::{Error, ErrorKind, Fate, Fault};
use crate::limits::{LimitKind, Limits};
use crate::op::{Id, IdMap, Payload};
use crate::outgoing::Outgoing;
use crate::registry::Registry;
use crate::remote::Remote;
use crate::session::{Session, Side, Tables, Wanted};
use crate::sweep::Sweep;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Mutex, lock};

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
    /// What counts together with others of the node.
    pub(crate) pool: Option<Arc<Pool>>,
    /// Whom it counts for in it.
    pub(crate) remote: Remote,
}

pub(crate) struct Link {
    state: Mutex<State>,
    /// Once it is known.
    dialect: OnceLock<Dialect>,
    limits: Limits,
    connecting: bool,
    remote: Remote,
    /// How long the peer may take for its first message.
    silence: Option<Duration>,
    /// How long nothing may be going on.
    idle: Option<Duration>,
    /// Microseconds since the beginning, as of when somebody last looked.
    now: AtomicU64,
    share: Share,
    lost: Option<Arc<dyn Fn(LostMessage) + Send + Sync>>,
    nickname: Option<Arc<str>>,
    /// Imports whose handles were dropped. Apart from the rest, so that a reference can be dropped
    /// anywhere.
    dropped: Mutex<Vec<Dropped>>,
    /// Whether there are any. Changed under their lock, and looked at without.
    any_dropped: AtomicBool,
    /// Whether the session has ended. Set under the lock, and looked at without.
    ended: AtomicBool,
    /// Whether the end may not take any time.
    #[cfg(feature = "tokio")]
    cut: AtomicBool,
    /// Whether the peer's calls are refused from now on. Beside the lock, since it is looked at for every call.
    draining: AtomicBool,
    /// Wakes the driver.
    driver: Mutex<Option<Waker>>,
    /// Whether there is somebody to wake. Changed under its lock, and looked at without.
    asleep: AtomicBool,
    /// Bytes of what promises of the peer's have turned out to be that nobody has taken.
    untaken: Arc<AtomicUsize>,
    /// Properties that are being asked for in order to go on from them, in a language that says one step at a time.
    steps: Mutex<Steps>,
}

/// An import of which a handle was dropped.
struct Dropped {
    id: Id,
    /// With something of ours that was given back late.
    late: bool,
}

/// Properties that are being asked for.
#[derive(Default)]
struct Steps {
    asked: HashMap<(Id, String), Weak<Queue>>,
    sweep: Sweep,
}

impl Link {
    pub(crate) fn new(side: Side, index: Option<Cap>, terms: Terms) -> Arc<Self> {
        let Terms { limits, dialect, registry, lost, nickname, pool, remote } = terms;
        // Who connects speaks first.
        let dialect = dialect.or_else(|| (side == Side::Connecting).then_some(Dialect::CapnWeb));
        let manner = dialect.unwrap_or_default().manner();
        let state = State {
            session: Session::speaking(side, limits.clone(), manner),
            value_bytes: limits.frame_bytes.saturating_sub(ENVELOPE),
            language: Language::of(dialect),
            checks_first: false,
            named: Named::new(registry),
            unsaid: Vec::new(),
            lost: Vec::new(),
            forgotten: Vec::new(),
            strangers: Vec::new(),
            index,
            out: Outgoing::default(),
            calls: IdMap::default(),
            imports: IdMap::default(),
            objects: IdMap::default(),
            answers: IdMap::default(),
            kept_bytes: 0,
            own_calls: 0,
            running: IdMap::default(),
            tasks: Vec::new(),
            parked: BTreeMap::new(),
            parked_bytes: 0,
            call_bytes: 0,
            writing: 0,
            spare: 0,
            clock: Clock::default(),
            waiting: Waiting::default(),
            watchers: Watchers::default(),
            quiet: Vec::new(),
            #[cfg(feature = "tokio")]
            gone: false,
            #[cfg(feature = "tokio")]
            flushes: Flushes::default(),
            closed: None,
            reason: None,
        };
        let link = Self {
            state: Mutex::new(state),
            dialect: dialect.map_or_else(OnceLock::new, OnceLock::from),
            connecting: side == Side::Connecting,
            remote,
            silence: limits.silence.filter(|_| side == Side::Accepting && remote != Remote::Own),
            // Who has connected knows for how long.
            idle: limits.idle.filter(|_| side == Side::Accepting),
            share: Share::of(pool, &limits),
            limits,
            now: AtomicU64::new(0),
            lost,
            nickname,
            dropped: Mutex::new(Vec::new()),
            any_dropped: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            #[cfg(feature = "tokio")]
            cut: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            driver: Mutex::new(None),
            asleep: AtomicBool::new(false),
            untaken: Arc::default(),
            steps: Mutex::default(),
        };
        lock(&link.state).write_ops();
        Arc::new(link)
    }

    /// The peer's language, once it is known.
    pub(crate) fn dialect(&self) -> Option<Dialect> {
        self.dialect.get().copied()
    }

    /// How long a frame may be.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.limits.frame_bytes
    }

    pub(crate) fn on_closed(&self, slot: &BrokenSlot) {
        let closed = {
            let mut state = lock(&self.state);
            if state.closed.is_none() {
                state.watchers.add(slot);
            }
            state.closed.clone()
        };
        if let Some(error) = closed {
            fire(slot, &error);
        }
    }

    pub(crate) fn closed_error(&self) -> Error {
        self.closed().unwrap_or_else(|| Error::new(ErrorKind::Disconnected, "the connection ended"))
    }

    /// What the connection is called, for errors.
    #[cfg(feature = "tokio")]
    pub(crate) fn nickname(&self) -> Option<&Arc<str>> {
        self.nickname.as_ref()
    }

    /// What the peer is offered from now on.
    #[cfg(feature = "tokio")]
    pub(crate) fn set_index(&self, index: Option<Cap>) {
        let (not_used, quiet) = {
            let mut state = lock(&self.state);
            let not_used =
                if state.closed.is_none() { std::mem::replace(&mut state.index, index) } else { index };
            (not_used, std::mem::take(&mut state.quiet))
        };
        drop(not_used);
        for waker in quiet {
            waker.wake();
        }
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
        self.tables_of(&lock(&self.state))
    }

    fn tables_of(&self, state: &State) -> Tables {
        Tables { forgotten: state.named.forgotten(), ..state.session.tables() }
    }

    // ------------------------------------------------------------------ what this program wants

    /// The id by which others can reconstruct something that the peer has lent.
    #[cfg(feature = "tokio")]
    pub(crate) fn id_of(self: &Arc<Self>, cap: &Cap) -> Option<String> {
        let cap = cap.nearest();
        let import = cap.import().filter(|import| import.is_of(self))?;
        lock(&self.state).language.name_of(import.id())
    }

    /// Does what was put off by [`give_back`](Self::give_back).
    fn settle_drops(&self, state: &mut State) {
        // Whoever drops one after this wakes the driver, which looks again.
        if !self.any_dropped.load(Ordering::SeqCst) {
            return;
        }
        let dropped = {
            let mut dropped = lock(&self.dropped);
            self.any_dropped.store(false, Ordering::SeqCst);
            std::mem::take(&mut *dropped)
        };
        for Dropped { id, late } in dropped {
            state.language.expire(id, late);
            state.session.drop_import(id);
            if state.imports.get(&id).is_some_and(|import| import.strong_count() == 0) {
                state.imports.remove(&id);
            }
            // Nobody waits for a promise that was given back.
            if id < 0 {
                state.take_caller(id);
            }
        }
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn is_closed(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// What to tell the peer about the end, if it is not an ordinary one.
    #[cfg(feature = "tokio")]
    pub(crate) fn close_reason(&self) -> Option<String> {
        lock(&self.state).reason.clone()
    }

    /// Whether the session has ended by a fault of the peer's, and too much is unwritten to wait for its being read: here,
    /// which is dropped, and the `writing` that the driver has taken.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_overfull(&self, writing: usize) -> bool {
        let mut state = lock(&self.state);
        let Some(closed) = &state.closed else { return false };
        let much = writing + state.out.len() > self.limits.unwritten_bytes_soft;
        // Whoever has closed its side may still read, and is given the time for it.
        let broke = closed.fault() == Fault::Peer && closed.kind() != ErrorKind::Disconnected;
        let overfull = (is_for_room(closed) && writing > 0) || (broke && much);
        if overfull {
            state.out = Outgoing::default();
        }
        overfull
    }

    /// Why the connection ended, if it has.
    pub(crate) fn closed(&self) -> Option<Error> {
        lock(&self.state).closed.clone()
    }

    /// Ends the session because the peer broke the protocol or a limit, and tells it why.
    pub(crate) fn break_off(&self, error: Error) {
        if is_for_room(&error) {
            let mut state = lock(&self.state);
            if state.closed.is_none() {
                // It goes at once, and is not written.
                state.out = Outgoing::default();
            }
        }
        self.abort(error.with_fate(Fate::MayHaveRun).with_fault(Fault::Peer));
    }

    /// Ends the session, and tells the peer why.
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
        let reason = (error.kind() != ErrorKind::Disconnected).then(|| error.told().to_owned());
        self.end(error, reason);
    }

    /// Ends the session, and tells the peer `reason` where the transport can.
    pub(crate) fn end(&self, error: Error, reason: Option<String>) {
        // Which connection it was is nothing for the peer, or any other.
        let error = match &self.nickname {
            Some(nickname) => error.about_here(nickname),
            None => error,
        };
        let (ended, watchers, waiting) = {
            let mut state = lock(&self.state);
            if state.closed.is_some() {
                return;
            }
            state.closed = Some(error.clone());
            self.ended.store(true, Ordering::SeqCst);
            state.reason = reason;
            state.session.end();
            state.parked_bytes = 0;
            state.call_bytes = 0;
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
            let rest = (ended, std::mem::take(&mut state.watchers), std::mem::take(&mut state.waiting));
            if is_for_room(&error) {
                self.leave_pool();
            } else {
                // What is unwritten, and what the transport holds, until that is gone as well.
                let _less = self.tell_pool(&state);
            }
            rest
        };
        #[cfg(feature = "tokio")]
        self.count_out();
        let ((strangers, forgotten), calls, objects, answers, imports, running, tasks, parked, index) = ended;
        for (_, caller) in calls {
            caller.fail(error.clone());
        }
        for stranger in strangers {
            stranger.resolve(Cap::broken(error.clone()));
        }
        waiting.fail(&error);
        for (_, running) in running {
            running.cancel();
        }
        for answer in answers.values() {
            if let Some(queue) = &answer.queue {
                queue.resolve(Cap::broken(error.clone()));
            }
        }
        drop((objects, answers, imports, tasks, parked, index, forgotten));
        for watcher in watchers.all() {
            fire(&watcher, &error);
        }
        self.tell_quiet();
        self.wake();
        #[cfg(feature = "tracing")]
        log_end(&error);
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
                link.report_progress(answer, value);
            }
        }))
    }

    fn report_progress(self: &Arc<Self>, answer: Id, value: Body) {
        let (Ok(value), _left) = wording(value, self.dialect(), self.limits.frame_bytes) else { return };
        // The caller misses it, and nothing else.
        if value.text.as_str().len() + value.refs.len() * REFERENCE + ENVELOPE >= self.limits.frame_bytes {
            return;
        }
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
        let written = || {
            let body = outcome.and_then(Reply::into_body).and_then(|body| {
                if unfolded_len(&body) + ENVELOPE < self.limits.frame_bytes {
                    Ok(body)
                } else {
                    Err(Error::over(LimitKind::FrameBytes, "the result is longer than a frame may be"))
                }
            });
            body.map_err(Error::written)
        };
        // Below, the lock is held.
        let outcome = bounds::writing(self.limits.frame_bytes, written);
        let mut told = false;
        let (forgotten, left, room, over) = loop {
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
            let running = state.take_running(answer);
            let wanted = state.session.finish(answer);
            if wanted == Wanted::No {
                state.named.end(answer);
                let forgotten = state.forget(answer);
                state.write_ops();
                break ((running, forgotten), None, Ok(()), self.tell_pool(&state));
            }
            let (outcome, refused) = state.keep(answer, outcome, self.limits.kept_bytes);
            if wanted == Wanted::Perhaps {
                state.named.end(answer);
                state.write_ops();
                break ((running, refused), None, Ok(()), self.tell_pool(&state));
            }
            let left = state.send_answer(self, answer, outcome);
            state.named.end(answer);
            let room = match state.unwritten() > self.limits.unwritten_bytes_hard {
                true => Err(reads_too_slowly()),
                // The answer may have lent something.
                false => state.session.check_limits(),
            };
            break ((running, refused), left, room, self.tell_pool(&state));
        };
        drop((forgotten, left));
        if over {
            self.relieve();
        }
        if let Err(error) = room {
            self.break_off(error);
        }
        self.tell_quiet();
        self.wake();
    }
}

/// Whether a session ends for an error because there is no room for what it holds.
fn is_for_room(error: &Error) -> bool {
    matches!(error.limit(), Some(LimitKind::UnwrittenBytesHard | LimitKind::NodeBytes))
}

fn reads_too_slowly() -> Error {
    let message = "the peer reads too slowly: too much is waiting to be written";
    Error::over(LimitKind::UnwrittenBytesHard, message)
}

/// Logs the end of a session: a broken rule or limit as a warning, and any other end for whoever looks for it.
#[cfg(feature = "tracing")]
fn log_end(error: &Error) {
    let is_fault = error.kind() == ErrorKind::Protocol || error.limit().is_some();
    // A subscriber is the user's code.
    crate::panics::contained("a subscriber of `tracing`", || {
        if is_fault {
            tracing::warn!(%error, "the session has ended");
        } else {
            tracing::debug!(%error, "the session has ended");
        }
    });
}
