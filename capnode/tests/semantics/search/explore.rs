//! All schedules of a small world, each up to what cannot be told apart.
//!
//! A world cannot be cloned, so each schedule is run from the beginning: the choices made before are repeated, then the
//! first that is left is taken, until nothing can happen any more. Two actions of different nodes commute, since a node
//! shares nothing with another but wires on which one only appends and the other only takes from the front. Of the
//! schedules that differ only in the order of such pairs one is run; *sleep sets* (Godefroid) say which: an action that
//! was tried from a state is not tried again in what follows until something happens on which it depends.

use std::fmt::Debug;

/// A state machine with a choice of actions.
pub(super) trait Model {
    type Action: Copy + Debug + PartialEq;

    /// Returns the possible actions, always in one order.
    fn enabled(&self) -> Vec<Self::Action>;

    fn take(&mut self, action: Self::Action);

    /// Returns whether two actions lead to one state in either order, and neither enables or disables the other.
    fn commute(first: Self::Action, second: Self::Action) -> bool;

    /// Nothing can happen any more.
    fn end(self);
}

/// The extent of a search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Explored {
    /// Schedules that were run to their end and checked.
    pub(super) complete: usize,
    /// Schedules given up because all that could follow had been tried from elsewhere.
    pub(super) redundant: usize,
    /// States in which something was chosen.
    pub(super) states: usize,
    /// Actions in the longest schedule.
    pub(super) longest: usize,
    /// `true` if nothing is left to try.
    pub(super) all: bool,
}

/// A state on the way of the schedule that is being run.
struct Choice<A> {
    /// The possible actions in this state.
    enabled: Vec<A>,
    /// The actions that need not be tried here: those already tried, and earlier ones that commute with all since.
    asleep: Vec<A>,
    taken: A,
}

/// Runs every schedule, unless there are more than `bound`.
pub(super) fn explore<W: Model>(start: impl Fn() -> W, bound: usize) -> Explored {
    let mut explored = Explored::default();
    let mut way: Vec<Choice<W::Action>> = Vec::new();
    loop {
        if explored.complete + explored.redundant == bound {
            return explored;
        }
        run(&start, &mut way, &mut explored);
        // Back to the last state from which something is left to try.
        loop {
            let Some(last) = way.last_mut() else {
                explored.all = true;
                return explored;
            };
            last.asleep.push(last.taken);
            match next(&last.enabled, &last.asleep) {
                Some(action) => {
                    last.taken = action;
                    break;
                }
                None => drop(way.pop()),
            }
        }
    }
}

fn next<A: Copy + PartialEq>(enabled: &[A], asleep: &[A]) -> Option<A> {
    enabled.iter().copied().find(|action| !asleep.contains(action))
}

/// Repeats the choices made, then goes on to the end.
fn run<W: Model>(start: impl Fn() -> W, way: &mut Vec<Choice<W::Action>>, explored: &mut Explored) {
    let mut world = start();
    let failing = Failing(way.iter().map(|choice| choice.taken).collect());
    let mut failing = failing;
    for choice in way.iter() {
        assert_eq!(world.enabled(), choice.enabled, "the world is not the same each time");
        world.take(choice.taken);
    }
    loop {
        let enabled = world.enabled();
        if enabled.is_empty() {
            break;
        }
        let asleep = way.last().map_or_else(Vec::new, |before| {
            let commutes = |action: &W::Action| W::commute(*action, before.taken);
            before.asleep.iter().copied().filter(commutes).collect()
        });
        let Some(taken) = next(&enabled, &asleep) else {
            explored.redundant += 1;
            failing.0.clear();
            return;
        };
        failing.0.push(taken);
        world.take(taken);
        explored.states += 1;
        way.push(Choice { enabled, asleep, taken });
    }
    world.end();
    failing.0.clear();
    explored.complete += 1;
    explored.longest = explored.longest.max(way.len());
}

/// Says which schedule it was, if a test fails in it.
struct Failing<A: Debug>(Vec<A>);

impl<A: Debug> Drop for Failing<A> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the schedule was {:?}", self.0);
        }
    }
}

/// Runs one schedule, drawn by `draw`, which is given how many there are to choose from.
pub(super) fn wander<W: Model>(mut world: W, mut draw: impl FnMut(usize) -> usize) {
    let mut failing = Failing(Vec::new());
    loop {
        let enabled = world.enabled();
        if enabled.is_empty() {
            break;
        }
        let action = enabled[draw(enabled.len())];
        failing.0.push(action);
        world.take(action);
    }
    world.end();
}
