//! Connecting to peers.

use std::fmt;
use std::future::IntoFuture;
#[cfg(feature = "ws")]
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

#[cfg(not(feature = "http"))]
use super::NEEDS_HTTP;
#[cfg(not(feature = "ws"))]
use super::NEEDS_WS;
#[cfg(feature = "http")]
use super::batches::Batches;
use super::dial::Dial;
#[cfg(feature = "ws")]
use super::{HANDSHAKE, kind_of};
use super::{Node, connect_over};
use crate::cap::policy::Policy;
use crate::connection::{Connection, FromConnection};
use crate::dialect::Dialect;
use crate::error::{Error, ErrorKind};
use crate::link::LinkConfig;
use crate::remote::Remote;
use crate::runtime::BoxFuture;
use crate::transport::{Address, lines};

/// Connects to an address: `ws://host:port/path`, `wss://host:port/path`, `http://host:port/path`,
/// `https://host:port/path`, `tcp://host:port` or `unix:/path`. The result is a client for the peer's index, a
/// [`Cap`](crate::Cap), or the [`Connection`](crate::Connection), whose [`index`](crate::Connection::index) returns a client.
///
/// Over `http://` and `https://`, with the feature `http`, there is no connection that lasts. The calls that a program has
/// made by the time it waits, and those that are pipelined on them, are sent as one batch: a request with a body, answered
/// by another. The next call of the index begins the next batch. What a batch returns ends with it, so a call that
/// depends on another has to be pipelined. The server cannot wait for an answer of this program. There is more in
/// [the guide](crate::guide::batches).
///
/// ```no_run
/// # async fn example() -> Result<(), capnode::Error> {
/// let peer: capnode::Cap = capnode::connect("ws://127.0.0.1:5004").await?;
/// # Ok(())
/// # }
/// ```
pub fn connect<C: FromConnection>(url: &str) -> Connect<C> {
    Node::empty().connect(url)
}

/// A pending connection: await it. See [`connect`].
///
/// The [limits](crate::Limits) on the peer are those of the node: connect by [`Node::connect`] to set them.
///
/// # Errors
///
/// [`ErrorKind::Connect`] if nothing listens at the address, or it is no address, or a handshake fails.
/// [`ErrorKind::Refused`] if a server answers and opens no WebSocket. [`ErrorKind::Unsupported`] outside a tokio runtime, and
/// in one without I/O or timers. A refusal by the peer's node, or by a server of batches, only shows at the first call.
///
/// # Cancel safety
///
/// Dropping it before it is ready gives the attempt up, and ends the connection if there is one.
#[must_use = "nothing happens until it is awaited"]
pub struct Connect<C> {
    pub(super) url: String,
    pub(super) node: Node,
    dialect: Option<Dialect>,
    knows_peer: bool,
    call_time: Option<Duration>,
    /// The most time between signs of life.
    probe: Option<Duration>,
    layers: Vec<Arc<dyn Policy>>,
    headers: Vec<(String, String)>,
    public: bool,
    #[cfg(feature = "tls")]
    tls: Option<Arc<tokio_rustls::rustls::ClientConfig>>,
    result: PhantomData<fn() -> C>,
}

impl Node {
    /// Connects to an address and offers this node's index to the peer. The result is a client for the peer's index, a
    /// [`Cap`](crate::Cap), or the [`Connection`](crate::Connection).
    pub fn connect<C: FromConnection>(&self, url: &str) -> Connect<C> {
        Connect {
            url: url.to_owned(),
            node: self.clone(),
            dialect: None,
            knows_peer: false,
            call_time: None,
            probe: None,
            layers: Vec::new(),
            headers: Vec::new(),
            public: false,
            #[cfg(feature = "tls")]
            tls: None,
            result: PhantomData,
        }
    }
}

impl<C: FromConnection> Connect<C> {
    /// Sets the wire language, instead of Cap'n Web or that of the [node](super::NodeBuilder::dialect).
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = Some(dialect);
        self
    }

    /// Says that the peer is a program of this library, so that the first calls already carry their
    /// [context](crate::Context). Otherwise a call does once the peer has told that it understands it.
    pub fn peer_is_capnode(mut self) -> Self {
        self.knows_peer = true;
        self
    }

    /// Gives each call over the connection a [deadline](crate::Call::deadline) after this time, unless it has an earlier
    /// one, in place of that of the [node](super::NodeBuilder::call_time).
    pub fn call_time(mut self, limit: Duration) -> Self {
        self.call_time = Some(limit);
        self
    }

    /// Has a policy asked about each call over the connection, as [`NodeBuilder::layer`](super::NodeBuilder::layer)
    /// does, after those of the node. Of several layers the first one is asked first.
    pub fn layer(mut self, policy: impl Policy) -> Self {
        self.layers.push(Arc::new(policy));
        self
    }

    /// Sends an HTTP header with the request for a WebSocket, or with each HTTP batch, such as `Authorization`.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Connects to no address of this machine, of private networks, or that is otherwise not public, if `only` is `true`: for an
    /// address that comes from a stranger. What is looked at is what a name leads to. It says nothing of Unix sockets.
    pub fn public_only(mut self, only: bool) -> Self {
        self.public = only;
        self
    }

    /// Sets the trusted certificates, and those that this side shows, for `wss://` and `https://`. By default the usual
    /// authorities of the web are trusted.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: Arc<tokio_rustls::rustls::ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Has the peer asked for a sign of life at least so often.
    pub(super) fn set_probe(&mut self, most: Duration) {
        self.probe = Some(most);
    }

    fn config(&self, remote: Remote) -> LinkConfig {
        let config = self.node.config(remote);
        let dialect = self.dialect.or(config.dialect);
        let (knows_peer, call_time) = (self.knows_peer, self.call_time.or(config.call_time));
        let mut config = LinkConfig { dialect, knows_peer, call_time, ..config };
        if let Some(most) = self.probe {
            config.limits.probe = Some(config.limits.probe.map_or(most, |probe| probe.min(most)));
        }
        for layer in &self.layers {
            config.add_layer(layer.clone());
        }
        config
    }

    async fn run(self) -> Result<C, Error> {
        self.open(&self.url).await.map(C::from_connection)
    }

    /// Opens a connection to a URL under the terms of this one.
    pub(super) async fn open(&self, url: &str) -> Result<Connection, Error> {
        let address: Address = url.parse()?;
        crate::runtime::check()?;
        let config = |remote| self.config(remote);
        let node = &self.node;
        let dial = Dial {
            url: url.to_owned(),
            address,
            public: self.public,
            #[cfg(feature = "tls")]
            tls: self.tls.clone(),
        };
        let limit = node.settings.config.limits.frame_bytes;
        match &dial.address {
            #[cfg(feature = "ws")]
            Address::Ws { host, path, .. } => {
                let (stream, remote) = dial.open().await?;
                let handshake = crate::transport::ws::connect(stream, host, path, &self.headers, limit);
                let socket = crate::runtime::timeout(HANDSHAKE, handshake).await.map_err(|_| dial.late())?;
                let socket = socket.map_err(|cause| match cause.kind() {
                    io::ErrorKind::PermissionDenied => dial.error(ErrorKind::Refused, &cause),
                    kind => dial.error(kind_of(kind), &cause),
                })?;
                node.connect_to(socket, config(remote)).await
            }
            #[cfg(not(feature = "ws"))]
            Address::Ws { .. } => Err(Error::new(ErrorKind::Unsupported, NEEDS_WS)),
            #[cfg(feature = "http")]
            Address::Http { .. } => Batches::connect(node, config, dial, &self.headers).await,
            #[cfg(not(feature = "http"))]
            Address::Http { .. } => Err(Error::new(ErrorKind::Unsupported, NEEDS_HTTP)),
            Address::Tcp(_) | Address::Unix(_) => {
                let (stream, remote) = dial.open().await?;
                node.connect_to(lines(stream).limit(limit), config(remote)).await
            }
        }
    }
}

impl<C: FromConnection + 'static> IntoFuture for Connect<C> {
    type Output = Result<C, Error>;
    type IntoFuture = BoxFuture<Result<C, Error>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<C> fmt::Debug for Connect<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Returns `offered` as it looks from the other end of a connection. It goes through a real connection inside this
/// program, so only references are shared. For tests, and to hand out a copy that cannot be changed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), capnode::Error> {
/// let wrapped: capnode::Cap = capnode::cap_wrap(vec![1, 2, 3]).await?;
/// assert_eq!(wrapped.read::<Vec<u32>>().await?, [1, 2, 3]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Outside a tokio runtime, and in one without timers.
pub async fn cap_wrap<C: FromConnection>(offered: impl serde::Serialize) -> Result<C, Error> {
    let (here, there) = crate::transport::pair();
    Node::new(offered).serve(there).await?;
    connect_over(here).await
}
