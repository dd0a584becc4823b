//! Two whole cores in memory, moved by hand: each rule of how references behave is a test of that
//! name.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures_channel::oneshot;

use super::task::Task;
use super::{Link, Terms};
use crate::outgoing::Outgoing;
use crate::session::{Side, Tables};
use crate::sync::lock;
use crate::{Cap, Client, Func, Limits, Value};

mod abuse;
mod backpressure;
mod bad_input;
mod cancellation;
mod cut;
mod end;
mod home;
mod hostile;
mod languages;
mod limits;
mod names;
mod order;
mod panics;
mod random;
mod release;
mod scenarios;
mod search;
mod shared;

/// One core, with what it has sent and what is running in it.
pub(super) struct End {
    pub(super) link: Arc<Link>,
    out: Outgoing,
    /// Frames on the way to the other end.
    wire: VecDeque<String>,
    /// All frames ever sent.
    pub(super) sent: Vec<String>,
    tasks: Vec<Task>,
}

impl End {
    fn new(side: Side, index: Option<Cap>, limits: Limits) -> Self {
        let link = Link::new(side, index, Terms { limits, ..Terms::default() });
        Self { link, out: Outgoing::default(), wire: VecDeque::new(), sent: Vec::new(), tasks: Vec::new() }
    }

    /// Puts on the wire what is to be sent. Whether there was anything.
    fn flush(&mut self) -> bool {
        let mut any = false;
        loop {
            self.link.take_output(&mut self.out);
            let Some(frame) = self.out.pop_frame().map(str::to_owned) else { return any };
            self.sent.push(frame.clone());
            self.wire.push_back(frame);
            while let Some(frame) = self.out.pop_frame() {
                self.sent.push(frame.to_owned());
                self.wire.push_back(frame.to_owned());
            }
            self.out.clear();
            any = true;
        }
    }

    /// Polls what is running. Whether anything ended.
    pub(super) fn run(&mut self) -> bool {
        self.link.unpark(|| true);
        self.tasks.extend(self.link.take_tasks());
        let before = self.tasks.len();
        self.tasks.retain_mut(|task| poll(task).is_pending());
        self.tasks.len() < before
    }

    pub(super) fn running(&self) -> usize {
        self.tasks.len()
    }
}

/// Two cores and the wire between them.
pub(super) struct Pair {
    pub(super) a: End,
    pub(super) b: End,
}

impl Pair {
    /// `b` offers `index`; both know each other as of this library.
    pub(super) fn new(index: impl Into<Cap>) -> Self {
        Self::with_limits(index, Limits::default())
    }

    pub(super) fn with_limits(index: impl Into<Cap>, limits: Limits) -> Self {
        let a = End::new(Side::Connecting, None, limits.clone());
        let b = End::new(Side::Accepting, Some(index.into()), limits);
        let mut pair = Self { a, b };
        pair.settle();
        pair
    }

    /// The client of what `b` offers, held by `a`.
    pub(super) fn index<C: Client>(&self) -> C {
        C::from_cap(self.a.link.peer_index())
    }

    /// Delivers one frame from `a`.
    pub(super) fn deliver_to_b(&mut self) -> bool {
        self.a.flush();
        deliver(&mut self.a.wire, &self.b)
    }

    /// Delivers one frame from `b`.
    pub(super) fn deliver_to_a(&mut self) -> bool {
        self.b.flush();
        deliver(&mut self.b.wire, &self.a)
    }

    /// Goes on until nothing moves any more.
    pub(super) fn settle(&mut self) {
        while self.deliver_to_b() | self.deliver_to_a() | self.a.run() | self.b.run() {}
    }

    /// Waits for a call in this quiet world: moves everything until it is done.
    pub(super) fn wait<F: Future + Unpin>(&mut self, mut future: F) -> F::Output {
        loop {
            if let Poll::Ready(output) = poll(&mut future) {
                return output;
            }
            let moved = self.deliver_to_b() | self.deliver_to_a() | self.a.run() | self.b.run();
            assert!(moved, "nothing moves any more; sent {:?} and {:?}", self.a.sent, self.b.sent);
        }
    }

    /// Forgets what was sent until now.
    pub(super) fn clear_sent(&mut self) {
        self.settle();
        self.a.sent.clear();
        self.b.sent.clear();
    }

    pub(super) fn tables(&self) -> [Tables; 2] {
        [self.a.link.tables(), self.b.link.tables()]
    }
}

fn deliver(wire: &mut VecDeque<String>, to: &End) -> bool {
    let frame = wire.pop_front();
    if let Some(frame) = &frame {
        to.link.receive(frame);
    }
    frame.is_some()
}

pub(super) fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// A core under test, and a peer that says what we tell it to and is of another make.
pub(super) struct Foreign {
    pub(super) end: End,
}

impl Foreign {
    pub(super) fn new(index: impl Into<Cap>) -> Self {
        Self { end: End::new(Side::Accepting, Some(index.into()), Limits::default()) }
    }

    /// The core connects to the peer, instead of being connected to.
    pub(super) fn connecting() -> Self {
        Self { end: End::new(Side::Connecting, None, Limits::default()) }
    }

    /// Says something to the core, and lets it act.
    pub(super) fn say(&mut self, frame: &str) {
        self.end.link.receive(frame);
        while self.end.run() {}
    }

    /// What the core has said since the last time.
    pub(super) fn heard(&mut self) -> Vec<String> {
        while self.end.run() {}
        self.end.flush();
        self.end.wire.drain(..).collect()
    }
}

/// The object of these tests: it notes what happens to it.
#[crate::interface]
pub(super) trait Probe {
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

/// What has happened, in order, and the gate at which calls wait.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<LogState>);

#[derive(Default)]
struct LogState {
    events: Mutex<Vec<String>>,
    gates: Mutex<Vec<oneshot::Sender<()>>>,
    probes: AtomicUsize,
}

impl Log {
    pub(super) fn push(&self, event: impl ToString) {
        lock(&self.0.events).push(event.to_string());
    }

    /// What has happened since the last time.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.0.events))
    }

    /// Lets all that wait go on.
    pub(super) fn open(&self) {
        let gates = std::mem::take(&mut *lock(&self.0.gates));
        for gate in gates {
            // Who waited may have been cancelled.
            let _cancelled = gate.send(());
        }
    }

    /// How many probes are alive.
    pub(super) fn probes(&self) -> usize {
        self.0.probes.load(Ordering::SeqCst)
    }

    pub(super) fn probe(&self) -> ProbeClient {
        ProbeClient::new(Noting::new(self))
    }
}

type Function = Func<fn(u32) -> u32>;

pub(super) struct Noting {
    log: Log,
    kept: Mutex<Option<Function>>,
}

impl Noting {
    fn new(log: &Log) -> Self {
        log.0.probes.fetch_add(1, Ordering::SeqCst);
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
        let (sender, gate) = oneshot::channel();
        lock(&self.log.0.gates).push(sender);
        gate.await.expect("the gate opens");
        noticed.2 = true;
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        self.log.0.probes.fetch_sub(1, Ordering::SeqCst);
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
