//! Peers that send wrong input. Each ends its own session at most, and is told the reason; every other peer goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use capnode::{Connection, ErrorKind, Func, Incoming, Limits, Listener, Node};
use capnode_examples::tour::{self, TourClient};
use capnode_tests::{limits, meeting, panics, soon, until};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

/// A tour server, its ends of the connections, and an honest client.
struct Server {
    listener: Listener,
    met: UnboundedReceiver<Incoming>,
    honest: Honest,
}

impl Server {
    async fn start(url: &str, limits: Limits) -> Self {
        // The tests themselves have threads of other names.
        panics::watch(|_| std::thread::current().name() == Some("tokio-rt-worker"));
        let (node, mut met) = meeting(tour::index());
        let listener = node.limits(limits).build().listen(url).await.unwrap();
        let honest = Honest::connect(&listener).await;
        met.recv().await.unwrap();
        Self { listener, met, honest }
    }

    async fn tcp(limits: Limits) -> Self {
        Self::start("tcp://127.0.0.1:0", limits).await
    }

    /// A peer that sends any frames, and the server's end of its connection.
    async fn raw(&mut self) -> (Raw, Connection) {
        let raw = Raw::connect(&self.listener).await;
        (raw, self.met.recv().await.unwrap().connection().clone())
    }

    /// The honest client has noticed nothing.
    async fn end(self) {
        self.honest.end().await;
    }
}

/// A client that calls all the time, beside the others.
struct Honest {
    calls: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Honest {
    async fn connect(listener: &Listener) -> Self {
        let tour: TourClient = capnode::connect(&listener.url()).await.unwrap();
        let (calls, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (counted, stopped) = (calls.clone(), stop.clone());
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::SeqCst) {
                assert_eq!(tour.transform("beep").await.unwrap(), "BOOP");
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { calls, stop, task }
    }

    /// It goes on calling, and succeeds.
    async fn goes_on(&self) {
        let before = self.calls.load(Ordering::SeqCst);
        until("the honest client goes on", || self.calls.load(Ordering::SeqCst) > before + 1).await;
    }

    async fn end(self) {
        self.goes_on().await;
        self.stop.store(true, Ordering::SeqCst);
        soon(self.task).await.unwrap();
        assert_eq!(panics::count(), 0, "something has panicked");
    }
}

/// A peer that writes lines.
struct Raw {
    lines: BufReader<OwnedReadHalf>,
    out: OwnedWriteHalf,
}

impl Raw {
    async fn connect(listener: &Listener) -> Self {
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (lines, out) = stream.into_split();
        Self { lines: BufReader::new(lines), out }
    }

    async fn send(&mut self, line: &str) {
        self.send_bytes(format!("{line}\n").as_bytes()).await;
    }

    /// The other side may have closed, which the test sees in its input.
    async fn send_bytes(&mut self, bytes: &[u8]) {
        let _closed = self.out.write_all(bytes).await;
    }

    /// The next line; `None` at the end.
    async fn receive(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = soon(self.lines.read_line(&mut line)).await.unwrap();
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// Everything up to the end.
    async fn rest(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.receive().await {
            lines.push(line);
        }
        lines
    }

    /// Sends a frame, and expects one.
    async fn exchange(&mut self, send: &str, expected: &str) {
        self.send(send).await;
        assert_eq!(self.receive().await.as_deref(), Some(expected), "the answer to {send}");
    }
}

fn abort(reason: &str) -> String {
    format!(r#"["abort",["error","Error",{}]]"#, serde_json::to_string(reason).unwrap())
}

/// A session that is sent `frame` ends with `reason`, which its peer is told as well.
async fn ends(server: &mut Server, frame: &[u8], reason: &str) {
    let (mut raw, connection) = server.raw().await;
    raw.exchange(r#"["stream",["pipeline",0,["transform"],["beep"]]]"#, r#"["resolve",1,"BOOP"]"#).await;
    raw.send_bytes(frame).await;
    let shown = String::from_utf8_lossy(&frame[..frame.len().min(100)]).into_owned();
    assert_eq!(raw.rest().await, [abort(reason)], "after {shown}");
    let error = soon(connection.closed()).await;
    assert_eq!(error.message(), reason, "after {shown}");
    assert!(matches!(error.kind(), ErrorKind::Protocol | ErrorKind::Limit), "{error:?}");
    assert_eq!(connection.tables(), capnode::Tables::default());
}

// ------------------------------------------------------------------------------------- protocol

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_that_is_no_message_ends_only_its_session() {
    let mut server = Server::tcp(Limits::default()).await;
    let message = |at: &str, found: &str, wanted: &str| {
        format!("there should be {wanted} at byte {at} of the message, at `{found}`")
    };
    let array = "a message, which is an array";
    let element = "another element of the message";
    for (frame, reason) in [
        ("nonsense", message("0", "nonsense", array)),
        ("", format!("the message ends where there should be {array}")),
        ("{}", message("0", "{}", array)),
        ("null", message("0", "null", array)),
        ("[]", message("1", "]", "a string")),
        (r#"["push""#, format!("the message ends where there should be {element}")),
        (r#"["push",1] 2"#, message("11", "2", "the end of the message")),
        (r#"["push",1,]"#, message("10", "]", "a number")),
        (r#"["push",NaN]"#, message("8", "NaN]", "a number")),
        (r#"["push","\x"]"#, message("9", r#"\x"]"#, "an escape that JSON knows")),
        ("[\"push\",\"\u{1}\"]", message("9", "\u{1}\"]", "no bare control character in a string")),
        (r#"["nonsense",1]"#, "unknown message: nonsense".to_owned()),
        (r#"["push"]"#, message("7", "]", element)),
        (r#"["pull"]"#, message("7", "]", element)),
        (r#"["release",1]"#, message("12", "]", element)),
        (r#"["resolve",1]"#, message("12", "]", element)),
        (r#"["pull",99999999999999999999]"#, message("8", "99999999999999999999]", "a whole number")),
    ] {
        ends(&mut server, format!("{frame}\n").as_bytes(), &reason).await;
        server.honest.goes_on().await;
    }
    let (mut raw, connection) = server.raw().await;
    raw.send_bytes(b"[\"push\",\"\xff\"]\n").await;
    let error = soon(connection.closed()).await;
    assert!(error.message().starts_with("invalid utf-8 sequence"), "{error}");
    assert_eq!(raw.rest().await, [abort(error.message())]);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_value_ends_only_its_session() {
    let mut server = Server::tcp(Limits::default()).await;
    for (value, reason) in [
        (r#"["nonsense",1]"#, r#"unknown special value: ["nonsense",1]]"#),
        ("[1]", "unknown special value: [1]]"),
        ("[]", "unknown special value: []]"),
        (r#"["bigint","1x"]"#, "not a big integer: 1x"),
        (r#"["bytes","a"]"#, "not base64 text"),
        (r#"["bytes","AQID","Int32Array"]"#, "3 bytes are no Int32Array; expected a multiple of 4"),
        (r#"["bytes","AQID","Nonsense"]"#, "unknown bytes type marker: Nonsense"),
        (
            r#"["remap",0,[],[],1]"#,
            "there should be a list of instructions at byte 25 of the message, at `1]]`",
        ),
        (r#"["date","today"]"#, r#"there should be a number at byte 16 of the message, at `"today"]]`"#),
        (
            r#"["undefined",1]"#,
            "there should be nothing more in `undefined` at byte 20 of the message, at `,1]]`",
        ),
        (
            r#"["pipeline",0,"transform",[]]"#,
            r#"there should be a property path at byte 22 of the message, at `"transform",[]]]`"#,
        ),
        (
            r#"["pipeline",0,["echo"],"beep"]"#,
            r#"there should be an array at byte 31 of the message, at `"beep"]]`"#,
        ),
        (
            r#"["pipeline",0,[null],[]]"#,
            "there should be a whole number at byte 23 of the message, at `null],[]]]`",
        ),
    ] {
        ends(&mut server, format!("[\"push\",{value}]\n").as_bytes(), reason).await;
        server.honest.goes_on().await;
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_impossible_message_ends_only_its_session() {
    let mut server = Server::tcp(Limits::default()).await;
    for (frame, reason) in [
        (
            r#"["push",["pipeline",0,["echo"],[["export",5]]]]"#,
            "an export under an id that is not the sender's: 5",
        ),
        (
            r#"["push",["pipeline",0,["echo"],[["export",0]]]]"#,
            "an export under an id that is not the sender's: 0",
        ),
        (
            r#"["push",["pipeline",0,["echo"],[["promise",-1],["promise",-1]]]]"#,
            "a promise under an id already used: -1",
        ),
        (
            r#"["push",["pipeline",0,["echo"],[["promise",-1],["export",-1]]]]"#,
            "an export under the id of a promise: -1",
        ),
        (r#"["release",-50,1]"#, "no such export ID: -50"),
        // The stream that was answered before.
        (r#"["release",1,1]"#, "no such export ID: 1"),
        (r#"["release",0,2]"#, "refcount would go negative: 1 < 2"),
        (r#"["release",0,-1]"#, "a release of fewer than no references"),
    ] {
        ends(&mut server, format!("{frame}\n").as_bytes(), reason).await;
        server.honest.goes_on().await;
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_or_not_supported_fails_its_call_only() {
    let mut server = Server::tcp(Limits::default()).await;
    let (mut raw, connection) = server.raw().await;
    raw.exchange(r#"["pull",99]"#, r#"["reject",99,["error","Error","no such export ID: 99"]]"#).await;
    let mut id = 0;
    for (value, reason) in [
        (r#"["pipeline",99,["next"],[]]"#, "no such entry on exports table: 99"),
        (
            r#"["pipeline",-99,["next"],[["export",-1],["promise",-2]]]"#,
            "no such entry on exports table: -99",
        ),
        (r#"["pipeline",0,["echo"],[["import",99]]]"#, "no such entry on exports table: 99"),
        (
            r#"["pipeline",0,["echo"],[["pipeline",0,["echo"],[["pipeline",99,["a"],[["export",-3]]]]]]]"#,
            "no such entry on exports table: 99",
        ),
        (r#"{"a":[[["import",0],["pipeline",99]]]}"#, "no such entry on exports table: 99"),
        (r#"["remap",0,[],[["import",0],["export",-4]],[]]"#, "a map without instructions"),
        (r#"["remap",99,[],[["import",0],["export",-4]],[1]]"#, "no such entry on exports table: 99"),
        (r#"["remap",0,[],[["import",0],["export",-4]],[["pipeline",1]]]"#, "no such variable in a map: 1"),
        (r#"["pipeline",0,["echo"],[["readable",1]]]"#, "no pipe to read from: 1"),
        (r#"["pipeline",0,["echo"],[["blob","",["readable",1]]]]"#, "no pipe to read from: 1"),
        (
            r#"["pipeline",0,["echo"],[["error","Error","x",null,{"s":["readable",1]}]]]"#,
            "no pipe to read from: 1",
        ),
        (
            r#"["pipeline",0,["echo"],[["error","Error",null]]]"#,
            "not supported by this version: an error whose name or message is no string",
        ),
    ] {
        for push in [true, false] {
            id += 1;
            let rejected = format!(r#"["reject",{id},["error","Error","{reason}"]]"#);
            // The reference is lent anew each time.
            let lent = |n: u32| format!("-{}", 10 * id + n);
            let value = (1..=5).fold(value.to_owned(), |value, n| {
                value.replace(&format!("-{n}]"), &format!("{}]", lent(n)))
            });
            if push {
                raw.send(&format!(r#"["push",{value}]"#)).await;
                raw.send(&format!(r#"["pull",{id}]"#)).await;
            } else {
                raw.send(&format!(r#"["stream",{value}]"#)).await;
            }
            let mut given_back = 0;
            loop {
                match raw.receive().await.expect("the session goes on") {
                    frame if frame.starts_with(r#"["release""#) => given_back += 1,
                    frame => break assert_eq!(frame, rejected, "{value}"),
                }
            }
            let lent = value.matches("export").count()
                + value.matches("promise").count()
                + value.matches("writable").count();
            while given_back < lent {
                let frame = raw.receive().await.expect("the session goes on");
                assert!(frame.starts_with(r#"["release""#), "{value}: {frame}");
                given_back += 1;
            }
            if push {
                raw.send(&format!(r#"["release",{id},1]"#)).await;
            }
        }
    }
    raw.exchange(
        r#"["stream",["pipeline",0,["transform"],["beep"]]]"#,
        &format!(r#"["resolve",{},"BOOP"]"#, id + 1),
    )
    .await;
    let tables = connection.tables();
    assert_eq!((tables.imports, tables.exports, tables.running), (0, 0, 0));
    drop(raw);
    soon(connection.closed()).await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_beyond_a_limit_ends_only_its_session() {
    let mut server = Server::tcp(Limits::default()).await;
    let too_deep = "the message nests 256 levels deep, which is too deep; see `Limits::depth`";
    let arrays = format!("[\"push\",{}1{}]\n", "[[".repeat(10_000), "]]".repeat(10_000));
    ends(&mut server, arrays.as_bytes(), too_deep).await;
    let objects = format!("[\"push\",{}1{}]\n", "{\"a\":".repeat(300), "}".repeat(300));
    ends(&mut server, objects.as_bytes(), too_deep).await;
    // Endless nesting is not even too deep, but it is noticed all the same.
    let open = format!("[\"push\",{}\n", "[[".repeat(100_000));
    ends(&mut server, open.as_bytes(), too_deep).await;
    let bigint = format!("[\"push\",[\"bigint\",\"{}\"]]\n", "9".repeat(20_000));
    ends(
        &mut server,
        bigint.as_bytes(),
        "a big integer is longer than 16384 characters; see `Limits::bigint_chars`",
    )
    .await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_is_not_answered() {
    let mut server = Server::tcp(Limits::default()).await;
    for (frame, reason) in [
        (r#"["abort",["error","Error","bye"]]"#, "the peer ended the session: bye"),
        (r#"["abort","just text"]"#, "the peer ended the session: just text"),
        (r#"["abort",{"odd":["export",-1]}]"#, r#"the peer ended the session: {"odd":["undefined"]}"#),
    ] {
        let (mut raw, connection) = server.raw().await;
        raw.send(frame).await;
        assert_eq!(soon(connection.closed()).await.message(), reason);
        assert_eq!(raw.rest().await, [""; 0]);
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_but_harmless_messages_end_nothing() {
    let mut server = Server::tcp(Limits::default()).await;
    let (mut raw, _) = server.raw().await;
    for frame in [
        r#"["resolve",77,"to nothing"]"#,
        r#"["reject",-77,["error","Error","to nothing"]]"#,
        r#"["release",0,0,"anything"]"#,
        r#"["resolve",5,{"a":["bigint","0x10"],"b":[[["undefined"]]]},"more"]"#,
    ] {
        raw.send(frame).await;
    }
    raw.exchange(
        r#" [ "stream" , ["pipeline",0,["transform"],["beep"]] , "more" ] "#,
        r#"["resolve",1,"BOOP"]"#,
    )
    .await;
    // A carriage return before the line feed.
    raw.exchange("[\"stream\",[\"pipeline\",0,[\"transform\"],[\"moo\"]]]\r", r#"["resolve",2,"MOO"]"#).await;
    server.end().await;
}

// --------------------------------------------------------------------------------------- limits

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_is_too_long_is_refused_while_it_is_read() {
    let mut server = Server::tcp(limits(|limits| limits.frame_bytes = 100_000)).await;
    let (mut raw, connection) = server.raw().await;
    // The end of it never comes.
    raw.send_bytes(format!("[\"push\",\"{}", "x".repeat(200_000)).as_bytes()).await;
    let reason = "a message is longer than 100000 bytes; see `Limits::frame_bytes`";
    assert_eq!(raw.receive().await, Some(abort(reason)));
    let error = soon(connection.closed()).await;
    assert_eq!((error.kind(), error.message()), (ErrorKind::Limit, reason));
    // Its other frames do not matter, but are read: a socket that is closed with unread bytes takes back its last
    // frames.
    assert_eq!(raw.rest().await, [""; 0]);
    soon(raw.out.write_all(&vec![b'x'; 10_000_000])).await.unwrap();

    // One that is whole, and just as long as it may be, is a message.
    let (mut raw, _) = server.raw().await;
    let frame = |length| {
        let bare = r#"["stream",["pipeline",0,["transform"],["beep",""]]]"#.len();
        format!(r#"["stream",["pipeline",0,["transform"],["beep","{}"]]]"#, "x".repeat(length - bare))
    };
    raw.exchange(&frame(100_000), r#"["resolve",1,"BOOP"]"#).await;
    raw.send(&frame(100_001)).await;
    assert_eq!(raw.rest().await, [abort(reason)]);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_line_keeps_nobody() {
    let mut server = Server::tcp(Limits::default()).await;
    let (mut silent, silents) = server.raw().await;
    let (mut half, halfs) = server.raw().await;
    half.send_bytes(br#"["stream",["pipel"#).await;
    server.honest.goes_on().await;
    assert!(!silents.is_closed() && !halfs.is_closed());

    // The other half may come, or not.
    half.exchange(r#"ine",0,["transform"],["beep"]]]"#, r#"["resolve",1,"BOOP"]"#).await;
    half.send_bytes(br#"["stream",["pipel"#).await;
    half.out.shutdown().await.unwrap();
    let error = soon(halfs.closed()).await;
    assert_eq!((error.kind(), error.message()), (ErrorKind::Disconnected, "the connection was lost"));
    let source = std::error::Error::source(&error).map(ToString::to_string);
    assert_eq!(source.as_deref(), Some("the connection ended in the middle of a message"));
    silent.out.shutdown().await.unwrap();
    assert_eq!(soon(silents.closed()).await.message(), "the peer closed the connection");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_may_hold_so_much_and_no_more() {
    let mut server = Server::tcp(limits(|limits| (limits.exports, limits.imports) = (50, 50))).await;

    let (mut raw, connection) = server.raw().await;
    for _ in 0..60 {
        raw.send(r#"["push",["pipeline",0,["counter"],[]]]"#).await;
    }
    let reason = "more than 50 references and running calls; see `Limits::exports`";
    assert_eq!(raw.rest().await, [abort(reason)]);
    let error = soon(connection.closed()).await;
    assert_eq!((error.kind(), error.message()), (ErrorKind::Limit, reason));

    // References that were given back do not count.
    let (mut raw, _) = server.raw().await;
    for at in 1..=200 {
        raw.send(r#"["push",["pipeline",0,["counter"],[]]]"#).await;
        raw.send(&format!(r#"["release",{at},1]"#)).await;
    }
    raw.exchange(r#"["stream",["pipeline",0,["transform"],["beep"]]]"#, r#"["resolve",201,"BOOP"]"#).await;

    // References lent in one value, all held by the call.
    let (mut raw, connection) = server.raw().await;
    let many = |count| {
        let lent: Vec<_> = (1..=count).map(|at| format!(r#"["export",-{at}]"#)).collect();
        format!(r#"["push",["pipeline",0,["echo"],[[[{}]]]]]"#, lent.join(","))
    };
    raw.send(&many(60)).await;
    let reason = "more than 50 references lent; see `Limits::imports`";
    assert_eq!(raw.rest().await, [abort(reason)]);
    assert_eq!(soon(connection.closed()).await.message(), reason);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_do_not_end_are_parked_up_to_a_limit() {
    let go = Arc::new(Notify::new());
    let shop = ShopClient::new(Corner { go: go.clone() });
    let (node, mut met) = meeting(shop);
    let few = limits(|limits| (limits.running_calls, limits.parked_bytes) = (4, 100_000));
    let listener = node.limits(few).build().listen("tcp://127.0.0.1:0").await.unwrap();
    let mut raw = Raw::connect(&listener).await;
    let connection = met.recv().await.unwrap().connection().clone();

    for _ in 0..4 {
        raw.send(r#"["stream",["pipeline",0,["wait"],[]]]"#).await;
    }
    for at in 5..=8 {
        raw.send(&format!(r#"["stream",["pipeline",0,["add"],[{at},0]]]"#)).await;
    }
    // Answers, releases and pulls are not calls: they are taken in at any time.
    raw.exchange(r#"["resolve",99,["export",-1]]"#, r#"["release",-1,1]"#).await;
    assert_eq!(connection.tables().running, 8);
    // The next to end lets those go on that wait, in their order.
    go.notify_one();
    assert_eq!(raw.receive().await.as_deref(), Some(r#"["resolve",1,["undefined"]]"#));
    for at in 5..=8 {
        assert_eq!(raw.receive().await, Some(format!(r#"["resolve",{at},{at}]"#)));
    }

    raw.send(r#"["stream",["pipeline",0,["wait"],[]]]"#).await;
    let filler = "x".repeat(10_000);
    for _ in 0..20 {
        raw.send(&format!(r#"["stream",["pipeline",0,["add"],[1,2,"{filler}"]]]"#)).await;
    }
    let reason = "more than 100000 bytes of calls are waiting; see `Limits::parked_bytes`";
    assert_eq!(raw.rest().await, [abort(reason)]);
    let error = soon(connection.closed()).await;
    assert_eq!((error.kind(), error.message()), (ErrorKind::Limit, reason));
    let shop: ShopClient = capnode::connect(&listener.url()).await.unwrap();
    assert_eq!(shop.add(1, 2).await.unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_read_loses_its_session() {
    let mut server = Server::tcp(limits(|limits| {
        (limits.unwritten_bytes_soft, limits.unwritten_bytes_hard) = (100_000, 1_000_000)
    }))
    .await;
    let (mut raw, connection) = server.raw().await;
    let frame = format!("[\"stream\",[\"pipeline\",0,[\"echo\"],[\"{}\"]]]\n", "x".repeat(50_000));
    let sending = async {
        // The network itself holds some of it.
        while !connection.is_closed() {
            raw.send_bytes(frame.as_bytes()).await;
        }
    };
    soon(sending).await;
    let error = soon(connection.closed()).await;
    assert_eq!(error.kind(), ErrorKind::Limit);
    let reason =
        "the peer reads too slowly: too much is waiting to be written; see `Limits::unwritten_bytes_hard`";
    assert_eq!(error.message(), reason);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_comes_and_goes_leaves_nothing() {
    let mut server = Server::tcp(Limits::default()).await;
    let mut connections = Vec::new();
    for at in 0..50 {
        let (mut raw, connection) = server.raw().await;
        raw.send(r#"["push",["pipeline",0,["counter"],[]]]"#).await;
        if at % 2 == 0 {
            raw.exchange(r#"["stream",["pipeline",0,["transform"],["beep"]]]"#, r#"["resolve",2,"BOOP"]"#)
                .await;
        }
        connections.push(connection);
    }
    for connection in connections {
        assert_eq!(soon(connection.closed()).await.kind(), ErrorKind::Disconnected);
        assert_eq!(connection.tables(), capnode::Tables::default());
    }
    server.end().await;
}

// --------------------------------------------------------------------------- calls that do not fit

#[derive(serde::Serialize, serde::Deserialize)]
struct Order {
    name: String,
    count: Option<u32>,
}

/// Methods with all kinds of arguments.
#[capnode::interface]
trait Shop {
    async fn order(&self, order: Order, on_done: Func<fn(String)>) -> String;

    async fn add(&self, first: i32, second: i32) -> i32;

    /// Does not end before it is told to.
    async fn wait(&self);

    #[capnode(property)]
    async fn open(&self) -> bool;
}

#[derive(Default)]
struct Corner {
    go: Arc<Notify>,
}

impl Shop for Corner {
    async fn order(&self, order: Order, _on_done: Func<fn(String)>) -> String {
        format!("{} {:?}", order.name, order.count)
    }

    async fn add(&self, first: i32, second: i32) -> i32 {
        first + second
    }

    async fn wait(&self) {
        self.go.notified().await;
    }

    async fn open(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_says_which_argument_of_which_method_does_not_fit_and_why() {
    let listener = Node::new(ShopClient::new(Corner::default())).listen("tcp://127.0.0.1:0").await.unwrap();
    let mut raw = Raw::connect(&listener).await;
    let mut id = 0;
    for (call, message) in [
        (r#"["nosuch"],[]"#, "'nosuch' is not a function."),
        (r#"["open"],[]"#, "'open' is not a function."),
        (r#"["add"],[]"#, "add: argument 1, `first`: it is missing, expected i32"),
        (r#"["add"],[1]"#, "add: argument 2, `second`: it is missing, expected i32"),
        (r#"["add"],[1,"2"]"#, "add: argument 2, `second`: invalid type: string \"2\", expected i32"),
        (r#"["add"],[1.5,2]"#, "add: argument 1, `first`: invalid type: floating point `1.5`, expected i32"),
        (
            r#"["add"],[3000000000,2]"#,
            "add: argument 1, `first`: invalid value: integer `3000000000`, expected i32",
        ),
        (
            r#"["add"],[1,["export",-1]]"#,
            "add: argument 2, `second`: invalid type: a reference, expected i32",
        ),
        (r#"["order"],[{}]"#, "order: argument 1, `order`: missing field `name`"),
        (
            r#"["order"],[{"name":5}]"#,
            "order: argument 1, `order`: invalid type: integer `5`, expected a string",
        ),
        (
            r#"["order"],["x"]"#,
            "order: argument 1, `order`: invalid type: string \"x\", expected struct Order",
        ),
        (
            r#"["order"],[{"name":"x"},5]"#,
            "order: argument 2, `on_done`: invalid type: integer `5`, expected an object or function",
        ),
        (
            r#"["order"],[{"name":"x"}]"#,
            "order: argument 2, `on_done`: it is missing, expected an object or function",
        ),
    ] {
        id += 1;
        let rejection = serde_json::to_string(message).unwrap();
        let answers = [
            format!(r#"["reject",{id},["error","TypeError",{rejection}]]"#),
            // The lent reference is given back after any outcome of the call.
            r#"["release",-1,1]"#.to_owned(),
        ];
        raw.send(&format!(r#"["stream",["pipeline",0,{call}]]"#)).await;
        let mut received = vec![raw.receive().await.unwrap()];
        if call.contains("export") {
            received.push(raw.receive().await.unwrap());
        }
        received.sort_by_key(|frame| frame.starts_with(r#"["release""#));
        assert_eq!(received, &answers[..received.len()], "{call}");
    }
    raw.exchange(r#"["stream",["pipeline",0,["add"],[1,2]]]"#, &format!(r#"["resolve",{},3]"#, id + 1)).await;
}

/// Returns the next lines, of which the order does not matter.
async fn sorted(raw: &mut Raw, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for _ in 0..count {
        lines.push(raw.receive().await.unwrap());
    }
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_asked_for_is_given_back() {
    let listener = Node::new(ShopClient::new(Corner::default())).listen("tcp://127.0.0.1:0").await.unwrap();
    let mut raw = Raw::connect(&listener).await;
    let releases = |ids: &[i32]| {
        let mut releases: Vec<_> = ids.iter().map(|id| format!(r#"["release",{id},1]"#)).collect();
        releases.sort();
        releases
    };
    // An additional argument, alone and inside another, and twice the same.
    raw.send(r#"["stream",["pipeline",0,["add"],[1,2,["export",-1],{"deep":[[["export",-2]]]}]]]"#).await;
    let mut expected = releases(&[-1, -2]);
    expected.push(r#"["resolve",1,3]"#.to_owned());
    assert_eq!(sorted(&mut raw, 3).await, expected);

    // Fields that the struct does not have, and the callback itself when the call has ended.
    raw.send(
        r#"["stream",["pipeline",0,["order"],[{"name":"tea","extra":["export",-3],"count":null},["export",-4]]]]"#,
    )
    .await;
    let mut expected = releases(&[-3, -4]);
    expected.push(r#"["resolve",2,"tea None"]"#.to_owned());
    assert_eq!(sorted(&mut raw, 3).await, expected);

    // The arguments of a method that is not there, and the answer to a call that was never made.
    raw.send(r#"["stream",["pipeline",0,["nosuch"],[["export",-5]]]]"#).await;
    let received = sorted(&mut raw, 2).await;
    assert_eq!(received[1], releases(&[-5])[0]);
    assert!(received[0].starts_with(r#"["reject",3,"#));
    raw.exchange(r#"["resolve",99,["export",-6]]"#, &releases(&[-6])[0]).await;

    // Lent twice under one id, and given back at once with its count.
    raw.send(r#"["stream",["pipeline",0,["add"],[1,2,["export",-7],["export",-7]]]]"#).await;
    assert_eq!(sorted(&mut raw, 2).await, [r#"["release",-7,2]"#, r#"["resolve",4,3]"#]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_surrogate_pair_ends_nothing() {
    let mut server = Server::tcp(Limits::default()).await;
    let (mut raw, _) = server.raw().await;
    for (call, answer) in [
        (r#"["transform"],["a\ud800b"]"#, "[\"resolve\",1,\"A\u{fffd}B\"]"),
        (r#"["echo"],["\ude00\ud83d"]"#, "[\"resolve\",2,\"\u{fffd}\u{fffd}\"]"),
        (r#"["echo"],[{"\ud800":1}]"#, "[\"resolve\",3,{\"\u{fffd}\":1}]"),
        // Both halves are one character.
        (r#"["echo"],["\ud83d\ude00"]"#, "[\"resolve\",4,\"\u{1f600}\"]"),
        (r#"["\ud800"],[]"#, "[\"reject\",5,[\"error\",\"TypeError\",\"'\u{fffd}' is not a function.\"]]"),
    ] {
        raw.exchange(&format!(r#"["stream",["pipeline",0,{call}]]"#), answer).await;
    }
    server.end().await;
}

// ----------------------------------------------------------------------------------- WebSockets

type Socket = tokio_tungstenite::WebSocketStream<TcpStream>;

async fn socket(server: &mut Server) -> (Socket, Connection) {
    let address = server.listener.local_addr().unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let (socket, _) = tokio_tungstenite::client_async(format!("ws://{address}/"), stream).await.unwrap();
    (socket, server.met.recv().await.unwrap().connection().clone())
}

/// Returns the frames of a WebSocket before its close, and the code and reason of the close.
async fn socket_end(mut socket: Socket) -> (Vec<String>, u16, String) {
    let mut frames = Vec::new();
    loop {
        match soon(socket.next()).await {
            Some(Ok(Message::Text(text))) => frames.push(text.to_string()),
            Some(Ok(Message::Close(Some(close)))) => {
                return (frames, close.code.into(), close.reason.to_string());
            }
            other => panic!("{other:?} after {frames:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_socket_is_told_by_a_message_and_by_how_it_is_closed() {
    let mut server = Server::start("ws://127.0.0.1:0", limits(|limits| limits.frame_bytes = 100_000)).await;
    let long = format!("[\"push\",\"{}\"]", "x".repeat(200_000));
    for (message, reason) in [
        (
            Message::text("nonsense"),
            "there should be a message, which is an array at byte 0 of the message, at `nonsense`",
        ),
        (Message::binary(b"[\"pull\",0]".to_vec()), "a binary message: send text instead"),
        // One that has a text and bytes beside it.
        (Message::binary(b"\0\0\0\x02\xff\xff".to_vec()), "invalid utf-8 sequence of 1 bytes from index 0"),
        (Message::text(long), "a message is longer than 100000 bytes; see `Limits::frame_bytes`"),
        (Message::text(r#"["release",7,1]"#), "no such export ID: 7"),
    ] {
        let (mut socket, connection) = socket(&mut server).await;
        socket.send(Message::Ping(b"still there?".to_vec().into())).await.unwrap();
        let _closed = socket.send(message).await;
        let (mut frames, code, close) = match soon(socket.next()).await {
            Some(Ok(Message::Pong(_))) => socket_end(socket).await,
            other => panic!("{other:?}"),
        };
        assert_eq!((frames.pop(), frames.len()), (Some(abort(reason)), 0));
        let expected = if reason.contains("longer") { 1009 } else { 3000 };
        assert_eq!((code, close.as_str()), (expected, &reason[..reason.len().min(123)]));
        assert_eq!(soon(connection.closed()).await.message(), reason);
        server.honest.goes_on().await;
    }
    // An ordinary end has no reason.
    let (mut socket, connection) = socket(&mut server).await;
    socket.close(None).await.unwrap();
    assert_eq!(soon(connection.closed()).await.message(), "the peer closed the connection");
    let (socket, connection) = self::socket(&mut server).await;
    connection.close();
    assert_eq!(socket_end(socket).await, (Vec::new(), 1000, String::new()));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_handshake_keeps_nobody() {
    let server = Server::start("ws://127.0.0.1:0", Limits::default()).await;
    for request in [
        "nonsense\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 1\r\nSec-WebSocket-Key: x\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(server.listener.local_addr().unwrap()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // It may be told, or just closed.
        let _reset = soon(stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.contains("101 Switching Protocols"), "{answer}");
    }
    // Some peers that send nothing at all.
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(server.listener.local_addr().unwrap()).await.unwrap());
    }
    server.honest.goes_on().await;
    let tour: TourClient = capnode::connect(&server.listener.url()).await.unwrap();
    assert_eq!(soon(tour.transform("beep")).await.unwrap(), "BOOP");
    server.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_come_is_given_up() {
    let listener = Node::new(tour::index()).listen("ws://127.0.0.1:0").await.unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
    let start = tokio::time::Instant::now();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!((answer.len(), start.elapsed()), (0, Duration::from_secs(10)));
}
