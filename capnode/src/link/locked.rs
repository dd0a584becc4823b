//! The one way to the state of a connection, and all that follows from a change of it when its lock is free again: drops,
//! wakes, answers to callers, and the end of sessions.

use std::sync::Arc;
use std::task::Waker;

use super::deadlines::Deadline;
use super::effects::{Effect, Effects};
use super::late;
use super::lifecycle::peer_draining;
use super::outbox::reads_too_slowly;
use super::question::Question;
use super::state::State;
use super::{Link, PendingRelease};
use crate::cap::Cap;
use crate::cap::broken::fire;
use crate::cap::context::within;
use crate::cap::data::to_cap;
use crate::cap::depth::{Host, HostGuard};
use crate::cap::inbound::{InboundRef, InboundResult, PromiseOutcome};
use crate::error::{Error, ErrorKind};
use crate::message::Id;
use crate::panics::catch_and_log;
use crate::sync::atomic::Ordering;
use crate::sync::{Mutex, lock};

/// The state of a connection behind its lock, which only this file can take.
pub(super) struct Locked(Mutex<State>);

impl Locked {
    pub(super) fn new(state: State) -> Self {
        Self(Mutex::new(state))
    }
}

/// The cause of a change, which decides what may follow from it.
#[derive(Clone, Copy)]
pub(super) enum Cause {
    /// The driver, which looks at the state before it sleeps, so it need not be woken.
    Driver,
    /// A frame of the peer, or the end of one of its calls.
    Peer,
    /// A usual message of the peer, by which hardly more is held. A turn of the driver, which looks at all, follows.
    Usual,
    /// This program, which may hold locks of its own. Nothing of other connections may be dropped in it.
    Program,
}

impl Link {
    /// Looks at the state.
    pub(super) fn read_state<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&lock(&self.state.0))
    }

    /// Changes the state under its lock. No user code may run in `change`: it hands to the effects all that may run
    /// some, which happens when the lock is free.
    pub(super) fn with_state<R>(
        &self,
        cause: Cause,
        change: impl FnOnce(&mut State, &mut Effects) -> R,
    ) -> R {
        let mut effects = Effects::NONE;
        let mut over = false;
        #[cfg(feature = "metrics")]
        let mut references = None;
        let result = {
            let state = &mut *lock(&self.state.0);
            // A later drop wakes the driver, which looks again.
            if self.has_pending_releases.load(Ordering::SeqCst) {
                self.apply_releases(state, &mut effects);
            }
            let result = change(state, &mut effects);
            // A wait is registered by a change of the driver's side, which ends no call, and must not be woken by it.
            if self.draining.load(Ordering::SeqCst) && !matches!(cause, Cause::Driver) {
                self.notify_idle(state, &mut effects);
            }
            if self.pooled && !matches!(cause, Cause::Program | Cause::Usual) {
                over = self.report_to_pool(state);
            }
            if matches!(cause, Cause::Peer)
                && state.outbox.unwritten() > self.limits.unwritten_bytes_hard
                && !self.ended.load(Ordering::SeqCst)
            {
                effects.push(Effect::BreakOff(reads_too_slowly()));
            }
            // A turn of the driver follows the other causes.
            #[cfg(feature = "metrics")]
            if matches!(cause, Cause::Driver | Cause::Peer) {
                references = state.references_changed();
            }
            result
        };
        #[cfg(feature = "metrics")]
        if let Some([before, now]) = references {
            crate::events::count_references(before, now);
        }
        if over {
            self.shed_load();
        }
        if !effects.list.is_empty() {
            self.run_effects(effects, cause);
        }
        // The driver looks at everything after it has said that it sleeps.
        if self.driver_parked.load(Ordering::SeqCst) && !matches!(cause, Cause::Driver) {
            self.wake_up();
        }
        result
    }

    /// Settles the drops of imports, which are queued: see [`queue_drop`](Self::queue_drop).
    fn apply_releases(&self, state: &mut State, effects: &mut Effects) {
        let dropped = {
            let mut dropped = lock(&self.dropped);
            self.has_pending_releases.store(false, Ordering::SeqCst);
            std::mem::take(&mut *dropped)
        };
        for PendingRelease { id, late } in dropped {
            state.encoding.codec_mut().expire(id, late);
            // It has to be written before the name of a released function is read again.
            let release = state.session.drop_import(id);
            state.say_all(release);
            state.entries.drop_import(id, effects);
            if let Some(deadlines) = &mut state.entries.deadlines {
                deadlines.remove(Deadline::Own(id));
                state.drop_unneeded();
            }
            if let Some(batch) = &self.batch {
                batch.use_result(id);
            }
        }
    }

    /// Queues the drop of an import, which can come anywhere, also under a lock.
    pub(super) fn queue_drop(&self, id: Id) {
        {
            let mut dropped = lock(&self.dropped);
            dropped.push(PendingRelease { id, late: late::is_late() });
            self.has_pending_releases.store(true, Ordering::SeqCst);
        }
        if self.driver_parked.load(Ordering::SeqCst) {
            self.wake_up();
        }
    }

    /// Wakes the tasks that wait until no call of the peer is running, if that is so.
    fn notify_idle(&self, state: &mut State, effects: &mut Effects) {
        if self.is_drained(state) {
            effects.wake_all(state.lifecycle.take_idle_waiters());
        }
    }

    /// Returns `true` if the end of the session would cut nothing off that this side owes to the peer.
    pub(super) fn is_drained(&self, state: &State) -> bool {
        let is_at_rest = state.session.running() == 0 && self.written_streams() == 0;
        is_at_rest || state.lifecycle.error().is_some()
    }

    /// Runs the effects of a change. No lock is held.
    fn run_effects(&self, effects: Effects, cause: Cause) {
        let mut hosted = None;
        let hosts = !matches!(cause, Cause::Program);
        let _late = effects.late.then(late::begin);
        for effect in effects.list {
            // A handler started here may start others, which become tasks of this connection. An answer starts none.
            if hosts && !matches!(effect, Effect::Deliver(Question::Call { .. }, _) | Effect::Wake(_)) {
                hosted.get_or_insert_with(|| {
                    HostGuard::new(self.own.upgrade().map(|link| -> Arc<dyn Host> { link }))
                });
            }
            match effect {
                Effect::Deliver(caller, answer) => self.deliver(caller, answer),
                Effect::Unsent(call, error) => call.fail(&error),
                Effect::Progress(progress, value) => {
                    if let Ok(value) = InboundRef::into_live(value, self.unfolding) {
                        progress(value);
                    }
                }
                Effect::Resolve(promise, cap) => promise.resolve(cap),
                Effect::Cancel(running) => running.cancel(),
                Effect::Drop(value) => drop(value),
                Effect::Wake(waker) => waker.wake(),
                Effect::Lost(message) => {
                    if let Some(tell) = &self.lost {
                        catch_and_log("on_message_lost", || tell(message));
                    }
                }
                Effect::PeerDraining(watchers) => {
                    for watcher in watchers.all() {
                        fire(&watcher, &peer_draining());
                    }
                }
                Effect::Close(error) => self.close(error),
                Effect::BreakOff(error) => self.break_off(error),
            }
        }
    }

    /// Answers a caller.
    pub(super) fn deliver(&self, caller: Question, answer: InboundResult) {
        let value = match answer {
            Ok(value) => value,
            Err(error) => return caller.fail(error),
        };
        match caller {
            Question::Call { caller, .. } => {
                // If the caller has gone, the answer is dropped, which releases its references.
                let begin = || InboundRef::begin(value, self.unfolding);
                caller.answer(Ok(within(&mut Some(self.context.clone()), begin)));
            }
            Question::Promise(promised) => {
                // If no receiver is left, the outcome is dropped.
                let outcome = || PromiseOutcome::value(value, &self.untaken, self.unfolding);
                let _gone = promised.send(within(&mut Some(self.context.clone()), outcome));
                self.with_state(Cause::Peer, |state, effects| self.check_calls(state, effects));
            }
            Question::Index(promise) => {
                let not_there = |_| Error::new(ErrorKind::Protocol, "the peer sent a promise as its index");
                let index = InboundRef::into_live(value, self.unfolding).map_err(not_there);
                promise.resolve(index.map_or_else(Cap::broken, to_cap));
            }
            Question::Result(_) => drop(value),
        }
    }

    /// Ends the session if there is no room for all calls that have not ended.
    pub(super) fn check_calls(&self, state: &State, effects: &mut Effects) {
        if state.lifecycle.error().is_none() {
            if let Err(error) = state.inbox.check(self.untaken(), self.undecided(), &self.limits) {
                effects.push(Effect::BreakOff(error));
            }
        }
    }

    /// Sets the waker of the driver, which sleeps from now on; `None` if it is awake.
    pub(crate) fn set_waker(&self, waker: Option<&Waker>) {
        // Only the driver sets one.
        if waker.is_none() && !self.driver_parked.load(Ordering::SeqCst) {
            return;
        }
        let mut waker = waker.cloned();
        {
            let mut driver = lock(&self.driver);
            self.driver_parked.store(waker.is_some(), Ordering::SeqCst);
            std::mem::swap(&mut *driver, &mut waker);
        }
        // A waker may hold references of this connection.
        drop(waker);
    }

    /// Wakes the driver.
    pub(crate) fn wake_up(&self) {
        let waker = {
            let mut driver = lock(&self.driver);
            self.driver_parked.store(false, Ordering::SeqCst);
            driver.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
