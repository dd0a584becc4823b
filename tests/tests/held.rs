//! The memory that a crowd of connections holds in a process, in each way of holding, against `Limits::node_bytes`.

use std::alloc::System;
use std::time::Duration;

use capnode::{Connection, Node, transport};
use capnode_examples::tour;
use capnode_tests::{
    limits, memory,
    raw::{Raw, noop},
    routed, until,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CONNECTIONS: usize = 60;

/// Bytes of each large message.
const LARGE: usize = 100_000;

const NODE_BYTES: usize = 2 << 20;

/// The bytes that a connection may hold beside the counted ones.
const EACH: usize = 64 << 10;

/// The most held bytes for each counted byte, until an excess is noticed.
const FACTOR: usize = 2;

fn allocated() -> usize {
    memory::allocated(ALLOCATED)
}

/// Returns whether a peer is answered.
fn is_served(raw: &mut Raw, number: usize) -> bool {
    raw.say(r#"["push",["pipeline",0,["transform"],["beep"]]]"#);
    raw.say(&format!("[\"pull\",{number}]"));
    raw.read_to("\"BOOP\"]")
}

/// Waits until nothing moves any more, and returns the allocated bytes.
async fn settled() -> usize {
    let mut held = allocated();
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = allocated();
        if now == held {
            return now;
        }
        held = now;
    }
}

/// Lets each of a crowd do something. Returns the bytes held then, beyond those before, and the crowd.
async fn crowd(node: &Connection, url: &str, does: fn(&mut Raw)) -> (usize, Vec<Raw>) {
    // The bytes of the crowd before count until it has gone.
    until("nobody else holds anything", || node.report().node_bytes < LARGE / 10).await;
    let before = settled().await;
    let url = url.to_owned();
    let raws = tokio::task::spawn_blocking(move || {
        (0..CONNECTIONS)
            .map(|_| {
                let mut raw = Raw::new(&url);
                does(&mut raw);
                raw
            })
            .collect::<Vec<_>>()
    });
    let raws = raws.await.unwrap();
    (settled().await.saturating_sub(before), raws)
}

fn whole(raw: &mut Raw) {
    raw.say(&noop(LARGE));
}

fn answered(raw: &mut Raw) {
    let ask = format!(r#"["stream",["pipeline",0,["echo"],["{}"]]]"#, "x".repeat(LARGE));
    raw.say(&ask);
    assert!(raw.read_to("xxxxxxxx\"]"));
}

fn given_back(raw: &mut Raw) {
    let references: Vec<_> = (1..=4_000).map(|number| format!("[\"export\",-{number}]")).collect();
    raw.say(&format!(r#"["stream",["pipeline",0,["transform"],[[[{}]]]]]"#, references.join(",")));
    // Earlier frames go first.
    raw.say(r#"["push",["pipeline",0,["transform"],["beep"]]]"#);
    raw.say("[\"pull\",2]");
    assert!(raw.read_to("\"BOOP\"]"));
}

fn half(raw: &mut Raw) {
    raw.send(LARGE + 1, &noop(LARGE));
}

fn announced(raw: &mut Raw) {
    raw.send(31 << 20, "[");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_holds_what_is_allowed_and_a_little_for_each() {
    let node = Node::new(tour::index()).limits(limits(|limits| limits.node_bytes = NODE_BYTES));
    let axum = routed(node.clone()).await;
    let (there, _here) = transport::pair();
    let observer = node.serve(there).await.unwrap();
    let tcp = node.listen("tcp://127.0.0.1:0").await.unwrap();
    let ws = node.listen("ws://127.0.0.1:0").await.unwrap();
    for url in [tcp.url(), ws.url(), axum] {
        // The number of the call that comes next, of those who are to be answered still; and whether what they hold counts.
        for (what, does, next, counts) in [
            ("a whole message", whole as fn(&mut Raw), Some(1), false),
            ("an answered call", answered, Some(2), false),
            ("references given back", given_back, Some(3), false),
            ("half a message", half, None, true),
            ("a message announced", announced, None, false),
        ] {
            let (held, raws) = crowd(&observer, &url, does).await;
            println!("{url}: {what}: {held} bytes, {} each", held / CONNECTIONS);
            let counted = if counts { FACTOR * NODE_BYTES } else { 0 };
            assert!(held <= counted + CONNECTIONS * EACH, "{url}: {what}: {held} bytes");
            if let Some(next) = next {
                let served =
                    raws.into_iter().map(|mut raw| is_served(&mut raw, next)).filter(|served| *served);
                assert_eq!(served.count(), CONNECTIONS, "{url}: {what}");
            }
        }
    }
}
