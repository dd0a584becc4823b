//! npm's `capnweb` under Node: both sides in one process, like the others; or as client of a server in another.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::measure::Measurement;
use crate::scenarios::Scenario;

pub async fn measure(peer: &str, scenario: Scenario, time: Duration) -> Measurement {
    let mut client = node("client.mjs");
    client.arg(scenario.id()).arg(time.as_secs_f64().to_string());
    match scenario {
        Scenario::JsClient { .. } => {
            let mut server =
                Script::start(&mut if peer == "capnweb" { node("server.mjs") } else { ours(peer) });
            let mut client = Script::start(client.arg(server.line().await));
            assert_eq!(client.line().await, "warm");
            let before = server.cpu();
            let result = client.result().await;
            let cpu = server.cpu() - before;
            let cpu_us = cpu.as_secs_f64() * 1e6 / result.calls.expect("it counts them") as f64;
            Measurement { cpu_us: Some(cpu_us), ..result.measured }
        }
        Scenario::ObjectBytes { .. } => {
            let mut server = Script::start(&mut node("server.mjs"));
            Script::start(client.arg(server.line().await)).result().await.measured
        }
        _ => Script::start(&mut client).result().await.measured,
    }
}

#[derive(Deserialize)]
struct Outcome {
    calls: Option<u64>,
    #[serde(flatten)]
    measured: Measurement,
}

fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    command.arg("--expose-gc").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("js").join(script));
    command
}

fn ours(peer: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.args([peer, "serve"]);
    command
}

/// A process that prints lines. It ends when this is dropped.
struct Script {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Script {
    fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the program can be started");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Self { child, lines }
    }

    async fn line(&mut self) -> String {
        self.lines.next_line().await.expect("it can be read").expect("it says something before it ends")
    }

    async fn result(mut self) -> Outcome {
        let said = self.line().await;
        assert!(self.child.wait().await.expect("it can be waited for").success(), "the client failed");
        serde_json::from_str(&said).expect("an outcome")
    }

    /// Processor time that all of its threads have used so far.
    fn cpu(&self) -> Duration {
        let id = self.child.id().expect("it runs");
        let threads = fs::read_dir(format!("/proc/{id}/task")).expect("it runs");
        let used = threads.map(|thread| {
            let path = thread.expect("it can be read").path().join("schedstat");
            // A thread may have ended just now.
            let text = fs::read_to_string(path).unwrap_or_default();
            text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok()).unwrap_or(0)
        });
        Duration::from_nanos(used.sum())
    }
}
