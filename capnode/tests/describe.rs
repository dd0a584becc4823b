//! What the description of an interface says.

#![cfg(feature = "describe")]
#![allow(missing_docs)]

use std::collections::HashMap;

use capnode::{Bytes, Func, Reader};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Serialize, Deserialize)]
pub struct Line(String);

/// A room.
#[capnode::interface]
pub trait Chat {
    /// Takes a seat.
    ///
    /// `on_line` is called with each line.
    async fn join(&self, name: &str, on_line: Func<fn(Line) -> bool>) -> Result<SeatClient, String>;
    async fn rooms(&self, ids: &[u64]) -> HashMap<String, Option<ChatClient>>;
    async fn upload(&self, file: Reader<Bytes>) -> (u32, Vec<Line>);
    #[capnode(property)]
    async fn topic(&self) -> Option<String> {
        None
    }
    #[cfg(any())]
    async fn absent(&self);
}

#[capnode::interface(extends(Named))]
pub trait Seat {
    async fn store(&self, chat: ChatClient) -> StoreClient<Line>;
}

#[capnode::interface]
pub trait Named {}

#[capnode::interface]
pub trait Store<T> {
    async fn get(&self) -> Vec<T>;
}

fn description() -> Value {
    serde_json::from_str(&capnode::describe::<ChatClient>()).unwrap()
}

#[test]
fn an_interface_has_its_name_documentation_and_members_with_their_types() {
    let line = json!({ "unknown": "Line" });
    let member = |name, docs, property, arguments, result, error| {
        json!({
            "name": name, "docs": docs, "property": property, "arguments": arguments, "result": result, "error": error,
        })
    };
    let on_line = json!({ "arguments": [line], "result": "bool" });
    let expected = json!({
        "name": "Chat",
        "docs": "A room.",
        "extends": [],
        "members": [
            member("join", "Takes a seat.\n\n`on_line` is called with each line.", false,
                json!([{ "name": "name", "type": "str" }, { "name": "on_line", "type": on_line }]),
                json!({ "interface": "Seat" }), json!("String")),
            member("rooms", "", false, json!([{ "name": "ids", "type": { "list": "u64" } }]),
                json!({ "map": ["String", { "option": { "interface": "Chat" } }] }), Value::Null),
            member("upload", "", false, json!([{ "name": "file", "type": { "reader": "Bytes" } }]),
                json!({ "tuple": ["u32", { "list": line }] }), Value::Null),
            member("topic", "", true, json!([]), json!({ "option": "String" }), Value::Null),
        ],
    });
    assert_eq!(description()["interfaces"][0], expected);
}

#[test]
fn each_interface_that_is_mentioned_is_described_once() {
    let description = description();
    let names: Vec<_> =
        description["interfaces"].as_array().unwrap().iter().map(|interface| &interface["name"]).collect();
    assert_eq!(names, ["Chat", "Named", "Seat", "Store"]);
    assert_eq!(description["interfaces"][2]["extends"], json!(["Named"]));
    assert_eq!((&description["root"], &description["version"]), (&json!("Chat"), &json!(1)));
}

#[test]
fn a_parameter_of_an_interface_is_unknown() {
    assert_eq!(description()["interfaces"][3]["members"][0]["result"], json!({ "list": { "unknown": "T" } }));
}

#[test]
fn a_description_is_the_same_text_each_time() {
    let text = capnode::describe::<ChatClient>();
    assert_eq!(text, capnode::describe::<ChatClient>());
    assert!(text.starts_with("{\n  \"interfaces\": [\n    {\n      \"docs\""), "{text}");
}
