//! Values in tables, both ways.

use super::*;

#[test]
fn leaves_are_read() {
    for (theirs, ours) in [
        (r#"{"links":[]}"#, r#"["undefined"]"#),
        (r#"{}"#, r#"["undefined"]"#),
        (r#"5"#, r#"["undefined"]"#),
        (r#"{"value":"a\ud800"}"#, r#""a\ud800""#),
        (r#"{"links":[],"value":null}"#, "null"),
        (r#"{"links":[[null,1.5,true]],"value":{"type":2,"id":0}}"#, "[[null,1.5,true]]"),
        (r#"{"links":[{"":1,"type":1,"id":2}],"value":{"type":0,"id":0}}"#, r#"{"":1,"type":1,"id":2}"#),
        (r#"{"links":[],"value":{"type":0,"id":3}}"#, r#"["undefined"]"#),
        (r#"{"links":[[{"type":0,"id":4294967295}]],"value":{"type":2,"id":0}}"#, r#"[[["undefined"]]]"#),
        (r#"{"links":[[]],"value":{"type":1,"id":0}}"#, r#"["undefined"]"#),
        (r#"{"links":[[]],"value":{"type":0,"id":-1}}"#, r#"["undefined"]"#),
        (r#"{"links":[[]],"value":{"type":0,"id":0.5}}"#, r#"["undefined"]"#),
        (r#"{"links":[[[1],{}]],"value":{"type":2,"id":0}}"#, r#"[[["undefined"],["undefined"]]]"#),
        (r#"{"links":["x",7],"value":{"type":1,"id":1}}"#, "<function -1>"),
    ] {
        assert_eq!(value(theirs), ours);
    }
}

#[test]
fn links_are_read_in_any_order() {
    for (theirs, ours) in [
        (r#"{"links":[["a",{"type":2,"id":1}],["b"]],"value":{"type":2,"id":0}}"#, r#"["a",[["b"]]]"#),
        (
            r#"{"links":[{"k":"v"},"unused-id",[{"type":0,"id":0}]],"value":{"type":2,"id":2}}"#,
            r#"[{"k":"v"}]"#,
        ),
        (r#"{"value":{"id":0,"type":2},"links":[["swapped"]]}"#, r#"["swapped"]"#),
        (
            r#"{"links":[[{"type":0,"id":1},{"type":0,"id":1}],{}],"value":{"type":2,"id":0}}"#,
            "[<#0>,<#0>] #0={}",
        ),
        (
            r#"{"links":[[{"type":2,"id":0},{"type":0,"id":1}],{}],"value":{"type":2,"id":0}}"#,
            "[<#0>,<#1>] #0=[[<#0>,<#1>]] #1={}",
        ),
    ] {
        assert_eq!(arguments(theirs), ours);
    }
    assert!(arguments(r#"{"links":[{}],"value":{"type":0,"id":0}}"#).starts_with(r#"{"type":"error""#));
    assert!(arguments(r#"{"links":["x"],"value":{"type":2,"id":0}}"#).starts_with(r#"{"type":"error""#));
    assert_eq!(arguments(r#"{"links":[]}"#), "[]");
    assert_eq!(
        value(r#"{"links":[{"me":{"type":0,"id":0}}],"value":{"type":0,"id":0}}"#),
        r#"<#0> #0={"me":<#0>}"#
    );
}

#[test]
fn a_function_listed_twice_is_repaired_as_far_as_the_highest_pointer_shows_it() {
    for (theirs, ours) in [
        // As recorded: in arguments, inside an object, and where `off` would have hit the wrong function.
        (
            r#"{"links":["e","e",[{"type":1,"id":0},{"type":1,"id":0}]],"value":{"type":2,"id":1}}"#,
            "[[<function -1>,<function -1>]]",
        ),
        (
            r#"{"links":[{"on":{"type":1,"id":1},"add":{"type":1,"id":1},"off":{"type":1,"id":2}},"a","a","b"],"value":{"type":0,"id":0}}"#,
            r#"{"on":<function -1>,"add":<function -1>,"off":<function -2>}"#,
        ),
        (
            r#"{"links":[{"a":{"type":1,"id":1},"b":{"type":1,"id":1},"after":{"type":0,"id":2},"list":{"type":2,"id":3}},"a","a",{"hello":"world"},[1,2]],"value":{"type":0,"id":0}}"#,
            r#"{"a":<function -1>,"b":<function -1>,"after":{"hello":"world"},"list":[[1,2]]}"#,
        ),
        // A sender that lists a function more than once and counts it.
        (
            r#"{"links":["a","a",[{"type":1,"id":0},{"type":1,"id":1}]],"value":{"type":2,"id":2}}"#,
            "[[<function -1>,<function -1>]]",
        ),
    ] {
        assert_eq!(value(theirs), ours);
    }
}

#[test]
fn values_are_written_as_the_package_does() {
    for (ours, theirs) in [
        (r#"["undefined"]"#, r#"{"links":[]}"#),
        ("null", r#"{"links":[]}"#),
        ("5", r#"{"links":[],"value":5}"#),
        (
            r#"{"a":[[1]],"n":null,"u":["undefined"],"b":{}}"#,
            r#"{"links":[{"a":{"type":2,"id":1},"n":{"type":0,"id":4294967295},"u":{"type":0,"id":4294967295},"b":{"type":0,"id":2}},[1],{}],"value":{"type":0,"id":0}}"#,
        ),
        ("[[null,1]]", r#"{"links":[[{"type":0,"id":4294967295},1]],"value":{"type":2,"id":0}}"#),
        (r#"["bigint","12"]"#, r#"{"links":[],"value":12}"#),
        (r#"["url","http://a/"]"#, r#"{"links":[],"value":"http://a/"}"#),
        (r#"["bytes","AQL/"]"#, r#"{"links":[[1,2,255]],"value":{"type":2,"id":0}}"#),
        (
            r#"["error","TypeError","no",null,{"code":5}]"#,
            r#"{"links":[{"message":"no","name":"TypeError","code":5}],"value":{"type":0,"id":0}}"#,
        ),
        ("[[]]", r#"{"links":[[]],"value":{"type":2,"id":0}}"#),
    ] {
        assert_eq!(table(ours), theirs);
    }
    for ours in [r#"["nan"]"#, r#"["date",1]"#, r#"[[["-inf"]]]"#, r#"{"__proto__":{}}"#] {
        assert!(table(ours).starts_with(r#"{"type":"error","methodId":"r","value":{"message":""#), "{ours}");
    }
}

#[test]
fn a_function_is_listed_once_however_often_it_occurs() {
    assert_eq!(
        table_of(marked(r#"{"on":<-1>,"add":<-1>,"off":<-2>}"#, &[])),
        r#"{"links":[{"on":{"type":1,"id":1},"add":{"type":1,"id":1},"off":{"type":1,"id":2}},"f1","f2"],"value":{"type":0,"id":0}}"#
    );
}

#[test]
fn what_occurs_twice_is_one_link() {
    for (root, nodes, theirs) in [
        ("<0>", vec![r#"{"me":<0>}"#], r#"{"links":[{"me":{"type":0,"id":0}}],"value":{"type":0,"id":0}}"#),
        ("<0>", vec!["[[<0>]]"], r#"{"links":[[{"type":2,"id":0}]],"value":{"type":2,"id":0}}"#),
        (
            "[[<0>,<0>]]",
            vec!["{}"],
            r#"{"links":[{},[{"type":0,"id":0},{"type":0,"id":0}]],"value":{"type":2,"id":1}}"#,
        ),
        ("[[<0>,<0>]]", vec!["1"], r#"{"links":[[1,1]],"value":{"type":2,"id":0}}"#),
    ] {
        assert_eq!(table_of(marked(root, &nodes)), theirs);
    }
    assert!(table_of(marked("<0>", &["<0>"])).starts_with(r#"{"type":"error""#));
}

#[test]
fn errors_of_any_shape_are_read() {
    for (theirs, ours) in [
        (r#","value":{"message":"m"}"#, r#"["error","Error","m"]"#),
        (
            r#","value":{"message":"m","name":"E","data":[1,{"a":[]}]}"#,
            r#"["error","E","m",null,{"data":[[1,{"a":[[]]}]]}]"#,
        ),
        (
            r#","value":{"message":"m","data":[null],"a":1,"capnode:data":"[[[\"nan\"]]]"}"#,
            r#"["error","Error","m",null,{"a":1,"data":[[["nan"]]]}]"#,
        ),
        (
            r#","value":{"message":"m","data":1,"capnode:data":"[[5"}"#,
            r#"["error","Error","m",null,{"data":1,"capnode:data":"[[5"}]"#,
        ),
        (
            r#","value":{"message":"m","capnode:data":"[\"export\",-1]"}"#,
            r#"["error","Error","m",null,{"capnode:data":"[\"export\",-1]"}]"#,
        ),
        (r#","value":{}"#, r#"["error","Error","the peer gave no message"]"#),
        ("", r#"["error","Error","the peer gave no message"]"#),
        (r#","value":"text""#, r#""text""#),
        (r#","value":[1]"#, "[[1]]"),
    ] {
        let mut codec = Codec::new(1);
        written(&mut codec, &call(0, None));
        let frame = format!(r#"{{"type":"error","methodId":"{}"{theirs}}}"#, codec.own.index.id(1));
        assert_eq!(said(read(&mut codec, &frame)), format!("1 err {ours}"));
    }
    let error = |text: &str| outcome(Err(Payload::plain(text.to_owned())));
    for (ours, theirs) in [
        (
            r#"["error","E","no",null,{"data":[[1,["nan"]]],"__proto__":1}]"#,
            r#"{"message":"no","name":"E","data":[1,null],"capnode:data":"[[1,[\"nan\"]]]"}"#,
        ),
        (
            r#"["error","E","no",null,{"data":{"a":[[1]]}}]"#,
            r#"{"message":"no","name":"E","data":{"a":[1]}}"#,
        ),
        (r#""why""#, r#"{"message":"why"}"#),
        ("null", r#"{"message":"null"}"#),
    ] {
        assert_eq!(error(ours), format!(r#"{{"type":"error","methodId":"r","value":{theirs}}}"#));
    }
}

#[test]
fn long_chains_break_a_limit_and_circles_do_not() {
    let chain = |length: usize| {
        let link = |at: usize| format!(r#"{{"next":{{"type":0,"id":{}}}}}"#, at + 1);
        let links: Vec<String> = (0..length - 1).map(link).collect();
        format!(r#"{{"links":[{},{{}}],"value":{{"type":0,"id":0}}}}"#, links.join(","))
    };
    assert!(value(&chain(255)).starts_with(r#"{"next":{"next""#));
    let mut codec = Codec::new(1);
    written(&mut codec, &call(0, None));
    let id = codec.own.index.id(1);
    let frame = format!(r#"{{"type":"return","methodId":"{id}","value":{}}}"#, chain(100_000));
    assert_eq!(
        codec.parse(&frame, &Limits::default(), &mut ThinVec(1, 1)).unwrap_err().kind(),
        crate::ErrorKind::Limit
    );
    // This would be 2^100 values if it were unfolded.
    let link = |at: usize| format!(r#"[{{"type":2,"id":{0}}},{{"type":2,"id":{0}}}]"#, at + 1);
    let links: Vec<String> = (0..100).map(link).collect();
    let bomb = format!(r#"{{"links":[{},[]],"value":{{"type":2,"id":0}}}}"#, links.join(","));
    assert!(value(&bomb).ends_with("#99=[[]]"));
}
