//! The TypeScript that programs in `tests/typescript` are compiled with: `.ci/typescript` does that.

#![cfg(feature = "describe")]
#![allow(missing_docs)]

use std::collections::HashMap;
use std::path::Path;

use capnode::describe::{Description, TS};
use capnode::{Bytes, Date, Func, Reader};
use serde::{Deserialize, Serialize};

/// A line that was said.
#[derive(Serialize, Deserialize, TS)]
pub struct Line {
    pub id: u64,
    /// The name of the speaker.
    pub from: Option<String>,
    pub text: String,
    pub at: Date,
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

/// A room.
#[capnode::interface]
pub trait Chat {
    /// Takes a seat; `on_line` is called with each line from then on.
    async fn join(&self, name: &str, on_line: Func<fn(Line)>) -> SeatClient;
    async fn lines(&self, ids: &[u64]) -> Vec<Line>;
    async fn seats(&self) -> Vec<SeatClient>;
    async fn rooms(&self) -> HashMap<String, ChatClient>;
    async fn doubler(&self) -> Func<fn(u32) -> Result<u32, Refusal>>;
    async fn tail(&self) -> Reader<Line>;
    async fn upload(&self, file: Reader<Bytes>) -> u64;
    async fn rename(&self, topic: Option<String>, times: Option<u8>);
    async fn sit(&self, seat: SeatClient);
    #[capnode(property)]
    async fn topic(&self) -> Option<String> {
        None
    }
}

#[capnode::interface]
pub trait Seat {
    async fn say(&self, text: &str) -> Result<(), Refusal>;
}

#[test]
fn the_typescript_of_the_checked_programs_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/typescript/chat.ts");
    let checked = Description::of::<ChatClient>().check_typescript(&file);
    checked.unwrap_or_else(|stale| panic!("{stale}"));
}

#[test]
fn the_snapshot_of_the_interface_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/typescript/chat.json");
    let checked = Description::of::<ChatClient>().check_snapshot(&file);
    checked.unwrap_or_else(|stale| panic!("{stale}"));
}
