//! The tables of one connection: what the peer lends us, what we lend it, and which calls are
//! under way. It knows ids and counts, never objects, text, tasks or time.
//!
//! Three kinds of method: [`handle`](Session::handle) is what the wire says and fails only if the
//! peer broke the protocol; verbs ([`call`](Session::call), [`export`](Session::export),
//! [`drop_import`](Session::drop_import), …) are what this program wants; `poll_*` is what the
//! caller must do next.
//!
//! The model is Cap'n Web's: two tables, **imports** (what the peer lends us) and **exports** (what
//! we lend it), and the result of a call is an import from the moment the call is sent.

use std::collections::{HashMap, VecDeque};

use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::op::{Answering, Id, Import as Use, Op, Path, Payload, Slot, Word};

#[cfg(test)]
mod tests;

/// Which side of the connection this is. Only the marks care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Connecting,
    Accepting,
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
    /// A promise of the peer's, whose outcome comes as [`Event::Answered`].
    Promise(Id),
    /// Something of ours, or the result of a call of the peer's.
    Export(Id),
    /// A property or call of something of ours; or, awaited and with neither path nor arguments,
    /// the value of a promise.
    Use { id: Id, path: Path, args: Option<Box<Payload<Ref>>>, awaited: bool },
}

/// What the peer wants or has done.
#[derive(Debug, PartialEq)]
pub(crate) enum Event {
    /// A call of the export `target`, or a read if there are no arguments.
    Call { answer: Id, target: Id, path: Path, args: Option<Payload<Ref>> },
    /// A value in the place of a call.
    Evaluate { answer: Id, value: Payload<Ref> },
    /// The answer of a call that ended before is now asked for.
    Pull { answer: Id },
    /// Something that is no call's answer is asked for.
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
    Call { pulled: bool },
    /// A call whose answer comes by itself, and whether anybody waits for it.
    Stream { wanted: bool },
    Promise,
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
    /// The result of a call of the peer's, and whether it has been sent.
    Answer { sent: bool },
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

/// How much a session holds. All is zero when everything has been given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tables {
    /// References the peer lends us, the index apart.
    pub imports: usize,
    /// References we lend the peer, the index apart.
    pub exports: usize,
    /// Calls of ours without an answer.
    pub calls: usize,
    /// Calls of the peer's that have not ended.
    pub running: usize,
}

/// The state of one connection.
pub(crate) struct Session {
    side: Side,
    limits: Limits,
    marked: bool,
    mark_sent: bool,
    imports: HashMap<Id, Import>,
    exports: HashMap<Id, Export>,
    running: HashMap<Id, Running>,
    /// Under which id an object is exported: only between marked peers, see [`Session::export`].
    ids: HashMap<ObjectId, Id>,
    last_call: Id,
    last_export: Id,
    last_answer: Id,
    ops: VecDeque<Op>,
    events: VecDeque<Event>,
}

fn protocol<T>(message: String) -> Result<T, Error> {
    Err(Error::new(ErrorKind::Protocol, message))
}

impl Session {
    pub(crate) fn new(side: Side, limits: Limits) -> Self {
        let index = Import { count: 0, handles: 0, state: ImportState::Object };
        let mut session = Self {
            side,
            limits,
            marked: false,
            mark_sent: false,
            imports: HashMap::from([(0, index)]),
            exports: HashMap::from([(0, Export { count: 1, what: Exported::Index })]),
            running: HashMap::new(),
            ids: HashMap::new(),
            last_call: 0,
            last_export: 0,
            last_answer: 0,
            ops: VecDeque::new(),
            events: VecDeque::new(),
        };
        if side == Side::Connecting {
            session.mark_sent = true;
            session.ops.push_back(Op::Mark);
        }
        session
    }

    /// Whether the peer is one of this library, and knows that we are.
    pub(crate) fn is_marked(&self) -> bool {
        self.marked
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn tables(&self) -> Tables {
        let unanswered = |import: &&Import| {
            matches!(import.state, ImportState::Stream { .. } | ImportState::Call { pulled: true })
        };
        Tables {
            imports: self.imports.len() - usize::from(self.imports.contains_key(&0)),
            exports: self.exports.len() - usize::from(self.exports.contains_key(&0)),
            calls: self.imports.values().filter(unanswered).count(),
            running: self.running.len(),
        }
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
        let dead = |import: &Import| match import.state {
            ImportState::Stream { wanted } => !wanted,
            _ => import.handles == 0,
        };
        let lent = self.exports.len() - usize::from(self.exports.contains_key(&0));
        lent == 0 && self.running.is_empty() && self.imports.values().all(dead)
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
        self.last_call += 1;
        let (handles, state) = match answering {
            Answering::Kept => (1, ImportState::Call { pulled: false }),
            Answering::Sent => (0, ImportState::Stream { wanted: true }),
        };
        self.imports.insert(self.last_call, Import { count: 1, handles, state });
        self.ops.push_back(Op::Call { target, path, args, answering });
        self.last_call
    }

    /// Asks for the answer of a call that was sent without.
    pub(crate) fn pull(&mut self, id: Id) {
        if let Some(Import { state: ImportState::Call { pulled: pulled @ false }, .. }) = self.imports.get_mut(&id) {
            *pulled = true;
            self.ops.push_back(Op::Pull(id));
        }
    }

    /// Nobody waits any more for the answer of a call that comes by itself.
    ///
    /// A marked peer is told, and cancels; any other would take that for a fault.
    pub(crate) fn drop_call(&mut self, id: Id) {
        let Some(Import { state: ImportState::Stream { wanted }, .. }) = self.imports.get_mut(&id) else { return };
        *wanted = false;
        if self.marked {
            self.imports.remove(&id);
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
            self.imports.remove(&id);
            self.ops.push_back(Op::Release { id, count });
        }
    }

    /// Lends the peer an object, and tells the id to write.
    ///
    /// A marked peer gets the id it already has, so that equal references stay equal, and counts.
    /// Any other gets a new one each time, since npm's `capnweb` gives back only one reference of
    /// an id that it was given twice.
    pub(crate) fn export(&mut self, object: ObjectId) -> Id {
        if self.marked {
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
        if self.marked {
            self.ids.insert(object, id);
        }
        id
    }

    /// Takes back an export whose message was not sent after all.
    pub(crate) fn unexport(&mut self, id: Id) {
        if let Some(export) = self.exports.get_mut(&id) {
            export.count -= 1;
            if export.count == 0 {
                self.remove_export(id);
            }
        }
    }

    /// A call of the peer's has ended: what to do with its outcome.
    pub(crate) fn finish(&mut self, answer: Id) -> Wanted {
        let Some(running) = self.running.remove(&answer) else { return Wanted::No };
        self.unlink(&running);
        match (running.given_back, running.asked) {
            (true, _) => Wanted::No,
            (false, true) => Wanted::Now,
            (false, false) => Wanted::Perhaps,
        }
    }

    /// Sends the outcome of a call of the peer's, or refuses a [`Event::PullObject`].
    pub(crate) fn answer(&mut self, id: Id, outcome: Result<Payload<Word>, Payload<Word>>) {
        if let Some(Export { what: Exported::Answer { sent }, .. }) = self.exports.get_mut(&id) {
            *sent = true;
        }
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
        self.ids.clear();
        self.events.clear();
    }

    // ------------------------------------------------------------------------ what is to be done

    /// The next message to write.
    pub(crate) fn poll_op(&mut self) -> Option<Op> {
        self.ops.pop_front()
    }

    /// The next thing that the peer wants or has done.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    // ------------------------------------------------------------------------ what the wire says

    /// Takes in a message. An error means that the peer broke the protocol or a limit: the session
    /// cannot go on.
    pub(crate) fn handle(&mut self, op: Op) -> Result<(), Error> {
        match op {
            Op::Call { target, path, args, answering } => {
                let answer = self.start(answering)?;
                let mut uses = Vec::new();
                self.check_export(target, &mut uses)?;
                let args = args.map(|args| self.understand(args, &mut uses)).transpose()?;
                self.link(answer, uses);
                self.events.push_back(Event::Call { answer, target, path, args });
            }
            Op::Evaluate { value, answering } => {
                let answer = self.start(answering)?;
                let mut uses = Vec::new();
                let value = self.understand(value, &mut uses)?;
                self.link(answer, uses);
                self.events.push_back(Event::Evaluate { answer, value });
            }
            Op::Pull(id) => self.handle_pull(id)?,
            Op::Answer { id, outcome } => self.handle_answer(id, outcome)?,
            Op::Release { id, count } => self.handle_release(id, count)?,
            Op::Mark => {
                self.marked = true;
                if self.side == Side::Accepting && !self.mark_sent {
                    self.mark_sent = true;
                    self.ops.push_back(Op::Mark);
                }
            }
            Op::Abort(reason) => {
                let reason = self.understand(reason, &mut Vec::new())?;
                self.events.push_back(Event::Aborted { reason });
            }
        }
        Ok(())
    }

    /// Gives a call of the peer's its number.
    fn start(&mut self, answering: Answering) -> Result<Id, Error> {
        self.last_answer += 1;
        let streamed = answering == Answering::Sent;
        if !streamed {
            self.exports.insert(self.last_answer, Export { count: 1, what: Exported::Answer { sent: false } });
        }
        if self.exports.len() + self.running.len() > self.limits.exports {
            let message = format!("more than {} references and running calls", self.limits.exports);
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let running = Running { streamed, asked: streamed, given_back: false, dependents: 0, uses: Vec::new() };
        self.running.insert(self.last_answer, running);
        Ok(self.last_answer)
    }

    fn check_export(&mut self, id: Id, uses: &mut Vec<Id>) -> Result<(), Error> {
        if !self.exports.contains_key(&id) {
            return protocol(format!("no such entry on exports table: {id}"));
        }
        if self.running.contains_key(&id) {
            uses.push(id);
        }
        Ok(())
    }

    /// Notes that the call `answer` uses the results of others still running.
    fn link(&mut self, answer: Id, uses: Vec<Id>) {
        for used in &uses {
            if let Some(running) = self.running.get_mut(used) {
                running.dependents += 1;
            }
        }
        if let Some(running) = self.running.get_mut(&answer) {
            running.uses = uses;
        }
    }

    /// A call that has ended uses nothing any more.
    fn unlink(&mut self, ended: &Running) {
        for used in &ended.uses {
            if let Some(running) = self.running.get_mut(used) {
                running.dependents -= 1;
                self.cancel_unwanted(*used);
            }
        }
    }

    /// Cancels a call whose answer was asked for, was given back, and is used by no other call
    /// that is still wanted.
    fn cancel_unwanted(&mut self, answer: Id) {
        let unwanted = |call: &Running| call.asked && call.given_back && call.dependents == 0;
        if !self.running.get(&answer).is_some_and(unwanted) {
            return;
        }
        if let Some(running) = self.running.remove(&answer) {
            self.events.push_back(Event::Cancel { answer });
            self.unlink(&running);
        }
    }

    /// Turns the words of a message into what they mean here, counting what it lends us.
    fn understand(&mut self, value: Payload<Word>, uses: &mut Vec<Id>) -> Result<Payload<Ref>, Error> {
        if value.refs.is_empty() {
            return Ok(Payload { text: value.text, refs: Vec::new() });
        }
        let mut refs = Vec::with_capacity(value.refs.len());
        for Slot { start, end, to } in value.refs {
            refs.push(Slot { start, end, to: self.understand_word(to, uses)? });
        }
        Ok(Payload { text: value.text, refs })
    }

    fn understand_word(&mut self, word: Word, uses: &mut Vec<Id>) -> Result<Ref, Error> {
        match word {
            Word::Export(id) => {
                self.import(id)?;
                Ok(Ref::Import(id))
            }
            Word::Promise(id) => {
                if id >= 0 || self.imports.contains_key(&id) {
                    return protocol(format!("a promise under an id already used: {id}"));
                }
                self.imports.insert(id, Import { count: 1, handles: 0, state: ImportState::Promise });
                self.check_imports()?;
                Ok(Ref::Promise(id))
            }
            Word::Import(Use { id, path, args, awaited }) => {
                self.check_export(id, uses)?;
                if path.is_empty() && args.is_none() && !awaited {
                    return Ok(Ref::Export(id));
                }
                let args = args.map(|args| self.understand(*args, uses)).transpose()?.map(Box::new);
                Ok(Ref::Use { id, path, args, awaited })
            }
        }
    }

    /// The peer lends us something, perhaps again.
    fn import(&mut self, id: Id) -> Result<(), Error> {
        if id >= 0 {
            return protocol(format!("an export under an id that is not the sender's: {id}"));
        }
        let new = Import { count: 0, handles: 0, state: ImportState::Object };
        let import = self.imports.entry(id).or_insert(new);
        if import.state != ImportState::Object {
            return protocol(format!("an export under the id of a promise: {id}"));
        }
        import.count += 1;
        self.check_imports()
    }

    fn check_imports(&self) -> Result<(), Error> {
        if self.imports.len() <= self.limits.imports {
            return Ok(());
        }
        let message = format!("more than {} references lent", self.limits.imports);
        Err(Error::new(ErrorKind::Limit, message))
    }

    fn handle_pull(&mut self, id: Id) -> Result<(), Error> {
        let Some(export) = self.exports.get(&id) else {
            return protocol(format!("no such export ID: {id}"));
        };
        match (&export.what, self.running.get_mut(&id)) {
            (Exported::Answer { .. }, Some(running)) => running.asked = true,
            (Exported::Answer { sent: false }, None) => self.events.push_back(Event::Pull { answer: id }),
            // One pull, one answer.
            (Exported::Answer { sent: true }, None) => {}
            (Exported::Index | Exported::Object(_), _) => self.events.push_back(Event::PullObject { export: id }),
        }
        Ok(())
    }

    fn handle_answer(&mut self, id: Id, outcome: Result<Payload<Word>, Payload<Word>>) -> Result<(), Error> {
        let nothing = &mut Vec::new();
        let outcome = match outcome {
            Ok(value) => Ok(self.understand(value, nothing)?),
            Err(error) => Err(self.understand(error, nothing)?),
        };
        match self.imports.get(&id).map(|import| &import.state) {
            Some(ImportState::Stream { .. }) => drop(self.imports.remove(&id)),
            // Its handle gives it back.
            Some(ImportState::Call { .. }) => {
                if let Some(import) = self.imports.get_mut(&id) {
                    import.state = ImportState::Object;
                }
            }
            Some(ImportState::Promise) => {
                self.imports.remove(&id);
                self.ops.push_back(Op::Release { id, count: 1 });
            }
            Some(ImportState::Object) | None => {}
        }
        self.events.push_back(Event::Answered { import: id, outcome });
        Ok(())
    }

    fn handle_release(&mut self, id: Id, count: u64) -> Result<(), Error> {
        if let Some(running) = self.running.get_mut(&id) {
            if running.streamed && self.marked {
                running.given_back = true;
                self.cancel_unwanted(id);
                return Ok(());
            }
        }
        let Some(export) = self.exports.get_mut(&id) else {
            // The answer of a stream and the release that cancels it may have crossed.
            if (self.marked && (1..=self.last_answer).contains(&id)) || count == 0 {
                return Ok(());
            }
            return protocol(format!("no such export ID: {id}"));
        };
        if count > export.count {
            return protocol(format!("refcount would go negative: {} < {count}", export.count));
        }
        export.count -= count;
        if export.count == 0 {
            self.remove_export(id);
        }
        Ok(())
    }

    fn remove_export(&mut self, id: Id) {
        let Some(export) = self.exports.remove(&id) else { return };
        match export.what {
            Exported::Index => {}
            Exported::Object(object) => {
                if self.ids.get(&object) == Some(&id) {
                    self.ids.remove(&object);
                }
                self.events.push_back(Event::Dropped { export: id });
            }
            Exported::Answer { .. } => match self.running.get_mut(&id) {
                Some(running) => {
                    running.given_back = true;
                    self.cancel_unwanted(id);
                }
                None => self.events.push_back(Event::Forget { answer: id }),
            },
        }
    }
}
