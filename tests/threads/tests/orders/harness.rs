//! Two cores and their drivers, each a thread of its own that sleeps until it is woken, as in a real program.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use capnode::sans_io::Core;
use capnode::{Client, Dialect, Tables};
use serde::Serialize;
use shuttle::future::{self, JoinHandle};
use shuttle::sync::Mutex;

use crate::things::{Log, ThingClient};

pub struct Harness {
    /// The side that connects.
    pub here: Arc<Core>,
    pub there: Arc<Core>,
    turns: Arc<Turns>,
    handlers: Arc<Handlers>,
    drivers: [JoinHandle<()>; 2],
}

/// Handlers are threads of their own.
type Handlers = Mutex<Vec<JoinHandle<()>>>;

impl Harness {
    /// `there` offers something.
    pub fn new(offered: impl Serialize) -> Self {
        Self::speaking(Dialect::CapnWeb, offered)
    }

    pub fn speaking(dialect: Dialect, offered: impl Serialize) -> Self {
        let here = Arc::new(Core::builder().dialect(dialect).connecting(()));
        let there = Arc::new(Core::accepting(offered));
        let turns = Arc::<Turns>::default();
        let (forth, back) = (Arc::<Way>::default(), Arc::<Way>::default());
        let handlers = Arc::<Handlers>::default();
        let drivers = [
            future::spawn(drive(here.clone(), back.clone(), forth.clone(), turns.clone(), handlers.clone())),
            future::spawn(drive(there.clone(), forth, back, turns.clone(), handlers.clone())),
        ];
        Self { here, there, turns, handlers, drivers }
    }

    /// Offers the thing that `offer` makes. Returns its log, the harness, and the thing as the side that connects has it.
    pub fn offering(offer: fn(&Log) -> ThingClient) -> (Log, Self, ThingClient) {
        let log = Log::default();
        let harness = Self::new(offer(&log));
        let index = harness.index();
        (log, harness, index)
    }

    pub fn index<C: Client>(&self) -> C {
        self.here.index()
    }

    /// Sleeps until `so` holds. It is looked at whenever a driver has done something.
    pub fn until(&self, so: impl Fn(Tables, Tables) -> bool) {
        future::block_on(poll_fn(|cx| {
            self.turns.wake_me(cx.waker());
            if so(self.here.tables(), self.there.tables()) { Poll::Ready(()) } else { Poll::Pending }
        }));
    }

    /// Sleeps until all that was lent has been given back and all calls have ended, then ends.
    pub fn end_when_empty(self) {
        self.until(|here, there| here == Tables::default() && there == Tables::default());
        self.join_handlers();
        self.end();
    }

    fn join_handlers(&self) {
        let handlers = std::mem::take(&mut *self.handlers.lock().unwrap());
        for handler in handlers {
            future::block_on(handler).unwrap();
        }
    }

    /// Ends both sides, and waits for their drivers.
    pub fn end(mut self) {
        self.here.close("the end");
        self.there.close("the end");
        for driver in &mut self.drivers {
            future::block_on(driver).unwrap();
        }
        self.join_handlers();
        assert_eq!(self.here.tables(), Tables::default());
        assert_eq!(self.there.tables(), Tables::default());
    }
}

/// The waker of a task that waits for a step of a driver.
#[derive(Default)]
struct Turns(Mutex<Option<Waker>>);

impl Turns {
    fn wake_me(&self, waker: &Waker) {
        *self.0.lock().unwrap() = Some(waker.clone());
    }

    fn one_more(&self) {
        let waker = self.0.lock().unwrap().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Frames under way in one direction.
#[derive(Default)]
struct Way(Mutex<(VecDeque<String>, Option<Waker>)>);

impl Way {
    fn put(&self, frame: String) {
        let reader = {
            let mut way = self.0.lock().unwrap();
            way.0.push_back(frame);
            way.1.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn take(&self, cx: &Context<'_>) -> Option<String> {
        let mut way = self.0.lock().unwrap();
        let frame = way.0.pop_front();
        if frame.is_none() {
            way.1 = Some(cx.waker().clone());
        }
        frame
    }
}

async fn drive(
    core: Arc<Core>,
    incoming: Arc<Way>,
    outgoing: Arc<Way>,
    turns: Arc<Turns>,
    handlers: Arc<Handlers>,
) {
    poll_fn(|cx| {
        // A task that is awake is not woken: each sleep has to begin by saying so.
        core.set_waker(Waker::noop());
        loop {
            while let Some(frame) = incoming.take(cx) {
                core.receive(&frame);
            }
            for handler in core.handlers() {
                handlers.lock().unwrap().push(future::spawn(handler));
            }
            while let Some(frame) = core.next_frame() {
                outgoing.put(frame);
            }
            turns.one_more();
            let work = core.set_waker(cx.waker());
            if core.closed().is_some() {
                return Poll::Ready(());
            }
            if !work {
                return Poll::Pending;
            }
        }
    })
    .await;
}
