//! Maps: the peer runs them, or, where its language has none, this side does.

use std::sync::{Arc, Mutex, PoisonError};

use capnode::{Call, Client, Element, Func, Value};
use capnode_examples::tour::{self, CounterClient, UserClient};

use crate::expect::{Failure, equal, holds};
use crate::{Outcome, Peer, checks};

checks! {
    "map: a call for each element" => calls,
    "map: literals, and the element in several places" => literals,
    "map: no list" => single,
    "map: nothing" [CapnWeb] => nothing,
    "map: results are targets and arguments" => pipelined,
    "map: inside a map" => nested,
    "map: of a map" => chained,
    "map: calls in order on one object" => order_arrived,
    "map: calls in order on an object that is not there yet" => order,
    "map: a function of this side" => callback,
    "map: an object of this side" => lent,
    "map: a call that fails" => fails,
    "map: dropped" => dropped,
}

fn texts(texts: &[&str]) -> Value {
    Value::Array(texts.iter().map(|text| Value::from(*text)).collect())
}

async fn calls(peer: Peer) -> Outcome {
    let index = peer.index();
    let transform = |text: Element<Value>| index.invoke::<String>("transform", (text,));
    equal(peer.tour.echo(texts(&["beep", "boat"])).map(transform).await?, texts(&["BOOP", "BOOT"]))?;
    equal(peer.tour.echo(texts(&[])).map(transform).await?, texts(&[]))
}

async fn literals(peer: Peer) -> Outcome {
    let both = |x: Element<Value>| {
        let member = Value::from([("x", Value::Cap(x.cap().clone()))]);
        (x.clone(), member, Value::from("lit"), Value::from(true), vec![x])
    };
    let of = |x: Value| {
        let member = Value::from([("x", x.clone())]);
        Value::Array(vec![x.clone(), member, Value::from("lit"), Value::from(true), Value::Array(vec![x])])
    };
    let list = Value::Array(vec![Value::from(1), Value::from("a")]);
    let expected = Value::Array(vec![of(Value::from(1)), of(Value::from("a"))]);
    equal(peer.tour.echo(list.clone()).map(both).await?, expected)?;
    let fives = Value::Array(vec![Value::from(5), Value::from(5)]);
    equal(peer.tour.echo(list).map(|_| Value::from(5)).await?, fives)
}

async fn single(peer: Peer) -> Outcome {
    let index = peer.index();
    let transform = |text: Element<Value>| index.invoke::<String>("transform", (text,));
    equal(peer.tour.echo(Value::from("beep")).map(transform).await?, Value::from("BOOP"))?;
    let object = Value::from([("deep", texts(&["beep"]))]);
    equal(peer.tour.echo(object).map(|x| x.at::<Value>("deep")).await?, texts(&["beep"]))?;
    equal(peer.tour.echo(Value::Undefined).map(transform).await?, Value::Undefined)
}

async fn nothing(peer: Peer) -> Outcome {
    equal(peer.tour.echo(Value::Null).map(|_| Value::from(5)).await?, Value::Null)
}

async fn pipelined(peer: Peer) -> Outcome {
    let index = peer.index();
    let name = |token: Element<Value>| {
        let user = index.invoke::<UserClient>("authenticate", (token,));
        user.pipeline().profile().pipeline().name()
    };
    let names = peer.tour.echo(texts(&["ann", "bob"])).map(name).await?;
    equal(names, texts(&["user of ann", "user of bob"]))?;
    let upper = |token: Element<Value>| {
        let name = name(token).element();
        (index.invoke::<String>("transform", (name.ok(),)),)
    };
    let uppers = peer.tour.echo(texts(&["ann"])).map(upper).await?;
    equal(uppers, Value::Array(vec![texts(&["USER OF ANN"])]))
}

async fn nested(peer: Peer) -> Outcome {
    let index = peer.index();
    let all = |list: Element<Value>| {
        let upper = list.map(|text| (index.invoke::<String>("transform", (text,)), list.clone()));
        (list.clone(), upper)
    };
    let lists = Value::Array(vec![texts(&["beep", "x"]), texts(&[])]);
    let first = texts(&["beep", "x"]);
    let expected = Value::Array(vec![
        Value::Array(vec![
            first.clone(),
            Value::Array(vec![
                Value::Array(vec![Value::from("BOOP"), first.clone()]),
                Value::Array(vec![Value::from("X"), first]),
            ]),
        ]),
        Value::Array(vec![texts(&[]), texts(&[])]),
    ]);
    equal(peer.tour.echo(lists).map(all).await?, expected)
}

async fn chained(peer: Peer) -> Outcome {
    let index = peer.index();
    let mapped = peer.tour.echo(texts(&["beep"])).map(|text| index.invoke::<String>("transform", (text,)));
    equal(mapped.map(|text| (text,)).await?, Value::Array(vec![texts(&["BOOP"])]))?;
    let kept = peer.tour.echo(texts(&["beep"])).map(|text| (text.clone(), text)).pipeline_cap();
    equal(kept.read::<Value>().await?, Value::Array(vec![texts(&["beep", "beep"])]))
}

async fn order(peer: Peer) -> Outcome {
    let counter = peer.tour.counter().pipeline();
    equal(numbered(&peer, &counter).await?, numbers())
}

async fn order_arrived(peer: Peer) -> Outcome {
    let counter = peer.tour.counter().await?;
    equal(numbered(&peer, &counter).await?, numbers())?;
    equal(counter.next().await?, 4)
}

fn numbered(peer: &Peer, counter: &CounterClient) -> Call<Value> {
    peer.tour.echo(texts(&["a", "b", "c"])).map(|name| (name, counter.next()))
}

fn numbers() -> Value {
    let of = |name: &str, number: u32| Value::Array(vec![Value::from(name), Value::from(number)]);
    Value::Array(vec![of("a", 1), of("b", 2), of("c", 3)])
}

async fn callback(peer: Peer) -> Outcome {
    let called = Arc::new(Mutex::new(Vec::new()));
    let note = {
        let called = called.clone();
        Func::<fn(String) -> String>::new(move |text: String| {
            called.lock().unwrap_or_else(PoisonError::into_inner).push(text.clone());
            async move { format!("{text}!") }
        })
    };
    let mapped = peer.tour.echo(texts(&["a", "b"])).map(|text| note.cap().apply::<String>((text,)));
    equal(mapped.await?, texts(&["a!", "b!"]))?;
    let called = called.lock().unwrap_or_else(PoisonError::into_inner).clone();
    equal(called, vec!["a".to_owned(), "b".to_owned()])
}

async fn lent(peer: Peer) -> Outcome {
    let own = tour::index();
    let mapped =
        peer.tour.echo(texts(&["beep"])).map(|text| own.cap().invoke::<String>("transform", (text,)));
    equal(mapped.await?, texts(&["BOOP"]))
}

async fn fails(peer: Peer) -> Outcome {
    let mapped = peer.tour.echo(texts(&["a", "b"])).map(|_| peer.tour.fail());
    match mapped.await {
        Ok(value) => return Err(Failure::new(format!("it has not failed: {value:?}"))),
        Err(error) if peer.is_rust() => holds(error.message().contains("intentional"), error.message())?,
        Err(_) => {}
    }
    let unused = peer.tour.echo(texts(&["a", "b"])).map(|text| {
        let sent = peer.tour.fail().send();
        holds(sent.is_ok(), "it is recorded").ok();
        text
    });
    equal(unused.await?, texts(&["a", "b"]))
}

async fn dropped(peer: Peer) -> Outcome {
    let index = peer.index();
    let mapped = || peer.tour.echo(texts(&["beep"])).map(|text| index.invoke::<String>("transform", (text,)));
    drop(mapped());
    drop(mapped().pipeline_cap());
    mapped().send()?;
    equal(mapped().await?, texts(&["BOOP"]))
}
