//! What a crowd of connections holds of the memory of a process, in each way of holding, beside `Limits::node_bytes`.

use std::alloc::System;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use capnode::{Connection, Limits, Node, transport};
use capnode_examples::tour;
use capnode_tests::until;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CONNECTIONS: usize = 60;

/// Bytes of each large message.
const LARGE: usize = 100_000;

const NODE_BYTES: usize = 2 << 20;

/// What a connection may hold beside what is counted.
const EACH: usize = 64 << 10;

/// The most that is held of what is counted, and not yet known to be too much.
const FACTOR: usize = 2;

fn allocated() -> usize {
    let stats = ALLOCATED.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

/// A raw peer, which allocates nothing.
struct Raw {
    stream: TcpStream,
    web_socket: bool,
}

impl Raw {
    fn new(url: &str) -> Self {
        let (scheme, host) = url.trim_end_matches('/').split_once("://").unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let web_socket = scheme == "ws";
        if web_socket {
            let request = format!(
                "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
        }
        Self { stream, web_socket }
    }

    /// Announces a message of `length` bytes, and sends `text`, which need not be all of it.
    fn send(&mut self, length: usize, text: &str) {
        let ended = text.len() == length;
        if self.web_socket {
            let mut head = vec![0x81, 0x80 | 127];
            head.extend_from_slice(&(length as u64).to_be_bytes());
            // A mask of zeros changes nothing.
            head.extend_from_slice(&[0; 4]);
            self.stream.write_all(&head).unwrap();
        }
        // It may be ended for what it sends.
        let _ended = self.stream.write_all(text.as_bytes());
        if ended && !self.web_socket {
            self.stream.write_all(b"\n").unwrap();
        }
    }

    /// Reads up to a text. Returns `false` if the stream ends before.
    fn read_to(&mut self, text: &str) -> bool {
        let (mut seen, mut room) = (Vec::new(), vec![0; 64 << 10]);
        loop {
            match self.stream.read(&mut room) {
                Ok(count @ 1..) => seen.extend_from_slice(&room[..count]),
                _ => return false,
            }
            if String::from_utf8_lossy(&seen).contains(text) {
                return true;
            }
            let long = seen.len().saturating_sub(text.len());
            seen.drain(..long);
        }
    }

    fn is_served(&mut self, number: usize) -> bool {
        let ask = r#"["push",["pipeline",0,["transform"],["beep"]]]"#;
        self.send(ask.len(), ask);
        let pull = format!("[\"pull\",{number}]");
        self.send(pull.len(), &pull);
        self.read_to("BOOP")
    }
}

/// Waits until nothing moves any more, and returns what is allocated.
async fn settled() -> usize {
    let mut held = allocated();
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = allocated();
        if now == held {
            return now;
        }
        held = now;
    }
}

/// Lets each of a crowd do something, and returns how much is held then, beside what was before, and the crowd.
async fn crowd(node: &Connection, url: &str, does: fn(&mut Raw)) -> (usize, Vec<Raw>) {
    // What the crowd before held counts until it has gone.
    until("nobody else holds anything", || node.report().node_bytes < LARGE / 10).await;
    let before = settled().await;
    let url = url.to_owned();
    let raws = tokio::task::spawn_blocking(move || {
        (0..CONNECTIONS)
            .map(|_| {
                let mut raw = Raw::new(&url);
                does(&mut raw);
                raw
            })
            .collect::<Vec<_>>()
    });
    let raws = raws.await.unwrap();
    (settled().await.saturating_sub(before), raws)
}

/// A message that does nothing.
fn noop(length: usize) -> String {
    let mut text = "[\"release\",0,0".to_owned();
    text.extend(std::iter::repeat_n(' ', length - text.len() - 1));
    text + "]"
}

fn whole(raw: &mut Raw) {
    raw.send(LARGE, &noop(LARGE));
}

fn answered(raw: &mut Raw) {
    let ask = format!(r#"["stream",["pipeline",0,["echo"],["{}"]]]"#, "x".repeat(LARGE));
    raw.send(ask.len(), &ask);
    assert!(raw.read_to("xxxxxxxx\"]"));
}

fn half(raw: &mut Raw) {
    raw.send(LARGE + 1, &noop(LARGE));
}

fn announced(raw: &mut Raw) {
    raw.send(31 << 20, "[");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_holds_what_is_allowed_and_a_little_for_each() {
    let mut limits = Limits::default();
    limits.node_bytes = NODE_BYTES;
    let node = Node::new(tour::index()).limits(limits);
    let bound = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let axum = format!("ws://{}/", bound.local_addr().unwrap());
    let router = capnode::axum::router(node.clone());
    tokio::spawn(async move { axum::serve(bound, router).await });
    let (there, _here) = transport::pair();
    let observer = node.serve(there).await.unwrap();
    let tcp = node.listen("tcp://127.0.0.1:0").await.unwrap();
    let ws = node.listen("ws://127.0.0.1:0").await.unwrap();
    for url in [tcp.url(), ws.url(), axum] {
        for (what, does, lasts) in [
            ("a whole message", whole as fn(&mut Raw), true),
            ("an answered call", answered, true),
            ("half a message", half, false),
            ("a message announced", announced, true),
        ] {
            let (held, raws) = crowd(&observer, &url, does).await;
            println!("{url}: {what}: {held} bytes, {} each", held / CONNECTIONS);
            let counted = if lasts { 0 } else { FACTOR * NODE_BYTES };
            assert!(held <= counted + CONNECTIONS * EACH, "{url}: {what}: {held} bytes");
            if lasts && what != "a message announced" {
                let number = if what == "an answered call" { 2 } else { 1 };
                let served = raws.into_iter().map(|mut raw| raw.is_served(number)).filter(|served| *served);
                assert_eq!(served.count(), CONNECTIONS, "{url}: {what}");
            }
        }
    }
}
