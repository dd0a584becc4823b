//! This library.

use std::sync::Arc;

use capnode::transport::{Transport, lines, web_socket};
use capnode::{Bytes, Dialect, Func, Limits, Listener, Node, Reader};
use tokio::sync::OnceCell;

use crate::peer::{Arrived, Client, Peer, call_all, chunk};
use crate::record::Record;
use crate::socket::Socket;

#[capnode::interface]
pub trait Service {
    async fn add(&self, a: u32, b: u32) -> u32;
    async fn echo(&self, record: Record) -> Record;
    async fn echo_bytes(&self, bytes: Bytes) -> Bytes;
    async fn call_back(&self, increment: Func<fn(u32) -> u32>, calls: u32, in_flight: u32) -> u64;
    async fn object(&self, id: u32) -> ItemClient;
    async fn send_bytes(&self) -> Reader<Bytes>;
    async fn send_numbers(&self) -> Reader<u32>;
}

#[capnode::interface]
pub trait Item {
    async fn id(&self) -> u32;
    async fn next(&self) -> ItemClient;
}

pub struct Server;

impl Service for Server {
    async fn add(&self, a: u32, b: u32) -> u32 {
        a + b
    }

    async fn echo(&self, record: Record) -> Record {
        record
    }

    async fn echo_bytes(&self, bytes: Bytes) -> Bytes {
        bytes
    }

    async fn call_back(&self, increment: Func<fn(u32) -> u32>, calls: u32, in_flight: u32) -> u64 {
        call_all(calls, in_flight, async |number| increment.call(number).await.expect("an answer")).await
    }

    async fn object(&self, id: u32) -> ItemClient {
        ItemClient::new(Numbered(id))
    }

    async fn send_bytes(&self) -> Reader<Bytes> {
        Reader::from_iter((0..).map(|number| chunk(number).into()))
    }

    async fn send_numbers(&self) -> Reader<u32> {
        Reader::from_iter(0..)
    }
}

struct Numbered(u32);

impl Item for Numbered {
    async fn id(&self) -> u32 {
        self.0
    }

    async fn next(&self) -> ItemClient {
        ItemClient::new(Numbered(self.0 + 1))
    }
}

/// Returns a node with room for the references of all scenarios.
pub fn node() -> Node {
    let mut limits = Limits::default();
    limits.exports = 2_000_000;
    limits.imports = 2_000_000;
    Node::new(ServiceClient::new(Server)).limits(limits)
}

pub const CAPN_WEB: u8 = 0;
pub const CAPNODE: u8 = 1;
pub const Q: u8 = 2;

fn dialect(language: u8) -> Dialect {
    match language {
        CAPN_WEB => Dialect::CapnWeb,
        CAPNODE => Dialect::Capnode,
        _ => Dialect::Q,
    }
}

/// The library over TCP. Not in Capnode's language: its programs take each read for one message, so that over a byte
/// stream frames are sent one at a time, with pauses.
pub struct Tcp<const LANGUAGE: u8>(Node);

impl<const LANGUAGE: u8> Default for Tcp<LANGUAGE> {
    fn default() -> Self {
        Self(node())
    }
}

impl<const LANGUAGE: u8> Peer for Tcp<LANGUAGE> {
    type Client = ServiceClient;

    async fn serve(&self, socket: Socket) {
        serve(&self.0, lines(socket)).await;
    }

    async fn connect(socket: Socket) -> ServiceClient {
        connect(dialect(LANGUAGE), lines(socket)).await
    }

    async fn local() -> ServiceClient {
        ServiceClient::new(Server)
    }
}

/// The library over WebSockets.
pub struct WebSocket<const LANGUAGE: u8>(Node);

impl<const LANGUAGE: u8> Default for WebSocket<LANGUAGE> {
    fn default() -> Self {
        Self(node())
    }
}

impl<const LANGUAGE: u8> Peer for WebSocket<LANGUAGE> {
    type Client = ServiceClient;

    async fn serve(&self, socket: Socket) {
        let socket = tokio_tungstenite::accept_async(socket).await.expect("a handshake");
        serve(&self.0, web_socket(socket)).await;
    }

    async fn connect(socket: Socket) -> ServiceClient {
        let (socket, _) =
            tokio_tungstenite::client_async("ws://localhost/", socket).await.expect("a handshake");
        connect(dialect(LANGUAGE), web_socket(socket)).await
    }
}

/// The library by HTTP batches: calls that are in flight together are one request. It opens streams of its own.
#[derive(Default)]
pub struct HttpBatch;

/// The address that batches are served at.
static BATCHES: OnceCell<Listener> = OnceCell::const_new();

impl Peer for HttpBatch {
    type Client = ServiceClient;

    async fn serve(&self, _: Socket) {}

    async fn connect(_: Socket) -> ServiceClient {
        let listen = async || node().listen("http://127.0.0.1:0").await.expect("a free port");
        let url = BATCHES.get_or_init(listen).await.url();
        capnode::connect(&url).await.expect("nobody is refused")
    }
}

async fn serve(node: &Node, transport: impl Transport + Unpin) {
    node.serve(transport).await.expect("nobody is refused");
}

async fn connect(dialect: Dialect, transport: impl Transport + Unpin) -> ServiceClient {
    let mut limits = Limits::default();
    limits.imports = 2_000_000;
    let node = Node::builder().limits(limits).dialect(dialect).build();
    node.connect_over(transport).await.expect("nobody is refused")
}

impl Client for ServiceClient {
    type Object = ItemClient;

    async fn add(&self, a: u32, b: u32) -> u32 {
        self.add(a, b).await.expect("an answer")
    }

    async fn echo(&self, record: Record) -> Record {
        self.echo(record).await.expect("an answer")
    }

    async fn echo_bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        self.echo_bytes(bytes.into()).await.expect("an answer").into()
    }

    async fn call_back(&self, calls: u32, in_flight: u32) -> u64 {
        let increment = |value: u32| async move { value + 1 };
        self.call_back(increment, calls, in_flight).await.expect("an answer")
    }

    async fn object(&self, id: u32) -> ItemClient {
        self.object(id).await.expect("an answer")
    }

    async fn id_of(object: &ItemClient) -> u32 {
        object.id().await.expect("an answer")
    }

    async fn read_bytes(&self, arrived: Arc<Arrived>) {
        let mut chunks = self.send_bytes().await.expect("a stream");
        while let Some(chunk) = chunks.next().await {
            arrived.chunk(&chunk.expect("a chunk"));
        }
    }

    async fn read_numbers(&self, arrived: Arc<Arrived>) {
        let mut numbers = self.send_numbers().await.expect("a stream");
        while let Some(number) = numbers.next().await {
            arrived.number(number.expect("a number"));
        }
    }

    async fn chain(&self, steps: u32) -> u32 {
        // The first makes an object, the last asks it; in between each makes the next from the last.
        let mut item = self.object(2).pipeline();
        for _ in 2..steps {
            item = item.next().pipeline();
        }
        item.id().await.expect("an answer")
    }
}
