//! The types, and values of them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, LinkedList, VecDeque};
use std::ffi::CString;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroI128, NonZeroU8, Wrapping};
use std::ops::{Bound, Range, RangeInclusive};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use capnode::{BigInt, ByteKind, Bytes, Date, Error, ErrorValue, Headers, Url, Value};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Row, row};

macro_rules! data {
    ($($(#[$attribute:meta])* $kind:ident $name:ident $body:tt)*) => { $(
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        $(#[$attribute])*
        $kind $name $body
    )* };
}

/// Tuple-like and unit types, which end in a semicolon.
macro_rules! units {
    ($($(#[$attribute:meta])* struct $name:ident $(($($field:ty),*))?;)*) => { $(
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        $(#[$attribute])*
        struct $name $(($($field),*))?;
    )* };
}

units! {
    struct Unit;
    struct Empty();
    struct Meters(u32);
    struct Pair(u8, String);
    struct Key(String);
    struct Number(u64);
}

data! {
    struct Plain { id: u64, name: String, tags: Vec<String>, at: Option<Point> }
    struct Point { x: f64, y: f64 }
    struct NoFields {}
    struct Generic { inner: Envelope, list: Vec<Envelope> }
    struct Envelope { nothing: (), maybe: Option<()>, units: Vec<Unit>, map: BTreeMap<String, ()> }
    #[serde(rename_all = "camelCase")]
    struct Renamed { first_name: String, #[serde(rename = "$weird key/\\@%")] weird: u8 }
    struct Sparse {
        #[serde(default, skip_serializing_if = "Option::is_none")] a: Option<u8>,
        #[serde(default)] b: u8,
        #[serde(skip)] c: u8
    }
    struct Flat { nr: u8, #[serde(flatten)] rest: BTreeMap<String, String> }
    struct FlatNumbers { nr: u8, #[serde(flatten)] rest: BTreeMap<u16, String> }
    struct FlatStruct { nr: u8, #[serde(flatten)] point: Point, #[serde(flatten)] plain: Plain }
    struct FlatOption { nr: u8, #[serde(flatten)] point: Option<Point> }
    struct FlatEnum { nr: u8, #[serde(flatten)] shape: Internal }
    struct FlatWide { nr: u8, #[serde(flatten)] wide: Wide }
    struct Wide { wide: u64 }
    struct FlatKinds { nr: u8, #[serde(flatten)] kinds: Kinds }
    struct Kinds { bytes: bytes::Bytes, url: url::Url, id: uuid::Uuid }
    #[serde(transparent)]
    struct Transparent { inner: Vec<u8> }
    #[serde(from = "String", into = "String")]
    struct Converted { text: String }
    #[serde(deny_unknown_fields)]
    struct Strict { a: u8 }
    struct Node { name: String, children: Vec<Node>, next: Option<Box<Node>> }
    struct Proto { #[serde(rename = "__proto__")] proto: u8 }
    struct Everything { plain: Plain, external: Vec<External>, internal: Internal, adjacent: Adjacent, untagged: Untagged }
    enum External { Unit, New(u8), NewUnit(()), NewSome(Option<u8>), Tuple(u8, String), Struct { a: u8, b: Unit }, Nested(Box<External>) }
    #[serde(tag = "type")]
    enum Internal { Unit, New(Point), Struct { a: u8, nothing: () }, Deep { inner: Box<Internal> } }
    #[serde(tag = "t", content = "c")]
    enum Adjacent { Unit, New(u8), NewUnit(()), Tuple(u8, String), Struct { a: u8 }, Wide(u64) }
    #[serde(untagged)]
    enum Untagged { Bool(bool), Small(i32), Text(String), List(Vec<u8>), Struct { a: u8, when: Option<f64> }, Unit }
    #[serde(untagged)]
    enum UntaggedWide { Wide(u64), Negative(i64), Wider(i128) }
    #[serde(untagged)]
    enum UntaggedNumber { Integer(i64), Float(f64) }
    #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
    enum Loud { FirstOne, #[serde(rename = "2nd")] Second }
    #[serde(untagged)]
    enum UntaggedValue { Value(Value) }
}

impl From<String> for Converted {
    fn from(text: String) -> Self {
        Self { text }
    }
}

impl From<Converted> for String {
    fn from(converted: Converted) -> Self {
        converted.text
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Color {
    Red,
    #[serde(rename = "@green/")]
    Green,
}

fn plain() -> Plain {
    let tags = vec![String::new(), "ä\u{1f600}\u{2028}\"\\\n\0".to_owned()];
    Plain { id: 1 << 53, name: "ann".to_owned(), tags, at: Some(Point { x: -0.0, y: 1e300 }) }
}

fn envelope() -> Envelope {
    let map = BTreeMap::from([("a".to_owned(), ()), ("b".to_owned(), ())]);
    Envelope { nothing: (), maybe: None, units: vec![Unit, Unit], map }
}

fn kinds() -> Kinds {
    Kinds {
        bytes: bytes::Bytes::from_static(&[0, 255, 65]),
        url: url::Url::parse("https://a.b/c?d=e#f").unwrap(),
        id: uuid::Uuid::from_u128(0x1234_5678_9abc_def0_1234_5678_9abc_def0),
    }
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn one<K: Ord, V>(key: K, value: V) -> BTreeMap<K, V> {
    BTreeMap::from([(key, value)])
}

fn time() -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp(1_749_342_170, 815_123_456).unwrap()
}

fn bytes_of(kind: ByteKind) -> Bytes {
    Bytes::from([1, 2, 3, 255, 0, 128, 7, 9]).with_kind(kind)
}

/// Every type with its values.
pub(super) fn rows() -> Vec<Row> {
    [numbers(), texts(), nothing(), containers(), maps(), structs(), enums(), crates(), kinds_of_javascript()]
        .into_iter()
        .flatten()
        .collect()
}

fn numbers() -> Vec<Row> {
    fn ends<T: capnode::Wire + Clone + Debug + Sync>(name: &'static str, low: T, high: T) -> Row {
        row(name, vec![low, high])
    }

    vec![
        ends("u8", u8::MIN, u8::MAX),
        ends("u16", u16::MIN, u16::MAX),
        ends("u32", u32::MIN, u32::MAX),
        ends("i8", i8::MIN, i8::MAX),
        ends("i16", i16::MIN, i16::MAX),
        ends("i32", i32::MIN, i32::MAX),
        row("u64", vec![0, (1 << 53) - 1, 1 << 53, (1 << 53) + 2, 1 << 63, u64::MAX - 2047]),
        row("u64, inexact", vec![(1 << 53) + 1, u64::MAX]),
        row("i64", vec![i64::MIN, -(1 << 53), 0, 1 << 60]),
        row("i64, inexact", vec![i64::MAX, -(1 << 53) - 1]),
        row("u128", vec![0_u128, 1 << 64, 1 << 100, 1 << 127]),
        row("u128, inexact", vec![u128::MAX, (1 << 64) + 1]),
        row("i128", vec![i128::MIN, -(1 << 100), -(1 << 63), 1 << 64]),
        row("i128, inexact", vec![i128::MAX, -(1 << 64) - 1]),
        row("usize", vec![usize::MIN, 1 << 40]),
        row("isize", vec![-1_isize, 1 << 40]),
        row("NonZeroU8", vec![NonZeroU8::MIN, NonZeroU8::MAX]),
        row("NonZeroI128", vec![NonZeroI128::MIN]),
        row("Wrapping", vec![Wrapping(7_u32)]),
        row("Reverse", vec![std::cmp::Reverse(7_u32)]),
        row(
            "f64",
            vec![
                0.0,
                -0.0,
                1.0,
                -1.5,
                0.1 + 0.2,
                f64::MIN,
                f64::MAX,
                f64::MIN_POSITIVE,
                5e-324,
                f64::EPSILON,
                1e15,
                1e20,
                1e21,
                1e22,
                9_007_199_254_740_993.0,
                123_456_789_012_345_680.0,
                -1e-7,
            ],
        ),
        row("f64, not finite", vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
        row(
            "f32",
            vec![0.0, -0.0, 0.1, f32::MIN, f32::MAX, f32::MIN_POSITIVE, f32::EPSILON, 16_777_217.0, 1e-45],
        ),
        row("f32, not finite", vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY]),
        row("bool", vec![true, false]),
        row("Duration", vec![Duration::ZERO, Duration::new(1, 999_999_999)]),
        row("Duration, inexact", vec![Duration::MAX]),
        row(
            "SystemTime",
            vec![UNIX_EPOCH, UNIX_EPOCH + Duration::from_millis(1_749_342_170_815)] as Vec<SystemTime>,
        ),
        row("Range", vec![1_u64..5, 5..5] as Vec<Range<u64>>),
        row("RangeInclusive", vec![1_i8..=5] as Vec<RangeInclusive<i8>>),
        row("Bound", vec![Bound::Included(1_u8), Bound::Excluded(2), Bound::Unbounded]),
    ]
}

fn texts() -> Vec<Row> {
    vec![
        row("char", vec!['a', '\0', '"', '\u{10ffff}', '\u{feff}']),
        row(
            "String",
            vec![
                text(""),
                text("null"),
                text("ä\u{1f600}\u{2028}\"\\/\n\0\u{7f}"),
                text("\u{ffff}\u{e000}"),
                text("[\"undefined\"]"),
                text("{\"@\":1}"),
                text("$capnode::reference"),
                "x".repeat(100_000),
            ],
        ),
        row("Box<str>", vec![Box::<str>::from("text")]),
        row("Cow<str>", vec![Cow::Borrowed("text")] as Vec<Cow<'static, str>>),
        row("PathBuf", vec![PathBuf::from("/a/ä b"), PathBuf::new()]),
        row("CString", vec![CString::new("text").unwrap(), CString::new(vec![200, 201]).unwrap()]),
        row("Ipv4Addr", vec![Ipv4Addr::LOCALHOST]),
        row("IpAddr", vec![IpAddr::V4(Ipv4Addr::BROADCAST), IpAddr::V6(Ipv6Addr::LOCALHOST)]),
        row(
            "SocketAddr",
            vec!["1.2.3.4:5".parse().unwrap(), "[::1]:65535".parse().unwrap()] as Vec<SocketAddr>,
        ),
    ]
}

fn nothing() -> Vec<Row> {
    vec![
        row("()", vec![()]),
        row("unit struct", vec![Unit]),
        row("empty tuple struct", vec![Empty()]),
        row("struct without fields", vec![NoFields {}]),
        row("PhantomData", vec![PhantomData::<u8>]),
        row("Option", vec![Some(5_u8), None]),
        row("Option<String>", vec![Some(text("")), None]),
        row("Option<Option>, inner", vec![Some(Some(5_u8)), None]),
        row("Option<Option>, Some(None)", vec![Some(None::<u8>)]),
        row("Option<()>", vec![None::<()>]),
        row("Option<()>, Some", vec![Some(())]),
        row("Option<unit struct>, Some", vec![Some(Unit)]),
        row("Vec<()>", vec![vec![(), ()], vec![]]),
        row("Vec<Option>", vec![vec![Some(1_u8), None, Some(2)]]),
        row("Vec<Result>", vec![vec![Ok::<u8, String>(1), Err(text("no"))]]),
        row("Vec<Result<(), ()>>", vec![vec![Ok::<(), ()>(()), Err(())]]),
    ]
}

fn containers() -> Vec<Row> {
    vec![
        row("Vec<u8>", vec![vec![], vec![0_u8, 255]]),
        row("Vec<Vec>", vec![vec![vec![], vec![vec![1_u8]]]]),
        row("Vec<f64>", vec![vec![1.0, -0.0, 0.5]]),
        row("Vec<f64>, not finite", vec![vec![1.0, f64::NAN]]),
        row("[u8; 0]", vec![[0_u8; 0]]),
        row("[u8; 3]", vec![[1_u8, 2, 3]]),
        row("[String; 2]", vec![[text("a"), text("b")]]),
        row("(u8,)", vec![(1_u8,)]),
        row("tuple", vec![(1_u8, text("a"), (), None::<u8>, [1.5_f32])]),
        row("long tuple", vec![(1_u8, 2_u8, 3_u8, 4_u8, 5_u8, 6_u8, 7_u8, 8_u8, 9_u8, 10_u8, 11_u8, 12_u8)]),
        row("VecDeque", vec![VecDeque::from([1_u8, 2])]),
        row("LinkedList", vec![LinkedList::from([1_u8, 2])]),
        row("BTreeSet", vec![BTreeSet::from([text("a"), text("b")])]),
        row("HashSet", vec![HashSet::from([7_u64])]),
        row("Box", vec![Box::new(7_u8)]),
        row("Cow<[u8]>", vec![Cow::Owned(vec![1_u8, 2])] as Vec<Cow<'static, [u8]>>),
    ]
}

fn maps() -> Vec<Row> {
    let odd = [
        "",
        "a",
        "@",
        "!",
        "%",
        "$",
        "\\@",
        "a/b",
        "\\",
        "ä\"\n",
        "then",
        "toJSON",
        "constructor",
        "id",
        "type",
        "0",
    ];
    vec![
        row("BTreeMap<String>", vec![odd.iter().map(|key| (text(key), 1_u8)).collect(), BTreeMap::new()]),
        row("HashMap<String>", vec![HashMap::from([(text("a"), vec![text("b")])])]),
        row("BTreeMap<String, ()>", vec![BTreeMap::from([(text("a"), ()), (text("b"), ())])]),
        row("BTreeMap<String, Option>", vec![BTreeMap::from([(text("a"), None), (text("b"), Some(1_u8))])]),
        row("BTreeMap<String, unit struct>", vec![one(text("a"), Unit)]),
        row("BTreeMap, __proto__", vec![one(text("__proto__"), 1_u8)]),
        row("struct, __proto__", vec![Proto { proto: 1 }]),
        row("BTreeMap<u8>", vec![BTreeMap::from([(0_u8, text("a")), (255, text("b"))])]),
        row("BTreeMap<i64>", vec![BTreeMap::from([(i64::MIN, 1_u8), (i64::MAX, 2)])]),
        row("BTreeMap<u128>", vec![one(u128::MAX, 1_u8)]),
        row("BTreeMap<bool>", vec![BTreeMap::from([(true, 1_u8), (false, 2)])]),
        row("BTreeMap<char>", vec![BTreeMap::from([('a', 1_u8), ('"', 2), ('5', 3)])]),
        row("BTreeMap<enum>", vec![BTreeMap::from([(Color::Red, 1_u8), (Color::Green, 2)])]),
        row("BTreeMap<newtype>", vec![one(Key(text("5")), 1_u8)]),
        row("BTreeMap<number newtype>", vec![one(Number(u64::MAX), 1_u8)]),
        row("BTreeMap<Uuid>", vec![one(uuid::Uuid::from_u128(5), 1_u8)]),
        row("BTreeMap<IpAddr>", vec![one(IpAddr::V4(Ipv4Addr::LOCALHOST), 1_u8)]),
        row("BTreeMap<DateTime>", vec![one(time(), 1_u8)]),
        row("BTreeMap<Option>", vec![one(Some(text("a")), 1_u8)]),
        row("BTreeMap<tuple>", vec![one((1_u8, 2_u8), 1_u8)]),
        row("BTreeMap<()>", vec![one((), 1_u8)]),
        row("BTreeMap<Vec>", vec![one(vec![1_u8], 1_u8)]),
        row("BTreeMap of BTreeMap", vec![one(text("a"), one(5_u8, one(text(""), None::<u8>)))]),
    ]
}

fn structs() -> Vec<Row> {
    let rest = BTreeMap::from([(text("a"), text("b")), (text("@"), text("c"))]);
    let child = Node { name: text("child"), children: vec![], next: None };
    let node = Node {
        name: text("root"),
        children: vec![child.clone(), child.clone()],
        next: Some(Box::new(child)),
    };
    vec![
        row("struct", vec![plain(), Plain { at: None, ..plain() }]),
        row("newtype", vec![Meters(7)]),
        row("tuple struct", vec![Pair(1, text("a"))]),
        row("generic struct", vec![Generic { inner: envelope(), list: vec![envelope(), envelope()] }]),
        row("renamed", vec![Renamed { first_name: text("ann"), weird: 1 }]),
        row("sparse", vec![Sparse { a: None, b: 0, c: 0 }, Sparse { a: Some(1), b: 2, c: 0 }]),
        row("flatten map", vec![Flat { nr: 1, rest }]),
        row("flatten map of numbers", vec![FlatNumbers { nr: 1, rest: one(5, text("a")) }]),
        row(
            "flatten struct",
            vec![FlatStruct { nr: 1, point: Point { x: 0.5, y: -0.0 }, plain: Plain { id: 7, ..plain() } }],
        ),
        row(
            "flatten Option",
            vec![
                FlatOption { nr: 1, point: None },
                FlatOption { nr: 1, point: Some(Point { x: 0.5, y: 2.0 }) },
            ],
        ),
        row("flatten enum", vec![FlatEnum { nr: 1, shape: Internal::Struct { a: 1, nothing: () } }]),
        row("flatten, wide", vec![FlatWide { nr: 1, wide: Wide { wide: 1 << 53 } }]),
        row("flatten kinds", vec![FlatKinds { nr: 1, kinds: kinds() }]),
        row("transparent", vec![Transparent { inner: vec![1, 2] }]),
        row("converted", vec![Converted { text: text("a") }]),
        row("strict", vec![Strict { a: 1 }]),
        row("recursive", vec![node]),
        row(
            "everything",
            vec![Everything {
                plain: plain(),
                external: vec![External::Unit, External::Tuple(1, text("a"))],
                internal: Internal::Unit,
                adjacent: Adjacent::Unit,
                untagged: Untagged::Text(text("a")),
            }],
        ),
    ]
}

fn enums() -> Vec<Row> {
    vec![
        row(
            "enum",
            vec![
                External::Unit,
                External::New(1),
                External::NewUnit(()),
                External::NewSome(None),
                External::NewSome(Some(1)),
                External::Tuple(1, text("a")),
                External::Struct { a: 1, b: Unit },
                External::Nested(Box::new(External::Nested(Box::new(External::Unit)))),
            ],
        ),
        row(
            "enum, internally tagged",
            vec![
                Internal::Unit,
                Internal::New(Point { x: 1.0, y: 0.5 }),
                Internal::Struct { a: 1, nothing: () },
                Internal::Deep { inner: Box::new(Internal::Unit) },
            ],
        ),
        row(
            "enum, adjacently tagged",
            vec![
                Adjacent::Unit,
                Adjacent::New(1),
                Adjacent::NewUnit(()),
                Adjacent::Tuple(1, text("a")),
                Adjacent::Struct { a: 1 },
                Adjacent::Wide(1 << 60),
            ],
        ),
        row(
            "enum, untagged",
            vec![
                Untagged::Bool(true),
                Untagged::Small(-5),
                Untagged::Text(text("5")),
                Untagged::List(vec![1, 2]),
                Untagged::Struct { a: 1, when: Some(0.5) },
                Untagged::Struct { a: 1, when: None },
                Untagged::Unit,
            ],
        ),
        row("enum, untagged, wide", vec![UntaggedWide::Wide(1 << 53), UntaggedWide::Negative(i64::MIN)]),
        row("enum, untagged, wider", vec![UntaggedWide::Wider(1 << 64)]),
        row("enum, untagged number", vec![UntaggedNumber::Integer(5), UntaggedNumber::Float(0.5)]),
        row("enum, untagged whole float", vec![UntaggedNumber::Float(5.0)]),
        row("enum, renamed", vec![Loud::FirstOne, Loud::Second]),
        row("enum, odd names", vec![Color::Red, Color::Green]),
    ]
}

fn crates() -> Vec<Row> {
    use chrono::{FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeZone as _};

    let date = NaiveDate::from_ymd_opt(2024, 2, 29).unwrap();
    let hour = NaiveTime::from_hms_nano_opt(23, 59, 59, 999_999_999).unwrap();
    let local = FixedOffset::east_opt(3_600).unwrap().from_utc_datetime(&NaiveDateTime::new(date, hour));
    vec![
        row("Uuid", vec![uuid::Uuid::nil(), uuid::Uuid::max(), kinds().id]),
        row("url::Url", vec![kinds().url, url::Url::parse("mailto:ann@example.com").unwrap()]),
        row("DateTime<Utc>", vec![time()]),
        row("DateTime<FixedOffset>", vec![local]),
        row("NaiveDate", vec![date]),
        row("NaiveTime", vec![hour]),
        row("NaiveDateTime", vec![NaiveDateTime::new(date, hour)]),
        row("Weekday", vec![chrono::Weekday::Mon]),
        row("bytes::Bytes", vec![bytes::Bytes::new(), kinds().bytes]),
        row("bytes::BytesMut", vec![bytes::BytesMut::from(&[1_u8, 255][..])]),
        row(
            "serde_json::Value",
            vec![
                json!(null),
                json!(true),
                json!(5),
                json!(-5),
                json!(0.5),
                json!((1_u64 << 53) - 1),
                json!("text"),
                json!([1, [null], {}]),
                json!({ "a": { "": [0.5, "x"] }, "@": 1, "$": 2 }),
            ],
        ),
        row("serde_json::Value, wide", vec![json!(1_u64 << 60)]),
        row("serde_json::Value, whole float", vec![json!(5.0)]),
        row("serde_json::Map", vec![json!({ "b": 1, "a": [2] }).as_object().unwrap().clone()]),
        row(
            "serde_json::Number",
            vec![serde_json::Number::from(5), serde_json::Number::from_f64(0.5).unwrap()],
        ),
    ]
}

fn kinds_of_javascript() -> Vec<Row> {
    let headers = Headers::from([("content-type", "text/plain"), ("x-a", "1")]);
    let bare = ErrorValue::new("TypeError", "m");
    let error = bare.clone().with_property("code", 7).with_property("list", ["x"]);
    let url = "https://a.b/c".parse::<Url>().unwrap();
    let values = vec![
        Value::Undefined,
        Value::Bool(true),
        Value::Number(0.5),
        Value::Number(5.0),
        Value::Number(1e18),
        Value::String(text("text")),
        Value::Array(vec![Value::from(1), Value::Array(vec![])]),
        Value::from([("a", Value::from("b")), ("", Value::Undefined)]),
    ];
    vec![
        row("Bytes", vec![Bytes::default(), bytes_of(ByteKind::Uint8Array)]),
        row("Bytes of a kind", vec![bytes_of(ByteKind::ArrayBuffer)]),
        row("Bytes of a wide kind", vec![bytes_of(ByteKind::Uint16Array)]),
        row("Date", vec![Date::from_millis(5.0), Date::INVALID]),
        row("Url", vec![url.clone()]),
        row("Headers", vec![headers.clone()]),
        row("BigInt", vec![BigInt::from(5), BigInt::from(-(1_i128 << 100)), BigInt::from(1_u64 << 63)]),
        row("BigInt, inexact", vec![BigInt::from(u64::MAX)]),
        row("ErrorValue", vec![error, ErrorValue::new("Error", "")]),
        row("Error", vec![Error::rejected("no"), Error::rejected("no").with_name("RangeError")]),
        row("Value", values),
        row("Value::Null", vec![Value::Null]),
        row("Value::Number, not finite", vec![Value::Number(f64::INFINITY)]),
        row("Value::BigInt", vec![Value::BigInt(BigInt::from(5))]),
        row("Value::Bytes", vec![Value::Bytes(vec![1, 2].into())]),
        row("Value::Date", vec![Value::Date(Date::from_millis(5.0))]),
        row("Value::Url", vec![Value::Url(url)]),
        row("Value::Headers", vec![Value::Headers(headers)]),
        row("Value::Error", vec![Value::from(bare)]),
        row("enum, untagged Value", vec![UntaggedValue::Value(Value::from([("a", Value::Null)]))]),
        row("enum, untagged Value::Undefined", vec![UntaggedValue::Value(Value::Undefined)]),
    ]
}
