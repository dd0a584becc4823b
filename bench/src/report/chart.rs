//! Charts.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Outcome, Report, markdown};
use crate::peers::{Info, Kind};
use crate::scenarios::Scenario;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

const PANELS: [(&str, Scenario); 4] = [
    ("one after another", Scenario::Calls { in_flight: 1 }),
    ("64 in flight", Scenario::Calls { in_flight: 64 }),
    ("1 KB echoed, 64 in flight", Scenario::Records),
    ("callbacks, 64 in flight", Scenario::Callbacks { in_flight: 64 }),
];

/// The approximate width of a README.
const WIDTH: i32 = 880;
const MARGIN: i32 = 14;
const HEAD: i32 = 64;
const FOOT: i32 = 34;
const BAR: i32 = 24;
/// The start of the first panel, and the distance to the next.
const LEFT: i32 = 186;
const PANEL: i32 = (WIDTH - LEFT - MARGIN) / PANELS.len() as i32;
/// The longest bar leaves room for a number.
const LONGEST: i32 = PANEL - 62;

/// There is a background of its own, so that it is the same on a dark page.
const PAPER: RGBColor = RGBColor(252, 252, 250);
const INK: RGBColor = RGBColor(36, 40, 48);
const PALE: RGBColor = RGBColor(120, 126, 136);

fn colour(kind: Kind) -> RGBColor {
    match kind {
        Kind::Baseline => RGBColor(176, 180, 188),
        Kind::Ours => RGBColor(214, 84, 36),
        Kind::Json => RGBColor(66, 122, 179),
        Kind::Binary => RGBColor(104, 150, 92),
        Kind::JavaScript => RGBColor(188, 150, 32),
    }
}

const LEGEND: [(Kind, &str); 5] = [
    (Kind::Ours, "capnode (JSON)"),
    (Kind::Json, "JSON"),
    (Kind::Binary, "binary"),
    (Kind::JavaScript, "JavaScript"),
    (Kind::Baseline, "baseline: by hand, tokio and serde_json"),
];

fn text(size: i32, colour: RGBColor, horizontal: HPos) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&colour).pos(Pos::new(horizontal, VPos::Center))
}

/// Draws a bar for each peer and each of [`PANELS`]: the number of calls in a second.
///
/// # Errors
///
/// If the file cannot be written.
pub fn throughput(report: &Report, path: &Path) -> Drawn {
    let mut peers = report.peers(&PANELS.map(|panel| panel.1));
    peers.retain(|peer| peer.kind != Kind::Ours || peer.id == "capnode");
    let bottom = HEAD + BAR * peers.len() as i32;
    let root = SVGBackend::new(path, (WIDTH as u32, (bottom + FOOT) as u32)).into_drawing_area();
    root.fill(&PAPER)?;
    let say = |words: String, at, style: TextStyle<'static>| root.draw(&Text::new(words, at, style));

    say("Calls a second".to_owned(), (MARGIN, 20), text(16, INK, HPos::Left))?;
    let mut x = LEFT;
    for (kind, words) in LEGEND.into_iter().filter(|(kind, _)| peers.iter().any(|peer| peer.kind == *kind)) {
        root.draw(&Rectangle::new([(x, 15), (x + 10, 25)], colour(kind).filled()))?;
        say(words.to_owned(), (x + 16, 20), text(12, INK, HPos::Left))?;
        x += 40 + 7 * words.len() as i32;
    }
    for (row, peer) in peers.iter().enumerate() {
        let middle = HEAD + BAR * row as i32 + BAR / 2;
        say(label(report, peer), (LEFT - 10, middle), text(12, INK, HPos::Right))?;
    }
    for (panel, (title, scenario)) in PANELS.into_iter().enumerate() {
        let left = LEFT + PANEL * panel as i32;
        say(title.to_owned(), (left, HEAD - 14), text(13, INK, HPos::Left))?;
        let outcomes: Vec<_> = peers.iter().map(|peer| report.outcome(scenario, peer.id)).collect();
        bars(&root, left, &peers, &outcomes)?;
    }
    say(circumstances(report), (MARGIN, bottom + 18), text(11, PALE, HPos::Left))?;
    root.present()?;
    Ok(())
}

fn bars(root: &Area<'_>, left: i32, peers: &[&Info], outcomes: &[Option<&Outcome>]) -> Drawn {
    let most = outcomes.iter().flatten().map(|outcome| outcome.median).fold(0.0, f64::max);
    let bottom = HEAD + BAR * peers.len() as i32;
    root.draw(&PathElement::new([(left, HEAD), (left, bottom)], PALE.mix(0.5).stroke_width(1)))?;
    for (row, (peer, outcome)) in peers.iter().zip(outcomes).enumerate() {
        let top = HEAD + BAR * row as i32;
        let middle = top + BAR / 2;
        let Some(outcome) = outcome else {
            root.draw(&Text::new("–", (left + 6, middle), text(12, PALE, HPos::Left)))?;
            continue;
        };
        let end = left + (outcome.median / most * f64::from(LONGEST)).round().max(1.0) as i32;
        root.draw(&Rectangle::new([(left, top + 4), (end, top + BAR - 4)], colour(peer.kind).filled()))?;
        let number = markdown::number(outcome.median);
        root.draw(&Text::new(number, (end + 6, middle), text(12, INK, HPos::Left)))?;
    }
    Ok(())
}

/// Returns the peer's name with the version, as far as it tells of possible changes.
fn label(report: &Report, peer: &Info) -> String {
    let (name, way) = match peer.label.split_once(", ") {
        Some((name, way)) => (name, format!(", {way}")),
        None => (peer.label, String::new()),
    };
    match report.about.versions.get(peer.package) {
        Some(version) if peer.kind != Kind::Baseline => {
            let short: Vec<&str> = version.split('.').take(2).collect();
            format!("{name} {}{way}", short.join("."))
        }
        _ => format!("{name}{way}"),
    }
}

fn circumstances(report: &Report) -> String {
    let about = &report.about;
    format!(
        "{}, capnode at {}; {}, one core for client and server, TCP on the loopback; medians of {}",
        about.date, about.commit, about.processor, about.repetitions
    )
}

/// Draws lines: the time of a call as a count grows. Draws nothing if nothing grew.
///
/// # Errors
///
/// If the file cannot be written.
pub fn growth(report: &Report, path: &Path) -> Drawn {
    let references = |scenario| match scenario {
        Scenario::Held { objects } => Some(objects),
        _ => None,
    };
    let connections = |scenario| match scenario {
        Scenario::Connections { count } => Some(count),
        _ => None,
    };
    let panels = [
        ("µs a call, with so many references held", lines(report, references)),
        ("µs a call, with so many connections open", lines(report, connections)),
    ];
    if panels.iter().all(|(_, lines)| lines.is_empty()) {
        return Ok(());
    }
    let root = SVGBackend::new(path, (WIDTH as u32, 300 + FOOT as u32)).into_drawing_area();
    root.fill(&PAPER)?;
    let (charts, foot) = root.split_vertically(300);
    for ((title, lines), area) in panels.iter().zip(charts.split_evenly((1, 2))) {
        curves(title, lines, &area)?;
    }
    foot.draw(&Text::new(circumstances(report), (MARGIN, 14), text(11, PALE, HPos::Left)))?;
    root.present()?;
    Ok(())
}

type Line = (&'static Info, Vec<(f64, f64)>);

/// The points of each peer: the count, and the time of a call.
fn lines(report: &Report, count: impl Fn(Scenario) -> Option<u32>) -> Vec<Line> {
    let points = |peer: &'static Info| {
        let outcomes = report.results.iter().filter(|outcome| outcome.peer.id == peer.id);
        outcomes.filter_map(|outcome| Some((f64::from(count(outcome.scenario)?), outcome.median))).collect()
    };
    let lines = crate::peers::ALL.iter().map(|peer| (peer, points(peer)));
    lines.filter(|line: &Line| !line.1.is_empty()).collect()
}

fn curves(title: &str, lines: &[Line], area: &Area<'_>) -> Drawn {
    let points = || lines.iter().flat_map(|line| line.1.iter());
    let most = points().map(|point| point.1).fold(1.0, f64::max);
    let first = points().map(|point| point.0).fold(10.0, f64::min);
    let last = points().map(|point| point.0).fold(10.0, f64::max);
    // Beside the end of a line there is room for its name.
    let mut chart = ChartBuilder::on(area)
        .caption(title, text(13, INK, HPos::Center))
        .margin(MARGIN)
        .x_label_area_size(28)
        .y_label_area_size(40)
        .build_cartesian_2d((first / 2.0..last * 20.0).log_scale(), 0.0..most * 1.2)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(PALE.mix(0.25))
        .axis_style(PALE)
        .label_style(("sans-serif", 11).into_font().color(&INK))
        .x_label_formatter(&|count| if *count <= last { thousands(*count) } else { String::new() })
        .y_label_formatter(&|time| format!("{time:.0}"))
        .draw()?;
    for (peer, points) in lines {
        let colour = colour(peer.kind);
        chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?;
        chart.draw_series(points.iter().map(|at| Circle::new(*at, 3, colour.filled())))?;
        let end = points.last().copied().expect("no line is empty");
        let name = peer.label.split(',').next().unwrap_or(peer.label);
        let beside = EmptyElement::at(end) + Text::new(name, (8, 0), text(12, INK, HPos::Left));
        chart.draw_series(std::iter::once(beside))?;
    }
    Ok(())
}

fn thousands(count: f64) -> String {
    let digits = format!("{count:.0}");
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or("")).collect();
    groups.join(",")
}

#[test]
fn thousands_are_set_apart() {
    assert_eq!(thousands(10.0), "10");
    assert_eq!(thousands(1_000.0), "1,000");
    assert_eq!(thousands(1_000_000.0), "1,000,000");
}
