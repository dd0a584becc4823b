//! The plan: the measurements, their order, and the process of each.

use std::process::{Command, Stdio};

use crate::measure::Measurement;
use crate::peers::{self, Info, Kind};
use crate::report::Outcome;
use crate::scenarios::Scenario;

pub struct Plan {
    pub repetitions: usize,
    pub seconds: f64,
    /// Leaves out scenarios with a long setup.
    pub quick: bool,
    /// All, if empty.
    pub peers: Vec<String>,
    pub scenarios: Vec<String>,
}

impl Plan {
    fn pairs(&self) -> Vec<(Scenario, &'static Info)> {
        let wanted = |list: &[String], id: &str| list.is_empty() || list.iter().any(|one| one == id);
        let mut pairs = Vec::new();
        for scenario in Scenario::ALL {
            if !wanted(&self.scenarios, &scenario.id()) || (self.quick && takes_long(*scenario)) {
                continue;
            }
            let peers = peers::ALL
                .iter()
                .filter(|peer| wanted(&self.peers, peer.id) && peers::supports(peer, *scenario));
            pairs.extend(peers.map(|peer| (*scenario, peer)));
        }
        pairs
    }

    /// Measures all of it, one repetition of everything after another, so that other load on the machine meets all
    /// alike.
    ///
    /// # Errors
    ///
    /// If a measurement fails, for example because an answer is wrong.
    pub fn run(&self) -> Result<Vec<Outcome>, String> {
        let pairs = self.pairs();
        let mut measured: Vec<Vec<Measurement>> = vec![Vec::new(); pairs.len()];
        for repetition in 0..self.repetitions {
            for ((scenario, peer), measured) in pairs.iter().zip(&mut measured) {
                if repetition >= self.repetitions_of(peer, *scenario) {
                    continue;
                }
                let one = self.measure(peer, *scenario)?;
                eprintln!(
                    "{}/{} {:18} {:18} {:>12.1} {}",
                    repetition + 1,
                    self.repetitions,
                    scenario.id(),
                    peer.id,
                    one.value,
                    super::unit(*scenario)
                );
                measured.push(one);
            }
        }
        let outcomes = pairs.iter().zip(&measured);
        Ok(outcomes.map(|((scenario, peer), measured)| Outcome::new(*scenario, peer, measured)).collect())
    }

    /// Node needs seconds to get warm. A quick run has not got them more than once.
    fn repetitions_of(&self, peer: &Info, scenario: Scenario) -> usize {
        let node = peer.kind == Kind::JavaScript || matches!(scenario, Scenario::JsClient { .. });
        if self.quick && node { 1 } else { self.repetitions }
    }

    fn measure(&self, peer: &Info, scenario: Scenario) -> Result<Measurement, String> {
        let counted = matches!(scenario, Scenario::ObjectBytes { .. } | Scenario::Allocations { .. });
        let program = if counted { "bench-counted" } else { "bench-one" };
        let path = std::env::current_exe().map_err(|error| error.to_string())?.with_file_name(program);
        let output = Command::new(path)
            .args([peer.id, &scenario.id(), &self.seconds.to_string()])
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("`{program}` cannot be started: {error}"))?;
        let line = String::from_utf8_lossy(&output.stdout);
        let measured = serde_json::from_str(line.trim()).ok().filter(|_| output.status.success());
        measured.ok_or_else(|| format!("{} of {} failed: {}", scenario.id(), peer.id, output.status))
    }
}

fn takes_long(scenario: Scenario) -> bool {
    matches!(
        scenario,
        Scenario::ObjectBytes { objects: 100_000 }
            | Scenario::Held { objects: 100_000.. }
            | Scenario::Connections { count: 5_000 }
    )
}
