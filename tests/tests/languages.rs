//! The common abilities of the three languages, and those of some, between Rust programs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capnode::{
    Bytes, Cap, Connection, Dialect, Error, ErrorKind, Fate, Func, Node, Object, Registry, Value, transport,
};
use capnode_examples::tour::{self, TourClient};
use capnode_tests::{Log, in_memory, js, limits, soon, until};
use serde_json::json;

const ALL: [Dialect; 3] = [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q];

/// A board on which each caller leaves a function for the next one.
#[capnode::interface]
trait Board {
    /// Calls the function on the board with `text`, and leaves `callback` there.
    async fn swap(&self, text: &str, callback: Func<fn(String) -> String>) -> String;
}

type Callback = Func<fn(String) -> String>;

#[derive(Default)]
struct Slot(Mutex<Option<Callback>>);

impl Board for Slot {
    async fn swap(&self, text: &str, callback: Func<fn(String) -> String>) -> String {
        let before = self.0.lock().unwrap().replace(callback);
        match before {
            Some(before) => before.call(text.to_owned()).await.unwrap_or_else(|error| error.to_string()),
            None => "nothing".to_owned(),
        }
    }
}

#[tokio::test]
async fn one_port_serves_three_languages_that_call_each_others_callbacks() {
    for address in ["ws://127.0.0.1:0", "tcp://127.0.0.1:0"] {
        let listener = Node::new(BoardClient::new(Slot::default())).listen(address).await.unwrap();
        let mut boards: Vec<(Dialect, BoardClient, Connection)> = Vec::new();
        for dialect in ALL {
            let connection: Connection = capnode::connect(&listener.url()).dialect(dialect).await.unwrap();
            boards.push((dialect, connection.index(), connection));
        }
        let mut expected = "nothing".to_owned();
        for round in 0..2 {
            for (dialect, board, _) in &boards {
                let dialect = *dialect;
                let said = board
                    .swap("hi", move |text: String| async move { format!("{dialect:?} {round} {text}") });
                assert_eq!(soon(said).await.unwrap(), expected);
                expected = format!("{dialect:?} {round} hi");
            }
        }
    }
}

#[tokio::test]
async fn the_peers_language_is_known_once_it_has_said_something() {
    for dialect in ALL {
        let (served, connection) = in_memory::<Connection>(&Node::new(tour::index()), dialect).await;
        let tour: TourClient = connection.index();
        assert_eq!(soon(tour.transform("beep")).await.unwrap(), "BOOP");
        assert_eq!(served.dialect(), Some(dialect));
        assert_eq!(connection.dialect(), Some(dialect));
    }
}

#[tokio::test]
async fn an_accepting_side_waits_with_what_it_has_to_say() {
    for dialect in ALL {
        let (there, here) = transport::pair();
        let served = Node::empty().serve(there).await.unwrap();
        let tour: TourClient = served.index();
        let waiting = tokio::spawn(async move { tour.transform("beep").await });
        let connection: Connection =
            Node::builder().index(tour::index()).dialect(dialect).build().connect_over(here).await.unwrap();
        // The connecting side sends the first frame.
        let _asked = connection.index::<Cap>().read::<Value>().await;
        assert_eq!(soon(waiting).await.unwrap().unwrap(), "BOOP", "{dialect:?}");
    }
}

#[tokio::test]
async fn an_accepting_side_that_was_given_the_language_speaks_first() {
    for dialect in ALL {
        let (there, here) = transport::pair();
        let served = Node::builder().dialect(dialect).build().serve(there).await.unwrap();
        let connecting = Node::builder().index(tour::index()).dialect(dialect).build();
        let _connection: Connection = connecting.connect_over(here).await.unwrap();
        let tour: TourClient = served.index();
        assert_eq!(soon(tour.transform("beep")).await.unwrap(), "BOOP", "{dialect:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_given_up_and_what_was_to_be_said_was_not_sent() {
    let (there, _here) = transport::pair();
    let served = Node::empty().serve(there).await.unwrap();
    let error = served.index::<TourClient>().transform("beep").await.unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::NotSent), "{error}");
    assert_eq!(served.closed().await.kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn what_a_handler_reports_reaches_the_caller_in_q_and_in_this_program() {
    #[capnode::interface]
    trait Worker {
        async fn work(&self) -> String;
    }

    struct Works;

    impl Worker for Works {
        async fn work(&self) -> String {
            let mut heard = Vec::new();
            for percent in [10, 50, 90] {
                tokio::task::yield_now().await;
                heard.push(capnode::report_progress(&percent).unwrap());
            }
            format!("{heard:?}")
        }
    }

    async fn run(worker: WorkerClient) -> (Result<String, Error>, Vec<u32>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sees = seen.clone();
        let done = worker.work().on_progress(move |percent: u32| sees.lock().unwrap().push(percent)).await;
        let seen = seen.lock().unwrap().clone();
        (done, seen)
    }

    let worker = WorkerClient::new(Works);
    let (done, seen) = run(worker.clone()).await;
    assert_eq!((done.unwrap().as_str(), seen), ("[true, true, true]", vec![10, 50, 90]));
    for dialect in ALL {
        let (_served, connection) = in_memory::<Connection>(&Node::new(worker.clone()), dialect).await;
        let (done, seen) = soon(run(connection.index())).await;
        if dialect == Dialect::Q {
            assert_eq!((done.unwrap().as_str(), seen), ("[true, true, true]", vec![10, 50, 90]));
            continue;
        }
        // The others have no word for it, and the call says so.
        let error = done.unwrap_err();
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Unsupported, Fate::NotSent), "{dialect:?}");
        assert!(error.message().contains("progress"), "{error}");
        assert!(seen.is_empty());
        // A caller that does not ask for it is answered, and the method learns that its reports go nowhere.
        let worker: WorkerClient = connection.index();
        assert_eq!(soon(worker.work().into_future()).await.unwrap(), "[false, false, false]");
    }
}

#[tokio::test]
async fn an_object_put_together_at_run_time_is_used_as_far_as_its_owner_allows() {
    let object = Object::new()
        .with("name", "ann")
        .with("double", Func::<fn(u32) -> u32>::new(|x: u32| async move { 2 * x }))
        .with_writable("mood", "fine")
        .open();
    let (_served, connection) = in_memory::<Connection>(&Node::new(&object), Dialect::Q).await;
    let theirs: Cap = connection.index();
    assert_eq!(theirs.keys().await.unwrap(), ["name", "double", "mood"]);
    assert_eq!(theirs.get::<String>("name").await.unwrap(), "ann");
    assert_eq!(theirs.invoke::<u32>("double", (4,)).await.unwrap(), 8);
    theirs.put("mood", vec![1, 2]).await.unwrap();
    assert_eq!(object.get::<Vec<u32>>("mood").unwrap(), [1, 2]);
    theirs.put("new", Value::Null).await.unwrap();
    theirs.delete("mood").await.unwrap();
    assert_eq!(object.names(), ["name", "double", "new"]);
    for refused in [theirs.put("name", "bob"), theirs.delete("double")] {
        let error = soon(refused).await.unwrap_err();
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Rejected, Fate::Answered), "{error}");
    }
    let error = theirs.put("__proto__", 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(object.names(), ["name", "double", "new"]);

    // To Capnode it is a record, and Cap'n Web has no words for changes.
    let (_served, connection) = in_memory::<Connection>(&Node::new(&object), Dialect::Capnode).await;
    assert_eq!(connection.index::<Cap>().get::<String>("name").await.unwrap(), "ann");
    assert_eq!(connection.index::<Cap>().invoke::<u32>("double", (4,)).await.unwrap(), 8);
    let (_served, connection) = in_memory::<Connection>(&Node::new(&object), Dialect::CapnWeb).await;
    assert_eq!(connection.index::<Cap>().get::<String>("name").await.unwrap(), "ann");
    let error = connection.index::<Cap>().put("name", 1).await.unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Unsupported, Fate::NotSent));
}

#[tokio::test]
async fn a_capnode_id_is_valid_on_every_connection_of_the_node_for_as_long_as_one_holds_it() {
    let held = Arc::new(());
    let inside = held.clone();
    let function = Func::<fn() -> u32>::new(move || {
        let _held = &inside;
        async { 7 }
    });
    let registry = Registry::default();
    let node = Node::builder().registry(&registry).build();
    let registered = registry.register(function);
    let id = registered.id().to_owned();
    assert_eq!(id.len(), 32, "{id}");

    let (_one, here) = in_memory::<Connection>(&node, Dialect::Capnode).await;
    let (_two, there) = in_memory::<Connection>(&node, Dialect::Capnode).await;
    let call = |cap: &Cap| soon(cap.apply::<u32>(()).into_future());
    use std::future::IntoFuture;
    let first = here.reconstruct(&id).unwrap();
    assert_eq!(call(&first).await.unwrap(), 7);
    assert_eq!(here.id_of(&first), Some(id.clone()));
    assert_eq!(registry.len(), 1);
    // It is held by the connection that has used it, and can be used on the other.
    drop(registered);
    assert_eq!(Arc::strong_count(&held), 2);
    let second = there.reconstruct(&id).unwrap();
    assert_eq!(call(&second).await.unwrap(), 7);
    here.close();
    soon(here.closed()).await;
    assert_eq!(call(&second).await.unwrap(), 7);
    there.close();
    until("nobody holds it", || Arc::strong_count(&held) == 1).await;

    // Its id is unknown from now on, and a caller is told so.
    let (_three, late) = in_memory::<Connection>(&node, Dialect::Capnode).await;
    let error = call(&late.reconstruct(&id).unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Rejected, Fate::Answered), "{error}");
    // Elsewhere there are no such ids.
    let (_four, other) = in_memory::<Connection>(&node, Dialect::Q).await;
    assert_eq!(other.reconstruct(&id).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn an_object_under_several_ids_is_held_by_none_of_them_when_all_are_gone() {
    let registry = Registry::default();
    let node = Node::builder().registry(&registry).build();
    let held = Arc::new(());
    let inside = held.clone();
    let function = Func::<fn() -> u32>::new(move || {
        let _held = &inside;
        async { 7 }
    });
    let first = registry.register(function.clone());
    let second = registry.register_as("another id that nobody guesses", function).unwrap();
    let ids = [first.id().to_owned(), second.id().to_owned()];

    let (_one, here) = in_memory::<Connection>(&node, Dialect::Capnode).await;
    let (_two, there) = in_memory::<Connection>(&node, Dialect::Capnode).await;
    for connection in [&here, &there] {
        for id in &ids {
            assert_eq!(soon(connection.reconstruct(id).unwrap().apply::<u32>(())).await.unwrap(), 7);
        }
    }
    // Each connection holds both.
    drop((first, second));
    for id in &ids {
        assert_eq!(soon(here.reconstruct(id).unwrap().apply::<u32>(())).await.unwrap(), 7);
    }
    for connection in [here, there] {
        assert_eq!(registry.len(), 2);
        connection.close();
        soon(connection.closed()).await;
    }
    until("no id stands for anything", || registry.is_empty()).await;
    until("nobody holds the function", || Arc::strong_count(&held) == 1).await;
}

#[tokio::test]
async fn private_ids_are_valid_on_one_connection_only() {
    let registry = Registry::default();
    let function = registry.register(Func::<fn() -> u32>::new(|| async { 7 }));
    let node = Node::builder().registry(&registry).private_ids().build();
    let (_served, connection) = in_memory::<Connection>(&node, Dialect::Capnode).await;
    let error = soon(connection.reconstruct(function.id()).unwrap().apply::<u32>(())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
}

#[tokio::test]
async fn a_peer_that_never_gives_back_is_forgotten_what_it_has_not_used_for_longest() {
    #[capnode::interface]
    trait Maker {
        async fn make(&self, number: u32) -> Func<fn() -> u32>;
    }

    struct Makes;

    impl Maker for Makes {
        async fn make(&self, number: u32) -> Func<fn() -> u32> {
            Func::new(move || async move { number })
        }
    }

    let lost = Arc::new(Mutex::new(Vec::new()));
    let note = lost.clone();
    let node = Node::builder()
        .index(MakerClient::new(Makes))
        .limits(limits(|limits| limits.exports = 3))
        .on_message_lost(move |message| note.lock().unwrap().push(message.id))
        .build();
    let (served, connection) = in_memory::<Connection>(&node, Dialect::Q).await;
    let maker: MakerClient = connection.index();
    let mut made = Vec::new();
    for number in 0..3 {
        made.push(soon(maker.make(number)).await.unwrap());
    }
    // The first is used once more, so that the second is the oldest.
    assert_eq!(soon(made[0].call()).await.unwrap(), 0);
    made.push(soon(maker.make(3)).await.unwrap());
    // The excess is looked for when a frame arrives.
    assert_eq!(soon(made[3].call()).await.unwrap(), 3);
    let error = soon(made[1].call()).await.unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Rejected, Fate::Answered), "{error}");
    assert_eq!(soon(made[0].call()).await.unwrap(), 0);
    assert_eq!(served.tables().evicted, 1);
    assert_eq!(lost.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_reason_for_closing_reaches_every_pending_call() {
    for dialect in ALL {
        let (_served, connection) = in_memory::<Connection>(&Node::new(tour::index()), dialect).await;
        let tour: TourClient = connection.index();
        let called = Arc::new(AtomicUsize::new(0));
        let counts = called.clone();
        let waiting = tokio::spawn(async move {
            tour.on("slow", move |_: String, _: String| {
                counts.fetch_add(1, Ordering::SeqCst);
                std::future::pending::<()>()
            })
            .await
        });
        until("the callback is called", || called.load(Ordering::SeqCst) == 1).await;
        connection.close_because("the link is down");
        let error = soon(waiting).await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the link is down", "{dialect:?}");
    }
}

#[tokio::test]
async fn a_nickname_is_in_what_the_connection_says_of_itself() {
    let (there, here) = transport::pair();
    let _served = Node::new(tour::index()).serve(there).await.unwrap();
    let connection: Connection =
        Node::builder().nickname("the kitchen").build().connect_over(here).await.unwrap();
    assert!(format!("{connection:?}").contains("the kitchen"), "{connection:?}");
    connection.close();
    let error = soon(connection.closed()).await;
    assert_eq!(error.to_string(), "the kitchen: the connection was closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_in_all_three_languages_share_one_port() {
    if !js::ready() {
        return;
    }
    for transport in ["ws", "tcp"] {
        let listener = Node::new(tour::index()).listen(&format!("{transport}://127.0.0.1:0")).await.unwrap();
        let url = listener.url();
        let connect = ["--connect", url.as_str(), "--server", "rust"];
        let capnode = js::run("capnode/tour_client.mjs", &connect);
        let q = js::run("q/tour_client.mjs", &connect);
        let only = [url.as_str(), "--only", "on:", "--only", "counter"];
        let capnweb = js::run("tour_client.mjs", &only);
        let (one, two, three) = tokio::join!(capnode, q, capnweb);
        for tour in [one, two, three] {
            tour.assert_passed(1);
        }
    }
}

#[tokio::test]
async fn a_cycle_is_the_whole_result_of_a_call() {
    let function = Func::<fn() -> Value>::new(|| async {
        let mut graph = capnode::value::GraphBuilder::new();
        let node = graph.node();
        graph.set(&node, &Value::from([("self", node.clone().into())])).unwrap();
        graph.finish(node).unwrap()
    });
    for dialect in [Dialect::Capnode, Dialect::Q] {
        let (_served, connection) = in_memory::<Connection>(&Node::new(&function), dialect).await;
        let back: Value = soon(connection.index::<Cap>().apply(())).await.unwrap();
        let itself = back.member("self").unwrap();
        assert_eq!(itself.member("self"), Some(itself), "{dialect:?}");
    }
}

#[tokio::test]
async fn what_is_in_the_index_is_not_forgotten() {
    let make = Func::<fn(u32) -> Func<fn() -> u32>>::new(|number: u32| async move {
        Func::<fn() -> u32>::new(move || async move { number })
    });
    let other = Func::<fn() -> u32>::new(|| async { 7 });
    let index = Object::new().with("make", make).with("other", other);
    let node = Node::new(index).limits(limits(|limits| limits.exports = 2));
    let (served, connection) = in_memory::<Connection>(&node, Dialect::Capnode).await;
    let peer: Value = soon(connection.index::<Cap>().read()).await.unwrap();
    let peer = Cap::holding(&peer).unwrap();
    let mut made = Vec::new();
    for number in 0..6 {
        made.push(soon(peer.invoke::<Cap>("make", (number,))).await.unwrap());
    }
    assert_eq!(soon(peer.invoke::<u32>("other", ())).await.unwrap(), 7);
    assert_eq!(soon(made[5].apply::<u32>(())).await.unwrap(), 5);
    assert!(soon(made[0].apply::<u32>(())).await.is_err());
    assert_eq!(served.tables().evicted, 4);
}

#[tokio::test]
async fn what_a_handler_says_is_in_the_span_of_its_connection() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let talks = Func::<fn()>::new(|| async {
        tracing::info!("at once");
        tokio::task::yield_now().await;
        tracing::info!("later");
    });
    let (_served, peer): (_, Cap) =
        in_memory(&Node::builder().index(talks).nickname("the kitchen").build(), Dialect::CapnWeb).await;
    soon(peer.apply::<()>(())).await.unwrap();
    let text = log.text();
    for said in ["at once", "later"] {
        let line = text.lines().find(|line| line.contains(said)).unwrap_or_else(|| panic!("{text}"));
        assert!(line.contains("connection{nickname=\"the kitchen\"}"), "{line}");
    }
}

#[tokio::test]
async fn texts_are_found_in_a_byte_stream_however_it_is_cut() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let node = Node::new(Func::<fn(String) -> usize>::new(|text: String| async move { text.len() }));
    let (mut stream, there) = tokio::io::duplex(1 << 20);
    let _served = node.serve(transport::lines(there)).await.unwrap();
    let mut read = String::new();
    let mut buffer = vec![0; 1 << 16];
    let text = |reply: &str, argument: &str| {
        format!(
            r#"{{"type":"invocation","methodId":"ID","replyId":"{reply}","arguments":{{"links":[["{argument}"]],"value":{{"type":2,"id":0}}}}}}"#
        )
    };
    stream.write_all(br#"{"type":"index","methodId":"i"}"#).await.unwrap();
    let mut id = None;
    let mut sent = false;
    let long = "x".repeat(200_000);
    loop {
        let size = soon(stream.read(&mut buffer)).await.unwrap();
        read.push_str(std::str::from_utf8(&buffer[..size]).unwrap());
        if id.is_none() {
            id =
                read.split(r#""links":[""#).nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned);
        }
        if let (Some(id), false) = (&id, sent) {
            sent = true;
            // Two in one chunk, with nothing between.
            let two = format!("{}{}", text("one", "ab"), text("two", "abc")).replace("ID", id);
            stream.write_all(two.as_bytes()).await.unwrap();
            // One in three, cut within a character, with white space before it.
            let three = format!(" \n{}", text("three", "aé🙂")).replace("ID", id);
            let bytes = three.as_bytes();
            let within = bytes.iter().position(|byte| *byte == 0xf0).unwrap() + 2;
            for part in [&bytes[..20], &bytes[20..within], &bytes[within..]] {
                stream.write_all(part).await.unwrap();
                stream.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
            // One that is longer than any segment.
            stream.write_all(text("four", &long).replace("ID", id).as_bytes()).await.unwrap();
        }
        if read.contains("four") {
            break;
        }
    }
    for (reply, length) in [("one", 2), ("two", 3), ("three", 7), ("four", 200_000)] {
        let answer =
            format!(r#"{{"type":"return","methodId":"{reply}","value":{{"links":[],"value":{length}}}}}"#);
        assert!(read.contains(&answer), "{read}");
    }
}

#[tokio::test]
async fn bytes_are_numbers_where_a_language_has_no_words_for_them() {
    let echo = Func::<fn(Bytes) -> Bytes>::new(|bytes: Bytes| async move { bytes });
    for dialect in ALL {
        let (_served, connection) =
            in_memory::<Connection>(&Node::new(Object::new().with("echo", echo.clone())), dialect).await;
        let bytes = Bytes::from(vec![0, 127, 255]);
        assert_eq!(
            connection.index::<Cap>().invoke::<Bytes>("echo", (bytes.clone(),)).await.unwrap(),
            bytes,
            "{dialect:?}"
        );
        let no_byte = connection.index::<Cap>().invoke::<Bytes>("echo", ([256],)).await.unwrap_err();
        assert_eq!(no_byte.kind(), ErrorKind::Rejected, "{dialect:?}");
    }
}

/// The index of a program that makes functions of functions: each holds the one that it calls.
fn wrapping(count: &Arc<()>) -> Object {
    let count = count.clone();
    let wrap = move |inner: Func<fn() -> u32>| {
        let count = count.clone();
        let wrapped = Func::<fn() -> u32>::new(move || {
            let (inner, _held) = (inner.clone(), &count);
            async move { inner.call().await.unwrap() + 1 }
        });
        async move { wrapped }
    };
    Object::new().with("wrap", Func::<fn(Func<fn() -> u32>) -> Func<fn() -> u32>>::new(wrap))
}

/// A function of a Capnode peer's is kept for a while when it is dropped. Each of a chain would be, one after the other.
#[tokio::test(start_paused = true)]
async fn a_chain_over_capnode_is_given_back_in_one_sweep() {
    let count = Arc::new(());
    let (served, connection) = in_memory::<Connection>(&Node::new(wrapping(&count)), Dialect::Capnode).await;
    let (there, here) = (connection.index::<Cap>(), wrapping(&count).cap());
    let mut head = Func::<fn() -> u32>::new(|| async { 0 });
    let before = Arc::strong_count(&count);
    for _ in 0..50 {
        for side in [&there, &here] {
            head = side.invoke("wrap", (head,)).await.unwrap();
        }
    }
    assert_eq!(head.call().await.unwrap(), 100);
    assert_eq!(Arc::strong_count(&count), before + 100);
    let dropped = tokio::time::Instant::now();
    drop(head);
    until("all of it is gone", || Arc::strong_count(&count) == before).await;
    // The time is not that of a clock: it passes only where something waits for it.
    assert!(dropped.elapsed() < Duration::from_secs(1), "{:?}", dropped.elapsed());
    assert!(!served.is_closed());
}

/// A sender of `dealloc` by hand may reuse at once what it frees, unless it declares that it has waited.
#[tokio::test(start_paused = true)]
async fn what_a_dealloc_frees_is_kept_for_a_while_unless_its_sender_has_waited() {
    let (to_node, incoming) = tokio::sync::mpsc::unbounded_channel();
    let (outgoing, mut from_node) = tokio::sync::mpsc::unbounded_channel();
    let node = Node::builder().index(wrapping(&Arc::new(()))).dialect(Dialect::Capnode).build();
    let _served = node.serve(transport::channels(outgoing, incoming)).await.unwrap();
    let say = |message: serde_json::Value| to_node.send(message.to_string()).unwrap();
    say(json!({"type": "index", "methodId": "i"}));
    let hear = async |from_node: &mut tokio::sync::mpsc::UnboundedReceiver<String>| {
        let frame = from_node.recv().await.unwrap();
        serde_json::from_str::<serde_json::Value>(&frame).unwrap()
    };
    let wrap = hear(&mut from_node).await["value"]["links"][1].clone();
    let arguments = json!({"links": ["f", [{"type": 1, "id": 0}]], "value": {"type": 2, "id": 1}});
    let lend = || {
        say(
            json!({"type": "invocation", "methodId": wrap.clone(), "replyId": "r", "arguments": arguments.clone()}),
        )
    };
    lend();
    let mut wrapped = hear(&mut from_node).await["value"]["links"][0].clone();
    for _ in 0..3 {
        say(json!({"type": "dealloc", "methodId": wrapped.clone(), "replyId": "d"}));
        assert_eq!(hear(&mut from_node).await, json!({"type": "return", "methodId": "d"}));
        lend();
        wrapped = hear(&mut from_node).await["value"]["links"][0].clone();
        assert!(wrapped.is_string(), "the function is not given back");
    }

    let now = tokio::time::Instant::now();
    say(json!({"type": "dealloc", "methodId": wrapped.clone(), "replyId": "d", "capnode:late": true}));
    assert_eq!(hear(&mut from_node).await, json!({"type": "return", "methodId": "d"}));
    let freed = hear(&mut from_node).await;
    assert_eq!((&freed["type"], &freed["methodId"]), (&json!("dealloc"), &json!("f")));
    // And so is every reference freed by that.
    assert_eq!(freed["capnode:late"], true);
    assert_eq!(now.elapsed(), Duration::ZERO);
}

#[test]
fn a_language_is_written_as_it_is_read() {
    for dialect in [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q] {
        assert_eq!(dialect.to_string().parse::<Dialect>().unwrap(), dialect);
    }
}
