//! The object of these tests: it notes what happens to it.

use std::sync::Arc;

use capnode::Func;
use futures_channel::oneshot;
use shuttle::sync::Mutex;
use shuttle::sync::atomic::{AtomicUsize, Ordering};

#[capnode::interface]
pub trait Thing {
    async fn note(&self, number: u32) -> u32;
    /// The one thing beside this one, each time the same.
    async fn other(&self) -> ThingClient;
    /// Waits for [`Log::open`].
    async fn wait(&self) -> u32;
    async fn call(&self, function: Func<fn(u32) -> u32>, number: u32) -> u32;
    async fn note_on(&self, thing: ThingClient, number: u32) -> u32;
    async fn length(&self, text: &str) -> u32;
}

/// The events so far, in order.
#[derive(Clone, Default)]
pub struct Log(Arc<State>);

#[derive(Default)]
struct State {
    notes: Mutex<Vec<u32>>,
    gate: Mutex<Gate>,
    things: AtomicUsize,
    waits: AtomicUsize,
}

#[derive(Default)]
struct Gate {
    open: bool,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Log {
    /// A thing with another beside it.
    pub fn thing(&self) -> ThingClient {
        let other = ThingClient::new(Noting::new(self, None));
        ThingClient::new(Noting::new(self, Some(other)))
    }

    /// A thing alone.
    pub fn single(&self) -> ThingClient {
        ThingClient::new(Noting::new(self, None))
    }

    pub fn notes(&self) -> Vec<u32> {
        self.0.notes.lock().unwrap().clone()
    }

    /// Checks that two threads have noted so many numbers each, from 10 and from 20 on, in their order.
    pub fn assert_in_order(&self, each: u32) {
        let notes = self.notes();
        let (first, second): (Vec<_>, Vec<_>) = notes.iter().copied().partition(|number| *number < 20);
        let expected = [10, 20].map(|first| (first..first + each).collect::<Vec<_>>());
        assert_eq!([first, second], expected, "{notes:?}");
    }

    /// Lets all that wait go on.
    pub fn open(&self) {
        let waiting = {
            let mut gate = self.0.gate.lock().unwrap();
            gate.open = true;
            std::mem::take(&mut gate.waiting)
        };
        for waiting in waiting {
            // The waiting call may have been cancelled.
            let _cancelled = waiting.send(());
        }
    }

    /// Returns the number of live things.
    pub fn things(&self) -> usize {
        self.0.things.load(Ordering::SeqCst)
    }

    /// Returns the number of live calls of `wait`.
    pub fn waits(&self) -> usize {
        self.0.waits.load(Ordering::SeqCst)
    }
}

/// Counts itself.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Noting {
    log: Log,
    other: Option<ThingClient>,
}

impl Noting {
    fn new(log: &Log, other: Option<ThingClient>) -> Self {
        log.0.things.fetch_add(1, Ordering::SeqCst);
        Self { log: log.clone(), other }
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        self.log.0.things.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Thing for Noting {
    async fn note(&self, number: u32) -> u32 {
        self.log.0.notes.lock().unwrap().push(number);
        number
    }

    async fn other(&self) -> ThingClient {
        self.other.clone().unwrap()
    }

    async fn wait(&self) -> u32 {
        let _counted = Counted::new(&self.log.0.waits);
        let opened = {
            let mut gate = self.log.0.gate.lock().unwrap();
            let (sender, opened) = oneshot::channel();
            if gate.open {
                drop(sender.send(()));
            } else {
                gate.waiting.push(sender);
            }
            opened
        };
        opened.await.unwrap();
        7
    }

    async fn call(&self, function: Func<fn(u32) -> u32>, number: u32) -> u32 {
        function.call(number).await.unwrap_or(u32::MAX)
    }

    async fn note_on(&self, thing: ThingClient, number: u32) -> u32 {
        thing.note(number).await.unwrap_or(u32::MAX)
    }

    async fn length(&self, text: &str) -> u32 {
        u32::try_from(text.len()).unwrap()
    }
}
