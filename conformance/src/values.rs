//! Values of all kinds, through `echo`: the result equals the argument.

use std::collections::BTreeMap;
use std::fmt;

use capnode::value::GraphBuilder;
use capnode::{ByteKind, Bytes, Client, Date, ErrorValue, Headers, Url, Value, Wire};
use serde::{Deserialize, Serialize};

use crate::expect::{Failure, elements, equal, equal_in, holds};
use crate::{Outcome, Peer, checks};

checks! {
    "echo: undefined and null" [CapnWeb, Q] => nothing,
    "echo: booleans" => booleans,
    "echo: numbers" => numbers,
    "echo: NaN and infinities" [CapnWeb, Q] => odd_numbers,
    "echo: negative zero" => negative_zero,
    "echo: big integers" [CapnWeb] => big_integers,
    "echo: text" => text,
    "echo: text of all planes" => planes,
    "echo: 200 KB of text" [CapnWeb, Q] => long_text,
    "echo: bytes" [CapnWeb] => bytes,
    "echo: bytes of every kind" [CapnWeb] => byte_kinds,
    "echo: 256 KB of bytes" [CapnWeb] => many_bytes,
    "echo: dates" [CapnWeb] => dates,
    "echo: URLs" [CapnWeb] => urls,
    "echo: headers" [CapnWeb] => headers,
    "echo: errors of every class" [CapnWeb] => errors,
    "echo: an error with properties and a cause" [CapnWeb] => error_properties,
    "echo: an error of several" [CapnWeb] => aggregate_error,
    "echo: arrays" [CapnWeb, Q] => arrays,
    "echo: objects" [CapnWeb, Q] => objects,
    "echo: values of every kind inside a value" [CapnWeb] => mixed,
    "echo: odd keys" [CapnWeb, Q] => odd_keys,
    "echo: data that looks like special forms" => lookalikes,
    "echo: 100 levels" => deep,
    "echo: 10,000 elements and keys" [CapnWeb, Q] => wide,
    "echo: the same object twice" [Capnode, Q] => identity,
    "echo: cycles" [Capnode, Q] => cycles,
    "types: a cycle where there can be none" [Capnode, Q] => cycle_typed,
    "types: integers" [CapnWeb] => typed_integers,
    "types: numbers, text and nothing" [CapnWeb, Q] => typed_simple,
    "types: lists, tuples and maps" [CapnWeb] => typed_collections,
    "types: structs" [CapnWeb] => typed_structs,
    "types: enums of every style" [CapnWeb] => typed_enums,
}

/// The tour's `echo` for values of one type.
#[capnode::interface]
pub(crate) trait Echo<T> {
    async fn echo(&self, x: T) -> T;
}

/// Sends values of a type, and expects each back.
pub(crate) async fn typed<T: Wire + Clone + PartialEq + fmt::Debug>(
    peer: &Peer,
    values: impl IntoIterator<Item = T>,
) -> Outcome {
    let echo = EchoClient::<T>::from_cap(peer.index());
    for value in values {
        equal(echo.echo(value.clone()).await?, value)?;
    }
    Ok(())
}

async fn echoes(peer: &Peer, values: impl IntoIterator<Item = Value>) -> Outcome {
    for value in values {
        equal(peer.tour.echo(value.clone()).await?, value)?;
    }
    Ok(())
}

fn array(elements: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(elements.into_iter().collect())
}

fn empty() -> Value {
    Value::Object(Vec::new())
}

fn bigint(digits: &str) -> Result<Value, Failure> {
    digits.parse().map(Value::BigInt).map_err(|_| Failure::new("no digits"))
}

async fn nothing(peer: Peer) -> Outcome {
    echoes(&peer, [Value::Undefined, Value::Null]).await
}

async fn booleans(peer: Peer) -> Outcome {
    echoes(&peer, [Value::from(true), Value::from(false)]).await
}

async fn numbers(peer: Peer) -> Outcome {
    let safe = 9_007_199_254_740_991.0;
    let small = [0.0, 1.0, -1.0, 0.1, -2.5, 1e21, -1e-7, 5e-324, safe, -safe, f64::MAX, f64::EPSILON];
    echoes(&peer, small.map(Value::Number)).await?;
    // Past 2^53 a number stays one: only integers of Rust become big ones.
    echoes(&peer, [53, 60, 63, 64, 1000].map(|power| Value::Number(2f64.powi(power)))).await?;
    echoes(&peer, [-(2f64.powi(63)), 1e300].map(Value::Number)).await
}

async fn odd_numbers(peer: Peer) -> Outcome {
    echoes(&peer, [Value::Number(f64::INFINITY), Value::Number(f64::NEG_INFINITY)]).await?;
    match peer.tour.echo(Value::Number(f64::NAN)).await? {
        Value::Number(number) if number.is_nan() => Ok(()),
        other => Err(Failure::new(format!("got {other:?}, expected NaN"))),
    }
}

async fn negative_zero(peer: Peer) -> Outcome {
    // The sign may be lost: JavaScript's JSON has none for it.
    echoes(&peer, [Value::Number(-0.0), array([Value::Number(-0.0)])]).await
}

async fn big_integers(peer: Peer) -> Outcome {
    for digits in ["0", "1", "-1", "9007199254740992", "18446744073709551615", "-9223372036854775808"] {
        echoes(&peer, [bigint(digits)?]).await?;
    }
    let long = format!("-{}", "1234567890".repeat(50));
    echoes(&peer, [bigint(&long)?]).await
}

async fn text(peer: Peer) -> Outcome {
    let texts =
        ["", "a", "true", "null", "12", "\"\\/", "\0\x01\x1f\x7f", "\n\r\t", "\u{8}\u{c}", "<&>", "['x']"];
    echoes(&peer, texts.map(Value::from)).await
}

async fn planes(peer: Peer) -> Outcome {
    let texts =
        ["äöü", "日本語", "🙂👩‍👩‍👧‍👦", "e\u{301}", "\u{10ffff}", "\u{fffd}\u{ffff}", "\u{2028}\u{2029}\u{feff}"];
    echoes(&peer, texts.map(Value::from)).await
}

async fn long_text(peer: Peer) -> Outcome {
    let text: String = (0..25_000).map(|at| format!("{at} é🙂\"")).collect();
    holds(text.len() > 200_000, "the text is too short")?;
    match peer.tour.echo(Value::from(text.as_str())).await? {
        Value::String(back) => holds(back == text, "the text has changed"),
        other => Err(Failure::new(format!("got {other:?}, expected text"))),
    }
}

async fn bytes(peer: Peer) -> Outcome {
    let all: Vec<u8> = (0..=255).collect();
    for data in [vec![], vec![0], vec![251, 255], vec![1, 2, 3], vec![1, 2, 3, 4], all] {
        echoes(&peer, [Value::Bytes(data.into())]).await?;
    }
    Ok(())
}

async fn byte_kinds(peer: Peer) -> Outcome {
    for kind in [
        ByteKind::Uint8Array,
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
    ] {
        for data in [Vec::new(), (1..=8).collect(), (240..=255).collect()] {
            let value = Value::Bytes(Bytes::from(data).with_kind(kind));
            equal_in(kind.name(), peer.tour.echo(value.clone()).await?, value)?;
        }
    }
    Ok(())
}

async fn many_bytes(peer: Peer) -> Outcome {
    let data: Vec<u8> =
        (0..1 << 18).map(|at: u32| (at.wrapping_mul(31) ^ (at >> 8)).to_le_bytes()[0]).collect();
    match peer.tour.echo(Value::Bytes(data.clone().into())).await? {
        Value::Bytes(back) => holds(*back == data, "the bytes have changed"),
        other => Err(Failure::new(format!("got {other:?}, expected bytes"))),
    }
}

async fn dates(peer: Peer) -> Outcome {
    let millis = [0.0, -1.0, 1_700_000_000_123.0, 8.64e15, -8.64e15];
    echoes(&peer, millis.map(|millis| Value::Date(Date::from_millis(millis)))).await?;
    match peer.tour.echo(Value::Date(Date::INVALID)).await? {
        Value::Date(date) => equal(date.millis(), None::<f64>),
        other => Err(Failure::new(format!("got {other:?}, expected a date"))),
    }
}

async fn urls(peer: Peer) -> Outcome {
    for href in ["https://example.com/", "https://user@example.com:8443/a%20b?c=d#e", "data:text/plain,x"] {
        let url: Url = href.parse().map_err(|_| Failure::new("no URL"))?;
        echoes(&peer, [Value::Url(url)]).await?;
    }
    Ok(())
}

async fn headers(peer: Peer) -> Outcome {
    for pairs in [vec![], vec![("a", "1"), ("b", "2")], vec![("set-cookie", "x=1"), ("set-cookie", "y=2")]] {
        echoes(&peer, [Value::Headers(pairs.iter().copied().collect())]).await?;
    }
    Ok(())
}

fn error(name: &str, message: &str, properties: Vec<(String, Value)>) -> Value {
    let mut error = ErrorValue::new(name, message);
    error.properties = properties;
    error.into()
}

async fn errors(peer: Peer) -> Outcome {
    let classes =
        ["Error", "EvalError", "RangeError", "ReferenceError", "SyntaxError", "TypeError", "URIError"];
    echoes(&peer, classes.map(|class| error(class, &format!("a {class}"), Vec::new()))).await?;
    echoes(&peer, [error("Error", "", Vec::new())]).await
}

/// The members of an error that came back.
fn error_in(value: &Value) -> Result<&ErrorValue, Failure> {
    match value {
        Value::Error(error) => Ok(error),
        other => Err(Failure::new(format!("got {other:?}, expected an error"))),
    }
}

fn property<'a>(error: &'a ErrorValue, name: &str) -> Option<&'a Value> {
    error.properties.iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

async fn error_properties(peer: Peer) -> Outcome {
    let detail = Value::from([("list", array([Value::from(1), Value::Undefined, bigint("2")?]))]);
    let cause = error("RangeError", "inner", vec![("cause".to_owned(), Value::from("the first"))]);
    let properties = vec![
        ("code".to_owned(), Value::from("E_TEST")),
        ("detail".to_owned(), detail),
        ("cause".to_owned(), cause),
    ];
    let back = peer.tour.echo(error("TypeError", "outer", properties.clone())).await?;
    let back = error_in(&back)?;
    equal((back.name.as_str(), back.message.as_str()), ("TypeError", "outer"))?;
    equal(back.properties.len(), properties.len())?;
    for (name, value) in &properties {
        equal_in(name, property(back, name), Some(value))?;
    }
    Ok(())
}

async fn aggregate_error(peer: Peer) -> Outcome {
    let several = array([error("TypeError", "one", Vec::new()), Value::from("two"), Value::from(3)]);
    let aggregate = error("AggregateError", "several", vec![("errors".to_owned(), several)]);
    echoes(&peer, [aggregate]).await
}

async fn arrays(peer: Peer) -> Outcome {
    let one = || Value::from(1);
    let none = || array([]);
    echoes(
        &peer,
        [
            none(),
            array([one()]),
            array([none()]),
            array([none(), none()]),
            array([array([none()])]),
            array([one(), array([Value::from(2), array([Value::from(3)])])]),
            array([Value::Null, Value::Undefined, Value::from("x"), empty()]),
        ],
    )
    .await
}

async fn objects(peer: Peer) -> Outcome {
    let a = |value| Value::from([("a", value)]);
    echoes(
        &peer,
        [
            empty(),
            a(Value::from(1)),
            a(a(a(array([])))),
            a(array([a(Value::from(1)), empty()])),
            // An undefined member differs from a missing one.
            Value::from([("a", Value::Undefined), ("b", Value::Null)]),
            array([Value::Undefined, a(Value::Undefined)]),
        ],
    )
    .await
}

async fn mixed(peer: Peer) -> Outcome {
    let list = array([
        Value::Undefined,
        Value::Null,
        Value::Number(f64::INFINITY),
        bigint("1180591620717411303424")?,
        Value::Date(Date::from_millis(1.0)),
        Value::from(true),
        Value::Number(1.5),
        Value::Bytes(vec![1, 2].into()),
        Value::Bytes(Bytes::from([255, 255]).with_kind(ByteKind::Int16Array)),
        error("RangeError", "within", Vec::new()),
    ]);
    let headers = Headers::from([("a", "1")]);
    let inner = Value::from([("headers", Value::Headers(headers)), ("none", array([array([])]))]);
    echoes(&peer, [Value::from([("list", list), ("inner", inner)])]).await
}

async fn odd_keys(peer: Peer) -> Outcome {
    let keys = [
        "",
        " ",
        "a.b",
        "-1",
        "é🙂",
        "\0",
        "\n",
        "\"",
        "\\",
        "[]",
        "$",
        "@",
        "%",
        "!",
        "/",
        "length",
        "then",
        "next",
        "undefined",
        "links",
        "type",
        "capnode",
        "$capnode::reference",
        "$serde_json::private::RawValue",
    ];
    echoes(
        &peer,
        [Value::Object(keys.iter().zip(1..).map(|(key, at)| (key.to_string(), Value::from(at))).collect())],
    )
    .await?;
    // JavaScript puts keys that are indexes first.
    let back = peer
        .tour
        .echo(Value::from([("x", Value::from(1)), ("10", Value::from(2)), ("0", Value::from(3))]))
        .await?;
    equal(
        [back.get("x"), back.get("10"), back.get("0")],
        [Some(&Value::from(1)), Some(&Value::from(2)), Some(&Value::from(3))],
    )?;
    if peer.is_rust() {
        // npm's drops these.
        echoes(
            &peer,
            [Value::from([("constructor", Value::from(1)), ("__proto__", empty()), ("toJSON", Value::Null)])],
        )
        .await?;
    }
    Ok(())
}

async fn lookalikes(peer: Peer) -> Outcome {
    let word = |word: &str| Value::from(word);
    let number = |number: i32| Value::from(number);
    echoes(
        &peer,
        [
            array([word("undefined")]),
            array([word("export"), number(-1)]),
            array([word("import"), number(0)]),
            array([word("promise"), number(-1)]),
            array([word("pipeline"), number(0), array([word("fail")]), array([])]),
            array([word("error"), word("Error"), word("x")]),
            array([word("bigint"), word("1")]),
            array([word("date"), number(0)]),
            array([word("bytes"), word("AQID")]),
            array([word("nan")]),
            array([array([word("undefined")])]),
            array([word("abort"), word("x")]),
            Value::from([("@", word("x")), ("type", word("function"))]),
            Value::from([("export", number(-1))]),
            Value::from([("$capnode::reference", number(0))]),
            Value::from([("type", number(1)), ("id", number(0))]),
        ],
    )
    .await
}

async fn deep(peer: Peer) -> Outcome {
    let mut arrays = Value::from("core");
    let mut objects = Value::from("core");
    for _ in 0..100 {
        arrays = array([arrays]);
        objects = Value::from([("in", objects)]);
    }
    echoes(&peer, [arrays, objects]).await
}

async fn wide(peer: Peer) -> Outcome {
    let numbers: Vec<Value> = (0..10_000).map(Value::from).collect();
    let back = peer.tour.echo(Value::Array(numbers.clone())).await?;
    holds(elements(&back)? == numbers, "the elements have changed")?;
    let object = Value::Object((0..10_000).map(|at| (format!("key {at}"), Value::from(at))).collect());
    holds(peer.tour.echo(object.clone()).await? == object, "the members have changed")
}

// ------------------------------------------------------------------------------- types of Rust's

async fn typed_integers(peer: Peer) -> Outcome {
    typed(&peer, [u64::MIN, 1, (1 << 53) - 1, 1 << 53, (1 << 53) + 1, u64::MAX]).await?;
    typed(&peer, [i64::MIN, -(1 << 53) - 1, -1, 0, i64::MAX]).await?;
    typed(&peer, [u128::MAX, 0]).await?;
    typed(&peer, [i128::MIN, -1, i128::MAX]).await?;
    typed(&peer, [u8::MIN, u8::MAX]).await?;
    typed(&peer, [i8::MIN, i8::MAX]).await?;
    typed(&peer, [u16::MAX]).await?;
    typed(&peer, [i32::MIN, i32::MAX]).await
}

async fn typed_simple(peer: Peer) -> Outcome {
    typed(&peer, [0.5f32, f32::MAX, f32::MIN_POSITIVE]).await?;
    typed(&peer, [0.1f64, f64::MIN_POSITIVE, f64::INFINITY]).await?;
    typed(&peer, ['a', 'é', '🙂', '\0']).await?;
    typed(&peer, [true, false]).await?;
    typed(&peer, [()]).await?;
    typed(&peer, [None, Some(5u8)]).await?;
    typed(&peer, [None, Some("text".to_owned())]).await
}

async fn typed_collections(peer: Peer) -> Outcome {
    typed(&peer, [vec![], vec![1u32, 2], vec![u32::MAX]]).await?;
    typed(&peer, [vec![vec![0u8, 255], vec![]]]).await?;
    typed(&peer, [(1u8, "two".to_owned(), Some(3.5), [4u16; 4])]).await?;
    typed(&peer, [vec![Some(1u64), None, Some(u64::MAX)]]).await?;
    typed(&peer, [BTreeMap::from([("a".to_owned(), 1u64), (String::new(), u64::MAX)]), BTreeMap::new()]).await
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    first_name: String,
    age: Option<u32>,
    id: u64,
    when: Date,
    raw: Bytes,
    tags: Vec<String>,
    #[serde(flatten)]
    more: BTreeMap<String, i64>,
    pair: Pair,
    unit: (),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pair(i32, String);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Name(String);

async fn typed_structs(peer: Peer) -> Outcome {
    let record = Record {
        first_name: "ann".to_owned(),
        age: None,
        id: u64::MAX,
        when: Date::from_millis(7.0),
        raw: vec![1, 2, 3].into(),
        tags: vec!["a".to_owned()],
        more: BTreeMap::from([("x".to_owned(), i64::MIN), ("y".to_owned(), 2)]),
        pair: Pair(-1, "p".to_owned()),
        unit: (),
    };
    typed(&peer, [record.clone(), Record { age: Some(5), more: BTreeMap::new(), ..record }]).await?;
    typed(&peer, [Name("n".to_owned())]).await
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum External {
    Unit,
    Newtype(u64),
    Tuple(u8, String),
    Struct { x: f64, y: Option<i64> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
enum Internal {
    Unit,
    Struct { big: u64, list: Vec<u8> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    Unit,
    Newtype(u64),
    Tuple(i8, i8),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u64),
    Text(String),
    Record { x: i64 },
    List(Vec<bool>),
}

async fn typed_enums(peer: Peer) -> Outcome {
    typed(
        &peer,
        [
            External::Unit,
            External::Newtype(u64::MAX),
            External::Tuple(1, "x".to_owned()),
            External::Struct { x: 0.5, y: Some(i64::MIN) },
            External::Struct { x: 0.5, y: None },
        ],
    )
    .await?;
    typed(&peer, [Internal::Unit, Internal::Struct { big: u64::MAX, list: vec![1] }]).await?;
    typed(&peer, [Adjacent::Unit, Adjacent::Newtype(u64::MAX), Adjacent::Tuple(-1, 1)]).await?;
    typed(
        &peer,
        [
            Untagged::Number(u64::MAX),
            Untagged::Text("5".to_owned()),
            Untagged::Record { x: -5 },
            Untagged::List(vec![true]),
        ],
    )
    .await
}

/// An object at two places is one object again, where it comes back.
async fn identity(peer: Peer) -> Outcome {
    let mut graph = GraphBuilder::new();
    let (root, shared) = (graph.node(), graph.node());
    graph.set(&shared, &Value::from([("x", Value::from(1))]))?;
    let places = array([Value::from(shared.clone()), Value::from("between"), Value::from(shared)]);
    graph.set(&root, &Value::from([("a", places)]))?;
    let back = peer.tour.echo(graph.finish(root)?).await?;
    let list = back.member("a").ok_or_else(|| Failure::new(format!("got {back:?}")))?;
    let [first, last] = [0, 2].map(|at| list.element(at));
    holds(matches!(first, Some(Value::Shared(_))), "nothing is shared")?;
    equal_in("the two places", &first, &last)?;
    equal(first.and_then(|first| first.member("x")), Some(Value::from(1)))
}

/// A value that contains itself does so where it comes back.
async fn cycles(peer: Peer) -> Outcome {
    let mut graph = GraphBuilder::new();
    let (person, list) = (graph.node(), graph.node());
    let members =
        [("name", Value::from("ann")), ("self", person.clone().into()), ("list", list.clone().into())];
    graph.set(&person, &Value::from(members))?;
    // A list inside itself is more than the real Capnode can send.
    let listed = if peer.passes_errors_on() { list.clone().into() } else { Value::from(3) };
    graph.set(&list, &array([person.clone().into(), Value::from(2), listed]))?;
    let back = peer.tour.echo(graph.finish(person)?).await?;
    let member =
        |value: &Value, name| value.member(name).ok_or_else(|| Failure::new(format!("got {value:?}")));
    let element = |value: &Value, at| value.element(at).ok_or_else(|| Failure::new(format!("got {value:?}")));
    let itself = member(&back, "self")?;
    equal_in("the person", &member(&itself, "self")?, &itself)?;
    equal(member(&itself, "name")?, Value::from("ann"))?;
    let list = member(&itself, "list")?;
    equal_in("the person in the list", &element(&list, 0)?, &itself)?;
    let listed = if peer.passes_errors_on() { list.clone() } else { Value::from(3) };
    equal_in("the list in the list", &element(&list, 2)?, &listed)?;
    equal(element(&list, 1)?, Value::from(2))
}

/// A cycle that is read as a type that cannot hold one is an error that says where.
async fn cycle_typed(peer: Peer) -> Outcome {
    #[derive(Debug, Serialize, Deserialize)]
    struct Person {
        name: String,
        #[serde(default, rename = "self")]
        itself: Option<Box<Person>>,
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct Named {
        name: String,
    }

    let mut graph = GraphBuilder::new();
    let person = graph.node();
    graph.set(&person, &Value::from([("name", Value::from("ann")), ("self", person.clone().into())]))?;
    let person = graph.finish(person)?;
    let named: Named = peer.index().invoke("echo", (&person,)).await?;
    equal(named.name.as_str(), "ann")?;
    match peer.index().invoke::<Person>("echo", (&person,)).await {
        Ok(person) => Err(Failure::new(format!("got {person:?} {:?}", (&person.name, &person.itself)))),
        Err(error) => holds(error.message().contains("`self`"), error.message()),
    }
}
