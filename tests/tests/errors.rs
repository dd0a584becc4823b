//! The contents of an error: the failure, the fate of the call, the fault and the cause. Also the secrets that no
//! error, log or debug output reveals.

use std::error::Error as _;
use std::io;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use capnode::ErrorKind::{
    Connect, Decode, Disconnected, Encode, Limit, Protocol, Refused, Rejected, Timeout, Unresolved,
    Unsupported,
};
use capnode::Fate::{Answered, MayHaveRun, NotSent};
use capnode::Fault::{Here, Network, Peer};
use capnode::transport::{self, Channels, Lines};
use capnode::{
    CallError, Cap, Connection, Dialect, Error, ErrorKind, Fate, Fault, Func, Incoming, Listener, Node, Value,
};
use capnode_tests::{Log, in_memory, limits, meeting, routed, soon, until};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

#[capnode::interface]
trait Failing {
    async fn fail(&self) -> Result<(), String>;
    async fn pass_on(&self) -> Result<(), Error>;
    async fn number(&self, number: u32) -> u32;
    async fn panic(&self, text: String);
    async fn wait(&self);
}

struct Object;

impl Failing for Object {
    async fn fail(&self) -> Result<(), String> {
        Err("no".to_owned())
    }

    /// Fails with the error of a connection to another node.
    async fn pass_on(&self) -> Result<(), Error> {
        let nowhere: Connection = capnode::connect("unix:/a/secret/path").await?;
        drop(nowhere);
        Ok(())
    }

    async fn number(&self, number: u32) -> u32 {
        number
    }

    async fn panic(&self, text: String) {
        panic!("{text}")
    }

    async fn wait(&self) {
        std::future::pending().await
    }
}

/// A value that cannot be written.
#[derive(Deserialize)]
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it is a secret"))
    }
}

fn index() -> Cap {
    FailingClient::new(Object).into()
}

/// A connection to an object that fails in all ways, and the other end of it.
async fn connected(node: Node) -> (Connection, Connection) {
    let (here, there): (Channels, Channels) = transport::pair();
    let served = Node::new(index()).serve(there).await.unwrap();
    (node.connect_over(here).await.unwrap(), served)
}

/// A connection to a peer that is played by the test.
async fn to_raw(node: Node) -> (Connection, DuplexStream) {
    let (here, there) = tokio::io::duplex(1 << 16);
    let lines: Lines<DuplexStream> = transport::lines(here).limit(10_000);
    (node.connect_over(lines).await.unwrap(), there)
}

/// Returns the error of a call of `wait` when the test's peer does `act` after it has read the call.
async fn while_pending(node: Node, act: impl AsyncFnOnce(&Connection, &mut DuplexStream)) -> (Error, Error) {
    let (connection, mut peer) = to_raw(node).await;
    let client: FailingClient = connection.index();
    let pending = client.wait();
    let mut pending = tokio::spawn(pending);
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains("wait") {
        soon(peer.read_buf(&mut read)).await.unwrap();
    }
    act(&connection, &mut peer).await;
    let error = soon(&mut pending).await.unwrap().unwrap_err();
    let late = soon(client.wait()).await.unwrap_err();
    (error, late)
}

/// A connection by WebSocket to a server that is played by the test, which ends it by `closing` after a call.
async fn closed_by(closing: Option<CloseFrame>) -> Error {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        while !soon(socket.next()).await.unwrap().unwrap().to_string().contains("wait") {}
        socket.close(closing).await.unwrap();
        while soon(socket.next()).await.is_some() {}
    });
    let client: FailingClient = capnode::connect(&url).await.unwrap();
    let error = soon(client.wait()).await.unwrap_err();
    soon(server).await.unwrap();
    error
}

/// The errors of all the ways in which a call, or a connection, can fail.
async fn all() -> Vec<(&'static str, Error)> {
    let (connection, _served) = connected(Node::empty()).await;
    let client: FailingClient = connection.index();
    let cap: Cap = client.clone().into();
    let mut all = vec![
        ("the method fails", cap.invoke::<()>("fail", ()).await.unwrap_err()),
        ("the object is here", index().invoke::<()>("fail", ()).await.unwrap_err()),
        ("no such method", cap.invoke::<()>("nothing", ()).await.unwrap_err()),
        ("a wrong argument", cap.invoke::<u32>("number", ("x",)).await.unwrap_err()),
        ("the handler panics", client.panic("on purpose".to_owned()).await.unwrap_err()),
        ("the result is of another type", cap.invoke::<String>("number", (1,)).await.unwrap_err()),
        ("an argument cannot be written", cap.invoke::<()>("number", (Unwritable,)).await.unwrap_err()),
        ("a name that nothing has", cap.invoke::<()>("then", ()).await.unwrap_err()),
        ("no word for it", cap.put("number", 1).await.unwrap_err()),
        ("the time is over", client.wait().timeout(Duration::from_millis(1)).await.unwrap_err()),
    ];
    let (promised, resolver) = FailingClient::promise();
    drop(resolver);
    all.push(("the promise was dropped", promised.wait().await.unwrap_err()));
    let mut deep = cap.clone();
    for _ in 0..300 {
        deep = deep.at("x");
    }
    all.push(("too many steps", deep.read::<Value>().await.unwrap_err()));

    let small = limits(|limits| limits.frame_bytes = 10_000);
    let (connection, _served) = connected(Node::empty().limits(small)).await;
    let long = "x".repeat(20_000);
    all.push((
        "too long an argument",
        connection.index::<Cap>().invoke::<()>("panic", (long,)).await.unwrap_err(),
    ));

    let few = limits(|limits| (limits.unwritten_bytes_soft, limits.unwritten_bytes_hard) = (1_000, 12_000));
    let (here, _deaf) = tokio::io::duplex(64);
    let connection: Connection =
        Node::empty().limits(few).connect_over(transport::lines(here)).await.unwrap();
    let send = || connection.index::<Cap>().invoke::<()>("x", ("x".repeat(900),)).send();
    // The first of them are handed to the transport, and the others are behind those.
    (0..5).for_each(|_| send().unwrap());
    tokio::task::yield_now().await;
    (0..4).for_each(|_| send().unwrap());
    let waits = connection.index::<FailingClient>().wait().timeout(Duration::from_millis(1)).await;
    all.push(("too much is unwritten", (0..100).map(|_| send()).find_map(Result::err).unwrap()));
    all.push(("the time is over before it is sent", waits.unwrap_err()));

    let (served, spoken): (_, Connection) = in_memory(&Node::new(index()), Dialect::Capnode).await;
    let number = spoken.index::<Cap>().invoke::<()>("number", (f64::NAN,));
    all.push(("nothing the language can say", number.await.unwrap_err()));
    drop(served);

    // Ends of a connection.
    let lost = while_pending(Node::empty(), async |_, peer| {
        peer.write_all(b"[\"resol").await.unwrap();
        peer.shutdown().await.unwrap();
    });
    let theirs = while_pending(Node::empty(), async |_, peer| peer.shutdown().await.unwrap());
    let ours = while_pending(Node::empty(), async |connection, _| connection.close());
    for (what, (error, late)) in
        [("the connection is lost", lost.await), ("the peer closes", theirs.await), ("we close", ours.await)]
    {
        all.extend([(what, error), ("a call after that", late)]);
    }
    for (what, frame) in [
        ("the peer breaks the protocol", "nonsense\n".to_owned()),
        ("the peer ends the session", "[\"abort\",[\"error\",\"Error\",\"bye\"]]\n".to_owned()),
        ("the peer breaks a limit", format!("[\"push\",{}1{}]\n", "[[".repeat(300), "]]".repeat(300))),
        ("too long a message of the peer's", format!("[\"push\",\"{}\"]\n", "x".repeat(20_000))),
    ] {
        let says =
            async |_: &Connection, peer: &mut DuplexStream| peer.write_all(frame.as_bytes()).await.unwrap();
        all.push((what, while_pending(Node::empty(), says).await.0));
    }
    let invalid =
        while_pending(Node::empty(), async |_, peer| peer.write_all(b"\xff\n").await.unwrap()).await;
    all.push(("what is no text", invalid.0));
    all.push(("the peer closes a WebSocket", closed_by(None).await));
    let reason = CloseFrame { code: 4001.into(), reason: "late".into() };
    all.push(("the peer closes a WebSocket, and why", closed_by(Some(reason)).await));

    // Connecting.
    let refuses = Node::builder().authorize(async |_: Incoming| Err::<(), _>("not you")).build();
    let (here, there) = transport::pair();
    let refusing = refuses.serve(there).await.unwrap_err();
    all.push(("we refuse", refusing));
    let refused: FailingClient = capnode::connect_over(here).await.unwrap();
    all.push(("we are refused", refused.wait().await.unwrap_err()));
    let listener = Node::empty().listen("ws://127.0.0.1:0").await.unwrap();
    let foreign = capnode::connect::<Cap>(&listener.url()).header("Origin", "https://evil.example");
    all.push(("we are refused by the handshake", foreign.await.unwrap_err()));
    let nowhere = capnode::connect::<Cap>("unix:/no/such/socket");
    all.push(("there is nobody", nowhere.await.unwrap_err()));
    all.push(("it is no address", capnode::connect::<Cap>("nowhere").await.unwrap_err()));

    // The node of the peer shuts down while a call runs.
    let node = Node::new(index());
    let (served, client): (_, FailingClient) = in_memory(&node, Dialect::CapnWeb).await;
    let running = tokio::spawn(client.wait());
    until("the call runs", || served.tables().running == 1).await;
    let draining = tokio::spawn(async move { node.drain(Duration::from_millis(50)).await });
    // Until it drains, calls are answered.
    let late = loop {
        match soon(client.number(1)).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    all.push(("the peer shuts down: a late call", late));
    all.push(("the peer shuts down: a running call", soon(running).await.unwrap().unwrap_err()));
    soon(draining).await.unwrap();
    all
}

#[tokio::test]
async fn every_failure_tells_what_happened_whether_it_ran_whose_fault_it_was_and_why() {
    let expected: &[(&str, ErrorKind, Fate, Fault, bool)] = &[
        ("the method fails", Rejected, Answered, Peer, false),
        ("the object is here", Rejected, Answered, Peer, false),
        ("no such method", Rejected, Answered, Peer, false),
        ("a wrong argument", Rejected, Answered, Peer, false),
        ("the handler panics", Rejected, Answered, Peer, false),
        ("the result is of another type", Decode, Answered, Peer, false),
        ("an argument cannot be written", Encode, NotSent, Here, false),
        ("a name that nothing has", Rejected, NotSent, Here, false),
        ("no word for it", Unsupported, NotSent, Here, false),
        ("the time is over", Timeout, MayHaveRun, Peer, false),
        ("the promise was dropped", Unresolved, NotSent, Here, false),
        ("too many steps", Limit, NotSent, Here, false),
        ("too long an argument", Limit, NotSent, Here, false),
        ("too much is unwritten", Limit, NotSent, Here, false),
        ("the time is over before it is sent", Timeout, NotSent, Peer, false),
        ("nothing the language can say", Encode, NotSent, Here, false),
        ("the connection is lost", Disconnected, MayHaveRun, Network, true),
        ("a call after that", Disconnected, NotSent, Network, true),
        ("the peer closes", Disconnected, MayHaveRun, Peer, false),
        ("a call after that", Disconnected, NotSent, Peer, false),
        ("we close", Disconnected, MayHaveRun, Here, false),
        ("a call after that", Disconnected, NotSent, Here, false),
        ("the peer breaks the protocol", Protocol, MayHaveRun, Peer, false),
        ("the peer ends the session", Protocol, MayHaveRun, Peer, false),
        ("the peer breaks a limit", Limit, MayHaveRun, Peer, false),
        ("too long a message of the peer's", Limit, MayHaveRun, Peer, false),
        ("what is no text", Protocol, MayHaveRun, Peer, false),
        ("the peer closes a WebSocket", Disconnected, MayHaveRun, Peer, false),
        ("the peer closes a WebSocket, and why", Disconnected, MayHaveRun, Peer, false),
        ("we refuse", Refused, NotSent, Peer, false),
        ("we are refused", Protocol, MayHaveRun, Peer, false),
        ("we are refused by the handshake", Refused, NotSent, Peer, false),
        ("there is nobody", Connect, NotSent, Network, false),
        ("it is no address", Connect, NotSent, Here, false),
        ("the peer shuts down: a late call", Rejected, NotSent, Peer, false),
        ("the peer shuts down: a running call", Disconnected, MayHaveRun, Peer, false),
    ];
    let all = all().await;
    let told: Vec<_> = all
        .iter()
        .map(|(what, error)| (*what, error.kind(), error.fate(), error.fault(), error.source().is_some()))
        .collect();
    for (told, expected) in told.iter().zip(expected) {
        assert_eq!(told, expected);
    }
    assert_eq!(told.len(), expected.len());
    // A cause is not said twice: neither a message of its own text behind it, nor the error itself.
    let io = all.iter().filter(|(_, error)| error.source().is_some_and(|source| source.is::<io::Error>()));
    assert_eq!(io.count(), expected.iter().filter(|row| row.4).count());
}

#[tokio::test]
async fn all_calls_that_an_end_has_ended_have_its_cause() {
    let (connection, mut peer) = to_raw(Node::empty()).await;
    let client: FailingClient = connection.index();
    let pending = [client.wait(), client.wait(), client.wait()].map(tokio::spawn);
    let mut read = Vec::new();
    while String::from_utf8_lossy(&read).matches("wait").count() < 3 {
        soon(peer.read_buf(&mut read)).await.unwrap();
    }
    peer.write_all(b"half").await.unwrap();
    drop(peer);
    for call in pending {
        let error = soon(call).await.unwrap().unwrap_err();
        let source = error.source().unwrap();
        assert_eq!(source.to_string(), "the connection ended in the middle of a message");
        assert_eq!(error.message(), "the connection was lost");
    }
}

// ------------------------------------------------------------------------------------- what leaks

/// The log of all tests here. A subscriber for one thread does not hear of what other threads were asked for first.
fn global_log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| {
        let log = Log::default();
        let writer = log.clone();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        tracing::subscriber::set_global_default(lines.finish()).unwrap();
        log
    })
}

/// Text that would be a line of its own, if it were printed as it is.
const FORGED: &str = "secret\n2026-01-01T00:00:00Z ERROR forged\u{1b}[2J\u{202e}";

#[tokio::test]
async fn an_argument_that_cannot_be_written_is_named_with_its_method() {
    #[capnode::interface]
    trait Adding {
        async fn add(&self, a: u32, b: std::collections::BTreeMap<Vec<u8>, u32>);
    }
    let key = || [(vec![1], 1)].into();
    let (connection, _served) = connected(Node::empty()).await;
    let typed = soon(connection.index::<AddingClient>().add(1, key())).await.unwrap_err();
    let untyped = soon(
        connection.index::<Cap>().invoke::<()>("add", (1, std::collections::BTreeMap::from([(vec![1], 1)]))),
    )
    .await
    .unwrap_err();
    // On the way to an object that is not there yet, the arguments are written late.
    let (late, resolver) = AddingClient::promise();
    let call = late.add(1, key());
    let later = tokio::spawn(call.into_future());
    tokio::task::yield_now().await;
    resolver.resolve(connection.index());
    let later = soon(later).await.unwrap().unwrap_err();
    for error in [typed, untyped, later] {
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Encode, Fate::NotSent));
        assert!(error.message().starts_with("add: argument 2: "), "{error}");
    }
}

#[tokio::test]
async fn a_panic_is_an_id_to_the_caller_by_which_the_log_has_the_rest() {
    let log = global_log();
    let (_served, client): (_, FailingClient) =
        in_memory(&Node::builder().index(index()).nickname("the kitchen").build(), Dialect::CapnWeb).await;
    let error = soon(client.panic(format!("kitchen {FORGED}"))).await.unwrap_err();
    let id =
        error.message().strip_prefix("the handler panicked (id ").and_then(|rest| rest.strip_suffix(')'));
    let id = id.unwrap_or_else(|| panic!("{error:?}")).to_owned();
    assert!(!format!("{error:?}").contains("secret"));
    // All of it in one line, in the span of its connection.
    let text = log.text();
    let lines: Vec<_> = text.lines().filter(|line| line.contains(&id)).collect();
    assert_eq!(lines.len(), 1, "{text}");
    for said in ["ERROR", "kitchen secret\\n", "forged", "the kitchen", "what=\"panic\""] {
        assert!(lines[0].contains(said), "{said} in {text}");
    }
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    assert_eq!(soon(client.number(1)).await.unwrap(), 1);
}

#[tokio::test]
async fn a_blocking_handler_that_panics_is_no_different() {
    #[capnode::interface]
    trait Blocking {
        #[capnode(blocking)]
        async fn panic(&self);
    }

    struct Blocks;

    impl Blocking for Blocks {
        async fn panic(&self) {
            panic!("on purpose")
        }
    }

    let (_served, client): (_, BlockingClient) =
        in_memory(&Node::new(BlockingClient::new(Blocks)), Dialect::CapnWeb).await;
    for _ in 0..2 {
        let error = soon(client.panic()).await.unwrap_err();
        assert!(error.message().starts_with("the handler panicked (id "), "{error}");
    }
}

#[tokio::test]
async fn what_an_error_says_of_this_program_does_not_leave_it() {
    let (connection, _served) = connected(Node::empty()).await;
    let client: FailingClient = connection.index();
    let error = match soon(client.pass_on()).await.unwrap_err() {
        CallError::Returned(error) | CallError::Failed(error) => error,
    };
    assert_eq!(error.message(), "cannot connect");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    // The program itself is told all of it.
    let error = FailingClient::new(Object).pass_on().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot connect to unix:/a/secret/path: No such file or directory (os error 2)"
    );

    // Nor does the name that a connection has here.
    let (here, there) = transport::pair();
    let kitchen: Connection =
        Node::builder().nickname("the kitchen").build().connect_over(here).await.unwrap();
    drop(there);
    assert!(soon(kitchen.closed()).await.to_string().starts_with("the kitchen: "));
    let asks = kitchen.index::<Cap>();
    let relay = Func::<fn() -> Result<(), Error>>::fallible(move || {
        let asks = asks.clone();
        async move { asks.invoke::<()>("x", ()).await }
    });
    let (_served, peer): (_, Cap) = in_memory(&Node::new(relay), Dialect::CapnWeb).await;
    let error = soon(peer.apply::<()>(())).await.unwrap_err();
    assert!(!format!("{error:?}").contains("kitchen"), "{error:?}");
}

#[tokio::test]
async fn an_error_of_a_peer_cannot_forge_a_line_of_a_log() {
    let log = global_log();
    let fails = Func::<fn() -> Result<(), Error>>::fallible(|| async { Err(Error::rejected(FORGED)) });
    let (_served, peer): (_, Cap) = in_memory(&Node::new(fails), Dialect::CapnWeb).await;
    let error = soon(peer.apply::<()>(())).await.unwrap_err();
    assert_eq!(error.message(), FORGED, "as it was sent");
    let broken = Cap::broken(error.clone());
    tracing::info!("a peer says: {error}, {error:?}, {broken:?}, {:?}", peer.at(FORGED));
    let text = log.text();
    let line = text.lines().find(|line| line.contains("a peer says")).unwrap();
    assert_eq!(line.matches("forged").count(), 4, "{text}");
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
}

#[tokio::test]
async fn a_log_says_which_rule_a_peer_has_broken() {
    let log = global_log();
    let node = || Node::builder().index("index").nickname("the broken one").build();
    for (sent, why) in [("[\"forged\\u001b\"]\n", "forged"), ("[\"release\",7,1]\n", "no such export ID: 7")]
    {
        let (connection, mut raw) = to_raw(node()).await;
        raw.write_all(sent.as_bytes()).await.unwrap();
        soon(connection.closed()).await;
        until("it is logged", || {
            let text = log.text();
            let mut lines = text.lines().filter(|line| line.contains("the session has ended"));
            lines.any(|line| line.contains("WARN") && line.contains("the broken one") && line.contains(why))
        })
        .await;
    }
    assert!(!log.text().contains('\u{1b}'));
}

#[tokio::test]
async fn an_incoming_connection_is_printed_without_its_credentials() {
    let shown = Arc::new(Mutex::new(String::new()));
    let shows = shown.clone();
    let node = Node::builder()
        .authorize(move |incoming: Incoming| {
            *shows.lock().unwrap() = format!("{incoming:?}");
            async { Ok::<_, Error>("index") }
        })
        .build();
    let listener = node.listen("ws://127.0.0.1:0").await.unwrap();
    let connect = capnode::connect::<Cap>(&listener.url()).header("Authorization", "Bearer s3cret");
    let connect = connect.header("Cookie", "session=s3cret");
    assert!(!format!("{connect:?}").contains("s3cret"));
    let peer = soon(connect.into_future()).await.unwrap();
    assert_eq!(soon(peer.read::<String>()).await.unwrap(), "index");
    let shown = shown.lock().unwrap().to_lowercase();
    assert!(shown.contains("authorization") && shown.contains("cookie"), "{shown}");
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[tokio::test]
async fn a_header_cannot_bring_another_along() {
    let listener = Node::new("index").listen("ws://127.0.0.1:0").await.unwrap();
    for (name, value) in [("X-One", "1\r\nX-Two: 2"), ("X-One\r\nX-Two", "2")] {
        let error = capnode::connect::<Cap>(&listener.url()).header(name, value).await.unwrap_err();
        assert_eq!((error.kind(), error.fate()), (Connect, NotSent));
    }
}

// --------------------------------------------------------------------------- how a WebSocket ends

/// Returns the code and reason with which a WebSocket to `url` is closed, after it has sent `says`.
async fn end_of(url: &str, says: Option<String>) -> (u16, String) {
    let (mut socket, _) = {
        let address = url.strip_prefix("ws://").unwrap();
        let stream = tokio::net::TcpStream::connect(address.trim_end_matches('/')).await.unwrap();
        tokio_tungstenite::client_async(url, stream).await.unwrap()
    };
    if let Some(says) = says {
        // The rest of a long one may be refused.
        let _refused = socket.send(Message::text(says)).await;
    }
    loop {
        match soon(socket.next()).await {
            Some(Ok(Message::Close(Some(close)))) => return (close.code.into(), close.reason.to_string()),
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A node with small messages, and the connections to it, at a listener of its own and at a route of axum.
async fn served() -> ([String; 2], UnboundedReceiver<Incoming>, Listener) {
    let (node, met) = meeting("index");
    let node = node.limits(limits(|limits| limits.frame_bytes = 10_000)).build();
    let listener = node.listen("ws://127.0.0.1:0").await.unwrap();
    ([listener.url(), routed(node).await], met, listener)
}

#[tokio::test]
async fn a_web_socket_is_told_why_we_close_it() {
    let (urls, mut met, _running) = served().await;
    for url in &urls {
        for (reason, told) in [
            ("it is late", "it is late".to_owned()),
            (FORGED, "secret\\n2026-01-01T00:00:00Z ERROR forged\\u{1b}[2J\\u{202e}".to_owned()),
            (&"é".repeat(100), "é".repeat(61)),
        ] {
            let (end, ()) = tokio::join!(end_of(url, None), async {
                met.recv().await.unwrap().connection().close_because(reason);
            });
            assert_eq!(end, (3000, told));
        }
        let (end, ()) =
            tokio::join!(end_of(url, None), async { met.recv().await.unwrap().connection().close() });
        assert_eq!(end, (1000, String::new()), "an ordinary end has no reason");
    }
    // And a peer of this library has it in its error.
    let client: FailingClient = capnode::connect(&urls[0]).await.unwrap();
    let (error, ()) = tokio::join!(client.wait(), async {
        met.recv().await.unwrap().connection().close_because("it is late");
    });
    assert_eq!(error.unwrap_err().message(), "the peer closed the connection: 3000 it is late");
}

#[tokio::test]
async fn text_of_a_peer_does_not_come_back_raw_in_how_its_socket_is_closed() {
    let (urls, _met, _running) = served().await;
    for url in &urls {
        let (code, reason) = end_of(url, Some(format!("[\"pull\",\"{FORGED}{}\"]", "é".repeat(100)))).await;
        assert_eq!(code, 3000);
        assert!(reason.len() <= 123 && !reason.contains(['\n', '\u{1b}', '\u{202e}']), "{reason:?}");
    }
}

#[tokio::test]
async fn too_long_a_message_over_a_web_socket_is_a_limit_that_the_peer_is_told_of() {
    let (urls, mut met, _running) = served().await;
    for url in &urls {
        let (end, connection) = tokio::join!(end_of(url, Some("x".repeat(20_000))), met.recv());
        let error = soon(connection.unwrap().connection().closed()).await;
        assert_eq!((error.kind(), error.fault()), (Limit, Peer), "{error:?}");
        assert_eq!(end, (1009, error.message().to_owned()));
        assert!(error.message().contains("longer than"), "{error}");
    }
}
