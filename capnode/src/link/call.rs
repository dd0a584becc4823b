//! Calls of the peer that have been taken in.

use crate::cap::Cap;
use crate::cap::staged::{REQUEST, STEP, Staged};
use crate::op::Id;
use crate::session::InboundKind;

/// A call of the peer that has been taken in. Its ids are resolved, since they may be released by the very next
/// message; nothing in it is decoded or started.
pub(super) struct Call {
    pub(super) answer: Id,
    pub(super) kind: InboundKind<Cap, Staged>,
    /// Bytes that it keeps: its frame, itself, and the calls and reads in its values.
    pub(super) bytes: usize,
    /// The number of calls and reads in its values.
    pub(super) requests: usize,
}

impl Call {
    /// Creates a call that came in a frame of `bytes` bytes.
    pub(super) fn new(answer: Id, kind: InboundKind<Cap, Staged>, bytes: usize) -> Self {
        let (requests, steps) = match &kind {
            InboundKind::Call { path, args, .. } => {
                let (requests, steps) = args.as_ref().map_or((0, 0), Staged::requests);
                (requests, steps + path.further_steps())
            }
            InboundKind::Evaluate(value) => Staged::requests(value),
        };
        let held = size_of::<Self>() + requests * REQUEST + steps * STEP;
        Self { answer, kind, bytes: bytes + held, requests }
    }
}
