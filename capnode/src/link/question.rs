//! Receivers of answers.

use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;

use crate::cap::Cap;
use crate::cap::context::Progress;
use crate::cap::inbound::PromiseOutcome;
use crate::cap::pending::Answerer;
use crate::cap::promise::Promise;
use crate::error::Error;
use crate::message::Id;

/// The receiver of an answer.
pub(super) enum Question {
    Call {
        caller: Answerer,
        progress: Option<Progress>,
        /// The time from which `call_timeout` counts, unless the call has a timeout of its own.
        since: Option<Duration>,
    },
    /// A promise of the peer.
    Promise(oneshot::Sender<PromiseOutcome>),
    /// A promise for the peer's index, in a language in which a call asks for it.
    Index(Arc<Promise>),
    /// Nobody: it tells that the result of a call with a deadline is there.
    Result(Id),
}

impl Question {
    /// Fails the receiver: its answer does not come.
    pub(super) fn fail(self, error: Error) {
        match self {
            Question::Call { caller, .. } => caller.answer(Err(error)),
            Question::Promise(promised) => {
                // A dropped receiver needs no error.
                let _gone = promised.send(PromiseOutcome::failed(error));
            }
            Question::Index(promise) => promise.resolve(Cap::broken(error)),
            Question::Result(_) => {}
        }
    }
}
