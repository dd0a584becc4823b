//! Calls of this program that wait until there is room to write them.

use std::sync::Arc;

use crate::cap::context::Context;
use crate::cap::import::Import;
use crate::cap::payload::LivePayload;
use crate::cap::pending::Answerer;
use crate::cap::request::CallOptions;
use crate::error::{Error, Fate};
use crate::message::{Path, Program};

/// A call, with everything needed to send it.
pub(super) struct QueuedCall {
    pub(super) target: Arc<Import>,
    pub(super) path: Path,
    pub(super) args: Option<LivePayload>,
    /// The program of a map, whose captures are the arguments.
    pub(super) program: Option<Arc<Program>>,
    pub(super) context: Option<Context>,
    pub(super) size: usize,
    pub(super) requester: Requester,
}

/// The receiver of the result.
pub(super) enum Requester {
    /// A reference to the result, which exists already.
    Reference(Arc<Import>),
    Caller {
        caller: Answerer,
        options: CallOptions,
    },
}

impl Requester {
    /// Returns `true` if a caller waits for the answer.
    pub(super) fn awaits(&self) -> bool {
        match self {
            Requester::Caller { options, .. } => !options.at_once,
            Requester::Reference(_) => false,
        }
    }
}

impl QueuedCall {
    /// Returns the bytes that cannot wait long, since the caller does not wait for the answer.
    pub(super) fn at_once_size(&self) -> usize {
        if self.requester.awaits() { 0 } else { self.size }
    }

    /// Fails the caller: its call was not sent. No lock may be held.
    pub(super) fn fail(self, error: &Error) {
        if let Requester::Caller { caller, .. } = self.requester {
            caller.answer(Err(error.clone().with_fate(Fate::NotSent)));
        }
    }
}
