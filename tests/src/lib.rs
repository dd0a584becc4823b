//! The shared parts of the tests of whole behaviours.

use std::future::Future;
use std::io;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use capnode::{
    Connection, Dialect, Error, FromConnection, Func, Incoming, Limits, Node, NodeBuilder, Object, Value,
};
use capnode_conformance::Expect;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

#[allow(missing_docs)]
pub mod amplification;
pub mod examples;
pub mod hostile;
pub mod js;
pub mod lab;
pub mod ledger;
pub mod memory;
pub mod panics;
pub mod proxy;
pub mod raw;
#[allow(missing_docs)]
pub mod recordings;
pub mod soak;
pub mod source;

/// Makes a test of each row: its name, and the check that it makes.
#[macro_export]
macro_rules! tests {
    ($($name:ident: $check:expr;)*) => {$(
        #[test]
        fn $name() {
            $check;
        }
    )*};
}

/// Makes a test of each row: its name, and the check that it makes on a runtime with two threads.
#[macro_export]
macro_rules! async_tests {
    ($($name:ident: $check:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            $check.await;
        }
    )*};
}

/// The languages, and the choice of none.
pub const ANY: [Option<Dialect>; 4] =
    [None, Some(Dialect::CapnWeb), Some(Dialect::Capnode), Some(Dialect::Q)];

/// The stack size of a thread, as small as a program may choose it.
pub const SMALL_STACK: usize = if cfg!(debug_assertions) { 1 << 20 } else { 256 << 10 };

/// Runs on a thread with as little stack as a program may give one.
///
/// # Panics
///
/// If `run` does.
pub fn on_a_small_stack<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().stack_size(SMALL_STACK).spawn(run);
    thread.expect("a thread").join().expect("no panic")
}

/// Returns the number in an environment variable, if it is set.
///
/// # Panics
///
/// If it is no number.
pub fn number<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

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

/// A node that tells of each connection.
pub fn meeting(
    index: impl Serialize + Clone + Send + Sync + 'static,
) -> (NodeBuilder, UnboundedReceiver<Incoming>) {
    let (met, meeting) = unbounded_channel();
    let node = Node::builder().authorize(move |incoming| {
        // The test may not care.
        let _unwanted = met.send(incoming);
        let index = index.clone();
        async { Ok::<_, Error>(index) }
    });
    (node, meeting)
}

/// Speaks a language from the beginning, if there is one.
pub fn speaking(node: NodeBuilder, dialect: Option<Dialect>) -> Node {
    match dialect {
        Some(dialect) => node.dialect(dialect),
        None => node,
    }
    .build()
}

/// Serves a node by a router of axum, and returns its address.
///
/// # Panics
///
/// If it cannot listen.
pub async fn routed(node: Node) -> String {
    let bound = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let url = format!("ws://{}/", bound.local_addr().expect("it is bound"));
    let router = capnode::axum::router(node);
    tokio::spawn(async move { axum::serve(bound, router).await });
    url
}

/// Lines of a log.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// All of it.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
    passes_tour(connection, expect).await.unwrap_or_else(|failures| panic!("{failures}"));
}

/// Puts the peer of a connection to all checks of the tour.
///
/// # Errors
///
/// The checks that fail.
pub async fn passes_tour(connection: &Connection, expect: Expect) -> Result<(), String> {
    let mut failures = Vec::new();
    let summary = capnode_conformance::run(connection, expect, |line| {
        if !line.starts_with("ok ") {
            failures.push(line.to_owned());
        }
    })
    .await;
    if failures.is_empty() && summary.passed >= 80 {
        return Ok(());
    }
    Err(format!("{summary}\n{}", failures.join("\n")))
}
