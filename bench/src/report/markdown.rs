//! Tables.

use std::fmt::Write;

use super::{Outcome, Report};
use crate::peers::{Info, Kind};
use crate::scenarios::redeem::By;
use crate::scenarios::{STEPS, Scenario};

/// A row of a table.
struct Row {
    name: &'static str,
    /// The scenarios of the row. If there is no result of the first, the next takes its place.
    scenarios: &'static [Scenario],
    show: Show,
    /// `true` if it is also in the README, where there is no room for all.
    readme: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Show {
    Value,
    /// Processor time a call.
    Cpu,
    /// Write system calls a call.
    Writes,
    /// Of calls beside a stream, see [`crate::measure::Beside`].
    P99,
    Ratio,
    P99Ratio,
    Stream,
    Spread,
}

const fn row(name: &'static str, scenarios: &'static [Scenario], show: Show) -> Row {
    Row { name, scenarios, show, readme: true }
}

impl Row {
    const fn not_in_readme(self) -> Self {
        Self { readme: false, ..self }
    }

    fn outcome<'a>(&self, report: &'a Report, peer: &Info) -> Option<&'a Outcome> {
        self.scenarios.iter().find_map(|scenario| report.outcome(*scenario, peer.id))
    }
}

const ROWS: &[Row] = &[
    row("one call after another, calls/s", &[Scenario::Calls { in_flight: 1 }], Show::Value),
    row("64 in flight, calls/s", &[Scenario::Calls { in_flight: 64 }], Show::Value),
    row("write system calls a call, 64 in flight", &[Scenario::Calls { in_flight: 64 }], Show::Writes),
    row("processor time a call, 64 in flight, µs", &[Scenario::Calls { in_flight: 64 }], Show::Cpu)
        .not_in_readme(),
    row("64 in flight, single-threaded runtime, calls/s", &[Scenario::Single { in_flight: 64 }], Show::Value),
    row("write system calls a call then", &[Scenario::Single { in_flight: 64 }], Show::Writes)
        .not_in_readme(),
    row("64 in flight, a core for each side, calls/s", &[Scenario::Apart { in_flight: 64 }], Show::Value)
        .not_in_readme(),
    row("write system calls a call then", &[Scenario::Apart { in_flight: 64 }], Show::Writes).not_in_readme(),
    row("1,024 in flight, calls/s", &[Scenario::Calls { in_flight: 1024 }], Show::Value),
    row("1 KB structure echoed, 64 in flight, calls/s", &[Scenario::Records], Show::Value),
    row("callbacks one after another, calls/s", &[Scenario::Callbacks { in_flight: 1 }], Show::Value),
    row("callbacks, 64 in flight, calls/s", &[Scenario::Callbacks { in_flight: 64 }], Show::Value),
    row("1 MiB of bytes echoed, MiB/s", &[Scenario::Bytes], Show::Value),
    row("bytes read from a stream in chunks of 64 KiB, MiB/s", &[Scenario::ByteStream], Show::Value),
    row("integers read from a stream, items/s", &[Scenario::NumberStream], Show::Value),
    row(
        "a call beside a stream of bytes on its connection, median, µs",
        &[Scenario::BesideStream],
        Show::Value,
    )
    .not_in_readme(),
    row("99th percentile then, µs", &[Scenario::BesideStream], Show::P99).not_in_readme(),
    row(
        "a call beside a stream of bytes on its connection, times one without, median",
        &[Scenario::BesideStream],
        Show::Ratio,
    ),
    row("99th percentile then, times that without", &[Scenario::BesideStream], Show::P99Ratio),
    row("speed of the stream then, times that alone", &[Scenario::BesideStream], Show::Stream)
        .not_in_readme(),
    row(
        "calls of 100 connections beside one with a stream of bytes, median, µs",
        &[Scenario::Fairness],
        Show::Value,
    )
    .not_in_readme(),
    row("99th percentile then, µs", &[Scenario::Fairness], Show::P99).not_in_readme(),
    row(
        "calls of 100 connections beside one with a stream of bytes, times those without, 99th percentile",
        &[Scenario::Fairness],
        Show::P99Ratio,
    ),
    row("speed of the stream then, times that alone", &[Scenario::Fairness], Show::Stream).not_in_readme(),
    row(
        "bytes a live object costs its server, of 100,000",
        &[Scenario::ObjectBytes { objects: 100_000 }, Scenario::ObjectBytes { objects: 1_000 }],
        Show::Value,
    ),
    row("8 dependent calls, 20 ms each way, ms", &[Scenario::Chain], Show::Value),
    row("connecting and the first call, µs", &[Scenario::Connect], Show::Value),
    row("a local call through a client, ns", &[Scenario::Local], Show::Value),
    row("allocations of a local call", &[Scenario::Allocations { local: true }], Show::Value).not_in_readme(),
    row(
        "allocations a call, both sides, 64 in flight",
        &[Scenario::Allocations { local: false }],
        Show::Value,
    )
    .not_in_readme(),
];

const JS_ROWS: &[Row] = &[
    row("one call after another, calls/s", &[Scenario::JsClient { in_flight: 1 }], Show::Value),
    row("64 in flight, calls/s", &[Scenario::JsClient { in_flight: 64 }], Show::Value),
    row("processor time of the server a call then, µs", &[Scenario::JsClient { in_flight: 64 }], Show::Cpu),
];

const BATCH_ROWS: &[Row] = &[row("calls/s", &[Scenario::Batch], Show::Value)];

const REDEEM_ROWS: &[Row] = &[
    row("a sturdy text", &[Scenario::Redeem { by: By::Text }], Show::Value),
    row("an invocation by one link", &[Scenario::Redeem { by: By::Links(1) }], Show::Value),
    row("by three links", &[Scenario::Redeem { by: By::Links(3) }], Show::Value),
    row("a sturdy text, without a wire", &[Scenario::Verify { by: By::Text }], Show::Value),
    row("one with another secret, which is refused", &[Scenario::Verify { by: By::WrongText }], Show::Value),
    row("an invocation by one link, only verified", &[Scenario::Verify { by: By::Links(1) }], Show::Value),
    row("by three links, only verified", &[Scenario::Verify { by: By::Links(3) }], Show::Value),
];

const GROWTH_ROWS: &[Row] = &[
    row("10 references held", &[Scenario::Held { objects: 10 }], Show::Value),
    row("1,000", &[Scenario::Held { objects: 1_000 }], Show::Value),
    row("100,000", &[Scenario::Held { objects: 100_000 }], Show::Value),
    row("1,000,000", &[Scenario::Held { objects: 1_000_000 }], Show::Value),
    row("1 connection", &[Scenario::Connections { count: 1 }], Show::Value),
    row("100", &[Scenario::Connections { count: 100 }], Show::Value),
    row("5,000", &[Scenario::Connections { count: 5_000 }], Show::Value),
];

const _: () = assert!(STEPS == 8, "a row says so");

/// Returns the full report: `results/table.md`.
pub fn whole(report: &Report) -> String {
    let values = ROWS.iter().filter(|row| row.show == Show::Value);
    let spreads: Vec<Row> = values.map(|row| Row { show: Show::Spread, ..*row }).collect();
    let mut text = table(report, ROWS.iter(), one_of_ours);
    text += &about(report);
    let mut section = |head: &str, table: String| {
        if !table.is_empty() {
            let _ = write!(text, "\n{head}:\n\n{table}");
        }
    };
    section("The languages and transports of capnode", table(report, ROWS.iter(), ours));
    section(
        "The same JavaScript client (npm's `capnweb` under Node), with either server in another process",
        table(report, JS_ROWS.iter(), all),
    );
    section(
        "Ten calls in one HTTP request (tonic: ten calls at once, each of which is one)",
        table(report, BATCH_ROWS.iter(), all),
    );
    section(
        "Microseconds in which a reference is redeemed, one after another",
        table(report, REDEEM_ROWS.iter(), all),
    );
    section("Microseconds a call, one after another, as things grow", table(report, GROWTH_ROWS.iter(), all));
    section("How far the repetitions were apart, least to most", table(report, spreads.iter(), one_of_ours));
    text
}

fn all(_: &Info) -> bool {
    true
}

fn ours(peer: &Info) -> bool {
    peer.kind == Kind::Ours
}

fn one_of_ours(peer: &Info) -> bool {
    !ours(peer) || peer.id == "capnode"
}

/// Returns the part for the README.
pub fn fragment(report: &Report, chart: &str) -> String {
    let chart = format!("![Calls a second, beside other libraries]({chart})\n\n");
    let table = table(report, ROWS.iter().filter(|row| row.readme), one_of_ours);
    chart + &table + &about(report)
}

/// Replaces the text between the two markers.
///
/// # Errors
///
/// If the markers are missing.
pub fn replace_between(text: &str, begin: &str, end: &str, what: &str) -> Result<String, String> {
    let missing = || format!("`{begin}` and, after it, `{end}` must be there");
    let (before, rest) = text.split_once(begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(end).ok_or_else(missing)?;
    Ok(format!("{before}{begin}\n{what}{end}{after}"))
}

/// Returns the text below the first table.
fn about(report: &Report) -> String {
    let about = &report.about;
    let version = |package: &str| about.versions.get(package).map_or("", String::as_str);
    let mut text = format!(
        "\nMeasured on {} with capnode at {}: {}, {} cores, {}; {}, {}. Client and server are tasks of one tokio \
         runtime with one core (capnp-rpc: a single-threaded one), over TCP on the loopback; medians of {} interleaved repetitions. The baseline is written \
         by hand with tokio {} and serde_json {}.",
        about.date,
        about.commit,
        about.processor,
        about.cores,
        about.system,
        about.rust,
        about.node,
        about.repetitions,
        version("tokio"),
        version("serde_json"),
    );
    let js = |peer| {
        let outcome = report.outcome(Scenario::JsClient { in_flight: 64 }, peer)?;
        Some((number(outcome.median), number(outcome.cpu_us?)))
    };
    if let (Some((ours, our_time)), Some((theirs, their_time))) = (js("capnode-ws"), js("capnweb")) {
        let _ = write!(
            text,
            " The same JavaScript client, under Node, makes {ours} calls/s with 64 in flight to a server in Rust, \
             which needs {our_time} µs of processor time for each; to one in Node {theirs}, {their_time} µs."
        );
    }
    let held = |objects| Some(number(report.outcome(Scenario::Held { objects }, "capnode")?.median));
    if let (Some(few), Some(many)) = (held(10), held(1_000_000)) {
        let _ = write!(text, " A call takes {few} µs with 10 live references, {many} µs with 1,000,000.");
    }
    text + "\n"
}

/// Returns a table, or an empty text if there is nothing to put into it.
fn table<'a>(
    report: &Report,
    rows: impl Iterator<Item = &'a Row> + Clone,
    include: fn(&Info) -> bool,
) -> String {
    let has_any = |peer: &&Info| include(peer) && rows.clone().any(|row| row.outcome(report, peer).is_some());
    let peers: Vec<&Info> = crate::peers::ALL.iter().filter(has_any).collect();
    let mut text = String::new();
    let mut line = |first: &str, cells: Vec<String>| {
        let _ = writeln!(text, "| {first} | {} |", cells.join(" | "));
    };
    if peers.is_empty() {
        return text;
    }
    line("", peers.iter().map(|peer| head(report, peer)).collect());
    line("---", peers.iter().map(|_| "--:".to_owned()).collect());
    for row in rows {
        let cells: Vec<Option<String>> =
            peers.iter().map(|peer| row.outcome(report, peer).and_then(|it| shown(it, row.show))).collect();
        if cells.iter().any(Option::is_some) {
            line(row.name, cells.into_iter().map(|cell| cell.unwrap_or_else(|| "–".to_owned())).collect());
        }
    }
    text
}

/// The peer's name and version, and below that in which of its ways it is used.
fn head(report: &Report, peer: &Info) -> String {
    let (name, way) = peer.label.split_once(", ").unwrap_or((peer.label, ""));
    match report.about.versions.get(peer.package) {
        Some(version) if peer.kind != Kind::Baseline => {
            format!("{name} {version}<br>{way}").trim_end_matches("<br>").to_owned()
        }
        _ => name.to_owned(),
    }
}

fn shown(outcome: &Outcome, show: Show) -> Option<String> {
    match show {
        Show::Value => {
            let median = number(outcome.median);
            let few = outcome.scenario == Scenario::ObjectBytes { objects: 1_000 };
            Some(if few { format!("{median} of 1,000") } else { median })
        }
        Show::Cpu => outcome.cpu_us.map(number),
        Show::Writes => outcome.writes.map(number),
        Show::P99 => outcome.beside.as_ref().map(|it| number(it.p99)),
        Show::Ratio => outcome.beside.as_ref().map(|it| number(it.ratio)),
        Show::P99Ratio => outcome.beside.as_ref().map(|it| number(it.p99_ratio)),
        Show::Stream => outcome.beside.as_ref().map(|it| number(it.stream)),
        Show::Spread => Some(format!("{} … {}", number(outcome.least), number(outcome.most))),
    }
}

/// Returns a number with its meaningful digits only.
pub fn number(value: f64) -> String {
    match value {
        999_500.0.. => format!("{:.2} M", value / 1_000_000.0),
        9_950.0.. => format!("{:.0} k", value / 1_000.0),
        999.5.. => format!("{:.1} k", value / 1_000.0),
        99.95.. => format!("{value:.0}"),
        9.995.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[test]
fn numbers_have_three_digits_or_so() {
    assert_eq!(number(1_265_431.0), "1.27 M");
    assert_eq!(number(999_700.0), "1.00 M");
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
