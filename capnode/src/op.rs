//! The words that the session and the wire languages share.
//!
//! A dialect turns a frame into an [`Op`] and an [`Op`] into a frame; the session turns ops into
//! changes of its tables. Neither knows the other. A value travels as a [`Payload`]: text in the
//! dialect's own writing, beside the references that stand in it. The references change their
//! type on the way up ([`Word`] as a frame says it, ids as the session understands it, live
//! references above), the text never does.

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::sync::Arc;

use crate::few::Few;
use crate::table::Table;

/// An id in a session's tables. Positive ids number calls, negative ids number exports and 0 is
/// the index; whose they are depends on who says them.
///
/// A dialect whose ids are strings keeps the map from them to these.
pub(crate) type Id = i64;

/// What is known of ids.
pub(crate) type IdMap<V> = Table<Id, V>;

/// A piece of text, cheap to take out of the frame it came in.
#[derive(Clone)]
pub(crate) enum Text {
    Static(&'static str),
    Own(String),
    Shared { frame: Arc<str>, start: usize, end: usize },
}

impl Text {
    /// All of a frame.
    pub(crate) fn frame(text: &str) -> Self {
        Text::Shared { frame: text.into(), start: 0, end: text.len() }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.buffer()[self.range()]
    }

    /// The text that [`range`](Self::range) and the positions in a [`Payload`] are counted in.
    pub(crate) fn buffer(&self) -> &str {
        match self {
            Text::Static(text) => text,
            Text::Own(text) => text,
            Text::Shared { frame, .. } => frame,
        }
    }

    pub(crate) fn range(&self) -> Range<usize> {
        match self {
            Text::Static(text) => 0..text.len(),
            Text::Own(text) => 0..text.len(),
            Text::Shared { start, end, .. } => *start..*end,
        }
    }

    /// The same text, cheap to clone.
    pub(crate) fn share(self) -> Self {
        match self {
            Text::Own(text) => Text::frame(&text),
            other => other,
        }
    }

    /// A part of the same buffer, by positions in that buffer.
    pub(crate) fn slice(&self, range: Range<usize>) -> Self {
        let frame = match self {
            Text::Static(text) => return Text::Static(&text[range]),
            // Positions have to stay what they were, so all of it becomes shared.
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

/// A value on its way: text, and the references in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Payload<R> {
    pub(crate) text: Text,
    /// In the order of their places.
    pub(crate) refs: Few<Slot<R>>,
    /// Where in the text's buffer the values stand that occur more than once in this one, or inside
    /// themselves: a reference to such a node gives its number here. A Cap'n Web frame has none.
    pub(crate) nodes: Few<Range<usize>>,
}

/// A place in a payload's text where a reference stands: the text from `start` to `end` (by
/// positions in the text's buffer) says it, and is empty where it has not been written yet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slot<R> {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) to: R,
}

impl<R> Payload<R> {
    pub(crate) fn plain(text: impl Into<Text>) -> Self {
        Self { text: text.into(), refs: Few::NONE, nodes: Few::NONE }
    }

    /// The value that is nothing but one reference, not yet written.
    pub(crate) fn reference(to: R) -> Self {
        Self { text: Text::Static(""), refs: vec![Slot { start: 0, end: 0, to }].into(), nodes: Few::NONE }
    }

    /// The reference that is all of this value, if it is one.
    pub(crate) fn root(&self) -> Option<&R> {
        match &*self.refs {
            [only] if (only.start..only.end) == self.text.range() => Some(&only.to),
            _ => None,
        }
    }

    /// The same value, without the rest of a frame that is much longer.
    pub(crate) fn compact(mut self) -> Self {
        let (range, whole) = (self.text.range(), self.text.buffer().len());
        if self.nodes.is_empty() && whole > 2 * range.len() + 256 {
            self.text = Text::Own(self.text.as_str().to_owned());
            for slot in &mut self.refs {
                slot.start -= range.start;
                slot.end -= range.start;
            }
        }
        self
    }

    /// The same value, if it has neither references nor nodes.
    pub(crate) fn without_refs<S>(self) -> Result<Payload<S>, Self> {
        if self.refs.is_empty() && self.nodes.is_empty() { Ok(Payload::plain(self.text)) } else { Err(self) }
    }

    pub(crate) fn map<S>(self, mut change: impl FnMut(R) -> S) -> Payload<S> {
        if self.refs.is_empty() {
            return Payload { text: self.text, refs: Few::NONE, nodes: self.nodes };
        }
        let change = |slot: Slot<R>| Slot { start: slot.start, end: slot.end, to: change(slot.to) };
        Payload { text: self.text, refs: self.refs.into_iter().map(change).collect(), nodes: self.nodes }
    }
}

impl<R: Clone> Payload<R> {
    /// The part of this value between two positions of its buffer.
    pub(crate) fn slice(&self, range: Range<usize>) -> Self {
        debug_assert!(self.nodes.is_empty(), "a part would have to keep what the nodes hold");
        let from = self.refs.partition_point(|slot| slot.start < range.start);
        let to = self.refs.partition_point(|slot| slot.end <= range.end);
        let refs = self.refs.get(from..to).unwrap_or_default().iter().cloned().collect();
        Self { text: self.text.slice(range), refs, nodes: Few::NONE }
    }
}

/// One step of a property path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Key {
    Name(Text),
    Index(u64),
    /// Not a step, but something other than a read or a call to be done with what the steps before lead to. Always
    /// the last.
    Verb(Verb),
}

/// What Q-Connection can ask of an object beside reading and calling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Sets the property that the steps before name, to the only argument.
    Set,
    /// Deletes the property that the steps before name. There are no arguments.
    Delete,
    /// Lists the names of the properties. There are no arguments.
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
            // For messages, in which a peer's name must not take more room than it deserves.
            Key::Name(name) => name.as_str().chars().take(60).try_for_each(|letter| f.write_char(letter)),
            Key::Index(index) => index.fmt(f),
            Key::Verb(verb) => write!(f, "({})", verb.name()),
        }
    }
}

/// A property path. Nearly every one has a single step, so that costs no allocation.
#[derive(Clone, Debug, Default)]
pub(crate) enum Path {
    #[default]
    Empty,
    One(Key),
    Many(Steps),
}

/// The steps of a path that are left. What follows a path step by step keeps the rest of it at each, so they share it.
#[derive(Clone, Debug)]
pub(crate) struct Steps {
    keys: Arc<[Key]>,
    from: usize,
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Path {
    #[cfg(test)]
    pub(crate) fn name(name: &'static str) -> Self {
        Path::One(Key::Name(Text::Static(name)))
    }

    pub(crate) fn as_slice(&self) -> &[Key] {
        match self {
            Path::Empty => &[],
            Path::One(key) => std::slice::from_ref(key),
            Path::Many(Steps { keys, from }) => keys.get(*from..).unwrap_or_default(),
        }
    }

    /// How many steps it has beyond the first.
    pub(crate) fn further_steps(&self) -> usize {
        match self {
            Path::Empty | Path::One(_) => 0,
            Path::Many(Steps { keys, from }) => keys.len() - from - 1,
        }
    }

    /// What is left of it after so many steps.
    pub(crate) fn after(&self, steps: usize) -> Self {
        match (self.as_slice().get(steps..).unwrap_or_default(), self) {
            ([], _) => Path::Empty,
            ([last], _) => Path::One(last.clone()),
            (_, Path::Many(Steps { keys, from })) => {
                Path::Many(Steps { keys: keys.clone(), from: from + steps })
            }
            (keys, _) => keys.iter().cloned().collect(),
        }
    }

    /// Bytes of its names.
    pub(crate) fn len(&self) -> usize {
        let step = |key: &Key| match key {
            Key::Name(name) => name.as_str().len() + 3,
            Key::Index(_) => 21,
            Key::Verb(_) => 0,
        };
        self.as_slice().iter().map(step).sum()
    }

    /// The same path, without the frame that its names stand in.
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

    /// The steps, and what is to be done where they lead, if it is neither a read nor a call.
    pub(crate) fn split_verb(&self) -> (&[Key], Option<Verb>) {
        match self.as_slice() {
            [steps @ .., Key::Verb(verb)] => (steps, Some(*verb)),
            steps => (steps, None),
        }
    }

    /// This path, then `rest`.
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
                Path::Many(Steps { keys, from: 0 })
            }
        }
    }
}

/// A reference as a frame says it. Ids are the sender's: what it calls an import is the
/// receiver's export.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Word {
    /// An object of the sender, or a function where the language does not tell them apart.
    Export(Id),
    /// A function of the sender.
    Function(Id),
    /// A promise of the sender, to be replaced by its outcome before delivery.
    Promise(Id),
    /// Something of the receiver's.
    Import(Import),
    /// A value that the language can say and this library does not support, and the references in it.
    Unsupported { form: &'static str, with: Vec<Word> },
    /// One of the nodes of the payload that this stands in.
    Node(usize),
}

/// A use of one of the receiver's exports: the thing itself, a property of it, or a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Import {
    pub(crate) id: Id,
    pub(crate) path: Path,
    /// `Some` makes it a call.
    pub(crate) args: Option<Box<Payload<Word>>>,
    /// Whether delivery waits for the value, or takes a reference to it at once.
    pub(crate) awaited: bool,
}

/// How an answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answering {
    /// Kept by the callee until it is asked for or given back; calls may be made on it before.
    Kept,
    /// Sent as soon as it is there, and then forgotten by the callee.
    Sent,
}

/// One message, whatever the language.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    /// Calls the thing at `path` of the receiver's `target`, or reads it if there are no
    /// arguments. The sender's calls and evaluations are numbered from 1 in the order sent.
    Call { target: Id, path: Path, args: Option<Payload<Word>>, answering: Answering },
    /// Any other value in the place of a call: the calls in it are made, and it is the answer.
    Evaluate { value: Payload<Word>, answering: Answering },
    /// Opens a stream, which takes a number as a call does. Streams are not supported.
    Pipe,
    /// Asks for the answer of a call.
    Pull(Id),
    /// The answer of a call, or the outcome of a promise: a value, or the reason why there is none.
    Answer { id: Id, outcome: Result<Payload<Word>, Payload<Word>> },
    /// How far a call has come, before its answer.
    Progress { id: Id, value: Payload<Word> },
    /// Gives back `count` references to the receiver's `id`.
    Release { id: Id, count: u64 },
    /// Says that the sender is of this library. On the wire it is a release of no references.
    Mark,
    /// What a marked peer can do beyond what the mark stands for. No ability is known yet.
    Abilities,
    /// The session is over, and why.
    Abort(Payload<Word>),
}

#[cfg(test)]
mod tests {
    //! One call, return, release and rejection of each of the three languages, as ops: the proof
    //! that the words suffice for all of them.

    use super::*;

    fn call(target: Id, path: Path, args: &str, answering: Answering) -> Op {
        Op::Call { target, path, args: Some(Payload::plain(args.to_owned())), answering }
    }

    fn answer(id: Id, outcome: Result<&str, &str>) -> Op {
        let payload = |text: &str| Payload::plain(text.to_owned());
        Op::Answer { id, outcome: outcome.map(payload).map_err(payload) }
    }

    #[test]
    fn each_language_can_be_said_in_ops() {
        let capnweb = [
            // ["push",["pipeline",0,["add"],[1,2]]]
            call(0, Path::name("add"), "[1,2]", Answering::Kept),
            // ["resolve",1,3]
            answer(1, Ok("3")),
            // ["release",-1,1]
            Op::Release { id: -1, count: 1 },
            // ["reject",1,["error","Error","no"]]
            answer(1, Err(r#"["error","Error","no"]"#)),
        ];
        // A function id ("f1") and a reply id ("r1") are strings; the dialect numbers them.
        let capnode = [
            // {"type":"invocation","methodId":"f1","replyId":"r1","arguments":{..}}
            call(-1, Path::Empty, r#"{"links":[[1,2]],"value":{"type":2,"id":0}}"#, Answering::Sent),
            // {"type":"return","methodId":"r1","value":{..}}
            answer(1, Ok(r#"{"links":[],"value":3}"#)),
            // {"type":"dealloc","methodId":"f1","replyId":"r2"}
            Op::Release { id: -1, count: 1 },
            // {"type":"error","methodId":"r1","value":{"message":"no"}}
            answer(1, Err(r#"{"message":"no"}"#)),
        ];
        let q_connection = [
            // {"type":"send","to":"","from":"r1","op":"post","args":["add",[1,2]]}
            call(0, Path::name("add"), "[1,2]", Answering::Sent),
            // {"type":"resolve","to":"r1","resolution":3}
            answer(1, Ok("3")),
            // No message releases; what the peer has forgotten is released by the table's limit.
            Op::Release { id: -1, count: 1 },
            // {"type":"resolve","to":"r1","resolution":{"!":{"message":"no"}}}
            answer(1, Err(r#"{"message":"no"}"#)),
        ];
        for language in [capnweb, capnode, q_connection] {
            assert!(matches!(
                language,
                [
                    Op::Call { .. },
                    Op::Answer { outcome: Ok(_), .. },
                    Op::Release { .. },
                    Op::Answer { outcome: Err(_), .. }
                ]
            ));
        }
    }

    #[test]
    fn a_slice_keeps_the_references_inside_it() {
        let text = Text::frame(r#"{"a":<1>,"b":<2>}"#);
        let slot = |start, to| Slot { start, end: start + 3, to };
        let whole = Payload { text, refs: vec![slot(5, 'x'), slot(13, 'y')].into(), nodes: Few::NONE };
        let part = whole.slice(13..16);
        assert_eq!(part.text.as_str(), "<2>");
        assert_eq!(part.root(), Some(&'y'));
        assert_eq!(whole.root(), None);
    }
}
