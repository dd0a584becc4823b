//! What a program offers, and the connections on which it does.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use tokio::task::JoinHandle;

use crate::cap::payload::{encode, to_cap};
use crate::cap::{BoxFuture, Cap};
use crate::connection::{Connection, FromConnection};
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::origin::Origins;
use crate::session::Side;
use crate::transport::address::{Bound, Io, dial};
use crate::transport::{Address, Transport, lines};

/// How long a peer may take for the handshakes of TLS and WebSocket.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What a program offers to those it is connected with: its index, and under which conditions.
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
}

#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) origins: Origins,
    #[cfg(feature = "tls")]
    tls: Option<Arc<tokio_rustls::rustls::ServerConfig>>,
}

/// Chooses the index for a connection, or refuses it.
#[async_trait]
trait Admit: Send + Sync {
    async fn admit(&self, incoming: Incoming) -> Result<Option<Cap>, Error>;
}

/// The same index for all.
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
    I: Serialize + Send,
    E: fmt::Display + Send,
{
    async fn admit(&self, incoming: Incoming) -> Result<Option<Cap>, Error> {
        match (self.0)(incoming).await {
            Ok(index) => Ok(Some(index_cap(&index))),
            Err(refusal) => Err(Error::new(ErrorKind::Refused, refusal.to_string())),
        }
    }
}

/// An index from any value. One that cannot be written says so to whoever uses it.
fn index_cap(index: &impl Serialize) -> Cap {
    encode(index).map_or_else(|error| Cap::broken(error.about("the index")), to_cap)
}

/// Somebody who connects, before it is decided what is offered: see [`Node::with`].
#[derive(Clone, Debug)]
pub struct Incoming {
    pub(crate) connection: Connection,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) certificates: Vec<Vec<u8>>,
}

impl Incoming {
    /// The connection: for what the peer offers, see [`Connection::index`].
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The address of the peer, where the transport has one.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The value of an HTTP header of a WebSocket's request. The name is in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    /// The certificates by which the peer has proved its identity, DER, its own first; empty if it
    /// was not asked.
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }
}

impl Node {
    /// A node that offers `index` to everybody: a client, or any value that serializes, with
    /// clients and functions in it perhaps.
    pub fn new(index: impl Serialize) -> Self {
        Self::of(Same(Some(index_cap(&index))))
    }

    /// A node that offers nothing: its peers can only be called, or call what they are sent.
    pub fn empty() -> Self {
        Self::of(Same(None))
    }

    /// A node that decides for each connection what it offers: `choose` returns the index, or as
    /// `Err` the reason for refusing, which the peer is told.
    pub fn with<F, Fut, I, E>(choose: F) -> Self
    where
        F: Fn(Incoming) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<I, E>> + Send + 'static,
        I: Serialize + Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        Self::of(Choose(choose))
    }

    fn of(admit: impl Admit + 'static) -> Self {
        Self { admit: Arc::new(admit), settings: Arc::default() }
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// Sets what a peer may cost; see [`Limits`].
    pub fn limits(self, limits: Limits) -> Self {
        self.set(|settings| settings.limits = limits)
    }

    /// Lets pages of `origin`, such as `https://app.example`, open WebSockets here; `*` lets all.
    /// Pages of the same host, and programs that are no browser, always may.
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

    /// Listens on an address: `ws://host:port`, `wss://host:port`, `tcp://host:port` or
    /// `unix:/path`. Port 0 takes any that is free.
    ///
    /// Returns once the socket is bound.
    ///
    /// # Errors
    ///
    /// If the address is none, or cannot be bound, or is `wss://` and no certificate was
    /// [set](Node::tls).
    pub async fn listen(&self, url: &str) -> Result<Listener, Error> {
        let address: Address = url.parse()?;
        self.check_listen(&address)?;
        let cannot = |error| Error::new(ErrorKind::Connect, format!("cannot listen on {url}")).with_source(error);
        let bound = Bound::new(&address).await.map_err(cannot)?;
        let local = bound.local_addr();
        let url = match (&address, local) {
            (Address::Tcp(_), Some(local)) => Address::Tcp(local.to_string()),
            (Address::Ws { tls, path, .. }, Some(local)) => {
                Address::Ws { tls: *tls, host: local.to_string(), path: path.clone() }
            }
            _ => address.clone(),
        };
        let accepting = tokio::spawn(accept_all(self.clone(), bound, address));
        Ok(Listener { accepting, local, url })
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

    /// Serves a peer that is connected already, over any transport, as the accepting side.
    ///
    /// The connection lives until either side closes it, whether or not it is held here.
    ///
    /// # Errors
    ///
    /// If [`Node::with`] refuses, or outside a tokio runtime.
    pub async fn serve(&self, transport: impl Transport + Unpin) -> Result<Connection, Error> {
        self.accept(transport, None, Vec::new(), Vec::new()).await
    }

    /// Decides about a connection, and starts it. A refusal is told to the peer.
    pub(crate) async fn accept(
        &self,
        transport: impl Transport + Unpin,
        address: Option<SocketAddr>,
        headers: Vec<(String, String)>,
        certificates: Vec<Vec<u8>>,
    ) -> Result<Connection, Error> {
        let connection = Connection::new(Side::Accepting, None, self.settings.limits.clone());
        let incoming = Incoming { connection: connection.clone(), address, headers, certificates };
        let admitted = self.admit.admit(incoming).await;
        match &admitted {
            Ok(index) => connection.link().set_index(index.clone()),
            Err(refusal) => connection.link().abort(refusal.clone()),
        }
        run(connection.driver(Side::Accepting, transport))?;
        admitted.map(|_| connection)
    }

    /// Connects to an address and offers this node's index to the peer. What comes of it is a
    /// client for what the peer offers, a [`Cap`], or the [`Connection`].
    pub fn connect<C: FromConnection>(&self, url: &str) -> Connect<C> {
        Connect::new(url, self.clone())
    }

    /// Connects over any transport, and offers this node's index to the peer.
    ///
    /// # Errors
    ///
    /// If [`Node::with`] refuses, or outside a tokio runtime.
    pub async fn connect_over<C: FromConnection>(&self, transport: impl Transport + Unpin) -> Result<C, Error> {
        let connection = Connection::new(Side::Connecting, None, self.settings.limits.clone());
        let incoming = Incoming {
            connection: connection.clone(),
            address: None,
            headers: Vec::new(),
            certificates: Vec::new(),
        };
        let index = self.admit.admit(incoming).await?;
        connection.link().set_index(index);
        run(connection.driver(Side::Connecting, transport))?;
        Ok(C::from_connection(connection))
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("limits", &self.settings.limits).finish_non_exhaustive()
    }
}

fn run(driver: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
    crate::runtime::spawn(driver)
}

/// Accepts connections until it is dropped or closed. The connections stay.
#[must_use = "dropping the listener stops accepting"]
#[derive(Debug)]
pub struct Listener {
    accepting: JoinHandle<()>,
    local: Option<SocketAddr>,
    url: Address,
}

impl Listener {
    /// The address it is bound to, with the port it got; `None` for a Unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local
    }

    /// The URL to connect to.
    pub fn url(&self) -> String {
        self.url.to_string()
    }

    /// Stops accepting, and returns when the socket is closed. The connections stay.
    pub async fn close(mut self) {
        self.accepting.abort();
        // It was ended, which is what the error says.
        let _ended = (&mut self.accepting).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept_all(node: Node, bound: Bound, address: Address) {
    loop {
        match bound.accept().await {
            Ok((stream, peer)) => {
                let (node, address) = (node.clone(), address.clone());
                tokio::spawn(async move {
                    // One that does not get through the handshake, or is refused, has been told as
                    // far as it can be; it concerns nobody else.
                    let _refused = accept_one(&node, stream, peer, &address).await;
                });
            }
            // Such as too many open files: it passes, and must not keep a processor busy.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn accept_one(
    node: &Node,
    stream: Box<dyn Io>,
    peer: Option<SocketAddr>,
    address: &Address,
) -> Result<(), Error> {
    match address {
        #[cfg(feature = "ws")]
        Address::Ws { tls, .. } => {
            let handshake = async {
                let (stream, certificates) = secure(node, stream, *tls).await?;
                let settings = node.settings();
                let (socket, headers) =
                    crate::transport::ws::accept(stream, &settings.origins, settings.limits.frame_bytes).await?;
                io::Result::Ok((socket, headers, certificates))
            };
            let failed = |error| Error::new(ErrorKind::Refused, "the handshake failed").with_source(error);
            let late = |_| Error::new(ErrorKind::Timeout, "the handshake took too long");
            let shaken = tokio::time::timeout(HANDSHAKE, handshake).await.map_err(late)?;
            let (socket, headers, certificates) = shaken.map_err(failed)?;
            node.accept(socket, peer, headers, certificates).await?;
        }
        _ => {
            let transport = lines(stream).limit(node.settings.limits.frame_bytes);
            node.accept(transport, peer, Vec::new(), Vec::new()).await?;
        }
    }
    Ok(())
}

/// Does the handshake of TLS, if there is to be one. The stream, and the certificates of the peer.
#[cfg(feature = "ws")]
async fn secure(node: &Node, stream: Box<dyn Io>, tls: bool) -> io::Result<(Box<dyn Io>, Vec<Vec<u8>>)> {
    #[cfg(feature = "tls")]
    if let (true, Some(config)) = (tls, &node.settings.tls) {
        let stream = tokio_rustls::TlsAcceptor::from(config.clone()).accept(stream).await?;
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let certificates = certificates.iter().map(|certificate| certificate.to_vec()).collect();
        return Ok((Box::new(stream), certificates));
    }
    let _ = (node, tls);
    Ok((stream, Vec::new()))
}

/// Connects to an address: `ws://host:port/path`, `wss://host:port/path`, `tcp://host:port` or
/// `unix:/path`. What comes of it is a client for what the peer offers, a [`Cap`], or the
/// [`Connection`].
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

/// A connection to be made: await it. See [`connect`].
///
/// # Errors
///
/// [`ErrorKind::Connect`] if there is nobody at the address, or it is no address, or a handshake
/// fails.
#[must_use = "nothing happens until it is awaited"]
pub struct Connect<C> {
    url: String,
    node: Node,
    headers: Vec<(String, String)>,
    #[cfg(feature = "tls")]
    tls: Option<Arc<tokio_rustls::rustls::ClientConfig>>,
    result: PhantomData<fn() -> C>,
}

impl<C: FromConnection> Connect<C> {
    fn new(url: &str, node: Node) -> Self {
        Self {
            url: url.to_owned(),
            node,
            headers: Vec::new(),
            #[cfg(feature = "tls")]
            tls: None,
            result: PhantomData,
        }
    }

    /// Sends an HTTP header with the request for a WebSocket, such as `Authorization`.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets which certificates are trusted, and shown, for `wss://`. Without it the usual
    /// authorities of the web are trusted.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: Arc<tokio_rustls::rustls::ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    async fn run(self) -> Result<C, Error> {
        let address: Address = self.url.parse()?;
        let url = self.url.clone();
        let error = |kind, error| Error::new(kind, format!("cannot connect to {url}")).with_source(error);
        let failed = |cause| error(ErrorKind::Connect, cause);
        let stream = dial(&address).await.map_err(failed)?;
        let limit = self.node.settings.limits.frame_bytes;
        match &address {
            #[cfg(feature = "ws")]
            Address::Ws { tls, host, path } => {
                let handshake = async {
                    let stream = if *tls { self.secure(stream, host).await? } else { stream };
                    let socket = crate::transport::ws::connect(stream, host, path, &self.headers, limit).await;
                    socket.map_err(|cause| match cause.kind() {
                        io::ErrorKind::PermissionDenied => error(ErrorKind::Refused, cause),
                        _ => failed(cause),
                    })
                };
                let late = |_| failed(io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long"));
                let socket = tokio::time::timeout(HANDSHAKE, handshake).await.map_err(late)??;
                self.node.connect_over(socket).await
            }
            #[cfg(not(feature = "ws"))]
            Address::Ws { .. } => {
                Err(Error::new(ErrorKind::Unsupported, "WebSockets need capnode's feature `ws`"))
            }
            Address::Tcp(_) | Address::Unix(_) => self.node.connect_over(lines(stream).limit(limit)).await,
        }
    }

    /// Does the handshake of TLS.
    #[cfg(feature = "tls")]
    async fn secure(&self, stream: Box<dyn Io>, host: &str) -> Result<Box<dyn Io>, Error> {
        use tokio_rustls::rustls::pki_types::ServerName;
        use tokio_rustls::rustls::{ClientConfig, RootCertStore};

        let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(ErrorKind::Connect, format!("cannot connect securely to {host}")).with_source(io::Error::other(error))
        };
        let server = ServerName::try_from(name.to_owned()).map_err(|error| failed(error.into()))?;
        let config = self.tls.clone().unwrap_or_else(|| {
            let roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
            Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
        });
        let stream = tokio_rustls::TlsConnector::from(config).connect(server, stream).await;
        Ok(Box::new(stream.map_err(|error| failed(error.into()))?))
    }

    #[cfg(all(feature = "ws", not(feature = "tls")))]
    async fn secure(&self, _: Box<dyn Io>, _: &str) -> Result<Box<dyn Io>, Error> {
        Err(Error::new(ErrorKind::Unsupported, "wss:// needs capnode's feature `tls`"))
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

/// Connects over any transport.
///
/// # Errors
///
/// Outside a tokio runtime.
pub async fn connect_over<C: FromConnection>(transport: impl Transport + Unpin) -> Result<C, Error> {
    Node::empty().connect_over(transport).await
}
