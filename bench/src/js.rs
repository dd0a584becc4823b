//! npm's `capnweb` under Node: both sides in one process, like the others; or as client of a server in another.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::measure::Measurement;
use crate::scenarios::Scenario;

pub async fn measure(peer: &str, scenario: Scenario, time: Duration) -> Measurement {
    let mut client = node("client.mjs");
    client.arg(scenario.id()).arg(time.as_secs_f64().to_string());
    if !matches!(scenario, Scenario::JsClient { .. } | Scenario::ObjectBytes { .. }) {
        return result(client).await;
    }
    let mut server = Script::start(if peer == "capnweb" { node("server.mjs") } else { ours(peer) });
    client.arg(server.line().await);
    result(client).await
}

async fn result(client: Command) -> Measurement {
    let mut script = Script::start(client);
    let measured = script.line().await;
    assert!(script.child.wait().await.expect("it can be waited for").success(), "the client failed");
    serde_json::from_str(&measured).expect("a measurement")
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
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the program can be started");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Self { child, lines }
    }

    async fn line(&mut self) -> String {
        self.lines.next_line().await.expect("it can be read").expect("it says something before it ends")
    }
}
