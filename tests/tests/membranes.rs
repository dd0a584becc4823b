//! Membranes: nothing crosses one unwrapped, and nothing works that has crossed one that was revoked.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capnode::value::GraphBuilder;
use capnode::{
    Bytes, CallInfo, Cap, Client, Decision, Direction, Error, ErrorKind, Fate, Func, Membrane, Object,
    Policy, Reader, Value, Writer, membrane, policy, revocable,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedReceiver;

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
    async fn tell(&self, leaf: LeafClient) -> Vec<bool>;
    async fn hold(&self, leaf: LeafClient) -> LeafClient;
    async fn read_in(&self, leaves: Reader<LeafClient>) -> usize;
    async fn wait(&self);
    async fn echo(&self, bytes: Bytes) -> Bytes;
}

/// The inside: one leaf, which it gives away in every way there is.
struct Inside {
    leaf: LeafClient,
    /// What the inside has been given.
    got: Mutex<Vec<LeafClient>>,
}

impl Inside {
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

    async fn tell(&self, leaf: LeafClient) -> Vec<bool> {
        vec![leaf == self.leaf, leaf.cap().local::<Counted>().is_some()]
    }

    async fn hold(&self, leaf: LeafClient) -> LeafClient {
        self.got.lock().unwrap().push(leaf.clone());
        leaf
    }

    async fn read_in(&self, mut leaves: Reader<LeafClient>) -> usize {
        let mut calls = 0;
        while let Some(Ok(leaf)) = leaves.next().await {
            calls = leaf.ping().await.unwrap();
        }
        calls
    }

    async fn wait(&self) {
        std::future::pending().await
    }

    async fn echo(&self, bytes: Bytes) -> Bytes {
        bytes
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
    let inside = Arc::new(Inside { leaf: raw.clone(), got: Mutex::default() });
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
        ("in a value", false, |vault| {
            Box::pin(async move {
                let value = vault.value().await.unwrap();
                let Some(Value::Array(list)) = value.member("list") else { panic!("a list") };
                member(&Value::from([("leaf", list[0].clone())]), &["leaf"])
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

#[tokio::test]
async fn nothing_comes_out_unwrapped_and_nothing_works_when_it_is_revoked() {
    for (way, is_function, get) in ways_out() {
        let world = world();
        let got = get(world.vault.clone()).await;
        assert_ne!(got, world.raw.clone().into(), "{way}");
        assert!(got.local::<Counted>().is_none(), "{way}");
        let before = world.noted.0.lock().unwrap().len();
        ping(&got, is_function).await.unwrap_or_else(|error| panic!("{way}: {error}"));
        assert_eq!(world.pings.load(Ordering::SeqCst), 1, "{way}");
        assert!(world.noted.0.lock().unwrap().len() > before, "{way}: the policy was not asked");

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
    assert_eq!(world.vault.read_in(Reader::from_iter([own.clone(), own.clone()])).await.unwrap(), 3);

    world.membrane.revoke(Error::rejected("over"));
    assert_eq!(held[0].ping().await.unwrap_err().message(), "over");
    assert_eq!(pings.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn what_is_under_way_ends_when_it_is_revoked() {
    let world = world();
    let waiting = tokio::spawn(world.vault.wait().into_future());
    let mut stream = world.vault.leaves().await.unwrap();
    stream.next().await.unwrap().unwrap();
    let (later, resolver) = capnode::promise::<LeafClient>();
    world.vault.hold(later).await.unwrap();
    let held = world.inside.got.lock().unwrap()[0].clone();
    let queued = tokio::spawn(held.ping().into_future());
    tokio::task::yield_now().await;
    world.membrane.revoke(Error::rejected("over"));
    assert_eq!(waiting.await.unwrap().unwrap_err().message(), "over");
    assert_eq!(stream.next().await.unwrap().unwrap_err().message(), "over");
    assert_eq!(queued.await.unwrap().unwrap_err().message(), "over");
    resolver.resolve(world.raw.clone());
    assert_eq!(held.ping().await.unwrap_err().message(), "over");
    assert_eq!(world.pings.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_decision_that_waits_holds_back_what_follows_on_the_reference_alone() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (asks, pings) = (asked.clone(), Arc::new(AtomicUsize::new(0)));
    let ask = policy::ask(move |call: &CallInfo| {
        let (sender, decided) = tokio::sync::oneshot::channel();
        asks.lock().unwrap().push((call.path(), sender));
        async move { decided.await.unwrap_or_else(|_| Err(Error::rejected("nobody"))) }
    });
    let membrane = Membrane::new(ask);
    let leaf = membrane.wrap(LeafClient::new(Counted(pings.clone())));
    let other = membrane.wrap(LeafClient::new(Counted(pings.clone())));
    let next = || asked.lock().unwrap().pop();

    let first = tokio::spawn(leaf.ping().into_future());
    tokio::task::yield_now().await;
    let second = tokio::spawn(leaf.peek().into_future());
    tokio::task::yield_now().await;
    let (path, decide) = next().unwrap();
    assert_eq!(path, "ping");
    assert!(next().is_none(), "the second call waits for the first decision");
    let third = tokio::spawn(other.ping().into_future());
    tokio::task::yield_now().await;
    let (_, decide_other) = next().unwrap();
    decide_other.send(Ok(())).unwrap();
    assert_eq!(third.await.unwrap().unwrap(), 1);
    decide.send(Err(Error::rejected("no"))).unwrap();
    let refused = first.await.unwrap().unwrap_err();
    assert_eq!((refused.message(), refused.fate()), ("no", Fate::NotSent));
    tokio::task::yield_now().await;
    let (path, decide) = next().unwrap();
    assert_eq!(path, "peek");
    decide.send(Ok(())).unwrap();
    assert_eq!(second.await.unwrap().unwrap(), 1);

    // A caller that gives up takes nothing with it.
    let given_up = tokio::spawn(leaf.ping().into_future());
    tokio::task::yield_now().await;
    let behind = tokio::spawn(leaf.ping().into_future());
    tokio::task::yield_now().await;
    drop(next().unwrap());
    given_up.abort();
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    let (_, decide) = next().unwrap();
    decide.send(Ok(())).unwrap();
    assert_eq!(behind.await.unwrap().unwrap(), 2);

    // A decision ends with the membrane.
    let waiting = tokio::spawn(leaf.ping().into_future());
    tokio::task::yield_now().await;
    membrane.revoke(Error::rejected("over"));
    assert_eq!(waiting.await.unwrap().unwrap_err().message(), "over");
}

#[tokio::test]
async fn the_ready_policies_refuse_what_they_say() {
    let world = world();
    let vault = VaultClient::from_arc(world.inside.clone());
    let refused =
        |error: Error| assert_eq!((error.kind(), error.fate()), (ErrorKind::Refused, Fate::NotSent));

    let only = membrane(vault.clone(), policy::only(["Vault.leaf", "Leaf.ping"]));
    let leaf = only.leaf().await.unwrap();
    leaf.ping().await.unwrap();
    refused(leaf.peek().await.unwrap_err());
    refused(only.pinned().await.unwrap_err());
    refused(only.cap().keys().await.unwrap_err());
    refused(only.cap().at("pinned").at("ping").apply::<usize>(()).await.unwrap_err());
    refused(only.cap().invoke::<usize>("made up", ()).await.unwrap_err());
    refused(only.cap().put("leaf", 1).await.unwrap_err());
    leaf.cap().at("ping").read::<Func<fn() -> usize>>().await.unwrap().call().await.unwrap();
    refused(leaf.cap().at("peek").read::<Cap>().await.unwrap_err());

    let reading = membrane(vault.clone(), policy::read_only());
    let pinned = reading.pinned().await.unwrap();
    pinned.peek().await.unwrap();
    refused(pinned.ping().await.unwrap_err());
    refused(pinned.cap().at("ping").read::<Func<fn() -> usize>>().await.unwrap().call().await.unwrap_err());
    refused(reading.leaf().await.unwrap_err());

    let twice = membrane(vault.clone(), policy::calls(2));
    twice.leaf().await.unwrap().ping().await.unwrap();
    refused(twice.leaf().await.unwrap_err());

    let panics = membrane(vault.clone(), policy::authorize(|_| panic!("a faulty policy")));
    refused(panics.leaf().await.unwrap_err());

    let both = policy::authorize(|call| {
        if call.arguments()?.is_empty() { Ok(()) } else { Err(Error::rejected("no arguments, please")) }
    });
    let both = membrane(vault, both.and(policy::calls(1)));
    assert_eq!(both.tell(world.raw.clone()).await.unwrap_err().message(), "no arguments, please");
    assert_eq!(both.echo(vec![1].into()).await.unwrap_err().message(), "no arguments, please");
    both.leaf().await.unwrap();
    refused(both.leaf().await.unwrap_err());
}

#[tokio::test(start_paused = true)]
async fn time_and_rate_are_those_of_the_runtime() {
    let leaf = LeafClient::new(Counted::default());
    let period = Duration::from_secs(1);
    let rated = membrane(leaf.clone(), policy::rate(2, period, |call: &CallInfo| call.path()));
    rated.ping().await.unwrap();
    rated.ping().await.unwrap();
    rated.ping().await.unwrap_err();
    rated.peek().await.unwrap();
    tokio::time::advance(period).await;
    rated.ping().await.unwrap();

    let expiring = membrane(leaf, policy::expires(period));
    expiring.ping().await.unwrap();
    tokio::time::advance(period).await;
    expiring.ping().await.unwrap_err();
}

#[tokio::test]
async fn outcomes_are_told_with_their_time() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tells = told.clone();
    let log = policy::log(move |call: &CallInfo, outcome: Result<(), &Error>, _| {
        tells.lock().unwrap().push((call.path(), outcome.is_ok()));
    });
    let world = world();
    let vault = membrane(VaultClient::from_arc(world.inside.clone()), log);
    vault.leaf().await.unwrap().ping().await.unwrap();
    vault.cap().invoke::<()>("nothing", ()).await.unwrap_err();
    let expected = [("leaf", true), ("ping", true), ("nothing", false)];
    assert_eq!(*told.lock().unwrap(), expected.map(|(path, is_ok)| (path.to_owned(), is_ok)));
}

#[tokio::test]
async fn a_membrane_inside_another_asks_both() {
    let leaf = LeafClient::new(Counted::default());
    let (inner, outer) = (Arc::new(Noting::default()), Arc::new(Noting::default()));
    let twice = membrane(membrane(leaf.clone(), inner.clone()), outer.clone());
    twice.ping().await.unwrap();
    assert_eq!(inner.0.lock().unwrap().len(), 1);
    assert_eq!(outer.0.lock().unwrap().len(), 1);
    assert_ne!(twice, leaf);
    let (lent, membrane) = revocable(twice);
    assert!(lent.ping().await.is_ok());
    membrane.revoke(Error::rejected("over"));
    assert!(membrane.is_revoked());
    assert_eq!(lent.ping().await.unwrap_err().message(), "over");
}
