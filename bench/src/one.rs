//! The command line of the programs that make one measurement.

use std::time::Duration;

use tokio::runtime::LocalRuntime;

use crate::measure::Measurement;
use crate::scenarios::Scenario;
use crate::{js, peers};

const USAGE: &str = "usage: bench-one PEER SCENARIO SECONDS, or PEER serve";

/// Does what the command line says.
///
/// # Panics
///
/// If that is nothing, or anything goes wrong: an answer too.
pub fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = runtime();
    match arguments[..] {
        [peer, "serve"] => runtime.block_on(peers::serve(peer)),
        [peer, scenario, seconds] => {
            let scenario = Scenario::from_id(scenario).expect(USAGE);
            let time = Duration::from_secs_f64(seconds.parse().expect(USAGE));
            let measured = runtime.block_on(measure(peer, scenario, time));
            println!("{}", serde_json::to_string(&measured).expect("it is plain data"));
            // Some keep tasks or children that have nothing to do any more.
            runtime.shutdown_background();
        }
        _ => panic!("{USAGE}"),
    }
}

/// One thread, in which those can be, too, that bear no other.
pub fn runtime() -> LocalRuntime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build_local(Default::default()).expect("there is a runtime")
}

async fn measure(peer: &str, scenario: Scenario, time: Duration) -> Measurement {
    if peer == "capnweb" || matches!(scenario, Scenario::JsClient { .. }) {
        js::measure(peer, scenario, time).await
    } else {
        peers::measure(peer, scenario, time).await
    }
}
