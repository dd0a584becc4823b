//! Nodes: the index of a program, and its connections.

#[cfg(feature = "tokio")]
use std::io;
use std::sync::Arc;
use std::time::Duration;

use self::admit::Admit;
use self::shared::Shared;

mod admit;
#[cfg(feature = "http")]
mod batches;
mod builder;
#[cfg(feature = "tokio")]
mod connect;
#[cfg(feature = "tokio")]
mod dial;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "tokio")]
mod listener;
#[cfg(feature = "sturdy")]
mod reach;
#[cfg(feature = "tokio")]
mod reconnect;
mod shared;
#[cfg(feature = "tokio")]
mod subscription;

pub use self::admit::Incoming;
pub use self::builder::NodeBuilder;
#[cfg(feature = "tokio")]
pub use self::connect::{Connect, cap_wrap, connect};
#[cfg(feature = "axum")]
pub(crate) use self::http::{Sender, answer};
#[cfg(feature = "tokio")]
pub use self::listener::Listener;
#[cfg(feature = "sturdy")]
pub use self::reach::Reach;
#[cfg(feature = "tokio")]
pub use self::reconnect::{LineState, Reconnecting, Reconnection, reconnecting};
pub use self::shared::Drained;
#[cfg(feature = "tokio")]
pub use self::subscription::{Subscription, Update, subscribe};

use crate::caller::{Caller, PeerInfo};
use crate::cap::Cap;
use crate::cap::promise::Promise;
use crate::connection::{Connection, FromConnection};
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::link::{Link, LinkConfig, no_index_for};
#[cfg(feature = "ws")]
use crate::origin::Origins;
use crate::remote::Remote;
use crate::session::Side;
#[cfg(feature = "tokio")]
use crate::transport::Address;
use crate::transport::Transport;

/// The time that a peer has for the handshakes of TLS and WebSocket.
#[cfg(feature = "ws")]
const HANDSHAKE: Duration = Duration::from_secs(10);

#[cfg(feature = "ws")]
fn late_handshake() -> String {
    format!("the handshake took longer than {} seconds", HANDSHAKE.as_secs())
}

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

/// Chooses the limits on a peer.
type ChooseLimits = dyn Fn(&Caller) -> Limits + Send + Sync;

#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub(crate) config: LinkConfig,
    #[cfg(feature = "ws")]
    pub(crate) origins: Origins,
    /// The subprotocols that are served, the preferred one first.
    #[cfg(feature = "ws")]
    pub(crate) subprotocols: Vec<String>,
    /// The limits on a peer, by what is known of it.
    limits_for: Option<Arc<ChooseLimits>>,
    #[cfg(feature = "tls")]
    tls: Option<Arc<tokio_rustls::rustls::ServerConfig>>,
}

impl Node {
    #[cfg(feature = "ws")]
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    #[cfg(feature = "tokio")]
    fn check_listen(&self, address: &Address) -> Result<(), Error> {
        let missing = |what| Err(Error::new(ErrorKind::Unsupported, what));
        match address {
            #[cfg(not(feature = "ws"))]
            Address::Ws { .. } => missing(NEEDS_WS),
            #[cfg(feature = "tls")]
            Address::Ws { tls: true, .. } | Address::Http { tls: true, .. }
                if self.settings.tls.is_none() =>
            {
                missing("a wss:// or https:// listener needs a certificate: set it with `NodeBuilder::tls`")
            }
            #[cfg(all(feature = "ws", not(feature = "tls")))]
            Address::Ws { tls: true, .. } | Address::Http { tls: true, .. } => missing(NEEDS_TLS),
            #[cfg(not(feature = "http"))]
            Address::Http { .. } => missing(NEEDS_HTTP),
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
    /// If the node [refuses](NodeBuilder::authorize) the peer, outside a tokio runtime, and in one without timers.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready ends the connection.
    pub async fn serve(&self, transport: impl Transport + Unpin) -> Result<Connection, Error> {
        self.accept(transport, self.config_for(Remote::Own, PeerInfo::default())).await
    }

    /// Returns the terms of a connection of the node.
    fn config(&self, remote: Remote) -> LinkConfig {
        LinkConfig { pool: Some(self.shared.pool()), remote, ..self.settings.config.clone() }
    }

    /// Returns the terms of a connection that a peer opens.
    fn config_for(&self, remote: Remote, peer: PeerInfo) -> LinkConfig {
        let (mut config, caller) = (self.config(remote), Caller::new(peer));
        if let Some(limits_for) = &self.settings.limits_for {
            let Limits { connections, node_bytes, .. } = config.limits;
            config.limits = Limits { connections, node_bytes, ..limits_for(&caller) }.in_force();
        }
        LinkConfig { caller: Some(caller), ..config }
    }

    /// Decides about a connection, and starts it. The peer is told of a refusal.
    async fn accept(
        &self,
        transport: impl Transport + Unpin,
        config: LinkConfig,
    ) -> Result<Connection, Error> {
        self.start(Side::Accepting, transport, Connection::new(Side::Accepting, config)).await
    }

    /// Starts a connection, and decides about it. The peer is told of a refusal.
    async fn start(
        &self,
        side: Side,
        transport: impl Transport + Unpin,
        connection: Connection,
    ) -> Result<Connection, Error> {
        crate::runtime::check()?;
        // A peer without room is told so, like one that is refused.
        let entered = match side {
            Side::Accepting => self.shared.enter(connection.link(), self.settings.config.limits.connections),
            // The program itself bounds the connections that it opens.
            Side::Connecting => self.shared.enter(connection.link(), usize::MAX),
        };
        let undecided = Undecided::new(connection.link().clone());
        // The connection runs already, so that user code may call the peer to decide.
        let nickname = self.settings.config.nickname.clone();
        crate::runtime::spawn(crate::runtime::in_connection(connection.driver(side, transport), nickname))?;
        let admitted = match entered {
            Ok(()) => self.admit.admit(Incoming::new(&connection)).await,
            Err(refusal) => Err(refusal),
        };
        undecided.decide(admitted)?;
        Ok(connection)
    }

    /// Shuts down: stops accepting, refuses new calls, lets the running ones end and the streams that this side writes, and
    /// closes all connections of this node and its clones when they have, or at `deadline`. Returns when all are closed, or
    /// given up after five seconds more.
    ///
    /// A stream that this side writes is a [`Reader`](crate::Reader) that it has passed to the peer, until the peer has read all of it. One
    /// without an end is cut off at the deadline: end it before if that is too late. A stream that the peer writes is
    /// waited for only by a running call that reads it. A peer in Capnode or Q-Connection reads by calls, which are refused
    /// now, so its streams end with the drain.
    ///
    /// Peers that are this library are told at once: see [`Connection::peer_draining`]. One whose first message has not been read by
    /// the deadline is not known to be: of its calls nobody says that they have not run. While the node waits, a further call
    /// is answered with an error whose property `code` is `ESHUTDOWN`. It has not run: a caller of this library gets
    /// [`Fate::NotSent`](crate::Fate::NotSent), also if the connection ends before the answer. Streams of running calls go
    /// on, and so do the calls that handlers make. At the deadline, calls that wait for [room](crate::Limits::running_calls)
    /// are refused in the same way. Once its connection has closed, a call fails with the reason of the end, without a
    /// `code` and with the same fate; a WebSocket is closed with the code 1001. Tasks that handlers have spawned are not
    /// waited for, nor calls whose results the gatekeeper of a sturdy owner keeps: its `Owner::settled` waits for these.
    /// New connections and listeners are refused.
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
    /// If the node [refuses](NodeBuilder::authorize) the peer, outside a tokio runtime, and in one without timers.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready ends the connection.
    pub async fn connect_over<C: FromConnection>(
        &self,
        transport: impl Transport + Unpin,
    ) -> Result<C, Error> {
        self.connect_to(transport, self.config(Remote::Own)).await
    }

    async fn connect_to<C: FromConnection>(
        &self,
        transport: impl Transport + Unpin,
        config: LinkConfig,
    ) -> Result<C, Error> {
        let connection = Connection::new(Side::Connecting, config);
        self.start(Side::Connecting, transport, connection).await.map(C::from_connection)
    }
}

#[cfg(all(feature = "tokio", not(feature = "ws")))]
const NEEDS_WS: &str = "WebSockets need capnode's feature `ws`: enable it in Cargo.toml";

#[cfg(all(feature = "tokio", not(feature = "http")))]
const NEEDS_HTTP: &str = "HTTP batches need capnode's feature `http`: enable it in Cargo.toml";

#[cfg(all(feature = "ws", not(feature = "tls")))]
const NEEDS_TLS: &str = "wss:// and https:// need capnode's feature `tls`: enable it in Cargo.toml";

/// Connects over any transport.
///
/// # Errors
///
/// Outside a tokio runtime, and in one without timers.
///
/// # Cancel safety
///
/// Dropping the future before it is ready ends the connection.
pub async fn connect_over<C: FromConnection>(transport: impl Transport + Unpin) -> Result<C, Error> {
    Node::empty().connect_over(transport).await
}

/// Returns the kind of the error that a socket could not be opened.
#[cfg(feature = "tokio")]
fn kind_of(error: io::ErrorKind) -> ErrorKind {
    match error {
        io::ErrorKind::Unsupported => ErrorKind::Unsupported,
        _ => ErrorKind::Connect,
    }
}

/// A connection before the decision about its index. Calls of the index wait.
struct Undecided {
    link: Arc<Link>,
    index: Option<Arc<Promise>>,
}

impl Undecided {
    fn new(link: Arc<Link>) -> Self {
        let index = Promise::new();
        link.set_index(Some(Cap::from_promise(index.clone())));
        Self { link, index: Some(index) }
    }

    fn decide(mut self, admitted: Result<Option<Cap>, Error>) -> Result<(), Error> {
        let waiting = self.index.take();
        let index = admitted.inspect_err(|refusal| self.link.abort(refusal.clone()))?;
        // Waiting calls come first; later ones reach the index directly.
        if let Some(waiting) = waiting {
            let none = || no_index_for(self.link.capabilities().unwrap_or_default());
            waiting.resolve(index.clone().unwrap_or_else(none));
        }
        self.link.set_index(index);
        Ok(())
    }
}

impl Drop for Undecided {
    fn drop(&mut self) {
        if self.index.is_some() {
            let message = "the connection was dropped before its index was decided";
            self.link.abort(Error::new(ErrorKind::Refused, message));
        }
    }
}

crate::opaque::opaque!(Node as node { limits: node.settings.config.limits });
