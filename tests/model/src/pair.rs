//! Two cores that offer a probe each.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use capnode::sans_io::{Core, Pair as Cores, Side};
use capnode::{Dialect, Tables};

use crate::probe::{Log, ProbeClient};

/// The number of rounds after which nothing may be left to move. An honest run takes far fewer.
const ROUNDS: usize = 2_000;

const SIDES: [Side; 2] = [Side::Connecting, Side::Accepting];

/// Two cores, each with a number: that of its side in [`SIDES`].
pub struct Pair(Cores);

pub fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

impl Pair {
    /// Both offer an object, and know the language.
    pub fn new(dialect: Dialect, log: &Log) -> Self {
        let cores = Cores::new(
            Core::builder().dialect(dialect).connecting(log.probe()),
            Core::accepting(log.probe()),
        );
        let mut pair = Self(cores);
        pair.0.record();
        // In Q-Connection nothing is said before there is something to say.
        for side in 0..2 {
            let mut hello = pair.index(side).forget();
            while poll(&mut hello).is_pending() {
                assert!(pair.step(), "the two do not come to terms in {dialect:?}");
            }
        }
        pair.settle();
        pair
    }

    pub fn core(&self, side: usize) -> &Core {
        self.0.core(SIDES[side])
    }

    /// Returns the index of the other side, as seen from this one.
    pub fn index(&self, side: usize) -> ProbeClient {
        self.core(side).index()
    }

    /// Returns the frames in flight to a side.
    pub fn wire(&mut self, to: usize) -> &mut VecDeque<String> {
        self.0.in_flight(SIDES[to])
    }

    /// A frame that was sent before, to be said again.
    pub fn said(&mut self, number: usize) -> Option<String> {
        let [first, second] = SIDES.map(|side| self.0.recorded(side).len());
        let at = number % (first + second).max(1);
        let (side, at) = if at < first { (0, at) } else { (1, at - first) };
        self.0.recorded(SIDES[side]).get(at).cloned()
    }

    /// Lets one frame arrive.
    pub fn deliver(&mut self, to: usize) -> bool {
        self.0.deliver(SIDES[to])
    }

    /// Polls the running handlers.
    pub fn run(&mut self, side: usize) -> bool {
        self.0.poll_handlers(SIDES[side])
    }

    /// Moves everything once. Returns whether anything moved.
    pub fn step(&mut self) -> bool {
        self.0.step()
    }

    /// Goes on until nothing moves any more, or for long enough.
    pub fn settle(&mut self) {
        for _ in 0..ROUNDS {
            if !self.step() {
                return;
            }
        }
    }

    /// Cuts the wires.
    pub fn cut(&mut self) {
        for side in 0..2 {
            self.core(side).close("the wire is cut");
        }
        for side in 0..2 {
            self.wire(side).clear();
        }
    }

    pub fn is_closed(&self) -> bool {
        (0..2).any(|side| self.core(side).closed().is_some())
    }

    pub fn running(&self) -> usize {
        self.0.handlers()
    }

    /// Returns the sizes of the tables of both sides: imports, exports, calls and running handlers.
    pub fn tables(&self) -> [[usize; 4]; 2] {
        SIDES.map(|side| {
            let Tables { imports, exports, calls, running, .. } = self.0.core(side).tables();
            [imports, exports, calls, running]
        })
    }
}
