//! One connection without its transport: the session's tables, the objects and waiting callers behind its ids, and the
//! frames in and out. It neither reads, writes, spawns nor sleeps; the driver does, and so does a test.
//!
//! All state is behind one lock, held only for moments and never while user code runs: the requests of a message are
//! first taken down, and done when the lock is free. For the same reason no reference is dropped under it.

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
pub(crate) use self::inbound::no_index_for;
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
use crate::dialect::{Capabilities, Codec, Dialect, capnweb};
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

/// The settings of a connection, made before it begins.
#[derive(Clone, Default)]
pub(crate) struct Terms {
    pub(crate) limits: Limits,
    /// The peer's language; `None` to detect it by the first message.
    pub(crate) dialect: Option<Dialect>,
    /// The registry of function names, for languages in which they are valid for the whole node.
    pub(crate) registry: Option<Registry>,
    /// The callback for messages to unknown ids.
    pub(crate) lost: Option<Arc<dyn Fn(LostMessage) + Send + Sync>>,
    /// The name of the connection in errors.
    pub(crate) nickname: Option<Arc<str>>,
    /// The pool that counts all links of the node.
    pub(crate) pool: Option<Arc<Pool>>,
    /// The peer that the pool counts the link for.
    pub(crate) remote: Remote,
}

pub(crate) struct Link {
    state: Mutex<State>,
    /// The peer's language, once it is known.
    dialect: OnceLock<Dialect>,
    limits: Limits,
    connecting: bool,
    remote: Remote,
    /// Time that the peer has for its first message.
    silence: Option<Duration>,
    /// Time that the connection may be unused.
    idle: Option<Duration>,
    /// Microseconds since the beginning, as last set by the driver.
    now: AtomicU64,
    share: Share,
    lost: Option<Arc<dyn Fn(LostMessage) + Send + Sync>>,
    nickname: Option<Arc<str>>,
    /// Imports whose handles were dropped. They have a lock of their own, so that a reference can be dropped anywhere.
    dropped: Mutex<Vec<Dropped>>,
    /// `true` if there are dropped handles. Changed under their lock, and read without.
    any_dropped: AtomicBool,
    /// `true` once the session has ended. Set under the lock, and read without.
    ended: AtomicBool,
    /// `true` if the end may not take any time.
    #[cfg(feature = "tokio")]
    cut: AtomicBool,
    /// `true` if further calls of the peer are refused. Outside the lock, since it is read for every call.
    draining: AtomicBool,
    /// The waker of the driver.
    driver: Mutex<Option<Waker>>,
    /// `true` if there is a waker. Changed under its lock, and read without.
    asleep: AtomicBool,
    /// Bytes of outcomes of the peer's promises that no caller has taken.
    untaken: Arc<AtomicUsize>,
    /// Properties that are being read on the way to others, in a language that reads one step at a time.
    steps: Mutex<Steps>,
}

/// An import that lost a handle.
struct Dropped {
    id: Id,
    /// `true` if the handle was dropped by a delayed release.
    late: bool,
}

/// Properties that are being read.
#[derive(Default)]
struct Steps {
    asked: HashMap<(Id, String), Weak<Queue>>,
    sweep: Sweep,
}

impl Link {
    pub(crate) fn new(side: Side, index: Option<Cap>, terms: Terms) -> Arc<Self> {
        let Terms { limits, dialect, registry, lost, nickname, pool, remote } = terms;
        // The connecting side speaks first.
        let dialect = dialect.or_else(|| (side == Side::Connecting).then(Dialect::default));
        let peer = dialect.map(Dialect::capabilities);
        let state = State {
            session: Session::with(side, limits.clone(), peer.unwrap_or_default()),
            value_bytes: limits.frame_bytes.saturating_sub(ENVELOPE),
            language: Codec::of(dialect),
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
            // The connecting side decides how long it stays.
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

    /// Returns the peer's language, once it is known.
    pub(crate) fn dialect(&self) -> Option<Dialect> {
        self.dialect.get().copied()
    }

    /// Returns the abilities of the peer, once its dialect is known.
    pub(crate) fn capabilities(&self) -> Option<&'static Capabilities> {
        self.dialect.get().map(|dialect| dialect.capabilities())
    }

    /// Returns the bytes that a frame may have.
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

    /// Returns the name of the connection in errors.
    #[cfg(feature = "tokio")]
    pub(crate) fn nickname(&self) -> Option<&Arc<str>> {
        self.nickname.as_ref()
    }

    /// Sets the index that this side offers from now on.
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

    /// Returns the peer's index.
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

    /// Returns a reference to a function of the peer, by an id that came by another way.
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

    /// Returns the id by which others can reconstruct a reference that the peer has lent.
    #[cfg(feature = "tokio")]
    pub(crate) fn id_of(self: &Arc<Self>, cap: &Cap) -> Option<String> {
        let cap = cap.nearest();
        let import = cap.import().filter(|import| import.is_of(self))?;
        lock(&self.state).language.name_of(import.id())
    }

    /// Settles the drops that [`give_back`](Self::give_back) has queued.
    fn settle_drops(&self, state: &mut State) {
        // A later drop wakes the driver, which looks again.
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
            // No caller waits for a released promise.
            if id < 0 {
                state.take_caller(id);
            }
        }
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn is_closed(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Returns the reason of an end that is not ordinary, for the peer.
    #[cfg(feature = "tokio")]
    pub(crate) fn close_reason(&self) -> Option<String> {
        lock(&self.state).reason.clone()
    }

    /// Returns `true` if the session has ended by a fault of the peer and too much is unwritten to wait until the peer
    /// reads it. The output here, which is dropped then, and the `writing` bytes at the driver both count.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_overfull(&self, writing: usize) -> bool {
        let mut state = lock(&self.state);
        let Some(closed) = &state.closed else { return false };
        let much = writing + state.out.len() > self.limits.unwritten_bytes_soft;
        // A peer that has closed its side may still read, and gets the time for it.
        let broke = closed.fault() == Fault::Peer && closed.kind() != ErrorKind::Disconnected;
        let overfull = (is_for_room(closed) && writing > 0) || (broke && much);
        if overfull {
            state.out = Outgoing::default();
        }
        overfull
    }

    /// Returns the error by which the connection ended, if it has.
    pub(crate) fn closed(&self) -> Option<Error> {
        lock(&self.state).closed.clone()
    }

    /// Ends the session because the peer broke the protocol or a limit, and tells it the reason.
    pub(crate) fn break_off(&self, error: Error) {
        if is_for_room(&error) {
            let mut state = lock(&self.state);
            if state.closed.is_none() {
                // The output is dropped at once, and not written.
                state.out = Outgoing::default();
            }
        }
        self.abort(error.with_fate(Fate::MayHaveRun).with_fault(Fault::Peer));
    }

    /// Ends the session, and tells the peer the reason.
    pub(crate) fn abort(&self, error: Error) {
        {
            let mut state = lock(&self.state);
            if state.closed.is_none() {
                // A peer of unknown language is told in the most common one.
                if state.language.is_unknown() {
                    state.language = Codec::of(Some(Dialect::default()));
                }
                if let Ok(text) = capnweb::error_text(&error) {
                    state.session.abort(Payload::plain(text));
                    state.write_ops();
                }
            }
        }
        self.close(error);
    }

    /// Ends the session: all waiting callers get `error`, and all references are dropped. Does nothing the second time.
    pub(crate) fn close(&self, error: Error) {
        let reason = (error.kind() != ErrorKind::Disconnected).then(|| error.told().to_owned());
        self.end(error, reason);
    }

    /// Ends the session, and tells the peer `reason` where the transport can.
    pub(crate) fn end(&self, error: Error, reason: Option<String>) {
        // The name of the connection stays on this side.
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
                // Unwritten output and the transport's bytes count until they are gone as well.
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

    /// Returns the receiver of the progress of a call of the peer, if its language has a message for it.
    fn progress_of(self: &Arc<Self>, answer: Id) -> Option<Progress> {
        if !self.capabilities()?.progress {
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
        let (Ok(value), _left) = wording(value, self.capabilities(), self.limits.frame_bytes) else { return };
        // The caller misses only this progress.
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

    /// Handles the outcome of a call of the peer.
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
        // It is written here, since the lock is held below.
        let outcome = bounds::writing(self.limits.frame_bytes, written);
        let mut told = false;
        let (forgotten, left, room, over) = loop {
            let mut state = lock(&self.state);
            let queue = state.answers.get(&answer).and_then(|answer| answer.queue.clone());
            if let (Some(queue), false) = (queue, told) {
                drop(state);
                // Pipelined calls reach the result before the peer learns its value.
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
                // The answer may have lent references.
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

/// Returns `true` if `error` ends a session because there is no room for the bytes it holds.
fn is_for_room(error: &Error) -> bool {
    matches!(error.limit(), Some(LimitKind::UnwrittenBytesHard | LimitKind::NodeBytes))
}

fn reads_too_slowly() -> Error {
    let message = "the peer reads too slowly: too much is waiting to be written";
    Error::over(LimitKind::UnwrittenBytesHard, message)
}

/// Logs the end of a session: a broken rule or limit as a warning, and any other end at debug level.
#[cfg(feature = "tracing")]
fn log_end(error: &Error) {
    let is_fault = error.kind() == ErrorKind::Protocol || error.limit().is_some();
    // A subscriber is user code.
    crate::panics::contained("a subscriber of `tracing`", || {
        if is_fault {
            tracing::warn!(%error, "the session has ended");
        } else {
            tracing::debug!(%error, "the session has ended");
        }
    });
}
