//! The tables of one connection: imports, exports, and the calls under way. A session knows ids and counts, never
//! objects, text or tasks.
//!
//! There are two kinds of methods. [`receive`](Session::receive) takes in a message, and returns what it means; it fails
//! only if the peer broke the protocol or a limit. [`receive_call`](Session::receive_call) and
//! [`receive_answer`](Session::receive_answer) do so for a message with nothing unusual about it. Verbs
//! ([`call`](Session::call), [`export`](Session::export), [`drop_import`](Session::drop_import), …) are the requests of
//! this program. Both return the messages that are to be written because of them, before any other; nothing is queued
//! here. The caller also tells the time.
//!
//! The model is that of Cap'n Web. There are two tables: **imports** (references that the peer lends this side) and
//! **exports** (references that this side lends the peer). The result of a call is an import from the moment the call
//! is sent.

use crate::dialect::Capabilities;
use crate::limits::{Limits, Rate};
use crate::message::{
    CapDescriptor, CarriedContext, Expression, Extensions, Id, IdMap, Message, Path, Payload, ReturnMode,
    Text,
};
use crate::table::{NumberMap, Table};

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

/// A request or an act of the peer.
///
/// The references in its values have been counted, and stand as the peer said them. The receiver of an object or a
/// function of the peer calls [`Session::hold`]; the outcome of a promise comes as [`Event::Answered`]. An export that is
/// not there has become [`CapDescriptor::Unsupported`].
#[derive(Debug, PartialEq)]
pub(crate) enum Event {
    /// A call of the peer; `refusal` is the reason to refuse it: it needs a missing or unsupported value.
    Call {
        answer: Id,
        expression: Expression<Id, CapDescriptor>,
        return_mode: ReturnMode,
        refusal: Option<String>,
        /// The context that an extended peer has sent with it.
        context: Option<Box<CarriedContext>>,
    },
    /// The peer pulls the answer of a call that has ended already.
    Pull { answer: Id },
    /// The peer pulls an id that is not the answer of a call, or is not there.
    PullObject { export: Id },
    /// The peer has opened a pipe.
    Pipe { answer: Id },
    /// Running calls are no longer wanted.
    Cancel { answers: Vec<Id> },
    /// The answer of a finished call was released.
    AnswerReleased { answer: Id },
    /// The peer no longer holds the export.
    ExportReleased { export: Id },
    /// A call of this side, or a promise of the peer, has its outcome. The call may be one without a waiting caller.
    Answered { import: Id, outcome: Result<Payload<CapDescriptor>, Payload<CapDescriptor>> },
    /// An outcome with a missing or unsupported value in it.
    Undecodable { import: Id, value: Payload<CapDescriptor>, why: String },
    /// The peer runs no further calls of this side.
    Draining,
    /// The progress of a call of this side.
    Progress { import: Id, value: Payload<CapDescriptor> },
    /// The peer has ended the session.
    Aborted { reason: Payload<CapDescriptor> },
}

/// The meaning of a message, and the message that replies to it.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) event: Option<Event>,
    pub(crate) reply: Option<Message>,
}

/// A call of this side, with the messages that make it.
#[derive(Debug)]
pub(crate) struct OutboundCall {
    /// The id of the result.
    pub(crate) id: Id,
    pub(crate) message: Message,
    /// `true` if the answer has to be pulled, since the peer may not answer by itself.
    pub(crate) pulled: bool,
}

/// The peer's wish for the outcome of its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReturnDisposition {
    /// The peer has asked for it, and is to be sent a [`Message::Answer`].
    Send,
    /// The peer may still ask for it.
    Retain,
    /// The peer has released it.
    Discard,
}

/// A reference that the peer lends this side.
struct ImportEntry {
    /// The peer's reference count, which a release has to give back.
    count: u64,
    /// The number of handles of this side.
    handles: usize,
    state: ImportState,
}

#[derive(PartialEq)]
enum ImportState {
    Object,
    /// The result of a call of this side, which is not pulled.
    Call,
    /// A call whose answer comes by itself. `pulled` is `true` if it was pulled and has to be released; `wanted` if a
    /// caller waits for it.
    Awaited {
        pulled: bool,
        wanted: bool,
    },
    Promise,
}

impl ImportEntry {
    /// Returns `true` for a call whose answer comes without a waiting caller.
    fn is_unwanted(&self) -> bool {
        matches!(self.state, ImportState::Awaited { wanted: false, .. })
    }
}

/// A reference that this side lends the peer.
struct ExportEntry {
    /// The number of references that the peer holds.
    count: u64,
    what: ExportTarget,
}

enum ExportTarget {
    /// The index, present or not.
    Index,
    Object(ObjectId),
    /// The result of a call of the peer. `pulled` is `true` once the peer has pulled it, which it does once.
    Answer {
        pulled: bool,
    },
    /// The write end of a pipe. `read` is `true` once there is a reader.
    Pipe {
        read: bool,
    },
}

/// A call of the peer that has not ended.
struct RunningCall {
    streamed: bool,
    /// `true` if the peer waits for the answer.
    pulled: bool,
    released: bool,
    /// The number of running calls that use the result of this one.
    dependents: usize,
    /// The running calls whose results this one uses.
    uses: Vec<Id>,
    /// `true` for a write to a stream, which waits for the reader.
    write: bool,
}

impl RunningCall {
    fn new(streamed: bool, uses: Vec<Id>) -> Self {
        Self { streamed, pulled: streamed, released: false, dependents: 0, uses, write: false }
    }
}

/// The sizes of a session's tables. All but `evicted` are zero when everything has been released.
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
    /// References lent to the peer that this side has evicted, because there were too many and the peer's language
    /// has no way to release them. Counted from the beginning of the connection.
    pub evicted: u64,
}

/// The rates of events per second.
struct Rates {
    frames: Option<Rate>,
    cancels: Rate,
    unknown_ids: Rate,
    /// The totals since the session began.
    counts: Counts,
    /// The totals that have been checked against the limits.
    charged: Counts,
    /// The number of messages that may still cross one of this side, and so be about an id that is gone.
    in_flight_allowance: u64,
}

/// The totals since the session began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) frames: u64,
    pub(crate) cancels: u64,
    pub(crate) unknown_ids: u64,
}

impl Rates {
    fn new(limits: &Limits) -> Self {
        Self {
            frames: limits.frames_per_second.map(Rate::new),
            cancels: Rate::new(limits.cancels_per_second),
            unknown_ids: Rate::new(limits.stray_ids_per_second),
            counts: Counts::default(),
            charged: Counts::default(),
            in_flight_allowance: 0,
        }
    }
}

/// The state of one connection.
pub(crate) struct Session {
    limits: Limits,
    peer: &'static Capabilities,
    extended: bool,
    /// `true` once the hello is sent by the connecting side, or due in reply from the accepting side.
    hello_sent: bool,
    /// `true` if the abilities of this side are the reply to the peer's hello.
    replies: bool,
    /// `true` if a hello may still come. At an accepting side it comes before all else, at a connecting one before any
    /// answer.
    hello_due: bool,
    /// The abilities of this side that the peer is told of, once it is known to be extended.
    offered: Option<Extensions>,
    /// Messages for an extended peer that go before the next one, since nobody waits for them.
    pub(crate) held: Vec<Message>,
    /// The abilities that the peer has told of.
    taken: Extensions,
    /// The number of this side's last call that the peer runs, once the peer has said that it is draining.
    last_run: Option<Id>,
    imports: NumberMap<ImportEntry>,
    exports: IdMap<ExportEntry>,
    running: IdMap<RunningCall>,
    /// Calls of the peer that run in place, in no table: see [`receive_call`](Self::receive_call).
    in_place: Vec<Id>,
    /// The number of imports that are not results of this side's calls.
    imported: usize,
    /// The number of imports that are calls of this side whose answer comes by itself, and has not come.
    unanswered: usize,
    /// The number of running calls without a result among the exports.
    untabled_calls: usize,
    /// The number of running calls that are writes to streams, or reads of them.
    writes: usize,
    /// The id under which an object is exported, for peers with which ids are reused: see [`Session::export`].
    ids: Table<ObjectId, Id>,
    /// The number of this side's last call. No other counter knows it: messages carry it.
    last_call: Id,
    last_export: Id,
    /// The number of the peer's last call, which no message says. No other counter knows it.
    last_answer: Id,
    /// The lowest id under which the peer has lent a reference.
    last_imported: Id,
    rates: Rates,
}

impl Session {
    /// Creates a session with a peer of these abilities.
    pub(crate) fn new(limits: Limits, peer: &'static Capabilities) -> Self {
        let mut imports = NumberMap::default();
        imports.insert(0, ImportEntry { count: 0, handles: 0, state: ImportState::Object });
        Self {
            rates: Rates::new(&limits),
            limits,
            peer,
            extended: false,
            hello_sent: false,
            replies: false,
            hello_due: true,
            offered: None,
            held: Vec::new(),
            taken: Extensions::default(),
            last_run: None,
            imports,
            exports: IdMap::from_iter([(0, ExportEntry { count: 1, what: ExportTarget::Index })]),
            running: IdMap::default(),
            in_place: Vec::new(),
            imported: 0,
            unanswered: 0,
            untabled_calls: 0,
            writes: 0,
            ids: Table::default(),
            last_call: 0,
            last_export: 0,
            last_answer: 0,
            last_imported: 0,
        }
    }

    /// Returns the first message of the connecting side, in a dialect that has one.
    pub(crate) fn hello(&mut self) -> Option<Message> {
        self.hello_sent = self.peer.says_hello;
        self.hello_sent.then_some(Message::Hello)
    }

    /// Notes that no hello is sent, and none of the peer's counts.
    pub(crate) fn forgo_hello(&mut self) {
        self.hello_due = false;
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
    pub(crate) fn is_extended(&self) -> bool {
        self.extended
    }

    /// Returns `true` if the abilities of this side have been [offered](Self::offer).
    pub(crate) fn has_offer(&self) -> bool {
        self.offered.is_some()
    }

    /// Offers the abilities of this side to an extended peer. Returns the message that tells of them, if it is the reply
    /// to the peer's hello. A connecting side tells them before its next message, so a connection of one call does without.
    pub(crate) fn offer(&mut self, extensions: Extensions) -> Option<Message> {
        self.offered = Some(extensions);
        let message = Message::Extensions(extensions);
        if self.replies {
            return Some(message);
        }
        self.held.push(message);
        None
    }

    /// Returns the message that releases the result of a pulled call, which has no references in it. The first one of an
    /// extended peer waits for the next message, which is a probe if there is no other: the peer keeps only an answer that
    /// it has sent.
    pub(crate) fn release_result(&mut self, id: Id) -> Option<Message> {
        let message = Message::Release { id, count: 1 };
        let holds_one = || self.held.iter().any(|held| matches!(held, Message::Release { .. }));
        if !self.extended || self.limits.probe.is_none() || holds_one() {
            return Some(message);
        }
        self.held.push(message);
        None
    }

    /// Takes the messages that go before the next one.
    pub(crate) fn take_held(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.held)
    }

    /// Notes abilities of the peer that this program knows of.
    pub(crate) fn presume(&mut self, extensions: Extensions) {
        self.taken = extensions;
    }

    /// Returns `true` if the peer has been told that this side takes bytes beside the text.
    #[cfg(feature = "host")]
    pub(crate) fn has_offered_bytes(&self) -> bool {
        let is_told = !self.held.iter().any(|message| matches!(message, Message::Extensions(_)));
        is_told && self.offered.is_some_and(|offered| offered.bytes)
    }

    /// Returns `true` if the peer takes bytes beside the text.
    pub(crate) fn takes_bytes(&self) -> bool {
        self.taken.bytes
    }

    /// Returns `true` if the peer understands the context of a call.
    pub(crate) fn takes_context(&self) -> bool {
        self.taken.context
    }

    /// Returns the message by which an extended peer is told that this side runs no further calls of it.
    #[cfg(feature = "host")]
    pub(crate) fn drain(&self) -> Option<Message> {
        self.extended.then_some(Message::Draining { last: self.last_answer })
    }

    /// Returns the number of this side's last call that the peer runs, if the peer has said that there is a last one.
    pub(crate) fn last_run(&self) -> Option<Id> {
        self.last_run
    }

    /// Returns `Some(true)` if the peer is extended, or `None` if a hello may still come.
    pub(crate) fn knows_extended(&self) -> Option<bool> {
        if self.hello_due && !self.extended { None } else { Some(self.extended) }
    }

    pub(crate) fn tables(&self) -> Tables {
        let unanswered = |import: &&ImportEntry| matches!(import.state, ImportState::Awaited { .. });
        Tables {
            imports: self.imports.len() - usize::from(self.imports.contains_key(&0)),
            exports: self.exported(),
            calls: self.imports.values().filter(unanswered).count(),
            running: self.running(),
            evicted: 0,
        }
    }

    /// Returns the number of references that the peer lends this side, without the index and results of calls.
    #[cfg(feature = "metrics")]
    pub(crate) fn imported(&self) -> usize {
        self.imported
    }

    /// Returns the number of references that this side lends the peer, without the index.
    fn exported(&self) -> usize {
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

    /// Returns the number of the peer's calls that have not ended, without writes to streams and reads of them.
    pub(crate) fn running(&self) -> usize {
        self.running.len() + self.in_place.len() - self.writes
    }

    /// Returns `true` if the peer waits for the answer of a call that has not ended. A write to a stream is none.
    #[cfg(feature = "host")]
    pub(crate) fn owes_answers(&self) -> bool {
        let is_owed = |call: &RunningCall| call.pulled && !call.released && !call.write;
        !self.in_place.is_empty() || self.running.values().any(is_owed)
    }

    /// Returns `true` if this program holds nothing and waits for nothing, no call of the peer is running, and the peer
    /// holds at most the index.
    pub(crate) fn is_idle(&self) -> bool {
        self.exported() == 0 && self.is_inactive()
    }

    /// Returns `true` if the session is idle as far as known: in some languages a peer never releases
    /// a reference.
    pub(crate) fn is_unused(&self) -> bool {
        (!self.peer.releases || self.exported() == 0) && self.is_inactive()
    }

    /// Returns `true` if this program holds nothing and waits for nothing, and no call of the peer is running.
    fn is_inactive(&self) -> bool {
        let dead = |import: &ImportEntry| match import.state {
            ImportState::Awaited { .. } => import.is_unwanted(),
            // The receiver of the surrounding value waits for it.
            ImportState::Promise => false,
            ImportState::Object | ImportState::Call => import.handles == 0,
        };
        self.running() == 0 && self.imports.values().all(dead)
    }

    // ------------------------------------------------------------------ what this program wants

    /// Makes a call. If the answer has to be sent, a peer that may not do so by itself gets a pull as well.
    ///
    /// With [`ReturnMode::Retained`] the caller holds a handle to the result; with
    /// [`ReturnMode::Streamed`] it waits for the answer until [`drop_call`](Self::drop_call). The answer of a write to a
    /// stream (`chunk`) comes by itself from every peer.
    #[inline]
    pub(crate) fn call(
        &mut self,
        expression: Expression<Id, CapDescriptor>,
        return_mode: ReturnMode,
        chunk: bool,
    ) -> OutboundCall {
        self.last_call += 1;
        let id = self.last_call;
        let kept = matches!(return_mode, ReturnMode::Retained);
        let pulled = !kept && self.peer.says_hello && !self.extended && !chunk;
        let state = if kept { ImportState::Call } else { ImportState::Awaited { pulled, wanted: true } };
        self.unanswered += usize::from(!kept);
        self.imports.insert(id, ImportEntry { count: 1, handles: usize::from(kept), state });
        let return_mode = if pulled { ReturnMode::Retained } else { return_mode };
        let message = match expression {
            Expression::Call { target, path, args } => Message::Call { id, target, path, args, return_mode },
            Expression::Value(value) => Message::Evaluate { id, value, return_mode },
        };
        OutboundCall { id, message, pulled }
    }

    /// Opens a pipe at the peer. The caller holds a handle to its write end.
    pub(crate) fn pipe(&mut self) -> OutboundCall {
        let nothing = Expression::Value(Payload::plain(Text::Static("null")));
        let OutboundCall { id, pulled, .. } = self.call(nothing, ReturnMode::Retained, false);
        OutboundCall { id, message: Message::Pipe { id }, pulled }
    }

    /// Returns the number of the peer's next call.
    pub(crate) fn next_answer(&self) -> Id {
        self.last_answer + 1
    }

    /// Sends a message that any peer answers, to probe it: a value, or a read of the index at a path. No caller waits
    /// for the answer.
    pub(crate) fn probe(&mut self, path: Option<Path>) -> OutboundCall {
        let call = match path {
            Some(path) => {
                self.call(Expression::Call { target: 0, path, args: None }, ReturnMode::Streamed, false)
            }
            None => self.round_trip(),
        };
        self.forgo_answer(call.id);
        call
    }

    /// Notes that no caller waits for the answer of a call, which is wanted all the same.
    pub(crate) fn forgo_answer(&mut self, id: Id) {
        if let Some(ImportState::Awaited { wanted, .. }) =
            self.imports.get_mut(&id).map(|import| &mut import.state)
        {
            *wanted = false;
        }
    }

    /// Sends a value that any peer answers, and waits for the answer until [`drop_call`](Self::drop_call).
    pub(crate) fn round_trip(&mut self) -> OutboundCall {
        self.call(Expression::Value(Payload::plain(Text::Static("null"))), ReturnMode::Streamed, false)
    }

    /// Notes that no caller waits for the answer of a call any more.
    ///
    /// The peer is told, if its language has a message for it. A peer of this library cancels the call. npm's lets it
    /// run, and answers late.
    pub(crate) fn drop_call(&mut self, id: Id) -> Option<Message> {
        let ImportState::Awaited { wanted, .. } = &mut self.imports.get_mut(&id)?.state else { return None };
        *wanted = false;
        if !self.peer.says_hello {
            return None;
        }
        self.remove_import(id);
        // The answer may be in transit.
        self.rates.in_flight_allowance += 1;
        Some(Message::Release { id, count: 1 })
    }

    /// Adds a handle to an import.
    pub(crate) fn hold(&mut self, id: Id) {
        if let Some(import) = self.imports.get_mut(&id) {
            import.handles += 1;
        }
    }

    /// Removes a handle of an import. With the last one, the peer's whole reference count is released, including
    /// introductions since the handle was dropped.
    pub(crate) fn drop_import(&mut self, id: Id) -> Option<Message> {
        let import = self.imports.get_mut(&id)?;
        import.handles = import.handles.saturating_sub(1);
        // The index is not counted: it comes and ends with the connection.
        if import.handles > 0 || id == 0 {
            return None;
        }
        let count = import.count;
        self.remove_import(id);
        // The peer may have lent or answered it again meanwhile.
        self.rates.in_flight_allowance += 1;
        Some(Message::Release { id, count })
    }

    /// Lends the peer an object, and returns the id to write.
    ///
    /// An extended peer of Cap'n Web gets the id that it already has, so that equal references stay equal, and counts its
    /// references. So does a peer whose language reuses ids. Any other peer gets a new id each time, since npm's
    /// `capnweb` releases only one reference of an id that it was given twice.
    pub(crate) fn export(&mut self, object: ObjectId) -> Id {
        let reuse = self.extended || self.peer.reuses_ids;
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
        self.exports.insert(id, ExportEntry { count: 1, what: ExportTarget::Object(object) });
        if reuse {
            self.ids.insert(object, id);
        }
        id
    }

    /// Takes back an object that was lent in an unwritten message. Returns `true` if it is lent no longer.
    pub(crate) fn retract_export(&mut self, id: Id) -> bool {
        let Some(ExportEntry { count, what: ExportTarget::Object(object) }) = self.exports.get_mut(&id)
        else {
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

    /// Ends a call of the peer that runs in place, whose outcome is to be sent. Returns `false` if it does not, or not any
    /// more.
    pub(crate) fn finish_in_place(&mut self, answer: Id) -> bool {
        let Some(at) = self.in_place.iter().rposition(|running| *running == answer) else { return false };
        self.in_place.swap_remove(at);
        self.untabled_calls -= 1;
        true
    }

    /// Enters the calls that run in place among the running ones.
    pub(crate) fn enter_in_place(&mut self) {
        for answer in self.in_place.drain(..) {
            self.running.insert(answer, RunningCall::new(true, Vec::new()));
        }
    }

    /// Ends a call of the peer. Returns the peer's wish for its outcome, and the running calls that only this one wanted.
    pub(crate) fn finish(&mut self, answer: Id) -> (ReturnDisposition, Vec<Id>) {
        let Some(running) = self.remove_running(answer) else {
            return (ReturnDisposition::Discard, Vec::new());
        };
        let cancelled = if running.uses.is_empty() { Vec::new() } else { self.unlink(running.uses) };
        if running.released {
            return (ReturnDisposition::Discard, cancelled);
        }
        if let Some(ExportEntry { what: ExportTarget::Answer { pulled }, .. }) = self.exports.get_mut(&answer)
        {
            *pulled = running.pulled;
        }
        (if running.pulled { ReturnDisposition::Send } else { ReturnDisposition::Retain }, cancelled)
    }

    /// Notes that a running call is a write to a stream, or a read of one. It waits for the other end, and is no work.
    pub(crate) fn set_write(&mut self, answer: Id) {
        if let Some(running) = self.running.get_mut(&answer) {
            self.writes += usize::from(!std::mem::replace(&mut running.write, true));
        }
    }

    /// Returns `true` if a call of the peer has not ended.
    pub(crate) fn is_running(&self, answer: Id) -> bool {
        self.running.contains_key(&answer) || self.in_place.contains(&answer)
    }

    /// Forgets everything. After this there are no messages.
    pub(crate) fn end(&mut self) {
        self.imports.clear();
        self.exports.clear();
        self.running.clear();
        self.in_place.clear();
        (self.imported, self.unanswered, self.untabled_calls, self.writes) = (0, 0, 0, 0);
        self.ids.clear();
    }
}
