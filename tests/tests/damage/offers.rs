//! The index that a core offers in the place of the recorded programs, with one more function that reports that all is
//! well.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use capnode::{Cap, Dialect, Error, Func, Object, Value};
use capnode_tests::recordings::{
    Side,
    programs::{self, World},
    table::{self, Cover},
};
use serde::{Deserialize, Serialize};

/// The name of the function that adds two numbers.
pub const WELL: &str = "is all well";

/// Makes the index of the recorded program.
#[derive(Clone, Copy)]
pub struct Offer {
    index: fn(&World, &str) -> Option<Value>,
    name: &'static str,
    /// `true` if its program made calls of its own accord.
    pub calls: bool,
}

impl Offer {
    pub fn of(dialect: Dialect, name: &str, side: Side) -> Self {
        let offer = |index| Self { index, name: "", calls: side == Side::A };
        let offered = match (dialect, side) {
            (Dialect::CapnWeb, _) => {
                offer(|_, _| Some(Value::Cap(AllClient::new(Everything::default()).into())))
            }
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
    pub fn index(&self, world: &World) -> Value {
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

fn well() -> Value {
    Value::Cap(Func::<fn(u32, u32) -> u32>::new(|a: u32, b: u32| async move { a.wrapping_add(b) }).into())
}

/// An error that is nothing but its message.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Thrown(String);

impl std::fmt::Display for Thrown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

type Outcome = Result<Value, Error>;

/// All members that the programs of the Cap'n Web recordings had, and the types with which they are read.
#[capnode::interface]
trait All {
    #[capnode(name = "is all well")]
    async fn well(&self, a: u32, b: u32) -> u32;
    async fn transform(&self, text: &str) -> String;
    async fn add(&self, one: f64, other: f64) -> f64;
    async fn nothing(&self);
    async fn args(&self, first: Value, second: Value) -> Vec<Value>;
    async fn echo(&self, value: Value) -> Value;
    async fn kind(&self, value: &Value) -> String;
    async fn later(&self, millis: u64, value: Value) -> Value;
    async fn counter(&self, start: u64) -> CounterClient;
    async fn shared(&self) -> CounterClient;
    async fn make(&self) -> CounterClient;
    async fn next2(&self, counter: CounterClient) -> Result<(u64, u64), Error>;
    async fn authenticate(&self, token: &str) -> SessionClient;
    async fn fail(&self) -> Result<SessionClient, Thrown>;
    async fn on(&self, event: Value, callback: Func<fn(Value, Value) -> Value>) -> Result<String, Error>;
    async fn run(&self, callback: Func<fn() -> Value>) -> String;
    async fn keep(&self, callback: Func<fn(u32) -> String>);
    async fn fire(&self, value: u32) -> Result<String, Error>;
    async fn drop(&self);
    async fn two(&self, one: Func<fn(u32) -> u32>, other: Func<fn(u32) -> u32>) -> Result<(u32, u32), Error>;
    async fn pair(&self) -> (CounterClient, CounterClient);
    async fn hello(&self, name: String) -> String;
    #[capnode(property)]
    async fn prop(&self) -> String;
    #[capnode(property)]
    async fn nested(&self) -> Value;
    #[capnode(name = "fn")]
    async fn function(&self) -> Func<fn(Value) -> String>;
    async fn obj(&self) -> Functions;
    async fn native(&self) -> Value;
    async fn wait(&self, value: Value) -> Vec<Value>;
    async fn who(&self) -> String;
    async fn sum(&self, a: f64, b: f64, c: f64) -> f64;
}

#[capnode::interface]
trait Counter {
    async fn next(&self, step: Option<u64>) -> u64;
    async fn reset(&self);
    #[capnode(property)]
    async fn value(&self) -> u64;
}

#[capnode::interface]
trait Session {
    async fn profile(&self) -> ProfileClient;
    async fn list(&self) -> Vec<u32>;
    #[capnode(property)]
    async fn token(&self) -> String;
}

#[capnode::interface]
trait Profile {
    async fn name(&self) -> String;
    #[capnode(property)]
    async fn upper(&self) -> String;
}

#[derive(Serialize, Deserialize)]
struct Functions {
    label: String,
    hello: Func<fn(String) -> String>,
    counter: CounterClient,
}

#[derive(Default)]
struct Count(AtomicU64);

impl Count {
    fn client(start: u64) -> CounterClient {
        CounterClient::new(Count(start.into()))
    }
}

impl Counter for Count {
    async fn next(&self, step: Option<u64>) -> u64 {
        let step = step.unwrap_or(1);
        self.0.fetch_add(step, Ordering::SeqCst).wrapping_add(step)
    }

    async fn reset(&self) {
        self.0.store(0, Ordering::SeqCst);
    }

    async fn value(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

struct Token(String);

impl Session for Token {
    async fn profile(&self) -> ProfileClient {
        ProfileClient::new(Token(self.0.clone()))
    }

    async fn list(&self) -> Vec<u32> {
        vec![1, 2, 3]
    }

    async fn token(&self) -> String {
        self.0.clone()
    }
}

impl Profile for Token {
    async fn name(&self) -> String {
        format!("Ada/{}", self.0)
    }

    async fn upper(&self) -> String {
        self.0.to_uppercase()
    }
}

type Kept = Func<fn(u32) -> String>;

#[derive(Default)]
struct Everything {
    kept: Mutex<Option<Kept>>,
}

impl All for Everything {
    async fn well(&self, a: u32, b: u32) -> u32 {
        a.wrapping_add(b)
    }

    async fn transform(&self, text: &str) -> String {
        text.to_uppercase()
    }

    async fn add(&self, one: f64, other: f64) -> f64 {
        one + other
    }

    async fn nothing(&self) {}

    async fn args(&self, first: Value, second: Value) -> Vec<Value> {
        vec![first, second]
    }

    async fn echo(&self, value: Value) -> Value {
        value
    }

    async fn kind(&self, value: &Value) -> String {
        format!("{value:?}")
    }

    async fn later(&self, millis: u64, value: Value) -> Value {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        value
    }

    async fn counter(&self, start: u64) -> CounterClient {
        Count::client(start)
    }

    async fn shared(&self) -> CounterClient {
        Count::client(1)
    }

    async fn make(&self) -> CounterClient {
        Count::client(3)
    }

    async fn next2(&self, counter: CounterClient) -> Result<(u64, u64), Error> {
        Ok((counter.next(None).await?, counter.next(None).await?))
    }

    async fn authenticate(&self, token: &str) -> SessionClient {
        SessionClient::new(Token(token.to_owned()))
    }

    async fn fail(&self) -> Result<SessionClient, Thrown> {
        Err(Thrown("no session".to_owned()))
    }

    async fn on(&self, event: Value, callback: Func<fn(Value, Value) -> Value>) -> Result<String, Error> {
        for value in ["one", "two"] {
            callback.call(event.clone(), value.into()).await?;
        }
        Ok("sent".to_owned())
    }

    async fn run(&self, callback: Func<fn() -> Value>) -> String {
        match callback.call().await {
            Ok(_) => "it went well".to_owned(),
            Err(error) => format!("caught {}: {}", error.name(), error.message()),
        }
    }

    async fn keep(&self, callback: Func<fn(u32) -> String>) {
        *self.kept.lock().unwrap() = Some(callback);
    }

    async fn fire(&self, value: u32) -> Result<String, Error> {
        let kept = self.kept.lock().unwrap().clone();
        let kept = kept.ok_or_else(|| Error::rejected("nothing is kept"))?;
        kept.call(value).await
    }

    async fn drop(&self) {
        let kept = self.kept.lock().unwrap().take();
        drop(kept);
    }

    async fn two(&self, one: Func<fn(u32) -> u32>, other: Func<fn(u32) -> u32>) -> Result<(u32, u32), Error> {
        Ok((one.call(1).await?, other.call(2).await?))
    }

    async fn pair(&self) -> (CounterClient, CounterClient) {
        let counter = Count::client(0);
        (counter.clone(), counter)
    }

    async fn hello(&self, name: String) -> String {
        format!("hi {name}")
    }

    async fn prop(&self) -> String {
        "a property".to_owned()
    }

    async fn nested(&self) -> Value {
        Value::from([("a", Value::from([("b", Value::Array(vec![10.into(), "deep".into()]))]))])
    }

    async fn function(&self) -> Func<fn(Value) -> String> {
        Func::new(|argument: Value| async move { format!("{argument:?}") })
    }

    async fn obj(&self) -> Functions {
        let hello = Func::new(|name: String| async move { format!("hello {name}") });
        Functions { label: "o".to_owned(), hello, counter: Count::client(10) }
    }

    async fn native(&self) -> Value {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Value::from([("now", Value::from(1))])
    }

    async fn wait(&self, value: Value) -> Vec<Value> {
        vec![Value::from("got"), value]
    }

    async fn who(&self) -> String {
        "everything".to_owned()
    }

    async fn sum(&self, a: f64, b: f64, c: f64) -> f64 {
        a + b + c
    }
}

/// A function that this side lends with a call: it answers with the first of its arguments.
pub fn callback() -> Cap {
    type Callback = Func<fn(Value, Value, Value) -> Result<Value, Error>>;
    let answer = |first: Value, _: Value, _: Value| async move { Outcome::Ok(first) };
    Callback::fallible(answer).into()
}

/// Returns a world for one session.
pub fn world() -> World {
    let (saw, _nobody) = tokio::sync::mpsc::unbounded_channel();
    World::new(saw)
}

/// An object without anything.
pub fn object() -> Cap {
    Object::new().cap()
}
