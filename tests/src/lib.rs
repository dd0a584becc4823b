//! The shared parts of the tests of whole behaviours.

use std::future::Future;
use std::time::Duration;

use capnode::{Connection, Dialect, FromConnection, Func, Limits, Node, Object, Value};
use capnode_conformance::Expect;

#[allow(missing_docs)]
pub mod amplification;
pub mod examples;
pub mod hostile;
pub mod js;
pub mod lab;
pub mod memory;
pub mod panics;
pub mod proxy;
pub mod raw;
#[allow(missing_docs)]
pub mod recordings;
pub mod soak;
pub mod source;

/// The time limit of a wait in a test: anything awaited comes at once, or something is wrong.
pub const NET: Duration = Duration::from_secs(20);

/// The outcome of `future`, which has to come before long.
///
/// # Panics
///
/// If it does not come.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(NET, future).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("not done after {NET:?}"),
    }
}

/// Waits until `condition` holds. For what nothing tells of; each look leaves others a turn.
///
/// # Panics
///
/// If it does not come to hold.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    if tokio::time::timeout(NET, waiting).await.is_err() {
        panic!("not so after {NET:?}: {what}");
    }
}

/// The limits of a node in a test that lets the clock run: none about time.
pub fn timeless() -> Limits {
    limits(|limits| {
        (limits.silence, limits.idle) = (None, None);
        (limits.probe, limits.call_timeout) = (None, None);
    })
}

/// The limits of a node, changed.
pub fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

/// Serves a peer that speaks this language, in memory. Returns the connection of each end.
///
/// # Panics
///
/// If one refuses the other.
pub async fn in_memory<C: FromConnection>(node: &Node, dialect: Dialect) -> (Connection, C) {
    let (there, here) = capnode::transport::pair();
    let served = node.serve(there).await.expect("a connection");
    let peer = Node::builder().dialect(dialect).build();
    (served, peer.connect_over(here).await.expect("a connection"))
}

/// `echo(value)`, and `wait(value)` which never ends.
pub fn echo_and_wait() -> Object {
    Object::new()
        .with("echo", Func::<fn(Value) -> Value>::new(|value: Value| async move { value }))
        .with("wait", Func::<fn(Value) -> Value>::new(|_: Value| std::future::pending()))
}

/// Puts the peer of a connection to all checks of the tour.
///
/// # Panics
///
/// If one fails.
pub async fn assert_tour(connection: &Connection, expect: Expect) {
    let mut failures = Vec::new();
    let summary = capnode_conformance::run(connection, expect, |line| {
        if !line.starts_with("ok ") {
            failures.push(line.to_owned());
        }
    })
    .await;
    assert!(failures.is_empty(), "{summary}\n{}", failures.join("\n"));
    assert!(summary.passed >= 80, "{summary}");
}
