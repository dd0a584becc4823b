//! The time limits of a link: it checks that the peer is still there, closes an unused connection, and gives up
//! unanswered calls. Its driver tells it the time.

use std::sync::Arc;
use std::time::Duration;

use super::Link;
use super::deadlines::Deadline;
use super::effects::{Effect, Effects};
use super::locked::Cause;
use super::state::State;
use crate::cap::Cap;
use crate::cap::context::late;
use crate::dialect::{PROBE, Probe};
use crate::error::{Error, ErrorKind, Fate, Fault};
use crate::limits::LimitKind;
use crate::message::{Id, Key, Path, Text};
use crate::runtime::Instant;
use crate::sync::atomic::Ordering;

/// Bytes of a first message that must arrive each second, or the peer counts as silent.
const SLOWEST: usize = 16 << 10;

/// The shortest time between two checks of unanswered calls.
const SHORTEST: Duration = Duration::from_millis(1);

fn silent(since: Duration) -> Error {
    let message = format!("the peer has said nothing for {since:?}");
    Error::new(ErrorKind::Disconnected, message).of_limit(LimitKind::Silence)
}

/// The work that is left after a check of the time limits.
pub(crate) struct Tick {
    /// The time of the next check, or `None` if there is no time limit.
    pub(crate) next: Option<Duration>,
    /// `true` if the peer is to be asked for a sign of life.
    pub(crate) ask: bool,
}

impl Link {
    /// Sets the time.
    pub(crate) fn set_now(&self, now: Duration) {
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        self.now.fetch_max(now, Ordering::Relaxed);
    }

    /// Returns the time that was last set.
    pub(super) fn now(&self) -> Duration {
        Duration::from_micros(self.now.load(Ordering::Relaxed))
    }

    /// Notes a sign of life other than a frame.
    #[cfg(feature = "host")]
    pub(crate) fn sign_of_life(&self) {
        self.with_state(Cause::Driver, |state, _| state.clock.sign_of_life(self.now()));
    }

    /// Does all that is due, and returns the time of the next check.
    pub(crate) fn tick(self: &Arc<Self>) -> Tick {
        let now = self.now();
        let tick = self.with_state(Cause::Driver, |state, effects| {
            if self.ended.load(Ordering::SeqCst) {
                return Ok(Tick { next: None, ask: false });
            }
            let next_call = self.give_up_calls(state, now, effects);
            let next_late = self.give_up_late(state, now, effects);
            self.check(state, now).map(|mut tick| {
                tick.next = [tick.next, next_call, next_late].into_iter().flatten().min();
                tick
            })
        });
        tick.unwrap_or_else(|error| {
            // The peer of a batch still reads.
            if self.batch.is_some() {
                self.break_off(error)
            } else {
                self.close(error)
            }
            Tick { next: None, ask: false }
        })
    }

    /// Checks that the connection is used and that the peer is there.
    fn check(&self, state: &mut State, now: Duration) -> Result<Tick, Error> {
        if self.batch.is_some() {
            let limit = self.limits.batch_time;
            return match limit.filter(|limit| *limit <= now) {
                None => Ok(Tick { next: limit, ask: false }),
                Some(limit) => {
                    let message = format!("the HTTP batch took longer than {limit:?}");
                    Err(Error::over(LimitKind::BatchTime, message))
                }
            };
        }
        let mut next = None;
        if let Some(idle) = self.idle {
            if !state.session.is_unused() || state.inbox.parked() > 0 {
                state.clock.touch(now);
            }
            let end = state.clock.unused_since().saturating_add(idle);
            if end <= now {
                let message = format!("the connection was idle for {idle:?}");
                let error = Error::new(ErrorKind::Disconnected, message).with_fault(Fault::Here);
                return Err(error.of_limit(LimitKind::Idle));
            }
            next = Some(end);
        }
        if let Some(silence) = self.silence.filter(|_| self.checks_first.load(Ordering::SeqCst)) {
            let arriving = Duration::from_secs((self.share.arriving() / SLOWEST) as u64);
            let end = silence.saturating_add(arriving);
            if end <= now {
                return Err(silent(now));
            }
            next = Some(next.map_or(end, |next| end.min(next)));
        }
        let mut ask = false;
        if let Some(probe) = self.limits.probe {
            // The accepting side waits only so long for a first message, and not every language has one.
            let first =
                if self.connecting && self.checks_first.load(Ordering::SeqCst) { probe / 2 } else { probe };
            let end;
            (ask, end) = state.clock.check(now, first, probe)?;
            next = Some(next.map_or(end, |next| end.min(next)));
        }
        Ok(Tick { next, ask })
    }

    /// Returns `true` if the peer has connected over a byte stream and sent no message since.
    #[cfg(feature = "host")]
    pub(super) fn is_silent(&self) -> bool {
        let ended = self.ended.load(Ordering::SeqCst);
        !self.connecting && self.checks_first.load(Ordering::SeqCst) && !ended
    }

    /// Returns the time at which the peer was asked for a sign of life, if it has given none since.
    #[cfg(feature = "host")]
    pub(super) fn probed_at(&self) -> Option<Duration> {
        let ended = self.ended.load(Ordering::SeqCst);
        self.read_state(|state| state.clock.probed()).filter(|_| !self.connecting && !ended)
    }

    /// Ends a session whose peer is silent, to make room for another.
    #[cfg(feature = "host")]
    pub(super) fn end_silence(&self) {
        self.close(silent(self.now()));
    }

    /// Asks the peer for a sign of life, if its language has a message for it.
    pub(crate) fn probe(&self) {
        self.with_state(Cause::Peer, |state, effects| {
            if self.ended.load(Ordering::SeqCst) {
                return;
            }
            let question = match self.capabilities().map_or(Probe::None, |peer| peer.probe) {
                Probe::Value => None,
                Probe::Property => Some(Path::One(Key::Name(Text::Static(PROBE)))),
                Probe::None => {
                    return state.clock.set_unprobeable(self.now());
                }
            };
            let probe = state.session.probe(question);
            match state.send(probe, effects) {
                Ok(id) => state.clock.set_probe(id),
                Err(_) => state.clock.set_unprobeable(self.now()),
            }
        });
    }

    /// Returns `true` once there is an earlier deadline than the last tick knew of.
    #[cfg(feature = "host")]
    pub(crate) fn has_sooner(&self) -> bool {
        self.has_sooner.load(Ordering::SeqCst)
    }

    /// Gives up the calls whose deadlines have passed. Returns the time of the next deadline.
    fn give_up_late(
        self: &Arc<Self>,
        state: &mut State,
        now: Duration,
        effects: &mut Effects,
    ) -> Option<Duration> {
        self.has_sooner.store(false, Ordering::SeqCst);
        // The calls on their results have been answered.
        state.drop_unneeded();
        state.entries.deadlines.as_ref()?.next()?;
        let clock = Instant::now();
        while let Some(call) = state.entries.deadlines.as_mut()?.take_late(clock) {
            match call {
                Deadline::Own(id) => {
                    for call in state.entries.take_late(id) {
                        if let Some(caller) = state.drop_call(call) {
                            let error = late().with_fate(Fate::MayHaveRun);
                            effects.push(Effect::Deliver(caller, Err(error)));
                        }
                    }
                }
                Deadline::Waiting(number) => {
                    for call in state.outbox.withdraw_late(number) {
                        effects.push(Effect::Unsent(call, late()));
                    }
                }
                Deadline::Theirs(answer) => self.end_late(state, answer, effects),
            }
        }
        let next = state.entries.deadlines.as_ref()?.next()?;
        Some(now.saturating_add(next.saturating_duration_since(clock)))
    }

    /// Ends a call of the peer whose deadline has passed, as if the peer had given it up, and answers it.
    fn end_late(self: &Arc<Self>, state: &mut State, answer: Id, effects: &mut Effects) {
        if !state.session.is_running(answer) {
            return;
        }
        state.inbox.withdraw(answer, effects);
        if let Some(running) = state.inbox.take_running(answer) {
            effects.push(Effect::Cancel(running));
        }
        if let Some(promise) = state.entries.promise_of(answer) {
            effects.push(Effect::Resolve(promise, Cap::broken(late())));
        }
        self.end_call(state, answer, Err(late()), false, effects);
    }

    /// Gives up the calls of this side that have timed out. Returns the time of the next check.
    fn give_up_calls(&self, state: &mut State, now: Duration, effects: &mut Effects) -> Option<Duration> {
        let limit = self.limits.call_timeout?;
        // A later call has no less time left.
        if let Some(due) = state.clock.calls_due().filter(|due| now < *due) {
            return Some(due);
        }
        let (overdue, next) = state.entries.take_overdue(now, limit);
        for (id, caller) in overdue {
            let message = format!("no answer within {limit:?}");
            let error = Error::new(ErrorKind::Timeout, message).of_limit(LimitKind::CallTimeout);
            let release = state.session.drop_call(id);
            state.say_all(release);
            effects.push(Effect::Deliver(caller, Err(error.with_fate(Fate::MayHaveRun))));
        }
        state.clock.set_calls_due(next);
        Some(next.max(now.saturating_add((limit / 16).max(SHORTEST))))
    }
}
