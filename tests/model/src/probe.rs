//! The object that both programs offer, and its notes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capnode::{Func, Value};
use tokio::sync::oneshot;

#[capnode::interface]
pub trait Probe {
    async fn note(&self, number: u32) -> u32;
    /// Notes the number, and waits for [`Log::open`].
    async fn wait(&self, number: u32) -> u32;
    async fn make(&self) -> ProbeClient;
    async fn make_late(&self) -> ProbeClient;
    async fn call(&self, function: Func<fn(u32) -> u32>, number: u32) -> u32;
    async fn keep(&self, probe: ProbeClient);
    /// Has the kept object note the number.
    async fn relay(&self, number: u32) -> u32;
    async fn forget(&self);
    async fn back(&self, probe: ProbeClient) -> ProbeClient;
    async fn echo(&self, value: Value) -> Value;
}

type Kept = Arc<Mutex<Option<ProbeClient>>>;

/// The events so far, the gate at which calls wait, and the references that objects keep.
#[derive(Clone, Default)]
pub struct Log(Arc<State>);

#[derive(Default)]
struct State {
    noted: Mutex<Vec<u32>>,
    gates: Mutex<Vec<oneshot::Sender<()>>>,
    kept: Mutex<Vec<Kept>>,
    alive: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    pub fn probe(&self) -> ProbeClient {
        self.0.alive.fetch_add(1, Ordering::SeqCst);
        let kept = Kept::default();
        lock(&self.0.kept).push(kept.clone());
        ProbeClient::new(Noting { log: self.clone(), kept })
    }

    pub fn note(&self, number: u32) {
        lock(&self.0.noted).push(number);
    }

    pub fn noted(&self) -> Vec<u32> {
        lock(&self.0.noted).clone()
    }

    /// Lets all waiting calls go on. Returns whether there were any.
    pub fn open(&self) -> bool {
        let gates = std::mem::take(&mut *lock(&self.0.gates));
        let any = !gates.is_empty();
        for gate in gates {
            // The waiting call may have been cancelled.
            let _cancelled = gate.send(());
        }
        any
    }

    /// Lets every object drop its kept reference: two objects that keep each other would live for ever.
    pub fn forget(&self) {
        let all = lock(&self.0.kept).clone();
        for kept in all {
            let kept = lock(&kept).take();
            drop(kept);
        }
    }

    /// Returns the number of live objects.
    pub fn alive(&self) -> usize {
        self.0.alive.load(Ordering::SeqCst)
    }

    async fn at_gate(&self) {
        let (sender, gate) = oneshot::channel();
        lock(&self.0.gates).push(sender);
        gate.await.unwrap_or_default();
    }
}

struct Noting {
    log: Log,
    kept: Kept,
}

impl Drop for Noting {
    fn drop(&mut self) {
        self.log.0.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Probe for Noting {
    async fn note(&self, number: u32) -> u32 {
        self.log.note(number);
        number
    }

    async fn wait(&self, number: u32) -> u32 {
        self.log.note(number);
        self.log.at_gate().await;
        number
    }

    async fn make(&self) -> ProbeClient {
        self.log.probe()
    }

    async fn make_late(&self) -> ProbeClient {
        self.log.at_gate().await;
        self.log.probe()
    }

    async fn call(&self, function: Func<fn(u32) -> u32>, number: u32) -> u32 {
        function.call(number).await.unwrap_or(u32::MAX)
    }

    async fn keep(&self, probe: ProbeClient) {
        let before = lock(&self.kept).replace(probe);
        drop(before);
    }

    async fn relay(&self, number: u32) -> u32 {
        let kept = lock(&self.kept).clone();
        match kept {
            Some(kept) => kept.note(number).await.unwrap_or(u32::MAX),
            None => u32::MAX,
        }
    }

    async fn forget(&self) {
        let before = lock(&self.kept).take();
        drop(before);
    }

    async fn back(&self, probe: ProbeClient) -> ProbeClient {
        probe
    }

    async fn echo(&self, value: Value) -> Value {
        value
    }
}
