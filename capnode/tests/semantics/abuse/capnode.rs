//! Capnode, whose ids are text: of functions, and of the places for answers.

use super::Outcome::{Error, Goes, Ignored};
use super::named::{Furnished, Offered, State, places, random_in, scenes};
use super::*;

all! {
    /// The message of the peer, and the place of the id in it.
    enum Kind {
        /// Asks for the index, with the id as the place for the answer.
        Index,
        /// Calls it.
        Invocation,
        /// Calls something else, with the id as the place for the answer.
        Reply,
        /// Calls something else, with the id as that of a function in the arguments.
        Function,
        Return,
        Failure,
        Dealloc,
        /// A kind that the language does not have.
        NoKind,
    }
}

use Kind::*;
use State::*;

fn invoke(function: &str, place: &str, links: &str, arguments: &str) -> String {
    let last = if links.is_empty() { 0 } else { 1 };
    let comma = if links.is_empty() { "" } else { "," };
    format!(
        r#"{{"type":"invocation","methodId":"{function}","replyId":"{place}","arguments":{{"links":[{links}{comma}[{arguments}]],"value":{{"type":2,"id":{last}}}}}}}"#
    )
}

/// The functions of the index, in its order.
fn ask_index(peer: &mut Endpoint) -> Vec<String> {
    peer.receive(r#"{"type":"index","methodId":"i"}"#);
    random_in(&peer.frames().concat())
}

fn make(peer: &mut Endpoint, function: &str) -> String {
    peer.receive(&invoke(function, "m", "", ""));
    random_in(&peer.frames().concat()).pop().expect("a function is lent")
}

fn furnished() -> Furnished {
    let offered = Offered::new();
    let mut other = offered.peer(100);
    let there = ask_index(&mut other);
    let elsewhere = make(&mut other, &there[1]);
    let mut peer = offered.peer(2);
    let listed = ask_index(&mut peer);
    // For a third there is no room.
    let [forgotten, dropped, lent] = [(), (), ()].map(|()| make(&mut peer, &listed[1]));
    peer.receive(&format!(r#"{{"type":"dealloc","methodId":"{dropped}","replyId":"d"}}"#));
    peer.receive(&invoke(&listed[2], "k", r#""theirs""#, r#"{"type":1,"id":0}"#));
    drop(peer.frames());
    let theirs = offered.kept.take().expect("it was kept");
    let mut calls: Vec<::capnode::Call<Value>> = (0..3).map(|number| theirs.apply((number,))).collect();
    let places = places(&mut calls, &mut peer);
    peer.receive(&format!(
        r#"{{"type":"return","methodId":"{}","value":{{"links":[],"value":1}}}}"#,
        places[1]
    ));
    drop(calls.pop());
    Furnished {
        peer,
        offered,
        held: Box::new((theirs, calls, other)),
        listed,
        lent,
        dropped: Some(dropped),
        forgotten,
        elsewhere,
        places,
    }
}

impl Kind {
    /// The message, with the id as it is written; none leaves it out.
    fn message(self, listed: &[String], id: Option<&str>) -> String {
        let member = |name: &str| id.map_or_else(String::new, |id| format!(r#","{name}":{id}"#));
        let five = r#","arguments":{"links":[[5]],"value":{"type":2,"id":0}}"#;
        let value = r#","value":{"links":[],"value":5}"#;
        match self {
            Index => format!(r#"{{"type":"index"{}}}"#, member("methodId")),
            Invocation => format!(r#"{{"type":"invocation"{},"replyId":"p"{five}}}"#, member("methodId")),
            Reply => {
                format!(r#"{{"type":"invocation","methodId":"{}"{}{five}}}"#, listed[0], member("replyId"))
            }
            Function => invoke(&listed[2], "p", id.unwrap_or("null"), r#"{"type":1,"id":0}"#),
            Return => format!(r#"{{"type":"return"{}{value}}}"#, member("methodId")),
            Failure => format!(r#"{{"type":"error"{},"value":{{"message":"no"}}}}"#, member("methodId")),
            Dealloc => format!(r#"{{"type":"dealloc"{},"replyId":"p"}}"#, member("methodId")),
            NoKind => format!(r#"{{"type":"release"{}}}"#, member("methodId")),
        }
    }

    fn scenes(self, state: State) -> Vec<Scene> {
        let probe = |listed: &[String]| invoke(&listed[0], "q", "", "77");
        scenes(state, furnished, |listed, id| self.message(listed, id), probe)
    }
}

#[test]
fn every_message_with_an_id_in_any_state_has_its_known_outcome() {
    let played = play(TABLE, &[], Kind::ALL, State::ALL, Kind::scenes);
    eprintln!("{} cells, in {played} scenes", Kind::ALL.len() * State::ALL.len());
}

#[rustfmt::skip]
const TABLE: &[Row<Kind, State>] = &[
    (Index, &[Unknown, Lent, Dropped, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, Twice, Number, HugeNumber], Goes(r#"{"type":"return","methodId":#,"value":{"links":[{"note":{"type":1,"id":1},"make":{"type":1,"id":2},"keep":{"type":1,"id":3},"wait":{"type":1,"id":4}},"*","*","*","*"],"value":{"type":0,"id":0}}}"#)),
    (Index, &[Listed], Goes(r#"{"type":"return","methodId":#,"value":{"links":[{"note":{"type":1,"id":1},"make":{"type":1,"id":2},"keep":{"type":1,"id":3},"wait":{"type":1,"id":4}},#,"*","*","*"],"value":{"type":0,"id":0}}}"#)),
    (Index, &[Empty, TooLong, NotAnId, Missing, Ended], Ignored),

    (Invocation, &[Unknown, Dropped, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, Number, HugeNumber], Error("there is no such function here, or it was released")),
    (Invocation, &[Listed, Lent, Twice], Goes(r#"{"type":"return","methodId":"p","value":{"links":[],"value":5}} called 5"#)),
    (Invocation, &[Empty, TooLong, NotAnId, Missing, Ended], Ignored),

    (Reply, &[Unknown, Listed, Lent, Dropped, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, Twice, Number, HugeNumber], Goes(r#"{"type":"return","methodId":#,"value":{"links":[],"value":5}} called 5"#)),
    (Reply, &[Empty, TooLong, NotAnId, Missing], Goes("called 5")),
    (Reply, &[Ended], Ignored),

    (Function, &[Unknown, Listed, Lent, Dropped, Forgotten, Pending, Answered, GivenUp, OtherConnection, Reserved, Number, HugeNumber], Goes(r#"{"type":"return","methodId":"p","value":{"links":[]}} imports+1"#)),
    (Function, &[Theirs, Twice], Goes(r#"{"type":"return","methodId":"p","value":{"links":[]}}"#)),
    (Function, &[Empty, TooLong, NotAnId, Missing], Error("the function: argument 1: invalid type: unit value, expected an object or function")),
    (Function, &[Ended], Ignored),

    (Return, &[Unknown, Listed, Lent, Dropped, Forgotten, Theirs, Answered, OtherConnection, Reserved, Empty, Twice, TooLong, Number, HugeNumber, NotAnId, Missing, Ended], Ignored),
    (Return, &[Pending, GivenUp], Goes("imports-1 calls-1")),

    (Failure, &[Unknown, Listed, Lent, Dropped, Forgotten, Theirs, Answered, OtherConnection, Reserved, Empty, Twice, TooLong, Number, HugeNumber, NotAnId, Missing, Ended], Ignored),
    (Failure, &[Pending, GivenUp], Goes("imports-1 calls-1")),

    (Dealloc, &[Unknown, Dropped, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, Twice, Number, HugeNumber], Goes(r#"{"type":"return","methodId":"p"}"#)),
    (Dealloc, &[Listed], Goes(r#"{"type":"return","methodId":"p"} exports-1 gone"#)),
    (Dealloc, &[Lent], Goes(r#"{"type":"return","methodId":"p"} exports-1"#)),
    (Dealloc, &[Empty, TooLong, NotAnId, Missing, Ended], Ignored),

    (NoKind, &[Unknown, Listed, Lent, Dropped, Forgotten, Theirs, Pending, Answered, GivenUp, OtherConnection, Reserved, Empty, Twice, TooLong, Number, HugeNumber, NotAnId, Missing, Ended], Ignored),
];
