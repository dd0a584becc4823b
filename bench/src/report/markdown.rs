//! Tables.

use std::fmt::Write;

use super::{Outcome, Report};
use crate::peers::{Info, Kind};
use crate::scenarios::{STEPS, Scenario};

/// A row of a table: what it is called, of which scenario it is, and what is shown of that.
type Row = (&'static str, Scenario, fn(&Outcome) -> Option<String>);

const ROWS: &[Row] = &[
    ("one call after another, calls/s", Scenario::Calls { in_flight: 1 }, value),
    ("64 calls in flight, calls/s", Scenario::Calls { in_flight: 64 }, value),
    ("processor time a call, 64 in flight, µs", Scenario::Calls { in_flight: 64 }, cpu),
    ("write system calls a call, 64 in flight", Scenario::Calls { in_flight: 64 }, writes),
    ("1,024 in flight, calls/s", Scenario::Calls { in_flight: 1024 }, value),
    ("64 in flight, runtime of one thread, calls/s", Scenario::Single { in_flight: 64 }, value),
    ("write system calls a call then", Scenario::Single { in_flight: 64 }, writes),
    ("64 in flight, a core for each side, calls/s", Scenario::Apart { in_flight: 64 }, value),
    ("write system calls a call then", Scenario::Apart { in_flight: 64 }, writes),
    ("1 KB structure echoed, 64 in flight, calls/s", Scenario::Records, value),
    ("callbacks one after another, calls/s", Scenario::Callbacks { in_flight: 1 }, value),
    ("callbacks, 64 in flight, calls/s", Scenario::Callbacks { in_flight: 64 }, value),
    ("1 MiB of bytes echoed, MiB/s", Scenario::Bytes, value),
    ("bytes each of 100,000 objects costs its server", Scenario::ObjectBytes { objects: 100_000 }, value),
    ("bytes each of 1,000 objects costs its server", Scenario::ObjectBytes { objects: 1_000 }, value),
    ("8 dependent calls, 20 ms each way, ms", Scenario::Chain, value),
    ("connecting and the first call, µs", Scenario::Connect, value),
    ("allocations a call, both sides, 64 in flight", Scenario::Allocations { local: false }, value),
    ("a local call through a client, ns", Scenario::Local, value),
    ("allocations a call then", Scenario::Allocations { local: true }, value),
];

const JS_ROWS: &[Row] = &[
    ("one call after another, calls/s", Scenario::JsClient { in_flight: 1 }, value),
    ("64 calls in flight, calls/s", Scenario::JsClient { in_flight: 64 }, value),
];

const GROWTH_ROWS: &[Row] = &[
    ("10 references held", Scenario::Held { objects: 10 }, value),
    ("1,000", Scenario::Held { objects: 1_000 }, value),
    ("100,000", Scenario::Held { objects: 100_000 }, value),
    ("1,000,000", Scenario::Held { objects: 1_000_000 }, value),
    ("1 connection", Scenario::Connections { count: 1 }, value),
    ("100", Scenario::Connections { count: 100 }, value),
    ("5,000", Scenario::Connections { count: 5_000 }, value),
];

const _: () = assert!(STEPS == 8, "a row says so");

/// All there is: `results/table.md`.
pub fn whole(report: &Report) -> String {
    let ours = |peer: &&Info| peer.kind == Kind::Ours;
    let spreads: Vec<Row> =
        ROWS.iter().filter(|row| !row.0.contains(" a call")).map(|row| (row.0, row.1, spread as _)).collect();
    let mut text = about(report);
    table(&mut text, report, ROWS, one_of_ours);
    for (head, rows, include) in [
        ("The languages and transports of capnode", ROWS, ours as fn(&&Info) -> bool),
        (
            "The same JavaScript client (npm's `capnweb` under Node), with either server in another process",
            JS_ROWS,
            all,
        ),
        ("Microseconds a call, one after another, as things grow", GROWTH_ROWS, all),
        ("How far the repetitions were apart, least to most", &spreads, all),
    ] {
        let before = text.len();
        text += &format!("\n{head}:\n\n");
        if !table(&mut text, report, rows, include) {
            text.truncate(before);
        }
    }
    text
}

fn all(_: &&Info) -> bool {
    true
}

fn one_of_ours(peer: &&Info) -> bool {
    peer.kind != Kind::Ours || peer.id == "capnode"
}

/// What the README shows.
pub fn fragment(report: &Report, chart: &str) -> String {
    let mut text = about(report);
    table(&mut text, report, ROWS, one_of_ours);
    let _ = write!(text, "\n![Calls a second, beside other libraries]({chart})\n");
    text
}

/// Puts what is between the two markers in place of what was.
///
/// # Errors
///
/// If they are not there.
pub fn replace_between(text: &str, begin: &str, end: &str, what: &str) -> Result<String, String> {
    let missing = || format!("`{begin}` and, after it, `{end}` must be there");
    let (before, rest) = text.split_once(begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(end).ok_or_else(missing)?;
    Ok(format!("{before}{begin}\n{what}{end}{after}"))
}

fn about(report: &Report) -> String {
    let about = &report.about;
    let versions: Vec<String> =
        about.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    format!(
        "Measured on {}: {}, {} cores, {}; {}, {}; capnode at {}. Client and server in one process, over TCP on the \
         loopback, on one core; medians of {} repetitions, interleaved. The floor is written by hand with tokio and \
         serde_json.\nVersions: {}.\n\n",
        about.date,
        about.processor,
        about.cores,
        about.system,
        about.rust,
        about.node,
        about.commit,
        about.repetitions,
        versions.join(", "),
    )
}

/// Whether there is anything in it; without, it is left out.
fn table(text: &mut String, report: &Report, rows: &[Row], include: impl Fn(&&Info) -> bool) -> bool {
    let scenarios: Vec<Scenario> = rows.iter().map(|row| row.1).collect();
    let peers: Vec<&Info> = report.peers(&scenarios).into_iter().filter(include).collect();
    let mut line = |cells: Vec<String>| *text += &format!("| {} |\n", cells.join(" | "));
    if peers.is_empty() {
        return false;
    }
    let heads = peers.iter().map(|peer| peer.label.to_owned());
    line(std::iter::once(String::new()).chain(heads).collect());
    line(std::iter::once("---".to_owned()).chain(peers.iter().map(|_| "--:".to_owned())).collect());
    for (name, scenario, show) in rows {
        let cells: Vec<Option<String>> =
            peers.iter().map(|peer| report.outcome(*scenario, peer.id).and_then(show)).collect();
        if cells.iter().any(Option::is_some) {
            let cells = cells.into_iter().map(|cell| cell.unwrap_or_else(|| "–".to_owned()));
            line(std::iter::once((*name).to_owned()).chain(cells).collect());
        }
    }
    true
}

fn value(outcome: &Outcome) -> Option<String> {
    Some(number(outcome.median))
}

fn cpu(outcome: &Outcome) -> Option<String> {
    outcome.cpu_us.map(number)
}

fn writes(outcome: &Outcome) -> Option<String> {
    outcome.writes.map(number)
}

fn spread(outcome: &Outcome) -> Option<String> {
    Some(format!("{} … {}", number(outcome.least), number(outcome.most)))
}

/// With no more digits than mean anything.
pub fn number(value: f64) -> String {
    match value {
        10_000.0.. => format!("{:.0} k", value / 1_000.0),
        1_000.0.. => format!("{:.1} k", value / 1_000.0),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[test]
fn numbers_have_three_digits_or_so() {
    assert_eq!(number(145_431.0), "145 k");
    assert_eq!(number(8_123.0), "8.1 k");
    assert_eq!(number(341.4), "341");
    assert_eq!(number(43.25), "43.2");
    assert_eq!(number(0.419), "0.42");
}

#[test]
fn only_what_is_between_the_markers_changes() {
    let text = "before <a>\nold\n<b> after";
    assert_eq!(replace_between(text, "<a>", "<b>", "new\n").as_deref(), Ok("before <a>\nnew\n<b> after"));
    assert!(replace_between("<b> <a>", "<a>", "<b>", "new").is_err());
}
