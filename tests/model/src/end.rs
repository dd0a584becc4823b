//! The ends of a run, and the conditions that hold then.

use std::collections::HashMap;

use capnode::Dialect;

use crate::{Became, Model};

impl Model {
    pub(super) fn end(&mut self, pump: &impl Fn()) {
        for _ in 0..if self.hostile { 3 } else { 200 } {
            self.log.open();
            self.pair.settle();
            pump();
            self.poll_all();
            if self.pending.is_empty() && !self.log.open() && !self.pair.step() {
                break;
            }
        }
        if !self.hostile && !self.cut {
            assert!(self.pending.is_empty(), "{} calls were never answered", self.pending.len());
            assert!(!self.pair.is_closed(), "{:?}", self.pair.core(0).closed());
            self.check_numbers();
            self.drop_all(pump);
            self.check_tables();
        }
        self.pair.cut();
        for _ in 0..50 {
            self.log.open();
            self.pair.settle();
            pump();
            self.poll_all();
        }
        assert!(self.pending.is_empty(), "{} calls outlived the connection", self.pending.len());
        assert_eq!(self.pair.running(), 0, "handlers outlived the connection");
        assert_eq!(self.pair.tables(), [[0; 4]; 2]);
        self.check_numbers();
        self.drop_all(pump);
    }

    fn drop_all(&mut self, pump: &impl Fn()) {
        self.held = Default::default();
        self.pending.clear();
        for _ in 0..4 {
            self.log.forget();
            self.log.open();
            self.pair.settle();
            pump();
        }
    }

    /// Checks that the tables are as they were in the beginning once everything is dropped. Q-Connection has no
    /// release: a lent object stays lent, and so does everything it leads to.
    fn check_tables(&self) {
        let start = self.start;
        let mut now = self.pair.tables();
        if self.dialect == Dialect::Q {
            (0..2).for_each(|side| now[side][..2].copy_from_slice(&start[side][..2]));
        }
        assert_eq!(now, start, "something is left in the tables (imports, exports, calls, running)");
        assert!(self.dialect == Dialect::Q || self.log.alive() == 2, "{} objects are left", self.log.alive());
    }

    /// Each call was delivered as its outcome says, and never twice; and those of a reference in their order.
    fn check_numbers(&self) {
        if self.hostile {
            return;
        }
        let noted = self.log.noted();
        let mut last = HashMap::<u32, u32>::new();
        let mut times = HashMap::<u32, usize>::new();
        for number in noted {
            *times.entry(number).or_default() += 1;
            if !self.late.contains(&number) {
                let before = last.insert(number / 1_000, number);
                assert!(before.is_none_or(|before| before < number), "{number} was noted after {before:?}");
            }
        }
        for (number, became) in &self.numbers {
            let times = times.get(number).copied().unwrap_or(0);
            let right = match became {
                Became::Ended => times == 1,
                Became::NotSent => times == 0,
                // Where nothing is lost.
                Became::Sent if !self.cut && self.dialect != Dialect::Capnode => times == 1,
                Became::Sent | Became::Unsure | Became::Waiting => times <= 1,
            };
            assert!(right, "{number} was delivered {times} times, though {became:?}, in {:?}", self.dialect);
        }
    }
}
