//! Q-Connection, whose ids are text: of objects, and of the places for answers. Nothing is given back in it.

use super::Outcome::{Error, Goes, Ignored};
use super::named::{Offered, random_in};
use super::*;

all! {
    /// The message of the peer, and the place of the id in it.
    enum Kind {
        /// The operations on it.
        Get,
        Post,
        Apply,
        Set,
        Delete,
        Keys,
        When,
        /// One that there is not.
        NoOperation,
        /// Calls something else, with the id as the place for the answer.
        From,
        /// Words in the arguments of a call.
        Export,
        Own,
        Resolve,
        /// A rejection.
        Reject,
        /// Reports the progress of a call.
        Notify,
        /// A kind that the language does not have.
        NoKind,
    }
}

all! {
    /// The referent of the id. All but the last five are text.
    enum State {
        /// The empty one, which is the index.
        Index,
        /// Of nothing that ever was.
        Unknown,
        /// A function that was lent.
        Lent,
        /// One that was forgotten, since there were too many.
        Forgotten,
        /// A function of the peer.
        Theirs,
        /// The place for the answer of a call that waits.
        Pending,
        /// The place for the answer of a call that was answered.
        Answered,
        /// The place for the answer of a call that was given up.
        GivenUp,
        /// Of a function that is lent on another connection.
        OtherConnection,
        /// A name that every object has in JavaScript.
        Reserved,
        /// Of a lent function, in a message that repeats the one before.
        Twice,
        /// Longer than any id.
        TooLong,
        Number,
        HugeNumber,
        NotAnId,
        Missing,
        /// The session has ended.
        Ended,
    }
}

use Kind::*;
use State::*;

/// A session with ids in all states.
struct Furnished {
    peer: Endpoint,
    offered: Offered,
    held: Held,
    lent: String,
    forgotten: String,
    elsewhere: String,
    /// The places for the answers of our calls: one waits, one has come, one was given up.
    places: [String; 3],
}

fn post(from: &str, name: &str, arguments: &str) -> String {
    format!(r#"{{"type":"send","to":"",{from}"op":"post","args":["{name}",[{arguments}]]}}"#)
}

fn make(peer: &mut Endpoint) -> String {
    peer.receive(&post(r#""from":"m","#, "make", ""));
    random_in(&peer.frames().concat()).pop().expect("a function is lent")
}

fn furnished() -> Furnished {
    let offered = Offered::new();
    let mut other = offered.peer(100);
    let elsewhere = make(&mut other);
    let mut peer = offered.peer(1);
    // For a second there is no room.
    let [forgotten, lent] = [(), ()].map(|()| make(&mut peer));
    peer.receive(&post("", "keep", r#"{"@":"theirs","type":"function"}"#));
    let theirs = offered.kept.take().expect("it was kept");
    let call = |number: u32| {
        let log = offered.log.clone();
        let call: ::capnode::Call<Value> = theirs.apply((number,));
        call.on_progress(move |step: u32| log.push(format_args!("progress {step}")))
    };
    let mut calls: Vec<_> = (0..3).map(call).collect();
    drop(peer.frames());
    let mut places = calls.iter_mut().map(|call| {
        assert!(poll(call).is_pending());
        random_in(&peer.frames().concat()).pop().expect("a place for the answer")
    });
    let places = [(); 3].map(|()| places.next().expect("three calls"));
    peer.receive(&format!(r#"{{"type":"resolve","to":"{}","resolution":1}}"#, places[1]));
    drop(calls.pop());
    Furnished { peer, offered, held: Box::new((theirs, calls, other)), lent, forgotten, elsewhere, places }
}

impl Kind {
    /// The message, with the id as it is written; none leaves it out.
    fn message(self, id: Option<&str>) -> String {
        let member = |name: &str| id.map_or_else(String::new, |id| format!(r#""{name}":{id},"#));
        let send = |op: &str, args: &str| {
            format!(r#"{{"type":"send",{}"from":"p","op":"{op}","args":[{args}]}}"#, member("to"))
        };
        let answer =
            |kind: &str, value: &str| format!(r#"{{"type":"{kind}",{}"resolution":{value}}}"#, member("to"));
        match self {
            Get => send("get", r#""name""#),
            Post => send("post", r#""note",[5]"#),
            Apply => send("apply", r#"null,[5]"#),
            Set => send("set", r#""name",5"#),
            Delete => send("delete", r#""name""#),
            Keys => send("keys", ""),
            When => send("when", ""),
            NoOperation => send("steal", ""),
            From => post(&member("from"), "note", "5"),
            Export => {
                post(r#""from":"p","#, "keep", &format!(r#"{{"@":{},"type":"function"}}"#, id.unwrap_or("0")))
            }
            Own => post(r#""from":"p","#, "keep", &format!(r#"{{"@l":{}}}"#, id.unwrap_or("0"))),
            Resolve => answer("resolve", "5"),
            Reject => answer("resolve", r#"{"!":{"message":"no"}}"#),
            Notify => answer("notify", "5"),
            NoKind => answer("release", "5"),
        }
    }

    fn scenes(self, state: State) -> Vec<Scene> {
        let count = match state {
            NotAnId => 4,
            Reserved => 3,
            _ => 1,
        };
        (0..count).map(|number| self.scene(state, number)).collect()
    }

    fn scene(self, state: State, number: usize) -> Scene {
        let Furnished { mut peer, offered, held, lent, forgotten, elsewhere, places } = furnished();
        let quoted = |text: &str| format!("\"{text}\"");
        let id = match state {
            Index => quoted(""),
            Unknown => quoted("nobody"),
            Lent | Twice | Ended => quoted(&lent),
            Forgotten => quoted(&forgotten),
            Theirs => quoted("theirs"),
            Pending => quoted(&places[0]),
            Answered => quoted(&places[1]),
            GivenUp => quoted(&places[2]),
            OtherConnection => quoted(&elsewhere),
            Reserved => quoted(["__proto__", "constructor", "toString"][number]),
            TooLong => quoted(&"x".repeat(1_025)),
            Number => "7".to_owned(),
            HugeNumber => "1e400".to_owned(),
            NotAnId => ["null", "{}", "[]", "true"][number].to_owned(),
            Missing => String::new(),
        };
        let message = self.message(Some(id.as_str()).filter(|id| !id.is_empty()));
        match state {
            Twice => peer.receive(&message),
            // A message that is longer than any may be.
            Ended => peer.receive(&" ".repeat(20_001)),
            _ => {}
        }
        let probe = (post(r#""from":"q","#, "note", "77"), "77");
        let Offered { log, index, kept } = offered;
        Scene { peer, log, held: Box::new((held, index, kept)), id, message, probe }
    }
}

#[test]
fn every_message_with_an_id_in_any_state_has_its_known_outcome() {
    let played = play(TABLE, &[], Kind::ALL, State::ALL, Kind::scenes);
    eprintln!("{} cells, in {played} scenes", Kind::ALL.len() * State::ALL.len());
}

#[rustfmt::skip]
const TABLE: &[Row<Kind, State>] = &[
    (Get, &[Index, Lent, Twice], Goes(r#"{"type":"resolve","to":"p","resolution":{"%":"undefined"}}"#)),
    (Get, &[Unknown, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, TooLong, Number, HugeNumber, NotAnId, Missing], Error("there is no such object here, or it has been forgotten")),
    (Get, &[Ended], Ignored),

    (Post, &[Index], Goes(r#"{"type":"resolve","to":"p","resolution":5} called 5"#)),
    (Post, &[Unknown, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, TooLong, Number, HugeNumber, NotAnId, Missing], Error("there is no such object here, or it has been forgotten")),
    (Post, &[Lent, Twice], Error("'note' is not a function.")),
    (Post, &[Ended], Ignored),

    (Apply, &[Index], Error("'' is not a function.")),
    (Apply, &[Unknown, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, TooLong, Number, HugeNumber, NotAnId, Missing], Error("there is no such object here, or it has been forgotten")),
    (Apply, &[Lent, Twice], Goes(r#"{"type":"resolve","to":"p","resolution":5} called 5"#)),
    (Apply, &[Ended], Ignored),

    (Set, &[Index], Error("'name' cannot be set: no property can be added")),
    (Set, &[Unknown, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, TooLong, Number, HugeNumber, NotAnId, Missing], Error("there is no such object here, or it has been forgotten")),
    (Set, &[Lent, Twice], Error("no property of it can be set")),
    (Set, &[Ended], Ignored),

    (Delete, &[Index], Goes(r#"{"type":"resolve","to":"p","resolution":{"%":"undefined"}}"#)),
    (Delete, &[Unknown, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, TooLong, Number, HugeNumber, NotAnId, Missing], Error("there is no such object here, or it has been forgotten")),
    (Delete, &[Lent, Twice], Error("no property of it can be deleted")),
    (Delete, &[Ended], Ignored),

    (Keys, &[Index], Goes(r#"{"type":"resolve","to":"p","resolution":["note","make","keep","wait"]}"#)),
    (Keys, &[Unknown, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, TooLong, Number, HugeNumber, NotAnId, Missing], Error("there is no such object here, or it has been forgotten")),
    (Keys, &[Lent, Twice], Error("it has no list of its properties")),
    (Keys, &[Ended], Ignored),

    (When, &[Index], Goes(r#"{"type":"resolve","to":"p","resolution":{"@":"*","type":"object"}}"#)),
    (When, &[Unknown, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, TooLong, Number, HugeNumber, NotAnId, Missing], Error("there is no such object here, or it has been forgotten")),
    (When, &[Lent, Twice], Goes(r#"{"type":"resolve","to":"p","resolution":{"@":#,"type":"function"}}"#)),
    (When, &[Ended], Ignored),

    (NoOperation, &[Index, Lent, Twice], Error("Promise does not support operation: steal")),
    (NoOperation, &[Unknown, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, TooLong, Number, HugeNumber, NotAnId, Missing], Error("there is no such object here, or it has been forgotten")),
    (NoOperation, &[Ended], Ignored),

    (From, &[Index, TooLong, NotAnId, Missing], Goes("called 5")),
    (From, &[Unknown, Lent, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, Twice, Number, HugeNumber], Goes(r#"{"type":"resolve","to":#,"resolution":5} called 5"#)),
    (From, &[Ended], Ignored),

    (Export, &[Index, TooLong, NotAnId, Missing], Error("the function: argument 1: invalid type: map, expected an object or function")),
    (Export, &[Unknown, Lent, Forgotten, Pending, Answered, GivenUp, OtherConnection, Reserved, Number, HugeNumber], Goes(r#"{"type":"resolve","to":"p","resolution":{"%":"undefined"}} imports+1"#)),
    (Export, &[Theirs, Twice], Goes(r#"{"type":"resolve","to":"p","resolution":{"%":"undefined"}}"#)),
    (Export, &[Ended], Ignored),

    (Own, &[Index, Lent, Twice], Goes(r#"{"type":"resolve","to":"p","resolution":{"%":"undefined"}}"#)),
    (Own, &[Unknown, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, TooLong, Number, HugeNumber, NotAnId, Missing], Error("the function: argument 1: invalid type: map, expected an object or function")),
    (Own, &[Ended], Ignored),

    (Resolve, &[Index, Unknown, Lent, Forgotten, Theirs, Answered, OtherConnection, Reserved, Twice, TooLong, Number, HugeNumber, NotAnId, Missing, Ended], Ignored),
    (Resolve, &[Pending, GivenUp], Goes("imports-1 calls-1")),

    (Reject, &[Index, Unknown, Lent, Forgotten, Theirs, Answered, OtherConnection, Reserved, Twice, TooLong, Number, HugeNumber, NotAnId, Missing, Ended], Ignored),
    (Reject, &[Pending, GivenUp], Goes("imports-1 calls-1")),

    (Notify, &[Pending], Goes("progress 5")),
    (Notify, &[Index, Unknown, Lent, Forgotten, Theirs, Answered, GivenUp, OtherConnection, Reserved, Twice, TooLong, Number, HugeNumber, NotAnId, Missing, Ended], Ignored),

    (NoKind, &[Index, Unknown, Lent, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, Twice, TooLong, Number, HugeNumber, NotAnId, Missing, Ended], Ignored),
];
