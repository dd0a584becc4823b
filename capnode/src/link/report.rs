//! The resources that a connection holds, and its traffic.

use std::time::Duration;

use super::Link;
use crate::limits::Limits;
use crate::session::Tables;

/// The usage of a connection against its [`Limits`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The sizes of its tables: for `exports`, `imports`, `calls` and `running_calls`.
    pub tables: Tables,
    /// Calls of the peer that wait until others have ended.
    pub parked_calls: usize,
    /// Bytes of the parked calls, and of the running ones that wait for the decision of a policy.
    pub parked_bytes: usize,
    /// Bytes of all calls of the peer that have not ended, parked ones included.
    pub call_bytes: usize,
    /// Bytes of results that the peer may still use.
    pub kept_bytes: usize,
    /// Bytes waiting to be written.
    pub unwritten_bytes: usize,
    /// Bytes held for a frame that has not arrived whole, as far as the transport reports them. A large buffer in which
    /// a frame has arrived counts for a while as well.
    pub arriving_bytes: usize,
    /// Frames that have arrived.
    pub frames: u64,
    /// Calls that the peer has given up before they ended.
    pub cancels: u64,
    /// Messages about unexpected ids.
    pub stray_ids: u64,
    /// Time since the peer's last sign of life: for `probe`.
    pub quiet: Duration,
    /// Time since the last activity, as of the last check: for `idle`.
    pub unused: Duration,
    /// Bytes that all connections of the node hold; 0 without a node.
    pub node_bytes: usize,
    /// The limits of the connection.
    pub limits: Limits,
}

impl Link {
    pub(crate) fn report(&self) -> Report {
        self.read_state(|state| {
            let counts = state.session.counts();
            Report {
                tables: self.tables_of(state),
                parked_calls: state.inbox.parked(),
                parked_bytes: state.inbox.parked_bytes() + self.undecided(),
                call_bytes: state.inbox.bytes(),
                kept_bytes: state.entries.kept_bytes(),
                unwritten_bytes: state.outbox.unwritten() + state.outbox.waiting_bytes(),
                arriving_bytes: self.share.arriving(),
                frames: counts.frames,
                cancels: counts.cancels,
                stray_ids: counts.unknown_ids,
                quiet: self.now().saturating_sub(state.clock.quiet_since()),
                unused: self.now().saturating_sub(state.clock.unused_since()),
                node_bytes: self.share.of_all(),
                limits: self.limits.clone(),
            }
        })
    }
}
