//! Calls of the peer that have been taken in.

use crate::cap::Cap;
use crate::cap::context::Context;
use crate::cap::inbound::{InboundRef, REQUEST, STEP};
use crate::message::{Expression, Id};

/// A call of the peer that has been taken in. Its ids are resolved, since they may be released by the very next
/// message; nothing in it is decoded or started.
pub(super) struct InboundCall {
    pub(super) answer: Id,
    pub(super) expression: Expression<Cap, InboundRef>,
    /// The context that came with it; `None` for that of every call of the peer.
    pub(super) context: Option<Context>,
    /// Bytes that it keeps: its frame, itself, and the calls and reads in its values.
    pub(super) bytes: usize,
    /// The number of calls and reads in its values.
    pub(super) requests: usize,
}

impl InboundCall {
    /// Bytes that a call without references takes beside its frame.
    pub(super) const SIZE: usize = size_of::<Self>();

    /// Creates a call that came in a frame of `bytes` bytes.
    pub(super) fn new(answer: Id, expression: Expression<Cap, InboundRef>, bytes: usize) -> Self {
        let (requests, steps) = match &expression {
            Expression::Call { path, args, .. } => {
                let (requests, steps) = args.as_ref().map_or((0, 0), InboundRef::requests);
                (requests, steps + path.as_slice().len().saturating_sub(1))
            }
            Expression::Value(value) => InboundRef::requests(value),
        };
        let held = Self::SIZE + requests * REQUEST + steps * STEP;
        Self { answer, expression, context: None, bytes: bytes + held, requests }
    }
}
