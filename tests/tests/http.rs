//! HTTP requests at a listener for WebSockets: those that open one, and the answers to the others.

use std::future::ready;
use std::net::SocketAddr;

use capnode::{Caller, Cap, Error, ErrorKind, Limits, Node, Value};
use capnode_tests::soon;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::unbounded_channel;

/// Headers that open a WebSocket, without `Host`.
const OPEN: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Writes a request, and returns the answer as far as it has come when it is whole, or the stream ends.
async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    loop {
        let read = soon(stream.read_buf(&mut answer)).await.unwrap();
        let text = String::from_utf8_lossy(&answer).into_owned();
        if read == 0 || is_whole(&text) {
            return text;
        }
    }
}

/// Returns `true` if an answer has come with its body. That of a WebSocket that is open has none.
fn is_whole(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
    let head = head.to_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    head.contains(" 101 ") || length.is_some_and(|length| body.len() >= length.parse().unwrap())
}

/// Asks for a WebSocket, and returns the status.
async fn open(address: SocketAddr, path: &str, headers: &str) -> u16 {
    let answer = ask(address, &format!("GET {path} HTTP/1.1\r\n{headers}{OPEN}\r\n")).await;
    answer.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {answer:?}")).parse().unwrap()
}

/// A route of axum that knows the addresses of its peers.
async fn route(node: Node) -> SocketAddr {
    let app = axum::Router::new().route("/api", capnode::axum::route(node));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async { axum::serve(listener, app).await });
    address
}

#[tokio::test]
async fn a_listener_serves_its_path_and_no_other() {
    let node = Node::new("index");
    let listener = node.listen("ws://127.0.0.1:0/api/v1?hint").await.unwrap();
    let address = listener.local_addr().unwrap();
    for (path, status) in [
        ("/api/v1", 101),
        ("/api/v1?token=x", 101),
        ("http://127.0.0.1/api/v1", 101),
        ("/", 404),
        ("/api", 404),
        ("/api/v1/", 404),
        ("/api/v12", 404),
        ("/API/v1", 404),
        ("//api/v1", 404),
    ] {
        assert_eq!(open(address, path, "Host: 127.0.0.1\r\n").await, status, "{path}");
    }
    assert!(capnode::connect::<capnode::Cap>(&listener.url()).await.is_ok());
    let elsewhere = capnode::connect::<capnode::Cap>(&format!("ws://{address}/other")).await.unwrap_err();
    assert_eq!(elsewhere.kind(), ErrorKind::Refused);
    // Without a path, all of them are served.
    let listener = node.listen("ws://127.0.0.1:0").await.unwrap();
    assert_eq!(open(listener.local_addr().unwrap(), "/any/path", "Host: 127.0.0.1\r\n").await, 101);
}

#[tokio::test]
async fn of_the_offered_subprotocols_the_one_that_the_program_prefers_is_chosen() {
    let (tells, mut told) = unbounded_channel();
    let node = Node::builder().subprotocols(["v2", "v1"]).authorize(move |incoming| {
        let caller = incoming.caller();
        let offered: Vec<String> = caller.subprotocols().map(str::to_owned).collect();
        tells.send((offered.join(" "), caller.subprotocol().map(str::to_owned))).unwrap();
        ready(Ok::<_, Error>("index"))
    });
    let node = node.build();
    let ws = node.listen("ws://127.0.0.1:0/api").await.unwrap();
    let http = node.listen("http://127.0.0.1:0/api").await.unwrap();
    let addresses = [ws.local_addr().unwrap(), http.local_addr().unwrap(), route(node).await];
    for address in addresses {
        for (offers, offered, chosen) in [
            ("Sec-WebSocket-Protocol: v1 ,v2\r\n", "v1 v2", Some("v2")),
            ("Sec-WebSocket-Protocol: v0\r\nSec-WebSocket-Protocol: v1\r\n", "v0 v1", Some("v1")),
            ("Sec-WebSocket-Protocol: V1\r\n", "V1", None),
            ("", "", None),
        ] {
            let request = format!("GET /api HTTP/1.1\r\nHost: 127.0.0.1\r\n{offers}{OPEN}\r\n");
            let answer = ask(address, &request).await.to_lowercase();
            assert!(answer.contains(" 101 "), "{answer}");
            let named = answer.split("sec-websocket-protocol: ").nth(1).and_then(|rest| rest.lines().next());
            assert_eq!(named, chosen, "{offers}");
            let told = soon(told.recv()).await.unwrap();
            assert_eq!(told, (offered.to_owned(), chosen.map(str::to_owned)));
        }
    }
}

#[tokio::test]
async fn limits_may_depend_on_who_comes() {
    let limits_for = |caller: &Caller| {
        let is_member = caller.uri().is_some_and(|uri| uri.ends_with("?member"));
        Limits::default().frame_bytes(if is_member { 1 << 20 } else { 1 << 10 })
    };
    let node = Node::builder().index("index").limits_for(limits_for).build();
    let lines = node.listen("tcp://127.0.0.1:0").await.unwrap();
    let ws = node.listen("ws://127.0.0.1:0/api").await.unwrap();
    let http = node.listen("http://127.0.0.1:0/api").await.unwrap();
    let mut peers = vec![(lines.url(), false)];
    for address in [ws.local_addr().unwrap(), http.local_addr().unwrap(), route(node).await] {
        peers.push((format!("ws://{address}/api?member"), true));
        peers.push((format!("ws://{address}/api?guest"), false));
    }
    for (url, fits) in peers {
        let peer: Cap = capnode::connect(&url).await.unwrap();
        // It is the first message.
        let missing: Result<Value, Error> = soon(peer.invoke("write", ("x".repeat(4 << 10),))).await;
        assert!(missing.is_err(), "{url}");
        assert_eq!(soon(peer.read::<String>()).await.is_ok(), fits, "{url}");
    }
}

#[tokio::test]
async fn a_name_of_a_strangers_is_no_name_of_this_machine() {
    let node = Node::builder().index("index").allow_origin("https://app.example").build();
    let listener = node.listen("ws://127.0.0.1:0").await.unwrap();
    let routed = route(node).await;
    for (address, path) in [(listener.local_addr().unwrap(), "/"), (routed, "/api")] {
        let port = address.port();
        for (host, origin, status) in [
            ("evil.example", Some("http://evil.example"), 403),
            ("evil.example", None, 403),
            ("localhost.evil.example", None, 403),
            ("127.0.0.1", Some("http://127.0.0.1"), 101),
            ("localhost", Some("http://localhost"), 101),
            ("localhost", None, 101),
            ("app.localhost", Some("http://app.localhost"), 101),
            ("app.example", Some("https://app.example"), 101),
            ("127.0.0.1", Some("http://evil.example"), 403),
        ] {
            let origin = match origin {
                Some("https://app.example") => "Origin: https://app.example\r\n".to_owned(),
                Some(origin) => format!("Origin: {origin}:{port}\r\n"),
                None => String::new(),
            };
            let headers = format!("Host: {host}:{port}\r\n{origin}");
            assert_eq!(open(address, path, &headers).await, status, "{headers}");
        }
    }
}

#[tokio::test]
async fn a_page_by_tls_is_of_another_origin_than_a_listener_without() {
    let listener = Node::new("index").listen("ws://127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let from = async |scheme| {
        let headers = format!("Host: {address}\r\nOrigin: {scheme}://{address}\r\n");
        open(address, "/", &headers).await
    };
    assert_eq!((from("http").await, from("https").await, from("ftp").await), (101, 403, 403));
}

#[tokio::test]
async fn a_request_that_opens_no_web_socket_is_told_what_would() {
    let node = Node::new("index");
    let listener = node.listen("ws://127.0.0.1:0").await.unwrap();
    let routed = route(node.clone()).await;
    for (address, path, batches) in [(listener.local_addr().unwrap(), "/", false), (routed, "/api", true)] {
        let host = "Host: localhost\r\nConnection: close\r\n";
        let answer = ask(address, &format!("GET {path} HTTP/1.1\r\n{host}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{answer}");
        assert!(answer.to_lowercase().contains("\r\nupgrade: websocket\r\n"), "{answer}");
        assert!(answer.contains("connect to it by ws://"), "{answer}");

        let body = format!("Content-Length: 9\r\n{host}\r\n[\"push\"]\n");
        let answer = ask(address, &format!("POST {path} HTTP/1.1\r\n{body}")).await;
        if batches {
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        } else {
            assert!(answer.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{answer}");
            assert!(answer.to_lowercase().contains("\r\nallow: get"), "{answer}");
            assert!(answer.contains("opened by GET"), "{answer}");
            assert!(answer.contains("by listeners at http://"), "{answer}");
        }

        let old = OPEN.replace("13", "8");
        let answer = ask(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{old}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 426"), "{answer}");
        assert!(answer.to_lowercase().contains("\r\nsec-websocket-version: 13\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn what_is_no_request_for_a_web_socket_has_an_answer() {
    let listener = Node::new("index").listen("ws://127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let key = OPEN.replace("dGhl", "");
    for (request, status) in [
        ("GET / HTTP/1.0\r\n\r\n", "426"),
        ("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n", "405"),
        ("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", "405"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "405"),
        ("GET /\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nbad header\r\n\r\n", "400"),
        ("\u{16}\u{3}\u{1}", "400"),
        ("[\"push\",[]]\n", "400"),
        (&format!("GET / HTTP/1.1\r\n{key}\r\n"), "400"),
        (&long, "431"),
        (&long.replace("\r\n\r\n", ""), "431"),
    ] {
        let answer = ask(address, request).await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{request:.40?}: {answer}");
    }
    // Of a request for the head alone there is no body.
    let answer = ask(address, "HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn what_follows_the_request_at_once_is_taken_in() {
    let listener = Node::new("index").listen("ws://127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A frame with a mask of zeros: the read of the index, and the wish for its answer.
    let frame = |text: &str| [&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], text.as_bytes()].concat();
    let mut request = format!("GET / HTTP/1.1\r\nHost: {address}\r\n{OPEN}\r\n").into_bytes();
    request.extend(frame(r#"["push",["pipeline",0,[]]]"#));
    request.extend(frame(r#"["pull",1]"#));
    stream.write_all(&request).await.unwrap();
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains(r#"["resolve",1,"index"]"#) {
        assert_ne!(
            soon(stream.read_buf(&mut answer)).await.unwrap(),
            0,
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
}
