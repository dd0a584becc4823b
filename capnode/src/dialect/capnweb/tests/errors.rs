//! Failures of calls, as text.

use std::error::Error as _;

use super::*;
use crate::dialect::capnweb::to_outcome;
use crate::error::ErrorData;

fn thrown(text: &str) -> Error {
    let Message::Answer { outcome: Err(thrown), .. } = message(&format!("[\"reject\",1,{text}]")).unwrap()
    else {
        panic!()
    };
    read_error(&thrown).0
}

#[test]
fn an_error_is_written_with_its_name_and_message() {
    assert_eq!(error_text(&Error::rejected("it \"broke\"")).unwrap(), r#"["error","Error","it \"broke\""]"#);
    assert_eq!(error_text(&Error::type_error("t")).unwrap(), r#"["error","TypeError","t"]"#);
}

#[test]
fn causes_and_stacks_stay_here() {
    let error = Error::rejected("m").with_source(std::io::Error::other("secret"));
    assert!(error.source().is_some());
    assert_eq!(error_text(&error).unwrap(), r#"["error","Error","m"]"#);
}

#[test]
fn an_error_carries_its_typed_part_as_data() {
    let properties = error_data(&vec![1u64, u64::MAX]).unwrap();
    assert_eq!(properties, r#"{"data":[[1,["bigint","18446744073709551615"]]]}"#);
    let error = Error::rejected("m").with_data(ErrorData::Wire(properties.into()));
    let text = error_text(&error).unwrap();
    assert_eq!(text, r#"["error","Error","m",null,{"data":[[1,["bigint","18446744073709551615"]]]}]"#);
    assert_eq!(thrown(&text).property::<Vec<u64>>("data"), Some(vec![1, u64::MAX]));
}

#[test]
fn a_property_is_added_or_replaces_one_of_its_name() {
    let error = Error::rejected("m").with_property("code", "a").unwrap();
    assert_eq!(error_text(&error).unwrap(), r#"["error","Error","m",null,{"code":"a"}]"#);
    let error = error.with_property("big", u64::MAX).unwrap().with_property("code", [1, 2]).unwrap();
    let text = r#"["error","Error","m",null,{"code":[[1,2]],"big":["bigint","18446744073709551615"]}]"#;
    assert_eq!(error_text(&error).unwrap(), text);
    assert_eq!(thrown(text).property::<Vec<u8>>("code"), Some(vec![1, 2]));
    // A peer's error keeps what it has, and a thrown value that is no error becomes one.
    let error = thrown(r#"["error","E","m","at x",{"code":7}]"#).with_property("x\"", true).unwrap();
    assert_eq!(error_text(&error).unwrap(), r#"["error","E","m",null,{"code":7,"x\"":true}]"#);
    let error = thrown(r#""text""#).with_property("code", 1).unwrap();
    assert_eq!(error_text(&error).unwrap(), r#"["error","Error","text",null,{"code":1}]"#);
}

/// A value that cannot be written.
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("no"))
    }
}

#[test]
fn a_property_has_a_name_of_its_own() {
    for name in ["name", "message", "stack", "constructor", "then", "__proto__"] {
        let error = Error::rejected("m").with_property(name, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Encode, "{name}");
    }
    let error = Error::rejected("m").with_property("code", [Unwritable]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Encode);
    assert!(error.message().starts_with("the property `code` of an error: "), "{error}");
}

#[test]
fn an_error_is_read_back() {
    let error =
        thrown(r#"["error","MyError","it broke","at x",{"code":7,"data":{"a":[[1]],"d":["date",3]}}]"#);
    assert_eq!((error.kind(), error.name(), error.message()), (ErrorKind::Rejected, "MyError", "it broke"));
    assert_eq!(error.property::<u8>("code"), Some(7));
    assert_eq!(error.property::<String>("code"), None);
    assert_eq!(error.property::<u8>("wat"), None);
    assert_eq!(
        error_text(&error).unwrap(),
        r#"["error","MyError","it broke",null,{"code":7,"data":{"a":[[1]],"d":["date",3]}}]"#
    );
}

#[test]
fn anything_may_be_thrown() {
    for (text, message) in [
        (r#""te\u0078t""#, "text"),
        ("5", "5"),
        ("null", "null"),
        (r#"{"code":1,"a":[[2]]}"#, r#"{"code":1,"a":[[2]]}"#),
        (r#"["error","E",""]"#, ""),
        (r#"["url","x:"]"#, "x:"),
    ] {
        assert_eq!(thrown(text).message(), message);
        // It is passed on as it is.
        let again = error_text(&thrown(text)).unwrap();
        assert_eq!(decode::<Value>(&body(&again, &[])).unwrap(), decode(&body(text, &[])).unwrap());
        assert!(error_text(&thrown(text).with_name("E")).unwrap().starts_with(r#"["error","E","#));
    }
    let long = format!("[[\"{}\"]]", "é".repeat(1000));
    assert_eq!(thrown(&long).message().chars().count(), 60);
}

#[test]
fn the_text_of_an_error_has_no_references() {
    let error = thrown(
        r#"["error","E","m",null,{"a":["export",-1],"b":[[["promise",-2],["import",3,["x"],[["export",-4]]],5]],"c":6}]"#,
    );
    // Passed on to another peer, an id would stand for something else there.
    assert_eq!(
        error_text(&error).unwrap(),
        r#"["error","E","m",null,{"a":["undefined"],"b":[[["undefined"],["undefined"],5]],"c":6}]"#
    );
    assert_eq!(error.property::<u8>("c"), Some(6));
    assert_eq!(error.property::<Option<u8>>("a"), Some(None));
    assert_eq!(thrown(r#"["export",-1]"#).message(), r#"["undefined"]"#);
    assert_eq!(thrown(r#"["error","E","m",null,{}]"#).property::<u8>("c"), None);
}

#[test]
fn properties_are_found_whatever_stands_around_them() {
    let b = |properties: &str| {
        let data = ErrorData::Wire(properties.to_owned().into());
        Error::rejected("m").with_data(data).property::<u8>("b")
    };
    assert_eq!(b("{\"a\":[[\"b\"]],\"b\":5}"), Some(5));
    assert_eq!(b("damaged"), None);
}

fn outcome<T: Serialize>(value: T) -> Result<String, Error> {
    to_outcome::<PayloadRef, T>(&value).map(|value| value.text.as_str().to_owned())
}

#[test]
fn the_outcome_of_a_call_is_what_a_result_holds() {
    assert_eq!(outcome(5).unwrap(), "5");
    assert_eq!(outcome(Ok::<_, String>(5)).unwrap(), "5");
    assert_eq!(outcome(Ok::<_, String>(())).unwrap(), r#"["undefined"]"#);
    let error = outcome(Err::<u8, _>("no")).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Rejected, "no"));
    assert_eq!(error_text(&error).unwrap(), r#"["error","Error","no",null,{"data":"no"}]"#);
    let error = outcome(Err::<u8, _>((1, 2))).unwrap_err();
    assert_eq!(error_text(&error).unwrap(), r#"["error","Error","[[1,2]]",null,{"data":[[1,2]]}]"#);
    assert_eq!(outcome(Err::<u8, _>(cap())).unwrap_err().kind(), ErrorKind::Encode);
    let there = to_outcome::<PayloadRef, _>(&Ok::<_, String>(cap())).unwrap();
    assert!(there.root().is_some());
}

#[test]
fn a_result_inside_something_is_a_value() {
    #[derive(Serialize)]
    enum Result {
        Other(u8),
    }

    #[derive(Serialize)]
    struct Newtype(std::result::Result<u8, u8>);

    assert_eq!(outcome(Result::Other(1)).unwrap(), r#"{"Other":1}"#);
    assert_eq!(outcome(Newtype(Err(1))).unwrap(), r#"{"Err":1}"#);
    assert_eq!(outcome(Some(Err::<u8, u8>(1))).unwrap(), r#"{"Err":1}"#);
    assert_eq!(outcome([Err::<u8, u8>(1)]).unwrap(), r#"[[{"Err":1}]]"#);
    assert_eq!(outcome(Ok::<_, u8>(Err::<u8, u8>(1))).unwrap(), r#"{"Err":1}"#);
    assert_eq!(outcome([Ok::<_, u8>(cap())]).unwrap(), r#"[[{"Ok":}]]"#);
}
