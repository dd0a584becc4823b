//! Values: expressions to Rust types and back.

use std::collections::HashMap;
use std::fmt::Debug;

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::{body, text, value_of};
use crate::cap::Cap;
use crate::cap::payload::{LivePayload, encode};
use crate::cap::slot::{decode, decode_args};
use crate::dialect::capnweb;
use crate::limits::Limits;
use crate::message::{Key, Message, Text};
use crate::value::{BigInt, ByteKind, Bytes, Date, ErrorValue, Headers, Url, Value};

/// An expression. A value that is read, written and read again is the same; an error stays what it is.
pub fn expression(data: &[u8]) {
    let Some(payload) = text(data).and_then(value_of) else { return };
    let mut depth = capnweb::Depth::default();
    depth.follow(payload.text.as_str()).ok();
    let (thrown, _) = capnweb::read_error(&payload);
    thrown.property::<Value>("cause");
    capnweb::first_as_error(&payload);
    if let Ok(text) = capnweb::error_text(&thrown) {
        let again = value_of(&text).map(|payload| capnweb::read_error(&payload).0);
        let again = again.unwrap_or_else(|| panic!("{text}"));
        assert_eq!((again.name(), again.message()), (thrown.name(), thrown.message()));
    }
    let body = body(payload);
    for key in capnweb::keys(&body).unwrap_or_default() {
        assert!(capnweb::member(&body, &Key::Name(Text::Own(key.clone()))).is_some(), "{key} is not there");
    }
    read_as_anything(&body);
    // A value that a peer may send and this side would not, such as a URL that JavaScript rewrites, is not written.
    let Some(once) = decode::<Value>(&body).ok().and_then(|value| encode(&value).ok()) else { return };
    let value = decode::<Value>(&once).unwrap_or_else(|error| panic!("{:?}: {error}", once.text));
    let twice = encode(&value).unwrap_or_else(|error| panic!("{:?}: {error}", once.text));
    assert_eq!(twice.text, once.text);
    assert_eq!(twice.refs.len(), once.refs.len());
}

#[derive(serde::Deserialize)]
#[allow(dead_code)]
struct Plain {
    #[serde(default)]
    name: Option<String>,
    #[serde(alias = "message")]
    a: Value,
    #[serde(flatten)]
    rest: HashMap<String, Value>,
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
#[allow(dead_code)]
enum Untagged {
    Number(i64),
    Bytes(Bytes),
    List(Vec<Untagged>),
    Cap(Cap),
    Other(Value),
}

#[derive(serde::Deserialize)]
#[allow(dead_code)]
enum Tagged {
    Unit,
    One(Box<Tagged>),
    Two(u8, String),
    Struct { a: Option<f64> },
}

#[derive(serde::Deserialize)]
#[serde(tag = "type")]
#[allow(dead_code)]
enum Inside {
    #[serde(alias = "index")]
    A {
        a: Value,
    },
    B(HashMap<String, Value>),
}

fn read<T: DeserializeOwned>(body: &LivePayload) {
    drop(decode::<T>(body));
}

/// Reads a value as one type of each kind.
pub(super) fn read_as_anything(body: &LivePayload) {
    read::<Value>(body);
    read::<IgnoredAny>(body);
    read::<serde_json::Value>(body);
    read::<(u8, i64, u128, f32, f64, bool, char, Option<()>)>(body);
    read::<Vec<String>>(body);
    read::<[Vec<u8>; 2]>(body);
    read::<HashMap<i32, Value>>(body);
    read::<(BigInt, Date, Bytes, Url, Headers, ErrorValue)>(body);
    read::<u64>(body);
    read::<f64>(body);
    read::<String>(body);
    read::<Bytes>(body);
    read::<ErrorValue>(body);
    read::<Cap>(body);
    read::<Plain>(body);
    read::<Untagged>(body);
    read::<Tagged>(body);
    read::<Inside>(body);
}

/// The arguments of a call. Those that are not there are undefined, and reading goes no further than there are any.
pub fn arguments(data: &[u8]) {
    let Some(list) = text(data) else { return };
    let frame = format!("[\"push\",[\"pipeline\",0,[\"m\"],{list}]]");
    let Ok(Message::Call { args: Some(args), .. }) = capnweb::parse(&frame, &Limits::default()) else {
        return;
    };
    let args = body(args);
    let plain = args.is_plain().then(|| args.text.as_str());
    if let Some(only) = plain.and_then(capnweb::only_argument) {
        assert!(value_of(only).is_some(), "{only} is an argument by itself");
    }
    drop(decode_args(&args, |reader| {
        reader.argument::<u32>()?;
        reader.argument::<String>()?;
        reader.argument::<Option<Cap>>()
    }));
    let values = decode_args(&args, |reader| {
        (0..16).map(|_| reader.argument::<Value>()).collect::<Result<Vec<_>, _>>()
    });
    if let Ok(values) = values {
        let gone = values.iter().position(|value| *value == Value::Undefined).unwrap_or(values.len());
        let skipped = decode_args(&args, |reader| {
            (0..gone).map(|_| reader.argument::<IgnoredAny>()).collect::<Result<Vec<_>, _>>()
        });
        assert!(skipped.is_ok(), "what can be read cannot be passed over");
    }
}
/// A value that goes out comes back equal, unless it is refused.
fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    if let Ok(body) = encode(value) {
        let back = value_of(body.text.as_str()).map(super::body).map(|body| decode::<T>(&body));
        match back {
            Some(Ok(back)) => assert_eq!(back, *value),
            other => panic!("{value:?}: {:?}: {other:?}", body.text),
        }
    }
}

/// Scalars of JavaScript that Rust does not have: big integers, URLs, headers, dates, bytes.
pub fn scalars(data: &[u8]) {
    let (front, rest) = data.split_at(data.len().min(8));
    let millis = front.try_into().map(f64::from_le_bytes).unwrap_or(f64::NAN);
    if millis.is_finite() && millis.abs() <= 8.64e15 {
        comes_back(&Date::from_millis(millis));
    }
    let kind = front.first().map_or(0, |byte| usize::from(byte % 4));
    let kind = [ByteKind::Uint8Array, ByteKind::DataView, ByteKind::Int16Array, ByteKind::Float64Array][kind];
    comes_back(&Bytes::from(rest).with_kind(kind));
    let Some(text) = text(data) else { return };
    comes_back(&text.to_owned());
    if let Ok(kind) = text.parse::<ByteKind>() {
        assert_eq!(kind.name(), text);
    }
    if let Ok(number) = text.parse::<BigInt>() {
        assert_eq!(number.to_string().parse::<BigInt>().ok().as_ref(), Some(&number));
        assert!(BigInt::is_js(number.as_str()));
        if number.as_str().len() < 16_384 {
            comes_back(&number);
        }
    }
    if BigInt::is_js(text) {
        let number = BigInt::from_js(text).unwrap_or_else(|| panic!("{text:?} is a number, and is not read"));
        assert_eq!(BigInt::from_js(number.as_str()), Some(number));
    }
    if let Ok(url) = text.parse::<Url>() {
        assert!(Url::is_absolute(text));
        assert!(encode(&url).is_ok());
        comes_back(&url);
    }
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    comes_back(&pairs.collect::<Headers>());
    // The same in another format.
    serde_json::from_str::<BigInt>(text).ok();
    serde_json::from_str::<Headers>(text).ok();
    serde_json::from_str::<ErrorValue>(text).ok();
    if let Ok(bytes) = serde_json::from_str::<Bytes>(text) {
        comes_back(&bytes);
    }
}
