//! Enums, as serde's attributes shape them, and flattened fields.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Plain {
    Unit,
    Newtype(Option<u8>),
    Tuple(u8, Vec<u8>),
    Struct { a: u8 },
    Empty {},
}

#[test]
fn enums_are_a_string_or_an_object_of_one_member() {
    round(Plain::Unit, r#""Unit""#);
    round(Plain::Newtype(None), r#"{"Newtype":null}"#);
    round(Plain::Newtype(Some(1)), r#"{"Newtype":1}"#);
    round(Plain::Tuple(1, vec![2]), r#"{"Tuple":[[1,[[2]]]]}"#);
    round(Plain::Struct { a: 1 }, r#"{"Struct":{"a":1}}"#);
    round(Plain::Empty {}, r#"{"Empty":{}}"#);
    round(vec![Plain::Unit, Plain::Struct { a: 2 }, Plain::Unit], r#"[["Unit",{"Struct":{"a":2}},"Unit"]]"#);
    for text in ["{}", r#"{"Unit":1,"Newtype":2}"#, "5", "[[]]", r#"["undefined"]"#] {
        let message = "expected one of the variants of Plain, as a string or an object of one member";
        assert_eq!(misfit::<Plain>(text), message, "{text}");
    }
    assert!(misfit::<Plain>(r#""Wat""#).contains("unknown variant `Wat`"));
    assert!(misfit::<Plain>(r#""Tuple""#).contains("unit variant"));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Float(f64),
    Text(String),
    Pair(u8, u8),
    Record { a: u64, b: Option<bool> },
    Nothing,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Internal {
    Unit,
    Struct { big: u64, float: f64 },
    Newtype(Inner),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    x: u8,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    Unit,
    Newtype(Option<u64>),
    Tuple(u8, u8),
    Struct { a: Vec<u8> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    first: u8,
    #[serde(flatten)]
    inner: Inner,
    #[serde(flatten)]
    rest: BTreeMap<String, u64>,
}

#[test]
fn enums_without_a_tag_are_read_and_written() {
    round(Untagged::Number(-5), "-5");
    round(Untagged::Number(i64::MAX), r#"["bigint","9223372036854775807"]"#);
    round(Untagged::Float(1.5), "1.5");
    round(Untagged::Float(f64::INFINITY), r#"["inf"]"#);
    round(Untagged::Text("x".into()), r#""x""#);
    round(Untagged::Pair(1, 2), "[[1,2]]");
    round(Untagged::Record { a: u64::MAX, b: None }, r#"{"a":["bigint","18446744073709551615"],"b":null}"#);
    round(Untagged::Nothing, r#"["undefined"]"#);
    // Which integer a number so large stands for, JavaScript has not said.
    assert_eq!(read::<Untagged>("1152921504606847000").unwrap(), Untagged::Float((1u64 << 60) as f64));
}

#[test]
fn enums_with_the_tag_inside_are_read_and_written() {
    round(Internal::Unit, r#"{"type":"unit"}"#);
    round(
        Internal::Struct { big: u64::MAX, float: 2.0 },
        r#"{"type":"struct","big":["bigint","18446744073709551615"],"float":2}"#,
    );
    round(Internal::Newtype(Inner { x: 1 }), r#"{"type":"newtype","x":1}"#);
    assert_eq!(read::<Internal>(r#"{"x":1,"type":"newtype"}"#).unwrap(), Internal::Newtype(Inner { x: 1 }));
}

#[test]
fn enums_with_the_tag_beside_are_read_and_written() {
    round(Adjacent::Unit, r#"{"t":"Unit"}"#);
    round(Adjacent::Newtype(None), r#"{"t":"Newtype","c":null}"#);
    round(Adjacent::Newtype(Some(u64::MAX)), r#"{"t":"Newtype","c":["bigint","18446744073709551615"]}"#);
    round(Adjacent::Tuple(1, 2), r#"{"t":"Tuple","c":[[1,2]]}"#);
    round(Adjacent::Struct { a: vec![1] }, r#"{"t":"Struct","c":{"a":[[1]]}}"#);
    assert_eq!(read::<Adjacent>(r#"{"c":[[1,2]],"t":"Tuple"}"#).unwrap(), Adjacent::Tuple(1, 2));
}

#[test]
fn flattened_fields_are_read_and_written() {
    let rest = [("big".to_owned(), u64::MAX), ("y".to_owned(), 2)].into();
    round(
        Flat { first: 1, inner: Inner { x: 3 }, rest },
        r#"{"first":1,"x":3,"big":["bigint","18446744073709551615"],"y":2}"#,
    );
}
