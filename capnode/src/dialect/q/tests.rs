//! The language, as text.

use super::*;
use proptest::prelude::*;

use crate::dialect::testing::{FLAT, ThinVec, marked, nearly, numbered, shown};

mod recordings;
mod values;

/// Reads a frame from a peer that has all of `f1` to `f9`.
fn read(codec: &mut Codec, frame: &str) -> Option<Message> {
    codec.parse(frame, &Limits::default(), &mut ThinVec(9, 1)).unwrap()
}

/// Reads a frame with the call of this number.
fn read_call(codec: &mut Codec, number: Id, frame: &str) -> Option<Message> {
    codec.parse(frame, &Limits::default(), &mut ThinVec(9, number)).unwrap()
}

/// Tells the effect of a frame: nothing, or a call with its target, path and arguments, or an answer.
fn said(op: Option<Message>) -> String {
    match op {
        None => "nothing".to_owned(),
        Some(Message::Call { target, path, args, return_mode: ReturnMode::Streamed, .. }) => {
            let steps: Vec<String> = path.as_slice().iter().map(ToString::to_string).collect();
            let args = args.as_ref().map_or_else(|| "-".to_owned(), shown);
            format!("{target} .{} {args}", steps.join("."))
        }
        Some(Message::Answer { id, outcome: Ok(value) }) => format!("{id} ok {}", shown(&value)),
        Some(Message::Answer { id, outcome: Err(reason) }) => format!("{id} err {}", shown(&reason)),
        Some(Message::Progress { id, value }) => format!("{id} so far {}", shown(&value)),
        Some(other) => panic!("{other:?}"),
    }
}

fn written(codec: &mut Codec, op: &Message) -> String {
    let mut out = String::new();
    codec.write(op, &mut ThinVec(9, 1), &mut out).unwrap();
    out
}

fn call(target: Id, path: Path, args: Option<&str>) -> Message {
    let args = args.map(|args| Payload::plain(args.to_owned()));
    Message::Call { id: 1, target, path, args, return_mode: ReturnMode::Streamed }
}

fn send(op: &str, args: &str) -> String {
    format!(r#"{{"type":"send","to":"","from":"a","op":"{op}","args":{args}}}"#)
}

/// Returns all that a frame does to a codec with two calls, read with or without the short way.
fn effects(frame: &str, limits: &Limits, short_way: bool) -> String {
    let mut codec = Codec::new(7);
    codec.last_call = 2;
    let mut names = ThinVec(1, 1);
    let message = if short_way {
        codec.parse(frame, limits, &mut names)
    } else {
        codec.parse_any(frame, limits, &mut names)
    };
    let message = message.map_err(|error| error.to_string());
    let (reply, lost) = (codec.exchange.take_reply(), codec.exchange.take_unknown_target());
    format!("{message:?} {reply:?} {lost:?} {:?}", codec.exchange.place(1))
}

fn usual_frames() -> Vec<String> {
    let call = |to: &str, name: &str, list: &str| {
        format!(r#"{{"type":"send","to":"{to}","from":"a","op":"post","args":["{name}",{list}]}}"#)
    };
    let own = Codec::new(7).own.id(2);
    let answer = |value: &str| format!(r#"{{"type":"resolve","to":"{own}","resolution":{value}}}"#);
    let frames = |value| {
        // With and without escapes in the names.
        let names = [("", "m"), ("f1", "m"), (r"\u00661", "m"), ("f1", r"\u006d")];
        let calls = names.map(|(to, name)| call(to, name, value));
        calls.into_iter().chain([answer(value)])
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
        codec.last_call = 2;
        codec.parse_usual(frame, &Limits::default(), &mut ThinVec(1, 1)).is_some()
    };
    let frames = usual_frames();
    assert_eq!(frames.iter().filter(is_short).count(), 2 * 4 + 7);
}

#[test]
fn flat_values_are_written_as_others_are() {
    for text in FLAT {
        // With white space before it, it is not flat.
        let [flat, general] = [String::new(), " ".to_owned()].map(|before| {
            let value = Payload::plain(before.clone() + text);
            let mut codec = Codec::new(7);
            let call = call(0, Path::name("n"), Some(&(before + text)));
            let mut out = String::new();
            let sent = codec.write(&call, &mut ThinVec(9, 1), &mut out).map_err(|error| error.to_string());
            codec.exchange.add(1, Some("1".to_owned()));
            (sent, out, written(&mut codec, &Message::Answer { id: 1, outcome: Ok(value) }))
        });
        assert_eq!(flat, general, "{text}");
    }
}

#[test]
fn each_operation_becomes_a_call() {
    for (op, args, expected) in [
        ("get", r#"["n"]"#, "0 .n -"),
        ("get", "[3]", "0 .3 -"),
        ("get", "[]", "0 .undefined -"),
        ("post", r#"["m",[1,"b"]]"#, r#"0 .m [1,"b"]"#),
        ("post", r#"["m"]"#, "0 .m []"),
        ("post", r#"["m",{"%":"undefined"}]"#, "0 .m []"),
        ("post", "[null,[7]]", "0 . [7]"),
        ("post", r#"[{"%":"undefined"},[7]]"#, "0 . [7]"),
        ("apply", r#"[{"%":"undefined"},[1]]"#, "0 . [1]"),
        ("set", r#"["n",5]"#, "0 .n.(set) [5]"),
        ("put", r#"["n"]"#, r#"0 .n.(set) [["undefined"]]"#),
        ("delete", r#"["n"]"#, "0 .n.(delete) []"),
        ("del", r#"["n"]"#, "0 .n.(delete) []"),
        ("keys", "[]", "0 .(keys) []"),
        ("when", "[]", "0 . -"),
    ] {
        let mut codec = Codec::new(1);
        assert_eq!(said(read(&mut codec, &send(op, args))), expected, "{op} {args}");
        assert_eq!(codec.exchange.len(), 1);
        assert_eq!(codec.exchange.take_reply(), None);
    }
}

#[test]
fn each_call_becomes_an_operation() {
    let name = |name: &str| Key::Name(name.to_owned().into());
    let set = |verb| [name("n"), Key::Verb(verb)].into_iter().collect::<Path>();
    for (path, args, expected) in [
        (Path::Empty, None, r#""op":"when","args":[]}"#),
        (Path::Empty, Some("[1]"), r#""op":"apply","args":[{"%":"undefined"},[1]]}"#),
        (Path::One(name("n")), None, r#""op":"get","args":["n"]}"#),
        (Path::One(Key::Index(2)), None, r#""op":"get","args":["2"]}"#),
        (Path::One(name("n")), Some("[1,[[]]]"), r#""op":"post","args":["n",[1,[]]]}"#),
        (set(Verb::Set), Some("[5]"), r#""op":"set","args":["n",5]}"#),
        (set(Verb::Delete), Some("[]"), r#""op":"delete","args":["n"]}"#),
        (Path::One(Key::Verb(Verb::Keys)), Some("[]"), r#""op":"keys","args":[]}"#),
    ] {
        let mut codec = Codec::new(1);
        let frame = written(&mut codec, &call(0, path, args));
        let from = codec.own.id(1);
        assert_eq!(frame, format!(r#"{{"type":"send","to":"","from":"{from}",{expected}"#));
        let groups: Vec<usize> = from.split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 12]);
    }
}

#[test]
fn what_cannot_be_said_is_refused() {
    let mut codec = Codec::new(1);
    let steps = [Key::Name("a".to_owned().into()), Key::Name("b".to_owned().into())];
    let refused = [
        call(0, steps.into_iter().collect(), None),
        call(-4, Path::Empty, Some("[]")),
        call(3, Path::Empty, Some("[]")),
        call(0, Path::Empty, Some(r#"[["date",1]]"#)),
        call(0, Path::Empty, Some(r#"[["headers",[]]]"#)),
        call(0, Path::Empty, Some(r#"[["bigint","9007199254740993"]]"#)),
        Message::Evaluate { id: 1, value: Payload::plain("1".to_owned()), return_mode: ReturnMode::Retained },
    ];
    for op in refused {
        let mut out = String::from("before");
        codec.write(&op, &mut ThinVec(9, 1), &mut out).unwrap_err();
        assert_eq!(out, "before");
    }
    assert!(written(&mut codec, &numbered(8, call(0, Path::Empty, None))).contains(&codec.own.id(8)));
}

#[test]
fn answers_are_known_by_their_ids() {
    let mut codec = Codec::new(7);
    for id in 1..=2 {
        written(&mut codec, &numbered(id, call(0, Path::Empty, Some("[]"))));
    }
    let (first, second, third) = (codec.own.id(1), codec.own.id(2), codec.own.id(3));
    let resolve = |to: &str, rest: &str| format!(r#"{{"type":"resolve","to":"{to}"{rest}}}"#);
    assert_eq!(said(read(&mut codec, &resolve(&second, r#","resolution":[1]"#))), "2 ok [[1]]");
    assert_eq!(said(read(&mut codec, &resolve(&first, ""))), r#"1 ok ["undefined"]"#);
    let notify = format!(r#"{{"type":"notify","to":"{first}","resolution":10}}"#);
    assert_eq!(said(read(&mut codec, &notify)), "1 so far 10");
    assert_eq!(codec.exchange.take_unknown_target(), None);
    for stranger in [third.as_str(), "", "x", &first.to_lowercase(), &format!("{first}0")] {
        let lost = resolve(stranger, r#","resolution":1"#);
        // Without letters, lower case is the same.
        if *stranger != first {
            assert_eq!(said(read(&mut codec, &lost)), "nothing");
            assert_eq!(codec.exchange.take_unknown_target(), Some(stranger.to_owned()));
        }
    }
}

#[test]
fn calls_are_answered_where_they_asked() {
    let mut codec = Codec::new(1);
    let places = [r#""from":"a""#, r#""from":7"#, r#""extra":1"#, r#""from":"""#, r#""from":"b""#];
    for (number, from) in (1..).zip(places) {
        let frame = format!(r#"{{"type":"send","to":"f1",{from},"op":"get","args":["n"]}}"#);
        assert_eq!(said(read_call(&mut codec, number, &frame)), "-1 .n -");
    }
    let answer = |id, value: &str| Message::Answer { id, outcome: Ok(Payload::plain(value.to_owned())) };
    assert_eq!(written(&mut codec, &answer(2, "1")), r#"{"type":"resolve","to":7,"resolution":1}"#);
    let progress = Message::Progress { id: 1, value: Payload::plain("5".to_owned()) };
    assert_eq!(written(&mut codec, &progress), r#"{"type":"notify","to":"a","resolution":5}"#);
    assert_eq!(written(&mut codec, &answer(1, "2")), r#"{"type":"resolve","to":"a","resolution":2}"#);
    // Once only, and not at all where there is no place for it.
    for id in [1, 3, 4, 9, -1] {
        assert_eq!(written(&mut codec, &answer(id, "2")), "");
    }
    // An answer is never lost.
    let said = written(&mut codec, &answer(5, r#"["date",1]"#));
    assert!(
        said.starts_with(r#"{"type":"resolve","to":"b","resolution":{"!":{"message":"a date "#),
        "{said}"
    );
    assert_eq!(codec.exchange.len(), 0);
}

#[test]
fn a_message_to_an_unknown_name_is_reported_and_rejected() {
    let mut codec = Codec::new(1);
    let frame = r#"{"type":"send","to":"nobody","from":"a","op":"get","args":["n"]}"#;
    assert_eq!(read(&mut codec, frame), None);
    assert_eq!(codec.exchange.take_unknown_target(), Some("nobody".to_owned()));
    assert_eq!(codec.exchange.take_unknown_target(), None);
    let reply = codec.exchange.take_reply().unwrap();
    assert!(reply.starts_with(r#"{"type":"resolve","to":"a","resolution":{"!":{"message":""#), "{reply}");
    assert_eq!(read(&mut codec, r#"{"type":"send","to":"nobody","op":"get","args":["n"]}"#), None);
    assert_eq!(codec.exchange.take_reply(), None);
}

#[test]
fn an_operation_that_is_not_known_is_rejected() {
    let mut codec = Codec::new(1);
    assert_eq!(read(&mut codec, &send("bogus", "[1]")), None);
    let message = r#"{"message":"Promise does not support operation: bogus"}"#;
    let expected = format!(r#"{{"type":"resolve","to":"a","resolution":{{"!":{message}}}}}"#);
    assert_eq!(codec.exchange.take_reply(), Some(expected));
    assert_eq!(read(&mut codec, &send("post", r#"["m",{}]"#)), None);
    assert!(codec.exchange.take_reply().is_some());
    // Neither is a call.
    assert_eq!(codec.exchange.len(), 0);
}

#[test]
fn a_frame_that_makes_no_sense_is_ignored() {
    let mut codec = Codec::new(1);
    for frame in
        ["", "not json", "{}", "5", "null", "[]", r#"{"type":5}"#, r#"{"type":"nope","to":""}"#, "{\"type\":"]
    {
        assert_eq!(read(&mut codec, frame), None, "{frame}");
    }
    assert_eq!((codec.exchange.take_reply(), codec.exchange.take_unknown_target()), (None, None));
}

#[test]
fn what_nests_too_deep_breaks_a_limit() {
    let limits = Limits { depth: 10, ..Limits::default() };
    let frame =
        |depth: usize| send("post", &format!("[\"m\",[{}1{}]]", "[".repeat(depth), "]".repeat(depth)));
    let mut codec = Codec::new(1);
    assert!(codec.parse(&frame(8), &limits, &mut ThinVec(1, 1)).unwrap().is_some());
    for depth in [9, 300, 1_000_000] {
        let error = codec.parse(&frame(depth), &limits, &mut ThinVec(1, 1)).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Limit);
    }
}

#[test]
fn a_string_that_was_given_back_is_a_new_reference() {
    let mut codec = Codec::new(1);
    let frame = send("post", r#"["m",[{"@":"x","type":"object"},{"@":"x","type":"function"},{"@":5}]]"#);
    assert_eq!(said(read(&mut codec, &frame)), "0 .m [<object -1>,<function -1>,<object -2>]");
    let call = call(-2, Path::Empty, Some("[]"));
    assert!(written(&mut codec, &call).starts_with(r#"{"type":"send","to":5,"#));
    assert_eq!(written(&mut codec, &Message::Release { id: -1, count: 1 }), "");
    assert_eq!(said(read(&mut codec, &frame)), "0 .m [<object -3>,<function -3>,<object -2>]");
    assert_eq!(codec.lent.len(), 2);
}
