//! Errors with a stream, a blob and a reference in their properties: within a program, between two, through a relay and
//! a membrane, and with npm's `capnweb`.

use capnode::value::Blob;
use capnode::{
    Bytes, Cap, Client as _, Connection, Dialect, Error, Func, Membrane, Node, Policy, Reader, connect,
};
use capnode_tests::{in_memory, js, soon, until};

/// Passes all.
struct Passing;

impl Policy for Passing {}

type Doubling = Func<fn(u32) -> u32>;

/// An error with one of each.
fn full() -> Error {
    let double: Doubling = Func::new(|number: u32| async move { 2 * number });
    let file = Blob { content_type: "text/plain".to_owned(), body: Bytes::from(&b"bytes"[..]).into() };
    let error = Error::rejected("no").with_property("numbers", Reader::from_iter([1, 2, 3])).unwrap();
    let error = error.with_property("code", "old").unwrap().with_property("file", file).unwrap();
    error.with_property("double", double).unwrap().with_property("code", "E").unwrap()
}

#[capnode::interface]
trait Fails {
    async fn fail(&self) -> Result<(), Error>;
    async fn torn(&self) -> Reader<u32>;
}

struct Failing;

impl Fails for Failing {
    async fn fail(&self) -> Result<(), Error> {
        Err(full())
    }

    async fn torn(&self) -> Reader<u32> {
        Reader::fallible(futures_util::stream::iter([Err::<u32, _>(full())]))
    }
}

fn failing() -> FailsClient {
    FailsClient::new(Failing)
}

async fn thrown_by(index: &Cap) -> Error {
    soon(index.invoke::<()>("fail", ()).into_future()).await.unwrap_err()
}

async fn file_of(error: &Error) -> Vec<u8> {
    let file = error.property::<Blob>("file").expect("the blob is there");
    assert_eq!(file.content_type, "text/plain");
    soon(file.body.read_to_end(100)).await.unwrap()
}

/// Uses all that is in the error.
async fn check(error: &Error) {
    assert_eq!((error.message(), error.property::<String>("code").as_deref()), ("no", Some("E")));
    let mut numbers = error.property::<Reader<u32>>("numbers").expect("the stream is there");
    for number in 1..=3 {
        assert_eq!(soon(numbers.next()).await.unwrap().unwrap(), number);
    }
    assert!(soon(numbers.next()).await.is_none());
    assert_eq!(file_of(error).await, b"bytes");
    let double = error.property::<Doubling>("double").expect("the function is there");
    assert_eq!(soon(double.call(4).into_future()).await.unwrap(), 8);
}

/// Waits until the connection holds nothing but perhaps its index.
async fn nothing_left(connection: &Connection) {
    until("all is released", || {
        let tables = connection.tables();
        tables.imports <= 1 && (tables.exports, tables.calls, tables.running) == (0, 0, 0)
    })
    .await;
}

#[tokio::test]
async fn an_error_brings_what_is_in_it_within_a_program_and_over_a_connection() {
    check(&thrown_by(&failing().cap().clone()).await).await;
    let (there, index) = in_memory::<Cap>(&Node::new(failing()), Dialect::CapnWeb).await;
    let error = thrown_by(&index).await;
    check(&error).await;
    drop(error);
    nothing_left(&there).await;
    // One that nobody looks into is given back as well.
    drop(thrown_by(&index).await);
    nothing_left(&there).await;
    let mut torn = soon(index.invoke::<Reader<u32>>("torn", ()).into_future()).await.unwrap();
    check(&soon(torn.next()).await.unwrap().unwrap_err()).await;
}

#[tokio::test]
async fn an_error_brings_what_is_in_it_through_a_relay() {
    let (there, index) = in_memory::<Cap>(&Node::new(failing()), Dialect::CapnWeb).await;
    let (relay, relayed) = in_memory::<Cap>(&Node::new(index), Dialect::CapnWeb).await;
    let error = thrown_by(&relayed).await;
    check(&error).await;
    drop(error);
    nothing_left(&relay).await;
    nothing_left(&there).await;
}

#[tokio::test]
async fn a_membrane_wraps_what_is_in_an_error() {
    let membrane = Membrane::new(Passing);
    let index = membrane.wrap::<Cap>(failing().cap().clone());
    check(&thrown_by(&index).await).await;
    let error = thrown_by(&index).await;
    let mut torn = soon(index.invoke::<Reader<u32>>("torn", ()).into_future()).await.unwrap();
    let by_stream = soon(torn.next()).await.unwrap().unwrap_err();
    membrane.revoke(Error::rejected("over").with_property("code", 1).unwrap());
    for error in [error, by_stream] {
        let mut numbers = error.property::<Reader<u32>>("numbers").unwrap();
        assert_eq!(soon(numbers.next()).await.unwrap().unwrap_err().message(), "over");
        let double = error.property::<Doubling>("double").unwrap();
        assert_eq!(soon(double.call(4).into_future()).await.unwrap_err().message(), "over");
    }
    // What a reason brings would be outside of it.
    let membrane = Membrane::new(Passing);
    let index = membrane.wrap::<Cap>(failing().cap().clone());
    membrane.revoke(full());
    let error = thrown_by(&index).await;
    assert!(error.message() == "no" && error.property::<Doubling>("double").is_none());
}

#[tokio::test]
async fn a_language_whose_errors_are_bare_lends_nothing_for_them() {
    for dialect in [Dialect::Capnode, Dialect::Q] {
        let (there, index) = in_memory::<Cap>(&Node::new(failing()), dialect).await;
        soon(index.invoke::<()>("nothing", ()).into_future()).await.unwrap_err();
        let before = there.tables().exports;
        let error = thrown_by(&index).await;
        assert_eq!((error.message(), error.property::<String>("code").as_deref()), ("no", Some("E")));
        assert_eq!(there.tables().exports, before, "{dialect}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn npm_sends_a_blob_in_an_error_and_takes_ours() {
    if !js::ready() {
        return;
    }
    let server = js::Server::start("tour_server.mjs", &["--ws", "127.0.0.1:0"]).await;
    let connection: Connection = connect(&format!("ws://{}", server.address())).await.unwrap();
    let tour: Cap = connection.index();
    let error = soon(tour.invoke::<()>("failWithFile", ()).into_future()).await.unwrap_err();
    assert_eq!((error.message(), file_of(&error).await), ("it broke", b"bytes".to_vec()));
    drop(error);
    // Through us and back.
    let (relay, relayed) = in_memory::<Cap>(&Node::new(tour.clone()), Dialect::CapnWeb).await;
    let error = soon(relayed.invoke::<()>("failWithFile", ()).into_future()).await.unwrap_err();
    assert_eq!(file_of(&error).await, b"bytes");
    drop(error);
    nothing_left(&relay).await;
    // It gives back at once what it finds in an error.
    let error = soon(tour.invoke::<()>("failBy", (failing(),)).into_future()).await.unwrap_err();
    assert_eq!((error.message(), error.property::<String>("code").as_deref()), ("no", Some("E")));
    nothing_left(&connection).await;
}
