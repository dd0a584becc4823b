//! The command line of the programs that make one measurement.

use std::time::Duration;

use crate::measure::Measurement;
use crate::scenarios::Scenario;
use crate::{js, peers, runtime};

const USAGE: &str = "usage: bench-one PEER SCENARIO SECONDS, or PEER serve";

/// Runs the command line.
///
/// # Panics
///
/// If the command line is invalid, or a step or an answer is wrong.
pub fn main() {
    runtime::pin(0);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [peer, "serve"] => runtime::run(peers::has_one_thread(peer), peers::serve(peer.to_owned())),
        [peer, scenario, seconds] => {
            let scenario = Scenario::from_id(scenario).expect(USAGE);
            let time = Duration::from_secs_f64(seconds.parse().expect(USAGE));
            let single = scenario.is_single() || peers::has_one_thread(peer);
            let measured = runtime::run(single, measure(peer.to_owned(), scenario, time));
            println!("{}", serde_json::to_string(&measured).expect("it is plain data"));
        }
        _ => panic!("{USAGE}"),
    }
}

async fn measure(peer: String, scenario: Scenario, time: Duration) -> Measurement {
    if peer == "capnweb" || matches!(scenario, Scenario::JsClient { .. }) {
        js::measure(&peer, scenario, time).await
    } else {
        peers::measure(&peer, scenario, time).await
    }
}
