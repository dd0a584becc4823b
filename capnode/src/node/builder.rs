//! The options of a node.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::admit::{Admit, Choose, Incoming, Same};
use super::{Node, Settings};
use crate::caller::Caller;
use crate::cap::data;
use crate::cap::policy::Policy;
use crate::dialect::Dialect;
use crate::interface::Offer;
use crate::limits::Limits;
use crate::link::LostMessage;
use crate::registry::Registry;
use crate::threads::{Send, Staying, Sync};

/// The options of a [`Node`]: see [`Node::builder`].
///
/// ```
/// use capnode::{Limits, Node};
///
/// let node = Node::builder()
///     .index("any value")
///     .limits(Limits::default().connections(100))
///     .nickname("billing")
///     .build();
/// # drop(node);
/// ```
#[derive(Clone)]
#[must_use = "a node is made by `build`"]
pub struct NodeBuilder {
    admit: Arc<dyn Admit>,
    settings: Settings,
}

impl Node {
    /// Creates a node that offers `index` to every peer: a client, or any value that serializes, perhaps with clients
    /// and functions in it. [`builder`](Self::builder) sets more.
    pub fn new(index: impl Offer) -> Self {
        Self::builder().index(index).build()
    }

    /// Creates a node without an index: its peers can only be called, or call references that they are sent.
    pub fn empty() -> Self {
        Self::builder().build()
    }

    /// Returns a builder, which sets the options of a node.
    pub fn builder() -> NodeBuilder {
        let mut settings = Settings::default();
        settings.config.registry = Some(Registry::default());
        NodeBuilder { admit: Arc::new(Same(None)), settings }
    }

    /// Returns a node with these [`Limits`] and otherwise the options of this one: a step before the first use, for
    /// `Node::new(index).limits(limits)`. No connection, listener or clone of this node is changed, and none of them
    /// counts for the new one.
    pub fn limits(self, limits: Limits) -> Self {
        let mut settings = Arc::unwrap_or_clone(self.settings);
        settings.config.limits = limits.in_force();
        Self { admit: self.admit, settings: Arc::new(settings), shared: Arc::default() }
    }
}

impl NodeBuilder {
    /// Creates the node.
    pub fn build(self) -> Node {
        Node { admit: self.admit, settings: Arc::new(self.settings), shared: Arc::default() }
    }

    /// Offers `index` to every peer: a client, or any value that serializes, perhaps with clients and functions in it.
    /// Without an index, the peers can only be called, or call references that they are sent.
    ///
    /// Replaces an earlier index or [`authorize`](Self::authorize).
    pub fn index(mut self, index: impl Offer) -> Self {
        self.admit = Arc::new(Same(Some(data::index(&index))));
        self
    }

    /// Decides about the index of each connection. `choose` returns the index, or as `Err` the reason for refusing,
    /// which the peer is told. The peer is connected by then, so its calls fail.
    ///
    /// Replaces an earlier [`index`](Self::index).
    pub fn authorize<F, Fut, I, E>(mut self, choose: F) -> Self
    where
        F: Fn(Incoming) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<I, E>> + Send + 'static,
        I: Offer + Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        self.admit = Arc::new(Choose::new(choose));
        self
    }

    /// Sets the limits on each peer; see [`Limits`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.config.limits = limits.in_force();
        self
    }

    /// Chooses the limits on each peer that connects, by its address, its request or its certificates, before anything of
    /// the session is read. The limits that count for the whole node, [`connections`](field@Limits::connections) and
    /// [`node_bytes`](field@Limits::node_bytes), stay those of [`limits`](Self::limits).
    pub fn limits_for(mut self, choose: impl Fn(&Caller) -> Limits + Send + Sync + 'static) -> Self {
        let choose = Staying::new(choose);
        self.settings.limits_for = Some(Arc::new(move |caller| choose.with(|choose| choose(caller))));
        self
    }

    /// Sets the wire language. By default a peer that connects to this node chooses, and this node speaks Cap'n Web on
    /// connections that it opens.
    ///
    /// A listener with a set language may speak first. Otherwise its output waits until the peer has sent something.
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.settings.config.dialect = Some(dialect);
        self
    }

    /// Sets the registry of this node's ids: those by which Capnode peers know its functions, and those that are
    /// [registered](Registry::register). By default each node has a registry of its own.
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.settings.config.registry = Some(registry.clone());
        self
    }

    /// Makes a function's id valid only on the connection that it was told on. Capnode's users expect the opposite.
    pub fn private_ids(mut self) -> Self {
        self.settings.config.registry = None;
        self
    }

    /// Has the calls that handlers make pass on these names of the [metadata](crate::Context::metadata) of the call that
    /// they serve, beside `traceparent`. Whoever is called reads the values, so list no secrets.
    pub fn inherit<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.settings.config.inherits = Some(names.into_iter().map(str::to_owned).collect());
        self
    }

    /// Gives each call over the connections of this node a [deadline](crate::Call::deadline) after this time, unless it
    /// has an earlier one.
    pub fn call_time(mut self, limit: Duration) -> Self {
        self.settings.config.call_time = Some(limit);
        self
    }

    /// Has a policy asked about each call over the connections of this node, and told of its outcome, in both
    /// [directions](crate::Direction): what the peers call here, and what this program calls there. Nothing is wrapped. Of
    /// several layers the first one is asked first; [`Connect::layer`](super::Connect::layer) adds one for one connection.
    ///
    /// Where a call waits for a decision, later calls over the same connection on the same reference wait behind it. A call
    /// on a result that is not there yet is asked about at once, before it is known what it will reach. Chunks of streams
    /// are no calls.
    ///
    /// ```
    /// use capnode::{Node, policy};
    ///
    /// let node = Node::builder()
    ///     .layer(policy::log(|call, outcome, duration| println!("{call:?}: {outcome:?} after {duration:?}")))
    ///     .layer(policy::authorize(|call| match call.caller().and_then(|caller| caller.header("authorization")) {
    ///         Some(_) => Ok(()),
    ///         None => Err(capnode::Error::rejected("log in first")),
    ///     }))
    ///     .build();
    /// # drop(node);
    /// ```
    pub fn layer(mut self, policy: impl Policy) -> Self {
        self.settings.config.add_layer(policy);
        self
    }

    /// Names the connections of this node. Errors, [`Debug`](fmt::Debug), and with the feature `tracing` the span
    /// `connection` show the name.
    pub fn nickname(mut self, name: &str) -> Self {
        self.settings.config.nickname = Some(name.into());
        self
    }

    /// Calls `lost` for each message to an unknown reference of this program, in languages that have no better way to
    /// say so. The reference may have been evicted, see [`Limits::exports`](field@Limits::exports).
    pub fn on_message_lost(mut self, lost: impl Fn(LostMessage) + Send + Sync + 'static) -> Self {
        let lost = Staying::new(lost);
        self.settings.config.lost = Some(Arc::new(move |message| lost.with(|lost| lost(message))));
        self
    }

    /// Lets pages of `origin`, such as `https://app.example`, open WebSockets here; `*` lets all.
    ///
    /// By default only pages of the same origin may: of the host that they ask for, by `http` at a `ws://` listener and
    /// by `https` at a `wss://` one. Programs that are no browser, which send no origin, may too. A peer on the same
    /// machine may only ask for `localhost`, for an address, or for the host of an allowed origin, since a page can
    /// make a name of its own point here.
    #[cfg(feature = "ws")]
    pub fn allow_origin(mut self, origin: &str) -> Self {
        self.settings.origins.add(origin);
        self
    }

    /// Serves these subprotocols of WebSocket: the first one that a peer offers is chosen, and the peer is told. A peer that
    /// offers none of them is served all the same; [`Caller::subprotocol`] tells.
    #[cfg(feature = "ws")]
    pub fn subprotocols<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.settings.subprotocols = names.into_iter().map(str::to_owned).collect();
        self
    }

    /// Sets the certificate and key for `wss://` listeners.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: Arc<tokio_rustls::rustls::ServerConfig>) -> Self {
        self.settings.tls = Some(config);
        self
    }
}

crate::opaque::opaque!(NodeBuilder as builder { limits: builder.settings.config.limits });
