//! The facts about a peer that go with each of its calls.

use std::any::Any;
use std::marker;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::panics::Contained;
use crate::sync::{Mutex, lock};
use crate::threads::{Send, Staying, Sync};

/// The facts about a peer that its transport has brought.
#[derive(Default)]
pub(crate) struct PeerInfo {
    pub(crate) address: Option<SocketAddr>,
    /// The path and query of the request for a WebSocket, or of a batch.
    pub(crate) uri: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    /// The subprotocol of the WebSocket.
    pub(crate) subprotocol: Option<String>,
    /// Certificates, DER.
    pub(crate) certificates: Vec<Vec<u8>>,
    /// `true` if the connection is encrypted, as far as this end knows.
    pub(crate) encrypted: bool,
}

/// The peer that has made a call: what is known of its connection. It does not keep the connection open.
#[derive(Clone, Default)]
pub struct Caller(Arc<Known>);

#[derive(Default)]
struct Known {
    peer: PeerInfo,
    attached: Mutex<Vec<Contained<Box<dyn Any + marker::Send + marker::Sync>>>>,
}

impl Caller {
    #[cfg(feature = "host")]
    pub(crate) fn new(peer: PeerInfo) -> Self {
        Self(Arc::new(Known { peer, attached: Mutex::default() }))
    }

    /// Returns the address of the peer, where the transport has one.
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.peer.address
    }

    /// Returns the URI of the request for a WebSocket, or of an HTTP batch: path and query, such as `/api?room=7`.
    pub fn uri(&self) -> Option<&str> {
        self.0.peer.uri.as_deref()
    }

    /// Returns the path of the request for a WebSocket, or of an HTTP batch, without the query.
    pub fn path(&self) -> Option<&str> {
        self.uri().and_then(|uri| uri.split('?').next())
    }

    /// Returns the subprotocols of WebSocket that the peer offers, the preferred one first.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        let offers = self.headers().filter(|(name, _)| *name == "sec-websocket-protocol");
        offers.flat_map(|(_, names)| names.split(',')).map(str::trim)
    }

    /// Returns the subprotocol that was chosen of [those](Self::subprotocols): see
    /// [`NodeBuilder::subprotocols`](crate::NodeBuilder::subprotocols).
    pub fn subprotocol(&self) -> Option<&str> {
        self.0.peer.subprotocol.as_deref()
    }

    /// Returns the value of an HTTP header of the request for a WebSocket, or of an HTTP batch, the first one if there are
    /// several. The name is case-insensitive.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Returns the names and values of all HTTP headers of the request for a WebSocket, or of an HTTP batch. The names are
    /// in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.peer.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the certificates by which the peer has proved its identity, DER, its own first. Empty if the peer was
    /// not asked for one.
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.0.peer.certificates
    }

    /// Returns `true` if a listener of this program has accepted the connection by TLS. `false` for all others: if
    /// something before it takes the encryption off, and if this program has opened it.
    pub fn is_encrypted(&self) -> bool {
        self.0.peer.encrypted
    }

    /// Attaches a value to the connection, such as the user that a token stands for. It takes the place of another of
    /// its type.
    #[cfg(feature = "host")]
    pub fn attach<T: Any + Send + Sync>(&self, value: T) {
        let value = Box::new(Staying::new(Arc::new(value)));
        let before = {
            let mut attached = lock(&self.0.attached);
            let at = attached
                .iter()
                .position(|other| other.get().is_some_and(|other| other.is::<Staying<Arc<T>>>()));
            let before = at.map(|at| attached.swap_remove(at));
            attached.push(Contained::new(value));
            before
        };
        drop(before);
    }

    /// Returns the value of type `T` that was [attached](Self::attach).
    pub fn attached<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let attached = lock(&self.0.attached);
        let found = attached.iter().filter_map(Contained::get).find_map(|value| value.downcast_ref());
        found.map(|value: &Staying<Arc<T>>| value.with(Arc::clone))
    }
}

// Omits the proofs of identity: the query, the values of headers, and certificates.
crate::opaque::opaque!(Caller as caller {
    address: caller.0.peer.address,
    path: caller.path(),
    headers: caller.headers().map(|(name, _)| name).collect::<Vec<_>>(),
    certificates: caller.0.peer.certificates.len(),
});

#[cfg(all(test, feature = "tokio"))]
mod tests {
    use super::*;

    struct Fragile;

    impl Drop for Fragile {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }

    #[test]
    fn a_panic_while_what_is_attached_is_dropped_harms_nobody() {
        let caller = Caller::default();
        caller.attach(Fragile);
        caller.attach(Fragile);
        drop(caller);
    }
}
