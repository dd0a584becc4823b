//! Membranes: nothing crosses one unwrapped, and nothing works that has crossed one that was revoked.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use capnode::sans_io::{Core, Endpoint, Pair, Side};
use capnode::value::{Body, GraphBuilder, Response};
use capnode::{
    Bytes, CallError, CallInfo, Cap, Client, Connection, Decision, Dialect, Direction, Error, Func, Membrane,
    Node, Object, Policy, Reader, Registry, Resolver, Value, Writer, membrane, policy,
};
use capnode_tests::soon;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedReceiver;

mod decisions;

#[capnode::interface]
trait Leaf {
    async fn ping(&self) -> usize;
    #[capnode(read)]
    async fn peek(&self) -> usize;
}

#[derive(Default)]
struct Counted(Arc<AtomicUsize>);

impl Leaf for Counted {
    async fn ping(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    async fn peek(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

#[derive(Serialize, Deserialize)]
struct Nested {
    leaves: Vec<Option<LeafClient>>,
    by_name: BTreeMap<String, Func<fn() -> usize>>,
}

#[capnode::interface]
trait Vault {
    async fn leaf(&self) -> LeafClient;
    #[capnode(property)]
    async fn pinned(&self) -> LeafClient;
    async fn nested(&self) -> Nested;
    async fn function(&self) -> Func<fn() -> usize>;
    async fn later(&self) -> LeafClient;
    async fn call_with(&self, receiver: Func<fn(LeafClient) -> ()>);
    async fn leaves(&self) -> Reader<LeafClient>;
    async fn list(&self) -> Vec<LeafClient>;
    async fn value(&self) -> Value;
    async fn shared(&self) -> Value;
    async fn object(&self) -> Cap;
    async fn reporting(&self);
    async fn collector(&self) -> Writer<Func<fn(LeafClient) -> ()>>;
    async fn write_into(&self, writer: Writer<LeafClient>);
    async fn promised(&self) -> Reader<LeafClient>;
    async fn never(&self) -> LeafClient;
    async fn thrown(&self) -> Result<(), Error>;
    async fn thrown_by_stream(&self) -> Reader<usize>;
    async fn tell(&self, leaf: LeafClient) -> Vec<bool>;
    async fn hold(&self, leaf: LeafClient) -> LeafClient;
    async fn read_in(&self, leaves: Reader<LeafClient>) -> usize;
    async fn wait(&self);
    async fn echo(&self, bytes: Bytes) -> Bytes;
    async fn page(&self) -> Response;
    async fn failing(&self) -> Result<(), Marked>;
    async fn caused(&self) -> Result<(), Error>;
    async fn torn(&self) -> Reader<usize>;
    async fn endless(&self) -> Reader<usize>;
    async fn broken(&self) -> LeafClient;
    async fn failed(&self) -> VaultClient;
    async fn knows(&self, ping: Cap) -> bool;
}

/// An error with something that no text holds.
#[derive(Serialize, Deserialize)]
struct Marked {
    #[serde(skip)]
    secret: Option<u8>,
}

impl std::fmt::Display for Marked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("marked")
    }
}

impl std::fmt::Debug for Marked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Marked").finish_non_exhaustive()
    }
}

impl std::error::Error for Marked {}

/// The inside: one leaf, which it gives away in every way there is.
struct Inside {
    leaf: LeafClient,
    /// What the inside has been given.
    got: Mutex<Vec<LeafClient>>,
    /// The errors that it has been given.
    errors: Arc<Mutex<Vec<Error>>>,
    resolvers: Mutex<Vec<Resolver<LeafClient>>>,
}

impl Inside {
    fn new(leaf: LeafClient) -> Self {
        Self { leaf, got: Mutex::default(), errors: Arc::default(), resolvers: Mutex::default() }
    }

    /// An error with the leaf in its properties.
    fn error(&self) -> Error {
        Error::rejected("thrown").with_property("leaf", &self.leaf).unwrap()
    }

    /// An error with a cause, which could hold anything.
    fn caused_error() -> Error {
        Error::rejected("caused").with_source(Marked { secret: Some(1) })
    }

    fn function(&self) -> Func<fn() -> usize> {
        let leaf = self.leaf.clone();
        Func::<fn() -> usize>::new(move || {
            let leaf = leaf.clone();
            async move { leaf.ping().await.unwrap() }
        })
    }
}

impl Vault for Inside {
    async fn leaf(&self) -> LeafClient {
        self.leaf.clone()
    }

    async fn pinned(&self) -> LeafClient {
        self.leaf.clone()
    }

    async fn nested(&self) -> Nested {
        Nested {
            leaves: vec![None, Some(self.leaf.clone())],
            by_name: BTreeMap::from([("f".to_owned(), self.function())]),
        }
    }

    async fn function(&self) -> Func<fn() -> usize> {
        self.function()
    }

    async fn later(&self) -> LeafClient {
        let (later, resolver) = capnode::promise::<LeafClient>();
        let leaf = self.leaf.clone();
        tokio::spawn(async move {
            tokio::task::yield_now().await;
            resolver.resolve(leaf);
        });
        later
    }

    async fn call_with(&self, receiver: Func<fn(LeafClient) -> ()>) {
        receiver.call(self.leaf.clone()).await.unwrap();
    }

    async fn leaves(&self) -> Reader<LeafClient> {
        Reader::from_iter([self.leaf.clone(), self.leaf.clone()])
    }

    async fn list(&self) -> Vec<LeafClient> {
        vec![self.leaf.clone()]
    }

    async fn value(&self) -> Value {
        Value::from([("list", Value::Array(vec![Value::Cap(self.leaf.clone().into())]))])
    }

    async fn shared(&self) -> Value {
        let mut graph = GraphBuilder::new();
        let node = graph.node();
        let content =
            Value::from([("leaf", Value::Cap(self.leaf.clone().into())), ("self", node.clone().into())]);
        graph.set(&node, &content).unwrap();
        graph.finish(node).unwrap()
    }

    async fn object(&self) -> Cap {
        Object::new().with("inner", self.leaf.clone()).with("f", self.function()).open().into()
    }

    async fn reporting(&self) {
        capnode::report_progress(&self.leaf).unwrap();
    }

    async fn collector(&self) -> Writer<Func<fn(LeafClient) -> ()>> {
        let (writer, mut reader) = capnode::pipe::<Func<fn(LeafClient) -> ()>>();
        let leaf = self.leaf.clone();
        tokio::spawn(async move {
            while let Some(Ok(receiver)) = reader.next().await {
                receiver.call(leaf.clone()).await.unwrap();
            }
        });
        writer
    }

    async fn write_into(&self, mut writer: Writer<LeafClient>) {
        writer.write(self.leaf.clone()).await.unwrap();
        // Its reader may have seen enough.
        let _closed = writer.close().await;
    }

    async fn promised(&self) -> Reader<LeafClient> {
        let (later, resolver) = capnode::promise::<LeafClient>();
        let leaf = self.leaf.clone();
        tokio::spawn(async move {
            // The chunk has arrived by then.
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            resolver.resolve(leaf);
        });
        Reader::from_iter([later])
    }

    async fn never(&self) -> LeafClient {
        let (never, resolver) = capnode::promise::<LeafClient>();
        self.resolvers.lock().unwrap().push(resolver);
        never
    }

    async fn thrown(&self) -> Result<(), Error> {
        Err(self.error())
    }

    async fn thrown_by_stream(&self) -> Reader<usize> {
        Reader::fallible(futures_util::stream::iter([Err::<usize, _>(self.error())]))
    }

    async fn tell(&self, leaf: LeafClient) -> Vec<bool> {
        vec![leaf == self.leaf, leaf.cap().local::<Counted>().is_some()]
    }

    async fn hold(&self, leaf: LeafClient) -> LeafClient {
        self.got.lock().unwrap().push(leaf.clone());
        leaf
    }

    async fn read_in(&self, mut leaves: Reader<LeafClient>) -> usize {
        let mut calls = 0;
        while let Some(next) = leaves.next().await {
            match next {
                Ok(leaf) => calls = leaf.ping().await.unwrap(),
                Err(error) => self.errors.lock().unwrap().push(error),
            }
        }
        calls
    }

    async fn wait(&self) {
        std::future::pending().await
    }

    async fn echo(&self, bytes: Bytes) -> Bytes {
        bytes
    }

    async fn page(&self) -> Response {
        let mut page = Response::new(200);
        page.body = Some(Body::from(Bytes::from(vec![1; 10])));
        page
    }

    async fn failing(&self) -> Result<(), Marked> {
        Err(Marked { secret: Some(1) })
    }

    async fn caused(&self) -> Result<(), Error> {
        Err(Self::caused_error())
    }

    async fn torn(&self) -> Reader<usize> {
        Reader::fallible(futures_util::stream::iter([Err::<usize, _>(Self::caused_error())]))
    }

    async fn endless(&self) -> Reader<usize> {
        let (mut writer, reader) = capnode::pipe();
        let errors = self.errors.clone();
        tokio::spawn(async move {
            let error = loop {
                if let Err(error) = writer.write(1).await {
                    break error;
                }
            };
            errors.lock().unwrap().push(error);
        });
        reader
    }

    async fn failed(&self) -> VaultClient {
        let other = Inside::new(self.leaf.clone());
        let error = VaultClient::new(other).cap().invoke::<()>("failing", ()).await.unwrap_err();
        VaultClient::from_cap(Cap::broken(error))
    }

    async fn knows(&self, ping: Cap) -> bool {
        ping == self.leaf.cap().at("ping")
    }

    async fn broken(&self) -> LeafClient {
        let (later, resolver) = capnode::promise::<LeafClient>();
        let error = Self::caused_error();
        tokio::spawn(async move { resolver.reject(error) });
        later
    }
}

/// Notes each call that crosses.
#[derive(Default)]
struct Noting(Mutex<Vec<(Direction, String)>>);

impl Policy for Noting {
    fn before(&self, call: &CallInfo) -> Decision {
        self.0.lock().unwrap().push((call.direction(), call.path()));
        Decision::Pass
    }
}

struct World {
    raw: LeafClient,
    pings: Arc<AtomicUsize>,
    inside: Arc<Inside>,
    noted: Arc<Noting>,
    membrane: Membrane,
    vault: VaultClient,
}

fn world() -> World {
    let pings = Arc::new(AtomicUsize::new(0));
    let raw = LeafClient::new(Counted(pings.clone()));
    let inside = Arc::new(Inside::new(raw.clone()));
    let noted = Arc::new(Noting::default());
    let membrane = Membrane::new(noted.clone());
    let vault = membrane.wrap(VaultClient::from_arc(inside.clone()));
    World { raw, pings, inside, noted, membrane, vault }
}

type Got = Pin<Box<dyn Future<Output = Cap>>>;

type Receiver = Func<fn(LeafClient) -> ()>;

/// Passes on the leaf that a callback gets.
fn receiver() -> (Receiver, UnboundedReceiver<LeafClient>) {
    let (sender, received) = tokio::sync::mpsc::unbounded_channel();
    let receiver = Func::<fn(LeafClient) -> ()>::new(move |leaf: LeafClient| {
        let sender = sender.clone();
        async move { sender.send(leaf).unwrap() }
    });
    (receiver, received)
}

fn member(value: &Value, path: &[&str]) -> Cap {
    let mut at = value.clone();
    for step in path {
        at = at.member(step).expect("it is there");
    }
    match at {
        Value::Cap(cap) => cap,
        other => panic!("no reference: {other:?}"),
    }
}

/// A way in which the leaf comes out, or a function that calls it: `true` for the function.
type Way = (&'static str, bool, fn(VaultClient) -> Got);

/// Every way.
fn ways_out() -> Vec<Way> {
    vec![
        ("result", false, |vault| Box::pin(async move { vault.leaf().await.unwrap().into() })),
        ("pipeline", false, |vault| Box::pin(async move { vault.leaf().pipeline().into() })),
        ("property", false, |vault| Box::pin(async move { vault.pinned().await.unwrap().into() })),
        ("property path", false, |vault| Box::pin(async move { vault.cap().at("pinned") })),
        ("property read", false, |vault| {
            Box::pin(async move { vault.cap().at("pinned").read::<LeafClient>().await.unwrap().into() })
        }),
        ("in a structure", false, |vault| {
            Box::pin(async move { vault.nested().await.unwrap().leaves.remove(1).unwrap().into() })
        }),
        ("function in a map", true, |vault| {
            Box::pin(async move { vault.nested().await.unwrap().by_name.remove("f").unwrap().into() })
        }),
        ("function", true, |vault| Box::pin(async move { vault.function().await.unwrap().into() })),
        ("promise", false, |vault| Box::pin(async move { vault.later().await.unwrap().into() })),
        ("argument of a callback", false, |vault| {
            Box::pin(async move {
                let (receiver, mut received) = receiver();
                vault.call_with(receiver).await.unwrap();
                received.recv().await.unwrap().into()
            })
        }),
        ("chunk of a stream", false, |vault| {
            Box::pin(async move {
                let mut leaves = vault.leaves().await.unwrap();
                leaves.next().await.unwrap().unwrap().into()
            })
        }),
        ("promise in a stream", false, |vault| {
            Box::pin(async move {
                let mut leaves = vault.promised().await.unwrap();
                leaves.next().await.unwrap().unwrap().into()
            })
        }),
        ("into a writer", false, |vault| {
            Box::pin(async move {
                let (writer, mut reader) = capnode::pipe::<LeafClient>();
                let writing = tokio::spawn(vault.write_into(writer).into_future());
                let leaf = reader.next().await.unwrap().unwrap().into();
                drop(reader);
                writing.await.unwrap().unwrap();
                leaf
            })
        }),
        ("property of an error", false, |vault| {
            Box::pin(async move {
                let error = vault.cap().invoke::<()>("thrown", ()).await.unwrap_err();
                error.property::<LeafClient>("leaf").unwrap().into()
            })
        }),
        ("property of the error of a stream", false, |vault| {
            Box::pin(async move {
                let error = vault.thrown_by_stream().await.unwrap().next().await.unwrap().unwrap_err();
                error.property::<LeafClient>("leaf").unwrap().into()
            })
        }),
        ("in a value", false, |vault| {
            Box::pin(async move {
                let value = vault.value().await.unwrap();
                let Some(Value::Array(list)) = value.member("list") else { panic!("a list") };
                member(&Value::from([("leaf", list[0].clone())]), &["leaf"])
            })
        }),
        ("in a record of functions", true, |vault| {
            Box::pin(async move {
                let value = vault.value().await.unwrap();
                let Some(Value::Array(list)) = value.member("list") else { panic!("a list") };
                match &list[0] {
                    Value::Cap(leaf) => leaf.at("ping"),
                    record => member(record, &["ping"]),
                }
            })
        }),
        ("in a shared value", false, |vault| {
            Box::pin(async move { member(&vault.shared().await.unwrap(), &["self", "self", "leaf"]) })
        }),
        ("member of an object", false, |vault| {
            Box::pin(async move { vault.object().await.unwrap().read_at("inner").await })
        }),
        ("function of an object", true, |vault| {
            Box::pin(async move { vault.object().await.unwrap().read_at("f").await })
        }),
        ("set and read back", false, |vault| {
            Box::pin(async move {
                let object = vault.object().await.unwrap();
                object.put("new", vault.leaf().await.unwrap()).await.unwrap();
                object.read_at("new").await
            })
        }),
        ("bound method", true, |vault| {
            Box::pin(async move { vault.leaf().await.unwrap().cap().at("ping").read::<Cap>().await.unwrap() })
        }),
        ("progress", false, |vault| {
            Box::pin(async move {
                let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
                let report = move |leaf: LeafClient| sender.send(leaf).unwrap();
                vault.reporting().on_progress(report).await.unwrap();
                received.recv().await.unwrap().into()
            })
        }),
        ("through a writer", false, |vault| {
            Box::pin(async move {
                let mut writer = vault.collector().await.unwrap();
                let (receiver, mut received) = receiver();
                writer.write(receiver).await.unwrap();
                received.recv().await.unwrap().into()
            })
        }),
        ("map", false, |vault| {
            Box::pin(async move {
                let mapped = vault.list().map(|leaf| leaf).await.unwrap();
                mapped[0].clone().into()
            })
        }),
        ("map with a capture", false, |vault| {
            Box::pin(async move {
                let other = vault.clone();
                let mapped = vault.list().map(move |leaf| other.hold((*leaf).clone())).await.unwrap();
                mapped[0].clone().into()
            })
        }),
        ("reference to itself", false, |vault| {
            Box::pin(async move {
                let leaf = vault.leaf().await.unwrap();
                leaf.cap().read::<Cap>().await.unwrap()
            })
        }),
        ("resolved promise of the outside", false, |vault| {
            Box::pin(async move {
                let (later, resolver) = capnode::promise::<LeafClient>();
                resolver.resolve(vault.leaf().await.unwrap());
                later.into()
            })
        }),
    ]
}

trait ReadAt {
    async fn read_at(&self, name: &str) -> Cap;
}

impl ReadAt for Cap {
    async fn read_at(&self, name: &str) -> Cap {
        self.at(name).read().await.unwrap()
    }
}

async fn ping(got: &Cap, is_function: bool) -> Result<usize, Error> {
    if is_function { got.apply(()).await } else { LeafClient::from_cap(got.clone()).ping().await }
}

impl World {
    /// Returns the stand-in for the vault in the hands of the other side: as the inside it is lent to the outside, and as
    /// something of the outside's own it is an argument of a function inside.
    async fn lent(&self, way: Direction) -> VaultClient {
        if way == Direction::Inward {
            return self.vault.clone();
        }
        let (sender, mut taken) = tokio::sync::mpsc::unbounded_channel();
        let take = Func::<fn(VaultClient) -> ()>::new(move |vault: VaultClient| {
            let sender = sender.clone();
            async move { sender.send(vault).unwrap() }
        });
        self.membrane.wrap(take).call(VaultClient::from_arc(self.inside.clone())).await.unwrap();
        taken.recv().await.unwrap()
    }
}

#[tokio::test]
async fn nothing_crosses_unwrapped_and_nothing_works_when_it_is_revoked() {
    for direction in [Direction::Inward, Direction::Outward] {
        nothing_crosses_unwrapped(direction).await;
    }
}

async fn nothing_crosses_unwrapped(direction: Direction) {
    for (way, is_function, get) in ways_out() {
        let (way, world) = (format!("{way}, {direction:?}"), world());
        let got = get(world.lent(direction).await).await;
        assert_ne!(got, world.raw.clone().into(), "{way}");
        assert!(got.local::<Counted>().is_none(), "{way}");
        let before = world.noted.0.lock().unwrap().len();
        ping(&got, is_function).await.unwrap_or_else(|error| panic!("{way}: {error}"));
        assert_eq!(world.pings.load(Ordering::SeqCst), 1, "{way}");
        let asked = world.noted.0.lock().unwrap()[before..].to_vec();
        assert!(asked.iter().any(|(way, _)| *way == direction), "{way}: the policy was not asked: {asked:?}");

        let (sender, broken) = std::sync::mpsc::channel();
        let _watch = got.on_broken(move |error| sender.send(error).unwrap());
        world.membrane.revoke(Error::rejected("over"));
        assert_eq!(broken.try_recv().map(|error| error.message().to_owned()), Ok("over".to_owned()), "{way}");
        let refused = ping(&got, is_function).await.unwrap_err();
        assert_eq!(refused.message(), "over", "{way}");
        assert_eq!(world.pings.load(Ordering::SeqCst), 1, "{way}");
        assert!(got.local::<Counted>().is_none(), "{way}");
        // Of the inside nothing is kept.
        drop((world.membrane, world.raw));
        let weak = Arc::downgrade(&world.inside);
        drop(world.inside);
        tokio::task::yield_now().await;
        assert!(weak.upgrade().is_none(), "{way}: the inside is kept");
    }
}

/// Returns the vault from the other end of a connection, with the membrane here or there.
async fn at_the_other_end(world: &World, dialect: Dialect, is_here: bool) -> VaultClient {
    let (here, there) = capnode::transport::pair();
    let raw = VaultClient::from_arc(world.inside.clone());
    let served = if is_here { raw } else { world.vault.clone() };
    Node::new(served).serve(there).await.unwrap();
    let client = Node::builder().dialect(dialect).build();
    let vault: VaultClient = client.connect_over(here).await.unwrap();
    if is_here { world.membrane.wrap(vault) } else { vault }
}

#[tokio::test]
async fn nothing_works_over_a_connection_when_it_is_revoked() {
    for dialect in [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q] {
        // A language has no values that contain themselves, no messages for these, or no references in errors. Where an
        // object is a record of functions, they have no properties.
        let bare = ["progress", "property of an error", "property of the error of a stream"];
        let objects =
            ["property path", "property read", "in a value", "in a shared value", "set and read back"];
        let unsaid = match dialect {
            Dialect::CapnWeb => vec!["in a shared value", "set and read back", "progress"],
            Dialect::Q => bare.to_vec(),
            _ => [&bare[..], &objects, &["member of an object", "function of an object"]].concat(),
        };
        let ways = || ways_out().into_iter().filter(|way| !unsaid.contains(&way.0));
        for (is_here, (way, is_function, get)) in
            [true, false].into_iter().flat_map(|is_here| ways().map(move |way| (is_here, way)))
        {
            let way = format!("{way}, {dialect}, membrane here: {is_here}");
            let world = world();
            let got = get(at_the_other_end(&world, dialect, is_here).await).await;
            let before = world.noted.0.lock().unwrap().len();
            ping(&got, is_function).await.unwrap_or_else(|error| panic!("{way}: {error}"));
            assert_eq!(world.pings.load(Ordering::SeqCst), 1, "{way}");
            assert!(world.noted.0.lock().unwrap().len() > before, "{way}: the policy was not asked");
            world.membrane.revoke(Error::rejected("over"));
            let refused = ping(&got, is_function).await.unwrap_err();
            assert_eq!(refused.message(), "over", "{way}");
            assert_eq!(world.pings.load(Ordering::SeqCst), 1, "{way}");
        }
    }
}

#[test]
fn a_chunk_that_is_awaited_is_wrapped_when_it_is_there() {
    let world = world();
    let mut peer = Endpoint::new(Core::accepting(world.vault.clone()));
    for frame in [
        r#"["pipe"]"#,
        r#"["push",["pipeline",0,["readIn"],[["readable",1]]]]"#,
        r#"["stream",["pipeline",1,["write"],[["promise",-1]]]]"#,
        r#"["resolve",-1,["export",-2]]"#,
    ] {
        peer.receive(frame);
    }
    let called = peer.frames();
    assert!(called.iter().any(|frame| frame.contains(r#"["pipeline",-2,["ping"]"#)), "{called:?}");
    assert_eq!(world.noted.0.lock().unwrap().last(), Some(&(Direction::Outward, "ping".to_owned())));
}

#[tokio::test]
async fn errors_cross_as_they_would_on_a_wire() {
    let world = world();
    let unchanged = VaultClient::from_arc(world.inside.clone());
    let secret = |error: CallError<Marked>| match error {
        CallError::Returned(marked) => marked.secret,
        CallError::Failed(error) => panic!("{error}"),
    };
    let source = |error: &Error| std::error::Error::source(error).is_some();
    assert!(
        secret(unchanged.failing().await.unwrap_err()).is_some(),
        "without a membrane it is the error itself"
    );
    assert!(secret(world.vault.failing().await.unwrap_err()).is_none());
    assert!(secret(unchanged.failed().await.unwrap().failing().await.unwrap_err()).is_some());
    assert!(secret(world.vault.failed().await.unwrap().failing().await.unwrap_err()).is_none());
    for (vault, has_source) in [(unchanged, true), (world.vault.clone(), false)] {
        let error: Error = match vault.caused().await.unwrap_err() {
            CallError::Returned(error) | CallError::Failed(error) => error,
        };
        assert_eq!((error.message(), source(&error)), ("caused", has_source));
        let error = vault.torn().await.unwrap().next().await.unwrap().unwrap_err();
        assert_eq!((error.message(), source(&error)), ("caused", has_source));
        let (sender, mut broken) = tokio::sync::mpsc::unbounded_channel();
        let later = vault.broken().await.unwrap();
        let _watch = later.cap().on_broken(move |error| sender.send(error).unwrap());
        let error = broken.recv().await.unwrap();
        assert_eq!((error.message(), source(&error)), ("caused", has_source));
        let error = vault.broken().await.unwrap().ping().await.unwrap_err();
        assert_eq!((error.message(), source(&error)), ("caused", has_source));
    }
    // No reference comes along with a reason, which may be told on both sides.
    for (vault, has_leaf) in
        [(VaultClient::from_arc(world.inside.clone()), true), (world.vault.clone(), false)]
    {
        let (sender, mut broken) = tokio::sync::mpsc::unbounded_channel();
        let never = vault.never().await.unwrap();
        let _watch = never.cap().on_broken(move |error| sender.send(error).unwrap());
        let resolver = world.inside.resolvers.lock().unwrap().pop().unwrap();
        resolver.reject(world.inside.error());
        let error = broken.recv().await.unwrap();
        assert_eq!(error.property::<LeafClient>("leaf").is_some(), has_leaf);
        // A call has it as its error, wrapped.
        let error = never.ping().await.unwrap_err();
        assert_eq!(error.property::<LeafClient>("leaf").is_some_and(|leaf| leaf == world.raw), has_leaf);
    }
    // What the outside gives as a reason goes in alike.
    let torn = || Error::rejected("torn").with_source(Marked { secret: Some(1) });
    let reader = Reader::fallible(futures_util::stream::iter([Err::<LeafClient, _>(torn())]));
    assert_eq!(world.vault.read_in(reader).await.unwrap(), 0);
    let mut endless = world.vault.endless().await.unwrap();
    endless.next().await.unwrap().unwrap();
    endless.cancel(torn());
    while world.inside.errors.lock().unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    for error in &*world.inside.errors.lock().unwrap() {
        assert_eq!((error.message(), source(error)), ("torn", false));
    }
}

#[tokio::test]
async fn a_body_ends_with_the_membrane() {
    let world = world();
    let read = async || {
        let body = world.vault.page().await.unwrap().body.unwrap();
        body.into_reader()
    };
    assert_eq!(read().await.next().await.unwrap().unwrap().len(), 10);
    let mut body = read().await;
    world.membrane.revoke(Error::rejected("over"));
    assert_eq!(body.next().await.unwrap().unwrap_err().message(), "over");
}

/// Polls a future once.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_call_on_a_result_goes_before_the_result_is_there() {
    let world = world();
    let there = Core::accepting(VaultClient::from_arc(world.inside.clone()));
    let mut pair = Pair::new(Core::connecting(()), there);
    pair.settle();
    let remote: VaultClient = pair.connecting().index();
    let (inner, outer) = (world.membrane.wrap(remote), Arc::new(Noting::default()));
    for (vault, asks) in [(inner.clone(), 0), (membrane(inner, outer.clone()), 1)] {
        pair.record();
        let mut call = vault.leaf().pipeline().ping();
        assert!(poll_once(&mut call).is_pending());
        let sent = pair.recorded(Side::Connecting).join("\n");
        assert!(sent.contains("leaf") && sent.contains("ping"), "{sent}");
        pair.settle();
        assert!(matches!(poll_once(&mut call), Poll::Ready(Ok(_))));
        let asked =
            |noted: &Noting| std::mem::take(&mut *noted.0.lock().unwrap()).into_iter().map(|call| call.1);
        assert!(asked(&world.noted).eq(["leaf", "ping"]));
        assert!(asked(&outer).eq(["leaf", "ping"].into_iter().take(2 * asks)));
    }
    // Reading a result is a part of its call.
    let vault = world.membrane.wrap(pair.connecting().index::<VaultClient>());
    let mapped = pair.run(vault.list().map(|leaf| leaf.ping())).expect("it ends").unwrap();
    assert_eq!(mapped.len(), 1);
    let asked = std::mem::take(&mut *world.noted.0.lock().unwrap()).into_iter().map(|call| call.1);
    assert!(asked.eq(["list", "ping"]));
}

#[tokio::test]
async fn what_goes_in_is_wrapped_and_comes_out_as_itself() {
    let world = world();
    let pings = Arc::new(AtomicUsize::new(0));
    let own = LeafClient::new(Counted(pings.clone()));
    // The inside neither sees the object nor calls it unasked.
    assert_eq!(world.vault.tell(own.clone()).await.unwrap(), [false, false]);
    assert_eq!(world.vault.hold(own.clone()).await.unwrap(), own);
    assert_eq!(world.vault.hold(own.clone()).await.unwrap(), own);
    let held = world.inside.got.lock().unwrap().clone();
    assert_eq!(held[0], held[1], "the same stand-in");
    assert_ne!(held[0], own);
    held[0].ping().await.unwrap();
    assert_eq!(pings.load(Ordering::SeqCst), 1);
    assert!(world.noted.0.lock().unwrap().contains(&(Direction::Outward, "ping".to_owned())));
    // The leaf of the inside is at home there.
    let out = world.vault.leaf().await.unwrap();
    assert_eq!(world.vault.tell(out.clone()).await.unwrap(), [true, true]);
    assert_eq!(out, world.vault.pinned().await.unwrap(), "the same stand-in");
    let ping = out.cap().at("ping");
    assert!(world.vault.knows(ping.clone()).await.unwrap());
    assert!(world.vault.knows(ping.read().await.unwrap()).await.unwrap());
    let object = world.vault.object().await.unwrap();
    object.put("own", own.clone()).await.unwrap();
    assert_eq!(object.read_at("own").await, own.clone().into());
    assert_eq!(world.vault.read_in(Reader::from_iter([own.clone(), own.clone()])).await.unwrap(), 3);

    world.membrane.revoke(Error::rejected("over"));
    assert_eq!(held[0].ping().await.unwrap_err().message(), "over");
    assert_eq!(pings.load(Ordering::SeqCst), 3);
}

#[test]
fn what_a_peer_sets_inside_is_kept_as_long_as_without_a_membrane() {
    let world = world();
    for index in [VaultClient::from_arc(world.inside.clone()), world.vault.clone()] {
        let client = Core::builder().dialect(Dialect::Q).connecting(());
        let mut pair = Pair::new(client, Core::accepting(index));
        let object = pair.run(pair.connecting().index::<VaultClient>().object()).unwrap().unwrap();
        pair.run(object.put("own", LeafClient::new(Counted::default()))).unwrap().unwrap();
        pair.settle();
        let own = pair.run(object.at("own").read::<LeafClient>()).unwrap().unwrap();
        assert_eq!(pair.run(own.ping()).unwrap().unwrap(), 1);
    }
}

#[tokio::test]
async fn what_is_under_way_ends_when_it_is_revoked() {
    for direction in [Direction::Inward, Direction::Outward] {
        let world = world();
        let vault = world.lent(direction).await;
        let waiting = tokio::spawn(vault.wait().into_future());
        let mut stream = vault.leaves().await.unwrap();
        stream.next().await.unwrap().unwrap();
        let mut writer = vault.collector().await.unwrap();
        let (receives, mut received) = receiver();
        writer.write(receives.clone()).await.unwrap();
        received.recv().await.unwrap();
        let other = vault.clone();
        let mapped = tokio::spawn(vault.list().map(move |_| other.wait()).into_future());
        let never = vault.never().await.unwrap();
        let (later, resolver) = capnode::promise::<LeafClient>();
        vault.hold(later).await.unwrap();
        let held = world.inside.got.lock().unwrap()[0].clone();
        let queued = [&never, &held].map(|promised| tokio::spawn(promised.ping().into_future()));
        tokio::task::yield_now().await;
        world.membrane.revoke(Error::rejected("over"));
        assert_eq!(waiting.await.unwrap().unwrap_err().message(), "over");
        assert_eq!(mapped.await.unwrap().unwrap_err().message(), "over");
        assert_eq!(stream.next().await.unwrap().unwrap_err().message(), "over");
        assert_eq!(writer.write(receives).await.unwrap_err().message(), "over");
        for queued in queued {
            assert_eq!(queued.await.unwrap().unwrap_err().message(), "over");
        }
        resolver.resolve(world.raw.clone());
        world.inside.resolvers.lock().unwrap().pop().unwrap().resolve(world.raw.clone());
        for promised in [never, held] {
            assert_eq!(promised.ping().await.unwrap_err().message(), "over");
        }
        assert!(received.try_recv().is_err());
        assert_eq!(world.pings.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn the_members_of_an_object_are_changed_and_listed_through_the_policy_alone() {
    for direction in [Direction::Inward, Direction::Outward] {
        let world = world();
        let object = world.lent(direction).await.object().await.unwrap();
        world.noted.0.lock().unwrap().clear();
        object.put("new", 1).await.unwrap();
        assert_eq!(object.keys().await.unwrap().len(), 3);
        object.delete("new").await.unwrap();
        let noted = std::mem::take(&mut *world.noted.0.lock().unwrap());
        assert_eq!(noted.len(), 3, "{noted:?}");
        assert!(noted.iter().all(|(way, _)| *way == direction), "{noted:?}");
        world.membrane.revoke(Error::rejected("over"));
        let refused = [
            object.put("new", 1).await.unwrap_err(),
            object.keys().await.unwrap_err(),
            object.delete("new").await.unwrap_err(),
        ];
        assert!(refused.iter().all(|error| error.message() == "over"), "{refused:?}");
    }
}

#[tokio::test]
async fn what_is_under_way_over_a_connection_ends_when_it_is_revoked() {
    let languages = [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q];
    for (dialect, is_here) in languages.into_iter().flat_map(|dialect| [(dialect, true), (dialect, false)]) {
        let world = world();
        let vault = at_the_other_end(&world, dialect, is_here).await;
        let mut stream = vault.endless().await.unwrap();
        soon(stream.next()).await.unwrap().unwrap();
        let mut queued = vault.later().pipeline().cap().at("nothing").read::<Value>();
        let waiting = tokio::spawn(vault.wait().into_future());
        let never = vault.never().await.unwrap();
        let (later, resolver) = capnode::promise::<LeafClient>();
        vault.hold(later).await.unwrap();
        let held = world.inside.got.lock().unwrap()[0].clone();
        let pipelined = vault.never().pipeline();
        let pings = [&never, &held, &pipelined].map(|promised| tokio::spawn(promised.ping().into_future()));
        // All has arrived when what follows it is answered.
        vault.leaf().await.unwrap();
        world.membrane.revoke(Error::rejected("over"));
        let at = format!("{dialect}, membrane here: {is_here}");
        assert_eq!(capnode_tests::soon(waiting).await.unwrap().unwrap_err().message(), "over", "{at}");
        let error = loop {
            if let Err(error) = soon(stream.next()).await.unwrap() {
                break error;
            }
        };
        assert_eq!(error.message(), "over", "{at}");
        // A record of functions that has crossed is a value.
        if dialect != Dialect::Capnode {
            assert_eq!((&mut queued).await.unwrap_err().message(), "over", "{at}");
        }
        for ping in pings {
            assert_eq!(capnode_tests::soon(ping).await.unwrap().unwrap_err().message(), "over", "{at}");
        }
        resolver.resolve(LeafClient::new(Counted(world.pings.clone())));
        for resolver in std::mem::take(&mut *world.inside.resolvers.lock().unwrap()) {
            resolver.resolve(world.raw.clone());
        }
        for promised in [never, held, pipelined] {
            assert_eq!(promised.ping().await.unwrap_err().message(), "over", "{at}");
        }
        // The older languages have no word to take back what has been sent.
        if dialect == Dialect::CapnWeb {
            assert_eq!(world.pings.load(Ordering::SeqCst), 0, "{at}");
        }
    }
}

#[tokio::test]
async fn a_registered_stand_in_stays_one() {
    let world = world();
    let registry = Registry::default();
    let function = world.vault.function().await.unwrap();
    let registered = registry.register(function);
    let node = Node::builder().registry(&registry).build();
    let (here, there) = capnode::transport::pair();
    node.serve(there).await.unwrap();
    let client = Node::builder().dialect(Dialect::Capnode).build();
    let peer: Connection = client.connect_over(here).await.unwrap();
    let function = peer.reconstruct(registered.id()).unwrap();
    assert_eq!(function.apply::<usize>(()).await.unwrap(), 1);
    world.membrane.revoke(Error::rejected("over"));
    assert_eq!(function.apply::<usize>(()).await.unwrap_err().message(), "over");
}
