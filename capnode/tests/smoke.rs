//! The shortest way from a trait to a peer and back.
use capnode::{Func, Node, Value, Error};
use serde::{Serialize, Deserialize};

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Message { from: String, text: String }
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub enum JoinError { Full }
impl std::fmt::Display for JoinError { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("full") } }

/// Chat.
#[capnode::interface]
pub trait Chat {
    /// Joins.
    async fn join(&self, name: &str, on_message: Func<fn(Message)>) -> Result<SeatClient, JoinError>;
    /// Echo.
    async fn echo(&self, x: Value) -> Value;
}

/// Seat.
#[capnode::interface]
pub trait Seat {
    /// Say.
    async fn say(&self, text: &str);
    /// Name.
    #[capnode(property)]
    async fn name(&self) -> String;
}

struct Room;
struct Place { name: String, on_message: Func<fn(Message)> }

impl Chat for Room {
    async fn join(&self, name: &str, on_message: Func<fn(Message)>) -> Result<SeatClient, JoinError> {
        if name == "full" { return Err(JoinError::Full); }
        Ok(SeatClient::new(Place { name: name.to_owned(), on_message }))
    }
    async fn echo(&self, x: Value) -> Value { x }
}
impl Seat for Place {
    async fn say(&self, text: &str) {
        self.on_message.call(Message { from: self.name.clone(), text: text.to_owned() }).await.unwrap();
    }
    async fn name(&self) -> String { self.name.clone() }
}

async fn check(chat: ChatClient) {
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    let seat = chat.join("ann", move |m: Message| { let tx = tx.clone(); async move { tx.send(m).unwrap(); } }).await.unwrap();
    seat.say("hi").await.unwrap();
    assert_eq!(rx.recv().await.unwrap().text, "hi");
    assert_eq!(seat.name().await.unwrap(), "ann");
    chat.join("bob", |_: Message| async {}).pipeline().say("yo").await.unwrap();
    let e = chat.join("full", |_: Message| async {}).await.unwrap_err();
    assert_eq!(e.returned(), Some(JoinError::Full));
    let back = chat.echo(Value::from([("seat", Value::Cap((*seat).clone())), ("n", Value::Number(5.0))])).await.unwrap();
    assert_eq!(back.get("seat").unwrap().cap(), Some(&*seat));
    let e: Error = chat.invoke::<Value>("nope", ()).await.unwrap_err();
    assert_eq!(e.message(), "'nope' is not a function.");
}

#[tokio::test]
async fn local() { check(ChatClient::new(Room)).await; }

#[tokio::test]
async fn memory() {
    let (a, b) = capnode::transport::pair();
    let node = Node::new(ChatClient::new(Room));
    let conn = node.serve(a).await.unwrap();
    let chat: ChatClient = capnode::connect_over(b).await.unwrap();
    check(chat.clone()).await;
    eprintln!("{:?}", conn);
    drop(chat);
    eprintln!("{:?}", conn.closed().await);
}

#[tokio::test]
async fn sockets() {
    for url in ["tcp://127.0.0.1:0", "ws://127.0.0.1:0"] {
        let node = Node::new(ChatClient::new(Room));
        let l = node.listen(url).await.unwrap();
        let chat: ChatClient = capnode::connect(&l.url()).await.unwrap();
        check(chat.clone()).await;
    }
}
