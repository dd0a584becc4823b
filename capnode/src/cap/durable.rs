//! Slots of durable references: the reference that is there at present, and how it is found again after its connection was
//! lost.

use std::any::Any;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;

use super::broken::{BrokenSlot, Watchers, fire};
use super::context::Context as CallContext;
use super::payload::{LivePayload, PayloadRef};
use super::promise::Promise;
use super::request::{Args, CallOptions, Member, Request};
use super::{Cap, Kind, RefKind, depth};
use crate::error::{Error, ErrorKind, Fate};
use crate::limits::LimitKind;
use crate::message::Payload;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, lock};

/// The slot of a durable reference.
pub(crate) struct Durable {
    pub(super) source: Source,
    /// The number of calls by which it is made again.
    pub(super) calls: usize,
    pub(super) waiting: Waiting,
    /// The bound of a message to the peer that lends the present reference, when it was last used; 0 if that is not
    /// known.
    pub(super) writes_within: AtomicUsize,
    pub(super) state: Mutex<DurableState>,
}

/// The bounds of the calls that wait while there is no reference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// The time for which calls wait, and for which those that may have run are sent again.
    pub(crate) time: Duration,
    /// The most bytes of the calls that wait; 0 if such calls fail.
    pub(crate) bytes: usize,
}

/// The source of the reference of a slot.
pub(super) enum Source {
    Line(Arc<dyn Line>),
    /// A call of another slot, which is made again.
    Call(Arc<Durable>, Again),
}

/// The keeper of the connection of a slot.
pub(crate) trait Line: Send + Sync {
    /// Learns that the slot has lost its reference, or is gone. Another one is to be found.
    fn lost(&self);

    /// Returns `true` if the connection that was opened last takes no further calls.
    fn is_down(&self) -> bool;

    /// Returns the line itself.
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

pub(super) struct DurableState {
    /// The number of references that the slot has lost.
    pub(super) epoch: u64,
    pub(super) phase: Phase,
    /// Where requests go: to the present reference; while another one is looked for, and until those that wait have been
    /// passed on, to a promise of that; or nowhere.
    pub(super) present: Cap,
    /// Bytes of the calls that wait.
    waiting: usize,
    /// Bytes of all that wait for the connection.
    all_waiting: Arc<AtomicUsize>,
    /// The epoch of the parent in which the call was made that gave the reference.
    pub(super) made_at: u64,
    /// Ends the call that makes the reference again, when it is dropped.
    pub(super) making: Option<oneshot::Sender<Infallible>>,
    pub(super) watchers: Watchers,
}

pub(super) enum Phase {
    /// There is this reference, as far as is known.
    Up(Cap),
    /// Another one is looked for, with the promise of it for which calls wait, if they do.
    Sought(Option<Arc<Promise>>),
    /// It is given up.
    Ended(Error),
}

/// Bytes that a waiting call counts beside its arguments.
const WAITING: usize = 512;

/// The bytes of calls that may wait at least while the call that makes a reference again is under way.
const REMAKING: usize = 64 * 1024;

/// The time for which calls wait for a reference that is made again, where none waits for a connection.
const MAKING: Duration = Duration::from_secs(30);

/// The most bytes of arguments that are kept for a call that is made again on each connection.
const KEPT: usize = 64 * 1024;

impl DurableState {
    pub(super) fn new(present: Cap, made_at: u64, all_waiting: Arc<AtomicUsize>) -> Self {
        let phase = Phase::Up(present.clone());
        let watchers = Watchers::default();
        Self { epoch: 0, phase, present, waiting: 0, all_waiting, made_at, making: None, watchers }
    }

    /// Counts the calls that wait no longer.
    fn end_waiting(&mut self) {
        self.all_waiting.fetch_sub(std::mem::take(&mut self.waiting), Ordering::SeqCst);
    }

    /// Returns the count of all that wait for the connection.
    pub(super) fn all_waiting(&self) -> Arc<AtomicUsize> {
        self.all_waiting.clone()
    }

    /// Returns the reason of the end, once it is given up.
    pub(super) fn ended(&self) -> Option<&Error> {
        if let Phase::Ended(error) = &self.phase { Some(error) } else { None }
    }

    /// Returns `true` if calls wait.
    pub(super) fn is_awaited(&self) -> bool {
        matches!(self.phase, Phase::Sought(Some(_)))
    }

    /// Begins to look for another reference. Returns what is to be dropped.
    pub(super) fn begin(&mut self, waits: bool) -> (Phase, Cap) {
        self.epoch += 1;
        self.end_waiting();
        let promise = waits.then(Promise::new);
        let next = promise.clone().map_or_else(|| Cap::broken(down()), Cap::from_promise);
        let former = std::mem::replace(&mut self.phase, Phase::Sought(promise));
        (former, std::mem::replace(&mut self.present, next))
    }
}

pub(super) fn down() -> Error {
    Error::new(ErrorKind::Disconnected, "there is no connection at present").with_fate(Fate::NotSent)
}

impl Cap {
    /// Returns the slot, if this is a durable reference as it is.
    pub(super) fn as_durable(&self) -> Option<&Arc<Durable>> {
        if let Kind::Durable(slot) = &self.0 { Some(slot) } else { None }
    }

    /// Returns the slot of a durable reference.
    pub(crate) fn durable(&self) -> Option<Arc<Durable>> {
        if let Kind::Durable(slot) = self.nearest().0 { Some(slot) } else { None }
    }
}

impl Durable {
    /// Returns the slot of a line that is to find its first reference.
    pub(crate) fn new(line: Arc<dyn Line>, waiting: Waiting) -> Arc<Self> {
        let mut state = DurableState::new(Cap::broken(down()), 0, Arc::default());
        drop(state.begin(waiting.bytes > 0));
        Arc::new(Self {
            source: Source::Line(line),
            calls: 0,
            waiting,
            writes_within: AtomicUsize::new(0),
            state: Mutex::new(state),
        })
    }

    /// Returns the first of the slots on which this one depends, and its line.
    pub(crate) fn root(self: &Arc<Self>) -> (Arc<Self>, Arc<dyn Any + Send + Sync>) {
        let mut slot = self;
        loop {
            match &slot.source {
                Source::Line(line) => return (slot.clone(), line.clone().as_any()),
                Source::Call(parent, _) => slot = parent,
            }
        }
    }

    /// Returns a reference by the slot.
    pub(crate) fn cap(self: Arc<Self>) -> Cap {
        Cap(Kind::Durable(self), RefKind::Unknown)
    }

    /// Returns the present reference, if it is something that a peer lends.
    pub(super) fn lends(&self) -> Option<Cap> {
        Some(lock(&self.state).present.nearest()).filter(|cap| cap.import().is_some())
    }

    /// Returns the bound of a message to the peer that lends the present reference, if it is known.
    #[inline]
    pub(super) fn bound(&self) -> Option<usize> {
        Some(self.writes_within.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }

    /// Has `slot` called when the reference breaks. Returns the references that break it when they do.
    pub(super) fn watch(&self, slot: &BrokenSlot) -> Option<Cap> {
        let ended = {
            let mut state = lock(&self.state);
            if state.ended().is_none() {
                state.watchers.add(slot);
            }
            state.ended().cloned()
        };
        match (ended, &self.source) {
            (Some(error), _) => fire(slot, &error),
            (None, Source::Call(parent, _)) => return Some(parent.clone().cap()),
            (None, Source::Line(_)) => {}
        }
        None
    }

    /// Returns the number of references that the slot has lost.
    pub(crate) fn epoch(&self) -> u64 {
        lock(&self.state).epoch
    }

    /// Returns the reason of the end, once it is given up.
    pub(crate) fn ended(&self) -> Option<Error> {
        lock(&self.state).ended().cloned()
    }

    /// Returns `false` if a parent has lost the reference by which the present one was made.
    #[inline]
    pub(super) fn is_current(&self) -> bool {
        match &self.source {
            Source::Line(_) => true,
            Source::Call(parent, _) => {
                let made_at = lock(&self.state).made_at;
                parent.is_current() && parent.epoch() == made_at
            }
        }
    }

    /// Returns `true` if the call that makes the reference was not sent.
    pub(super) fn is_unmade(&self, present: &Cap) -> bool {
        matches!(self.source, Source::Call(..))
            && matches!(&present.0, Kind::Broken(error) if error.fate() == Fate::NotSent)
    }

    /// Returns the reference to which requests go at present.
    pub(super) fn target(&self) -> Cap {
        lock(&self.state).present.clone()
    }

    /// Puts the reference that was found for an epoch into the slot. Calls that wait are passed on to it. A durable reference
    /// of this program breaks the slot: it may be had by way of this one.
    pub(crate) fn found(&self, epoch: u64, cap: Cap, made_at: u64) {
        if cap.durable().is_some() && lock(&self.state).epoch == epoch {
            let why = "the call that makes the reference again has given a durable reference of this program";
            return self.give_up(Error::new(ErrorKind::Unresolved, why));
        }
        let (promise, former) = {
            let mut state = lock(&self.state);
            if state.epoch != epoch {
                return;
            }
            let Phase::Sought(promise) = &mut state.phase else { return };
            let promise = promise.take();
            (state.phase, state.made_at) = (Phase::Up(cap.clone()), made_at);
            state.end_waiting();
            self.writes_within.store(0, Ordering::Relaxed);
            let former = promise.is_none().then(|| std::mem::replace(&mut state.present, cap.clone()));
            (promise, former)
        };
        drop(former);
        if let Some(promise) = promise {
            promise.resolve(cap);
        }
    }

    /// Fails the calls that wait for a reference, and those that are made until there is one.
    pub(crate) fn wait_no_longer(&self, epoch: u64, why: Error) {
        let cap = Cap::broken(why.with_fate(Fate::NotSent));
        let promise = {
            let mut state = lock(&self.state);
            if state.epoch != epoch {
                return;
            }
            let Phase::Sought(promise) = &mut state.phase else { return };
            let Some(promise) = promise.take() else { return };
            state.present = cap.clone();
            state.end_waiting();
            promise
        };
        promise.resolve(cap);
    }

    /// Gives the slot up: it breaks.
    pub(crate) fn give_up(&self, why: Error) {
        // What was sent may have run. To what was not, that is said.
        let why = why.with_fate(Fate::MayHaveRun);
        let (former, phase, watchers) = {
            let mut state = lock(&self.state);
            if state.ended().is_some() {
                return;
            }
            state.end_waiting();
            let phase = std::mem::replace(&mut state.phase, Phase::Ended(why.clone()));
            let former = std::mem::replace(&mut state.present, Cap::broken(why.clone()));
            (former, phase, std::mem::take(&mut state.watchers))
        };
        drop(former);
        if let Phase::Sought(Some(promise)) = phase {
            promise.resolve(Cap::broken(why.clone()));
        }
        for watcher in watchers.all() {
            fire(&watcher, &why);
        }
    }

    /// Notes that the reference of an epoch is lost. Returns `true` if that was not known.
    pub(crate) fn lose(&self, epoch: u64) -> bool {
        let former = {
            let mut state = lock(&self.state);
            if state.epoch != epoch || !matches!(state.phase, Phase::Up(_)) {
                return false;
            }
            state.begin(self.waiting.bytes > 0)
        };
        drop(former);
        true
    }

    /// Returns `true` if the reference of an epoch is lost, which is noted.
    pub(super) fn has_lost(&self, epoch: u64) -> bool {
        let (cap, made_at) = {
            let state = lock(&self.state);
            if state.epoch != epoch {
                return true;
            }
            let Phase::Up(cap) = &state.phase else { return false };
            (cap.nearest(), state.made_at)
        };
        match &self.source {
            // The reference may be a record with those of the connection.
            Source::Line(line) => {
                let is_lost = line.is_down();
                if is_lost && self.lose(epoch) {
                    line.lost();
                }
                is_lost
            }
            Source::Call(parent, _) => {
                let is_kept = match &cap.0 {
                    Kind::Remote(import) => !import.connection().is_leaving(),
                    Kind::Broken(error) => error.kind() != ErrorKind::Disconnected,
                    _ => false,
                };
                !is_kept && parent.has_lost(made_at)
            }
        }
    }

    /// Returns the time for which calls wait for the reference while it is made again.
    pub(super) fn making_limit(&self) -> Duration {
        if self.waiting.bytes > 0 { self.waiting.time } else { MAKING }
    }

    /// Counts the bytes of a request that waits.
    pub(super) fn wait(self: &Arc<Self>, epoch: u64, args: usize) -> Result<Waits, Error> {
        let bytes = args + WAITING;
        let mut state = lock(&self.state);
        if state.epoch == epoch && state.is_awaited() {
            let (least, what) = match self.source {
                Source::Line(_) => (0, "a connection"),
                // Where calls fail that would wait for a connection, that one call fails as well.
                Source::Call(..) => (REMAKING, "a reference that is made again"),
            };
            let most = self.waiting.bytes.max(least);
            let all = state.all_waiting.load(Ordering::SeqCst);
            if bytes > least.saturating_sub(state.waiting) && bytes > most.saturating_sub(all) {
                let message = format!("more than {most} bytes of calls wait for {what}");
                return Err(Error::over(LimitKind::ParkedBytes, message).with_fate(Fate::NotSent));
            }
            state.waiting += bytes;
            state.all_waiting.fetch_add(bytes, Ordering::SeqCst);
        }
        Ok(Waits { slot: self.clone(), epoch, bytes })
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        match &mut self.source {
            Source::Line(line) => line.lost(),
            // These may hold slots in turn, and so on.
            Source::Call(_, call) => depth::drop_iteratively(call.args.take()),
        }
        let (phase, present) = lock(&self.state).begin(false);
        depth::drop_iteratively((phase, present));
    }
}

/// A count of a request that waits, which ends with it.
pub(super) struct Waits {
    slot: Arc<Durable>,
    epoch: u64,
    bytes: usize,
}

impl Waits {
    /// Counts the request until a reference is found: it is never given up.
    pub(super) fn stay(mut self) {
        self.bytes = 0;
    }

    /// Returns the time for which calls wait for the next reference, if that of the request is lost.
    #[cfg(feature = "sturdy")]
    pub(super) fn lost(&self) -> Option<Duration> {
        self.slot.has_lost(self.epoch).then_some(self.slot.waiting.time)
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        let mut state = lock(&self.slot.state);
        if state.epoch == self.epoch && state.is_awaited() {
            let bytes = self.bytes.min(state.waiting);
            state.waiting -= bytes;
            state.all_waiting.fetch_sub(bytes, Ordering::SeqCst);
        }
    }
}

/// A request that can be made again.
pub(super) struct Again {
    pub(super) member: Member,
    /// The arguments; `None` for a read.
    pub(super) args: Option<LivePayload>,
    pub(super) options: CallOptions,
}

impl Again {
    /// Returns a copy of a request whose arguments are written. `None` for that of a map.
    pub(super) fn of(request: &Request) -> Option<Self> {
        let args = match &request.args {
            Args::Read => None,
            Args::Wire(args) => Some(args.clone()),
            Args::Typed(_) | Args::Map(..) => return None,
        };
        Some(Self { member: request.member.clone(), args, options: request.options.clone() })
    }

    pub(super) fn request(&self) -> Request {
        let args = self.args.clone().map_or(Args::Read, Args::Wire);
        Request { member: self.member.clone(), args, typed: false, options: self.options.clone() }
    }

    /// Returns it as one that is kept for longer than its caller waits.
    pub(super) fn kept(self) -> Self {
        Self { options: CallOptions::NONE, args: self.args.map(Payload::compact), ..self }
    }

    /// Returns `true` if nothing in it is lent by a peer for whose references `is_bad` holds.
    pub(super) fn holds_no(&self, is_bad: impl Fn(&Cap) -> bool) -> bool {
        let is_good = |to: &PayloadRef| match to {
            PayloadRef::Cap(cap) => {
                let nearest = cap.nearest();
                // An end of a stream can be passed once.
                !cap.is_readable()
                    && !cap.is_writable()
                    && !is_bad(
                        &nearest.as_property().map_or_else(|| nearest.clone(), |at| at.parts().0.nearest()),
                    )
            }
            other => !other.is_callable(),
        };
        self.args.as_ref().is_none_or(|args| args.refs.iter().all(|slot| is_good(&slot.to)))
    }

    /// Checks that it can be kept for all connections to come.
    pub(super) fn check_kept(&self, calls: usize) -> Result<(), Error> {
        let is_lent = |cap: &Cap| !matches!(cap.0, Kind::Local(_) | Kind::Durable(_));
        let len = self.args.as_ref().map_or(0, super::payload::unfolded_len);
        let message = if len > KEPT {
            format!(
                "the arguments of a call that is made again on each connection have more than {KEPT} bytes"
            )
        } else if calls >= depth::HOPS {
            format!(
                "the reference would be had again by more than {} calls, each on the result of the one before",
                depth::HOPS
            )
        } else if !self.holds_no(is_lent) {
            "the arguments of a call that is made again on each connection hold a reference of a connection: \
             pass plain values, objects of this program and durable references"
                .to_owned()
        } else {
            return Ok(());
        };
        Err(self.member.explain(Error::new(ErrorKind::Unsupported, message).with_fate(Fate::NotSent)))
    }

    /// Returns `true` if the deadline of the call has passed.
    pub(super) fn is_late(&self) -> bool {
        let left = self.options.context.as_ref().and_then(CallContext::time_left);
        left.is_some_and(|left| left.is_zero())
    }
}
