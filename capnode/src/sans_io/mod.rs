//! The core without input and output, for programs that bring a runtime or a wire of their own: a browser, an embedded
//! executor, a simulation, a fuzzer.
//!
//! A [`Core`] is one side of one connection. Its owner hands it the frames that arrive, writes the frames that it gives
//! out, and polls the handlers that it has started. Nothing in it reads, writes, spawns or sleeps, and it knows the
//! time only if it is [told](Core::tick).
//!
//! An [`Endpoint`] is a core with its running handlers, and a [`Pair`] is two endpoints that talk to each other, for
//! tests and simulations.
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
use crate::cap::policy::Policy;
use crate::dialect::Dialect;
use crate::error::{Error, ErrorKind};
use crate::interface::{FromCap, Offer};
use crate::limits::Limits;
use crate::link::report::Report;
use crate::link::task::Task;
use crate::link::{Link, LinkConfig};
use crate::session::Tables;

/// The number of calls waiting for room that are started at once.
const STARTED: usize = 1_024;

/// One side of one connection, without its transport.
pub struct Core {
    link: Arc<Link>,
}

/// The options of a [`Core`]: see [`Core::builder`].
#[derive(Clone, Default)]
#[must_use = "a core is made by `connecting` or `accepting`"]
pub struct CoreBuilder {
    config: LinkConfig,
}

/// A handler of this side that did not end at once. It ends when it is polled to its end, or when the caller no longer
/// wants it.
#[must_use = "the handler gets nowhere unless it is polled"]
pub struct Handler(Task);

impl CoreBuilder {
    /// Sets the limits on the peer.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits.in_force();
        self
    }

    /// Sets the wire language. By default the connecting side speaks Cap'n Web, and the accepting side what the peer
    /// speaks.
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.config.dialect = Some(dialect);
        self
    }

    /// Has a policy asked about each call over the connection, in both directions, behind those that are. It wraps
    /// nothing.
    pub fn layer(mut self, policy: impl Policy) -> Self {
        self.config.add_layer(policy);
        self
    }

    /// Creates the side that opens the connection, with the index that it offers to the peer.
    pub fn connecting(mut self, offered: impl Offer) -> Core {
        self.config.dialect.get_or_insert_default();
        self.build(Side::Connecting, offered)
    }

    /// Creates the accepting side, with the index that it offers.
    pub fn accepting(self, offered: impl Offer) -> Core {
        self.build(Side::Accepting, offered)
    }

    fn build(self, side: Side, offered: impl Offer) -> Core {
        Core { link: Link::new(side, Some(index(&offered)), self.config) }
    }
}

impl fmt::Debug for CoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LinkConfig { limits, dialect, .. } = &self.config;
        f.debug_struct("CoreBuilder")
            .field("limits", limits)
            .field("dialect", dialect)
            .finish_non_exhaustive()
    }
}

impl Core {
    /// Creates the side that opens the connection, in Cap'n Web, with the index that it offers to the peer.
    pub fn connecting(offered: impl Offer) -> Self {
        Self::builder().connecting(offered)
    }

    /// Creates the accepting side, with the index that it offers.
    pub fn accepting(offered: impl Offer) -> Self {
        Self::builder().accepting(offered)
    }

    /// Returns a builder, which sets the options of a core.
    pub fn builder() -> CoreBuilder {
        CoreBuilder::default()
    }

    /// Returns the peer's language. The accepting side knows it once the peer has sent something.
    pub fn dialect(&self) -> Option<Dialect> {
        self.link.dialect()
    }

    /// Returns the peer's index: as the client of an interface, as a [`Func`](crate::Func), or as a [`Cap`].
    pub fn index<C: FromCap>(&self) -> C {
        C::from_reference(self.link.peer_index())
    }

    /// Returns a function of a Capnode peer, by the id that it has there.
    ///
    /// # Errors
    ///
    /// If the session has ended, or its language is not Capnode.
    pub fn reconstruct(&self, id: &str) -> Result<Cap, Error> {
        self.link.reconstruct(id)
    }

    /// Receives a frame. One that breaks the protocol or a limit ends the session: see [`closed`](Core::closed).
    pub fn receive(&self, frame: &str) {
        self.link.receive(frame);
    }

    /// Tells the core the time since it was created, for those of its [`Limits`] that are about time. Does everything
    /// that is due. Returns the time of the next call: `None` if there is no such limit.
    pub fn tick(&self, now: Duration) -> Option<Duration> {
        self.link.set_now(now);
        let tick = self.link.tick();
        if tick.ask {
            self.link.probe();
        }
        tick.next
    }

    /// Returns the next frame to write.
    pub fn next_frame(&self) -> Option<String> {
        self.link.next_frame()
    }

    /// Returns the handlers that have been started since the last call, to be polled until they end.
    pub fn handlers(&self) -> Vec<Handler> {
        let mut started = 0;
        self.link.unpark(|| {
            started += 1;
            started < STARTED
        });
        self.link.take_tasks().into_iter().map(Handler).collect()
    }

    /// Sets the waker to wake, once, when there is a frame to write or a handler to poll. Returns `true` if there is
    /// work already.
    pub fn set_waker(&self, waker: &Waker) -> bool {
        self.link.set_waker(Some(waker));
        self.link.has_work()
    }

    /// Ends the session, because the wire is cut or the session is no longer needed.
    pub fn close(&self, reason: &str) {
        self.link.close(Error::new(ErrorKind::Disconnected, reason));
    }

    /// Ends the session because the wire failed. Pending calls fail with `source` as the source of their error.
    pub fn fail(&self, reason: &str, source: impl std::error::Error + Send + Sync + 'static) {
        self.link.close(Error::new(ErrorKind::Disconnected, reason).with_source(source));
    }

    /// Returns the reason for the end of the session, if it has ended. There may be frames left to write.
    pub fn closed(&self) -> Option<Error> {
        self.link.closed()
    }

    /// `true` if this program holds no reference of the peer, and the peer holds none of this program but the index.
    pub fn is_idle(&self) -> bool {
        self.link.is_idle()
    }

    /// Returns a report on the session's use of its [`Limits`].
    pub fn report(&self) -> Report {
        self.link.report()
    }

    /// Returns the current sizes of the session's tables.
    pub fn tables(&self) -> Tables {
        self.link.tables()
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.close("the core was dropped");
    }
}

crate::opaque::opaque!(Core as core { tables: core.tables() });

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
