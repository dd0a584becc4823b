//! Two cores and the wires between them, moved by hand.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use capnode::sans_io::{Core, Handler};
use capnode::{Dialect, Tables};

use crate::probe::{Log, ProbeClient};

/// Frames that are remembered, to be said again.
const REMEMBERED: usize = 256;

/// How often everything is moved until nothing may be left to move. In an honest run it takes far less.
const ROUNDS: usize = 2_000;

pub struct Pair {
    pub cores: [Core; 2],
    /// What is on its way to each.
    pub wires: [VecDeque<String>; 2],
    /// What was ever sent.
    pub said: Vec<String>,
    handlers: [Vec<Handler>; 2],
}

pub fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

impl Pair {
    /// Both offer an object, and know the language.
    pub fn new(dialect: Dialect, log: &Log) -> Self {
        let cores = [Core::connecting_in(dialect, log.probe()), Core::accepting(log.probe())];
        let mut pair =
            Self { cores, wires: Default::default(), said: Vec::new(), handlers: Default::default() };
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

    /// What the other side offers, as seen from this one.
    pub fn index(&self, side: usize) -> ProbeClient {
        self.cores[side].index()
    }

    /// Puts on the wires what is to be sent.
    fn flush(&mut self) {
        for side in 0..2 {
            while let Some(frame) = self.cores[side].next_frame() {
                if self.said.len() < REMEMBERED {
                    self.said.push(frame.clone());
                }
                self.wires[1 - side].push_back(frame);
            }
        }
    }

    /// Lets one frame arrive.
    pub fn deliver(&mut self, to: usize) -> bool {
        self.flush();
        let frame = self.wires[to].pop_front();
        if let Some(frame) = &frame {
            self.cores[to].receive(frame);
        }
        frame.is_some()
    }

    /// Polls what is running. Whether anything ended.
    pub fn run(&mut self, side: usize) -> bool {
        let handlers = &mut self.handlers[side];
        handlers.extend(self.cores[side].handlers());
        let before = handlers.len();
        handlers.retain_mut(|handler| poll(handler).is_pending());
        handlers.len() < before
    }

    /// Moves everything once. Whether anything moved.
    pub fn step(&mut self) -> bool {
        self.deliver(0) | self.deliver(1) | self.run(0) | self.run(1)
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
        for core in &self.cores {
            core.close("the wire is cut");
        }
        self.wires = Default::default();
    }

    pub fn is_closed(&self) -> bool {
        self.cores.iter().any(|core| core.closed().is_some())
    }

    pub fn running(&self) -> usize {
        self.handlers.iter().map(Vec::len).sum()
    }

    /// What the two hold: imports, exports, calls and running handlers.
    pub fn tables(&self) -> [[usize; 4]; 2] {
        self.cores.each_ref().map(|core| {
            let Tables { imports, exports, calls, running, .. } = core.tables();
            [imports, exports, calls, running]
        })
    }
}
