//! Ids of our requests, by which their answers are known.

use std::collections::HashSet;

use crate::dialect::ids::{OwnIds, split_mix64};
use crate::message::Id;

/// A request of ours, to which an answer comes.
pub(super) enum RequestId {
    Index(Id),
    Call(Id),
    Dealloc(Id),
}

/// Makes ids of the numbers of our requests that look like those of the package: 20 hexadecimal digits, or 40 for an
/// index. The first are the connection's, the last ten the number. Calls come with their numbers; only a `dealloc` gets
/// its own here.
pub(super) struct RequestIds {
    pub(super) index: OwnIds,
    pub(super) call: OwnIds,
    pub(super) dealloc: OwnIds,
    /// The last call.
    last_call: Id,
    deallocs: Id,
    /// Calls without an answer.
    open: HashSet<Id, foldhash::fast::RandomState>,
}

impl RequestIds {
    pub(super) fn new(mut seed: u64) -> Self {
        let mut ten = || format!("{:010x}", split_mix64(&mut seed) >> 24);
        let index = format!("{}{}{}", ten(), ten(), ten());
        let (call, mut dealloc) = (ten(), ten());
        while dealloc == call {
            dealloc = ten();
        }
        let [index, call, dealloc] = [index, call, dealloc].map(|prefix| OwnIds::new(prefix, 10, b'a'));
        Self { index, call, dealloc, last_call: 0, deallocs: 0, open: HashSet::default() }
    }

    /// Notes a call, which has no answer yet.
    pub(super) fn ask(&mut self, call: Id) {
        self.last_call = call;
        self.open.insert(call);
    }

    pub(super) fn answered(&mut self, call: Id) {
        self.open.remove(&call);
    }

    /// `true` if a call has no answer yet.
    pub(super) fn is_open(&self, call: Id) -> bool {
        self.open.contains(&call)
    }

    pub(super) fn next_dealloc(&mut self) -> Id {
        self.deallocs += 1;
        self.deallocs
    }

    /// Finds the request of ours with this id.
    pub(super) fn find(&self, id: &str) -> Option<RequestId> {
        let index = || self.index.find(id, self.last_call).map(RequestId::Index);
        let call = || self.call.find(id, self.last_call).map(RequestId::Call);
        let dealloc = || self.dealloc.find(id, self.deallocs).map(RequestId::Dealloc);
        index().or_else(call).or_else(dealloc)
    }
}
