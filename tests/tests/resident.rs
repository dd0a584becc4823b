//! The resident memory of a process while a crowd of peers holds something in each possible way. `held` has the
//! allocator's count of it. Only Linux reports the needed numbers in `/proc`.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use capnode_tests::{
    NET, memory, number,
    raw::{Raw, noop},
};

/// The peers of a crowd. `CAPNODE_HELD_SCALE` has more of them at a node with more room.
const CONNECTIONS: usize = 40;

/// Those of one whose system has much room for what they do not read.
const FEW: usize = 6;

/// `Limits::node_bytes` of the server.
const NODE_BYTES: usize = 4 << 20;

/// Bytes that each peer sends or asks for, if it can: more than there is room for, all together.
const LARGE: usize = 160 << 10;

/// Messages of each peer that is to hold many things.
const MANY: usize = 500;

/// The bounds stated in `capnode/docs/exposing.md`: a multiple of the counted bytes, and a number of bytes for each
/// connection.
const FACTOR: usize = 2;
const EACH: usize = 64 << 10;

/// The bytes of the server's code and of its threads' heaps, once they are used.
const PROGRAM: usize = 2 << 20;

/// The server, which ends with its input.
struct Server {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    url: String,
}

impl Server {
    fn start(address: &str, node_bytes: usize) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_held_server"));
        // Freed memory has to be given back at once, or the allocator's habits would be measured.
        command
            .env("MALLOC_ARENA_MAX", "1")
            .env("MALLOC_MMAP_THRESHOLD_", "65536")
            .env("MALLOC_TRIM_THRESHOLD_", "0");
        command.args([address, &node_bytes.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = output.next().unwrap().unwrap();
        Self { child, input, output, url }
    }

    /// Bytes that are counted.
    fn counted(&mut self) -> usize {
        self.input.write_all(b"\n").unwrap();
        self.output.next().unwrap().unwrap().parse().unwrap()
    }

    fn resident(&self) -> usize {
        memory::resident(self.child.id()).unwrap() as usize
    }

    fn peak(&self) -> usize {
        memory::peak(self.child.id()).unwrap() as usize
    }

    /// Waits until nothing moves any more, which nothing tells of.
    fn settle(&mut self) {
        let (mut before, mut since) = ((0, 0), Instant::now());
        while since.elapsed() < Duration::from_millis(100) {
            std::thread::sleep(Duration::from_millis(10));
            let now = (self.counted(), self.resident());
            if now != before {
                (before, since) = (now, Instant::now());
            }
        }
    }

    /// Waits until nothing is counted any more.
    fn empty(&mut self) {
        let begin = Instant::now();
        while self.counted() > 0 {
            assert!(begin.elapsed() < NET, "{} bytes are still held", self.counted());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn push(raw: &mut Raw, expression: &str) {
    raw.say(&format!("[\"push\",{expression}]"));
}

fn call(raw: &mut Raw, method: &str, argument: &str) {
    push(raw, &format!("[\"pipeline\",0,[\"{method}\"],[{argument}]]"));
}

/// A string.
fn large(length: usize) -> String {
    format!("\"{}\"", "x".repeat(length))
}

fn silent(_: &mut Raw) {}

fn half(raw: &mut Raw) {
    raw.send(LARGE + 1, &noop(LARGE));
}

fn announced(raw: &mut Raw) {
    raw.send(31 << 20, "[");
}

/// Asks for the result of a call, which is given back when it is there.
fn ask(raw: &mut Raw, number: usize, method: &str, argument: &str) {
    call(raw, method, argument);
    raw.say(&format!("[\"pull\",{number}]"));
    raw.say(&format!("[\"release\",{number},1]"));
}

fn large_once(raw: &mut Raw) {
    ask(raw, 1, "echo", &large(LARGE));
    raw.read_to("x\"]");
    for number in 2..10 {
        ask(raw, number, "echo", "7");
    }
    raw.read_to("9,7]");
}

fn running(raw: &mut Raw) {
    for _ in 0..4 {
        call(raw, "wait", &large(LARGE / 4));
    }
}

/// As many values as fit into so many bytes, as arguments of a call on a pending result: a handler's own copies would
/// not be counted.
fn nested(raw: &mut Raw) {
    call(raw, "wait", "0");
    push(raw, &format!("[\"pipeline\",1,[\"of\"],[[[{}0]]]]", "0,".repeat(LARGE / 2)));
}

fn promises(raw: &mut Raw) {
    call(raw, "wait", "0");
    for _ in 0..MANY / 2 {
        push(raw, "[\"pipeline\",1,[\"of\"],[0]]");
        call(raw, "echo", "[\"pipeline\",1]");
    }
}

fn kept(raw: &mut Raw) {
    for number in 1..=4 {
        call(raw, "echo", &large(LARGE / 4));
        raw.say(&format!("[\"pull\",{number}]"));
        raw.read_to("x\"]");
    }
}

fn unread(raw: &mut Raw) {
    // As much as the system has room for, and more.
    for number in 1..=32 {
        ask(raw, number, "give", &LARGE.to_string());
    }
}

fn ending(raw: &mut Raw) {
    unread(raw);
    raw.say("[\"nonsense\"]");
    // The bytes after it are to be discarded.
    raw.send(LARGE + 1, &noop(LARGE));
}

fn references() -> String {
    let references: Vec<_> = (1..=MANY).map(|number| format!("[\"export\",-{number}]")).collect();
    format!("[[{}]]", references.join(","))
}

fn lent(raw: &mut Raw) {
    call(raw, "wait", &references());
}

fn given_back(raw: &mut Raw) {
    call(raw, "drop", &references());
    raw.say("[\"pull\",1]");
    raw.read_to("1,[\"undefined\"]]");
}

fn made(raw: &mut Raw) {
    for number in 1..=MANY {
        call(raw, "make", "");
        raw.say(&format!("[\"pull\",{number}]"));
    }
    ask(raw, MANY + 1, "echo", "7");
    raw.read_to(",7]");
}

/// A way of holding something.
struct Way {
    name: &'static str,
    does: fn(&mut Raw),
    peers: usize,
    /// `true` if it is counted. An uncounted way has to stay within the bound of a connection in any case.
    counts: bool,
}

const fn way(name: &'static str, does: fn(&mut Raw), counts: bool) -> Way {
    Way { name, does, peers: CONNECTIONS, counts }
}

/// The ways that depend on the transport.
const OF_TRANSPORTS: &[Way] = &[
    way("silent", silent, false),
    way("half a message", half, true),
    way("a message announced", announced, false),
    // At the most, while the large one is there.
    way("a large message, then small ones", large_once, true),
    Way { peers: FEW, ..way("answers not read", unread, true) },
    Way { peers: FEW, ..way("sessions that are ending", ending, true) },
];

/// The ways that do not depend on the transport.
const OF_SESSIONS: &[Way] = &[
    way("running calls", running, true),
    way("calls with many values", nested, true),
    way("promises", promises, true),
    way("results", kept, true),
    way("references lent", lent, true),
    way("references made", made, true),
    way("references lent and given back", given_back, true),
];

/// Lets a crowd do something at a server of its own, twice, and returns by how much that has grown each time, at the most.
fn grown(address: &str, way: &Way, connections: usize, node_bytes: usize) -> [usize; 2] {
    let mut server = Server::start(address, node_bytes);
    // The code that is used is in memory from here on.
    let url = server.url.clone();
    drop(crowd(&url, way, 1));
    server.empty();
    server.settle();
    let before = server.resident();
    [(), ()].map(|()| {
        let crowd = crowd(&url, way, connections);
        server.settle();
        drop(crowd);
        server.empty();
        server.peak().saturating_sub(before)
    })
}

/// Each of them goes on without waiting for the others, from a few threads.
fn crowd(url: &str, way: &Way, connections: usize) -> Vec<Raw> {
    const THREADS: usize = 4;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|first| {
                let each = (first..connections).step_by(THREADS);
                let one = |_| {
                    let mut raw = Raw::new(url);
                    (way.does)(&mut raw);
                    raw
                };
                scope.spawn(move || each.map(one).collect::<Vec<_>>())
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

fn check(address: &str, ways: &[Way]) {
    let scale = number("CAPNODE_HELD_SCALE").unwrap_or(1);
    let node_bytes = NODE_BYTES * scale;
    for way in ways {
        let connections = way.peers * scale;
        let [first, second] = grown(address, way, connections, node_bytes);
        let (name, counted) = (way.name, if way.counts { FACTOR * node_bytes } else { 0 });
        let most = counted + connections * EACH + PROGRAM;
        println!(
            "{address} {name}: {} KiB, the second time {} KiB, of {} KiB",
            first >> 10,
            second >> 10,
            most >> 10
        );
        assert!(first.max(second) <= most, "{address} {name}");
    }
}

/// The address of a socket in a file that goes with its listener.
fn unix() -> String {
    format!(
        "unix:{}",
        std::env::temp_dir().join(format!("capnode-resident-{}", std::process::id())).display()
    )
}

capnode_tests::tests! {
    a_crowd_by_tcp_occupies_what_is_stated: check("tcp://127.0.0.1:0", OF_TRANSPORTS);
    a_crowd_by_web_sockets_occupies_what_is_stated: check("ws://127.0.0.1:0", OF_TRANSPORTS);
    a_crowd_by_axum_occupies_what_is_stated: check("axum:", OF_TRANSPORTS);
    a_crowd_by_unix_sockets_occupies_what_is_stated: check(&unix(), OF_TRANSPORTS);
    sessions_that_hold_much_occupy_what_is_stated: check("tcp://127.0.0.1:0", OF_SESSIONS);
}
