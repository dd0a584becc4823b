//! The decision about the index of a connection, and the peer that it is about.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;

use async_trait::async_trait;

use crate::cap::{Cap, data};
use crate::connection::Connection;
use crate::error::{Error, ErrorKind};
use crate::interface::Offer;

/// Chooses the index for a connection, or refuses it.
#[async_trait]
pub(super) trait Admit: Send + Sync {
    async fn admit(&self, incoming: Incoming) -> Result<Option<Cap>, Error>;
}

/// An index that is offered to all peers.
pub(super) struct Same(pub(super) Option<Cap>);

#[async_trait]
impl Admit for Same {
    async fn admit(&self, _: Incoming) -> Result<Option<Cap>, Error> {
        Ok(self.0.clone())
    }
}

pub(super) struct Choose<F>(pub(super) F);

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

/// A peer that connects, before the decision about its index: see [`NodeBuilder::authorize`](super::NodeBuilder::authorize).
#[derive(Clone)]
pub struct Incoming {
    pub(super) connection: Connection,
    pub(super) peer: PeerInfo,
}

/// The facts about a peer that its transport has brought.
#[derive(Clone, Default)]
pub(crate) struct PeerInfo {
    pub(crate) address: Option<SocketAddr>,
    /// The path and query of the request for a WebSocket, or of a batch.
    pub(crate) path: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    /// Certificates, DER.
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
        self.peer.address
    }

    /// Returns the path of the request for a WebSocket, or of an HTTP batch, with its query, such as `/api?room=7`.
    pub fn path(&self) -> Option<&str> {
        self.peer.path.as_deref()
    }

    /// Returns the value of an HTTP header of the request for a WebSocket, or of an HTTP batch, the first one if there are
    /// several. The name is case-insensitive.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Returns the names and values of all HTTP headers of the request for a WebSocket, or of an HTTP batch. The names are
    /// in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.peer.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the certificates by which the peer has proved its identity, DER, its own first. Empty if the peer was
    /// not asked for one.
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.peer.certificates
    }
}

/// Omits the proofs of identity: the query, the values of headers, and certificates.
impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers().map(|(name, _)| name).collect();
        let path = self.path().map(|path| path.split_once('?').map_or(path, |(path, _)| path));
        f.debug_struct("Incoming")
            .field("connection", &self.connection)
            .field("address", &self.peer.address)
            .field("path", &path)
            .field("headers", &headers)
            .field("certificates", &self.peer.certificates.len())
            .finish()
    }
}
