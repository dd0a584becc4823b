//! Members that peers set in an open `Object` keep nothing of this program alive.

use std::future::{Future as _, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use capnode::sans_io::Core;
use capnode::{
    Cap, Client as _, Connection, Dialect, Error, Func, Limits, Node, Object, Resolver, Value, promise,
};
use capnode_tests::lab::{LabClient, Rng};
use capnode_tests::{in_memory, limits, soon, until};
use serde_json::{Value as Json, json};
use tokio::runtime::Runtime;

/// The count of live things that the index has made.
type Count = Arc<()>;

fn alive(count: &Count) -> usize {
    Arc::strong_count(count) - 1
}

fn constant(count: &Count, value: impl Fn() -> Value + Send + Sync + 'static) -> Func<fn() -> Value> {
    let count = count.clone();
    Func::<fn() -> Value>::new(move || {
        let (value, _held) = (value(), &count);
        async move { value }
    })
}

/// A new open object.
fn open(count: &Count) -> Cap {
    Object::new().with("count", constant(count, || Value::Null)).open().cap()
}

/// An index that makes open objects, and everything else that can hold one.
fn index(count: &Count) -> Object {
    let (made, wraps, promises) = (count.clone(), count.clone(), Mutex::new(None::<Resolver<LabClient>>));
    let make = move || {
        let object = open(&made);
        async move { object }
    };
    let wrap = move |inner: Cap| {
        let wrapped = constant(&wraps, move || Value::Cap(inner.clone()));
        async move { wrapped }
    };
    let promised = Arc::new(promises);
    let resolving = promised.clone();
    let promise = move || {
        let (cap, resolver) = promise::<LabClient>();
        *promised.lock().unwrap() = Some(resolver);
        async move { cap.cap().clone() }
    };
    let resolve = move |cap: Cap| {
        if let Some(resolver) = resolving.lock().unwrap().take() {
            resolver.resolve(LabClient::from_cap(cap));
        }
        async {}
    };
    let held = |cap: Cap| async move { Cap::holding(&[cap]) };
    let at = |cap: Cap| async move { cap.at("name") };
    Object::new()
        .with("make", Func::<fn() -> Cap>::new(make))
        .with("wrap", Func::<fn(Cap) -> Func<fn() -> Value>>::new(wrap))
        .with("held", Func::<fn(Cap) -> Result<Cap, Error>>::new(held))
        .with("at", Func::<fn(Cap) -> Cap>::new(at))
        .with("promise", Func::<fn() -> Cap>::new(promise))
        .with("resolve", Func::<fn(Cap)>::new(resolve))
        .with("ready", true)
}

/// A peer that speaks Q-Connection by hand.
struct Peer {
    core: Core,
    number: usize,
}

impl Peer {
    fn new(index: &Object, limits: Limits) -> Self {
        let core = Core::builder().limits(limits).accepting(index.cap());
        Self { core, number: 0 }
    }

    /// Sends a request, and returns its answer, if there is one at once.
    fn ask(&mut self, to: &str, op: &str, args: Json) -> Json {
        self.number += 1;
        let from = format!("a{}", self.number);
        let message = json!({"type": "send", "to": to, "from": from, "op": op, "args": args});
        self.core.receive(&message.to_string());
        let mut cx = Context::from_waker(Waker::noop());
        for mut handler in self.core.handlers() {
            // A handler that waits for ever is dropped, and so fails.
            let _ended = Pin::new(&mut handler).poll(&mut cx);
        }
        let mut answer = Json::Null;
        while let Some(frame) = self.core.next_frame() {
            let said: Json = serde_json::from_str(&frame).unwrap();
            if said["to"] == from.as_str() {
                answer = said["resolution"].clone();
            }
        }
        answer
    }

    /// The id of what a function of the index returns.
    fn call(&mut self, name: &str, args: Json) -> String {
        let answer = self.ask("", "post", json!([name, args]));
        answer["@"].as_str().unwrap_or_else(|| panic!("{name}: {answer}")).to_owned()
    }

    fn set(&mut self, to: &str, name: &str, value: Json) {
        let answer = self.ask(to, "set", json!([name, value]));
        assert_eq!(answer, json!({"%": "undefined"}));
    }
}

fn own(id: &str) -> Json {
    json!({"@l": id})
}

/// One way in which an object comes to be reached from itself.
fn each_way(count: &Count, close: impl Fn(&mut Peer, &str, &str)) {
    let index = index(count);
    let before = alive(count);
    let mut peer = Peer::new(&index, Limits::default());
    let (one, other) = (peer.call("make", json!([])), peer.call("make", json!([])));
    close(&mut peer, &one, &other);
    assert!(alive(count) >= before + 2, "they are lent");
    drop(peer);
    assert_eq!(alive(count), before, "nothing is left");
}

#[test]
fn an_object_that_is_a_property_of_itself_goes_with_its_session() {
    let count = Count::default();
    each_way(&count, |peer, one, _| peer.set(one, "x", own(one)));
    each_way(&count, |peer, one, _| peer.set(one, "x", json!({"deep": [own(one), 1]})));
    // The same in a value that is shared, and in one that is inside itself.
    each_way(&count, |peer, one, _| {
        peer.set(one, "x", json!({"a": {"b": own(one)}, "c": {"$": "/1/a"}}));
        peer.set(one, "y", json!({"a": own(one), "c": {"$": "/1"}}));
    });
}

#[test]
fn objects_in_a_circle_go_with_their_session() {
    let count = Count::default();
    each_way(&count, |peer, one, other| {
        peer.set(one, "x", own(other));
        peer.set(other, "x", own(one));
    });
    // One that is not open holds the next.
    each_way(&count, |peer, one, other| {
        let wrapped = peer.call("wrap", json!([own(one)]));
        let held = peer.call("held", json!([own(&wrapped)]));
        peer.set(other, "x", own(&held));
        let at = peer.call("at", json!([own(other)]));
        peer.set(one, "x", own(&at));
    });
    // A promise turns out to be the object, before it is set, and after.
    each_way(&count, |peer, one, other| {
        for object in [one, other] {
            let promise = peer.call("promise", json!([]));
            peer.set(object, "x", own(&promise));
            peer.ask("", "post", json!(["resolve", [own(object)]]));
            peer.set(object, "y", own(&promise));
        }
    });
}

/// A session forgets the functions that it has lent in excess. They must be gone then, with anything that the peer has
/// put in them.
#[test]
fn one_session_does_not_fill_the_memory_with_objects_that_hold_themselves() {
    let count = Count::default();
    let index = index(&count);
    let before = alive(&count);
    let mut peer = Peer::new(&index, limits(|limits| limits.exports = 10));
    for _ in 0..200 {
        let object = peer.call("make", json!([]));
        peer.set(&object, "x", own(&object));
    }
    assert!(alive(&count) < before + 20, "{} are left", alive(&count) - before);
}

#[test]
fn what_a_peer_sets_is_there_as_long_as_somebody_else_holds_it() {
    let count = Count::default();
    let kept = open(&count);
    let theirs = kept.clone();
    let index = index(&count).with("kept", Func::<fn() -> Cap>::new(move || ready(theirs.clone())));
    let mut peer = Peer::new(&index, Limits::default());
    let (board, lent) = (peer.call("kept", json!([])), peer.call("make", json!([])));
    peer.set(&board, "itself", own(&board));
    peer.set(&board, "lent", json!([own(&lent), {"deep": own(&board)}]));
    peer.set(&board, "plain", json!("text"));
    peer.set(&board, "shared", json!({"a": {"b": own(&board)}, "c": {"$": "/1/a"}}));
    // It is the same object for every peer, in the same session and in another.
    assert_eq!(peer.ask(&board, "get", json!(["itself"]))["@"], board.as_str());
    assert_eq!(peer.ask(&board, "get", json!(["lent"]))[0]["@"], lent.as_str());
    let now = |name| Runtime::new().unwrap().block_on(kept.get::<Value>(name)).unwrap();
    assert_eq!(now("itself"), Value::Cap(kept.clone()));
    let shared = now("shared");
    assert_eq!(shared.member("a"), shared.member("c"));
    drop((shared, peer));

    assert_eq!(now("itself"), Value::Cap(kept.clone()));
    assert_eq!(now("plain"), Value::from("text"));
    let Value::Array(left) = now("lent") else { panic!("a list") };
    assert_eq!(left[1].get("deep"), Some(&Value::Cap(kept.clone())));
    let gone = left[0].as_cap().unwrap().get::<Value>("count");
    let error = Runtime::new().unwrap().block_on(gone).unwrap_err();
    assert!(error.to_string().contains("was dropped"), "{error}");
}

/// References that a peer lends live as long as its connection. Members that this program sets stay.
#[tokio::test]
async fn what_is_not_of_this_program_and_what_it_sets_itself_is_kept() {
    let board = Object::new().open();
    let node = Node::new(board.clone());
    let (serving, connection): (_, Connection) = in_memory(&node, Dialect::Q).await;
    let theirs: Cap = connection.index();
    let double = Func::<fn(u32) -> u32>::new(|n: u32| async move { 2 * n });
    soon(theirs.put("double", &double)).await.unwrap();
    drop(double);
    assert_eq!(soon(board.cap().invoke::<u32>("double", (4,))).await.unwrap(), 8);
    connection.close();
    until("the connection has ended", || serving.is_closed()).await;

    let triple = Func::<fn(u32) -> u32>::new(|n: u32| async move { 3 * n });
    board.cap().put("triple", &triple).await.unwrap();
    drop(triple);
    assert_eq!(board.cap().invoke::<u32>("triple", (4,)).await.unwrap(), 12);
}

/// Open objects and anything that can hold them, in random circles, over two sessions.
#[test]
fn nothing_is_left_of_generated_circles() {
    for seed in 0..100 {
        let mut rng = Rng::new(seed);
        let count = Count::default();
        let index = index(&count);
        let before = alive(&count);
        let shared = [open(&count), open(&count)];
        let ours = shared.clone();
        let turn = Mutex::new(0);
        let both = move || {
            let mut turn = turn.lock().unwrap();
            *turn += 1;
            ready(ours[*turn % 2].clone())
        };
        let index = index.with("both", Func::<fn() -> Cap>::new(both));
        // A promise that turns out to hold itself is of the making of the program that resolves it.
        let mut peers = [(); 2].map(|()| (Peer::new(&index, Limits::default()), Vec::new(), Vec::new()));
        for _ in 0..40 {
            let (peer, known, objects): &mut (Peer, Vec<String>, Vec<String>) = &mut peers[rng.below(2)];
            let any = |rng: &mut Rng| rng.pick(known).map_or(Json::Null, |id| own(id));
            let name = ["x", "y", "z"][rng.below(3)];
            let kind = rng.below(12);
            let holds = ["wrap", "held", "at"][rng.below(3)];
            let said = match kind {
                0 => ("", "post", json!(["make", []])),
                1 => ("", "post", json!(["both", []])),
                2 => ("", "post", json!(["promise", []])),
                3 => ("", "post", json!(["resolve", [rng.pick(objects).map(|id| own(id))]])),
                4 => ("", "post", json!([holds, [any(&mut rng)]])),
                5 => ("known", "get", json!([name])),
                6 => ("known", "delete", json!([name])),
                7 => ("known", "apply", json!([null, []])),
                8 => (
                    "known",
                    "set",
                    json!([name, {"a": [any(&mut rng)], "b": {"$": "/1/a"}, "c": any(&mut rng)}]),
                ),
                9 => ("known", "set", json!([name, [any(&mut rng), any(&mut rng)]])),
                _ => ("known", "set", json!([name, any(&mut rng)])),
            };
            let to =
                if said.0 == "known" { rng.pick(known).cloned().unwrap_or_default() } else { String::new() };
            let answer = peer.ask(&to, said.1, said.2);
            if let Some(id) = answer["@"].as_str() {
                known.push(id.to_owned());
                if matches!(kind, 0 | 1) {
                    objects.push(id.to_owned());
                }
            }
        }
        drop(peers);
        drop((index, shared));
        assert_eq!(alive(&count), 0, "seed {seed}, before {before}");
    }
}
