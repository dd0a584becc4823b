//! Shutting a node down, with nothing going on and under load.

use std::collections::HashSet;
use std::future::Future as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use capnode::{Bytes, Cap, Connection, Dialect, ErrorKind, Fate, Func, Node, Reader, transport};
use capnode_tests::{in_memory, limits, soon, until};
use futures_util::StreamExt;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message;

/// Runs until it is told to end.
#[capnode::interface]
trait Gate {
    async fn pass(&self, number: u32) -> u32;
}

#[derive(Clone, Default)]
struct Gated {
    open: Arc<Notify>,
    inside: Arc<AtomicUsize>,
}

impl Gate for Gated {
    async fn pass(&self, number: u32) -> u32 {
        self.inside.fetch_add(1, Ordering::SeqCst);
        self.open.notified().await;
        number
    }
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_node_with_nothing_going_on_is_down_at_once() {
    let node = Node::new("anything");
    let listener = node.listen("tcp://127.0.0.1:0").await.unwrap();
    let connection: Connection = capnode::connect(&listener.url()).await.unwrap();
    assert_eq!(connection.index::<Cap>().read::<String>().await.unwrap(), "anything");
    let drained = soon(node.drain(LONG)).await;
    assert_eq!((drained.connections, drained.cut), (1, 0));
    assert_eq!(soon(connection.closed()).await.kind(), ErrorKind::Disconnected);
    // No peer gets in any more, by any of its listeners.
    let late = soon(async { capnode::connect::<Connection>(&listener.url()).await }).await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Connect);
    let (there, _here) = transport::pair();
    assert_eq!(soon(node.serve(there)).await.unwrap_err().kind(), ErrorKind::Refused);
    let error = soon(node.listen("tcp://127.0.0.1:0")).await.unwrap_err();
    let said = "cannot listen on tcp://127.0.0.1:0: the node is shutting down: make another node";
    assert_eq!((error.kind(), error.message()), (ErrorKind::Refused, said));
    // The second time there is nothing left to do.
    assert_eq!(soon(node.drain(LONG)).await.connections, 0);
}

#[tokio::test]
async fn running_calls_end_and_new_ones_are_refused() {
    for dialect in [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q] {
        let gated = Gated::default();
        let node = Node::new(GateClient::new(gated.clone()));
        let (_served, connection): (_, Connection) = in_memory(&node, dialect).await;
        let gate: GateClient = connection.index();
        let running: Vec<_> = (0..100)
            .map(|number| {
                let gate = gate.clone();
                tokio::spawn(async move { gate.pass(number).await })
            })
            .collect();
        until("all are inside", || gated.inside.load(Ordering::SeqCst) == 100).await;
        let draining = tokio::spawn(async move { node.drain(LONG).await });
        tokio::task::yield_now().await;
        let late = soon(gate.pass(1_000)).await.unwrap_err();
        assert_eq!((late.kind(), late.fate()), (ErrorKind::Rejected, Fate::NotSent), "{late}");
        assert_eq!(late.property::<String>("code").as_deref(), Some("ESHUTDOWN"));
        assert_eq!(gated.inside.load(Ordering::SeqCst), 100, "it has not run");
        assert!(!draining.is_finished());
        gated.open.notify_waiters();
        for (number, call) in (0..).zip(running) {
            assert_eq!(soon(call).await.unwrap().unwrap(), number, "{dialect:?}");
        }
        let drained = soon(draining).await.unwrap();
        assert_eq!((drained.connections, drained.cut), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_outlasts_the_drain_is_cut_off() {
    let gated = Gated::default();
    let node = Node::new(GateClient::new(gated.clone()));
    let (_served, connection): (_, Connection) = in_memory(&node, Dialect::CapnWeb).await;
    let gate: GateClient = connection.index();
    let running = tokio::spawn(async move { gate.pass(1).await });
    while gated.inside.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let drained = node.drain(LONG).await;
    assert_eq!((drained.connections, drained.cut), (1, 1));
    let error = running.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Disconnected, Fate::MayHaveRun));
}

#[tokio::test]
async fn one_connection_too_many_is_refused_until_another_has_ended() {
    let node = Node::new("anything").limits(limits(|limits| limits.connections = 2));
    let mut held = Vec::new();
    for _ in 0..2 {
        let (there, here) = transport::pair();
        held.push(node.serve(there).await.unwrap());
        held.push(capnode::connect_over(here).await.unwrap());
    }
    let (there, here) = transport::pair();
    let refused = node.serve(there).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Limit);
    let told: Connection = capnode::connect_over(here).await.unwrap();
    let told = soon(told.closed()).await;
    assert!(told.message().contains("more than 2 connections"), "{told}");
    held[0].close();
    let (there, _here) = transport::pair();
    node.serve(there).await.unwrap();
}

/// Sums what it reads, and tells when it has begun.
#[capnode::interface]
trait Adder {
    async fn sum(&self, numbers: Reader<u32>, begun: Func<fn()>) -> u32;
}

#[derive(Clone, Default)]
struct Summing;

impl Adder for Summing {
    async fn sum(&self, mut numbers: Reader<u32>, begun: Func<fn()>) -> u32 {
        let mut sum = 0;
        while let Some(number) = numbers.next().await {
            sum += number.unwrap();
            // A call of the other side goes on as well.
            begun.call().await.unwrap();
        }
        sum
    }
}

#[tokio::test]
async fn streams_and_callbacks_of_running_calls_go_on() {
    let node = Node::new(AdderClient::new(Summing));
    let (_served, connection): (_, Connection) = in_memory(&node, Dialect::CapnWeb).await;
    let adder: AdderClient = connection.index();
    let (mut writer, reader) = capnode::pipe::<u32>();
    let begun = Arc::new(Notify::new());
    let told = begun.clone();
    let summing = tokio::spawn({
        let adder = adder.clone();
        async move {
            let call = adder.sum(reader, move || {
                told.notify_one();
                async {}
            });
            call.await
        }
    });
    writer.write(1).await.unwrap();
    soon(begun.notified()).await;
    let draining = tokio::spawn(async move { node.drain(LONG).await });
    soon(connection.peer_draining()).await;
    // The peer is known to run nothing more, so nothing is sent.
    let late = soon(adder.sum(capnode::pipe::<u32>().1, || async {})).await.unwrap_err();
    assert_eq!((late.message(), late.fate()), ("the peer is shutting down", Fate::NotSent));
    assert_eq!(late.property::<String>("code").as_deref(), Some("ESHUTDOWN"));
    writer.write(2).await.unwrap();
    writer.close().await.unwrap();
    assert_eq!(soon(summing).await.unwrap().unwrap(), 3);
    assert_eq!(soon(draining).await.unwrap().cut, 0);
    assert_eq!(soon(connection.closed()).await.kind(), ErrorKind::Disconnected);
}

/// Gives 64 KiB of bytes this many times.
#[capnode::interface]
trait Tape {
    async fn play(&self, times: usize) -> Reader<Bytes>;
}

struct Sevens;

impl Tape for Sevens {
    async fn play(&self, times: usize) -> Reader<Bytes> {
        Reader::from_iter((0..times).map(|_| Bytes::from(vec![7; 1 << 16])))
    }
}

#[tokio::test]
async fn a_stream_of_a_drained_node_is_read_to_its_end() {
    let node = Node::new(TapeClient::new(Sevens));
    let listener = node.listen("tcp://127.0.0.1:0").await.unwrap();
    let connection: Connection = capnode::connect(&listener.url()).await.unwrap();
    let mut bytes = connection.index::<TapeClient>().play(160).await.unwrap();
    let draining = tokio::spawn(async move { node.drain(LONG).await });
    soon(connection.peer_draining()).await;
    let mut read = 0;
    while let Some(chunk) = soon(bytes.next()).await {
        read += chunk.unwrap().len();
    }
    assert_eq!(read, 160 << 16);
    let drained = soon(draining).await.unwrap();
    assert_eq!((drained.cut, drained.cut_streams), (0, 0));
}

#[tokio::test]
async fn a_stream_that_outlasts_the_drain_is_cut_off_and_counted() {
    let node = Node::new(TapeClient::new(Sevens));
    let listener = node.listen("tcp://127.0.0.1:0").await.unwrap();
    let connection: Connection = capnode::connect(&listener.url()).await.unwrap();
    let mut bytes = connection.index::<TapeClient>().play(1_000).await.unwrap();
    let drained = soon(node.drain(Duration::ZERO)).await;
    assert_eq!((drained.cut, drained.cut_streams), (0, 1));
    let error = loop {
        if let Err(error) = soon(bytes.next()).await.expect("the stream has no end") {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Disconnected);
}

#[tokio::test]
async fn a_wait_for_a_peer_to_drain_that_is_given_up_leaves_nothing_behind() {
    struct Task;

    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    let (_served, connection): (_, Connection) = in_memory(&Node::new("anything"), Dialect::CapnWeb).await;
    let task = Arc::new(Task);
    let waker = Waker::from(task.clone());
    let mut waiting = Box::pin(connection.peer_draining());
    assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop((waiting, waker));
    assert_eq!(Arc::strong_count(&task), 1);
}

#[tokio::test]
async fn a_wait_for_a_peer_to_drain_ends_with_the_connection() {
    let (served, connection): (Connection, Connection) =
        in_memory(&Node::new("anything"), Dialect::CapnWeb).await;
    let ending = async {
        tokio::task::yield_now().await;
        served.close();
    };
    soon(async { tokio::join!(connection.peer_draining(), ending) }).await;
    soon(connection.peer_draining()).await;
}

#[tokio::test]
async fn a_call_above_the_last_one_of_a_drained_peer_was_not_run() {
    let (there, here) = tokio::io::duplex(1 << 16);
    let connection: Connection = capnode::connect_over(transport::lines(here)).await.unwrap();
    let gate: GateClient = connection.index();
    let mut calls = Vec::new();
    for number in 1..=3 {
        let gate = gate.clone();
        calls.push(tokio::spawn(async move { gate.pass(number).await }));
    }
    let (from, mut to) = tokio::io::split(there);
    let mut lines = BufReader::new(from).lines();
    let mut sent = 0;
    while sent < 3 {
        sent += usize::from(soon(lines.next_line()).await.unwrap().unwrap().contains("pass"));
    }
    // The last word counts for nothing: a call that did not run cannot have run later.
    to.write_all(b"[\"release\",0,0]\n[\"draining\",1]\n[\"draining\",3]\n").await.unwrap();
    soon(connection.peer_draining()).await;
    drop((lines, to));
    let mut fates = Vec::new();
    for call in calls {
        fates.push(soon(call).await.unwrap().unwrap_err().fate());
    }
    assert_eq!(fates, [Fate::MayHaveRun, Fate::NotSent, Fate::NotSent]);
}

#[tokio::test]
async fn only_a_peer_of_this_library_may_say_that_it_is_draining() {
    let (there, here) = tokio::io::duplex(1 << 16);
    let connection: Connection = capnode::connect_over(transport::lines(here)).await.unwrap();
    let (_from, mut to) = tokio::io::split(there);
    to.write_all(b"[\"draining\",1]\n").await.unwrap();
    assert_eq!(soon(connection.closed()).await.kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn a_parked_call_of_a_drained_node_was_not_run() {
    let gated = Gated::default();
    let node = Node::new(GateClient::new(gated.clone())).limits(limits(|limits| limits.running_calls = 1));
    let (served, connection): (_, Connection) = in_memory(&node, Dialect::CapnWeb).await;
    let gate: GateClient = connection.index();
    let running = tokio::spawn({
        let gate = gate.clone();
        async move { gate.pass(1).await }
    });
    until("it is inside", || gated.inside.load(Ordering::SeqCst) == 1).await;
    let parked = tokio::spawn(async move { gate.pass(2).await });
    until("the other is parked", || served.tables().running == 2).await;
    let drained = node.drain(Duration::ZERO).await;
    assert_eq!((drained.connections, drained.cut), (1, 1));
    assert_eq!(running.await.unwrap().unwrap_err().fate(), Fate::MayHaveRun);
    let parked = parked.await.unwrap().unwrap_err();
    assert_eq!((parked.fate(), gated.inside.load(Ordering::SeqCst)), (Fate::NotSent, 1), "{parked}");
}

/// Notes each number that it was called with.
#[capnode::interface]
trait Ledger {
    async fn note(&self, number: u64);
}

#[derive(Clone, Default)]
struct Noted(Arc<Mutex<HashSet<u64>>>);

impl Ledger for Noted {
    async fn note(&self, number: u64) {
        assert!(self.0.lock().unwrap().insert(number), "{number} ran twice");
        // Some are still running when the node gives up on them.
        for _ in 0..number % 7 {
            tokio::task::yield_now().await;
        }
    }
}

/// Drains a node under load from several connections, and holds the fate of each call against what ran.
async fn drain_under_load(address: &str, deadline: Duration) {
    let noted = Noted::default();
    let node = Node::new(LedgerClient::new(noted.clone())).limits(limits(|limits| limits.running_calls = 8));
    let listener = node.listen(address).await.unwrap();
    let mut callers = Vec::new();
    for connection in 0..4u64 {
        let ledger: LedgerClient = capnode::connect(&listener.url()).await.unwrap();
        // From then on both sides know of each other what they are.
        ledger.note(u64::MAX - connection).await.unwrap();
        for caller in 0..16 {
            let ledger = ledger.clone();
            callers.push(tokio::spawn(async move {
                let first = (connection * 16 + caller) * 1_000_000;
                for number in first.. {
                    if let Err(error) = ledger.note(number).await {
                        return (number, error);
                    }
                }
                unreachable!("an endless loop");
            }));
        }
    }
    until("it is under load", || noted.0.lock().unwrap().len() > 500).await;
    node.drain(deadline).await;
    for caller in callers {
        let (number, error) = soon(caller).await.unwrap();
        let ran = noted.0.lock().unwrap().contains(&number);
        assert_eq!(ran, error.fate() != Fate::NotSent, "{number}: {error}, {:?}", error.fate());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_the_fate_of_each_call_says_whether_it_ran() {
    for round in 0..20 {
        for address in ["tcp://127.0.0.1:0", "ws://127.0.0.1:0"] {
            drain_under_load(address, if round % 2 == 0 { Duration::ZERO } else { LONG }).await;
        }
    }
}

/// Drains one of two nodes while a reconnecting client calls. Returns the calls that each of them ran.
async fn move_under_load(address: &str, deadline: Duration) -> [usize; 2] {
    let noted = [Noted::default(), Noted::default()];
    let nodes = noted.clone().map(|noted| Node::new(LedgerClient::new(noted)));
    let listeners = [nodes[0].listen(address).await.unwrap(), nodes[1].listen(address).await.unwrap()];
    let connecting = capnode::connect(&listeners[0].url()).reconnecting().or(&listeners[1].url());
    let ledger: LedgerClient = soon(connecting.into_future()).await.unwrap();
    let moved = Arc::new(AtomicBool::new(false));
    let mut callers = Vec::new();
    for caller in 0..16 {
        let (ledger, moved) = (ledger.clone(), moved.clone());
        callers.push(tokio::spawn(async move {
            let first = caller * 1_000_000;
            for number in first.. {
                if moved.load(Ordering::SeqCst) {
                    return number - first;
                }
                ledger.note(number).await.unwrap_or_else(|error| panic!("{number}: {error}"));
            }
            unreachable!("an endless loop");
        }));
    }
    let ran = |at: usize| noted[at].0.lock().unwrap().len();
    until("it is under load", || ran(0) > 200).await;
    nodes[0].drain(deadline).await;
    until("the other is under load", || ran(1) > 200).await;
    moved.store(true, Ordering::SeqCst);
    let mut answered = 0;
    for caller in callers {
        answered += soon(caller).await.unwrap();
    }
    assert!(noted[0].0.lock().unwrap().is_disjoint(&noted[1].0.lock().unwrap()), "a call ran at both nodes");
    assert_eq!(ran(0) + ran(1), usize::try_from(answered).unwrap(), "each call ran and was answered");
    [ran(0), ran(1)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reconnecting_client_loses_no_call_of_a_drained_node() {
    for _round in 0..20 {
        for address in ["tcp://127.0.0.1:0", "ws://127.0.0.1:0"] {
            let ran = move_under_load(address, LONG).await;
            assert!(ran.iter().all(|ran| *ran > 200), "{address}: {ran:?}");
        }
    }
}

#[tokio::test]
async fn a_web_socket_is_told_that_the_node_is_leaving() {
    let node = Node::new("anything");
    let listener = node.listen("ws://127.0.0.1:0").await.unwrap();
    let stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(listener.url(), stream).await.unwrap();
    let draining = tokio::spawn(async move { node.drain(LONG).await });
    let close = loop {
        match soon(socket.next()).await {
            Some(Ok(Message::Close(Some(close)))) => break close,
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((u16::from(close.code), close.reason.as_str()), (1001, "the node is shutting down"));
    // It goes on reading until the peer has closed as well.
    drop(socket);
    soon(draining).await.unwrap();
}
