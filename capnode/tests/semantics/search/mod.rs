//! Order and exactly-once: every schedule of small programs over up to three links, and random schedules of random ones.
//!
//! How small is said by the scope. That of every run of the tests ends within seconds; the large one is searched by
//!
//! ```text
//! cargo test --release -p capnode --test semantics -- --ignored --nocapture every_schedule_of_the_large_scope
//! ```

mod chain;
mod explore;
mod participant;
mod programs;
mod random;

use self::chain::Chain;
use self::explore::{Explored, explore};
use self::participant::Program;
use self::programs::programs;

/// Searches all of some programs, and says how much that was.
fn search(scope: &str, programs: impl Iterator<Item = Program>) {
    let mut sum = Explored { all: true, ..Explored::default() };
    let mut searched = 0;
    for program in programs {
        let found = explore(|| Chain::new(&program), 2_000_000);
        assert!(found.all, "the search of {program:?} was given up: {found:?}");
        assert!(found.complete > 0);
        searched += 1;
        sum.complete += found.complete;
        sum.redundant += found.redundant;
        sum.states += found.states;
        sum.longest = sum.longest.max(found.longest);
    }
    eprintln!("{scope}: {searched} programs, {sum:?}");
}

/// Returns the programs with `change` applied to each.
fn with(programs: Vec<Program>, change: impl Fn(&mut Program)) -> Vec<Program> {
    let mut programs = programs;
    programs.iter_mut().for_each(change);
    programs
}

#[test]
fn every_schedule_over_three_links_keeps_order_and_loses_and_doubles_nothing() {
    search("three links", (1..=3).flat_map(programs));
}

#[test]
fn every_schedule_of_handlers_that_go_on_late_does() {
    let late = |links| with(programs(links), |program| program.handlers = true);
    search("late handlers, one link", late(1).into_iter());
    // With those that keep two handlers busy at each node it takes minutes.
    let quick = ["home again", "a late result", "lent again", "a call given up"];
    let short = late(2).into_iter().filter(|program| quick.contains(&program.name));
    search("late handlers, two links", short);
}

#[test]
fn every_schedule_of_two_ends_that_do_not_know_each_other_yet_does() {
    search("strangers, one link", with(programs(1), |program| program.strangers = true).into_iter());
}

#[test]
#[ignore = "takes long"]
fn every_schedule_of_the_large_scope_does() {
    for program in with(programs(2), |program| program.handlers = true) {
        search(&format!("late handlers, {}", program.name), std::iter::once(program));
    }
    for program in with(programs(2), |program| program.strangers = true) {
        search(&format!("strangers, {}", program.name), std::iter::once(program));
    }
}

#[test]
fn of_schedules_that_cannot_be_told_apart_one_is_run() {
    use std::cell::RefCell;

    /// Of four actions the even ones depend on each other, and so do the odd ones.
    struct Four<'a>(Vec<usize>, &'a RefCell<Vec<[bool; 2]>>);

    impl explore::Model for Four<'_> {
        type Action = usize;

        fn enabled(&self) -> Vec<usize> {
            (0..4).filter(|action| !self.0.contains(action)).collect()
        }

        fn take(&mut self, action: usize) {
            self.0.push(action);
        }

        fn commute(first: usize, second: usize) -> bool {
            first % 2 != second % 2
        }

        fn end(self) {
            let at = |wanted| self.0.iter().position(|action| *action == wanted);
            self.1.borrow_mut().push([at(0) < at(2), at(1) < at(3)]);
        }
    }

    let ends = RefCell::default();
    let found = explore(|| Four(Vec::new(), &ends), 100);
    assert_eq!((found.complete, found.longest, found.all), (4, 4, true));
    let mut ends = ends.into_inner();
    ends.sort_unstable();
    assert_eq!(ends, [[false, false], [false, true], [true, false], [true, true]]);
}
