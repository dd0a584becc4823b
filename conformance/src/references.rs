//! References: functions and objects of this side that the peer keeps for a while, objects that come home, and the
//! release of all of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use capnode::{Cap, Client, Dialect, Error, ErrorKind, Func, Value};
use serde::{Deserialize, Serialize};

use crate::expect::{
    Failure, elements, equal, give_up, holds, keep, member, reference_in, rejected, type_error,
};
use crate::values::EchoClient;
use crate::{Outcome, Peer, checks};
use capnode_examples::tour::{CounterClient, TourClient};

checks! {
    "functions: of up to six arguments" => arities,
    "functions: too many and too few arguments" => arity_differs,
    "functions: every kind of argument and answer" [CapnWeb] => any_values,
    "functions: one that panics" => panics,
    "functions: given a function" => given_function,
    "functions: answering with a function" => answers_function,
    "functions: answering with an object of the peer's" => answers_object,
    "functions: called in order" => called_in_order,
    "functions: kept twice in a value" => twice,
    "functions: in an array" => in_array,
    "functions: the original comes home" [CapnWeb] => function_home,
    "objects: methods and properties" => object_members,
    "objects: the original comes home" [CapnWeb] => object_home,
    "objects: of ours in each other's methods" [CapnWeb] => object_in_object,
    "objects: inside a value" => object_nested,
    "structs: with functions and objects in them" => structs,
    "structs: enums with functions in them" => enums,
    "promises: an argument that is resolved later" => promise_later,
    "promises: calls on one that came back wait in order" => promise_order,
    "promises: one that is rejected" => promise_rejected,
    "promises: one whose resolver is dropped" => promise_dropped,
    "releases: objects of the peer's" [CapnWeb] => release_imports,
    "releases: functions of ours" [CapnWeb] => release_exports,
    "releases: results given up" => release_given_up,
    "releases: an object outlives the copies of its reference" => release_copies,
    "the same reference twice is equal" [CapnWeb, Q] => equal_references,
}

/// An object that the peer may keep.
#[capnode::interface]
trait Chest {
    async fn put(&self, value: Value);

    async fn take(&self) -> Value;

    async fn lid(&self) -> LidClient;

    async fn compare(&self, other: ChestClient) -> bool;

    #[capnode(property)]
    async fn label(&self) -> String;
}

#[capnode::interface]
trait Lid {
    async fn open(&self) -> String;
}

#[derive(Default)]
struct Wooden {
    content: Mutex<Value>,
}

impl Chest for Wooden {
    async fn put(&self, value: Value) {
        *self.content.lock().unwrap_or_else(PoisonError::into_inner) = value;
    }

    async fn take(&self) -> Value {
        std::mem::take(&mut *self.content.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn lid(&self) -> LidClient {
        LidClient::new(Wooden::default())
    }

    async fn compare(&self, other: ChestClient) -> bool {
        other.cap().local::<Wooden>().is_some_and(|other| std::ptr::eq(&*other, self))
    }

    async fn label(&self) -> String {
        "a chest".to_owned()
    }
}

impl Lid for Wooden {
    async fn open(&self) -> String {
        "open".to_owned()
    }
}

/// Lends the peer a function of a signature, and takes back the one that it kept.
async fn kept<F: ?Sized>(tour: &TourClient, function: Func<F>) -> Result<Func<F>, Failure> {
    keep(tour, function).await.map(Func::from_cap)
}

async fn arities(peer: Peer) -> Outcome {
    let tour = &peer.tour;
    let none = kept(tour, Func::<fn() -> u32>::new(|| async { 0 })).await?;
    equal(none.call().await?, 0)?;
    let one = kept(tour, Func::<fn(u32) -> u32>::new(|a| async move { a })).await?;
    equal(one.call(1).await?, 1)?;
    let two =
        kept(tour, Func::<fn(u32, String) -> String>::new(|a, b| async move { format!("{a}{b}") })).await?;
    equal(two.call(1, "b".to_owned()).await?, "1b")?;
    let three = kept(tour, Func::<fn(u32, u32, u32) -> u32>::new(|a, b, c| async move { a + b + c })).await?;
    equal(three.call(1, 2, 3).await?, 6)?;
    let four = Func::<fn(u32, u32, u32, u32) -> u32>::new(|a, b, c, d| async move { a + b + c + d });
    equal(kept(tour, four).await?.call(1, 2, 3, 4).await?, 10)?;
    let five =
        Func::<fn(u32, u32, u32, u32, u32) -> u32>::new(|a, b, c, d, e| async move { a + b + c + d + e });
    equal(kept(tour, five).await?.call(1, 2, 3, 4, 5).await?, 15)?;
    let six = Func::<fn(u32, u32, u32, u32, u32, u32) -> u32>::new(|a, b, c, d, e, f| async move {
        a + b + c + d + e + f
    });
    equal(kept(tour, six).await?.call(1, 2, 3, 4, 5, 6).await?, 21)?;
    // A function that answers with nothing.
    equal(kept(tour, Func::<fn(u32)>::new(|_| async {})).await?.call(1).await?, ())
}

async fn arity_differs(peer: Peer) -> Outcome {
    if !peer.passes_errors_on() {
        return Ok(());
    }
    let add = Func::<fn(u32, u32) -> u32>::new(|a, b| async move { a + b });
    let kept = keep(&peer.tour, add).await?;
    equal(kept.apply::<u32>((1, 2, "more", [3])).await?, 3)?;
    let error = type_error(&peer, kept.apply::<u32>((1,))).await?;
    holds(error.message().contains("argument 2"), error.message())?;
    let error = type_error(&peer, kept.apply::<u32>((1, "two"))).await?;
    holds(error.message().contains("argument 2"), error.message())
}

async fn any_values(peer: Peer) -> Outcome {
    let pass = Func::<fn(Value) -> Value>::new(|value| async move { value });
    let kept = kept(&peer.tour, pass).await?;
    for value in [
        Value::Undefined,
        Value::Null,
        Value::Number(f64::NEG_INFINITY),
        Value::from("text"),
        Value::Array(vec![Value::Array(Vec::new())]),
        Value::from([("a", Value::Array(vec![Value::Undefined]))]),
        Value::Array(vec![Value::from("export"), Value::from(1)]),
        Value::Bytes(vec![1].into()),
    ] {
        equal(kept.call(value.clone()).await?, value)?;
    }
    Ok(())
}

async fn panics(peer: Peer) -> Outcome {
    // A panic that is not reported: the output is that of the checks.
    let panics = || async { std::panic::resume_unwind(Box::new("the panic that a check is about")) };
    let kept = keep(&peer.tour, Func::<fn()>::new(panics)).await?;
    for _ in 0..2 {
        let error = rejected(kept.apply::<Value>(())).await?;
        holds(
            !error.message().contains("that a check is about"),
            "the panic's own message has left the program",
        )?;
    }
    equal(peer.tour.transform("beep").await?, "BOOP")
}

async fn given_function(peer: Peer) -> Outcome {
    let call =
        Func::<fn(Func<fn(String) -> String>) -> String>::new(|f: Func<fn(String) -> String>| async move {
            let answer = f.call("in".to_owned()).await;
            format!("{}!", answer.unwrap_or_else(|error| error.to_string()))
        });
    let kept = kept(&peer.tour, call).await?;
    let shout = Func::<fn(String) -> String>::new(|text: String| async move { text.to_uppercase() });
    equal(kept.call(shout).await?, "IN!")?;
    // A method of the peer as that function.
    equal(kept.call(Func::from_cap(peer.index().at("transform"))).await?, "IN!")
}

async fn answers_function(peer: Peer) -> Outcome {
    let adder =
        Func::<fn(u32) -> Func<fn(u32) -> u32>>::new(
            |a| async move { Func::new(move |b| async move { a + b }) },
        );
    let kept = kept(&peer.tour, adder).await?;
    let two = kept.call(2).await?;
    let five = Func::<fn(u32) -> u32>::from_cap(kept.call(5).pipeline_cap());
    equal((two.call(1).await?, five.call(1).await?, two.call(7).await?), (3, 6, 9))
}

async fn answers_object(peer: Peer) -> Outcome {
    let counter = peer.tour.counter().await?;
    let lent = counter.clone();
    let function = Func::<fn() -> CounterClient>::new(move || {
        let counter = lent.clone();
        async move { counter }
    });
    let kept = kept(&peer.tour, function).await?;
    let same = kept.call().await?;
    equal((same.next().await?, counter.next().await?, same.next().await?), (1, 2, 3))
}

async fn called_in_order(peer: Peer) -> Outcome {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    let note = Func::<fn(u32)>::new(move |at| {
        noted.lock().unwrap_or_else(PoisonError::into_inner).push(at);
        async {}
    });
    let kept = kept(&peer.tour, note).await?;
    let many = peer.many() as u32 / 2;
    let results: Vec<Cap> = (0..many).map(|at| kept.call(at).pipeline_cap()).collect();
    for result in results {
        result.read::<Value>().await?;
    }
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    equal(seen, (0..many).collect::<Vec<_>>())
}

type Prefix = Func<fn(u32) -> String>;

fn prefixed(prefix: &'static str) -> Prefix {
    Func::new(move |x: u32| async move { format!("{prefix} {x}") })
}

async fn twice(peer: Peer) -> Outcome {
    let (f, g) = (prefixed("f"), prefixed("g"));
    let value = Value::from([
        ("on", Value::Cap(f.clone().into())),
        ("addListener", Value::Cap(f.into())),
        ("off", Value::Cap(g.into())),
    ]);
    let back = peer.tour.echo(value).await?;
    let (on, add, off) = (member(&back, "on")?, member(&back, "addListener")?, member(&back, "off")?);
    equal(on.apply::<String>((1,)).await?, "f 1")?;
    equal(add.apply::<String>((2,)).await?, "f 2")?;
    equal(off.apply::<String>((3,)).await?, "g 3")?;
    if peer.is_rust() {
        holds(on == add && on != off, "equality has changed")?;
    }
    Ok(())
}

async fn in_array(peer: Peer) -> Outcome {
    let inner = Value::Array(vec![Value::Cap(prefixed("g").into())]);
    let back = peer
        .tour
        .echo(Value::Array(vec![Value::Cap(prefixed("f").into()), Value::from("text"), inner]))
        .await?;
    let back = elements(&back)?;
    equal(back.len(), 3)?;
    equal(reference_in(&back[0])?.apply::<String>((1,)).await?, "f 1")?;
    equal(reference_in(&elements(&back[2])?[0])?.apply::<String>((2,)).await?, "g 2")
}

async fn function_home(peer: Peer) -> Outcome {
    let function: Cap = prefixed("f").into();
    let alone = keep(&peer.tour, function.clone()).await?;
    let inside = member(&peer.tour.echo(Value::from([("f", Value::Cap(function.clone()))])).await?, "f")?;
    equal(alone.apply::<String>((1,)).await?, "f 1")?;
    equal(inside.apply::<String>((2,)).await?, "f 2")?;
    if peer.is_rust() {
        holds(alone == function && inside == function, "what came home is not the original")?;
    }
    Ok(())
}

async fn object_members(peer: Peer) -> Outcome {
    let chest = ChestClient::from_cap(keep(&peer.tour, ChestClient::new(Wooden::default())).await?);
    let gold = Value::from([("gold", Value::Array(vec![Value::from(1)]))]);
    chest.put(gold.clone()).await?;
    equal(chest.take().await?, gold)?;
    equal(chest.label().await?, "a chest")?;
    equal(chest.lid().pipeline().open().await?, "open")?;
    equal(chest.cap().get::<Value>("nosuch").await?, Value::Undefined)?;
    equal(
        type_error(&peer, chest.cap().invoke::<Value>("nosuch", ())).await?.message(),
        "'nosuch' is not a function.",
    )?;
    if peer.dialect() == Dialect::Capnode {
        // There a property is a function without arguments.
        return equal(chest.cap().invoke::<String>("label", ()).await?, "a chest");
    }
    holds(
        type_error(&peer, chest.cap().invoke::<Value>("label", ()))
            .await?
            .message()
            .contains("is not a function"),
        "a property was called",
    )
}

async fn object_home(peer: Peer) -> Outcome {
    let object = Arc::new(Wooden::default());
    let chest = ChestClient::from_arc(object.clone());
    let back = ChestClient::from_cap(keep(&peer.tour, chest.clone()).await?);
    back.put(Value::from("gold")).await?;
    equal(object.take().await, Value::from("gold"))?;
    if peer.is_rust() {
        holds(back == chest, "what came home is not the original")?;
        let local = back.cap().local::<Wooden>().ok_or_else(|| Failure::new("what came home is not ours"))?;
        holds(Arc::ptr_eq(&local, &object), "what came home is another object")?;
        holds(back.cap().local::<String>().is_none(), "the object has a type that it has not")?;
    }
    Ok(())
}

async fn object_in_object(peer: Peer) -> Outcome {
    let (one, other) = (ChestClient::new(Wooden::default()), ChestClient::new(Wooden::default()));
    let kept = ChestClient::from_cap(keep(&peer.tour, one.clone()).await?);
    equal((kept.compare(one).await?, kept.compare(other).await?), (true, false))
}

async fn object_nested(peer: Peer) -> Outcome {
    let object = Arc::new(Wooden::default());
    let chest = Value::Cap(ChestClient::from_arc(object.clone()).into());
    let back =
        peer.tour.echo(Value::from([("deep", Value::Array(vec![Value::from([("chest", chest)])]))])).await?;
    let deep = elements(back.get("deep").unwrap_or(&Value::Undefined))?;
    let chest = ChestClient::from_cap(member(&deep[0], "chest")?);
    chest.put(Value::from("gold")).await?;
    equal(object.take().await, Value::from("gold"))
}

/// References in a type with an ordinary serde derive.
#[derive(Clone, Serialize, Deserialize)]
struct Toolbox {
    name: String,
    add: Func<fn(u32, u32) -> u32>,
    counter: Option<CounterClient>,
    spare: Option<CounterClient>,
    more: Vec<(String, Prefix)>,
    by_name: BTreeMap<String, ChestClient>,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Clone, Serialize, Deserialize)]
struct Rest {
    last: Prefix,
}

async fn structs(peer: Peer) -> Outcome {
    let counter = peer.tour.counter().await?;
    let toolbox = Toolbox {
        name: "all".to_owned(),
        add: Func::new(|a, b| async move { a + b }),
        counter: Some(counter.clone()),
        spare: None,
        more: vec![("f".to_owned(), prefixed("f")), ("g".to_owned(), prefixed("g"))],
        by_name: BTreeMap::from([("oak".to_owned(), ChestClient::new(Wooden::default()))]),
        rest: Rest { last: prefixed("last") },
    };
    let back = EchoClient::<Toolbox>::from_cap(peer.index()).echo(toolbox).await?;
    equal(back.name.as_str(), "all")?;
    equal(back.add.call(2, 3).await?, 5)?;
    let same = back.counter.ok_or_else(|| Failure::new("the counter did not come back"))?;
    equal((same.next().await?, counter.next().await?), (1, 2))?;
    holds(back.spare.is_none(), "a counter that was not sent came back")?;
    equal(back.more.len(), 2)?;
    for (name, function) in &back.more {
        equal(function.call(1).await?, format!("{name} 1"))?;
    }
    let oak = back.by_name.get("oak").ok_or_else(|| Failure::new("the chest did not come back"))?;
    equal(oak.label().await?, "a chest")?;
    equal(back.rest.last.call(9).await?, "last 9")
}

#[derive(Clone, Serialize, Deserialize)]
enum Step {
    Wait,
    Call(Prefix),
    Both { before: Prefix, after: Box<Step> },
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Run { function: Prefix },
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Either {
    Number(u32),
    Function(Prefix),
}

async fn enums(peer: Peer) -> Outcome {
    let steps = EchoClient::<Vec<Step>>::from_cap(peer.index());
    let inner = Box::new(Step::Call(prefixed("after")));
    let sent = vec![
        Step::Wait,
        Step::Call(prefixed("call")),
        Step::Both { before: prefixed("before"), after: inner },
    ];
    match steps.echo(sent).await?.as_slice() {
        [Step::Wait, Step::Call(call), Step::Both { before, after }] => {
            equal(call.call(1).await?, "call 1")?;
            equal(before.call(2).await?, "before 2")?;
            match &**after {
                Step::Call(after) => equal(after.call(3).await?, "after 3")?,
                _ => return Err(Failure::new("the inner step has changed")),
            }
        }
        _ => return Err(Failure::new("the steps have changed")),
    }
    let Tagged::Run { function } =
        EchoClient::from_cap(peer.index()).echo(Tagged::Run { function: prefixed("tagged") }).await?;
    equal(function.call(4).await?, "tagged 4")?;
    let either = EchoClient::<Vec<Either>>::from_cap(peer.index());
    match either.echo(vec![Either::Function(prefixed("either")), Either::Number(6)]).await?.as_slice() {
        [Either::Function(function), Either::Number(6)] => equal(function.call(5).await?, "either 5"),
        _ => Err(Failure::new("the alternatives have changed")),
    }
}

// ------------------------------------------------------------------------------------- promises

async fn promise_later(peer: Peer) -> Outcome {
    let (promise, resolver) = ChestClient::promise();
    let value = Value::from([("chest", Value::Cap(promise.clone().into()))]);
    // The answer does not wait for the outcome of the promise.
    let back = ChestClient::from_cap(member(&peer.tour.echo(value).await?, "chest")?);
    let mut label = std::pin::pin!(back.label());
    tokio::select! {
        biased;
        label = &mut label => return Err(Failure::new(format!("{label:?} before there was a chest"))),
        answer = peer.tour.transform("beep") => equal(answer?, "BOOP")?,
    }
    resolver.resolve(ChestClient::new(Wooden::default()));
    equal(label.await?, "a chest")?;
    equal(promise.label().await?, "a chest")
}

async fn promise_order(peer: Peer) -> Outcome {
    let (promise, resolver) = CounterClient::promise();
    let kept = CounterClient::from_cap(keep(&peer.tour, promise).await?);
    let early: Vec<_> = (0..20).map(|_| kept.next().pipeline_cap()).collect();
    equal(peer.tour.transform("x").await?, "X")?;
    // A counter of the peer, which gets the calls made on the promise.
    resolver.resolve(peer.tour.counter().await?);
    let late: Vec<_> = (0..20).map(|_| kept.next().pipeline_cap()).collect();
    for (result, expected) in early.iter().chain(&late).zip(1u32..) {
        equal(result.read::<u32>().await?, expected)?;
    }
    Ok(())
}

async fn promise_rejected(peer: Peer) -> Outcome {
    if !peer.passes_errors_on() {
        return Ok(());
    }
    let (promise, resolver) = ChestClient::promise();
    let kept = ChestClient::from_cap(keep(&peer.tour, promise).await?);
    let early = kept.lid().pipeline();
    resolver.reject(Error::rejected("no chest today"));
    for outcome in [early.open().await, kept.label().await] {
        equal(outcome.err().map(|error| error.message().to_owned()), Some("no chest today".to_owned()))?;
    }
    Ok(())
}

async fn promise_dropped(peer: Peer) -> Outcome {
    if !peer.passes_errors_on() {
        return Ok(());
    }
    let (promise, resolver) = ChestClient::promise();
    let kept = ChestClient::from_cap(keep(&peer.tour, promise).await?);
    drop(resolver);
    let message = kept.label().await.err().map(|error| error.message().to_owned());
    equal(message.as_deref(), Some("the resolver of the promise was dropped"))
}

// ------------------------------------------------------------------------------------- releases

async fn release_imports(peer: Peer) -> Outcome {
    let before = peer.connection.tables().imports;
    for _ in 0..4 {
        let mut counters = Vec::new();
        for _ in 0..25 {
            counters.push(peer.tour.counter().await?);
        }
        equal(peer.connection.tables().imports - before, 25)?;
        drop(counters);
        let back = peer.tables(|tables| tables.imports == before).await;
        back.map_err(|tables| Failure::new(format!("still held: {tables:?}")))?;
    }
    Ok(())
}

async fn release_exports(peer: Peer) -> Outcome {
    let token = Arc::new(());
    for _ in 0..4 {
        let mut kept = Vec::new();
        for _ in 0..25 {
            let token = token.clone();
            let function = Func::<fn() -> usize>::new(move || {
                let held = Arc::strong_count(&token);
                async move { held }
            });
            kept.push(keep(&peer.tour, function).await?);
        }
        for function in &kept {
            equal(function.apply::<usize>(()).await?, 26)?;
        }
        drop(kept);
        let back = peer.tables(|tables| tables.exports == 0).await;
        back.map_err(|tables| Failure::new(format!("still lent: {tables:?}")))?;
        equal(Arc::strong_count(&token), 1)?;
    }
    Ok(())
}

async fn release_given_up(peer: Peer) -> Outcome {
    for _ in 0..20 {
        give_up(peer.tour.counter()).await;
        give_up(peer.tour.echo(Value::Array(vec![Value::Cap(prefixed("f").into())]))).await;
        drop(peer.tour.authenticate("ann").pipeline());
    }
    equal(peer.tour.transform("beep").await?, "BOOP")
}

async fn release_copies(peer: Peer) -> Outcome {
    let counter = peer.tour.counter().await?;
    let value = Value::from([("counter", Value::Cap(counter.clone().into()))]);
    let copy = counter.clone();
    // Sent home and dropped here at once: the two cross on the line.
    let echo = peer.tour.echo(value);
    drop(counter);
    let back = CounterClient::from_cap(member(&echo.await?, "counter")?);
    equal(copy.next().await?, 1)?;
    drop(copy);
    equal(peer.tour.transform("x").await?, "X")?;
    equal(back.next().await?, 2)
}

async fn equal_references(peer: Peer) -> Outcome {
    let counter = peer.tour.counter().await?;
    holds(peer.index() == Cap::from(peer.tour.clone()), "the index is not equal to itself")?;
    holds(Cap::from(counter.clone()) != peer.index(), "a counter is equal to the index")?;
    let broken = Cap::broken(Error::rejected("gone"));
    holds(broken == broken.clone(), "a broken reference is not equal to itself")?;
    let error = broken.invoke::<Value>("next", ()).await.err();
    equal(
        error.map(|error| (error.kind(), error.message().to_owned())),
        Some((ErrorKind::Rejected, "gone".to_owned())),
    )
}
