//! Each method of the tour in all the ways a method can be used: for its value, for its error, from
//! a callback that the peer kept, on a reference inside a value, on one sent home, pipelined, and
//! given up before its answer.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use capnode::{Cap, Client, Func, Value};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::expect::{
    Failure, elements, equal, equal_in, give_up, holds, keep, member, rejected, tour_error, type_error,
};
use crate::{Outcome, Peer, checks};
use capnode_examples::tour::{CounterClient, TourError, UserClient};

checks! {
    "transform: text" => transform_text,
    "transform: other letters" => transform_letters,
    "transform: 200 KB of text" [CapnWeb, Q] => transform_long,
    "transform: an argument of another type" => transform_type,
    "transform: too few arguments" => transform_too_few,
    "transform: from a kept callback" => transform_from_callback,
    "transform: the method itself inside a value" => transform_nested,
    "transform: the method itself sent home" => transform_home,
    "transform: given up before its answer" => transform_given_up,
    "transform: sent without wanting an answer" => transform_sent,
    "counter: counts and begins anew" => counter_counts,
    "counter: each is its own" => counter_own,
    "counter: a method it does not have" => counter_missing,
    "counter: from a kept callback" => counter_from_callback,
    "counter: inside a value" [CapnWeb] => counter_nested,
    "counter: sent home" [CapnWeb] => counter_home,
    "counter: pipelined" => counter_pipelined,
    "counter: given up before its answer" => counter_given_up,
    "on: calls back three times, one after the other" => on_calls,
    "on: a callback may call the peer" => on_calls_back,
    "on: a callback that fails ends it" => on_fails,
    "on: a callback that fails at its second call" => on_fails_later,
    "on: a callback's own error" => on_typed_failure,
    "on: a callback of another type" => on_type,
    "on: a kept callback" => on_kept,
    "on: from a kept callback" => on_from_callback,
    "on: a callback from inside a value" => on_nested,
    "on: a function of the peer's sent home" => on_home,
    "on: a callback that is not there yet" => on_promise,
    "on: a callback that is the result of a call not answered yet" => on_pipelined,
    "on: other calls go on while a callback is waiting" => on_concurrent,
    "on: given up while its callback is waiting" [CapnWeb] => on_given_up,
    "fail: its error" => fail_error,
    "fail: among calls that succeed" => fail_among,
    "fail: from a kept callback" => fail_from_callback,
    "fail: the method itself inside a value" => fail_nested,
    "fail: runs down a pipelined chain" => fail_pipelined,
    "fail: given up before its answer" => fail_given_up,
    "authenticate: step by step" => authenticate_steps,
    "authenticate: an argument of another type" => authenticate_type,
    "authenticate: from a kept callback" => authenticate_from_callback,
    "authenticate: a user inside a value" [CapnWeb] => authenticate_nested,
    "authenticate: a user sent home" [CapnWeb] => authenticate_home,
    "authenticate: pipelined" => authenticate_pipelined,
    "authenticate: one step used several times" => authenticate_shared,
    "authenticate: given up before its answer" => authenticate_given_up,
    "echo: nothing" => echo_nothing,
    "echo: from a kept callback" [CapnWeb, Q] => echo_from_callback,
    "echo: the method itself inside a value" => echo_nested,
    "echo: fields of a result not there yet" => echo_fields,
    "echo: given up before its answer" => echo_given_up,
}

/// A list that callbacks write to.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn push(&self, entry: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry.into());
    }

    fn entries(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

// ------------------------------------------------------------------------------------ transform

async fn transform_text(peer: Peer) -> Outcome {
    for (text, expected) in [
        ("beep", "BOOP"),
        ("", ""),
        ("hello", "HELLO"),
        ("queue", "QOO"),
        ("beep beep", "BOOP BEEP"),
        ("aeiou", "OO"),
        ("BEEP", "BEEP"),
        ("bAiE a e", "BAIE A E"),
    ] {
        equal_in(text, peer.tour.transform(text).await?, expected)?;
    }
    Ok(())
}

async fn transform_letters(peer: Peer) -> Outcome {
    equal(peer.tour.transform("straße").await?, "STRASSE")?;
    equal(peer.tour.transform("größee").await?, "GRÖSSOO")?;
    equal(peer.tour.transform("éé → ee 🙂").await?, "ÉÉ → OO 🙂")
}

async fn transform_long(peer: Peer) -> Outcome {
    equal(peer.tour.transform(&format!("b{}p", "e".repeat(200_000))).await?, "BOOP")?;
    equal(peer.tour.transform(&"xy".repeat(100_000)).await?, "XY".repeat(100_000))
}

async fn transform_type(peer: Peer) -> Outcome {
    for argument in [Value::from(42), Value::Null, Value::from([("text", Value::from("beep"))])] {
        let error = type_error(&peer, peer.index().invoke::<Value>("transform", (&argument,))).await?;
        if peer.is_rust() {
            let message = error.message();
            holds(message.starts_with("transform: argument 1, `text`: invalid type: "), message)?;
            holds(message.ends_with("expected a string"), message)?;
        }
    }
    Ok(())
}

async fn transform_too_few(peer: Peer) -> Outcome {
    let error = type_error(&peer, peer.index().invoke::<Value>("transform", ())).await?;
    if peer.is_rust() {
        equal(error.message(), "transform: argument 1, `text`: it is missing, expected a string")?;
    }
    Ok(())
}

/// A function that works on its argument, each time anew.
fn function<A, R, Fut>(body: impl Fn(A) -> Fut + Send + Sync + 'static) -> Func<fn(A) -> R>
where
    A: capnode::Wire,
    R: capnode::Wire,
    Fut: Future<Output = R> + Send + 'static,
{
    Func::new(body)
}

async fn transform_from_callback(peer: Peer) -> Outcome {
    let tour = peer.tour.clone();
    let shout = function(move |text: String| {
        let tour = tour.clone();
        async move { tour.transform(&text).await.unwrap_or_else(|error| error.to_string()) }
    });
    let kept = keep(&peer.tour, shout).await?;
    equal(kept.apply::<String>(("beep",)).await?, "BOOP")?;
    equal(peer.tour.counter().await?.next().await?, 1)?;
    equal(kept.apply::<String>(("moo",)).await?, "MOO")
}

async fn transform_nested(peer: Peer) -> Outcome {
    let method = peer.index().at("transform");
    let value = peer.tour.echo(Value::from([("inner", Value::Array(vec![Value::Cap(method)]))])).await?;
    let inner = elements(value.get("inner").unwrap_or(&Value::Undefined))?;
    let method =
        inner.first().and_then(Value::as_cap).ok_or_else(|| Failure::new("the method did not come back"))?;
    equal(method.apply::<String>(("beep",)).await?, "BOOP")
}

async fn transform_home(peer: Peer) -> Outcome {
    let method = keep(&peer.tour, peer.index().at("transform")).await?;
    equal(method.apply::<String>(("beep",)).await?, "BOOP")?;
    equal(method.apply::<String>(("loop",)).await?, "LOOP")
}

async fn transform_given_up(peer: Peer) -> Outcome {
    for _ in 0..10 {
        give_up(peer.tour.transform("beep")).await;
    }
    // A call that was never polled was never made.
    drop(peer.tour.transform("beep"));
    equal(peer.tour.transform("beep").await?, "BOOP")
}

async fn transform_sent(peer: Peer) -> Outcome {
    peer.tour.transform("beep").send()?;
    peer.tour.fail().send()?;
    equal(peer.tour.transform("beep").await?, "BOOP")
}

// -------------------------------------------------------------------------------------- counter

async fn counter_counts(peer: Peer) -> Outcome {
    let counter = peer.tour.counter().await?;
    for expected in 1..=3 {
        equal(counter.next().await?, expected)?;
    }
    counter.reset().await?;
    equal(counter.next().await?, 1)?;
    equal(counter.next().await?, 2)
}

async fn counter_own(peer: Peer) -> Outcome {
    let (a, b) = (peer.tour.counter().await?, peer.tour.counter().await?);
    holds(a != b, "two counters are equal")?;
    holds(a == a.clone(), "a counter is not equal to itself")?;
    equal((a.next().await?, a.next().await?, b.next().await?, a.next().await?), (1, 2, 1, 3))
}

async fn counter_missing(peer: Peer) -> Outcome {
    let counter = peer.tour.counter().await?;
    for name in ["nosuch", "transform"] {
        let error = type_error(&peer, counter.cap().invoke::<Value>(name, ())).await?;
        if peer.says_what() {
            equal(error.message(), format!("'{name}' is not a function."))?;
        }
    }
    crate::calls::nothing_has(counter.cap()).await?;
    equal(counter.next().await?, 1)
}

async fn counter_from_callback(peer: Peer) -> Outcome {
    let twice = function(|counter: CounterClient| async move {
        // The order is that of sending, for answers at any time.
        let (first, second) = tokio::join!(counter.next(), counter.next());
        vec![first.unwrap_or_default(), second.unwrap_or_default()]
    });
    let kept = keep(&peer.tour, twice).await?;
    let counter = peer.tour.counter().await?;
    equal(kept.apply::<Vec<u32>>((&counter,)).await?, vec![1, 2])?;
    equal(kept.apply::<Vec<u32>>((&counter,)).await?, vec![3, 4])?;
    equal(counter.next().await?, 5)
}

async fn counter_nested(peer: Peer) -> Outcome {
    let (a, b) = (peer.tour.counter().await?, peer.tour.counter().await?);
    let of = |counter: &CounterClient| Value::Cap(counter.clone().into());
    let value = Value::Array(vec![of(&a), Value::from("text"), Value::from([("b", of(&b)), ("a", of(&a))])]);
    let back = peer.tour.echo(value).await?;
    let back = elements(&back)?;
    equal(back.len(), 3)?;
    equal(&back[1], &Value::from("text"))?;
    let first = CounterClient::from_cap(crate::expect::reference_in(&back[0])?);
    let second = CounterClient::from_cap(member(&back[2], "a")?);
    let other = CounterClient::from_cap(member(&back[2], "b")?);
    equal((first.next().await?, second.next().await?, a.next().await?), (1, 2, 3))?;
    equal((other.next().await?, b.next().await?), (1, 2))?;
    if peer.is_rust() {
        holds(first == a && second == a && other == b, "what came home is not the original")?;
    }
    Ok(())
}

async fn counter_home(peer: Peer) -> Outcome {
    let counter = peer.tour.counter().await?;
    let mut copies = vec![counter.clone()];
    for at in 0..5 {
        copies.push(CounterClient::from_cap(keep(&peer.tour, copies[at].clone()).await?));
    }
    for (copy, expected) in copies.iter().zip(1..) {
        equal(copy.next().await?, expected)?;
    }
    if peer.is_rust() {
        holds(copies.iter().all(|copy| *copy == counter), "what came home is not the original")?;
    }
    // Each is a reference of its own: one stays when the others are released.
    let last = copies.pop();
    drop((copies, counter));
    equal(peer.tour.transform("x").await?, "X")?;
    match last {
        Some(last) => equal(last.next().await?, 7),
        None => Ok(()),
    }
}

async fn counter_pipelined(peer: Peer) -> Outcome {
    let counter = peer.tour.counter().pipeline();
    equal(counter.next().await?, 1)?;
    let (second, third) = tokio::join!(counter.next(), counter.next());
    equal((second?, third?), (2, 3))?;
    counter.reset().await?;
    equal(counter.next().await?, 1)?;
    equal(peer.tour.counter().pipeline().next().await?, 1)
}

async fn counter_given_up(peer: Peer) -> Outcome {
    for _ in 0..10 {
        give_up(peer.tour.counter()).await;
        drop(peer.tour.counter().pipeline());
    }
    // The object is dropped at once, and the call on it was made before.
    let next = peer.tour.counter().pipeline().next();
    equal(next.await?, 1)
}

// ------------------------------------------------------------------------------------------- on

async fn on_calls(peer: Peer) -> Outcome {
    let log = Log::default();
    let callback = {
        let (log, tour) = (log.clone(), peer.tour.clone());
        move |event: String, data: String| {
            let (log, tour) = (log.clone(), tour.clone());
            async move {
                log.push(format!("{event} {data}"));
                // Long enough for another call to show up, were one made.
                let answer = tour.transform("x").await;
                log.push(answer.unwrap_or_else(|error| error.to_string()));
            }
        }
    };
    peer.tour.on("tick", callback).await?;
    equal(log.entries(), ["tick data", "X", "tick data", "X", "tick data", "X"])
}

async fn on_calls_back(peer: Peer) -> Outcome {
    let log = Log::default();
    let counter = peer.tour.counter().await?;
    let callback = {
        let (log, tour, counter) = (log.clone(), peer.tour.clone(), counter.clone());
        move |event: String, _: String| {
            let (log, tour, counter) = (log.clone(), tour.clone(), counter.clone());
            async move {
                let inner = log.clone();
                let seen = tour.on(&event, move |event: String, _: String| {
                    let inner = inner.clone();
                    async move { inner.push(event) }
                });
                let outcome = seen.await.map(|()| "done".to_owned());
                let count = counter.next().await.unwrap_or_default();
                log.push(format!("{} {count}", outcome.unwrap_or_else(|error| error.to_string())));
            }
        }
    };
    peer.tour.on("a", callback).await?;
    equal(log.entries(), ["a", "a", "a", "done 1", "a", "a", "a", "done 2", "a", "a", "a", "done 3"])
}

/// An error of a lent callback.
#[derive(Debug, Serialize, Deserialize)]
struct Refusal {
    code: u32,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "callback refused")
    }
}

type Callback = Func<fn(String, String)>;

/// A callback that fails at its call number `at`, and how often it has been called.
fn failing(at: usize) -> (Callback, Arc<AtomicUsize>) {
    let calls = Arc::<AtomicUsize>::default();
    let counted = calls.clone();
    let function = Func::<fn(String, String) -> Result<(), Refusal>>::fallible(move |_, _| {
        let call = counted.fetch_add(1, Ordering::Relaxed) + 1;
        async move { if call == at { Err(Refusal { code: 7 }) } else { Ok(()) } }
    });
    // The method alone knows the ways it can fail: a caller without that knowledge sees a message.
    (Func::from_cap(function.into()), calls)
}

async fn on_fails(peer: Peer) -> Outcome {
    if !peer.passes_errors_on() {
        return Ok(());
    }
    let (callback, calls) = failing(1);
    let outcome = peer.tour.on("tick", callback).await;
    tour_error(outcome, &TourError::Callback("callback refused".to_owned()), peer.is_rust())?;
    equal_in("calls", calls.load(Ordering::Relaxed), 1)
}

async fn on_fails_later(peer: Peer) -> Outcome {
    if !peer.passes_errors_on() {
        return Ok(());
    }
    let (callback, calls) = failing(2);
    let outcome = peer.tour.on("tick", callback).await;
    tour_error(outcome, &TourError::Callback("callback refused".to_owned()), peer.is_rust())?;
    equal_in("calls", calls.load(Ordering::Relaxed), 2)
}

async fn on_typed_failure(peer: Peer) -> Outcome {
    if !peer.passes_errors_on() {
        return Ok(());
    }
    let function = Func::<fn() -> Result<(), Refusal>>::fallible(|| async { Err(Refusal { code: 42 }) });
    let kept = Func::<fn() -> Result<(), Refusal>>::from_cap(keep(&peer.tour, function).await?);
    let refusal = kept.call().await.err().and_then(capnode::CallError::returned);
    equal(refusal.map(|refusal| refusal.code), Some(42))
}

async fn on_type(peer: Peer) -> Outcome {
    // A peer in JavaScript notices it when it calls a value that is no function.
    let error = rejected(peer.index().invoke::<Value>("on", ("tick", "not a function"))).await?;
    if peer.is_rust() {
        holds(error.message().starts_with("on: argument 2, `callback`: "), error.message())?;
        let error = type_error(&peer, peer.index().invoke::<Value>("on", (5, "not a function"))).await?;
        holds(error.message().starts_with("on: argument 1, `event`: "), error.message())?;
        let error = type_error(&peer, peer.index().invoke::<Value>("on", ("tick",))).await?;
        holds(error.message().starts_with("on: argument 2, `callback`: it is missing"), error.message())?;
    }
    Ok(())
}

/// A callback that records its arguments.
fn noting(log: &Log) -> Callback {
    let log = log.clone();
    Func::new(move |event: String, data: String| {
        let log = log.clone();
        async move { log.push(format!("{event} {data}")) }
    })
}

async fn on_kept(peer: Peer) -> Outcome {
    let log = Log::default();
    let kept = Func::from_cap(keep(&peer.tour, noting(&log)).await?);
    peer.tour.on("one", kept.clone()).await?;
    equal(peer.tour.transform("beep").await?, "BOOP")?;
    peer.tour.on("two", kept.clone()).await?;
    kept.call("three".to_owned(), "more".to_owned()).await?;
    let expected = ["one data", "one data", "one data", "two data", "two data", "two data", "three more"];
    equal(log.entries(), expected)
}

async fn on_from_callback(peer: Peer) -> Outcome {
    let log = Log::default();
    let (tour, callback) = (peer.tour.clone(), noting(&log));
    let subscribe = function(move |event: String| {
        let (tour, callback) = (tour.clone(), callback.clone());
        async move {
            tour.on(&event, callback).await.map_or_else(|error| error.to_string(), |()| "done".to_owned())
        }
    });
    let kept = keep(&peer.tour, subscribe).await?;
    equal(kept.apply::<String>(("later",)).await?, "done")?;
    equal(log.entries(), ["later data", "later data", "later data"])
}

async fn on_nested(peer: Peer) -> Outcome {
    let log = Log::default();
    let callback = Value::Cap(noting(&log).into());
    let value = Value::from([("handlers", Value::from([("tick", callback)]))]);
    let back = peer.tour.echo(value).await?;
    let callback = member(back.get("handlers").unwrap_or(&Value::Undefined), "tick")?;
    peer.tour.on("tick", Func::from_cap(callback)).await?;
    equal(log.entries(), ["tick data", "tick data", "tick data"])
}

async fn on_home(peer: Peer) -> Outcome {
    if !peer.passes_errors_on() {
        return Ok(());
    }
    // A method of the peer, as the callback of another. Surplus arguments do not matter.
    let method = Func::from_cap(peer.index().at("transform"));
    peer.tour.on("beep", method).await?;
    let failing = Func::from_cap(peer.index().at("fail"));
    let outcome = peer.tour.on("beep", failing).await;
    tour_error(outcome, &TourError::Callback("intentional failure".to_owned()), peer.is_rust())
}

async fn on_promise(peer: Peer) -> Outcome {
    let log = Log::default();
    let (promise, resolver) = capnode::promise::<CounterClient>();
    let mut call = std::pin::pin!(peer.tour.on("tick", Func::from_cap(promise.into())));
    tokio::select! {
        biased;
        outcome = &mut call => {
            outcome?;
            return Err(Failure::new("answered before there was a callback"));
        }
        answer = peer.tour.transform("beep") => equal(answer?, "BOOP")?,
    }
    resolver.resolve(CounterClient::from_cap(noting(&log).into()));
    call.await?;
    equal(log.entries(), ["tick data", "tick data", "tick data"])
}

async fn on_pipelined(peer: Peer) -> Outcome {
    let log = Log::default();
    let callback = peer.tour.echo(Value::Cap(noting(&log).into())).pipeline_cap();
    peer.tour.on("tick", Func::from_cap(callback)).await?;
    equal(log.entries(), ["tick data", "tick data", "tick data"])
}

/// A callback that says when it is called, and then waits until `gate` is closed.
fn waiting(entered: &Arc<Semaphore>, gate: &Arc<Semaphore>) -> Callback {
    let (entered, gate) = (entered.clone(), gate.clone());
    Func::new(move |_: String, _: String| {
        let gate = gate.clone();
        entered.add_permits(1);
        async move {
            // No permit is ever given out, so this ends when the gate is closed.
            let _closed = gate.acquire().await;
        }
    })
}

async fn on_concurrent(peer: Peer) -> Outcome {
    let (entered, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let mut call = std::pin::pin!(peer.tour.on("slow", waiting(&entered, &gate)));
    tokio::select! {
        outcome = &mut call => {
            outcome?;
            return Err(Failure::new("answered before the callback was"));
        }
        called = entered.acquire() => called?.forget(),
    }
    equal(peer.tour.transform("beep").await?, "BOOP")?;
    equal(peer.tour.authenticate("ann").pipeline().profile().pipeline().name().await?, "user of ann")?;
    gate.close();
    call.await?;
    Ok(())
}

async fn on_given_up(peer: Peer) -> Outcome {
    let (entered, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let mut call = Box::pin(peer.tour.on("slow", waiting(&entered, &gate)));
    tokio::select! {
        outcome = &mut call => {
            outcome?;
            return Err(Failure::new("answered before the callback was"));
        }
        called = entered.acquire() => called?.forget(),
    }
    drop(call);
    equal(peer.tour.transform("beep").await?, "BOOP")?;
    if peer.is_rust() {
        // The method was cancelled, and gives the callback back without another call.
        let held = peer.tables(|tables| tables.exports == 0).await;
        held.map_err(|tables| Failure::new(format!("it was not cancelled: {tables:?}")))?;
        equal_in("further calls", entered.available_permits(), 0)?;
    }
    // A peer in JavaScript goes on, and gives the callback back at the end.
    gate.close();
    Ok(())
}

// ----------------------------------------------------------------------------------------- fail

async fn fail_error(peer: Peer) -> Outcome {
    tour_error(peer.tour.fail().await, &TourError::Intentional, peer.is_rust())?;
    let error = rejected(peer.index().invoke::<Value>("fail", ())).await?;
    equal((error.name(), error.message()), ("Error", "intentional failure"))
}

async fn fail_among(peer: Peer) -> Outcome {
    let mut calls = Vec::new();
    for at in 0..60 {
        let tour = peer.tour.clone();
        calls.push(tokio::spawn(async move {
            if at % 3 == 0 {
                tour_error(tour.fail().await, &TourError::Intentional, false)
            } else {
                equal(tour.transform(&format!("bee {at}")).await?, format!("BOO {at}"))
            }
        }));
    }
    for call in calls {
        call.await??;
    }
    Ok(())
}

async fn fail_from_callback(peer: Peer) -> Outcome {
    if !peer.passes_errors_on() {
        return Ok(());
    }
    let tour = peer.tour.clone();
    let function = Func::<fn() -> Result<(), TourError>>::fallible(move || {
        let tour = tour.clone();
        async move {
            tour.fail().await.map_err(|error| {
                error.returned().unwrap_or_else(|| TourError::Callback("untyped".to_owned()))
            })
        }
    });
    let kept = Func::<fn() -> Result<(), TourError>>::from_cap(keep(&peer.tour, function).await?);
    let expected =
        if peer.is_rust() { TourError::Intentional } else { TourError::Callback("untyped".to_owned()) };
    for _ in 0..2 {
        equal(kept.call().await.err().and_then(capnode::CallError::returned), Some(expected.clone()))?;
    }
    Ok(())
}

async fn fail_nested(peer: Peer) -> Outcome {
    if !peer.passes_errors_on() {
        return Ok(());
    }
    let value = Value::from([("fail", Value::Cap(peer.index().at("fail")))]);
    let back = member(&peer.tour.echo(value).await?, "fail")?;
    for _ in 0..2 {
        equal(rejected(back.apply::<Value>(())).await?.message(), "intentional failure")?;
    }
    Ok(())
}

async fn fail_pipelined(peer: Peer) -> Outcome {
    let failed = peer.tour.fail().pipeline_cap();
    equal(rejected(failed.get::<Value>("member")).await?.message(), "intentional failure")?;
    equal(rejected(failed.invoke::<Value>("next", ())).await?.message(), "intentional failure")?;
    let user = UserClient::from_cap(failed.clone());
    equal(rejected(user.profile().pipeline().name()).await?.message(), "intentional failure")?;
    equal(rejected(failed.at("a").at("b").read::<Value>()).await?.message(), "intentional failure")
}

async fn fail_given_up(peer: Peer) -> Outcome {
    for _ in 0..10 {
        give_up(peer.tour.fail()).await;
        drop(peer.tour.fail().pipeline_cap());
    }
    equal(peer.tour.transform("beep").await?, "BOOP")
}

// --------------------------------------------------------------------------------- authenticate

async fn authenticate_steps(peer: Peer) -> Outcome {
    let user = peer.tour.authenticate("ann").await?;
    let profile = user.profile().await?;
    drop(user);
    equal(profile.name().await?, "user of ann")
}

async fn authenticate_type(peer: Peer) -> Outcome {
    if !peer.is_rust() {
        // JavaScript turns any value into a text.
        let user: UserClient = peer.index().invoke("authenticate", (5,)).pipeline();
        return equal(user.profile().pipeline().name().await?, "user of 5");
    }
    let error = type_error(&peer, peer.index().invoke::<Value>("authenticate", (5,))).await?;
    holds(error.message().starts_with("authenticate: argument 1, `token`: "), error.message())
}

async fn authenticate_from_callback(peer: Peer) -> Outcome {
    let tour = peer.tour.clone();
    let name_of = function(move |token: String| {
        let tour = tour.clone();
        async move {
            let name = tour.authenticate(&token).pipeline().profile().pipeline().name().await;
            name.unwrap_or_else(|error| error.to_string())
        }
    });
    let kept = keep(&peer.tour, name_of).await?;
    equal(kept.apply::<String>(("ann",)).await?, "user of ann")?;
    equal(kept.apply::<String>(("bob",)).await?, "user of bob")
}

async fn authenticate_nested(peer: Peer) -> Outcome {
    let user = peer.tour.authenticate("ann").await?;
    let back = peer.tour.echo(Value::from([("user", Value::Cap(user.clone().into()))])).await?;
    let same = UserClient::from_cap(member(&back, "user")?);
    equal(same.profile().pipeline().name().await?, "user of ann")?;
    if peer.is_rust() {
        holds(same == user, "what came home is not the original")?;
    }
    Ok(())
}

async fn authenticate_home(peer: Peer) -> Outcome {
    let user = peer.tour.authenticate("ann").await?;
    let same = UserClient::from_cap(keep(&peer.tour, user.clone()).await?);
    if peer.is_rust() {
        holds(same == user, "what came home is not the original")?;
    }
    drop(user);
    equal(same.profile().pipeline().name().await?, "user of ann")?;
    // A client that is not there yet works too.
    let early = peer.tour.authenticate("bob").pipeline();
    let same = UserClient::from_cap(keep(&peer.tour, early).await?);
    equal(same.profile().pipeline().name().await?, "user of bob")
}

async fn authenticate_pipelined(peer: Peer) -> Outcome {
    for token in ["ann", "", "🙂"] {
        let name = peer.tour.authenticate(token).pipeline().profile().pipeline().name();
        equal(name.await?, format!("user of {token}"))?;
    }
    Ok(())
}

async fn authenticate_shared(peer: Peer) -> Outcome {
    let user = peer.tour.authenticate("ann").pipeline();
    let profile = user.profile().pipeline();
    let other = user.profile().pipeline();
    let (a, b, c) = tokio::join!(profile.name(), other.name(), profile.name());
    equal([a?, b?, c?], ["user of ann", "user of ann", "user of ann"])
}

async fn authenticate_given_up(peer: Peer) -> Outcome {
    for _ in 0..10 {
        give_up(peer.tour.authenticate("ann")).await;
        drop(peer.tour.authenticate("ann").pipeline().profile().pipeline());
        give_up(peer.tour.authenticate("ann").pipeline().profile().pipeline().name()).await;
    }
    equal(peer.tour.transform("beep").await?, "BOOP")
}

// ----------------------------------------------------------------------------------------- echo

async fn echo_nothing(peer: Peer) -> Outcome {
    equal(peer.index().invoke::<Value>("echo", ()).await?, Value::Undefined)?;
    equal(peer.tour.echo(Value::Undefined).await?, Value::Undefined)
}

async fn echo_from_callback(peer: Peer) -> Outcome {
    let tour = peer.tour.clone();
    let again = function(move |value: Value| {
        let tour = tour.clone();
        async move { tour.echo(value).await.unwrap_or_default() }
    });
    let kept = keep(&peer.tour, again).await?;
    let value = Value::from([("list", Value::Array(vec![Value::from(1), Value::Undefined]))]);
    equal(kept.apply::<Value>((&value,)).await?, value)
}

async fn echo_nested(peer: Peer) -> Outcome {
    let value = Value::from([("echo", Value::Cap(peer.index().at("echo")))]);
    let echo = member(&peer.tour.echo(value).await?, "echo")?;
    equal(echo.apply::<Value>(("x",)).await?, Value::from("x"))
}

async fn echo_fields(peer: Peer) -> Outcome {
    let inner = Value::from([
        ("b", Value::from(5)),
        ("list", Value::Array(vec![Value::from("x"), Value::from("y")])),
    ]);
    let result = peer.tour.echo(Value::from([("a", inner)])).pipeline_cap();
    equal(result.at("a").at("b").read::<u32>().await?, 5)?;
    equal(result.at("a").get::<Vec<String>>("list").await?, ["x", "y"])?;
    equal(result.get::<Value>("nosuch").await?, Value::Undefined)?;
    let error = type_error(&peer, result.at("a").invoke::<Value>("b", ())).await?;
    holds(error.message().contains("is not a function"), error.message())?;
    let counter: Cap = peer.tour.counter().await?.into();
    let result = peer.tour.echo(Value::from([("counter", Value::Cap(counter))])).pipeline_cap();
    equal(CounterClient::from_cap(result.at("counter")).next().await?, 1)
}

async fn echo_given_up(peer: Peer) -> Outcome {
    for _ in 0..10 {
        let value = Value::from([("f", Value::Cap(noting(&Log::default()).into()))]);
        give_up(peer.tour.echo(value.clone())).await;
        drop(peer.tour.echo(value).pipeline_cap());
    }
    equal(peer.tour.transform("beep").await?, "BOOP")
}
