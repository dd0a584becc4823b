//! The index that a core offers in the place of the recorded programs, with one more function that reports that all is
//! well.

use capnode::{Cap, Dialect, Error, Func, Object, Value};
use capnode_tests::recordings::{
    Side,
    objects::{self, Host},
    programs::{self, PlayState},
    streams,
    table::{self, Cover},
    well::{WELL, well},
};

/// Makes the index of the recorded program.
#[derive(Clone, Copy)]
pub struct IndexFactory {
    index: fn(&PlayState, &str) -> Option<Value>,
    name: &'static str,
    /// `true` if its program made calls of its own accord.
    pub calls: bool,
}

impl IndexFactory {
    pub fn of(dialect: Dialect, name: &str, side: Side) -> Self {
        let offer = |index| Self { index, name: "", calls: side == Side::A };
        let offered = match (dialect, side) {
            (Dialect::CapnWeb, _) if STREAMS.iter().any(|kind| name.contains(kind)) => {
                offer(|_, _| Some(Value::Cap(AllStreamsClient::new(Host::with_values(Vec::new())).into())))
            }
            (Dialect::CapnWeb, _) => offer(|_, _| {
                Some(Value::Cap(AllClient::new(Host::with_values(vec!["one".into(), "two".into()])).into()))
            }),
            (_, Side::A) => offer(programs::nothing),
            (Dialect::Capnode, Side::B) => offer(programs::capnode),
            (_, Side::B) => offer(programs::q),
        };
        let rows = if dialect == Dialect::CapnWeb { Vec::new() } else { table::rows(dialect) };
        let Some(row) = rows.iter().find(|row| row.name == name) else { return offered };
        match row.cover(side) {
            Cover::Played(part) => {
                Self { index: part.index, name: row.name, calls: side == Side::A || part.program.is_some() }
            }
            Cover::Not(_) => Self { name: row.name, ..offered },
        }
    }

    /// The recorded index, with [`WELL`] in it if it is one that has members.
    pub fn index(&self, world: &PlayState) -> Value {
        match (self.index)(world, self.name) {
            Some(Value::Object(mut members)) => {
                members.push((WELL.to_owned(), well()));
                Value::Object(members)
            }
            Some(index) => index,
            None => Value::from([(WELL, well())]),
        }
    }
}

/// Parts of the names of recordings of streams.
const STREAMS: &[&str] = &["-pipe", "-flow", "-readable", "-writable"];

/// The members of the programs with streams.
#[capnode::interface(extends(streams::Streams))]
trait AllStreams {
    #[capnode(name = "is all well")]
    async fn well(&self, a: u32, b: u32) -> u32;
}

impl AllStreams for Host {
    async fn well(&self, a: u32, b: u32) -> u32 {
        a.wrapping_add(b)
    }
}

/// All members that the programs of the Cap'n Web recordings had, and the types with which they are read.
#[capnode::interface(extends(
    objects::Tour,
    objects::Caller,
    objects::Members,
    objects::Functions,
    objects::Promises,
    objects::Page
))]
trait All {
    #[capnode(name = "is all well")]
    async fn well(&self, a: u32, b: u32) -> u32;
    async fn hello(&self, name: String) -> String;
}

impl All for Host {
    async fn well(&self, a: u32, b: u32) -> u32 {
        a.wrapping_add(b)
    }

    async fn hello(&self, name: String) -> String {
        format!("hi {name}")
    }
}

/// A function that this side lends with a call: it answers with the first of its arguments.
pub fn callback() -> Cap {
    type Callback = Func<fn(Value, Value, Value) -> Result<Value, Error>>;
    let answer = |first: Value, _: Value, _: Value| async move { Ok(first) };
    Callback::fallible(answer).into()
}

/// Returns a world for one session.
pub fn world() -> PlayState {
    let (saw, _nobody) = tokio::sync::mpsc::unbounded_channel();
    PlayState::new(saw)
}

/// An object without anything.
pub fn object() -> Cap {
    Object::new().cap()
}
