//! Descriptions that are asked for at run time.

#![cfg(all(feature = "describe", feature = "ws"))]
#![allow(missing_docs)]

use capnode::describe::{Description, describing};
use capnode::{Cap, Client, Connection, ErrorKind, Node, Value};

#[capnode::interface]
pub trait Clock {
    /// Milliseconds since it was started.
    async fn now(&self) -> u32;
    #[capnode(property)]
    async fn zone(&self) -> String;
}

struct Stopped;

impl Clock for Stopped {
    async fn now(&self) -> u32 {
        7
    }

    async fn zone(&self) -> String {
        "UTC".to_owned()
    }
}

fn described() -> ClockClient {
    describing(&ClockClient::new(Stopped)).unwrap()
}

async fn connected<T>(client: ClockClient, with: impl AsyncFnOnce(Cap) -> T) -> T {
    let listener = Node::new(client).listen("ws://127.0.0.1:0").await.unwrap();
    let connection: Connection = capnode::connect(&listener.url()).await.unwrap();
    with(connection.index()).await
}

#[tokio::test]
async fn a_peer_reads_the_description_of_an_object_that_says_it() {
    let read = connected(described(), async |clock| clock.get::<Description>("capnode:describe").await);
    assert_eq!(read.await.unwrap(), Description::of::<ClockClient>());
}

#[tokio::test]
async fn an_object_that_does_not_say_it_has_no_such_property() {
    let clock = ClockClient::new(Stopped);
    let read = connected(clock, async |clock| clock.get::<Value>("capnode:describe").await);
    assert_eq!(read.await.unwrap(), Value::Undefined);
}

#[tokio::test]
async fn all_else_is_as_it_is_without() {
    connected(described(), async |clock| {
        let clock = ClockClient::from_cap(clock);
        assert_eq!((clock.now().await.unwrap(), clock.zone().await.unwrap().as_str()), (7, "UTC"));
        assert!(clock.cap().invoke::<Value>("capnode:describe", ()).await.is_err());
        assert!(clock.cap().get::<Value>("other").await.unwrap() == Value::Undefined);
    })
    .await;
    let clock = described();
    assert_eq!(clock.cap().keys().await.unwrap(), ["now", "zone"]);
    assert_eq!((clock.now().await.unwrap(), clock.zone().await.unwrap().as_str()), (7, "UTC"));
}

#[tokio::test]
async fn a_membrane_decides_about_the_property() {
    let clock = capnode::membrane(described(), capnode::policy::only(["Clock.now"]));
    assert_eq!(clock.now().await.unwrap(), 7);
    let refused = clock.cap().get::<Description>("capnode:describe").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
}
