//! The words that the session and the wire languages share.
//!
//! A dialect turns a frame into a [`Message`] and a [`Message`] into a frame; the session turns messages into changes of its tables.
//! They do not know each other. A value travels as a [`Payload`]: text in the dialect's own writing, beside the
//! references that stand in it. The references change their type once ([`CapDescriptor`]s of ids in frames and sessions, live ones
//! above), the text never does.

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::kinds::Bytes;
use crate::table::Table;
use crate::thin_vec::ThinVec;

/// An id in a session's tables. Positive ids number calls, negative ids number exports and 0 is the index; their owner
/// depends on the side that names them.
///
/// A dialect whose ids are strings maps them to these.
pub(crate) type Id = i64;

/// The number of a call that has been read, but not yet numbered: see [`Message::Call`].
pub(crate) const UNNUMBERED: Id = 0;

/// A map by ids.
pub(crate) type IdMap<V> = Table<Id, V>;

/// A piece of text, cheap to take out of the frame it came in.
#[derive(Clone)]
pub(crate) enum Text {
    /// As a name in a path, it needs no escape.
    Static(&'static str),
    Own(String),
    Shared {
        frame: Arc<str>,
        start: usize,
        end: usize,
    },
}

impl Text {
    /// Returns the text of a whole frame.
    pub(crate) fn frame(text: &str) -> Self {
        Text::Shared { frame: text.into(), start: 0, end: text.len() }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Text::Static(text) => text,
            Text::Own(text) => text,
            Text::Shared { frame, start, end } => &frame[*start..*end],
        }
    }

    /// Returns the buffer and the range of the text in it. The positions in a [`Payload`] are counted in the buffer.
    pub(crate) fn parts(&self) -> (&str, Range<usize>) {
        match self {
            Text::Static(text) => (text, 0..text.len()),
            Text::Own(text) => (text, 0..text.len()),
            Text::Shared { frame, start, end } => (frame, *start..*end),
        }
    }

    pub(crate) fn buffer(&self) -> &str {
        self.parts().0
    }

    pub(crate) fn range(&self) -> Range<usize> {
        self.parts().1
    }

    /// Makes the text cheap to clone.
    pub(crate) fn share(self) -> Self {
        match self {
            Text::Own(text) => Text::frame(&text),
            other => other,
        }
    }

    /// Returns a part of the buffer, by positions in it.
    pub(crate) fn slice(&self, range: Range<usize>) -> Self {
        let frame = match self {
            Text::Static(text) => return Text::Static(&text[range]),
            // Positions must not change, so the whole buffer becomes shared.
            Text::Own(text) => Arc::from(text.as_str()),
            Text::Shared { frame, .. } => frame.clone(),
        };
        Text::Shared { frame, start: range.start, end: range.end }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Text::Own(text)
    }
}

/// A value in transit: text, and the references in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Payload<R> {
    pub(crate) text: Text,
    /// The references, in the order of their places.
    pub(crate) refs: ThinVec<Slot<R>>,
    /// Ranges in the text's buffer of the values that occur more than once in this one, or inside themselves: a
    /// reference to such a node gives its number here. A Cap'n Web frame has none.
    pub(crate) nodes: ThinVec<Range<usize>>,
}

/// The place of a reference in a payload's text. The text from `start` to `end` (positions in the text's buffer) says
/// it, and is empty until it is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slot<R> {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) to: R,
}

impl<R> Slot<R> {
    /// Returns the place of this one, with another reference.
    pub(crate) fn with<S>(&self, to: S) -> Slot<S> {
        Slot { start: self.start, end: self.end, to }
    }
}

impl<R> Payload<R> {
    pub(crate) fn plain(text: impl Into<Text>) -> Self {
        Self { text: text.into(), refs: ThinVec::NONE, nodes: ThinVec::NONE }
    }

    /// Returns a value that is a single reference, not yet written.
    pub(crate) fn reference(to: R) -> Self {
        Self {
            text: Text::Static(""),
            refs: vec![Slot { start: 0, end: 0, to }].into(),
            nodes: ThinVec::NONE,
        }
    }

    /// Returns `true` for a value that is nothing but its text.
    pub(crate) fn is_plain(&self) -> bool {
        self.refs.is_empty() && self.nodes.is_empty()
    }

    /// Returns the reference that makes up the whole value, if it is one.
    pub(crate) fn root(&self) -> Option<&R> {
        match &*self.refs {
            [only] if (only.start..only.end) == self.text.range() => Some(&only.to),
            _ => None,
        }
    }

    /// Drops the rest of the frame, if that is much longer than the value.
    pub(crate) fn compact(self) -> Self {
        let (range, whole) = (self.text.range(), self.text.buffer().len());
        if self.nodes.is_empty() && whole > 2 * range.len() + 256 { self.inside("", "") } else { self }
    }

    /// Returns the value in a text of its own, between two others.
    pub(crate) fn inside(mut self, before: &str, after: &str) -> Self {
        let start = self.text.range().start;
        self.text = Text::Own([before, self.text.as_str(), after].concat());
        for slot in &mut self.refs {
            slot.start = slot.start - start + before.len();
            slot.end = slot.end - start + before.len();
        }
        self
    }

    pub(crate) fn map<S>(self, mut change: impl FnMut(R) -> S) -> Payload<S> {
        if self.refs.is_empty() {
            return Payload { text: self.text, refs: ThinVec::NONE, nodes: self.nodes };
        }
        let change = |slot: Slot<R>| Slot { start: slot.start, end: slot.end, to: change(slot.to) };
        Payload { text: self.text, refs: self.refs.into_iter().map(change).collect(), nodes: self.nodes }
    }

    /// Returns the text of both, one behind the other.
    pub(crate) fn followed_by(self, next: Self) -> Self {
        let Payload { text, refs, .. } = next.inside(self.text.as_str(), "");
        Self { text, refs: self.inside("", "").refs.into_iter().chain(refs).collect(), nodes: ThinVec::NONE }
    }
}

impl<R: Clone> Payload<R> {
    /// Returns the part of this value between two positions of its buffer.
    pub(crate) fn slice(&self, range: Range<usize>) -> Self {
        debug_assert!(self.nodes.is_empty(), "a part would have to keep what the nodes hold");
        let from = self.refs.partition_point(|slot| slot.start < range.start);
        let to = self.refs.partition_point(|slot| slot.end <= range.end);
        let refs = self.refs.get(from..to).unwrap_or_default().iter().cloned().collect();
        Self { text: self.text.slice(range), refs, nodes: ThinVec::NONE }
    }
}

/// One step of a property path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Key {
    Name(Text),
    Index(u64),
    /// An operation other than a read or a call on the target of the steps before. It is no step, and always the last.
    Verb(Verb),
}

/// An operation of Q-Connection on an object, besides reading and calling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Sets the property that the steps before name to the only argument.
    Set,
    /// Deletes the property that the steps before name. Takes no arguments.
    Delete,
    /// Lists the names of the properties. Takes no arguments.
    Keys,
}

impl Verb {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Verb::Set => "set",
            Verb::Delete => "delete",
            Verb::Keys => "keys",
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Messages use this, so a peer's name must not take much room.
            Key::Name(name) => name.as_str().chars().take(60).try_for_each(|letter| f.write_char(letter)),
            Key::Index(index) => index.fmt(f),
            Key::Verb(verb) => write!(f, "({})", verb.name()),
        }
    }
}

/// A property path. Nearly all have a single step, which costs no allocation.
#[derive(Clone, Debug, Default)]
pub(crate) enum Path {
    #[default]
    Empty,
    One(Key),
    Many(PathTail),
}

/// The remaining steps of a path. Each step of a walk along a path keeps its rest, so the rests share the keys.
#[derive(Clone, Debug)]
pub(crate) struct PathTail {
    keys: Arc<[Key]>,
    from: usize,
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Path {
    /// Returns the steps with dots between them, for messages.
    pub(crate) fn dotted(&self) -> String {
        let steps: Vec<_> = self.as_slice().iter().map(ToString::to_string).collect();
        steps.join(".")
    }

    #[cfg(test)]
    pub(crate) fn name(name: &'static str) -> Self {
        Path::One(Key::Name(Text::Static(name)))
    }

    /// Returns the path of a single name, or none.
    pub(crate) fn of_name(name: Option<&str>) -> Self {
        name.map_or(Path::Empty, |name| Path::One(Key::Name(Text::Own(name.to_owned()))))
    }

    pub(crate) fn as_slice(&self) -> &[Key] {
        match self {
            Path::Empty => &[],
            Path::One(key) => std::slice::from_ref(key),
            Path::Many(PathTail { keys, from }) => keys.get(*from..).unwrap_or_default(),
        }
    }

    /// Returns the rest of the path after `steps` steps.
    pub(crate) fn after(&self, steps: usize) -> Self {
        match (self.as_slice().get(steps..).unwrap_or_default(), self) {
            ([], _) => Path::Empty,
            ([last], _) => Path::One(last.clone()),
            (_, Path::Many(PathTail { keys, from })) => {
                Path::Many(PathTail { keys: keys.clone(), from: from + steps })
            }
            (keys, _) => keys.iter().cloned().collect(),
        }
    }

    /// Estimates the bytes of the path in a message.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        let step = |key: &Key| match key {
            Key::Name(name) => name.as_str().len() + 3,
            Key::Index(_) => 21,
            Key::Verb(_) => 0,
        };
        self.as_slice().iter().map(step).sum()
    }

    /// Copies the names out of the frame that they share.
    pub(crate) fn compact(self) -> Self {
        let compact = |key: Key| match key {
            Key::Name(name @ Text::Shared { .. }) => Key::Name(Text::Own(name.as_str().to_owned())),
            key => key,
        };
        match self {
            Path::Empty => Path::Empty,
            Path::One(key) => Path::One(compact(key)),
            many @ Path::Many(_) => many.as_slice().iter().cloned().map(compact).collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// Returns the steps, and the operation on their target if it is neither a read nor a call.
    pub(crate) fn split_verb(&self) -> (&[Key], Option<Verb>) {
        match self.as_slice() {
            [steps @ .., Key::Verb(verb)] => (steps, Some(*verb)),
            steps => (steps, None),
        }
    }

    /// Returns this path followed by `rest`.
    pub(crate) fn join(&self, rest: &[Key]) -> Self {
        self.as_slice().iter().chain(rest).cloned().collect()
    }
}

impl FromIterator<Key> for Path {
    fn from_iter<I: IntoIterator<Item = Key>>(keys: I) -> Self {
        let mut keys = keys.into_iter();
        match (keys.next(), keys.next()) {
            (None, _) => Path::Empty,
            (Some(only), None) => Path::One(only),
            (Some(first), Some(second)) => {
                let keys = [first, second].into_iter().chain(keys).collect();
                Path::Many(PathTail { keys, from: 0 })
            }
        }
    }
}

/// A reference as a frame says it. Ids are those of the sender: its import is the receiver's export.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum CapDescriptor {
    /// An object of the sender, or a function in a language that does not tell them apart.
    SenderHosted(Id),
    /// A function of the sender.
    SenderFunction(Id),
    /// A promise of the sender, to be replaced by its outcome before delivery.
    SenderPromise(Id),
    /// The write end of a stream of the sender.
    SenderWritable(Id),
    /// The read end of a pipe of the receiver, which the sender has opened.
    ReceiverReadable(Id),
    /// A use of an export of the receiver.
    ReceiverHosted(ReceiverRef),
    /// The result of a program for each element of a value of the receiver.
    Map(Box<Mapping>),
    /// A value that is not there, or one of the language that this library does not support, and the references in it.
    Unsupported { form: &'static str, with: Vec<CapDescriptor> },
    /// Bytes beside the text.
    Bytes(Bytes),
    /// A node of the surrounding payload.
    Node(usize),
}

impl CapDescriptor {
    /// Returns the id of an object, a function or a write end of the sender.
    pub(crate) fn sender_id(&self) -> Option<Id> {
        match self {
            Self::SenderHosted(id) | Self::SenderFunction(id) | Self::SenderWritable(id) => Some(*id),
            _ => None,
        }
    }
}

/// A use of an export of the receiver: the export itself, a property of it, or a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ReceiverRef {
    pub(crate) id: Id,
    pub(crate) path: Path,
    /// The arguments of a call; `None` for a property or the export itself.
    pub(crate) args: Option<Box<Payload<CapDescriptor>>>,
    /// `true` if delivery waits for the value, `false` if it takes a reference to it at once.
    pub(crate) awaited: bool,
}

/// A use of an export of the receiver: a program is run for each element of the value at `path` of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mapping {
    pub(crate) id: Id,
    pub(crate) path: Path,
    /// The references that the program uses beside the element.
    pub(crate) captures: Vec<CapDescriptor>,
    /// The program, or the reason why it can not run.
    pub(crate) program: Result<Arc<Program>, String>,
}

/// A function that can be sent: a list of instructions, of which the last one is the result. Ids in it are variables:
/// 0 is the argument, positive ones are the results of the instructions in their order, and negative ones are captures,
/// from -1 down.
#[derive(Debug, PartialEq)]
pub(crate) struct Program {
    /// The list as it is written.
    pub(crate) text: Text,
    pub(crate) instructions: Vec<Payload<CapDescriptor>>,
}

impl Program {
    /// Returns how many instructions, references and steps of paths are in the program, a measure of the memory that it
    /// takes.
    pub(crate) fn size(&self) -> usize {
        self.instructions.iter().map(|instruction| 1 + sizes(&instruction.refs)).sum()
    }
}

fn sizes(refs: &[Slot<CapDescriptor>]) -> usize {
    let size = |slot: &Slot<CapDescriptor>| match &slot.to {
        CapDescriptor::ReceiverHosted(ReceiverRef { path, args, .. }) => {
            1 + path.as_slice().len() + args.as_ref().map_or(0, |args| sizes(&args.refs))
        }
        CapDescriptor::Map(map) => {
            let program = map.program.as_ref().map_or(0, |program| program.size());
            1 + map.path.as_slice().len() + map.captures.len() + program
        }
        _ => 1,
    };
    refs.iter().map(size).sum()
}

/// An expression that a call evaluates. Its target and the references in it are ids, or live ones.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expression<T, R> {
    /// A call of the value at `path` of `target`, or a read of it if there are no arguments.
    Call { target: T, path: Path, args: Option<Payload<R>> },
    /// Any other value: the calls in it are made.
    Value(Payload<R>),
}

/// The kind of answer that the caller wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReturnMode {
    /// Kept by the callee until it is pulled or released; pipelined calls may be made on it before.
    Retained,
    /// Sent as soon as it is available, and then forgotten by the callee.
    Streamed,
}

/// A message, independent of the language.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Message {
    /// Calls the value at `path` of the receiver's `target`, or reads it if there are no arguments.
    ///
    /// The calls, evaluations and streams of a side are numbered from 1 in the order sent. No message says the number,
    /// so both sides count. This side's counters are those of its session, one for each direction: the session numbers
    /// a call that it makes, and one that it receives, which a dialect reads as [`UNNUMBERED`].
    Call { id: Id, target: Id, path: Path, args: Option<Payload<CapDescriptor>>, return_mode: ReturnMode },
    /// Evaluates any other value: the calls in it are made, and the value is the answer.
    Evaluate { id: Id, value: Payload<CapDescriptor>, return_mode: ReturnMode },
    /// Makes a call or an evaluation in a context of its own. Extended peers alone have a word for it; to others it is the
    /// call.
    InContext { call: Box<Message>, context: Box<CarriedContext> },
    /// Opens a pipe at the receiver: its result is the write end.
    Pipe { id: Id },
    /// Pulls the answer of a call.
    Pull(Id),
    /// Answers a call, or resolves a promise: with a value, or with an error.
    Answer { id: Id, outcome: Result<Payload<CapDescriptor>, Payload<CapDescriptor>> },
    /// Reports the progress of a call, before its answer.
    Progress { id: Id, value: Payload<CapDescriptor> },
    /// Releases `count` references to the receiver's `id`.
    Release { id: Id, count: u64 },
    /// Marks the sender as an instance of this library. On the wire it is a release of no references.
    Hello,
    /// Lists the abilities of an extended peer beyond those of the hello.
    Extensions(Extensions),
    /// Says that the sender runs no call of the receiver's with a number above `last`, and will end the session.
    Draining { last: Id },
    /// Ends the session, with the reason.
    Abort(Payload<CapDescriptor>),
}

/// Abilities of an extended peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    /// `true` if it takes bytes beside the text.
    pub(crate) bytes: bool,
    /// `true` if it understands the context of a call.
    pub(crate) context: bool,
}

/// The part of a call's context that travels with the call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CarriedContext {
    /// The time left until the deadline. On the wire it is a number of microseconds.
    pub(crate) left: Option<Duration>,
    /// Names and values, each name once.
    pub(crate) metadata: Vec<(String, String)>,
}

impl Message {
    /// Returns the bytes that go beside the text, in the order in which the text says them.
    pub(crate) fn beside(&self) -> Vec<Bytes> {
        let mut beside = Vec::new();
        match self {
            Message::InContext { call, .. } => return call.beside(),
            Message::Call { args: Some(value), .. }
            | Message::Evaluate { value, .. }
            | Message::Answer { outcome: Ok(value) | Err(value), .. } => {
                find_beside(&value.refs, &mut beside);
            }
            _ => {}
        }
        beside
    }
}

fn find_beside(refs: &[Slot<CapDescriptor>], beside: &mut Vec<Bytes>) {
    for slot in refs {
        match &slot.to {
            CapDescriptor::Bytes(bytes) => beside.push(bytes.clone()),
            CapDescriptor::ReceiverHosted(ReceiverRef { args: Some(args), .. }) => {
                find_beside(&args.refs, beside);
            }
            _ => {}
        }
    }
}

/// A message as it was read from a frame.
pub(crate) enum Parsed<'a> {
    Usual(Usual<'a>),
    Other(Message),
}

/// A message of one of the two usual kinds, without references. Its texts stand in its frame.
#[derive(Clone, Copy)]
pub(crate) enum Usual<'a> {
    /// A call of the method `name` of the receiver's `target`, or of the target itself, that is answered by itself.
    Call { target: Id, name: Option<&'a str>, args: &'a str },
    /// The value that answers a call.
    Answer { id: Id, value: &'a str },
}

impl Parsed<'_> {
    /// Returns the message, with copies of its texts.
    pub(crate) fn into_message(self) -> Message {
        match self {
            Parsed::Usual(Usual::Call { target, name, args }) => {
                let (path, return_mode) = (Path::of_name(name), ReturnMode::Streamed);
                let args = Some(Payload::plain(args.to_owned()));
                Message::Call { id: UNNUMBERED, target, path, args, return_mode }
            }
            Parsed::Usual(Usual::Answer { id, value }) => {
                Message::Answer { id, outcome: Ok(Payload::plain(value.to_owned())) }
            }
            Parsed::Other(message) => message,
        }
    }
}

#[cfg(test)]
mod tests {
    //! A call, return, release and rejection of each of the three languages, as messages: the proof that the words suffice
    //! for all of them.

    use super::*;

    fn call(target: Id, path: Path, args: &str, return_mode: ReturnMode) -> Message {
        Message::Call { id: 1, target, path, args: Some(Payload::plain(args.to_owned())), return_mode }
    }

    fn answer(id: Id, outcome: Result<&str, &str>) -> Message {
        let payload = |text: &str| Payload::plain(text.to_owned());
        Message::Answer { id, outcome: outcome.map(payload).map_err(payload) }
    }

    #[test]
    fn each_language_can_be_said_in_messages() {
        let capnweb = [
            // ["push",["pipeline",0,["add"],[1,2]]]
            call(0, Path::name("add"), "[1,2]", ReturnMode::Retained),
            // ["resolve",1,3]
            answer(1, Ok("3")),
            // ["release",-1,1]
            Message::Release { id: -1, count: 1 },
            // ["reject",1,["error","Error","no"]]
            answer(1, Err(r#"["error","Error","no"]"#)),
        ];
        // A function id ("f1") and a reply id ("r1") are strings; the dialect numbers them.
        let capnode = [
            // {"type":"invocation","methodId":"f1","replyId":"r1","arguments":{..}}
            call(-1, Path::Empty, r#"{"links":[[1,2]],"value":{"type":2,"id":0}}"#, ReturnMode::Streamed),
            // {"type":"return","methodId":"r1","value":{..}}
            answer(1, Ok(r#"{"links":[],"value":3}"#)),
            // {"type":"dealloc","methodId":"f1","replyId":"r2"}
            Message::Release { id: -1, count: 1 },
            // {"type":"error","methodId":"r1","value":{"message":"no"}}
            answer(1, Err(r#"{"message":"no"}"#)),
        ];
        let q_connection = [
            // {"type":"send","to":"","from":"r1","op":"post","args":["add",[1,2]]}
            call(0, Path::name("add"), "[1,2]", ReturnMode::Streamed),
            // {"type":"resolve","to":"r1","resolution":3}
            answer(1, Ok("3")),
            // No message releases; the limit of the table releases references that the peer has forgotten.
            Message::Release { id: -1, count: 1 },
            // {"type":"resolve","to":"r1","resolution":{"!":{"message":"no"}}}
            answer(1, Err(r#"{"message":"no"}"#)),
        ];
        for language in [capnweb, capnode, q_connection] {
            assert!(matches!(
                language,
                [
                    Message::Call { .. },
                    Message::Answer { outcome: Ok(_), .. },
                    Message::Release { .. },
                    Message::Answer { outcome: Err(_), .. }
                ]
            ));
        }
    }

    #[test]
    fn a_slice_keeps_the_references_inside_it() {
        let text = Text::frame(r#"{"a":<1>,"b":<2>}"#);
        let slot = |start, to| Slot { start, end: start + 3, to };
        let whole = Payload { text, refs: vec![slot(5, 'x'), slot(13, 'y')].into(), nodes: ThinVec::NONE };
        let part = whole.slice(13..16);
        assert_eq!(part.text.as_str(), "<2>");
        assert_eq!(part.root(), Some(&'y'));
        assert_eq!(whole.root(), None);
    }
}
