//! Random frames of a peer that puts bytes beside its text, some of which lie about them: in calls, streams, blobs, maps
//! and errors, over every transport that carries them, and through a relay. Nothing panics, and nothing is left.

use std::sync::Arc;

use capnode::value::{Blob, Request, Response};
use capnode::{Bytes, Cap, Error, Func, Limits, Node, Object, Reader, Value, Writer, revocable};
use capnode_tests::{panics, soon, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SESSIONS: u64 = 150;

/// Numbers that are the same for the same seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

/// An index, all parts of which keep `alive`.
fn index(alive: &Arc<()>) -> Object {
    let keep = |alive: &Arc<()>| alive.clone();
    let (reading, sinking, giving, calling) = (keep(alive), keep(alive), keep(alive), keep(alive));
    let read = |mut reader: Reader<Value>, alive: Arc<()>| async move {
        let mut count = 0;
        while let Some(Ok(_)) = reader.next().await {
            count += 1;
        }
        drop(alive);
        count
    };
    Object::new()
        .with("echo", Func::<fn(Value) -> Value>::new(|value: Value| async move { value }))
        .with(
            "read",
            Func::<fn(Reader<Value>) -> u32>::new(move |reader: Reader<Value>| read(reader, reading.clone())),
        )
        .with(
            "sink",
            Func::<fn() -> Writer<Value>>::new(move || {
                let (writer, reader) = capnode::pipe();
                tokio::spawn(read(reader, sinking.clone()));
                async { writer }
            }),
        )
        .with(
            "parts",
            Func::<fn() -> Reader<Bytes>>::new(|| async {
                Reader::from_iter(vec![Bytes::from(vec![7; 3_000]); 40])
            }),
        )
        .with("blob", Func::<fn(Blob) -> Blob>::new(|blob: Blob| async move { blob }))
        .with(
            "fetch",
            Func::<fn(Request) -> Response>::new(|request: Request| async move {
                let mut response = Response::new(201);
                response.body = request.body;
                response.headers = request.headers;
                response
            }),
        )
        .with(
            "call",
            Func::<fn(Cap, Value) -> Result<Value, Error>>::fallible(move |cap: Cap, value: Value| {
                let alive = calling.clone();
                async move {
                    let outcome = cap.invoke::<Value>("echo", (value,)).await;
                    drop(alive);
                    outcome
                }
            }),
        )
        .with(
            "fail",
            Func::<fn(Value) -> Result<(), Error>>::fallible(|_: Value| async { Err(Error::rejected("no")) }),
        )
        .with(
            "give",
            Func::<fn() -> Cap>::new(move || {
                let alive = giving.clone();
                async move {
                    Func::<fn(Value) -> Value>::new(move |value: Value| {
                        let _held = &alive;
                        async { value }
                    })
                    .into()
                }
            }),
        )
}

/// What a peer has numbered, and the bytes for the frame that it writes.
#[derive(Default)]
struct Peer {
    calls: usize,
    exports: usize,
    beside: Vec<u8>,
}

impl Peer {
    fn id(&self, draw: &mut Draw) -> String {
        match draw.below(8) {
            0 | 1 => "0".to_owned(),
            2..5 => format!("-{}", 1 + draw.below(5)),
            _ => (1 + draw.below(self.calls + 1)).to_string(),
        }
    }

    fn bytes(&mut self, draw: &mut Draw) -> String {
        // Those of the last two are too few.
        let any = if draw.below(30) == 0 { 8 } else { 6 };
        let length = [1_024, 1_100, 2_000, 4_096, 9_000, 70_000, 0, 7][draw.below(any)];
        self.beside.resize(self.beside.len() + length, 65);
        let kind = draw.pick(&[
            "",
            "",
            "",
            r#","DataView""#,
            r#","Int8Array""#,
            r#","Nothing""#,
            r#","Float64Array""#,
        ]);
        format!(r#"["bytes",{length}{kind}]"#)
    }

    fn value(&mut self, draw: &mut Draw, depth: usize) -> String {
        if depth == 0 {
            return self.bytes(draw);
        }
        let id = self.id(draw);
        let inner = self.value(draw, depth - 1);
        match draw.below(22) {
            0..4 => self.bytes(draw),
            4 => r#"["bytes","AAAA"]"#.to_owned(),
            5 => format!(r#"[[{inner},{}]]"#, self.value(draw, depth - 1)),
            6 => format!(r#"{{"a":{inner},"toJSON":{}}}"#, self.value(draw, depth - 1)),
            7 => format!(r#"["error","TypeError","m",null,{{"p":{inner}}}]"#),
            8 => format!(r#"["error",1,"m",{inner},{inner}]"#),
            9 => format!(r#"["blob","t",{inner}]"#),
            10 => format!(r#"["blob","t",["readable",{id}]]"#),
            11 => format!(r#"["request","http://a/",{{"method":"PUT","body":{inner}}}]"#),
            12 => format!(
                r#"["request","http://a/",{{"headers":[["a","b"]],"body":["readable",{id}],"signal":null}}]"#
            ),
            13 => format!(
                r#"["response",{inner},{{"status":{}}}]"#,
                draw.pick(&["200", "-1", "2.5", "1e9", "\"x\""])
            ),
            14 => format!(r#"["pipeline",{id},["echo"],[{inner}]]"#),
            15 => format!(r#"["pipeline",{id},["a"]]"#),
            16 => format!(
                r#"["remap",{id},["list"],[["import",{id}]],[["pipeline",-1,["echo"],[["pipeline",0]]]]]"#
            ),
            17 => format!(r#"["remap",{id},[],[],[{inner}]]"#),
            18 => format!(r#"["readable",{id}]"#),
            19 => format!(r#"["import",{id}]"#),
            _ => {
                self.exports += 1;
                format!(r#"["{}",-{}]"#, draw.pick(&["export", "promise", "writable"]), self.exports)
            }
        }
    }

    fn text(&mut self, draw: &mut Draw) -> String {
        let depth = draw.below(3);
        let (id, value) = (self.id(draw), self.value(draw, depth));
        let kind = draw.below(20);
        self.calls += usize::from(kind < 14);
        let form = draw.pick(&["push", "stream"]);
        match kind {
            0 => r#"["pipe"]"#.to_owned(),
            1..8 => {
                let method = draw.pick(&["echo", "read", "blob", "fetch", "fail", "sink", "give", "parts"]);
                format!(r#"["{form}",["pipeline",0,["{method}"],[{value}]]]"#)
            }
            8 => format!(r#"["{form}",["pipeline",0,["call"],[["import",{id}],{value}]]]"#),
            9 => format!(r#"["{form}",["pipeline",0,["call"],[["export",-1],{value}]]]"#),
            10 => format!(r#"["{form}",{value}]"#),
            11 | 12 => format!(r#"["stream",["pipeline",{id},["write"],[{value}]]]"#),
            13 => format!(
                r#"["stream",["pipeline",{id},["{}"],[{value}]]]"#,
                draw.pick(&["close", "abort", "flush"])
            ),
            14 => format!(r#"["pull",{id}]"#),
            15 => format!(r#"["resolve",-{},{value}]"#, 1 + draw.below(self.exports + 1)),
            16 => format!(r#"["resolve",{},{value}]"#, 1 + draw.below(9)),
            17 => format!(r#"["reject",{},{value}]"#, 1 + draw.below(9)),
            18 => format!(r#"["abilities",{value},"bytes"]"#),
            _ => format!(r#"["release",{id},1]"#),
        }
    }

    /// A frame as a message, and what stands before that in a stream of lines.
    fn frame(&mut self, draw: &mut Draw) -> (Vec<u8>, bool) {
        self.beside.clear();
        let text = self.text(draw);
        let beside = std::mem::take(&mut self.beside);
        if beside.is_empty() && draw.below(4) > 0 {
            return (text.into_bytes(), false);
        }
        let mut length = text.len();
        let mut beside = beside;
        match draw.below(120) {
            0 => length += 1,
            1 => length = 0,
            2 => drop(beside.pop()),
            3 => beside.push(1),
            4 => length = u32::MAX as usize,
            _ => {}
        }
        let mut message = (length as u32).to_be_bytes().to_vec();
        message.extend(text.as_bytes());
        message.extend(beside);
        if draw.below(60) == 0 {
            message.truncate(message.len() % 6);
        }
        (message, true)
    }
}

fn in_web_socket(message: &[u8], first: u8) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | 127];
    frame.extend((message.len() as u64).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(message);
    frame
}

fn framed(web_socket: bool, (message, mixed): (Vec<u8>, bool), draw: &mut Draw) -> Vec<u8> {
    match (web_socket, mixed) {
        (true, mixed) => {
            let (opcode, at) = (if mixed { 2 } else { 1 }, draw.below(message.len() + 1));
            if draw.below(3) > 0 {
                return in_web_socket(&message, 0x80 | opcode);
            }
            // In two parts.
            let (one, other) = message.split_at(at);
            [in_web_socket(one, opcode), in_web_socket(other, 0x80)].concat()
        }
        (false, true) => {
            let total = message.len() as u32;
            let mut frame = vec![0];
            let lie = draw.below(100) == 0;
            frame.extend((if lie { total.wrapping_sub(5) } else { total }).to_be_bytes());
            frame.extend(message);
            frame
        }
        (false, false) => [&message[..], b"\n"].concat(),
    }
}

/// Plays a session: writes all of it, in pieces, and reads or does not.
async fn attack(url: String, seed: u64) {
    let mut draw = Draw(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let (scheme, host) = url.trim_end_matches('/').split_once("://").unwrap();
    let web_socket = scheme == "ws";
    let stream = TcpStream::connect(host).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let mut all = Vec::new();
    if web_socket {
        all.extend(
            format!(
                "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            .into_bytes(),
        );
    }
    let mut peer = Peer::default();
    if draw.below(20) > 0 {
        all.extend(framed(web_socket, (b"[\"release\",0,0]".to_vec(), false), &mut Draw(1)));
        if draw.below(4) > 0 {
            all.extend(framed(web_socket, (b"[\"abilities\",\"bytes\"]".to_vec(), false), &mut Draw(1)));
        }
    }
    // Something lent to hold on to, by an id of the other side's.
    for _ in 0..draw.below(5) {
        peer.calls += 1;
        let give = br#"["stream",["pipeline",0,["give"],[]]]"#;
        all.extend(framed(web_socket, (give.to_vec(), false), &mut Draw(1)));
    }
    for _ in 0..draw.below(60) {
        let frame = peer.frame(&mut draw);
        all.extend(framed(web_socket, frame, &mut draw));
    }
    if draw.below(4) == 0 {
        all.truncate(draw.below(all.len()));
    }
    let piece = [1 << 20, 1 << 20, 5_000, 333][draw.below(4)];
    let reads = draw.below(6) > 0;
    let writing = async move {
        for piece in all.chunks(piece) {
            if write.write_all(piece).await.is_err() {
                break;
            }
        }
        let _ended = write.shutdown().await;
        write
    };
    let reading = async {
        let mut heard = Vec::new();
        if reads {
            let _end = read.read_to_end(&mut heard).await;
        }
        heard
    };
    let (_write, _heard) = soon(async { tokio::join!(writing, reading) }).await;
}

async fn attacked(url: &str, alive: &Arc<()>, left: usize) {
    for seeds in (0..SESSIONS).collect::<Vec<_>>().chunks(8) {
        let attacks = seeds.iter().map(|seed| tokio::spawn(attack(url.to_owned(), *seed + 1)));
        for attack in attacks.collect::<Vec<_>>() {
            attack.await.unwrap();
        }
    }
    until("all is freed", || Arc::strong_count(alive) <= left).await;
    assert_eq!(panics::of(""), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_of_a_hostile_peer_break_nothing() {
    panics::watch(|_| true);
    let alive = Arc::new(());
    let limits = Limits::default().frame_bytes(1 << 20).stream_bytes(300_000).kept_bytes(1 << 20);
    for url in ["tcp://127.0.0.1:0", "ws://127.0.0.1:0"] {
        let index = Cap::from(index(&alive));
        let lent = index.clone();
        let (wrapped, _membrane) = revocable(index.clone());
        let base = Arc::strong_count(&alive);
        let node = Node::builder().index(lent).limits(limits.clone()).build();
        let listener = node.listen(url).await.unwrap();
        attacked(&listener.url(), &alive, base).await;
        // Through a membrane.
        let node = Node::builder().index(wrapped).limits(limits.clone()).build();
        let listener = node.listen(url).await.unwrap();
        attacked(&listener.url(), &alive, base).await;
        // Through a relay, which speaks for all of them.
        let owner = Node::new(index).listen("tcp://127.0.0.1:0").await.unwrap();
        let owned: Cap = capnode::connect(&owner.url()).await.unwrap();
        let relay = Node::builder().index(owned.clone()).limits(limits.clone()).build();
        let listener = relay.listen(url).await.unwrap();
        attacked(&listener.url(), &alive, base).await;
    }
}
