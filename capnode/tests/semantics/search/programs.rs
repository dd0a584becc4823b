//! The searched programs: small ones, each with up to four messages.

use super::participant::Program;
use super::participant::Step::{self, *};

/// A program with nothing special but its steps.
fn plain(name: &'static str, steps: &[Step]) -> Program {
    let steps = steps.to_vec();
    Program { name, hops: 1, steps, gate: false, promised: false, strangers: false, handlers: false }
}

/// All of them, over as many links.
pub(super) fn programs(hops: usize) -> Vec<Program> {
    let gated = |name, steps: &[Step]| Program { gate: true, ..plain(name, steps) };
    let mut programs = vec![
        plain("four calls", &[send(0, 1), note(0, 2), send(0, 3), note(0, 4)]),
        // The result turns out to be an object of the caller's own.
        plain(
            "home again",
            &[Own { into: 1 }, Back { on: 0, what: 1, into: 2 }, note(2, 1), read(2, 3), note(3, 2)],
        ),
        // Calls on a pending result, and on the reference that it resolves to.
        gated("a late result", &[late(0, 1), note(1, 1), read(1, 2), note(2, 2)]),
        gated("calls on a late result", &[late(0, 1), send(1, 1), note(1, 2), drop_of(1)]),
        // A promise of the caller's, resolved while calls on it wait.
        plain(
            "a promise here",
            &[
                Promise { into: 1 },
                note(1, 1),
                note(1, 2),
                Resolve { promise: 1, to: 0 },
                note(0, 3),
                note(1, 4),
            ],
        ),
        // A promise that is sent along, comes home, and is resolved to something here when it may.
        plain(
            "a promise comes home",
            &[
                Promise { into: 1 },
                Back { on: 0, what: 1, into: 2 },
                note(2, 1),
                Own { into: 3 },
                Resolve { promise: 1, to: 3 },
                note(2, 2),
                note(1, 3),
            ],
        ),
        // A result that is not there yet is sent along, and back.
        gated(
            "a late result comes back",
            &[late(0, 1), Back { on: 0, what: 1, into: 2 }, note(2, 1), note(1, 2)],
        ),
        // A release crosses the message that lends the same object again.
        plain("lent again", &[same(0, 1), same(0, 2), drop_of(1), note(2, 1), drop_of(2)]),
        plain("given back and asked for again", &[same(0, 1), drop_of(1), same(0, 2), note(2, 1)]),
        plain("given back while in use", &[same(0, 1), same(0, 2), send(1, 1), drop_of(1), drop_of(2)]),
        // The callee calls back; the called reference is given up meanwhile.
        plain(
            "two callbacks",
            &[
                Own { into: 1 },
                Tell { on: 0, what: 1, number: 1 },
                Tell { on: 0, what: 1, number: 2 },
                drop_of(1),
            ],
        ),
        plain(
            "a callback given up",
            &[Own { into: 1 }, Tell { on: 0, what: 1, number: 1 }, GiveUp { number: 1 }, note(0, 2)],
        ),
        plain("a call given up", &[note(0, 1), send(0, 2), GiveUp { number: 1 }, note(0, 3)]),
    ];
    if hops > 1 {
        let steps = [note(0, 1), send(0, 2), note(0, 3)];
        programs.push(Program { promised: true, ..plain("a promise in the middle", &steps) });
    }
    for program in &mut programs {
        program.hops = hops;
    }
    programs
}

fn note(on: usize, number: u32) -> Step {
    Note { on, number }
}

fn send(on: usize, number: u32) -> Step {
    Send { on, number }
}

fn late(on: usize, into: usize) -> Step {
    Late { on, into }
}

fn same(on: usize, into: usize) -> Step {
    Same { on, into }
}

fn read(of: usize, into: usize) -> Step {
    Read { of, into }
}

fn drop_of(slot: usize) -> Step {
    Drop { slot }
}
