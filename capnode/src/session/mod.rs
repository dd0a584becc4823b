//! The tables of one connection: what the peer lends us, what we lend it, and which calls are
//! under way. It knows ids and counts, never objects, text or tasks.
//!
//! Three kinds of method: [`receive`](Session::receive) is what the wire says and fails only if the
//! peer broke the protocol or a limit; verbs ([`call`](Session::call), [`export`](Session::export),
//! [`drop_import`](Session::drop_import), …) are what this program wants; `poll_*` is what the
//! caller must do next. What time it is, it is told.
//!
//! The model is Cap'n Web's: two tables, **imports** (what the peer lends us) and **exports** (what
//! we lend it), and the result of a call is an import from the moment the call is sent.

use std::collections::VecDeque;

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
    /// The side that is connected to.
    Accepting,
}

/// What the peer can be expected to do and to understand, by its language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manner {
    /// Whether there is a mark to be sent.
    pub(crate) marks: bool,
    /// Whether the peer gives back what it is lent. Of one that never does, nothing more can be asked than that it
    /// bears with being forgotten.
    pub(crate) releases: bool,
    /// Whether an object keeps its id, however often it is lent.
    pub(crate) reuses: bool,
}

impl Manner {
    pub(crate) const CAPN_WEB: Self = Self { marks: true, releases: true, reuses: false };
}

/// What an object is called by whoever keeps the objects: equal for equal objects, as long as one
/// of them is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ObjectId(pub(crate) usize, pub(crate) usize);

/// A reference as the session understands it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ref {
    /// Something of the peer's. Whoever takes it calls [`Session::hold`].
    Import(Id),
    /// The same, and it is a function.
    Function(Id),
    /// A promise of the peer's, whose outcome comes as [`Event::Answered`].
    Promise(Id),
    /// Something of ours, or the result of a call of the peer's.
    Export(Id),
    /// A property or call of something of ours; or, awaited and with neither path nor arguments,
    /// the value of a promise.
    Use { id: Id, path: Path, args: Option<Box<Payload<Ref>>>, awaited: bool },
    /// One of the nodes of the payload that this stands in.
    Node(usize),
    /// Something that is not there or not supported, and the references that came in it.
    Missing(Vec<Ref>),
}

/// What the peer wants or has done.
#[derive(Debug, PartialEq)]
pub(crate) enum Event {
    /// A call of the export `target`, or a read if there are no arguments.
    Call { answer: Id, target: Id, path: Path, args: Option<Payload<Ref>> },
    /// A value in the place of a call.
    Evaluate { answer: Id, value: Payload<Ref> },
    /// A call that asks for something that is not there or not supported. It has its number, and is to be answered with
    /// `why`.
    Refused { answer: Id, value: Payload<Ref>, why: String },
    /// The answer of a call that ended before is now asked for.
    Pull { answer: Id },
    /// Something that is no call's answer is asked for, or that is not there.
    PullObject { export: Id },
    /// Nobody wants the call any more.
    Cancel { answer: Id },
    /// The answer of a finished call was given back.
    Forget { answer: Id },
    /// The peer holds the export no longer.
    Dropped { export: Id },
    /// A call of ours, or a promise of the peer's, has its outcome. The call may be one that
    /// nobody waits for any more.
    Answered { import: Id, outcome: Result<Payload<Ref>, Payload<Ref>> },
    /// The same, but what came holds something that is not there or not supported.
    Unfit { import: Id, value: Payload<Ref>, why: String },
    /// How far a call of ours has come.
    Progress { import: Id, value: Payload<Ref> },
    /// The peer has ended the session.
    Aborted { reason: Payload<Ref> },
}

/// What is to be done with the outcome of a call of the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The peer asked for it: [`Session::answer`].
    Now,
    /// It may still ask for it.
    Perhaps,
    /// It gave it back.
    No,
}

/// Something the peer lends us.
struct Import {
    /// How often the peer has introduced it: what a release has to give back.
    count: u64,
    /// How many handles of ours stand for it.
    handles: usize,
    state: ImportState,
}

#[derive(PartialEq)]
enum ImportState {
    Object,
    /// The result of a call of ours, answered only if pulled.
    Call {
        pulled: bool,
    },
    /// A call whose answer comes without further ado. `pulled` if it has been asked for, and has to be given back; `wanted`
    /// if somebody waits for it.
    Awaited {
        pulled: bool,
        wanted: bool,
    },
    Promise,
}

impl Import {
    /// A call whose answer comes, and nobody waits for it.
    fn is_unwanted(&self) -> bool {
        matches!(self.state, ImportState::Awaited { wanted: false, .. })
    }
}

/// Something we lend the peer.
struct Export {
    /// How many references the peer holds.
    count: u64,
    what: Exported,
}

enum Exported {
    /// The index, whether there is one or not.
    Index,
    Object(ObjectId),
    /// The result of a call of the peer's, and whether its outcome has been asked of us: that
    /// happens once.
    Answer {
        asked: bool,
    },
}

/// A call of the peer's that has not ended.
struct Running {
    streamed: bool,
    /// The peer waits for the answer.
    asked: bool,
    given_back: bool,
    /// How many running calls use the result of this one.
    dependents: usize,
    /// The running calls whose results this one uses.
    uses: Vec<Id>,
}

impl Running {
    /// Whether the exports know nothing of it.
    fn is_loose(&self) -> bool {
        self.streamed || self.given_back
    }
}

/// How much a session holds. All is zero when everything has been given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tables {
    /// References the peer lends us, and results of calls of ours; the index apart.
    pub imports: usize,
    /// References we lend the peer, the index apart.
    pub exports: usize,
    /// Calls of ours without an answer.
    pub calls: usize,
    /// Calls of the peer's that have not ended.
    pub running: usize,
    /// References that we lent the peer and have forgotten since, because there were too many and its language has no
    /// way to give them back. Counted from the beginning of the connection.
    pub forgotten: u64,
}

/// What is counted by the second.
struct Rates {
    frames: Option<Rate>,
    cancels: Rate,
    strays: Rate,
    /// What came of it all in all.
    counts: Counts,
    /// As far as it has been held against the limits.
    rated: Counts,
    /// How many messages may still cross one of ours, and so be about an id that is not there any more.
    crossing: u64,
}

/// What has been counted since the session began.
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
    manner: Manner,
    marked: bool,
    /// The connecting side sends one at once, the accepting side upon that.
    mark_sent: bool,
    /// Whether a mark may still come. To an accepting side it comes before all else, to a connecting one before any answer.
    mark_due: bool,
    imports: IdMap<Import>,
    exports: IdMap<Export>,
    running: IdMap<Running>,
    /// How many imports are the peer's, and no results of calls of ours.
    lent: usize,
    /// How many imports are calls of ours whose answer comes by itself, and has not.
    unanswered: usize,
    /// How many running calls have no result among the exports.
    loose: usize,
    /// Under which id an object is exported: only between marked peers, see [`Session::export`].
    ids: Table<ObjectId, Id>,
    last_call: Id,
    last_export: Id,
    last_answer: Id,
    /// The lowest id under which the peer has lent us anything.
    last_lent: Id,
    rates: Rates,
    ops: VecDeque<Op>,
    events: VecDeque<Event>,
}

impl Session {
    /// A session in Cap'n Web.
    #[cfg(test)]
    pub(crate) fn new(side: Side, limits: Limits) -> Self {
        Self::speaking(side, limits, Manner::CAPN_WEB)
    }

    pub(crate) fn speaking(side: Side, limits: Limits, manner: Manner) -> Self {
        let index = Import { count: 0, handles: 0, state: ImportState::Object };
        let mut session = Self {
            rates: Rates::new(&limits),
            limits,
            manner,
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
        if side == Side::Connecting && manner.marks {
            session.mark_sent = true;
            session.ops.push_back(Op::Mark);
        }
        session
    }

    /// What the peer's language is has turned out.
    pub(crate) fn set_manner(&mut self, manner: Manner) {
        self.manner = manner;
    }

    /// Whether the peer is one of this library, and knows that we are.
    pub(crate) fn is_marked(&self) -> bool {
        self.marked
    }

    /// The same; none if the peer may still say so.
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

    /// References we lend the peer, the index apart.
    fn lent_out(&self) -> usize {
        self.exports.len() - usize::from(self.exports.contains_key(&0))
    }

    /// What has been counted since the session began.
    pub(crate) fn counts(&self) -> Counts {
        self.rates.counts
    }

    /// How many calls of ours the peer has not answered, those included of which it cannot be told that nobody waits.
    pub(crate) fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// How many calls of the peer's have not ended.
    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    /// Whether the result of a call of the peer's may still be used by it.
    pub(crate) fn is_kept(&self, answer: Id) -> bool {
        self.exports.contains_key(&answer)
    }

    /// Whether nothing is left that this program holds or waits for, nor the peer but the index.
    pub(crate) fn is_idle(&self) -> bool {
        self.lent_out() == 0 && self.is_quiet()
    }

    /// The same, as far as can be told: in some languages a peer never says that it needs something no longer.
    pub(crate) fn is_unused(&self) -> bool {
        (!self.manner.releases || self.lent_out() == 0) && self.is_quiet()
    }

    /// Whether this program holds nothing and waits for nothing, and nothing runs.
    fn is_quiet(&self) -> bool {
        let dead = |import: &Import| match import.state {
            ImportState::Awaited { .. } => import.is_unwanted(),
            // Whoever got the value that it stands in waits for it.
            ImportState::Promise => false,
            ImportState::Object | ImportState::Call { .. } => import.handles == 0,
        };
        self.running.is_empty() && self.imports.values().all(dead)
    }

    // ------------------------------------------------------------------ what this program wants

    /// Calls, or without arguments reads, the import `target`. The id of the result.
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
            Answering::Sent => self.ask(true, |answering| Op::Call { target, path, args, answering }),
            Answering::Kept => {
                let state = ImportState::Call { pulled: false };
                self.last_call += 1;
                self.imports.insert(self.last_call, Import { count: 1, handles: 1, state });
                self.ops.push_back(Op::Call { target, path, args, answering });
                self.last_call
            }
        }
    }

    /// Sends what has to be answered, in one message to whoever is known to understand that.
    fn ask(&mut self, wanted: bool, op: impl FnOnce(Answering) -> Op) -> Id {
        self.last_call += 1;
        let id = self.last_call;
        let pulled = self.manner.marks && !self.marked;
        let state = ImportState::Awaited { pulled, wanted };
        self.imports.insert(id, Import { count: 1, handles: 0, state });
        self.unanswered += 1;
        if pulled {
            self.ops.push_back(op(Answering::Kept));
            self.ops.push_back(Op::Pull(id));
        } else {
            self.ops.push_back(op(Answering::Sent));
        }
        id
    }

    /// Sends what any peer answers, to see whether it is there: a value, or a read of the index at a path. Nobody waits
    /// for what it answers.
    pub(crate) fn probe(&mut self, path: Option<Path>) -> Id {
        self.ask(false, |answering| match path {
            Some(path) => Op::Call { target: 0, path, args: None, answering },
            None => Op::Evaluate { value: Payload::plain(Text::Static("null")), answering },
        })
    }

    /// Sends a value that any peer answers, and waits for that until [`drop_call`](Self::drop_call).
    pub(crate) fn greet(&mut self) -> Id {
        let null = Payload::plain(Text::Static("null"));
        self.ask(true, |answering| Op::Evaluate { value: null, answering })
    }

    /// Asks for the answer of a call that was sent without. Ours are read by further calls instead; in the
    /// tests this side may be one that pulls.
    #[cfg(test)]
    pub(crate) fn pull(&mut self, id: Id) {
        if let Some(Import { state: ImportState::Call { pulled: pulled @ false }, .. }) =
            self.imports.get_mut(&id)
        {
            *pulled = true;
            self.ops.push_back(Op::Pull(id));
        }
    }

    /// Nobody waits any more for the answer of a call.
    ///
    /// The peer is told, if its language has a word for it. One of this library cancels the call. npm's lets it run, and
    /// answers late.
    pub(crate) fn drop_call(&mut self, id: Id) {
        let Some(Import { state: ImportState::Awaited { wanted, .. }, .. }) = self.imports.get_mut(&id)
        else {
            return;
        };
        *wanted = false;
        if self.manner.marks {
            self.remove_import(id);
            // Its answer may be on its way.
            self.rates.crossing += 1;
            self.ops.push_back(Op::Release { id, count: 1 });
        }
    }

    /// A new handle stands for an import.
    pub(crate) fn hold(&mut self, id: Id) {
        if let Some(import) = self.imports.get_mut(&id) {
            import.handles += 1;
        }
    }

    /// A handle was dropped. With the last one, all that the peer has lent is given back: also
    /// what was introduced again while an earlier handle was on its way out.
    pub(crate) fn drop_import(&mut self, id: Id) {
        let Some(import) = self.imports.get_mut(&id) else { return };
        import.handles = import.handles.saturating_sub(1);
        // The index was never counted: it comes with the connection and ends with it.
        if import.handles == 0 && id != 0 {
            let count = import.count;
            self.remove_import(id);
            // The peer may have lent it again meanwhile, or answered it.
            self.rates.crossing += 1;
            self.ops.push_back(Op::Release { id, count });
        }
    }

    /// Lends the peer an object, and tells the id to write.
    ///
    /// A marked peer of Cap'n Web gets the id it already has, so that equal references stay equal, and counts.
    /// Any other gets a new one each time, since npm's `capnweb` gives back only one reference of
    /// an id that it was given twice.
    pub(crate) fn export(&mut self, object: ObjectId) -> Id {
        let reuse = self.marked || self.manner.reuses;
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

    /// Something of the peer's that no message has lent us: its name has come by another way.
    pub(crate) fn reconstruct(&mut self, id: Id) -> Result<(), Error> {
        self.import(id)
    }

    /// An object was lent in a message that was not written. Whether it is lent no longer.
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

    /// A call of ours could not be said in the peer's language.
    pub(crate) fn unsay(&mut self, call: Id) {
        self.remove_import(call);
    }

    /// A call of the peer's has ended: what to do with its outcome.
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

    /// Whether a call of the peer's has not ended.
    pub(crate) fn is_running(&self, answer: Id) -> bool {
        self.running.contains_key(&answer)
    }

    /// Sends how far a call of the peer's has come.
    pub(crate) fn report(&mut self, answer: Id, value: Payload<Word>) {
        self.ops.push_back(Op::Progress { id: answer, value });
    }

    /// Sends the outcome of a call of the peer's, or refuses a [`Event::PullObject`].
    pub(crate) fn answer(&mut self, id: Id, outcome: Result<Payload<Word>, Payload<Word>>) {
        self.ops.push_back(Op::Answer { id, outcome });
    }

    /// Ends the session from this side.
    pub(crate) fn abort(&mut self, reason: Payload<Word>) {
        self.ops.push_back(Op::Abort(reason));
    }

    /// Forgets everything; nothing is sent or told after this.
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

    /// The next message to write.
    pub(crate) fn poll_op(&mut self) -> Option<Op> {
        pop(&mut self.ops)
    }

    /// Whether there are messages to write.
    #[cfg(feature = "tokio")]
    pub(crate) fn has_ops(&self) -> bool {
        !self.ops.is_empty()
    }

    /// Whether the peer wants or has done anything that has not been looked at.
    pub(crate) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The next thing that the peer wants or has done.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        pop(&mut self.events)
    }
}

/// Takes the first of a queue. Gives back the memory of an empty one that has been long.
#[inline]
fn pop<T>(queue: &mut VecDeque<T>) -> Option<T> {
    const SMALL: usize = 64;
    if queue.is_empty() && queue.capacity() > SMALL {
        queue.shrink_to_fit();
    }
    // Last, so that what is taken is not moved once more.
    queue.pop_front()
}
