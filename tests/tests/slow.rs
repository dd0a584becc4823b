//! Peers that read nothing, that send a frame in drips, or that have vanished: the bytes that they can make this side
//! hold, and the undisturbed service of all other peers.

use std::alloc::System;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use capnode::transport::{Closing, Frame, Outgoing, ReceiveError, Transport, lines};
use capnode::{Connection, Dialect, ErrorKind, Fate, LimitKind, Node, Tables, Value};
use capnode_examples::tour::{self, TourClient};
use capnode_tests::{in_memory, limits, memory};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::io::AsyncWriteExt;
use tokio::runtime::Builder;
use tokio::time::Instant;

#[global_allocator]
static ALLOCATED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ALL: [Dialect; 3] = [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q];

/// The allocations of the honest peers, the runtime and the test meanwhile.
const SLACK: usize = 100_000;

fn allocated() -> usize {
    memory::allocated(ALLOCATED)
}

/// Runs a test on a clock that only sleeping moves. These tests count allocations, so they run one after the other.
fn alone(test: impl Future<Output = ()> + Send + 'static) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    // As a task, which gets its turns like any other.
    runtime.block_on(async { tokio::spawn(test).await }).unwrap();
}

/// A peer that asks for an echo of so many bytes again and again, and reads only so many frames.
struct Asks {
    dialect: Dialect,
    text: String,
    asked: Arc<AtomicUsize>,
    /// After how many questions it is heard of no more.
    vanishes: usize,
    reads: usize,
    heard: usize,
    /// Capnode's id of the method.
    method: Option<String>,
    frame: String,
    waiting: Option<Waker>,
    /// The most that was allocated whenever it was listened to.
    most: Arc<AtomicUsize>,
}

impl Asks {
    fn new(dialect: Dialect, bytes: usize, reads: usize) -> Self {
        Self {
            dialect,
            text: "x".repeat(bytes),
            asked: Arc::default(),
            vanishes: usize::MAX,
            reads,
            heard: 0,
            method: None,
            frame: String::new(),
            waiting: None,
            most: Arc::default(),
        }
    }

    /// One that says nothing either.
    fn nothing() -> Self {
        Self { vanishes: 0, ..Self::new(Dialect::CapnWeb, 0, 0) }
    }

    /// Returns the peer's next frame, if it has one.
    fn next(&mut self) -> Option<String> {
        let Self { text, .. } = self;
        if self.asked.load(Ordering::SeqCst) == self.vanishes {
            return None;
        }
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        match (self.dialect, number, &self.method) {
            (Dialect::CapnWeb, ..) => Some(format!(r#"["stream",["pipeline",0,["echo"],["{text}"]]]"#)),
            (Dialect::Q, ..) => Some(format!(
                r#"{{"type":"send","to":"","from":"{number}","op":"post","args":["echo",["{text}"]]}}"#
            )),
            (_, 0, _) => Some(r#"{"type":"index","methodId":"index"}"#.to_owned()),
            (_, _, Some(method)) => Some(format!(
                r#"{{"type":"invocation","methodId":"{method}","replyId":"{number}","arguments":{{"links":[["{text}"]],"value":{{"type":2,"id":0}}}}}}"#
            )),
            _ => None,
        }
    }

    fn hear(&mut self, frame: &str) {
        self.heard += 1;
        if self.dialect == Dialect::Capnode && self.method.is_none() {
            let index: serde_json::Value = serde_json::from_str(frame).expect("the index is JSON");
            let links = &index["value"]["links"];
            let echo = links[0]["echo"]["id"].as_u64().expect("echo is a method") as usize;
            self.method = links[echo].as_str().map(str::to_owned);
        }
    }
}

impl Transport for Asks {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<'_>, ReceiveError>>> {
        self.most.fetch_max(allocated(), Ordering::SeqCst);
        match self.next() {
            Some(frame) => {
                self.frame = frame;
                Poll::Ready(Some(Ok(Frame::Text(&self.frame))))
            }
            None => {
                self.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_send(&mut self, _: &mut Context<'_>, frames: &mut Outgoing) -> Poll<io::Result<()>> {
        while self.heard < self.reads {
            let Some(Frame::Text(frame)) = frames.pop_frame() else { break };
            self.hear(frame);
            // Now it may know what to say.
            if let Some(waiting) = self.waiting.take() {
                waiting.wake();
            }
        }
        if self.heard == self.reads { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: Closing<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

async fn honest(node: &Node) -> TourClient {
    let (_, tour): (_, TourClient) = in_memory(node, Dialect::CapnWeb).await;
    assert_eq!(tour.transform("beep").await.unwrap(), "BOOP");
    tour
}

capnode_tests::tests! {
    a_peer_that_reads_nothing_holds_so_much_and_loses_its_session: alone(reads_nothing());
    what_is_asked_of_a_peer_that_reads_nothing_waits_or_is_not_sent: alone(is_asked_and_reads_nothing());
    a_peer_that_has_vanished_with_all_it_held_is_given_up: alone(vanishes());
    a_frame_in_drips_that_never_ends_holds_so_much_and_ends_its_session: alone(drips());
    a_peer_that_always_sends_large_frames_gets_no_more_turns_than_others: alone(sends_all_the_time());
}

async fn reads_nothing() {
    const HARD: usize = 1_000_000;
    for dialect in ALL {
        let node = Node::new(tour::index()).limits(limits(|limits| {
            (limits.unwritten_bytes_soft, limits.unwritten_bytes_hard) = (HARD / 10, HARD)
        }));
        let honest = honest(&node).await;
        // In Capnode it has to be told what there is.
        let peer = Asks::new(dialect, 10_000, usize::from(dialect == Dialect::Capnode));
        let (most, asked) = (peer.most.clone(), peer.asked.clone());
        let before = allocated();
        let connection = node.serve(peer).await.unwrap();
        let mut closed = pin!(connection.closed());
        let error = loop {
            tokio::select! {
                error = &mut closed => break error,
                answer = honest.transform("beep") => assert_eq!(answer.unwrap(), "BOOP"),
            }
        };
        assert_eq!(error.kind(), ErrorKind::Limit, "{dialect:?}: {error}");
        let reason = "the peer reads too slowly: too much is waiting to be written; see `Limits::unwritten_bytes_hard`";
        assert_eq!(error.message(), reason);
        assert_eq!(connection.tables(), Tables::default());
        // The bytes that the transport has not written yet, the frames that wait behind them, and the room that a
        // buffer grows by.
        let held = most.load(Ordering::SeqCst) - before;
        assert!(held <= 3 * HARD, "{dialect:?}: {held} bytes");
        let asked = asked.load(Ordering::SeqCst);
        assert!(asked * 10_000 >= HARD, "{dialect:?}: it was about something");
        assert_eq!(honest.transform("beep").await.unwrap(), "BOOP");
        // Its unread frames go at once.
        let ended = tokio::time::Instant::now();
        while allocated().saturating_sub(before) > SLACK {
            assert_eq!(ended.elapsed(), Duration::ZERO, "{dialect:?}: {} bytes", allocated() - before);
            tokio::task::yield_now().await;
        }
        // It never closes its end, and is waited for only so long.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let left = allocated().saturating_sub(before);
        assert!(left <= SLACK, "{dialect:?}: {left} bytes are left");
        println!(
            "{dialect:?}: ended after {asked} echoes of 10 kB, {held} bytes at most, {left} after the end"
        );
    }
}

async fn is_asked_and_reads_nothing() {
    const HARD: usize = 1_000_000;
    const EACH: usize = 10_000;
    // In Capnode the index would have to be asked for first, and all else waits for that.
    for dialect in [Dialect::CapnWeb, Dialect::Q] {
        let node = Node::builder()
            .dialect(dialect)
            .limits(limits(|limits| {
                (limits.unwritten_bytes_soft, limits.unwritten_bytes_hard) = (HARD / 10, HARD)
            }))
            .build();
        let connection: Connection = node.connect_over(Asks::nothing()).await.unwrap();
        let target: TourClient = connection.index();
        let before = allocated();
        let text = Value::from("x".repeat(EACH));
        // Those that wait for their answers wait for room as well, and do not count.
        let waiting: Vec<_> = (0..20)
            .map(|_| {
                let (target, text) = (target.clone(), text.clone());
                tokio::spawn(async move { target.echo(text).await })
            })
            .collect();
        tokio::task::yield_now().await;
        let mut sent = 0;
        let error = loop {
            match target.echo(text.clone()).send() {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
            tokio::task::yield_now().await;
        };
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Limit, Fate::NotSent), "{dialect:?}: {error}");
        let held = allocated() - before;
        assert!(held <= 3 * HARD, "{dialect:?}: {held} bytes");
        // Some of them stand in buffers that were there before.
        let unwritten = connection.report().unwritten_bytes;
        assert!(unwritten > HARD - 2 * EACH, "{dialect:?}: {unwritten} bytes");
        assert!(sent <= 2 * HARD / EACH, "{dialect:?}: {sent} sent");
        assert!(!connection.is_closed(), "it may still read");
        let calls = connection.tables().calls;
        connection.close();
        for call in waiting {
            assert_eq!(call.await.unwrap().unwrap_err().kind(), ErrorKind::Disconnected);
        }
        println!(
            "{dialect:?}: {sent} calls of 10 kB sent, {calls} in all wait for answers, {held} bytes held"
        );
    }
}

async fn vanishes() {
    const PROBE: Duration = Duration::from_secs(10);
    // Capnode has nothing to ask with on such a transport.
    for dialect in [Dialect::CapnWeb, Dialect::Q] {
        let node = Node::new(tour::index()).limits(limits(|limits| limits.probe = Some(PROBE)));
        let honest = honest(&node).await;
        let before = allocated();
        // The last frame to it is in flight for ever, and it sends no end.
        let peer = Asks { vanishes: 50, ..Asks::new(dialect, 10_000, 3) };
        let start = Instant::now();
        let connection = node.serve(peer).await.unwrap();
        tokio::time::sleep(PROBE / 2).await;
        assert!(!connection.is_closed());
        let held = connection.report().unwritten_bytes;
        assert!(held >= 47 * 10_000, "{dialect:?}: {held} bytes");
        let error = connection.closed().await;
        assert_eq!(
            (error.kind(), error.limit()),
            (ErrorKind::Disconnected, Some(LimitKind::Probe)),
            "{error}"
        );
        assert_eq!(start.elapsed().as_secs(), 2 * PROBE.as_secs(), "{dialect:?}");
        assert_eq!(honest.transform("beep").await.unwrap(), "BOOP");
        tokio::time::sleep(PROBE).await;
        let left = allocated().saturating_sub(before);
        assert!(left <= SLACK, "{dialect:?}: {left} bytes are left");
        println!("{dialect:?}: vanished with {held} bytes held, {left} after the end");
    }
}

async fn drips() {
    const LIMIT: usize = 300_000;
    for start in [
        r#"["stream",["pipeline",0,["echo"],[""#,
        r#"{"type":"send","to":"","from":"1","op":"post","args":["echo",[""#,
        r#"{"type":"invocation","methodId":"1","replyId":"2","arguments":{"links":[[""#,
    ] {
        let node = Node::new(tour::index()).limits(limits(|limits| limits.frame_bytes = LIMIT));
        let honest = honest(&node).await;
        let (mut peer, stream) = tokio::io::duplex(64);
        let before = allocated();
        let connection = node.serve(lines(stream).limit(LIMIT)).await.unwrap();
        let (mut written, mut most) = (start.len(), 0);
        peer.write_all(start.as_bytes()).await.unwrap();
        while !connection.is_closed() {
            peer.write_all(&[b'x'; 50]).await.unwrap();
            written += 50;
            most = most.max(allocated());
            if written % 10_000 < 50 {
                assert_eq!(honest.transform("beep").await.unwrap(), "BOOP");
            }
            assert!(written < 2 * LIMIT, "{start}");
        }
        let error = connection.closed().await;
        assert_eq!(error.message(), "a message is longer than 300000 bytes; see `Limits::frame_bytes`");
        assert!(written > LIMIT, "{start}: only {written} bytes");
        let held = most - before;
        assert!(held <= LIMIT + SLACK, "{start}: {held} bytes");
        println!("{start}: ended after {written} bytes, {held} bytes at most");
    }
}

async fn sends_all_the_time() {
    for dialect in ALL {
        let node = Node::new(tour::index());
        let honest = honest(&node).await;
        let peer = Asks::new(dialect, 100_000, usize::MAX);
        let asked = peer.asked.clone();
        let connection = node.serve(peer).await.unwrap();
        for _ in 0..10 {
            let before = asked.load(Ordering::SeqCst);
            assert_eq!(honest.transform("beep").await.unwrap(), "BOOP");
            let meanwhile = asked.load(Ordering::SeqCst) - before;
            assert!(
                meanwhile <= 20,
                "{dialect:?}: {meanwhile} frames of 100 kB were taken in for one answer"
            );
        }
        connection.close();
    }
}
