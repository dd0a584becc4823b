//! The examples, as a user sees them.

use std::collections::BTreeSet;
use std::process::Output;
use std::time::Duration;

use capnode_examples::trace;
use capnode_tests::examples::example;
use capnode_tests::{js, soon};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

/// Runs an example to its end.
async fn run(name: &str, arguments: &[&str]) -> Output {
    let running = example(name).args(arguments).output();
    match tokio::time::timeout(Duration::from_secs(120), running).await {
        Ok(output) => output.unwrap(),
        Err(_) => panic!("{name} did not end"),
    }
}

/// Returns the output of an example that succeeds.
async fn printed(name: &str) -> String {
    let output = run(name, &[]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    text
}

#[tokio::test]
async fn the_example_transform_prints_what_it_should() {
    assert_eq!(printed("transform").await, "beep => BOOP\n");
}

#[tokio::test]
async fn the_example_chat_prints_what_it_should() {
    let expected = "\
ann joins
bob joins
    ann reads: bob: (comes in)
ann says hello
    bob reads: ann: hello
bob says hi
    ann reads: bob: hi ann
somebody else wants to be ann
    refused: the name ann is taken
bob is kicked
    ann reads: bob: (leaves)
    refused: you were rude
bob comes back, and drops his seat
    ann reads: bob: (comes in)
    ann reads: bob: (leaves)
    still there: ann
";
    assert_eq!(printed("chat").await, expected);
}

#[tokio::test]
async fn the_example_upload_prints_what_it_should() {
    let expected = "\
up:
  4 MiB have arrived
  8 MiB have arrived
10485760 bytes are stored
10485760 bytes came down
given up: changed my mind
";
    assert_eq!(printed("upload").await, expected);
}

#[tokio::test]
async fn the_example_delegation_prints_what_it_should() {
    let expected = "\
bob has passed on his link and a promise, and is gone
carol reads by tcp: What we eat
carol clears: `Board.clear` is refused: it is not among what may be called here
carol reads by wss: What we eat
carol clears: `Board.clear` is refused: it is not among what may be called here
decided: soup
carol redeems: done
and once more: refused by the rule Replay
the owner is back
and once more: refused by the rule Replay
carol reads by tcp: What we eat
decided: soup
carol reads by wss: What we eat
decided: soup
the owner takes back bob's link: revoked
carol reads: the owner has ended it
carol redeems: refused by the rule Revoked
carol asks: refused by the rule Revoked
carol reads: the owner has ended it
carol redeems: refused by the rule Revoked
carol asks: refused by the rule Revoked
";
    assert_eq!(printed("delegation").await, expected);
}

#[tokio::test]
async fn the_example_reconnect_loses_and_doubles_no_line() {
    let runs = (1..=10).map(|seed| async move {
        let output = run("reconnect", &[&seed.to_string()]).await;
        let text = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "with seed {seed}: {text}{errors}");
        let heard = |line: &str| {
            line.starts_with("line ").then(|| line.split_once(": ").map(|(_, said)| said.to_owned()))
        };
        let lines: Vec<_> = text.lines().filter_map(heard).flatten().collect();
        let once: BTreeSet<_> = lines.iter().collect();
        assert_eq!((lines.len(), once.len()), (120, 120), "with seed {seed}: {text}");
        assert_eq!(text.matches("server: killed").count(), 3, "{text}");
        assert!(text.contains("gap: again") && text.contains("line: down"), "{text}");
        // What it knows of the connection may come after that.
        assert!(text.contains("\n120 lines, each of them once\n"), "{text}");
    });
    futures_util::future::join_all(runs).await;
}

#[tokio::test]
async fn the_example_plugins_starts_them_again() {
    let shown = "
    renders: hello!
    may not configure: `Host.setMark` is refused: only reading is allowed here
    is killed: Disconnected, MayHaveRun
    renders again: hello!
    has lost the host: the host needs no plugin any more
    ends: exit status: 0
";
    let output = if js::ready() {
        // Where it finds npm's package.
        let script = js::package_file("plugin.mjs");
        let written = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/plugins/plugin.mjs");
        std::fs::copy(written, &script).unwrap();
        run("plugins", &[script.to_str().unwrap()]).await
    } else {
        run("plugins", &[]).await
    };
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let (rust, node) = text.split_once("a plugin for Node").unwrap_or((&text, shown));
    assert!(rust.starts_with(&format!("a plugin in Rust{shown}")), "{text}");
    assert_eq!(node, shown);
}

#[tokio::test]
async fn the_example_accounts_prints_what_it_should() {
    let text = printed("accounts").await;
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let after = |title: &str| {
        let at = lines.iter().position(|line| *line == title).unwrap_or_else(|| panic!("{text}"));
        let ways = lines[at + 3].strip_prefix("time: ").and_then(|time| time.strip_suffix(" ways"));
        (lines[at + 1], lines[at + 2], ways.and_then(|ways| ways.parse::<u32>().ok()).unwrap())
    };
    let (name, early, slow) = after("One after the other:");
    assert_eq!((name, early), ("user of ann", "frames out before the first answer came: 1"));
    let (name, early, fast) = after("Pipelined:");
    assert_eq!((name, early), ("user of ann", "frames out before the first answer came: 3"));
    // A machine that is busy takes longer, for either.
    assert!(slow >= 6 && fast >= 2 && fast < slow, "{text}");
}

#[tokio::test]
async fn the_example_tour_prints_what_it_should() {
    let text = printed("tour").await;
    assert!(
        text.starts_with("Two nodes, connected by a line in memory; one listens at tcp://127.0.0.1:"),
        "{text}"
    );
    let shown: Vec<_> = text
        .lines()
        .filter_map(|line| line.trim().split_once("  "))
        .map(|(what, result)| (what, result.trim()))
        .collect();
    let expected = [
        ("transform(\"beep\")", "BOOP"),
        ("frames of a call: out, back", "1, 1"),
        ("counter(), an object; its next(), three times", "[1, 2, 3]"),
        ("on(\"tick\", |event, data| ...), a callback", "tick: data"),
        ("calls of it before on() was answered", "3"),
        ("authenticate(\"ann\").profile().name(), pipelined", "user of ann"),
        ("frames out before the first answer came", "3"),
        ("fail(), an error with its type", "Returned(Intentional)"),
        ("nosuch(), a method that is not there", "'nosuch' is not a function."),
        ("echo(value), of any shape: the same comes back", "true"),
        ("a function of ours in a value that came back; of 21 it makes", "42"),
        ("a promise, called before it was kept: the next number is", "4"),
        ("the server calls us back: greet(\"server\")", "good day, server"),
        ("objects we hold of the server, before and after dropping them", "1, 0"),
        ("a call with 20 ms to be done", "no answer within 20ms"),
        ("the same port, in the language of Capnode", "user of bob"),
        ("the same port, in the language of Q-Connection", "user of bob"),
        ("a call when the server has closed the connection", "the peer closed the connection"),
    ];
    assert_eq!(shown, expected, "{text}");
    assert!(text.lines().count() < 25, "it is to fit a screen");
}

#[tokio::test]
async fn the_tours_server_and_client_run_as_processes() {
    let mut server = example("tour_server");
    // In another order than they are printed.
    let arguments = ["--http", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0"];
    let mut server = server.args(arguments).spawn().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    for scheme in ["ws", "http", "tcp"] {
        let line = soon(lines.next_line()).await.unwrap().unwrap();
        let address = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}"));
        assert!(address.starts_with("127.0.0.1:") && !address.ends_with(":0"), "{line}");
        let url = format!("{scheme}://{address}");
        if scheme == "http" {
            if js::ready() {
                let tour = js::run("tour_client.mjs", &[&url, "--strict-types", "--strict-calls"]).await;
                tour.assert_passed(75);
            }
            continue;
        }
        // Over TCP a Capnode peer is sent one frame at a time, which takes its time.
        let languages = [("capnweb", 100), ("q", 80), ("capnode", 80)];
        for (language, at_least) in languages.iter().take(if scheme == "ws" { 3 } else { 2 }) {
            let client = run("tour_client", &["--connect", &url, "--dialect", language, "--strict"]).await;
            let text = String::from_utf8(client.stdout).unwrap();
            let last = text.lines().last().unwrap();
            let passed =
                last.strip_suffix(" passed, 0 failed").and_then(|number| number.parse::<usize>().ok());
            assert!(client.status.success() && passed.is_some_and(|passed| passed >= *at_least), "{text}");
            assert_eq!(text.lines().filter(|line| line.starts_with("ok ")).count(), passed.unwrap());
        }
    }
    // It has said nothing else, and serves until it is stopped.
    assert!(server.try_wait().unwrap().is_none());
    server.kill().await.unwrap();
    assert_eq!(soon(lines.next_line()).await.unwrap(), None);
}

#[tokio::test]
async fn a_client_that_fails_says_so() {
    let node = capnode::Node::new("no tour");
    let listener = node.listen("tcp://127.0.0.1:0").await.unwrap();
    let client = run("tour_client", &["--connect", &listener.url()]).await;
    let text = String::from_utf8(client.stdout).unwrap();
    assert_eq!(client.status.code(), Some(1));
    assert!(text.starts_with("FAILED transform: text: 'transform' is not a function.\n"), "{text}");
    assert!(!text.ends_with(" 0 failed\n"), "{text}");
}

#[tokio::test]
async fn a_command_line_that_is_not_understood_is_said() {
    for (name, arguments, problem) in [
        ("tour_server", &["--wss", "x"][..], "unknown argument: --wss"),
        ("tour_server", &["127.0.0.1:0"], "unknown argument: 127.0.0.1:0"),
        ("tour_server", &["--ws"], "--ws needs a value"),
        ("tour_client", &["--connect"], "--connect needs a value"),
        ("tour_client", &[], "--connect is missing"),
        (
            "tour_client",
            &["--connect", "ws://x", "--dialect", "latin"],
            "`latin` is no language: use capnweb, capnode or q",
        ),
    ] {
        let output = run(name, arguments).await;
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.starts_with(&format!("Error: {problem}\n\nusage: {name} ")), "{text}");
        assert!(output.stdout.is_empty());
    }
    for name in ["tour_server", "tour_client"] {
        let output = run(name, &["--help"]).await;
        assert!(output.status.success() && output.stderr.is_empty());
        assert!(String::from_utf8_lossy(&output.stdout).starts_with(&format!("usage: {name} ")));
    }
    let output = run("tour_client", &["--connect", "nowhere"]).await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("`nowhere` is not an address"));
    let output = run("tour_server", &["--ws", "nowhere"]).await;
    assert_eq!(output.status.code(), Some(1));
}

/// Reads what is served at an address.
async fn scraped(url: &str) -> String {
    let address = url.strip_prefix("http://").and_then(|rest| rest.strip_suffix("/metrics")).unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn the_example_observe_shows_one_trace_of_three_processes_and_serves_metrics() {
    let file = std::env::temp_dir().join(format!("capnode-observe-{}", std::process::id()));
    let mut running = example("observe").arg(&file).stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    let mut printed = Vec::new();
    let metrics = loop {
        let line = soon(lines.next_line()).await.unwrap().expect("the example has ended");
        if line.starts_with("http://") {
            break line;
        }
        printed.push(line);
    };
    assert_eq!(printed[0], "2 pieces for 6");
    assert_eq!(printed[1], "20 pieces: so many are not there");
    assert_eq!(printed.len(), 10, "{printed:#?}");
    assert!(printed[2].starts_with("customer (client) Shop/order "), "{printed:#?}");
    assert!(printed[5].starts_with("      depot (server) Depot/take "), "{printed:#?}");

    let spans = trace::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let traces: BTreeSet<_> = spans.iter().map(|span| span.trace).collect();
    assert_eq!((spans.len(), traces.len()), (8, 2));
    for trace in traces {
        let of: Vec<_> = spans.iter().filter(|span| span.trace == trace).collect();
        let processes: BTreeSet<_> = of.iter().map(|span| span.process.as_str()).collect();
        assert_eq!(processes, BTreeSet::from(["customer", "depot", "shop"]));
        assert_eq!(of.iter().filter(|span| span.parent == 0).count(), 1);
        let is_known = |parent| parent == 0 || of.iter().any(|span| span.span == parent);
        assert!(of.iter().all(|span| is_known(span.parent)), "{of:#?}");
    }

    let text = scraped(&metrics).await;
    let order = r#"{interface="Shop",method="order",direction="inward"}"#;
    assert!(text.contains(&format!("capnode_calls_total{order} 2\n")), "{text}");
    assert!(text.contains(&format!("capnode_call_seconds_count{order} 2\n")), "{text}");
    assert!(text.contains(r#"direction="outward",kind="Rejected",fate="Answered"} 1"#), "{text}");
    drop(running.stdin.take());
    assert!(soon(running.wait()).await.unwrap().success());
}
