//! The playing of a recording, and the rules by which a Rust node may differ from it.
//!
//! Rules for all recordings, which the player applies by itself:
//!
//! * **Nothing stands between.** The `pull` of a call that is awaited follows its `push` at once, and its `release` the
//!   answer, where npm sends other messages between.
//! * **The mark.** A connecting node opens with `["release",0,0]`, which npm ignores.
//! * **Releases in any order.** Releases that npm sends one after the other come in any order, but all
//!   before whatever comes next.
//! * **Nothing is left behind.** npm's program never disposes of some of what it holds. Ours lets go
//!   of everything, at the end or earlier, and has to give back each of these once.
//! * **The text of an abort.** It says why in other words; it also is the reason with which the
//!   transport is closed, as with npm.
//! * **An end is told as such.** A call that fails because the session ended has an error that says so,
//!   in its kind or in front of the peer's text.
//! * **Rejections are errors.** What JavaScript threw that is no error arrives as an error whose
//!   message is the thing in the writing of the wire.
//! * **Strings are Unicode.** Half a surrogate pair arrives as U+FFFD.
//!
//! Everything else has to be written down where the recording is listed, with one of the reasons in
//! [`Why`], and has to occur: a difference that is not needed fails.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use capnode::{Cap, Connection, Error, ErrorKind, Node, NodeBuilder, Value};
use capnode_tests::recordings::{Side, json::seen_error};
use serde::Serialize;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc::UnboundedSender;

use capnode_tests::recordings::objects::Log;

/// Why a Rust node does not do the same as npm's package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A Rust method's error is of its own type, which travels as the property `data` of an `Error`;
    /// it is no class of JavaScript's, and has no properties beside that.
    TypedErrors,
    /// A Rust function fails with an error, and a value thrown by JavaScript arrives as an error.
    OnlyErrors,
    /// A stack trace is internal, and never leaves the program.
    NoStack,
    /// A JavaScript class of errors that is not built in is known by its name, not taken for `Error`.
    ErrorsKeepTheirName,
    /// Fields of a Rust object are no members: one is not there, where npm says that it is private.
    FieldsAreNoMembers,
    /// A step of a path into a list may be written as a string, which is all that npm's client can
    /// write; npm's server finds nothing there.
    IndexesAsNames,
    /// Names that every JavaScript object has are ordinary keys of data in Rust. npm drops them when
    /// it reads them.
    KeysAreData,
    /// npm gives back one reference of an id that was introduced several times, and leaks the others.
    ExactCounts,
    /// A call that was given back unanswered is cancelled. npm runs it to its end and answers.
    Cancelled,
    /// An unwanted result is asked for all the same, by `Call::send`, and so given back; npm leaves it behind.
    UnwantedResults,
    /// An object handed out twice is dropped once. npm disposes of it for each time.
    DroppedOnce,
    /// A value is sent when all of it is there. npm sends promises for the parts that are not, or that
    /// came of calls.
    WholeValues,
    /// A reference to a result not there yet travels as `import`, so that the call need not wait for
    /// it. npm sends `pipeline`, and its callee waits.
    ReferencesDoNotWait,
    /// npm writes an `abort` to a socket that is closed already.
    NothingAfterTheEnd,
    /// A call of something that is not there fails by itself. npm ends the session.
    OneCallFails,
    /// The reader of a stream has its end before it says so.
    EndIsTaken,
    /// Messages that come together are taken in together, before the reader of a stream runs. npm's runs between.
    ReadLater,
    /// A moved or dropped client can't be named in Rust, and a dropped future is not awaited.
    NothingToAsk,
    /// Rust's types have no such value.
    NoSuchValue,
}

/// Something recorded that is otherwise with us.
#[derive(Clone, Debug)]
pub struct Instead {
    pub recorded: Json,
    /// Nothing, if we do not send it.
    pub ours: Option<Json>,
    pub why: Why,
}

/// A call that fails before it is sent: its name, the way of making it, and the expected error.
pub type Unsent = (&'static str, fn(Cap) -> Attempt, ErrorKind);

pub type Attempt = Pin<Box<dyn Future<Output = Result<Value, Error>>>>;

/// Where the calls come from that a side makes.
#[derive(Clone)]
pub enum Program {
    /// Out of the objects that it serves.
    Served,
    /// Out of its program, in whose place they are made without an interface, as they were recorded.
    Recorded,
    /// Out of its program, written anew with typed clients.
    Typed(Arc<dyn Fn(Connection, Observations) -> Running>),
}

pub type Running = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// The observations of a typed program, in order.
#[derive(Clone)]
pub struct Observations(pub UnboundedSender<Json>);

impl Observations {
    pub fn value(&self, value: impl Serialize) {
        // A receiver that is gone has found a difference already.
        let _gone = self.0.send(serde_json::to_value(value).expect("plain data"));
    }

    /// A client or function.
    pub fn stub(&self) {
        self.value(json!({"js": "stub"}));
    }

    pub fn nothing(&self) {
        self.value(json!({"js": "undefined"}));
    }

    /// An error without properties.
    pub fn error<T>(&self, outcome: Result<T, Error>) {
        self.value(match outcome {
            Ok(_) => json!("no error"),
            Err(error) => seen_error(error.name(), error.message(), &[]),
        });
    }
}

/// The part of one side in a recording, as played by a Rust node.
#[derive(Clone)]
pub struct Case {
    pub rust: Side,
    pub node: fn(&Log) -> NodeBuilder,
    pub program: Program,
    pub instead: Vec<Instead>,
    /// Observations that differ from the recorded ones: the call, the observed value, and the reason.
    pub seen: Vec<(&'static str, Json, Why)>,
    pub unsent: Vec<Unsent>,
    pub not_in_rust: Vec<(&'static str, Why)>,
    /// The last event that is played, if not all is.
    pub until: Option<(&'static str, Why)>,
    /// The side that closes the transport in the course of things.
    pub closed_by: Option<Side>,
    /// Differences that the player knows how to take into account by itself.
    pub also: Vec<Why>,
}

/// The cover of the part of one side.
#[derive(Clone)]
pub enum Cover {
    Played(Box<Case>),
    /// By the test of messages that end the session.
    Fatal,
    Not(&'static str),
}

impl fmt::Display for Cover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cover::Played(case) if case.until.is_some() => f.write_str("in part"),
            Cover::Played(_) | Cover::Fatal => f.write_str("yes"),
            Cover::Not(reason) => write!(f, "no, since {reason}"),
        }
    }
}

fn case(rust: Side, node: fn(&Log) -> NodeBuilder, program: Program) -> Cover {
    Cover::Played(Box::new(Case {
        rust,
        node,
        program,
        instead: Vec::new(),
        seen: Vec::new(),
        unsent: Vec::new(),
        not_in_rust: Vec::new(),
        until: None,
        closed_by: None,
        also: Vec::new(),
    }))
}

/// A Rust node in the place of the recorded server.
pub fn serves(node: fn(&Log) -> NodeBuilder) -> Cover {
    case(Side::B, node, Program::Served)
}

/// A Rust program in the place of the recorded client.
pub fn calls() -> Cover {
    calls_and_serves(|_| Node::builder().limits(capnode_tests::timeless()))
}

/// A Rust program in the place of a recorded client that serves something, too.
pub fn calls_and_serves(node: fn(&Log) -> NodeBuilder) -> Cover {
    case(Side::A, node, Program::Recorded)
}

pub fn not(reason: &'static str) -> Cover {
    Cover::Not(reason)
}

impl Cover {
    fn with(mut self, change: impl FnOnce(&mut Case)) -> Self {
        if let Cover::Played(case) = &mut self {
            change(case);
        }
        self
    }

    /// The Rust node plays this side, not the usual one.
    pub fn side(self, side: Side) -> Self {
        self.with(|case| case.rust = side)
    }

    /// The program of this side makes calls, too.
    pub fn and_calls(self) -> Self {
        self.with(|case| case.program = Program::Recorded)
    }

    /// The program is written anew with typed clients.
    pub fn typed<F>(self, program: fn(Connection, Observations) -> F) -> Self
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let boxed = move |connection, saw| -> Running { Box::pin(program(connection, saw)) };
        self.with(|case| case.program = Program::Typed(Arc::new(boxed)))
    }

    /// We send something else.
    pub fn instead(self, recorded: Json, ours: Json, why: Why) -> Self {
        self.with(|case| case.instead.push(Instead { recorded, ours: Some(ours), why }))
    }

    /// We do not send this.
    pub fn without(self, recorded: Json, why: Why) -> Self {
        self.with(|case| case.instead.push(Instead { recorded, ours: None, why }))
    }

    /// We answer these the other way round: the end of a stream, and the call that waited for it.
    pub fn swapped(self, one: Json, other: Json) -> Self {
        let aside = json!(["resolve", "aside"]);
        let (why, first) = (Why::EndIsTaken, one.clone());
        self.instead(one, aside.clone(), why).instead(other.clone(), first, why).instead(aside, other, why)
    }

    /// We reject with an error of a Rust method: `recorded` is npm's.
    pub fn typed_error(self, recorded: Json) -> Self {
        let message = recorded[2][2].clone();
        let ours = json!(["reject", recorded[1], ["error", "Error", message, null, {"data": message}]]);
        self.instead(recorded, ours, Why::TypedErrors)
    }

    pub fn seen(self, call: &'static str, ours: Json, why: Why) -> Self {
        self.with(|case| case.seen.push((call, ours, why)))
    }

    pub fn unsent(self, call: &'static str, attempt: fn(Cap) -> Attempt, kind: ErrorKind) -> Self {
        self.with(|case| case.unsent.push((call, attempt, kind)))
    }

    /// These were made in a way for which there is nothing in Rust: [`Why::NothingToAsk`] or
    /// [`Why::NoSuchValue`].
    pub fn not_in_rust(self, calls: &[&'static str], why: Why) -> Self {
        self.with(|case| case.not_in_rust.extend(calls.iter().map(|call| (*call, why))))
    }

    pub fn until(self, call: &'static str, why: Why) -> Self {
        self.with(|case| case.until = Some((call, why)))
    }

    pub fn closed_by(self, side: Side) -> Self {
        self.with(|case| case.closed_by = Some(side))
    }

    /// One of the differences that the player takes into account by itself: [`Why::WholeValues`],
    /// [`Why::UnwantedResults`], [`Why::OneCallFails`] or [`Why::DroppedOnce`].
    pub fn also(self, why: Why) -> Self {
        self.with(|case| case.also.push(why))
    }
}
