//! Serves the greeter to pages: `server ORIGIN` prints its address, then each connection's end, and ends with its input.

use std::time::Duration;

use capnode::{Limits, Node};
use greeter::{GreeterClient, Here};
use tokio::io::AsyncReadExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), capnode::Error> {
    let origin = std::env::args().nth(1).unwrap_or_default();
    let accept = async |incoming: capnode::Incoming| {
        let connection = incoming.connection().clone();
        tokio::spawn(async move { println!("{}", connection.closed().await) });
        Ok::<_, capnode::Error>(GreeterClient::new(Here::new("Hello")))
    };
    // A page that sleeps says nothing.
    let limits = Limits::default().probe(Some(Duration::from_millis(500)));
    let node = Node::builder().authorize(accept).limits(limits).allow_origin(&origin).build();
    let listener = node.listen("ws://127.0.0.1:0").await?;
    println!("{}", listener.url());
    let _end = tokio::io::stdin().read(&mut [0]).await;
    Ok(())
}
