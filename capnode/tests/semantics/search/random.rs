//! Longer programs over three links, drawn at random, each in a schedule drawn at random.

use super::chain::Chain;
use super::explore::wander;
use super::participant::Program;
use super::participant::Step::{self, *};

/// Numbers that follow from a seed (SplitMix64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % bound.max(1) as u64).unwrap_or(0)
    }

    fn one_of(&mut self, all: &[usize]) -> usize {
        all[self.below(all.len())]
    }
}

/// The state of a program while it is generated.
struct Writing {
    steps: Vec<Step>,
    /// References that are at the other end for sure, and so can be pipelined on.
    remote: Vec<usize>,
    /// All references.
    held: Vec<usize>,
    /// Promises of the program's own, and what will be known only when one of these is resolved.
    promises: Vec<usize>,
    unknown: Vec<usize>,
    awaited: Vec<u32>,
    slots: usize,
    number: u32,
}

impl Writing {
    fn slot(&mut self) -> usize {
        self.slots += 1;
        self.slots
    }

    fn number(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    fn step(&mut self, draw: &mut Draw) {
        let (on, far) = (draw.one_of(&self.held), draw.one_of(&self.remote));
        let step = match draw.below(20) {
            0..=5 => {
                let number = self.number();
                self.awaited.push(number);
                Note { on, number }
            }
            6..=8 => Send { on: far, number: self.number() },
            9 => {
                let into = self.slot();
                self.held.push(into);
                Own { into }
            }
            10 => {
                let into = self.slot();
                self.held.push(into);
                self.remote.push(into);
                Late { on: 0, into }
            }
            11 | 12 => {
                let into = self.slot();
                self.held.push(into);
                self.remote.push(into);
                if self.unknown.contains(&on) {
                    self.unknown.push(into);
                }
                Back { on: 0, what: on, into }
            }
            13 => {
                let into = self.slot();
                self.held.push(into);
                Same { on: 0, into }
            }
            14 => {
                let number = self.number();
                self.awaited.push(number);
                Tell { on: far, what: on, number }
            }
            15 => {
                // A step that uses the read reference could wait for one that comes after it.
                if self.unknown.contains(&far) {
                    return;
                }
                let into = self.slot();
                self.held.push(into);
                Read { of: far, into }
            }
            16 => {
                let into = self.slot();
                self.held.push(into);
                self.promises.push(into);
                self.unknown.push(into);
                Promise { into }
            }
            17 => match self.promises.pop() {
                // To something else than a promise of the same kind, which could lead back to it.
                Some(promise) => Resolve { promise, to: 0 },
                None => return,
            },
            18 => {
                if self.awaited.is_empty() {
                    return;
                }
                let number = self.awaited.remove(draw.below(self.awaited.len()));
                GiveUp { number }
            }
            _ => {
                // The index of the chain stays.
                let slot = on;
                if slot == 0 || self.promises.contains(&slot) {
                    return;
                }
                self.held.retain(|other| *other != slot);
                self.remote.retain(|other| *other != slot);
                Drop { slot }
            }
        };
        self.steps.push(step);
    }
}

fn program(draw: &mut Draw) -> Program {
    let mut writing = Writing {
        steps: Vec::new(),
        remote: vec![0],
        held: vec![0],
        promises: Vec::new(),
        unknown: Vec::new(),
        awaited: Vec::new(),
        slots: 0,
        number: 0,
    };
    for _ in 0..10 + draw.below(30) {
        writing.step(draw);
    }
    // A promise that is never resolved would keep the calls on it waiting.
    let resolved =
        std::mem::take(&mut writing.promises).into_iter().map(|promise| Resolve { promise, to: 0 });
    writing.steps.extend(resolved);
    let hops = 1 + draw.below(3);
    Program {
        name: "drawn",
        hops,
        steps: writing.steps,
        gate: true,
        promised: hops > 1 && draw.below(3) == 0,
        strangers: draw.below(4) == 0,
        handlers: draw.below(2) == 0,
    }
}

/// Says from which seed all that failed can be had again.
struct Seeded(u64);

impl std::ops::Drop for Seeded {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed was {}: run with CAPNODE_SEED={} and CAPNODE_SCHEDULES=1", self.0, self.0);
        }
    }
}

#[test]
fn random_programs_in_random_schedules_keep_order_and_lose_and_double_nothing() {
    let of = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = of("CAPNODE_SEED").unwrap_or(0);
    let count = of("CAPNODE_SCHEDULES").unwrap_or(400);
    for seed in first..first + count {
        let _seeded = Seeded(seed);
        let mut draw = Draw(seed);
        let program = program(&mut draw);
        wander(Chain::new(&program), |choices| draw.below(choices));
    }
    eprintln!("{count} random schedules from seed {first} on");
}
