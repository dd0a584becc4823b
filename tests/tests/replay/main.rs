//! Recordings of npm's `capnweb`, with a Rust node in the place of one side and then of the other.
//!
//! In the place of a recorded server, the node is sent the client's messages as they were written, and
//! has to answer as the server did. In the place of a recorded client, a program makes the same calls,
//! is sent the server's messages, and has to see what the recorded program saw.
//!
//! What may differ is in [`case`]: rules for all recordings, and reasons for what [`recordings`] notes
//! at single ones.

mod case;
mod fatal;
mod plan;
mod player;
mod programs;

use capnode::{Cap, Dialect, ErrorKind, Value};
use capnode_tests::recordings::{self, Line, Recording, Side, objects as index, script, streams};
use serde_json::{Value as Json, json};

use crate::case::{Attempt, Case, Cover, Program, Why, calls, calls_and_serves, not, serves};

const BY_HAND: &str = "the messages were written by hand; there is no program to take the place of";

/// A recording, and how a Rust node takes the place of its server and of its client.
struct Row {
    name: &'static str,
    server: Cover,
    client: Cover,
}

fn row(name: &'static str, server: Cover, client: Cover) -> Row {
    Row { name, server, client }
}

/// All recordings.
fn recordings() -> Vec<Row> {
    let mut rows = raw_messages();
    rows.extend(calls_and_values());
    rows.extend(references());
    rows.extend(streams());
    rows.extend(errors());
    rows.extend(ends_and_limits());
    rows
}

fn raw_messages() -> Vec<Row> {
    vec![
        row("raw-callback", serves(index::two_events), not(BY_HAND)),
        row(
            "raw-export-twice",
            serves(index::callbacks).instead(
                json!(["release", -1, 1]),
                json!(["release", -1, 2]),
                Why::ExactCounts,
            ),
            not(BY_HAND),
        ),
        row("raw-fatal-messages", Cover::Fatal, not(BY_HAND)),
        row("raw-fatal-messages-2", Cover::Fatal, not(BY_HAND)),
        row("raw-lifecycle", serves(index::tour).also(Why::OneCallFails), not(BY_HAND)),
        row("raw-remap", serves(index::lists).also(Why::WholeValues), not(BY_HAND)),
        row("raw-promise-to-peer", serves(index::tour), not(BY_HAND)),
        row("raw-pull-odd", serves(index::tour), not(BY_HAND)),
        row(
            "raw-tolerated-messages",
            serves(index::tour).also(Why::WholeValues).instead(
                json!(["resolve", 4, {"__proto__x": 1, "k": ["inf"]}]),
                json!(["resolve", 4, {"__proto__x": 1, "toString": 2, "k": ["inf"]}]),
                Why::KeysAreData,
            ),
            not(BY_HAND),
        ),
    ]
}

fn calls_and_values() -> Vec<Row> {
    let odd_keys = json!({"2": 10, "10": 9, "a": 7, "": 8, "then": 11, "length": 12, "constructor": 2,
        "toString": 3, "toJSON": 4, "hasOwnProperty": 5, "valueOf": 6});
    let few_keys = json!({"2": 10, "10": 9, "a": 7, "": 8, "then": 11, "length": 12});
    vec![
        row("ws-simple-call", serves(index::tour), calls()),
        row("ws-simple-call-2", serves(index::tour), calls()),
        row("ws-values", serves(index::tour), calls()),
        row("ws-special-values", serves(index::tour), calls()),
        row("ws-bytes", serves(index::tour), calls()),
        row("ws-shared-references", serves(index::tour), calls()),
        row(
            "ws-odd-keys",
            serves(index::tour).instead(
                json!(["resolve", 1, few_keys]),
                json!(["resolve", 1, odd_keys]),
                Why::KeysAreData,
            ),
            calls(),
        ),
        row(
            "ws-unsupported-values",
            serves(index::tour),
            calls().not_in_rust(
                &[
                    "echo(class instance)",
                    "echo(symbol)",
                    "echo(Map)",
                    "echo(Set)",
                    "echo(RegExp)",
                    "echo(null-prototype object)",
                    "echo(native Promise)",
                    "echo(boxed)",
                    "echo(cyclic)",
                ],
                Why::NoSuchValue,
            ),
        ),
        row(
            "ws-properties",
            serves(index::members).instead(
                json!([
                    "reject",
                    4,
                    ["error", "TypeError", "Cannot read properties of undefined (reading 'c')"]
                ]),
                json!(["resolve", 4, "deep"]),
                Why::IndexesAsNames,
            ),
            calls(),
        ),
        row(
            "ws-instance-property",
            serves(index::members)
                .instead(private(1, "secret"), json!(["resolve", 1, ["undefined"]]), Why::FieldsAreNoMembers)
                .instead(
                    private(2, "f"),
                    json!(["reject", 2, ["error", "TypeError", "'f' is not a function."]]),
                    Why::FieldsAreNoMembers,
                ),
            calls(),
        ),
        row(
            "ws-plain-object-main",
            serves(index::plain_object),
            calls().not_in_rust(&["await main"], Why::NothingToAsk),
        ),
        row("ws-concurrent", serves(index::tour), calls()),
        row("ws-concurrent-2", serves(index::tour), calls()),
        row(
            "ws-dispose-before-result",
            serves(index::tour).without(json!(["resolve", 1, "late"]), Why::Cancelled),
            calls().not_in_rust(&["later(20) disposed early"], Why::NothingToAsk),
        ),
        row("ws-pipelined-chain", serves(index::tour), calls()),
        row(
            "ws-pipelined-argument",
            serves(index::tour),
            not("an argument in Rust is a value or a reference, never a promise of a value"),
        ),
        row("ws-map", serves(index::lists).also(Why::WholeValues), calls().typed(programs::maps)),
        row("ws-map-edge", serves(index::lists), calls().typed(programs::map_edges)),
        row(
            "ws-pipelined-on-failure",
            serves(index::tour)
                .typed_error(json!(["reject", 3, ["error", "Error", "no session"]]))
                .typed_error(json!(["reject", 5, ["error", "Error", "no session"]])),
            calls().until("fail().x().y", Why::NoSuchValue),
        ),
    ]
}

fn streams() -> Vec<Row> {
    let undefined = |id: i64| json!(["resolve", id, ["undefined"]]);
    vec![
        row(
            "raw-pipe",
            serves(streams::streams).swapped(json!(["resolve", 2, [["one", {"two": 2}]]]), undefined(5)),
            not(BY_HAND),
        ),
        row(
            "ws-flow-control",
            serves(streams::streams).swapped(json!(["resolve", 2, 655_360]), undefined(43)),
            not("the clock decides how much is on its way"),
        ),
        row(
            "ws-readable-argument",
            serves(streams::streams).swapped(json!(["resolve", 2, [["a", 2, {"three": 3}]]]), undefined(6)),
            calls().typed(programs::readable_argument),
        ),
        row("ws-readable-returned", serves(streams::streams), calls().typed(programs::readable_returned)),
        row(
            "ws-readable-cancelled",
            serves(streams::streams).instead(
                json!(["reject", 4, "had enough"]),
                json!(["reject", 4, ["error", "Error", "had enough"]]),
                Why::OnlyErrors,
            ),
            calls().typed(programs::readable_cancelled),
        ),
        row(
            "ws-readable-fails",
            serves(streams::streams)
                .instead(
                    undefined(3),
                    json!(["reject", 3, ["error", "TypeError", "source broke"]]),
                    Why::ReadLater,
                )
                .swapped(json!(["reject", 2, ["error", "TypeError", "source broke"]]), undefined(4)),
            not("the error of a stream waits until all before it has been taken"),
        ),
        row(
            "ws-writable-argument",
            serves(streams::streams),
            calls().typed(programs::writable_argument).until("writeTo(w,xs)", Why::ReadLater),
        ),
        row("ws-writable-argument-2", serves(streams::streams), not("its program is that of the one before")),
        row("ws-writable-returned", serves(streams::streams), calls().typed(programs::writable_returned)),
        row("ws-blob", serves(streams::web), calls().typed(programs::blobs)),
        row("ws-request-response", serves(streams::web), calls().typed(programs::request)),
        row("ws-request-response-2", serves(streams::web), calls().typed(programs::request_with_body)),
    ]
}

/// Returns the error of npm for a field of an object.
fn private(id: i64, name: &str) -> Json {
    let message = format!(
        "Attempted to access property '{name}', which is an instance property of the RpcTarget. To avoid \
         leaking private internals, instance properties cannot be accessed over RPC. If you want to make \
         this property available over RPC, define it as a method or getter on the class, instead of an \
         instance property."
    );
    json!(["reject", id, ["error", "TypeError", message]])
}

fn references() -> Vec<Row> {
    vec![
        row("ws-callback", serves(index::three_events), calls()),
        row("ws-callback-not-awaited", serves(index::events_not_awaited).also(Why::UnwantedResults), calls()),
        row(
            "ws-callback-kept",
            serves(index::callbacks).typed_error(json!([
                "reject",
                5,
                ["error", "Error", "Attempted to use RPC stub after it has been disposed."]
            ])),
            calls(),
        ),
        row(
            "ws-callback-throws",
            serves(index::callbacks).instead(
                json!(["resolve", 2, "caught undefined: undefined"]),
                json!(["resolve", 2, "caught Error: cb bad"]),
                Why::OnlyErrors,
            ),
            calls().typed_error(json!(["reject", 1, ["error", "RangeError", "cb bad"]])).instead(
                json!(["reject", 2, "cb bad"]),
                json!(["reject", 2, ["error", "Error", "cb bad", null, {"data": "cb bad"}]]),
                Why::OnlyErrors,
            ),
        ),
        row("ws-bidirectional", serves(index::tour).and_calls(), calls_and_serves(index::page)),
        row("ws-bidirectional-2", serves(index::tour).and_calls(), calls_and_serves(index::second_page)),
        row("ws-no-main", serves(index::nothing).side(Side::A), serves(index::nothing).and_calls()),
        row("ws-dup-and-refcount", serves(index::tour), calls()),
        row(
            "ws-same-stub-twice",
            serves(index::callbacks).also(Why::DroppedOnce),
            calls().also(Why::DroppedOnce),
        ),
        row("ws-function-returned", serves(index::functions), calls()),
        row(
            "ws-target-returned",
            serves(index::tour),
            calls().not_in_rust(&["next() after dispose"], Why::NothingToAsk),
        ),
        row(
            "ws-passed-back",
            serves(index::tour),
            calls().instead(
                json!(["push", ["pipeline", 0, ["next2"], [["pipeline", 3]]]]),
                json!(["push", ["pipeline", 0, ["next2"], [["import", 3]]]]),
                Why::ReferencesDoNotWait,
            ),
        ),
        row(
            "ws-promise-returned",
            serves(index::promises).also(Why::WholeValues).typed_error(json!([
                "reject",
                -2,
                ["error", "Error", "late failure"]
            ])),
            calls().until("bad()", Why::NoSuchValue),
        ),
    ]
}

fn errors() -> Vec<Row> {
    let it_broke = |id: i64, class: &str| json!(["reject", id, ["error", class, "it broke"]]);
    let with = |id: i64, class: &str, properties: Json| {
        json!(["reject", id, ["error", class, "it broke", null, properties]])
    };
    vec![
        row(
            "ws-errors",
            serves(index::errors)
                .typed_error(it_broke(1, "Error"))
                .typed_error(it_broke(2, "TypeError"))
                .typed_error(it_broke(3, "RangeError"))
                .typed_error(with(4, "MyError", json!({"code": 7, "data": {"a": [[1]], "d": ["date", 3]}})))
                .typed_error(with(5, "Error", json!({"cause": ["error", "SyntaxError", "inner"]})))
                .typed_error(with(6, "AggregateError", json!({"errors": [[["error", "Error", "e1"], "e2"]]})))
                .typed_error(with(7, "Error", json!({"ok": 1})))
                .typed_error(json!(["reject", 8, ["error", "Error", ""]])),
            calls().seen(
                "custom()",
                json!({"js": "Error", "name": "MyError", "message": "it broke",
                    "props": {"code": 7, "data": {"a": [1], "d": {"js": "Date", "ms": 3}}}}),
                Why::ErrorsKeepTheirName,
            ),
        ),
        row("ws-errors-non-error", not("what a Rust method rejects with is always an error"), calls()),
        row(
            "ws-errors-with-stack",
            serves(index::errors).instead(
                json!([
                    "reject",
                    1,
                    ["error", "Error", "rewritten: intentional failure", "Error: rewritten\n    at somewhere"]
                ]),
                json!([
                    "reject",
                    1,
                    ["error", "Error", "rewritten: intentional failure", null, {"data": "rewritten: intentional failure"}]
                ]),
                Why::NoStack,
            ),
            calls(),
        ),
    ]
}

fn ends_and_limits() -> Vec<Row> {
    fn add(peer: Cap) -> Attempt {
        Box::pin(async move { peer.invoke("add", (1, 2)).await })
    }
    let lost =
        |reason: &str| json!(["abort", ["error", "Error", format!("Peer closed WebSocket: {reason}")]]);
    vec![
        row(
            "ws-close-by-server",
            serves(index::tour).closed_by(Side::B).without(lost("1001 going away"), Why::NothingAfterTheEnd),
            calls().closed_by(Side::B).without(lost("1001 going away"), Why::NothingAfterTheEnd).unsent(
                "add(1,2) after close",
                add,
                ErrorKind::Disconnected,
            ),
        ),
        row(
            "ws-close-by-server-2",
            serves(index::tour).closed_by(Side::B).without(lost("1006 "), Why::NothingAfterTheEnd),
            calls().closed_by(Side::B).without(lost("1006 "), Why::NothingAfterTheEnd).unsent(
                "add(1,2) after close",
                add,
                ErrorKind::Disconnected,
            ),
        ),
        row(
            "ws-main-disposed",
            serves(index::tour).closed_by(Side::A).without(
                lost("3000 RPC session was shut down by disposing the main stub"),
                Why::NothingAfterTheEnd,
            ),
            calls().closed_by(Side::A),
        ),
        row(
            "ws-depth-on-sending",
            serves(index::tour),
            calls().unsent("kind(depth 255)", kind_of_depth_255, ErrorKind::Encode),
        ),
        row("ws-limits", serves(index::tour_of_256_bytes), calls()),
        row(
            "ws-limits-depth",
            serves(index::tour_of_depth_10),
            calls().unsent("kind(depth 10)", add, ErrorKind::Protocol),
        ),
        row("ws-limits-bigint", serves(index::tour_of_20_digits), calls()),
        row("ws-limits-bigint-2", serves(index::tour_of_20_digits), calls()),
    ]
}

/// Some of the clients once more, as typed programs.
fn typed() -> Vec<(&'static str, Cover)> {
    vec![
        ("ws-simple-call", calls().typed(programs::simple_calls)),
        ("ws-properties", calls().typed(programs::members)),
        ("ws-pipelined-chain", calls().typed(programs::chain)),
        (
            "ws-target-returned",
            calls().typed(programs::counter).not_in_rust(&["next() after dispose"], Why::NothingToAsk),
        ),
        ("ws-function-returned", calls().typed(programs::functions)),
        ("ws-callback", calls().typed(programs::callback)),
        (
            "ws-passed-back",
            calls().typed(programs::passed_back).instead(
                json!(["push", ["pipeline", 0, ["next2"], [["pipeline", 3]]]]),
                json!(["push", ["pipeline", 0, ["next2"], [["import", 3]]]]),
                Why::ReferencesDoNotWait,
            ),
        ),
    ]
}

/// Plays recordings, and says what went wrong with which.
fn play_all(covers: impl IntoIterator<Item = (&'static str, Cover)>) {
    let mut played = 0;
    let mut failures = Vec::new();
    for (name, cover) in covers {
        let Cover::Played(case) = cover else { continue };
        let recording = recordings::read(Dialect::CapnWeb, name);
        match script::run(player::play(&recording, &case)) {
            Ok(()) => played += 1,
            Err(error) => failures.push(format!("{name}: {error}")),
        }
    }
    assert!(failures.is_empty(), "{played} went well, but\n\n{}", failures.join("\n\n"));
    assert!(played > 0);
}

fn kind_of_depth_255(peer: Cap) -> Attempt {
    let deep = (0..255).fold(Value::from(0), |deep, _| Value::from([("k", deep)]));
    Box::pin(async move { peer.invoke("kind", (deep,)).await })
}

capnode_tests::tests! {
    a_node_answers_as_the_recorded_server:
        play_all(recordings().into_iter().map(|row| (row.name, row.server)));
    a_program_calls_and_sees_what_the_recorded_client_did:
        play_all(recordings().into_iter().map(|row| (row.name, row.client)));
    a_program_with_typed_clients_sees_what_the_recorded_client_did: play_all(typed());
}

#[test]
fn what_ended_the_recorded_session_ends_ours_or_is_refused() {
    let mut found = Vec::new();
    for row in recordings() {
        let Cover::Fatal = row.server else { continue };
        let recording = recordings::read(Dialect::CapnWeb, row.name);
        let names = script::run(fatal::play(&recording));
        found.extend(names.unwrap_or_else(|error| panic!("{}: {error}", row.name)));
    }
    assert_eq!(fatal::unknown_cases(&found), Vec::<&str>::new(), "these are not recorded");
}

#[test]
fn every_recording_is_in_the_table() {
    let there = recordings::names(Dialect::CapnWeb);
    let rows = recordings();
    let mut listed: Vec<_> = rows.iter().map(|row| row.name).collect();
    listed.sort_unstable();
    let before = listed.len();
    listed.dedup();
    assert_eq!(listed.len(), before, "a recording is there twice");
    let missing: Vec<_> = there.iter().filter(|name| !listed.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "say how these are covered: {missing:?}");
    listed.retain(|name| !there.iter().any(|other| other == name));
    assert!(listed.is_empty(), "there are no such recordings: {listed:?}");
    for Row { name, server, client } in &rows {
        println!("{name}: as server {server}, as client {client}");
    }
}

/// Each comparison can fail: any change in the recorded part of this side is noticed.
#[test]
fn every_change_of_a_recording_is_noticed() {
    let rows = recordings().into_iter();
    let covers = rows.flat_map(|row| [(row.name, row.server), (row.name, row.client)]).chain(typed());
    let (mut changes, mut unnoticed) = (0, Vec::new());
    for (name, cover) in covers {
        let Cover::Played(case) = cover else { continue };
        let recording = recordings::read(Dialect::CapnWeb, name);
        for at in 0..played_lines(&recording, &case) {
            let Some(changed) = change(&recording, at, &case) else { continue };
            changes += 1;
            if script::run(player::play(&changed, &case)).is_ok() {
                unnoticed.push(format!("{name}: {:?}", changed.lines[at]));
            }
        }
    }
    assert!(unnoticed.is_empty(), "{} of {changes}:\n{}", unnoticed.len(), unnoticed.join("\n"));
    assert!(changes > 800, "only {changes}");

    let fatal = recordings::read(Dialect::CapnWeb, "raw-fatal-messages");
    assert!(script::run(fatal::play(&fatal::made_harmless(&fatal))).is_err());
}

/// Returns the number of lines of a recording that are played.
fn played_lines(recording: &Recording, case: &Case) -> usize {
    let last = |line: &Line| match line {
        Line::Frame { .. } => false,
        Line::Event(event) => case.until.is_some_and(|(call, _)| event["call"] == call),
    };
    recording.lines.iter().position(last).map_or(recording.lines.len(), |at| at + 1)
}

/// Returns the recording with one line changed, if that line is compared.
fn change(recording: &Recording, at: usize, case: &Case) -> Option<Recording> {
    let mut changed = recording.clone();
    match &mut changed.lines[at] {
        Line::Frame { from, text } if *from == case.rust => {
            let mut message = recordings::parse(text).ok()?;
            let kind = message[0].as_str()?;
            // The texts of aborts differ. The callbacks are made to give the recorded answers. Where promises are
            // replaced, a rejected one replaces everything.
            let answers = matches!(kind, "resolve" | "reject");
            let recorded = matches!(case.program, Program::Recorded) && case.rust == Side::A;
            let callback =
                recorded && recording.name.contains("callback") | case.also.contains(&Why::DroppedOnce);
            // So are its calls.
            let call = kind == "push" && matches!(case.program, Program::Recorded);
            if kind == "abort"
                || call
                || answers && callback
                || case.also.contains(&Why::WholeValues) && text.contains("promise")
            {
                return None;
            }
            let last = message.as_array_mut()?.last_mut()?;
            *last = match &*last {
                Json::Number(number) => json!(number.as_i64()? + 2),
                other => json!([["changed", other]]),
            };
            *text = message.to_string();
        }
        Line::Frame { .. } => return None,
        Line::Event(event) => {
            let call = event["call"].as_str().unwrap_or_default();
            // Values that can't be compared, or are compared with something else.
            let local = case.unsent.iter().any(|(unsent, ..)| *unsent == call)
                || case.not_in_rust.iter().any(|(other, _)| *other == call)
                || case.seen.iter().any(|(seen, ..)| *seen == call);
            // The texts differ when the transport was closed.
            let closed = case.closed_by.is_some() && event["event"] == "rejected";
            if event["side"] != case.rust.name() || local || closed {
                return None;
            }
            match event["event"].as_str()? {
                "result" | "callback-args" => event["value"] = json!(["changed", event["value"]]),
                "rejected" => {
                    event["reason"] = json!({"js": "Error", "name": "Changed", "message": "changed"})
                }
                _ => return None,
            }
        }
    }
    Some(changed)
}
