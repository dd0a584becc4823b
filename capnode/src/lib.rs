//! Share live objects between programs.
//!
//! Annotate a trait with [`#[capnode::interface]`](macro@interface), implement it, and pass the object to another
//! program: it gets a typed client. Callbacks, objects, and results that have not arrived yet are ordinary arguments
//! and results, in both directions. Holding a reference is the permission to use it; dropping it releases it.
//!
//! ```
//! use capnode::{Func, Node};
//! use std::sync::Mutex;
//!
//! #[capnode::interface]
//! pub trait Chat {
//!     /// Takes a seat. `on_line` is called with each line from then on.
//!     async fn join(&self, name: &str, on_line: Func<fn(String)>) -> SeatClient;
//! }
//!
//! #[capnode::interface]
//! pub trait Seat {
//!     async fn say(&self, text: &str);
//! }
//!
//! // An implementation of an interface is one of an ordinary trait.
//! #[derive(Clone, Default)]
//! struct Room(std::sync::Arc<Mutex<Vec<Func<fn(String)>>>>);
//!
//! struct Place {
//!     name: String,
//!     room: Room,
//! }
//!
//! impl Chat for Room {
//!     async fn join(&self, name: &str, on_line: Func<fn(String)>) -> SeatClient {
//!         self.0.lock().unwrap().push(on_line);
//!         SeatClient::new(Place { name: name.to_owned(), room: self.clone() })
//!     }
//! }
//!
//! impl Seat for Place {
//!     async fn say(&self, text: &str) {
//!         let members = self.room.0.lock().unwrap().clone();
//!         for on_line in members {
//!             // Fails if this member has disconnected.
//!             let _disconnected = on_line.call(format!("{}: {text}", self.name)).await;
//!         }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // One program offers a room ...
//! let node = Node::new(ChatClient::new(Room::default()));
//! let listener = node.listen("tcp://127.0.0.1:0").await?;
//!
//! // ... and another uses it.
//! let chat: ChatClient = capnode::connect(&listener.url()).await?;
//! let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
//! let seat = chat
//!     .join("ann", move |line: String| {
//!         let sender = sender.clone();
//!         async move { sender.send(line).unwrap_or_default() }
//!     })
//!     .await?;
//! seat.say("hello").await?;
//! assert_eq!(heard.recv().await.as_deref(), Some("ann: hello"));
//!
//! // A call on a result that has not arrived yet: both are sent at once, in one round trip.
//! chat.join("bob", |_: String| async {}).pipeline().say("hi").await?;
//! assert_eq!(heard.recv().await.as_deref(), Some("bob: hi"));
//! # Ok(())
//! # }
//! ```
//!
//! # Overview
//!
//! * [`interface`](macro@interface) generates a typed client `ChatClient` from a trait `Chat`. It is cheap to clone, and
//!   stands for a local object, a remote one, or one that does not exist yet.
//! * Its methods return a [`Call`]: await it, [pipeline](Call::pipeline) on it, or just [send](Call::send) it.
//! * [`Func`] is a reference to a function. You can pass a closure where a method takes one.
//! * [`Reader`] and [`Writer`] are the ends of a stream: values that are too many, or too long, for one message.
//! * [`promise`] returns a client for an object that does not exist yet, and the resolver for it.
//! * [`Node`] offers your program's index to peers. [`connect`] returns the index of another program. [`Connection`] is
//!   the connection itself.
//! * [`Cap`] is a reference without an interface, and [`Value`] a value of any shape. [`Object`] is an object that you
//!   build at run time.
//! * [`membrane`](fn@membrane) and [`revocable`] put a [`policy`] around what you hand out: it ends, counts, narrows or asks.
//!   [`NodeBuilder::layer`] puts one at the edge of connections.
//! * [`context`] tells a method who calls it, how much time is left, and what goes along with the call.
//! * [`Connect::reconnecting`] makes a client that outlives its connections.
//! * [`Registry`] keeps ids by which references can be restored on other connections.
//! * [`transport`] has transports, and the trait for your own.
//!
//! # Guide
//!
//! The module [`guide`] teaches the library by topic: [getting started](guide::first),
//! [login](guide::login), [who may do what](guide::membranes), [callbacks, progress and cancellation](guide::callbacks),
//! [streams and big data](guide::streams), [maps](guide::maps), [errors](guide::errors),
//! [plugins over stdio](guide::plugins), [a browser page](guide::browser), [TypeScript](guide::typescript), [HTTP batches](guide::batches),
//! [seeing what happens](guide::observing), [testing](guide::testing),
//! [coming back after a disconnect](guide::reconnecting), and [disconnects, cycles and shutdown](guide::lifetime).
//! For reference there are the [exact rules](guide::semantics), [exposing a node to strangers](guide::exposing),
//! [what each permission promises](guide::permissions),
//! [peers of Cap'n Web](guide::peers), and [coming from Capnode and Q-Connection](guide::from_javascript).
//!
//! # Peers
//!
//! The wire protocol is Cap'n Web. A browser page or a Node program with npm's `capnweb` calls Rust objects, and is
//! called, without generated code. JavaScript's kinds of value, `Blob`, `Request` and `Response` among them, are types in [`value`].
//!
//! Programs with Capnode or npm's `q-connection` are peers too: a [`Node`] that listens detects the protocol by the
//! first frame, and [`Connect::dialect`] chooses one. [`guide::from_javascript`] lists the name here of each feature of
//! those two libraries.
//!
//! # Features
//!
//! | feature | default | what |
//! |---|---|---|
//! | `tokio` | yes | nodes, connections, transports over TCP, Unix sockets and child processes |
//! | `ws` | yes | WebSockets |
//! | `tls` | yes | `wss://` and `https://`, by rustls |
//! | `http` | no | HTTP batches, as client and as server, at `http://` and `https://` |
//! | `tracing` | no | a span for each connection and its handlers, and for each call by [`policy::trace`](policy); events for panics of handlers, and the beginnings and ends of sessions |
//! | `metrics` | no | counts of calls, connections and limits, by the facade `metrics`: [`policy::metrics`](policy) |
//! | `testing` | no | lines that are slow or are cut, and simulated networks, for your tests: [`testing`] |
//! | `axum` | no | a node as a route of an axum application |
//! | `web` | no | nodes and connections in a page or worker, without tokio, for `wasm32-unknown-unknown` alone; see [the guide](guide::browser) |
//! | `describe` | no | a description of each interface, as JSON and as TypeScript: [`describe`] |
//! | `signed` | no | signed references, which are delegated from key to key: [`signed`] |
//! | `redb` | no | a store of sturdy references in a file: `sturdy::FileStore` |
//! | `sturdy` | no | sturdy references, texts for objects that outlive connections and programs, and the gatekeeper of signed ones: [`sturdy`] |
//!
//! Without features, the core is left: references and the wire protocols, without tokio. Drive it with [`sans_io`].
//!
//! # Debug builds
//!
//! A debug build takes several times as long for each call as a release build, and more stack. Measure with
//! `--release`. To optimize dependencies in debug builds of your own program, add this to its `Cargo.toml`:
//!
//! ```toml
//! [profile.dev.package."*"]
//! opt-level = 2
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(missing_docs, missing_debug_implementations, unnameable_types)]
// The core alone reaches less.
#![cfg_attr(feature = "host", warn(unreachable_pub))]
#![cfg_attr(
    not(test),
    warn(
        unused_qualifications,
        clippy::dbg_macro,
        clippy::expect_used,
        clippy::print_stderr,
        clippy::print_stdout,
        clippy::todo,
        clippy::too_many_lines,
        clippy::unwrap_used
    )
)]
#![forbid(unsafe_code)]

#[cfg(all(feature = "web", not(feature = "tokio"), not(all(target_family = "wasm", target_os = "unknown"))))]
compile_error!(
    "capnode's feature `web` is for the target wasm32-unknown-unknown: everywhere else use `tokio`"
);
#[cfg(all(feature = "host", not(any(feature = "tokio", feature = "web"))))]
compile_error!("capnode's feature `host` is enabled by `tokio` or `web`, which say what host it is");

// The macro's output names the crate, in the crate's own tests too.
#[cfg(test)]
extern crate self as capnode;

#[cfg(feature = "axum")]
pub mod axum;
mod bounds;
mod caller;
mod cap;
#[cfg(feature = "host")]
mod connection;
#[cfg(feature = "describe")]
pub mod describe;
mod dialect;
#[cfg(feature = "host")]
mod driver;
mod error;
mod escape;
#[cfg(feature = "host")]
mod events;
#[cfg(all(any(fuzzing, test), feature = "ws"))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(all(doc, feature = "tls"))]
pub mod guide;
mod interface;
mod kinds;
mod limits;
mod link;
mod message;
#[cfg(feature = "host")]
mod node;
mod object;
mod opaque;
#[cfg(feature = "ws")]
mod origin;
mod outgoing;
mod panics;
pub mod policy;
mod registry;
mod remote;
mod reserved;
mod retention;
mod runtime;
pub mod sans_io;
#[cfg(feature = "testing")]
mod seeded;
mod session;
mod setters;
#[cfg(feature = "signed")]
pub mod signed;
#[cfg(feature = "sturdy")]
pub mod sturdy;
mod sweep;
mod sync;
mod table;
#[cfg(feature = "testing")]
pub mod testing;
mod text_pool;
mod thin_vec;
mod threads;
#[cfg(feature = "host")]
pub mod transport;
#[cfg(feature = "ws")]
mod upgrade;
pub mod value;
#[cfg(all(feature = "web", not(feature = "tokio")))]
pub mod web;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use capnode_derive::interface;

pub use caller::Caller;
pub use cap::context::{Context, context, report_progress};
pub use cap::membrane::Membrane;
pub use cap::policy::{CallInfo, Decision, Direction, Operation, Policy, Waiting};
pub use cap::{Cap, OnBroken};
#[cfg(feature = "host")]
pub use connection::{Connection, FromConnection};
pub use dialect::Dialect;
pub use error::{CallError, Error, ErrorKind, Fate, Fault};
pub use interface::args::UntypedArgs;
pub use interface::call::{Call, Failed};
pub use interface::func::{Func, IntoFallibleFunc, IntoFunc, PlainFunc};
pub use interface::into_reader::IntoReader;
pub use interface::map::{Element, Elements, Mapped};
pub use interface::stream::{Reader, Writer, pipe};
pub use interface::{
    Client, FromCap, Offer, Resolver, Serve, Wire, WireError, membrane, promise, revocable, serve,
};
pub use limits::{LimitKind, Limits};
pub use link::LostMessage;
pub use link::report::Report;
#[cfg(feature = "sturdy")]
pub use node::Reach;
#[cfg(feature = "tokio")]
pub use node::{
    Connect, LineState, Listener, Reconnecting, Reconnection, Subscription, Update, cap_wrap, connect,
    reconnecting, subscribe,
};
#[cfg(feature = "host")]
pub use node::{Drained, Incoming, Node, NodeBuilder, connect_over};
pub use object::Object;
pub use registry::{Registered, Registry, Restorer, RestorerClient};
pub use session::Tables;
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;
#[doc(inline)]
pub use value::{BigInt, ByteKind, Bytes, Date, ErrorValue, Headers, Url, Value};
