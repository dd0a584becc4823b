//! User code that panics: the caller is told so, and everything else goes on.

use crate::harness::*;
use capnode::{CallError, Reader};

/// Panics when it is written, or read, or dropped.
#[derive(Default)]
struct Fragile {
    written: bool,
    dropped: bool,
}

impl serde::Serialize for Fragile {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(!self.written, "on purpose");
        serializer.serialize_unit()
    }
}

impl<'de> serde::Deserialize<'de> for Fragile {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("on purpose")
    }
}

impl std::fmt::Display for Fragile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("fragile")
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(!self.dropped, "on purpose");
    }
}

const DROPPED: Fragile = Fragile { written: false, dropped: true };
const WRITTEN: Fragile = Fragile { written: true, dropped: false };

#[capnode::interface]
trait Fragiles {
    async fn make(&self) -> FragilesClient;
    async fn hold(&self);
    async fn ok(&self) -> u32;
    async fn unwritable(&self) -> Fragile;
    async fn unwritable_error(&self) -> Result<(), Fragile>;
    /// The error of another object, which is passed on with its data unread.
    async fn pass_on(&self) -> Result<(), Error>;
    async fn panic_with(&self, what: u32);
    async fn stream(&self) -> Reader<u32>;
}

struct Object(#[allow(dead_code)] Option<Fragile>);

impl Fragiles for Object {
    async fn make(&self) -> FragilesClient {
        FragilesClient::new(Object(Some(DROPPED)))
    }

    async fn hold(&self) {
        let _held = DROPPED;
        std::future::pending().await
    }

    async fn ok(&self) -> u32 {
        1
    }

    async fn unwritable(&self) -> Fragile {
        WRITTEN
    }

    async fn unwritable_error(&self) -> Result<(), Fragile> {
        Err(WRITTEN)
    }

    async fn pass_on(&self) -> Result<(), Error> {
        FragilesClient::new(Object(None)).cap().invoke("unwritableError", ()).await
    }

    async fn stream(&self) -> Reader<u32> {
        let held = DROPPED;
        Reader::from_iter(std::iter::repeat_with(move || {
            let _held = &held;
            1
        }))
    }

    async fn panic_with(&self, what: u32) {
        match what {
            0 => panic!("a text"),
            1 => panic!("a number, {what}"),
            2 => std::panic::panic_any(what),
            // Its drop panics as well.
            _ => std::panic::panic_any(DROPPED),
        }
    }
}

fn fragile() -> (Pair, FragilesClient) {
    let pair = connected(FragilesClient::new(Object(None)));
    let client = pair.index();
    (pair, client)
}

/// The id that stands in the message of an error that tells of a panic.
fn id(message: &str) -> &str {
    let id = message.strip_prefix("the handler panicked (id ").and_then(|rest| rest.strip_suffix(')'));
    let id = id.unwrap_or_else(|| panic!("{message}"));
    assert!(id.len() == 8 && id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{id}");
    id
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "in WebAssembly a panic ends the program")]
fn whatever_a_handler_panics_with_its_caller_gets_an_id_of_its_own() {
    let (mut pair, client) = fragile();
    let mut ids = Vec::new();
    for what in 0..4 {
        let error = pair.wait(client.panic_with(what)).unwrap_err();
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Rejected, Fate::Answered));
        ids.push(id(error.message()).to_owned());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    assert_eq!(pair.wait(client.ok()).unwrap(), 1);
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "in WebAssembly a panic ends the program")]
fn a_panic_while_a_result_is_written_is_an_error_to_the_caller() {
    let (mut pair, client) = fragile();
    let error = pair.wait(client.unwritable()).err().expect("it panics");
    id(error.message());
    let Err(CallError::Failed(error)) = pair.wait(client.unwritable_error()) else { panic!("it panics") };
    id(error.message());
    assert_eq!(pair.wait(client.ok()).unwrap(), 1);
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "in WebAssembly a panic ends the program")]
fn an_error_of_which_the_data_panics_has_its_message_left() {
    let (mut pair, client) = fragile();
    let Err(CallError::Returned(error)) = pair.wait(client.pass_on()) else { panic!("it fails") };
    assert_eq!(error.message(), "fragile");
    assert_eq!(pair.wait(client.ok()).unwrap(), 1);
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "in WebAssembly a panic ends the program")]
fn a_panic_while_an_argument_is_written_late_fails_the_call_as_not_sent() {
    type Takes = Func<fn(Fragile)>;

    let mut peer = connecting();
    let (promised, resolver) = FragilesClient::promise();
    let mut call = Takes::from_cap(promised.cap().clone()).call(WRITTEN);
    let mut other = promised.ok();
    assert!(poll(&mut call).is_pending() && poll(&mut other).is_pending());
    // It does not concern the resolver of the promise.
    resolver.resolve(FragilesClient::from_cap(peer.core().index::<Cap>()));
    let Poll::Ready(Err(error)) = poll(&mut call) else { panic!("it panics") };
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Encode, Fate::NotSent));
    assert!(peer.frames().concat().contains("\"ok\""), "the one behind it is sent");
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "in WebAssembly a panic ends the program")]
fn a_panic_while_an_object_is_dropped_harms_nobody() {
    let (mut pair, client) = fragile();
    let made = pair.wait(client.make()).unwrap();
    drop(made);
    pair.settle();
    assert_eq!(pair.wait(client.ok()).unwrap(), 1);
    // Two at once, when the session ends: were one not caught, the other would end the program.
    let made = [pair.wait(client.make()).unwrap(), pair.wait(client.make()).unwrap()];
    pair.accepting().close("enough");
    assert_eq!(pair.accepting().tables().exports, 0);
    drop(made);
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "in WebAssembly a panic ends the program")]
fn a_panic_while_an_object_is_dropped_by_a_call_that_does_not_reach_it_harms_nobody() {
    // The call is the last to hold the object, and is refused for its arguments.
    let object = FragilesClient::new(Object(Some(DROPPED)));
    let mut call = object.cap().invoke::<()>("panicWith", ("no number",));
    drop(object);
    match poll(&mut call) {
        Poll::Ready(Err(error)) => assert!(error.message().contains("argument 1, `what`"), "{error}"),
        other => panic!("{other:?}"),
    }
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "in WebAssembly a panic ends the program")]
fn a_panic_while_a_handler_is_dropped_harms_nobody() {
    let (mut pair, client) = fragile();
    let held = started(client.hold());
    pair.settle();
    assert_eq!(pair.handlers(), 1);
    drop(held);
    pair.settle();
    assert_eq!(pair.handlers(), 0, "it is cancelled");
    assert_eq!(pair.wait(client.ok()).unwrap(), 1);
    let mut held = [client.hold(), client.hold()];
    assert!(held.iter_mut().all(|call| poll(call).is_pending()));
    pair.settle();
    pair.accepting().close("enough");
    pair.poll_handlers(Side::Accepting);
    assert_eq!(pair.handlers(), 0);
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "in WebAssembly a panic ends the program")]
fn a_callback_that_panics_at_the_end_keeps_no_other_from_being_called() {
    let log = Log::default();
    let (mut pair, client) = fragile();
    let heard = log.clone();
    let _guards = [
        client.cap().on_broken(|_| panic!("on purpose")),
        client.cap().on_broken(|_| std::panic::panic_any(DROPPED)),
        client.cap().on_broken(move |error| heard.push(error)),
    ];
    let mut held = started(client.hold());
    pair.settle();
    pair.connecting().close("cable cut");
    assert_eq!(log.take(), ["cable cut"]);
    assert!(matches!(poll(&mut held), Poll::Ready(Err(_))));
    // One that comes late.
    let _late = client.cap().on_broken(|_| panic!("on purpose"));
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "in WebAssembly a panic ends the program")]
fn a_listener_to_progress_that_panics_fails_no_call() {
    let steps = Func::<fn() -> u32>::new(|| async {
        for step in 0..3 {
            capnode::report_progress(&step).ok();
        }
        7
    });
    let log = Log::default();
    let heard = log.clone();
    let mut call = steps.call().on_progress(move |step: u32| {
        heard.push(step);
        assert!(step != 1, "on purpose");
    });
    assert!(matches!(poll(&mut call), Poll::Ready(Ok(7))));
    assert_eq!(log.take(), ["0", "1", "2"]);
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "in WebAssembly a panic ends the program")]
fn a_restorer_that_panics_is_a_handler_that_does() {
    struct Broken;

    impl capnode::Restorer for Broken {
        async fn restore(&self, id: &str) -> Result<Cap, Error> {
            panic!("no {id}")
        }
    }

    let mut pair = connected(capnode::RestorerClient::new(Broken));
    let restorer: capnode::RestorerClient = pair.index();
    for _ in 0..2 {
        let Err(error) = pair.wait(restorer.restore("a secret")) else { panic!("it fails") };
        id(&error.to_string());
    }
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "in WebAssembly a panic ends the program")]
fn a_panic_while_a_stream_or_a_listener_is_dropped_harms_nobody() {
    for dialect in [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q] {
        let connecting = Core::builder().dialect(dialect).connecting(());
        let mut pair = Pair::new(connecting, Core::builder().accepting(FragilesClient::new(Object(None))));
        let client: FragilesClient = pair.index();
        let held = DROPPED;
        let listens = move |(): ()| {
            let _held = &held;
        };
        // Only one of the languages has a word for progress.
        let _outcome = pair.wait(client.ok().on_progress(listens));
        for reads in [false, true] {
            let mut reader = pair.wait(client.stream()).unwrap();
            if reads {
                assert_eq!(pair.wait(reader.next()).unwrap().unwrap(), 1);
            }
            drop(reader);
            pair.settle();
        }
        assert_eq!(pair.wait(client.ok()).unwrap(), 1, "{dialect:?}");
    }
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "in WebAssembly a panic ends the program")]
fn a_panic_while_an_argument_is_dropped_harms_nobody() {
    type Takes = Func<fn(Fragile)>;

    let mut peer = connecting();
    let (promised, resolver) = FragilesClient::promise();
    let mut call = Takes::from_cap(promised.cap().clone()).call(DROPPED);
    let mut other = promised.ok();
    assert!(poll(&mut call).is_pending() && poll(&mut other).is_pending());
    // It is written now, and the value itself is not needed any more.
    resolver.resolve(FragilesClient::from_cap(peer.core().index::<Cap>()));
    assert!(peer.frames().concat().contains("\"ok\""), "the one behind it is sent");
}
