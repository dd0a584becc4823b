//! Two programs of JavaScript with a relay in Rust between them, which knows no types: compared with the same two without
//! it. `tests/js/relayed` makes the programs.

use std::sync::{Arc, Mutex, PoisonError};

use capnode::{Cap, Connection, Dialect, Error, Func, Incoming, Node, Object};
use capnode_examples::tour;
use capnode_tests::{js, number};

type Pairs = Arc<Mutex<Vec<[Connection; 2]>>>;

/// Returns the sizes of a connection's tables: imports, exports, calls and running calls.
fn tables(connection: &Connection) -> [usize; 4] {
    let tables = connection.tables();
    [tables.imports, tables.exports, tables.calls, tables.running]
}

/// A node that connects each peer to the address where it listens, and offers either end the index of the other.
fn relay(dialect: Dialect, pairs: &Pairs) -> Node {
    let pairs = pairs.clone();
    Node::builder()
        .authorize(move |incoming| {
            let (near, url, pairs) = (incoming.connection().clone(), back(&incoming), pairs.clone());
            async move {
                let far: Connection = Node::new(near.index::<Cap>()).connect(&url?).dialect(dialect).await?;
                let index = far.index::<Cap>();
                let mut pairs = pairs.lock().unwrap_or_else(PoisonError::into_inner);
                // One program runs at a time.
                pairs.clear();
                pairs.push([near, far]);
                Ok::<_, Error>(index)
            }
        })
        .dialect(dialect)
        .build()
}

/// Where the script that has come listens.
fn back(incoming: &Incoming) -> Result<String, Error> {
    incoming.header("back").map(str::to_owned).ok_or_else(|| Error::rejected("the header `back` is missing"))
}

/// Compares so many programs, or as many as `CAPNODE_PROGRAMS` says. `CAPNODE_SEED` is the seed of the first one.
async fn compare(dialect: Dialect, programs: u32, more: &[&str]) {
    let script = match dialect {
        Dialect::Q => "relayed/q.mjs",
        Dialect::Capnode => "relayed/capnode.mjs",
        _ => "relayed/capnweb.mjs",
    };
    let pairs = Pairs::default();
    let listener = relay(dialect, &pairs).listen("ws://127.0.0.1:0").await.unwrap();
    let held = Func::<fn() -> Vec<[usize; 4]>>::new(move || {
        let pairs = pairs.lock().unwrap_or_else(PoisonError::into_inner);
        let held = pairs.last().map(|pair| pair.iter().map(tables).collect()).unwrap_or_default();
        async move { held }
    });
    let control = Node::new(Object::new().with("tables", held)).listen("ws://127.0.0.1:0").await.unwrap();
    let (relay, control) = (listener.url(), control.url());
    let (mut programs, mut seed): (u32, u32) =
        (number("CAPNODE_PROGRAMS").unwrap_or(programs), number("CAPNODE_SEED").unwrap_or(1));
    while programs > 0 {
        let some = programs.min(200);
        let (count, first) = (some.to_string(), seed.to_string());
        let always = [&*relay, &*control, "--programs", &*count, "--seed", &*first];
        let ended = js::run(script, &[&always[..], more].concat()).await;
        ended.assert_passed(1);
        assert_eq!(ended.last(), format!("{some} passed, 0 failed"));
        (programs, seed) = (programs - some, seed + some);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_programs_see_the_same_through_a_relay_as_without() {
    if js::ready() {
        compare(Dialect::CapnWeb, 32, &[]).await;
        compare(Dialect::CapnWeb, 6, &["--capnweb", "0.8"]).await;
        compare(Dialect::CapnWeb, 6, &["--capnweb", "0.4"]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_cannot_be_made_fails_alone_through_a_relay() {
    if js::ready() {
        compare(Dialect::CapnWeb, 16, &["--failing"]).await;
        compare(Dialect::CapnWeb, 4, &["--failing", "--capnweb", "0.8"]).await;
        compare(Dialect::CapnWeb, 4, &["--failing", "--capnweb", "0.4"]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_programs_of_q_see_the_same_through_a_relay_as_without() {
    if js::ready() {
        compare(Dialect::Q, 16, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_peers_of_capnode_see_the_same_through_a_relay_as_without() {
    if js::ready() {
        compare(Dialect::Capnode, 16, &[]).await;
    }
}

/// Two clients of the script meet in the index that its third one gets, beside a tour of this program.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reference_of_one_peer_can_be_an_argument_for_another() {
    if !js::ready() {
        return;
    }
    for version in [&[][..], &["--capnweb", "0.8"], &["--capnweb", "0.4"]] {
        let node = Node::builder()
            .authorize(move |incoming| {
                let url = back(&incoming);
                async move {
                    let url = url?;
                    let a: Connection = capnode::connect(&url).await?;
                    let b: Connection = capnode::connect(&url).await?;
                    let (a, b): (Cap, Cap) = (a.index::<Cap>(), b.index::<Cap>());
                    Ok::<_, Error>(Object::new().with("a", a).with("b", b).with("here", tour::index()))
                }
            })
            .build();
        let listener = node.listen("ws://127.0.0.1:0").await.unwrap();
        let url = listener.url();
        let ended = js::run("relayed/corners.mjs", &[&[&*url], version].concat()).await;
        let failed: Vec<_> = ended.lines.iter().filter(|line| line.starts_with("FAILED ")).collect();
        assert!(failed.is_empty() && ended.success, "{version:?}: {}: {failed:#?}", ended.last());
        assert!(ended.lines.len() > 20, "{version:?}: {}", ended.last());
    }
}
