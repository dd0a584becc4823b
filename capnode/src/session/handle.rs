//! Effects of the peer's messages on the tables.

use std::time::Duration;

use super::{
    Event, ExportEntry, ExportTarget, ImportEntry, ImportState, Rates, Received, RunningCall, Session,
};
use crate::error::{Error, ErrorKind};
use crate::limits::{LimitKind, Limits};
use crate::message::{
    CapDescriptor, CarriedContext, Expression, Extensions, Id, Message, Payload, ReceiverRef, ReturnMode,
    Text,
};

/// Stands for all references, in the release of a language that does not count them.
const ALL: u64 = u64::MAX;

/// Findings about a message while its references are resolved.
struct Findings {
    /// The running calls whose results the message uses.
    uses: Vec<Id>,
    /// The reason why the message fails: the first missing or unsupported value in it.
    wrong: Option<String>,
}

impl Findings {
    const NONE: Self = Self { uses: Vec::new(), wrong: None };

    fn miss(&mut self, why: impl FnOnce() -> String) {
        self.wrong.get_or_insert_with(why);
    }
}

fn unsupported(what: &str) -> String {
    format!("not supported by this version: {what}")
}

fn protocol<T>(message: String) -> Result<T, Error> {
    Err(Error::new(ErrorKind::Protocol, message))
}

impl Session {
    /// Counts a frame that has come at `now`, takes in the message in it, and numbers the call in that. All times here are
    /// counted from the beginning of the session. An error means that the peer broke the protocol or a limit, and that
    /// the session cannot go on.
    pub(crate) fn receive(&mut self, message: Option<Message>, now: Duration) -> Result<Received, Error> {
        self.rates.counts.frames += 1;
        if !self.rates.frames.as_mut().is_none_or(|frames| frames.count(now)) {
            let limit = self.limits.frames_per_second.unwrap_or_default();
            return Err(Error::over(
                LimitKind::FramesPerSecond,
                format!("more than {limit} frames in a second"),
            ));
        }
        let Some(mut message) = message else { return Ok(Received::default()) };
        self.enter_in_place();
        let mut carried = None;
        if let Message::InContext { call, context } = message {
            // It means nothing in the message of any other peer.
            carried = Some(context).filter(|_| self.extended);
            message = *call;
        }
        let (mut reply, mut found) = (None, Findings::NONE);
        let event = match message {
            // It holds a call.
            Message::InContext { .. } => None,
            Message::Call { target, path, args, return_mode, .. } => {
                self.start(return_mode, Expression::Call { target, path, args }, carried)?
            }
            Message::Evaluate { value, return_mode, .. } => {
                self.start(return_mode, Expression::Value(value), carried)?
            }
            Message::Pipe { .. } => {
                let answer = self.number(false);
                let what = ExportTarget::Pipe { read: false };
                self.exports.insert(answer, ExportEntry { count: 1, what });
                Some(Event::Pipe { answer })
            }
            Message::Progress { id, mut value } => {
                self.resolve(&mut value, &mut found)?;
                Some(Event::Progress { import: id, value })
            }
            Message::Extensions(Extensions { bytes, context })
                if self.extended || (self.hello_due && self.hello_sent) =>
            {
                // It is also the reply to a hello.
                self.extended = true;
                self.taken.bytes |= bytes;
                self.taken.context |= context;
                None
            }
            Message::Draining { last } if self.extended => {
                // The first word counts: a later one cannot undo that a call was not run.
                let _first = self.last_run.get_or_insert(last);
                Some(Event::Draining)
            }
            Message::Extensions(_) => return protocol("unknown message: abilities".to_owned()),
            Message::Draining { .. } => return protocol("unknown message: draining".to_owned()),
            Message::Pull(id) => self.handle_pull(id),
            Message::Answer { id, outcome } => self.handle_answer(id, outcome, &mut reply)?,
            Message::Release { id, count } => self.handle_release(id, count)?,
            Message::Hello => {
                self.handle_hello();
                None
            }
            Message::Abort(mut reason) => {
                self.resolve(&mut reason, &mut found)?;
                Some(Event::Aborted { reason })
            }
        };
        // An accepting side gets a hello first, and answers it at once.
        self.hello_due &= self.hello_sent;
        self.check_rates(now)?;
        self.check_limits()?;
        Ok(Received { event, reply })
    }

    /// Takes in a call that waits for its answer and has no references in it, as [`receive`](Self::receive) does, if
    /// nothing is unusual about it. Returns its number. It runs in place: it stands in no table until another message
    /// comes, or [`enter_in_place`](Self::enter_in_place) enters it.
    pub(crate) fn receive_call(&mut self, target: Id) -> Option<Id> {
        // The results of calls have ids above zero.
        let is_there = target <= 0 && self.exports.contains_key(&target);
        let has_room = self.exports.len() + self.untabled_calls < self.limits.exports;
        if !is_there || !has_room || !self.is_usual() {
            return None;
        }
        self.rates.counts.frames += 1;
        self.hello_due &= self.hello_sent;
        let answer = self.number(true);
        self.in_place.push(answer);
        Some(answer)
    }

    /// Takes in the answer of a call that waits for it, with no references in it, as [`receive`](Self::receive) does, if
    /// nothing is unusual about it. Returns `true` if the call is to be released.
    pub(crate) fn receive_answer(&mut self, id: Id) -> Option<bool> {
        if !self.is_usual() {
            return None;
        }
        let pulled = self.take_awaited(id)?;
        self.rates.counts.frames += 1;
        self.hello_due &= self.hello_sent && self.extended;
        Some(pulled)
    }

    /// Removes a call whose answer has come by itself. Returns `true` if it was pulled, and has to be released.
    fn take_awaited(&mut self, id: Id) -> Option<bool> {
        let import = self.imports.remove(&id)?;
        let ImportState::Awaited { pulled, .. } = import.state else {
            self.imports.insert(id, import);
            return None;
        };
        self.unanswered -= 1;
        Some(pulled)
    }

    /// Returns `true` if nothing can come of counting one more frame, and no check is due.
    fn is_usual(&self) -> bool {
        let Rates { frames, counts, charged, .. } = &self.rates;
        let is_charged = (counts.cancels, counts.unknown_ids) == (charged.cancels, charged.unknown_ids);
        frames.is_none() && is_charged && self.check_limits().is_ok()
    }

    /// Counts a message about an id that is gone, or not there yet.
    fn count_unknown_id(&mut self) {
        match self.rates.in_flight_allowance.checked_sub(1) {
            Some(left) => self.rates.in_flight_allowance = left,
            None => self.rates.counts.unknown_ids += 1,
        }
    }

    /// Returns an error if a table exceeds its limit.
    pub(crate) fn check_limits(&self) -> Result<(), Error> {
        let Limits { imports, exports, .. } = self.limits;
        if self.imported > imports {
            return Err(Error::over(LimitKind::Imports, format!("more than {imports} references lent")));
        }
        // The index may be among the exports.
        let exported = self.exports.len() + self.untabled_calls;
        if self.peer.releases && exported > exports && self.exported() + self.untabled_calls > exports {
            return Err(Error::over(
                LimitKind::Exports,
                format!("more than {exports} references and running calls"),
            ));
        }
        Ok(())
    }

    /// Returns an error if there have been too many events of a kind by `now`.
    fn check_rates(&mut self, now: Duration) -> Result<(), Error> {
        let Rates { counts, charged, cancels, unknown_ids, .. } = &mut self.rates;
        // Cancels that followed from the end of a call since are included.
        if !(charged.cancels..counts.cancels).all(|_| cancels.count(now)) {
            let limit = self.limits.cancels_per_second;
            let message = format!("more than {limit} calls cancelled in a second");
            return Err(Error::over(LimitKind::CancelsPerSecond, message));
        }
        if !(charged.unknown_ids..counts.unknown_ids).all(|_| unknown_ids.count(now)) {
            let limit = self.limits.stray_ids_per_second;
            let message = format!("more than {limit} unknown ids in a second");
            return Err(Error::over(LimitKind::StrayIdsPerSecond, message));
        }
        *charged = *counts;
        Ok(())
    }

    /// Resolves the references of a call of the peer, and numbers it. It is running from now on, and so are the results of
    /// other running calls that it uses.
    fn start(
        &mut self,
        return_mode: ReturnMode,
        mut expression: Expression<Id, CapDescriptor>,
        context: Option<Box<CarriedContext>>,
    ) -> Result<Option<Event>, Error> {
        let mut found = Findings::NONE;
        let value = match &mut expression {
            Expression::Call { target, args, .. } => {
                self.check_export(*target, &mut found);
                args.as_mut()
            }
            Expression::Value(value) => Some(value),
        };
        if let Some(value) = value.filter(|value| !value.refs.is_empty()) {
            self.resolve(value, &mut found)?;
        }
        let streamed = matches!(return_mode, ReturnMode::Streamed);
        let answer = self.number(streamed);
        if !streamed {
            self.exports
                .insert(answer, ExportEntry { count: 1, what: ExportTarget::Answer { pulled: false } });
        }
        for used in &found.uses {
            if let Some(running) = self.running.get_mut(used) {
                running.dependents += 1;
            }
        }
        self.running.insert(answer, RunningCall::new(streamed, found.uses));
        if found.wrong.is_some() {
            // The target may not be there, and the path leads nowhere.
            expression = Expression::Value(match expression {
                Expression::Call { args, .. } => args.unwrap_or_else(|| Payload::plain(Text::Static(""))),
                Expression::Value(value) => value,
            });
        }
        Ok(Some(Event::Call { answer, expression, return_mode, refusal: found.wrong, context }))
    }

    /// Returns the number of a call of the peer that has come.
    fn number(&mut self, streamed: bool) -> Id {
        self.last_answer += 1;
        self.untabled_calls += usize::from(streamed);
        self.last_answer
    }

    /// Returns `true` if this side lends the peer a reference under `id`.
    fn check_export(&mut self, id: Id, found: &mut Findings) -> bool {
        if !self.exports.contains_key(&id) {
            found.miss(|| format!("no such entry on exports table: {id}"));
            return false;
        }
        if self.running.contains_key(&id) {
            found.uses.push(id);
        }
        true
    }

    /// Removes the uses of a call that has ended. Returns the calls that only it wanted.
    pub(super) fn unlink(&mut self, uses: Vec<Id>) -> Vec<Id> {
        for used in &uses {
            if let Some(running) = self.running.get_mut(used) {
                running.dependents -= 1;
            }
        }
        self.cancel_unwanted(uses)
    }

    /// Cancels those of the `doubtful` calls whose answer was asked for, was released, and is used by no other wanted
    /// call; then those that were wanted only by them. Returns the cancelled calls in this order.
    fn cancel_unwanted(&mut self, mut doubtful: Vec<Id>) -> Vec<Id> {
        let unwanted = |call: &RunningCall| call.pulled && call.released && call.dependents == 0;
        let mut answers = Vec::new();
        while let Some(answer) = doubtful.pop() {
            if !self.running.get(&answer).is_some_and(unwanted) {
                continue;
            }
            let Some(cancelled) = self.remove_running(answer) else { continue };
            self.rates.counts.cancels += 1;
            answers.push(answer);
            for used in cancelled.uses {
                if let Some(running) = self.running.get_mut(&used) {
                    running.dependents -= 1;
                    doubtful.push(used);
                }
            }
        }
        answers
    }

    pub(super) fn remove_running(&mut self, answer: Id) -> Option<RunningCall> {
        let running = self.running.remove(&answer)?;
        self.untabled_calls -= usize::from(running.streamed || running.released);
        self.writes -= usize::from(running.write);
        Some(running)
    }

    /// Notes that the peer has released a running call. Returns the calls that are cancelled because of it.
    fn release(&mut self, answer: Id) -> Option<Event> {
        let running = self.running.get_mut(&answer)?;
        self.untabled_calls += usize::from(!running.streamed && !running.released);
        running.released = true;
        let answers = self.cancel_unwanted(vec![answer]);
        (!answers.is_empty()).then_some(Event::Cancel { answers })
    }

    /// Counts the references in a value that the peer lends with it, and checks those to exports. References beside a
    /// missing value are counted as well, since all of them have to be released.
    fn resolve(&mut self, value: &mut Payload<CapDescriptor>, found: &mut Findings) -> Result<(), Error> {
        value.refs.iter_mut().try_for_each(|slot| self.resolve_descriptor(&mut slot.to, found))
    }

    fn resolve_descriptor(
        &mut self,
        descriptor: &mut CapDescriptor,
        found: &mut Findings,
    ) -> Result<(), Error> {
        match descriptor {
            CapDescriptor::SenderHosted(id)
            | CapDescriptor::SenderFunction(id)
            | CapDescriptor::SenderWritable(id) => self.import(*id),
            CapDescriptor::ReceiverReadable(id) => {
                match self.exports.get_mut(id).map(|export| &mut export.what) {
                    Some(ExportTarget::Pipe { read: read @ false }) => *read = true,
                    _ => {
                        found.miss(|| format!("no pipe to read from: {id}"));
                        *descriptor = CapDescriptor::Unsupported { form: "missing", with: Vec::new() };
                    }
                }
                Ok(())
            }
            CapDescriptor::Node(_) | CapDescriptor::Bytes(_) => Ok(()),
            CapDescriptor::SenderPromise(id) => {
                let id = *id;
                if id >= 0 || self.imports.contains_key(&id) {
                    return protocol(format!("a promise under an id already used: {id}"));
                }
                self.note_import_id(id);
                self.imports.insert(id, ImportEntry { count: 1, handles: 0, state: ImportState::Promise });
                self.imported += 1;
                Ok(())
            }
            CapDescriptor::ReceiverHosted(ReceiverRef { id, args, .. }) => {
                let is_there = self.check_export(*id, found);
                if let Some(args) = args {
                    self.resolve(args, found)?;
                }
                if !is_there {
                    let with = args.take().into_iter().flat_map(|args| args.refs).map(|slot| slot.to);
                    *descriptor = CapDescriptor::Unsupported { form: "missing", with: with.collect() };
                }
                Ok(())
            }
            CapDescriptor::Map(map) => {
                let is_there = self.check_export(map.id, found);
                if let Err(why) = &map.program {
                    found.miss(|| why.clone());
                }
                let captures = &mut map.captures;
                captures.iter_mut().try_for_each(|capture| self.resolve_descriptor(capture, found))?;
                if !is_there || map.program.is_err() {
                    let with = std::mem::take(captures);
                    *descriptor = CapDescriptor::Unsupported { form: "missing", with };
                }
                Ok(())
            }
            CapDescriptor::Unsupported { form, with } => {
                found.miss(|| unsupported(form));
                with.iter_mut().try_for_each(|descriptor| self.resolve_descriptor(descriptor, found))
            }
        }
    }

    /// Imports a reference that the peer lends, perhaps again.
    pub(crate) fn import(&mut self, id: Id) -> Result<(), Error> {
        if id >= 0 {
            return protocol(format!("an export under an id that is not the sender's: {id}"));
        }
        self.note_import_id(id);
        if !self.imports.contains_key(&id) {
            self.imported += 1;
            self.imports.insert(id, ImportEntry { count: 0, handles: 0, state: ImportState::Object });
        }
        let Some(import) = self.imports.get_mut(&id) else { return Ok(()) };
        if import.state != ImportState::Object {
            return protocol(format!("an export under the id of a promise: {id}"));
        }
        import.count += 1;
        Ok(())
    }

    /// Checks the id of a lent reference. New ids go down by one.
    fn note_import_id(&mut self, id: Id) {
        if self.imports.contains_key(&id) {
            return;
        }
        if Some(id) != self.last_imported.checked_sub(1) {
            self.count_unknown_id();
        }
        self.last_imported = self.last_imported.min(id);
    }

    pub(crate) fn remove_import(&mut self, id: Id) {
        let Some(import) = self.imports.remove(&id) else { return };
        self.imported -= usize::from(id < 0);
        self.unanswered -= usize::from(matches!(import.state, ImportState::Awaited { .. }));
    }

    fn handle_hello(&mut self) {
        // A late hello is only a release of no references.
        if self.hello_due {
            self.extended = true;
            self.replies |= !self.hello_sent;
            self.hello_sent = true;
        }
    }

    fn handle_pull(&mut self, id: Id) -> Option<Event> {
        let Some(export) = self.exports.get_mut(&id) else {
            // A call whose answer comes by itself is answered once.
            let streamed = self.running.get(&id).is_some_and(|running| running.streamed);
            return (!streamed).then_some(Event::PullObject { export: id });
        };
        match (&mut export.what, self.running.get_mut(&id)) {
            (ExportTarget::Answer { .. }, Some(running)) => running.pulled = true,
            (ExportTarget::Answer { pulled: pulled @ false }, None) => {
                *pulled = true;
                return Some(Event::Pull { answer: id });
            }
            // Further pulls get no answer.
            (ExportTarget::Answer { pulled: true }, None) => {}
            (ExportTarget::Index | ExportTarget::Object(_) | ExportTarget::Pipe { .. }, _) => {
                return Some(Event::PullObject { export: id });
            }
        }
        None
    }

    fn handle_answer(
        &mut self,
        id: Id,
        mut outcome: Result<Payload<CapDescriptor>, Payload<CapDescriptor>>,
        reply: &mut Option<Message>,
    ) -> Result<Option<Event>, Error> {
        self.hello_due &= self.extended;
        let mut found = Findings::NONE;
        let (Ok(value) | Err(value)) = &mut outcome;
        let is_plain = value.refs.is_empty();
        if !is_plain {
            self.resolve(value, &mut found)?;
        }
        let is_over = match self.take_awaited(id) {
            Some(pulled) => pulled,
            None if self.imports.get(&id).is_some_and(|import| import.state == ImportState::Promise) => {
                self.remove_import(id);
                true
            }
            // The answer was not asked for.
            None => {
                self.count_unknown_id();
                false
            }
        };
        *reply = match is_over {
            true if is_plain => self.release_result(id),
            true => Some(Message::Release { id, count: 1 }),
            false => None,
        };
        Ok(Some(match (outcome, found.wrong) {
            (Ok(value), Some(why)) => Event::Undecodable { import: id, value, why },
            // A missing value is left out of an error.
            (outcome, _) => Event::Answered { import: id, outcome },
        }))
    }

    fn handle_release(&mut self, id: Id, count: u64) -> Result<Option<Event>, Error> {
        let streamed = self.running.get(&id).is_some_and(|running| running.streamed);
        let held = match self.exports.get(&id) {
            Some(export) => export.count,
            None if count == 0 => return Ok(None),
            None if streamed && self.extended => 1,
            // The answer of a streamed call and the release that cancels it may have crossed.
            None if self.extended && (1..=self.last_answer).contains(&id) => return Ok(None),
            None => return protocol(format!("no such export ID: {id}")),
        };
        let count = if count == ALL { held } else { count };
        if count > held {
            return protocol(format!("refcount would go negative: {held} < {count}"));
        }
        Ok(if streamed { self.release(id) } else { self.unlend(id, count) })
    }

    /// Forgets an export without telling the peer.
    pub(crate) fn forget(&mut self, id: Id) -> Option<Event> {
        self.unlend(id, ALL)
    }

    /// Subtracts `count` from the references that the peer holds.
    fn unlend(&mut self, id: Id, count: u64) -> Option<Event> {
        let export = self.exports.get_mut(&id)?;
        export.count = export.count.saturating_sub(count);
        if export.count > 0 {
            return None;
        }
        match self.exports.remove(&id)?.what {
            ExportTarget::Index => None,
            ExportTarget::Object(object) => {
                if self.ids.get(&object) == Some(&id) {
                    self.ids.remove(&object);
                }
                Some(Event::ExportReleased { export: id })
            }
            ExportTarget::Answer { .. } if self.running.contains_key(&id) => self.release(id),
            ExportTarget::Answer { .. } | ExportTarget::Pipe { .. } => {
                Some(Event::AnswerReleased { answer: id })
            }
        }
    }
}
