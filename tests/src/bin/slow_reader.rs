//! An end of a stream whose reader takes 64 KiB every 5 ms, in a process of its own, for a test that asks the system what that
//! occupies.
//!
//! Called as `slow_reader serve ADDRESS`, or as a client with one stream: `slow_reader give URL CHUNKS` writes it, and
//! `slow_reader take URL CHUNKS` reads it. A server says its URL, and a client `ready` before the stream and `done` after.
//! Both end with their input.

use std::error::Error;
use std::time::Duration;

use capnode::{Bytes, Node, Reader};
use tokio::io::AsyncReadExt;

const CHUNK: usize = 64 << 10;
const PAUSE: Duration = Duration::from_millis(5);

#[capnode::interface]
trait Streams {
    async fn take(&self, bytes: Reader<Bytes>) -> Result<usize, capnode::Error>;
    async fn give(&self, chunks: usize) -> Reader<Bytes>;
}

struct Here;

impl Streams for Here {
    async fn take(&self, bytes: Reader<Bytes>) -> Result<usize, capnode::Error> {
        slowly(bytes).await
    }

    async fn give(&self, chunks: usize) -> Reader<Bytes> {
        made(chunks)
    }
}

/// Returns a stream, of which each chunk has memory of its own.
fn made(chunks: usize) -> Reader<Bytes> {
    Reader::from_iter((0..chunks).map(|_| Bytes::from(vec![7; CHUNK])))
}

/// Reads a stream to its end. Returns its bytes.
async fn slowly(mut bytes: Reader<Bytes>) -> Result<usize, capnode::Error> {
    let (mut turns, mut size) = (tokio::time::interval(PAUSE), 0);
    while let Some(chunk) = bytes.next().await {
        size += chunk?.len();
        turns.tick().await;
    }
    Ok(size)
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let _listener = match arguments[..] {
        ["serve", address] => {
            let listener = Node::new(StreamsClient::new(Here)).listen(address).await?;
            println!("{}", listener.url());
            Some(listener)
        }
        [way @ ("give" | "take"), url, chunks] => {
            let chunks = chunks.parse()?;
            let streams: StreamsClient = capnode::connect(url).await?;
            // The code is loaded before the memory is looked at.
            slowly(streams.give(1).await?).await?;
            println!("ready");
            let size = match way {
                "give" => streams.take(made(chunks)).await?,
                _ => slowly(streams.give(chunks).await?).await?,
            };
            assert_eq!(size, chunks * CHUNK);
            println!("done");
            None
        }
        _ => return Err("usage: slow_reader serve ADDRESS | give URL CHUNKS | take URL CHUNKS".into()),
    };
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    // A read of the standard input cannot be given up, and the runtime would wait for it.
    std::process::exit(0)
}
