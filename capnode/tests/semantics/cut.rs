//! The wire is cut before each frame of each scenario, in either direction: everything ends with the one cause, and
//! nothing is left on either side.

use crate::harness::*;
use crate::scenarios::{Cut, Loss, Scenario, Stage, scenarios, shown};
use capnode::Dialect;

/// Returns whether a scenario can be played in this build.
fn plays(scenario: &Scenario, dialect: Dialect) -> bool {
    cfg!(feature = "tokio") || !scenario.waits_here || dialect == Dialect::CapnWeb
}

/// Plays a scenario undisturbed, then with every possible cut. Returns the number of cuts.
fn cut_everywhere(scenario: &Scenario, dialect: Dialect) -> usize {
    let mut whole = Stage::new(dialect, &scenario.limits, None);
    whole.play(scenario);
    let outcomes: Vec<_> = whole
        .begun
        .iter()
        .map(|begun| {
            let outcome = begun.outcome.as_ref();
            let outcome = outcome.unwrap_or_else(|| panic!("{}: {} never ends", scenario.name, begun.number));
            (begun.number, shown(outcome))
        })
        .collect();
    assert!(
        whole.pair.connecting().closed().is_none() && whole.pair.accepting().closed().is_none(),
        "{}",
        scenario.name
    );
    let mut cuts = 0;
    for loss in [Loss::Seen, Loss::Silent, Loss::Half] {
        for to in [Side::Accepting, Side::Connecting] {
            // The last time it is cut when all has arrived.
            for before in 0..=whole.delivered[to as usize] {
                let mut stage = Stage::new(dialect, &scenario.limits, Some(Cut { to, before, loss }));
                stage.play(scenario);
                stage.check(scenario.name, &outcomes);
                cuts += 1;
            }
        }
    }
    cuts
}

#[test]
fn a_cut_before_any_frame_ends_everything_with_the_one_cause() {
    let mut played = 0;
    let mut cuts = 0;
    for scenario in scenarios() {
        for dialect in scenario.languages.iter().copied().filter(|dialect| plays(&scenario, *dialect)) {
            played += 1;
            cuts += cut_everywhere(&scenario, dialect);
        }
    }
    eprintln!("{played} scenarios, {cuts} cuts");
    assert!(cuts > 1_000, "{cuts}");
}
