//! Two sessions in memory and the messages between them. Each rule of the protocol is a test of that name.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::{Event, ObjectId, OutboundCall, ReturnDisposition, Side};
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::message::{
    CapDescriptor, Expression, Extensions, Id, Message, Path, Payload, ReceiverRef, ReturnMode, Slot,
    UNNUMBERED,
};
use crate::thin_vec::ThinVec;

mod calls;
mod hello;
mod limits;
mod references;

/// A session with the messages that it has given out and that are to be written, and its events.
struct Session {
    inner: super::Session,
    messages: VecDeque<Message>,
    events: VecDeque<Event>,
}

impl Deref for Session {
    type Target = super::Session;

    fn deref(&self) -> &super::Session {
        &self.inner
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut super::Session {
        &mut self.inner
    }
}

impl Session {
    /// Creates a session in Cap'n Web.
    fn new(side: Side, limits: Limits) -> Self {
        let mut inner = super::Session::new(limits, Default::default());
        let hello = if side == Side::Connecting { inner.hello() } else { None };
        Self { inner, messages: hello.into_iter().collect(), events: VecDeque::new() }
    }

    fn send(&mut self, call: OutboundCall) -> Id {
        self.messages.push_back(call.message);
        self.messages.extend(call.pulled.then_some(Message::Pull(call.id)));
        call.id
    }

    fn call(
        &mut self,
        target: Id,
        path: Path,
        args: Option<Payload<CapDescriptor>>,
        return_mode: ReturnMode,
    ) -> Id {
        let call = self.inner.call(Expression::Call { target, path, args }, return_mode, false);
        self.send(call)
    }

    fn probe(&mut self, path: Option<Path>) -> Id {
        let call = self.inner.probe(path);
        self.send(call)
    }

    fn drop_call(&mut self, id: Id) {
        self.messages.extend(self.inner.drop_call(id));
    }

    fn drop_import(&mut self, id: Id) {
        self.messages.extend(self.inner.drop_import(id));
    }

    fn answer(&mut self, id: Id, outcome: Result<Payload<CapDescriptor>, Payload<CapDescriptor>>) {
        self.messages.push_back(Message::Answer { id, outcome });
    }

    fn finish(&mut self, answer: Id) -> ReturnDisposition {
        let (wanted, answers) = self.inner.finish(answer);
        self.events.extend((!answers.is_empty()).then_some(Event::Cancel { answers }));
        wanted
    }

    /// Takes in a message at time zero.
    fn handle(&mut self, message: Message) -> Result<(), Error> {
        let received = self.inner.receive(Some(message), Duration::ZERO)?;
        self.messages.extend(received.reply);
        if self.is_extended() && !self.has_offer() {
            self.messages.extend(self.inner.offer(Extensions::default()));
        }
        self.events.extend(received.event);
        Ok(())
    }

    /// Returns `true` if the peer may still use the result of its call.
    fn is_kept(&self, answer: Id) -> bool {
        self.inner.exports.contains_key(&answer)
    }

    fn poll_message(&mut self) -> Option<Message> {
        self.messages.pop_front()
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

/// The reply to a hello.
const OFFER: Message = Message::Extensions(Extensions { bytes: false, context: false });

/// A connection whose messages stay in transit until a test delivers them.
struct Pair {
    near: Session,
    far: Session,
    to_far: VecDeque<Message>,
    to_near: VecDeque<Message>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    ToFar,
    ToNear,
}

impl Pair {
    /// Connects two sessions before any message.
    fn new() -> Self {
        Self {
            near: Session::new(Side::Connecting, Limits::default()),
            far: Session::new(Side::Accepting, Limits::default()),
            to_far: VecDeque::new(),
            to_near: VecDeque::new(),
        }
    }

    /// Connects two sessions that have exchanged hellos.
    fn extended() -> Self {
        let mut pair = Self::new();
        pair.settle();
        pair
    }

    /// Connects two sessions as of some other implementation.
    fn unmarked() -> Self {
        let mut pair = Self::new();
        assert_eq!(pair.near.poll_message(), Some(Message::Hello));
        pair
    }

    /// Delivers one message, if there is one in that direction.
    fn step(&mut self, way: Way) -> bool {
        self.send();
        let (wire, to) = match way {
            Way::ToFar => (&mut self.to_far, &mut self.far),
            Way::ToNear => (&mut self.to_near, &mut self.near),
        };
        let Some(message) = wire.pop_front() else { return false };
        let shown = format!("{message:?}");
        to.handle(message).unwrap_or_else(|error| panic!("{way:?}: {shown}: {error}"));
        true
    }

    /// Puts the messages of both sides on the wire, where they stay.
    fn send(&mut self) {
        self.to_far.extend(std::iter::from_fn(|| self.near.poll_message()));
        self.to_near.extend(std::iter::from_fn(|| self.far.poll_message()));
    }

    fn deliver(&mut self, way: Way) {
        while self.step(way) {}
    }

    /// Delivers all messages, including the replies to them.
    fn settle(&mut self) {
        let quiet = (0..100_000).any(|_| !self.step(Way::ToFar) && !self.step(Way::ToNear));
        assert!(quiet, "the two never fall silent");
    }

    /// Returns the only event of the far side.
    fn far_event(&mut self) -> Event {
        only(events(&mut self.far))
    }

    /// Lends an object of the far side to the near side, which holds it.
    fn lend(&mut self, object: ObjectId) -> Id {
        let id = self.far.export(object);
        self.far.answer(999, Ok(references([CapDescriptor::SenderHosted(id)])));
        self.deliver(Way::ToNear);
        let taken = taken(&events(&mut self.near));
        for id in &taken {
            self.near.hold(*id);
        }
        only(taken)
    }

    fn all_is_given_back(&self) -> bool {
        [&self.near, &self.far].iter().all(|session| is_empty(session))
    }
}

/// Returns `true` if a session remembers at most the two indexes.
fn is_empty(session: &Session) -> bool {
    session.tables() == Default::default()
        && session.ids.is_empty()
        && (session.imported, session.untabled_calls) == (0, 0)
}

fn only<T: std::fmt::Debug>(all: Vec<T>) -> T {
    match <[T; 1]>::try_from(all) {
        Ok([one]) => one,
        Err(all) => panic!("not one but {all:?}"),
    }
}

fn events(session: &mut Session) -> Vec<Event> {
    std::iter::from_fn(|| session.poll_event()).collect()
}

fn messages(session: &mut Session) -> Vec<Message> {
    std::iter::from_fn(|| session.poll_message()).collect()
}

/// Returns the imports in some outcomes and arguments.
fn taken(events: &[Event]) -> Vec<Id> {
    let mut taken = Vec::new();
    for event in events {
        let value = match event {
            Event::Call { expression: Expression::Call { args: Some(value), .. }, .. }
            | Event::Call { expression: Expression::Value(value), .. } => value,
            Event::Answered { outcome: Ok(value) | Err(value), .. } | Event::Aborted { reason: value } => {
                value
            }
            _ => continue,
        };
        taken.extend(value.refs.iter().filter_map(|slot| match slot.to {
            CapDescriptor::SenderHosted(id) => Some(id),
            _ => None,
        }));
    }
    taken
}

fn text<R>(text: &str) -> Payload<R> {
    Payload::plain(text.to_owned())
}

/// Returns a value with some references in it.
fn references<const N: usize>(words: [CapDescriptor; N]) -> Payload<CapDescriptor> {
    let refs = words.into_iter().map(|to| Slot { start: 0, end: 0, to }).collect();
    Payload { text: "…".to_owned().into(), refs, nodes: ThinVec::NONE }
}

fn home(id: Id) -> CapDescriptor {
    CapDescriptor::ReceiverHosted(ReceiverRef { id, path: Path::Empty, args: None, awaited: false })
}

/// Returns a call of `target` as it arrives.
fn call(target: Id, args: Payload<CapDescriptor>, return_mode: ReturnMode) -> Message {
    Message::Call { id: UNNUMBERED, target, path: Path::Empty, args: Some(args), return_mode }
}

fn push(target: Id) -> Message {
    call(target, text("[]"), ReturnMode::Retained)
}

fn stream(target: Id) -> Message {
    call(target, text("[]"), ReturnMode::Streamed)
}

/// Returns a value in the place of a call, as it arrives.
fn evaluate(value: Payload<CapDescriptor>) -> Message {
    Message::Evaluate { id: UNNUMBERED, value, return_mode: ReturnMode::Retained }
}

fn release(id: Id, count: u64) -> Message {
    Message::Release { id, count }
}

fn resolve(id: Id, value: Payload<CapDescriptor>) -> Message {
    Message::Answer { id, outcome: Ok(value) }
}

/// Creates a session whose peer is of another implementation, and whose messages the test writes.
fn accepting() -> Session {
    Session::new(Side::Accepting, Limits::default())
}

/// Creates a session whose peer is of this library, and whose messages the test writes.
fn extended() -> Session {
    let mut session = accepting();
    session.handle(Message::Hello).unwrap();
    assert_eq!(messages(&mut session), [OFFER]);
    session
}

fn say<const N: usize>(session: &mut Session, messages: [Message; N]) -> Vec<Event> {
    for message in messages {
        session.handle(message).unwrap();
    }
    events(session)
}

/// Returns the number of a refused call, and the reason.
fn refuses(session: &mut Session, message: Message) -> (Id, String) {
    session.handle(message).unwrap();
    match only(events(session)) {
        Event::Call { answer, refusal: Some(why), .. } => (answer, why),
        other => panic!("{other:?}"),
    }
}

const OBJECT: ObjectId = ObjectId(1, 1);
const OTHER: ObjectId = ObjectId(2, 1);
const NONE: [Id; 0] = [];
