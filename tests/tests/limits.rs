//! The limits that a node and its driver enforce: those of all connections together, and those of time.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use capnode::{
    Call, Cap, Connection, Dialect, ErrorKind, Fate, Func, LimitKind, Limits, Node, Object, Value, transport,
};
use capnode_tests::{echo_and_wait, in_memory, limits, meeting, soon, until};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, SerializeSeq as _, Serializer};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream};
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn what_all_connections_hold_together_ends_the_one_that_holds_most() {
    for dialect in [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q] {
        let node = Node::new(echo_and_wait()).limits(limits(|limits| limits.node_bytes = 1_000_000));
        let mut peers = Vec::new();
        // Within the limit, all together.
        for bytes in [100_000, 500_000, 300_000] {
            let (served, peer) = in_memory::<Connection>(&node, dialect).await;
            peer.index::<Cap>().invoke::<Value>("wait", ("x".repeat(bytes),)).send().unwrap();
            until("the call to arrive", || served.report().call_bytes >= bytes).await;
            peers.push((served, peer));
        }
        assert!(peers.iter().all(|(served, _)| !served.is_closed()));
        // Now it is one too many.
        peers[0].1.index::<Cap>().invoke::<Value>("wait", ("x".repeat(150_000),)).send().unwrap();
        let ended = soon(peers[1].0.closed()).await;
        assert_eq!(ended.limit(), Some(LimitKind::NodeBytes), "{ended:?}");
        for at in [0, 2] {
            let echo = peers[at].1.index::<Cap>().invoke::<u32>("echo", (7,));
            assert_eq!(soon(echo).await.unwrap(), 7, "{dialect:?}");
        }
        // Its bytes count no longer.
        let (served, peer) = in_memory::<Connection>(&node, dialect).await;
        peer.index::<Cap>().invoke::<Value>("wait", ("x".repeat(400_000),)).send().unwrap();
        until("the call to arrive", || served.report().call_bytes >= 400_000).await;
        assert!([&peers[0].0, &peers[2].0, &served].iter().all(|served| !served.is_closed()));
    }
}

/// More than may be unwritten for an awaited call to be written.
const BIG: usize = 1 << 20;

/// A peer that has closed its side and does not read is given time until another needs the room.
#[cfg(unix)]
#[tokio::test]
async fn what_is_being_closed_makes_room_before_others_are_ended() {
    let (node, mut meet) = meeting(Func::<fn() -> String>::new(|| async { "t".repeat(100_000) }));
    let room = limits(|limits| (limits.node_bytes, limits.connections) = (16 << 20, 16));
    let node = node.limits(room).build();
    let folder = std::env::temp_dir().join(format!("capnode-closing-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let socket = folder.join("s");
    let _listener = node.listen(&format!("unix:{}", socket.display())).await.unwrap();
    let ask = async |texts: std::ops::RangeInclusive<usize>, pull: bool, stream: Option<UnixStream>| {
        let mut stream = match stream {
            Some(stream) => stream,
            None => soon(UnixStream::connect(&socket)).await.unwrap(),
        };
        for id in texts {
            let pull = if pull { format!("[\"pull\",{id}]\n") } else { String::new() };
            let call = format!("[\"push\",[\"pipeline\",0,[],[]]]\n{pull}");
            soon(stream.write_all(call.as_bytes())).await.unwrap();
        }
        stream
    };
    let holder = ask(1..=30, false, None).await;
    let holding = soon(meet.recv()).await.unwrap().connection().clone();
    until("it holds results", || holding.report().kept_bytes >= 3_000_000).await;
    let mut closing = Vec::new();
    for _ in 0..3 {
        let mut peer = ask(1..=30, true, None).await;
        soon(peer.shutdown()).await.unwrap();
        let served = soon(meet.recv()).await.unwrap().connection().clone();
        until("its end is seen", || served.is_closed()).await;
        closing.push((peer, served));
    }
    let before = holding.report().node_bytes;
    assert!(before > 10 << 20, "{before}");
    let _holder = ask(31..=90, false, Some(holder)).await;
    until("it holds more", || holding.is_closed() || holding.report().kept_bytes >= 9_000_000).await;
    assert!(!holding.is_closed(), "{:?}", soon(holding.closed()).await);
    assert!(holding.report().node_bytes <= 16 << 20);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn calls_wait_for_room_in_their_order() {
    for dialect in [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q] {
        let noted = Arc::new(Mutex::new(Vec::new()));
        let notes = noted.clone();
        let note = Func::<fn(u64, String)>::new(move |number, _: String| {
            notes.lock().unwrap().push(number);
            async {}
        });
        let node = Node::new(Object::new().with("note", note));
        let tcp = node.listen("tcp://127.0.0.1:0").await.unwrap();
        let connection: Connection =
            Node::builder().dialect(dialect).build().connect(&tcp.url()).await.unwrap();
        let peer = connection.index::<Cap>();
        let (big, small) = ("b".repeat(BIG), String::new());
        let note = |number: u64, body: &String| peer.invoke::<()>("note", (number, body));
        soon(note(0, &small)).await.unwrap();
        note(1, &big).send().unwrap();
        note(2, &big).send().unwrap();
        let poll = |call: &mut Call<()>| {
            assert!(Pin::new(call).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        };
        let (mut first, mut dropped, mut second) = (note(3, &small), note(99, &small), note(5, &small));
        poll(&mut first);
        poll(&mut dropped);
        note(4, &small).send().unwrap();
        poll(&mut second);
        drop(dropped);
        let _pipelined = note(6, &small).pipeline_cap();
        soon(note(7, &small)).await.unwrap();
        soon(second).await.unwrap();
        soon(first).await.unwrap();
        until("all is delivered", || noted.lock().unwrap().len() >= 8).await;
        assert_eq!(*noted.lock().unwrap(), [0, 1, 2, 3, 4, 5, 6, 7], "{dialect:?}");
    }
}

#[tokio::test]
async fn a_call_whose_time_is_over_while_it_waits_for_room_was_not_sent() {
    // The other end reads nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connection: Connection = Node::empty().connect(&format!("tcp://{address}")).await.unwrap();
    let (_unread, _) = soon(listener.accept()).await.unwrap();
    let call = |body: &str| connection.index::<Cap>().invoke::<()>("x", (body,));
    // The system takes some before it is full.
    let error = soon(async {
        loop {
            call(&"b".repeat(8 * BIG)).send().unwrap();
            let error = call("").timeout(Duration::from_millis(20)).await.unwrap_err();
            if error.fate() == Fate::NotSent {
                return error;
            }
        }
    });
    let error = error.await;
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

/// A list that is as good as endless, and counts how much of it is written.
#[derive(Clone, Debug)]
struct Endless(Arc<AtomicUsize>);

impl Serialize for Endless {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for _ in 0..100_000 {
            self.0.fetch_add(1, Ordering::SeqCst);
            list.serialize_element("element")?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for Endless {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("nobody reads it"))
    }
}

impl std::fmt::Display for Endless {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("endless")
    }
}

impl std::error::Error for Endless {}

#[tokio::test]
async fn what_is_longer_than_a_frame_is_not_written_to_its_end() {
    for dialect in [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q] {
        let written = Arc::new(AtomicUsize::new(0));
        let endless = || Endless(written.clone());
        let (result, error, progress) = (endless(), endless(), endless());
        let reported = Arc::new(Mutex::new(None));
        let reports = reported.clone();
        let offered = Object::new()
            .with(
                "result",
                Func::<fn() -> Endless>::new(move || {
                    let result = result.clone();
                    async move { result }
                }),
            )
            .with(
                "error",
                Func::<fn() -> Result<(), Endless>>::fallible(move || {
                    let error = error.clone();
                    async move { Err(error) }
                }),
            )
            .with(
                "progress",
                Func::<fn()>::new(move || {
                    *reports.lock().unwrap() = Some(capnode::report_progress(&progress));
                    async {}
                }),
            )
            .with("echo", Func::<fn(Value) -> Value>::new(|value: Value| async move { value }));
        let node = Node::new(offered).limits(limits(|limits| limits.frame_bytes = 10_000));
        let (there, here) = transport::pair();
        let _served = node.serve(there).await.unwrap();
        let calls =
            Node::builder().dialect(dialect).limits(limits(|limits| limits.frame_bytes = 10_000)).build();
        let connection: Connection = calls.connect_over(here).await.unwrap();
        let peer: Cap = soon(connection.index::<Cap>().read()).await.unwrap();
        // An element comes to ten bytes.
        let stopped = |what: &str| {
            let elements = written.swap(0, Ordering::SeqCst);
            assert!((500..2_000).contains(&elements), "{dialect:?}: {elements} elements of {what}");
        };
        let error = soon(peer.invoke::<Value>("echo", (endless(),))).await.unwrap_err();
        assert_eq!((error.limit(), error.fate()), (Some(LimitKind::FrameBytes), Fate::NotSent), "{error}");
        stopped("an argument");
        peer.invoke::<Value>("echo", (endless(),)).send().unwrap_err();
        stopped("an argument that nobody waits for");
        let error = soon(peer.invoke::<Value>("result", ())).await.unwrap_err();
        assert_eq!(error.fate(), Fate::Answered, "{error}");
        stopped("a result");
        let error = soon(peer.invoke::<Value>("error", ())).await.unwrap_err();
        assert!(error.message().contains("endless"), "{error}");
        stopped("the data of an error");
        soon(peer.invoke::<Value>("progress", ())).await.unwrap();
        if dialect == Dialect::Q {
            let outcome = reported.lock().unwrap().take().unwrap();
            assert_eq!(outcome.unwrap_err().limit(), Some(LimitKind::FrameBytes));
            stopped("progress");
        }
        assert_eq!(soon(peer.invoke::<u32>("echo", (7,))).await.unwrap(), 7, "the session goes on");
    }
}

#[tokio::test]
async fn what_is_longer_in_the_peers_language_fails_one_call() {
    // In Cap'n Web an empty list takes five bytes, and in Capnode some thirty.
    let lists = vec![Vec::<u8>::new(); 1_000];
    for dialect in [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q] {
        let small = limits(|limits| limits.frame_bytes = 10_000);
        let given = lists.clone();
        let lists_of = Func::<fn() -> Vec<Vec<u8>>>::new(move || {
            let given = given.clone();
            async move { given }
        });
        let echo = Func::<fn(Value) -> Value>::new(|value: Value| async move { value });
        let node = Node::new(Object::new().with("lists", lists_of).with("echo", echo)).limits(small.clone());
        let (there, here) = transport::pair();
        let _served = node.serve(there).await.unwrap();
        let calls = Node::builder().dialect(dialect).limits(small).build();
        let connection: Connection = calls.connect_over(here).await.unwrap();
        let peer = connection.index::<Cap>();
        let longer = dialect == Dialect::Capnode;
        let result = soon(peer.invoke::<Vec<Vec<u8>>>("lists", ())).await;
        assert_eq!(result.is_err(), longer, "{dialect:?}: {result:?}");
        let result = soon(peer.invoke::<Value>("echo", (&lists,))).await;
        assert_eq!(result.is_err(), longer, "{dialect:?}: {result:?}");
        if let Err(error) = result {
            assert_eq!(
                (error.limit(), error.fate()),
                (Some(LimitKind::FrameBytes), Fate::NotSent),
                "{error}"
            );
        }
        assert_eq!(soon(peer.invoke::<u32>("echo", (7,))).await.unwrap(), 7, "the session goes on");
    }
}

#[tokio::test]
async fn a_frame_that_never_ends_counts_as_far_as_it_has_come() {
    let node = Node::new(echo_and_wait()).limits(limits(|limits| limits.node_bytes = 1_000_000));
    let tcp = node.listen("tcp://127.0.0.1:0").await.unwrap();
    let ws = node.listen("ws://127.0.0.1:0").await.unwrap();
    let honest: Connection = capnode::connect(&ws.url()).await.unwrap();
    // A part of it over TCP, for which there is room also in a buffer of twice the size, and the rest as a fragment of a
    // WebSocket message.
    let mut drip = tokio::net::TcpStream::connect(tcp.local_addr().unwrap()).await.unwrap();
    drip.write_all(format!("[\"push\",\"{}", "x".repeat(450_000)).as_bytes()).await.unwrap();
    let stream = tokio::net::TcpStream::connect(ws.local_addr().unwrap()).await.unwrap();
    let (mut fragments, _) = tokio_tungstenite::client_async(ws.url(), stream).await.unwrap();
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
    let first = Frame::message(vec![b'x'; 600_000], OpCode::Data(Data::Text), false);
    fragments.send(Message::Frame(first)).await.unwrap();
    // It is the youngest of those from its address that hold more than their share. It is told, and closed.
    let told = soon(fragments.next()).await.unwrap().unwrap();
    assert!(told.to_text().unwrap().contains("hold more than 1000000 bytes together"), "{told}");
    let mut said = [0; 1];
    assert!(drip.try_read(&mut said).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
    assert_eq!(soon(honest.index::<Cap>().invoke::<u32>("echo", (7,))).await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_has_vanished_is_noticed() {
    for dialect in [Dialect::CapnWeb, Dialect::Q] {
        let node = Node::builder().index(echo_and_wait()).dialect(dialect).build();
        let (there, vanished) = transport::pair();
        let served = node.serve(there).await.unwrap();
        let waiting = served.index::<Cap>().invoke::<Value>("anything", ());
        let before = tokio::time::Instant::now();
        let error = waiting.await.unwrap_err();
        assert_eq!(
            (error.kind(), error.limit()),
            (ErrorKind::Disconnected, Some(LimitKind::Probe)),
            "{error:?}"
        );
        assert_eq!(before.elapsed().as_secs(), 120);
        drop(vanished);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_there_is_kept_and_one_that_does_nothing_is_not() {
    for dialect in [Dialect::CapnWeb, Dialect::Q] {
        let node = Node::new(echo_and_wait());
        let (served, peer) = in_memory::<Connection>(&node, dialect).await;
        // The release of the first result goes with the second call.
        for _ in 0..2 {
            assert_eq!(peer.index::<Cap>().invoke::<u32>("echo", (7,)).await.unwrap(), 7);
        }
        let before = tokio::time::Instant::now();
        // Both ask each other all the time, which is nothing that goes on.
        let ended = served.closed().await;
        assert_eq!(ended.limit(), Some(LimitKind::Idle), "{ended:?}");
        assert_eq!(before.elapsed().as_secs(), 3_600);
        assert!(served.report().frames > 50, "{:?}", served.report());
    }
}

#[tokio::test]
async fn a_web_socket_is_asked_by_a_ping() {
    let probe = Duration::from_millis(100);
    for dialect in [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q] {
        let node = Node::builder()
            .index(echo_and_wait())
            .dialect(dialect)
            .limits(limits(|limits| limits.probe = Some(probe)))
            .build();
        let listener = node.listen("ws://127.0.0.1:0").await.unwrap();
        let stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut socket, _) = tokio_tungstenite::client_async(listener.url(), stream).await.unwrap();
        let mut pings = 0;
        // It answers by itself.
        while pings < 3 {
            match soon(socket.next()).await.unwrap().unwrap() {
                Message::Ping(_) => pings += 1,
                other => panic!("{other:?}"),
            }
        }
        // A program that hangs does not, and neither does its machine.
        let close = async {
            tokio::time::sleep(3 * probe).await;
            loop {
                match socket.next().await {
                    Some(Ok(Message::Close(frame))) => return frame,
                    Some(Ok(_)) => {}
                    other => panic!("{other:?}"),
                }
            }
        };
        let _closed = soon(close).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_with_a_time_of_its_own_is_not_given_up_before() {
    for dialect in [Dialect::Capnode, Dialect::Q] {
        let node = Node::new(echo_and_wait());
        let (_served, peer) = in_memory::<Connection>(&node, dialect).await;
        let before = tokio::time::Instant::now();
        let index = peer.index::<Cap>();
        let plain = index.invoke::<Value>("wait", (1,));
        let timed = index.invoke::<Value>("wait", (1,)).timeout(Duration::from_secs(1_000));
        let error = plain.await.unwrap_err();
        assert_eq!(
            (error.kind(), error.limit()),
            (ErrorKind::Timeout, Some(LimitKind::CallTimeout)),
            "{error:?}"
        );
        assert!((300..320).contains(&before.elapsed().as_secs()), "{:?}", before.elapsed());
        let before = tokio::time::Instant::now();
        let error = timed.await.unwrap_err();
        assert_eq!((error.kind(), error.limit()), (ErrorKind::Timeout, None), "{error:?}");
        assert_eq!(before.elapsed().as_secs(), 1_000);
    }
}

/// Work that keeps the thread, as large values do, and how often it was done between two turns of another task.
#[derive(Default)]
struct Busy {
    in_a_row: AtomicUsize,
    most: AtomicUsize,
    done: AtomicUsize,
    go: Notify,
}

#[capnode::interface]
trait Work {
    async fn wait(&self);
    async fn work(&self);
}

impl Work for Arc<Busy> {
    async fn wait(&self) {
        self.go.notified().await;
    }
    async fn work(&self) {
        std::thread::sleep(Duration::from_millis(6));
        let row = self.in_a_row.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(row, Ordering::SeqCst);
        self.done.fetch_add(1, Ordering::SeqCst);
    }
}

/// Sends `first`, and 32 calls, and goes when these have arrived; returns how many of them were made in a row.
async fn most_in_a_row(first: &str, limits: Limits) -> usize {
    let busy = Arc::<Busy>::default();
    let (here, mut there) = tokio::io::duplex(1 << 20);
    let node = Node::new(WorkClient::new(busy.clone())).limits(limits);
    let connection = node.serve(capnode::transport::lines(here)).await.unwrap();
    let calls = "[\"push\",[\"pipeline\",0,[\"work\"],[]]]\n".repeat(32);
    there.write_all(format!("{first}{calls}").as_bytes()).await.unwrap();
    let waits = !first.is_empty();
    if waits {
        until("all calls have arrived", || connection.report().tables.running == 33).await;
        busy.go.notify_one();
    }
    // A task like that of the connection: the runtime lets both run in turn.
    let counted = busy.clone();
    let other = std::future::poll_fn(move |cx| {
        counted.in_a_row.store(0, Ordering::SeqCst);
        if counted.done.load(Ordering::SeqCst) >= 32 {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    });
    soon(tokio::spawn(other)).await.unwrap();
    busy.most.load(Ordering::SeqCst)
}

/// A short message can ask for much, so messages are not only counted: others on the thread get their turn in between.
#[tokio::test]
async fn calls_that_take_long_let_others_have_their_turn() {
    assert!(most_in_a_row("", Limits::default()).await <= 3);
}

#[tokio::test]
async fn parked_calls_leave_turns_to_others() {
    let first = "[\"push\",[\"pipeline\",0,[\"wait\"],[]]]\n";
    assert!(most_in_a_row(first, limits(|limits| limits.running_calls = 1)).await <= 3);
}

/// A peer that writes lines by hand, and the connection that serves it.
async fn by_hand(index: Object, limits: Limits) -> (BufReader<DuplexStream>, Connection) {
    let (here, there) = tokio::io::duplex(1 << 20);
    let connection =
        Node::new(index.open().cap()).limits(limits).serve(transport::lines(here)).await.unwrap();
    (BufReader::new(there), connection)
}

/// Writes lines, and reads until one begins so.
async fn until_line(peer: &mut BufReader<DuplexStream>, lines: &str, begins: &str) -> String {
    peer.get_mut().write_all(lines.as_bytes()).await.unwrap();
    loop {
        let mut line = String::new();
        assert!(soon(peer.read_line(&mut line)).await.unwrap() > 0, "the connection ended");
        if line.starts_with(begins) {
            return line;
        }
    }
}

const TWO_OF_THREE: &str = r#"["push",["pipeline",0,["echo"],[[[["promise",-1],["promise",-2],["promise",-3]]]]]]
["pull",1]
"#;

/// Values of a peer are held until the last promise is resolved, which may be never.
#[tokio::test]
async fn what_promises_turn_out_to_be_counts_before_all_are_kept() {
    let (mut peer, _connection) =
        by_hand(echo_and_wait(), limits(|limits| limits.unfolded_bytes = 1_000)).await;
    let text = "x".repeat(600);
    let lines = format!("{TWO_OF_THREE}[\"resolve\",-1,\"{text}\"]\n[\"resolve\",-2,\"{text}\"]\n");
    let rejected = until_line(&mut peer, &lines, "[\"reject\",1,").await;
    assert!(rejected.contains("more than 1000 bytes"), "{rejected}");
}

#[tokio::test]
async fn what_promises_turn_out_to_be_counts_with_the_call_that_waits() {
    let (mut peer, _connection) = by_hand(echo_and_wait(), limits(|limits| limits.call_bytes = 10_000)).await;
    let text = "x".repeat(6_000);
    let lines = format!("{TWO_OF_THREE}[\"resolve\",-1,\"{text}\"]\n[\"resolve\",-2,\"{text}\"]\n");
    let ended = until_line(&mut peer, &lines, "[\"abort\",").await;
    assert!(ended.contains("more than 10000 bytes of calls"), "{ended}");
}

/// Calls in an answer start handlers as those in a call do.
#[tokio::test]
async fn an_answer_with_too_many_calls_in_it_fails_the_call_that_it_answers() {
    let started = Arc::<AtomicUsize>::default();
    let starts = started.clone();
    let start = move || {
        starts.fetch_add(1, Ordering::SeqCst);
        std::future::pending::<()>()
    };
    let ask = |function: Func<fn() -> Value>| async move {
        function.call().await.map_or_else(
            |error| format!("{:?}", error.limit().map(capnode::LimitKind::as_str)),
            |_| "answered".to_owned(),
        )
    };
    let index = Object::new()
        .with("start", Func::<fn()>::new(start))
        .with("ask", Func::<fn(Func<fn() -> Value>) -> String>::new(ask));
    let (mut peer, _connection) = by_hand(index, limits(|limits| limits.running_calls = 4)).await;
    let starts = ["[\"pipeline\",0,[\"start\"],[]]"; 5].join(",");
    let lines = format!(
        "[\"push\",[\"pipeline\",0,[\"ask\"],[[\"export\",-1]]]]\n[\"pull\",1]\n[\"resolve\",1,[[{starts}]]]\n"
    );
    let answer = until_line(&mut peer, &lines, "[\"resolve\",1,").await;
    assert!(answer.contains("running_calls"), "{answer}");
    assert_eq!(started.load(Ordering::SeqCst), 0);
}
