//! The language, as text.

use super::*;
use proptest::prelude::*;

use crate::dialect::testing::{FLAT, ThinVec, marked, nearly, numbered, shown};

mod recordings;
mod tables;

fn read(codec: &mut Codec, frame: &str) -> Option<Message> {
    codec.parse(frame, &Limits::default(), &mut ThinVec(9, 1)).unwrap()
}

/// Reads a frame with the call of this number.
fn read_call(codec: &mut Codec, number: Id, frame: &str) -> Option<Message> {
    codec.parse(frame, &Limits::default(), &mut ThinVec(9, number)).unwrap()
}

fn said(op: Option<Message>) -> String {
    match op {
        None => "nothing".to_owned(),
        Some(Message::Call {
            target, path: Path::Empty, args, return_mode: ReturnMode::Streamed, ..
        }) => {
            format!("{target} {}", args.as_ref().map_or_else(|| "-".to_owned(), shown))
        }
        Some(Message::Answer { id, outcome: Ok(value) }) => format!("{id} ok {}", shown(&value)),
        Some(Message::Answer { id, outcome: Err(reason) }) => format!("{id} err {}", shown(&reason)),
        Some(Message::Release { id, count: u64::MAX }) => format!("release {id}"),
        Some(other) => panic!("{other:?}"),
    }
}

fn written(codec: &mut Codec, op: &Message) -> String {
    let mut out = String::new();
    codec.write(op, &mut ThinVec(9, 1), &mut out).unwrap();
    codec.flush(true);
    out.extend(codec.exchange.take_reply());
    out
}

fn refused(codec: &mut Codec, op: &Message) -> String {
    let mut out = String::from("before");
    let refused = codec.write(op, &mut ThinVec(9, 1), &mut out).unwrap_err();
    assert_eq!(out, "before");
    refused.to_string()
}

fn call(target: Id, args: Option<&str>) -> Message {
    let args = args.map(|args| Payload::plain(args.to_owned()));
    Message::Call { id: 1, target, path: Path::Empty, args, return_mode: ReturnMode::Streamed }
}

/// Returns all that a frame does to a codec with two calls, read with or without the short way.
fn effects(frame: &str, limits: &Limits, short_way: bool) -> String {
    let mut codec = Codec::new(7);
    (1..=2).for_each(|call| codec.own.ask(call));
    let mut names = ThinVec(1, 1);
    let message = if short_way {
        codec.parse(frame, limits, &mut names)
    } else {
        codec.parse_any(frame, limits, &mut names)
    };
    let message = message.map_err(|error| error.to_string());
    let (reply, lost) = (codec.exchange.take_reply(), codec.exchange.take_unknown_target());
    format!("{message:?} {reply:?} {lost:?} {:?} {}", codec.exchange.place(1), codec.own.is_open(2))
}

fn usual_frames() -> Vec<String> {
    let list = |value: &str| format!(r#"{{"links":[{value}],"value":{{"type":2,"id":0}}}}"#);
    let call =
        |names: &str, value: &str| format!(r#"{{"type":"invocation",{names},"arguments":{}}}"#, list(value));
    let own = Codec::new(7).own;
    let answer = |id: &str, value: &str| {
        format!(r#"{{"type":"return","methodId":"{id}","value":{{"links":[],"value":{value}}}}}"#)
    };
    let frames = |value| {
        [
            call(r#""methodId":"f1","replyId":"a""#, value),
            // With an escape in a name.
            call(r#""methodId":"\u00661","replyId":"a""#, value),
            call(r#""methodId":"f1","replyId":"\u0061""#, value),
            answer(&own.call.id(2), value),
            answer(&own.index.id(2), value),
        ]
    };
    FLAT.iter().copied().flat_map(frames).collect()
}

proptest! {
    #[test]
    fn the_short_way_of_usual_frames_does_as_the_general_one((frame, limits) in nearly(usual_frames())) {
        prop_assert_eq!(effects(&frame, &limits, true), effects(&frame, &limits, false));
    }
}

#[test]
fn usual_frames_go_the_short_way() {
    let is_short = |frame: &&String| {
        let mut codec = Codec::new(7);
        (1..=2).for_each(|call| codec.own.ask(call));
        codec.parse_usual(frame, &Limits::default(), &mut ThinVec(1, 1)).is_some()
    };
    let frames = usual_frames();
    assert_eq!(frames.iter().filter(is_short).count(), 4 + 7);
}

#[test]
fn flat_values_are_written_as_others_are() {
    for text in FLAT {
        // With white space before it, it is not flat.
        let [flat, general] = [String::new(), " ".to_owned()].map(|before| {
            let value = Payload::plain(before.clone() + text);
            let mut codec = Codec::new(7);
            codec.functions.mention("\"a\"", false);
            let mut out = String::new();
            let call = call(-1, Some(&(before + text)));
            let sent = codec.write(&call, &mut ThinVec(9, 1), &mut out).map_err(|error| error.to_string());
            codec.exchange.add(1, Some("1".to_owned()));
            (sent, out, written(&mut codec, &Message::Answer { id: 1, outcome: Ok(value) }))
        });
        assert_eq!(flat, general, "{text}");
    }
}

/// A value in an invocation's place for one.
fn arguments(table: &str) -> String {
    let frame = format!(r#"{{"type":"invocation","methodId":"f1","replyId":"r","arguments":{table}}}"#);
    let mut codec = Codec::new(1);
    let said = said(read(&mut codec, &frame));
    match codec.exchange.take_reply() {
        None => said.strip_prefix("-1 ").unwrap().to_owned(),
        Some(reply) => reply,
    }
}

/// Reads an answer to an `index` with this table, and shows the answer.
fn index(codec: &mut Codec, table: &str) -> String {
    let frame = written(codec, &call(0, None));
    let id = frame.strip_prefix(r#"{"type":"index","methodId":""#).unwrap().strip_suffix("\"}").unwrap();
    assert_eq!(id.len(), 40);
    said(read(codec, &format!(r#"{{"type":"return","methodId":"{id}","value":{table}}}"#)))
}

fn value(table: &str) -> String {
    index(&mut Codec::new(1), table).strip_prefix("1 ok ").unwrap().to_owned()
}

fn outcome(outcome: Result<Payload<CapDescriptor>, Payload<CapDescriptor>>) -> String {
    let mut codec = Codec::new(1);
    read(&mut codec, r#"{"type":"index","methodId":"r"}"#);
    written(&mut codec, &Message::Answer { id: 1, outcome })
}

fn table(text: &str) -> String {
    table_of(Payload::plain(text.to_owned()))
}

fn table_of(payload: Payload<CapDescriptor>) -> String {
    let frame = outcome(Ok(payload));
    let table = frame.strip_prefix(r#"{"type":"return","methodId":"r","value":"#);
    table.map_or_else(|| frame.clone(), |table| table.strip_suffix('}').unwrap().to_owned())
}

#[test]
fn every_message_is_read_and_written() {
    let mut codec = Codec::new(1);
    assert_eq!(said(read(&mut codec, r#"{"type":"index","methodId":"i"}"#)), "0 -");
    let invocation = r#"{"type":"invocation","methodId":"f2","replyId":7,"arguments":{"links":[[1]],"value":{"type":2,"id":0}}}"#;
    assert_eq!(said(read_call(&mut codec, 2, invocation)), "-2 [1]");
    let unanswered = r#"{"methodId":"f3","type":"invocation"}"#;
    assert_eq!(said(read_call(&mut codec, 3, unanswered)), "-3 []");
    let answer = |id| Message::Answer { id, outcome: Ok(Payload::plain("5".to_owned())) };
    let expected = r#"{"type":"return","methodId":7,"value":{"links":[],"value":5}}"#;
    assert_eq!(written(&mut codec, &answer(2)), expected);
    for id in [2, 3, 9, -1] {
        assert_eq!(written(&mut codec, &answer(id)), "");
    }
    assert_eq!(codec.exchange.len(), 1);

    assert_eq!(index(&mut codec, r#"{"links":["a"],"value":{"type":1,"id":0}}"#), "1 ok <function -1>");
    let frame = written(&mut codec, &numbered(2, call(-1, Some("[[[]]]"))));
    let reply = codec.own.call.id(2);
    assert_eq!(reply.len(), 20);
    let arguments = r#"{"links":[[],[{"type":2,"id":0}]],"value":{"type":2,"id":1}}"#;
    let expected =
        format!(r#"{{"type":"invocation","methodId":"a","replyId":"{reply}","arguments":{arguments}}}"#);
    assert_eq!(frame, expected);
    let error = format!(r#"{{"type":"error","methodId":"{reply}","value":{{"message":"no","stack":"at"}}}}"#);
    assert_eq!(said(read(&mut codec, &error)), r#"2 err ["error","Error","no"]"#);
}

#[test]
fn what_the_language_cannot_ask_is_refused() {
    let mut codec = Codec::new(1);
    index(&mut codec, r#"{"links":["a"],"value":{"type":1,"id":0}}"#);
    let path = Message::Call {
        id: 1,
        target: -1,
        path: Path::name("n"),
        args: None,
        return_mode: ReturnMode::Streamed,
    };
    for op in [
        call(0, Some("[]")),
        call(-1, None),
        call(5, Some("[]")),
        call(-2, Some("[]")),
        path,
        call(-1, Some(r#"[["nan"]]"#)),
        call(-1, Some(r#"[["inf"]]"#)),
        call(-1, Some(r#"[["date",1]]"#)),
        call(-1, Some(r#"[["headers",[]]]"#)),
        call(-1, Some(r#"[["bigint","9007199254740993"]]"#)),
        Message::Evaluate { id: 1, value: Payload::plain("1".to_owned()), return_mode: ReturnMode::Retained },
    ] {
        refused(&mut codec, &op);
    }
}

#[test]
fn a_function_that_is_not_known_is_an_error_and_not_silence() {
    let mut codec = Codec::new(1);
    let frame = r#"{"type":"invocation","methodId":"gone","replyId":"r1","arguments":{"links":[[]],"value":{"type":2,"id":0}}}"#;
    assert_eq!(read(&mut codec, frame), None);
    let reply = codec.exchange.take_reply().unwrap();
    assert!(reply.starts_with(r#"{"type":"error","methodId":"r1","value":{"message":""#), "{reply}");
    assert_eq!(codec.exchange.take_unknown_target(), Some("gone".to_owned()));
    assert_eq!(read(&mut codec, r#"{"type":"invocation","methodId":"gone"}"#), None);
    assert_eq!(codec.exchange.take_reply(), None);
}

#[test]
fn every_dealloc_is_answered() {
    let mut codec = Codec::new(1);
    for (id, expected) in [("f1", "release -1"), ("f1", "release -1"), ("gone", "nothing")] {
        let frame = format!(r#"{{"type":"dealloc","methodId":"{id}","replyId":"r"}}"#);
        assert_eq!(said(read(&mut codec, &frame)), expected);
        assert_eq!(codec.exchange.take_reply().as_deref(), Some(r#"{"type":"return","methodId":"r"}"#));
    }
    assert_eq!(said(read(&mut codec, r#"{"type":"dealloc","methodId":"f1"}"#)), "release -1");
    assert_eq!(codec.exchange.take_reply(), None);
}

#[test]
fn answers_that_nobody_waits_for_and_what_makes_no_sense_are_ignored() {
    let mut codec = Codec::new(1);
    for frame in [
        "",
        "str",
        "null",
        "0",
        "[]",
        "{}",
        r#"{"type":"nope","methodId":"x"}"#,
        r#"{"type":"index"}"#,
        r#"{"type":"index","methodId":null}"#,
        r#"{"type":"return"}"#,
        r#"{"type":"dealloc","replyId":"r"}"#,
        r#"{"type":"return","methodId":"x","value":{"links":[],"value":1}}"#,
        r#"{"type":"error","methodId":"x","value":{"message":"m"}}"#,
    ] {
        assert_eq!(read(&mut codec, frame), None, "{frame}");
    }
    assert_eq!(codec.exchange.take_reply(), None);
    assert_eq!(codec.exchange.len(), 0);
    // Ids of calls that were not made yet.
    let early = format!(r#"{{"type":"return","methodId":"{}"}}"#, codec.own.call.id(1));
    assert_eq!(read(&mut codec, &early), None);
}

#[test]
fn what_an_index_lists_is_never_given_back() {
    let mut codec = Codec::new(1);
    index(&mut codec, r#"{"links":["a"],"value":{"type":1,"id":0}}"#);
    assert_eq!(written(&mut codec, &Message::Release { id: -1, count: 1 }), "");
    refused(&mut codec, &call(-1, Some("[]")));
    // Nor if it comes by another way.
    let lend = r#"{"type":"invocation","methodId":"f1","arguments":{"links":["a",[{"type":1,"id":0}]],"value":{"type":2,"id":1}}}"#;
    assert_eq!(said(read(&mut codec, lend)), "-1 [<function -2>]");
    assert_eq!(written(&mut codec, &Message::Release { id: -2, count: 1 }), "");
}

#[test]
fn what_was_given_back_is_dead_until_the_peer_knows() {
    let mut codec = Codec::new(1);
    let lend = r#"{"type":"invocation","methodId":"f1","arguments":{"links":["a",[{"type":1,"id":0}]],"value":{"type":2,"id":1}}}"#;
    assert_eq!(said(read(&mut codec, lend)), "-1 [<function -1>]");
    let frame = written(&mut codec, &Message::Release { id: -1, count: 1 });
    let reply = frame.strip_prefix(r#"{"type":"dealloc","methodId":"a","replyId":""#).unwrap();
    let reply = reply.strip_suffix("\"}").unwrap();
    assert_eq!(reply.len(), 20);
    assert_eq!(said(read(&mut codec, lend)), "-1 [<function -2>]");
    assert!(refused(&mut codec, &call(-2, Some("[]"))).contains("the function was released"));
    assert_eq!(written(&mut codec, &Message::Release { id: -2, count: 1 }), "");
    assert_eq!(read(&mut codec, &format!(r#"{{"type":"return","methodId":"{reply}"}}"#)), None);
    assert_eq!((codec.exchange.take_reply(), codec.exchange.take_unknown_target()), (None, None));
    assert_eq!(said(read(&mut codec, lend)), "-1 [<function -3>]");
    assert!(written(&mut codec, &call(-3, Some("[]"))).contains(r#""methodId":"a""#));
}
