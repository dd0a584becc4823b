//! Against each version of npm's `capnweb` that is supported: calls, references and callbacks both ways, and which values
//! arrive. `capnode/docs/peers.md` has the table, which is compared with what happens.

use std::collections::BTreeSet;

use capnode::value::{ByteKind, Date, Headers, Url};
use capnode::{BigInt, Bytes, Cap, Connection, ErrorKind, ErrorValue, Func, Node, Tables, Value};
use capnode_examples::tour::{self, TourClient};
use capnode_tests::{js, soon, until};

const VERSIONS: [&str; 3] = ["0.4", "0.8", "0.12"];

/// Returns the arguments for a script that runs with a version.
fn arguments(version: &str) -> Vec<&str> {
    match version {
        // The one that is installed under its own name.
        "0.12" => Vec::new(),
        other => vec!["--capnweb", other],
    }
}

/// The checks that an earlier version fails by itself, with any server.
fn cannot(version: &str) -> BTreeSet<&'static str> {
    // It refuses to send them, or has other words for them.
    const BEFORE_0_12: &[&str] = &[
        "echo: ArrayBuffer",
        "echo: DataView",
        "echo: typed arrays",
        "echo: a typed array that is part of a buffer",
        "echo: URL",
        "echo: objects of other classes inside a value",
        "echo: 100 levels",
        // A promise goes as a reference.
        "a promise of ours as an argument",
        "a promise of ours that resolves later holds up its call only",
        "a promise of ours that fails fails its call",
    ];
    const BEFORE_0_8: &[&str] = &[
        "echo: an invalid date",
        "echo: 256 KB of bytes",
        "echo: Headers",
        "echo: an error with properties and a cause",
        "echo: an error whose cause is no error",
        "echo: AggregateError",
        "a kept callback that fails",
        "a request and a response with a body",
    ];
    match version {
        "0.4" => BEFORE_0_12.iter().chain(BEFORE_0_8).copied().collect(),
        "0.8" => BEFORE_0_12.iter().copied().collect(),
        _ => BTreeSet::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_each_version_passes_the_checks_that_it_can() {
    if !js::ready() {
        return;
    }
    let listener = Node::new(tour::index()).listen("ws://127.0.0.1:0").await.unwrap();
    let url = listener.url();
    // The newest is checked by a test of its own.
    for version in &VERSIONS[..2] {
        let strict = ["--strict-types", "--strict-home", "--strict-calls"];
        let arguments = [vec![url.as_str()], strict.to_vec(), arguments(version)].concat();
        let tour = js::run("tour_client.mjs", &arguments).await;
        let failed = tour.lines.iter().filter_map(|line| line.strip_prefix("FAILED "));
        let names: BTreeSet<_> = failed
            .map(|line| {
                let known = cannot(version).into_iter().find(|name| line.starts_with(&format!("{name}: ")));
                known.unwrap_or(line)
            })
            .collect();
        assert_eq!(names, cannot(version), "{version}: {}", tour.last());
        assert!(tour.lines.len() > 150, "{version}: {}", tour.last());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_each_version_is_called() {
    if !js::ready() {
        return;
    }
    for version in VERSIONS {
        let arguments = [vec!["--ws", "127.0.0.1:0"], arguments(version)].concat();
        let server = js::Server::start("tour_server.mjs", &arguments).await;
        let connection: Connection = capnode::connect(&format!("ws://{}", server.address())).await.unwrap();
        let tour: TourClient = connection.index();
        assert_eq!(soon(tour.transform("beep").into_future()).await.unwrap(), "BOOP", "{version}");
        // Objects, step by step and pipelined.
        let counter = soon(tour.counter().into_future()).await.unwrap();
        assert_eq!(soon(counter.next().into_future()).await.unwrap(), 1);
        assert_eq!(soon(counter.next().into_future()).await.unwrap(), 2);
        let name = tour.authenticate("abc").pipeline().profile().pipeline().name();
        assert_eq!(soon(name.into_future()).await.unwrap(), "user of abc");
        // Functions, called while the call goes on.
        let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let call = tour.on("tick", move |event: String, data: String| {
            let sent = sender.send((event, data));
            async move { drop(sent) }
        });
        soon(call.into_future()).await.unwrap();
        for _ in 0..3 {
            assert_eq!(soon(heard.recv()).await, Some(("tick".to_owned(), "data".to_owned())));
        }
        assert_eq!(soon(tour.fail().into_future()).await.unwrap_err().to_string(), "intentional failure");
        // An export is itself; a pending result is asked for.
        let again: Cap = soon(Cap::from(counter.clone()).read::<Cap>().into_future()).await.unwrap();
        assert!(again == Cap::from(counter.clone()), "{version}");
        let pipelined: Cap = tour.counter().pipeline().into();
        let made = soon(pipelined.read::<Cap>().into_future()).await.unwrap();
        assert_eq!(soon(made.invoke::<u32>("next", ()).into_future()).await.unwrap(), 1);
        drop((again, pipelined, made));
        // A call that is given up is answered late, once, and nothing is left of it.
        let never = Func::<fn(String, String)>::new(|_: String, _: String| std::future::pending());
        let mut given_up = Box::pin(tour.on("slow", never).into_future());
        tokio::select! {
            _ = &mut given_up => panic!("it does not end"),
            () = until("the callback is called", || connection.tables().running == 1) => {}
        }
        drop(given_up);
        drop(counter);
        assert_eq!(soon(tour.transform("beep").into_future()).await.unwrap(), "BOOP", "{version}");
        let unwanted = |tables: Tables| (tables.imports, tables.calls) == (0, 0);
        until("all is given back", || unwanted(connection.tables())).await;
        assert_eq!(connection.report().stray_ids, 0, "{version}");
    }
}

/// A value of each kind, by its name in the table.
fn values() -> Vec<(&'static str, Value)> {
    let bytes = |kind| Value::Bytes(Bytes::from([1, 2, 3, 4, 5, 6, 7, 8]).with_kind(kind));
    let error = ErrorValue::new("TypeError", "no");
    vec![
        ("undefined", Value::Undefined),
        ("null", Value::Null),
        ("boolean", Value::Bool(true)),
        ("number", Value::Number(1.5)),
        ("NaN", Value::Number(f64::NAN)),
        ("Infinity", Value::Number(f64::INFINITY)),
        ("BigInt", "12345678901234567890".parse::<BigInt>().expect("digits").into()),
        ("string", "text".into()),
        ("array", Value::Array(vec![1.into(), Value::Array(vec![])])),
        ("object", Value::from([("a", Value::from(1)), ("b", Value::Undefined)])),
        ("Date", Date::from_millis(1.0e12).into()),
        ("Date that is invalid", Date::from_millis(f64::NAN).into()),
        ("Uint8Array", bytes(ByteKind::Uint8Array)),
        ("Uint8Array of 256 KiB", Value::Bytes(Bytes::from(vec![7; 1 << 18]))),
        ("ArrayBuffer", bytes(ByteKind::ArrayBuffer)),
        ("DataView", bytes(ByteKind::DataView)),
        ("Float64Array and the like", bytes(ByteKind::Float64Array)),
        ("Error", error.clone().into()),
        ("Error with properties", error.with_property("code", 7).into()),
        ("URL", "https://example.com/".parse::<Url>().expect("a URL").into()),
        ("Headers", Headers::from([("a", "b")]).into()),
        ("function", Value::Cap(Func::<fn() -> u32>::new(|| async { 1 }).into())),
        ("object with methods", Value::Cap(tour::index().into())),
    ]
}

/// Describes the value that came back, compared with the one sent.
fn described(sent: &Value, came: &Value) -> String {
    match (sent, came) {
        (Value::Number(sent), Value::Number(came)) if sent.is_nan() && came.is_nan() => "yes".to_owned(),
        (Value::Date(sent), Value::Date(came)) if sent.millis() == came.millis() => "yes".to_owned(),
        (Value::Cap(_), Value::Cap(_)) => "yes".to_owned(),
        (sent, came) if sent == came => "yes".to_owned(),
        (Value::Bytes(_), Value::Bytes(came)) => format!("as `{}`", came.kind().name()),
        (Value::Error(sent), Value::Error(came))
            if (&sent.name, &sent.message) == (&came.name, &came.message) =>
        {
            "without the properties".to_owned()
        }
        (_, came) => format!("as {came:?}"),
    }
}

/// Sends a value to a server that echoes it, and describes the outcome.
async fn outcome(address: &str, value: &Value) -> String {
    let connection: Connection = capnode::connect(&format!("ws://{address}")).await.unwrap();
    let tour: TourClient = connection.index();
    let sent = match value {
        // npm's server cannot return a reference as the whole result.
        Value::Cap(_) => Value::Array(vec![value.clone()]),
        other => other.clone(),
    };
    match soon(tour.echo(sent).into_future()).await {
        Ok(Value::Array(came)) if value.as_cap().is_some() => described(value, &came[0]),
        Ok(came) => described(value, &came),
        Err(error) if error.kind() == ErrorKind::Rejected => {
            assert_eq!(soon(tour.transform("beep").into_future()).await.unwrap(), "BOOP");
            "the call fails".to_owned()
        }
        Err(error) => {
            assert_eq!(soon(connection.closed()).await.to_string(), error.to_string());
            "ends the session".to_owned()
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_says_which_values_arrive_at_which_version() {
    if !js::ready() {
        return;
    }
    let mut servers = Vec::new();
    for version in VERSIONS {
        let arguments = [vec!["--ws", "127.0.0.1:0"], arguments(version)].concat();
        servers.push(js::Server::start("tour_server.mjs", &arguments).await);
    }
    let mut table = String::from("| value | 0.4 | 0.8 | 0.12 |\n|---|---|---|---|\n");
    for (name, value) in values() {
        table.push_str(&format!("| {name} |"));
        for server in &servers {
            table.push_str(&format!(" {} |", outcome(server.address(), &value).await));
        }
        table.push('\n');
    }
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../capnode/docs/peers.md");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains(&table), "capnode/docs/peers.md should have this table:\n\n{table}");
}
