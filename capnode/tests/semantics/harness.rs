//! Cores moved by hand, and an object that notes what happens to it.

pub(crate) use std::future::Future;
pub(crate) use std::pin::Pin;
pub(crate) use std::sync::atomic::{AtomicUsize, Ordering};
pub(crate) use std::sync::{Arc, Mutex};
use std::sync::{MutexGuard, PoisonError};
pub(crate) use std::task::{Context, Poll, Waker};

use capnode::Offer;
pub(crate) use capnode::sans_io::{Core, Endpoint, Pair, Side};
pub(crate) use capnode::{Cap, Client, Dialect, Error, ErrorKind, Fate, Func, Limits, Object, Tables, Value};
use futures_channel::oneshot;

/// Two cores that know each other to be of this library. The accepting one offers `index`.
pub(crate) fn connected(index: impl Offer) -> Pair {
    connected_within(index, Limits::default())
}

pub(crate) fn connected_within(index: impl Offer, limits: Limits) -> Pair {
    let connecting = Core::builder().limits(limits.clone()).dialect(Dialect::CapnWeb).connecting(());
    let mut pair = Pair::new(connecting, Core::builder().limits(limits).accepting(index));
    pair.settle();
    pair
}

/// A core whose peer is foreign, and sends the frames of the test.
pub(crate) fn accepting(index: impl Offer) -> Endpoint {
    accepting_within(index, Limits::default())
}

pub(crate) fn accepting_within(index: impl Offer, limits: Limits) -> Endpoint {
    Endpoint::new(Core::builder().limits(limits).accepting(index))
}

/// A core that has connected to such a peer.
pub(crate) fn connecting() -> Endpoint {
    Endpoint::new(Core::connecting(()))
}

/// Two cores, of which the accepting one offers a probe, and the other's client of it.
pub(crate) fn linked_probe() -> (Log, Pair, ProbeClient) {
    let log = Log::default();
    let pair = connected(log.probe());
    let probe = pair.index();
    (log, pair, probe)
}

/// A core that offers a probe to a foreign peer.
pub(crate) fn offered_probe() -> (Log, Endpoint) {
    let log = Log::default();
    let peer = accepting(log.probe());
    (log, peer)
}

/// Limits, some of them changed.
pub(crate) fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

pub(crate) trait PairExt {
    /// Returns a client of the accepting core's index.
    fn index<C: Client>(&self) -> C;
    /// The outcome of a future, which nothing but the two cores has to move.
    fn wait<F: IntoFuture>(&mut self, future: F) -> F::Output;
    /// Forgets the frames that were sent until now.
    fn clear(&mut self);
    fn tables(&self) -> [Tables; 2];
    /// Lets everything happen, after which both sides hold nothing.
    fn assert_empty(&mut self);
}

impl PairExt for Pair {
    fn index<C: Client>(&self) -> C {
        self.connecting().index()
    }

    fn wait<F: IntoFuture>(&mut self, future: F) -> F::Output {
        self.run(future).expect("something moves until it is done")
    }

    fn clear(&mut self) {
        self.settle();
        self.record();
    }

    fn tables(&self) -> [Tables; 2] {
        [self.connecting().tables(), self.accepting().tables()]
    }

    #[track_caller]
    fn assert_empty(&mut self) {
        self.settle();
        assert_eq!(self.tables(), [Tables::default(); 2]);
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Returns a call once it has been made, without an outcome yet.
#[track_caller]
pub(crate) fn started<F: Future + Unpin>(mut call: F) -> F {
    assert!(poll(&mut call).is_pending());
    call
}

/// The object of these tests: it notes what happens to it.
#[capnode::interface]
pub(crate) trait Probe {
    async fn note(&self, number: u32) -> u32;
    async fn make(&self) -> ProbeClient;
    /// Waits for [`Log::open`].
    async fn wait(&self, number: u32) -> u32;
    #[capnode(no_cancel)]
    async fn insist(&self, number: u32) -> u32;
    async fn make_late(&self) -> ProbeClient;
    async fn call(&self, function: Func<fn(u32) -> u32>, number: u32) -> u32;
    async fn keep(&self, function: Func<fn(u32) -> u32>);
    async fn drop_kept(&self);
    async fn back(&self, probe: ProbeClient) -> ProbeClient;
    async fn back_inside(&self, probe: ProbeClient) -> Vec<ProbeClient>;
    async fn note_on(&self, probe: ProbeClient, number: u32) -> u32;
    async fn echo(&self, value: Value) -> Value;
    async fn is_mine(&self, probe: ProbeClient) -> bool;
    async fn panic(&self);
    #[capnode(property)]
    async fn name(&self) -> String;
}

/// The events so far, in order, and the gate at which calls wait.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<LogState>);

#[derive(Default)]
struct LogState {
    events: Mutex<Vec<String>>,
    gates: Mutex<Vec<oneshot::Sender<()>>>,
    probes: AtomicUsize,
}

impl Log {
    pub(crate) fn push(&self, event: impl ToString) {
        lock(&self.0.events).push(event.to_string());
    }

    /// Takes the events since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.0.events))
    }

    /// Lets all that wait go on.
    pub(crate) fn open(&self) {
        let gates = std::mem::take(&mut *lock(&self.0.gates));
        for gate in gates {
            // The waiting call may have been cancelled.
            let _cancelled = gate.send(());
        }
    }

    /// Waits until [`Log::open`].
    pub(crate) async fn gate(&self) {
        let (sender, gate) = oneshot::channel();
        lock(&self.0.gates).push(sender);
        gate.await.expect("the gate opens");
    }

    pub(crate) fn born(&self) {
        self.0.probes.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn dropped(&self) {
        self.0.probes.fetch_sub(1, Ordering::SeqCst);
    }

    /// Returns the number of live probes.
    pub(crate) fn probes(&self) -> usize {
        self.0.probes.load(Ordering::SeqCst)
    }

    pub(crate) fn probe(&self) -> ProbeClient {
        ProbeClient::new(Noting::new(self))
    }
}

type Function = Func<fn(u32) -> u32>;

pub(crate) struct Noting {
    log: Log,
    kept: Mutex<Option<Function>>,
}

impl Noting {
    fn new(log: &Log) -> Self {
        log.born();
        Self { log: log.clone(), kept: Mutex::new(None) }
    }

    /// Waits at the gate; notes it if that is cut short.
    async fn at_gate(&self, number: u32) {
        struct Noticed<'a>(&'a Log, u32, bool);

        impl Drop for Noticed<'_> {
            fn drop(&mut self) {
                if !self.2 {
                    self.0.push(format_args!("cancelled {}", self.1));
                }
            }
        }

        let mut noticed = Noticed(&self.log, number, false);
        self.log.gate().await;
        noticed.2 = true;
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        self.log.dropped();
    }
}

impl Probe for Noting {
    async fn note(&self, number: u32) -> u32 {
        self.log.push(number);
        number
    }

    async fn make(&self) -> ProbeClient {
        self.log.probe()
    }

    async fn wait(&self, number: u32) -> u32 {
        self.log.push(format_args!("started {number}"));
        self.at_gate(number).await;
        self.log.push(format_args!("ended {number}"));
        number
    }

    async fn insist(&self, number: u32) -> u32 {
        self.wait(number).await
    }

    async fn make_late(&self) -> ProbeClient {
        self.at_gate(0).await;
        self.log.push("made");
        self.log.probe()
    }

    async fn call(&self, function: Func<fn(u32) -> u32>, number: u32) -> u32 {
        function.call(number).await.unwrap_or(u32::MAX)
    }

    async fn keep(&self, function: Func<fn(u32) -> u32>) {
        *lock(&self.kept) = Some(function);
    }

    async fn drop_kept(&self) {
        *lock(&self.kept) = None;
    }

    async fn back(&self, probe: ProbeClient) -> ProbeClient {
        probe
    }

    async fn back_inside(&self, probe: ProbeClient) -> Vec<ProbeClient> {
        vec![probe]
    }

    async fn note_on(&self, probe: ProbeClient, number: u32) -> u32 {
        probe.note(number).await.unwrap_or(u32::MAX)
    }

    async fn echo(&self, value: Value) -> Value {
        value
    }

    async fn is_mine(&self, probe: ProbeClient) -> bool {
        probe.cap().local::<Noting>().is_some()
    }

    async fn panic(&self) {
        panic!("on purpose");
    }

    async fn name(&self) -> String {
        "probe".to_owned()
    }
}
