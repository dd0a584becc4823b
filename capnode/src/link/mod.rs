//! One connection without its transport: the session's tables, the objects and waiting callers behind its ids, and the
//! frames in and out. It neither reads, writes, spawns nor sleeps; the driver does, and so does a test.
//!
//! All state is behind one lock, held only for moments and never while user code runs: see [`Link::with_state`]. It
//! consists of parts, each in a file of its own that alone knows its fields.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};
use std::task::Waker;
use std::time::Duration;

mod answer;
mod batch;
mod call_handle;
mod clock;
mod deadlines;
pub(crate) mod drive;
mod effects;
mod encode;
mod encoding;
mod ending;
mod entries;
mod export;
mod export_names;
#[cfg(feature = "host")]
mod flushed;
#[cfg(feature = "host")]
mod flushes;
mod hooks;
mod inbound;
mod inbound_call;
mod inbox;
mod late;
mod lifecycle;
mod liveness;
mod locked;
mod lost;
mod outbox;
pub(crate) mod pool;
mod question;
mod queued_call;
pub(crate) mod report;
mod state;
mod streams;
pub(crate) mod task;
#[cfg(test)]
pub(crate) mod tests;

use self::batch::Batch;
use self::clock::LivenessClock;
use self::encoding::Encoding;
use self::entries::Entries;
#[cfg(feature = "host")]
pub(crate) use self::entries::no_index_for;
use self::inbox::Inbox;
use self::lifecycle::Lifecycle;
#[cfg(feature = "host")]
pub(crate) use self::lifecycle::SHUTTING_DOWN;
use self::locked::Locked;
pub use self::lost::LostMessage;
use self::outbox::Outbox;
use self::pool::{Pool, QuotaShare};
use self::state::State;
use crate::caller::Caller;
use crate::cap::Cap;
use crate::cap::context::Context;
use crate::cap::edge::Edge;
use crate::cap::layer::Layer;
use crate::cap::policy::{AnyPolicy, Policy};
use crate::cap::promise::Promise;
use crate::dialect::{Capabilities, Dialect};
use crate::limits::{Limits, Unfolding};
use crate::message::{Extensions, Id};
use crate::registry::Registry;
use crate::remote::Remote;
use crate::session::{Session, Side};
use crate::sweep::Sweep;
use crate::sync::Mutex;
#[cfg(feature = "host")]
use crate::sync::atomic::Ordering;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use crate::threads::Staying;

/// The settings of a connection, made before it begins.
#[derive(Clone, Default)]
pub(crate) struct LinkConfig {
    pub(crate) limits: Limits,
    /// The peer's language; `None` to detect it by the first message.
    pub(crate) dialect: Option<Dialect>,
    /// The registry of function names, for languages in which they are valid for the whole node.
    pub(crate) registry: Option<Registry>,
    /// The callback for messages to unknown ids.
    pub(crate) lost: Option<Arc<dyn Fn(LostMessage) + Send + Sync>>,
    /// The name of the connection in errors.
    pub(crate) nickname: Option<Arc<str>>,
    /// The pool that counts all links of the node.
    pub(crate) pool: Option<Arc<Pool>>,
    /// The peer that the pool counts the link for.
    pub(crate) remote: Remote,
    /// `true` if the connection is an HTTP batch.
    pub(crate) batch: bool,
    /// The policy that is asked about each call.
    pub(crate) layer: Option<Arc<AnyPolicy>>,
    /// The facts about the peer; `None` if there are none yet. Each connection has its own.
    pub(crate) caller: Option<Caller>,
    /// The names of metadata that calls inherit.
    pub(crate) inherits: Option<Arc<[String]>>,
    /// The time that each call of this side may take.
    pub(crate) call_time: Option<Duration>,
    /// `true` if the peer is known to be of this library, in a version that has told so before.
    pub(crate) knows_peer: bool,
}

impl LinkConfig {
    /// Has a policy asked behind those that are.
    pub(crate) fn add_layer(&mut self, policy: impl Policy) {
        let last = Arc::new(Staying::new(policy));
        self.layer = Some(match self.layer.take() {
            Some(first) => Arc::new((first, last)),
            None => last,
        });
    }
}

pub(crate) struct Link {
    /// Locked only by [`with_state`](Self::with_state) and [`read_state`](Self::read_state).
    state: Locked,
    own: Weak<Self>,
    /// The abilities of the peer, once its dialect is known.
    peer: OnceLock<&'static Capabilities>,
    limits: Limits,
    /// The limits of values that are put together from the outcomes of promises.
    unfolding: Unfolding,
    connecting: bool,
    /// The layer that is asked about each call.
    edge: Option<Arc<dyn Edge>>,
    /// The progress of an HTTP batch, if the connection is one.
    batch: Option<Box<Batch>>,
    remote: Remote,
    /// The context of a call of the peer that says nothing of it.
    context: Context,
    /// Time that each call of this side may take.
    call_time: Option<Duration>,
    /// `true` if there is an earlier deadline than the driver knows of.
    has_sooner: AtomicBool,
    /// Time that the peer has for its first message.
    silence: Option<Duration>,
    /// Time that the connection may be unused.
    idle: Option<Duration>,
    /// Microseconds since the beginning, as last set by the driver.
    now: AtomicU64,
    share: QuotaShare,
    /// `true` if there is a pool.
    pooled: bool,
    lost: Option<Arc<dyn Fn(LostMessage) + Send + Sync>>,
    nickname: Option<Arc<str>>,
    /// Imports whose handles were dropped. They have a lock of their own, so that a reference can be dropped anywhere.
    dropped: Mutex<Vec<PendingRelease>>,
    /// `true` if there are dropped handles. Changed under their lock, and read without.
    has_pending_releases: AtomicBool,
    /// `true` if the next message must be one of the peer's language.
    checks_first: AtomicBool,
    /// `true` once the session has ended. Set under the lock, and read without.
    ended: AtomicBool,
    /// `true` if not every call of this side can be made: in a batch, as long as results may fail by deadlines, once the
    /// peer drains, and after the end. Set under the lock.
    restricted: AtomicBool,
    /// `true` if the end may not take any time.
    #[cfg(feature = "host")]
    cut: AtomicBool,
    /// `true` if the transport carries bytes beside the text.
    carries_bytes: AtomicBool,
    /// `true` if bytes go beside the text to the peer. Changed under the lock, and read without.
    puts_bytes_beside: AtomicBool,
    /// `true` if further calls of the peer are refused. Outside the lock, since it is read for every call.
    draining: AtomicBool,
    /// The waker of the driver.
    driver: Mutex<Option<Waker>>,
    /// `true` if there is a waker. Changed under its lock, and read without.
    driver_parked: AtomicBool,
    /// Bytes of outcomes of the peer's promises that no caller has taken.
    untaken: Arc<AtomicUsize>,
    /// Bytes of streams that no reader has taken.
    stream_bytes: Arc<AtomicUsize>,
    /// The number of streams that this side writes into pipes of the peer. Changed under the lock.
    written_streams: AtomicUsize,
    /// Properties that are being read on the way to others, in a language that reads one step at a time.
    property_reads: Mutex<PropertyReads>,
}

/// The drop of a handle of an import.
struct PendingRelease {
    id: Id,
    /// `true` if the handle was dropped by a delayed release.
    late: bool,
}

/// Properties that are being read.
#[derive(Default)]
struct PropertyReads {
    asked: HashMap<(Id, String), Weak<Promise>>,
    sweep: Sweep,
}

impl Link {
    pub(crate) fn new(side: Side, index: Option<Cap>, config: LinkConfig) -> Arc<Self> {
        let LinkConfig { limits, dialect, registry, lost, nickname, pool, remote, batch, .. } = config;
        let LinkConfig { layer, caller, inherits, call_time, knows_peer, .. } = config;
        // The connecting side speaks first.
        let dialect = dialect.or_else(|| (side == Side::Connecting).then(Dialect::default));
        let peer = dialect.map(Dialect::capabilities);
        let mut state = State {
            session: Session::new(limits.clone(), peer.unwrap_or_default()),
            encoding: Encoding::new(dialect, registry, &limits),
            entries: Entries::new(index),
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            clock: LivenessClock::default(),
            lifecycle: Lifecycle::default(),
            #[cfg(feature = "metrics")]
            told: [0; 2],
        };
        if knows_peer {
            state.session.presume(Extensions { context: true, ..Extensions::default() });
        }
        if batch {
            state.session.forgo_hello();
        } else if side == Side::Connecting {
            let hello = state.session.hello();
            state.say_all(hello);
        }
        let share = QuotaShare::of(pool, &limits);
        Arc::new_cyclic(|own| Self {
            state: Locked::new(state),
            own: own.clone(),
            peer: peer.map_or_else(OnceLock::new, OnceLock::from),
            connecting: side == Side::Connecting,
            batch: batch.then(|| Box::new(Batch::new(side))),
            remote,
            edge: layer.map(|policy| Layer::new(policy) as Arc<dyn Edge>),
            context: Context::of_caller(caller.unwrap_or_default(), side == Side::Accepting, inherits),
            call_time,
            has_sooner: AtomicBool::new(false),
            silence: limits.silence.filter(|_| side == Side::Accepting && remote != Remote::Own),
            // The connecting side decides how long it stays.
            idle: limits.idle.filter(|_| side == Side::Accepting),
            pooled: share.is_pooled(),
            share,
            unfolding: limits.unfolding(),
            limits,
            now: AtomicU64::new(0),
            lost,
            nickname,
            dropped: Mutex::new(Vec::new()),
            has_pending_releases: AtomicBool::new(false),
            checks_first: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            restricted: AtomicBool::new(batch),
            #[cfg(feature = "host")]
            cut: AtomicBool::new(false),
            carries_bytes: AtomicBool::new(false),
            puts_bytes_beside: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            driver: Mutex::new(None),
            driver_parked: AtomicBool::new(false),
            untaken: Arc::default(),
            stream_bytes: Arc::default(),
            written_streams: AtomicUsize::new(0),
            property_reads: Mutex::default(),
        })
    }

    /// Sets whether the transport carries bytes beside the text. Without a transport there are none.
    #[cfg(feature = "host")]
    pub(crate) fn set_carries_bytes(&self, carries: bool) {
        self.carries_bytes.store(carries, Ordering::SeqCst);
    }

    /// Returns the peer's language, once it is known.
    pub(crate) fn dialect(&self) -> Option<Dialect> {
        self.peer.get().map(|peer| peer.dialect)
    }

    /// Returns the abilities of the peer, once its dialect is known.
    pub(crate) fn capabilities(&self) -> Option<&'static Capabilities> {
        self.peer.get().copied()
    }

    /// Returns what is known of the peer.
    #[cfg(feature = "host")]
    pub(crate) fn caller(&self) -> Caller {
        self.context.caller().cloned().unwrap_or_default()
    }

    /// Returns the name of the connection in errors.
    #[cfg(feature = "host")]
    pub(crate) fn nickname(&self) -> Option<&Arc<str>> {
        self.nickname.as_ref()
    }
}
