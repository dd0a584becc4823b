//! The tables of one connection: imports, exports, and the calls under way. A session knows ids and counts, never
//! objects, text or tasks.
//!
//! There are three kinds of methods. [`receive`](Session::receive) takes in messages, and fails only if the peer broke
//! the protocol or a limit. Verbs ([`call`](Session::call), [`export`](Session::export),
//! [`drop_import`](Session::drop_import), …) are the requests of this program. `poll_*` methods return the work that
//! the caller must do next. The caller also tells the time.
//!
//! The model is that of Cap'n Web. There are two tables: **imports** (references that the peer lends this side) and
//! **exports** (references that this side lends the peer). The result of a call is an import from the moment the call
//! is sent.

use std::collections::VecDeque;

use crate::dialect::Capabilities;
use crate::error::Error;
use crate::limits::{Limits, Rate};
use crate::op::{Answering, Id, IdMap, Op, Path, Payload, Text, Word};
use crate::table::Table;

mod handle;
#[cfg(test)]
mod tests;

/// One of the two sides of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The side that opens the connection.
    Connecting,
    /// The side that accepts the connection.
    Accepting,
}

/// The identity of an object, given by the owner of the objects: equal for equal objects, as long as one of them is
/// exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ObjectId(pub(crate) usize, pub(crate) usize);

/// A reference as the session understands it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ref {
    /// An object of the peer. Its receiver calls [`Session::hold`].
    Import(Id),
    /// A function of the peer. Its receiver calls [`Session::hold`].
    Function(Id),
    /// A promise of the peer, whose outcome comes as [`Event::Answered`].
    Promise(Id),
    /// An object of this side, or the result of a call of the peer.
    Export(Id),
    /// A property or call of an export; or, awaited and with neither path nor arguments, the value of a promise.
    Use { id: Id, path: Path, args: Option<Box<Payload<Ref>>>, awaited: bool },
    /// A node of the surrounding payload.
    Node(usize),
    /// A missing or unsupported value, with the references that came in it.
    Missing(Vec<Ref>),
}

/// A request or an act of the peer.
#[derive(Debug, PartialEq)]
pub(crate) enum Event {
    /// A call of the export `target`, or a read if there are no arguments.
    Call { answer: Id, target: Id, path: Path, args: Option<Payload<Ref>> },
    /// A value instead of a call.
    Evaluate { answer: Id, value: Payload<Ref> },
    /// A call that needs a missing or unsupported value. It has its number, and is to be answered with `why`.
    Refused { answer: Id, value: Payload<Ref>, why: String },
    /// The peer pulls the answer of a call that has ended already.
    Pull { answer: Id },
    /// The peer pulls an id that is not the answer of a call, or is not there.
    PullObject { export: Id },
    /// The call is no longer wanted.
    Cancel { answer: Id },
    /// The answer of a finished call was released.
    Forget { answer: Id },
    /// The peer no longer holds the export.
    Dropped { export: Id },
    /// A call of this side, or a promise of the peer, has its outcome. The call may be one without a waiting caller.
    Answered { import: Id, outcome: Result<Payload<Ref>, Payload<Ref>> },
    /// An outcome with a missing or unsupported value in it.
    Unfit { import: Id, value: Payload<Ref>, why: String },
    /// The progress of a call of this side.
    Progress { import: Id, value: Payload<Ref> },
    /// The peer has ended the session.
    Aborted { reason: Payload<Ref> },
}

/// The peer's wish for the outcome of its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The peer has asked for it: call [`Session::answer`].
    Now,
    /// The peer may still ask for it.
    Perhaps,
    /// The peer has released it.
    No,
}

/// A reference that the peer lends this side.
struct Import {
    /// The peer's reference count, which a release has to give back.
    count: u64,
    /// The number of handles of this side.
    handles: usize,
    state: ImportState,
}

#[derive(PartialEq)]
enum ImportState {
    Object,
    /// The result of a call of this side, answered only if pulled.
    Call {
        pulled: bool,
    },
    /// A call whose answer comes by itself. `pulled` is `true` if it was pulled and has to be released; `wanted` if a
    /// caller waits for it.
    Awaited {
        pulled: bool,
        wanted: bool,
    },
    Promise,
}

impl Import {
    /// Returns `true` for a call whose answer comes without a waiting caller.
    fn is_unwanted(&self) -> bool {
        matches!(self.state, ImportState::Awaited { wanted: false, .. })
    }
}

/// A reference that this side lends the peer.
struct Export {
    /// The number of references that the peer holds.
    count: u64,
    what: Exported,
}

enum Exported {
    /// The index, present or not.
    Index,
    Object(ObjectId),
    /// The result of a call of the peer. `asked` is `true` once the peer has pulled it, which it does once.
    Answer {
        asked: bool,
    },
}

/// A call of the peer that has not ended.
struct Running {
    streamed: bool,
    /// `true` if the peer waits for the answer.
    asked: bool,
    given_back: bool,
    /// The number of running calls that use the result of this one.
    dependents: usize,
    /// The running calls whose results this one uses.
    uses: Vec<Id>,
}

impl Running {
    /// Returns `true` if the call has no entry among the exports.
    fn is_loose(&self) -> bool {
        self.streamed || self.given_back
    }
}

/// The sizes of a session's tables. All but `forgotten` are zero when everything has been released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tables {
    /// References that the peer lends this side, and results of this side's calls, without the index.
    pub imports: usize,
    /// References that this side lends the peer, without the index.
    pub exports: usize,
    /// Calls of this side without an answer.
    pub calls: usize,
    /// Calls of the peer that have not ended.
    pub running: usize,
    /// References lent to the peer that this side has forgotten, because there were too many and the peer's language
    /// has no way to release them. Counted from the beginning of the connection.
    pub forgotten: u64,
}

/// The rates of events per second.
struct Rates {
    frames: Option<Rate>,
    cancels: Rate,
    strays: Rate,
    /// The totals since the session began.
    counts: Counts,
    /// The totals that have been checked against the limits.
    rated: Counts,
    /// The number of messages that may still cross one of this side, and so be about an id that is gone.
    crossing: u64,
}

/// The totals since the session began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) frames: u64,
    pub(crate) cancels: u64,
    pub(crate) strays: u64,
}

impl Rates {
    fn new(limits: &Limits) -> Self {
        Self {
            frames: limits.frames_per_second.map(Rate::new),
            cancels: Rate::new(limits.cancels_per_second),
            strays: Rate::new(limits.stray_ids_per_second),
            counts: Counts::default(),
            rated: Counts::default(),
            crossing: 0,
        }
    }
}

/// The state of one connection.
pub(crate) struct Session {
    limits: Limits,
    peer: &'static Capabilities,
    marked: bool,
    /// `true` once the mark is sent: by the connecting side at once, by the accepting side in reply.
    mark_sent: bool,
    /// `true` if a mark may still come. At an accepting side it comes before all else, at a connecting one before any
    /// answer.
    mark_due: bool,
    imports: IdMap<Import>,
    exports: IdMap<Export>,
    running: IdMap<Running>,
    /// The number of imports that are not results of this side's calls.
    lent: usize,
    /// The number of imports that are calls of this side whose answer comes by itself, and has not come.
    unanswered: usize,
    /// The number of running calls without a result among the exports.
    loose: usize,
    /// The id under which an object is exported, for peers with which ids are reused: see [`Session::export`].
    ids: Table<ObjectId, Id>,
    last_call: Id,
    last_export: Id,
    last_answer: Id,
    /// The lowest id under which the peer has lent a reference.
    last_lent: Id,
    rates: Rates,
    ops: VecDeque<Op>,
    events: VecDeque<Event>,
}

impl Session {
    /// Creates a session in Cap'n Web.
    #[cfg(test)]
    pub(crate) fn new(side: Side, limits: Limits) -> Self {
        Self::with(side, limits, Default::default())
    }

    /// Creates a session with a peer of these abilities.
    pub(crate) fn with(side: Side, limits: Limits, peer: &'static Capabilities) -> Self {
        let index = Import { count: 0, handles: 0, state: ImportState::Object };
        let mut session = Self {
            rates: Rates::new(&limits),
            limits,
            peer,
            marked: false,
            mark_sent: false,
            mark_due: true,
            imports: IdMap::from_iter([(0, index)]),
            exports: IdMap::from_iter([(0, Export { count: 1, what: Exported::Index })]),
            running: IdMap::default(),
            lent: 0,
            unanswered: 0,
            loose: 0,
            ids: Table::default(),
            last_call: 0,
            last_export: 0,
            last_answer: 0,
            last_lent: 0,
            ops: VecDeque::new(),
            events: VecDeque::new(),
        };
        if side == Side::Connecting && peer.says_hello {
            session.mark_sent = true;
            session.ops.push_back(Op::Mark);
        }
        session
    }

    /// Sets the abilities of the peer once its dialect is known.
    pub(crate) fn set_peer(&mut self, peer: &'static Capabilities) {
        self.peer = peer;
    }

    /// Returns the abilities of the peer; those of the default dialect until its own is known.
    pub(crate) fn peer(&self) -> &'static Capabilities {
        self.peer
    }

    /// Returns `true` if the peer is an instance of this library, and knows that this side is one.
    pub(crate) fn is_marked(&self) -> bool {
        self.marked
    }

    /// Returns `Some(true)` if the peer is marked, or `None` if a mark may still come.
    pub(crate) fn knows_mark(&self) -> Option<bool> {
        if self.mark_due && !self.marked { None } else { Some(self.marked) }
    }

    pub(crate) fn tables(&self) -> Tables {
        let unanswered = |import: &&Import| {
            matches!(import.state, ImportState::Awaited { .. } | ImportState::Call { pulled: true })
        };
        Tables {
            imports: self.imports.len() - usize::from(self.imports.contains_key(&0)),
            exports: self.lent_out(),
            calls: self.imports.values().filter(unanswered).count(),
            running: self.running.len(),
            forgotten: 0,
        }
    }

    /// Returns the number of references that this side lends the peer, without the index.
    fn lent_out(&self) -> usize {
        self.exports.len() - usize::from(self.exports.contains_key(&0))
    }

    /// The totals since the session began.
    pub(crate) fn counts(&self) -> Counts {
        self.rates.counts
    }

    /// Returns the number of this side's calls without an answer, including those that the peer cannot be told are
    /// unwanted.
    pub(crate) fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Returns the number of the peer's calls that have not ended.
    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    /// Returns `true` if the peer may still use the result of its call.
    pub(crate) fn is_kept(&self, answer: Id) -> bool {
        self.exports.contains_key(&answer)
    }

    /// Returns `true` if this program holds nothing and waits for nothing, no call of the peer is running, and the peer
    /// holds at most the index.
    pub(crate) fn is_idle(&self) -> bool {
        self.lent_out() == 0 && self.is_quiet()
    }

    /// Returns `true` if the session is idle as far as known: in some languages a peer never releases
    /// a reference.
    pub(crate) fn is_unused(&self) -> bool {
        (!self.peer.releases || self.lent_out() == 0) && self.is_quiet()
    }

    /// Returns `true` if this program holds nothing and waits for nothing, and no call of the peer is running.
    fn is_quiet(&self) -> bool {
        let dead = |import: &Import| match import.state {
            ImportState::Awaited { .. } => import.is_unwanted(),
            // The receiver of the surrounding value waits for it.
            ImportState::Promise => false,
            ImportState::Object | ImportState::Call { .. } => import.handles == 0,
        };
        self.running.is_empty() && self.imports.values().all(dead)
    }

    // ------------------------------------------------------------------ what this program wants

    /// Calls the import `target`, or reads it if there are no arguments. Returns the id of the result.
    ///
    /// With [`Answering::Kept`] the caller holds a handle to the result; with
    /// [`Answering::Sent`] it waits for the answer until [`drop_call`](Self::drop_call).
    pub(crate) fn call(
        &mut self,
        target: Id,
        path: Path,
        args: Option<Payload<Word>>,
        answering: Answering,
    ) -> Id {
        match answering {
            Answering::Sent => self.ask(true, |id, answering| Op::Call { id, target, path, args, answering }),
            Answering::Kept => {
                let state = ImportState::Call { pulled: false };
                let id = self.number();
                self.imports.insert(id, Import { count: 1, handles: 1, state });
                self.ops.push_back(Op::Call { id, target, path, args, answering });
                id
            }
        }
    }

    /// Numbers a call of this side.
    fn number(&mut self) -> Id {
        self.last_call += 1;
        self.last_call
    }

    /// Returns the number of the peer's next call.
    pub(crate) fn next_answer(&self) -> Id {
        self.last_answer + 1
    }

    /// Sends a message that has to be answered. A peer that may not answer by itself gets a pull as well.
    fn ask(&mut self, wanted: bool, op: impl FnOnce(Id, Answering) -> Op) -> Id {
        let id = self.number();
        let pulled = self.peer.says_hello && !self.marked;
        let state = ImportState::Awaited { pulled, wanted };
        self.imports.insert(id, Import { count: 1, handles: 0, state });
        self.unanswered += 1;
        if pulled {
            self.ops.push_back(op(id, Answering::Kept));
            self.ops.push_back(Op::Pull(id));
        } else {
            self.ops.push_back(op(id, Answering::Sent));
        }
        id
    }

    /// Sends a message that any peer answers, to probe it: a value, or a read of the index at a path. No caller waits
    /// for the answer.
    pub(crate) fn probe(&mut self, path: Option<Path>) -> Id {
        self.ask(false, |id, answering| match path {
            Some(path) => Op::Call { id, target: 0, path, args: None, answering },
            None => Op::Evaluate { id, value: Payload::plain(Text::Static("null")), answering },
        })
    }

    /// Sends a value that any peer answers, and waits for the answer until [`drop_call`](Self::drop_call).
    pub(crate) fn greet(&mut self) -> Id {
        let null = Payload::plain(Text::Static("null"));
        self.ask(true, |id, answering| Op::Evaluate { id, value: null, answering })
    }

    /// Pulls the answer of a call that was sent with [`Answering::Kept`]. This library reads such results by further
    /// calls instead; in the tests this side may be one that pulls.
    #[cfg(test)]
    pub(crate) fn pull(&mut self, id: Id) {
        if let Some(Import { state: ImportState::Call { pulled: pulled @ false }, .. }) =
            self.imports.get_mut(&id)
        {
            *pulled = true;
            self.ops.push_back(Op::Pull(id));
        }
    }

    /// Notes that no caller waits for the answer of a call any more.
    ///
    /// The peer is told, if its language has a message for it. A peer of this library cancels the call. npm's lets it
    /// run, and answers late.
    pub(crate) fn drop_call(&mut self, id: Id) {
        let Some(Import { state: ImportState::Awaited { wanted, .. }, .. }) = self.imports.get_mut(&id)
        else {
            return;
        };
        *wanted = false;
        if self.peer.says_hello {
            self.remove_import(id);
            // The answer may be in transit.
            self.rates.crossing += 1;
            self.ops.push_back(Op::Release { id, count: 1 });
        }
    }

    /// Adds a handle to an import.
    pub(crate) fn hold(&mut self, id: Id) {
        if let Some(import) = self.imports.get_mut(&id) {
            import.handles += 1;
        }
    }

    /// Removes a handle of an import. With the last one, the peer's whole reference count is released, including
    /// introductions since the handle was dropped.
    pub(crate) fn drop_import(&mut self, id: Id) {
        let Some(import) = self.imports.get_mut(&id) else { return };
        import.handles = import.handles.saturating_sub(1);
        // The index is not counted: it comes and ends with the connection.
        if import.handles == 0 && id != 0 {
            let count = import.count;
            self.remove_import(id);
            // The peer may have lent or answered it again meanwhile.
            self.rates.crossing += 1;
            self.ops.push_back(Op::Release { id, count });
        }
    }

    /// Lends the peer an object, and returns the id to write.
    ///
    /// A marked peer of Cap'n Web gets the id that it already has, so that equal references stay equal, and counts its
    /// references. So does a peer whose language reuses ids. Any other peer gets a new id each time, since npm's
    /// `capnweb` releases only one reference of an id that it was given twice.
    pub(crate) fn export(&mut self, object: ObjectId) -> Id {
        let reuse = self.marked || self.peer.reuses_ids;
        if reuse {
            if let Some(id) = self.ids.get(&object) {
                if let Some(export) = self.exports.get_mut(id) {
                    export.count += 1;
                    return *id;
                }
            }
        }
        self.last_export -= 1;
        let id = self.last_export;
        self.exports.insert(id, Export { count: 1, what: Exported::Object(object) });
        if reuse {
            self.ids.insert(object, id);
        }
        id
    }

    /// Imports a reference that no message has lent: its name came by another way.
    pub(crate) fn reconstruct(&mut self, id: Id) -> Result<(), Error> {
        self.import(id)
    }

    /// Takes back an object that was lent in an unwritten message. Returns `true` if it is lent no longer.
    pub(crate) fn take_back(&mut self, id: Id) -> bool {
        let Some(Export { count, what: Exported::Object(object) }) = self.exports.get_mut(&id) else {
            return false;
        };
        *count -= 1;
        if *count > 0 {
            return false;
        }
        if self.ids.get(object) == Some(&id) {
            self.ids.remove(object);
        }
        self.exports.remove(&id);
        true
    }

    /// Removes a call of this side that could not be written in the peer's language.
    pub(crate) fn unsay(&mut self, call: Id) {
        self.remove_import(call);
    }

    /// Ends a call of the peer. Returns the peer's wish for its outcome.
    pub(crate) fn finish(&mut self, answer: Id) -> Wanted {
        let Some(running) = self.remove_running(answer) else { return Wanted::No };
        self.unlink(running.uses);
        if running.given_back {
            return Wanted::No;
        }
        if let Some(Export { what: Exported::Answer { asked }, .. }) = self.exports.get_mut(&answer) {
            *asked = running.asked;
        }
        if running.asked { Wanted::Now } else { Wanted::Perhaps }
    }

    /// Returns `true` if a call of the peer has not ended.
    pub(crate) fn is_running(&self, answer: Id) -> bool {
        self.running.contains_key(&answer)
    }

    /// Sends the progress of a call of the peer.
    pub(crate) fn report(&mut self, answer: Id, value: Payload<Word>) {
        self.ops.push_back(Op::Progress { id: answer, value });
    }

    /// Sends the outcome of a call of the peer, or refuses an [`Event::PullObject`].
    pub(crate) fn answer(&mut self, id: Id, outcome: Result<Payload<Word>, Payload<Word>>) {
        self.ops.push_back(Op::Answer { id, outcome });
    }

    /// Ends the session from this side.
    pub(crate) fn abort(&mut self, reason: Payload<Word>) {
        self.ops.push_back(Op::Abort(reason));
    }

    /// Forgets everything. After this there are neither messages nor events.
    pub(crate) fn end(&mut self) {
        self.imports.clear();
        self.exports.clear();
        self.running.clear();
        (self.lent, self.unanswered, self.loose) = (0, 0, 0);
        self.ids.clear();
        self.ops.clear();
        self.events.clear();
    }

    // ------------------------------------------------------------------------ what is to be done

    /// Returns the next message to write.
    pub(crate) fn poll_op(&mut self) -> Option<Op> {
        pop(&mut self.ops)
    }

    /// Returns `true` if there are messages to write.
    #[cfg(feature = "tokio")]
    pub(crate) fn has_ops(&self) -> bool {
        !self.ops.is_empty()
    }

    /// Returns `true` if there are events that have not been taken.
    pub(crate) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Returns the next event.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        pop(&mut self.events)
    }
}

/// Takes the first item of a queue. Frees the memory of an empty queue that has been long.
#[inline]
fn pop<T>(queue: &mut VecDeque<T>) -> Option<T> {
    const SMALL: usize = 64;
    if queue.is_empty() && queue.capacity() > SMALL {
        queue.shrink_to_fit();
    }
    // This comes last, so that the item is not moved once more.
    queue.pop_front()
}
