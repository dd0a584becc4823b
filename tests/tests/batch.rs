//! HTTP batches: sessions whose frames are the lines of a request's body and of its answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use capnode::{ErrorKind, Fate, Func, Limits, Node};
use capnode_tests::soon;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

#[capnode::interface]
trait Desk {
    async fn add(&self, a: i64, b: i64) -> i64;
    async fn long(&self, length: usize) -> String;
    async fn desk(&self) -> DeskClient;
    /// Ends when it is dropped.
    async fn wait(&self);
    /// Calls back, and awaits the answer.
    async fn ask(&self, back: Func<fn(i64) -> i64>) -> Result<i64, capnode::Error>;
    /// Calls back, and awaits nothing.
    async fn tell(&self, back: Func<fn(i64) -> i64>);
}

/// A desk that says which of its methods begin and end.
#[derive(Clone)]
struct Here(UnboundedSender<&'static str>);

struct Said(UnboundedSender<&'static str>, &'static str);

impl Drop for Said {
    fn drop(&mut self) {
        let _unheard = self.0.send(self.1);
    }
}

impl Desk for Here {
    async fn add(&self, a: i64, b: i64) -> i64 {
        let _unheard = self.0.send("add");
        a + b
    }

    async fn long(&self, length: usize) -> String {
        "x".repeat(length)
    }

    async fn desk(&self) -> DeskClient {
        DeskClient::new(self.clone())
    }

    async fn wait(&self) {
        let _unheard = self.0.send("wait");
        let _said = Said(self.0.clone(), "cancelled");
        std::future::pending::<()>().await;
    }

    async fn ask(&self, back: Func<fn(i64) -> i64>) -> Result<i64, capnode::Error> {
        let error = back.call(1).await.unwrap_err();
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Unsupported, Fate::NotSent));
        tokio::task::yield_now().await;
        // Not even later.
        back.call(2).await
    }

    async fn tell(&self, back: Func<fn(i64) -> i64>) {
        back.call(7).send().unwrap();
    }
}

/// A node with a desk, and its listeners: one of its own, and a route of axum.
struct Served {
    node: Node,
    said: tokio::sync::mpsc::UnboundedReceiver<&'static str>,
    listener: capnode::Listener,
    routed: SocketAddr,
}

async fn serve(limits: Limits) -> Served {
    let (say, said) = unbounded_channel();
    let node = Node::builder()
        .index(DeskClient::new(Here(say)))
        .limits(limits)
        .allow_origin("https://app.example")
        .build();
    let listener = node.listen("http://127.0.0.1:0/api").await.unwrap();
    let app = axum::Router::new().route("/api", capnode::axum::route(node.clone()));
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let routed = socket.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async { axum::serve(socket, app).await });
    Served { node, said, listener, routed }
}

impl Served {
    fn addresses(&self) -> [SocketAddr; 2] {
        [self.listener.local_addr().unwrap(), self.routed]
    }
}

/// An answer in HTTP: its status, its head in lower case, and its body.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// Reads an answer with its body.
async fn answer(stream: &mut TcpStream) -> Answer {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                assert_eq!(body.len(), length, "{text}");
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                return Answer { status, head, body: body.to_owned() };
            }
        }
        assert_ne!(soon(stream.read_buf(&mut read)).await.unwrap(), 0, "{}", String::from_utf8_lossy(&read));
    }
}

fn request(method: &str, headers: &str, body: &str) -> String {
    format!(
        "{method} /api HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn open(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn post(address: SocketAddr, body: &str) -> Answer {
    answer(&mut open(address, &request("POST", "", body)).await).await
}

const ADD: &str = r#"["push",["pipeline",0,["add"],[1,2]]]"#;
const PULL: &str = r#"["pull",1]"#;

#[tokio::test]
async fn a_body_is_answered_by_a_body() {
    let served = serve(Limits::default()).await;
    let simple = format!("{ADD}\n{PULL}");
    for address in served.addresses() {
        for (body, answered) in [
            ("", ""),
            (ADD, ""),
            (&simple, r#"["resolve",1,3]"#),
            (&format!("{ADD}\r\n{PULL}"), r#"["resolve",1,3]"#),
            (&format!("[\"release\",0,0]\n{simple}"), r#"["resolve",1,3]"#),
            (&format!("{simple}\n[\"release\",1,1]"), r#"["resolve",1,3]"#),
            (r#"["stream",["pipeline",0,["add"],[1,2]]]"#, r#"["resolve",1,3]"#),
            (
                concat!(
                    r#"["push",["pipeline",0,["desk"],[]]]"#,
                    "\n",
                    r#"["push",["pipeline",1,["add"],[1,["pipeline",3]]]]"#,
                    "\n",
                    r#"["push",["pipeline",0,["add"],[2,3]]]"#,
                    "\n",
                    r#"["pull",2]"#
                ),
                r#"["reject",2,["error","Error","no such entry on exports table: 3"]]"#,
            ),
            (
                concat!(
                    r#"["push",["pipeline",0,["desk"],[]]]"#,
                    "\n",
                    r#"["push",["pipeline",0,["add"],[2,3]]]"#,
                    "\n",
                    r#"["push",["pipeline",1,["add"],[1,["pipeline",2]]]]"#,
                    "\n",
                    r#"["pull",3]"#
                ),
                r#"["resolve",3,6]"#,
            ),
            (r#"["pull",9]"#, r#"["reject",9,["error","Error","no such export ID: 9"]]"#),
        ] {
            let answer = post(address, body).await;
            assert_eq!((answer.status, answer.body.as_str()), (200, answered), "{body}");
        }
    }
}

#[tokio::test]
async fn a_broken_body_is_answered_by_an_abort() {
    let served = serve(Limits::default()).await;
    for address in served.addresses() {
        for (body, says) in [
            (format!("{ADD}\n\n{PULL}"), "the message ends"),
            (format!("{ADD}\n{PULL}\n"), "the message ends"),
            ("\n".to_owned(), "the message ends"),
            ("hello".to_owned(), "there should be a message"),
            ("\u{feff}".to_owned(), "there should be a message"),
            (format!("{ADD}\n[\"launch\"]"), "unknown message"),
        ] {
            let answer = post(address, &body).await;
            assert_eq!(answer.status, 200, "{body:?}");
            let last = answer.body.lines().next_back().unwrap_or_default();
            assert!(last.starts_with(r#"["abort",["error","#) && last.contains(says), "{body:?}: {last}");
        }
        let abort = post(address, &format!("[\"abort\",[\"error\",\"Error\",\"x\"]]\n{ADD}\n{PULL}")).await;
        assert_eq!((abort.status, abort.body.as_str()), (503, "The batch has ended without an answer.\n"));
    }
}

#[tokio::test]
async fn a_batch_is_sent_by_post_and_by_pages_that_may() {
    let mut served = serve(Limits::default()).await;
    let body = format!("{ADD}\n{PULL}");
    for address in served.addresses() {
        while served.said.try_recv().is_ok() {}
        for (host, origin, status) in [
            ("evil.example", Some("http://evil.example"), 403),
            ("evil.example", None, 403),
            ("localhost", Some("https://evil.example"), 403),
            ("localhost", Some("null"), 403),
        ] {
            let origin = origin.map_or_else(String::new, |origin| format!("Origin: {origin}\r\n"));
            let text = request("POST", &origin, &body).replace("localhost", host);
            let answer = answer(&mut open(address, &text).await).await;
            assert_eq!(answer.status, status, "{text}");
            assert!(!answer.head.contains("access-control"), "{answer:?}");
        }
        // None of them has called.
        assert!(served.said.try_recv().is_err());

        let same = format!("Origin: http://{address}\r\n");
        let text = request("POST", &same, &body).replace("localhost", &address.to_string());
        let answered = answer(&mut open(address, &text).await).await;
        assert_eq!((answered.status, answered.body.as_str()), (200, r#"["resolve",1,3]"#));
        assert!(!answered.head.contains("access-control"), "{answered:?}");

        let listed = "Origin: https://app.example\r\n";
        let answered = answer(&mut open(address, &request("POST", listed, &body)).await).await;
        assert_eq!((answered.status, answered.body.as_str()), (200, r#"["resolve",1,3]"#));
        assert!(
            answered.head.contains("\r\naccess-control-allow-origin: https://app.example"),
            "{answered:?}"
        );
        assert!(answered.head.contains("\r\nvary: origin"), "{answered:?}");

        let asking =
            "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n";
        let answered =
            answer(&mut open(address, &request("OPTIONS", &format!("{listed}{asking}"), "")).await).await;
        assert_eq!(answered.status, 204, "{answered:?}");
        for header in ["origin: https://app.example", "methods: post", "headers: authorization"] {
            assert!(answered.head.contains(&format!("\r\naccess-control-allow-{header}")), "{answered:?}");
        }
        for method in ["OPTIONS", "PUT", "DELETE"] {
            let answered = answer(&mut open(address, &request(method, "", "")).await).await;
            assert_eq!(answered.status, 405, "{answered:?}");
            assert!(answered.head.contains("\r\nallow: get, post"), "{answered:?}");
            assert!(answered.body.contains("sent by POST"), "{answered:?}");
        }
        let answered = answer(&mut open(address, &request("GET", "", "")).await).await;
        assert_eq!(answered.status, 426, "{answered:?}");
        let elsewhere = request("POST", "", "").replace("/api", "/other");
        assert_eq!(answer(&mut open(address, &elsewhere).await).await.status, 404);
    }
}

#[tokio::test]
async fn several_batches_and_a_web_socket_have_one_address() {
    let served = serve(Limits::default()).await;
    for address in served.addresses() {
        // Each is a session of its own, with the same ids.
        let mut stream = open(address, &request("POST", "", &format!("{ADD}\n{PULL}"))).await;
        assert_eq!(answer(&mut stream).await.body, r#"["resolve",1,3]"#);
        stream.write_all(request("POST", "", &format!("{ADD}\n{PULL}")).as_bytes()).await.unwrap();
        assert_eq!(answer(&mut stream).await.body, r#"["resolve",1,3]"#);
        let desk: DeskClient = capnode::connect(&format!("ws://{address}/api")).await.unwrap();
        assert_eq!(desk.add(3, 4).await.unwrap(), 7);
    }
}

/// Asks of `method` to call back.
fn calling_back(method: &str) -> String {
    format!("[\"push\",[\"pipeline\",0,[\"{method}\"],[[\"export\",-1]]]]\n{PULL}")
}

#[tokio::test]
async fn a_client_that_has_sent_all_answers_no_calls_and_gets_those_that_need_no_answer() {
    let served = serve(Limits::default()).await;
    for address in served.addresses() {
        let answer = post(address, &calling_back("ask")).await;
        let (first, rest) = answer.body.split_once('\n').unwrap_or((&answer.body, ""));
        assert!(first.starts_with(r#"["release",-1,1]"#), "{answer:?}");
        assert!(
            rest.starts_with(r#"["reject",1,["error","Error","a client that sends an HTTP batch"#),
            "{answer:?}"
        );

        let answer = post(address, &calling_back("tell")).await;
        let lines: Vec<_> = answer.body.lines().collect();
        assert_eq!(lines[0], r#"["push",["pipeline",-1,[],[7]]]"#, "{answer:?}");
        assert!(!answer.body.contains("pull"), "{answer:?}");
        assert!(lines.contains(&r#"["resolve",1,["undefined"]]"#), "{answer:?}");

        // A promise that the body does not resolve.
        let promised =
            concat!(r#"["push",["pipeline",0,["add"],[1,["promise",-1]]]]"#, "\n", r#"["pull",1]"#);
        let answer = post(address, promised).await;
        assert!(
            answer.body.contains(r#"["reject",1,["error","Error","the HTTP batch has ended"#),
            "{answer:?}"
        );
        let answer = post(address, &format!("{promised}\n[\"resolve\",-1,5]")).await;
        assert!(answer.body.contains(r#"["resolve",1,6]"#), "{answer:?}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_cancels() {
    let mut served = serve(Limits::default()).await;
    for address in served.addresses() {
        let waiting = format!("[\"push\",[\"pipeline\",0,[\"wait\"],[]]]\n{PULL}");
        let stream = open(address, &request("POST", "", &waiting)).await;
        assert_eq!(soon(served.said.recv()).await, Some("wait"));
        drop(stream);
        assert_eq!(soon(served.said.recv()).await, Some("cancelled"));
        // In the middle of its body nothing has run.
        let half = request("POST", "", &format!("{ADD}\n{PULL}"));
        let mut stream = open(address, &half[..half.len() - 1]).await;
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _reset = soon(stream.read_to_end(&mut rest)).await;
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&rest));
    }
    assert!(served.said.try_recv().is_err());
    soon(served.node.drain(Duration::from_secs(30))).await;
}

#[tokio::test]
async fn a_handler_that_never_ends_has_a_time_limit() {
    let limits = Limits::default().batch_time(Some(Duration::from_millis(100)));
    let mut served = serve(limits).await;
    for address in served.addresses() {
        let waiting = r#"["push",["pipeline",0,["wait"],[]]]"#;
        let begun = format!("{ADD}\n{PULL}\n{waiting}");
        // Whoever does not wait for it has an answer at once, and it goes on.
        assert_eq!(post(address, &begun).await.body, r#"["resolve",1,3]"#);
        assert_eq!(soon(served.said.recv()).await, Some("add"));
        assert_eq!(soon(served.said.recv()).await, Some("wait"));
        assert_eq!(soon(served.said.recv()).await, Some("cancelled"));

        let answer = post(address, &format!("{begun}\n[\"pull\",2]")).await;
        let (answered, aborted) = answer.body.split_once('\n').unwrap();
        assert_eq!((answer.status, answered), (200, r#"["resolve",1,3]"#));
        assert!(
            aborted.starts_with(r#"["abort",["error","#) && aborted.contains("longer than 100ms"),
            "{aborted}"
        );
        for said in ["add", "wait", "cancelled"] {
            assert_eq!(soon(served.said.recv()).await, Some(said));
        }
        // Nor does a body that does not come.
        let half = request("POST", "", &begun);
        let answer = ask(address, &half[..half.len() - 1]).await;
        assert!(answer.body.contains("longer than 100ms"), "{answer:?}");
    }
    assert!(served.said.try_recv().is_err());
}

#[tokio::test]
async fn what_is_too_long_is_refused() {
    let served = serve(Limits::default().batch_bytes(10_000)).await;
    for address in served.addresses() {
        let fits = post(address, &format!("{ADD}\n{PULL}{}", " ".repeat(9_900))).await;
        assert_eq!((fits.status, fits.body.as_str()), (200, r#"["resolve",1,3]"#));
        let long = format!("{ADD}\n{PULL}{}", " ".repeat(10_000));
        let answer = post(address, &long).await;
        assert_eq!(answer.status, 413, "{answer:?}");
        assert!(answer.body.contains("longer than a batch may be"), "{answer:?}");
        // A body that does not tell its length.
        let chunked = format!(
            "POST /api HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n",
            long.len()
        );
        let answer = ask(address, &chunked).await;
        assert!(answer.body.contains("longer than 10000 bytes"), "{answer:?}");
        // Each of the answers is short enough.
        let calls =
            (1..=4).map(|id| format!("[\"push\",[\"pipeline\",0,[\"long\"],[4000]]]\n[\"pull\",{id}]"));
        let answer = post(address, &calls.collect::<Vec<_>>().join("\n")).await;
        assert!(
            answer.body.contains("the answers of the HTTP batch are longer than 10000 bytes"),
            "{answer:?}"
        );
    }
}

async fn ask(address: SocketAddr, text: &str) -> Answer {
    answer(&mut open(address, text).await).await
}

#[tokio::test]
async fn ten_thousand_calls_are_one_batch() {
    let mut served = serve(Limits::default()).await;
    for address in served.addresses() {
        let line = |id: usize| format!("[\"push\",[\"pipeline\",0,[\"add\"],[{id},1]]]\n[\"pull\",{id}]");
        let body: Vec<_> = (1..=10_000).map(line).collect();
        let answer = post(address, &body.join("\n")).await;
        let expected: Vec<_> = (1..=10_000).map(|id| format!("[\"resolve\",{id},{}]", id + 1)).collect();
        assert_eq!(answer.status, 200);
        assert!(answer.body == expected.join("\n"), "{:.300}", answer.body);
        // Most of these are parked, and none ends.
        let line = |id: usize| format!("[\"push\",[\"pipeline\",0,[\"wait\"],[]]]\n[\"pull\",{id}]");
        let body: Vec<_> = (1..=10_000).map(line).collect();
        let stream = open(address, &request("POST", "", &body.join("\n"))).await;
        for _ in 0..1_024 {
            while soon(served.said.recv()).await != Some("wait") {}
        }
        drop(stream);
        for _ in 0..1_024 {
            assert_eq!(soon(served.said.recv()).await, Some("cancelled"));
        }
        assert!(served.said.try_recv().is_err());
    }
}

#[tokio::test]
async fn a_node_decides_about_each_batch() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let node = Node::builder()
        .authorize(move |incoming| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::task::yield_now().await;
                assert_eq!(incoming.uri(), Some("/any?room=7"));
                match incoming.header("authorization") {
                    Some("Bearer x") => Ok("the index"),
                    _ => Err("who are you?"),
                }
            }
        })
        .build();
    let listener = node.listen("http://127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let body = "[\"push\",[\"pipeline\",0]]\n[\"pull\",1]";
    let text = request("POST", "Authorization: Bearer x\r\n", body).replace("/api", "/any?room=7");
    assert_eq!(ask(address, &text).await.body, r#"["resolve",1,"the index"]"#);
    let answer = ask(address, &text.replace("Bearer x", "Bearer y")).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"["abort",["error","Error","who are you?"]]"#));
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    let drained = soon(node.drain(Duration::ZERO)).await;
    assert_eq!((drained.connections, drained.cut), (0, 0));
}

#[tokio::test]
async fn a_full_node_and_one_that_shuts_down_say_so() {
    let mut served = serve(Limits::default().connections(1)).await;
    let [address, routed] = served.addresses();
    let waiting = format!("[\"push\",[\"pipeline\",0,[\"wait\"],[]]]\n{PULL}");
    let mut stream = open(address, &request("POST", "", &waiting)).await;
    assert_eq!(soon(served.said.recv()).await, Some("wait"));
    let full = post(routed, &format!("{ADD}\n{PULL}")).await;
    assert!(full.body.contains("more than 1 connections"), "{full:?}");
    let drained = soon(served.node.drain(Duration::ZERO)).await;
    assert_eq!((drained.connections, drained.cut), (1, 1));
    let cut = answer(&mut stream).await;
    assert_eq!((cut.status, cut.body.as_str()), (503, "The batch has ended without an answer.\n"));
    let late = post(routed, &format!("{ADD}\n{PULL}")).await;
    assert!(late.body.contains("shutting down"), "{late:?}");
}

#[tokio::test]
async fn streams_without_a_request_give_way_and_those_with_one_stay() {
    let mut served = serve(Limits::default().connections(1)).await;
    let address = served.listener.local_addr().unwrap();
    let waiting = format!("[\"push\",[\"pipeline\",0,[\"wait\"],[]]]\n{PULL}");
    let mut busy = open(address, &request("POST", "", &waiting)).await;
    assert_eq!(soon(served.said.recv()).await, Some("wait"));
    // A node has room for 128 streams beyond its connections.
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let full = ask(address, &request("POST", "", &format!("{ADD}\n{PULL}"))).await;
    assert!(full.body.contains("more than 1 connections"), "{full:?}");
    let mut rest = Vec::new();
    assert_eq!(soon(silent[0].read_to_end(&mut rest)).await.unwrap_or_default(), 0);
    assert!(served.said.try_recv().is_err(), "the batch was cut off");
    served.node.drain(Duration::ZERO).await;
    assert_eq!(answer(&mut busy).await.status, 503);
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_given_up() {
    let served = serve(Limits::default().batch_time(Some(Duration::from_millis(100)))).await;
    let [address, _] = served.addresses();
    let long = format!("[\"push\",[\"pipeline\",0,[\"long\"],[30000000]]]\n{PULL}");
    let mut stream = open(address, &request("POST", "", &long)).await;
    let mut begin = [0; 15];
    soon(stream.read_exact(&mut begin)).await.unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200 OK");
    // The answer waits in the session, and ends with it.
    soon(async { while served.node.drain(Duration::ZERO).await.connections > 0 {} }).await;
    let mut rest = Vec::new();
    let _cut = soon(stream.read_to_end(&mut rest)).await;
    assert!(rest.len() < 30_000_000, "{}", rest.len());
}

/// A body that opens a stream, writes two chunks, perhaps closes it, and collects it.
fn collecting(closes: bool) -> String {
    let close = if closes { "[\"stream\",[\"pipeline\",1,[\"close\"],[]]]\n" } else { "" };
    let call = if closes { 5 } else { 4 };
    format!(
        "[\"pipe\"]\n[\"stream\",[\"pipeline\",1,[\"write\"],[\"a\"]]]\n[\"stream\",[\"pipeline\",1,[\"write\"],[\"b\"]]]\n\
         {close}[\"push\",[\"pipeline\",0,[\"collect\"],[[\"readable\",1]]]]\n[\"pull\",{call}]"
    )
}

#[tokio::test]
async fn a_stream_that_is_whole_in_a_body_is_read_and_any_other_fails() {
    let node = Node::new(capnode_examples::tour::index_with_streams());
    let listener = node.listen("http://127.0.0.1:0/api").await.unwrap();
    let address = listener.local_addr().unwrap();
    let whole = post(address, &collecting(true)).await;
    assert!(whole.body.contains(r#"["resolve",5,[["a","b"]]]"#), "{whole:?}");
    let open = post(address, &collecting(false)).await;
    assert!(open.body.contains(r#"["reject",4,["error""#), "{open:?}");
    assert!(open.body.contains("the HTTP batch has ended"), "{open:?}");
    // What the server sends is in the body of the answer.
    let tour: capnode_examples::tour::StreamTourClient = capnode::connect(&listener.url()).await.unwrap();
    let mut numbers = tour.numbers(3).await.unwrap();
    for number in 0..3 {
        assert_eq!(soon(numbers.next()).await.unwrap().unwrap(), number);
    }
    assert!(soon(numbers.next()).await.is_none());
}
