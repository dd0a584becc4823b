//! The streams that the listeners of a node have accepted: their number, and the choice of the one that gives way to
//! another.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use futures_channel::oneshot;
use tokio::sync::Notify;

use crate::runtime::{AbortHandle, Instant, start};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, lock};

/// The number of streams that a node may have beyond its connections: those in a handshake, refused, or being closed.
const SLACK: usize = 128;

#[derive(Debug, Default)]
pub(crate) struct Streams {
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    open: usize,
    next: u64,
    /// The streams in a handshake, in the order of arrival: the start, and the task once it has begun.
    handshakes: BTreeMap<u64, (Instant, Option<AbortHandle>)>,
}

/// The right to have a stream open, for as long as it is.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Streams>);

/// A guard of a handshake: the stream is in one as long as this lives and is not paused.
pub(crate) struct Handshake {
    streams: Arc<Streams>,
    number: AtomicU64,
}

/// The pause of a handshake, which begins again when this is dropped.
#[cfg(feature = "http")]
pub(crate) struct Paused<'a> {
    handshake: &'a Handshake,
    /// `None` if the stream is being cut off.
    task: Option<Option<AbortHandle>>,
}

impl State {
    /// Adds a handshake that begins now, and returns its number.
    fn add(&mut self, task: Option<AbortHandle>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.handshakes.insert(number, (Instant::now(), task));
        number
    }
}

impl Streams {
    /// Returns the right to one more stream, if there is room beside so many connections.
    pub(crate) fn permit(self: &Arc<Self>, connections: usize) -> Option<Permit> {
        let mut state = lock(&self.state);
        if state.open >= connections.saturating_add(SLACK) {
            return None;
        }
        state.open += 1;
        Some(Permit(self.clone()))
    }

    /// Runs the handshake that `begin` returns.
    pub(crate) fn shake<F>(self: &Arc<Self>, begin: impl FnOnce(Handshake) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let number = lock(&self.state).add(None);
        let handshake = Handshake { streams: self.clone(), number: number.into() };
        let (listed, is_listed) = oneshot::channel();
        let shaking = async move {
            // If the other end is dropped, the runtime ends.
            let _listed = is_listed.await;
            begin(handshake).await;
        };
        // A runtime that ends drops it here, which takes it out under the lock.
        let task = start(shaking).abort_handle();
        match lock(&self.state).handshakes.get_mut(&number) {
            Some((_, of)) => *of = Some(task),
            // It is over, or was cut off before it had begun.
            None => task.abort(),
        }
        // If it fails, the task was aborted.
        let _aborted = listed.send(());
    }

    /// Returns the start of the oldest handshake.
    pub(crate) fn shaking_since(&self) -> Option<Instant> {
        lock(&self.state).handshakes.first_key_value().map(|(_, (since, _))| *since)
    }

    /// Ends the oldest handshake. Returns `false` if there is none.
    pub(crate) fn cut_off(&self) -> bool {
        let oldest = lock(&self.state).handshakes.pop_first();
        let Some((_, (_, task))) = oldest else { return false };
        if let Some(task) = task {
            task.abort();
        }
        true
    }

    /// Waits until a stream has been closed since the last call.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Waits until there are fewer streams than now.
    pub(crate) fn fewer(&self) -> impl Future<Output = ()> {
        let now = lock(&self.state).open;
        async move {
            while lock(&self.state).open >= now {
                self.freed().await;
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        lock(&self.0.state).open -= 1;
        self.0.freed.notify_one();
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        lock(&self.streams.state).handshakes.remove(&self.number.load(Ordering::Relaxed));
    }
}

#[cfg(feature = "http")]
impl Handshake {
    /// Pauses the handshake: the stream is in use, and does not give way to another.
    pub(crate) fn pause(&self) -> Paused<'_> {
        let number = self.number.load(Ordering::Relaxed);
        let task = lock(&self.streams.state).handshakes.remove(&number).map(|(_, task)| task);
        Paused { handshake: self, task }
    }
}

#[cfg(feature = "http")]
impl Drop for Paused<'_> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            let number = lock(&self.handshake.streams.state).add(task);
            self.handshake.number.store(number, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_that_no_runtime_takes_ends_at_once() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let handle = runtime.handle().clone();
        drop(runtime);
        let _entered = handle.enter();
        let streams = Arc::<Streams>::default();
        streams.shake(async |_handshake| {});
        assert!(streams.shaking_since().is_none());
        assert!(!streams.cut_off());
    }
}
