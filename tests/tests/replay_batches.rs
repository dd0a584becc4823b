//! Recordings of npm's `capnweb` over HTTP, with a Rust node in the place of the server, and with a Rust program in the
//! place of the client.

use std::fs;
use std::net::SocketAddr;

use capnode::{Client, Error, Func, Node, Value};
use capnode_examples::tour;
use capnode_tests::soon;
use capnode_tests::source::root;
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[capnode::interface]
trait Recorded {
    async fn transform(&self, text: &str) -> String;
    async fn add(&self, a: i64, b: i64) -> i64;
    async fn later(&self, milliseconds: u64, value: Value) -> Value;
    async fn fail(&self) -> Result<(), Error>;
    #[capnode(property)]
    async fn prop(&self) -> String;
    async fn counter(&self, from: i64) -> CounterClient;
    async fn authenticate(&self, token: &str) -> UserClient;
    async fn ids(&self) -> Vec<i64>;
    async fn get(&self, id: i64) -> Item;
    async fn on(&self, event: &str, back: Func<fn(String) -> Value>) -> Result<Value, Error>;
}

#[capnode::interface]
trait Counter {
    async fn next(&self) -> i64;
}

#[capnode::interface]
trait User {
    async fn profile(&self) -> ProfileClient;
}

#[capnode::interface]
trait Profile {
    async fn name(&self) -> String;
    #[capnode(property)]
    async fn upper(&self) -> String;
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Item {
    id: i64,
    name: String,
    tags: Vec<String>,
}

struct Server;

struct Token(String);

impl Recorded for Server {
    async fn transform(&self, text: &str) -> String {
        tour::transform(text)
    }

    async fn add(&self, a: i64, b: i64) -> i64 {
        a + b
    }

    async fn later(&self, milliseconds: u64, value: Value) -> Value {
        tokio::time::sleep(std::time::Duration::from_millis(milliseconds)).await;
        value
    }

    async fn fail(&self) -> Result<(), Error> {
        Err(Error::rejected("intentional failure"))
    }

    async fn prop(&self) -> String {
        "a property".to_owned()
    }

    async fn counter(&self, _: i64) -> CounterClient {
        CounterClient::new(Token(String::new()))
    }

    async fn authenticate(&self, token: &str) -> UserClient {
        UserClient::new(Token(token.to_owned()))
    }

    async fn ids(&self) -> Vec<i64> {
        vec![1, 2]
    }

    async fn get(&self, id: i64) -> Item {
        Item { id, name: format!("n{id}"), tags: vec![format!("t{id}"), format!("u{id}")] }
    }

    async fn on(&self, event: &str, back: Func<fn(String) -> Value>) -> Result<Value, Error> {
        back.call(event.to_owned()).await
    }
}

impl Counter for Token {
    async fn next(&self) -> i64 {
        1
    }
}

impl User for Token {
    async fn profile(&self) -> ProfileClient {
        ProfileClient::new(Token(self.0.clone()))
    }
}

impl Profile for Token {
    async fn name(&self) -> String {
        format!("Ada/{}", self.0)
    }

    async fn upper(&self) -> String {
        format!("Ada/{}", self.0).to_uppercase()
    }
}

/// The lines of a recording.
fn recording(name: &str) -> Vec<Json> {
    let path = root().join("tests/transcripts/capnweb-http").join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names() -> Vec<String> {
    let files = fs::read_dir(root().join("tests/transcripts/capnweb-http")).unwrap();
    let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Reads a request or an answer: its first line and its body.
async fn read(stream: &mut TcpStream) -> (String, String) {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return (head.lines().next().unwrap_or_default().to_owned(), body.to_owned());
            }
        }
        assert_ne!(soon(stream.read_buf(&mut read)).await.unwrap(), 0, "{}", String::from_utf8_lossy(&read));
    }
}

/// Sends a recorded request, and returns status and body of the answer.
async fn ask(address: SocketAddr, request: &Json) -> (u64, String) {
    let (method, body) = (request["method"].as_str().unwrap(), request["body"].as_str().unwrap());
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{method} / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let (first, body) = read(&mut stream).await;
    (first.split(' ').nth(1).unwrap().parse().unwrap(), body)
}

/// The lines of a body. Answers have no order.
fn lines(body: &str) -> Vec<Json> {
    let mut lines: Vec<Json> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.sort_by_key(ToString::to_string);
    lines
}

/// Where a Rust node answers otherwise than the recorded server: a case, and what its answer holds.
const OTHERWISE: &[(&str, &str)] = &[
    // The recorded server fails without an answer of its own, and its program says 500.
    ("blank line between", r#"["abort",["error","Error","#),
    ("trailing newline", r#"["abort",["error","Error","#),
    ("not JSON", r#"["abort",["error","Error","#),
    ("abort from client", "has ended without an answer"),
    // A message about something unknown fails alone.
    ("pull of unknown", r#"["reject",9,["error","Error","no such export ID: 9"]]"#),
    // A GET can open a WebSocket.
    ("GET", "connect to it by ws://"),
    ("PUT", "sent by POST"),
    // The recorded server never answers.
    (
        "http-callback.jsonl",
        r#"["reject",1,["error","Error","a client that sends an HTTP batch answers no calls"#,
    ),
    // A map is answered by its whole value, and not by one with promises in it.
    (
        "http-map.jsonl",
        r#"["resolve",2,[[{"id":1,"name":"n1","tags":[["t1","u1"]]},{"id":2,"name":"n2","tags":[["t2","u2"]]}]]]"#,
    ),
];

#[tokio::test]
async fn a_node_in_the_place_of_the_server_answers_as_it_did() {
    let listener = Node::new(RecordedClient::new(Server)).listen("http://127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (mut answered, mut otherwise) = (0, 0);
    for name in names() {
        let mut case = name.clone();
        let recorded = recording(&name);
        for (at, line) in recorded.iter().enumerate() {
            if line["event"] == "case" {
                case = line["case"].as_str().unwrap().to_owned();
            }
            if line["event"] != "http-request" {
                continue;
            }
            let (status, body) = ask(address, line).await;
            if let Some((_, holds)) = OTHERWISE.iter().find(|(other, _)| *other == case) {
                assert!(body.contains(holds), "{name}, {case}: {body}");
                otherwise += 1;
                continue;
            }
            let answer = recorded[at..].iter().find(|line| line["event"] == "http-response").unwrap();
            assert_eq!(status, answer["status"].as_u64().unwrap(), "{name}, {case}");
            assert_eq!(lines(&body), lines(answer["body"].as_str().unwrap()), "{name}, {case}");
            answered += 1;
        }
    }
    assert_eq!((answered, otherwise), (12, OTHERWISE.len()));
}

/// Answers as the recorded server did, and returns the address and the bodies that came.
async fn server(name: &str) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let answers: Vec<_> = recording(name)
        .iter()
        .filter(|line| line["event"] == "http-response")
        .map(|line| line["body"].as_str().unwrap().to_owned())
        .collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bodies = Vec::new();
        for answer in answers {
            let (first, body) = read(&mut stream).await;
            assert!(first.starts_with("post / "), "{first}");
            bodies.push(body);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
            stream.write_all(format!("{head}{answer}").as_bytes()).await.unwrap();
        }
        bodies
    });
    (format!("http://{address}"), served)
}

/// Checks that the bodies that came are the recorded ones, apart from the order of pulls among other calls.
async fn same_requests(name: &str, served: tokio::task::JoinHandle<Vec<String>>) {
    let came = soon(served).await.unwrap();
    let recorded = recording(name);
    let recorded = recorded.iter().filter(|line| line["event"] == "http-request");
    let recorded: Vec<_> = recorded.map(|line| line["body"].as_str().unwrap()).collect();
    assert_eq!(came.len(), recorded.len());
    for (came, recorded) in came.iter().zip(recorded) {
        assert_eq!(lines(came), lines(recorded), "{name}");
        let pushes = |body: &str| -> Vec<String> {
            body.lines().filter(|line| line.starts_with("[\"push")).map(str::to_owned).collect()
        };
        assert_eq!(pushes(came), pushes(recorded), "{name}");
    }
}

#[tokio::test]
async fn a_program_in_the_place_of_the_client_sends_and_sees_what_it_did() {
    for (name, text, transformed) in
        [("http-simple.jsonl", "beep", "BOOP"), ("http-simple-2.jsonl", "zoo ☃", "ZOO ☃")]
    {
        let (url, served) = server(name).await;
        let index: RecordedClient = capnode::connect(&url).await.unwrap();
        assert_eq!(index.transform(text).await.unwrap(), transformed);
        same_requests(name, served).await;
    }

    let (url, served) = server("http-not-awaited.jsonl").await;
    let index: RecordedClient = capnode::connect(&url).await.unwrap();
    index.add(1, 2).send().unwrap();
    same_requests("http-not-awaited.jsonl", served).await;

    let (url, served) = server("http-several-calls.jsonl").await;
    let index: RecordedClient = capnode::connect(&url).await.unwrap();
    let (sum, slow, failed, property) =
        tokio::join!(index.add(1, 2), index.later(10, Value::from("slow")), index.fail(), index.prop());
    assert_eq!((sum.unwrap(), slow.unwrap()), (3, Value::from("slow")));
    assert_eq!(
        (property.unwrap(), failed.unwrap_err().to_string()),
        ("a property".to_owned(), "intentional failure".to_owned())
    );
    same_requests("http-several-calls.jsonl", served).await;

    // What the answer promises comes in the lines that follow.
    let (url, served) = server("http-map.jsonl").await;
    let index: RecordedClient = capnode::connect(&url).await.unwrap();
    let items = index.ids().map(|id| index.cap().invoke::<Item>("get", (id,))).await.unwrap();
    let items: Vec<_> = items.into_iter().map(|item| (item.id, item.name, item.tags.join(" "))).collect();
    let item = |id, name: &str, tags: &str| (id, name.to_owned(), tags.to_owned());
    assert_eq!(items, [item(1, "n1", "t1 u1"), item(2, "n2", "t2 u2")]);
    same_requests("http-map.jsonl", served).await;

    // The recorded program made sessions of its own for the two, and its later calls failed.
    let (url, served) = server("http-after-end.jsonl").await;
    let index: RecordedClient = capnode::connect(&url).await.unwrap();
    assert_eq!(index.add(1, 2).await.unwrap(), 3);
    let counter = index.counter(0).await.unwrap();
    assert!(counter.next().await.is_err());
    same_requests("http-after-end.jsonl", served).await;
}
