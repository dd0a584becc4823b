//! The description of an interface, and the TypeScript that is made of it.

#![cfg(feature = "describe")]
#![allow(missing_docs, clippy::type_complexity)]

use std::collections::{BTreeMap, HashMap};
use std::fs;

use capnode::describe::{Description, TS, Type};
use capnode::{Bytes, Date, Func, Reader, Writer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Serialize, Deserialize)]
pub struct Unsaid(String);

/// What was said.
#[derive(Serialize, Deserialize, TS)]
pub struct Line {
    pub id: u64,
    /// Who said it.
    pub from: Option<SeatClient>,
    pub at: Date,
    pub nothing: (),
    pub by_number: BTreeMap<u64, Bytes>,
    pub answer: Func<fn(u32) -> Result<(), Refusal>>,
}

#[derive(Debug, Serialize, Deserialize, TS)]
pub enum Refusal {
    Muted,
    TooLong { max: u32 },
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A name that the library has.
mod other {
    use super::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    pub struct Date(u8);

    pub type Lines<T> = Vec<Option<T>>;

    pub type Result<T> = std::result::Result<T, super::Refusal>;
}

/// A room.
#[capnode::interface]
pub trait Chat {
    /// Takes a seat.
    ///
    /// `on_line` is called with each line.
    async fn join(&self, name: &str, on_line: Func<fn(Line)>) -> other::Result<SeatClient>;
    async fn rooms(&self, ids: &[u64]) -> HashMap<String, Option<ChatClient>>;
    async fn upload(&self, file: Reader<Bytes>, class: Option<u8>) -> (u32, Vec<Line>);
    async fn doubler(&self) -> Func<fn(u32) -> u32>;
    async fn sink(&self, seat: SeatClient) -> Writer<String>;
    async fn odd(&self, date: other::Date, lines: other::Lines<Unsaid>) -> Unsaid;
    #[capnode(property)]
    async fn topic(&self) -> Option<String> {
        None
    }
    #[cfg(any())]
    async fn absent(&self);
}

#[capnode::interface(extends(Named))]
pub trait Seat {
    async fn store(&self, chat: ChatClient) -> StoreClient<Refusal>;
    async fn seats(&self) -> StoreClient<SeatClient>;
    async fn hidden(&self) -> StoreClient<Unsaid>;
}

#[capnode::interface]
pub trait Named {}

#[capnode::interface]
pub trait Store<T> {
    async fn get(&self) -> Vec<T>;
    async fn put(&self, value: T) -> Result<(), String>;
}

fn description() -> Description {
    Description::of::<ChatClient>()
}

fn json() -> Value {
    serde_json::from_str(&description().to_json()).unwrap()
}

fn member<'a>(
    description: &'a Description,
    interface: &str,
    member: &str,
) -> &'a capnode::describe::MemberDescription {
    let interface = description.interfaces.iter().find(|one| one.name == interface).unwrap();
    interface.members.iter().find(|one| one.name == member).unwrap()
}

#[test]
fn a_member_has_its_name_documentation_and_types() {
    let expected = json!({
        "name": "join",
        "docs": "Takes a seat.\n\n`on_line` is called with each line.",
        "property": false,
        "arguments": [
            { "name": "name", "type": { "known": "String" } },
            { "name": "on_line", "type": { "function": {
                "arguments": [{ "declared": "Line" }], "result": { "known": "()" }, "error": null,
            } } },
        ],
        "result": { "interface": "Seat" },
        "error": { "declared": "Refusal" },
    });
    assert_eq!(json()["interfaces"][0]["members"][0], expected);
    let members = json()["interfaces"][0]["members"].as_array().unwrap().len();
    assert_eq!(members, 7, "one that is not part of this build is not described");
}

#[test]
fn each_interface_and_type_that_is_mentioned_is_described_once() {
    let description = description();
    let interfaces: Vec<_> = description.interfaces.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(interfaces, ["Chat", "Named", "Seat", "Store_Refusal", "Store_Seat"]);
    let types: Vec<_> = description.types.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(types, ["Line", "Refusal"]);
    assert_eq!(description.interfaces[2].extends, ["Named"]);
    assert_eq!((&description.roots[..], description.version), (&["Chat".to_owned()][..], 1));
}

#[test]
fn a_type_is_known_by_what_it_is_and_not_by_its_name() {
    let description = description();
    let odd = member(&description, "Chat", "odd");
    let types: Vec<_> = odd.arguments.iter().map(|argument| &argument.ty).collect();
    let unknown = |written: &str| Type::Unknown(written.to_owned());
    assert_eq!(types, [&unknown("other::Date"), &unknown("other::Lines<Unsaid>")]);
    assert_eq!(member(&description, "Seat", "hidden").result, unknown("StoreClient<Unsaid>"));
    assert_eq!(description.warnings().len(), 4);
    assert!(
        description.warnings().any(|warning| warning.starts_with("Chat.odd: nothing is known of `Unsaid`"))
    );
}

#[test]
fn a_parameter_that_stands_for_a_client_is_an_interface() {
    let description = description();
    let put = member(&description, "Store_Seat", "put");
    assert_eq!(put.arguments[0].ty, Type::Interface("Seat".to_owned()));
}

#[test]
fn a_description_is_the_same_text_each_time_and_is_read_back() {
    let text = description().to_json();
    assert_eq!(text, description().to_json());
    assert_eq!(Description::from_json(&text).unwrap(), description());
    let later = text.replace("\"version\": 1", "\"version\": 2");
    assert!(Description::from_json(&later).unwrap_err().to_string().contains("of version 2"));
}

#[test]
fn typescript_is_natural_to_a_user_of_capnweb() {
    let expected = r#"
/** A room. */
export interface Chat extends RpcTarget {
  /**
   * Takes a seat.
   *
   * `on_line` is called with each line.
   * @throws {Error & { data: Refusal }}
   */
  join(name: string, on_line: RpcStub<(a: Line) => void>): Promise<Seat>;
  rooms(ids: (number | bigint)[]): Promise<Record<string, Chat | null>>;
  upload(file: ReadableStream<Uint8Array>, class_?: number | null): Promise<[number, Line[]]>;
  doubler(): Promise<(a: number) => Promise<number>>;
  sink(seat: RpcStub<Seat>): Promise<WritableStream<string>>;
  odd(date: unknown, lines: unknown): Promise<unknown>;
  readonly topic: Promise<string | null>;
}
"#;
    let text = description().typescript().unwrap();
    assert!(text.contains(expected), "{text}");
}

#[test]
fn what_ts_rs_says_otherwise_than_the_wire_is_corrected() {
    let line = &description().types[0];
    assert_eq!(
        line.text,
        "type Line = { id: number | bigint, \n/**\n * Who said it.\n */\nfrom?: Seat | null, at: Date, nothing: undefined, \
         by_number: { [key in number]: Uint8Array }, answer: (/** @throws {Error & { data: Refusal }} */ (a: number) => Promise<void>), };"
    );
    assert_eq!(line.docs, "/**\n * What was said.\n */\n");
}

mod twice {
    #[capnode::interface]
    pub trait Chat {
        async fn other(&self);
    }
}

#[test]
fn two_interfaces_of_one_name_are_refused() {
    let refused = description().and::<twice::ChatClient>().typescript().unwrap_err();
    assert!(refused.contains("two things are named `Chat`"), "{refused}");
}

#[test]
fn a_stale_file_fails_with_the_lines_that_differ() {
    let path = std::env::temp_dir().join(format!("capnode-describe-{}.ts", std::process::id()));
    let text = description().typescript().unwrap();
    fs::write(&path, &text).unwrap();
    assert_eq!(description().check_typescript(&path), Ok(()));
    fs::write(&path, text.replace("doubler(): ", "tripler(): ")).unwrap();
    let stale = description().check_typescript(&path).unwrap_err();
    fs::remove_file(&path).unwrap();
    assert!(stale.contains("set CAPNODE_WRITE=1"), "{stale}");
    let lines: Vec<_> = stale.lines().filter(|line| line.starts_with(['-', '+'])).collect();
    assert_eq!(
        lines,
        [
            "-   tripler(): Promise<(a: number) => Promise<number>>;",
            "+   doubler(): Promise<(a: number) => Promise<number>>;",
        ]
    );
}
