//! Values of many types, sent to a program in TypeScript that checks each against its generated type and sends it back.
//!
//! `.ci/typescript` compiles the program, with validators that npm's `capnweb-validate` makes of the types.

#![cfg(all(feature = "describe", feature = "ws"))]
#![allow(missing_docs)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};

use capnode::describe::{Description, TS, describing};
use capnode::{BigInt, Bytes, Date, Func, Node, Url};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An interface with two methods for each type, and an object that has the values.
macro_rules! values {
    ($($name:literal $get:ident $put:ident: $ty:ty = $value:expr;)*) => {
        #[capnode::interface]
        pub trait Values {
            $(
                async fn $get(&self) -> $ty;
                async fn $put(&self, value: $ty) -> bool;
            )*
        }

        struct Samples;

        impl Values for Samples {
            $(
                async fn $get(&self) -> $ty {
                    $value
                }

                async fn $put(&self, value: $ty) -> bool {
                    let expected: $ty = $value;
                    format!("{value:?}") == format!("{expected:?}")
                }
            )*
        }

        const NAMES: &[&str] = &[$($name),*];
    };
}

macro_rules! data {
    ($($(#[$meta:meta])* { $($item:tt)* })*) => { $(
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
        $(#[$meta])*
        pub $($item)*
    )* };
}

data! {
    { struct Nothing; }
    { struct Empty {} }
    { struct Name(String); }
    { struct Pair(u8, String); }
    { struct Line { id: u64, from: Option<String>, text: String, at: Date } }
    { struct Tree { name: String, children: Vec<Tree> } }
    { struct Page<T> { items: Vec<T>, next: Option<u32> } }
    #[serde(rename_all = "camelCase")]
    { struct Renamed { first_name: String, #[serde(rename = "last-name")] last: String } }
    { struct Units { unit: (), option: Option<()>, list: Vec<()>, nothing: Nothing } }
    { struct Sparse {
        #[serde(default, skip_serializing_if = "Vec::is_empty")] list: Vec<u8>,
        #[serde(skip_serializing_if = "Option::is_none")] option: Option<u8>,
        #[serde(skip)] left_out: u8,
        rest: u8,
    } }
    { struct Flat { own: u8, #[serde(flatten)] line: Inner } }
    { struct Inner { inner: String, other: Option<bool> } }
    { struct Open { own: String, #[serde(flatten)] rest: BTreeMap<String, String> } }
    { struct Binary { bytes: Bytes, list: Vec<u8> } }
    { struct Numbers { nan: f64, infinite: f64, small: f32, large: u128, negative: i64 } }
    { struct Outcomes { good: Result<u8, String>, bad: Result<u8, String>, done: Result<(), String> } }
    { struct Library { ip: IpAddr, path: PathBuf, one: NonZeroU8, range: std::ops::Range<u32>, text: char } }
    { struct Maps { numbers: BTreeMap<u32, bool>, kinds: BTreeMap<Kind, u8>, flags: BTreeMap<bool, u8> } }
    #[serde(transparent)]
    { struct Metres { length: f64 } }
    #[serde(try_from = "String", into = "String")]
    { struct Id { number: u64 } }
    { struct ByHand { #[serde(with = "texts")] #[ts(as = "String")] number: u32 } }
    { enum External { Unit, Newtype(u8), Tuple(u8, String), Struct { a: Option<u8> } } }
    #[serde(tag = "type", rename_all = "snake_case")]
    { enum Internal { FirstOne, Second { a: u8 }, Third(Inner) } }
    #[serde(tag = "t", content = "c")]
    { enum Adjacent { Unit, Newtype(Option<u8>), Tuple(u8, u8), Struct { a: u8 } } }
    #[serde(untagged)]
    { enum Untagged { Number(u32), Text(String), Record { a: u8 }, List(Vec<u8>) } }
    #[serde(tag = "kind")]
    { struct Tagged { a: u8 } }
    { struct Mistaken { #[ts(type = "string")] number: u8 } }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    FirstKind,
    Second,
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.number.to_string()
    }
}

impl TryFrom<String> for Id {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Ok(Self { number: text.parse()? })
    }
}

mod texts {
    use super::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(number: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[capnode::interface]
pub trait Seat {
    async fn say(&self, text: &str);
}

struct Place;

impl Seat for Place {
    async fn say(&self, _: &str) {}
}

#[derive(Clone, Serialize, Deserialize, TS)]
pub struct References {
    seat: SeatClient,
    seats: Vec<SeatClient>,
    double: Func<fn(u32) -> u32>,
    maybe: Option<SeatClient>,
}

/// References are other ones when they come back.
impl Debug for References {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.seats.len(), self.maybe.is_some())
    }
}

fn references() -> References {
    let seat = SeatClient::new(Place);
    let double = Func::new(|number: u32| async move { 2 * number });
    References { seat: seat.clone(), seats: vec![seat], double, maybe: None }
}

fn inner() -> Inner {
    Inner { inner: "inner".to_owned(), other: None }
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn line() -> Line {
    Line { id: u64::MAX, from: None, text: text("line"), at: Date::from_millis(1.0) }
}

values! {
    "Unit" get_unit put_unit: () = ();
    "Boolean" get_boolean put_boolean: bool = true;
    "Char" get_char put_char: char = 'é';
    "Text" get_text put_text: String = text("text");
    "Small" get_small put_small: i8 = -7;
    "Integer" get_integer put_integer: u32 = u32::MAX;
    "Large" get_large put_large: u64 = u64::MAX;
    "SmallLarge" get_small_large put_small_large: u64 = 1;
    "Negative" get_negative put_negative: i128 = i128::MIN;
    "Float" get_float put_float: f64 = 0.5;
    "Nan" get_nan put_nan: f64 = f64::NAN;
    "Big" get_big put_big: BigInt = BigInt::from(1);
    "Bytes" get_bytes put_bytes: Bytes = Bytes::from(vec![1, 2]);
    "ByteList" get_byte_list put_byte_list: Vec<u8> = vec![1, 2];
    "Date" get_date put_date: Date = Date::from_millis(1.0);
    "Url" get_url put_url: Url = "https://example.com/".parse().unwrap();
    "Some" get_some put_some: Option<u8> = Some(1);
    "None" get_none put_none: Option<u8> = None;
    "OptionOfUnit" get_option_of_unit put_option_of_unit: Option<()> = None;
    "Options" get_options put_options: Vec<Option<String>> = vec![None, Some(text("a"))];
    "Deque" get_deque put_deque: VecDeque<u8> = VecDeque::from([1]);
    "Set" get_set put_set: BTreeSet<String> = BTreeSet::from([text("a")]);
    "Tuple" get_tuple put_tuple: (u8, String, Option<bool>) = (1, text("a"), None);
    "Array" get_array put_array: [u16; 3] = [1, 2, 3];
    "Map" get_map put_map: BTreeMap<String, u8> = BTreeMap::from([(text("a"), 1)]);
    "NumberMap" get_number_map put_number_map: BTreeMap<i64, u8> = BTreeMap::from([(-1, 1)]);
    "KindMap" get_kind_map put_kind_map: BTreeMap<Kind, u8> = BTreeMap::from([(Kind::FirstKind, 1)]);
    "Nothing" get_nothing put_nothing: Nothing = Nothing;
    "Empty" get_empty put_empty: Empty = Empty {};
    "Name" get_name put_name: Name = Name(text("name"));
    "Pair" get_pair put_pair: Pair = Pair(1, text("a"));
    "Line" get_line put_line: Line = line();
    "Tree" get_tree put_tree: Tree =
        Tree { name: text("a"), children: vec![Tree { name: text("b"), children: Vec::new() }] };
    "Page" get_page put_page: Page<Line> = Page { items: vec![line()], next: Some(2) };
    "Renamed" get_renamed put_renamed: Renamed = Renamed { first_name: text("a"), last: text("b") };
    "Units" get_units put_units: Units = Units { unit: (), option: None, list: vec![()], nothing: Nothing };
    "Sparse" get_sparse put_sparse: Sparse = Sparse { list: Vec::new(), option: None, left_out: 0, rest: 1 };
    "Flat" get_flat put_flat: Flat = Flat { own: 1, line: inner() };
    "Open" get_open put_open: Open = Open { own: text("own"), rest: BTreeMap::from([(text("a"), text("b"))]) };
    "Binary" get_binary put_binary: Binary = Binary { bytes: Bytes::from(vec![1]), list: vec![1] };
    "Numbers" get_numbers put_numbers: Numbers =
        Numbers { nan: f64::NAN, infinite: f64::INFINITY, small: 0.5, large: u128::MAX, negative: i64::MIN };
    "Outcomes" get_outcomes put_outcomes: Outcomes = Outcomes { good: Ok(1), bad: Err(text("bad")), done: Ok(()) };
    "Library" get_library put_library: Library = Library {
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST), path: PathBuf::from("/a"), one: NonZeroU8::MIN, range: 1..2, text: 'a',
    };
    "Maps" get_maps put_maps: Maps = Maps {
        numbers: BTreeMap::from([(1, true)]), kinds: BTreeMap::from([(Kind::Second, 1)]), flags: BTreeMap::from([(true, 1)]),
    };
    "Metres" get_metres put_metres: Metres = Metres { length: 0.5 };
    "Id" get_id put_id: Id = Id { number: 7 };
    "ByHand" get_by_hand put_by_hand: ByHand = ByHand { number: 7 };
    "Externals" get_externals put_externals: Vec<External> = vec![
        External::Unit, External::Newtype(1), External::Tuple(1, text("a")), External::Struct { a: None },
    ];
    "Internals" get_internals put_internals: Vec<Internal> =
        vec![Internal::FirstOne, Internal::Second { a: 1 }, Internal::Third(inner())];
    "Adjacents" get_adjacents put_adjacents: Vec<Adjacent> = vec![
        Adjacent::Unit, Adjacent::Newtype(None), Adjacent::Newtype(Some(1)), Adjacent::Tuple(1, 2), Adjacent::Struct { a: 1 },
    ];
    "Untagged" get_untagged put_untagged: Vec<Untagged> = vec![
        Untagged::Number(1), Untagged::Text(text("a")), Untagged::Record { a: 1 }, Untagged::List(vec![1]),
    ];
    "Tagged" get_tagged put_tagged: Tagged = Tagged { a: 1 };
    "References" get_references put_references: References = references();
    "Mistaken" get_mistaken put_mistaken: Mistaken = Mistaken { number: 1 };
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/typescript/values")
}

#[test]
fn the_typescript_of_the_values_is_current() {
    let description = Description::of::<ValuesClient>();
    assert_eq!(description.warnings().collect::<Vec<_>>(), [""; 0]);
    description.check_typescript(directory().join("values.ts")).unwrap_or_else(|stale| panic!("{stale}"));
}

#[tokio::test]
async fn each_value_is_of_its_generated_type_and_is_read_back() {
    let program = directory().join("run.mjs");
    if !directory().join("out/client.js").exists() {
        eprintln!("left out, since the program is not compiled: run .ci/typescript");
        return;
    }
    let listener =
        Node::new(describing(&ValuesClient::new(Samples)).unwrap()).listen("ws://127.0.0.1:0").await.unwrap();
    let mut node = tokio::process::Command::new("node");
    let output = node.arg(program).arg(listener.url()).args(NAMES).kill_on_drop(true).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong: Vec<_> = said.lines().collect();
    // One whose type is said wrongly on purpose: the check finds it.
    assert!(output.status.success() && wrong.len() == 1, "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(wrong[0].starts_with("Mistaken: "), "{said}");
}
