//! Accepting connections.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

#[cfg(feature = "http")]
use super::http::Sender;
#[cfg(feature = "ws")]
use super::{HANDSHAKE, late_handshake};
use super::{Node, kind_of};
use crate::caller::PeerInfo;
use crate::error::Error;
#[cfg(feature = "ws")]
use crate::error::ErrorKind;
use crate::runtime::{JoinHandle, start, timeout};
#[cfg(feature = "ws")]
use crate::transport::address::Io;
use crate::transport::address::{Accepted, Bound};
use crate::transport::streams::Handshake;
use crate::transport::{Address, lines};
#[cfg(feature = "ws")]
use crate::transport::{
    frames::{Frames, Role},
    ws::{self, Opened},
};
#[cfg(feature = "ws")]
use crate::upgrade::Door;

impl Node {
    /// Listens on an address: `ws://host:port/path`, `wss://host:port/path`, `http://host:port/path`,
    /// `https://host:port/path`, `tcp://host:port` or `unix:/path`. Port 0 takes any that is free.
    ///
    /// A WebSocket is opened at `path` and nowhere else; without a path, or at `/`, everywhere. A query in the address
    /// does not count. At `http://` and `https://`, with the feature `http`, batches are served at `path`, and WebSockets
    /// as well.
    ///
    /// Returns once the socket is bound.
    ///
    /// # Errors
    ///
    /// If the address is invalid, or cannot be bound, or is `wss://` or `https://` and no certificate was
    /// [set](super::NodeBuilder::tls); [`ErrorKind::Refused`](crate::ErrorKind::Refused) after [`drain`](Self::drain);
    /// outside a tokio runtime, and in one without I/O or timers.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, nothing listens.
    pub async fn listen(&self, url: &str) -> Result<Listener, Error> {
        let address: Address = url.parse()?;
        self.check_listen(&address)?;
        let drained = |error: Error| error.with_context(format_args!("cannot listen on {address}"));
        self.shared.check_open().map_err(drained)?;
        Listener::new(self.clone(), address).await
    }
}

/// A listener, which accepts connections until it is dropped or closed. The connections stay.
#[must_use = "dropping the listener stops accepting"]
#[derive(Debug)]
pub struct Listener {
    accepting: JoinHandle<()>,
    local: Option<SocketAddr>,
    url: Address,
}

impl Listener {
    async fn new(node: Node, address: Address) -> Result<Self, Error> {
        let cannot = |error: io::Error| {
            // The cause is in the message, so it is not the source as well.
            let message = format!("cannot listen on {address}: {error}");
            Error::new(kind_of(error.kind()), message).with_public_message("cannot listen")
        };
        crate::runtime::check()?;
        let bound = crate::runtime::with_io(Bound::new(&address)).await.map_err(cannot)?;
        let local = bound.local_addr();
        let url = match (&address, local) {
            (Address::Tcp(_), Some(local)) => Address::Tcp(local.to_string()),
            (Address::Ws { tls, path, .. }, Some(local)) => {
                Address::Ws { tls: *tls, host: local.to_string(), path: path.clone() }
            }
            (Address::Http { tls, path, .. }, Some(local)) => {
                Address::Http { tls: *tls, host: local.to_string(), path: path.clone() }
            }
            _ => address.clone(),
        };
        let accepting = start(accept_all(node, bound, address));
        Ok(Self { accepting, local, url })
    }

    /// Returns the address it is bound to, with the actual port; `None` for a Unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Returns the URL to connect to.
    pub fn url(&self) -> String {
        self.url.to_string()
    }

    /// Stops accepting, and returns when the socket is closed. The connections stay.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops accepting as well, as dropping the listener does.
    pub async fn close(mut self) {
        self.accepting.abort();
        // The error only says that the task was ended.
        let _ended = (&mut self.accepting).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The wait for a descriptor when no stream can be closed to make way.
const SHORTAGE: Duration = Duration::from_millis(50);

async fn accept_all(node: Node, bound: Bound, address: Address) {
    let mut closing = node.shared.closing();
    let accepting = async {
        let most = node.settings.config.limits.connections;
        let streams = node.shared.streams();
        let mut permit = None;
        loop {
            while permit.is_none() {
                permit = streams.permit(most);
                if permit.is_none() {
                    node.shared.make_way();
                    streams.freed().await;
                }
            }
            match bound.accept(&mut permit).await {
                Ok(accepted) => {
                    let (node, address) = (node.clone(), address.clone());
                    streams.shake(async move |handshake| {
                        // A peer that fails the handshake, or is refused, has been told as far as possible. Other
                        // connections go on.
                        if let Err(error) = accept_one(&node, accepted, handshake, &address).await {
                            crate::events::refused(&error);
                        }
                    });
                }
                // It had gone before it was accepted.
                Err(error) if is_of_one(&error) => {}
                // The error may be too many open files, which comes even if no peer waits to be accepted.
                Err(_) => {
                    let fewer = streams.fewer();
                    node.shared.make_way();
                    // The shortage passes in any case, and must not keep a processor busy.
                    let _late = timeout(SHORTAGE, fewer).await;
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        // The sender is the node's, which is here.
        _ = closing.wait_for(|closing| *closing) => {}
    }
}

/// Returns `true` if an error is about one connection, and not about the listener.
fn is_of_one(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

async fn accept_one(
    node: &Node,
    accepted: Accepted,
    handshake: Handshake,
    address: &Address,
) -> Result<(), Error> {
    let Accepted { stream, peer, remote } = accepted;
    #[cfg(feature = "ws")]
    let late = |_| Error::new(ErrorKind::Timeout, late_handshake());
    #[cfg(feature = "ws")]
    let failed = |error| Error::new(ErrorKind::Refused, "the handshake failed").with_source(error);
    match address {
        #[cfg(feature = "ws")]
        Address::Ws { tls, path, .. } => {
            let shaking = async {
                let (stream, certificates) = secure(node, stream, *tls).await?;
                let settings = node.settings();
                let subprotocols = &settings.subprotocols;
                let door = Door { origins: &settings.origins, subprotocols, tls: Some(*tls), peer };
                let (stream, opened) = ws::accept(stream, &door, path).await?;
                let Opened { uri, headers, subprotocol, rest } = opened;
                let uri = Some(uri);
                let info =
                    PeerInfo { address: peer, uri, headers, subprotocol, certificates, encrypted: *tls };
                io::Result::Ok((stream, rest, info))
            };
            let shaken = timeout(HANDSHAKE, shaking).await.map_err(late)?;
            let (stream, rest, info) = shaken.map_err(failed)?;
            drop(handshake);
            let config = node.config_for(remote, info);
            let socket = Frames::new(stream, Role::Server, config.limits.frame_bytes, rest);
            node.accept(socket, config).await?;
        }
        #[cfg(feature = "http")]
        Address::Http { tls, path, .. } => {
            let secured = timeout(HANDSHAKE, secure(node, stream, *tls)).await.map_err(late)?;
            let (stream, certificates) = secured.map_err(failed)?;
            let sender = Sender { address: peer, remote, tls: Some(*tls), certificates };
            super::http::serve(node, stream, &sender, path, &handshake).await;
        }
        _ => {
            drop(handshake);
            let config = node.config_for(remote, PeerInfo { address: peer, ..PeerInfo::default() });
            node.accept(lines(stream).limit(config.limits.frame_bytes), config).await?;
        }
    }
    Ok(())
}

/// Does the handshake of TLS, if the address needs one. Returns the stream, and the certificates of the peer.
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
