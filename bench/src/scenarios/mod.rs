//! The measured scenarios. Each measurement is made by a process of its own, in which client and server are tasks of
//! one runtime, unless its scenario differs.

mod connections;
pub mod objects;
pub mod redeem;
mod streams;
mod throughput;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use self::redeem::By;
use crate::measure::Measurement;
use crate::peer::Peer;
use crate::runtime;
use crate::socket::Socket;

/// One row of the table, or one point of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scenario {
    /// Calls one after another, or so many at a time.
    Calls { in_flight: u32 },
    /// Such calls in a runtime of one thread.
    Single { in_flight: u32 },
    /// Such calls with the server in a runtime of one thread of its own, and a core for each.
    Apart { in_flight: u32 },
    /// Structures of 1 KB, echoed.
    Records,
    /// The server calls a function of the client.
    Callbacks { in_flight: u32 },
    /// 1 MiB of bytes, echoed.
    Bytes,
    /// Bytes that are read from a stream, in chunks.
    ByteStream,
    /// Small integers that are read from a stream.
    NumberStream,
    /// Calls in one request, or at a time where there are no such requests.
    Batch,
    /// Calls beside a stream of bytes on the same connection.
    BesideStream,
    /// Calls of many connections, beside a stream of bytes on another.
    Fairness,
    /// The cost of each of so many objects to the server while a client holds it.
    ObjectBytes { objects: u32 },
    /// Dependent calls over a long line.
    Chain,
    /// Connecting, and the first call.
    Connect,
    /// Calls one after another while the client holds so many objects.
    Held { objects: u32 },
    /// Calls one after another, each on the next of so many connections.
    Connections { count: u32 },
    /// Calls of an object in the same program.
    Local,
    /// A live reference that is had for a text or an invocation.
    Redeem { by: By },
    /// What the owner does for one without a wire: a text is redeemed, an invocation verified.
    Verify { by: By },
    /// Allocations that a call takes on both sides: 64 at a time, or of an object in the same program.
    Allocations { local: bool },
    /// Calls of the JavaScript client to a server in a process of its own.
    JsClient { in_flight: u32 },
}

/// The number of dependent calls in [`Scenario::Chain`], and the time of the way.
pub const STEPS: u32 = 8;
pub const DELAY: Duration = Duration::from_millis(20);

impl Scenario {
    pub const ALL: &[Self] = &[
        Self::Calls { in_flight: 1 },
        Self::Calls { in_flight: 64 },
        Self::Calls { in_flight: 1024 },
        Self::Single { in_flight: 64 },
        Self::Apart { in_flight: 64 },
        Self::Records,
        Self::Callbacks { in_flight: 1 },
        Self::Callbacks { in_flight: 64 },
        Self::Bytes,
        Self::ByteStream,
        Self::NumberStream,
        Self::Batch,
        Self::BesideStream,
        Self::Fairness,
        Self::ObjectBytes { objects: 1_000 },
        Self::ObjectBytes { objects: 100_000 },
        Self::Chain,
        Self::Connect,
        Self::Local,
        Self::Redeem { by: By::Text },
        Self::Redeem { by: By::Links(1) },
        Self::Redeem { by: By::Links(3) },
        Self::Verify { by: By::Text },
        Self::Verify { by: By::WrongText },
        Self::Verify { by: By::Links(1) },
        Self::Verify { by: By::Links(3) },
        Self::Allocations { local: false },
        Self::Allocations { local: true },
        Self::JsClient { in_flight: 1 },
        Self::JsClient { in_flight: 64 },
        Self::Held { objects: 10 },
        Self::Held { objects: 1_000 },
        Self::Held { objects: 100_000 },
        Self::Held { objects: 1_000_000 },
        Self::Connections { count: 1 },
        Self::Connections { count: 100 },
        Self::Connections { count: 5_000 },
    ];

    /// Returns the name on the command line and in `results.json`.
    pub fn id(self) -> String {
        match self {
            Self::Calls { in_flight } => format!("calls-{in_flight}"),
            Self::Single { in_flight } => format!("single-{in_flight}"),
            Self::Apart { in_flight } => format!("apart-{in_flight}"),
            Self::Records => "records".to_owned(),
            Self::Callbacks { in_flight } => format!("callbacks-{in_flight}"),
            Self::Bytes => "bytes".to_owned(),
            Self::ByteStream => "byte-stream".to_owned(),
            Self::NumberStream => "number-stream".to_owned(),
            Self::Batch => "batch".to_owned(),
            Self::BesideStream => "beside-stream".to_owned(),
            Self::Fairness => "fairness".to_owned(),
            Self::ObjectBytes { objects } => format!("object-bytes-{objects}"),
            Self::Chain => "chain".to_owned(),
            Self::Connect => "connect".to_owned(),
            Self::Held { objects } => format!("held-{objects}"),
            Self::Connections { count } => format!("connections-{count}"),
            Self::Local => "local".to_owned(),
            Self::Redeem { by } => format!("redeem-{}", by.id()),
            Self::Verify { by } => format!("verify-{}", by.id()),
            Self::Allocations { local: false } => "allocations".to_owned(),
            Self::Allocations { local: true } => "allocations-local".to_owned(),
            Self::JsClient { in_flight } => format!("js-client-{in_flight}"),
        }
    }

    /// `true` if its runtime has one thread for all of its tasks, and not one for each core.
    pub fn is_single(self) -> bool {
        matches!(self, Self::Single { .. } | Self::Apart { .. })
    }

    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|scenario| scenario.id() == id)
    }
}

/// Makes one measurement, which takes about `time`.
pub async fn run<P: Peer>(scenario: Scenario, time: Duration) -> Measurement {
    match scenario {
        Scenario::Calls { in_flight } | Scenario::Single { in_flight } => {
            throughput::calls(&one::<P>().await, in_flight, time).await
        }
        Scenario::Apart { in_flight } => {
            let address = listen_in_thread::<P>().await;
            throughput::calls(&connect::<P>(address).await, in_flight, time).await
        }
        Scenario::Records => throughput::records(&one::<P>().await, time).await,
        Scenario::Callbacks { in_flight } => throughput::callbacks(&one::<P>().await, in_flight, time).await,
        Scenario::Bytes => throughput::bytes(&one::<P>().await, time).await,
        Scenario::ByteStream => streams::bytes(&one::<P>().await, time).await,
        Scenario::NumberStream => streams::numbers(&one::<P>().await, time).await,
        Scenario::Batch => throughput::batches(&one::<P>().await, time).await,
        Scenario::BesideStream => {
            let client = one::<P>().await;
            streams::beside(&[client.clone()], &client, streams::ONE, time).await
        }
        Scenario::Fairness => {
            let address = listen::<P>().await;
            let mut clients = Vec::new();
            for _ in 0..streams::CONNECTIONS {
                clients.push(connect::<P>(address).await);
            }
            streams::beside(&clients, &connect::<P>(address).await, streams::MANY, time).await
        }
        Scenario::Local => throughput::local(&P::local().await, time).await,
        Scenario::Redeem { by } => redeem::over_a_wire(by, time).await,
        Scenario::Verify { by } => redeem::by_the_owner(by, time).await,
        Scenario::Allocations { local } => {
            let measured = if local {
                throughput::local(&P::local().await, time).await
            } else {
                throughput::calls(&one::<P>().await, 64, time).await
            };
            Measurement { value: measured.allocations.expect("they are counted"), ..Measurement::default() }
        }
        Scenario::ObjectBytes { objects } => objects::bytes::<P>(objects).await,
        Scenario::Held { objects } => objects::held(&one::<P>().await, objects, time).await,
        Scenario::Chain => connections::chain::<P>().await,
        Scenario::Connect => connections::connect::<P>(time).await,
        Scenario::Connections { count } => connections::many::<P>(count, time).await,
        Scenario::JsClient { .. } => unreachable!("it takes a process in JavaScript: see `js`"),
    }
}

/// Serves every client that connects.
pub async fn listen<P: Peer>() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        let server = Arc::new(P::default());
        loop {
            let socket = Socket::accept(&listener).await;
            let server = server.clone();
            tokio::spawn(async move { server.serve(socket).await });
        }
    });
    address
}

/// Serves every client that connects, in a thread of its own.
async fn listen_in_thread<P: Peer>() -> SocketAddr {
    let (sender, address) = tokio::sync::oneshot::channel();
    std::thread::spawn(|| {
        runtime::pin(1);
        runtime::single().block_on(async {
            sender.send(listen::<P>().await).expect("somebody waits");
            std::future::pending::<()>().await;
        });
    });
    address.await.expect("the thread runs")
}

/// A client with a server.
async fn one<P: Peer>() -> P::Client {
    connect::<P>(listen::<P>().await).await
}

async fn connect<P: Peer>(address: SocketAddr) -> P::Client {
    P::connect(Socket::connect(address).await).await
}
