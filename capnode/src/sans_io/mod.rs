//! The core without input and output, for whoever brings a runtime or a wire of their own: a browser, an
//! embedded executor, a simulation, a fuzzer.
//!
//! A [`Core`] is one side of one connection. Its owner hands it the frames that arrive, writes the ones it
//! gives out, and polls the handlers it has started. Nothing in it reads, writes, spawns or sleeps, and it
//! knows the time only if it is [told](Core::tick).
//!
//! An [`Endpoint`] is a core with the handlers that it runs, and a [`Pair`] is two of them that talk to each other, for tests
//! and simulations.
//!
//! ```
//! use capnode::sans_io::Core;
//!
//! #[capnode::interface]
//! trait Adder {
//!     async fn add(&self, a: u32, b: u32) -> u32;
//! }
//!
//! struct Sum;
//!
//! impl Adder for Sum {
//!     async fn add(&self, a: u32, b: u32) -> u32 {
//!         a + b
//!     }
//! }
//!
//! let here = Core::connecting(());
//! let there = Core::accepting(AdderClient::new(Sum));
//!
//! let adder: AdderClient = here.index();
//! adder.add(1, 2).send().unwrap();
//! while let Some(frame) = here.next_frame() {
//!     there.receive(&frame);
//! }
//! // What does not end at once is polled by whoever owns the core.
//! assert!(there.handlers().is_empty());
//! ```

mod endpoint;
mod pair;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

pub use self::endpoint::Endpoint;
pub use self::pair::Pair;
pub use crate::session::Side;

use crate::cap::Cap;
use crate::cap::data::index;
use crate::dialect::Dialect;
use crate::error::{Error, ErrorKind};
use crate::interface::{Client, Offer};
use crate::limits::Limits;
use crate::link::report::Report;
use crate::link::task::Task;
use crate::link::{Link, Terms};
use crate::outgoing::Outgoing;
use crate::session::Tables;
use crate::sync::{Mutex, lock};

/// How many calls that have waited for room are started at once.
const STARTED: usize = 1_024;

/// One side of one connection, without its transport.
pub struct Core {
    link: Arc<Link>,
    out: Mutex<Outgoing>,
}

/// A handler of this side's that did not end at once. It ends when it is polled to its end, or when nobody
/// wants it any more.
#[must_use = "the handler gets nowhere unless it is polled"]
pub struct Handler(Task);

impl Core {
    /// The side that opens the connection, and what it offers to the other.
    pub fn connecting(offered: impl Offer) -> Self {
        Self::connecting_in(Dialect::CapnWeb, offered)
    }

    /// The side that is connected to, and what it offers.
    pub fn accepting(offered: impl Offer) -> Self {
        Self::accepting_within(Limits::default(), offered)
    }

    /// The side that is connected to, and what it offers, within limits of its own.
    pub fn accepting_within(limits: Limits, offered: impl Offer) -> Self {
        Self::new(Side::Accepting, Some(index(&offered)), Terms { limits, ..Terms::default() })
    }

    /// The side that opens the connection, in a language of its choice.
    pub fn connecting_in(dialect: Dialect, offered: impl Offer) -> Self {
        Self::connecting_within(Limits::default(), dialect, offered)
    }

    /// The same, within limits of its own.
    pub fn connecting_within(limits: Limits, dialect: Dialect, offered: impl Offer) -> Self {
        let terms = Terms { limits, dialect: Some(dialect), ..Terms::default() };
        Self::new(Side::Connecting, Some(index(&offered)), terms)
    }

    /// The peer's language: of the accepting side, once the peer has said something.
    pub fn dialect(&self) -> Option<Dialect> {
        self.link.dialect()
    }

    fn new(side: Side, index: Option<Cap>, terms: Terms) -> Self {
        Self { link: Link::new(side, index, terms), out: Mutex::default() }
    }

    /// What the peer offers, as the client of an interface.
    pub fn index<C: Client>(&self) -> C {
        C::from_cap(self.peer())
    }

    /// What the peer offers, without an interface.
    pub fn peer(&self) -> Cap {
        self.link.peer_index()
    }

    /// A function of a Capnode peer's, by the id that it has there.
    ///
    /// # Errors
    ///
    /// If the session has ended, or its language is not Capnode.
    pub fn reconstruct(&self, id: &str) -> Result<Cap, Error> {
        self.link.reconstruct(id)
    }

    /// Takes in a frame. One that breaks the protocol or a limit ends the session: see
    /// [`closed`](Core::closed).
    pub fn receive(&self, frame: &str) {
        self.link.receive(frame);
    }

    /// Says how much time has passed since the core was made, for those of its [`Limits`] that are
    /// about time. Does what is due, and says when to tell the time again: never, if there is no such limit.
    pub fn tick(&self, now: Duration) -> Option<Duration> {
        self.link.set_now(now);
        let tick = self.link.tick();
        if tick.ask {
            self.link.probe();
        }
        tick.next
    }

    /// The next frame to write.
    pub fn next_frame(&self) -> Option<String> {
        let mut out = lock(&self.out);
        if out.is_empty() {
            self.link.take_output(&mut out);
        }
        if out.is_empty() && self.link.is_leaving() {
            self.link.flush(true);
            self.link.take_output(&mut out);
        }
        out.pop_frame().map(str::to_owned)
    }

    /// The handlers that have been started since the last time, to be polled until they end.
    pub fn handlers(&self) -> Vec<Handler> {
        let mut started = 0;
        self.link.unpark(|| {
            started += 1;
            started < STARTED
        });
        self.link.take_tasks().into_iter().map(Handler).collect()
    }

    /// Sets whom to wake, once, when there is something to write, or a handler to poll. Whether there is already.
    pub fn set_waker(&self, waker: &Waker) -> bool {
        self.link.set_driver(Some(waker), true)
    }

    /// Ends the session, because the wire is cut or nobody needs it any more.
    pub fn close(&self, reason: &str) {
        self.link.close(Error::new(ErrorKind::Disconnected, reason));
    }

    /// Ends the session because the wire failed: what has not ended fails with `source` as the source of its error.
    pub fn fail(&self, reason: &str, source: impl std::error::Error + Send + Sync + 'static) {
        self.link.close(Error::new(ErrorKind::Disconnected, reason).with_source(source));
    }

    /// Why the session has ended, if it has. There may be frames left to write.
    pub fn closed(&self) -> Option<Error> {
        self.link.closed()
    }

    /// Whether neither this program holds anything of the peer's, nor the peer anything of ours but the index.
    pub fn is_idle(&self) -> bool {
        self.link.is_idle()
    }

    /// How the session stands with its [`Limits`].
    pub fn report(&self) -> Report {
        self.link.report()
    }

    /// How much the session holds at the moment.
    pub fn tables(&self) -> Tables {
        self.link.tables()
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.close("the core was dropped");
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("tables", &self.tables()).finish_non_exhaustive()
    }
}

impl Future for Handler {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handler")
    }
}
