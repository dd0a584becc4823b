//! The objects that the recorded programs served, in Rust.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use capnode::{Func, Node, NodeBuilder, Value};
use serde::{Deserialize, Serialize};

use super::programs::given;
use crate::timeless;

/// An error that is nothing but its message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Thrown(pub String);

impl fmt::Display for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn thrown<T>(message: &str) -> Result<T, Thrown> {
    Err(Thrown(message.to_owned()))
}

fn failed(error: capnode::Error) -> Thrown {
    Thrown(error.to_string())
}

pub type Callback = Func<fn(Value, Value) -> Result<Value, Thrown>>;

/// The history of the objects of one played recording.
#[derive(Clone, Default)]
pub struct Log {
    dropped: Arc<AtomicUsize>,
    /// The arguments of calls to the program's callbacks.
    pub arguments: Arc<Mutex<Vec<Value>>>,
    /// The answers of the callbacks, in order.
    pub answers: Arc<Mutex<VecDeque<Result<Value, Thrown>>>>,
}

impl Log {
    /// Returns the number of dropped objects.
    pub fn dropped(&self) -> usize {
        self.dropped.load(Ordering::SeqCst)
    }

    /// A callback of the program: it notes its arguments, and gives the recorded answers.
    pub fn callback(&self) -> Callback {
        let (log, noted) = (self.clone(), Noted(self.dropped.clone()));
        Func::fallible(move |first: Value, second: Value| {
            let _with_it: &Noted = &noted;
            log.arguments.lock().unwrap().push(Value::Array(given([first, second])));
            let answer = log.answers.lock().unwrap().pop_front();
            async move { answer.unwrap_or_else(|| thrown("a call that was not recorded")) }
        })
    }
}

/// Notes that it was dropped.
struct Noted(Arc<AtomicUsize>);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

// ---------------------------------------------------------------------------------- the common index

#[capnode::interface]
pub trait Tour {
    async fn transform(&self, text: &str) -> String;
    async fn add(&self, one: i64, other: i64) -> i64;
    async fn nothing(&self);
    async fn args(&self, first: Value, second: Value) -> Vec<Value>;
    async fn echo(&self, value: Value) -> Value;
    async fn kind(&self, value: &Value) -> String;
    async fn later(&self, millis: u64, value: Value) -> Value;
    async fn counter(&self, start: u64) -> CounterClient;
    async fn shared(&self) -> CounterClient;
    async fn make(&self) -> CounterClient;
    async fn next2(&self, counter: CounterClient) -> Result<(u64, u64), Thrown>;
    async fn authenticate(&self, token: &str) -> SessionClient;
    async fn fail(&self) -> Result<SessionClient, Thrown>;
}

#[capnode::interface]
pub trait Counter {
    async fn next(&self, step: Option<u64>) -> u64;
    async fn reset(&self);
    #[capnode(property)]
    async fn value(&self) -> u64;
}

#[capnode::interface]
pub trait Session {
    async fn profile(&self) -> ProfileClient;
    async fn list(&self) -> Vec<u32>;
    #[capnode(property)]
    async fn token(&self) -> String;
}

#[capnode::interface]
pub trait Profile {
    async fn name(&self) -> String;
    #[capnode(property)]
    async fn upper(&self) -> String;
}

type Kept = Func<fn(u32) -> String>;

/// The object behind every index.
#[derive(Default)]
pub struct Host {
    log: Log,
    /// The counter that every caller of [`Tour::shared`] gets.
    shared: OnceLock<CounterClient>,
    /// The values of the events that [`Caller::on`] reports.
    values: Vec<Value>,
    /// `true` if it waits for no callback to end.
    fires: bool,
    kept: Mutex<Option<Kept>>,
    name: &'static str,
}

impl Host {
    pub fn with_values(values: Vec<Value>) -> Self {
        Self { values, ..Self::default() }
    }

    pub(super) fn new(log: &Log) -> Self {
        Self { log: log.clone(), ..Self::default() }
    }
}

struct Count {
    value: AtomicU64,
    _noted: Noted,
}

impl Count {
    fn client(log: &Log, start: u64) -> CounterClient {
        CounterClient::new(Count { value: start.into(), _noted: Noted(log.dropped.clone()) })
    }
}

impl Counter for Count {
    async fn next(&self, step: Option<u64>) -> u64 {
        let step = step.unwrap_or(1);
        self.value.fetch_add(step, Ordering::SeqCst).wrapping_add(step)
    }

    async fn reset(&self) {
        self.value.store(0, Ordering::SeqCst);
    }

    async fn value(&self) -> u64 {
        self.value.load(Ordering::SeqCst)
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
        self.name().await.to_uppercase()
    }
}

impl Tour for Host {
    async fn transform(&self, text: &str) -> String {
        let mut out = String::new();
        for letter in text.chars() {
            if !"aeiou".contains(letter) {
                out.extend(letter.to_uppercase());
            } else if !out.ends_with("OO") {
                out.push_str("OO");
            }
        }
        out
    }

    async fn add(&self, one: i64, other: i64) -> i64 {
        one.wrapping_add(other)
    }

    async fn nothing(&self) {}

    async fn args(&self, first: Value, second: Value) -> Vec<Value> {
        given([first, second])
    }

    async fn echo(&self, value: Value) -> Value {
        value
    }

    async fn kind(&self, value: &Value) -> String {
        let kind = match value {
            Value::Undefined => "Undefined",
            Value::Null => "Null",
            Value::Bool(_) => "Boolean",
            Value::Number(_) => "Number",
            Value::BigInt(_) => "BigInt",
            Value::String(_) => "String",
            Value::Bytes(bytes) => bytes.kind().name(),
            Value::Date(_) => "Date",
            Value::Url(_) => "URL",
            Value::Headers(_) => "Headers",
            Value::Error(_) => "Error",
            Value::Array(_) => "Array",
            Value::Object(_) => "Object",
            _ => "Function",
        };
        format!("[object {kind}]")
    }

    async fn later(&self, millis: u64, value: Value) -> Value {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        value
    }

    async fn counter(&self, start: u64) -> CounterClient {
        Count::client(&self.log, start)
    }

    async fn shared(&self) -> CounterClient {
        self.shared.get_or_init(|| Count::client(&self.log, 1)).clone()
    }

    async fn make(&self) -> CounterClient {
        Count::client(&self.log, 3)
    }

    async fn next2(&self, counter: CounterClient) -> Result<(u64, u64), Thrown> {
        Ok((counter.next(None).await.map_err(failed)?, counter.next(None).await.map_err(failed)?))
    }

    async fn authenticate(&self, token: &str) -> SessionClient {
        SessionClient::new(Token(token.to_owned()))
    }

    async fn fail(&self) -> Result<SessionClient, Thrown> {
        thrown("no session")
    }
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Named {
    id: u64,
    name: String,
    tags: [String; 2],
}

#[capnode::interface]
pub trait Lists {
    async fn ids(&self) -> [u64; 3];
    async fn get(&self, id: u64) -> Named;
    async fn dbl(&self, number: u64) -> u64;
    async fn none(&self) -> Option<u64>;
    async fn undef(&self);
    async fn one(&self) -> u64;
    async fn empty(&self) -> [u64; 0];
}

struct Ids;

impl Lists for Ids {
    async fn ids(&self) -> [u64; 3] {
        [1, 2, 3]
    }

    async fn get(&self, id: u64) -> Named {
        Named { id, name: format!("n{id}"), tags: [format!("t{id}"), format!("u{id}")] }
    }

    async fn dbl(&self, number: u64) -> u64 {
        2 * number
    }

    async fn none(&self) -> Option<u64> {
        None
    }

    async fn undef(&self) {}

    async fn one(&self) -> u64 {
        5
    }

    async fn empty(&self) -> [u64; 0] {
        []
    }
}

pub fn lists(_: &Log) -> NodeBuilder {
    node(ListsClient::new(Ids))
}

/// The clock of these tests runs.
pub(super) fn node(index: impl serde::Serialize) -> NodeBuilder {
    Node::builder().index(index).limits(timeless())
}

pub fn tour(log: &Log) -> NodeBuilder {
    node(TourClient::new(Host::new(log)))
}

/// The recorded servers whose limits were set as low.
pub fn tour_of_depth_10(log: &Log) -> NodeBuilder {
    let mut limits = timeless();
    limits.depth = 10;
    tour(log).limits(limits)
}

pub fn tour_of_20_digits(log: &Log) -> NodeBuilder {
    let mut limits = timeless();
    limits.bigint_chars = 20;
    tour(log).limits(limits)
}

pub fn tour_of_256_bytes(log: &Log) -> NodeBuilder {
    let mut limits = timeless();
    limits.frame_bytes = 256;
    tour(log).limits(limits)
}

// ---------------------------------------------------------------------------------- callbacks

#[capnode::interface]
pub trait Caller {
    async fn on(&self, event: Value, callback: Func<fn(Value, Value) -> Value>) -> Result<String, Thrown>;
    async fn run(&self, callback: Func<fn() -> Value>) -> String;
    async fn keep(&self, callback: Func<fn(u32) -> String>);
    async fn fire(&self, value: u32) -> Result<String, Thrown>;
    async fn drop(&self);
    async fn two(&self, one: Func<fn(u32) -> u32>, other: Func<fn(u32) -> u32>)
    -> Result<(u32, u32), Thrown>;
    async fn pair(&self) -> (CounterClient, CounterClient);
}

impl Caller for Host {
    async fn on(&self, event: Value, callback: Func<fn(Value, Value) -> Value>) -> Result<String, Thrown> {
        for value in &self.values {
            let call = callback.call(event.clone(), value.clone());
            let called = if self.fires { call.send() } else { call.await.map(drop) };
            called.map_err(failed)?;
        }
        Ok(if self.fires { "fired" } else { "sent" }.to_owned())
    }

    async fn run(&self, callback: Func<fn() -> Value>) -> String {
        match callback.call().await {
            Ok(_) => "it went well".to_owned(),
            Err(error) => format!("caught {}: {}", error.name(), error.message()),
        }
    }

    async fn keep(&self, callback: Kept) {
        *self.kept.lock().unwrap() = Some(callback);
    }

    async fn fire(&self, value: u32) -> Result<String, Thrown> {
        let kept = self.kept.lock().unwrap().clone();
        let Some(kept) = kept else { return thrown("Attempted to use RPC stub after it has been disposed.") };
        let said = kept.call(value).await.map_err(failed)?;
        Ok(format!("cb said {said}"))
    }

    async fn drop(&self) {
        let kept = self.kept.lock().unwrap().take();
        drop(kept);
    }

    async fn two(
        &self,
        one: Func<fn(u32) -> u32>,
        other: Func<fn(u32) -> u32>,
    ) -> Result<(u32, u32), Thrown> {
        Ok((one.call(1).await.map_err(failed)?, other.call(2).await.map_err(failed)?))
    }

    async fn pair(&self) -> (CounterClient, CounterClient) {
        let counter = Count::client(&self.log, 0);
        (counter.clone(), counter)
    }
}

fn events(log: &Log, fires: bool, values: Vec<Value>) -> NodeBuilder {
    node(CallerClient::new(Host { values, fires, ..Host::new(log) }))
}

pub fn callbacks(log: &Log) -> NodeBuilder {
    events(log, false, Vec::new())
}

pub fn three_events(log: &Log) -> NodeBuilder {
    let three = Value::from([("three", Value::Array(vec![Value::from(3)]))]);
    events(log, false, vec![Value::from("one"), Value::from(2), three])
}

pub fn two_events(log: &Log) -> NodeBuilder {
    events(log, false, vec![Value::from("one"), Value::from("two")])
}

pub fn events_not_awaited(log: &Log) -> NodeBuilder {
    events(log, true, (0..3).map(Value::from).collect())
}

// ---------------------------------------------------------------------------------- members and values

#[capnode::interface]
pub trait Members {
    #[capnode(property)]
    async fn prop(&self) -> String;
    #[capnode(property)]
    async fn nested(&self) -> Nested;
}

#[derive(Serialize, Deserialize)]
pub struct Nested {
    pub a: Inner,
}

#[derive(Serialize, Deserialize)]
pub struct Inner {
    pub b: (u32, Deep),
}

#[derive(Serialize, Deserialize)]
pub struct Deep {
    pub c: String,
}

impl Members for Host {
    async fn prop(&self) -> String {
        "a property".to_owned()
    }

    async fn nested(&self) -> Nested {
        Nested { a: Inner { b: (10, Deep { c: "deep".to_owned() }) } }
    }
}

pub fn members(log: &Log) -> NodeBuilder {
    node(MembersClient::new(Host::new(log)))
}

/// A plain value with a function in it.
pub fn plain_object(_: &Log) -> NodeBuilder {
    #[derive(Serialize)]
    struct Plain {
        hello: Func<fn(String) -> String>,
        k: u32,
        list: [u32; 2],
    }

    let hello = Func::new(|name: String| async move { format!("hi {name}") });
    node(Plain { hello, k: 5, list: [1, 2] })
}

#[capnode::interface]
pub trait Functions {
    #[capnode(name = "fn")]
    async fn function(&self) -> Func<fn(Value) -> String>;
    async fn obj(&self) -> Obj;
}

#[derive(Serialize, Deserialize)]
pub struct Obj {
    pub label: String,
    pub hello: Func<fn(String) -> String>,
    pub inner: ObjInner,
}

#[derive(Serialize, Deserialize)]
pub struct ObjInner {
    pub c: CounterClient,
}

impl Functions for Host {
    async fn function(&self) -> Func<fn(Value) -> String> {
        Func::new(|argument: Value| async move {
            match argument {
                Value::String(text) => format!("fn:{text}"),
                Value::Number(number) => format!("fn:{number}"),
                other => format!("fn:{other:?}"),
            }
        })
    }

    async fn obj(&self) -> Obj {
        let hello = Func::new(|name: String| async move { format!("hello {name}") });
        Obj { label: "o".to_owned(), hello, inner: ObjInner { c: Count::client(&self.log, 10) } }
    }
}

pub fn functions(log: &Log) -> NodeBuilder {
    node(FunctionsClient::new(Host::new(log)))
}

#[capnode::interface]
pub trait Promises {
    async fn native(&self) -> Value;
    async fn bad(&self) -> Result<(), Thrown>;
    async fn wait(&self, value: Value) -> Vec<Value>;
}

impl Promises for Host {
    async fn native(&self) -> Value {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Value::from([("now", Value::from(1)), ("p", Value::from("eventually"))])
    }

    async fn bad(&self) -> Result<(), Thrown> {
        tokio::time::sleep(Duration::from_millis(5)).await;
        thrown("late failure")
    }

    async fn wait(&self, value: Value) -> Vec<Value> {
        vec![Value::from("got"), value]
    }
}

pub fn promises(log: &Log) -> NodeBuilder {
    node(PromisesClient::new(Host::new(log)))
}

pub fn errors(_: &Log) -> NodeBuilder {
    let broken = ["err", "type", "range", "custom", "cause", "agg", "bad"].map(|name| (name, "it broke"));
    let others = [("empty", ""), ("fail", "rewritten: intentional failure")];
    let fails =
        |message| Func::<fn() -> Result<(), Thrown>>::fallible(move || async move { thrown(message) });
    let members = broken.into_iter().chain(others).map(|(name, message)| (name, fails(message)));
    node(members.collect::<BTreeMap<_, _>>())
}

// ---------------------------------------------------------------------------------- clients that serve

#[capnode::interface]
pub trait Page {
    async fn who(&self) -> String;
    async fn sum(&self, a: i64, b: i64, c: i64) -> i64;
}

impl Page for Host {
    async fn who(&self) -> String {
        self.name.to_owned()
    }

    async fn sum(&self, a: i64, b: i64, c: i64) -> i64 {
        a.wrapping_add(b).wrapping_add(c)
    }
}

pub fn page(log: &Log) -> NodeBuilder {
    node(PageClient::new(Host { name: "clientp", ..Host::new(log) }))
}

pub fn second_page(log: &Log) -> NodeBuilder {
    node(PageClient::new(Host { name: "clienth", ..Host::new(log) }))
}

pub fn nothing(_: &Log) -> NodeBuilder {
    Node::builder().limits(timeless())
}
