//! The operations of every peer, as its users would write them.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use futures::StreamExt;

use crate::record::Record;
use crate::socket::Socket;

/// A library with a server of its own: serving a connection, and opening one.
pub trait Peer: Default + Send + Sync + 'static {
    type Client: Client;

    /// Serves one connection. May return while it goes on.
    fn serve(&self, socket: Socket) -> impl Future<Output = ()> + Send;

    fn connect(socket: Socket) -> impl Future<Output = Self::Client> + Send;

    /// Returns a client of an object in this program, for libraries that have such a thing.
    fn local() -> impl Future<Output = Self::Client> + Send {
        unsupported()
    }
}

/// The client's end of a connection. A peer without an operation is not asked for it: see [`crate::peers::supports`].
pub trait Client: Clone + Send + Sync + 'static {
    type Object: Send + Sync + 'static;

    fn add(&self, a: u32, b: u32) -> impl Future<Output = u32> + Send;

    fn echo(&self, record: Record) -> impl Future<Output = Record> + Send;

    fn echo_bytes(&self, bytes: Vec<u8>) -> impl Future<Output = Vec<u8>> + Send;

    /// Has the server call a function of the client, which adds one to its argument, with 0, 1, … `calls - 1`,
    /// `in_flight` at a time. Returns the sum of the results.
    fn call_back(&self, _calls: u32, _in_flight: u32) -> impl Future<Output = u64> + Send {
        unsupported()
    }

    /// Returns a new object of the server, which lives until it is dropped.
    fn object(&self, _id: u32) -> impl Future<Output = Self::Object> + Send {
        unsupported()
    }

    fn id_of(_object: &Self::Object) -> impl Future<Output = u32> + Send {
        unsupported()
    }

    /// Reads a stream of the server's, of [`chunk`]s without end, for as long as this is polled.
    fn read_bytes(&self, _arrived: Arc<Arrived>) -> impl Future<Output = ()> + Send {
        unsupported()
    }

    /// Reads a stream of the server's, of the numbers 0, 1, …, for as long as this is polled.
    fn read_numbers(&self, _arrived: Arc<Arrived>) -> impl Future<Output = ()> + Send {
        unsupported()
    }

    /// Makes `steps` calls, each of which needs the result of the one before. Returns `steps`.
    fn chain(&self, steps: u32) -> impl Future<Output = u32> + Send {
        async move {
            let mut sum = 0;
            for _ in 0..steps {
                sum = self.add(sum, 1).await;
            }
            sum
        }
    }
}

async fn unsupported<T>() -> T {
    unreachable!("peers are only asked for what they support")
}

/// Bytes of a chunk of a byte stream.
pub const CHUNK: usize = 64 << 10;

/// Returns a chunk of a byte stream. It is made for the stream, as one that is read from a file is.
pub fn chunk(number: u32) -> Vec<u8> {
    vec![number as u8; CHUNK]
}

/// The number of chunks of a stream that have arrived.
#[derive(Debug, Default)]
pub struct Arrived(AtomicU32);

impl Arrived {
    pub fn count(&self) -> u32 {
        self.0.load(Relaxed)
    }

    pub fn chunk(&self, bytes: &[u8]) {
        let number = self.0.fetch_add(1, Relaxed) as u8;
        assert_eq!(bytes.len(), CHUNK, "a wrong length");
        assert!(bytes[0] == number && bytes[CHUNK - 1] == number, "wrong bytes");
    }

    pub fn number(&self, number: u32) {
        assert_eq!(self.0.fetch_add(1, Relaxed), number, "a wrong number");
    }
}

/// The server's half of [`Client::call_back`].
pub async fn call_all<F: Future<Output = u32>>(calls: u32, in_flight: u32, call: impl Fn(u32) -> F) -> u64 {
    let mut sum = 0;
    if in_flight == 1 {
        for number in 0..calls {
            sum += u64::from(call(number).await);
        }
    } else {
        let mut answers = futures::stream::iter(0..calls).map(call).buffer_unordered(in_flight as usize);
        while let Some(answer) = answers.next().await {
            sum += u64::from(answer);
        }
    }
    sum
}
