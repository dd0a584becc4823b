//! The decision about the index of a connection, and the peer that it is about.

use std::fmt;
use std::future::Future;
use std::marker;
use std::net::SocketAddr;

use async_trait::async_trait;

use crate::caller::Caller;
use crate::cap::{Cap, data};
use crate::connection::Connection;
use crate::error::{Error, ErrorKind};
use crate::interface::Offer;
use crate::threads::{Send, Staying, Sync, future};

/// Chooses the index for a connection, or refuses it.
#[async_trait]
pub(super) trait Admit: marker::Send + marker::Sync {
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

pub(super) struct Choose<F: 'static>(Staying<F>);

impl<F> Choose<F> {
    pub(super) fn new(choose: F) -> Self {
        Self(Staying::new(choose))
    }
}

#[async_trait]
impl<F, Fut, I, E> Admit for Choose<F>
where
    F: Fn(Incoming) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<I, E>> + Send + 'static,
    I: Offer,
    E: fmt::Display,
{
    async fn admit(&self, incoming: Incoming) -> Result<Option<Cap>, Error> {
        let chosen = self.0.with(|choose| choose(incoming));
        let chosen = async move {
            match chosen.await {
                Ok(index) => Ok(Some(data::index(&index))),
                Err(refusal) => Err(Error::new(ErrorKind::Refused, refusal.to_string())),
            }
        };
        future(chosen).await
    }
}

/// A peer that connects, before the decision about its index: see [`NodeBuilder::authorize`](super::NodeBuilder::authorize).
#[derive(Clone)]
pub struct Incoming {
    connection: Connection,
    caller: Caller,
}

impl Incoming {
    pub(super) fn new(connection: &Connection) -> Self {
        Self { connection: connection.clone(), caller: connection.link().caller() }
    }

    /// Returns the connection. The peer's index is at [`Connection::index`], and may be called already. Calls of the
    /// peer wait until the decision.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Returns what is known of the peer, as the [context](crate::context) of each of its calls has it. Attach to it what
    /// you find out, such as the user that a token stands for.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Returns the address of the peer, where the transport has one.
    pub fn address(&self) -> Option<SocketAddr> {
        self.caller.address()
    }

    /// Returns the URI of the request for a WebSocket, or of an HTTP batch: path and query, such as `/api?room=7`.
    pub fn uri(&self) -> Option<&str> {
        self.caller.uri()
    }

    /// Returns the path of the request for a WebSocket, or of an HTTP batch, without the query.
    pub fn path(&self) -> Option<&str> {
        self.caller.path()
    }

    /// Returns the value of an HTTP header of the request for a WebSocket, or of an HTTP batch, the first one if there are
    /// several. The name is case-insensitive.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.caller.header(name)
    }

    /// Returns the names and values of all HTTP headers of the request for a WebSocket, or of an HTTP batch. The names are
    /// in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.caller.headers()
    }

    /// Returns the certificates by which the peer has proved its identity, DER, its own first. Empty if the peer was
    /// not asked for one.
    pub fn certificates(&self) -> &[Vec<u8>] {
        self.caller.certificates()
    }
}

crate::opaque::opaque!(Incoming as incoming { connection: incoming.connection, caller: incoming.caller });
