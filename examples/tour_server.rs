//! Serves the tour until it is stopped.
//!
//! ```text
//! cargo run --example tour_server -- --ws 127.0.0.1:5004 --tcp 127.0.0.1:5005
//! ```

use std::error::Error;
use std::io::Write;

use capnode::{Node, NodeBuilder};
use capnode_examples::{cli, tour};

const USAGE: &str = "usage: tour_server [--ws HOST:PORT] [--http HOST:PORT] [--tcp HOST:PORT] [--origin URL]

Serves the tour over WebSocket, by HTTP batches and over TCP, and prints `listening on HOST:PORT`
for each, in this order. Port 0 takes one that is free. Without options: --ws 127.0.0.1:5004. Pages
of other origins may connect if each is named: --origin http://localhost:8000";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let known = ["--ws", "--http", "--tcp", "--origin"];
    let Some(options) = cli::options(std::env::args().skip(1), &known, &[], USAGE)? else { return Ok(()) };
    let of = |name| options.iter().filter(move |(option, _)| option == name).map(|(_, value)| value.as_str());
    let mut urls: Vec<_> = of("--ws").map(|address| format!("ws://{address}")).collect();
    urls.extend(of("--http").map(|address| format!("http://{address}")));
    urls.extend(of("--tcp").map(|address| format!("tcp://{address}")));
    if urls.is_empty() {
        urls.push("ws://127.0.0.1:5004".to_owned());
    }

    let builder = Node::builder().index(tour::index_with_streams()).limits(tour::limits());
    let node = of("--origin").fold(builder, NodeBuilder::allow_origin).build();
    let mut listeners = Vec::new();
    for url in urls {
        let listener = node.listen(&url).await?;
        if let Some(address) = listener.local_addr() {
            println!("listening on {address}");
        }
        listeners.push(listener);
    }
    // The parent process may be waiting for those lines in a pipe.
    std::io::stdout().flush()?;
    std::future::pending::<()>().await;
    Ok(())
}
