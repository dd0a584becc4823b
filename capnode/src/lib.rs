//! Share live objects between programs.
//!
//! Annotate a trait with [`#[capnode::interface]`](macro@interface), implement it, hand the object out: the
//! other end of the connection gets a typed client for it. Callbacks, objects, and results that are not there
//! yet travel as ordinary arguments and results, both ways. Holding a reference is the permission to use it;
//! dropping it gives it back.
//!
//! ```
//! use capnode::{Func, Node};
//! use std::sync::Mutex;
//!
//! #[capnode::interface]
//! pub trait Chat {
//!     /// Takes a seat; `on_line` is called for every line from then on.
//!     async fn join(&self, name: &str, on_line: Func<fn(String)>) -> SeatClient;
//! }
//!
//! #[capnode::interface]
//! pub trait Seat {
//!     async fn say(&self, text: &str);
//! }
//!
//! // Implementing an interface is implementing a trait.
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
//!         let everybody = self.room.0.lock().unwrap().clone();
//!         for on_line in everybody {
//!             // Somebody may have left without a word.
//!             let _gone = on_line.call(format!("{}: {text}", self.name)).await;
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
//! // A call on a result that is not there yet: both travel at once, in one round trip.
//! chat.join("bob", |_: String| async {}).pipeline().say("hi").await?;
//! assert_eq!(heard.recv().await.as_deref(), Some("bob: hi"));
//! # Ok(())
//! # }
//! ```
//!
//! # What there is
//!
//! * [`interface`](macro@interface) makes of a trait `Chat` a typed client `ChatClient`, cheap to clone, which
//!   stands for an object here, at the other end, or nowhere yet.
//! * Its methods give a [`Call`]: await it, [pipeline](Call::pipeline) on it, or just [send](Call::send) it.
//! * [`Func`] is a reference to a function. Where an interface wants one, a closure will do.
//! * [`promise`] makes a client for what does not exist yet.
//! * [`Node`] is what a program offers, and to whom; [`connect`] gets at what another offers;
//!   [`Connection`] is the connection itself.
//! * [`Cap`] and [`Value`] are for what has no interface: references of any kind, values of any shape. [`Object`] is an
//!   object put together at run time.
//! * [`Registry`] keeps ids by which references can be asked for on other connections.
//! * [`transport`] has ready transports, and the trait for your own.
//!
//! # Guide
//!
//! The module [`guide`] teaches the library by topic: [getting started](guide::first),
//! [login](guide::login), [callbacks, progress and cancellation](guide::callbacks), [errors](guide::errors),
//! [plugins over stdio](guide::plugins), [a browser page](guide::browser), [testing](guide::testing), and
//! [disconnects, cycles and shutdown](guide::lifetime). [`guide::semantics`] has the exact rules.
//!
//! # Peers
//!
//! The wire language is Cap'n Web's, that of npm's `capnweb`. A browser page or a Node program with that package
//! calls Rust objects, and is called, without any glue. Streams, blobs, `map` and HTTP batches are not supported
//! yet; a peer that uses them gets an error that says so.
//!
//! Programs with Capnode or npm's `q-connection` are peers too: a [`Node`] that listens tells the language by the first
//! frame, and [`Connect::dialect`] chooses one. [`guide::from_javascript`] lists what each feature of those two libraries
//! is called here.
//!
//! # Features
//!
//! | feature | default | what |
//! |---|---|---|
//! | `tokio` | yes | nodes, connections, transports over TCP, Unix sockets and child processes |
//! | `ws` | yes | WebSockets |
//! | `tls` | yes | `wss://`, by rustls |
//! | `tracing` | no | a span for each connection, around what its handlers say; events for their panics and the ends of sessions |
//! | `axum` | no | a node as a route of an axum application |
//!
//! Without any, what is left is the core: references and the wire language, with no tokio. [`sans_io`] is how to
//! drive it.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(missing_docs)]
// The core alone reaches less.
#![cfg_attr(feature = "tokio", warn(unreachable_pub))]
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

// The macro's output names the crate, also in its own tests.
#[cfg(test)]
extern crate self as capnode;

#[cfg(feature = "axum")]
pub mod axum;
mod bounds;
mod cap;
#[cfg(feature = "tokio")]
mod connection;
mod dialect;
#[cfg(feature = "tokio")]
mod driver;
mod error;
mod few;
#[cfg(all(any(fuzzing, test), feature = "ws"))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(all(doc, feature = "tls"))]
pub mod guide;
mod interface;
mod kinds;
mod limits;
mod link;
mod names;
#[cfg(feature = "tokio")]
mod node;
mod object;
mod op;
#[cfg(any(feature = "axum", feature = "ws"))]
mod origin;
mod outgoing;
mod panics;
mod printable;
mod registry;
mod remote;
mod runtime;
pub mod sans_io;
mod session;
mod spare;
mod sweep;
mod sync;
mod table;
#[cfg(feature = "tokio")]
pub mod transport;
#[cfg(any(feature = "axum", feature = "ws"))]
mod upgrade;
pub mod value;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use capnode_derive::interface;

pub use cap::progress::report_progress;
pub use cap::{Cap, OnBroken};
#[cfg(feature = "tokio")]
pub use connection::{Connection, FromConnection};
pub use dialect::Dialect;
pub use error::{CallError, Error, ErrorKind, Fate, Fault};
pub use interface::args::UntypedArgs;
pub use interface::call::{Call, Failed};
pub use interface::func::{Func, IntoFallibleFunc, IntoFunc};
pub use interface::{Client, Offer, Resolver, Serve, Wire, WireError, promise, serve};
pub use limits::Limits;
pub use link::LostMessage;
pub use link::report::Report;
#[cfg(feature = "tokio")]
pub use node::{Connect, Drained, Incoming, Listener, Node, cap_wrap, connect, connect_over};
pub use object::Object;
pub use registry::{Registered, Registry, Restorer, RestorerClient};
pub use session::Tables;
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;
#[doc(inline)]
pub use value::{BigInt, ByteKind, Bytes, Date, ErrorValue, Headers, Url, Value};
