//! A ledger in a process of its own, for a test that kills it.
//!
//! Called as `ledger FILE`, to which it adds its notes. It says the addresses at which it is reached, by TCP and by WebSocket.
//! When its input ends, it drains its connections and ends.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use capnode_tests::ledger::{Note, node};
use tokio::io::{AsyncBufReadExt as _, BufReader};

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: ledger FILE")?;
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let node = node(Arc::new(move |note: Note| {
        (&file).write_all(&note.to_bytes()).expect("the notes can be written");
    }));
    let (tcp, ws) = (node.listen("tcp://127.0.0.1:0").await?, node.listen("ws://127.0.0.1:0").await?);
    for listener in [&tcp, &ws] {
        println!("{}", listener.local_addr().ok_or("it is at an address of the network")?);
    }
    let mut nothing = BufReader::new(tokio::io::stdin()).lines();
    while nothing.next_line().await?.is_some() {}
    node.drain(Duration::from_millis(20)).await;
    std::process::exit(0)
}
