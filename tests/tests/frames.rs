//! WebSockets and byte streams, byte by byte: messages in pieces, frames that break the rules, messages that are too long,
//! and links that are slow.

use std::time::Duration;

use capnode::{Cap, Connection, ErrorKind, Incoming, LimitKind, Limits, Listener, Node, Value};
use capnode_examples::tour::{self, TourClient};
use capnode_tests::{limits, meeting, routed, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

const TEXT: u8 = 0x81;
const PONG: u8 = 0x8a;

/// A frame of a client: its first byte, and its payload, masked.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x12, 0x9f, 0x00, 0x77];
    let mut bytes = vec![first];
    match payload.len() {
        length @ ..126 => bytes.push(0x80 | u8::try_from(length).unwrap()),
        length @ ..0x1_0000 => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&key);
    bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// Opens a WebSocket, and sends `first` together with the request.
async fn open(url: &str, first: &[u8]) -> TcpStream {
    let host = url.trim_start_matches("ws://").trim_end_matches('/');
    let mut stream = TcpStream::connect(host).await.unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(&[request.as_bytes(), first].concat()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(stream.read_u8()).await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    stream
}

/// The next frame of a server: its first byte, and its payload.
async fn next(stream: &mut (impl AsyncReadExt + Unpin)) -> (u8, Vec<u8>) {
    let first = stream.read_u8().await.unwrap();
    let length = match stream.read_u8().await.unwrap() {
        126 => u64::from(stream.read_u16().await.unwrap()),
        127 => stream.read_u64().await.unwrap(),
        short => u64::from(short),
    };
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut payload).await.unwrap();
    (first, payload)
}

/// The code and reason with which a socket is closed. Nothing is lost by a reset.
async fn end(stream: &mut TcpStream) -> (u16, String) {
    loop {
        if let (0x88, payload) = soon(next(stream)).await {
            let code = u16::from_be_bytes([payload[0], payload[1]]);
            let mut rest = Vec::new();
            soon(stream.read_to_end(&mut rest)).await.unwrap();
            assert!(rest.is_empty(), "a close frame is the last one");
            return (code, String::from_utf8(payload[2..].to_vec()).unwrap());
        }
    }
}

/// The tour at a listener's WebSocket, at a route of axum, and at a listener of byte streams.
async fn served(limits: Limits) -> ([String; 3], UnboundedReceiver<Incoming>, [Listener; 2]) {
    let (node, met) = meeting(tour::index());
    let node = node.limits(limits).build();
    let (ws, tcp) =
        (node.listen("ws://127.0.0.1:0").await.unwrap(), node.listen("tcp://127.0.0.1:0").await.unwrap());
    ([ws.url(), routed(node).await, tcp.url()], met, [ws, tcp])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_may_come_in_pieces_of_any_size() {
    let (urls, _met, _running) = served(Limits::default()).await;
    let long = "ä".repeat(40_000);
    let ask = |text: &str| format!(r#"["stream",["pipeline",0,["transform"],["{text}"]]]"#);
    for url in &urls[..2] {
        for size in [1, 2, 3, 7, 1_000, usize::MAX] {
            let (short, long) = (ask("beep"), ask(&long));
            let (one, other) = short.as_bytes().split_at(20);
            let (half, rest) = long.as_bytes().split_at(30_001);
            let mut all = [
                frame(TEXT, short.as_bytes()),
                // In parts, with a ping between them.
                frame(0x01, one),
                frame(0x89, b"there?"),
                frame(0x00, b""),
                frame(0x80, other),
            ]
            .concat();
            let expected = if size < 4 { 2 } else { 3 };
            if expected == 3 {
                // Between two bytes of a character.
                all.extend([frame(0x01, half), frame(0x80, rest)].concat());
            }
            let mut stream = open(url, b"").await;
            stream.set_nodelay(true).unwrap();
            let (mut read, mut write) = stream.split();
            let writing = async {
                for piece in all.chunks(size.min(all.len())) {
                    write.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
            };
            let reading = async {
                let (mut answers, mut pongs, mut seen) = (0, 0, Vec::new());
                while answers < expected || pongs < 1 {
                    let mut room = [0; 10_000];
                    let count = read.read(&mut room).await.unwrap();
                    assert!(count > 0, "{}", String::from_utf8_lossy(&seen));
                    seen.extend_from_slice(&room[..count]);
                    answers = seen.windows(10).filter(|part| part == b"[\"resolve\"").count();
                    pongs = seen.windows(8).filter(|part| part == b"\x8a\x06there?").count();
                }
                answers
            };
            let (answers, ()) = soon(async { tokio::join!(reading, writing) }).await;
            assert_eq!(answers, expected, "{size}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_with_the_handshake_is_read() {
    let (urls, _met, _running) = served(Limits::default()).await;
    for url in &urls[..2] {
        let mut stream = open(url, &frame(0x89, b"early")).await;
        assert_eq!(soon(next(&mut stream)).await, (PONG, b"early".to_vec()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_pings_of_a_peer_that_reads_nothing_the_last_is_answered() {
    const PINGS: usize = 150_000;
    let (urls, _met, _running) = served(Limits::default()).await;
    let mut stream = open(&urls[0], b"").await;
    let hundred = frame(0x89, &[b'x'; 125]).repeat(100);
    for _ in 0..PINGS / 100 {
        soon(stream.write_all(&hundred)).await.unwrap();
    }
    stream.write_all(&frame(0x89, b"last")).await.unwrap();
    let mut answers = 1;
    let mut stream = tokio::io::BufReader::new(stream);
    while soon(next(&mut stream)).await != (PONG, b"last".to_vec()) {
        answers += 1;
    }
    // The system holds those that have been written.
    assert!(answers < PINGS / 2, "{answers} answers were held");
}

/// Takes one connection, answers its handshake, and sends `first` together with the answer.
async fn accept(listener: &TcpListener, first: &[u8]) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(stream.read_u8()).await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let is_key = |name: &str| name.eq_ignore_ascii_case("sec-websocket-key");
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let (_, key) = fields.into_iter().find(|(name, _)| is_key(name)).unwrap();
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(&[answer.as_bytes(), first].concat()).await.unwrap();
    stream
}

/// Connects to a server that sends `first` together with its answer to the handshake. Returns the error that ends the
/// connection, after the server has read all that came.
async fn met_with(first: &[u8]) -> capnode::Error {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let client = async { capnode::connect::<Connection>(&url).await.unwrap() };
    let (connection, mut stream) = tokio::join!(client, accept(&listener, first));
    let reading = async {
        // A reset ends it as well.
        let _end = stream.read_to_end(&mut Vec::new()).await;
    };
    soon(async { tokio::join!(connection.closed(), reading) }).await.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_may_speak_with_its_answer_to_the_handshake() {
    let error = met_with(&[&[0x88, 6][..], &4000_u16.to_be_bytes(), b"gone"].concat()).await;
    assert_eq!(error.message(), "the peer closed the connection: 4000 gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_a_server_that_break_the_rules_end_the_connection() {
    for (bytes, message) in [
        (frame(TEXT, b"[]"), "a masked WebSocket frame from a server"),
        (b"\xc1\x02[]".to_vec(), "a WebSocket frame with a reserved bit set"),
        (b"\x80\x02[]".to_vec(), "a WebSocket continuation frame without a message to continue"),
        (b"\x09\x00".to_vec(), "a WebSocket control frame that is fragmented or longer than 125 bytes"),
    ] {
        let error = met_with(&bytes).await;
        assert_eq!((error.kind(), error.fault()), (ErrorKind::Protocol, capnode::Fault::Peer), "{message}");
        assert!(error.message().starts_with(message), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_break_the_rules_are_told_by_their_codes() {
    let (urls, mut met, _running) = served(Limits::default()).await;
    let mut bare = frame(TEXT, b"[]");
    bare.drain(2..6);
    bare[1] = 2;
    let cases = [
        ("without a mask", bare, 1002),
        ("reserved bits", frame(0xc1, b"[]"), 1002),
        ("unknown kind", frame(0x83, b"[]"), 1002),
        ("unknown control frame", frame(0x8b, b""), 1002),
        ("continues nothing", frame(0x80, b"[]"), 1002),
        ("within another", [frame(0x01, b"["), frame(TEXT, b"[]")].concat(), 1002),
        ("a ping in parts", frame(0x09, b""), 1002),
        ("too long a ping", frame(0x89, &[0; 126]), 1002),
        ("half a code", frame(0x88, b"x"), 1002),
        ("a reason that is no text", frame(0x88, b"\x0b\xb8\xff"), 1007),
        ("no text", frame(TEXT, b"[\"\xff\"]"), 1007),
        ("no text, in parts", [frame(0x01, b"[\"\xc3"), frame(0x80, b"\"]")].concat(), 1007),
    ];
    for url in &urls[..2] {
        for (what, bytes, code) in &cases {
            let mut stream = open(url, b"").await;
            stream.write_all(bytes).await.unwrap();
            let (told, reason) = end(&mut stream).await;
            assert_eq!(told, *code, "{what}: {reason}");
            assert!(!reason.is_empty(), "{what}");
            let error = soon(soon(met.recv()).await.unwrap().connection().closed()).await;
            assert_eq!((error.kind(), error.fault()), (ErrorKind::Protocol, capnode::Fault::Peer), "{what}");
            assert!(error.message().starts_with(&reason), "{what}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sender_of_a_frame_that_is_too_long_learns_why() {
    let (urls, _met, _running) = served(limits(|limits| limits.frame_bytes = 1 << 20)).await;
    for url in &urls {
        for mebibytes in [2, 8] {
            let peer: Cap = capnode::connect(url).await.unwrap();
            let echo = peer.invoke::<Value>("echo", ("x".repeat(mebibytes << 20),));
            let error = soon(echo).await.unwrap_err();
            let why = "a message is longer than 1048576 bytes; see `Limits::frame_bytes`";
            assert!(error.message().contains(why), "{url}, {mebibytes} MiB: {error:?}");
        }
    }
    // One that reads nothing until it has sent all of it.
    let long = frame(TEXT, "x".repeat(8 << 20).as_bytes());
    for url in &urls[..2] {
        let mut stream = open(url, b"").await;
        soon(stream.write_all(&long)).await.unwrap();
        let told = end(&mut stream).await;
        assert_eq!(
            told,
            (1009, "a message is longer than 1048576 bytes; see `Limits::frame_bytes`".to_owned())
        );
        // In parts, each of them short enough.
        let mut stream = open(url, &frame(0x01, &vec![b'x'; 700_000])).await;
        soon(stream.write_all(&frame(0x80, &vec![b'x'; 700_000]))).await.unwrap();
        assert_eq!(end(&mut stream).await.0, 1009);
    }
}

/// Lets so many bytes pass in each turn of 20 ms, in both directions.
async fn slow_link(to: &str, bytes: usize) -> String {
    let bound = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (scheme, host) = to.trim_end_matches('/').split_once("://").unwrap();
    let (host, url) = (host.to_owned(), format!("{scheme}://{}", bound.local_addr().unwrap()));
    tokio::spawn(async move {
        while let Ok((here, _)) = bound.accept().await {
            let there = TcpStream::connect(&host).await.unwrap();
            let ((mut from_here, mut to_here), (mut from_there, mut to_there)) =
                (here.into_split(), there.into_split());
            tokio::spawn(async move { pass(&mut from_here, &mut to_there, bytes).await });
            tokio::spawn(async move { pass(&mut from_there, &mut to_here, bytes).await });
        }
    });
    url
}

async fn pass(from: &mut (impl AsyncReadExt + Unpin), to: &mut (impl AsyncWriteExt + Unpin), bytes: usize) {
    let mut room = vec![0; bytes];
    while let Ok(count @ 1..) = from.read(&mut room).await {
        if to.write_all(&room[..count]).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Long values, in either direction.
#[capnode::interface]
trait Long {
    async fn length(&self, text: &str) -> usize;

    async fn make(&self, length: usize) -> String;
}

struct Longs;

impl Long for Longs {
    async fn length(&self, text: &str) -> usize {
        text.len()
    }

    async fn make(&self, length: usize) -> String {
        "u".repeat(length)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_busy_with_one_frame_is_not_dead() {
    const LENGTH: usize = 1 << 20;
    let [asking, silent] =
        [Some(Duration::from_millis(600)), None].map(|probe| limits(|limits| limits.probe = probe));
    let mut tests = Vec::new();
    for accepts in [true, false] {
        let (here, there) = if accepts { (&silent, &asking) } else { (&asking, &silent) };
        let node = Node::new(LongClient::new(Longs)).limits(there.clone());
        let axum = routed(node.clone()).await;
        let mut listeners = Vec::new();
        for scheme in ["ws", "tcp"] {
            listeners.push(node.listen(&format!("{scheme}://127.0.0.1:0")).await.unwrap());
        }
        let urls = [axum, listeners[0].url(), listeners[1].url()];
        tests.push(async move {
            let _listening = listeners;
            for url in urls {
                let url = slow_link(&url, 10_000).await;
                let long: LongClient = Node::empty().limits(here.clone()).connect(&url).await.unwrap();
                let begun = Instant::now();
                // The side that asks for signs of life is the one that the frame goes to.
                let length = if accepts {
                    soon(long.length(&"u".repeat(LENGTH))).await
                } else {
                    soon(long.make(LENGTH)).await.map(|text| text.len())
                };
                assert_eq!(length.unwrap(), LENGTH, "{url}");
                assert!(begun.elapsed() > Duration::from_millis(1_500), "it took {:?}", begun.elapsed());
            }
        });
    }
    let other = tests.pop().unwrap();
    tokio::join!(tests.pop().unwrap(), other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_comes_in_drips_is_no_sign_of_life() {
    let asking = limits(|limits| limits.probe = Some(Duration::from_millis(200)));
    let (urls, mut met, _running) = served(asking).await;
    for (url, begin) in urls.iter().zip([true, true, false]) {
        let mut stream = if begin {
            open(url, &frame(TEXT, &[b'['; 10_000])[..20]).await
        } else {
            let mut stream = TcpStream::connect(url.trim_start_matches("tcp://")).await.unwrap();
            stream.write_all(b"[\"release\",0,0]\n[\"push\"").await.unwrap();
            stream
        };
        let incoming = soon(met.recv()).await.unwrap();
        let drips = tokio::spawn(async move {
            while stream.write_all(b"[").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let error = soon(incoming.connection().closed()).await;
        assert_eq!(error.limit(), Some(LimitKind::Probe), "{url}: {error}");
        drips.abort();
    }
    // Others are served.
    let tour: TourClient = capnode::connect(&urls[0]).await.unwrap();
    assert_eq!(soon(tour.transform("beep")).await.unwrap(), "BOOP");
}
