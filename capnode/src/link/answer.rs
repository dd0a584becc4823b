//! Outcomes of the peer's calls.

use std::sync::Arc;

use super::Link;
use super::deadlines::Deadline;
use super::effects::{Effect, Effects};
use super::encode::{ENVELOPE, error_to_wire, to_wire};
use super::locked::Cause;
use super::state::State;
use crate::bounds;
use crate::cap::Cap;
use crate::cap::context::Progress;
use crate::cap::data::to_cap;
use crate::cap::import::ImportHook as _;
use crate::cap::payload::{LivePayload, REFERENCE, unfolded_len};
use crate::cap::response::{Outcome, Reply};
use crate::error::Error;
use crate::limits::LimitKind;
use crate::message::{Id, Message, Payload};
use crate::session::ReturnDisposition;
use crate::text_pool;

impl Link {
    /// Returns the receiver of the progress of a call of the peer.
    pub(super) fn progress_of(self: &Arc<Self>, answer: Id) -> Progress {
        let link = Arc::downgrade(self);
        Arc::new(move |value| {
            if let Some(link) = link.upgrade() {
                link.report_progress(answer, value);
            }
        })
    }

    fn report_progress(self: &Arc<Self>, answer: Id, value: LivePayload) {
        let (Ok(value), _left) = to_wire(value, self.capabilities(), self.limits.frame_bytes) else { return };
        // The caller misses only this progress.
        if value.text.as_str().len() + value.refs.len() * REFERENCE + ENVELOPE >= self.limits.frame_bytes {
            return;
        }
        self.with_state(Cause::Program, |state, effects| {
            if state.session.is_running(answer) {
                let value = self.descriptors(state, value, false, effects);
                state.say(&Message::Progress { id: answer, value });
            } else {
                effects.discard(value);
            }
        });
    }

    /// Handles the outcome of a call of the peer, which `ran` as a task or ended at once.
    pub(super) fn finish(self: &Arc<Self>, answer: Id, outcome: Outcome, ran: bool) {
        let outcome = match outcome {
            Ok(Reply::Wire(body)) => Ok(body),
            // It is written here, since the lock is held below.
            unwritten => bounds::writing(self.write_limit(), || {
                unwritten.and_then(Reply::into_body).map_err(Error::written)
            }),
        };
        let outcome = outcome.and_then(|body| {
            if unfolded_len(&body) + ENVELOPE < self.limits.frame_bytes {
                Ok(body)
            } else {
                Err(Error::over(LimitKind::FrameBytes, "the result is longer than a frame may be"))
            }
        });
        let promised = self.with_state(Cause::Peer, |state, effects| {
            // Nothing can be done with its result but to send it.
            if state.session.finish_in_place(answer) {
                self.send_answer(state, answer, outcome, effects);
                return None;
            }
            match state.entries.promise_of(answer) {
                Some(promise) => Some((promise, outcome)),
                None => {
                    self.end_call(state, answer, outcome, ran, effects);
                    None
                }
            }
        });
        if let Some((promise, outcome)) = promised {
            // Pipelined calls reach the result before the peer learns its value.
            promise.resolve(match &outcome {
                Ok(body) => to_cap(body.clone()),
                Err(error) => Cap::broken(error.clone()),
            });
            self.with_state(Cause::Peer, |state, effects| {
                self.end_call(state, answer, outcome, ran, effects);
            });
        }
    }

    /// Ends a call of the peer, and answers it if it waits for that.
    pub(super) fn end_call(
        self: &Arc<Self>,
        state: &mut State,
        answer: Id,
        outcome: Result<LivePayload, Error>,
        ran: bool,
        effects: &mut Effects,
    ) {
        if ran {
            effects.discard_all(state.inbox.take_running(answer));
        }
        if let Some(deadlines) = &mut state.entries.deadlines {
            deadlines.remove(Deadline::Theirs(answer));
        }
        let (wanted, cancelled) = state.session.finish(answer);
        for answer in cancelled {
            Self::cancel_call(state, answer, effects);
        }
        if matches!(wanted, ReturnDisposition::Discard) {
            state.entries.forget(answer, false, effects);
            effects.discard(outcome);
        } else {
            let outcome = state.entries.keep(answer, outcome, self.limits.kept_bytes, effects);
            if matches!(wanted, ReturnDisposition::Send) {
                self.send_answer(state, answer, outcome, effects);
            } else {
                effects.discard(outcome);
            }
        }
        if self.peer.get().is_some_and(|peer| peer.names_exports) {
            state.encoding.export_names_mut().end(answer);
        }
    }

    /// Answers a call of the peer.
    pub(super) fn send_answer(
        self: &Arc<Self>,
        state: &mut State,
        answer: Id,
        outcome: Result<LivePayload, Error>,
        effects: &mut Effects,
    ) {
        let written = match outcome {
            // A value without references is written as it is.
            Ok(body) if body.is_plain() => Ok(Payload::plain(body.text)),
            Ok(body) => {
                let (value, left) = to_wire(body, self.capabilities(), self.write_limit());
                effects.discard_all(left);
                value.map(|value| self.descriptors(state, value, true, effects))
            }
            Err(error) => Err(error),
        };
        let outcome = written.map_err(|error| {
            let (value, left) = error_to_wire(&error, self.capabilities(), self.limits.frame_bytes);
            effects.discard((error, left));
            self.descriptors(state, value, false, effects)
        });
        let names_exports = self.peer.get().is_some_and(|peer| peer.names_exports);
        if let (true, Ok(value)) = (names_exports, &outcome) {
            let exports = value.refs.iter().filter_map(|slot| slot.to.sender_id());
            state.encoding.export_names_mut().answers(answer, exports);
        }
        let message = Message::Answer { id: answer, outcome };
        state.say(&message);
        if let Message::Answer { outcome: Ok(value) | Err(value), .. } = message {
            text_pool::give(value.text);
        }
        // The answer may have lent references.
        if let Err(error) = state.session.check_limits() {
            effects.push(Effect::BreakOff(error));
        }
    }
}
