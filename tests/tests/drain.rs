//! Shutting a node down, with nothing going on and under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use capnode::{Cap, Connection, Dialect, ErrorKind, Fate, Node, transport};
use capnode_tests::{in_memory, limits, soon, until};
use tokio::sync::Notify;

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
