//! Strangers at a listener: connections that are no peers.

use std::future::{Future as _, IntoFuture as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};

use capnode::sans_io::Core;
use capnode::{Cap, Connection, Dialect, ErrorKind, Func, Node, Object, Value};
use capnode_tests::{ANY, limits, soon, speaking};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// An index with a function `add`, and how often that was called.
fn counting() -> (Object, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let add = Func::<fn() -> u32>::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async { 1 }
    });
    (Object::new().with("add", add), count)
}

/// Lines that call `add` in each language.
const CALLS: [&str; 3] = [
    "[\"push\",[\"pipeline\",0,[\"add\"],[]]]\n[\"pull\",1]\n",
    "{\"type\":\"index\",\"methodId\":\"i\"}\n",
    "{\"type\":\"send\",\"to\":\"\",\"from\":\"a\",\"op\":\"post\",\"args\":[\"add\",[]]}\n",
];

/// Writes `text`, and returns the input until the other side ends the stream.
async fn answered(address: std::net::SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A reset ends it as well.
    let _end = soon(stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn the_request_of_a_page_is_the_end_of_a_byte_stream_in_every_language() {
    for dialect in ANY {
        for call in CALLS {
            let (index, count) = counting();
            let node = speaking(Node::builder().index(index), dialect);
            let listener = node.listen("tcp://127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let head = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\nOrigin: http://evil.example\r\n\r\n";
            let answer = answered(address, &format!("{head}{}", call.repeat(3))).await;
            assert!(!answer.contains("resolve") && !answer.contains("return"), "{dialect:?}: {answer}");
            assert_eq!(count.load(Ordering::SeqCst), 0, "{dialect:?}");
        }
    }
}

#[tokio::test]
async fn a_first_message_of_another_language_is_the_end_where_the_language_is_set() {
    for (dialect, call) in [(Dialect::Q, CALLS[1]), (Dialect::Capnode, CALLS[2]), (Dialect::Q, "{}\n")] {
        let (index, count) = counting();
        let listener =
            Node::builder().index(index).dialect(dialect).build().listen("tcp://127.0.0.1:0").await.unwrap();
        let answer = answered(listener.local_addr().unwrap(), &format!("{call}{}", CALLS[2])).await;
        assert!(!answer.contains("resolve") && !answer.contains("return"), "{dialect:?}: {answer}");
        assert_eq!(count.load(Ordering::SeqCst), 0, "{dialect:?}");
    }
}

#[tokio::test]
async fn a_server_that_speaks_no_language_is_left_by_who_connects_to_it() {
    for (dialect, name) in [(Dialect::Capnode, "Capnode"), (Dialect::Q, "Q-Connection")] {
        for first in ["hello", "[]", "{}", r#"{"type":"nothing"}"#] {
            let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("tcp://{}", server.local_addr().unwrap());
            let connecting = capnode::connect::<Connection>(&url).dialect(dialect);
            let (connection, accepted) = tokio::join!(connecting, server.accept());
            let (connection, (mut stream, _)) = (connection.unwrap(), accepted.unwrap());
            stream.write_all(format!("{first}\n").as_bytes()).await.unwrap();
            let closed = soon(connection.closed()).await;
            assert_eq!(closed.kind(), ErrorKind::Protocol, "{first}: {closed}");
            assert!(closed.message().contains(&format!("not one of {name}")), "{first}: {closed}");
        }
    }
}

#[tokio::test]
async fn a_first_message_that_breaks_a_limit_is_told_which() {
    for dialect in [None, Some(Dialect::Q)] {
        for (depth, words) in [(16, "resolve"), (30, "too deep")] {
            let (index, _) = counting();
            let node = Node::builder().index(index).limits(limits(|limits| limits.depth = 20));
            let node = speaking(node, dialect);
            let listener = node.listen("tcp://127.0.0.1:0").await.unwrap();
            let args = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
            let call = format!(r#"{{"type":"send","to":"","from":"a","op":"post","args":["add",[{args}]]}}"#);
            let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            stream.write_all(format!("{call}\n").as_bytes()).await.unwrap();
            let mut said = vec![0; 4096];
            let length = soon(stream.read(&mut said)).await.unwrap();
            let said = String::from_utf8_lossy(&said[..length]);
            // Q-Connection has no word for the end of a session, which is the end of the stream.
            let told = if depth > 20 && dialect.is_some() { said.is_empty() } else { said.contains(words) };
            assert!(told, "{dialect:?} {depth}: {said}");
        }
    }
}

#[test]
fn a_call_made_before_the_language_is_known_ends_with_a_session_that_ends_at_once() {
    for first in
        ["[1][2]", "[\"push\"]", "[\"x\",1]", "{\"type\":\"index\"}x", "{\"type\":\"send\"}x", "nonsense"]
    {
        let core = Core::accepting(());
        // Held, as by a program that calls again.
        let peer = core.index::<Cap>();
        let mut call = Box::pin(peer.apply::<Value>((1,)).into_future());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(call.as_mut().poll(&mut cx).is_pending(), "{first}");
        core.receive(first);
        if core.closed().is_none() {
            core.close("the test is over");
        }
        assert!(call.as_mut().poll(&mut cx).is_ready(), "{first}");
    }
}
