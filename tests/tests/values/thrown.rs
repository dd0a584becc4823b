//! Thrown values that are no errors, on their way through a Rust program.

use capnode::{Cap, Connection, Dialect, Node, transport};
use capnode_tests::soon;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The ends of a connection on which a test says each message itself.
fn by_hand() -> (transport::Channels, UnboundedSender<String>, UnboundedReceiver<String>) {
    let (to_node, from_test) = unbounded_channel();
    let (to_test, from_node) = unbounded_channel();
    (transport::channels(to_test, from_test), to_node, from_node)
}

/// Returns the answer to a peer by hand whose call reaches, through a node, a throwing function of another peer by
/// hand.
async fn thrown_through_a_node(from: Dialect, thrown: &Json, to: Dialect) -> Json {
    let (transport, to_node, mut from_node) = by_hand();
    let thrown = thrown.clone();
    let throwing = tokio::spawn(async move {
        while let Some(frame) = from_node.recv().await {
            let message: Json = serde_json::from_str(&frame).unwrap();
            let answer = match from {
                Dialect::Q => {
                    json!({ "type": "resolve", "to": message["from"], "resolution": { "!": thrown } })
                }
                _ if matches!(message[0].as_str(), Some("pull" | "stream")) => json!(["reject", 1, thrown]),
                _ => continue,
            };
            to_node.send(answer.to_string()).unwrap();
        }
    });
    let connection: Connection = Node::builder().dialect(from).build().connect_over(transport).await.unwrap();
    let (transport, to_node, mut from_node) = by_hand();
    let _served =
        Node::builder().index(connection.index::<Cap>()).dialect(to).build().serve(transport).await.unwrap();
    let frames = match to {
        Dialect::Q => {
            vec![json!({ "type": "send", "to": "", "from": "r", "op": "post", "args": ["fail", []] })]
        }
        _ => vec![json!(["push", ["pipeline", 0, ["fail"], []]]), json!(["pull", 1])],
    };
    for frame in frames {
        to_node.send(frame.to_string()).unwrap();
    }
    let answer: Json = serde_json::from_str(&soon(from_node.recv()).await.unwrap()).unwrap();
    throwing.abort();
    match to {
        Dialect::Q => answer["resolution"]["!"].clone(),
        _ => answer[2].clone(),
    }
}

#[tokio::test]
async fn what_is_thrown_and_is_no_error_passes_through_a_node_as_it_is() {
    for (thrown, passed) in [
        (json!("text"), json!("text")),
        (json!(42), json!(42)),
        (json!(true), json!(true)),
        (json!({ "code": 1 }), json!({ "code": 1 })),
        (json!([1, "a"]), json!([1, "a"])),
        // In Q-Connection these would be taken for results.
        (json!(0), json!({ "message": "0" })),
        (json!(""), json!({ "message": "" })),
        (json!(null), json!({ "message": "null" })),
    ] {
        assert_eq!(thrown_through_a_node(Dialect::Q, &thrown, Dialect::Q).await, passed);
        let in_capnweb = |value: &Json| if value.is_array() { json!([value]) } else { value.clone() };
        let there = in_capnweb(&thrown);
        assert_eq!(thrown_through_a_node(Dialect::CapnWeb, &there, Dialect::CapnWeb).await, there);
        assert_eq!(thrown_through_a_node(Dialect::CapnWeb, &there, Dialect::Q).await, passed);
        assert_eq!(thrown_through_a_node(Dialect::Q, &thrown, Dialect::CapnWeb).await, there);
    }
}
