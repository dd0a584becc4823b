//! The objects, references and waiting callers behind the ids of a session.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::deadlines::{Deadline, Deadlines};
use super::effects::{Effect, Effects};
use super::question::Question;
use crate::cap::Cap;
use crate::cap::context::Progress;
use crate::cap::data::to_cap;
use crate::cap::import::Import;
use crate::cap::payload::{LivePayload, PayloadRef, held_len, undefined};
use crate::cap::promise::Promise;
use crate::cap::stream::{self, Pipe, StreamEnd, WriteEnd};
use crate::dialect::Capabilities;
use crate::error::{Error, Fate};
use crate::limits::LimitKind;
use crate::message::{Id, IdMap, Payload};
use crate::sweep::Sweep;
use crate::table::NumberMap;
use crate::thin_vec::ThinVec;

/// The objects, references and waiting callers behind the ids of a session. What is taken out is dropped when the lock
/// is free.
#[derive(Default)]
pub(super) struct Entries {
    index: Option<Cap>,
    /// Promises for the index of a peer whose language is not known yet.
    pending_indexes: Vec<Arc<Promise>>,
    /// Receivers of the answers of this side's calls and of the outcomes of the peer's promises.
    calls: NumberMap<Question>,
    /// The number of `calls` that are calls of this side.
    own_calls: usize,
    imports: IdMap<Weak<Import>>,
    objects: IdMap<Cap>,
    /// Calls of the peer whose results it may still use.
    answers: IdMap<Answer>,
    kept_bytes: usize,
    /// The deadlines of the calls of both sides; `None` as long as no call has had one.
    pub(super) deadlines: Option<Box<Deadlines>>,
    /// Pipes that the peer has opened.
    pipes: Vec<Weak<Pipe>>,
    sweep_of_pipes: Sweep,
}

/// The result of a call of the peer, kept while the peer may still use it.
#[derive(Default)]
struct Answer {
    /// Created when the result is used before it is available.
    promise: Option<Arc<Promise>>,
    outcome: Option<Result<LivePayload, Error>>,
    /// The outcome as a target of calls and reads, created at the first of them.
    cap: Option<Cap>,
    bytes: usize,
}

impl Entries {
    /// Creates the entries of a side that offers `index`.
    pub(super) fn new(index: Option<Cap>) -> Self {
        Self { index, ..Self::default() }
    }

    /// Returns the number of entries that count for the memory of the connection.
    pub(super) fn len(&self) -> usize {
        // The session holds each answer as well.
        self.imports.len() + self.objects.len() + 2 * self.answers.len() + self.calls.len()
    }

    /// Returns the number of objects that this side lends the peer.
    #[cfg(feature = "metrics")]
    pub(super) fn objects(&self) -> usize {
        self.objects.len()
    }

    /// Returns the bytes of results that the peer may still use.
    pub(super) fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Returns the number of this side's calls that wait for an answer.
    pub(super) fn own_calls(&self) -> usize {
        self.own_calls
    }

    /// Registers the receiver of an answer, or of the outcome of a promise.
    #[inline]
    pub(super) fn expect(&mut self, id: Id, caller: Question) {
        self.own_calls += usize::from(id > 0);
        self.calls.insert(id, caller);
    }

    /// Removes and returns the receiver of an answer.
    #[must_use]
    pub(super) fn take_question(&mut self, id: Id) -> Option<Question> {
        let caller = self.calls.remove(&id);
        if let (Some(deadlines), Some(caller)) = (&mut self.deadlines, &caller) {
            deadlines.remove(Deadline::Own(id));
            if let Question::Result(result) = caller {
                deadlines.settle(*result);
            }
        }
        self.own_calls -= usize::from(caller.is_some() && id > 0);
        caller
    }

    /// Notes that a call of this side was made on the result of another.
    pub(super) fn note_made(&mut self, call: Id, on: &Import) {
        if let Some(deadlines) = &mut self.deadlines {
            deadlines.made(call, on.id());
        }
    }

    /// Returns `true` for the result of a call whose deadline has passed before it was there.
    pub(super) fn has_failed(&self, result: &Import) -> bool {
        self.deadlines.as_ref().is_some_and(|deadlines| deadlines.has_failed(result.id()))
    }

    /// Returns the calls that a deadline ends: the one that has it, and those that were made on the result that it reads.
    pub(super) fn take_late(&mut self, call: Id) -> Vec<Id> {
        match (self.calls.get(&call), &mut self.deadlines) {
            (Some(Question::Result(result)), Some(deadlines)) => deadlines.fail(*result),
            _ => vec![call],
        }
    }

    /// Removes and returns all receivers of answers and of outcomes.
    #[cfg(feature = "host")]
    pub(super) fn take_questions(&mut self) -> impl Iterator<Item = Question> {
        self.own_calls = 0;
        std::mem::take(&mut self.calls).into_entries().map(|(_, question)| question)
    }

    /// Returns the receiver of a call's progress.
    pub(super) fn progress_of(&self, call: Id) -> Option<Progress> {
        match self.calls.get(&call) {
            Some(Question::Call { progress, .. }) => progress.clone(),
            Some(_) | None => None,
        }
    }

    /// Removes and returns the callers that have waited for longer than `limit`. Returns the time at which the next one
    /// has as well. All are checked together, so that a million of them are not searched for each.
    #[must_use]
    pub(super) fn take_overdue(&mut self, now: Duration, limit: Duration) -> (Vec<(Id, Question)>, Duration) {
        let end = |caller: &Question| match caller {
            Question::Call { since: Some(since), .. } => Some(since.saturating_add(limit)),
            _ => None,
        };
        let ends = self.calls.iter().filter_map(|(id, caller)| Some((id, end(caller)?)));
        let (over, open): (Vec<_>, Vec<_>) = ends.partition(|(_, end)| *end <= now);
        let next = open.into_iter().map(|(_, end)| end).min().unwrap_or_else(|| now.saturating_add(limit));
        let over = over.into_iter().filter_map(|(id, _)| Some((id, self.take_question(id)?)));
        (over.collect(), next)
    }

    /// Returns the handle of an import, if there is one.
    pub(super) fn import(&self, id: Id) -> Option<Arc<Import>> {
        self.imports.get(&id).and_then(Weak::upgrade)
    }

    pub(super) fn insert_import(&mut self, id: Id, import: &Arc<Import>) {
        self.imports.insert(id, Arc::downgrade(import));
    }

    /// Removes an import that has no handle any more, and the receiver of a promise that was given back.
    pub(super) fn drop_import(&mut self, id: Id, effects: &mut Effects) {
        if self.imports.get(&id).is_some_and(|import| import.strong_count() == 0) {
            self.imports.remove(&id);
        }
        // No caller waits for a released promise.
        if id < 0 {
            effects.discard_all(self.take_question(id));
        }
    }

    /// Returns the object of an export.
    pub(super) fn object(&self, export: Id) -> Option<&Cap> {
        self.objects.get(&export)
    }

    pub(super) fn insert_object(&mut self, export: Id, cap: Cap) {
        // An object that is lent again stands there already.
        self.objects.entry(export).or_insert(cap);
    }

    pub(super) fn remove_object(&mut self, export: Id, effects: &mut Effects) {
        effects.discard_all(self.objects.remove(&export));
    }

    /// Returns the object of an export, or the index; `None` if that is missing, and for the result of a call.
    pub(super) fn offered(&self, export: Id) -> Option<Cap> {
        if export == 0 { self.index.clone() } else { self.objects.get(&export).cloned() }
    }

    /// Returns the object of an export, or the result of a call of the peer; `None` for an index that is missing.
    pub(super) fn target(&mut self, export: Id) -> Option<Cap> {
        let offered = self.offered(export);
        if export == 0 || offered.is_some() {
            return offered;
        }
        let answer = self.answers.entry(export).or_default();
        Some(match (&answer.promise, &answer.outcome) {
            (Some(promise), _) => Cap::from_promise(promise.clone()),
            (None, Some(Ok(body))) => answer.cap.get_or_insert_with(|| to_cap(body.clone())).clone(),
            (None, Some(Err(error))) => Cap::broken(error.clone()),
            (None, None) => Cap::from_promise(answer.promise.insert(Promise::new()).clone()),
        })
    }

    /// Returns the answer to a pull of an export that is not a result.
    pub(super) fn pull(&self, export: Id) -> Result<LivePayload, Error> {
        if export == 0 {
            let index = self.index.as_ref().ok_or_else(no_index)?;
            return Ok(Payload::reference(PayloadRef::Cap(index.clone())));
        }
        // The words are those of npm's `capnweb`.
        Err(match self.objects.get(&export).or_else(|| self.result(export)) {
            None => Error::rejected(format!("no such export ID: {export}")),
            Some(cap) if cap.is_writable() => Error::rejected("Cannot pull a WritableStream stub"),
            Some(_) => Error::rejected("Tried to resolve a non-promise stub."),
        })
    }

    /// Returns the reference that the result of a call of the peer is, or the write end of a pipe.
    fn result(&self, answer: Id) -> Option<&Cap> {
        match self.answers.get(&answer)?.outcome.as_ref()?.as_ref().ok()?.root()? {
            PayloadRef::Cap(cap) => Some(cap),
            _ => None,
        }
    }

    /// Sets the index that this side offers from now on.
    #[cfg(feature = "host")]
    pub(super) fn set_index(&mut self, index: Option<Cap>, effects: &mut Effects) {
        effects.discard_all(std::mem::replace(&mut self.index, index));
    }

    /// Returns `true` if it is not decided yet which index this side offers.
    #[cfg(feature = "host")]
    pub(super) fn is_undecided(&self) -> bool {
        self.index.as_ref().is_some_and(|index| index.nearest().promise().is_some())
    }

    /// Adds a promise for the peer's index, to be resolved when its language is known.
    pub(super) fn add_pending_index(&mut self, promise: Arc<Promise>) {
        self.pending_indexes.push(promise);
    }

    #[must_use]
    pub(super) fn take_pending_indexes(&mut self) -> Vec<Arc<Promise>> {
        std::mem::take(&mut self.pending_indexes)
    }

    #[cfg(feature = "host")]
    pub(super) fn has_pending_indexes(&self) -> bool {
        !self.pending_indexes.is_empty()
    }

    /// Makes room for the result of a call of the peer.
    pub(super) fn open_answer(&mut self, answer: Id) {
        self.answers.entry(answer).or_default();
    }

    /// Creates a pipe that the peer has opened. Returns its write end.
    pub(super) fn open_pipe(&mut self) -> Cap {
        if self.sweep_of_pipes.is_due(self.pipes.len()) {
            self.pipes.retain(|pipe| pipe.strong_count() > 0);
            self.sweep_of_pipes.done(self.pipes.len());
        }
        let pipe = Pipe::new();
        self.pipes.push(Arc::downgrade(&pipe));
        stream::write_end(pipe)
    }

    /// Returns the read end of a pipe that the peer has opened, once.
    pub(super) fn read_end(&self, answer: Id) -> Cap {
        let end = self.result(answer).and_then(WriteEnd::of);
        // The entries keep a share of the write end, so that dropping this one runs no code of the stream.
        let read = end.and_then(|end| stream::read_end(&end.0));
        // The session has found it.
        read.map_or_else(|| Cap::broken(stream::unfinished()), |read| read.cap())
    }

    /// Returns the result of a call of the peer that has ended.
    pub(super) fn outcome(&self, answer: Id) -> Option<Result<LivePayload, Error>> {
        self.answers.get(&answer)?.outcome.clone()
    }

    /// Returns the promise for the result of a call, if it has been used before it was there.
    pub(super) fn promise_of(&self, answer: Id) -> Option<Arc<Promise>> {
        self.answers.get(&answer)?.promise.clone()
    }

    /// Keeps the outcome of a call whose result the peer may still use, if there is room for it. Returns the outcome to
    /// answer with.
    pub(super) fn keep(
        &mut self,
        answer: Id,
        outcome: Result<LivePayload, Error>,
        limit: usize,
        effects: &mut Effects,
    ) -> Result<LivePayload, Error> {
        let Some(kept) = self.answers.get_mut(&answer) else { return outcome };
        let outcome = outcome.map(Payload::compact);
        let bytes = match &outcome {
            Ok(body) => held_len(body),
            Err(error) => error.held_len(),
        };
        if self.kept_bytes + bytes > limit {
            effects.discard(outcome);
            let message = format!("more than {limit} bytes of results are not released");
            let error = Error::over(LimitKind::KeptBytes, message);
            kept.outcome = Some(Err(error.clone()));
            return Err(error);
        }
        kept.bytes = bytes;
        self.kept_bytes += bytes;
        let outcome =
            outcome.map(|body| Payload { text: body.text.share(), refs: body.refs, nodes: ThinVec::NONE });
        kept.outcome.insert(outcome).clone()
    }

    /// Removes the result of a call, which the peer can no longer use. If the call was `cancelled`, references to the
    /// result fail, since it will not come.
    pub(super) fn forget(&mut self, answer: Id, cancelled: bool, effects: &mut Effects) {
        let Some(mut forgotten) = self.answers.remove(&answer) else { return };
        self.kept_bytes -= forgotten.bytes;
        if let Some(promise) = forgotten.promise.take_if(|_| cancelled) {
            let why = Error::rejected("the call was cancelled");
            effects.push(Effect::Resolve(promise, Cap::broken(why)));
        }
        effects.discard(forgotten);
    }

    /// Returns the ends of streams that the peer holds.
    pub(super) fn stream_ends(&self) -> Vec<StreamEnd> {
        let results =
            self.answers.values().filter_map(|answer| answer.outcome.as_ref()?.as_ref().ok()?.root());
        let results = results.filter_map(|result| match result {
            PayloadRef::Cap(cap) => Some(cap),
            _ => None,
        });
        self.objects.values().chain(results).filter_map(StreamEnd::of).collect()
    }

    /// Fails all receivers: the session has ended by `error`, after the peer ran none of the calls with numbers above
    /// `last_run`. Returns the references, to be dropped after that. No lock may be held.
    pub(super) fn fail(self, error: &Error, last_run: Option<Id>) -> impl Sized {
        let stream_ends = self.stream_ends();
        for (id, caller) in self.calls.into_entries() {
            let error = error.clone();
            let has_run = last_run.is_none_or(|last| id <= last);
            caller.fail(if has_run { error } else { error.with_fate(Fate::NotSent) });
        }
        for promise in self.pending_indexes {
            promise.resolve(Cap::broken(error.clone()));
        }
        for answer in self.answers.values() {
            if let Some(promise) = &answer.promise {
                promise.resolve(Cap::broken(error.clone()));
            }
        }
        for end in stream_ends {
            end.fail(error);
        }
        // Its ends may be in its own chunks, where nobody finds them.
        for pipe in self.pipes.into_iter().filter_map(|pipe| pipe.upgrade()) {
            if !pipe.is_read() {
                pipe.abort(error);
            }
        }
        (self.objects, self.answers, self.index)
    }
}

/// Returns the error for a use of an index that is not offered.
fn no_index() -> Error {
    Error::rejected("This connection has no main object.")
}

/// Returns the replacement for a missing index.
pub(crate) fn no_index_for(peer: &Capabilities) -> Cap {
    if peer.asks_index { to_cap(undefined()) } else { Cap::broken(no_index()) }
}
