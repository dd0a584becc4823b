//! The end of a connection, and what its owner asks of it.

use std::sync::Arc;

use super::Link;
use super::effects::Effects;
use super::entries::Entries;
use super::inbox::Inbox;
use super::lifecycle::is_for_room;
use super::locked::Cause;
use super::queued_call::QueuedCall;
use super::state::State;
use crate::cap::Cap;
use crate::cap::broken::{Watchers, fire};
use crate::dialect::capnweb;
use crate::error::{Error, ErrorKind, Fate, Fault};
use crate::message::{Id, Message, Payload};
use crate::session::Tables;
use crate::sync::atomic::Ordering;

/// The content of a connection that has ended. All that waits is failed, and all references are dropped, when the lock
/// is free.
struct Remains {
    entries: Entries,
    inbox: Inbox,
    waiting: Vec<QueuedCall>,
    watchers: Watchers,
    /// The number of this side's last call that the peer ran, if the peer has said so.
    last_run: Option<Id>,
    /// Objects that only the registry of names held.
    by_name: Effects,
}

impl Remains {
    /// Fails all that waits for the connection, which has ended by `error`. No lock may be held.
    fn fail(self, error: &Error) {
        let Self { entries, inbox, waiting, watchers, last_run, by_name } = self;
        // References are dropped after all that waits has been told.
        let references = entries.fail(error, last_run);
        for call in waiting {
            call.fail(error);
        }
        let calls = inbox.cancel();
        drop((references, calls, by_name));
        for watcher in watchers.all() {
            fire(&watcher, error);
        }
    }
}

impl State {
    /// Ends the session, and takes out all that it has.
    fn shut_down(&mut self, error: &Error, reason: Option<String>) -> Remains {
        let mut by_name = Effects::NONE;
        self.session.end();
        self.encoding.end(&mut by_name);
        Remains {
            entries: std::mem::take(&mut self.entries),
            inbox: std::mem::take(&mut self.inbox),
            waiting: self.outbox.take_waiting(),
            watchers: self.lifecycle.end(error.clone(), reason),
            last_run: self.session.last_run(),
            by_name,
        }
    }
}

impl Link {
    /// Ends the session because the peer broke the protocol or a limit, and tells it the reason.
    pub(crate) fn break_off(&self, error: Error) {
        self.abort(error.with_fate(Fate::MayHaveRun).with_fault(Fault::Peer));
    }

    /// Ends the session, and tells the peer the reason.
    pub(crate) fn abort(&self, error: Error) {
        let reason = capnweb::error_text(&error.clone().without_references()).ok().map(Payload::plain);
        let farewell = |link: &Self, state: &mut State| {
            if is_for_room(&error) {
                // The output is dropped at once, and not written.
                state.outbox.clear();
            }
            let Some(reason) = reason else { return };
            if link.peer.get().is_some() {
                state.say(&Message::Abort(reason));
            } else {
                // A peer of unknown language is told in the most common one.
                state.outbox.push(|out| capnweb::write(&Message::Abort(reason), out));
            }
        };
        self.end_session(error.clone(), reason_of(&error), farewell);
    }

    /// Ends the session: all waiting callers get `error`, and all references are dropped. Does nothing the second time.
    pub(crate) fn close(&self, error: Error) {
        let reason = reason_of(&error);
        self.end(error, reason);
    }

    /// Ends the session, and tells the peer `reason` where the transport can.
    pub(crate) fn end(&self, error: Error, reason: Option<String>) {
        self.end_session(error, reason, |_, _| ());
    }

    fn end_session(&self, error: Error, reason: Option<String>, farewell: impl FnOnce(&Self, &mut State)) {
        // The name of the connection stays on this side.
        let error = match &self.nickname {
            Some(nickname) => error.with_local_context(nickname),
            None => error,
        };
        // Nobody is woken by it, so that all that waits for an answer is failed before anybody learns of the end.
        let remains = self.with_state(Cause::Driver, |state, _| {
            if self.ended.load(Ordering::SeqCst) {
                return None;
            }
            farewell(self, state);
            self.ended.store(true, Ordering::SeqCst);
            self.restricted.store(true, Ordering::SeqCst);
            let remains = state.shut_down(&error, reason);
            // In any other case, unwritten output and the transport's bytes count until they are gone as well.
            if is_for_room(&error) {
                self.leave_pool();
            }
            Some(remains)
        });
        let Some(remains) = remains else { return };
        #[cfg(feature = "host")]
        self.count_out();
        remains.fail(&error);
        self.with_state(Cause::Program, |_, _| ());
        #[cfg(feature = "host")]
        crate::events::ended(&error);
    }

    /// Returns the error by which the connection ended, if it has.
    pub(crate) fn closed(&self) -> Option<Error> {
        self.read_state(|state| state.lifecycle.error().cloned())
    }

    /// Returns the error of a request after the end.
    pub(crate) fn closed_error(&self) -> Error {
        self.closed().unwrap_or_else(|| Error::new(ErrorKind::Disconnected, "the connection ended"))
    }

    /// Returns the peer's index.
    pub(crate) fn peer_index(self: &Arc<Self>) -> Cap {
        self.with_state(Cause::Program, |state, effects| match state.lifecycle.check() {
            Ok(()) => self.index_of_peer(state, effects),
            Err(ended) => Cap::broken(ended),
        })
    }

    /// Returns a reference to a function of the peer, by an id that came by another way.
    pub(crate) fn reconstruct(self: &Arc<Self>, name: &str) -> Result<Cap, Error> {
        self.with_state(Cause::Program, |state, _| {
            state.lifecycle.check()?;
            let unsupported = || {
                let message =
                    "only in Capnode is an id valid on all connections: ask a `Restorer` of the peer instead";
                Error::new(ErrorKind::Unsupported, message)
            };
            let id = state.encoding.codec_mut().reconstruct(name).ok_or_else(unsupported)?;
            state.session.import(id)?;
            Ok(Cap::from_import(self.import(state, id, true)))
        })
    }

    pub(crate) fn tables(&self) -> Tables {
        self.read_state(|state| self.tables_of(state))
    }

    pub(super) fn tables_of(&self, state: &State) -> Tables {
        Tables { evicted: state.encoding.export_names().evicted(), ..state.session.tables() }
    }
}

#[cfg(feature = "host")]
impl Link {
    /// Sets the index that this side offers from now on.
    pub(crate) fn set_index(&self, index: Option<Cap>) {
        self.with_state(Cause::Driver, |state, effects| {
            if self.ended.load(Ordering::SeqCst) {
                effects.discard_all(index);
            } else {
                state.entries.set_index(index, effects);
            }
            effects.wake_all(state.lifecycle.take_idle_waiters());
        });
    }

    /// Returns the id by which others can reconstruct a reference that the peer has lent.
    pub(crate) fn id_of(self: &Arc<Self>, cap: &Cap) -> Option<String> {
        let cap = cap.nearest();
        let import = cap.import().filter(|import| import.is_of(self))?;
        self.read_state(|state| state.encoding.codec().name_of(import.id()))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Returns the reason of an end that is not ordinary, for the peer.
    pub(crate) fn close_reason(&self) -> Option<String> {
        self.read_state(|state| state.lifecycle.reason().map(str::to_owned))
    }

    /// Returns `true` if the session has ended by a fault of the peer and too much is unwritten to wait until the peer
    /// reads it. The output here, which is dropped then, and the `writing` bytes at the driver both count.
    pub(crate) fn is_overfull(&self, writing: usize) -> bool {
        self.with_state(Cause::Driver, |state, _| {
            let Some(closed) = state.lifecycle.error() else { return false };
            let much = writing + state.outbox.pending() > self.limits.unwritten_bytes_soft;
            // A peer that has closed its side may still read, and gets the time for it.
            let broke = closed.fault() == Fault::Peer && closed.kind() != ErrorKind::Disconnected;
            let overfull = (is_for_room(closed) && writing > 0) || (broke && much);
            if overfull {
                state.outbox.clear();
            }
            overfull
        })
    }
}

/// Returns the reason of an end that is not ordinary, for the peer.
fn reason_of(error: &Error) -> Option<String> {
    (error.kind() != ErrorKind::Disconnected).then(|| error.public_message().to_owned())
}
