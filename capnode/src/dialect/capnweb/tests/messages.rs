//! Messages as messages and back.

use std::time::Duration;

use crate::message::{CarriedContext, Extensions};
use crate::thin_vec::ThinVec;
use proptest::prelude::*;

use super::*;

fn text_of(op: &Message) -> String {
    let mut out = String::new();
    write(op, &mut out);
    out
}

/// A message is that message, and that message is written as that message.
#[track_caller]
fn round(frame: &str, op: &Message) {
    assert_eq!(&message(frame).unwrap(), op, "{frame}");
    assert_eq!(text_of(op), frame);
}

fn import(id: i64, path: Path, args: Option<Payload<CapDescriptor>>, awaited: bool) -> CapDescriptor {
    CapDescriptor::ReceiverHosted(ReceiverRef { id, path, args: args.map(Box::new), awaited })
}

fn name(name: &str) -> Key {
    Key::Name(Text::Own(name.to_owned()))
}

/// A payload by its text, in which references stand as `<`…`>`.
fn payload(frame: &str, start: usize, end: usize, refs: &[(&str, CapDescriptor)]) -> Payload<CapDescriptor> {
    let text = Text::frame(frame).slice(start..end);
    let mut from = start;
    let refs = refs.iter().map(|(text, to)| {
        let start = from + frame[from..].find(text).unwrap();
        from = start + text.len();
        Slot { start, end: from, to: to.clone() }
    });
    Payload { text, refs: refs.collect(), nodes: ThinVec::NONE }
}

#[test]
fn calls() {
    let frame = r#"["push",["pipeline",0,["add"],[1,2]]]"#;
    let args = Some(payload(frame, 30, 35, &[]));
    round(
        frame,
        &Message::Call {
            id: UNNUMBERED,
            target: 0,
            path: Path::One(name("add")),
            args: args.clone(),
            return_mode: ReturnMode::Retained,
        },
    );
    let frame = r#"["stream",["pipeline",-3,["a","b",0],[]]]"#;
    let path = Path::from_iter([name("a"), name("b"), Key::Index(0)]);
    let args = Some(Payload::plain("[]".to_owned()));
    let op = Message::Call { id: UNNUMBERED, target: -3, path, args, return_mode: ReturnMode::Streamed };
    assert_eq!(text_of(&op), frame);
    let Message::Call { args: Some(read), .. } = message(frame).unwrap() else { panic!() };
    assert_eq!(read.text.as_str(), "[]");
    let frame = r#"["push",["pipeline",5,[],[7]]]"#;
    assert_eq!(text_of(&message(frame).unwrap()), frame);
}

#[test]
fn reads() {
    let call = |target, path| Message::Call {
        id: UNNUMBERED,
        target,
        path,
        args: None,
        return_mode: ReturnMode::Retained,
    };
    round(r#"["push",["pipeline",0]]"#, &call(0, Path::Empty));
    round(r#"["push",["pipeline",1,["x"]]]"#, &call(1, Path::One(name("x"))));
    // An import in the place of a call is called as well.
    assert_eq!(message(r#"["push",["import",0]]"#).unwrap(), call(0, Path::Empty));
    assert_eq!(message(r#"["push",["pipeline",0,[]]]"#).unwrap(), call(0, Path::Empty));
    assert_eq!(
        message(r#"["push",["pipeline",0,["\u0061\"",1]]]"#).unwrap(),
        call(0, Path::from_iter([name("a\""), Key::Index(1)]))
    );
}

#[test]
fn values_in_the_place_of_calls() {
    let frame =
        r#"["push",{"sum":["pipeline",0,["add"],[1,["export",-1]]],"list":[[["promise",-2],["import",3]]]}]"#;
    let args = payload(frame, 37, 54, &[(r#"["export",-1]"#, CapDescriptor::SenderHosted(-1))]);
    let value = payload(
        frame,
        8,
        frame.len() - 1,
        &[
            (
                r#"["pipeline",0,["add"],[1,["export",-1]]]"#,
                import(0, Path::One(name("add")), Some(args), true),
            ),
            (r#"["promise",-2]"#, CapDescriptor::SenderPromise(-2)),
            (r#"["import",3]"#, import(3, Path::Empty, None, false)),
        ],
    );
    round(frame, &Message::Evaluate { id: UNNUMBERED, value, return_mode: ReturnMode::Retained });
    let frame = r#"["stream",["export",-1]]"#;
    let value = payload(frame, 10, frame.len() - 1, &[(r#"["export",-1]"#, CapDescriptor::SenderHosted(-1))]);
    assert_eq!(value.root(), Some(&CapDescriptor::SenderHosted(-1)));
    round(frame, &Message::Evaluate { id: UNNUMBERED, value, return_mode: ReturnMode::Streamed });
}

#[test]
fn answers() {
    let frame = r#"["resolve",1,["undefined"]]"#;
    round(frame, &Message::Answer { id: 1, outcome: Ok(payload(frame, 13, 26, &[])) });
    let frame = r#"["resolve",-1,["import",-2,["a"]]]"#;
    let home = import(-2, Path::One(name("a")), None, false);
    round(
        frame,
        &Message::Answer { id: -1, outcome: Ok(payload(frame, 14, 33, &[(r#"["import",-2,["a"]]"#, home)])) },
    );
    let frame = r#"["reject",2,["error","Error","no"]]"#;
    round(frame, &Message::Answer { id: 2, outcome: Err(payload(frame, 12, 34, &[])) });
}

#[test]
fn pulls_releases_and_ends() {
    round(r#"["pull",7]"#, &Message::Pull(7));
    round(r#"["pull",-7]"#, &Message::Pull(-7));
    round(r#"["release",-1,3]"#, &Message::Release { id: -1, count: 3 });
    round(r#"["draining",12]"#, &Message::Draining { last: 12 });
    let frame = r#"["abort","enough"]"#;
    round(frame, &Message::Abort(payload(frame, 9, 17, &[])));
}

#[test]
fn a_mark_is_a_release_of_nothing() {
    round(r#"["release",0,0]"#, &Message::Hello);
    assert_eq!(message(r#"["release",0,0,"later"]"#).unwrap(), Message::Hello);
    for (no_mark, id, count) in [(r#"["release",0,1]"#, 0, 1), (r#"["release",1,0]"#, 1, 0)] {
        assert_eq!(message(no_mark).unwrap(), Message::Release { id, count });
    }
}

#[test]
fn abilities_of_later_versions_are_passed_over() {
    let extensions = |bytes, context| Message::Extensions(Extensions { bytes, context });
    round(r#"["abilities"]"#, &extensions(false, false));
    round(r#"["abilities","bytes"]"#, &extensions(true, false));
    round(r#"["abilities","bytes","context"]"#, &extensions(true, true));
    assert_eq!(message(r#"["abilities","fly",["swim",{"depth":[3]}]]"#).unwrap(), extensions(false, false));
}

#[test]
fn a_call_carries_its_context_behind_it() {
    let args = Some(Payload::plain("[1]".to_owned()));
    let call = Message::Call {
        id: UNNUMBERED,
        target: 0,
        path: Path::name("m"),
        args,
        return_mode: ReturnMode::Streamed,
    };
    let metadata = vec![("traceparent".to_owned(), "00-\"".to_owned()), (String::new(), "ä".to_owned())];
    for (text, left, metadata) in [
        (r#"{"left":1500}"#, Some(Duration::from_micros(1500)), Vec::new()),
        (r#"{"metadata":{"traceparent":"00-\"","":"ä"}}"#, None, metadata.clone()),
        (r#"{"left":0,"metadata":{"traceparent":"00-\"","":"ä"}}"#, Some(Duration::ZERO), metadata),
    ] {
        let context = Box::new(CarriedContext { left, metadata });
        let message = Message::InContext { call: Box::new(call.clone()), context };
        round(&format!(r#"["stream",["pipeline",0,["m"],[1]],{text}]"#), &message);
    }
    let evaluate = Message::Evaluate {
        id: UNNUMBERED,
        value: Payload::plain("7".to_owned()),
        return_mode: ReturnMode::Retained,
    };
    let context = Box::new(CarriedContext { left: Some(Duration::ZERO), metadata: Vec::new() });
    round(r#"["push",7,{"left":0}]"#, &Message::InContext { call: Box::new(evaluate), context });
    // A longer time than the other side reads is the longest that it does.
    let context = Box::new(CarriedContext { left: Some(Duration::MAX), metadata: Vec::new() });
    let written = text_of(&Message::InContext { call: Box::new(call), context });
    let Message::InContext { context, .. } = message(&written).unwrap() else { panic!("a context") };
    assert_eq!(context.left, Some(Duration::from_micros(i64::MAX.unsigned_abs())));
}

#[test]
fn what_a_later_version_says_behind_a_call_is_passed_over() {
    let plain = message(r#"["stream",["pipeline",0,["m"],[1]]]"#).unwrap();
    assert_eq!(message(r#"["stream",["pipeline",0,["m"],[1]],["later",{}]]"#).unwrap(), plain);
    let odd =
        r#"["stream",["pipeline",0,["m"],[1]],{"left":"soon","more":[{}],"metadata":{"a":[1],"b":"c"}},9]"#;
    let Message::InContext { call, context } = message(odd).unwrap() else { panic!("a context") };
    assert_eq!((*call, context.left), (plain, None));
    assert_eq!(context.metadata, [("b".to_owned(), "c".to_owned())]);
    for left in ["-1", "1.5", "18446744073709551616"] {
        let odd = format!(r#"["stream",["pipeline",0,["m"],[1]],{{"left":{left}}}]"#);
        let Message::InContext { context, .. } = message(&odd).unwrap() else { panic!("a context") };
        assert_eq!(context.left, None, "{left}");
    }
}

#[test]
fn a_pipe_takes_no_arguments() {
    round(r#"["pipe"]"#, &Message::Pipe { id: UNNUMBERED });
}

#[test]
fn blobs_requests_and_responses_are_values_with_the_references_in_them() {
    for (text, references) in [
        (r#"["blob","text/plain",["readable",4]]"#, vec![CapDescriptor::ReceiverReadable(4)]),
        (
            r#"["request","http://a/",{"method":"POST","headers":[["a","b"],["c","d"]],"cf":[1],"body":["readable",7]}]"#,
            vec![CapDescriptor::ReceiverReadable(7)],
        ),
        (r#"["response",["bytes","AAAA"],{"status":404}]"#, vec![]),
    ] {
        for frame in [
            format!(r#"["push",["pipeline",0,["f"],[1,{{"a":[[{text}]]}}]]]"#),
            format!(r#"["resolve",1,{text}]"#),
            format!(r#"["reject",1,["error","E","m",null,{{"p":{text}}}]]"#),
        ] {
            let read = message(&frame).unwrap();
            assert_eq!(text_of(&read), frame);
            let (Message::Call { args: Some(value), .. }
            | Message::Answer { outcome: Ok(value) | Err(value), .. }) = read
            else {
                panic!("{frame}")
            };
            assert_eq!(
                value.refs.iter().map(|slot| slot.to.clone()).collect::<Vec<_>>(),
                references,
                "{frame}"
            );
        }
    }
}

#[test]
fn the_ends_of_streams_are_read_and_written() {
    for (text, end) in [
        (r#"["readable",4]"#, CapDescriptor::ReceiverReadable(4)),
        (r#"["writable",-5]"#, CapDescriptor::SenderWritable(-5)),
    ] {
        let frame = format!(r#"["resolve",1,{{"a":[[{text}]]}}]"#);
        let message = message(&frame).unwrap();
        assert_eq!(text_of(&message), frame);
        let Message::Answer { outcome: Ok(value), .. } = message else { panic!("{frame}") };
        assert_eq!(value.refs.iter().map(|slot| slot.to.clone()).collect::<Vec<_>>(), [end]);
    }
}

#[test]
fn a_map_is_read_with_its_program_and_written_as_it_was() {
    let map = r#"["remap",3,["a",0],[["import",0],["export",-7]],[["pipeline",-1,["x"],[["pipeline",0]]],["remap",1,[],[["import",-2]],[{"a":["pipeline",-1]}]],[[["pipeline",2]]]]]"#;
    let frame = format!(r#"["push",{{"a":{map}}}]"#);
    let op = message(&frame).unwrap();
    assert_eq!(text_of(&op), frame);
    let Message::Evaluate { value, .. } = op else { panic!("{op:?}") };
    let [Slot { to: CapDescriptor::Map(map), .. }] = &*value.refs else { panic!("{value:?}") };
    assert_eq!((map.id, map.path.dotted()), (3, "a.0".to_owned()));
    assert_eq!(map.captures, [import(0, Path::Empty, None, false), CapDescriptor::SenderHosted(-7)]);
    let program = map.program.as_ref().unwrap();
    assert_eq!((program.instructions.len(), program.size()), (3, 11));
    let [Slot { to: CapDescriptor::Map(inner), .. }] = &*program.instructions[1].refs else {
        panic!("{program:?}")
    };
    assert_eq!(inner.captures, [import(-2, Path::Empty, None, false)]);
}

#[test]
fn a_program_that_makes_no_sense_is_known_to_be_one() {
    let frame = r#"["push",["remap",3,["a"],[["import",0],["export",-7]],[["pipeline",-1,["x"],[["export",1]]],["wat"]]]]"#;
    let Message::Evaluate { value, .. } = message(frame).unwrap() else { panic!("a value") };
    let Some(CapDescriptor::Map(map)) = value.root() else { panic!("{value:?}") };
    assert!(map.program.as_ref().unwrap_err().contains("unknown special value: [\"wat\"]"), "{map:?}");
    assert_eq!(map.captures.len(), 2);
    assert_eq!(&value.text.buffer()[value.refs[0].start..value.refs[0].end], &frame[8..frame.len() - 1]);
}

#[test]
fn an_error_whose_parts_are_odd_is_not_supported() {
    for text in [
        r#"["error","E",null]"#,
        r#"["error",null,"m"]"#,
        r#"["error","E",5,null,{"p":["export",-3]}]"#,
        r#"["error",{"a":1},["x"],"stack",{"p":["export",-3]}]"#,
        r#"["error","E","m",null,null]"#,
        r#"["error","E","m",null,[1]]"#,
    ] {
        let frame = format!(r#"["resolve",1,{{"a":["export",-2],"e":{text}}}]"#);
        let Message::Answer { outcome: Ok(value), .. } = message(&frame).unwrap() else { panic!("{frame}") };
        let [first, slot] = &*value.refs else { panic!("{frame}: {value:?}") };
        assert_eq!(first.to, CapDescriptor::SenderHosted(-2));
        let CapDescriptor::Unsupported { with, .. } = &slot.to else { panic!("{frame}") };
        let lent = if text.contains("-3") { vec![CapDescriptor::SenderHosted(-3)] } else { vec![] };
        assert_eq!(with, &lent, "{frame}");
    }
    // A stack that is no string does no harm.
    let op = message(r#"["resolve",1,["error","E","m",5]]"#).unwrap();
    assert!(matches!(op, Message::Answer { outcome: Ok(value), .. } if value.refs.is_empty()));
}

#[test]
fn what_follows_in_a_message_is_passed_over() {
    for (frame, more) in [
        (r#"["pull",1]"#, r#"["pull",1,"x"]"#),
        (r#"["release",1,1]"#, r#"["release",1,1,["wat"],{"a":[5]}]"#),
        (
            r#"["push",["pipeline",0,["add"],[1,2]]]"#,
            r#"["push",["pipeline",0,["add"],[1,2]],["export",-9]]"#,
        ),
        (r#"["resolve",1,5]"#, r#"["resolve",1,5,["promise",1]]"#),
        (r#"["abort",5]"#, r#"["abort",5,[]]"#),
        (r#"["resolve",1,["export",-1]]"#, r#"["resolve",1,["export",-1,"x"]]"#),
    ] {
        assert_eq!(text_of(&message(more).unwrap()).replace(",\"x\"", ""), frame);
    }
}

#[test]
fn white_space_may_stand_between_tokens() {
    let frame = " [ \"push\" ,\t[ \"pipeline\" , 0 , [ \"f\" , 1 ] , [ { \"a\" : [ [ [ \"export\" , -1 ] , [ \"bigint\" , \"5\" ] ] ] } ] ] ]\r\n ";
    let Message::Call { args: Some(args), path, .. } = message(frame).unwrap() else { panic!() };
    assert_eq!(path.as_slice(), [name("f"), Key::Index(1)]);
    assert_eq!(args.refs.len(), 1);
    let there = cap();
    let args = args.map(|_| PayloadRef::Cap(there.clone()));
    let read: Value = decode_args(&args, |args| args.argument()).unwrap();
    let list = Value::Array(vec![there.into(), BigInt::from(5).into()]);
    assert_eq!(read, Value::from([("a", list)]));
    for spaced in
        ["\u{a0}[\"pull\",1]", "[\"pull\"\u{b},1]", "[\"pu ll\",1]", "[\"pull\",1 2]", "[\"pull\",- 1]"]
    {
        assert!(message(spaced).is_err(), "{spaced:?}");
    }
}

#[test]
fn a_peer_may_choose_among_several_ways_to_say_a_number() {
    assert_eq!(message(r#"["pull",-0]"#).unwrap(), Message::Pull(0));
    for no_id in ["1.5", "1e2", "9223372036854775808", "\"1\"", "null", "01", "+1"] {
        assert!(message(&format!(r#"["pull",{no_id}]"#)).is_err(), "{no_id}");
    }
}

fn any_key() -> impl Strategy<Value = Key> {
    prop_oneof![any::<String>().prop_map(|key| name(&key)), (0..1u64 << 53).prop_map(Key::Index)]
}

fn any_path() -> impl Strategy<Value = Path> {
    prop::collection::vec(any_key(), 0..4).prop_map(|keys| keys.into_iter().collect())
}

/// A word, and perhaps a call with words in its arguments.
fn any_word() -> impl Strategy<Value = CapDescriptor> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(CapDescriptor::SenderHosted),
        any::<i64>().prop_map(CapDescriptor::SenderPromise),
        (any::<i64>(), any_path(), any::<bool>())
            .prop_map(|(id, path, awaited)| import(id, path, None, awaited)),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let args = prop::collection::vec(inner, 0..3).prop_map(|words| list("[", words, "]"));
        (any::<i64>(), any_path(), args, any::<bool>())
            .prop_map(|(id, path, args, awaited)| import(id, path, Some(args), awaited))
    })
}

/// A list of a few values, with words after them that have not been written yet.
fn list(open: &str, words: Vec<CapDescriptor>, close: &str) -> Payload<CapDescriptor> {
    let mut text = open.to_owned();
    let mut refs = Vec::new();
    text.push_str("1,{\"a\":[\"date\",5]}");
    for to in words {
        text.push(',');
        refs.push(Slot { start: text.len(), end: text.len(), to });
    }
    text.push_str(close);
    Payload { text: text.into(), refs: refs.into(), nodes: ThinVec::NONE }
}

fn any_op() -> impl Strategy<Value = Message> {
    let value = prop_oneof![
        prop::collection::vec(any_word(), 0..4).prop_map(|words| list("[[", words, "]]")),
        any_word().prop_map(Payload::reference),
        super::kinds::any_value().prop_map(|value| encode(&value).unwrap().map(|_| unreachable!())),
    ];
    let args =
        prop::option::of(prop::collection::vec(any_word(), 0..4).prop_map(|words| list("[", words, "]")));
    let return_mode = prop_oneof![Just(ReturnMode::Retained), Just(ReturnMode::Streamed)];
    let value = value.boxed();
    prop_oneof![
        (any::<i64>(), any_path(), args, return_mode.clone()).prop_map(
            |(target, path, args, return_mode)| {
                Message::Call { id: UNNUMBERED, target, path, args, return_mode }
            }
        ),
        (value.clone(), return_mode).prop_map(|(value, return_mode)| Message::Evaluate {
            id: UNNUMBERED,
            value,
            return_mode
        }),
        any::<i64>().prop_map(Message::Pull),
        (any::<i64>(), value.clone()).prop_map(|(id, value)| Message::Answer { id, outcome: Ok(value) }),
        (any::<i64>(), value.clone()).prop_map(|(id, value)| Message::Answer { id, outcome: Err(value) }),
        (any::<i64>(), 0..1u64 << 62).prop_map(|(id, count)| Message::Release { id, count }),
        Just(Message::Hello),
        value.prop_map(Message::Abort),
    ]
}

/// Returns the words of a payload without their places, which do not matter here.
fn words(payload: &Payload<CapDescriptor>) -> Vec<CapDescriptor> {
    let words = payload.refs.iter().map(|slot| match &slot.to {
        CapDescriptor::ReceiverHosted(ReceiverRef { id, path, args: Some(args), awaited }) => {
            let args = Payload {
                text: Text::Static(""),
                refs: words(args).into_iter().map(|to| Slot { start: 0, end: 0, to }).collect(),
                nodes: ThinVec::NONE,
            };
            import(*id, path.clone(), Some(args), *awaited)
        }
        other => other.clone(),
    });
    words.collect()
}

proptest! {
    #[test]
    fn any_op_is_itself_again(op in any_op()) {
        let frame = text_of(&op);
        let read = message(&frame).unwrap();
        // In the place of a call an import is the same as a pipeline.
        let frame = ["push", "stream"].iter().fold(frame, |frame, push| {
            match frame.strip_prefix(&format!("[\"{push}\",[\"import\",")) {
                Some(rest) => format!("[\"{push}\",[\"pipeline\",{rest}"),
                None => frame,
            }
        });
        prop_assert_eq!(text_of(&read), frame);
        match (&op, &read) {
            (Message::Call { target, path, args, return_mode, .. }, Message::Call { target: t, path: p, args: a, return_mode: w, .. }) => {
                prop_assert_eq!((target, path, return_mode), (t, p, w));
                prop_assert_eq!(args.as_ref().map(words), a.as_ref().map(words));
            }
            (Message::Evaluate { value, .. }, Message::Evaluate { value: v, .. }) => prop_assert_eq!(words(value), words(v)),
            (Message::Answer { outcome: Ok(value), .. }, Message::Answer { outcome: Ok(v), .. }) => prop_assert_eq!(words(value), words(v)),
            // The value may be nothing but a call.
            (Message::Evaluate { value, .. }, Message::Call { .. }) => prop_assert!(matches!(value.root(), Some(CapDescriptor::ReceiverHosted(_)))),
            (op, read) => prop_assert_eq!(std::mem::discriminant(op), std::mem::discriminant(read)),
        }
    }
}

/// The kinds of message by which a message is said in the table of `tests/semantics/abuse`. A new message does not compile until it
/// is here, and so in the table.
fn kinds_of(op: &Message) -> &'static [&'static str] {
    match op {
        Message::Call { .. } => {
            const WORDS: &[&str] = &[
                "Push", "Stream", "Export", "Import", "Pipeline", "Promise", "Remap", "Readable", "Writable",
            ];
            WORDS
        }
        Message::Evaluate { .. } => &["Evaluate"],
        Message::Pipe { .. } => &["Pipe"],
        Message::Pull(_) => &["Pull"],
        Message::Answer { outcome: Ok(_), .. } => &["Resolve"],
        Message::Answer { outcome: Err(_), .. } => &["Reject"],
        // It has no word here: it is said by one that is not known.
        Message::Progress { .. } => &["Progress"],
        Message::Release { .. } => {
            &["ReleaseNone", "Release", "ReleaseTwo", "ReleaseHuge", "ReleaseNegative"]
        }
        // It is a release of no references with the id 0.
        Message::Hello => &["ReleaseNone"],
        Message::InContext { .. } => &["InContext"],
        Message::Extensions(_) => &["Abilities"],
        Message::Draining { .. } => &["Draining"],
        Message::Abort(_) => &["Abort"],
    }
}

/// The kind of message by which a word of a value is said there.
fn kind_of_word(word: &CapDescriptor) -> Option<&'static str> {
    match word {
        // There is one word for both.
        CapDescriptor::SenderHosted(_) | CapDescriptor::SenderFunction(_) => Some("Export"),
        CapDescriptor::SenderPromise(_) => Some("Promise"),
        CapDescriptor::ReceiverHosted(import) if import.awaited => Some("Pipeline"),
        CapDescriptor::ReceiverHosted(_) => Some("Import"),
        CapDescriptor::ReceiverReadable(_) => Some("Readable"),
        CapDescriptor::SenderWritable(_) => Some("Writable"),
        CapDescriptor::Map(_) => Some("Remap"),
        CapDescriptor::Unsupported { .. } => None,
        // It stands beside the text, and is no reference.
        CapDescriptor::Bytes(_) => None,
        // The language has none.
        CapDescriptor::Node(_) => None,
    }
}

#[test]
fn the_kinds_are_all_that_can_be_said() {
    let mut said = std::collections::HashSet::new();
    for line in include_str!("../../../../tests/semantics/abuse/capnweb.kinds").lines() {
        let (kind, frame) = line.split_once(' ').unwrap();
        match message(frame) {
            Ok(op) => {
                assert!(kinds_of(&op).contains(&kind), "{kind} is {op:?}");
                said.insert(std::mem::discriminant(&op));
                if let Message::Call { args: Some(args), .. } = &op {
                    let words: Vec<_> = args.refs.iter().filter_map(|slot| kind_of_word(&slot.to)).collect();
                    let call = matches!(kind, "Push" | "Stream");
                    assert!(if call { words.is_empty() } else { words == [kind] }, "{kind}: {words:?}");
                }
            }
            Err(_) => assert!(matches!(kind, "Progress" | "ReleaseNegative"), "{kind}"),
        }
    }
    assert_eq!(message(r#"["release",0,0]"#).unwrap(), Message::Hello);
    assert_eq!(said.len() + 2, 11, "all ops but the mark, which needs another id, and progress");
}
