//! Q-Connection, whose ids are text: of objects, and of the places for answers. Nothing is given back in it.

use super::Outcome::{Error, Goes, Ignored};
use super::named::{Furnished, Offered, State, places, random_in, scenes};
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

use Kind::*;
use State::*;

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
    let places = places(&mut calls, &mut peer);
    peer.receive(&format!(r#"{{"type":"resolve","to":"{}","resolution":1}}"#, places[1]));
    drop(calls.pop());
    let held = Box::new((theirs, calls, other));
    Furnished { peer, offered, held, listed: Vec::new(), lent, dropped: None, forgotten, elsewhere, places }
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
        let probe = |_: &[String]| post(r#""from":"q","#, "note", "77");
        scenes(state, furnished, |_, id| self.message(id), probe)
    }
}

#[test]
fn every_message_with_an_id_in_any_state_has_its_known_outcome() {
    let is_there = |state: &State| !matches!(state, Listed | Dropped);
    let states: Vec<_> = State::ALL.iter().copied().filter(is_there).collect();
    let played = play(TABLE, &[], Kind::ALL, &states, Kind::scenes);
    eprintln!("{} cells, in {played} scenes", Kind::ALL.len() * states.len());
}

#[rustfmt::skip]
const TABLE: &[Row<Kind, State>] = &[
    (Get, &[Empty, Lent, Twice], Goes(r#"{"type":"resolve","to":"p","resolution":{"%":"undefined"}}"#)),
    (Get, &[Unknown, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, TooLong, Number, HugeNumber, NotAnId, Missing], Error("there is no such object here, or it has been forgotten")),
    (Get, &[Ended], Ignored),

    (Post, &[Empty], Goes(r#"{"type":"resolve","to":"p","resolution":5} called 5"#)),
    (Post, &[Unknown, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, TooLong, Number, HugeNumber, NotAnId, Missing], Error("there is no such object here, or it has been forgotten")),
    (Post, &[Lent, Twice], Error("'note' is not a function.")),
    (Post, &[Ended], Ignored),

    (Apply, &[Empty], Error("'' is not a function.")),
    (Apply, &[Unknown, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, TooLong, Number, HugeNumber, NotAnId, Missing], Error("there is no such object here, or it has been forgotten")),
    (Apply, &[Lent, Twice], Goes(r#"{"type":"resolve","to":"p","resolution":5} called 5"#)),
    (Apply, &[Ended], Ignored),

    (Set, &[Empty], Error("'name' cannot be set: no property can be added")),
    (Set, &[Unknown, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, TooLong, Number, HugeNumber, NotAnId, Missing], Error("there is no such object here, or it has been forgotten")),
    (Set, &[Lent, Twice], Error("no property of this object can be set")),
    (Set, &[Ended], Ignored),

    (Delete, &[Empty], Goes(r#"{"type":"resolve","to":"p","resolution":{"%":"undefined"}}"#)),
    (Delete, &[Unknown, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, TooLong, Number, HugeNumber, NotAnId, Missing], Error("there is no such object here, or it has been forgotten")),
    (Delete, &[Lent, Twice], Error("no property of this object can be deleted")),
    (Delete, &[Ended], Ignored),

    (Keys, &[Empty], Goes(r#"{"type":"resolve","to":"p","resolution":["note","make","keep","wait"]}"#)),
    (Keys, &[Unknown, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, TooLong, Number, HugeNumber, NotAnId, Missing], Error("there is no such object here, or it has been forgotten")),
    (Keys, &[Lent, Twice], Error("this object has no list of its properties")),
    (Keys, &[Ended], Ignored),

    (When, &[Empty], Goes(r#"{"type":"resolve","to":"p","resolution":{"@":"*","type":"object"}}"#)),
    (When, &[Unknown, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, TooLong, Number, HugeNumber, NotAnId, Missing], Error("there is no such object here, or it has been forgotten")),
    (When, &[Lent, Twice], Goes(r#"{"type":"resolve","to":"p","resolution":{"@":#,"type":"function"}}"#)),
    (When, &[Ended], Ignored),

    (NoOperation, &[Empty, Lent, Twice], Error("Promise does not support operation: steal")),
    (NoOperation, &[Unknown, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, TooLong, Number, HugeNumber, NotAnId, Missing], Error("there is no such object here, or it has been forgotten")),
    (NoOperation, &[Ended], Ignored),

    (From, &[Empty, TooLong, NotAnId, Missing], Goes("called 5")),
    (From, &[Unknown, Lent, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, Twice, Number, HugeNumber], Goes(r#"{"type":"resolve","to":#,"resolution":5} called 5"#)),
    (From, &[Ended], Ignored),

    (Export, &[Empty, TooLong, NotAnId, Missing], Error("the function: argument 1: invalid type: map, expected an object or function")),
    (Export, &[Unknown, Lent, Forgotten, Pending, Answered, GivenUp, OtherConnection, Reserved, Number, HugeNumber], Goes(r#"{"type":"resolve","to":"p","resolution":{"%":"undefined"}} imports+1"#)),
    (Export, &[Theirs, Twice], Goes(r#"{"type":"resolve","to":"p","resolution":{"%":"undefined"}}"#)),
    (Export, &[Ended], Ignored),

    (Own, &[Empty, Lent, Twice], Goes(r#"{"type":"resolve","to":"p","resolution":{"%":"undefined"}}"#)),
    (Own, &[Unknown, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, TooLong, Number, HugeNumber, NotAnId, Missing], Error("the function: argument 1: invalid type: map, expected an object or function")),
    (Own, &[Ended], Ignored),

    (Resolve, &[Empty, Unknown, Lent, Forgotten, Theirs, Answered, OtherConnection, Reserved, Twice, TooLong, Number, HugeNumber, NotAnId, Missing, Ended], Ignored),
    (Resolve, &[Pending, GivenUp], Goes("imports-1 calls-1")),

    (Reject, &[Empty, Unknown, Lent, Forgotten, Theirs, Answered, OtherConnection, Reserved, Twice, TooLong, Number, HugeNumber, NotAnId, Missing, Ended], Ignored),
    (Reject, &[Pending, GivenUp], Goes("imports-1 calls-1")),

    (Notify, &[Pending], Goes("progress 5")),
    (Notify, &[Empty, Unknown, Lent, Forgotten, Theirs, Answered, GivenUp, OtherConnection, Reserved, Twice, TooLong, Number, HugeNumber, NotAnId, Missing, Ended], Ignored),

    (NoKind, &[Empty, Unknown, Lent, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, Twice, TooLong, Number, HugeNumber, NotAnId, Missing, Ended], Ignored),
];
