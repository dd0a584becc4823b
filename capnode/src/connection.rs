//! Connections, as a program holds them.

use std::fmt;
use std::sync::Arc;

use futures_channel::oneshot;

use crate::cap::Cap;
use crate::cap::OnBroken;
use crate::dialect::Dialect;
use crate::driver::Driver;
use crate::error::{Error, ErrorKind, Fault};
use crate::interface::FromCap;
use crate::link::report::Report;
use crate::link::{Link, LinkConfig};
use crate::session::{Side, Tables};
use crate::transport::Transport;

/// A connection to a peer.
///
/// Cheap to clone. A connection that this program has opened lives as long as the program holds it, a reference that
/// came over it or an unanswered call, or the peer holds a reference of this program other than the index; then it
/// closes. One that a [`Node`](crate::Node) accepted lives until either side closes it.
#[derive(Clone)]
pub struct Connection {
    link: Arc<Link>,
    /// A count of the holders of the connection itself. `Some` until the connection is dropped.
    held: Option<Arc<()>>,
    /// The peer's index, if it does not come over the connection itself.
    index: Option<Cap>,
}

impl Connection {
    pub(crate) fn new(side: Side, config: LinkConfig) -> Self {
        Self { link: Link::new(side, None, config), held: Some(Arc::new(())), index: None }
    }

    /// Returns the connection with an index of the peer's that does not come over it.
    #[cfg(feature = "http")]
    pub(crate) fn with_index(mut self, index: Cap) -> Self {
        self.index = Some(index);
        self
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Returns the driver, the future that moves the connection.
    pub(crate) fn driver<T: Transport + Unpin>(&self, side: Side, transport: T) -> Driver<T> {
        crate::events::opened();
        let holders = self.held.as_ref().filter(|_| side == Side::Connecting).map(Arc::downgrade);
        Driver::new(self.link.clone(), transport, holders)
    }

    /// Returns the peer's index: as the client of an interface, as a [`Func`](crate::Func), or as a
    /// [`Cap`](crate::Cap), which may be any value, to be read with [`Cap::get`](crate::Cap::get) and
    /// [`Cap::at`](crate::Cap::at).
    ///
    /// Asks nothing of the peer: a missing method shows when it is called.
    pub fn index<C: FromCap>(&self) -> C {
        C::from_reference(self.index.clone().unwrap_or_else(|| self.link.peer_index()))
    }

    /// Returns the peer's language. The accepting side knows it once the peer has sent something, unless it was
    /// [given](crate::NodeBuilder::dialect).
    pub fn dialect(&self) -> Option<Dialect> {
        self.link.dialect()
    }

    /// Returns a function of a Capnode peer by the id that it has there. The id is valid on every connection of the
    /// peer's node. Nothing is asked of the peer: an unknown id shows when the function is called.
    ///
    /// For functions of this program see [`Registry`](crate::Registry); for the other languages,
    /// [`Restorer`](crate::Restorer).
    ///
    /// # Errors
    ///
    /// If the connection has ended, or its language is not Capnode.
    pub fn reconstruct(&self, id: &str) -> Result<Cap, Error> {
        self.link.reconstruct(id)
    }

    /// Returns the id of a function that a Capnode peer has lent over this connection. Another program that gets the id
    /// can [reconstruct](Self::reconstruct) the function on a connection of its own. `None` for anything else.
    ///
    /// Functions of this program get an id by [`Registry::register`](crate::Registry::register).
    pub fn id_of(&self, cap: &Cap) -> Option<String> {
        self.link.id_of(cap)
    }

    /// Waits until everything sent so far is written: handed to the system, or to the code behind the transport. Only
    /// an answer tells that the peer has received it. To lose nothing at the end of a program, [close](Self::close) the
    /// connection and await [`closed`](Self::closed). A flush is not enough for that: if the program ends while
    /// something from the peer is unread, the system takes back the last writes.
    ///
    /// A call is sent when it is first polled, or by [`send`](crate::Call::send) or
    /// [`pipeline`](crate::Call::pipeline). The flush also waits for calls that wait for room.
    ///
    /// # Errors
    ///
    /// The reason for the end of the connection, if it ended before all was written.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect on the connection. Everything sent is written all the same.
    pub async fn flush(&self) -> Result<(), Error> {
        self.link.flushed().await.map_err(|_| self.link.closed_error())
    }

    /// Waits for the end of the connection, and returns the reason. Before that, all that was sent is written. It is
    /// given up if the transport fails, if the peer has given no sign of life, or if the peer has not read it within
    /// five seconds.
    ///
    /// If this program has [closed](Self::close) it, this also waits for the peer's end, for as long at the most: if a
    /// program ends while something from the peer is unread, the system takes back the last writes. So a program that
    /// closes its connection, awaits this and ends loses nothing that it has sent.
    ///
    /// This closes nothing itself. While the program holds the connection, as the caller of this does, it ends when
    /// either side closes it, or it breaks.
    ///
    /// ```no_run
    /// # async fn example(connection: capnode::Connection) {
    /// // The end of `main`.
    /// connection.close();
    /// connection.closed().await;
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect on the connection.
    pub async fn closed(&self) -> Error {
        let (sender, ended) = oneshot::channel();
        let watching = OnBroken::watching(|error| {
            // If the future was dropped, there is no receiver.
            let _unwanted = sender.send(error);
        });
        self.link.on_end(watching.slot());
        ended.await.unwrap_or_else(|_| self.link.closed_error())
    }

    /// Waits until the peer has said that its node [drains](crate::Node::drain): it runs no further calls of this program,
    /// and ends the connection once those that run have ended. From then on a call of the peer fails at once, with a
    /// property `code` of `ESHUTDOWN` and as [`Fate::NotSent`](crate::Fate::NotSent). Only a peer that is this library says
    /// so. Also returns when the connection has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect on the connection.
    pub async fn peer_draining(&self) {
        let (sender, told) = oneshot::channel::<()>();
        let watching = OnBroken::watching(|_| drop(sender));
        self.link.on_peer_draining(watching.slot());
        // It is told by the drop of the sender.
        let _told = told.await;
    }

    /// `true` if the connection has ended. Output may be unwritten yet: see [`closed`](Self::closed).
    pub fn is_closed(&self) -> bool {
        self.link.is_closed()
    }

    /// Ends the connection. Everything sent is still written. Pending calls of both sides fail.
    pub fn close(&self) {
        self.link.close(closed("the connection was closed"));
    }

    /// Ends the connection like [`close`](Self::close), with a reason. Every pending call of this side fails with it.
    /// The peer is told the first 123 bytes of it over a WebSocket.
    pub fn close_because(&self, reason: &str) {
        self.link.end(closed(reason), Some(reason.to_owned()));
    }

    /// Returns a report on the connection's use of its [`Limits`](crate::Limits).
    pub fn report(&self) -> Report {
        self.link.report()
    }

    /// Returns the current sizes of the connection's tables.
    pub fn tables(&self) -> Tables {
        self.link.tables()
    }
}

/// Returns the error for an end of the connection that this program wants.
fn closed(reason: &str) -> Error {
    Error::new(ErrorKind::Disconnected, reason).with_fault(Fault::Here)
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The driver decides if the connection is still needed, and may look at once.
        self.held = None;
        self.link.wake_up();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("nickname", &self.link.nickname())
            .field("dialect", &self.dialect())
            .field("tables", &self.tables())
            .field("closed", &self.link.closed())
            .finish()
    }
}

/// A result of [`connect`](crate::connect): a client or function for the peer's index, a [`Cap`], or the [`Connection`]
/// itself.
#[diagnostic::on_unimplemented(
    message = "a connection can't be converted to `{Self}`",
    label = "this gives the client of an interface, a `Func`, a `Cap` or a `Connection`",
    note = "say which: `let chat: ChatClient = ..`"
)]
pub trait FromConnection: Sized + Send {
    #[doc(hidden)]
    fn from_connection(connection: Connection) -> Self;
}

impl FromConnection for Connection {
    fn from_connection(connection: Connection) -> Self {
        connection
    }
}

#[diagnostic::do_not_recommend]
impl<C: FromCap> FromConnection for C {
    fn from_connection(connection: Connection) -> Self {
        connection.index()
    }
}
