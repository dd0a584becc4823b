//! What every peer does, as its users would write it.

use std::future::Future;

use futures::StreamExt;

use crate::record::Record;
use crate::socket::Socket;

/// A library with a server of ours: how a connection is served, and how one is opened.
#[allow(async_fn_in_trait)]
pub trait Peer: Default + 'static {
    type Client: Client;

    /// Serves one connection. May return while it goes on.
    async fn serve(&self, socket: Socket);

    async fn connect(socket: Socket) -> Self::Client;

    /// A client of an object in this program, for those who have such a thing.
    async fn local() -> Self::Client {
        unsupported()
    }
}

/// The client's end of a connection. What a peer has not got is not asked of it: see [`crate::peers::supports`].
#[allow(async_fn_in_trait)]
pub trait Client: Clone + 'static {
    type Object: 'static;

    async fn add(&self, a: u32, b: u32) -> u32;

    async fn echo(&self, record: Record) -> Record;

    async fn echo_bytes(&self, bytes: Vec<u8>) -> Vec<u8>;

    /// Has the server call a function of the client's, which adds one to what it is given, with 0, 1, … `calls - 1`,
    /// `in_flight` at a time. The sum of the results comes back.
    async fn call_back(&self, _calls: u32, _in_flight: u32) -> u64 {
        unsupported()
    }

    /// A new object of the server's, which lives until it is dropped.
    async fn object(&self, _id: u32) -> Self::Object {
        unsupported()
    }

    async fn id_of(_object: &Self::Object) -> u32 {
        unsupported()
    }

    /// Makes `steps` calls, each of which needs the result of the one before. Returns `steps`.
    async fn chain(&self, steps: u32) -> u32 {
        let mut sum = 0;
        for _ in 0..steps {
            sum = self.add(sum, 1).await;
        }
        sum
    }
}

fn unsupported() -> ! {
    unreachable!("peers are only asked for what they support")
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
