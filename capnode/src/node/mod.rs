//! Nodes: the index of a program, and its connections.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use self::shared::Shared;
use async_trait::async_trait;

mod connect;
mod listener;
mod shared;

pub use self::connect::{Connect, cap_wrap, connect, connect_over};
pub use self::listener::Listener;
pub use self::shared::Drained;

use crate::cap::queue::Queue;
use crate::cap::{Cap, data};
use crate::connection::{Connection, FromConnection};
use crate::dialect::Dialect;
use crate::error::{Error, ErrorKind};
use crate::interface::Offer;
use crate::limits::Limits;
use crate::link::{Link, LostMessage, Terms, no_index_in};
#[cfg(any(feature = "axum", feature = "ws"))]
use crate::origin::Origins;
use crate::registry::Registry;
use crate::remote::Remote;
use crate::session::Side;
use crate::transport::{Address, Transport};

/// The time that a peer has for the handshakes of TLS and WebSocket.
#[cfg(feature = "ws")]
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The index that a program offers to its peers, and the conditions of their connections.
///
/// Cheap to clone. Any number of listeners and connections can be open on one node.
///
/// ```no_run
/// # async fn example() -> Result<(), capnode::Error> {
/// let node = capnode::Node::new(("any", "value"));
/// let listener = node.listen("ws://127.0.0.1:5004").await?;
/// println!("listening on {}", listener.url());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Node {
    admit: Arc<dyn Admit>,
    settings: Arc<Settings>,
    shared: Arc<Shared>,
}

#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub(crate) terms: Terms,
    #[cfg(any(feature = "axum", feature = "ws"))]
    pub(crate) origins: Origins,
    #[cfg(feature = "tls")]
    tls: Option<Arc<tokio_rustls::rustls::ServerConfig>>,
}

/// Chooses the index for a connection, or refuses it.
#[async_trait]
trait Admit: Send + Sync {
    async fn admit(&self, incoming: Incoming) -> Result<Option<Cap>, Error>;
}

/// An index that is offered to all peers.
struct Same(Option<Cap>);

#[async_trait]
impl Admit for Same {
    async fn admit(&self, _: Incoming) -> Result<Option<Cap>, Error> {
        Ok(self.0.clone())
    }
}

struct Choose<F>(F);

#[async_trait]
impl<F, Fut, I, E> Admit for Choose<F>
where
    F: Fn(Incoming) -> Fut + Send + Sync,
    Fut: Future<Output = Result<I, E>> + Send,
    I: Offer + Send,
    E: fmt::Display + Send,
{
    async fn admit(&self, incoming: Incoming) -> Result<Option<Cap>, Error> {
        match (self.0)(incoming).await {
            Ok(index) => Ok(Some(data::index(&index))),
            Err(refusal) => Err(Error::new(ErrorKind::Refused, refusal.to_string())),
        }
    }
}

/// A peer that connects, before the decision about its index: see [`Node::with`].
#[derive(Clone)]
pub struct Incoming {
    pub(crate) connection: Connection,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) certificates: Vec<Vec<u8>>,
}

impl Incoming {
    /// Returns the connection. The peer's index is at [`Connection::index`], and may be called already. Calls of the
    /// peer wait until the decision.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Returns the address of the peer, where the transport has one.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Returns the value of an HTTP header of a WebSocket's request. The name is case-insensitive.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    /// Returns the certificates by which the peer has proved its identity, DER, its own first. Empty if the peer was
    /// not asked for one.
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }
}

/// Omits the proofs of identity: the values of headers, and certificates.
impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Incoming")
            .field("connection", &self.connection)
            .field("address", &self.address)
            .field("headers", &headers)
            .field("certificates", &self.certificates.len())
            .finish()
    }
}

impl Node {
    /// Creates a node that offers `index` to every peer: a client, or any value that serializes, perhaps with clients
    /// and functions in it.
    pub fn new(index: impl Offer) -> Self {
        Self::of(Same(Some(data::index(&index))))
    }

    /// Creates a node without an index: its peers can only be called, or call references that they are sent.
    pub fn empty() -> Self {
        Self::of(Same(None))
    }

    /// Creates a node that decides about the index of each connection. `choose` returns the index, or as `Err` the
    /// reason for refusing, which the peer is told. The peer is connected by then, so its calls fail.
    pub fn with<F, Fut, I, E>(choose: F) -> Self
    where
        F: Fn(Incoming) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<I, E>> + Send + 'static,
        I: Offer + Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        Self::of(Choose(choose))
    }

    fn of(admit: impl Admit + 'static) -> Self {
        let mut settings = Settings::default();
        settings.terms.registry = Some(Registry::default());
        Self { admit: Arc::new(admit), settings: Arc::new(settings), shared: Arc::default() }
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// Sets the limits on each peer; see [`Limits`].
    pub fn limits(self, limits: Limits) -> Self {
        self.set(|settings| settings.terms.limits = limits)
    }

    /// Sets the wire language. By default a peer that connects to this node chooses, and this node speaks Cap'n Web on
    /// connections that it opens.
    ///
    /// A listener with a set language may speak first. Otherwise its output waits until the peer has sent something.
    pub fn dialect(self, dialect: Dialect) -> Self {
        self.set(|settings| settings.terms.dialect = Some(dialect))
    }

    /// Sets the registry of this node's ids: those by which Capnode peers know its functions, and those that are
    /// [registered](Registry::register). By default each node has a registry of its own.
    pub fn registry(self, registry: &Registry) -> Self {
        self.set(|settings| settings.terms.registry = Some(registry.clone()))
    }

    /// Makes a function's id valid only on the connection that it was told on. Capnode's users expect the opposite.
    pub fn private_ids(self) -> Self {
        self.set(|settings| settings.terms.registry = None)
    }

    /// Names the connections of this node. Errors, [`Debug`](fmt::Debug), and with the feature `tracing` the span
    /// `connection` show the name.
    pub fn nickname(self, name: &str) -> Self {
        self.set(|settings| settings.terms.nickname = Some(name.into()))
    }

    /// Calls `lost` for each message to an unknown reference of this program, in languages that have no better way to
    /// say so. The reference may have been forgotten, see [`Limits::exports`].
    pub fn on_message_lost(self, lost: impl Fn(LostMessage) + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.terms.lost = Some(Arc::new(lost)))
    }

    /// Lets pages of `origin`, such as `https://app.example`, open WebSockets here; `*` lets all.
    ///
    /// By default only pages of the same origin may: of the host that they ask for, by `http` at a `ws://` listener and
    /// by `https` at a `wss://` one. Programs that are no browser, which send no origin, may too. A peer on the same
    /// machine may only ask for `localhost`, for an address, or for the host of an allowed origin, since a page can
    /// make a name of its own point here.
    #[cfg(any(feature = "axum", feature = "ws"))]
    pub fn allow_origin(self, origin: &str) -> Self {
        self.set(|settings| settings.origins.add(origin))
    }

    /// Sets the certificate and key for `wss://` listeners.
    #[cfg(feature = "tls")]
    pub fn tls(self, config: Arc<tokio_rustls::rustls::ServerConfig>) -> Self {
        self.set(|settings| settings.tls = Some(config))
    }

    #[cfg(any(feature = "axum", feature = "ws"))]
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    fn check_listen(&self, address: &Address) -> Result<(), Error> {
        let missing = |what| Err(Error::new(ErrorKind::Unsupported, what));
        match address {
            #[cfg(not(feature = "ws"))]
            Address::Ws { .. } => missing("WebSockets need capnode's feature `ws`"),
            #[cfg(feature = "tls")]
            Address::Ws { tls: true, .. } if self.settings.tls.is_none() => {
                missing("a wss:// listener needs a certificate: set it with `Node::tls`")
            }
            #[cfg(all(feature = "ws", not(feature = "tls")))]
            Address::Ws { tls: true, .. } => missing("wss:// needs capnode's feature `tls`"),
            _ => {
                let _: fn(&'static str) -> Result<(), Error> = missing;
                Ok(())
            }
        }
    }

    /// Serves a peer over an open transport, as the accepting side.
    ///
    /// The connection lives until either side closes it, even if this program does not hold it.
    ///
    /// # Errors
    ///
    /// If [`Node::with`] refuses, outside a tokio runtime, and in one without timers.
    pub async fn serve(&self, transport: impl Transport + Unpin) -> Result<Connection, Error> {
        self.accept(transport, Remote::Own, None, Vec::new(), Vec::new()).await
    }

    /// Returns the terms of a connection of the node.
    fn terms(&self, remote: Remote) -> Terms {
        Terms { pool: Some(self.shared.pool()), remote, ..self.settings.terms.clone() }
    }

    /// Decides about a connection, and starts it. The peer is told of a refusal.
    pub(crate) async fn accept(
        &self,
        transport: impl Transport + Unpin,
        remote: Remote,
        address: Option<SocketAddr>,
        headers: Vec<(String, String)>,
        certificates: Vec<Vec<u8>>,
    ) -> Result<Connection, Error> {
        let connection = Connection::new(Side::Accepting, self.terms(remote));
        let incoming = Incoming { connection, address, headers, certificates };
        self.start(Side::Accepting, transport, incoming).await
    }

    /// Starts a connection, and decides about it. The peer is told of a refusal.
    async fn start(
        &self,
        side: Side,
        transport: impl Transport + Unpin,
        incoming: Incoming,
    ) -> Result<Connection, Error> {
        crate::runtime::check()?;
        let connection = incoming.connection.clone();
        // A peer without room is told so, like one that is refused.
        let entered = match side {
            Side::Accepting => self.shared.enter(connection.link(), self.settings.terms.limits.connections),
            // The program itself bounds the connections that it opens.
            Side::Connecting => self.shared.enter(connection.link(), usize::MAX),
        };
        let undecided = Undecided::new(connection.link().clone());
        // The connection runs already, so that user code may call the peer to decide.
        let nickname = self.settings.terms.nickname.clone();
        crate::runtime::spawn(crate::runtime::in_connection(connection.driver(side, transport), nickname))?;
        let admitted = match entered {
            Ok(()) => self.admit.admit(incoming).await,
            Err(refusal) => Err(refusal),
        };
        undecided.decide(admitted)?;
        Ok(connection)
    }

    /// Shuts down: stops accepting, refuses new calls, lets the running ones end, and closes all connections of this
    /// node and its clones when they have, or at `deadline`. Returns when all are closed, or given up after five
    /// seconds more.
    ///
    /// A call that comes too late is answered with an error whose property `code` is `ESHUTDOWN`; it has not run. New
    /// connections are refused.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the node accepts no more connections, and its open ones are left as
    /// they are. The method may be called again.
    pub async fn drain(&self, deadline: Duration) -> Drained {
        self.shared.drain(deadline).await
    }

    /// Connects over any transport, and offers this node's index to the peer.
    ///
    /// # Errors
    ///
    /// If [`Node::with`] refuses, outside a tokio runtime, and in one without timers.
    pub async fn connect_over<C: FromConnection>(
        &self,
        transport: impl Transport + Unpin,
    ) -> Result<C, Error> {
        self.connect_to(transport, Remote::Own).await
    }

    async fn connect_to<C: FromConnection>(
        &self,
        transport: impl Transport + Unpin,
        remote: Remote,
    ) -> Result<C, Error> {
        let incoming = Incoming {
            connection: Connection::new(Side::Connecting, self.terms(remote)),
            address: None,
            headers: Vec::new(),
            certificates: Vec::new(),
        };
        self.start(Side::Connecting, transport, incoming).await.map(C::from_connection)
    }
}

/// Returns the kind of the error that a socket could not be opened.
fn kind_of(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::Unsupported => ErrorKind::Unsupported,
        _ => ErrorKind::Connect,
    }
}

/// A connection before the decision about its index. Calls of the index wait.
struct Undecided {
    link: Arc<Link>,
    index: Option<Arc<Queue>>,
}

impl Undecided {
    fn new(link: Arc<Link>) -> Self {
        let index = Queue::new();
        link.set_index(Some(index.clone().into()));
        Self { link, index: Some(index) }
    }

    fn decide(mut self, admitted: Result<Option<Cap>, Error>) -> Result<(), Error> {
        let waiting = self.index.take();
        let index = admitted.inspect_err(|refusal| self.link.abort(refusal.clone()))?;
        // Waiting calls come first; later ones reach the index directly.
        if let Some(waiting) = waiting {
            let none = || no_index_in(self.link.dialect());
            waiting.resolve(index.clone().unwrap_or_else(none));
        }
        self.link.set_index(index);
        Ok(())
    }
}

impl Drop for Undecided {
    fn drop(&mut self) {
        if self.index.is_some() {
            let message = "it was given up before it was decided what to offer";
            self.link.abort(Error::new(ErrorKind::Refused, message));
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("limits", &self.settings.terms.limits).finish_non_exhaustive()
    }
}
