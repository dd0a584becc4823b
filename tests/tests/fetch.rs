//! `Blob`, `Request` and `Response`: between programs of this library, and with npm's `capnweb`.

use axum::http::{self, HeaderValue};
use capnode::value::{Blob, Body, Request, Response};
use capnode::{Bytes, Cap, Client, Connection, Dialect, ErrorKind, Fate, Headers, Node, Reader, Value};
use capnode_tests::{js, soon};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;

#[capnode::interface]
trait Web {
    async fn fetch(&self, request: Request) -> Response;
    async fn size(&self, blob: Blob) -> usize;
    async fn cut(&self, blob: Blob, from: usize) -> Blob;
    async fn echo(&self, value: Value) -> Value;
}

struct Server;

impl Web for Server {
    async fn fetch(&self, request: Request) -> Response {
        let mut response = Response::new(if request.method == "GET" { 200 } else { 201 });
        response.status_text = "Fine".to_owned();
        response.headers = request.headers.iter().chain([("x-url", request.url.as_str())]).collect();
        response.body = request.body;
        response
    }

    async fn size(&self, blob: Blob) -> usize {
        blob.body.read_to_end(1 << 20).await.unwrap().len()
    }

    async fn cut(&self, blob: Blob, from: usize) -> Blob {
        let bytes = blob.body.read_to_end(1 << 20).await.unwrap();
        Blob { content_type: blob.content_type, body: Bytes::from(&bytes[from..]).into() }
    }

    async fn echo(&self, value: Value) -> Value {
        value
    }
}

fn blob(text: &str) -> Blob {
    Blob { content_type: "text/plain".to_owned(), body: Bytes::from(text.as_bytes()).into() }
}

async fn text(body: Option<Body>) -> String {
    let read = soon(body.expect("a body").read_to_end(1 << 20)).await;
    String::from_utf8(read.unwrap()).unwrap()
}

async fn check(web: &WebClient) {
    let mut request = Request::new("PUT", "https://example.com/a?b=1");
    request.headers = Headers::from([("X-One", "1"), ("content-type", "text/plain")]);
    request.body = Some(Bytes::from(b"the body").into());
    request.options.insert("redirect".to_owned(), "manual".into());
    request.options.insert("cf".to_owned(), serde_json::json!({"list": [[1], {"deep": [[2]]}]}));
    let response = soon(web.fetch(request).into_future()).await.unwrap();
    assert_eq!((response.status, response.status_text.as_str()), (201, "Fine"));
    assert_eq!(response.headers.get("x-one"), Some("1"));
    assert_eq!(response.headers.get("x-url"), Some("https://example.com/a?b=1"));
    assert_eq!(text(response.body).await, "the body");
    let empty = soon(web.fetch(Request::new("GET", "https://example.com/")).into_future()).await.unwrap();
    assert_eq!((empty.status, empty.body), (200, None));

    assert_eq!(soon(web.size(blob(&"x".repeat(300_000))).into_future()).await.unwrap(), 300_000);
    let cut = soon(web.cut(blob("hello blob"), 6).into_future()).await.unwrap();
    assert_eq!((cut.content_type.as_str(), text(Some(cut.body)).await.as_str()), ("text/plain", "blob"));

    // Of any shape, and inside others.
    let value = Value::from([("list", Value::Array(vec![Value::Blob(Box::new(blob("inside")))]))]);
    let back = soon(web.echo(value).into_future()).await.unwrap();
    let Some(Value::Blob(inside)) = back["list"].get(0).cloned() else { panic!("{back:?}") };
    assert_eq!(text(Some(inside.body)).await, "inside");
    let mut request = Request::new("GET", "https://example.com/");
    request.options.insert("cf".to_owned(), serde_json::json!({"list": [[1], {"deep": [[2]]}]}));
    let Value::Request(back) =
        soon(web.echo(Value::Request(Box::new(request.clone()))).into_future()).await.unwrap()
    else {
        panic!("a request")
    };
    assert_eq!(*back, request);
    let response = Value::Response(Box::new(Response::new(204)));
    assert_eq!(soon(web.echo(response.clone()).into_future()).await.unwrap(), response);
}

#[tokio::test]
async fn they_are_echoed_locally_remotely_and_through_a_relay() {
    check(&WebClient::new(Server)).await;
    let owner = Node::new(WebClient::new(Server)).listen("tcp://127.0.0.1:0").await.unwrap();
    let owned: WebClient = capnode::connect(&owner.url()).await.unwrap();
    check(&owned).await;
    let relay = Node::new(owned).listen("ws://127.0.0.1:0").await.unwrap();
    check(&capnode::connect(&relay.url()).await.unwrap()).await;
}

#[tokio::test]
async fn a_body_that_is_passed_twice_at_once_fails_here_the_second_time() {
    let owner = Node::new(WebClient::new(Server)).listen("tcp://127.0.0.1:0").await.unwrap();
    let web: WebClient = capnode::connect(&owner.url()).await.unwrap();
    let blob = blob("once");
    let (first, second) = (web.size(blob.clone()).into_future(), web.size(blob).into_future());
    let (first, second) = soon(async { tokio::join!(first, second) }).await;
    assert_eq!(first.unwrap(), 4);
    let error = second.unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Encode, Fate::NotSent));
    assert!(error.message().contains("passed on"), "{error}");
}

#[tokio::test]
async fn they_are_those_of_the_crate_http() {
    let listener = Node::new(WebClient::new(Server)).listen("tcp://127.0.0.1:0").await.unwrap();
    let web: WebClient = capnode::connect(&listener.url()).await.unwrap();
    let latin = HeaderValue::from_bytes(b"\xe4").unwrap();
    let request = http::Request::put("https://example.com/a?b=1").header("X-A", "1").header("x-a", &latin);
    let response = web.fetch(request.body(Bytes::from(b"leaves")).unwrap().into());
    let response: http::Response<Option<Body>> =
        soon(response.into_future()).await.unwrap().try_into().unwrap();
    assert_eq!(response.status(), 201);
    assert!(response.headers().get_all("x-a").iter().eq([&HeaderValue::from_static("1"), &latin]));
    assert_eq!(response.headers()["x-url"], "https://example.com/a?b=1");
    assert_eq!(text(response.into_body()).await, "leaves");

    let get = http::Request::get("https://example.com/").body(Bytes::default()).unwrap();
    assert_eq!(Request::from(get).body, None);
    let streamed =
        http::Response::builder().status(404).body(Reader::from_iter([Bytes::from(b"no")])).unwrap();
    let streamed = Response::from(streamed);
    assert_eq!((streamed.status, text(streamed.body).await.as_str()), (404, "no"));

    let mut request = Request::new("PUT", "https://example.com/");
    request.headers = Headers::from([("x-a", "€")]);
    for wrong in [Request::new("a b", "https://example.com/"), Request::new("PUT", "a b"), request] {
        let error = http::Request::try_from(wrong).unwrap_err();
        assert_eq!(error.kind(), capnode::ErrorKind::Decode, "{error}");
    }
    assert!(http::Response::try_from(Response::new(99)).is_err());
}

#[tokio::test]
async fn what_is_no_such_thing_fails_the_call_alone() {
    let listener = Node::new(WebClient::new(Server)).listen("tcp://127.0.0.1:0").await.unwrap();
    let web: WebClient = capnode::connect(&listener.url()).await.unwrap();
    // Whatever is done with a body that has been read is an error, and never an empty body.
    let used = blob("once");
    assert_eq!(text(Some(used.body.clone())).await, "once");
    for error in [
        soon(used.body.clone().read_to_end(100)).await.unwrap_err(),
        soon(web.size(used).into_future()).await.unwrap_err(),
    ] {
        assert!(error.message().contains("was read already"), "{error}");
    }
    let long = soon(blob("once").body.read_to_end(3)).await.unwrap_err();
    assert_eq!(long.kind(), capnode::ErrorKind::Limit, "{long}");
    let error = soon(web.cap().invoke::<usize>("size", ("no blob",)).into_future()).await.unwrap_err();
    assert!(error.message().contains("a blob"), "{error}");
    let mut wrong = Request::new("GET", "https://example.com/");
    wrong.headers = Headers::from([("a b", "x")]);
    let error = soon(web.fetch(wrong).into_future()).await.unwrap_err();
    assert!(error.message().contains("is not an HTTP header"), "{error}");
    // The reader of a body fails as the stream does.
    let failing = futures_util::stream::iter([
        Ok(Bytes::from(b"some")),
        Err(capnode::Error::rejected("the disk is gone")),
    ]);
    let mut request = Request::new("POST", "https://example.com/");
    request.body = Some(Reader::fallible(failing).into());
    let response = soon(web.fetch(request).into_future()).await.unwrap();
    let error = soon(response.body.unwrap().read_to_end(100)).await.unwrap_err();
    assert!(error.message().contains("the disk is gone"), "{error}");
    check(&web).await;

    let other = capnode::connect::<WebClient>(&listener.url()).dialect(Dialect::Q).await.unwrap();
    let error = soon(other.size(blob("x")).into_future()).await.unwrap_err();
    assert!(error.message().contains("a blob cannot be said in Q-Connection"), "{error}");
}

#[tokio::test]
async fn what_a_peer_says_of_them_is_checked_and_fails_the_call_alone() {
    let listener = Node::new(WebClient::new(Server)).listen("tcp://127.0.0.1:0").await.unwrap();
    let mut stream = BufStream::new(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
    for (method, value, expected) in [
        ("size", r#"["blob","",["writable",-5]]"#, "a body is a stream to read"),
        ("size", r#"["blob","",{}]"#, "a body is a stream, a text, bytes or nothing"),
        ("fetch", r#"["request","http://a/",{"method":5}]"#, "the method of a request is a text"),
        ("fetch", r#"["request","http://a/",{"headers":{"a":1}}]"#, "headers are a list of pairs"),
        ("echo", r#"["response",null,{"status":"x"}]"#, "a status is a number"),
        ("echo", r#"["response",[[1]],{}]"#, "a body is a stream, a text, bytes or nothing"),
        ("echo", r#"["response","a text",{"status":200}]"#, r#"["response",["readable",1],{}]"#),
    ] {
        let call = format!("[\"stream\",[\"pipeline\",0,[\"{method}\"],[{value}]]]\n");
        stream.write_all(call.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        let mut answer = String::new();
        while !answer.contains("[\"resolve") && !answer.contains("[\"reject") {
            answer.clear();
            soon(stream.read_line(&mut answer)).await.unwrap();
        }
        assert!(answer.contains(expected), "{value}: {answer}");
    }
}

async fn npm() -> Option<(js::Server, Connection)> {
    if !js::ready() {
        return None;
    }
    let server = js::Server::start("tour_server.mjs", &["--ws", "127.0.0.1:0"]).await;
    let connection = capnode::connect(&format!("ws://{}", server.address())).await.unwrap();
    Some((server, connection))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn npms_server_takes_ours_and_gives_them_back() {
    let Some((_server, connection)) = npm().await else { return };
    let tour: Cap = connection.index();
    let back: Blob = soon(tour.invoke("echo", (blob(&"x".repeat(200_000)),)).into_future()).await.unwrap();
    assert_eq!(back.content_type, "text/plain");
    assert_eq!(text(Some(back.body)).await.len(), 200_000);
    let mut request = Request::new("POST", "https://example.com/tea?pot=1");
    request.body = Some(Bytes::from(b"leaves").into());
    let back: Response = soon(tour.invoke("handle", (request,)).into_future()).await.unwrap();
    assert_eq!((back.status, back.status_text.as_str()), (201, "Made"));
    assert_eq!(back.headers.get("x-url"), Some("https://example.com/tea?pot=1"));
    assert_eq!(text(back.body).await, "POST leaves");
    let mut response = Response::new(204);
    response.status_text = "Nothing".to_owned();
    response.headers = Headers::from([("x-tea", "green")]);
    let back: Response = soon(tour.invoke("echo", (response.clone(),)).into_future()).await.unwrap();
    assert_eq!(back, response);
}

#[tokio::test]
async fn a_body_whose_reading_was_dropped_is_read_already() {
    let (mut writer, reader) = capnode::pipe::<Bytes>();
    let body = Body::from(reader);
    let mut reading = Box::pin(body.clone().read_to_end(100));
    writer.write(Bytes::from(vec![1])).await.unwrap();
    tokio::select! {
        biased;
        read = &mut reading => panic!("{read:?}"),
        () = tokio::task::yield_now() => {}
    }
    drop(reading);
    let error = soon(body.read_to_end(100)).await.unwrap_err();
    assert_eq!(error.message(), "the body was read already, and can be read once");
}
