//! The end of a connection, and the waits for it.

use std::task::Waker;
#[cfg(feature = "host")]
use std::task::{Context, Poll};

use crate::cap::broken::{BrokenSlot, Watchers};
use crate::error::{Error, ErrorData, Fate};
use crate::limits::LimitKind;
use crate::message::Text;

/// The end of a connection, once it has come, and the waits for it.
#[derive(Default)]
pub(super) struct Lifecycle {
    end: Option<End>,
    /// `true` once the driver has gone.
    gone: bool,
    watchers: Watchers,
    /// Callbacks for the peer's word that it drains, or for the end.
    draining: Watchers,
    /// Wakers of the tasks that wait for the last of the peer's calls to end, for the end of the driver, or until it is
    /// decided which index this side offers.
    idle_waiters: Vec<Waker>,
}

struct End {
    error: Error,
    /// The reason of an end that is not ordinary, for the peer.
    #[cfg_attr(not(feature = "host"), allow(dead_code, reason = "only a transport can tell it"))]
    reason: Option<String>,
}

impl Lifecycle {
    /// Returns the error by which the session ended, if it has.
    pub(super) fn error(&self) -> Option<&Error> {
        self.end.as_ref().map(|end| &end.error)
    }

    /// Returns an error for a request that is not sent, if the session has ended.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.error().map_or(Ok(()), |error| Err(error.clone().with_fate(Fate::NotSent)))
    }

    /// Returns the reason of an end that is not ordinary, for the peer.
    #[cfg(feature = "host")]
    pub(super) fn reason(&self) -> Option<&str> {
        self.end.as_ref()?.reason.as_deref()
    }

    /// Ends the session. Returns the watchers of the end.
    #[must_use]
    pub(super) fn end(&mut self, error: Error, reason: Option<String>) -> Watchers {
        self.end = Some(End { error, reason });
        let mut watchers = std::mem::take(&mut self.watchers);
        watchers.append(std::mem::take(&mut self.draining));
        watchers
    }

    /// Registers a watcher of the end. Returns its error if it has come, so that the caller must call the watcher.
    pub(super) fn watch(&mut self, slot: &BrokenSlot) -> Option<Error> {
        let ended = self.error().cloned();
        if ended.is_none() {
            self.watchers.add(slot);
        }
        ended
    }

    /// Registers a watcher of the peer's word that it drains. The session has not ended.
    #[cfg(feature = "host")]
    pub(super) fn watch_draining(&mut self, slot: &BrokenSlot) {
        self.draining.add(slot);
    }

    /// Returns the watchers of the peer's word that it drains.
    #[must_use]
    pub(super) fn take_draining(&mut self) -> Watchers {
        std::mem::take(&mut self.draining)
    }

    /// Returns `true` once the driver has gone.
    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    #[cfg(feature = "host")]
    pub(super) fn set_gone(&mut self) {
        self.gone = true;
    }

    #[cfg(feature = "host")]
    pub(super) fn wait_idle(&mut self, cx: &Context<'_>) -> Poll<()> {
        if !self.idle_waiters.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.idle_waiters.push(cx.waker().clone());
        }
        Poll::Pending
    }

    #[must_use]
    pub(super) fn take_idle_waiters(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.idle_waiters)
    }
}

/// Returns `true` if `error` ends a session because there is no room for the bytes it holds.
pub(super) fn is_for_room(error: &Error) -> bool {
    matches!(error.limit(), Some(LimitKind::UnwrittenBytesHard | LimitKind::NodeBytes))
}

/// The reason of a node that is drained.
pub(crate) const SHUTTING_DOWN: &str = "the node is shutting down";

/// The data of the error of a call that a node does not run, since it is shutting down.
pub(super) const SHUTDOWN: ErrorData = ErrorData::Wire(Text::Static(r#"{"code":"ESHUTDOWN"}"#));

/// Returns the error for a call of a peer that has said that it runs no further calls. Nothing of it is sent.
#[cold]
pub(super) fn peer_draining() -> Error {
    Error::rejected("the peer is shutting down").with_data(SHUTDOWN).with_fate(Fate::NotSent)
}
