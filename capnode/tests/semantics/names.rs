//! Names with a meaning of their own in JavaScript: from any sender and in any language, they are never a method, a
//! step of a path or the class of an error. As keys in data they are names like any other.

use crate::harness::*;
use capnode::ErrorValue;
use capnode::{Dialect, Object};
use capnode::{ErrorKind, Fate};

/// Every JavaScript object has the names of `Object.prototype` by itself, and JavaScript calls `then` and `toJSON` of
/// values unasked.
const RESERVED: [&str; 15] = [
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "prototype",
    "then",
    "toJSON",
    "toLocaleString",
    "toString",
    "valueOf",
];

/// An object that has each of these names, and data that does.
fn index(log: &Log) -> Object {
    index_with(log, &RESERVED)
}

/// Makes an index that has data by these names as well.
fn index_with(log: &Log, names: &[&'static str]) -> Object {
    let mut object = Object::new().open();
    for name in RESERVED {
        let log = log.clone();
        let called = Func::<fn()>::new(move || {
            log.push(name);
            async {}
        });
        object = object.with_writable(name, called);
    }
    let data = names.iter().map(|name| ((*name).to_owned(), Value::from(1.0))).collect();
    object
        .with("data", Value::Object(data))
        .with("echo", Func::<fn(Value) -> Value>::new(|x: Value| async { x }))
}

fn speaking(dialect: Dialect, side: Side, index: Option<Cap>) -> Endpoint {
    Endpoint::new(match side {
        Side::Connecting => Core::builder().dialect(dialect).connecting(()),
        Side::Accepting => Core::accepting(index),
    })
}

/// Checks the answer to each frame of a table, with `name` in place of `@`.
fn answers(peer: &mut Endpoint, table: &[(&str, &str)], name: &str) {
    for (said, heard) in table {
        peer.receive(&said.replace('@', name));
        let expected = heard.replace('@', name);
        assert_eq!(peer.frames(), [expected], "{said}");
    }
}

#[test]
fn a_capn_web_peer_finds_nothing_under_them() {
    let log = Log::default();
    for name in RESERVED {
        let mut peer = accepting(index(&log).cap());
        let table = [
            (
                r#"["stream",["pipeline",0,["@"],[]]]"#,
                r#"["reject",1,["error","TypeError","'@' is not a function."]]"#,
            ),
            (r#"["stream",["pipeline",0,["@"]]]"#, r#"["resolve",2,["undefined"]]"#),
            (r#"["stream",["pipeline",0,["data","@"]]]"#, r#"["resolve",3,["undefined"]]"#),
            (
                r#"["stream",["pipeline",0,["@","x"],[]]]"#,
                r#"["reject",4,["error","TypeError","Cannot read properties of undefined (reading 'x')"]]"#,
            ),
            // Inside a value, asked for and taken as a reference.
            (
                r#"["stream",["pipeline",0,["echo"],[["pipeline",0,["@"]]]]]"#,
                r#"["resolve",5,["undefined"]]"#,
            ),
            (r#"["stream",["pipeline",0,["echo"],[{"@":1}]]]"#, r#"["resolve",6,{"@":1}]"#),
        ];
        answers(&mut peer, &table, name);
        peer.receive(&format!(r#"["stream",["pipeline",0,["echo"],[["import",0,["{name}"]]]]]"#));
        assert_eq!(peer.frames(), [r#"["resolve",7,["export",-1]]"#]);
        peer.receive(r#"["stream",["pipeline",-1,[]]]"#);
        assert_eq!(peer.frames(), [r#"["resolve",8,["undefined"]]"#], "{name}");
        assert_eq!(log.take(), [""; 0], "{name}");
    }
}

#[test]
fn a_q_connection_peer_finds_nothing_under_them() {
    let log = Log::default();
    let rejected = |why: &str| {
        format!(
            r#"{{"type":"resolve","to":"a","resolution":{{"!":{{"message":"{why}","name":"TypeError"}}}}}}"#
        )
    };
    let undefined = r#"{"type":"resolve","to":"a","resolution":{"%":"undefined"}}"#;
    for name in RESERVED {
        let mut peer = speaking(Dialect::Q, Side::Accepting, Some(index(&log).cap()));
        let send = |op: &str, args: &str| {
            format!(r#"{{"type":"send","to":"","from":"a","op":"{op}","args":[{args}]}}"#)
        };
        let table = [
            (send("post", r#""@",[]"#), rejected("'@' is not a function.")),
            (send("get", r#""@""#), undefined.to_owned()),
            (send("put", r#""@",1"#), rejected("no property of this object can be set")),
            (send("delete", r#""@""#), rejected("no property of this object can be deleted")),
            (
                send("post", r#""echo",[{"@":1}]"#),
                r#"{"type":"resolve","to":"a","resolution":{"@":1}}"#.to_owned(),
            ),
            (send("keys", ""), r#"{"type":"resolve","to":"a","resolution":["data","echo"]}"#.to_owned()),
        ];
        let table = table.each_ref().map(|(said, heard)| (said.as_str(), heard.as_str()));
        answers(&mut peer, &table, name);
        assert_eq!(log.take(), [""; 0], "{name}");
    }
}

#[test]
fn a_capnode_peer_is_told_of_no_function_of_such_a_name() {
    let log = Log::default();
    // Data of that name is refused.
    let names: Vec<_> = RESERVED.into_iter().filter(|name| *name != "__proto__").collect();
    let mut peer = speaking(Dialect::Capnode, Side::Accepting, Some(index_with(&log, &names).cap()));
    peer.receive(r#"{"type":"index","methodId":"i"}"#);
    let answer: serde_json::Value = serde_json::from_str(&peer.frames().concat()).unwrap();
    let members = answer["value"]["links"][0].as_object().unwrap();
    let names: Vec<_> = members.keys().collect();
    assert_eq!(names, ["data", "echo"]);
}

#[test]
fn nothing_is_asked_of_a_peer_by_such_a_name() {
    for dialect in [Dialect::CapnWeb, Dialect::Q, Dialect::Capnode] {
        let mut peer = speaking(dialect, Side::Connecting, None);
        let theirs = peer.core().index::<Cap>();
        peer.frames();
        let (promised, resolver) = ProbeClient::promise();
        resolver.resolve(ProbeClient::from_cap(theirs.clone()));
        for name in RESERVED {
            for cap in [&theirs, promised.cap()] {
                let Poll::Ready(Err(error)) = poll(&mut cap.invoke::<()>(name, ())) else { panic!("{name}") };
                assert_eq!((error.kind(), error.fate()), (ErrorKind::Rejected, Fate::NotSent));
                assert_eq!(error.message(), format!("'{name}' is not a function."));
                assert!(matches!(poll(&mut cap.get::<Option<u8>>(name)), Poll::Ready(Ok(None))), "{name}");
                assert!(matches!(poll(&mut cap.put(name, 1)), Poll::Ready(Err(_))), "{name}");
                assert!(matches!(poll(&mut cap.delete(name)), Poll::Ready(Err(_))), "{name}");
                assert!(matches!(poll(&mut cap.at(name).at("x").invoke::<()>("y", ())), Poll::Ready(Err(_))));
                assert!(matches!(poll(&mut cap.at(name).apply::<()>(())), Poll::Ready(Err(_))), "{name}");
                let pipelined = cap.invoke::<()>(name, ()).pipeline_cap();
                assert!(matches!(poll(&mut pipelined.invoke::<()>("x", ())), Poll::Ready(Err(_))), "{name}");
                assert!(cap.invoke::<()>(name, ()).send().is_err(), "{name}");
            }
        }
        assert_eq!(peer.frames(), [""; 0], "{dialect:?}");
    }
}

#[test]
fn a_reference_to_such_a_property_is_a_reference_to_nothing() {
    for name in RESERVED {
        let mut peer = connecting();
        let theirs = peer.core().index::<Cap>();
        peer.frames();
        let _call = started(theirs.invoke::<()>("take", (theirs.at(name),)));
        assert_eq!(peer.frames(), [r#"["push",["pipeline",0,["take"],[["export",-1]]]]"#, r#"["pull",1]"#]);
    }
}

/// Returns the error of a call that the peer answers with `answer`, in which `@` stands for the id of the call.
pub(crate) fn failed(dialect: Dialect, answer: &str) -> Error {
    let mut peer = speaking(dialect, Side::Connecting, None);
    let theirs = peer.core().index::<Cap>();
    if dialect == Dialect::Capnode {
        let asked: serde_json::Value = serde_json::from_str(&peer.frames().concat()).unwrap();
        // An index as another of our own gives it.
        let index = Object::new().with("f", Func::<fn()>::new(|| async {}));
        let mut other = speaking(dialect, Side::Accepting, Some(index.cap()));
        other.receive(&format!(r#"{{"type":"index","methodId":{}}}"#, asked["methodId"]));
        peer.receive(&other.frames().concat());
    }
    peer.frames();
    let mut call = started(theirs.invoke::<()>("f", ()));
    let sent = peer.frames().concat();
    let id = match dialect {
        Dialect::CapnWeb => "1".to_owned(),
        Dialect::Q => serde_json::from_str::<serde_json::Value>(&sent).unwrap()["from"].to_string(),
        _ => serde_json::from_str::<serde_json::Value>(&sent).unwrap()["replyId"].to_string(),
    };
    peer.receive(&answer.replace('@', &id));
    let Poll::Ready(Err(error)) = poll(&mut call) else { panic!("{answer} to {sent}") };
    error
}

#[test]
fn no_error_is_of_such_a_class() {
    for name in RESERVED {
        // As a peer says it.
        for (dialect, answer) in [
            (Dialect::CapnWeb, r#"["reject",@,["error","NAME","no"]]"#),
            (Dialect::Q, r#"{"type":"resolve","to":@,"resolution":{"!":{"name":"NAME","message":"no"}}}"#),
            (Dialect::Capnode, r#"{"type":"error","methodId":@,"value":{"name":"NAME","message":"no"}}"#),
        ] {
            let error = failed(dialect, &answer.replace("NAME", name));
            assert_eq!((error.name(), error.message()), ("Error", "no"), "{dialect:?}");
            let other = failed(dialect, &answer.replace("NAME", "RangeError"));
            assert_eq!(other.name(), "RangeError", "{dialect:?}");
        }
        // As we do.
        let thrown = Func::<fn() -> Result<(), capnode::Error>>::fallible(move || async move {
            Err(capnode::Error::rejected("no").with_name(name))
        });
        let mut peer = accepting(thrown.cap().clone());
        peer.receive(r#"["stream",["pipeline",0,[],[]]]"#);
        let heard = peer.frames().concat();
        assert!(heard.starts_with(r#"["reject",1,["error","Error","no""#), "{heard}");
        // As a value, both ways.
        let mut peer = accepting(index(&Log::default()).cap());
        peer.receive(&format!(r#"["stream",["pipeline",0,["echo"],[["error","{name}","no"]]]]"#));
        assert_eq!(peer.frames(), [r#"["resolve",1,["error","Error","no"]]"#], "{name}");
        let value = ErrorValue::new(name, "no");
        let value = Func::<fn() -> ErrorValue>::new(move || {
            let value = value.clone();
            async { value }
        });
        let mut peer = accepting(value.cap().clone());
        peer.receive(r#"["stream",["pipeline",0,[],[]]]"#);
        assert_eq!(peer.frames(), [r#"["resolve",1,["error","Error","no"]]"#], "{name}");
    }
}
