//! Messages that no peer should write: each is an error, and never a panic.

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;
use crate::dialect::testing::NO_JSON;

/// Frames in which everything occurs.
const COMPLEX: [&str; 5] = [
    r#"["push",["pipeline",-12,["a\u0041\"",7],[{"k":["export",-1],"é😀":[[1.5e-7,-0,"\ud83d\ude00",null,true,false]]},["promise",-2],["import",3,["x"],[["undefined"]]]]]]"#,
    r#"["resolve",1,{"n":[[["inf"],["-inf"],["nan"],["bigint","-0x"],["bigint","123"],["date",null],["date",-5.5]]],"b":[[["bytes","AQID"],["bytes","AQIDBA","Int16Array"],["bytes","AQ==","DataView"]]]}]"#,
    r#"["reject",-1,["error","E","m","at x",{"cause":["error","F","n"],"errors":[[["url","http://a/"],["headers",[["a","b"],["c","d"]]]]]}]]"#,
    r#" [ "release" , 0 , 0 , "more" , { "a" : [ 1 , { } ] } ] "#,
    r#"["stream",[[["pipeline",0,[],[["pipeline",1,["f"],[["export",-9]]]]],[[]],{},""]]]"#,
];

/// Frames as most are, of which the beginnings are recognised.
const USUAL: [&str; 4] = [
    r#"["stream",["pipeline",0,["addNumbers"],[2,-5,null,"a",[[true]]]]]"#,
    r#"["push",["pipeline",123456789012345678901,["toString"]]]"#,
    r#"["resolve",12,7]"#,
    r#"["resolve",1,["export",-1]]"#,
];

/// The frames in `COMPLEX`, with the one fault in the second mended.
fn complex() -> [String; 5] {
    COMPLEX.map(|frame| frame.replace(r#"["bigint","-0x"],"#, ""))
}

#[track_caller]
fn fails(frame: &str) {
    let error = message(frame).map(|op| panic!("{frame:?} is taken as {op:?}")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Protocol | ErrorKind::Limit), "{frame:?}: {error:?}");
}

/// Puts white space around all brackets, commas and colons of a frame, so that nothing is recognised by more than a
/// byte. Returns also where the bytes of the result stand in the frame.
fn spaced(frame: &str) -> (String, Vec<usize>) {
    let (mut spaced, mut places) = (String::new(), Vec::new());
    let (mut in_string, mut escaped) = (false, false);
    for (at, letter) in frame.char_indices() {
        let is_mark = !in_string && matches!(letter, '[' | ']' | '{' | '}' | ',' | ':');
        let around = if is_mark { " " } else { "" };
        for (part, place) in
            [(around, at), (letter.encode_utf8(&mut [0; 4]), at), (around, at + letter.len_utf8())]
        {
            spaced.push_str(part);
            places.resize(spaced.len(), place);
        }
        in_string ^= letter == '"' && !escaped;
        escaped = in_string && letter == '\\' && !escaped;
    }
    places.push(frame.len());
    (spaced, places)
}

/// Returns the message of an error without the text that it quotes, and the position in it.
fn complaint(error: &Error) -> (String, Option<usize>) {
    let text = error.to_string();
    match text.split_once(" at byte ") {
        Some((what, rest)) => (what.to_owned(), rest.split(' ').next().and_then(|place| place.parse().ok())),
        None => (text.split(": ").next().unwrap_or_default().to_owned(), None),
    }
}

/// A frame means what it does with white space between all that it is made of, or is refused for the same thing at the
/// same place; also if names are too long.
fn is_read_alike_with_white_space(frame: &str) {
    let (spaced_frame, places) = spaced(frame);
    for string_bytes in [Limits::default().string_bytes, 8, 3] {
        let limits = Limits { string_bytes, ..Limits::default() };
        match [frame, &spaced_frame].map(|frame| parse(frame, &limits)) {
            [Ok(op), Ok(again)] => {
                let [op, again] = [op, again].map(|op| {
                    let mut out = String::new();
                    write(&op, &mut out);
                    (std::mem::discriminant(&op), spaced(&out).0.replace(' ', ""))
                });
                assert_eq!(op, again, "{frame}");
            }
            [Err(error), Err(again)] => {
                let (said, at) = complaint(&error);
                let (said_again, at_again) = complaint(&again);
                assert_eq!((error.kind(), said), (again.kind(), said_again), "{frame}");
                assert_eq!(at, at_again.map(|at| places[at]), "{frame}");
            }
            [op, again] => panic!("{frame}: {op:?}, but {again:?}"),
        }
    }
}

/// Does with a message all that is ever done with one.
fn use_up(op: &Message) {
    let mut out = String::new();
    write(op, &mut out);
    match op {
        Message::Call { args: Some(args), .. } => {
            let args = args.clone().map(|_| PayloadRef::Cap(cap()));
            let _read: Result<Value, _> =
                decode_args(&args, |args| args.argument().and_then(|_: IgnoredAny| args.argument()));
            use_value(&args);
        }
        Message::Evaluate { value, .. } | Message::Answer { outcome: Ok(value), .. } => {
            use_value(&value.clone().map(|_| PayloadRef::Cap(cap())))
        }
        Message::Answer { outcome: Err(value), .. } | Message::Abort(value) => {
            let (error, _) = read_error(value);
            let text = error_text(&error).unwrap();
            message(&format!("[\"abort\",{text}]")).unwrap_or_else(|error| panic!("{text}: {error}"));
            use_value(&value.clone().map(|_| PayloadRef::Cap(cap())));
        }
        _ => {}
    }
}

fn use_value(value: &LivePayload) {
    let decoded = [
        decode::<Value>(value).map(drop),
        decode::<IgnoredAny>(value).map(drop),
        decode::<serde_json::Value>(value).map(drop),
        decode::<Vec<Option<u8>>>(value).map(drop),
        decode::<std::collections::HashMap<String, String>>(value).map(drop),
    ];
    assert!(decoded[1].is_ok());
    let _found = member(value, &Key::Index(1));
    let _found = member(value, &Key::Name("k".to_owned().into()));
}

#[test]
fn messages_that_are_none() {
    for frame in [
        "",
        " ",
        "x",
        "nonsense",
        "null",
        "1",
        "\"push\"",
        r#"{"a":1}"#,
        "[]",
        "[[]]",
        "[1]",
        "[null]",
        r#"["frobnicate",1]"#,
        r#"["push"]"#,
        r#"["push",]"#,
        r#"["push",["pipeline",0]"#,
        r#"["push",["pipeline",0]]]"#,
        r#"["push",["pipeline",0]] x"#,
        r#"["push",["pipeline",0]]["pull",1]"#,
        r#"["stream"]"#,
        r#"["pull"]"#,
        r#"["pull","1"]"#,
        r#"["pull",[1]]"#,
        r#"["resolve",1]"#,
        r#"["resolve","x",1]"#,
        r#"["reject",1]"#,
        r#"["release",1]"#,
        r#"["release",1,-1]"#,
        r#"["release",1,1.5]"#,
        r#"["release",1,"1"]"#,
        r#"["abort"]"#,
        r#"["push" ["pipeline",0]]"#,
        "[\"pull\",1]\0",
        "\u{feff}[\"pull\",1]",
        r#"["pull",99999999999999999999]"#,
        r#"["pull",1,]"#,
        r#"["pull",1,}]"#,
        r#"["release",0,0,"more]"#,
        r#"["abilities",]"#,
        r#"["abilities",x]"#,
    ] {
        fails(frame);
    }
}

#[test]
fn expressions_that_are_none() {
    const NO_FORMS: &[&str] = &[
        "[]",
        "[1]",
        "[null]",
        "[{}]",
        "[[1],2]",
        "[[1],[2]]",
        r#"["wat",1]"#,
        r#"["Undefined"]"#,
        r#"[""]"#,
        r#"["undefined",1]"#,
        r#"["undefined",]"#,
        r#"["inf",]"#,
        r#"["bigint"]"#,
        r#"["bigint",5]"#,
        r#"["bigint","0x1g"]"#,
        r#"["bigint","1.5"]"#,
        r#"["bigint","-0x1"]"#,
        r#"["bigint","1n"]"#,
        r#"["date"]"#,
        r#"["date","x"]"#,
        r#"["date",nul]"#,
        r#"["date",true]"#,
        r#"["date",[5]]"#,
        r#"["bytes"]"#,
        r#"["bytes",5]"#,
        r#"["bytes","A"]"#,
        r#"["bytes","A!"]"#,
        r#"["bytes","AQ ID"]"#,
        r#"["bytes","AQ\"ID"]"#,
        r#"["bytes","AQ=A"]"#,
        r#"["bytes","AAAA","Nope"]"#,
        r#"["bytes","AAAA",5]"#,
        r#"["bytes","AAAA",null]"#,
        r#"["bytes","AAAA","Int16Array"]"#,
        r#"["bytes","AAAAAA","Float64Array"]"#,
        r#"["error"]"#,
        r#"["error","E"]"#,
        r#"["error",x,"m"]"#,
        r#"["error","E",nul]"#,
        r#"["error","E","m",null,]"#,
        r#"["error","E","m",null,{"a":["wat"]}]"#,
        r#"["url"]"#,
        r#"["url",5]"#,
        r#"["url","not a url"]"#,
        r#"["url","/x"]"#,
        r#"["url","x:","y"]"#,
        r#"["headers"]"#,
        r#"["headers",{}]"#,
        r#"["headers",[1]]"#,
        r#"["headers",[["a"]]]"#,
        r#"["headers",[["a",1]]]"#,
        r#"["headers",[["a","b","c"]]]"#,
        r#"["headers",[],1]"#,
        r#"["headers",[["a","b"],]]"#,
        r#"["export"]"#,
        r#"["export","x"]"#,
        r#"["export",1.5]"#,
        r#"["promise"]"#,
        r#"["promise",null]"#,
        r#"["import"]"#,
        r#"["import","x"]"#,
        r#"["import",0,5]"#,
        r#"["import",0,[null]]"#,
        r#"["import",0,[-1]]"#,
        r#"["import",0,[1.5]]"#,
        r#"["import",0,["a"],5]"#,
        r#"["import",0,["a"],{}]"#,
        r#"["import",0,[["a"]]]"#,
        r#"["pipeline",0,["a"],[],1]"#,
        r#"["pipeline",0,["a",],[]]"#,
        r#"["pipeline",0,["a"],[1,]]"#,
        r#"["pipeline",0,["a"],[["wat"]]]"#,
        // forms that this version does not know
        r#"["remap"]"#,
        r#"["remap",0,[],[]]"#,
        r#"["remap","0",[],[],[]]"#,
        r#"["remap",0,[null],[],[]]"#,
        r#"["remap",0,[],[5],[]]"#,
        r#"["remap",0,[],[["pipeline",0]],[]]"#,
        r#"["remap",0,[],[["import",0,["a"]]],[]]"#,
        r#"["remap",0,[],[["promise",-1]],[]]"#,
        r#"["remap",0,[],[],5]"#,
        r#"["remap",0,[],[],[x]]"#,
        r#"["readable"]"#,
        r#"["readable","1"]"#,
        r#"["writable"]"#,
        r#"["writable",null]"#,
        r#"["blob"]"#,
        r#"["blob",5,["readable",1]]"#,
        r#"["blob",""]"#,
        r#"["request"]"#,
        r#"["request",5,{}]"#,
        r#"["request","http://a/"]"#,
        r#"["request","http://a/",null]"#,
        r#"["request","http://a/",{"body":["wat"]}]"#,
        r#"["response"]"#,
        r#"["response",null]"#,
        r#"["response",null,[]]"#,
        r#"["response",["wat"],{}]"#,
    ];

    for expression in NO_JSON.concat().iter().chain(NO_FORMS) {
        fails(&format!(r#"["push",{expression}]"#));
        fails(&format!(r#"["resolve",1,{expression}]"#));
        fails(&format!(r#"["push",["pipeline",0,["f"],[1,{expression}]]]"#));
        fails(&format!(r#"["push",{{"a":[[{{"b":{expression}}}]]}}]"#));
        fails(&format!(r#"["abort",["error","E","m",null,{{"p":{expression}}}]]"#));
    }
}

#[test]
fn what_is_said_of_a_fault_is_short() {
    let long = "é".repeat(10_000);
    for frame in [
        format!(r#"["{long}",1]"#),
        format!(r#"["push",["{long}",1]]"#),
        format!(r#"["push",["bigint","{long}"]]"#),
        format!(r#"["push",["url","{long}"]]"#),
        format!(r#"["push",["bytes","AAAA","{long}"]]"#),
        format!(r#"["push",x{long}]"#),
    ] {
        let error = message(&frame).unwrap_err();
        assert!(error.to_string().len() < 300, "{error}");
    }
}

#[test]
fn a_message_cut_short_anywhere_is_none() {
    for frame in complex() {
        use_up(&message(&frame).unwrap_or_else(|error| panic!("{frame}: {error}")));
        let whole = frame.trim_end().len();
        for (end, _) in frame[..whole].char_indices() {
            fails(&frame[..end]);
        }
    }
}

#[test]
fn a_message_that_lacks_any_byte_is_another_or_none() {
    for frame in complex() {
        for (at, char) in frame.char_indices() {
            let rest = format!("{}{}", &frame[..at], &frame[at + char.len_utf8()..]);
            if let Ok(op) = message(&rest) {
                use_up(&op);
            }
        }
    }
}

#[test]
fn a_big_integer_has_a_limit_in_which_its_sign_counts() {
    let limits = Limits { bigint_chars: 20, ..Limits::default() };
    let parse = |digits: &str| parse(&format!(r#"["push",["bigint","{digits}"]]"#), &limits);
    assert!(parse(&"1".repeat(20)).is_ok());
    assert_eq!(parse(&"1".repeat(21)).unwrap_err().kind(), ErrorKind::Limit);
    assert!(parse(&format!("-{}", "1".repeat(19))).is_ok());
    assert_eq!(parse(&format!("-{}", "1".repeat(20))).unwrap_err().kind(), ErrorKind::Limit);
    let digits = "9".repeat(16_384);
    assert!(message(&format!(r#"["push",["bigint","{digits}"]]"#)).is_ok());
    assert_eq!(message(&format!(r#"["push",["bigint","-{digits}"]]"#)).unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn a_property_path_has_a_limit() {
    let steps = |count| vec!["\"a\""; count].join(",");
    assert!(message(&format!(r#"["push",["pipeline",0,[{}]]]"#, steps(256))).is_ok());
    fails(&format!(r#"["push",["pipeline",0,[{}]]]"#, steps(257)));
}

#[test]
fn a_frame_of_many_small_things_takes_no_long_time() {
    let many = vec![r#"["export",-1]"#; 100_000].join(",");
    let op = message(&format!(r#"["resolve",1,[[{many}]]]"#)).unwrap();
    let Message::Answer { outcome: Ok(value), .. } = op else { panic!() };
    let there = cap();
    let value = value.map(|_| PayloadRef::Cap(there.clone()));
    assert_eq!(decode::<Vec<Cap>>(&value).unwrap().len(), 100_000);
    assert!(member(&value, &Key::Index(99_999)).is_some());
}

proptest! {
    #[test]
    fn a_message_with_a_few_bytes_changed_is_another_or_none(
        which in 0..COMPLEX.len() + USUAL.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 0..6),
    ) {
        let frames = complex().into_iter().chain(USUAL.map(str::to_owned));
        let mut bytes = frames.collect::<Vec<_>>()[which].clone().into_bytes();
        for (at, byte, how) in changes {
            let at = at.index(bytes.len());
            let interesting = b"[]{}\",:0-\\ueE.+ ntf\x00";
            match how {
                0 => bytes[at] = byte,
                1 => bytes[at] = interesting[usize::from(byte) % interesting.len()],
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, interesting[usize::from(byte) % interesting.len()]),
            }
        }
        let frame = String::from_utf8_lossy(&bytes);
        is_read_alike_with_white_space(&frame);
        if let Ok(op) = message(&frame) {
            use_up(&op);
        }
    }

    #[test]
    fn parts_of_messages_put_together_anyhow_are_a_message_or_none(
        parts in prop::collection::vec(prop::sample::select(vec![
            "[", "]", "[[", "]]", "{", "}", ",", ":", "\"a\"", "1", "-1", "null", "true", "\"push\"", "\"resolve\"", "\"pipeline\"",
            "\"import\"", "\"export\"", "\"bytes\"", "\"AQ\"", "\"error\"", "\"undefined\"", "\"bigint\"", "\"date\"", " ",
        ]), 0..40),
    ) {
        let frame = parts.concat();
        for frame in [format!("[\"push\",{frame}]"), format!("[\"reject\",1,{frame}]"), frame] {
            is_read_alike_with_white_space(&frame);
            if let Ok(op) = message(&frame) {
                use_up(&op);
            }
        }
    }

    #[test]
    fn any_text_is_a_message_or_none(text: String) {
        if let Ok(op) = message(&text) {
            use_up(&op);
        }
    }
}
