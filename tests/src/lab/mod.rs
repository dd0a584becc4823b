//! A laboratory of interfaces: members of every kind that an interface can have, and a table of them that generated
//! programs read. A new shape is a method here and a line in [`MEMBERS`].

mod rng;

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use capnode::{Bytes, Cap, Error, Func, Object, Reader, Resolver, Value, Writer};
use serde::{Deserialize, Serialize};

pub use self::rng::Rng;

/// An error with a type of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabError {
    /// The number that the method was given.
    pub code: u32,
}

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed with {}", self.code)
    }
}

/// A function of a number.
pub type NumberFunc = Func<fn(u32) -> u32>;

/// References inside of a record.
#[derive(Clone, Serialize, Deserialize)]
pub struct Parts {
    /// Plain data.
    pub name: String,
    /// An object.
    pub lab: LabClient,
    /// A function.
    pub function: Func<fn(u32) -> u32>,
    /// Objects in a list.
    pub list: Vec<LabClient>,
    /// Functions by name.
    pub functions: BTreeMap<String, NumberFunc>,
}

/// The root of the diamond.
#[capnode::interface]
pub trait Root {
    /// A method that is inherited twice.
    async fn root(&self) -> u32;
    /// A property that is inherited twice.
    #[capnode(property)]
    async fn root_name(&self) -> String;
}

/// The left side of the diamond.
#[capnode::interface(extends(Root))]
pub trait Left {
    /// Returns a number.
    async fn left(&self) -> u32;
}

/// The right side of the diamond.
#[capnode::interface(extends(Root))]
pub trait Right {
    /// Returns a number.
    async fn right(&self) -> u32;
}

/// A generic interface.
#[capnode::interface]
pub trait Store<T> {
    /// Keeps a value.
    async fn store(&self, value: T);
    /// Returns the value that is kept.
    async fn load(&self) -> Option<T>;
}

/// The laboratory.
#[capnode::interface(extends(Left, Right, Store<String>))]
pub trait Lab {
    /// Returns the sum.
    async fn add(&self, a: u32, b: u32) -> u32;
    /// Returns its argument.
    async fn echo(&self, value: Value) -> Value;
    /// Returns the text, which it borrows, twice.
    async fn text(&self, text: &str) -> String;
    /// Returns its argument.
    async fn bytes(&self, bytes: Bytes) -> Bytes;
    /// Fails with an error of a type of its own.
    async fn fail(&self, code: u32) -> Result<u32, LabError>;
    /// Returns a new object.
    async fn child(&self) -> LabClient;
    /// Returns a reference to itself.
    async fn me(&self) -> LabClient;
    /// Returns a function.
    async fn function(&self) -> Func<fn(u32) -> u32>;
    /// Returns a record with references in it.
    async fn parts(&self) -> Parts;
    /// Returns a list of new objects.
    async fn many(&self) -> Vec<LabClient>;
    /// Returns an object that is put together at run time.
    async fn object(&self) -> Cap;
    /// Returns an object with a generic interface.
    async fn numbers(&self) -> StoreClient<u32>;
    /// Calls the function with the number.
    async fn call_back(&self, number: u32, function: Func<fn(u32) -> u32>) -> u32;
    /// Calls the function with a function of its own.
    async fn call_back_with(&self, function: Func<fn(NumberFunc) -> u32>) -> u32;
    /// Returns a new object that keeps `inner`.
    async fn wrap(&self, inner: LabClient) -> LabClient;
    /// Returns the number of objects inside this one.
    async fn depth(&self) -> u32;
    /// Keeps a reference.
    async fn keep(&self, cap: Cap);
    /// Returns the kept reference.
    async fn kept(&self) -> Vec<Cap>;
    /// Drops the kept reference.
    async fn forget(&self);
    /// Has another object add one to the number.
    async fn ask(&self, other: LabClient, number: u32) -> Result<u32, Error>;
    /// Runs to its end, also if no caller waits for it.
    #[capnode(no_cancel)]
    async fn insist(&self) -> u32;
    /// Takes a few turns.
    async fn slow(&self, number: u32) -> u32;
    /// Does not end.
    async fn never(&self);
    /// Runs where it may block.
    #[capnode(blocking)]
    async fn block(&self, number: u32) -> u32;
    /// Panics at once.
    async fn panics(&self) -> u32;
    /// Panics when it is polled again.
    async fn panics_later(&self) -> u32;
    /// Says how far it is.
    async fn progress(&self, steps: u32) -> u32;
    /// Returns a reference that stands for nothing until `resolve` is called.
    async fn later(&self) -> LabClient;
    /// Resolves what `later` has returned.
    async fn resolve(&self);
    /// Returns so many numbers, from 0.
    async fn ids(&self, count: u32) -> Vec<u32>;
    /// Returns so many numbers, from 0, as a stream.
    async fn count(&self, count: u32) -> Reader<u32>;
    /// Returns the sum of a stream.
    async fn total(&self, numbers: Reader<u32>) -> Result<u32, Error>;
    /// Returns the first chunks of a stream, and reads no more.
    async fn take(&self, most: u32, numbers: Reader<u32>) -> Result<Vec<u32>, Error>;
    /// Returns the sum of streams in a stream.
    async fn flatten(&self, streams: Reader<Reader<u32>>) -> Result<u32, Error>;
    /// Calls the functions in a stream, each with the result of the one before.
    async fn call_each(&self, functions: Reader<NumberFunc>) -> Result<u32, Error>;
    /// Returns a write end, whose stream `drain` reads.
    async fn sink(&self) -> Writer<u32>;
    /// Returns the sum of the last `sink`.
    async fn drain(&self) -> Result<u32, Error>;
    /// Writes the numbers up to `count`, and closes.
    async fn fill(&self, count: u32, writer: Writer<u32>) -> Result<(), Error>;
    /// Returns a reference that does not work.
    async fn broken(&self) -> Cap;
    /// Returns an object that panics when it is dropped.
    async fn fragile(&self) -> Cap;
    /// A number.
    #[capnode(property)]
    async fn number(&self) -> u32;
    /// A text.
    #[capnode(property)]
    async fn title(&self) -> String;
    /// A new object.
    #[capnode(property)]
    async fn leaf(&self) -> LabClient;
    /// This object.
    #[capnode(property)]
    async fn myself(&self) -> LabClient;
    /// A function.
    #[capnode(property)]
    async fn doubling(&self) -> Func<fn(u32) -> u32>;
    /// A record with references in it.
    #[capnode(property)]
    async fn record(&self) -> Parts;
    /// An object that is put together at run time.
    #[capnode(property)]
    async fn bag(&self) -> Cap;
    /// Fails.
    #[capnode(property)]
    async fn failing(&self) -> Result<u32, LabError>;
    /// Panics.
    #[capnode(property)]
    async fn panicking(&self) -> u32;
    /// Is never there.
    #[capnode(property)]
    async fn absent(&self) -> u32;
}

/// The type of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    /// A small number.
    Number,
    /// A text.
    Text,
    /// Bytes.
    Bytes,
    /// Any value.
    Any,
    /// A function of a number that returns a number.
    Function,
    /// A function of such a function.
    FunctionOfFunction,
    /// An object of the laboratory.
    Lab,
    /// Any reference.
    Cap,
    /// An end of a stream.
    Stream,
}

/// The kind of result of a member, where results can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// A value that depends on the arguments alone.
    Value,
    /// References, alone or in a value.
    References,
    /// An error.
    Failure,
    /// Nothing before it is given up.
    Never,
}

/// A member of the laboratory.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Its name in messages.
    pub name: &'static str,
    /// `true` if it is a property.
    pub property: bool,
    /// The kind of its result.
    pub gives: Gives,
    /// The types of its arguments.
    pub args: &'static [Arg],
}

const fn method(name: &'static str, gives: Gives, args: &'static [Arg]) -> Member {
    Member { name, property: false, gives, args }
}

const fn property(name: &'static str, gives: Gives) -> Member {
    Member { name, property: true, gives, args: &[] }
}

/// Every member that the laboratory has. A test compares it with the interface.
pub const MEMBERS: &[Member] = &[
    method("root", Gives::Value, &[]),
    property("rootName", Gives::Value),
    method("left", Gives::Value, &[]),
    method("right", Gives::Value, &[]),
    method("store", Gives::Value, &[Arg::Text]),
    method("load", Gives::Value, &[]),
    method("add", Gives::Value, &[Arg::Number, Arg::Number]),
    method("echo", Gives::Value, &[Arg::Any]),
    method("text", Gives::Value, &[Arg::Text]),
    method("bytes", Gives::Value, &[Arg::Bytes]),
    method("fail", Gives::Failure, &[Arg::Number]),
    method("child", Gives::References, &[]),
    method("me", Gives::References, &[]),
    method("function", Gives::References, &[]),
    method("parts", Gives::References, &[]),
    method("many", Gives::References, &[]),
    method("object", Gives::References, &[]),
    method("numbers", Gives::References, &[]),
    method("callBack", Gives::Value, &[Arg::Number, Arg::Function]),
    method("callBackWith", Gives::Value, &[Arg::FunctionOfFunction]),
    method("wrap", Gives::References, &[Arg::Lab]),
    method("depth", Gives::Value, &[]),
    method("keep", Gives::Value, &[Arg::Cap]),
    method("kept", Gives::References, &[]),
    method("forget", Gives::Value, &[]),
    method("ask", Gives::Value, &[Arg::Lab, Arg::Number]),
    method("insist", Gives::Value, &[]),
    method("slow", Gives::Value, &[Arg::Number]),
    method("never", Gives::Never, &[]),
    method("block", Gives::Value, &[Arg::Number]),
    method("panics", Gives::Failure, &[]),
    method("panicsLater", Gives::Failure, &[]),
    method("progress", Gives::Value, &[Arg::Number]),
    method("later", Gives::References, &[]),
    method("resolve", Gives::Value, &[]),
    method("ids", Gives::Value, &[Arg::Number]),
    method("count", Gives::References, &[Arg::Number]),
    method("total", Gives::Value, &[Arg::Stream]),
    method("take", Gives::Value, &[Arg::Number, Arg::Stream]),
    method("flatten", Gives::Value, &[Arg::Stream]),
    method("callEach", Gives::Value, &[Arg::Stream]),
    method("sink", Gives::References, &[]),
    method("drain", Gives::Value, &[]),
    method("fill", Gives::Value, &[Arg::Number, Arg::Stream]),
    method("broken", Gives::References, &[]),
    method("fragile", Gives::References, &[]),
    property("number", Gives::Value),
    property("title", Gives::Value),
    property("leaf", Gives::References),
    property("myself", Gives::References),
    property("doubling", Gives::References),
    property("record", Gives::References),
    property("bag", Gives::References),
    property("failing", Gives::Failure),
    property("panicking", Gives::Failure),
    property("absent", Gives::Never),
];

/// Names of parts of results, and of absent members.
pub const INSIDE: &[&str] = &[
    "name",
    "lab",
    "function",
    "list",
    "functions",
    "one",
    "0",
    "mood",
    "missing",
    "length",
    "constructor",
    "then",
    "toString",
    "__proto__",
    "",
    "write",
    "writes",
    "close",
    "abort",
    "next",
    "return",
];

/// Counts live objects and functions.
#[derive(Clone, Default)]
pub struct Alive {
    count: Arc<()>,
    /// The objects, also those that only they themselves can reach.
    objects: Arc<Mutex<Vec<Weak<Laboratory>>>>,
}

impl Alive {
    /// The number of holders of a share in this.
    pub fn count(&self) -> usize {
        Arc::strong_count(&self.count) - 1
    }

    /// Has all objects drop what they were told to keep. An object that keeps itself would stay for ever, as in any program.
    pub fn forget(&self) {
        let objects = std::mem::take(&mut *lock(&self.objects));
        for object in objects.iter().filter_map(Weak::upgrade) {
            let kept = std::mem::take(&mut *lock(&object.kept));
            let promised = std::mem::take(&mut *lock(&object.promised));
            let sinks = std::mem::take(&mut *lock(&object.sinks));
            drop((kept, promised, sinks));
        }
        lock(&self.objects).extend(objects.into_iter().filter(|object| object.strong_count() > 0));
    }

    fn add(&self, object: &Weak<Laboratory>) {
        let mut objects = lock(&self.objects);
        // Those that are gone are taken out from time to time.
        if objects.len().is_power_of_two() {
            objects.retain(|object| object.strong_count() > 0);
        }
        objects.push(object.clone());
    }
}

/// A stream whose source is counted by `alive`.
pub fn stream_of<T, I>(alive: &Alive, chunks: I) -> Reader<T>
where
    T: capnode::Wire,
    I: IntoIterator<Item = T, IntoIter: Send + 'static>,
{
    let one = alive.clone();
    Reader::from_iter(chunks.into_iter().inspect(move |_| {
        let _one = &one;
    }))
}

/// An object of the laboratory.
pub struct Laboratory {
    me: Weak<Laboratory>,
    inner: Option<LabClient>,
    kept: Mutex<Vec<Cap>>,
    text: Mutex<Option<String>>,
    promised: Mutex<Vec<Resolver<LabClient>>>,
    sinks: Mutex<Vec<Reader<u32>>>,
    alive: Alive,
}

/// The most references that an object keeps.
const KEPT: usize = 8;

/// Keeps one more, and returns what there is no room for any more.
fn keep<T>(all: &Mutex<Vec<T>>, one: T) -> Option<T> {
    let mut all = lock(all);
    all.push(one);
    (all.len() > KEPT).then(|| all.remove(0))
}

async fn sum(mut numbers: Reader<u32>) -> Result<u32, Error> {
    let mut sum = 0_u32;
    while let Some(number) = numbers.next().await {
        sum = sum.wrapping_add(number?);
    }
    Ok(sum)
}

/// The most chunks of a stream of this program.
const CHUNKS: u32 = 1_000;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Laboratory {
    /// A new object, counted by `alive`.
    pub fn client(alive: &Alive) -> LabClient {
        Self::wrapping(alive, None)
    }

    fn wrapping(alive: &Alive, inner: Option<LabClient>) -> LabClient {
        let object = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            inner,
            kept: Mutex::default(),
            text: Mutex::default(),
            promised: Mutex::default(),
            sinks: Mutex::default(),
            alive: alive.clone(),
        });
        alive.add(&object.me);
        LabClient::from_arc(object)
    }

    fn new_one(&self) -> LabClient {
        Self::client(&self.alive)
    }

    fn itself(&self) -> LabClient {
        // The caller of a method holds the object.
        self.me.upgrade().map_or_else(|| self.new_one(), LabClient::from_arc)
    }

    fn new_function(&self) -> Func<fn(u32) -> u32> {
        let one = self.alive.clone();
        Func::new(move |number: u32| {
            let _one = &one;
            async move { number.wrapping_mul(2) }
        })
    }

    fn new_parts(&self) -> Parts {
        Parts {
            name: "parts".to_owned(),
            lab: self.new_one(),
            function: self.new_function(),
            list: vec![self.new_one(), self.itself()],
            functions: BTreeMap::from([("one".to_owned(), self.new_function())]),
        }
    }

    fn new_object(&self) -> Cap {
        Object::new()
            .with("name", "bag")
            .with("lab", self.new_one())
            .with("function", self.new_function())
            .with_writable("mood", "fine")
            .open()
            .cap()
    }
}

/// Is pending once.
#[derive(Default)]
struct Turn(bool);

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The beginning of the message of every intended panic.
pub const MEANT: &str = "the laboratory panics";

/// Panics when it is dropped.
struct Fragile(#[allow(dead_code)] Alive);

impl Drop for Fragile {
    fn drop(&mut self) {
        panic!("{MEANT} in a drop");
    }
}

impl Store<u32> for Mutex<Option<u32>> {
    async fn store(&self, value: u32) {
        *lock(self) = Some(value);
    }
    async fn load(&self) -> Option<u32> {
        *lock(self)
    }
}

impl Root for Laboratory {
    async fn root(&self) -> u32 {
        1
    }
    async fn root_name(&self) -> String {
        "root".to_owned()
    }
}

impl Left for Laboratory {
    async fn left(&self) -> u32 {
        2
    }
}

impl Right for Laboratory {
    async fn right(&self) -> u32 {
        3
    }
}

impl Store<String> for Laboratory {
    async fn store(&self, value: String) {
        *lock(&self.text) = Some(value);
    }
    async fn load(&self) -> Option<String> {
        lock(&self.text).clone()
    }
}

impl Lab for Laboratory {
    async fn add(&self, a: u32, b: u32) -> u32 {
        a.wrapping_add(b)
    }
    async fn echo(&self, value: Value) -> Value {
        value
    }
    async fn text(&self, text: &str) -> String {
        format!("{text}{text}")
    }
    async fn bytes(&self, bytes: Bytes) -> Bytes {
        bytes
    }
    async fn fail(&self, code: u32) -> Result<u32, LabError> {
        Err(LabError { code })
    }
    async fn child(&self) -> LabClient {
        self.new_one()
    }
    async fn me(&self) -> LabClient {
        self.itself()
    }
    async fn function(&self) -> Func<fn(u32) -> u32> {
        self.new_function()
    }
    async fn parts(&self) -> Parts {
        self.new_parts()
    }
    async fn many(&self) -> Vec<LabClient> {
        vec![self.new_one(), self.new_one(), self.itself()]
    }
    async fn object(&self) -> Cap {
        self.new_object()
    }
    async fn numbers(&self) -> StoreClient<u32> {
        StoreClient::new(Mutex::new(Some(7)))
    }
    async fn call_back(&self, number: u32, function: Func<fn(u32) -> u32>) -> u32 {
        function.call(number).await.unwrap_or(u32::MAX)
    }
    async fn call_back_with(&self, function: Func<fn(NumberFunc) -> u32>) -> u32 {
        function.call(self.new_function()).await.unwrap_or(u32::MAX)
    }
    async fn wrap(&self, inner: LabClient) -> LabClient {
        Self::wrapping(&self.alive, Some(inner))
    }
    async fn depth(&self) -> u32 {
        match &self.inner {
            Some(inner) => inner.depth().await.map_or(u32::MAX, |depth| depth.saturating_add(1)),
            None => 0,
        }
    }
    async fn keep(&self, cap: Cap) {
        drop(keep(&self.kept, cap));
    }
    async fn kept(&self) -> Vec<Cap> {
        lock(&self.kept).clone()
    }
    async fn forget(&self) {
        let kept = std::mem::take(&mut *lock(&self.kept));
        drop(kept);
    }
    async fn ask(&self, other: LabClient, number: u32) -> Result<u32, Error> {
        other.add(number, 1).await
    }
    async fn insist(&self) -> u32 {
        for _ in 0..3 {
            Turn::default().await;
        }
        4
    }
    async fn slow(&self, number: u32) -> u32 {
        for _ in 0..number % 4 {
            Turn::default().await;
        }
        number
    }
    async fn never(&self) {
        pending().await
    }
    async fn block(&self, number: u32) -> u32 {
        number
    }
    async fn panics(&self) -> u32 {
        panic!("{MEANT} at once")
    }
    async fn panics_later(&self) -> u32 {
        Turn::default().await;
        panic!("{MEANT} later")
    }
    async fn progress(&self, steps: u32) -> u32 {
        for step in 0..steps % 4 {
            // The receiver may be gone.
            let _heard = capnode::report_progress(&step);
        }
        steps
    }
    async fn later(&self) -> LabClient {
        let (client, resolver) = capnode::promise::<LabClient>();
        drop(keep(&self.promised, resolver));
        client
    }
    async fn resolve(&self) {
        let promised = std::mem::take(&mut *lock(&self.promised));
        for (number, resolver) in promised.into_iter().enumerate() {
            resolver.resolve(if number == 0 { self.itself() } else { self.new_one() });
        }
    }
    async fn ids(&self, count: u32) -> Vec<u32> {
        (0..count.min(CHUNKS)).collect()
    }
    async fn count(&self, count: u32) -> Reader<u32> {
        stream_of(&self.alive, 0..count.min(CHUNKS))
    }
    async fn total(&self, numbers: Reader<u32>) -> Result<u32, Error> {
        sum(numbers).await
    }
    async fn take(&self, most: u32, mut numbers: Reader<u32>) -> Result<Vec<u32>, Error> {
        let mut taken = Vec::new();
        while taken.len() < most as usize {
            match numbers.next().await {
                Some(number) => taken.push(number?),
                None => break,
            }
        }
        Ok(taken)
    }
    async fn flatten(&self, mut streams: Reader<Reader<u32>>) -> Result<u32, Error> {
        let mut all = 0_u32;
        while let Some(numbers) = streams.next().await {
            all = all.wrapping_add(sum(numbers?).await?);
        }
        Ok(all)
    }
    async fn call_each(&self, mut functions: Reader<NumberFunc>) -> Result<u32, Error> {
        let mut last = 1;
        while let Some(function) = functions.next().await {
            last = function?.call(last).await?;
        }
        Ok(last)
    }
    async fn sink(&self) -> Writer<u32> {
        let (writer, reader) = capnode::pipe();
        drop(keep(&self.sinks, reader));
        writer
    }
    async fn drain(&self) -> Result<u32, Error> {
        let last = lock(&self.sinks).pop();
        match last {
            Some(numbers) => sum(numbers).await,
            None => Ok(0),
        }
    }
    async fn fill(&self, count: u32, mut writer: Writer<u32>) -> Result<(), Error> {
        for number in 0..count.min(CHUNKS) {
            writer.write(number).await?;
        }
        writer.close().await
    }
    async fn broken(&self) -> Cap {
        Cap::broken(Error::rejected("broken on purpose"))
    }
    async fn fragile(&self) -> Cap {
        let fragile = Fragile(self.alive.clone());
        Cap::from(Func::<fn() -> u32>::new(move || {
            let _fragile = &fragile;
            async { 5 }
        }))
    }
    async fn number(&self) -> u32 {
        6
    }
    async fn title(&self) -> String {
        "laboratory".to_owned()
    }
    async fn leaf(&self) -> LabClient {
        self.new_one()
    }
    async fn myself(&self) -> LabClient {
        self.itself()
    }
    async fn doubling(&self) -> Func<fn(u32) -> u32> {
        self.new_function()
    }
    async fn record(&self) -> Parts {
        self.new_parts()
    }
    async fn bag(&self) -> Cap {
        self.new_object()
    }
    async fn failing(&self) -> Result<u32, LabError> {
        Err(LabError { code: 9 })
    }
    async fn panicking(&self) -> u32 {
        panic!("{MEANT} in a property")
    }
    async fn absent(&self) -> u32 {
        pending().await
    }
}
