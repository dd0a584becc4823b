//! Records of functions as references, and requests to values that are held by reference.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use serde::Deserialize;

use super::super::data::to_cap;
use super::*;
use crate::{Client, Func, IntoFunc};

#[crate::interface]
trait Counter {
    async fn next(&self) -> u32;
    async fn reset(&self, to: u32);
}

/// Returns the output of a future that is ready at once.
fn now<T>(future: impl IntoFuture<Output = T>) -> T {
    match pin!(future.into_future()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("not ready"),
    }
}

fn functions() -> [Cap; 2] {
    let next: Func<fn() -> u32> = (|| async { 7 }).into_func();
    let reset: Func<fn(u32)> = (|_: u32| async {}).into_func();
    [next.into(), reset.into()]
}

#[derive(Debug, Deserialize)]
struct Holder {
    counter: CounterClient,
}

#[test]
fn a_record_of_functions_is_a_client() {
    let record = r#"{"next":@0,"reset":@1}"#;
    let nested = r#"{"name":"[[","counter":{"next":@0,"reset":@1},"after":@0}"#;
    let bodies = [
        payload(nested, &[], &functions()),
        tie(payload(r#"{"counter":<0>}"#, &[record], &functions())),
        tie(payload(r#"{"counter":<0>}"#, &["<1>", record], &functions())),
        tie(payload("<0>", &[nested], &functions())),
        tie(payload(r#"{"counter":{"next":<0>,"reset":<1>}}"#, &["@0", "@1"], &functions())),
    ];
    for body in bodies {
        let Holder { counter } = decode(&body).unwrap();
        drop(body);
        assert_eq!(now(counter.next()).unwrap(), 7);
        now(counter.reset(1)).unwrap();
        let error = now(counter.cap().invoke::<u32>("missing", ())).unwrap_err();
        assert!(error.to_string().contains("not a function"), "{error}");
        // It can be passed on.
        let Holder { counter } = decode(&encode(&HashMap::from([("counter", counter)])).unwrap()).unwrap();
        assert_eq!(now(counter.next()).unwrap(), 7);
    }
}

#[test]
fn a_record_with_functions_further_in_is_one_too() {
    let body = tie(payload(r#"[[{"a":{"b":[[@0]]}}]]"#, &[], &functions()));
    let caps: Vec<Cap> = decode(&body).unwrap();
    assert_eq!(now(caps[0].at("a").at("b").get::<Value>("0")).unwrap(), functions_value(&body));
}

fn functions_value(body: &LivePayload) -> Value {
    match &body.refs[0].to {
        PayloadRef::Cap(cap) => cap.clone().into(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn other_values_are_no_references() {
    let misfits = [
        payload(r#"[[{"a":1},@0]]"#, &[], &functions()),
        payload("[[[[@0]]]]", &[], &functions()),
        payload(r#"[["@",@0]]"#.replace("\"@\"", "\"a\"").as_str(), &[], &functions()),
        payload("[[null,@0]]", &[], &functions()),
        payload(r#"[[["error","Error","m",null,{"a":@0}]]]"#, &[], &functions()),
        tie(payload("[[<0>]]", &[r#"{"a":1}"#], &[])),
        tie(payload("[[<0>]]", &["[[@0]]"], &functions())),
        tie(payload("[[<0>]]", &["[[<0>]]"], &functions())),
    ];
    for body in misfits {
        let error = decode::<Vec<CounterClient>>(&body).unwrap_err();
        assert!(error.to_string().contains("expected an object or function"), "{error}");
        decode::<Value>(&body).unwrap();
    }
    // In other data a record stays one.
    let value: Value = decode(&payload(r#"{"next":@0}"#, &[], &functions())).unwrap();
    assert!(value.get("next").is_some());
}

#[test]
fn paths_lead_through_shared_values() {
    let nodes = [r#"{"me":<0>,"list":<1>,"plain":{"x":5}}"#, "[[<0>,<2>,@0]]", r#"{"y":6}"#];
    let held = to_cap(tie(payload("<0>", &nodes, &functions())));
    let deep = held.at("me").at("me").at("list");
    assert_eq!(now(deep.at("1").get::<u8>("y")).unwrap(), 6);
    assert_eq!(now(deep.at("0").at("plain").get::<u8>("x")).unwrap(), 5);
    assert_eq!(now(deep.invoke::<u32>("2", ())).unwrap(), 7);
    let me: Value = now(held.get("me")).unwrap();
    assert_eq!(now(deep.get::<Value>("0")).unwrap(), me);
    assert_eq!(now(held.read::<Value>()).unwrap(), me);
    assert!(matches!(me, Value::Shared(_)));
    assert!(now(held.invoke::<Value>("me", ())).unwrap_err().to_string().contains("not a function"));
    assert_eq!(now(held.get::<Value>("none")).unwrap(), Value::Undefined);
    let error = now(held.at("none").get::<Value>("x")).unwrap_err();
    assert!(error.to_string().contains("Cannot read properties of undefined (reading 'x')"), "{error}");
    let nothing = to_cap(tie(payload("<0>", &["<1>", "<0>"], &[])));
    now(nothing.get::<Value>("x")).unwrap_err();
    let found =
        now(CounterClient::from_cap(to_cap(tie(payload("<0>", &["<1>", r#"{"next":@0}"#], &functions()))))
            .next());
    assert_eq!(found.unwrap(), 7);
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "WebAssembly has no threads")]
fn a_chain_of_records_is_dropped_without_stack_for_its_length() {
    let chain = || {
        let mut last = functions()[0].clone();
        for _ in 0..50_000 {
            last = to_cap(tie(payload("<0>", &[r#"{"next":@0}"#], &[last])));
        }
        drop(last);
    };
    std::thread::Builder::new().stack_size(256 << 10).spawn(chain).unwrap().join().unwrap();
}
