//! Serves the tour on the standard input and output, for the parent process.

use capnode::{Error, Node, transport};
use capnode_examples::tour;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let connection = Node::new(tour::index()).serve(transport::stdio()).await?;
    let ended = connection.closed().await;
    eprintln!("ended: {ended}");
    // A read of the standard input cannot be given up, and the runtime would wait for it.
    std::process::exit(0)
}
