//! The calls of the peer that have not ended: those that run, and those that wait for room.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::call_handle::CallHandle;
use super::effects::Effects;
use super::inbound_call::InboundCall;
use super::task::Task;
use crate::error::Error;
use crate::limits::{LimitKind, Limits};
use crate::message::{Id, IdMap};

/// The calls of the peer that have not ended.
#[derive(Default)]
pub(super) struct Inbox {
    running: IdMap<Arc<CallHandle>>,
    /// Handlers that did not complete at once, to be driven.
    tasks: Vec<Task>,
    /// Calls that wait for others to end, by their numbers, which is the order in which they came.
    parked: BTreeMap<Id, InboundCall>,
    parked_bytes: usize,
    /// Bytes of the calls that have been started and have not ended.
    call_bytes: usize,
}

impl Inbox {
    /// Returns `true` if one more call may run now. Of `calls` that have not ended, that one included, each may run up to
    /// `limits`. Each of the `own_calls` of this side that waits for the peer makes room for one more. Otherwise two sides
    /// at their limit whose handlers all call back would deadlock.
    pub(super) fn has_room(&self, calls: usize, own_calls: impl FnOnce() -> usize, limits: &Limits) -> bool {
        let most = limits.running_calls;
        self.parked.is_empty() && (calls <= most || calls <= most + own_calls())
    }

    /// Returns the call if it may run now, see [`has_room`](Self::has_room); otherwise it waits, which has to be
    /// [checked](Self::check).
    pub(super) fn admit(
        &mut self,
        call: InboundCall,
        calls: usize,
        own_calls: impl FnOnce() -> usize,
        limits: &Limits,
    ) -> Option<InboundCall> {
        if self.has_room(calls, own_calls, limits) {
            return Some(call);
        }
        self.parked_bytes += call.bytes;
        self.parked.insert(call.answer, call);
        None
    }

    /// Returns `true` if a call waits that may run now, where `calls` have not ended.
    pub(super) fn can_unpark(&self, calls: usize, own_calls: usize, limits: &Limits) -> bool {
        !self.parked.is_empty() && calls - self.parked.len() < limits.running_calls + own_calls
    }

    /// Removes and returns the first call that waits, if it may run now.
    #[must_use]
    pub(super) fn unpark(&mut self, calls: usize, own_calls: usize, limits: &Limits) -> Option<InboundCall> {
        if !self.can_unpark(calls, own_calls, limits) {
            return None;
        }
        let (_, call) = self.parked.pop_first()?;
        self.parked_bytes -= call.bytes;
        Some(call)
    }

    /// Removes and returns all calls that wait, in the order in which they came.
    #[cfg(feature = "host")]
    pub(super) fn take_parked(&mut self) -> impl Iterator<Item = InboundCall> + use<> {
        self.parked_bytes = 0;
        std::mem::take(&mut self.parked).into_values()
    }

    /// Removes a call that waits, and is no longer wanted.
    pub(super) fn withdraw(&mut self, answer: Id, effects: &mut Effects) {
        if let Some(call) = self.parked.remove(&answer) {
            self.parked_bytes -= call.bytes;
            effects.discard(call);
        }
    }

    /// Adds a call that did not complete at once.
    pub(super) fn add(&mut self, answer: Id, running: Arc<CallHandle>, task: Task) {
        self.call_bytes += running.bytes();
        self.running.insert(answer, running);
        self.tasks.push(task);
    }

    /// Adds a handler of this side that is nested too deeply.
    pub(super) fn add_task(&mut self, task: Task) {
        self.tasks.push(task);
    }

    #[must_use]
    pub(super) fn take_tasks(&mut self) -> Vec<Task> {
        std::mem::take(&mut self.tasks)
    }

    pub(super) fn has_tasks(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// Removes and returns a running call.
    #[must_use]
    pub(super) fn take_running(&mut self, answer: Id) -> Option<Arc<CallHandle>> {
        let running = self.running.remove(&answer)?;
        self.call_bytes -= running.bytes();
        Some(running)
    }

    /// Removes and returns all running calls.
    #[cfg(feature = "host")]
    #[must_use]
    pub(super) fn take_all_running(&mut self) -> IdMap<Arc<CallHandle>> {
        let running = std::mem::take(&mut self.running);
        self.call_bytes -= running.values().map(|running| running.bytes()).sum::<usize>();
        running
    }

    /// Returns all running calls.
    #[cfg(feature = "host")]
    pub(super) fn all_running(&self) -> Vec<(Id, Arc<CallHandle>)> {
        self.running.iter().map(|(answer, running)| (*answer, running.clone())).collect()
    }

    /// Adds `bytes` to those that a running call holds. Returns `false` if it does not run any more.
    pub(super) fn add_bytes(&mut self, answer: Id, bytes: usize) -> bool {
        let Some(running) = self.running.get(&answer) else { return false };
        running.add_bytes(bytes);
        self.call_bytes += bytes;
        true
    }

    /// Returns an error if there is no room for all calls that have not ended, with `untaken` bytes of outcomes. Of those
    /// that have been started, `undecided` bytes wait for the decisions of policies.
    pub(super) fn check(&self, untaken: usize, undecided: usize, limits: &Limits) -> Result<(), Error> {
        if self.parked_bytes + undecided > limits.parked_bytes {
            let message = format!("more than {} bytes of calls are waiting", limits.parked_bytes);
            return Err(Error::over(LimitKind::ParkedBytes, message));
        }
        let limit = limits.call_bytes;
        if self.bytes() + untaken <= limit {
            return Ok(());
        }
        Err(Error::over(LimitKind::CallBytes, format!("more than {limit} bytes of calls have not ended")))
    }

    /// Returns the bytes of all calls that have not ended.
    pub(super) fn bytes(&self) -> usize {
        self.call_bytes + self.parked_bytes
    }

    /// Returns the number of calls that wait.
    pub(super) fn parked(&self) -> usize {
        self.parked.len()
    }

    pub(super) fn parked_bytes(&self) -> usize {
        self.parked_bytes
    }

    /// Cancels all calls: the session has ended. Returns those that have not begun. No lock may be held.
    pub(super) fn cancel(self) -> impl Sized {
        for (_, running) in self.running {
            running.cancel();
        }
        (self.tasks, self.parked)
    }
}
