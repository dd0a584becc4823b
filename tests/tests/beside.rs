//! Bytes beside the text of messages, between programs of this library.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use capnode::{ByteKind, Bytes, Client, Func, LimitKind, Limits, Node, Reader, Value};
use capnode_tests::until;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct File {
    name: String,
    parts: Vec<Bytes>,
    extra: BTreeMap<String, Value>,
    last: Option<Bytes>,
}

#[capnode::interface]
trait Depot {
    async fn echo(&self, bytes: Bytes) -> Bytes;
    async fn size(&self, bytes: &Bytes) -> usize;
    async fn file(&self, file: File) -> File;
    async fn value(&self, value: Value) -> Value;
    async fn numbers(&self, numbers: Vec<u8>) -> usize;
    async fn through(&self, call: Func<fn(Bytes) -> Bytes>, bytes: Bytes) -> Bytes;
    async fn reversed(&self, parts: Reader<Bytes>) -> Reader<Bytes>;
    async fn fail(&self, bytes: Bytes) -> Result<(), capnode::Error>;
    async fn refuse(&self, bytes: Bytes) -> Result<(), Refused>;
    async fn refusing(&self) -> Func<fn(Bytes) -> Result<u8, Refused>>;
}

/// An error with bytes in it.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Refused(Bytes);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("refused")
    }
}

struct Store;

impl Depot for Store {
    async fn echo(&self, bytes: Bytes) -> Bytes {
        bytes
    }

    async fn size(&self, bytes: &Bytes) -> usize {
        bytes.len()
    }

    async fn file(&self, file: File) -> File {
        file
    }

    async fn value(&self, value: Value) -> Value {
        value
    }

    async fn numbers(&self, numbers: Vec<u8>) -> usize {
        numbers.len()
    }

    async fn through(&self, call: Func<fn(Bytes) -> Bytes>, bytes: Bytes) -> Bytes {
        call.call(bytes).await.unwrap()
    }

    async fn reversed(&self, mut parts: Reader<Bytes>) -> Reader<Bytes> {
        let mut all = Vec::new();
        while let Some(part) = parts.next().await {
            all.push(part.unwrap());
        }
        all.reverse();
        Reader::from_iter(all)
    }

    async fn fail(&self, bytes: Bytes) -> Result<(), capnode::Error> {
        Err(capnode::Error::rejected(format!("{} bytes", bytes.len())))
    }

    async fn refuse(&self, bytes: Bytes) -> Result<(), Refused> {
        Err(Refused(bytes))
    }

    async fn refusing(&self) -> Func<fn(Bytes) -> Result<u8, Refused>> {
        Func::<fn(Bytes) -> Result<u8, Refused>>::fallible(|bytes: Bytes| async move { Err(Refused(bytes)) })
    }
}

/// Bytes of which none is like its neighbours, so that a shift is seen.
fn pattern(length: usize) -> Bytes {
    (0..length).map(|at| (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

const SIZES: [usize; 9] = [0, 1, 1_023, 1_024, 1_025, 16_384, 70_000, 262_144, 1_000_003];

async fn check(depot: &DepotClient) {
    // The first call tells both sides what the other can do.
    depot.size(&pattern(2_000)).await.unwrap();
    for size in SIZES {
        let bytes = pattern(size);
        assert_eq!(depot.echo(bytes.clone()).await.unwrap(), bytes, "{size}");
        assert_eq!(depot.size(&bytes).await.unwrap(), size);
        assert_eq!(depot.numbers(bytes.to_vec()).await.unwrap(), size);
        let error = depot.fail(bytes.clone()).await.unwrap_err();
        assert_eq!(error.property::<u8>("none"), None);
        assert!(error.to_string().contains(&format!("{size} bytes")), "{error}");
    }
    let refused = depot.refuse(pattern(3_000)).await.unwrap_err();
    assert_eq!(refused.returned(), Some(Refused(pattern(3_000))));
    let refused = depot.refusing().await.unwrap().call(pattern(4_000)).await.unwrap_err();
    assert_eq!(refused.returned(), Some(Refused(pattern(4_000))));
    let floats = pattern(4_096).with_kind(ByteKind::Float32Array);
    assert_eq!(depot.echo(floats.clone()).await.unwrap().kind(), ByteKind::Float32Array);
    let file = File {
        name: "a \"name\"".to_owned(),
        parts: vec![pattern(3_000), pattern(10), floats.clone()],
        extra: BTreeMap::from([
            ("x".to_owned(), Value::Bytes(pattern(5_000))),
            ("y".to_owned(), Value::Null),
        ]),
        last: Some(pattern(1_024)),
    };
    assert_eq!(depot.file(file.clone()).await.unwrap(), file);
    let value =
        Value::from([("list", Value::Array(vec![Value::Bytes(floats), Value::Bytes(pattern(2_048))]))]);
    assert_eq!(depot.value(value.clone()).await.unwrap(), value);
    let swap = |bytes: Bytes| async move { bytes.iter().rev().copied().collect() };
    let swapped: Bytes = pattern(9_000).iter().rev().copied().collect();
    assert_eq!(depot.through(swap, pattern(9_000)).await.unwrap(), swapped);
    let parts: Vec<Bytes> = (0..40).map(|at| pattern(at * 997)).collect();
    let mut back = depot.reversed(Reader::from_iter(parts.clone())).await.unwrap();
    for part in parts.iter().rev() {
        assert_eq!(back.next().await.unwrap().unwrap(), *part);
    }
    assert!(back.next().await.is_none());
    // A result that is called further is text.
    let kept = depot.cap().invoke::<Value>("file", (file.clone(),)).pipeline_cap();
    assert_eq!(kept.at("parts").at("0").read::<Bytes>().await.unwrap(), pattern(3_000));
    assert_eq!(kept.read::<File>().await.unwrap(), file);
    let calls = (0..64).map(|at| depot.echo(pattern(1_000 + at * 500)));
    for (at, echoed) in futures_util::future::join_all(calls).await.into_iter().enumerate() {
        assert_eq!(echoed.unwrap(), pattern(1_000 + at * 500));
    }
}

#[tokio::test]
async fn bytes_arrive_as_they_were_sent_over_every_transport() {
    for url in ["tcp://127.0.0.1:0", "ws://127.0.0.1:0"] {
        let listener = Node::new(DepotClient::new(Store)).listen(url).await.unwrap();
        let depot: DepotClient = capnode::connect(&listener.url()).await.unwrap();
        check(&depot).await;
    }
    check(&DepotClient::new(Store)).await;
    // A transport that carries text alone.
    let (one, other) = capnode::transport::pair();
    let _served = Node::new(DepotClient::new(Store)).serve(one).await.unwrap();
    let depot: DepotClient = capnode::connect_over(other).await.unwrap();
    check(&depot).await;
}

#[tokio::test]
async fn bytes_pass_through_a_relay_between_all_kinds_of_peers() {
    let owner = Node::new(DepotClient::new(Store)).listen("tcp://127.0.0.1:0").await.unwrap();
    let owned: DepotClient = capnode::connect(&owner.url()).await.unwrap();
    let relay = Node::new(owned).listen("ws://127.0.0.1:0").await.unwrap();
    let depot: DepotClient = capnode::connect(&relay.url()).await.unwrap();
    check(&depot).await;

    let plain = capnode::connect::<DepotClient>(&relay.url()).dialect(capnode::Dialect::Q);
    let depot = plain.await.unwrap();
    for size in SIZES {
        assert_eq!(depot.echo(pattern(size)).await.unwrap(), pattern(size));
    }
}

/// Keeps what it got last.
#[capnode::interface]
trait Shelf {
    async fn keep(&self, bytes: Bytes);
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<bytes::Bytes>>);

impl Shelf for Kept {
    async fn keep(&self, bytes: Bytes) {
        *self.0.lock().unwrap() = bytes.into();
    }
}

#[tokio::test]
async fn a_connection_lets_go_of_the_last_bytes_that_came() {
    for url in ["tcp://127.0.0.1:0", "ws://127.0.0.1:0"] {
        let kept = Kept::default();
        let listener = Node::new(ShelfClient::new(kept.clone())).listen(url).await.unwrap();
        let shelf: ShelfClient = capnode::connect(&listener.url()).await.unwrap();
        // From the second call on they come beside the text, and the rest of the message would be held with them.
        for _ in 0..2 {
            shelf.keep(pattern(100_000)).await.unwrap();
        }
        until("nobody else holds them", || kept.0.lock().unwrap().is_unique()).await;
    }
}

async fn read_line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        line.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(line).unwrap().trim_end().to_owned()
}

fn mixed(text: &str, beside: &[u8]) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend(u32::try_from(4 + text.len() + beside.len()).unwrap().to_be_bytes());
    frame.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
    frame.extend(text.as_bytes());
    frame.extend(beside);
    frame
}

async fn read_mixed(stream: &mut TcpStream) -> (String, Vec<u8>) {
    assert_eq!(stream.read_u8().await.unwrap(), 0);
    let total = stream.read_u32().await.unwrap() as usize;
    let text = stream.read_u32().await.unwrap() as usize;
    let mut rest = vec![0; total - 4];
    stream.read_exact(&mut rest).await.unwrap();
    let beside = rest.split_off(text);
    (String::from_utf8(rest).unwrap(), beside)
}

#[tokio::test]
async fn the_form_on_a_byte_stream_is_as_it_is_written_down() {
    let listener = Node::new(DepotClient::new(Store)).listen("tcp://127.0.0.1:0").await.unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    stream.write_all(b"[\"release\",0,0]\n").await.unwrap();
    assert_eq!(read_line(&mut stream).await, r#"["abilities","bytes","context"]"#);
    // As long as this side has not offered to take them, they come as text.
    let call = r#"["stream",["pipeline",0,["echo"],[["bytes",2000,"DataView"]]]]"#;
    stream.write_all(&mixed(call, &[7; 2_000])).await.unwrap();
    let answer = read_line(&mut stream).await;
    assert!(
        answer.starts_with(r#"["resolve",1,["bytes","BwcH"#) && answer.ends_with(r#","DataView"]]"#),
        "{answer}"
    );
    stream.write_all(b"[\"abilities\",\"later\",[\"bytes\"],\"bytes\"]\n").await.unwrap();
    stream.write_all(&mixed(call, &[8; 2_000])).await.unwrap();
    let (text, beside) = read_mixed(&mut stream).await;
    assert_eq!(text, r#"["resolve",2,["bytes",2000,"DataView"]]"#);
    assert_eq!(beside, [8; 2_000]);
    // A byte at a time, beside lines.
    let size = r#"["stream",["pipeline",0,["size"],[["bytes",1500]]]]"#;
    let mut both = mixed(size, &[1; 1_500]);
    both.extend(b"[\"stream\",[\"pipeline\",0,[\"size\"],[[\"bytes\",\"AAAA\"]]]]\n");
    for byte in both {
        stream.write_all(&[byte]).await.unwrap();
    }
    assert_eq!(read_line(&mut stream).await, r#"["resolve",3,1500]"#);
    assert_eq!(read_line(&mut stream).await, r#"["resolve",4,3]"#);
}

/// Writes a message as one frame of a WebSocket's client, with a mask that changes nothing.
async fn write_frame(stream: &mut TcpStream, opcode: u8, message: &[u8]) {
    let mut frame = vec![0x80 | opcode, 0x80 | 126];
    frame.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(message);
    stream.write_all(&frame).await.unwrap();
}

/// Reads a frame of a WebSocket's server: its opcode, and its message.
async fn read_frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let first = stream.read_u8().await.unwrap();
    assert_eq!(first & 0xf0, 0x80, "one whole frame");
    let length = match stream.read_u8().await.unwrap() {
        126 => stream.read_u16().await.unwrap().into(),
        127 => usize::try_from(stream.read_u64().await.unwrap()).unwrap(),
        length => length.into(),
    };
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await.unwrap();
    (first & 0x0f, message)
}

#[tokio::test]
async fn the_form_on_a_web_socket_is_as_it_is_written_down() {
    let listener = Node::new(DepotClient::new(Store)).listen("ws://127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let upgrade = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    while !read_line(&mut stream).await.is_empty() {}
    write_frame(&mut stream, 1, br#"["release",0,0]"#).await;
    write_frame(&mut stream, 1, br#"["abilities","bytes"]"#).await;
    assert_eq!(read_frame(&mut stream).await, (1, br#"["abilities","bytes","context"]"#.to_vec()));
    // The length of the text, the text, and the bytes.
    let call = r#"["stream",["pipeline",0,["echo"],[["bytes",2000,"DataView"]]]]"#;
    let message = [&(call.len() as u32).to_be_bytes()[..], call.as_bytes(), &[8; 2_000]].concat();
    write_frame(&mut stream, 2, &message).await;
    let (opcode, answer) = read_frame(&mut stream).await;
    let text = r#"["resolve",1,["bytes",2000,"DataView"]]"#;
    let expected = [&(text.len() as u32).to_be_bytes()[..], text.as_bytes(), &[8; 2_000]].concat();
    assert_eq!((opcode, answer), (2, expected));
}

#[tokio::test]
async fn limits_count_the_bytes_beside_the_text() {
    for url in ["tcp://127.0.0.1:0", "ws://127.0.0.1:0"] {
        // Of one frame.
        let limits = Limits::default().frame_bytes(100_000);
        let node = Node::builder().index(DepotClient::new(Store)).limits(limits);
        let listener = node.build().listen(url).await.unwrap();
        let depot: DepotClient = capnode::connect(&listener.url()).await.unwrap();
        assert_eq!(depot.size(&pattern(2_000)).await.unwrap(), 2_000);
        assert_eq!(depot.size(&pattern(99_000)).await.unwrap(), 99_000);
        let error = depot.size(&pattern(101_000)).await.unwrap_err();
        assert!(error.message().contains("`Limits::frame_bytes`"), "{error}");
        // Of a stream that nobody reads.
        let limits = Limits::default().stream_bytes(100_000);
        let index = Func::<fn(Reader<Bytes>) -> bool>::new(|mut parts: Reader<Bytes>| async move {
            loop {
                match parts.next().await {
                    Some(Err(error)) => break error.limit() == Some(LimitKind::StreamBytes),
                    Some(Ok(_)) => {}
                    None => break false,
                }
            }
        });
        let listener = Node::builder().index(index).limits(limits).build().listen(url).await.unwrap();
        let count: Func<fn(Reader<Bytes>) -> bool> = capnode::connect(&listener.url()).await.unwrap();
        // The first one comes as text.
        assert!(!count.call(Reader::from_iter([pattern(2_000), pattern(50_000)])).await.unwrap());
        assert!(!count.call(Reader::from_iter([pattern(99_000)])).await.unwrap());
        assert!(count.call(Reader::from_iter([pattern(101_000)])).await.unwrap());
    }
}

/// Bytes of another crate, which is written as bytes and reads them.
#[derive(PartialEq, Debug)]
struct Foreign(Vec<u8>);

impl Serialize for Foreign {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Foreign {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Taken;
        impl serde::de::Visitor<'_> for Taken {
            type Value = Foreign;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Foreign, E> {
                Ok(Foreign(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Taken)
    }
}

#[tokio::test]
async fn bytes_of_other_crates_are_bytes_on_the_wire() {
    for url in ["tcp://127.0.0.1:0", "ws://127.0.0.1:0"] {
        let listener = Node::new(DepotClient::new(Store)).listen(url).await.unwrap();
        let depot: capnode::Cap = capnode::connect(&listener.url()).await.unwrap();
        for size in [0, 3, 1_024, 50_000] {
            let bytes = || Foreign(pattern(size).to_vec());
            assert_eq!(depot.invoke::<usize>("size", (bytes(),)).await.unwrap(), size);
            assert_eq!(depot.invoke::<Foreign>("echo", (bytes(),)).await.unwrap(), bytes());
        }
    }
}

/// Keeps the first of two.
#[capnode::interface]
trait Pairs {
    async fn keep(&self, small: Bytes, large: Bytes);
}

#[derive(Clone, Default)]
struct Both(Arc<Mutex<(bytes::Bytes, bytes::Bytes)>>);

impl Pairs for Both {
    async fn keep(&self, small: Bytes, large: Bytes) {
        *self.0.lock().unwrap() = (small.into(), large.into());
    }
}

#[tokio::test]
async fn a_small_part_does_not_hold_a_large_frame() {
    for url in ["tcp://127.0.0.1:0", "ws://127.0.0.1:0"] {
        let both = Both::default();
        let listener = Node::new(PairsClient::new(both.clone())).listen(url).await.unwrap();
        let pairs: PairsClient = capnode::connect(&listener.url()).await.unwrap();
        // From the second call on they come beside the text.
        for _ in 0..2 {
            pairs.keep(pattern(2_000), pattern(2_000_000)).await.unwrap();
        }
        let kept = both.0.lock().unwrap().clone();
        drop(std::mem::take(&mut *both.0.lock().unwrap()));
        // The large one is held, and would be counted.
        let (small, large) = kept;
        assert!(small.is_unique());
        assert_eq!((small.len(), large.len()), (2_000, 2_000_000));
    }
}

#[tokio::test]
async fn what_is_not_as_it_says_ends_the_session_with_words() {
    let call = |length: usize| format!(r#"["stream",["pipeline",0,["size"],[["bytes",{length}]]]]"#);
    let cases: [(Vec<u8>, &str); 9] = [
        (mixed(&call(2_000), &[0; 1_999]), "fewer bytes beside the text"),
        (mixed(&call(2_000), &[0; 2_001]), "1 bytes beside the text are of no value"),
        (mixed(r#"["stream",["pipeline",0,["size"],[1]]]"#, &[1]), "1 bytes beside the text are of no value"),
        (
            mixed(r#"["stream",["pipeline",0,["size"],[["bytes",1025,"Float64Array"]]]]"#, &[0; 1_025]),
            "1025 bytes are no Float64Array",
        ),
        (mixed(&call(1_023), &[0; 1_023]), "fewer than 1024 bytes"),
        (mixed("not a message", &[]), "there should be a message"),
        (mixed(&call(1), &[0])[..9].iter().copied().chain([0xff; 60]).collect(), "invalid utf-8"),
        ([0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1].to_vec(), "longer than"),
        ([0, 0, 0, 0, 4, 0, 0, 0, 1].to_vec(), "shorter than its text"),
    ];
    for (frame, expected) in cases {
        let listener = Node::new(DepotClient::new(Store)).listen("tcp://127.0.0.1:0").await.unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        stream.write_all(b"[\"release\",0,0]\n").await.unwrap();
        stream.write_all(&frame).await.unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).await.unwrap();
        assert!(told.contains("abort") && told.contains(expected), "{expected}: {told}");
    }
    // Before anything was offered.
    for first in ["", "[\"stream\",[\"pipeline\",0,[\"size\"],[[\"bytes\",\"AAAA\"]]]]\n"] {
        let listener = Node::new(DepotClient::new(Store)).listen("tcp://127.0.0.1:0").await.unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        stream.write_all(first.as_bytes()).await.unwrap();
        stream.write_all(&mixed(&call(2_000), &[0; 2_000])).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).await.unwrap();
        assert!(told.contains("abort"), "{told}");
    }
}

#[tokio::test]
async fn a_peer_that_offers_nothing_gets_text_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let calling = tokio::spawn(async move {
        let depot: DepotClient = capnode::connect(&url).await.unwrap();
        assert_eq!(depot.size(&pattern(2_000)).await.unwrap(), 1);
        assert_eq!(depot.size(&pattern(2_000)).await.unwrap(), 2);
    });
    let (mut stream, _) = listener.accept().await.unwrap();
    assert_eq!(read_line(&mut stream).await, r#"["release",0,0]"#);
    assert!(read_line(&mut stream).await.contains(r#"["bytes",""#));
    stream.write_all(b"[\"release\",0,0]\n[\"resolve\",1,1]\n").await.unwrap();
    let mut lines = vec![read_line(&mut stream).await];
    while !lines.last().unwrap().starts_with("[\"push\"") && !lines.last().unwrap().starts_with("[\"stream\"")
    {
        lines.push(read_line(&mut stream).await);
    }
    assert!(lines.contains(&r#"["abilities","bytes","context"]"#.to_owned()), "{lines:?}");
    assert!(lines.last().unwrap().contains(r#"["bytes",""#), "{lines:?}");
    stream.write_all(b"[\"resolve\",2,2]\n").await.unwrap();
    calling.await.unwrap();
}
