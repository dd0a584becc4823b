//! A node in a process of its own, for a test that asks the system what such a process occupies.
//!
//! Called as `held_server ADDRESS NODE_BYTES`; `axum:` is an address as well. It says at which address it is reached, and for
//! each line of its input how many bytes are counted for `Limits::node_bytes`. It ends with its input.

use std::error::Error;

use capnode::{Func, Node, Object, Value, transport};
use capnode_tests::{limits, routed};
use tokio::io::{AsyncBufReadExt, BufReader};

/// A function that is made for a peer.
type Nothing = Func<fn()>;

/// Holds a value for as long as it is called.
async fn wait(value: Value) {
    std::future::pending::<()>().await;
    drop(value);
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(bytes)) = (arguments.next(), arguments.next()) else {
        return Err("usage: held_server ADDRESS NODE_BYTES".into());
    };
    let bytes = bytes.parse()?;
    let index = Object::new()
        .with("echo", Func::<fn(Value) -> Value>::new(|value: Value| async move { value }))
        .with("give", Func::<fn(usize) -> String>::new(|length| async move { "x".repeat(length) }))
        .with("drop", Func::<fn(Value)>::new(|_: Value| async {}))
        .with("wait", Func::<fn(Value)>::new(wait))
        .with("make", Func::<fn() -> Nothing>::new(|| async { Nothing::new(|| async {}) }));
    let node = Node::new(index).limits(limits(|limits| limits.node_bytes = bytes));
    let (there, _here) = transport::pair();
    let observer = node.serve(there).await?;
    let listener = match address.as_str() {
        "axum:" => {
            println!("{}", routed(node.clone()).await);
            None
        }
        address => {
            let listener = node.listen(address).await?;
            println!("{}", listener.url());
            Some(listener)
        }
    };
    let mut asked = BufReader::new(tokio::io::stdin()).lines();
    while asked.next_line().await?.is_some() {
        println!("{}", observer.report().node_bytes);
    }
    drop(listener);
    // A read of the standard input cannot be given up, and the runtime would wait for it.
    std::process::exit(0)
}
