//! The state of a connection under its lock: its session, and the objects and callers behind the session's ids.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::task::Waker;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};
use std::time::Duration;

use futures_channel::oneshot;

use super::call::Call;
use super::clock::Clock;
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
use crate::cap::staged::{Delivered, Kept};
use crate::cap::{Cap, Shape};
use crate::dialect::{Codec, Names as _, Refused};
use crate::error::{Error, Fate};
use crate::few::Few;
use crate::limits::LimitKind;
use crate::op::{Answering, Id, IdMap, Import as Use, Op, Path, Payload, Word};
use crate::outgoing::Outgoing;
use crate::session::Session;

/// The state under the lock of a link.
pub(super) struct State {
    pub(super) session: Session,
    /// Bytes that a value in a message may take.
    pub(super) value_bytes: usize,
    pub(super) language: Codec,
    /// `true` if the next message must be one of the peer's language.
    pub(super) checks_first: bool,
    pub(super) named: Named,
    /// Calls that could not be written in the peer's language.
    pub(super) unsaid: Vec<Refused>,
    /// Messages to unknown ids.
    pub(super) lost: Vec<LostMessage>,
    /// Forgotten objects, to be dropped where no lock is held.
    pub(super) forgotten: Vec<Cap>,
    /// Promises for the index of a peer whose language is not known yet.
    pub(super) strangers: Vec<Arc<Queue>>,
    pub(super) index: Option<Cap>,
    pub(super) out: Outgoing,
    /// Receivers of the answers of this side's calls and of the outcomes of the peer's promises.
    pub(super) calls: IdMap<Caller>,
    pub(super) imports: IdMap<Weak<Import>>,
    pub(super) objects: IdMap<Cap>,
    /// Calls of the peer whose results it may still use.
    pub(super) answers: IdMap<Answer>,
    pub(super) kept_bytes: usize,
    /// The number of `calls` that are calls of this side.
    pub(super) own_calls: usize,
    pub(super) running: IdMap<Arc<Running>>,
    /// Handlers that did not complete at once, to be driven.
    pub(super) tasks: Vec<Task>,
    /// Calls of the peer that wait for others to end, by their numbers, which is the order in which they came.
    pub(super) parked: BTreeMap<Id, Call>,
    pub(super) parked_bytes: usize,
    /// Bytes of the peer's calls that have been started and have not ended.
    pub(super) call_bytes: usize,
    /// Bytes that the driver has taken and not written, as last reported.
    pub(super) writing: usize,
    /// Bytes of large buffers that are kept for the next output, here and at the driver.
    pub(super) spare: usize,
    pub(super) clock: Clock,
    /// Calls of this side that wait until less is unwritten.
    pub(super) waiting: Waiting,
    pub(super) watchers: Watchers,
    /// Wakers of the tasks that wait for the last of the peer's calls to end, for the end of the driver, or until it is
    /// decided which index this side offers.
    pub(super) quiet: Vec<Waker>,
    /// `true` once the driver has gone.
    #[cfg(feature = "tokio")]
    pub(super) gone: bool,
    /// Callers that wait until sent messages are written.
    #[cfg(feature = "tokio")]
    pub(super) flushes: super::flushes::Flushes,
    pub(super) closed: Option<Error>,
    /// The reason of an end that is not ordinary, for the peer.
    pub(super) reason: Option<String>,
}

/// The receiver of an answer.
pub(super) enum Caller {
    Waits {
        caller: oneshot::Sender<Delivered>,
        progress: Option<Progress>,
        /// The time from which `call_timeout` counts, unless the call has a timeout of its own.
        since: Option<Duration>,
    },
    /// A promise of the peer.
    Promise(oneshot::Sender<Kept>),
    /// A promise for the peer's index, in a language in which a call asks for it.
    Index(Arc<Queue>),
}

impl Caller {
    /// Fails the receiver: its answer does not come.
    pub(super) fn fail(self, error: Error) {
        match self {
            Caller::Waits { caller, .. } => {
                // A dropped caller needs no error.
                let _gone = caller.send(Err(error));
            }
            Caller::Promise(promised) => {
                let _gone = promised.send(Kept::failed(error));
            }
            Caller::Index(queue) => queue.resolve(Cap::broken(error)),
        }
    }
}

/// The result of a call of the peer, kept while the peer may still use it.
#[derive(Default)]
pub(super) struct Answer {
    /// Created when the result is used before it is available.
    pub(super) queue: Option<Arc<Queue>>,
    pub(super) outcome: Option<Result<Body, Error>>,
    /// The outcome as a target of calls and reads, created at the first of them.
    pub(super) cap: Option<Cap>,
    pub(super) bytes: usize,
}

impl State {
    /// Returns `false`: without a driver no caller waits until something is written.
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

    /// Removes and returns the receiver of an answer.
    pub(super) fn take_caller(&mut self, id: Id) -> Option<Caller> {
        let caller = self.calls.remove(&id);
        self.own_calls -= usize::from(caller.is_some() && id > 0);
        caller
    }

    /// Removes and returns a running call of the peer.
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
            // The references in a call that was not written have not been lent.
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

    /// Forgets the least recently used exports beyond `limit`, for a peer that never releases them.
    pub(super) fn forget_oldest(&mut self, limit: usize) {
        while let Some(oldest) = self.named.oldest_beyond(limit) {
            let unnamed = self.named.remove(oldest);
            self.forgotten.extend(unnamed);
            // The peer may have released it by the current message.
            if !self.session.is_kept(oldest) {
                continue;
            }
            self.session.forget(oldest);
        }
    }

    /// Returns the error and the caller of a call that could not be written in the peer's language.
    pub(super) fn take_unsaid(&mut self, call: Id) -> Option<(Error, Option<Caller>)> {
        let at = self.unsaid.iter().position(|unsaid| unsaid.call == call)?;
        let Refused { call, error } = self.unsaid.swap_remove(at);
        self.session.unsay(call);
        Some((error.with_fate(Fate::NotSent), self.take_caller(call)))
    }

    /// Returns the peer's index.
    pub(super) fn peer_index(&mut self, link: &Arc<impl ImportHook + 'static>) -> Cap {
        match link.capabilities() {
            Some(peer) if !peer.asks_index => self.import(link, 0, false).into(),
            Some(_) => {
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

    /// Keeps the outcome of a call whose result the peer may still use, if there is room for it. Returns the outcome to
    /// answer with, and a rest to be dropped elsewhere.
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

    /// Removes the result of a call, which the peer can no longer use. The caller drops the returned value elsewhere.
    pub(super) fn forget(&mut self, answer: Id) -> Option<Answer> {
        let forgotten = self.answers.remove(&answer);
        self.kept_bytes -= forgotten.as_ref().map_or(0, |answer| answer.bytes);
        forgotten
    }

    /// Returns the existing handle of an import, or a new one.
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

    /// Returns the word for a reference in a message to this peer. An import of this link is sent home; anything else
    /// is lent.
    pub(super) fn word(&mut self, link: &Arc<impl ImportHook + 'static>, lent: Lent) -> Word {
        let cap = match lent {
            Lent::Cap(cap) => cap.nearest(),
            Lent::Node(node) => return Word::Node(node),
        };
        if link.capabilities().is_some_and(|peer| !peer.returns_imports) {
            return self.lend(cap);
        }
        // An import without an id yet is lent like any other reference, and passes its calls on.
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
        if self.session.peer().names_exports {
            // The export has a name from now on, so it can be forgotten even if the message is never written.
            let Self { named, session, objects, .. } = self;
            let _name = Naming { named, session, objects }.name(id);
        }
        if function { Word::Function(id) } else { Word::Export(id) }
    }

    /// Answers a call of the peer. Returns the rest of the outcome, to be dropped where no lock is held.
    #[must_use]
    pub(super) fn send_answer(
        &mut self,
        link: &Arc<impl ImportHook + 'static>,
        answer: Id,
        outcome: Result<Body, Error>,
    ) -> Option<Box<Body>> {
        let (outcome, left) = match outcome {
            Ok(body) => wording(body, link.capabilities(), link.frame_bytes()),
            Err(error) => (Err(error), None),
        };
        let outcome = match outcome {
            // npm's `capnweb` fails when it awaits a call whose whole result is a reference of its own, so it gets a
            // reference to this side that passes everything on.
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
