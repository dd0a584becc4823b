//! Mistakes that a peer can make without harm, and the answers to them.

use crate::harness::*;

/// Returns the answer to a call of a foreign peer.
fn answer(call: &str) -> String {
    let (_log, mut peer) = offered_probe();
    peer.receive(&format!(r#"["stream",{call}]"#));
    peer.frames().join("")
}

#[test]
fn a_wrong_call_is_told_method_argument_and_what_was_expected() {
    let reject = |message: &str| format!(r#"["reject",1,["error","TypeError","{message}"]]"#);
    assert_eq!(answer(r#"["pipeline",0,["nope"],[]]"#), reject("'nope' is not a function."));
    assert_eq!(answer(r#"["pipeline",0,[],[]]"#), reject("'' is not a function."));
    assert_eq!(
        answer(r#"["pipeline",0,["note"],["five"]]"#),
        reject(r#"note: argument 1, `number`: invalid type: string \"five\", expected u32"#)
    );
    assert_eq!(
        answer(r#"["pipeline",0,["note"],[]]"#),
        reject("note: argument 1, `number`: it is missing, expected u32")
    );
    assert_eq!(
        answer(r#"["pipeline",0,["call"],[5,5]]"#),
        reject("call: argument 1, `function`: invalid type: integer `5`, expected an object or function")
    );
}

#[test]
fn a_refused_call_keeps_none_of_its_references() {
    let (_log, mut peer) = offered_probe();
    // A method that is not there, a property, arguments of other types, a capture of a map that makes no sense, a target
    // that was never lent.
    let calls = [
        r#"["pipeline",0,["nope"],[{"a":@,"b":[[@]]}]]"#,
        r#"["pipeline",0,["name"],[@]]"#,
        r#"["pipeline",0,["name","deeper"],[@]]"#,
        r#"["pipeline",0,["note"],[@,@]]"#,
        r#"["pipeline",0,["call"],[5,@]]"#,
        r#"["pipeline",0,["call"],[@,@,@]]"#,
        r#"["pipeline",0,["echo"],[["blob","t",@]]]"#,
        r#"["pipeline",0,["echo"],[["remap",0,[],[@],[["pipeline",-7]]]]]"#,
        r#"["remap",0,["list"],[@],[["pipeline",-7,[],[5]]]]"#,
        r#"["pipeline",-70,["note"],[@]]"#,
        r#"["pipeline",1,["note"],[@]]"#,
    ];
    let before = peer.core().tables();
    let mut lent = 0;
    for (call, number) in calls.iter().zip(1..) {
        let parts: Vec<_> = call.split('@').collect();
        let mut message = format!(r#"["stream",{}"#, parts[0]);
        let first = lent + 1;
        for part in &parts[1..] {
            lent += 1;
            message += &format!(r#"["export",-{lent}]{part}"#);
        }
        peer.receive(&(message + "]"));
        let frames = peer.frames();
        assert!(
            frames.iter().any(|frame| frame.starts_with(&format!(r#"["reject",{number},"#))),
            "{call}: {frames:?}"
        );
        for id in first..=lent {
            assert!(frames.contains(&format!(r#"["release",-{id},1]"#)), "{call}: {frames:?}");
        }
        assert_eq!(peer.core().tables(), before, "{call}");
    }
}

#[test]
fn properties_are_read_and_missing_ones_are_undefined() {
    assert_eq!(answer(r#"["pipeline",0,["name"]]"#), r#"["resolve",1,"probe"]"#);
    assert_eq!(answer(r#"["pipeline",0,["missing"]]"#), r#"["resolve",1,["undefined"]]"#);
    assert_eq!(
        answer(r#"["pipeline",0,["missing","deeper"]]"#),
        r#"["reject",1,["error","TypeError","Cannot read properties of undefined (reading 'deeper')"]]"#
    );
    assert_eq!(
        answer(r#"["pipeline",0,["name"],[]]"#),
        r#"["reject",1,["error","TypeError","'name' is not a function."]]"#
    );
    assert_eq!(answer(r#"["pipeline",0]"#), r#"["resolve",1,["export",-1]]"#);
}

#[test]
fn a_method_read_as_a_property_is_a_function() {
    let (log, mut peer) = offered_probe();
    peer.receive(r#"["stream",["pipeline",0,["note"]]]"#);
    assert_eq!(peer.frames(), [r#"["resolve",1,["export",-1]]"#]);
    peer.receive(r#"["stream",["pipeline",-1,[],[3]]]"#);
    assert_eq!(peer.frames(), [r#"["resolve",2,3]"#]);
    assert_eq!(log.take(), ["3"]);
}

#[test]
fn names_that_every_javascript_object_has_are_no_methods() {
    for name in ["constructor", "__proto__", "toString", "hasOwnProperty"] {
        assert_eq!(answer(&format!(r#"["pipeline",0,["{name}"]]"#)), r#"["resolve",1,["undefined"]]"#);
        assert!(answer(&format!(r#"["pipeline",0,["{name}"],[]]"#)).contains("is not a function"));
    }
}

#[test]
fn a_push_of_plain_data_is_its_own_answer() {
    let (_log, mut peer) = offered_probe();
    peer.receive(r#"["push",{"sum":["pipeline",0,["note"],[3]],"list":[[["import",0],"x"]]}]"#);
    peer.receive(r#"["pull",1]"#);
    assert_eq!(peer.frames(), [r#"["resolve",1,{"sum":3,"list":[[["export",-1],"x"]]}]"#]);
    // And calls can be made into it.
    peer.receive(r#"["stream",["pipeline",1,["list",0,"note"],[4]]]"#);
    assert_eq!(peer.frames(), [r#"["resolve",2,4]"#]);
}

#[test]
fn a_promise_in_a_promise_without_end_is_refused() {
    let (_log, mut peer) = offered_probe();
    peer.receive(r#"["stream",["pipeline",0,["echo"],[["promise",-1]]]]"#);
    for id in 1..=1_000 {
        peer.receive(&format!(r#"["resolve",-{id},{{"next":["promise",-{}]}}]"#, id + 1));
    }
    let answers: Vec<_> = peer.frames().into_iter().filter(|frame| frame.starts_with("[\"re")).collect();
    let refusal =
        answers.iter().find(|frame| frame.starts_with("[\"reject\",1,")).expect("the call is refused");
    assert!(refusal.contains("a promise in a promise, more than 64 times"), "{refusal}");
    assert!(peer.core().closed().is_none());
}

#[test]
fn half_a_surrogate_pair_does_not_end_the_session() {
    assert_eq!(answer(r#"["pipeline",0,["echo"],["a\ud800b"]]"#), "[\"resolve\",1,\"a\u{fffd}b\"]");
}
