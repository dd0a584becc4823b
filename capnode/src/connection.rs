//! A connection, as a program holds it.

use std::fmt;
use std::sync::Arc;

use futures_channel::oneshot;

use crate::cap::Cap;
use crate::cap::broken::BrokenCallback;
use crate::dialect::Dialect;
use crate::driver::Driver;
use crate::error::{Error, ErrorKind, Fault};
use crate::interface::Client;
use crate::interface::func::Func;
use crate::link::report::Report;
use crate::link::{Link, Terms};
use crate::session::{Side, Tables};
use crate::sync::Mutex;
use crate::transport::Transport;

/// A connection to a peer.
///
/// Cheap to clone. A connection that this program has opened lives as long as the program holds it,
/// a reference that came over it or an unanswered call, or the peer holds anything of ours but the
/// index; then it closes. One that a [`Node`](crate::Node) accepted lives until either side closes
/// it.
#[derive(Clone)]
pub struct Connection {
    link: Arc<Link>,
    /// Counts those who hold the connection itself. Always there, until it is dropped.
    held: Option<Arc<()>>,
}

impl Connection {
    pub(crate) fn new(side: Side, terms: Terms) -> Self {
        Self { link: Link::new(side, None, terms), held: Some(Arc::new(())) }
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// The future that moves the connection.
    pub(crate) fn driver<T: Transport + Unpin>(&self, side: Side, transport: T) -> Driver<T> {
        let holders = self.held.as_ref().filter(|_| side == Side::Connecting).map(Arc::downgrade);
        Driver::new(self.link.clone(), transport, holders)
    }

    /// What the peer offers, as the client of an interface.
    ///
    /// Nothing is asked of the peer: whether it has the methods shows when they are called.
    pub fn index<C: Client>(&self) -> C {
        C::from_cap(self.peer())
    }

    /// What the peer offers, without an interface: any value, to be looked into by
    /// [`Cap::get`] and [`Cap::at`].
    pub fn peer(&self) -> Cap {
        self.link.peer_index()
    }

    /// The peer's language: on the accepting side, once the peer has said something, unless it was
    /// [given](crate::Node::dialect).
    pub fn dialect(&self) -> Option<Dialect> {
        self.link.dialect()
    }

    /// A function of a Capnode peer's, by the id that it has there: valid on every connection of the peer's node.
    /// Nothing is asked of the peer: whether it knows the id shows when the function is called.
    ///
    /// For what this program lends see [`Registry`](crate::Registry); for the other languages,
    /// [`Restorer`](crate::Restorer).
    ///
    /// # Errors
    ///
    /// If the connection has ended, or its language is not Capnode.
    pub fn reconstruct(&self, id: &str) -> Result<Cap, Error> {
        self.link.reconstruct(id)
    }

    /// The id of a function that a Capnode peer has lent over this connection; by it whoever is told can
    /// [reconstruct](Self::reconstruct) the function on a connection of their own. `None` for anything else.
    ///
    /// For what this program lends there is [`Registry::register`](crate::Registry::register).
    pub fn id_of(&self, cap: &Cap) -> Option<String> {
        self.link.id_of(cap)
    }

    /// Waits until what was sent so far is written: handed to the system, or to whatever is behind the transport. That the
    /// peer has got it, only an answer tells. To lose nothing at the end of a program [close](Self::close) the connection and
    /// await [`closed`](Self::closed). A flush is not enough for that: the system takes back what was written last if the
    /// program ends while something of the peer's is unread.
    ///
    /// A call is sent when it is first polled, or by [`send`](crate::Call::send) or
    /// [`pipeline`](crate::Call::pipeline). Calls that wait for room are waited for, too.
    ///
    /// # Errors
    ///
    /// Why the connection ended, if it did before all was written.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect on the connection. What was sent is written all the same.
    pub async fn flush(&self) -> Result<(), Error> {
        self.link.flushed().await.map_err(|_| self.link.closed_error())
    }

    /// Waits for the end of the connection, and returns why it ended. Before that all that was sent is written, or given
    /// up: if the transport fails, if the peer has given no sign of life, or if it has not read it within five seconds.
    ///
    /// If this program has [closed](Self::close) it, the peer's end is waited for as well, for as long at the most: a
    /// system takes back what was written last if the program ends before, and something of the peer's is unread. So a
    /// program that closes its connection, awaits this and ends loses nothing that it has sent.
    ///
    /// This closes nothing itself: while the program holds the connection, as whoever awaits this does, it ends when either
    /// side closes it, or it breaks.
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
        let tell: BrokenCallback = Box::new(|error| {
            // If it is not waited for any more, nobody wants to know.
            let _unwanted = sender.send(error);
        });
        let slot = Arc::new(Mutex::new(Some(tell)));
        self.link.on_end(&slot);
        ended.await.unwrap_or_else(|_| self.link.closed_error())
    }

    /// Whether the connection has ended. What was sent may be unwritten yet: see [`closed`](Self::closed).
    pub fn is_closed(&self) -> bool {
        self.link.is_closed()
    }

    /// Ends the connection. What was sent is still written; whoever waits for an answer on either
    /// side gets an error.
    pub fn close(&self) {
        self.link.close(closed("the connection was closed"));
    }

    /// The same, with a reason, which is what every pending call of this side fails with. The peer is told it over a
    /// WebSocket, where 123 bytes of it have room.
    pub fn close_because(&self, reason: &str) {
        self.link.end(closed(reason), Some(reason.to_owned()));
    }

    /// How the connection stands with its [`Limits`](crate::Limits).
    pub fn report(&self) -> Report {
        self.link.report()
    }

    /// How much the connection holds at the moment.
    pub fn tables(&self) -> Tables {
        self.link.tables()
    }
}

/// The end of a connection that this program wants.
fn closed(reason: &str) -> Error {
    Error::new(ErrorKind::Disconnected, reason).with_fault(Fault::Here)
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Whether anybody needs it still is for the driver to see, and it may look at once.
        self.held = None;
        self.link.nudge();
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

/// What [`connect`](crate::connect) can give: a client or function for what the peer offers, a [`Cap`], or the
/// [`Connection`] itself.
#[diagnostic::on_unimplemented(
    message = "a connection can't be had as `{Self}`",
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

impl FromConnection for Cap {
    fn from_connection(connection: Connection) -> Self {
        connection.peer()
    }
}

impl<F: ?Sized> FromConnection for Func<F> {
    fn from_connection(connection: Connection) -> Self {
        Self::from_cap(connection.peer())
    }
}

#[diagnostic::do_not_recommend]
impl<C: Client> FromConnection for C {
    fn from_connection(connection: Connection) -> Self {
        connection.index()
    }
}
