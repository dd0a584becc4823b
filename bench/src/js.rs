//! npm's `capnweb` under Node: both sides in one process, like the others; or as client of a server in another.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::measure::Measurement;
use crate::scenarios::Scenario;

pub async fn measure(peer: &str, scenario: Scenario, time: Duration) -> Measurement {
    let seconds = time.as_secs_f64().to_string();
    let id = scenario.id();
    let mut arguments = vec![id.as_str(), seconds.as_str()];
    let server;
    let address;
    if matches!(scenario, Scenario::JsClient { .. } | Scenario::ObjectBytes) {
        server = if peer == "capnweb" { start(node("server.mjs", &[])) } else { start(ours(peer)) };
        let mut server = server;
        address = line(&mut server.1).await;
        arguments.push(&address);
        return client(&arguments).await;
    }
    client(&arguments).await
}

async fn client(arguments: &[&str]) -> Measurement {
    let (mut child, mut lines) = start(node("client.mjs", arguments));
    let measured = line(&mut lines).await;
    assert!(child.wait().await.expect("it can be waited for").success(), "the client failed");
    serde_json::from_str(&measured).expect("a measurement")
}

fn node(script: &str, arguments: &[&str]) -> Command {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("js");
    let mut command = Command::new("node");
    command.arg("--expose-gc").arg(directory.join(script)).args(arguments);
    command
}

fn ours(peer: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.args([peer, "serve"]);
    command
}

type Started = (Child, Lines<BufReader<ChildStdout>>);

fn start(mut command: Command) -> Started {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child =
        command.spawn().expect("node, from https://nodejs.org or your distribution, can be started");
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    (child, lines)
}

async fn line(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    lines.next_line().await.expect("it can be read").expect("it says something before it ends")
}
