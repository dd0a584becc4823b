//! Many measurements, and the report on them.

pub mod chart;
pub mod machine;
pub mod markdown;
pub mod plan;

use serde::de::Error;
use serde::{Deserialize, Serialize};

use crate::measure::{Beside, Measurement};
use crate::peers::Info;
use crate::scenarios::Scenario;

/// The content of `results.json`.
#[derive(Serialize, Deserialize)]
pub struct Report {
    pub about: machine::About,
    pub results: Vec<Outcome>,
}

/// The result of a peer in a scenario.
#[derive(Serialize, Deserialize)]
pub struct Outcome {
    #[serde(serialize_with = "scenario_id", deserialize_with = "scenario_of_id")]
    pub scenario: Scenario,
    #[serde(serialize_with = "peer_id", deserialize_with = "peer_of_id")]
    pub peer: &'static Info,
    pub unit: String,
    pub median: f64,
    pub least: f64,
    pub most: f64,
    /// The medians of the other measured values.
    pub cpu_us: Option<f64>,
    pub writes: Option<f64>,
    pub beside: Option<Beside>,
    /// The results, in the order of measurement.
    pub values: Vec<f64>,
}

fn scenario_id<S: serde::Serializer>(scenario: &Scenario, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&scenario.id())
}

fn peer_id<S: serde::Serializer>(peer: &&'static Info, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(peer.id)
}

fn scenario_of_id<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Scenario, D::Error> {
    let id = String::deserialize(deserializer)?;
    Scenario::from_id(&id).ok_or_else(|| D::Error::custom(format!("there is no scenario `{id}`")))
}

fn peer_of_id<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<&'static Info, D::Error> {
    let id = String::deserialize(deserializer)?;
    crate::peers::info(&id).ok_or_else(|| D::Error::custom(format!("there is no peer `{id}`")))
}

impl Outcome {
    pub fn new(scenario: Scenario, peer: &'static Info, measured: &[Measurement]) -> Self {
        let values: Vec<f64> = measured.iter().map(|one| one.value).collect();
        let beside = |of: fn(&Measurement) -> Option<f64>| median(measured.iter().filter_map(of).collect());
        Self {
            scenario,
            peer,
            unit: unit(scenario).to_owned(),
            median: median(values.clone()).expect("it was measured"),
            least: values.iter().copied().fold(f64::INFINITY, f64::min),
            most: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            cpu_us: beside(|one| one.cpu_us),
            writes: beside(|one| one.writes),
            beside: measured[0].beside.is_some().then(|| {
                let of = |value: fn(&Beside) -> f64| {
                    median(measured.iter().filter_map(|one| one.beside.as_ref().map(value)).collect())
                        .unwrap_or(f64::NAN)
                };
                Beside {
                    p99: of(|it| it.p99),
                    ratio: of(|it| it.ratio),
                    p99_ratio: of(|it| it.p99_ratio),
                    stream: of(|it| it.stream),
                }
            }),
            values,
        }
    }
}

impl Report {
    pub fn outcome(&self, scenario: Scenario, peer: &str) -> Option<&Outcome> {
        self.results.iter().find(|outcome| outcome.scenario == scenario && outcome.peer.id == peer)
    }

    /// Returns the peers with a result in these scenarios, in their order.
    pub fn peers(&self, scenarios: &[Scenario]) -> Vec<&'static Info> {
        let has = |peer: &&Info| scenarios.iter().any(|scenario| self.outcome(*scenario, peer.id).is_some());
        crate::peers::ALL.iter().filter(has).collect()
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

pub fn unit(scenario: Scenario) -> &'static str {
    match scenario {
        Scenario::Calls { .. }
        | Scenario::Single { .. }
        | Scenario::Apart { .. }
        | Scenario::Records
        | Scenario::Callbacks { .. }
        | Scenario::Batch
        | Scenario::JsClient { .. } => "calls/s",
        Scenario::Bytes | Scenario::ByteStream => "MiB/s",
        Scenario::NumberStream => "items/s",
        Scenario::ObjectBytes { .. } => "bytes",
        Scenario::Chain => "ms",
        Scenario::Local => "ns",
        Scenario::Allocations { .. } => "allocations",
        Scenario::Connect
        | Scenario::Redeem { .. }
        | Scenario::Verify { .. }
        | Scenario::Held { .. }
        | Scenario::Connections { .. }
        | Scenario::BesideStream
        | Scenario::Fairness => "µs",
    }
}

#[test]
fn the_median_is_in_the_middle() {
    assert_eq!(median(vec![]), None);
    assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
}
