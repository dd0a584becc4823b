//! Values, both ways.

use super::*;

/// Reads a resolution, and returns its value, or `err` and the reason.
fn resolution(text: &str) -> String {
    let mut codec = Codec::new(1);
    written(&mut codec, &call(0, Path::Empty, None));
    let frame = format!(r#"{{"type":"resolve","to":"{}","resolution":{text}}}"#, codec.own.id(1));
    let said = said(read(&mut codec, &frame));
    said.strip_prefix("1 ok ").or_else(|| said.strip_prefix("1 ")).unwrap().to_owned()
}

fn arguments(text: &str) -> String {
    let said = said(read(&mut Codec::new(1), &send("post", text)));
    said.strip_prefix("0 .m ").unwrap().to_owned()
}

/// Returns the text that an outcome is written as.
fn outcome(outcome: Result<&str, &str>) -> String {
    let payload = |text: &str| Payload::plain(text.to_owned());
    written_outcome(outcome.map(payload).map_err(payload))
}

fn written_outcome(outcome: Result<Payload<CapDescriptor>, Payload<CapDescriptor>>) -> String {
    let mut codec = Codec::new(1);
    read(&mut codec, &send("when", "[]"));
    let frame = written(&mut codec, &Message::Answer { id: 1, outcome });
    let start = r#"{"type":"resolve","to":"a","resolution":"#;
    frame.strip_prefix(start).unwrap().strip_suffix('}').unwrap().to_owned()
}

#[test]
fn plain_and_special_values_are_read_and_written() {
    for (theirs, ours) in [
        ("1.5e3", "1.5e3"),
        (r#""a\ud800""#, r#""a\ud800""#),
        ("null", "null"),
        ("[]", "[[]]"),
        ("[[1],{}]", "[[[[1]],{}]]"),
        (r#"{"a":[true]}"#, r#"{"a":[[true]]}"#),
        (r#"{"%":"undefined"}"#, r#"["undefined"]"#),
        (r#"{"%":"NaN"}"#, r#"["nan"]"#),
        (r#"[{"%":"+Infinity"}]"#, r#"[[["inf"]]]"#),
        (r#"{"i":{"%":"-Infinity"}}"#, r#"{"i":["-inf"]}"#),
    ] {
        assert_eq!(resolution(theirs), ours);
        assert_eq!(outcome(Ok(ours)), theirs);
    }
}

#[test]
fn what_the_language_has_no_word_for_is_written_as_what_comes_nearest() {
    for (ours, theirs) in [
        (r#"["bigint","-12"]"#, "-12"),
        (r#"["bigint","1152921504606846976"]"#, "1152921504606846976"),
        (r#"["url","http://a/"]"#, r#""http://a/""#),
        (r#"["bytes","AQL/"]"#, "[1,2,255]"),
        (r#"["bytes","AAAAAAAA+H8","Float64Array"]"#, r#"[{"%":"NaN"}]"#),
        (r#"["bytes","//8","Int16Array"]"#, "[-1]"),
        (r#"["error","Error","no"]"#, r#"{"message":"no"}"#),
        (
            r#"["error","TypeError","no","at x",{"code":[[1]],"@":["nan"]}]"#,
            r#"{"message":"no","name":"TypeError","code":[1],"\\@":{"%":"NaN"}}"#,
        ),
    ] {
        assert_eq!(outcome(Ok(ours)), theirs);
    }
    for ours in [r#"["bigint","9007199254740993"]"#, r#"["date",1]"#, r#"["date",null]"#, r#"["headers",[]]"#]
    {
        assert!(outcome(Ok(ours)).starts_with(r#"{"!":{"message":""#), "{ours}");
    }
}

#[test]
fn keys_are_escaped_at_the_first_character_that_means_something() {
    for (ours, theirs) in [
        ("@", r"\\@"),
        ("!", r"\\!"),
        ("%", r"\\%"),
        ("$", r"\\$"),
        ("/", r"\\/"),
        (r"\\", r"\\\\"),
        ("@@", r"\\@@"),
        ("a@b!c", r"a\\@b!c"),
        (r"\\@", r"\\\\@"),
        ("//x", r"\\//x"),
        (r"\\\\", r"\\\\\\"),
        ("@r", r"\\@r"),
        ("type", "type"),
        ("", ""),
        ("%undefined", r"\\%undefined"),
        ("a/b/c", r"a\\/b/c"),
        (r"\ud800@", r"\ud800\\@"),
        (r"q\n@", r"q\n\\@"),
        ("é/", r"é\\/"),
    ] {
        assert_eq!(outcome(Ok(&format!(r#"{{"{ours}":1}}"#))), format!(r#"{{"{theirs}":1}}"#));
        assert_eq!(resolution(&format!(r#"{{"{theirs}":1}}"#)), format!(r#"{{"{ours}":1}}"#));
    }
    // As they are accepted, and by other escapes of JSON.
    for (theirs, ours) in
        [("a@b", "a@b"), (r"\\q", r"\\q"), (r"\u005c\u0040", r"\u0040"), (r"a\\\/b", r"a\/b")]
    {
        assert_eq!(resolution(&format!(r#"{{"{theirs}":1}}"#)), format!(r#"{{"{ours}":1}}"#));
    }
    assert_eq!(resolution(r#"{"a@":1,"b":2,"a\\@":3}"#), r#"{"b":2,"a@":3}"#);
    assert_eq!(resolution(r#"{"a":1,"b":2,"\u0061":3}"#), r#"{"a":3,"b":2}"#);
}

#[test]
fn forms_are_looked_for_in_the_order_of_the_package() {
    for (theirs, ours) in [
        (r#"[{"@":"x","%":"NaN"}]"#, r#"[[["nan"]]]"#),
        (r#"[{"%":"NaN","$":"/9"}]"#, r#"[[["undefined"]]]"#),
        (r#"[{"@":"x","!":"no"}]"#, r#"[[["error","Error","no"]]]"#),
        (r#"{"%":""}"#, r#"{"%":""}"#),
        (r#"{"@":""}"#, r#"{"@":""}"#),
        (r#"[{"!":0}]"#, r#"[[{"!":0}]]"#),
        (r#"{"@":"x"}"#, "<object -1>"),
        (r#"{"@":"x","type":"function","more":1}"#, "<function -1>"),
        (r#"{"@r":"x","type":"function"}"#, "<function -1>"),
        (r#"{"@l":"f2"}"#, "<own -2>"),
        (r#"{"@l":""}"#, "<own 0>"),
    ] {
        assert_eq!(resolution(theirs), ours);
    }
}

#[test]
fn what_is_no_value_is_read_as_the_error_that_it_is() {
    for (theirs, ours) in [
        (r#"{"%":"Infinity"}"#, r#"["error","Error","there is no special value called Infinity"]"#),
        (r#"{"@l":"f99"}"#, r#"["error","Error","there is no such object here, or it has been forgotten"]"#),
        (r#"{"@":{}}"#, r#"["error","Error","this reference has no id"]"#),
        (
            r#"[{"!":{"message":"no","name":"E","stack":"at","x":[1]}}]"#,
            r#"[[["error","E","no",null,{"x":[[1]]}]]]"#,
        ),
        (r#"[{"!":[1]}]"#, r#"[[["error","Error","the promise was rejected",null,{"data":[[1]]}]]]"#),
    ] {
        assert_eq!(resolution(theirs), ours);
    }
}

#[test]
fn any_reason_is_a_rejection_even_one_that_is_false() {
    for (theirs, ours) in [
        (r#"{"!":0}"#, "err 0"),
        (r#"{"!":null}"#, "err null"),
        (r#"{"!":{"%":"undefined"}}"#, r#"err ["undefined"]"#),
        (r#"{"!":"no","%":"NaN"}"#, r#"err "no""#),
        (r#"{"!":{"message":"no"}}"#, r#"err ["error","Error","no"]"#),
        (
            r#"{"!":{"message":"no","stack":"at","name":"TypeError","a\\/b":{"@":"x"}}}"#,
            r#"err ["error","TypeError","no",null,{"a/b":<object -1>}]"#,
        ),
        (
            r#"{"!":{"message":"m","data":1,"capnode:data":"[\"bigint\",\"5\"]"}}"#,
            r#"err ["error","Error","m",null,{"data":["bigint","5"]}]"#,
        ),
        (
            r#"{"!":{"message":"m","capnode:data":"[\"import\",1]","a":2}}"#,
            r#"err ["error","Error","m",null,{"capnode:data":"[\"import\",1]","a":2}]"#,
        ),
        (r#"{"!":{"message":5}}"#, r#"err {"message":5}"#),
        (r#"{"!":{"@":"x","type":"function","message":"m"}}"#, "err <function -1>"),
        // Counted from the reason, or from the resolution.
        (
            r#"{"!":{"message":"m","a":[],"b":{"$":"/a"},"c":{"$":"/!/a"}}}"#,
            r#"err ["error","Error","m",null,{"a":<#0>,"b":<#0>,"c":<#0>}] #0=[[]]"#,
        ),
        (r#"{"!":{"a":{"$":""}}}"#, r#"err <#0> #0={"a":<#0>}"#),
        (
            r#"{"!":{"message":"m","a":{"$":""}}}"#,
            r#"err ["error","Error","m",null,{"a":<#0>}] #0={"message":"m","a":<#0>}"#,
        ),
    ] {
        assert_eq!(resolution(theirs), ours);
    }
}

#[test]
fn reasons_are_written_without_forms_and_are_never_false() {
    for (ours, theirs) in [
        ("0", r#"{"message":"0"}"#),
        ("null", r#"{"message":"null"}"#),
        (r#"["undefined"]"#, r#"{"message":"undefined"}"#),
        ("-0.0", r#"{"message":"-0.0"}"#),
        ("false", r#"{"message":"false"}"#),
        (r#""""#, r#"{"message":""}"#),
        (r#"["nan"]"#, r#"{"message":"undefined"}"#),
        (r#""why""#, r#""why""#),
        ("42", "42"),
        ("true", "true"),
        ("[[1,2]]", "[1,2]"),
        (r#"["url","x:"]"#, r#""x:""#),
        (r#"{"code":5}"#, r#"{"code":5}"#),
        (r#"["error","Error","no"]"#, r#"{"message":"no"}"#),
        (
            r#"["error","E","no",null,{"a":["nan"],"b":[[["undefined"],1]],"@":1,"a/b":2,"message":3,"d":["date",4]}]"#,
            r#"{"message":"no","name":"E","b":[null,1],"\\@":1,"a/b":2,"d":4}"#,
        ),
        (
            r#"["error","Error","no",null,{"big":["bigint","9007199254740993"]}]"#,
            r#"{"message":"no","big":"9007199254740993"}"#,
        ),
        (
            r#"["error","Error","no",null,{"data":["bigint","9007199254740993"]}]"#,
            r#"{"message":"no","data":"9007199254740993","capnode:data":"[\"bigint\",\"9007199254740993\"]"}"#,
        ),
    ] {
        assert_eq!(outcome(Err(ours)), format!(r#"{{"!":{theirs}}}"#));
    }
}

#[test]
fn paths_are_counted_from_all_of_the_arguments() {
    for (theirs, ours) in [
        (r#"["m",[{"k":1},{"$":"/1/0"}]]"#, r#"[<#0>,<#0>] #0={"k":1}"#),
        (
            r#"["m",[{"self":{"$":"/1/0"},"kids":[{"up":{"$":"/1/0"}}]}]]"#,
            r#"[<#0>] #0={"self":<#0>,"kids":[[{"up":<#0>}]]}"#,
        ),
        (r#"["m",[{"a\\/b":{"c":[]}},{"$":"/1/0/a\\/b/c"}]]"#, r#"[{"a/b":{"c":<#0>}},<#0>] #0=[[]]"#),
        (r#"["m",[{"a/b":[]},{"$":"/1/0/a/b"}]]"#, r#"[{"a/b":<#0>},<#0>] #0=[[]]"#),
        (
            r#"["m",[{"$":"/0"},{"$":"/7"},{"$":"x"},{"$":5},{"$":"/1/1"}]]"#,
            r#"[["undefined"],["undefined"],["undefined"],["undefined"],["undefined"]]"#,
        ),
        (r#"["m",[{"$":""}]]"#, r#"[<#0>] #0=[["m",<#1>]] #1=[[<#0>]]"#),
        (r#"["m",[{"$":"/1"},{}]]"#, r#"[<#0>,<#1>] #0=[[<#0>,<#1>]] #1={}"#),
        (r#"["m",[{"$":"/1/1"},[2]]]"#, r#"[<#0>,<#0>] #0=[[2]]"#),
    ] {
        assert_eq!(arguments(theirs), ours);
    }
    let set = said(read(&mut Codec::new(1), &send("set", r#"["n",{"a":[],"b":{"$":"/1/a"}}]"#)));
    assert_eq!(set, r#"0 .n.(set) [{"a":<#0>,"b":<#0>}] #0=[[]]"#);
}

#[test]
fn a_path_to_a_reference_is_that_reference() {
    assert_eq!(
        arguments(r#"["m",[{"@":"x","type":"function"},{"$":"/1/0"},{"@":"y"},{"$":"/1/2"}]]"#),
        "[<function -1>,<function -1>,<object -2>,<object -2>]"
    );
}

#[test]
fn many_long_paths_cost_no_more_than_the_message() {
    let inside: Vec<String> = (0..20_000).map(|_| "{}".to_owned()).collect();
    let key = "k".repeat(100_000);
    let text = format!(r#"["m",[{{"{key}":[{}]}},{{"$":"/1/0/{key}/19999"}}]]"#, inside.join(","));
    assert!(arguments(&text).ends_with(",<#0>] #0={}"));
}

#[test]
fn what_occurs_twice_is_written_as_a_path_and_functions_are_named_again() {
    for (root, nodes, theirs) in [
        ("<0>", vec![r#"{"self":<0>}"#], r#"{"self":{"$":""}}"#),
        ("[[<0>,<0>]]", vec!["[[1]]"], r#"[[1],{"$":"/0"}]"#),
        (r#"{"a/b":<0>,"c":[[<0>]]}"#, vec!["{}"], r#"{"a\\/b":{},"c":[{"$":"/a\\/b"}]}"#),
        (
            "[[<0>,<1>]]",
            vec![r#"{"other":<1>}"#, r#"{"other":<0>}"#],
            r#"[{"other":{"other":{"$":"/0"}}},{"$":"/0/other"}]"#,
        ),
        ("[[<-1>,<-1>]]", vec![], r#"[{"@":"f1","type":"function"},{"@":"f1","type":"function"}]"#),
        ("[[<0>,<0>]]", vec![r#""text""#], r#"["text","text"]"#),
        ("<-1>", vec![], r#"{"@":"f1","type":"function"}"#),
    ] {
        assert_eq!(written_outcome(Ok(marked(root, &nodes))), theirs);
    }
    // Nothing of that in reasons.
    assert_eq!(written_outcome(Err(marked("<0>", &[r#"{"self":<0>,"f":<-1>,"a":1}"#]))), r#"{"!":{"a":1}}"#);
    // Nor without end.
    assert!(written_outcome(Ok(marked("<0>", &["<0>"]))).starts_with(r#"{"!":{"message":"the value nests"#));
}

#[test]
fn arguments_have_their_paths_too() {
    let mut codec = Codec::new(1);
    let op = |path, payload| Message::Call {
        id: 1,
        target: 0,
        path,
        args: Some(payload),
        return_mode: ReturnMode::Streamed,
    };
    let frame = written(&mut codec, &op(Path::name("m"), marked("[<0>,<0>]", &["{}"])));
    assert!(frame.ends_with(r#""args":["m",[{},{"$":"/1/0"}]]}"#), "{frame}");
    let set = [Key::Name("n".to_owned().into()), Key::Verb(Verb::Set)].into_iter().collect();
    let frame = written(&mut codec, &op(set, marked("[<0>]", &[r#"{"self":<0>}"#])));
    assert!(frame.ends_with(r#""args":["n",{"self":{"$":"/1"}}]}"#), "{frame}");
}
