//! Calls as such: order, many at once, members that are not there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use capnode::{Cap, Client, ErrorKind, Fate, Func, Value};
use capnode_examples::tour::{CounterClient, TourError};

use crate::expect::{Failure, equal, equal_in, holds, keep, reference_in, type_error};
use crate::{Outcome, Peer, checks};

checks! {
    "order: calls on one object" => order_object,
    "order: calls on an object that is not there yet" => order_promised,
    "order: while the object arrives" => order_arrival,
    "order: a big call and small ones" [CapnWeb, Q] => order_big,
    "1,000 calls at once" [CapnWeb, Q] => thousand,
    "calls of every kind at once" => every_kind,
    "additional arguments are ignored" => additional,
    "an additional argument that is a function is given back" [CapnWeb] => additional_function,
    "a missing method" => missing_method,
    "a missing method gives its arguments back" [CapnWeb] => missing_method_arguments,
    "a missing property is undefined" => missing_property,
    "a property of a missing property" => missing_deeper,
    "the index itself is no function" => index_call,
    "the index can be read" => index_read,
    "a call that takes too long" => times_out,
    "a call that was never sent" [CapnWeb] => unsent,
}

async fn order_object(peer: Peer) -> Outcome {
    let counter = peer.tour.counter().await?;
    let results: Vec<Cap> = (0..peer.many()).map(|_| counter.next().pipeline_cap()).collect();
    for (result, expected) in results.iter().zip(1u32..) {
        equal(result.read::<u32>().await?, expected)?;
    }
    Ok(())
}

async fn order_promised(peer: Peer) -> Outcome {
    let counter = peer.tour.counter().pipeline();
    let results: Vec<Cap> = (0..peer.many()).map(|_| counter.next().pipeline_cap()).collect();
    for (result, expected) in results.iter().zip(1u32..) {
        equal(result.read::<u32>().await?, expected)?;
    }
    Ok(())
}

async fn order_arrival(peer: Peer) -> Outcome {
    let counter = peer.tour.counter().pipeline();
    let mut results: Vec<Cap> = (0..20).map(|_| counter.next().pipeline_cap()).collect();
    let arrived: Value = counter.cap().read().await?;
    let arrived = reference_in(&arrived)?;
    results.extend((0..20).map(|_| arrived.invoke::<u32>("next", ()).pipeline_cap()));
    results.extend((0..20).map(|_| counter.next().pipeline_cap()));
    for (result, expected) in results.iter().zip(1u32..) {
        equal(result.read::<u32>().await?, expected)?;
    }
    Ok(())
}

async fn order_big(peer: Peer) -> Outcome {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    let note = Func::<fn(String)>::new(move |text: String| {
        noted.lock().unwrap_or_else(PoisonError::into_inner).push(text.len());
        async {}
    });
    let kept = Func::<fn(String)>::from_cap(keep(&peer.tour, note).await?);
    let sizes = [200_000, 1, 100_000, 0];
    let [a, b, c, d] = sizes.map(|size| kept.call("x".repeat(size)));
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    for answered in [a, b, c, d] {
        answered?;
    }
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    equal(seen, sizes)
}

async fn thousand(peer: Peer) -> Outcome {
    let done = Arc::<AtomicUsize>::default();
    let calls: Vec<_> = (0..1_000)
        .map(|at| {
            let (tour, done) = (peer.tour.clone(), done.clone());
            tokio::spawn(async move {
                let answer = tour.transform(&format!("bee {at}")).await?;
                done.fetch_add(1, Ordering::Relaxed);
                equal(answer, format!("BOO {at}"))
            })
        })
        .collect();
    for call in calls {
        call.await??;
    }
    equal(done.load(Ordering::Relaxed), 1_000)
}

async fn every_kind(peer: Peer) -> Outcome {
    let rounds: Vec<_> = (0..peer.many() / 10)
        .map(|at| {
            let tour = peer.tour.clone();
            tokio::spawn(async move {
                let events = Arc::<AtomicUsize>::default();
                let counted = events.clone();
                let text = format!("bee {at}");
                let user = tour.authenticate(&text).pipeline();
                let counter = tour.counter().pipeline();
                let value = Value::from([("at", Value::from(at as u32)), ("none", Value::from(false))]);
                let (text, on, fail, name, count, echo) = tokio::join!(
                    tour.transform(&text),
                    tour.on(&text, move |_: String, _: String| {
                        counted.fetch_add(1, Ordering::Relaxed);
                        async {}
                    }),
                    tour.fail(),
                    user.profile().pipeline().name(),
                    counter.next(),
                    tour.echo(value.clone()),
                );
                on?;
                equal((text?, name?), (format!("BOO {at}"), format!("user of bee {at}")))?;
                equal((count?, echo?), (1, value))?;
                equal_in("callbacks", events.load(Ordering::Relaxed), 3)?;
                equal(fail.map_err(|error| error.to_string()), Err("intentional failure".to_owned()))
            })
        })
        .collect();
    for round in rounds {
        round.await??;
    }
    Ok(())
}

async fn additional(peer: Peer) -> Outcome {
    let index = peer.index();
    equal(index.invoke::<String>("transform", ("beep", "more", 2u64, [Value::Undefined])).await?, "BOOP")?;
    equal(index.invoke::<String>("echo", ("first", "second")).await?, "first")?;
    let counter: Cap = index.invoke::<Value>("counter", ("ignored",)).pipeline_cap();
    equal(counter.invoke::<u32>("next", (1, 2, 3)).await?, 1)
}

async fn additional_function(peer: Peer) -> Outcome {
    let token = Arc::new(());
    let held = token.clone();
    let extra = Func::<fn() -> usize>::new(move || {
        let held = Arc::strong_count(&held);
        async move { held }
    });
    equal(peer.index().invoke::<String>("transform", ("beep", &extra, [&extra])).await?, "BOOP")?;
    drop(extra);
    let back = peer.tables(|tables| tables.exports == 0).await;
    back.map_err(|tables| Failure::new(format!("still lent: {tables:?}")))?;
    equal(Arc::strong_count(&token), 1)
}

async fn missing_method(peer: Peer) -> Outcome {
    for name in ["nosuch", "", "a.b", "é"] {
        let error = type_error(&peer, peer.index().invoke::<Value>(name, ("with", "arguments"))).await?;
        if peer.says_what() {
            equal(error.message(), format!("'{name}' is not a function."))?;
        }
        equal(error.fate(), Fate::Answered)?;
    }
    nothing_has(&peer.index()).await
}

/// Names that JavaScript gives a meaning of its own are never sent.
pub(crate) async fn nothing_has(cap: &Cap) -> Outcome {
    for name in ["constructor", "toString", "hasOwnProperty", "__proto__", "then", "toJSON"] {
        let Err(error) = cap.invoke::<Value>(name, ()).await else {
            return Err(Failure::new(format!("{name} was called")));
        };
        equal(error.message(), format!("'{name}' is not a function."))?;
        equal(error.fate(), Fate::NotSent)?;
        equal(cap.get::<Value>(name).await?, Value::Undefined)?;
    }
    Ok(())
}

async fn missing_method_arguments(peer: Peer) -> Outcome {
    let extra = Func::<fn()>::new(|| async {});
    type_error(&peer, peer.index().invoke::<Value>("nosuch", (&extra,))).await?;
    let back = peer.tables(|tables| tables.exports == 0).await;
    back.map_err(|tables| Failure::new(format!("still lent: {tables:?}")))
}

async fn missing_property(peer: Peer) -> Outcome {
    for name in ["nosuch", "constructor", "__proto__"] {
        equal(peer.index().get::<Value>(name).await?, Value::Undefined)?;
    }
    let counter = peer.tour.counter().await?;
    equal(counter.cap().get::<Value>("nosuch").await?, Value::Undefined)?;
    equal(counter.cap().get::<Option<u32>>("nosuch").await?, None)?;
    equal(peer.tour.counter().pipeline().cap().get::<Value>("nosuch").await?, Value::Undefined)
}

async fn missing_deeper(peer: Peer) -> Outcome {
    let deeper = peer.index().at("nosuch").at("deeper");
    type_error(&peer, deeper.read::<Value>()).await?;
    type_error(&peer, deeper.apply::<Value>(())).await?;
    Ok(())
}

async fn index_call(peer: Peer) -> Outcome {
    let error = type_error(&peer, peer.index().apply::<Value>(("beep",))).await?;
    holds(error.message().contains("is not a function"), error.message())
}

async fn index_read(peer: Peer) -> Outcome {
    if !peer.is_rust() {
        // npm's only answers pulls of results, and a read of the index has no result.
        return Ok(());
    }
    let index: Value = peer.index().read().await?;
    let index = reference_in(&index)?;
    equal(index.invoke::<String>("transform", ("beep",)).await?, "BOOP")
}

async fn times_out(peer: Peer) -> Outcome {
    let (promise, resolver) = capnode::promise::<CounterClient>();
    let callback = Func::from_cap(promise.into());
    let error = match peer.tour.on("tick", callback).timeout(Duration::from_millis(20)).await {
        Err(capnode::CallError::Failed(error)) => Some(error),
        // The callback has the deadline of its caller, whose method may answer with that before this side looks at its clock.
        Err(capnode::CallError::Returned(TourError::Callback(why))) if why.contains("deadline") => None,
        other => return Err(Failure::new(format!("got {other:?}, expected a timeout"))),
    };
    if let Some(error) = error {
        equal((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::MayHaveRun))?;
    }
    drop(resolver);
    equal(peer.tour.transform("beep").timeout(Duration::from_secs(4)).await?, "BOOP")
}

async fn unsent(peer: Peer) -> Outcome {
    let token = Arc::new(());
    let held = token.clone();
    let call = peer.tour.on("tick", move |_: String, _: String| {
        drop(held.clone());
        async {}
    });
    drop(call);
    equal(Arc::strong_count(&token), 1)?;
    equal(peer.connection.tables().exports, 0)
}
