//! A connection that takes no part in the session under test.

use std::task::Poll;

use capnode::{Call, Dialect};

use crate::pair::{Pair, poll};
use crate::probe::Log;

/// Another connection of the same program, with a call that is being answered all the while.
pub struct Bystander {
    pair: Pair,
    log: Log,
    call: Call<u32>,
}

impl Bystander {
    pub fn new(dialect: Dialect) -> Self {
        let log = Log::default();
        let mut pair = Pair::new(dialect, &log);
        let mut call = pair.index(0).wait(1);
        assert!(poll(&mut call).is_pending());
        pair.settle();
        Self { pair, log, call }
    }

    pub fn end(mut self) {
        self.log.open();
        self.pair.settle();
        assert!(matches!(poll(&mut self.call), Poll::Ready(Ok(1))), "another connection was disturbed");
        let mut call = self.pair.index(1).note(2);
        assert!(poll(&mut call).is_pending());
        self.pair.settle();
        assert!(matches!(poll(&mut call), Poll::Ready(Ok(2))), "another connection was disturbed");
        assert_eq!(self.log.noted(), [1, 2]);
        assert_eq!(self.pair.running(), 0);
    }
}
