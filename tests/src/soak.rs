//! Calls, callbacks and cut connections, many of each: the resources that they leave when all is quiet again.
//!
//! The command is `src/bin/soak.rs`; the test of few is `tests/soak.rs`.

use std::fmt;
use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use capnode::transport::{Closing, Frame, Outgoing, Properties, ReceiveError, Transport, lines, web_socket};
use capnode::{Connection, Dialect, Error, ErrorKind, Fate, Func, Incoming, Limits, Listener, Node, Tables};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_tungstenite::client_async;

use crate::{limits, panics, until};

/// Connections that stay.
pub const STAYING: usize = 4;
/// The number of concurrent callers on each of these connections.
const CALLERS: usize = 16;
/// The number of connections that are opened and cut concurrently.
const CUTTERS: usize = 8;
/// References that a peer may hold. Where nothing gives them back, this is what stays.
const EXPORTS: usize = 200;

/// The amount of work of each kind.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// Calls with a plain result.
    pub calls: usize,
    /// Functions made for a call, called back, and dropped; each call also gets an object, and drops it.
    pub callbacks: usize,
    /// Connections opened, and cut while a call runs whose handler has called back.
    pub connections: usize,
}

impl Amount {
    /// A share of it.
    pub fn divided_by(self, parts: usize) -> Self {
        Self {
            calls: self.calls / parts,
            callbacks: self.callbacks / parts,
            connections: self.connections / parts,
        }
    }
}

/// The duration of each kind of work. The kinds run concurrently.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// The calls.
    pub calls: Duration,
    /// The callbacks.
    pub callbacks: Duration,
    /// The connections.
    pub connections: Duration,
}

#[capnode::interface]
trait Work {
    async fn add(&self, a: u64, b: u64) -> u64;
    /// Calls `callback`, and gives an object that keeps it.
    async fn keep(&self, callback: Func<fn(u64) -> u64>, number: u64) -> KeeperClient;
    /// Calls `inside`, and never ends.
    async fn stay(&self, inside: Func<fn()>);
}

#[capnode::interface]
trait Keeper {
    async fn number(&self) -> u64;
}

/// Counts live things: each holds a clone of it.
#[derive(Clone, Default)]
struct Alive(Arc<()>);

impl Alive {
    fn count(&self, standing: usize) -> usize {
        Arc::strong_count(&self.0) - standing
    }
}

#[derive(Clone, Default)]
struct Worker {
    handlers: Alive,
    objects: Alive,
}

struct Kept {
    number: u64,
    _callback: Func<fn(u64) -> u64>,
    _alive: Alive,
}

impl Work for Worker {
    async fn add(&self, a: u64, b: u64) -> u64 {
        a + b
    }

    async fn keep(&self, callback: Func<fn(u64) -> u64>, number: u64) -> KeeperClient {
        let _running = self.handlers.clone();
        let number = callback.call(number).await.unwrap_or_default();
        KeeperClient::new(Kept { number, _callback: callback, _alive: self.objects.clone() })
    }

    async fn stay(&self, inside: Func<fn()>) {
        let _running = self.handlers.clone();
        // A caller that is cut off before it is told has been cut off all the same.
        let _told = inside.call().await;
        pending().await
    }
}

impl Keeper for Kept {
    async fn number(&self) -> u64 {
        self.number
    }
}

/// The resources that remain when all is quiet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The tables of the connections that stay, at the ends that serve and then at those that call.
    pub tables: Vec<Tables>,
    /// Handlers that run.
    pub handlers: usize,
    /// Objects that the serving end has given out.
    pub objects: usize,
    /// Functions that the calling end has.
    pub callbacks: usize,
}

impl Left {
    /// Returns whether it equals `before`, except for what a language without releases may keep.
    pub fn is_like(&self, before: &Self, dialect: Dialect) -> bool {
        let lasting = |left: &Self| {
            let mut left = left.clone();
            left.tables.iter_mut().for_each(|tables| tables.evicted = 0);
            left
        };
        dialect == Dialect::Q || lasting(self) == lasting(before)
    }

    /// Returns whether nothing is left.
    pub fn is_empty(&self) -> bool {
        let alive = self.handlers + self.objects + self.callbacks;
        let held = |tables: &Tables| tables.imports + tables.exports + tables.calls + tables.running;
        alive == 0 && self.tables.iter().all(|tables| held(tables) == 0)
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |of: fn(&Tables) -> usize| self.tables.iter().map(of).sum::<usize>();
        let (imports, exports) = (sum(|tables| tables.imports), sum(|tables| tables.exports));
        let (calls, running) = (sum(|tables| tables.calls), sum(|tables| tables.running));
        write!(
            f,
            "{imports} imports, {exports} exports, {calls} calls, {running} running at {} ends; ",
            self.tables.len()
        )?;
        write!(f, "{} handlers, {} objects, {} callbacks alive", self.handlers, self.objects, self.callbacks)
    }
}

/// A node that serves and some connections to it, in one program, over a real socket.
pub struct Soak {
    dialect: Dialect,
    node: Node,
    listener: Listener,
    served: Arc<Mutex<Vec<Connection>>>,
    staying: Vec<Connection>,
    /// They are cut when this is dropped.
    stay: Vec<oneshot::Sender<()>>,
    worker: Worker,
    callbacks: Alive,
}

impl Soak {
    /// Starts the node, and connects.
    ///
    /// Capnode goes over WebSockets: on a byte stream its peers are sent a frame at a time, with pauses.
    pub async fn start(dialect: Dialect) -> Self {
        panics::watch(|_| true);
        let worker = Worker::default();
        let index = WorkClient::new(worker.clone());
        let served = Arc::<Mutex<Vec<Connection>>>::default();
        let serving = served.clone();
        let node = Node::builder()
            .authorize(move |incoming: Incoming| {
                let mut served = serving.lock().unwrap_or_else(PoisonError::into_inner);
                // Those that come later do not stay.
                if served.len() < STAYING {
                    served.push(incoming.connection().clone());
                }
                let index = index.clone();
                async { Ok::<_, Error>(index) }
            })
            .build();
        let node = node.limits(limits(|limits| limits.exports = EXPORTS));
        let scheme = if dialect == Dialect::Capnode { "ws" } else { "tcp" };
        let listener = node.listen(&format!("{scheme}://127.0.0.1:0")).await.expect("it listens");
        let callbacks = Alive::default();
        let mut soak = Self {
            dialect,
            node,
            listener,
            served,
            staying: Vec::new(),
            stay: Vec::new(),
            worker,
            callbacks,
        };
        for _ in 0..STAYING {
            let (connection, stay) = soak.caller().connect().await;
            let sum = connection.index::<WorkClient>().add(1, 2).await.expect("it is answered");
            assert_eq!(sum, 3);
            soak.staying.push(connection);
            soak.stay.push(stay);
        }
        soak
    }

    fn caller(&self) -> Caller {
        let address = self.listener.local_addr().expect("it is no Unix socket");
        let limits = limits(|limits| limits.exports = EXPORTS);
        Caller { address, dialect: self.dialect, limits, callbacks: self.callbacks.clone() }
    }

    /// Does so much of everything at once.
    pub async fn run(&self, amount: Amount) -> Took {
        let start = Instant::now();
        let caller = self.caller();
        let callers = STAYING * CALLERS;
        let callbacks = callers / 4;
        let work = |at: usize| self.staying[at % STAYING].index::<WorkClient>();
        let calls = all((0..callers).map(|at| add(work(at), share(amount.calls, callers, at))), start);
        let callbacks = all(
            (0..callbacks)
                .map(|at| keep(work(at), caller.callbacks.clone(), share(amount.callbacks, callbacks, at))),
            start,
        );
        let connections = all(
            (0..CUTTERS).map(|at| caller.clone().open_and_cut(share(amount.connections, CUTTERS, at), at)),
            start,
        );
        let (calls, callbacks, connections) = tokio::join!(calls, callbacks, connections);
        Took { calls, callbacks, connections }
    }

    /// Returns the resources in use at the moment.
    pub fn left(&self) -> Left {
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        Left {
            tables: served.iter().chain(&self.staying).map(Connection::tables).collect(),
            // The one in `self` and the one behind the index.
            handlers: self.worker.handlers.count(2),
            objects: self.worker.objects.count(2),
            callbacks: self.callbacks.count(1),
        }
    }

    /// Waits until no call runs and everything that the language gives back is given back, and returns the rest.
    ///
    /// # Panics
    ///
    /// If that does not come to be.
    pub async fn quiet(&self) -> Left {
        until("all is quiet", || self.is_quiet(&self.left())).await;
        self.left()
    }

    fn is_quiet(&self, left: &Left) -> bool {
        let ends = left.tables.len();
        let idle = |tables: &Tables| (tables.calls, tables.running) == (0, 0);
        let given_back = match self.dialect {
            // The index of a Capnode peer is a record of functions, which are held for good.
            Dialect::CapnWeb => left.tables.iter().all(|tables| (tables.imports, tables.exports) == (0, 0)),
            // `dealloc` is counted, so to say, by the end that lends.
            Dialect::Capnode => left.objects == 0 && left.callbacks == 0,
            // Q-Connection has no release. As many references stay as may be lent.
            _ => left.tables.iter().all(|tables| tables.exports <= EXPORTS),
        };
        let bound = if self.dialect == Dialect::Q { ends * EXPORTS } else { 0 };
        left.tables.iter().all(idle)
            && left.handlers == 0
            && left.objects <= bound
            && left.callbacks <= bound
            && given_back
    }

    /// Ends all connections. Returns the number of those that there still were, and the resources left then.
    ///
    /// # Panics
    ///
    /// If anything stays alive.
    pub async fn end(self) -> (usize, Left) {
        let drained = self.node.drain(Duration::from_secs(10)).await;
        for connection in &self.staying {
            connection.closed().await;
        }
        let gone = || {
            let left = self.left();
            (left.handlers, left.objects, left.callbacks) == (0, 0, 0)
        };
        until("nothing is alive", gone).await;
        (drained.connections, self.left())
    }
}

/// Returns the share of `all` for the part `at` of `parts`.
fn share(all: usize, parts: usize, at: usize) -> usize {
    all / parts + usize::from(at < all % parts)
}

/// Runs all, and tells how long it took.
async fn all<F>(futures: impl Iterator<Item = F>, start: Instant) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    let tasks: Vec<_> = futures.map(tokio::spawn).collect();
    for task in tasks {
        task.await.expect("what it found was as it should be");
    }
    start.elapsed()
}

async fn add(work: WorkClient, count: usize) {
    for number in 0..count as u64 {
        assert_eq!(work.add(number, 1).await.expect("it is answered"), number + 1);
    }
}

async fn keep(work: WorkClient, alive: Alive, count: usize) {
    for number in 0..count as u64 {
        let alive = alive.clone();
        let twice = move |number: u64| {
            let _alive = &alive;
            async move { number * 2 }
        };
        let keeper = work.keep(twice, number).await.expect("it is answered");
        // Not of all, so that some are dropped unused.
        if number % 4 == 0 {
            assert_eq!(keeper.number().await.expect("it is answered"), number * 2);
        }
    }
}

/// The configuration of a caller's connections.
#[derive(Clone)]
struct Caller {
    address: SocketAddr,
    dialect: Dialect,
    limits: Limits,
    callbacks: Alive,
}

impl Caller {
    /// Connects. Dropping the sender cuts the connection.
    async fn connect(&self) -> (Connection, oneshot::Sender<()>) {
        let stream = TcpStream::connect(self.address).await.expect("it is accepted");
        stream.set_nodelay(true).expect("it is a TCP stream");
        let (stay, cut) = oneshot::channel();
        let node = Node::builder().dialect(self.dialect).limits(self.limits.clone()).build();
        let connection = if self.dialect == Dialect::Capnode {
            let url = format!("ws://{}/", self.address);
            let (socket, _) = client_async(url, stream).await.expect("it is a WebSocket");
            node.connect_over(Cut { transport: web_socket(socket), cut: Some(cut) }).await
        } else {
            node.connect_over(Cut { transport: lines(stream), cut: Some(cut) }).await
        };
        (connection.expect("nobody refuses"), stay)
    }

    /// Opens connections and cuts them in the middle of a call, by turns at each end's doing.
    async fn open_and_cut(self, count: usize, at: usize) {
        let inside = Arc::new(AtomicUsize::new(0));
        for number in 0..count {
            let (connection, stay) = self.connect().await;
            let (tell, told) = oneshot::channel();
            let tell = Mutex::new(Some(tell));
            let (alive, inside) = (self.callbacks.clone(), inside.clone());
            let entered = move || {
                let _alive = &alive;
                inside.fetch_add(1, Ordering::Relaxed);
                if let Some(tell) = tell.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    // The waiting task stays until it comes.
                    let _heard = tell.send(());
                }
                async {}
            };
            let work: WorkClient = connection.index();
            let staying = tokio::spawn(async move { work.stay(entered).await });
            told.await.expect("the handler has called back");
            if (number + at) % 2 == 0 {
                drop(stay);
            } else {
                connection.close();
            }
            let error = staying.await.expect("it does not panic").expect_err("it never ends");
            assert_eq!((error.kind(), error.fate()), (ErrorKind::Disconnected, Fate::MayHaveRun), "{error}");
            assert_eq!(connection.tables(), Tables::default());
        }
        assert_eq!(inside.load(Ordering::Relaxed), count, "each was called back once");
    }
}

/// A transport that can be cut: it then fails at once, both ways, and says no goodbye.
struct Cut<T> {
    transport: T,
    /// Until it has been.
    cut: Option<oneshot::Receiver<()>>,
}

impl<T> Cut<T> {
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if let Some(cut) = &mut self.cut {
            if Pin::new(cut).poll(cx).is_pending() {
                return Ok(());
            }
            self.cut = None;
        }
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl<T: Transport> Transport for Cut<T> {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<'_>, ReceiveError>>> {
        match self.poll_cut(cx) {
            Ok(()) => self.transport.poll_receive(cx),
            Err(error) => Poll::Ready(Some(Err(error.into()))),
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, frames: &mut Outgoing) -> Poll<io::Result<()>> {
        self.poll_cut(cx)?;
        self.transport.poll_send(cx, frames)
    }

    fn properties(&self) -> Properties {
        self.transport.properties()
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, closing: Closing<'_>) -> Poll<io::Result<()>> {
        self.poll_cut(cx)?;
        self.transport.poll_close(cx, closing)
    }
}
