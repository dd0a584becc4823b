//! Accepting connections.

#[cfg(feature = "ws")]
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

#[cfg(feature = "ws")]
use super::HANDSHAKE;
use super::Node;
use crate::error::{Error, ErrorKind};
use crate::transport::address::{Bound, Io};
use crate::transport::{Address, lines};
#[cfg(feature = "ws")]
use crate::upgrade::Door;

/// Accepts connections until it is dropped or closed. The connections stay.
#[must_use = "dropping the listener stops accepting"]
#[derive(Debug)]
pub struct Listener {
    accepting: JoinHandle<()>,
    local: Option<SocketAddr>,
    url: Address,
}

impl Listener {
    pub(super) async fn new(node: Node, address: Address) -> Result<Self, Error> {
        let cannot = |error| {
            let failed = Error::new(ErrorKind::Connect, format!("cannot listen on {address}"));
            failed.telling("cannot listen").with_source(error)
        };
        let bound = Bound::new(&address).await.map_err(cannot)?;
        let local = bound.local_addr();
        let url = match (&address, local) {
            (Address::Tcp(_), Some(local)) => Address::Tcp(local.to_string()),
            (Address::Ws { tls, path, .. }, Some(local)) => {
                Address::Ws { tls: *tls, host: local.to_string(), path: path.clone() }
            }
            _ => address.clone(),
        };
        let accepting = tokio::spawn(accept_all(node, bound, address));
        Ok(Self { accepting, local, url })
    }

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
    let mut closing = node.shared.closing();
    let most = node.settings.terms.limits.connections.min(Semaphore::MAX_PERMITS);
    let handshakes = Arc::new(Semaphore::new(most));
    loop {
        // Nobody closes it. Who comes meanwhile waits in the system's queue.
        let entering = tokio::select! {
            entering = handshakes.clone().acquire_owned() => entering,
            _ = closing.wait_for(|closing| *closing) => return,
        };
        let accepted = tokio::select! {
            accepted = bound.accept() => accepted,
            // The sender is the node's, which is here.
            _ = closing.wait_for(|closing| *closing) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (node, address) = (node.clone(), address.clone());
                tokio::spawn(async move {
                    let _entering = entering;
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
        Address::Ws { tls, path, .. } => {
            let handshake = async {
                let (stream, certificates) = secure(node, stream, *tls).await?;
                let settings = node.settings();
                let door = Door { origins: &settings.origins, tls: Some(*tls), peer };
                let frame_bytes = settings.terms.limits.frame_bytes;
                let (socket, headers) =
                    crate::transport::ws::accept(stream, &door, path, frame_bytes).await?;
                io::Result::Ok((socket, headers, certificates))
            };
            let failed = |error| Error::new(ErrorKind::Refused, "the handshake failed").with_source(error);
            let late = |_| Error::new(ErrorKind::Timeout, "the handshake took too long");
            let shaken = tokio::time::timeout(HANDSHAKE, handshake).await.map_err(late)?;
            let (socket, headers, certificates) = shaken.map_err(failed)?;
            node.accept(socket, peer, headers, certificates).await?;
        }
        _ => {
            let transport = lines(stream).limit(node.settings.terms.limits.frame_bytes);
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
