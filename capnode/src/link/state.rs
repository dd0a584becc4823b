//! What a connection has under its lock: its session, and what the session's ids stand for.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::task::Waker;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};
use std::time::Duration;

use futures_channel::oneshot;

use super::call::Call;
use super::clock::Clock;
use super::language::Language;
use super::lost::LostMessage;
use super::named::{Named, Naming};
use super::task::{Running, Task};
use super::waiting::Waiting;
use super::wording::{error_text, wording};
use crate::cap::broken::Watchers;
use crate::cap::import::{Import, ImportHook};
use crate::cap::payload::{Body, Lent, held_len};
use crate::cap::progress::Progress;
use crate::cap::queue::Queue;
use crate::cap::staged::{Arrived, Kept};
use crate::cap::{Cap, Shape};
use crate::dialect::{Dialect, Names as _, Refused};
use crate::error::{Error, Fate};
use crate::few::Few;
use crate::limits::LimitKind;
use crate::op::{Answering, Id, IdMap, Import as Use, Op, Path, Payload, Word};
use crate::outgoing::Outgoing;
use crate::session::Session;

/// All that is under the lock of a link.
pub(super) struct State {
    pub(super) session: Session,
    /// How long a value in a message may be.
    pub(super) value_bytes: usize,
    pub(super) language: Language,
    /// `true` if the next message has to be one of the peer's language.
    pub(super) checks_first: bool,
    pub(super) named: Named,
    /// Calls that could not be said in the peer's language.
    pub(super) unsaid: Vec<Refused>,
    /// Messages to what is not known.
    pub(super) lost: Vec<LostMessage>,
    /// What was forgotten, to be dropped where no lock is held.
    pub(super) forgotten: Vec<Cap>,
    /// Who wants the index of a peer whose language is not known yet.
    pub(super) strangers: Vec<Arc<Queue>>,
    pub(super) index: Option<Cap>,
    pub(super) out: Outgoing,
    /// Who waits for the answers of our calls and the outcomes of the peer's promises.
    pub(super) calls: IdMap<Caller>,
    pub(super) imports: IdMap<Weak<Import>>,
    pub(super) objects: IdMap<Cap>,
    /// The peer's calls whose results it may still use.
    pub(super) answers: IdMap<Answer>,
    pub(super) kept_bytes: usize,
    /// How many of `calls` are calls of ours.
    pub(super) own_calls: usize,
    pub(super) running: IdMap<Arc<Running>>,
    /// Handlers that did not end at once, to be driven.
    pub(super) tasks: Vec<Task>,
    /// Calls of the peer's that wait for others to end.
    /// By their numbers, which is the order in which they came.
    pub(super) parked: BTreeMap<Id, Call>,
    pub(super) parked_bytes: usize,
    /// Bytes of those that have been started and not ended.
    pub(super) call_bytes: usize,
    /// Bytes that the driver has taken and not written, as far as it has said.
    pub(super) writing: usize,
    /// Bytes of large buffers that are kept for the next output, here and at the driver.
    pub(super) spare: usize,
    pub(super) clock: Clock,
    /// Calls of ours that wait until less is unwritten.
    pub(super) waiting: Waiting,
    pub(super) watchers: Watchers,
    /// Who waits for the last of the peer's calls to end, for the end of the driver, and until it is decided what the peer
    /// is offered.
    pub(super) quiet: Vec<Waker>,
    /// Whether nothing moves the connection any more.
    #[cfg(feature = "tokio")]
    pub(super) gone: bool,
    /// Who waits until what was sent is written.
    #[cfg(feature = "tokio")]
    pub(super) flushes: super::flushes::Flushes,
    pub(super) closed: Option<Error>,
    /// What to tell the peer about it, if it is not an ordinary end.
    pub(super) reason: Option<String>,
}

/// Who waits for an answer.
pub(super) enum Caller {
    Waits {
        caller: oneshot::Sender<Arrived>,
        progress: Option<Progress>,
        /// From when on its time counts, if it has not more of it.
        since: Option<Duration>,
    },
    /// A promise of the peer's.
    Promise(oneshot::Sender<Kept>),
    /// A promise for the peer's index, in a language that has to be asked for it.
    Index(Arc<Queue>),
}

impl Caller {
    /// What it waits for does not come.
    pub(super) fn fail(self, error: Error) {
        match self {
            Caller::Waits { caller, .. } => {
                // A caller that has gone needs no cause.
                let _gone = caller.send(Err(error));
            }
            Caller::Promise(promised) => {
                let _gone = promised.send(Kept::failed(error));
            }
            Caller::Index(queue) => queue.resolve(Cap::broken(error)),
        }
    }
}

/// The result of a call of the peer's, kept for what the peer may still do with it.
#[derive(Default)]
pub(super) struct Answer {
    /// Made when the result is used before it is there.
    pub(super) queue: Option<Arc<Queue>>,
    pub(super) outcome: Option<Result<Body, Error>>,
    /// The outcome as something to be called or looked into, made when the peer does so.
    pub(super) cap: Option<Cap>,
    pub(super) bytes: usize,
}

impl State {
    /// Without a driver nobody waits until something is written.
    #[cfg(not(feature = "tokio"))]
    pub(super) fn take_flushes(&mut self) -> bool {
        false
    }

    #[cfg(feature = "tokio")]
    pub(super) fn wait_quietly(&mut self, cx: &Context<'_>) -> Poll<()> {
        if !self.quiet.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.quiet.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Who waits for an answer, and does so no longer.
    pub(super) fn take_caller(&mut self, id: Id) -> Option<Caller> {
        let caller = self.calls.remove(&id);
        self.own_calls -= usize::from(caller.is_some() && id > 0);
        caller
    }

    /// A call of the peer's that runs no longer.
    pub(super) fn take_running(&mut self, answer: Id) -> Option<Arc<Running>> {
        let running = self.running.remove(&answer);
        self.call_bytes -= running.as_ref().map_or(0, |running| running.bytes());
        running
    }

    pub(super) fn write_ops(&mut self) {
        if self.language.is_unknown() {
            return;
        }
        let Self { session, language, named, objects, out, unsaid, forgotten, value_bytes, .. } = self;
        while let Some(op) = session.poll_op() {
            let names = &mut Naming { named: &mut *named, session: &mut *session, objects: &mut *objects };
            let before = unsaid.len();
            out.push(|out| unsaid.extend(language.write(&op, names, out, *value_bytes).err()));
            // What is in a call that was not written has not been lent.
            let lent = match &op {
                Op::Call { args: Some(value), .. } | Op::Evaluate { value, .. } if unsaid.len() > before => {
                    &*value.refs
                }
                _ => &[],
            };
            for slot in lent {
                if let Word::Export(id) | Word::Function(id) = slot.to {
                    if session.take_back(id) {
                        forgotten.extend(named.remove(id));
                        forgotten.extend(objects.remove(&id));
                    }
                }
            }
        }
        while let Some(reply) = language.take_reply() {
            out.push(|out| out.push_str(&reply));
        }
    }

    /// Forgets what was not used for the longest time of what is lent to a peer that never gives it back.
    pub(super) fn forget_oldest(&mut self, limit: usize) {
        while let Some(oldest) = self.named.oldest_beyond(limit) {
            let unnamed = self.named.remove(oldest);
            self.forgotten.extend(unnamed);
            // The peer may have given it back by the very message that is being taken in.
            if !self.session.is_kept(oldest) {
                continue;
            }
            self.session.forget(oldest);
        }
    }

    /// Why a call could not be said in the peer's language, if that is so, and who made it.
    pub(super) fn take_unsaid(&mut self, call: Id) -> Option<(Error, Option<Caller>)> {
        let at = self.unsaid.iter().position(|unsaid| unsaid.call == call)?;
        let Refused { call, error } = self.unsaid.swap_remove(at);
        self.session.unsay(call);
        Some((error.with_fate(Fate::NotSent), self.take_caller(call)))
    }

    /// What the peer offers.
    pub(super) fn peer_index(&mut self, link: &Arc<impl ImportHook + 'static>) -> Cap {
        match link.dialect() {
            Some(Dialect::CapnWeb | Dialect::Q) => self.import(link, 0, false).into(),
            // It has no name of its own there, and is asked for.
            Some(Dialect::Capnode) => {
                let queue = Queue::new();
                let id = self.session.call(0, Path::Empty, None, Answering::Sent);
                self.calls.insert(id, Caller::Index(queue.clone()));
                self.own_calls += 1;
                self.write_ops();
                queue.into()
            }
            None => {
                let queue = Queue::new();
                self.strangers.push(queue.clone());
                queue.into()
            }
        }
    }

    /// Keeps the outcome of a call whose result the peer may still use, if there is room for it. What to answer,
    /// and what is to be dropped elsewhere.
    pub(super) fn keep(
        &mut self,
        answer: Id,
        outcome: Result<Body, Error>,
        limit: usize,
    ) -> (Result<Body, Error>, Option<Answer>) {
        let Some(kept) = self.answers.get_mut(&answer) else { return (outcome, None) };
        let outcome = outcome.map(Payload::compact);
        let bytes = match &outcome {
            Ok(body) => held_len(body),
            Err(error) => error.held_len(),
        };
        if self.kept_bytes + bytes > limit {
            let message = format!("more than {limit} bytes of results were not given back");
            let error = Error::over(LimitKind::KeptBytes, message);
            kept.outcome = Some(Err(error.clone()));
            return (Err(error), Some(Answer { outcome: Some(outcome), ..Answer::default() }));
        }
        kept.bytes = bytes;
        self.kept_bytes += bytes;
        let outcome =
            outcome.map(|body| Payload { text: body.text.share(), refs: body.refs, nodes: Few::NONE });
        (kept.outcome.insert(outcome).clone(), None)
    }

    /// The peer can use the result of a call no longer. What is returned is to be dropped elsewhere.
    pub(super) fn forget(&mut self, answer: Id) -> Option<Answer> {
        let forgotten = self.answers.remove(&answer);
        self.kept_bytes -= forgotten.as_ref().map_or(0, |answer| answer.bytes);
        forgotten
    }

    /// The handle of an import, the one there is or a new one.
    pub(super) fn import(
        &mut self,
        link: &Arc<impl ImportHook + 'static>,
        id: Id,
        function: bool,
    ) -> Arc<Import> {
        if let Some(import) = self.imports.get(&id).and_then(Weak::upgrade) {
            return import;
        }
        let import = Import::new(link.clone(), id, function);
        self.session.hold(id);
        self.imports.insert(id, Arc::downgrade(&import));
        import
    }

    /// How to say a reference to this peer. What it lent us goes home; anything else is lent to
    /// it.
    pub(super) fn word(&mut self, link: &Arc<impl ImportHook + 'static>, lent: Lent) -> Word {
        let cap = match lent {
            Lent::Cap(cap) => cap.nearest(),
            Lent::Node(node) => return Word::Node(node),
        };
        if link.dialect().is_some_and(|dialect| !dialect.sends_home()) {
            return self.lend(cap);
        }
        // What has no id yet is lent like anything else, and passes on what is asked of it.
        let is_ours = |import: &Arc<Import>| import.is_of(link) && import.is_sent();
        if let Some(import) = cap.import() {
            if is_ours(import) {
                return Word::Import(Use { id: import.id(), path: Path::Empty, args: None, awaited: false });
            }
        }
        if let Some(at) = cap.inside() {
            let (base, path) = at.parts();
            if let Some(import) = base.nearest().import().filter(|import| is_ours(import)) {
                return Word::Import(Use { id: import.id(), path: path.clone(), args: None, awaited: false });
            }
        }
        self.lend(cap)
    }

    pub(super) fn lend(&mut self, cap: Cap) -> Word {
        let id = self.session.export(cap.object_id());
        let function = matches!(cap.shape(), Shape::Function);
        self.objects.insert(id, cap);
        if matches!(self.language, Language::Capnode(_) | Language::Q(_)) {
            // It is known from now on, and so can be forgotten, also if the message is never written.
            let Self { named, session, objects, .. } = self;
            let _name = Naming { named, session, objects }.name(id);
        }
        if function { Word::Function(id) } else { Word::Export(id) }
    }

    /// Answers a call of the peer's. What is returned is left of the outcome, and to be dropped where no lock is held.
    #[must_use]
    pub(super) fn send_answer(
        &mut self,
        link: &Arc<impl ImportHook + 'static>,
        answer: Id,
        outcome: Result<Body, Error>,
    ) -> Option<Box<Body>> {
        let (outcome, left) = match outcome {
            Ok(body) => wording(body, link.dialect(), link.frame_bytes()),
            Err(error) => (Err(error), None),
        };
        let outcome = match outcome {
            // npm's `capnweb` fails when it awaits a call whose whole result is a reference of its
            // own, so it gets a reference to us that passes everything on.
            Ok(value) if value.root().is_some() && !self.session.is_marked() => {
                Ok(value.map(|lent| match lent {
                    Lent::Cap(cap) => self.lend(cap.nearest()),
                    Lent::Node(node) => Word::Node(node),
                }))
            }
            Ok(value) => Ok(value.map(|lent| self.word(link, lent))),
            Err(error) => Err(Payload::plain(error_text(&error, link.frame_bytes()))),
        };
        if let Ok(value) = &outcome {
            let exports = value.refs.iter().filter_map(|slot| match slot.to {
                Word::Export(id) | Word::Function(id) => Some(id),
                _ => None,
            });
            self.named.answers(answer, exports);
        }
        self.session.answer(answer, outcome);
        self.write_ops();
        left
    }
}
