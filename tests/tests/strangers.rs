//! What reaches a listener that is no peer at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use capnode::sans_io::Core;
use capnode::{Dialect, ErrorKind, Func, Limits, Node, Object};
use capnode_tests::soon;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

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

/// Writes `text`, and returns what comes until the other side ends the stream.
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
    for dialect in [None, Some(Dialect::CapnWeb), Some(Dialect::Capnode), Some(Dialect::Q)] {
        for call in CALLS {
            let (index, count) = counting();
            let node = Node::new(index);
            let node = match dialect {
                Some(dialect) => node.dialect(dialect),
                None => node,
            };
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
        let listener = Node::new(index).dialect(dialect).listen("tcp://127.0.0.1:0").await.unwrap();
        let answer = answered(listener.local_addr().unwrap(), &format!("{call}{}", CALLS[2])).await;
        assert!(!answer.contains("resolve") && !answer.contains("return"), "{dialect:?}: {answer}");
        assert_eq!(count.load(Ordering::SeqCst), 0, "{dialect:?}");
    }
}

#[tokio::test]
async fn a_first_text_that_is_no_message_is_the_end_of_a_websocket() {
    for dialect in [None, Some(Dialect::CapnWeb), Some(Dialect::Capnode), Some(Dialect::Q)] {
        let (index, count) = counting();
        let node = Node::new(index);
        let node = match dialect {
            Some(dialect) => node.dialect(dialect),
            None => node,
        };
        let listener = node.listen("ws://127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut socket, _) = tokio_tungstenite::client_async(listener.url(), stream).await.unwrap();
        for text in ["hello", CALLS[0], CALLS[1], CALLS[2]] {
            // The other side may have closed it already.
            let _closed = socket.send(Message::text(text.trim_end())).await;
        }
        // It comes to an end, and says nothing but why.
        while let Some(Ok(message)) = soon(socket.next()).await {
            let text = message.into_text().unwrap_or_default();
            assert!(!text.contains("resolve") && !text.contains("return"), "{dialect:?}: {text}");
        }
        assert_eq!(count.load(Ordering::SeqCst), 0, "{dialect:?}");
    }
}

#[test]
fn both_roles_end_at_a_first_message_of_no_language_and_say_which_was_expected() {
    let expected = |core: &Core, words: &str| {
        let closed = core.closed().expect("it has ended");
        assert_eq!(closed.kind(), ErrorKind::Protocol);
        assert!(closed.message().contains(words), "{closed}");
    };
    for (dialect, name) in [(Dialect::Capnode, "Capnode"), (Dialect::Q, "Q-Connection")] {
        for first in ["hello", "[]", "{}", r#"{"type":"nothing"}"#] {
            let core = Core::connecting_in(dialect, ());
            core.receive(first);
            expected(&core, &format!("not one of {name}"));
        }
    }
    let core = Core::accepting(());
    core.receive(r#"{"type":"nothing"}"#);
    expected(&core, "any language");
}

#[test]
fn a_first_message_that_breaks_a_limit_says_so() {
    let mut limits = Limits::default();
    limits.depth = 20;
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let call = |depth: usize| {
        let args = nested(depth);
        format!(r#"{{"type":"send","to":"","from":"a","op":"post","args":["echo",[{args}]]}}"#)
    };
    for (depth, passes) in [(18, true), (30, false)] {
        let core = Core::accepting_within(limits.clone(), ());
        core.receive(&call(depth));
        match core.closed() {
            None => assert!(passes, "{depth}"),
            Some(closed) => {
                assert_eq!((closed.exceeded(), passes), (Some("depth"), false), "{depth}: {closed}")
            }
        }
    }
}
