//! JavaScript's kinds of value, and values of any kind.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

fn bytes(kind: ByteKind) -> Bytes {
    Bytes::from([1, 2, 3, 255, 0, 128, 7, 9]).with_kind(kind)
}

fn headers() -> Headers {
    [("content-type", "text/plain"), ("x-a", "1, 2")].into()
}

fn error() -> ErrorValue {
    ErrorValue::new("MyError", "it broke").with_property("code", 7).with_property("list", [1])
}

const KINDS: [ByteKind; 12] = [
    ByteKind::ArrayBuffer,
    ByteKind::DataView,
    ByteKind::Int8Array,
    ByteKind::Uint8ClampedArray,
    ByteKind::Int16Array,
    ByteKind::Uint16Array,
    ByteKind::Int32Array,
    ByteKind::Uint32Array,
    ByteKind::BigInt64Array,
    ByteKind::BigUint64Array,
    ByteKind::Float32Array,
    ByteKind::Float64Array,
];

#[test]
fn each_kind_has_its_form() {
    round("-1180591620717411303424".parse::<BigInt>().unwrap(), r#"["bigint","-1180591620717411303424"]"#);
    round(BigInt::from(1), r#"["bigint","1"]"#);
    round(Date::from_millis(1749342170815.0), r#"["date",1749342170815]"#);
    round(Date::from_millis(-1.0), r#"["date",-1]"#);
    round(bytes(ByteKind::Uint8Array), r#"["bytes","AQID/wCABwk"]"#);
    round(Bytes::default(), r#"["bytes",""]"#);
    for kind in KINDS {
        round(bytes(kind), &format!(r#"["bytes","AQID/wCABwk","{}"]"#, kind.name()));
    }
    round("https://a.b/c?d=%20#e".parse::<Url>().unwrap(), r#"["url","https://a.b/c?d=%20#e"]"#);
    round(headers(), r#"["headers",[["content-type","text/plain"],["x-a","1, 2"]]]"#);
    round(Headers::default(), r#"["headers",[]]"#);
    round(error(), r#"["error","MyError","it broke",null,{"code":7,"list":[[1]]}]"#);
    round(ErrorValue::new("Error", ""), r#"["error","Error",""]"#);
}

#[test]
fn an_invalid_date_is_one_too() {
    assert_eq!(written(&Date::INVALID), r#"["date",null]"#);
    assert_eq!(read::<Date>(r#"["date",null]"#).unwrap().millis(), None);
    assert_eq!(read::<Date>(r#"["date",1e400]"#).unwrap().millis(), None);
    assert_eq!(read::<Date>(r#"["date",5.9]"#).unwrap().millis(), Some(5.0));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Kinds {
    big: BigInt,
    date: Date,
    bytes: Bytes,
    url: Url,
    headers: Headers,
    error: ErrorValue,
}

fn kinds() -> Kinds {
    Kinds {
        big: "12345678901234567890123".parse::<BigInt>().unwrap(),
        date: Date::from_millis(5.0),
        bytes: bytes(ByteKind::Uint8Array),
        url: "x:".parse::<Url>().unwrap(),
        headers: headers(),
        error: error(),
    }
}

#[test]
fn kinds_are_fields_of_ordinary_structs() {
    let text = written(&kinds());
    round(kinds(), &text);
    round(vec![Some(Date::from_millis(1.0)), None], r#"[[["date",1],null]]"#);
    round(
        BTreeMap::from(
            [(BigInt::from(5), "x:".parse::<Url>().unwrap())].map(|(key, url)| (key.to_string(), url)),
        ),
        r#"{"5":["url","x:"]}"#,
    );
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Either {
    Kinds(Kinds),
    Other(u8),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    x: u8,
    #[serde(flatten)]
    kinds: Kinds,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t")]
enum Tagged {
    Kinds(Kinds),
}

#[test]
fn kinds_survive_where_serde_forgets_what_they_were() {
    let round_self = |text: String| text;
    round(Either::Kinds(kinds()), &round_self(written(&Either::Kinds(kinds()))));
    round(Flat { x: 1, kinds: kinds() }, &round_self(written(&Flat { x: 1, kinds: kinds() })));
    round(Tagged::Kinds(kinds()), &round_self(written(&Tagged::Kinds(kinds()))));
    let small = Kinds { big: BigInt::from(-3), ..kinds() };
    assert_eq!(read::<Either>(&written(&small)).unwrap(), Either::Kinds(small));
}

#[test]
fn kinds_are_read_from_what_they_are_and_a_few_things_near() {
    assert_eq!(read::<BigInt>("5").unwrap(), BigInt::from(5));
    assert_eq!(read::<BigInt>(r#"["bigint"," 0x10 "]"#).unwrap(), BigInt::from(16));
    assert_eq!(read::<Date>("5").unwrap(), Date::from_millis(5.0));
    assert_eq!(read::<Url>(r#""x:""#).unwrap(), "x:".parse::<Url>().unwrap());
    assert_eq!(read::<Bytes>(r#"["bytes","AQID_wCABwk="]"#).unwrap(), bytes(ByteKind::Uint8Array));
    assert_eq!(read::<Bytes>(r#"["bytes","AQID\/wCABwk"]"#).unwrap(), bytes(ByteKind::Uint8Array));
    assert_eq!(read::<Bytes>("[[1,2]]").unwrap(), Bytes::from(vec![1, 2]));
    assert_eq!(read::<ErrorValue>(r#"{"name":"E","message":"m"}"#).unwrap().message, "m");
    assert_eq!(read::<ErrorValue>(r#"{"message":"m"}"#).unwrap().name, "Error");
    assert_eq!(read::<Error>(r#"{"message":"m"}"#).unwrap().name(), "Error");
    assert_eq!(read::<BTreeMap<String, String>>(r#"["headers",[["a","b"]]]"#).unwrap()["a"], "b");
    assert_eq!(
        read::<Vec<(String, String)>>(r#"["headers",[["a","b"]]]"#).unwrap(),
        [("a".into(), "b".into())]
    );
    #[derive(Debug, Deserialize)]
    struct Seen {
        message: String,
        code: u8,
    }
    let seen: Seen = read(&written(&error())).unwrap();
    assert_eq!((seen.message.as_str(), seen.code), ("it broke", 7));
}

#[test]
fn kinds_are_read_from_nothing_else() {
    assert!(misfit::<BigInt>("1.5").contains("a big integer"));
    assert!(misfit::<BigInt>(r#"["date",5]"#).contains("a big integer"));
    assert!(misfit::<Date>(r#""today""#).contains("a date"));
    assert!(misfit::<Bytes>("[[1,256]]").contains("u8"));
    assert!(misfit::<Bytes>(r#""text""#).contains("bytes"));
    assert!(misfit::<Url>("5").contains("a URL"));
    assert!(misfit::<Headers>("5").contains("headers"));
    assert!(misfit::<ErrorValue>(r#"{"name":"E"}"#).contains("missing field `message`"));
    assert!(misfit::<ErrorValue>("null").contains("an error"));
}

#[test]
fn other_types_are_not_read_from_special_kinds() {
    use serde_bytes_like::ByteBuf;

    const FORMS: [(&str, &str); 6] = [
        (r#"["url","x:"]"#, "a URL"),
        (r#"["bytes","YWJj"]"#, "bytes"),
        (r#"["date",5]"#, "a date"),
        (r#"["bigint","5"]"#, "a big integer"),
        (r#"["headers",[["a","b"]]]"#, "headers"),
        (r#"["error","Error","m"]"#, "an error"),
    ];

    fn refuses<T: DeserializeOwned + std::fmt::Debug>(taken: &[&str]) {
        for (form, kind) in FORMS {
            if taken.contains(&kind) {
                read::<T>(form).unwrap();
                continue;
            }
            let why = misfit::<T>(form);
            assert!(why.contains(&format!("invalid type: {kind}, expected")), "{form}: {why}");
        }
    }

    refuses::<String>(&[]);
    refuses::<char>(&[]);
    refuses::<bool>(&[]);
    refuses::<u64>(&["a big integer"]);
    refuses::<i8>(&["a big integer"]);
    refuses::<f64>(&["a big integer"]);
    refuses::<f32>(&["a big integer"]);
    refuses::<std::path::PathBuf>(&[]);
    refuses::<std::net::IpAddr>(&[]);
    refuses::<Vec<serde::de::IgnoredAny>>(&["bytes", "headers"]);
    refuses::<ByteBuf>(&["bytes"]);
    refuses::<BTreeMap<String, String>>(&["headers", "an error"]);
    assert!(misfit::<ByteBuf>(r#""text""#).contains("invalid type: a string"));
    assert!(misfit::<BigInt>(r#""5""#).contains("invalid type: string"));
    assert!(misfit::<Url>(r#""no url""#).contains("invalid value: string"));
    assert!(misfit::<u8>("null").contains("unit value"));
}

/// A type as crates for bytes have it, which takes whatever has bytes in it.
mod serde_bytes_like {
    use serde::de::{Deserialize, Deserializer, Error, Visitor};

    #[derive(Debug)]
    pub(super) struct ByteBuf;

    struct Any;

    impl Visitor<'_> for Any {
        type Value = ByteBuf;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("bytes")
        }

        fn visit_byte_buf<E: Error>(self, _: Vec<u8>) -> Result<ByteBuf, E> {
            Ok(ByteBuf)
        }

        fn visit_str<E: Error>(self, _: &str) -> Result<ByteBuf, E> {
            Ok(ByteBuf)
        }
    }

    impl<'de> Deserialize<'de> for ByteBuf {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_byte_buf(Any)
        }
    }
}

#[test]
fn integers_that_javascript_writes_as_numbers_are_read_to_the_last_digit() {
    assert_eq!(read::<i128>("18446744073709551616").unwrap(), 1 << 64);
    assert_eq!(read::<i128>("-170141183460469231731687303715884105728").unwrap(), i128::MIN);
    assert_eq!(read::<u128>("340282366920938463463374607431768211455").unwrap(), u128::MAX);
    assert_eq!(read::<u128>("1.2676506002282294e+30").unwrap(), 1 << 100);
    assert_eq!(read::<i128>("-1.7014118346046923e38").unwrap(), i128::MIN);
    assert_eq!(read::<u128>("1.7014118346046923e38").unwrap(), 1 << 127);
    assert_eq!(read::<f64>("18446744073709551616").unwrap(), 2f64.powi(64));
    for (text, why) in [("1.5", "floating point"), ("1e3", "floating point"), ("1e39", "floating point")] {
        assert!(misfit::<i128>(text).contains(why), "{text}");
        assert!(misfit::<u128>(text).contains(why), "{text}");
    }
    assert!(misfit::<u64>("18446744073709551616").contains("expected u64"));
    assert!(misfit::<i128>("1.7014118346046923e38").contains("expected i128"));
}

#[test]
fn a_list_is_read_from_a_byte_container_as_the_numbers_javascript_sees() {
    fn container<T: DeserializeOwned>(data: &[u8], kind: ByteKind) -> Result<T, Error> {
        read(&written(&Bytes::from(data).with_kind(kind)))
    }

    assert_eq!(read::<Vec<u8>>(r#"["bytes","AQID"]"#).unwrap(), [1, 2, 3]);
    assert_eq!(read::<Vec<u8>>("[[1,2,3]]").unwrap(), [1, 2, 3]);
    assert_eq!(read::<[u8; 3]>(r#"["bytes","AQID"]"#).unwrap(), [1, 2, 3]);
    assert_eq!(container::<Vec<i8>>(&[255, 1], ByteKind::Int8Array).unwrap(), [-1, 1]);
    assert_eq!(container::<Vec<i16>>(&[255, 255, 1, 0], ByteKind::Int16Array).unwrap(), [-1, 1]);
    assert_eq!(container::<Vec<u16>>(&[255, 255], ByteKind::Uint16Array).unwrap(), [65_535]);
    assert_eq!(container::<Vec<i32>>(&[254, 255, 255, 255], ByteKind::Int32Array).unwrap(), [-2]);
    assert_eq!(container::<Vec<u32>>(&[1, 1, 0, 0], ByteKind::Uint32Array).unwrap(), [257]);
    assert_eq!(container::<Vec<i64>>(&[255; 8], ByteKind::BigInt64Array).unwrap(), [-1]);
    assert_eq!(container::<Vec<u64>>(&[255; 8], ByteKind::BigUint64Array).unwrap(), [u64::MAX]);
    assert_eq!(container::<Vec<f32>>(&1.5f32.to_le_bytes(), ByteKind::Float32Array).unwrap(), [1.5]);
    assert_eq!(container::<Vec<f64>>(&1.5f64.to_le_bytes(), ByteKind::Float64Array).unwrap(), [1.5]);
    assert!(container::<Vec<u8>>(&[255, 255], ByteKind::Int16Array).is_err());
    assert_eq!(written(&vec![1u8, 2]), "[[1,2]]");
}

#[test]
fn a_big_integer_longer_than_peers_read_is_not_written() {
    let digits = "9".repeat(16_384);
    let most = digits.parse::<BigInt>().unwrap();
    assert!(encode(&most).is_ok());
    assert!(message(&format!("[\"push\",{}]", written(&most))).is_ok());
    let error = encode(&format!("-{digits}").parse::<BigInt>().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Encode);
}

#[test]
fn every_kind_of_value_has_its_form() {
    round(Value::Undefined, r#"["undefined"]"#);
    round(Value::Null, "null");
    round(Value::Bool(true), "true");
    round(Value::Number(5.0), "5");
    round(Value::Number(f64::INFINITY), r#"["inf"]"#);
    round(Value::BigInt(BigInt::from(5)), r#"["bigint","5"]"#);
    round(Value::String("x".into()), r#""x""#);
    round(Value::Bytes(bytes(ByteKind::Int8Array)), r#"["bytes","AQID/wCABwk","Int8Array"]"#);
    round(Value::Date(Date::from_millis(5.0)), r#"["date",5]"#);
    round(Value::Url("x:".parse::<Url>().unwrap()), r#"["url","x:"]"#);
    round(Value::Headers(headers()), r#"["headers",[["content-type","text/plain"],["x-a","1, 2"]]]"#);
    round(Value::Error(Box::new(error())), r#"["error","MyError","it broke",null,{"code":7,"list":[[1]]}]"#);
    round(Value::Array(vec![Value::Array(vec![]), Value::Undefined]), r#"[[[[]],["undefined"]]]"#);
    round(Value::from([("a", Value::Null), ("", Value::from(1))]), r#"{"a":null,"":1}"#);
}

#[test]
fn an_error_may_hold_errors_and_a_stack_that_nobody_reads() {
    let text =
        r#"["error","AggregateError","m","at x",{"cause":["error","E","inner"],"errors":[[1]],"name":2}]"#;
    let Value::Error(error) = read(text).unwrap() else { panic!() };
    let inner = ErrorValue::new("E", "inner");
    assert_eq!(error.properties[0], ("cause".to_owned(), Value::Error(Box::new(inner))));
    assert_eq!(
        error.properties[2],
        ("name".to_owned(), Value::from(2)),
        "a property of that name is another thing"
    );
    assert_eq!(written(&Value::Error(error)), text.replace(r#""at x""#, "null"));
}

#[test]
fn what_follows_in_a_form_is_passed_over() {
    for (text, value) in [
        (r#"["inf",["wat"],{"a":[5]}]"#, Value::Number(f64::INFINITY)),
        (r#"["bigint","5",1]"#, Value::BigInt(BigInt::from(5))),
        (r#"["date",5,"x",[]]"#, Value::Date(Date::from_millis(5.0))),
        (r#"["bytes","","Uint8Array",null]"#, Value::Bytes(Bytes::default())),
    ] {
        assert_eq!(read::<Value>(text).unwrap(), value, "{text}");
        assert_eq!(read::<(Value, u8)>(&format!("[[{text},1]]")).unwrap(), (value, 1), "{text}");
    }
    let long = r#"["error","E","m",null,{},5]"#;
    assert!(matches!(read::<Value>(long).unwrap(), Value::Error(_)));
}

#[test]
fn values_are_found_by_their_names_and_numbers() {
    let value: Value = read(r#"{"a":{"b":5},"a":{"b":6}}"#).unwrap();
    assert_eq!(value.get("a").and_then(|a| a.get("b")), Some(&Value::from(5)));
    assert_eq!((value.get("x"), Value::Null.get("a"), value.as_cap()), (None, None, None));
}

#[test]
fn other_formats_have_values_as_plain_data() {
    let value = Value::from([
        ("n", Value::from(1.5)),
        ("u", Value::Undefined),
        ("b", Value::BigInt(BigInt::from(5))),
    ]);
    assert_eq!(serde_json::to_string(&value).unwrap(), r#"{"n":1.5,"u":null,"b":"5"}"#);
    let read: Value =
        serde_json::from_str(r#"{"n":[1,-1,null,true,"x"],"big":18446744073709551615}"#).unwrap();
    let list = vec![Value::from(1), Value::from(-1), Value::Null, Value::Bool(true), Value::from("x")];
    assert_eq!(read, Value::from([("n", Value::Array(list)), ("big", Value::BigInt(u64::MAX.into()))]));
    let json = serde_json::to_string(&error()).unwrap();
    assert_eq!(serde_json::from_str::<ErrorValue>(&json).unwrap(), error());
    let json = serde_json::to_string(&kinds()).unwrap();
    assert_eq!(serde_json::from_str::<Kinds>(&json).unwrap(), kinds());
}

#[test]
fn a_value_that_passed_through_an_untagged_enum_is_never_rounded() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Loose {
        Value(Value),
    }

    for big in [BigInt::from(u64::MAX), BigInt::from(i64::MIN), BigInt::from((1u64 << 53) + 1)] {
        let read: Loose = read(&written(&Value::BigInt(big.clone()))).unwrap();
        assert_eq!(read, Loose::Value(Value::BigInt(big)));
    }
    let number = Loose::Value(Value::Number((1u64 << 60) as f64));
    assert_eq!(read::<Loose>("1152921504606847000").unwrap(), number);
}

pub(super) fn any_value() -> impl Strategy<Value = Value> {
    let digits = prop::string::string_regex("-?[1-9][0-9]{0,40}").unwrap();
    let leaf = prop_oneof![
        Just(Value::Undefined),
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<f64>().prop_map(Value::Number),
        any::<i32>().prop_map(Value::from),
        digits.prop_map(|digits| Value::BigInt(digits.parse::<BigInt>().unwrap())),
        any::<String>().prop_map(Value::String),
        (prop::collection::vec(any::<u8>(), 0..4), 0..KINDS.len()).prop_map(|(data, kind)| {
            let kind = KINDS[kind];
            let data = data.repeat(kind.element_size());
            Value::Bytes(Bytes::from(data).with_kind(kind))
        }),
        any::<f64>().prop_map(|millis| Value::Date(Date::from_millis(millis))),
        Just(Value::Url("https://a.b/c".parse::<Url>().unwrap())),
        Just(Value::Headers(headers())),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        let members = prop::collection::vec((any::<String>(), inner.clone()), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(Value::Array),
            members.clone().prop_map(Value::Object),
            (any::<String>(), any::<String>(), members)
                .prop_map(|(name, message, properties)| { ErrorValue { name, message, properties }.into() }),
        ]
    })
}

/// Tests for equality, where NaN equals itself.
fn same(left: &Value, right: &Value) -> bool {
    let all = |left: &[(String, Value)], right: &[(String, Value)]| {
        left.len() == right.len()
            && left.iter().zip(right).all(|(left, right)| left.0 == right.0 && same(&left.1, &right.1))
    };
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            left.to_bits() == right.to_bits() || (left.is_nan() && right.is_nan())
        }
        (Value::Date(left), Value::Date(right)) => left.millis() == right.millis(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => all(left, right),
        (Value::Error(left), Value::Error(right)) => {
            (&left.name, &left.message) == (&right.name, &right.message)
                && all(&left.properties, &right.properties)
        }
        (left, right) => left == right,
    }
}

proptest! {
    #[test]
    fn any_value_is_itself_again(value in any_value()) {
        let text = written(&value);
        let read: Value = read(&text).unwrap();
        prop_assert!(same(&read, &value), "{} as {:?}", text, read);
        prop_assert_eq!(written(&read), text);
    }

    #[test]
    fn any_value_fits_whatever_asks_for_nothing(value in any_value()) {
        let text = written(&value);
        prop_assert_eq!(read::<(serde::de::IgnoredAny, u8)>(&format!("[[{text},5]]")).unwrap().1, 5);
        read::<()>(&text).unwrap();
        prop_assert!(read::<Option<Value>>(&text).is_ok());
    }
}
