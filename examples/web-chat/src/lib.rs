//! The interfaces of the chat. `page/chat.ts` is made of them.

use std::fmt;

use capnode::describe::TS;
use capnode::{Bytes, Error, Reader};
use serde::{Deserialize, Serialize};

pub mod room;

/// The room, for everybody who opens the page.
#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> Result<Welcome, Refusal>;
}

/// A seat in the room. Its holder leaves by letting go of it.
#[capnode::interface]
pub trait Seat {
    /// Returns what was said lately, and then each line as it is said.
    async fn lines(&self) -> Reader<Line>;

    async fn say(&self, text: &str);

    /// Shows a picture to everyone.
    async fn show(&self, picture: Reader<Bytes>) -> Result<(), Error>;

    /// Names of those who are in the room.
    #[capnode(property)]
    async fn members(&self) -> Vec<String>;
}

/// The right to send others away.
#[capnode::interface]
pub trait Host {
    async fn kick(&self, name: &str);
}

/// Everything that a new member is given.
#[derive(Serialize, Deserialize, TS)]
pub struct Welcome {
    pub seat: SeatClient,
    /// For the first in the room.
    pub host: Option<HostClient>,
}

#[derive(Clone, Serialize, Deserialize, TS)]
pub struct Line {
    /// `None` if the room says it itself.
    pub from: Option<String>,
    pub text: String,
    pub picture: Option<Bytes>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, TS)]
pub enum Refusal {
    NameTaken,
    NoName,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::NameTaken => "somebody of that name is here",
            Refusal::NoName => "a name is needed",
        })
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
#[test]
fn the_typescript_is_current() {
    let checked = capnode::describe::Description::of::<ChatClient>().check_typescript("page/chat.ts");
    checked.unwrap_or_else(|stale| panic!("{stale}"));
}
