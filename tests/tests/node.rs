//! Nodes, listeners and connections: the index for each peer, and the life of a connection.

use std::error::Error as StdError;
use std::future::{Future, pending};
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use capnode::{
    CallError, Cap, Client, Connection, Dialect, Error, ErrorKind, Fate, Func, Incoming, Limits, Node,
    Tables, Value, context,
};
use capnode_examples::tour::{self, CounterClient, TourClient};
use capnode_tests::{in_memory, js, meeting, soon, until};
use tokio::sync::mpsc;

/// Holds on to a callback, so that the peer is lent something.
#[capnode::interface]
trait Keeper {
    async fn keep(&self, callback: Func<fn(String) -> String>);

    async fn call(&self, text: &str) -> Option<String>;

    async fn give_back(&self);

    /// Does not end before it is told to.
    async fn wait(&self) -> u32;
}

type Callback = Func<fn(String) -> String>;

#[derive(Default)]
struct Shelf {
    kept: Mutex<Option<Callback>>,
    /// Each call that waits holds a clone of it.
    waiting: Arc<()>,
    go: tokio::sync::Notify,
}

impl Shelf {
    fn kept(&self) -> Option<Callback> {
        self.kept.lock().unwrap().clone()
    }

    fn waits(&self) -> usize {
        Arc::strong_count(&self.waiting) - 1
    }
}

impl Keeper for Shelf {
    async fn keep(&self, callback: Func<fn(String) -> String>) {
        *self.kept.lock().unwrap() = Some(callback);
    }

    async fn call(&self, text: &str) -> Option<String> {
        self.kept()?.call(text.to_owned()).await.ok()
    }

    async fn give_back(&self) {
        let kept = self.kept.lock().unwrap().take();
        drop(kept);
    }

    async fn wait(&self) -> u32 {
        let _running = self.waiting.clone();
        self.go.notified().await;
        7
    }
}

/// An object, the connection by which it is offered, and the connection by which it is reached.
async fn kept() -> (Arc<Shelf>, Connection, Connection) {
    let shelf = Arc::new(Shelf::default());
    let node = Node::new(KeeperClient::from_arc(shelf.clone()));
    let (server, client) = in_memory(&node, Dialect::CapnWeb).await;
    (shelf, server, client)
}

/// Returns the cause of a failed `connect` or `listen`, which stands once, in the message.
fn cause(error: &Error) -> &str {
    assert!(error.source().is_none(), "{error:?}");
    let message = error.message();
    ["cannot connect to ", "cannot listen on "]
        .iter()
        .find_map(|start| message.strip_prefix(start)?.split_once(": "))
        .map_or(message, |(_, cause)| cause)
}

// ------------------------------------------------------------------------------------- the index

#[tokio::test]
async fn an_index_is_a_client() {
    let listener = Node::new(tour::index()).listen("tcp://127.0.0.1:0").await.unwrap();
    let tour: TourClient = capnode::connect(&listener.url()).await.unwrap();
    assert_eq!(tour.transform("beep").await.unwrap(), "BOOP");
}

#[tokio::test]
async fn an_index_is_any_value_with_functions_in_it() {
    #[derive(serde::Serialize)]
    struct Index {
        foo: &'static str,
        baz: Func<fn(u32) -> u32>,
        deep: Vec<CounterClient>,
    }

    let counter = tour::index().counter().await.unwrap();
    let index = Index { foo: "bar", baz: Func::new(|x: u32| async move { x + 1 }), deep: vec![counter] };
    let listener = Node::new(index).listen("ws://127.0.0.1:0").await.unwrap();
    let peer: Cap = capnode::connect(&listener.url()).await.unwrap();
    assert_eq!(peer.get::<String>("foo").await.unwrap(), "bar");
    assert_eq!(peer.invoke::<u32>("baz", (41,)).await.unwrap(), 42);
    assert_eq!(peer.get::<Func<fn(u32) -> u32>>("baz").await.unwrap().call(1).await.unwrap(), 2);
    let first = CounterClient::from_cap(peer.at("deep").at("0"));
    assert_eq!((first.next().await.unwrap(), first.next().await.unwrap()), (1, 2));
    assert_eq!(peer.get::<Value>("nosuch").await.unwrap(), Value::Undefined);
    let error = peer.invoke::<Value>("foo", ()).await.unwrap_err();
    assert_eq!((error.name(), error.message()), ("TypeError", "'foo' is not a function."));
}

#[tokio::test]
async fn an_index_is_a_function() {
    let double = Func::<fn(u32) -> u32>::new(|x: u32| async move { 2 * x });
    let listener = Node::new(double).listen("tcp://127.0.0.1:0").await.unwrap();
    let peer: Cap = capnode::connect(&listener.url()).await.unwrap();
    assert_eq!(peer.apply::<u32>((21,)).await.unwrap(), 42);
}

#[tokio::test]
async fn an_index_is_a_plain_value() {
    let listener = Node::new(vec![1u64, u64::MAX]).listen("tcp://127.0.0.1:0").await.unwrap();
    let peer: Cap = capnode::connect(&listener.url()).await.unwrap();
    assert_eq!(peer.read::<Vec<u64>>().await.unwrap(), [1, u64::MAX]);
    assert_eq!(peer.get::<u64>("1").await.unwrap(), u64::MAX);
}

#[tokio::test]
async fn a_node_may_offer_nothing() {
    let listener = Node::empty().listen("tcp://127.0.0.1:0").await.unwrap();
    let connection: Connection = capnode::connect(&listener.url()).await.unwrap();
    let error = connection.index::<Cap>().invoke::<Value>("anything", ()).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Rejected, "This connection has no main object."));
    assert!(connection.index::<Cap>().get::<Value>("anything").await.is_err());
    assert!(!connection.is_closed());
}

#[tokio::test]
async fn an_index_that_cannot_be_written_says_so_to_who_uses_it() {
    struct Broken;

    impl serde::Serialize for Broken {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no words for it"))
        }
    }

    let listener = Node::new(Broken).listen("tcp://127.0.0.1:0").await.unwrap();
    let peer: Cap = capnode::connect(&listener.url()).await.unwrap();
    assert_eq!(peer.get::<Value>("x").await.unwrap_err().message(), "the index: no words for it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_offered_may_depend_on_who_comes() {
    let node = Node::builder()
        .authorize(|incoming: Incoming| async move {
            assert!(incoming.certificates().is_empty());
            assert_eq!(incoming.address().unwrap().ip().to_string(), "127.0.0.1");
            assert_eq!(incoming.header("no-such"), None);
            assert_eq!(incoming.uri(), Some("/api?room=7"));
            assert!(incoming.headers().any(|(name, value)| (name, value) == ("upgrade", "websocket")));
            let shown = format!("{incoming:?}");
            assert!(
                shown.contains("\"/api\"") && !shown.contains("room") && !shown.contains("Bearer"),
                "{shown}"
            );
            match incoming.header("authorization") {
                Some("Bearer ann") => Ok(tour::index().authenticate("ann").pipeline()),
                Some(other) => Err(format!("{other} is not known here")),
                None => Err("who are you?".to_owned()),
            }
        })
        .build();
    let listener = node.listen("ws://127.0.0.1:0").await.unwrap();
    let url = format!("{}api?room=7", listener.url());

    let ann = capnode::connect(&url).header("Authorization", "Bearer ann");
    let ann: tour::UserClient = ann.await.unwrap();
    assert_eq!(ann.profile().pipeline().name().await.unwrap(), "user of ann");

    for (header, reason) in [("Bearer bob", "Bearer bob is not known here"), ("", " is not known here")] {
        let connection: Connection = capnode::connect(&url).header("Authorization", header).await.unwrap();
        let error = soon(connection.closed()).await;
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert_eq!(error.message(), format!("the peer ended the session: {reason}"));
    }
    let nobody: tour::UserClient = capnode::connect(&url).await.unwrap();
    let error = soon(nobody.profile()).await.unwrap_err();
    assert_eq!(error.message(), "the peer ended the session: who are you?");
    // None of them has changed anything for the present peer.
    assert_eq!(ann.profile().pipeline().name().await.unwrap(), "user of ann");
}

#[tokio::test]
async fn what_is_attached_to_one_connection_is_on_no_other() {
    let numbers = Arc::new(AtomicU32::new(1));
    let attached = Func::<fn() -> Option<u32>>::new(|| async {
        let number = context()?.caller()?.attached::<u32>()?;
        Some(*number)
    });
    let node = Node::builder()
        .authorize(move |incoming: Incoming| {
            incoming.caller().attach(numbers.fetch_add(1, Ordering::SeqCst));
            let attached = attached.clone();
            async { Ok::<_, Error>(attached) }
        })
        .build();
    // The first two connections are opened by the node, the others by its peers.
    let mut connections: Vec<Connection> = Vec::new();
    for _ in 0..2 {
        let (here, there) = capnode::transport::pair();
        connections.push(Node::empty().serve(there).await.unwrap());
        connections.push(node.connect_over(here).await.unwrap());
    }
    for _ in 0..2 {
        let (here, there) = capnode::transport::pair();
        let _served = node.serve(there).await.unwrap();
        connections.push(capnode::connect_over(here).await.unwrap());
    }
    for (at, number) in [(0, 1), (2, 2), (4, 3), (5, 4)] {
        let index: Func<fn() -> Option<u32>> = connections[at].index();
        assert_eq!(soon(index.call()).await.unwrap(), Some(number));
    }
}

#[tokio::test]
async fn no_option_changes_a_node_that_is_in_use() {
    let node = Node::new("old");
    let listener = node.listen("tcp://127.0.0.1:0").await.unwrap();
    let small = node.clone().limits(Limits::default().connections(0));
    let refusing = small.listen("tcp://127.0.0.1:0").await.unwrap();

    let peer: Cap = capnode::connect(&listener.url()).await.unwrap();
    assert_eq!(soon(peer.read::<String>()).await.unwrap(), "old");
    let refused: Cap = capnode::connect(&refusing.url()).await.unwrap();
    assert!(soon(refused.read::<String>()).await.is_err());
    // They end apart.
    small.drain(Duration::ZERO).await;
    assert_eq!(soon(peer.read::<String>()).await.unwrap(), "old");
    let _later: Cap = soon(capnode::connect(&listener.url()).into_future()).await.unwrap();
}

#[tokio::test]
async fn the_last_choice_of_an_index_counts() {
    let refusing = || Node::builder().authorize(async |_| Err::<(), _>("not you"));
    let offers = refusing().index("all of it").build();
    let refuses = Node::builder().index("all of it").authorize(async |_| Err::<(), _>("not you")).build();
    let (_served, peer): (_, Cap) = in_memory(&offers, Dialect::CapnWeb).await;
    assert_eq!(soon(peer.read::<String>()).await.unwrap(), "all of it");
    let (_here, there) = capnode::transport::pair();
    assert_eq!(refuses.serve(there).await.unwrap_err().kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn authorization_may_call_the_peer_first() {
    #[capnode::interface]
    trait Guest {
        async fn password(&self) -> String;
    }

    struct Somebody(&'static str);

    impl Guest for Somebody {
        async fn password(&self) -> String {
            self.0.to_owned()
        }
    }

    let node = Node::builder()
        .authorize(|incoming: Incoming| async move {
            let guest: GuestClient = incoming.connection().index();
            match guest.password().await.as_deref() {
                Ok("swordfish") => Ok(tour::index()),
                Ok(_) => Err("wrong".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        })
        .build();
    let listener = node.listen("tcp://127.0.0.1:0").await.unwrap();
    let url = listener.url();
    let guest = |password| Node::new(GuestClient::new(Somebody(password)));

    // Calls before the decision wait, and keep their order.
    let tour: TourClient = guest("swordfish").connect(&url).await.unwrap();
    let counter = tour.counter().pipeline();
    let (text, first, second) =
        soon(async { tokio::join!(tour.transform("beep"), counter.next(), counter.next()) }).await;
    assert_eq!((text.unwrap(), first.unwrap(), second.unwrap()), ("BOOP".to_owned(), 1, 2));

    let tour: TourClient = guest("salmon").connect(&url).await.unwrap();
    let error = soon(tour.transform("beep")).await.unwrap_err();
    assert_eq!(error.message(), "the peer ended the session: wrong");
    let tour: TourClient = capnode::connect(&url).await.unwrap();
    let error = soon(tour.transform("beep")).await.unwrap_err();
    assert_eq!(error.message(), "the peer ended the session: This connection has no main object.");
}

#[tokio::test]
async fn a_decision_that_is_given_up_refuses() {
    let (one, other) = capnode::transport::pair();
    let node = Node::builder().authorize(|_| pending::<Result<(), Error>>()).build();
    let tour: TourClient = capnode::connect_over(other).await.unwrap();
    {
        let mut serving = pin!(node.serve(one));
        let mut asking = pin!(tour.transform("beep"));
        tokio::select! {
            served = &mut serving => panic!("{served:?}"),
            answer = &mut asking => panic!("{answer:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
    let error = soon(tour.transform("beep")).await.unwrap_err();
    let reason = "the peer ended the session: the connection was dropped before its index was decided";
    assert_eq!(error.message(), reason);
}

#[tokio::test]
async fn a_connecting_node_may_refuse_too() {
    let (one, other) = capnode::transport::pair();
    let server = Node::new(tour::index()).serve(one).await.unwrap();
    let node = Node::builder().authorize(|_| async { Err::<(), _>("not you") }).build();
    let error = node.connect_over::<TourClient>(other).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Refused, "not you"));
    assert_eq!(soon(server.closed()).await.message(), "the peer ended the session: not you");
}

// ------------------------------------------------------------------------------ both directions

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_offer_an_index() {
    for url in ["tcp://127.0.0.1:0", "ws://127.0.0.1:0"] {
        let (node, mut met) = meeting(tour::index());
        let listener = node.build().listen(url).await.unwrap();
        let shelf = Arc::new(Shelf::default());
        let client = Node::new(KeeperClient::from_arc(shelf.clone()));
        let tour: TourClient = client.connect(&listener.url()).await.unwrap();
        assert_eq!(tour.transform("beep").await.unwrap(), "BOOP");

        let incoming = soon(met.recv()).await.unwrap();
        let keeper: KeeperClient = incoming.connection().index();
        keeper.keep(|text: String| async move { text + "!" }).await.unwrap();
        assert_eq!(keeper.call("hello").await.unwrap().as_deref(), Some("hello!"));
        assert_eq!(shelf.kept().unwrap().call("there".to_owned()).await.unwrap(), "there!");
        keeper.give_back().await.unwrap();
        assert!(shelf.kept().is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_serves_many_and_each_has_what_is_its_own() {
    let node = Node::new(tour::index());
    let tcp = node.listen("tcp://127.0.0.1:0").await.unwrap();
    let ws = node.listen("ws://127.0.0.1:0").await.unwrap();
    let rounds: Vec<_> = (0..20u32)
        .map(|at| {
            let url = if at % 2 == 0 { tcp.url() } else { ws.url() };
            tokio::spawn(async move {
                let tour: TourClient = capnode::connect(&url).await.unwrap();
                let counter = tour.counter().await.unwrap();
                for expected in 1..=20 {
                    assert_eq!(counter.next().await.unwrap(), expected);
                }
                counter
            })
        })
        .collect();
    for round in rounds {
        assert_eq!(soon(round).await.unwrap().next().await.unwrap(), 21);
    }
}

#[tokio::test]
async fn a_reference_goes_from_one_connection_to_another() {
    let node = Node::new(tour::index());
    let listener = node.listen("tcp://127.0.0.1:0").await.unwrap();
    let one: TourClient = capnode::connect(&listener.url()).await.unwrap();
    let other: TourClient = capnode::connect(&listener.url()).await.unwrap();
    let counter = one.counter().await.unwrap();
    // The other connection's peer reaches it through us.
    let back = other.echo(Value::Cap(counter.clone().into())).await.unwrap();
    assert_eq!(back.as_cap(), Some(counter.cap()));
    let far = Func::<fn(String, String)>::from_cap(counter.cap().at("next"));
    other.on("tick", far).await.unwrap();
    assert_eq!(counter.next().await.unwrap(), 4);
}

// ------------------------------------------------------------------------------------ listeners

#[tokio::test]
async fn a_listener_says_where_it_listens() {
    let node = Node::new(tour::index());
    for (url, prefix, suffix) in [
        ("tcp://127.0.0.1:0", "tcp://127.0.0.1:", ""),
        ("ws://127.0.0.1:0", "ws://127.0.0.1:", "/"),
        ("ws://127.0.0.1:0/a/b", "ws://127.0.0.1:", "/a/b"),
    ] {
        let listener = node.listen(url).await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(address.ip().is_loopback() && address.port() != 0);
        assert_eq!(listener.url(), format!("{prefix}{}{suffix}", address.port()));
        let tour: TourClient = capnode::connect(&listener.url()).await.unwrap();
        assert_eq!(tour.transform("beep").await.unwrap(), "BOOP");
    }
}

#[tokio::test]
async fn a_closed_listener_accepts_nobody_and_its_connections_stay() {
    for drops in [false, true] {
        let listener = Node::new(tour::index()).listen("tcp://127.0.0.1:0").await.unwrap();
        let url = listener.url();
        let tour: TourClient = capnode::connect(&url).await.unwrap();
        assert_eq!(tour.transform("beep").await.unwrap(), "BOOP");
        if drops {
            drop(listener);
            // The socket is closed a moment later; a quicker peer is refused all the same.
            soon(async {
                while capnode::connect::<Connection>(&url).await.is_ok() {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        } else {
            listener.close().await;
        }
        let error = capnode::connect::<Connection>(&url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect);
        assert_eq!(tour.transform("still").await.unwrap(), "STILL");
        // The port is free again.
        let again = Node::new(tour::index()).listen(&url).await.unwrap();
        assert_eq!(again.url(), url);
    }
}

#[tokio::test]
async fn what_cannot_be_listened_on_is_said() {
    let node = Node::new(tour::index());
    let listener = node.listen("tcp://127.0.0.1:0").await.unwrap();
    let error = node.listen(&listener.url()).await.unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Connect, Fate::NotSent));
    assert_eq!(error.message(), format!("cannot listen on {}: {}", listener.url(), cause(&error)));
    assert!(cause(&error).contains("in use"), "{}", cause(&error));
    for url in ["", "127.0.0.1:5004", "ftp://127.0.0.1:0", "tcp://127.0.0.1", "ws://:0"] {
        let error = node.listen(url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect);
        assert!(error.message().starts_with(&format!("`{url}` is not an address: write ws://")), "{error}");
    }
}

// -------------------------------------------------------------------------------------- origins

/// A page of `origin` that opens a WebSocket, as this library's client and as npm's `ws` play it.
async fn page(url: &str, origin: &str) -> Result<String, ErrorKind> {
    let ours = match capnode::connect::<TourClient>(url).header("Origin", origin).await {
        Ok(tour) => Ok(tour.transform("beep").await.unwrap()),
        Err(error) => {
            assert_eq!(cause(&error), "the server answered 403 Forbidden");
            Err(error.kind())
        }
    };
    if js::ready() {
        let theirs = js::run("origin_client.mjs", &[url, origin]).await;
        assert_eq!(theirs.last(), if ours.is_ok() { "open" } else { "refused 403" }, "{origin}");
    }
    ours
}

async fn origins_at(url: &str) {
    let host = url.trim_start_matches("ws://").split('/').next().unwrap();
    assert_eq!(page(url, "https://evil.example").await, Err(ErrorKind::Refused));
    assert_eq!(page(url, "null").await, Err(ErrorKind::Refused));
    assert_eq!(page(url, &format!("http://{host}")).await.as_deref(), Ok("BOOP"));
    assert_eq!(page(url, "https://app.example").await.as_deref(), Ok("BOOP"));
    assert_eq!(page(url, "https://app.example.evil.example").await, Err(ErrorKind::Refused));
    // No page at all.
    let tour: TourClient = capnode::connect(url).await.unwrap();
    assert_eq!(tour.transform("beep").await.unwrap(), "BOOP");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_origins_are_refused_by_a_listener() {
    let node = Node::builder().index(tour::index()).allow_origin("https://app.example/").build();
    let listener = node.listen("ws://127.0.0.1:0").await.unwrap();
    origins_at(&listener.url()).await;
    let open = Node::builder().index(tour::index()).allow_origin("*").build();
    let open = open.listen("ws://127.0.0.1:0").await.unwrap();
    assert_eq!(page(&open.url(), "https://evil.example").await.as_deref(), Ok("BOOP"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_origins_are_refused_by_a_route() {
    let node = Node::builder().index(tour::index()).allow_origin("https://app.example").build();
    let app = axum::Router::new().route("/api", capnode::axum::route(node));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/api", listener.local_addr().unwrap());
    let serving = tokio::spawn(async { axum::serve(listener, app).await });
    origins_at(&url).await;
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_tells_the_node_who_comes() {
    let (node, mut met) = meeting(tour::index());
    let app =
        capnode::axum::router(node.build()).into_make_service_with_connect_info::<std::net::SocketAddr>();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async { axum::serve(listener, app).await });

    let connect = capnode::connect(&format!("ws://{address}")).header("X-Token", "secret");
    let tour: TourClient = connect.await.unwrap();
    assert_eq!(tour.transform("beep").await.unwrap(), "BOOP");
    let incoming = soon(met.recv()).await.unwrap();
    assert_eq!(incoming.header("x-token"), Some("secret"));
    assert!(incoming.address().unwrap().ip().is_loopback());
    incoming.connection().close();
    let error = soon(tour.transform("beep")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    serving.abort();
}

// ---------------------------------------------------------------------------------------- ends

#[tokio::test]
async fn a_closed_connection_ends_everything_on_both_sides_with_the_one_cause() {
    for ours in [true, false] {
        let (shelf, server, client) = kept().await;
        let keeper: KeeperClient = client.index();
        keeper.keep(|text: String| async move { text }).await.unwrap();
        let broken = Arc::<Mutex<Vec<String>>>::default();
        let noted = broken.clone();
        let _guard = keeper.cap().on_broken(move |error| noted.lock().unwrap().push(error.to_string()));
        let unused = broken.clone();
        drop(keeper.cap().on_broken(move |_| unused.lock().unwrap().push("an unregistered one".to_owned())));

        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let keeper = keeper.clone();
                tokio::spawn(async move { keeper.wait().await })
            })
            .collect();
        until("the calls run", || shelf.waits() == 3).await;
        let pipelined = keeper.wait().pipeline_cap();
        let lent_to_us = shelf.kept().unwrap();

        let (here, there) = ("the connection was closed", "the peer closed the connection");
        let (client_cause, server_cause) = if ours { (here, there) } else { (there, here) };
        if ours {
            client.close()
        } else {
            server.close()
        }
        assert_eq!(soon(server.closed()).await.message(), server_cause);
        for call in waiting {
            let error = soon(call).await.unwrap().unwrap_err();
            assert_eq!(error.message(), client_cause);
            assert_eq!((error.kind(), error.fate()), (ErrorKind::Disconnected, Fate::MayHaveRun));
        }
        // The handlers are cancelled, lent references are broken, nothing is left.
        until("the handlers are cancelled", || shelf.waits() == 0).await;
        let error = soon(lent_to_us.call("x".to_owned())).await.unwrap_err();
        assert_eq!((error.message(), error.fate()), (server_cause, Fate::NotSent));
        assert_eq!(soon(pipelined.read::<Value>()).await.unwrap_err().message(), client_cause);
        assert_eq!(soon(keeper.call("x")).await.unwrap_err().fate(), Fate::NotSent);
        assert_eq!(*broken.lock().unwrap(), [client_cause]);
        assert_eq!((server.tables(), client.tables()), (Tables::default(), Tables::default()));
        assert!(server.is_closed() && client.is_closed());
        // A later listener is told at once.
        let (late, mut told) = mpsc::unbounded_channel();
        let _guard = keeper.cap().on_broken(move |error| late.send(error.to_string()).unwrap());
        assert_eq!(told.recv().await.unwrap(), client_cause);
        assert_eq!(soon(client.closed()).await.message(), client_cause);
    }
}

#[tokio::test]
async fn a_connection_that_nobody_needs_closes_by_itself() {
    let (_, server, client) = kept().await;
    let keeper: KeeperClient = client.index();
    drop(client);
    assert_eq!(keeper.call("x").await.unwrap(), None);
    assert!(!server.is_closed());
    drop(keeper);
    assert_eq!(soon(server.closed()).await.message(), "the peer closed the connection");
}

#[tokio::test]
async fn a_connection_stays_while_it_is_held_itself() {
    let (_, server, client) = kept().await;
    drop(client.index::<KeeperClient>());
    let copy = client.clone();
    drop(client);
    assert_eq!(copy.index::<KeeperClient>().call("x").await.unwrap(), None);
    drop(copy);
    soon(server.closed()).await;
}

#[tokio::test]
async fn a_connection_stays_while_a_reference_is_held() {
    let listener = Node::new(tour::index()).listen("tcp://127.0.0.1:0").await.unwrap();
    let tour: TourClient = capnode::connect(&listener.url()).await.unwrap();
    let counter = tour.counter().await.unwrap();
    drop(tour);
    for expected in 1..=5 {
        assert_eq!(counter.next().await.unwrap(), expected);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_connection_stays_while_a_call_is_not_answered() {
    for sent in [false, true] {
        let (shelf, server, client) = kept().await;
        let keeper: KeeperClient = client.index();
        drop(client);
        let call = if sent {
            keeper.wait().send().unwrap();
            None
        } else {
            let call = keeper.wait();
            Some(tokio::spawn(call))
        };
        drop(keeper);
        until("the call runs", || shelf.waits() == 1).await;
        assert!(!server.is_closed());
        shelf.go.notify_one();
        if let Some(call) = call {
            assert_eq!(soon(call).await.unwrap().unwrap(), 7);
        }
        soon(server.closed()).await;
    }
}

#[tokio::test]
async fn a_connection_stays_while_an_unsent_call_is_held() {
    let (shelf, server, client) = kept().await;
    let call = client.index::<KeeperClient>().wait();
    drop(client);
    shelf.go.notify_one();
    assert_eq!(soon(call).await.unwrap(), 7);
    soon(server.closed()).await;
}

#[tokio::test]
async fn a_connection_stays_while_the_peer_holds_something_of_ours() {
    let alive = Arc::new(());
    let (shelf, server, client) = kept().await;
    let counted = alive.clone();
    let callback = move |text: String| {
        let _held = counted.clone();
        async move { text + "!" }
    };
    client.index::<KeeperClient>().keep(callback).await.unwrap();
    drop(client);
    // Nothing is left here but the calls of the peer.
    for _ in 0..3 {
        let answer = shelf.kept().unwrap().call("hello".to_owned()).await;
        assert_eq!(answer.unwrap(), "hello!");
        tokio::task::yield_now().await;
    }
    assert_eq!(Arc::strong_count(&alive), 2);
    shelf.give_back().await;
    soon(server.closed()).await;
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_it_is_dropped_it_closes() {
    // The last to hold a connection may be anywhere, at any time.
    let (node, mut met) = meeting(tour::index());
    let listener = node.build().listen("tcp://127.0.0.1:0").await.unwrap();
    for round in 0..200 {
        let connection: Connection = capnode::connect(&listener.url()).await.unwrap();
        let tour: TourClient = connection.index();
        if round % 3 == 0 {
            assert_eq!(tour.transform("beep").await.unwrap(), "BOOP");
        }
        let dropping = std::thread::spawn(move || drop(tour));
        if round % 2 == 0 {
            tokio::task::yield_now().await;
        }
        drop(connection);
        dropping.join().unwrap();
        let incoming = soon(met.recv()).await.unwrap();
        soon(incoming.connection().closed()).await;
    }
}

#[tokio::test]
async fn an_accepted_connection_stays_without_being_held() {
    let (one, other) = capnode::transport::pair();
    drop(Node::new(tour::index()).serve(one).await.unwrap());
    let tour: TourClient = capnode::connect_over(other).await.unwrap();
    assert_eq!(tour.transform("beep").await.unwrap(), "BOOP");
    let counter = tour.counter().await.unwrap();
    assert_eq!(counter.next().await.unwrap(), 1);
}

#[tokio::test]
async fn the_end_of_the_peers_runtime_ends_the_connection() {
    let listener = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            runtime.block_on(async {
                let listener = Node::new(tour::index()).listen("tcp://127.0.0.1:0").await.unwrap();
                tell.send(listener.url()).unwrap();
                stopped.await.unwrap();
            });
        });
        (told.recv().unwrap(), stop)
    });
    let (url, stop) = listener.join().unwrap();
    let connection: Connection = capnode::connect(&url).await.unwrap();
    assert_eq!(connection.index::<TourClient>().transform("beep").await.unwrap(), "BOOP");
    stop.send(()).unwrap();
    assert_eq!(soon(connection.closed()).await.kind(), ErrorKind::Disconnected);
}

// -------------------------------------------------------------------------------------- tables

#[tokio::test]
async fn tables_say_what_is_held() {
    let (shelf, server, client) = kept().await;
    let keeper: KeeperClient = client.index();
    let tables = |imports, exports, calls, running| {
        let mut tables = Tables::default();
        (tables.imports, tables.exports, tables.calls, tables.running) = (imports, exports, calls, running);
        tables
    };
    assert_eq!((client.tables(), server.tables()), (tables(0, 0, 0, 0), tables(0, 0, 0, 0)));
    keeper.keep(|text: String| async move { text }).await.unwrap();
    // The answer of the first call is there until the next message.
    assert_eq!((client.tables(), server.tables()), (tables(0, 1, 0, 0), tables(1, 1, 0, 0)));
    let waiting = tokio::spawn(keeper.wait());
    until("the call runs", || server.tables().running == 1).await;
    assert_eq!(client.tables().calls, 1);
    shelf.go.notify_one();
    assert_eq!(soon(waiting).await.unwrap().unwrap(), 7);
    assert_eq!((client.tables(), server.tables()), (tables(0, 1, 0, 0), tables(1, 0, 0, 0)));
    keeper.give_back().await.unwrap();
    until("all is given back", || client.tables() == tables(0, 0, 0, 0)).await;
    assert_eq!(server.tables(), tables(0, 0, 0, 0));
    assert!(format!("{client:?}").contains("exports: 0"), "{client:?}");
}

// ------------------------------------------------------------------------------------ on_broken

#[tokio::test]
async fn a_local_reference_never_breaks_and_a_promise_does_when_it_is_rejected() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let watch = |cap: &Cap| {
        let tell = tell.clone();
        cap.on_broken(move |error| tell.send(error.to_string()).unwrap())
    };
    let local = tour::index();
    let _local = watch(local.cap());
    let (promise, resolver) = CounterClient::promise();
    let _promise = watch(promise.cap());
    let (kept, kept_resolver) = CounterClient::promise();
    let _kept = watch(kept.cap());
    kept_resolver.resolve(local.counter().await.unwrap());
    assert!(told.try_recv().is_err());
    resolver.reject(Error::rejected("not today"));
    assert_eq!(told.recv().await.unwrap(), "not today");
    let broken = Cap::broken(Error::rejected("gone"));
    let _broken = watch(&broken);
    assert_eq!(told.try_recv().unwrap(), "gone");
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn a_promise_of_something_remote_breaks_with_its_connection() {
    let (_, server, client) = kept().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let (promise, resolver) = KeeperClient::promise();
    let _guard = promise.cap().on_broken(move |error| tell.send(error.to_string()).unwrap());
    resolver.resolve(client.index());
    assert_eq!(promise.call("x").await.unwrap(), None);
    assert!(told.try_recv().is_err());
    server.close();
    assert_eq!(soon(told.recv()).await.unwrap(), "the peer closed the connection");
}

// ----------------------------------------------------------------------------- connecting, errors

#[tokio::test]
async fn what_keeps_a_connection_from_being_made_is_said() {
    // A port that was free a moment ago.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for url in [format!("tcp://{gone}"), format!("ws://{gone}/")] {
        let error = capnode::connect::<TourClient>(&url).await.unwrap_err();
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Connect, Fate::NotSent));
        assert_eq!(error.message(), format!("cannot connect to {url}: {}", cause(&error)));
        assert!(cause(&error).contains("refused"), "{}", cause(&error));
    }
    for url in ["", "127.0.0.1", "ftp://127.0.0.1:1", "tcp://127.0.0.1", "ws://", "unix:"] {
        let error = capnode::connect::<TourClient>(url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect);
        let expected = format!(
            "`{url}` is not an address: write ws://host:port, wss://host:port, http://host:port, https://host:port, tcp://host:port or unix:/path"
        );
        assert_eq!(error.message(), expected);
    }
    let error = capnode::connect::<TourClient>("unix:/no/such/socket").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (
            ErrorKind::Connect,
            "cannot connect to unix:/no/such/socket: No such file or directory (os error 2)"
        )
    );
    let connect = capnode::connect::<TourClient>("ws://127.0.0.1:1").header("no name", "x");
    assert_eq!(connect.await.unwrap_err().kind(), ErrorKind::Connect);
}

#[tokio::test]
async fn a_server_that_is_no_web_socket_is_no_peer() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 mail.example ready\r\n").await.unwrap();
        }
    });
    let error = soon(capnode::connect::<TourClient>(&url).into_future()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::Connect, format!("cannot connect to {url}: {}", cause(&error)).as_str())
    );
    assert!(!cause(&error).is_empty());
    serving.abort();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_given_up() {
    // It takes the connection, and says nothing.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let error = capnode::connect::<TourClient>(&url).await.unwrap_err();
    assert_eq!(
        (error.kind(), cause(&error)),
        (ErrorKind::Connect, "the handshake took longer than 10 seconds")
    );
}

#[test]
fn without_a_runtime_it_is_an_error_and_no_panic() {
    const NO_RUNTIME: &str =
        "no tokio runtime on this thread: call it inside one, such as in `#[tokio::main]`";
    let (one, other) = capnode::transport::pair();
    let ready = |future: std::pin::Pin<&mut dyn Future<Output = Result<Connection, Error>>>| match future
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("not done"),
    };
    let error = ready(pin!(capnode::connect_over(other))).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unsupported, NO_RUNTIME));
    let node = Node::new(tour::index());
    let error = ready(pin!(node.serve(one))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    for url in ["tcp://127.0.0.1:1", "ws://127.0.0.1:1", "unix:/tmp/capnode-no-runtime"] {
        let error = ready(pin!(capnode::connect(url).into_future())).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Unsupported, NO_RUNTIME));
        let listening = pin!(node.listen(url)).poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(listening) = listening else { panic!("{url}: not done") };
        assert_eq!(listening.unwrap_err().kind(), ErrorKind::Unsupported, "{url}");
    }
    let wrapped = pin!(capnode::cap_wrap::<Connection>(1));
    assert_eq!(ready(wrapped).unwrap_err().kind(), ErrorKind::Unsupported);
    // There is nothing to wait for.
    let draining = pin!(node.drain(Duration::from_secs(1))).poll(&mut Context::from_waker(Waker::noop()));
    assert!(draining.is_ready());
}

#[test]
fn a_runtime_without_timers_is_an_error_and_no_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let unsupported = |error: Error| {
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("no timers"), "{error}");
    };
    runtime.block_on(async {
        let node = Node::new("index");
        for url in ["tcp://127.0.0.1:0", "ws://127.0.0.1:0", "unix:/tmp/capnode-no-timers"] {
            unsupported(node.listen(url).await.unwrap_err());
            unsupported(capnode::connect::<Cap>(url).await.unwrap_err());
        }
        let (one, other) = capnode::transport::pair();
        unsupported(node.serve(one).await.unwrap_err());
        unsupported(capnode::connect_over::<Cap>(other).await.unwrap_err());
        unsupported(capnode::cap_wrap::<Cap>(1).await.unwrap_err());
        let forever = Func::<fn() -> u32>::new(pending::<u32>);
        unsupported(forever.call().timeout(Duration::from_secs(1)).await.unwrap_err());
        assert_eq!(node.drain(Duration::from_secs(1)).await.connections, 0);
    });
}

#[test]
fn a_runtime_without_io_is_an_error_and_no_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    // It listens without a runtime, so that there is a peer to connect to.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    runtime.block_on(async {
        let node = Node::new("index");
        let path = std::env::temp_dir().join(format!("capnode-no-io-{}", std::process::id()));
        let unix = format!("unix:{}", path.display());
        for url in ["tcp://127.0.0.1:0", "ws://127.0.0.1:0", &unix] {
            let error = node.listen(url).await.unwrap_err();
            assert_eq!((error.kind(), cause(&error).contains("no I/O")), (ErrorKind::Unsupported, true));
        }
        for url in [format!("tcp://{address}"), format!("ws://{address}")] {
            let error = capnode::connect::<Cap>(&url).await.unwrap_err();
            assert_eq!((error.kind(), cause(&error).contains("no I/O")), (ErrorKind::Unsupported, true));
        }
        // Within the program all goes on.
        let wrapped: Cap = capnode::cap_wrap(7).await.unwrap();
        assert_eq!(wrapped.read::<u32>().await.unwrap(), 7);
    });
}

/// Wakes a thread.
struct Unpark(std::thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn a_node_is_drained_from_outside_its_runtime() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (shelf, _client, node) = runtime.block_on(async {
        let shelf = Arc::new(Shelf::default());
        let (one, other) = capnode::transport::pair();
        let node = Node::new(KeeperClient::from_arc(shelf.clone()));
        node.serve(one).await.unwrap();
        let client: KeeperClient = capnode::connect_over(other).await.unwrap();
        let running = client.wait();
        tokio::spawn(running);
        until("the call runs", || shelf.waits() == 1).await;
        (shelf, client, node)
    });
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut draining = pin!(node.drain(Duration::from_millis(50)));
    let drained = loop {
        match draining.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(drained) => break drained,
            Poll::Pending => std::thread::park(),
        }
    };
    assert_eq!((drained.connections, drained.cut), (1, 1));
    assert_eq!(shelf.waits(), 0);
}

// ------------------------------------------------------------------------------------- timeouts

#[tokio::test(start_paused = true)]
async fn a_call_has_as_much_time_as_it_is_given() {
    let (shelf, server, client) = kept().await;
    let keeper: KeeperClient = client.index();
    assert_eq!(keeper.call("x").timeout(Duration::from_secs(1)).await.unwrap(), None);

    let call = keeper.wait().timeout(Duration::from_secs(30));
    // The time begins when it is asked for.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let start = tokio::time::Instant::now();
    let error = tokio::time::timeout(Duration::from_secs(100), call).await.unwrap().unwrap_err();
    assert_eq!(start.elapsed().as_secs(), 30);
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::MayHaveRun));
    assert_eq!(error.message(), "no answer within 30s");
    // It is given up as if it had been dropped, and the connection goes on.
    until("the handler is cancelled", || shelf.waits() == 0).await;
    until("nothing is left of it", || server.tables().running == 0).await;
    assert_eq!(client.tables(), Tables::default());
    assert_eq!(keeper.call("x").await.unwrap(), None);

    // One with a typed error, and one that waits in a promise.
    let tour = tour::index();
    let never = tour.on("never", |_: String, _: String| pending()).timeout(Duration::from_secs(5));
    match never.await {
        Err(CallError::Failed(error)) => assert_eq!(error.kind(), ErrorKind::Timeout),
        other => panic!("{other:?}"),
    }
    let (promise, _resolver) = KeeperClient::promise();
    let error = promise.call("x").timeout(Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}
