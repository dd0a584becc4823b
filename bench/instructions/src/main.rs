//! Runs one hot path a number of times, so that callgrind can count what once of it takes: `PATH COUNT`, or `--list`.
//! `.ci/instructions` does, and compares with `bounds`.
//!
//! Both sides of a connection are in memory and moved by hand, but for the paths over TCP, whose two sides are tasks of
//! one runtime. What a path is about is between the frames that go before and those that come after, and everything
//! else is in every count alike.

use std::future::Future;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use capnode::sans_io::{Core, CoreBuilder};
use capnode::transport::lines;
use capnode::{Connection, Dialect, Func, Node, connect_over, revocable};
#[cfg(feature = "observers")]
use capnode::{Policy, policy};
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::{Deserialize, Serialize};

#[capnode::interface]
trait Hot {
    async fn add(&self, a: u32, b: u32) -> u32;
    async fn greet(&self, name: &str) -> String;
    async fn take(&self, callback: Func<fn(u32) -> u32>);
    async fn make(&self) -> HotClient;
    async fn echo(&self, records: Vec<Record>) -> Vec<Record>;
}

/// Five of these take about a kilobyte as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    id: u64,
    name: String,
    tags: Vec<String>,
    position: (f64, f64),
    is_open: bool,
    note: Option<String>,
}

fn records() -> Vec<Record> {
    let record = |id| Record {
        id,
        name: format!("the record of number {id}"),
        tags: ["first", "second", "third"].map(str::to_owned).into(),
        position: (52.25, 13.5),
        is_open: true,
        note: Some("somebody has written something here, a \"note\" as they say".to_owned()),
    };
    (1..=5).map(record).collect()
}

struct Spot;

impl Hot for Spot {
    async fn add(&self, a: u32, b: u32) -> u32 {
        a + b
    }

    async fn greet(&self, name: &str) -> String {
        format!("hello {name}")
    }

    async fn take(&self, _: Func<fn(u32) -> u32>) {}

    async fn make(&self) -> HotClient {
        HotClient::new(Spot)
    }

    async fn echo(&self, records: Vec<Record>) -> Vec<Record> {
        records
    }
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

struct Pair {
    here: Core,
    there: Core,
    hot: HotClient,
}

impl Pair {
    fn new() -> Self {
        Self::speaking(Dialect::CapnWeb, HotClient::new(Spot))
    }

    fn speaking(dialect: Dialect, index: HotClient) -> Self {
        Self::of(Core::builder(), dialect, index)
    }

    /// A policy is asked on the side that is called.
    #[cfg(feature = "observers")]
    fn with_layer(policy: impl Policy) -> Self {
        Self::of(Core::builder().layer(policy), Dialect::CapnWeb, HotClient::new(Spot))
    }

    fn of(callee: CoreBuilder, dialect: Dialect, index: HotClient) -> Self {
        let there = callee.accepting(index);
        let here = Core::builder().dialect(dialect).connecting(());
        let hot = here.index();
        let pair = Self { here, there, hot };
        pair.settle();
        pair
    }

    fn settle(&self) {
        while self.forth() | self.back() {}
    }

    fn forth(&self) -> bool {
        carry(&self.here, &self.there)
    }

    fn back(&self) -> bool {
        carry(&self.there, &self.here)
    }

    fn call<T>(&self, call: capnode::Call<T>) -> T
    where
        T: capnode::Wire,
    {
        let mut call = pin!(call);
        assert!(poll(call.as_mut()).is_pending());
        self.forth();
        self.back();
        match poll(call) {
            Poll::Ready(Ok(outcome)) => outcome,
            Poll::Ready(Err(error)) => panic!("{error}"),
            Poll::Pending => panic!("there is no answer"),
        }
    }
}

fn carry(from: &Core, to: &Core) -> bool {
    let mut any = false;
    while let Some(frame) = from.next_frame() {
        to.receive(&frame);
        any = true;
    }
    any
}

/// Makes `count` calls one after another.
fn call(dialect: Dialect, count: usize) {
    calls(&Pair::speaking(dialect, HotClient::new(Spot)), count);
}

fn calls(pair: &Pair, count: usize) {
    for number in 0..count {
        assert_eq!(black_box(pair.call(pair.hot.add(black_box(number as u32), 1))), number as u32 + 1);
    }
}

/// Makes `count` calls within the program.
fn local_calls(hot: &HotClient, count: usize) {
    for number in 0..count {
        let call = pin!(hot.add(black_box(number as u32), 1));
        assert!(matches!(poll(call), Poll::Ready(Ok(sum)) if sum == number as u32 + 1));
    }
}

/// Makes `count` calls over TCP, of which `in_flight` wait for their answers at a time, perhaps through a durable reference.
fn over_tcp(count: usize, in_flight: usize, is_durable: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = server.local_addr().expect("an address");
        let client = tokio::net::TcpStream::connect(address).await.expect("a connection");
        let (accepted, _) = server.accept().await.expect("a connection");
        let node = Node::new(HotClient::new(Spot));
        tokio::spawn(async move { node.serve(lines(accepted)).await });
        let client = std::sync::Mutex::new(Some(client));
        let dial = move || {
            let client = client.lock().expect("no panic").take().expect("one connection");
            async { connect_over::<Connection>(lines(client)).await }
        };
        let hot: HotClient = if is_durable {
            capnode::reconnecting(dial).await.expect("a client")
        } else {
            dial().await.expect("a connection").index()
        };
        let call = async |number: usize| {
            let sum = hot.add(black_box(number as u32), 1).await.expect("an answer");
            assert_eq!(black_box(sum), number as u32 + 1);
        };
        // Code that runs for the first time is slow under callgrind: the first answers would be written in parts, and so
        // would all that follow.
        for number in 0..64 {
            call(number).await;
        }
        let mut calls = FuturesUnordered::new();
        for number in 0..count {
            if calls.len() == in_flight {
                let _made = calls.next().await;
            }
            calls.push(call(number));
        }
        while calls.next().await.is_some() {}
    });
}

/// Connects over TCP, calls once, and lets the connection end, `count` times.
fn connections(count: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = server.local_addr().expect("an address");
        let node = Node::new(HotClient::new(Spot));
        for number in 0..count as u32 {
            let client = tokio::net::TcpStream::connect(address).await.expect("a connection");
            let (accepted, _) = server.accept().await.expect("a connection");
            let node = node.clone();
            let served = tokio::spawn(async move { node.serve(lines(accepted)).await });
            let connection = connect_over::<Connection>(lines(client)).await.expect("a connection");
            let hot: HotClient = connection.index();
            assert_eq!(hot.add(black_box(number), 1).await.expect("an answer"), number + 1);
            drop((connection, hot));
            served.await.expect("no panic").expect("a connection that was closed");
        }
    });
}

/// A name, and what is done a number of times.
type Path = (&'static str, fn(usize));

const PATHS: &[Path] = &[
    // All of it: encoded, decoded, dispatched, answered, and the answer read.
    ("call", |count| call(Dialect::CapnWeb, count)),
    ("encode a call", |count| {
        let pair = Pair::new();
        let mut calls = Vec::with_capacity(count);
        for number in 0..count {
            let mut call = Box::pin(pair.hot.add(black_box(number as u32), 1));
            assert!(poll(call.as_mut()).is_pending());
            calls.push(call);
        }
        std::mem::forget(calls);
        std::process::exit(0);
    }),
    ("decode, dispatch and answer", |count| {
        let pair = Pair::new();
        for _ in 0..count {
            pair.there.receive(black_box(r#"["stream",["pipeline",0,["add"],[1,2]]]"#));
        }
        std::process::exit(0);
    }),
    ("encode a call, decode its answer", |count| {
        let pair = Pair::new();
        for number in 0..count {
            let mut call = pin!(pair.hot.add(black_box(number as u32), 1));
            assert!(poll(call.as_mut()).is_pending());
            // Nobody else is there: the answer is made up.
            pair.here.receive(&format!("[\"resolve\",{},7]", number + 1));
            assert!(matches!(poll(call), Poll::Ready(Ok(7))));
        }
    }),
    ("text argument and result", |count| {
        let pair = Pair::new();
        for _ in 0..count {
            black_box(pair.call(pair.hot.greet(black_box("somebody whose name is not short"))));
        }
    }),
    ("kilobyte of structures echoed", |count| {
        let pair = Pair::new();
        let records = records();
        for _ in 0..count {
            assert_eq!(black_box(pair.call(pair.hot.echo(records.clone()))).len(), 5);
        }
    }),
    ("callback passed and given back", |count| {
        let pair = Pair::new();
        for _ in 0..count {
            pair.call(pair.hot.take(|number: u32| async move { number }));
            pair.settle();
        }
    }),
    ("object made", |count| {
        let pair = Pair::new();
        let mut held = Vec::with_capacity(count);
        for _ in 0..count {
            held.push(pair.call(pair.hot.make()));
            pair.settle();
        }
        std::mem::forget(held);
        std::process::exit(0);
    }),
    ("object made and given back", |count| {
        let pair = Pair::new();
        for _ in 0..count {
            drop(black_box(pair.call(pair.hot.make())));
            pair.settle();
        }
    }),
    ("call in Capnode's language", |count| call(Dialect::Capnode, count)),
    ("call in Q-Connection's language", |count| call(Dialect::Q, count)),
    ("call over TCP, 64 in flight", |count| over_tcp(count, 64, false)),
    ("durable call over TCP, 64 in flight", |count| over_tcp(count, 64, true)),
    ("call over TCP, one after another", |count| over_tcp(count, 1, false)),
    ("connection over TCP and its first call", connections),
    ("local call", |count| local_calls(&HotClient::new(Spot), count)),
    ("call through a membrane here", |count| {
        let pair = Pair::new();
        let hot = revocable(pair.hot.clone()).0;
        calls(&Pair { hot, ..pair }, count);
    }),
    ("call through a membrane there", |count| {
        calls(&Pair::speaking(Dialect::CapnWeb, revocable(HotClient::new(Spot)).0), count);
    }),
    #[cfg(feature = "observers")]
    ("call with traces nobody listens to", |count| calls(&Pair::with_layer(policy::trace()), count)),
    #[cfg(feature = "observers")]
    ("call with metrics", |count| calls(&Pair::with_layer(policy::metrics()), count)),
    #[cfg(feature = "observers")]
    ("call with metrics of its own", |count| {
        let (there, here) = (Core::accepting(HotClient::new(Spot)), Core::builder().layer(policy::metrics()));
        let here = here.connecting(());
        let pair = Pair { hot: here.index(), here, there };
        pair.settle();
        calls(&pair, count);
    }),
    ("local call through a membrane", |count| local_calls(&revocable(HotClient::new(Spot)).0, count)),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [list] if list == "--list" => PATHS.iter().for_each(|(name, _)| println!("{name}")),
        [name, count] => {
            let count = count.parse().expect("a count");
            let path = PATHS.iter().find(|(known, _)| known == name).expect("one of --list");
            (path.1)(count);
        }
        _ => panic!("usage: PATH COUNT, or --list"),
    }
}
