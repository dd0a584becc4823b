//! The conditions for HTTP requests, and the answers to those that do not meet them.

use std::net::SocketAddr;

use crate::origin::Origins;

/// An HTTP answer to a request that opens no WebSocket and is no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) words: &'static str,
    /// The headers that belong to the status, with names in lower case.
    pub(crate) headers: &'static [(&'static str, &'static str)],
}

/// The request asks for no upgrade, such as that of a health check or an address bar.
pub(crate) const NO_UPGRADE: Refusal = Refusal {
    status: 426,
    words: "This address serves WebSockets: connect to it by ws:// or wss://, not by http:// or https://.\n",
    headers: &[("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-version", "13")],
};

pub(crate) const WRONG_VERSION: Refusal =
    Refusal { words: "WebSockets of version 13 are served here.\n", ..NO_UPGRADE };

pub(crate) const WRONG_METHOD: Refusal = Refusal {
    status: 405,
    words: "This address serves WebSockets, which are opened by GET. HTTP batches are served by listeners at http://.\n",
    headers: &[("allow", "GET")],
};

#[cfg(feature = "http")]
pub(crate) const NEITHER: Refusal = Refusal {
    words: "This address serves HTTP batches, which are sent by POST, and WebSockets, which are opened by GET.\n",
    headers: &[("allow", "GET, POST")],
    ..WRONG_METHOD
};

#[cfg(feature = "http")]
pub(crate) const TOO_MUCH: Refusal =
    Refusal { status: 413, words: "The body is longer than a batch may be here.\n", headers: &[] };

#[cfg(feature = "http")]
pub(crate) const NO_ANSWER: Refusal =
    Refusal { status: 503, words: "The batch has ended without an answer.\n", headers: &[] };

#[cfg(feature = "ws")]
const WRONG_PATH: Refusal = Refusal { status: 404, words: "Nothing is served at this path.\n", headers: &[] };

const WRONG_HOST: Refusal =
    Refusal { status: 403, words: "This host name is not allowed for a local address.\n", headers: &[] };

const WRONG_ORIGIN: Refusal =
    Refusal { status: 403, words: "Pages of this origin are not allowed.\n", headers: &[] };

/// The requirements for an HTTP request.
pub(crate) struct Door<'a> {
    pub(crate) origins: &'a Origins,
    /// The subprotocols that are served, the preferred one first.
    pub(crate) subprotocols: &'a [String],
    /// `true` if the peer came by TLS, if that is known.
    pub(crate) tls: Option<bool>,
    /// The address of the peer, if that is known.
    pub(crate) peer: Option<SocketAddr>,
}

impl Door<'_> {
    /// Checks the headers that tell the page: `Host` and `Origin`.
    pub(crate) fn check_page(&self, host: Option<&str>, origin: Option<&str>) -> Result<(), Refusal> {
        // A page can make its own name point to this machine, and then has the same host as its request.
        let is_local = self.peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
        if is_local && host.is_some_and(|host| !self.origins.knows_host(host)) {
            return Err(WRONG_HOST);
        }
        if self.origins.allow(origin, host, self.tls) { Ok(()) } else { Err(WRONG_ORIGIN) }
    }
}

/// Checks the path of a request. A listener at `/` serves all of them.
#[cfg(feature = "ws")]
pub(crate) fn check_path(served: &str, asked: &str) -> Result<(), Refusal> {
    let served = served.split(['?', '#']).next().unwrap_or_default();
    if served == "/" || served == asked { Ok(()) } else { Err(WRONG_PATH) }
}
