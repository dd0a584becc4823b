//! Effects of the peer's messages on the tables.

use std::time::Duration;

use super::{Event, Export, Exported, Import, ImportState, Rates, Ref, Running, Session};
use crate::error::{Error, ErrorKind};
use crate::few::Few;
use crate::limits::{LimitKind, Limits};
use crate::op::{Answering, Id, Import as Use, Op, Payload, Slot, Text, Word};

/// Stands for all references, in the release of a language that does not count them.
const ALL: u64 = u64::MAX;

type Outcome<R> = Result<Payload<R>, Payload<R>>;

/// Findings about a message while its words are resolved.
#[derive(Default)]
struct Findings {
    /// The running calls whose results the message uses.
    uses: Vec<Id>,
    /// The reason why the message fails: the first missing or unsupported value in it.
    wrong: Option<String>,
}

impl Findings {
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
    /// Counts a frame that has come at `now`. All times here are counted from the beginning of the session.
    pub(crate) fn count_frame(&mut self, now: Duration) -> Result<(), Error> {
        self.rates.counts.frames += 1;
        if self.rates.frames.as_mut().is_none_or(|frames| frames.count(now)) {
            return Ok(());
        }
        let limit = self.limits.frames_per_second.unwrap_or_default();
        Err(Error::over(LimitKind::FramesPerSecond, format!("more than {limit} frames in a second")))
    }

    /// Takes in a message at time zero.
    #[cfg(test)]
    pub(crate) fn handle(&mut self, op: Op) -> Result<(), Error> {
        self.receive(op, Duration::ZERO)
    }

    /// Takes in a message that has come at `now`. An error means that the peer broke the protocol or a limit, and that
    /// the session cannot go on.
    pub(crate) fn receive(&mut self, op: Op, now: Duration) -> Result<(), Error> {
        self.take_in(op)?;
        // An accepting side gets a mark first, and answers it at once.
        self.mark_due &= self.mark_sent;
        let Rates { counts, rated, cancels, strays, .. } = &mut self.rates;
        // Cancels that followed from the end of a call since are included.
        for _ in rated.cancels..counts.cancels {
            if !cancels.count(now) {
                let limit = self.limits.cancels_per_second;
                let message = format!("more than {limit} calls given up in a second");
                return Err(Error::over(LimitKind::CancelsPerSecond, message));
            }
        }
        for _ in rated.strays..counts.strays {
            if !strays.count(now) {
                let limit = self.limits.stray_ids_per_second;
                let message = format!("more than {limit} ids in a second that are not where they should be");
                return Err(Error::over(LimitKind::StrayIdsPerSecond, message));
            }
        }
        *rated = *counts;
        self.check_limits()
    }

    /// Counts a message about an id that is gone, or not there yet.
    fn stray(&mut self) {
        match self.rates.crossing.checked_sub(1) {
            Some(left) => self.rates.crossing = left,
            None => self.rates.counts.strays += 1,
        }
    }

    fn take_in(&mut self, op: Op) -> Result<(), Error> {
        match op {
            Op::Call { target, path, args, answering, .. } => {
                let mut found = Findings::default();
                self.check_export(target, &mut found);
                let args = args.map(|args| self.understand(args, &mut found)).transpose()?;
                let answer = self.start(answering, found.uses);
                self.events.push_back(match found.wrong {
                    None => Event::Call { answer, target, path, args },
                    Some(why) => {
                        let value = args.unwrap_or_else(|| Payload::plain(Text::Static("")));
                        Event::Refused { answer, value, why }
                    }
                });
            }
            Op::Evaluate { value, answering, .. } => {
                let mut found = Findings::default();
                let value = self.understand(value, &mut found)?;
                let answer = self.start(answering, found.uses);
                self.events.push_back(match found.wrong {
                    None => Event::Evaluate { answer, value },
                    Some(why) => Event::Refused { answer, value, why },
                });
            }
            Op::Pipe { .. } => {
                let answer = self.start(Answering::Kept, Vec::new());
                let value = Payload::plain(Text::Static(""));
                self.events.push_back(Event::Refused { answer, value, why: unsupported("streams") });
            }
            Op::Progress { id, value } => {
                let value = self.understand(value, &mut Findings::default())?;
                self.events.push_back(Event::Progress { import: id, value });
            }
            Op::Abilities if self.marked => {}
            Op::Abilities => return protocol("unknown message: abilities".to_owned()),
            Op::Pull(id) => self.handle_pull(id),
            Op::Answer { id, outcome } => self.handle_answer(id, outcome)?,
            Op::Release { id, count } => self.handle_release(id, count)?,
            Op::Mark => self.handle_mark(),
            Op::Abort(reason) => {
                let reason = self.understand(reason, &mut Findings::default())?;
                self.events.push_back(Event::Aborted { reason });
            }
        }
        Ok(())
    }

    /// Returns an error if a table exceeds its limit.
    pub(crate) fn check_limits(&self) -> Result<(), Error> {
        let Limits { imports, exports, .. } = self.limits;
        if self.lent > imports {
            return Err(Error::over(LimitKind::Imports, format!("more than {imports} references lent")));
        }
        if self.peer.releases && self.lent_out() + self.loose > exports {
            return Err(Error::over(
                LimitKind::Exports,
                format!("more than {exports} references and running calls"),
            ));
        }
        Ok(())
    }

    /// Numbers a call of the peer, and notes that it uses the results of other running calls.
    fn start(&mut self, answering: Answering, uses: Vec<Id>) -> Id {
        let answer = self.next_answer();
        self.last_answer = answer;
        let streamed = answering == Answering::Sent;
        if !streamed {
            self.exports.insert(answer, Export { count: 1, what: Exported::Answer { asked: false } });
        }
        for used in &uses {
            if let Some(running) = self.running.get_mut(used) {
                running.dependents += 1;
            }
        }
        let running = Running { streamed, asked: streamed, given_back: false, dependents: 0, uses };
        self.loose += usize::from(running.is_loose());
        self.running.insert(answer, running);
        answer
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

    /// Removes the uses of a call that has ended.
    pub(super) fn unlink(&mut self, uses: Vec<Id>) {
        for used in &uses {
            if let Some(running) = self.running.get_mut(used) {
                running.dependents -= 1;
            }
        }
        self.cancel_unwanted(uses);
    }

    /// Cancels those of the `doubtful` calls whose answer was asked for, was released, and is used by no other wanted
    /// call; then those that were wanted only by them.
    fn cancel_unwanted(&mut self, mut doubtful: Vec<Id>) {
        let unwanted = |call: &Running| call.asked && call.given_back && call.dependents == 0;
        while let Some(answer) = doubtful.pop() {
            if !self.running.get(&answer).is_some_and(unwanted) {
                continue;
            }
            let Some(cancelled) = self.remove_running(answer) else { continue };
            self.rates.counts.cancels += 1;
            self.events.push_back(Event::Cancel { answer });
            for used in cancelled.uses {
                if let Some(running) = self.running.get_mut(&used) {
                    running.dependents -= 1;
                    doubtful.push(used);
                }
            }
        }
    }

    pub(super) fn remove_running(&mut self, answer: Id) -> Option<Running> {
        let running = self.running.remove(&answer)?;
        self.loose -= usize::from(running.is_loose());
        Some(running)
    }

    /// Notes that the peer has released a running call.
    fn give_back(&mut self, answer: Id) {
        let Some(running) = self.running.get_mut(&answer) else { return };
        self.loose += usize::from(!running.is_loose());
        running.given_back = true;
        self.cancel_unwanted(vec![answer]);
    }

    /// Resolves the words of a message to references, and counts those that it lends. References beside a missing value
    /// are counted as well, since all of them have to be released.
    fn understand(&mut self, value: Payload<Word>, found: &mut Findings) -> Result<Payload<Ref>, Error> {
        if value.refs.is_empty() {
            return Ok(Payload { text: value.text, refs: Few::NONE, nodes: value.nodes });
        }
        let mut refs = Vec::with_capacity(value.refs.len());
        for Slot { start, end, to } in value.refs {
            refs.push(Slot { start, end, to: self.understand_word(to, found)? });
        }
        Ok(Payload { text: value.text, refs: refs.into(), nodes: value.nodes })
    }

    fn understand_word(&mut self, word: Word, found: &mut Findings) -> Result<Ref, Error> {
        match word {
            Word::Export(id) => {
                self.import(id)?;
                Ok(Ref::Import(id))
            }
            Word::Function(id) => {
                self.import(id)?;
                Ok(Ref::Function(id))
            }
            Word::Node(node) => Ok(Ref::Node(node)),
            Word::Promise(id) => {
                if id >= 0 || self.imports.contains_key(&id) {
                    return protocol(format!("a promise under an id already used: {id}"));
                }
                self.see(id);
                self.imports.insert(id, Import { count: 1, handles: 0, state: ImportState::Promise });
                self.lent += 1;
                Ok(Ref::Promise(id))
            }
            Word::Import(Use { id, path, args, awaited }) => {
                let is_there = self.check_export(id, found);
                let args = args.map(|args| self.understand(*args, found)).transpose()?;
                if !is_there {
                    let with = args.into_iter().flat_map(|args| args.refs).map(|slot| slot.to);
                    return Ok(Ref::Missing(with.collect()));
                }
                if path.is_empty() && args.is_none() && !awaited {
                    return Ok(Ref::Export(id));
                }
                Ok(Ref::Use { id, path, args: args.map(Box::new), awaited })
            }
            Word::Unsupported { form, with } => {
                found.miss(|| unsupported(form));
                let with = with.into_iter().map(|word| self.understand_word(word, found));
                with.collect::<Result<_, _>>().map(Ref::Missing)
            }
        }
    }

    /// Imports a reference that the peer lends, perhaps again.
    pub(super) fn import(&mut self, id: Id) -> Result<(), Error> {
        if id >= 0 {
            return protocol(format!("an export under an id that is not the sender's: {id}"));
        }
        self.see(id);
        let lent = &mut self.lent;
        let import = self.imports.entry(id).or_insert_with(|| {
            *lent += 1;
            Import { count: 0, handles: 0, state: ImportState::Object }
        });
        if import.state != ImportState::Object {
            return protocol(format!("an export under the id of a promise: {id}"));
        }
        import.count += 1;
        Ok(())
    }

    /// Checks the id of a lent reference. New ids go down by one.
    fn see(&mut self, id: Id) {
        if self.imports.contains_key(&id) {
            return;
        }
        if Some(id) != self.last_lent.checked_sub(1) {
            self.stray();
        }
        self.last_lent = self.last_lent.min(id);
    }

    pub(super) fn remove_import(&mut self, id: Id) {
        let Some(import) = self.imports.remove(&id) else { return };
        self.lent -= usize::from(id < 0);
        self.unanswered -= usize::from(matches!(import.state, ImportState::Awaited { .. }));
    }

    fn handle_mark(&mut self) {
        if !self.mark_due {
            // A late mark is only a release of no references.
            return;
        }
        self.marked = true;
        if !self.mark_sent {
            self.mark_sent = true;
            self.ops.push_back(Op::Mark);
        }
    }

    fn handle_pull(&mut self, id: Id) {
        let Some(export) = self.exports.get_mut(&id) else {
            // A call whose answer comes by itself is answered once.
            if !self.running.get(&id).is_some_and(|running| running.streamed) {
                self.events.push_back(Event::PullObject { export: id });
            }
            return;
        };
        match (&mut export.what, self.running.get_mut(&id)) {
            (Exported::Answer { .. }, Some(running)) => running.asked = true,
            (Exported::Answer { asked: asked @ false }, None) => {
                *asked = true;
                self.events.push_back(Event::Pull { answer: id });
            }
            // Further pulls get no answer.
            (Exported::Answer { asked: true }, None) => {}
            (Exported::Index | Exported::Object(_), _) => {
                self.events.push_back(Event::PullObject { export: id })
            }
        }
    }

    fn handle_answer(&mut self, id: Id, outcome: Outcome<Word>) -> Result<(), Error> {
        self.mark_due &= self.marked;
        let mut found = Findings::default();
        let outcome = match outcome {
            Ok(value) => Ok(self.understand(value, &mut found)?),
            Err(error) => Err(self.understand(error, &mut found)?),
        };
        match self.imports.get_mut(&id).map(|import| &mut import.state) {
            Some(ImportState::Awaited { pulled: false, .. }) => self.remove_import(id),
            // The drop of its handle releases it.
            Some(state @ ImportState::Call { pulled: true }) => *state = ImportState::Object,
            Some(ImportState::Promise | ImportState::Awaited { pulled: true, .. }) => {
                self.remove_import(id);
                self.ops.push_back(Op::Release { id, count: 1 });
            }
            // The answer was not asked for.
            Some(ImportState::Call { pulled: false } | ImportState::Object) | None => self.stray(),
        }
        self.events.push_back(match (outcome, found.wrong) {
            (Ok(value), Some(why)) => Event::Unfit { import: id, value, why },
            // A missing value is left out of an error.
            (outcome, _) => Event::Answered { import: id, outcome },
        });
        Ok(())
    }

    fn handle_release(&mut self, id: Id, count: u64) -> Result<(), Error> {
        let streamed = self.running.get(&id).is_some_and(|running| running.streamed);
        let held = match self.exports.get(&id) {
            Some(export) => export.count,
            None if count == 0 => return Ok(()),
            None if streamed && self.marked => 1,
            // The answer of a streamed call and the release that cancels it may have crossed.
            None if self.marked && (1..=self.last_answer).contains(&id) => return Ok(()),
            None => return protocol(format!("no such export ID: {id}")),
        };
        let count = if count == ALL { held } else { count };
        if count > held {
            return protocol(format!("refcount would go negative: {held} < {count}"));
        }
        if streamed {
            self.give_back(id);
        } else {
            self.unlend(id, count);
        }
        Ok(())
    }

    /// Forgets an export without telling the peer.
    pub(crate) fn forget(&mut self, id: Id) {
        self.unlend(id, ALL);
    }

    /// Subtracts `count` from the references that the peer holds.
    pub(super) fn unlend(&mut self, id: Id, count: u64) {
        let Some(export) = self.exports.get_mut(&id) else { return };
        export.count = export.count.saturating_sub(count);
        if export.count > 0 {
            return;
        }
        match self.exports.remove(&id).map(|export| export.what) {
            None | Some(Exported::Index) => {}
            Some(Exported::Object(object)) => {
                if self.ids.get(&object) == Some(&id) {
                    self.ids.remove(&object);
                }
                self.events.push_back(Event::Dropped { export: id });
            }
            Some(Exported::Answer { .. }) if self.running.contains_key(&id) => self.give_back(id),
            Some(Exported::Answer { .. }) => self.events.push_back(Event::Forget { answer: id }),
        }
    }
}
